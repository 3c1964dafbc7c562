"""What the store and the seller do to a line."""

from datetime import datetime, timedelta

from perennial.base.errors import Conflict, Invalid
from perennial.base.money import Money
from perennial.base.time import add, parse_duration
from perennial.base.value import replace
from perennial.providers.simulated.app_store.model import Failure, PriceNotice, Revoked, Subscription
from perennial.providers.simulated.app_store.payloads import current
from perennial.providers.simulated.app_store.rules.allowed import require_open, require_running
from perennial.providers.simulated.app_store.rules.charges import find_charge, with_charge
from perennial.providers.simulated.app_store.rules.outbox import announce, whole
from perennial.providers.simulated.app_store.rules.playing import RETRY_DAYS

GRACE_DAYS = (0, 3, 6, 16, 28)  # what App Store Connect offers; 6 for weekly plans only
LONGEST_EXTENSION = 90  # days, as the store's API allows


def request_refund(line: Subscription, transaction: str | None, now: datetime, *, reason: str = "UNINTENDED_PURCHASE") -> Subscription:
    """The customer asks Apple for the money: auto-renew goes off, and we are asked what was consumed."""
    charge = find_charge(line, transaction)
    if line.auto_renew and line.ending is None:
        line = announce(replace(line, auto_renew=False), "DID_CHANGE_RENEWAL_STATUS", "AUTO_RENEW_DISABLED", now)
    return announce(line, "CONSUMPTION_REQUEST", None, now, about=charge, consumption_request_reason=reason)


def refund(line: Subscription, transaction: str | None, now: datetime, *, share_ppm: int = 1_000_000) -> Subscription:
    """Gives back a share of any transaction (None: the current one)."""
    charge = find_charge(line, transaction)
    if charge.revoked is not None:
        raise Conflict(f"transaction {charge.transaction} is refunded already")
    if line.is_family_shared:
        raise Conflict("a family member paid nothing that could be refunded; revoke the access instead")
    if not 0 < share_ppm <= 1_000_000 or share_ppm % 10:
        raise Invalid("a refunded share is given in millionths of the price, in steps of 10, up to 1000000", param="share_ppm")
    at = whole(now)
    revoked = replace(charge, revoked=Revoked(at=at, share_ppm=share_ppm), changed_at=at)
    return announce(with_charge(line, revoked), "REFUND", None, now, about=revoked)


def reverse_refund(line: Subscription, transaction: str | None, now: datetime) -> Subscription:
    """The refund is undone after a dispute. Dates stay as they were."""
    charge = find_charge(line, transaction)
    if charge.revoked is None or charge.revoked.is_family:
        raise Conflict(f"transaction {charge.transaction} is not refunded")
    restored = replace(charge, revoked=None, changed_at=whole(now))
    return announce(with_charge(line, restored), "REFUND_REVERSED", None, now, about=restored)


def decline_refund(line: Subscription, transaction: str | None, now: datetime) -> Subscription:
    return announce(line, "REFUND_DECLINED", None, now, about=find_charge(line, transaction))


def revoke_family(line: Subscription, now: datetime) -> Subscription:
    """A family member loses what was shared with them."""
    if not line.is_family_shared:
        raise Conflict("only what a family shares can be revoked; refund what was bought")
    charge = current(line)
    if charge.revoked is not None:
        raise Conflict("the family's access is revoked already")
    at = whole(now)
    gone = with_charge(line, replace(charge, revoked=Revoked(at=at, is_family=True), changed_at=at))
    return announce(replace(gone, ending="revoked", trouble=None, failure=None, next_plan=None), "REVOKE", None, now)


def fail_next_renewal(line: Subscription, failure: Failure) -> Subscription:
    """Plans the next renewal's failure. Nothing is told yet."""
    require_open(line)
    if not line.auto_renew or line.trouble is not None:
        raise Conflict("the simulated subscription has no renewal ahead that could fail")
    if failure.grace_days not in GRACE_DAYS:
        raise Invalid(f"the App Store's grace periods are {', '.join(map(str, GRACE_DAYS))} days", param="grace_days")
    if failure.recover_after_days is not None and not 0 <= failure.recover_after_days < RETRY_DAYS:
        raise Invalid(f"the App Store retries for {RETRY_DAYS} days; a charge can recover after 0 to {RETRY_DAYS - 1}", param="recover_after_days")
    _check_grace_fits(line, failure)
    return replace(line, failure=failure)


def revert_failure(line: Subscription) -> Subscription:
    """The next renewal is charged after all. A charge that failed already is not undone."""
    require_open(line)
    if line.failure is None:
        raise Conflict("no failure of the simulated subscription's next renewal is planned")
    return replace(line, failure=None)


def _check_grace_fits(line: Subscription, failure: Failure) -> None:
    """A grace longer than the period it bridges would leave a recovery nothing to keep."""
    end, plan = current(line).expires_at, line.next_plan or line.plan
    assert end is not None and plan.duration is not None
    if end + timedelta(days=failure.grace_days) > add(end, parse_duration(plan.duration)):
        raise Invalid(f"a grace period of {failure.grace_days} days is longer than the plan's own period", param="grace_days")


def extend(line: Subscription, days: int, now: datetime) -> Subscription:
    """Moves the renewal date, as the seller may for one subscription. The new date is the billing date from then on."""
    require_running(line, now)
    if not 1 <= days <= LONGEST_EXTENSION:
        raise Invalid(f"the App Store extends by 1 to {LONGEST_EXTENSION} days", param="days")
    if line.is_family_shared:
        raise Conflict("a subscription shared by a family is extended at its purchaser")
    charge = current(line)
    assert charge.expires_at is not None
    end = charge.expires_at + timedelta(days=days)
    extended = with_charge(line, replace(charge, expires_at=end, changed_at=whole(now)))
    return announce(replace(extended, anchor=end, months=0), "RENEWAL_EXTENDED", None, now)


def raise_price(line: Subscription, price: Money, now: datetime, *, needs_consent: bool) -> Subscription:
    """A higher price from the next renewal on. Where no consent is needed the store reports it as accepted."""
    require_running(line, now)
    if price.currency != line.plan.price.currency or price.amount <= line.plan.price.amount:
        raise Invalid(f"the new price must be above the present one, in {line.plan.price.currency}", param="price")
    noticed = replace(line, price_notice=PriceNotice(price=price, is_accepted=not needs_consent))
    return announce(noticed, "PRICE_INCREASE", "PENDING" if needs_consent else "ACCEPTED", now)

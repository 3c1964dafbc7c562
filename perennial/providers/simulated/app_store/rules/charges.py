"""What a line was charged: for which period, at which price, by which offer."""

from datetime import datetime

from perennial.base.errors import Conflict, NotFound
from perennial.base.money import Money
from perennial.base.time import Duration, add, parse_duration
from perennial.base.value import replace
from perennial.providers.simulated.app_store.model import Charge, Offer, Plan, Subscription
from perennial.providers.simulated.app_store.payloads import current

MOST_CHARGES = 999  # a line's transaction ids end in three digits; then auto-renew goes off, so that a forgotten demo does not grow for ever


def renew(line: Subscription, at: datetime) -> Subscription:
    """The next charge, for a period that begins `at`. What was agreed for it (plan, price, offer) takes effect."""
    plan = line.next_plan or _repriced(line)
    offer, left = _offer_of_renewal(line)
    line = replace(line, plan=plan, next_plan=None, next_offer=None, price_notice=None, failure=None, trouble=None)
    return charged(line, plan, offer, at, is_renewal=True, offer_periods_left=left)


def charged(line: Subscription, plan: Plan, offer: Offer | None, at: datetime, *, is_renewal: bool, offer_periods_left: int = 0) -> Subscription:
    if len(line.charges) >= MOST_CHARGES:
        raise Conflict(f"the simulated subscription has {MOST_CHARGES} transactions, and takes no more; buy anew")
    anchor, months, end = _period(line, plan, offer, at)
    charge = Charge(
        transaction=f"{int(line.store_line) + len(line.charges)}",  # the first is the line's own number
        product=plan.product,
        price=_price(plan, offer, is_family_shared=line.is_family_shared),
        purchased_at=at,
        expires_at=end,
        changed_at=at,
        is_renewal=is_renewal,
        offer=offer,
    )
    return replace(line, charges=(*line.charges, charge), anchor=anchor, months=months, offer_periods_left=offer_periods_left)


def _repriced(line: Subscription) -> Plan:
    return replace(line.plan, price=line.price_notice.price) if line.price_notice is not None else line.plan


def _offer_of_renewal(line: Subscription) -> tuple[Offer | None, int]:
    """The offer redeemed for it, or the next of a pay-as-you-go offer's periods."""
    if line.next_offer is not None:
        return line.next_offer, line.next_offer.periods - 1
    if line.offer_periods_left > 0 and line.next_plan is None:
        return current(line).offer, line.offer_periods_left - 1
    return None, 0


def _price(plan: Plan, offer: Offer | None, *, is_family_shared: bool) -> Money:
    free = Money(amount=0, currency=plan.price.currency)
    if is_family_shared:
        return free
    return plan.price if offer is None else offer.price or free


def _period(line: Subscription, plan: Plan, offer: Offer | None, at: datetime) -> tuple[datetime, int, datetime | None]:
    """Anchor, months since it, and the period's end. Months count from the anchor; a period in days or weeks moves the anchor to its end."""
    text = offer.period if offer is not None and offer.discount != "PAY_AS_YOU_GO" else plan.duration
    if text is None or line.type != "Auto-Renewable Subscription":
        return at, 0, None
    duration = parse_duration(text)
    anchor, months = (line.anchor, line.months) if add(line.anchor, Duration(months=line.months)) == at else (at, 0)
    if duration.days or duration.seconds:
        end = add(at, duration)
        return end, 0, end
    months += duration.months
    return anchor, months, add(anchor, Duration(months=months))


def find_charge(line: Subscription, transaction: str | None) -> Charge:
    if transaction is None:
        return current(line)
    found = next((charge for charge in line.charges if charge.transaction == transaction), None)
    if found is None:
        raise NotFound(f"the simulated line {line.store_line} has no transaction {transaction!r}", param="transaction")
    return found


def line_of(transaction: str) -> str:
    """The line a transaction belongs to: ids of one line differ in their last three digits."""
    return transaction[:-3] + "000"


def with_charge(line: Subscription, changed: Charge) -> Subscription:
    return replace(line, charges=tuple(changed if charge.transaction == changed.transaction else charge for charge in line.charges))

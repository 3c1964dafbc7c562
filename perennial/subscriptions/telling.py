"""What is to be told of a line: the difference between what is known and what was told.

Facts (a purchase, a renewal, a refund, an expiry) are told exactly once, whenever we learn of them. Standing facts (will it renew, into
what, can the store charge) are told when the present differs from what was last told: a change of mind that was superseded before we
heard of it stays untold. `docs/decisions/telling.md` gives the reasons.
"""

from datetime import datetime
from fractions import Fraction

from perennial.base.money import Money
from perennial.base.value import replace
from perennial.subscriptions.model import EndReason, Held, Line, Refund, Renewal, Telling, Told, ToldLine
from perennial.subscriptions.rules import (
    access_end,
    auto_renew_off_at,
    billing_issue_at,
    ended_reason,
    fact_key,
    grace_until,
    is_bought_anew,
    is_grant,
    latest,
    never_began,
    over_at,
    paused_at,
    period_before,
    period_number,
    present,
    refunded_share,
    renewals_of,
    replaced_at,
    superseded_at,
    wake_at,
    was_cut_short,
)

# Within one instant: what a customer did comes before what followed from it.
_RANK = {
    "PRODUCT_CHANGE": 0,
    "INITIAL_PURCHASE": 1,
    "NON_RENEWING_PURCHASE": 1,
    "RENEWAL": 1,
    "SUBSCRIPTION_EXTENDED": 2,
    "UNCANCELLATION": 3,
    "SUBSCRIPTION_PAUSED": 3,
    "BILLING_ISSUE": 4,
    "CANCELLATION": 5,
    "REFUND": 5,
    "REFUND_REVERSED": 5,
    "EXPIRATION": 6,
}


def tell(line: Line, now: datetime, *, quiet: bool = False) -> tuple[Line, list[Telling]]:
    """What to tell at `now`, in the order it happened, and the line that remembers having told it.

    `quiet`: it comes by an import, and what that brought stays untold for good. What the world has heard of goes on being told.
    """
    tellings = [
        *([] if quiet else _purchases(line)),
        *_standing(line, now),
        *_revocations(line),
        *_refunds(line),
        *_expirations(line, now),
        *_extensions(line),
    ]
    tellings = [replace(one, renewal_number=period_number(line, one.held)) for one in tellings]
    told = _remember(line, tellings, now, quiet=quiet)
    heard = [one for one in tellings if one.held.told.purchased and not one.held.told.quietly] if quiet else tellings
    return replace(told, wake_at=wake_at(told, now)), sorted(heard, key=lambda one: (one.happened_at, _RANK[one.type]))


# Purchases --------------------------------------------------------------------------------------------------------------------


def _purchases(line: Line) -> list[Telling]:
    tellings: list[Telling] = []
    for index, held in enumerate(line.held):
        if not held.told.purchased:
            tellings += _one_purchase(line, index, held)
    return tellings


def _one_purchase(line: Line, index: int, held: Held) -> list[Telling]:
    purchase = held.purchase
    before = next((one for one in reversed(line.held[:index]) if not one.purchase.gives_no_time), None)
    if purchase.kind != "subscription" or is_grant(line):
        return [Telling(type="NON_RENEWING_PURCHASE", key=purchase.transaction, happened_at=purchase.purchased_at, held=held)]
    bought = [] if purchase.is_proration else [_period_bought(line, held)]
    if before is None or not _changed_product(line, before, held):
        return bought
    change = Telling(
        type="PRODUCT_CHANGE",
        key=fact_key("at", purchase.transaction),
        happened_at=purchase.purchased_at,
        held=before,
        new_product=purchase.product,
        proration=purchase if purchase.is_proration else None,
    )
    return [change, *bought]


def _period_bought(line: Line, held: Held) -> Telling:
    purchase, before = held.purchase, period_before(line, held)
    return Telling(
        type="INITIAL_PURCHASE" if purchase.is_first else "RENEWAL",
        key=purchase.transaction,
        happened_at=purchase.purchased_at,
        held=held,
        is_trial_conversion=before is not None and before.purchase.period_type == "trial" and purchase.period_type != "trial",
    )


def _changed_product(line: Line, before: Held, held: Held) -> bool:
    """Into another product without a gap, and not already told when it was scheduled. A late arrival changes nothing."""
    if before.purchase.product == held.purchase.product or held is not latest(line):
        return False
    had_gap = access_end(line, before) < held.purchase.purchased_at
    return not had_gap and line.told.next_product != held.purchase.product


def _extensions(line: Line) -> list[Telling]:
    """A paid period made longer without a charge."""
    return [
        Telling(
            type="SUBSCRIPTION_EXTENDED",
            key=fact_key(held.purchase.transaction, held.purchase.expires_at),
            happened_at=held.purchase.as_of,
            held=held,
        )
        for held in line.held
        if held.told.expires_at is not None
        and held.purchase.expires_at is not None
        and held.purchase.expires_at > held.told.expires_at
        and held.purchase.revocation is None
    ]


# Standing facts ---------------------------------------------------------------------------------------------------------------


def _standing(line: Line, now: datetime) -> list[Telling]:
    held, renewal = latest(line), present(line)
    if held is None or renewal is None or held.purchase.kind != "subscription" or held.purchase.gives_no_time:
        return []
    about_this_period = renewal in renewals_of(line, held)
    if held.told.expired:
        failed_to_resume = about_this_period and line.told.paused and renewal.in_billing_retry and not held.told.billing_issue
        return _billing_issue(line, held) if failed_to_resume else []
    tellings: list[Telling] = []
    if about_this_period and renewal.in_billing_retry and not held.told.billing_issue:
        tellings += _billing_issue(line, held)
    if about_this_period and (renewal.ended is None or over_at(line, held) > now) and not was_cut_short(line, held):
        tellings += _auto_renewal(line, held)
    if about_this_period and renewal.next_product not in (None, line.told.next_product, held.purchase.product):
        scheduled = fact_key("scheduled", renewal.next_product, renewal.as_of)
        tellings.append(Telling(type="PRODUCT_CHANGE", key=scheduled, happened_at=renewal.as_of, held=held, new_product=renewal.next_product))
    if about_this_period and renewal.pause is not None and not line.told.paused:
        tellings.append(_pause(line, held, renewal))
    return tellings


def _pause(line: Line, held: Held, renewal: Renewal) -> Telling:
    since = paused_at(line)
    assert since is not None, "a paused line has a first snapshot that said so"
    return Telling(type="SUBSCRIPTION_PAUSED", key=fact_key("paused", since), happened_at=since, held=held, resumes_at=renewal.resumes_at)


def _billing_issue(line: Line, held: Held) -> list[Telling]:
    since = billing_issue_at(line)
    assert since is not None, "a line in billing retry has a first snapshot that said so"
    grace = grace_until(line, held)
    transaction = held.purchase.transaction
    return [
        Telling(type="BILLING_ISSUE", key=transaction, happened_at=since, held=held, grace_until=grace),
        Telling(type="CANCELLATION", key=fact_key("billing", transaction), happened_at=since, held=held, reason="billing_error"),
    ]


def _auto_renewal(line: Line, held: Held) -> list[Telling]:
    off_at, renewal = auto_renew_off_at(line), present(line)
    assert renewal is not None
    if off_at is not None and told_auto_renew(line):
        reason: EndReason = renewal.off_reason or "unsubscribe"
        return [
            Telling(type="CANCELLATION", key=fact_key("off", off_at), happened_at=max(off_at, held.purchase.purchased_at), held=held, reason=reason)
        ]
    if renewal.auto_renew is True and not told_auto_renew(line):
        return [Telling(type="UNCANCELLATION", key=fact_key("on", renewal.as_of), happened_at=renewal.as_of, held=held)]
    return []


def told_auto_renew(line: Line) -> bool:
    """What the world believes of auto-renew. A purchase the customer makes anew starts with it on, whatever was told before."""
    held = latest(line)
    is_new = held is not None and not held.told.purchased and is_bought_anew(held.purchase)
    return True if is_new else line.told.auto_renew


# Refunds, reversals, expiries -------------------------------------------------------------------------------------------------


def _revocations(line: Line) -> list[Telling]:
    tellings: list[Telling] = []
    for held in line.held:
        revocation, told_at = held.purchase.revocation, held.told.revoked_at
        if revocation is not None and revocation.at != told_at and revocation.refunded:
            tellings.append(_refund(line, held))
        elif revocation is not None and revocation.at != told_at and is_grant(line):
            key = fact_key("revoked", held.purchase.transaction, revocation.at)
            tellings.append(Telling(type="CANCELLATION", key=key, happened_at=revocation.at, held=held, reason="developer"))
        elif revocation is None and told_at is not None:
            key = fact_key(held.purchase.transaction, told_at)
            tellings.append(Telling(type="REFUND_REVERSED", key=key, happened_at=held.purchase.as_of, held=held))
    return tellings


def _refund(line: Line, held: Held) -> Telling:
    purchase = held.purchase
    assert purchase.revocation is not None
    price = purchase.price
    return Telling(
        type="CANCELLATION" if _was_latest(line, held, purchase.revocation.at) else "REFUND",
        key=fact_key("refund", purchase.transaction, purchase.revocation.at),
        happened_at=purchase.revocation.at,
        held=held,
        reason="customer_support",
        refunded=price.times(Fraction(purchase.revocation.share_ppm, 1_000_000)) if isinstance(price, Money) else None,
    )


def _refunds(line: Line) -> list[Telling]:
    """Money given back beside any revocation: once when it is, once more where it stayed after all."""
    tellings: list[Telling] = []
    for held in line.held:
        for refund in held.purchase.refunds:
            key = fact_key("refund", held.purchase.transaction, refund.identifier)
            told = refund.identifier in held.told.refunds
            if refund.is_reversed and told:
                tellings.append(Telling(type="REFUND_REVERSED", key=key, happened_at=held.purchase.as_of, held=held))
            elif not refund.is_reversed and not told:
                tellings.append(_money_back(line, held, refund, key))
    return tellings


def _money_back(line: Line, held: Held, refund: Refund, key: str) -> Telling:
    is_all_of_the_period = refunded_share(held.purchase) == 1 and not held.purchase.is_proration
    took_access = held.purchase.revocation is not None or is_all_of_the_period
    is_of_the_present = took_access and _was_latest(line, held, refund.at)
    return Telling(
        type="CANCELLATION" if is_of_the_present else "REFUND",
        key=key,
        happened_at=refund.at,
        held=held,
        reason="customer_support",
        refunded=refund.amount,
    )


def _was_latest(line: Line, held: Held, moment: datetime) -> bool:
    """Whether, when it was refunded, no later period had begun, and no other product had taken its place."""
    later = [one for one in line.held if one.purchase.purchased_at > held.purchase.purchased_at and not one.purchase.is_proration]
    is_replaced = held.purchase.is_superseded or replaced_at(line, held) is not None
    return not is_replaced and all(one.purchase.purchased_at > moment for one in later)


def _expirations(line: Line, now: datetime) -> list[Telling]:
    return [
        Telling(
            type="EXPIRATION",
            key=fact_key(held.purchase.transaction, held.told.reversals),
            happened_at=access_end(line, held),
            held=held,
            reason=_expiration_reason(line, held),
        )
        for index, held in enumerate(line.held)
        if not held.told.expired and held.purchase.expires_at is not None and superseded_at(line, held) is None and _is_over(line, index, held, now)
    ]


def _is_over(line: Line, index: int, held: Held, now: datetime) -> bool:
    if held.purchase.gives_no_time:
        return False
    if held is latest(line):
        return now >= over_at(line, held)
    if never_began(held):
        return False
    if was_cut_short(line, held) and (revocation := held.purchase.revocation):
        return _was_latest(line, held, revocation.at) and access_end(line, held) <= now
    return ended_reason(line, held) is not None and access_end(line, held) < line.held[index + 1].purchase.purchased_at  # a gap


def _expiration_reason(line: Line, held: Held) -> EndReason:
    if was_cut_short(line, held):
        return "developer" if is_grant(line) else "customer_support"
    said = renewals_of(line, held)
    if not said:
        return "unknown"
    return ended_reason(line, held) or said[-1].off_reason or ("billing_error" if said[-1].in_billing_retry else "unknown")


# Remembering ------------------------------------------------------------------------------------------------------------------


def _remember(line: Line, tellings: list[Telling], now: datetime, *, quiet: bool) -> Line:
    expired = {one.held.purchase.transaction for one in tellings if one.type == "EXPIRATION"}
    billing = {one.held.purchase.transaction for one in tellings if one.type == "BILLING_ISSUE"}
    held = tuple(
        replace(
            one,
            told=Told(
                purchased=True,
                expires_at=one.purchase.expires_at,
                revoked_at=one.purchase.revocation.at if one.purchase.revocation else None,
                expired=_remember_expired(one, is_told_now=one.purchase.transaction in expired, now=now),
                reversals=one.told.reversals + _is_reversed(one),
                billing_issue=one.told.billing_issue or one.purchase.transaction in billing,
                refunds=tuple(_refund_told(refund) for refund in one.purchase.refunds),
                quietly=one.told.quietly or (quiet and not one.told.purchased),
            ),
        )
        for one in line.held
    )
    return replace(line, held=held, told=_remember_standing(line))


def _refund_told(refund: Refund) -> str:
    return f"{refund.identifier}!" if refund.is_reversed else refund.identifier


def _is_reversed(held: Held) -> bool:
    return held.told.revoked_at is not None and held.purchase.revocation is None


def _remember_expired(held: Held, *, is_told_now: bool, now: datetime) -> bool:
    """An expiry told for a refund that was reversed is open again while the period still runs."""
    runs_again = _is_reversed(held) and held.purchase.expires_at is not None and held.purchase.expires_at > now
    return is_told_now or never_began(held) or held.purchase.gives_no_time or (held.told.expired and not runs_again)


def _remember_standing(line: Line) -> ToldLine:
    renewal, held = present(line), latest(line)
    if renewal is None or held is None or renewal not in renewals_of(line, held):
        still_ahead = held is not None and line.told.next_product != held.purchase.product
        return ToldLine(auto_renew=told_auto_renew(line), next_product=line.told.next_product if still_ahead else None)
    next_product = renewal.next_product if renewal.next_product != held.purchase.product else None
    return ToldLine(auto_renew=renewal.auto_renew is not False, next_product=next_product, paused=renewal.pause is not None)

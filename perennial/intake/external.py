"""Purchases another system of the project's own tells us of, as statements of the store `external`.

That system says how a subscription stands ("this period, until then, active, will renew") and what was paid. A period is known by when it
began. Grace and retries are no periods of their own: they belong to the last one that was paid. The fields and their meaning are those of
the vendor's External Purchases API.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Literal

from perennial.base.errors import Conflict
from perennial.base.money import Money
from perennial.base.time import to_ms
from perennial.base.value import replace, value
from perennial.subscriptions import newer
from perennial.subscriptions.model import (
    EndReason,
    Environment,
    Kind,
    Line,
    Noted,
    Offer,
    PeriodType,
    Purchase,
    Refund,
    Renewal,
    Revocation,
    Statement,
)

Metadata = Mapping[str, str | int | float | bool | None]
ExternalStatus = Literal["trialing", "active", "expired", "in_grace_period", "in_billing_retry", "paused", "unknown"]
OfferType = Literal["free_trial", "introductory_offer", "offer_code", "win_back_offer", "promotional_offer", "unspecified_offer"]
AutoRenewal = Literal[
    "will_renew", "will_not_renew", "will_change_product", "will_pause", "requires_price_increase_consent", "has_already_renewed", "unknown"
]
_WILL_RENEW: dict[str, bool] = {
    "will_renew": True,
    "has_already_renewed": True,
    "will_change_product": True,
    "will_pause": True,
    "will_not_renew": False,
}
# What a free trial or an introductory price makes of a period is its type; the other offers are of regular periods.
_OFFERS: dict[OfferType, tuple[str, PeriodType | None]] = {
    "free_trial": ("introductory", "trial"),
    "introductory_offer": ("introductory", "intro"),
    "offer_code": ("offer_code", None),
    "win_back_offer": ("win_back", None),
    "promotional_offer": ("promotional", None),
    "unspecified_offer": ("unspecified", None),
}
_A_MOMENT = timedelta(microseconds=1)


class PeriodsOverlap(Conflict):
    """A period would swallow another one of its subscription."""

    def __init__(self, transaction: str) -> None:
        super().__init__(f"the period would swallow {transaction!r} whole; different transactions cannot overlap", code=7752)


@value
class ExternalSubscription:
    """How a subscription stood at `as_of`."""

    line: str
    product: str
    environment: Environment
    as_of: datetime
    starts_at: datetime | None  # None: as the known period with the same end, else `as_of`
    ends_at: datetime
    gives_access: bool
    status: ExternalStatus = "unknown"
    auto_renewal: AutoRenewal = "unknown"
    metadata: Metadata | None = None  # None: nothing is said of it, and what was said before stays


@value
class ExternalPurchase:
    """How a one-time purchase stood at `as_of`."""

    line: str
    product: str
    kind: Kind
    environment: Environment
    as_of: datetime
    is_refunded: bool = False
    metadata: Metadata | None = None


@value
class Payment:
    """Money that moved for a purchase; a refund where `gross` is negative. `transaction` is the purchase it was for."""

    identifier: str
    transaction: str
    paid_at: datetime
    gross: Money
    tax: Money
    commission: Money
    country: str | None = None
    offer_type: OfferType | None = None
    offer: str | None = None  # its identifier


# Subscriptions ----------------------------------------------------------------------------------------------------------------


def subscription_statement(known: Line | None, said: ExternalSubscription) -> Statement:
    """What this adds to what is known of the subscription. Raises `PeriodsOverlap`."""
    period = period_of(known, said)
    if _is_unpaid(said) and period is not None:
        purchases = () if said.gives_access else _cut_short(period, said.as_of)
        return _statement(known, said, purchases, _unpaid(said, period))
    purchase = _period(known, said)
    return _statement(known, said, (purchase,), _standing(known, said, purchase))


def period_of(known: Line | None, said: ExternalSubscription) -> Purchase | None:
    """The known period a word is about: the one it names, or for one that was not paid the last before it."""
    begun = [purchase for purchase in _periods(known) if purchase.purchased_at <= start_of(known, said)]
    return begun[-1] if begun and (_is_unpaid(said) or begun[-1].purchased_at == start_of(known, said)) else None


def start_of(known: Line | None, said: ExternalSubscription) -> datetime:
    if said.starts_at is not None:
        return said.starts_at
    return next((purchase.purchased_at for purchase in _periods(known) if purchase.expires_at == said.ends_at), said.as_of)


def transaction_of(known: Line | None, said: ExternalSubscription) -> str:
    """Which purchase a payment that came with this word is for."""
    period = period_of(known, said)
    return period.transaction if period else f"{said.line}:{to_ms(start_of(known, said))}"


def _is_unpaid(said: ExternalSubscription) -> bool:
    return said.status in ("in_grace_period", "in_billing_retry")


def _periods(known: Line | None) -> list[Purchase]:
    return [held.purchase for held in known.held] if known else []


def _period(known: Line | None, said: ExternalSubscription) -> Purchase:
    start, before = start_of(known, said), period_of(known, said)
    others = [purchase for purchase in _periods(known) if purchase is not before]
    earlier = [purchase for purchase in others if purchase.purchased_at < start]
    end = max(start, said.ends_at if said.gives_access else min(said.ends_at, said.as_of))
    for later in others:
        if later.purchased_at > start and later.expires_at is not None and later.expires_at <= end:
            raise PeriodsOverlap(later.transaction)
    return Purchase(
        transaction=transaction_of(known, said),
        product=said.product,
        kind="subscription",
        purchased_at=start,
        expires_at=min([end, *(later.purchased_at for later in others if later.purchased_at > start)]),
        as_of=said.as_of,
        is_first=before.is_first if before else not others,
        is_renewal=before.is_renewal if before else bool(earlier) and _follows(earlier[-1], said.product, start),
        period_type="trial" if said.status == "trialing" else before.period_type if before and said.status != "active" else "normal",
    )


def _follows(last: Purchase, product: str, start: datetime) -> bool:
    """Charged by itself when the last period was over. One that begins within it took its place."""
    return last.product == product and last.expires_at is not None and last.expires_at <= start


def _cut_short(period: Purchase, moment: datetime) -> tuple[Purchase, ...]:
    if period.expires_at is not None and period.expires_at <= moment:
        return ()
    return (replace(period, expires_at=max(period.purchased_at, moment), as_of=max(moment, period.as_of + _A_MOMENT)),)


def _unpaid(said: ExternalSubscription, period: Purchase) -> Renewal:
    """That it will not renew is what the unpaid bill says already, not a change of mind."""
    return Renewal(
        as_of=said.as_of,
        transaction=period.transaction,
        auto_renew=None,
        in_billing_retry=True,
        grace_until=said.ends_at if said.gives_access else None,
    )


def _standing(known: Line | None, said: ExternalSubscription, purchase: Purchase) -> Renewal | None:
    auto_renew = _WILL_RENEW.get(said.auto_renewal)
    renewal = Renewal(
        as_of=said.as_of,
        transaction=purchase.transaction,
        auto_renew=auto_renew,
        off_reason="unsubscribe" if auto_renew is False else None,
        in_billing_retry=_is_unpaid(said),
        grace_until=said.ends_at if said.status == "in_grace_period" and said.gives_access else None,
        ended=_end_reason(known, said, auto_renew, purchase),
        price_consent="pending" if said.auto_renewal == "requires_price_increase_consent" else None,
        pause="in_force" if said.status == "paused" else "scheduled" if said.auto_renewal == "will_pause" else None,
    )
    says_nothing = replace(renewal, as_of=said.as_of, auto_renew=None) == Renewal(as_of=said.as_of, transaction=purchase.transaction, auto_renew=None)
    return None if auto_renew is None and says_nothing else renewal


def _end_reason(known: Line | None, said: ExternalSubscription, auto_renew: bool | None, purchase: Purchase) -> EndReason | None:
    if said.status == "paused" and not said.gives_access:
        return "subscription_paused"
    if said.status != "expired":
        return None
    words = [one for one in (known.renewals if known else ()) if one.transaction == purchase.transaction]
    if words and words[-1].in_billing_retry:
        return "billing_error"
    return "unsubscribe" if auto_renew is False else "unknown"


def _statement(known: Line | None, said: ExternalSubscription, purchases: tuple[Purchase, ...], renewal: Renewal | None) -> Statement:
    return Statement(
        store="external",
        environment=said.environment,
        line=said.line,
        purchases=purchases,
        renewals=(renewal,) if renewal is not None else (),
        noted=_noted(said),
    )


def _noted(said: ExternalSubscription | ExternalPurchase) -> Noted | None:
    return None if said.metadata is None else Noted(as_of=said.as_of, words=said.metadata)


# One-time purchases -----------------------------------------------------------------------------------------------------------


def purchase_statement(known: Line | None, said: ExternalPurchase, payments: Sequence[Payment]) -> Statement:
    before = known.held[0].purchase if known else None
    began = [payment.paid_at for payment in payments if payment.gross.amount > 0]
    purchase = Purchase(
        transaction=said.line,
        product=said.product,
        kind=said.kind,
        purchased_at=before.purchased_at if before else min([*began, said.as_of]),
        expires_at=None,
        as_of=said.as_of,
        is_first=True,
        is_renewal=False,
        revocation=_taken_back(before, said.as_of) if said.is_refunded else None,
    )
    return Statement(store="external", environment=said.environment, line=said.line, purchases=(purchase,), noted=_noted(said))


def _taken_back(before: Purchase | None, moment: datetime) -> Revocation:
    """Gives back what was not given back yet."""
    if before is None or before.price is None or before.price.amount == 0:
        return Revocation(at=moment, refunded=True)
    given_back = sum(refund.amount.amount for refund in before.refunds if not refund.is_reversed)
    share = max(0, round(Fraction(before.price.amount - given_back, before.price.amount) * 1_000_000))
    return Revocation(at=moment, refunded=share > 0, share_ppm=share)


# Payments ---------------------------------------------------------------------------------------------------------------------


def paid_period(known: Line, moment: datetime) -> str:
    """Which purchase a payment that came alone is for: the one that ran when it was processed, else the first there is."""
    begun = [purchase.transaction for purchase in _periods(known) if purchase.purchased_at <= moment]
    return begun[-1] if begun else known.held[0].purchase.transaction


def with_payments(known: Line | None, statement: Statement, transaction: str, payments: Sequence[Payment]) -> Statement:
    """The statement with what was paid for one of its purchases in all. `payments` are those of the transaction, in one currency."""
    before = next((purchase for purchase in _periods(known) if purchase.transaction == transaction), None)
    said = next((purchase for purchase in statement.purchases if purchase.transaction == transaction), None)
    base = newer(before, said) if before and said else before or said
    if base is None or not payments:
        return statement
    paid = _paid(base, payments)
    if paid == base:
        return statement
    if before is not None:
        paid = replace(paid, as_of=max(paid.as_of, before.as_of) + _A_MOMENT)
    return replace(statement, purchases=(*(one for one in statement.purchases if one is not said), paid))


def _paid(purchase: Purchase, payments: Sequence[Payment]) -> Purchase:
    charges = [payment for payment in payments if payment.gross.amount >= 0]
    refunds = [payment for payment in payments if payment.gross.amount < 0]
    country = next((payment.country for payment in payments if payment.country), None)
    period_type, offer = _offer(purchase, charges)
    return replace(
        purchase,
        period_type=period_type,
        offer=offer,
        price=_sum([payment.gross for payment in charges]) or purchase.price,
        tax=_sum([payment.tax for payment in charges]) or purchase.tax,
        commission=_sum([payment.commission for payment in charges]) or purchase.commission,
        country=purchase.country or country,
        refunds=purchase.refunds if purchase.revocation else _refunds(refunds),
    )


def _offer(purchase: Purchase, charges: Sequence[Payment]) -> tuple[PeriodType, Offer | None]:
    """Under which offer the purchase was paid, by the last payment that names one, and what it makes of the period."""
    named = [payment for payment in charges if payment.offer_type is not None]
    if not named or named[-1].offer_type is None:
        return purchase.period_type, purchase.offer
    kind, period_type = _OFFERS[named[-1].offer_type]
    is_period = purchase.kind == "subscription" and period_type is not None
    return (period_type if is_period and period_type else purchase.period_type), Offer(kind=kind, identifier=named[-1].offer)


def _sum(amounts: Sequence[Money]) -> Money | None:
    return Money(amount=sum(money.amount for money in amounts), currency=amounts[0].currency) if amounts else None


def _refunds(payments: Sequence[Payment]) -> tuple[Refund, ...]:
    made = [Refund(identifier=payment.identifier, at=payment.paid_at, amount=-payment.gross) for payment in payments]
    return tuple(sorted(made, key=lambda refund: refund.identifier))

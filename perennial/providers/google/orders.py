"""What an order of Google Play says of one charge: its span, its money, what was given back, and the phase it paid for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction

from perennial.base.errors import Invalid
from perennial.base.money import Money
from perennial.base.reading import country
from perennial.base.time import to_ms
from perennial.base.value import replace, value
from perennial.providers.google.payload import Order, OrderItem, SubscriptionDetails, millis, moment, moment_or_none, money
from perennial.subscriptions.model import PeriodType, Purchase, Refund, Revocation

PAID = frozenset(("PROCESSED", "PENDING_REFUND", "PARTIALLY_REFUNDED", "REFUNDED"))  # not PENDING, nor CANCELED before it was paid

_STATES = PAID | {"PENDING", "CANCELED", "STATE_UNSPECIFIED"}
_PHASES: Mapping[str, PeriodType] = {"FREE_TRIAL": "trial", "INTRODUCTORY": "intro", "BASE": "normal"}


@value
class Voided:
    """What a voided purchase says of itself, where the order cannot be had or lags behind."""

    order_id: str
    at: datetime
    is_full: bool


@value
class Charge:
    """One product's part of an order."""

    order_id: str
    product: str  # `subscription:base_plan`, or the one-time product's id
    starts_at: datetime | None
    ends_at: datetime | None  # the service period's, as it was when the order was processed: extensions do not show
    price: Money | None
    tax: Money | None
    commission: Money | None
    phase: PeriodType | None  # None where the order does not say
    offer: str | None
    country: str | None
    refunds: tuple[Refund, ...]
    is_part: bool = False  # of a period's price, by the order's own word
    ends_trial: bool = False  # a part, paid for within a trial, which it ends
    listed: Money | None = None  # what a whole period is listed for


def is_renewal_order(order_id: str) -> bool:
    """The first order of a token is plain, its renewals are numbered from 0: `GPA.1-2-3-4`, `GPA.1-2-3-4..0`, `GPA.1-2-3-4..1`."""
    return ".." in order_id


def first_order(order_id: str) -> str:
    return order_id.split("..")[0]


def orders_before(order_id: str) -> list[str]:
    """The numbered orders that came before it, oldest first."""
    first, _, number = order_id.partition("..")
    if not (number.isascii() and number.isdigit() and len(number) <= 5):
        return []
    return [first, *(f"{first}..{index}" for index in range(int(number)))]


def voided_hint(order_id: str, at: datetime, *, is_full: bool) -> str:
    """How a question says that it is put because an order was voided."""
    return f"voided {order_id} {to_ms(at)} {'full' if is_full else 'part'}"


def voided_of(hint: str) -> dict[str, Voided]:
    """By order, of all that made us ask."""
    told = [line.split(" ") for line in hint.split("\n")]
    return {
        parts[1]: Voided(order_id=parts[1], at=millis(parts[2], "voidedTimeMillis"), is_full=parts[3] == "full")
        for parts in told
        if parts[0] == "voided" and len(parts) == 4
    }


def charge(order: Order, part: OrderItem, voided: Mapping[str, Voided]) -> Charge:
    """Raises `Invalid` for a moment or an amount that is none."""
    if not order.order_id:
        raise Invalid("Google's order lacks `orderId`", param="orderId")
    details = part.subscription_details or SubscriptionDetails()
    price = money(part.total, "total") or (money(order.total, "total") if len(order.line_items) == 1 else None)
    tax = money(part.tax, "tax") or (money(order.tax, "tax") if len(order.line_items) == 1 else None)
    plan = f":{details.base_plan_id}" if details.base_plan_id else ""
    return Charge(
        order_id=order.order_id,
        product=(part.product_id or "") + plan,
        starts_at=moment_or_none(details.service_period_start_time, "servicePeriodStartTime") or moment_or_none(order.create_time, "createTime"),
        ends_at=moment_or_none(details.service_period_end_time, "servicePeriodEndTime"),
        price=price,
        tax=tax if price is not None and tax is not None and tax.currency == price.currency else None,
        commission=_commission(order, price),
        phase=_phase(details, price),
        offer=details.offer_id,
        country=country(order.buyer_address.buyer_country) if order.buyer_address is not None else None,
        refunds=_refunds(order, price, voided.get(order.order_id)),
        is_part=_proration_of(details) is not None,
        ends_trial=_proration_of(details) == "FREE_TRIAL" and price is not None and price.amount > 0,
        listed=money(part.listing_price, "listingPrice"),
    )


def _phase(details: SubscriptionDetails, price: Money | None) -> PeriodType | None:
    """A plan changed within a trial goes on as its trial only while nothing was paid for it."""
    said = details.offer_phase_details
    if said is None:
        return _PHASES.get(details.offer_phase or "")
    if said.free_trial_details is not None:
        return "trial"
    if said.introductory_price_details is not None:
        return "intro"
    if said.proration_period_details is not None:
        original = _PHASES.get(said.proration_period_details.original_offer_phase or "", "normal")
        return "normal" if original == "trial" and price is not None and price.amount else original
    return "normal" if said.base_details is not None else None


def _proration_of(details: SubscriptionDetails) -> str | None:
    """The phase that a proration period goes on in; None for any other charge."""
    said = details.offer_phase_details
    prorated = said.proration_period_details if said is not None else None
    return None if prorated is None else prorated.original_offer_phase or ""


def _commission(order: Order, price: Money | None) -> Money | None:
    """What Google kept: the total without tax and without the developer's revenue. Refunds lower that revenue, so after one it no longer tells."""
    total, revenue = money(order.total, "total"), money(order.developer_revenue_in_buyer_currency, "developerRevenueInBuyerCurrency")
    if price is None or total is None or revenue is None or order.state != "PROCESSED":
        return None
    tax = money(order.tax, "tax") or Money(amount=0, currency=total.currency)
    if not price.currency == total.currency == revenue.currency == tax.currency:
        return None
    kept = total - tax - revenue
    if kept.amount < 0:
        return None
    return _share(kept, price, total)


def _refunds(order: Order, price: Money | None, voided: Voided | None) -> tuple[Refund, ...]:
    """What was given back of this part. The full refund after partial ones is what was left."""
    if price is None or not price.amount:
        return ()
    total = money(order.total, "total") or price
    history, refunds = order.order_history, []
    for event in history.partial_refund_events if history is not None else ():
        amount = money(event.refund_details.total, "refundDetails.total") if event.refund_details is not None else None
        if event.state != "PROCESSED_SUCCESSFULLY" or amount is None or amount.amount <= 0 or amount.currency != price.currency:
            continue
        times = [moment_or_none(text, "partialRefundEvents.createTime") for text in (event.create_time, event.process_time)]
        created, at = times[0] or times[1], times[1] or times[0]
        if created is None or at is None:
            raise Invalid("Google's order does not say when it was refunded", param="partialRefundEvents.createTime")
        refunds.append(Refund(identifier=f"{order.order_id}|{to_ms(created)}", at=at, amount=_share(amount, price, total)))
    if (full_at := _refunded_at(order, voided)) is not None:
        rest = price.amount - sum(refund.amount.amount for refund in refunds)
        if rest > 0:
            refunds.append(Refund(identifier=f"{order.order_id}|full", at=full_at, amount=Money(amount=rest, currency=price.currency)))
    return tuple(sorted(refunds, key=lambda refund: refund.identifier))


def _refunded_at(order: Order, voided: Voided | None) -> datetime | None:
    event = order.order_history.refund_event if order.order_history is not None else None
    refunded_at = moment_or_none(event.event_time, "refundEvent.eventTime") if event is not None else None
    if refunded_at is not None:
        return refunded_at
    if order.state == "REFUNDED":
        return moment_or_none(order.last_event_time, "lastEventTime") or moment(order.create_time, "createTime")
    return voided.at if voided is not None and voided.is_full else None


def refunds_without_order(held: Purchase | None, voided: Voided | None) -> tuple[Refund, ...]:
    """Where the order cannot be had: what we heard of, and all of the rest once it is voided."""
    if held is None:
        return ()
    identifier, given = f"{held.transaction}|full", sum(refund.amount.amount for refund in held.refunds)
    is_voided = voided is not None and voided.is_full and voided.order_id == held.transaction and held.revocation is None
    if voided is None or not is_voided or held.price is None or held.price.amount <= given:
        return held.refunds
    rest = Money(amount=held.price.amount - given, currency=held.price.currency)
    return (*held.refunds, Refund(identifier=identifier, at=voided.at, amount=rest))


def _share(amount: Money, part: Money, whole: Money) -> Money:
    """Of what an order of several products says as a whole, the part of one of them."""
    if part == whole or not whole.amount:
        return amount
    return amount.times(Fraction(part.amount, whole.amount))


def given_back(bought: Purchase, held: Purchase | None, refunds: Sequence[Refund], taken_at: datetime | None) -> Purchase:
    """Money is always a refund of its own, whether or not access was taken back with it: so two answers never give it back twice.

    But for what moved in from elsewhere as a revocation that gave money back: it stays so.
    """
    if taken_at is None:
        return replace(bought, revocation=None, refunds=tuple(refunds))
    if held is not None and held.revocation is not None and held.revocation.refunded:
        apart = {refund.identifier for refund in held.refunds}
        known = tuple(refund for refund in refunds if refund.identifier in apart)
        return replace(bought, revocation=replace(held.revocation, at=taken_at), refunds=known)
    return replace(bought, revocation=Revocation(at=taken_at, refunded=False), refunds=tuple(refunds))

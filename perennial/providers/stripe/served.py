"""What a subscription serves by its status and its items' current period, where no paid invoice says so: pure. `read` says which rules are ours."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from perennial.base import reading
from perennial.base.money import Money
from perennial.base.value import replace, value
from perennial.providers.stripe.accounts import Account, moment
from perennial.providers.stripe.money import money, readable
from perennial.providers.stripe.payload import Invoice, InvoiceLine, Period, Price, Subscription, id_of
from perennial.providers.stripe.renewing import collected_by, end_of
from perennial.providers.stripe.slots import Found, Slot, in_order, lines_of
from perennial.subscriptions.model import SAME_MOMENT, Line, Purchase, is_stand_in, stand_in

SERVED = frozenset(("active", "trialing"))
_SAME = int(SAME_MOMENT.total_seconds())
_MONTH = 31 * 86_400
_ON_CREDIT = frozenset(("draft", "open"))
_GIVEN_UP = frozenset(("void", "uncollectible"))


def line_key(found: Found, slot: Slot) -> str:
    return found.subscription.id + (f"#{slot.suffix}" if slot.suffix else "")


def is_stopped(subscription: Subscription) -> bool:
    """Whether collection is paused in the way that stops the service."""
    return subscription.pause_collection is not None and subscription.pause_collection.behavior == "void"


# Usage, billed when it was served ---------------------------------------------------------------------------------------------------


@value
class Usage:
    """What an invoice bills of one thing's use in the past: the period it was used in, and the period that opened then."""

    period: Period
    opened: Period | None


def is_usage(found: Found, invoice: Invoice, line: InvoiceLine) -> bool:
    """Whether a line bills what was served before its invoice was made. What is metered is billed so, but for the invoice that begins it."""
    if line.is_proration or line.period is None or line.period.end <= line.period.start:
        return False
    of_item = next((item for item in found.subscription.items.data if item.id == line.item), None)
    prices = [price for price in (line.price, line.plan) if price is not None]
    is_metered = (of_item is not None and of_item.is_metered) or any(price.is_metered for price in prices)
    return line.period.end <= invoice.created or (is_metered and invoice.billing_reason != "subscription_create")


def usage_of(found: Found, slot: Slot, invoice: Invoice) -> Usage | None:
    period = _used(found, slot, invoice)
    return Usage(period=period, opened=_opened(found, slot, period)) if period is not None else None


def _used(found: Found, slot: Slot, invoice: Invoice) -> Period | None:
    periods = [line.period for line in lines_of(found, slot, invoice) if line.period is not None and is_usage(found, invoice, line)]
    return max(periods, key=lambda period: (period.end, period.start), default=None)


def _opened(found: Found, slot: Slot, used: Period) -> Period | None:
    """The period that begins as the one that was used ends: the next that is billed, else the one that runs. None where the subscription was over."""
    subscription = found.subscription
    if subscription.ended_at is not None and subscription.ended_at <= used.end + _SAME:
        return None
    billed = (_used(found, slot, invoice) for invoice in in_order(found.invoices))
    running = subscription.period(slot.item) if slot.item is not None else None
    return next((period for period in (*billed, running) if period is not None and abs(period.start - used.end) <= _SAME), None)


def bill(invoice: Invoice, transaction: str, product: str, used: Period, account: Account, as_of: datetime) -> Purchase:
    """Money alone, of the last moment of what was used."""
    at = moment(max(used.start, used.end - 1))
    return Purchase(
        transaction=transaction,
        product=product,
        kind="subscription",
        purchased_at=at,
        expires_at=at,
        as_of=as_of,
        is_first=False,
        is_renewal=False,
        is_proration=True,
        charged_ppm=0,
        price=readable(account.price),
        tax=readable(account.tax),
        commission=readable(account.commission),
        country=account.country,
        refunds=account.refunds,
    )


# A list that is cut -----------------------------------------------------------------------------------------------------------------


def cut_line(found: Found, slot: Slot, invoice: Invoice) -> InvoiceLine | None:
    """What stands for the lines of a paid invoice that an event left out, where those it shows end before the invoice was made.

    Nothing tells the end of what was paid, so none is concluded from the lines that are there: a month is taken for it, or the longest period shown,
    until the subscription itself says more.
    """
    shown = [line for line in lines_of(found, slot, invoice) if line.period is not None]
    periods = [line.period for line in shown if line.period is not None]
    is_of_period = invoice.billing_reason in ("subscription_create", "subscription_cycle")
    if not (found.is_told and invoice.lines.has_more and is_of_period and periods) or any(one.end > invoice.created for one in periods):
        return None
    longest = max(one.end - one.start for one in periods)
    begins = max(one.end for one in periods)
    product = next((line.product for line in shown if line.product), None)
    return InvoiceLine(
        id=invoice.id,
        amount=sum(line.amount for line in shown),
        period=Period(start=begins, end=begins + max(_MONTH, longest)),
        price=Price(product=product),
        subscription_item=slot.suffix or None,
    )


# Periods without a charge -----------------------------------------------------------------------------------------------------------


def is_served(found: Found, slot: Slot, invoice: Invoice, end: int) -> bool:
    """Whether the running period is served though its invoice is not paid: collection was given up, or the first invoice may be paid later."""
    subscription = found.subscription
    running = subscription.period(slot.item) if slot.item is not None else None
    if subscription.status not in SERVED or is_stopped(subscription) or running is None or abs(running.end - end) > _SAME:
        return False
    return invoice.status in _GIVEN_UP or (invoice.status in _ON_CREDIT and invoice.billing_reason == "subscription_create")


def uncharged(
    found: Found, slot: Slot, period: Period, as_of: datetime, *, is_first: bool, product: str | None, currency: str | None = None
) -> Purchase | None:
    """A period that is served for nothing, as far as is known. None where nobody says of which product."""
    subscription, item = found.subscription, slot.item
    if not product:
        return None
    price = (item.price or item.plan) if item is not None else None
    currency = currency or (price.currency if price is not None else None) or subscription.currency
    trial = _trial_end(subscription, period)
    invoice = _creating_invoice(found, period) if found.is_told else None
    start = moment(period.start)
    return Purchase(
        transaction=(invoice + (f":{slot.suffix}" if slot.suffix else "")) if invoice else stand_in(line_key(found, slot), start),
        product=product,
        kind="subscription",
        purchased_at=start,
        expires_at=moment(trial or period.end),
        as_of=as_of,
        is_first=is_first,
        is_renewal=not is_first,
        period_type="trial" if trial else "normal",
        price=_nothing(currency) if not found.is_told or id_of(subscription.latest_invoice) is None else None,
        quantity=reading.quantity((item.quantity if item is not None else None) or None),
        is_summary=found.is_told,
    )


def _nothing(currency: str | None) -> Money | None:
    return readable(money(0, currency)) if currency else None


def _trial_end(subscription: Subscription, period: Period) -> int | None:
    """The end of the trial that a period is of."""
    start, end = subscription.trial_start, subscription.trial_end
    return end if start is not None and end is not None and start <= period.start < end else None


def begins_subscription(subscription: Subscription, period: Period) -> bool:
    began = subscription.start_date or subscription.created
    return abs(period.start - began) <= _SAME or abs(period.start - subscription.created) <= _SAME


def _creating_invoice(found: Found, period: Period) -> str | None:
    """The invoice of the first period: its payment, told by itself, goes by that name."""
    return id_of(found.subscription.latest_invoice) if begins_subscription(found.subscription, period) else None


def remembered(found: Found, slot: Slot, held: Line | None, as_of: datetime) -> Iterator[Purchase]:
    """Periods without a charge that we know of: no answer of Stripe's tells those that are over."""
    for one in held.held if held is not None else ():
        if is_stand_in(line_key(found, slot), one.purchase.transaction):
            yield replace(one.purchase, as_of=as_of)


def with_running(found: Found, slot: Slot, stated: Sequence[Purchase], as_of: datetime) -> list[Purchase]:
    """With the period that runs, where the subscription's status serves it and nothing that was billed covers it."""
    purchases, subscription = list(stated), found.subscription
    running = subscription.period(slot.item) if slot.item is not None else None
    if running is None or subscription.status not in SERVED or is_stopped(subscription) or subscription.ended_at is not None:
        return purchases
    named = stand_in(line_key(found, slot), moment(running.start))
    until = moment(_trial_end(subscription, running) or running.end)
    purchases = [replace(one, expires_at=until) if one.transaction == named else one for one in purchases]
    before = [one for one in purchases if not one.gives_no_time and one.purchased_at < moment(running.end)]
    last = max(before, key=lambda one: (one.purchased_at, one.transaction), default=None)
    covered_until = max((end_of(one) for one in before), default=None)
    if covered_until is None or last is None or covered_until <= moment(running.start) + SAME_MOMENT:
        if last is None or not _is_being_collected(found, slot, last, as_of):
            is_first = last is None and (found.is_whole or begins_subscription(subscription, running))
            product = slot.item.product if slot.item is not None else None
            served = uncharged(found, slot, running, as_of, is_first=is_first, product=product)
            purchases += [served] if served is not None else []
    elif covered_until < moment(running.end) - SAME_MOMENT and not _is_awaited(found, slot, running) and last.period_type == "normal":
        purchases[purchases.index(last)] = replace(last, expires_at=moment(running.end))
    return purchases


def _is_being_collected(found: Found, slot: Slot, last: Purchase, as_of: datetime) -> bool:
    """Whether a renewal's payment is under way: grace serves until it was tried."""
    waiting = [one for one in found.invoices if one.billing_reason == "subscription_cycle" and one.status in _ON_CREDIT]
    return any(lines_of(found, slot, one) for one in waiting) and collected_by(found, last, as_of) is not None


def _is_awaited(found: Found, slot: Slot, running: Period) -> bool:
    """Whether an invoice that is not paid yet is what makes the running period longer."""
    waiting = [one for one in found.invoices if one.status in _ON_CREDIT]
    ends = [line.period.end for one in waiting for line in lines_of(found, slot, one) if line.period is not None]
    return any(abs(end - running.end) <= _SAME for end in ends)

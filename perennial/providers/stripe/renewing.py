"""How a subscription goes on, by the status Stripe gives it. Pure. `read` says which rules are ours."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from perennial.base.reading import note
from perennial.base.value import replace
from perennial.providers.stripe.accounts import moment
from perennial.providers.stripe.payload import Invoice, InvoiceLine, Price, Schedule, Subscription, id_of, whole
from perennial.providers.stripe.slots import Found, Slot, in_order
from perennial.subscriptions.model import EndReason, Purchase, Renewal

PAST_DUE = ("grace", "end", "keep")
AFTER_ATTEMPT = timedelta(hours=1)  # an attempt is made about its time, and its outcome takes a while to reach us
PAYMENT_UNDER_WAY = timedelta(days=1)  # debits take days, and Stripe gives no date; the store is asked again when this has passed

_A_MOMENT = timedelta(microseconds=1)
_ENDED = ("canceled", "incomplete_expired")
_STATUSES = frozenset(("active", "trialing", "past_due", "unpaid", "paused", "incomplete", *_ENDED))
_REASONS: dict[str, EndReason] = {
    "cancellation_requested": "unsubscribe",
    "payment_failed": "billing_error",
    "payment_disputed": "customer_support",
    "canceled_by_retention_policy": "developer",
}


def renewal(found: Found, slot: Slot, billed: Sequence[Purchase], as_of: datetime, past_due: str, *, since: datetime | None = None) -> Renewal | None:
    """None where Stripe has nothing to go on: never paid or tried, or only an invoice was told.

    `since`: the moment since which we know that Stripe serves it no more, where we do.
    """
    subscription = found.subscription
    purchases = [one for one in billed if not one.gives_no_time]
    if not subscription.status or subscription.status == "incomplete" or (not purchases and found.is_whole):
        return None
    if not purchases and subscription.status == "incomplete_expired" and not found.is_told:
        return None
    if subscription.status not in _STATUSES:
        note("status", subscription.status)  # nothing is concluded from it: what was paid for goes on to its end
        return None
    last = max(purchases, key=lambda one: (one.purchased_at, one.transaction)) if purchases else None  # the order lines are kept in
    is_over = last is None or end_of(last) <= as_of
    auto_renew = _will_renew(subscription, slot, last)
    plain = Renewal(
        as_of=as_of,
        transaction=last.transaction if last is not None else "",
        auto_renew=auto_renew,
        next_product=_next_product(subscription, slot, last, as_of),
        off_reason=None if auto_renew else _off_reason(subscription),
    )
    match subscription.status:
        case "past_due":
            on_credit = last is not None and _is_on_credit(found, last)
            failing = _past_due(found, slot, plain, past_due, is_over=is_over or on_credit)
            return replace(failing, ended_at=since or as_of) if on_credit and not is_over and failing.ended is not None else failing
        case "unpaid":
            return replace(plain, in_billing_retry=True, ended="billing_error", ended_at=_since(found, is_over=is_over, since=since or as_of))
        case "paused":
            paused = _paused(plain, None, is_over=True)
            return replace(paused, ended_at=_since(found, is_over=is_over, since=since or as_of))
        case "canceled" | "incomplete_expired":
            ended_at = moment(subscription.ended_at) if subscription.ended_at is not None else since or as_of
            return replace(plain, ended=_end_reason(subscription, last), ended_at=ended_at if found.is_told else None)
    pause = subscription.pause_collection
    if pause is not None and pause.behavior == "void":
        return _paused(plain, pause.resumes_at, is_over=is_over)
    if not auto_renew:
        return plain
    return replace(plain, grace_until=_served_until(found, slot) if found.is_told else collected_by(found, last, as_of))


def _since(found: Found, *, is_over: bool, since: datetime) -> datetime | None:
    """Said where a period that was paid for would run on; an event alone does not know whether one does."""
    return since if found.is_told or not is_over else None


def _served_until(found: Found, slot: Slot) -> datetime | None:
    """The end of the period that runs: Stripe serves it whether or not it was paid by now, until it says otherwise."""
    running = found.subscription.period(slot.item) if slot.item is not None else None
    return moment(running.end) if running is not None else None


def end_of(purchase: Purchase) -> datetime:
    assert purchase.expires_at is not None, "a subscription's period ends"
    return purchase.expires_at


def _will_renew(subscription: Subscription, slot: Slot, last: Purchase | None) -> bool:
    """A cancellation planned for later than the next renewal does not stop that one."""
    if subscription.ended_at is not None or subscription.status in _ENDED or subscription.cancel_at_period_end:
        return False
    if slot.item is None and subscription.items.data and not subscription.items.has_more:
        return False  # what this line sold was taken off the subscription
    if subscription.cancel_at is None:
        return True
    period_end = subscription.period_end(slot.item)
    ends = [*([moment(period_end)] if period_end is not None else []), *([end_of(last)] if last is not None else [])]
    return bool(ends) and moment(subscription.cancel_at) > max(ends)


def _off_reason(subscription: Subscription) -> EndReason:
    said = subscription.cancellation_details.reason if subscription.cancellation_details is not None else None
    return _REASONS.get(said or "cancellation_requested", "unknown")


def _end_reason(subscription: Subscription, last: Purchase | None) -> EndReason:
    """Ended with its money given back: the seller's act, whatever Stripe calls it."""
    given = sum(one.amount.amount for one in last.refunds if not one.is_reversed) if last is not None else 0
    if last is not None and last.price is not None and 0 < last.price.amount <= given:
        return "customer_support"
    return _off_reason(subscription)


def _past_due(found: Found, slot: Slot, plain: Renewal, policy: str, *, is_over: bool) -> Renewal:
    period_end = found.subscription.period_end(slot.item)
    attempt = max((invoice.next_payment_attempt or 0 for invoice in found.invoices if invoice.status == "open"), default=0)
    until: datetime | None = None
    if policy == "keep" and period_end is not None:
        until = moment(period_end)
    elif policy == "grace" and attempt:
        until = moment(attempt) + AFTER_ATTEMPT
    has_ended = until is None and is_over and (found.is_whole or policy == "end")
    return replace(plain, in_billing_retry=True, grace_until=until, ended="billing_error" if has_ended else None)


def failed_renewal(line: InvoiceLine | None, invoice: Invoice, as_of: datetime, policy: str) -> Renewal:
    """By an invoice alone. It is kept beside the subscription's own word, which is said in the same second."""
    until: datetime | None = as_of
    if policy == "keep":
        until = moment(line.period.end) if line is not None and line.period is not None else None
    elif policy == "grace" and invoice.next_payment_attempt:
        until = moment(invoice.next_payment_attempt) + AFTER_ATTEMPT
    return Renewal(as_of=as_of + _A_MOMENT, transaction="", auto_renew=True, in_billing_retry=True, grace_until=until)


def _is_on_credit(found: Found, last: Purchase) -> bool:
    """Whether a period is served of which an invoice is still to be paid."""
    invoice = last.transaction.partition(":")[0]
    return any(one.id == invoice and not one.is_paid for one in found.invoices)


def _paused(plain: Renewal, resumes_at: int | None, *, is_over: bool) -> Renewal:
    return replace(
        plain,
        pause="in_force" if is_over else "scheduled",
        resumes_at=moment(resumes_at) if resumes_at is not None else None,
        ended="subscription_paused" if is_over else None,
    )


def collected_by(found: Found, last: Purchase | None, as_of: datetime) -> datetime | None:
    """By when a renewal's payment that is not made yet will have been tried; None where none is under way."""
    waiting = [one for one in in_order(found.invoices) if one.billing_reason == "subscription_cycle" and one.status in ("draft", "open")]
    if not waiting or (last is not None and moment(waiting[-1].created) < last.purchased_at):
        return None
    planned = waiting[-1].next_payment_attempt or waiting[-1].due_date
    return max(moment(planned) + AFTER_ATTEMPT, as_of) if planned is not None else as_of + PAYMENT_UNDER_WAY


def _next_product(subscription: Subscription, slot: Slot, last: Purchase | None, as_of: datetime) -> str | None:
    """The product of a planned change: of a period that waits to be paid, of an update that does, or of a schedule's next phase."""
    present = slot.item.product if slot.item is not None else last.product if last is not None else None
    if last is not None and present != last.product:
        return present
    waiting = subscription.pending_update.subscription_items if subscription.pending_update is not None else None
    planned = [item.product for item in waiting or []] or _next_phase(subscription, whole(subscription.schedule), as_of)
    if present is None or present in planned:
        return None
    others = {item.product for item in subscription.items.data}
    return next((product for product in planned if product is not None and product not in others), None)


def _next_phase(subscription: Subscription, schedule: Schedule | None, as_of: datetime) -> list[str | None]:
    if schedule is None or schedule.status not in ("active", "not_started", None):
        return []
    ahead = sorted((phase for phase in schedule.phases if moment(phase.start_date) > as_of), key=lambda phase: phase.start_date)
    known = {id_of(item.price): item.product for item in subscription.items.data}
    return [_product_of(item.price, known) for item in ahead[0].items] if ahead else []


def _product_of(price: str | Price | None, known: dict[str | None, str | None]) -> str | None:
    """A price that was not expanded has a product we know only where the subscription has it already."""
    expanded = whole(price)
    return id_of(expanded.product) if expanded is not None else known.get(id_of(price))

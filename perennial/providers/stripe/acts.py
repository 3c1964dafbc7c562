"""Acting at Stripe: cancel, refund, revoke, move the renewal, change the plan. Our act's id is the idempotency key, so twice does no harm."""

from datetime import datetime, timedelta

from perennial.base.errors import NotFound
from perennial.base.money import Money
from perennial.base.time import EPOCH, from_ms
from perennial.intake.model import Act, CannotAct, Question, Reading, StoreApp
from perennial.providers.stripe.api import Fields, Refused, StripeApi, path_of
from perennial.providers.stripe.changing import change
from perennial.providers.stripe.money import money, to_stripe
from perennial.providers.stripe.payload import Identified, Invoice, InvoicePayment, Page, PaymentIntent, Subscription, id_of

MOST_PAYMENTS = 10  # pages of a hundred, of one invoice

_ALREADY_DONE = frozenset(("charge_already_refunded",))


async def act(api: StripeApi, app: StoreApp, wanted: Act, now: datetime) -> Reading:
    """Raises `CannotAct` with Stripe's words where it refuses for good."""
    try:
        match wanted.kind:
            case "cancel":
                await _update(api, app, wanted, (("cancel_at_period_end", "true"),))
            case "refund":
                await _refund(api, app, wanted)
            case "revoke":
                await _revoke(api, app, wanted)
            case "extend" | "defer":
                await _move_renewal(api, app, wanted, now)
            case "change":
                await change(api, app, wanted)
            case "acknowledge":
                raise CannotAct("nothing needs to be acknowledged at Stripe")
    except Refused as error:
        raise CannotAct(error.message) from error
    except NotFound as error:
        raise CannotAct(error.message) from error
    return Reading(questions=(Question(environment=wanted.environment, subject=wanted.subject, hint=wanted.kind),))


async def _update(api: StripeApi, app: StoreApp, wanted: Act, form: Fields) -> None:
    await api.post(app, path_of("subscriptions", _subscription(wanted)), Subscription, form, key=wanted.act_id)


def _subscription(wanted: Act) -> str:
    subscription = wanted.subject.partition("#")[0]
    if not subscription.startswith("sub_"):
        raise CannotAct(f"{wanted.subject!r} is a one-time payment: there is no subscription to {wanted.kind}")
    return subscription


async def _revoke(api: StripeApi, app: StoreApp, wanted: Act) -> None:
    """The money first: a subscription that is gone can still be refunded, but whoever sees it end should find the refund there."""
    await _refund(api, app, wanted)
    if wanted.subject.startswith("sub_"):
        try:
            path = path_of("subscriptions", _subscription(wanted))
            await api.delete(app, path, Subscription, (("invoice_now", "false"), ("prorate", "false")), key=f"{wanted.act_id}-cancel")
        except NotFound:
            return  # it had ended already


async def _move_renewal(api: StripeApi, app: StoreApp, wanted: Act, now: datetime) -> None:
    """By a trial without proration: Stripe charges next when it ends."""
    subscription = await api.get(app, path_of("subscriptions", _subscription(wanted)), Subscription)
    if subscription.status not in ("active", "trialing"):
        raise CannotAct(f"the subscription is {subscription.status}; only the renewal of a running one can be moved")
    ends = [end for item in subscription.items.data if (end := subscription.period_end(item)) is not None]
    if not ends:
        raise CannotAct("the subscription has no period whose end could be moved")
    present = EPOCH + timedelta(seconds=max(ends))
    until = from_ms(int(wanted.details["expires_at_ms"])) if wanted.kind == "defer" else present + timedelta(days=int(wanted.details["days"]))
    if until <= max(present, now):
        raise CannotAct(f"the renewal can only be moved to later than it is now, {present:%Y-%m-%d %H:%M} UTC")
    seconds = (until - EPOCH) // timedelta(seconds=1)
    await _update(api, app, wanted, (("trial_end", seconds), ("proration_behavior", "none")))


async def _refund(api: StripeApi, app: StoreApp, wanted: Act) -> None:
    """Payment by payment, as much as is wanted; without an amount, all of each that was not given back yet."""
    transaction = wanted.details.get("transaction")
    if not isinstance(transaction, str) or not transaction:
        raise CannotAct("to give money back, name the invoice or payment in `transaction` (in_... or pi_...)", param="transaction")
    payments = await _payments(api, app, transaction)
    amount = wanted.details.get("amount")
    if not payments and wanted.kind == "refund":
        raise CannotAct(f"{transaction} was not paid with anything Stripe could give back")
    if amount is not None and int(amount) > sum(paid.amount for _, _, paid in payments):
        raise CannotAct(f"{amount} is more than was paid for {transaction}")
    left = int(amount) if amount is not None else None
    for number, (field, payment, paid) in enumerate(payments):
        part = None if left is None else Money(amount=min(left, paid.amount), currency=paid.currency)
        if part is not None and part.amount == 0:
            break
        form: Fields = [(field, payment), ("reason", "requested_by_customer"), *([("amount", to_stripe(part))] if part is not None else [])]
        await _refund_one(api, app, form, key=f"{wanted.act_id}-{number}" if number else wanted.act_id)
        left = left - part.amount if left is not None and part is not None else None


async def _refund_one(api: StripeApi, app: StoreApp, form: Fields, *, key: str) -> None:
    try:
        await api.post(app, "/v1/refunds", Identified, form, key=key)
    except Refused as error:
        if error.reason not in _ALREADY_DONE:
            raise


async def _payments(api: StripeApi, app: StoreApp, transaction: str) -> list[tuple[str, str, Money]]:
    """What an invoice or a one-time payment was paid with: the field that names it, its id, and how much."""
    head = transaction.partition(":")[0].partition("#")[0]
    if head.startswith("pi_"):
        intent = await api.get(app, path_of("payment_intents", head), PaymentIntent)
        return [("payment_intent", head, money(intent.amount_received, intent.currency))]
    if not head.startswith("in_"):
        return []
    invoice = await api.get(app, path_of("invoices", head), Invoice)
    pages = api.pages(app, "/v1/invoice_payments", Page[InvoicePayment], (("invoice", head), ("status", "paid")), most=MOST_PAYMENTS, must_end=True)
    found = []
    for one in [payment async for page in pages for payment in page]:
        of, paid = one.payment, money(one.amount_paid or 0, invoice.currency)
        if of is not None and (intent_id := id_of(of.payment_intent)) is not None:
            found.append(("payment_intent", intent_id, paid))
        elif of is not None and (charge := id_of(of.charge)) is not None:
            found.append(("charge", charge, paid))
    return found

"""Asking Stripe: from whatever it named to the subscription or payment it is about, and everything of that."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from perennial.base.errors import NotFound
from perennial.catalog.model import Product
from perennial.customers.model import is_app_user_id
from perennial.intake.model import Question, Reading, StoreApp
from perennial.providers.stripe.api import Fields, One, StripeApi, path_of
from perennial.providers.stripe.events import past_due_of
from perennial.providers.stripe.one_time import session_statements
from perennial.providers.stripe.payload import (
    Charge,
    Dispute,
    Invoice,
    InvoiceLine,
    InvoicePayment,
    Item,
    Page,
    Refund,
    Schedule,
    Session,
    SessionLine,
    Subscription,
    id_of,
)
from perennial.providers.stripe.read import app_user_id, environment_of, subscription_statements
from perennial.providers.stripe.slots import Found
from perennial.subscriptions.model import Line

MOST_INVOICES = 20  # pages of a hundred
MOST_CHARGES = 10
MOST_SUBSCRIPTIONS = 10  # of one customer
MOST_PARTS = 100  # lines and payments of one invoice, refunds and disputes of one charge, items of one subscription

_CHARGES: Fields = (("expand[]", "data.balance_transaction"), ("expand[]", "data.refunds"))


async def about(api: StripeApi, app: StoreApp, subject: str, held: Line | None, products: Sequence[Product], now: datetime) -> Reading:
    """What Stripe holds about a subject: a subscription, a further item of one (`sub_1#si_2`), a payment, or a checkout.

    What only leads to one of these becomes a question about it, so that what we hold of its line is beside the answer: without it, on a clock that
    stands still, an answer could pass for older than what it is newer than.
    """
    subject, now = subject.partition("#")[0], _newer(held, now)
    match subject.partition("_")[0]:
        case "sub" if subject.startswith("sub_sched_"):
            schedule = await api.get(app, path_of("subscription_schedules", subject), Schedule)
            return await _about_subscription(api, app, id_of(schedule.subscription) or schedule.released_subscription, held, now)
        case "sub":
            return await _about_subscription(api, app, subject, held, now)
        case "cs":
            return await _about_session(api, app, await session(api, app, subject), held, products, now)
        case "in":
            return await _leading_on(api, app, subject)
        case "cus":
            return await _about_customer(api, app, subject)
    return await _about_payment(api, app, subject, await _payment_intent(api, app, subject), held, products, now)


async def _leading_on(api: StripeApi, app: StoreApp, invoice: str) -> Reading:
    """From an invoice to its subscription."""
    found = await api.get(app, path_of("invoices", invoice), Invoice)
    if found.subscription_id is None:
        return Reading(note="not about a subscription")
    return Reading(questions=(Question(environment=environment_of(live=found.livemode), subject=found.subscription_id, hint=invoice),))


def _newer(held: Line | None, now: datetime) -> datetime:
    """The moment of this answer: after what we know, also where a sandbox clock stands still between two questions."""
    known = [*(one.purchase.as_of for one in held.held), *(one.as_of for one in held.renewals)] if held is not None else []
    return max([now, *(moment + timedelta(microseconds=1) for moment in known)])


async def _about_subscription(
    api: StripeApi, app: StoreApp, identifier: str | None, held: Line | None, now: datetime, session: Session | None = None
) -> Reading:
    if identifier is None:
        return Reading(note="not about a subscription")
    found = await find(api, app, identifier, session, is_known=held is not None and held.unclaimed is None)
    statements = subscription_statements(found, held, now, past_due=past_due_of(app))
    return Reading(statements=statements, note=None if statements else f"{found.subscription.status}: nothing of it was paid yet")


async def find(api: StripeApi, app: StoreApp, identifier: str, session: Session | None = None, *, is_known: bool = False) -> Found:
    """A subscription with its invoices, payments, refunds and disputes. Who bought is looked for while it is not known."""
    expand = [("expand[]", "customer"), ("expand[]", "schedule.phases.items.price")]
    subscription = await api.get(app, path_of("subscriptions", identifier), Subscription, expand)
    await _complete(api, app, subscription.items, "/v1/subscription_items", Page[Item], (("subscription", identifier),))
    customer = id_of(subscription.customer)
    invoices, is_whole = await _invoices(api, app, identifier)
    paid = any(invoice.payment_ids for invoice in invoices)
    charges = await _charges(api, app, (("customer", customer),)) if customer is not None and paid else []
    wanted = {one for invoice in invoices for one in invoice.payment_ids}
    charges = [charge for charge in charges if charge.ids & wanted]
    named = app_user_id(subscription, None)
    if session is None and not is_known and (named is None or not is_app_user_id(named)):
        page = await api.get(app, "/v1/checkout/sessions", Page[Session], (("subscription", identifier), ("limit", 1)))
        session = page.data[0] if page.data else None
    return Found(
        subscription=subscription,
        invoices=tuple(invoices),
        charges=tuple(charges),
        disputes=tuple(await _disputes(api, app, charges)),
        session=session,
        is_whole=is_whole,
    )


async def _about_session(api: StripeApi, app: StoreApp, found: Session, held: Line | None, products: Sequence[Product], now: datetime) -> Reading:
    if found.mode == "subscription":
        return await _about_subscription(api, app, id_of(found.subscription), held, now, found)
    if found.mode != "payment":
        return Reading(note=f"a checkout of the mode {found.mode}: it sold nothing")
    if found.payment_status not in ("paid", "no_payment_required"):
        return Reading(note=f"a checkout that is {found.status}, and {found.payment_status}")
    payment = id_of(found.payment_intent)
    charges = await _charges(api, app, (("payment_intent", payment),)) if payment is not None else []
    return Reading(statements=session_statements(found, charges, await _disputes(api, app, charges), products, now))


async def session(api: StripeApi, app: StoreApp, identifier: str) -> Session:
    """A checkout with all it sold."""
    expand = [("expand[]", "line_items"), ("expand[]", "customer")]
    found = await api.get(app, path_of("checkout/sessions", identifier), Session, expand)
    if found.line_items is not None:
        await _complete(api, app, found.line_items, path_of("checkout/sessions", identifier) + "/line_items", Page[SessionLine])
    return found


async def _complete(api: StripeApi, app: StoreApp, part: Page[One], path: str, answer: type[Page[One]], query: Fields = ()) -> None:
    """Fetches the whole of a list of which an object carried the first page."""
    if part.has_more:
        part.data = [one async for page in api.pages(app, path, answer, query, most=MOST_PARTS, must_end=True) for one in page]
        part.has_more = False


async def _about_customer(api: StripeApi, app: StoreApp, customer: str) -> Reading:
    query = (("customer", customer), ("status", "all"))
    pages = api.pages(app, "/v1/subscriptions", Page[Subscription], query, most=MOST_SUBSCRIPTIONS)
    found = [one async for page in pages for one in page]
    return Reading(questions=tuple(Question(environment=environment_of(live=one.livemode), subject=one.id, hint="customer") for one in found))


async def _about_payment(
    api: StripeApi, app: StoreApp, subject: str, payment: str | None, held: Line | None, products: Sequence[Product], now: datetime
) -> Reading:
    """A payment is of an invoice, of a checkout, or of nothing we sell."""
    if payment is None:
        return Reading(note="a charge without a payment intent: made outside of subscriptions and checkouts")
    query = (("payment[type]", "payment_intent"), ("payment[payment_intent]", payment))
    paid = await api.get(app, "/v1/invoice_payments", Page[InvoicePayment], query)
    if (invoice := next((id_of(one.invoice) for one in paid.data), None)) is not None:
        return await _leading_on(api, app, invoice)
    sessions = await api.get(app, "/v1/checkout/sessions", Page[Session], (("payment_intent", payment), ("limit", 1)))
    if not sessions.data:
        return Reading(note=f"{payment} paid for no subscription and no checkout")
    if subject != payment:
        return Reading(questions=(Question(environment=environment_of(live=sessions.data[0].livemode), subject=payment, hint=subject),))
    return await _about_session(api, app, await session(api, app, sessions.data[0].id), held, products, now)


async def _payment_intent(api: StripeApi, app: StoreApp, subject: str) -> str | None:
    """The payment behind a payment intent, a charge, a refund or a dispute."""
    match subject.partition("_")[0]:
        case "pi":
            return subject
        case "ch" | "py":
            return id_of((await api.get(app, path_of("charges", subject), Charge)).payment_intent)
        case "re" | "pyr":
            refund = await api.get(app, path_of("refunds", subject), Refund)
            return id_of(refund.payment_intent) or await _of_charge(api, app, id_of(refund.charge))
        case "dp" | "du":
            dispute = await api.get(app, path_of("disputes", subject), Dispute)
            return id_of(dispute.payment_intent) or await _of_charge(api, app, id_of(dispute.charge))
    raise NotFound(f"{subject!r} is nothing that can be looked up at Stripe; a subscription's id begins with sub_")


async def _of_charge(api: StripeApi, app: StoreApp, charge: str | None) -> str | None:
    return await _payment_intent(api, app, charge) if charge is not None else None


async def _invoices(api: StripeApi, app: StoreApp, subscription: str) -> tuple[list[Invoice], bool]:
    """The newest invoices of a subscription with their payments and lines, and whether that is all of them."""
    query = (("subscription", subscription), ("expand[]", "data.payments"), ("expand[]", "data.discounts"))
    found: list[Invoice] = []
    is_whole = True
    async for page in api.pages(app, "/v1/invoices", Page[Invoice], query, most=MOST_INVOICES):
        found += page
        is_whole = len(found) < MOST_INVOICES * 100
    for invoice in found:
        await _complete(api, app, invoice.lines, path_of("invoices", invoice.id) + "/lines", Page[InvoiceLine])
        if invoice.payments is not None:
            await _complete(api, app, invoice.payments, "/v1/invoice_payments", Page[InvoicePayment], (("invoice", invoice.id),))
    return found, is_whole


async def _charges(api: StripeApi, app: StoreApp, query: Fields) -> list[Charge]:
    """Charges with what Stripe kept of them and what was given back, newest first."""
    pages = api.pages(app, "/v1/charges", Page[Charge], (*query, *_CHARGES), most=MOST_CHARGES)
    found = [charge async for page in pages for charge in page]
    for charge in found:
        if charge.refunds is not None:
            await _complete(api, app, charge.refunds, "/v1/refunds", Page[Refund], (("charge", charge.id),))
    return found


async def _disputes(api: StripeApi, app: StoreApp, charges: Sequence[Charge]) -> list[Dispute]:
    found: list[Dispute] = []
    for charge in charges:
        if charge.disputed:
            pages = api.pages(app, "/v1/disputes", Page[Dispute], (("charge", charge.id),), most=MOST_PARTS, must_end=True)
            found += [dispute async for page in pages for dispute in page]
    return found

"""Webhooks: who sent them, and what they say.

A webhook is a hint. It carries the object in whatever version its endpoint was made with, out of order and more than once, so where the app has an
API key it only names what to ask about. Without a key, what the object itself says is stated, as of the event's second.
"""

from datetime import datetime
from hashlib import sha256
from typing import TypeVar

import msgspec

from perennial.base import reading
from perennial.base.errors import Invalid, NotConfigured
from perennial.base.time import iso
from perennial.intake.model import Envelope, Question, Reading, StoreApp
from perennial.providers.stripe import signature
from perennial.providers.stripe.accounts import moment
from perennial.providers.stripe.api import can_call
from perennial.providers.stripe.payload import Event, Invoice, Session, Subject, Subscription, id_of
from perennial.providers.stripe.read import app_user_id, environment_of, told_by_failed_invoice, told_by_invoice, told_by_subscription
from perennial.providers.stripe.renewing import PAST_DUE
from perennial.subscriptions.model import Statement

LARGEST_BODY = 2 * 1024 * 1024

Wanted = TypeVar("Wanted", bound=msgspec.Struct)

# Kinds of events that change what someone holds, by how their names begin, and the object they carry.
_PREFIXES = {
    "customer.subscription.": "subscription",
    "subscription_schedule.": "schedule",
    "invoice.": "invoice",
    "invoice_payment.": "payment",
    "checkout.session.": "session",
    "charge.dispute.": "payment",
    "charge.refund": "payment",  # charge.refunded, charge.refund.updated
    "refund.": "payment",
    "customer.updated": "customer",
}
_SAY_NOTHING = frozenset(
    (
        "customer.subscription.trial_will_end",
        "subscription_schedule.expiring",
        "invoice.upcoming",
        "invoice.will_be_due",
        "invoice.sent",
        "invoice.deleted",
        "checkout.session.expired",
        "checkout.session.async_payment_failed",
    )
)


def opened(app: StoreApp, body: bytes, header: str | None, now: datetime) -> Envelope:
    """The envelope of a webhook one of the app's secrets signed. What is Stripe's but no event we can read is kept by its content."""
    secrets = [secret for name in ("webhook_secret", "webhook_secret_previous") if (secret := app.reveal(name).strip())]
    if not secrets:
        raise NotConfigured("the app has no `webhook_secret`; copy the endpoint's signing secret (whsec_...) from Stripe", param="webhook_secret")
    if len(body) > LARGEST_BODY:
        raise Invalid(f"a body of {len(body)} bytes is longer than the {LARGEST_BODY} we read")
    signature.verify(header, body, secrets=secrets, now=now)
    try:
        return envelope_of(event_of(body), now)
    except Invalid:
        return Envelope(message_id=sha256(body).hexdigest(), kind="unreadable", sent_at=now)


def envelope_of(event: Event, now: datetime) -> Envelope:
    return Envelope(message_id=event.id, kind=event.type, sent_at=_sent_at(event, now))


def event_of(body: bytes) -> Event:
    event = reading.decode(body, Event)
    if not event.id or not event.type:
        raise Invalid("not an event of Stripe's: it has no `id` or no `type`")
    return event


def _sent_at(event: Event, now: datetime) -> datetime:
    """Seconds, or in Stripe's second API a moment in text; now where it is neither."""
    match event.created:
        case int() as seconds:
            return reading.said_at(moment(seconds), now, "created")
        case str() as text:
            said = reading.aside("created", text, lambda: reading.instant(text, "created"))
            return reading.said_at(said, now, "created") if said is not None else now
    return now


def concerns(event: Event) -> bool:
    """Whether an event may change what a customer holds."""
    return event.type.startswith(tuple(_PREFIXES)) and event.type not in _SAY_NOTHING and event.data is not None


def read_event(app: StoreApp, body: bytes, now: datetime) -> Reading:
    """What an event that was opened asks for or, where the app has no API key, states."""
    event = event_of(body)
    if event.account is not None and event.account != app.settings.get("connected_account"):
        return Reading(note=f"{event.type}: of the connected account {event.account}, which is not this app's")
    if not concerns(event):
        return Reading(note=f"{event.type}: changes nothing of what a customer holds")
    about = next(about for prefix, about in _PREFIXES.items() if event.type.startswith(prefix))
    return _questions(event, about) if can_call(app) else _statements(app, event, about, _sent_at(event, now))


def _questions(event: Event, about: str) -> Reading:
    assert event.data is not None
    subject = _object(event, Subject)
    match about:
        case "subscription" | "session":
            wanted: str | None = subject.id
        case "schedule" | "invoice":
            wanted = subject.subscription_id
        case "customer":
            wanted = subject.id if "metadata" in (event.data.previous_attributes or {}) else None
        case _:
            wanted = id_of(subject.invoice) or id_of(subject.payment_intent) or id_of(subject.charge) or subject.id
    if not wanted:
        return Reading(note=f"{event.type}: not about a subscription")
    return Reading(questions=(Question(environment=environment_of(live=event.livemode), subject=wanted, hint=event.type),))


def _statements(app: StoreApp, event: Event, about: str, as_of: datetime) -> Reading:
    match about:
        case "subscription":
            statements = told_by_subscription(_object(event, Subscription), as_of, past_due=past_due_of(app))
        case "invoice" if event.type in ("invoice.paid", "invoice.payment_succeeded"):
            invoice = _object(event, Invoice)
            statements = told_by_invoice(invoice, as_of) if invoice.subscription_id and invoice.is_paid else ()
        case "invoice" if event.type == "invoice.payment_failed":
            statements = told_by_failed_invoice(_object(event, Invoice), as_of, past_due=past_due_of(app))
        case "session":
            statements = _linked(_object(event, Session))
        case _:
            statements = ()
    if statements:
        return Reading(statements=statements)
    return Reading(note=f"{event.type} of {iso(as_of)}: says nothing without asking, and the app has no api_key")


def _linked(session: Session) -> tuple[Statement, ...]:
    """A checkout names its subscription and its buyer; what was bought, and whether it was paid, others say."""
    line, buyer = id_of(session.subscription), app_user_id(None, session)
    if line is None or buyer is None:
        return ()
    return (Statement(store="stripe", environment=environment_of(live=session.livemode), line=line, purchases=(), app_user_id=buyer),)


def past_due_of(app: StoreApp) -> str:
    said = app.settings.get("past_due", "grace")
    if said not in PAST_DUE:
        raise Invalid(f"the setting `past_due` is {said!r}; it may be one of {', '.join(PAST_DUE)}", param="past_due")
    return said


def _object(event: Event, wanted: type[Wanted]) -> Wanted:
    assert event.data is not None
    try:
        return reading.decode(bytes(event.data.object), wanted)
    except Invalid as error:
        raise Invalid(f"{event.type}: its object cannot be read: {error.message}", param="data.object") from error

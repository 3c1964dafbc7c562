"""Paddle Billing: signed notifications that carry the whole entity, and an API for the rest. Paddle Classic is left to the importers.

`signature` verifies who sent a notification, `read` turns entities into statements, `api` asks and lists, `payload` is the wire format. Let the
notification destination send `subscription.*`, `transaction.completed`, `transaction.payment_failed` and `adjustment.*`.

Settings: `environment` (`sandbox` or `production`; without it the API key says), `signature_tolerance_seconds` (60 unless set, up to 3600;
`signature.TOLERANCE` says why), `past_due`, `grace_days` and `products_by` (`read` says what they decide). Secrets: `notification_secret`
(`pdl_ntfset_...`; two, with a space between, while one is rotated) and `api_key`. Without an API key statements come from notifications alone:
refunds, and cancellations before the period's end, then stay unknown.

The buyer is the app user id in `custom_data.app_user_id` of the checkout. A line's key is `read`'s; a question's subject is a subscription's or a
transaction's id.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TypeVar

import msgspec

from perennial.base.errors import Invalid, NotConfigured
from perennial.base.http import Http
from perennial.base.money import Money
from perennial.base.reading import answer_of, decode
from perennial.intake.model import Act, CannotAct, Caught, Envelope, Posted, Question, Reading, StoreApp
from perennial.providers.paddle import api, read, signature
from perennial.providers.paddle.lines import amount
from perennial.providers.paddle.payload import Adjustment, Event, Subscription, Transaction
from perennial.subscriptions.model import Environment

__all__ = ["PaddleBilling"]

LARGEST_BODY = 1024 * 1024
LONGEST_TOLERANCE = 3600

_READ = ("subscription.", "transaction.", "adjustment.")
_STOPPED = frozenset(("canceled", "paused"))

W = TypeVar("W", bound=msgspec.Struct)


class PaddleBilling:
    """Paddle as `intake.model.Provider`. One serves all apps of a process; close it at the end."""

    def __init__(self) -> None:
        self._http = Http("Paddle")
        self._api = api.Api(self._http)

    async def close(self) -> None:
        await self._http.close()

    async def prepare(self, headers: Mapping[str, str], body: bytes) -> None:
        """Nothing to fetch: the secret is ours."""

    def open(self, app: StoreApp, body: bytes, headers: Mapping[str, str], now: datetime) -> Envelope:
        """Verify that Paddle signed it with this app's secret, lately."""
        if len(body) > LARGEST_BODY:
            raise Invalid(f"a body of {len(body)} bytes is longer than the {LARGEST_BODY} we read")
        secrets = app.reveal("notification_secret").split()
        if not secrets:
            raise NotConfigured("the app has no `notification_secret`; copy it from Paddle's notification destination", param="notification_secret")
        signed_at = signature.verify(headers.get(signature.HEADER), body, secrets=secrets, tolerance=_tolerance(app), now=now)
        try:
            event = _event(body)
        except Invalid:  # Paddle's all the same: kept, and called unreadable when it is read
            return Envelope(message_id=sha256(body).hexdigest(), kind="unknown", sent_at=signed_at)
        return Envelope(message_id=event.event_id, kind=event.event_type, sent_at=event.at(now))

    def read(self, app: StoreApp, body: bytes, now: datetime) -> Reading:
        """What the entity within states, as of when the event occurred; and what to ask beyond it. The signature was verified by `open`."""
        event = _event(body)
        match event.event_type.partition(".")[0]:
            case "subscription":
                return _of_subscription(app, event, _entity(event, Subscription), event.at(now))
            case "transaction":
                return _of_transaction(app, event, _entity(event, Transaction), event.at(now))
            case "adjustment":
                return _of_adjustment(app, event, _entity(event, Adjustment))
        return Reading(note=f"{event.event_type}: about no purchase")

    async def read_receipt(self, app: StoreApp, posted: Posted, now: datetime) -> Reading:
        """A subscription's or a transaction's id: Paddle is asked about it."""
        reading = await self._look_up(app, posted.token.strip(), posted, now)
        if reading is None:
            raise Invalid("Paddle knows no such subscription or transaction in this app's environment", param="fetch_token")
        return reading

    def can_ask(self, app: StoreApp) -> bool:
        return bool(app.secrets.get("api_key"))

    async def ask(self, app: StoreApp, question: Question, posted: Posted, now: datetime) -> Reading:
        """The present state and everything paid, of a subscription or of a one-time purchase."""
        reading = await self._look_up(app, question.subject.split("#")[0], posted, now)
        return reading if reading is not None else Reading(note=f"Paddle knows no {question.subject}")

    async def missed(
        self, app: StoreApp, since: datetime, until: datetime, environment: Environment, now: datetime
    ) -> AsyncIterator[Caught | Question]:
        """The events of the span, from Paddle's list. Paddle keeps 90 days."""
        if environment != api.environment(app):
            return
        found: list[Event] = []
        async for event in self._api.events(app):
            if event.at(now) < since:
                break
            if event.at(now) <= until and event.event_type.startswith(_READ):
                found.append(event)
        for event in reversed(found):
            envelope = Envelope(message_id=event.event_id, kind=event.event_type, sent_at=event.at(now))
            yield Caught(envelope=envelope, body=msgspec.json.encode(event))

    async def act(self, app: StoreApp, act: Act, posted: Posted, now: datetime) -> Reading:
        """`cancel` (at the period's end) and `refund`. Paddle has no idempotency keys, so what is already so is looked at first."""
        match act.kind:
            case "cancel":
                await self._cancel(app, act.subject.split("#")[0])
            case "refund":
                await self._refund(app, act)
            case _:
                raise CannotAct(f"Paddle offers no way to {act.kind} a subscription here")
        return Reading(questions=(Question(environment=act.environment, subject=act.subject),))

    async def portal(self, app: StoreApp, subject: str, environment: Environment, now: datetime) -> str:
        """The overview of the customer portal, signed in as whoever holds the subscription."""
        subscription = await self._api.subscription(app, subject.split("#")[0])
        if subscription is None or subscription.customer_id is None:
            raise CannotAct(f"Paddle knows no subscription {subject!r} with a customer, in this app's environment")
        return (await self._api.portal_session(app, subscription.customer_id, subscription.id)).urls.general.overview

    async def _look_up(self, app: StoreApp, identifier: str, posted: Posted, now: datetime) -> Reading | None:
        if not identifier.startswith("txn_"):
            return await self._subscription(app, identifier, posted, now)
        transaction = await self._api.transaction(app, identifier)
        if transaction is None:
            return None
        if transaction.subscription_id is not None:
            return await self._subscription(app, transaction.subscription_id, posted, now)
        adjustments = await self._api.adjustments(app, {"transaction_id": identifier})
        with answer_of("Paddle"):
            return Reading(statements=read.told_by_transaction(app, transaction, now, adjustments, posted.products))

    async def _subscription(self, app: StoreApp, subscription_id: str, posted: Posted, now: datetime) -> Reading | None:
        subscription = await self._api.subscription(app, subscription_id)
        if subscription is None:
            return None
        transactions = await self._api.transactions(app, subscription_id)
        adjustments = await self._api.adjustments(app, {"subscription_id": subscription_id})
        found = read.Found(subscription=subscription, transactions=tuple(transactions), adjustments=tuple(adjustments))
        with answer_of("Paddle"):
            return Reading(statements=read.statements(app, found, posted.line, now, posted.products))

    async def _cancel(self, app: StoreApp, subscription_id: str) -> None:
        subscription = await self._api.subscription(app, subscription_id)
        if subscription is None:
            raise CannotAct(f"Paddle knows no subscription {subscription_id!r}")
        change = subscription.scheduled_change
        if subscription.status != "canceled" and (change is None or change.action != "cancel"):
            await self._api.post(app, f"/subscriptions/{subscription.id}/cancel", {"effective_from": "next_billing_period"})

    async def _refund(self, app: StoreApp, act: Act) -> None:
        """Our act's id stands in the adjustment's reason: by it a second try knows the first."""
        transaction_id = str(act.details.get("transaction") or act.subject).split("#")[0]
        transaction = await self._api.transaction(app, transaction_id)
        if transaction is None:
            raise CannotAct(f"Paddle knows no transaction {transaction_id!r}")
        before = await self._api.adjustments(app, {"transaction_id": transaction.id})
        if any(act.act_id in (one.reason or "") for one in before):
            return
        asked = act.details.get("amount")
        body: dict[str, object] = {"action": "refund", "transaction_id": transaction.id, "reason": f"Refunded on request ({act.act_id})"}
        what = {"type": "full"} if asked is None else {"type": "partial", "items": _parts(transaction, int(asked))}
        await self._api.post(app, "/adjustments", {**body, **what})


def _event(body: bytes) -> Event:
    try:
        event = decode(body, Event)
    except Invalid as error:
        raise Invalid(f"not an event of Paddle Billing: {error.message}", param=error.param) from error
    if not event.event_id:
        raise Invalid("an event of Paddle Billing has an id", param="event_id")
    return event


def _entity(event: Event, kind: type[W]) -> W:
    try:
        return decode(bytes(event.data), kind)
    except Invalid as error:
        raise Invalid(f"{event.event_type} carries another entity than it should: {error.message}", param="data") from error


def _tolerance(app: StoreApp) -> timedelta:
    said = app.settings.get("signature_tolerance_seconds")
    if said is None:
        return signature.TOLERANCE
    if not said.isascii() or not said.isdigit() or not 0 < int(said[:9]) <= LONGEST_TOLERANCE:
        raise Invalid(f"`signature_tolerance_seconds` is a number from 1 to {LONGEST_TOLERANCE}, not {said!r}", param="signature_tolerance_seconds")
    return timedelta(seconds=int(said))


def _of_subscription(app: StoreApp, event: Event, subscription: Subscription, as_of: datetime) -> Reading:
    """A subscription says not what was paid for it: Paddle is asked, but where it names the transaction that it began with."""
    is_stopped = subscription.status in _STOPPED or subscription.status not in read.STATUSES
    asked = (_question(app, subscription.id, event),) if is_stopped or subscription.transaction_id is None else ()
    is_alone = event.event_type != "subscription.updated" or not app.secrets.get("api_key")
    return Reading(statements=read.told_by_subscription(app, subscription, as_of, is_alone=is_alone), questions=asked)


def _of_transaction(app: StoreApp, event: Event, transaction: Transaction, as_of: datetime) -> Reading:
    if transaction.status in read.PAID:
        told = read.told_by_transaction(app, transaction, as_of)
        return Reading(statements=told, note=None if told else f"{event.event_type}: its subscription is not made yet, or nothing was charged")
    has_failed = event.event_type in ("transaction.payment_failed", "transaction.past_due") and transaction.subscription_id is not None
    asked = (_question(app, transaction.subscription_id or "", event),) if has_failed else ()
    return Reading(note=f"{event.event_type}: nothing was paid", questions=asked)


def _of_adjustment(app: StoreApp, event: Event, adjustment: Adjustment) -> Reading:
    """An adjustment names items of a transaction that only Paddle can tell."""
    if adjustment.status not in ("approved", "reversed"):
        return Reading(note=f"{event.event_type}: {adjustment.action} is {adjustment.status}")
    return Reading(questions=(_question(app, adjustment.subscription_id or adjustment.transaction_id, event),))


def _question(app: StoreApp, subject: str, event: Event) -> Question:
    return Question(environment=api.environment(app), subject=subject, hint=event.event_type)


def _parts(transaction: Transaction, asked: int) -> list[dict[str, str]]:
    """A partial refund, shared among the items of a transaction by their totals."""
    lines = [line for line in transaction.details.line_items if amount(line.totals.total) > 0]
    whole = sum(amount(line.totals.total) for line in lines)
    if not 0 < asked <= whole:
        raise CannotAct(f"{asked} is not a part of the {whole} of this transaction, in minor units")
    shares = Money(amount=asked, currency=transaction.currency_code).split([amount(line.totals.total) for line in lines])
    return [
        {"item_id": line.id, "type": "partial", "amount": str(share.amount)} for line, share in zip(lines, shares, strict=True) if share.amount > 0
    ]

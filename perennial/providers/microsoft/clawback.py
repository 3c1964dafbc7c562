"""Refunds, returns and chargebacks of the Microsoft Store: the Clawback queue, and what its events state.

Microsoft sets the queue up for an Entra application on request (an Azure storage queue of its own), and writes an event there within seconds. We
fetch: the purchase service hands out an address that opens the queue for some hours, messages are taken, kept in our inbox, and deleted
from the queue only then. One that was not comes into sight again half a minute later, and is known by its event's id.

An event names a recurrence and one interval of it. What it states about the period we hold is said when the line is asked about (`answer`), as only
then it is known; no Store ID key is needed for that, as nothing is asked.

- **Returned, Revoked**: the money is back, and so is the product, or Microsoft tried: access ends then.
- **Refunded**: the money is back and the customer keeps it. Where our catalog does not say what it had cost, no amount can be told.
- **ChargebackReversal**: the money came back to Microsoft, and the product to the customer.
- A **partial** refund is of the days not used: that share of the price.

What was bought once (consumables, durables) is no subject of `api`, and its events are only kept.

Source: "Managing refunds and chargebacks from your service" and "v8.0/b2b/clawback/sastoken" (Microsoft GDK documentation, 2026-03); Azure Queue
Storage REST API, Get Messages and Delete Message.
"""

from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Literal, get_args
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from xml.etree import ElementTree

import msgspec

from perennial.base.errors import Invalid, Unavailable
from perennial.base.http import Http
from perennial.base.money import Money
from perennial.base.reading import Name, Timed, Word, decode, note
from perennial.base.time import EPOCH
from perennial.base.value import replace
from perennial.intake.model import Caught, Envelope, Question, Reading, StoreApp
from perennial.providers.microsoft.api import PurchaseService
from perennial.subscriptions.model import Environment, Held, Line, Purchase, Refund, Revocation, Statement

Days = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
State = Literal["Revoked", "Returned", "Refunded", "ChargebackReversal"]

MOST_MESSAGES = 32  # at once: Azure's limit
HINT = "clawback "  # what begins the hint of a question that an event raised

_WHOLE = 1_000_000
_STATES: dict[str, State] = {state: state for state in get_args(State)}
_A_MOMENT = timedelta(microseconds=1)
_SAME = timedelta(minutes=1)

Keep = Callable[[Sequence[Caught]], Awaitable[None]]


class RecurrenceData(Timed, frozen=True, rename="camel"):
    recurrence_id: Name
    duration_interval_start: datetime
    duration_in_days: Days
    consumed_duration_in_days: Days = 0
    refund_type: Word = "Full"


class EventData(Timed, frozen=True, rename="camel"):
    order_id: Name
    line_item_id: Name
    event_date: datetime
    event_state: Word
    product_id: Word = ""
    sandbox_id: Word = "RETAIL"
    product_type: Word = ""
    recurrence_data: RecurrenceData | None = None


class Event(Timed, frozen=True):
    id: Name
    data: EventData
    time: datetime = EPOCH
    source: Word = ""


class Taken(msgspec.Struct, frozen=True):
    """What an event tells of one interval of a recurrence, on its way in a question's hint. Short names: hints are short."""

    s: State
    at: datetime
    begins: datetime
    days: int
    used: int
    order: str  # of the order's line item: an event and its reversal carry the same
    part: bool = False

    @property
    def share_ppm(self) -> int:
        """Of the price, what was given back."""
        return (self.days - self.used) * _WHOLE // self.days if self.part else _WHOLE


class Message(msgspec.Struct, frozen=True):
    message_id: str
    receipt: str
    body: bytes


# The queue --------------------------------------------------------------------------------------------------------------------------


async def pull(service: PurchaseService, http: Http, app: StoreApp, keep: Keep) -> int:
    """Takes what waits, at most `MOST_MESSAGES`, has it kept, and deletes it from the queue. Returns how many; ask again until it is none."""
    queue, key = _split(await service.clawback_queue(app))
    answer = await http.call("GET", f"{queue}/messages", secret_path=_path(queue, "/messages", key, numofmessages=str(MOST_MESSAGES)))
    if not answer.is_success:
        raise answer.unavailable()
    messages = _messages(answer.content)
    if not messages:
        return 0
    await keep([Caught(envelope=envelope(one.body), body=one.body) for one in messages])
    for one in messages:
        name = f"/messages/{quote(one.message_id, safe='')}"
        gone = await http.call("DELETE", queue + name, secret_path=_path(queue, name, key, popreceipt=one.receipt))
        if not gone.is_success and gone.status != 404:  # 404: somebody else was quicker; it was kept all the same
            raise gone.unavailable()
    return len(messages)


def _split(address: str) -> tuple[str, list[tuple[str, str]]]:
    """The queue's address, and what opens it."""
    parts = urlsplit(address)
    if parts.scheme not in ("https", "http") or not parts.netloc or not parts.query:
        raise Unavailable("Microsoft told no address of a Clawback queue that we can read")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", parse_qsl(parts.query)


def _path(queue: str, rest: str, key: Sequence[tuple[str, str]], **more: str) -> str:
    """Path and query. What opens the queue stands in it, so it is kept out of logs and errors."""
    return f"{urlsplit(queue).path}{rest}?{urlencode([*key, *more.items()])}"


def _messages(content: bytes) -> list[Message]:
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise Unavailable("the Clawback queue answered with a document type, which Azure's answers do not have")
    try:
        items = ElementTree.fromstring(content).findall("QueueMessage")  # noqa: S314  without a document type there are no entities to expand
    except ElementTree.ParseError as error:
        raise Unavailable(f"the Clawback queue answered what we cannot read: {error}") from error
    return [
        Message(message_id=item.findtext("MessageId", ""), receipt=item.findtext("PopReceipt", ""), body=_text(item.findtext("MessageText", "")))
        for item in items
    ]


def _text(encoded: str) -> bytes:
    """What is not Base64 is kept as it came: `read` will say that it cannot be understood."""
    try:
        return b64decode(encoded, validate=True)
    except ValueError:
        return encoded.encode()


# Events -----------------------------------------------------------------------------------------------------------------------------


def envelope(body: bytes) -> Envelope:
    """What came from the queue is Microsoft's, whatever is in it."""
    try:
        event = event_of(body)
    except Invalid:
        return Envelope(message_id=sha256(body).hexdigest(), kind="unknown", sent_at=EPOCH)
    return Envelope(message_id=event.id, kind=f"{event.source.rpartition('/')[2] or 'Clawback'}.{event.data.event_state}", sent_at=event.time)


def event_of(body: bytes) -> Event:
    try:
        event = decode(body, Event)
    except Invalid as error:
        raise Invalid(f"not a Clawback event of Microsoft's: {error.message}", param=error.param) from error
    if not event.id:
        raise Invalid("a Clawback event has an id", param="id")
    return event


def read(body: bytes, environment: Environment) -> Reading:
    """A question about the recurrence, whose hint says what happened to it."""
    event = event_of(body)
    data, interval = event.data, event.data.recurrence_data
    if interval is None:
        return Reading(note=f"{data.event_state} of a {data.product_type or 'product'}: only subscriptions are asked about here")
    state = _STATES.get(data.event_state)
    if state is None:
        note("data.eventState", data.event_state)
        return Reading(note=f"{data.event_state}: a state we do not know")
    if interval.duration_in_days <= 0 or not 0 <= interval.consumed_duration_in_days <= interval.duration_in_days:
        raise Invalid("a Clawback event is of an interval of days, some of which were used", param="recurrenceData")
    taken = Taken(
        s=state,
        at=data.event_date,
        begins=interval.duration_interval_start,
        days=interval.duration_in_days,
        used=interval.consumed_duration_in_days,
        order=f"{data.order_id}/{data.line_item_id}",
        part=interval.refund_type == "Partial",
    )
    return Reading(questions=(Question(environment=environment, subject=interval.recurrence_id, hint=HINT + msgspec.json.encode(taken).decode()),))


def taken_in(hint: str) -> list[Taken]:
    """What the events told that made us ask, oldest first. A hint that was cut short is left to the recurrence itself to show."""
    found = []
    for line in hint.split("\n"):
        if line.startswith(HINT):
            try:
                found.append(msgspec.json.decode(line.removeprefix(HINT), type=Taken))
            except (msgspec.MsgspecError, ValueError):
                continue
    return sorted(found, key=lambda one: one.at)


def answer(line: Line, taken: Sequence[Taken]) -> Reading:
    """What is known of the line's periods, with what the events did to them. Twice is the same."""
    changed: dict[str, Purchase] = {}
    for one in taken:
        held = _period(line.held, one)
        if held is not None:
            purchase = changed.get(held.purchase.transaction, held.purchase)
            changed[purchase.transaction] = _after(purchase, one)
    if not changed:
        return Reading(note="what was taken back is no period of this subscription that we hold")
    stated = Statement(store=line.store, environment=line.environment, line=line.store_line, purchases=tuple(changed.values()))
    return Reading(statements=(stated,))


def _period(held: Sequence[Held], taken: Taken) -> Held | None:
    """The one that began or ended with the interval; else the one that ran when it began."""
    ends = taken.begins + timedelta(days=taken.days)
    for one in held:
        expires_at = one.purchase.expires_at
        if abs(one.purchase.purchased_at - taken.begins) <= _SAME or (expires_at is not None and abs(expires_at - ends) <= _SAME):
            return one
    running = [one for one in held if one.purchase.purchased_at <= taken.begins + _SAME]
    return running[-1] if running else None


def _after(purchase: Purchase, taken: Taken) -> Purchase:
    said = replace(purchase, as_of=max(taken.at, purchase.as_of + _A_MOMENT))
    match taken.s:
        case "Revoked" | "Returned":
            return replace(said, revocation=Revocation(at=taken.at, refunded=taken.share_ppm > 0, share_ppm=taken.share_ppm))
        case "Refunded":
            return said if purchase.price is None else replace(said, refunds=_with(purchase, _refund(taken, purchase.price)))
    refunds = tuple(replace(one, is_reversed=True) if one.identifier == taken.order else one for one in purchase.refunds)
    return replace(said, revocation=None, refunds=refunds)


def _refund(taken: Taken, price: Money) -> Refund:
    share = price.split([taken.share_ppm, _WHOLE - taken.share_ppm])[0]
    return Refund(identifier=taken.order, at=taken.at, amount=share)


def _with(purchase: Purchase, refund: Refund) -> tuple[Refund, ...]:
    known = {one.identifier: one for one in purchase.refunds}
    return tuple({refund.identifier: refund, **known}[identifier] for identifier in sorted({*known, refund.identifier}))

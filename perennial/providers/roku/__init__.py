"""Roku Pay: signed push notifications, and a web service that knows the present.

`push` verifies who sent a notification, `web_service` asks and acts, `read` turns answers into statements, `payload` is the wire format. A
push decides nothing: it names a transaction, and Roku is asked about it.

Settings: `environment` (`sandbox` for a beta channel's app), `legacy_push` (`yes`: take unsigned pushes as hints; Roku's own answer to them
hands out our API key, so leave it off where signed ones can be had), `test_push` (`yes`: take what the dashboard's test keys signed).
Secrets: `api_key` (the partner's). The app's `bundle_id` is its channel id.

A line's key is the first transaction's id, in lower case without dashes. A question's subject is a line's key; `read.Hint` spells its hint, several
of them on lines of their own.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from perennial.base.errors import Invalid
from perennial.base.http import Http
from perennial.base.money import Money
from perennial.base.reading import answer_of
from perennial.base.time import to_ms
from perennial.intake.model import Act, CannotAct, Caught, Envelope, Posted, Question, Reading, Reply, StoreApp, Untrusted
from perennial.providers.roku import push, read
from perennial.providers.roku.payload import Transaction, money, normal
from perennial.providers.roku.read import Hint, Known
from perennial.providers.roku.web_service import WebService
from perennial.subscriptions.model import Environment

__all__ = ["RokuPay"]

MOST_REPLACED = 3  # transactions one answer says it replaced


class RokuPay:
    """Roku's store as `intake.model.Provider`. One serves all apps of a process; close it at the end.

    `key_addresses` stand in for where Roku publishes its keys: the production set's and the test set's.
    """

    def __init__(self, *, key_addresses: tuple[str, str] = (push.KEYS, push.TEST_KEYS)) -> None:
        self._http = Http("Roku")
        self._keys = push.Keys(self._http, key_addresses)
        self._service = WebService(self._http)

    async def close(self) -> None:
        await self._http.close()

    async def prepare(self, headers: Mapping[str, str], body: bytes) -> None:
        """Fetch Roku's keys, where the message names one we do not have or they are old."""
        if (key_id := push.key_id(body)) is not None:
            await self._keys.fetch(key_id)

    def open(self, app: StoreApp, body: bytes, headers: Mapping[str, str], now: datetime) -> Envelope:
        """Verify that Roku signed it, lately, about this channel. Roku wants its response key and our API key back."""
        opened = push.opened(app, body, self._keys, now)
        kind = opened.push.transaction_type if opened.push is not None else "unknown"
        return Envelope(message_id=opened.message_key, kind=kind, sent_at=opened.sent_at, reply=_reply(app, opened))

    def read(self, app: StoreApp, body: bytes, now: datetime) -> Reading:
        """Which subscription to ask about. The signature was verified by `open`; the keys are not at hand any more."""
        message = push.parsed(body)
        if message.transaction_type in read.NO_SUBJECT:
            return Reading(note=f"{message.transaction_type}: about the customer's account, not a purchase")
        subject = normal(message.original_transaction_id or message.transaction_id)
        return Reading(questions=(Question(environment=read.environment(app), subject=subject, hint=str(Hint.of(message, now))),))

    async def read_receipt(self, app: StoreApp, posted: Posted, now: datetime) -> Reading:
        """A transaction id, as the channel store's order answers it."""
        transaction = await self._service.transaction(app, posted.token.strip())
        if not transaction.is_success:
            raise Invalid(f"Roku knows no such transaction: {transaction.error_message or transaction.error_code}", param="fetch_token")
        return await self._stated(app, transaction, posted, Hint(), now)

    def can_ask(self, app: StoreApp) -> bool:
        return bool(app.secrets.get("api_key"))

    async def ask(self, app: StoreApp, question: Question, posted: Posted, now: datetime) -> Reading:
        """The present state of a subscription. A new charge is asked for by its own id, everything else by the line's latest."""
        hints = sorted(map(Hint.parse, question.hint.splitlines() or [""]), key=lambda hint: hint.type in read.CHARGES)
        readings = [await self._answer(app, question.subject, hint, posted, now) for hint in hints]
        notes = dict.fromkeys(reading.note for reading in readings if reading.note is not None)
        return Reading(statements=read.in_order([one for reading in readings for one in reading.statements]), note="; ".join(notes) or None)

    async def _answer(self, app: StoreApp, subject: str, hint: Hint, posted: Posted, now: datetime) -> Reading:
        wanted = [hint.transaction] if hint.type in read.CHARGES else []
        if posted.line is not None and posted.line.held and hint.type not in ("UpgradeCancellation", "DowngradeCancellation"):
            wanted.append(posted.line.held[-1].purchase.transaction.split("#")[0])
        said = ""
        for identifier in dict.fromkeys([*wanted, subject]):
            transaction = await self._service.transaction(app, identifier)
            if transaction.is_success:
                return await self._stated(app, transaction, posted, hint, now)
            said = transaction.error_message or str(transaction.error_code)
        return Reading(note=f"Roku does not know {subject}: {said}")

    async def missed(
        self, app: StoreApp, since: datetime, until: datetime, environment: Environment, now: datetime
    ) -> AsyncIterator[Caught | Question]:
        """Roku lists nothing: it sends a span anew when asked to in its dashboard."""
        nothing: tuple[Caught, ...] = ()
        for caught in nothing:
            yield caught

    async def act(self, app: StoreApp, act: Act, posted: Posted, now: datetime) -> Reading:
        """`cancel` (at the period's end) and `refund`. Roku takes our `act_id` as its reference, but keeps no count by it."""
        match act.kind:
            case "cancel":
                return await self._cancel(app, act, now)
            case "refund":
                return await self._refund(app, act, now)
        raise CannotAct(f"Roku Pay lets nobody {act.kind} a subscription from outside")

    async def _stated(self, app: StoreApp, transaction: Transaction, posted: Posted, hint: Hint, now: datetime) -> Reading:
        if app.bundle_id is not None and transaction.channel_id is not None and str(transaction.channel_id) != app.bundle_id:
            raise Untrusted(f"a transaction of the channel {transaction.channel_id}, not of {app.bundle_id}", param="channelId")
        replaced = [await self._service.transaction(app, normal(one)) for one in (transaction.cancelled_transaction_ids or ())[:MOST_REPLACED]]
        refund = await self._service.refund(app, hint.transaction) if hint.type == "Refund" else None
        known = Known(
            hint=hint,
            line=posted.line,
            products=posted.products,
            replaced=tuple(one for one in replaced if one.is_success),
            refund=refund if refund is not None and refund.is_success else None,
        )
        with answer_of("Roku"):
            return Reading(statements=read.statements(app, transaction, known, now))

    async def _cancel(self, app: StoreApp, act: Act, now: datetime) -> Reading:
        present = await self._present(app, act.subject)
        if not present.cancelled:
            answer = await self._service.cancel_subscription(app, act.subject, act.act_id, now.strftime("%Y-%m-%dT%H:%M:%S"))
            if not answer.is_success:
                raise CannotAct(f"Roku does not cancel it: {answer.error_message or answer.error_code}")
        return Reading(questions=(Question(environment=act.environment, subject=normal(act.subject)),))

    async def _refund(self, app: StoreApp, act: Act, now: datetime) -> Reading:
        transaction_id = str(act.details.get("transaction") or act.subject).split("#")[0]
        present = await self._present(app, transaction_id)
        amount = _before_tax(present, act.details.get("amount"))
        answer = await self._service.refund_subscription(app, transaction_id, act.act_id, amount, "Refunded on request")
        if not answer.is_success or answer.refund_id is None:
            raise CannotAct(f"Roku does not refund it: {answer.error_message or answer.error_code}")
        hint = f"Refund {normal(answer.refund_id)} {to_ms(now)}"
        return Reading(questions=(Question(environment=act.environment, subject=normal(act.subject), hint=hint),))

    async def _present(self, app: StoreApp, transaction_id: str) -> Transaction:
        transaction = await self._service.transaction(app, transaction_id)
        if not transaction.is_success:
            raise CannotAct(f"Roku knows no such transaction: {transaction.error_message or transaction.error_code}")
        return transaction


def _reply(app: StoreApp, opened: push.Opened) -> Reply | None:
    api_key = app.reveal("api_key")
    if opened.push is None or opened.push.response_key is None or not api_key:
        return None
    return Reply(body=opened.push.response_key.encode(), headers={"ApiKey": api_key})


def _before_tax(transaction: Transaction, wanted: str | int | None) -> Decimal:
    """What to ask for: without tax, in major units. A partial amount is told to us with tax, so it is taken down by the charge's own rate."""
    net, gross = money(transaction.amount, transaction.currency), money(transaction.total, transaction.currency)
    if net is None or net.amount <= 0:
        raise CannotAct("Roku says nothing was paid for this transaction")
    if wanted is None:
        return net.major
    share = Fraction(net.amount, gross.amount) if gross is not None and gross.amount > net.amount else Fraction(1)
    asked = Money(amount=int(wanted), currency=net.currency).times(share)
    if not 0 < asked.amount <= net.amount:
        raise CannotAct(f"{wanted} is not a part of the {net.amount} that were paid, in minor units and before tax")
    return asked.major

"""The App Store: what it signs, what it answers, and a pen for the store that stands in for it.

`jws` and `receipt` verify, `payload` is Apple's wire format, `read` turns it into statements, `server_api` asks, `connect_api` makes products in
App Store Connect, `signer` signs for the simulated store. Revocation of Apple's certificates (OCSP) is not asked; `jws` says why.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime

from perennial.base.errors import Invalid, NotFound
from perennial.base.reading import milliseconds
from perennial.base.value import replace
from perennial.customers.model import Download
from perennial.intake.model import Act, CannotAct, Caught, Envelope, NewProduct, Posted, Question, Reading, StoreApp, StoreProduct
from perennial.providers.apple import read
from perennial.providers.apple.connect_api import ConnectApi, check_credentials
from perennial.providers.apple.payload import StatusAnswer
from perennial.providers.apple.receipt import read_app_receipt
from perennial.providers.apple.server_api import ServerApi, StoreUnavailable, TransactionNotFound
from perennial.providers.apple.signer import SigningAuthority
from perennial.subscriptions.model import Environment, Statement

__all__ = ["AppStore", "SigningAuthority", "StoreUnavailable", "TransactionNotFound"]

_APPLES_NAMES: dict[Environment, str] = {"production": "Production", "sandbox": "Sandbox"}


class AppStore:
    """Apple's store as `intake.model.Provider`. One serves all apps of a process; close it at the end."""

    def __init__(self) -> None:
        self._api = ServerApi()
        self._connect = ConnectApi()

    async def close(self) -> None:
        await self._api.close()
        await self._connect.close()

    async def prepare(self, headers: Mapping[str, str], body: bytes) -> None:
        """Apple's messages bring their certificates along."""

    def open(self, app: StoreApp, body: bytes, headers: Mapping[str, str], now: datetime) -> Envelope:
        """Verify a posted notification's outer signature, and that it is for this app."""
        notification = read.verified_notification(app, body, now)
        assert notification.signed_date is not None, "verified means judged at its signedDate"
        return Envelope(
            message_id=notification.notification_uuid, kind=notification.kind, sent_at=milliseconds(notification.signed_date, "signedDate")
        )

    def read(self, app: StoreApp, body: bytes, now: datetime) -> Reading:
        """Verify everything in a posted notification and say what it states."""
        return read.read_notification(app, read.verified_notification(app, body, now), now)

    async def read_receipt(self, app: StoreApp, posted: Posted, now: datetime) -> Reading:
        """A signed transaction (StoreKit 2) or an app receipt (base64), as an SDK posts them; nothing posted beside it is believed.

        Errors name `fetch_token`.
        """
        token = posted.token.strip()
        try:
            reading = read.read_device_proof(app, token, now) if token.count(".") == 2 else read_app_receipt(app, token, now)
        except Invalid as error:
            if error.param == "bundle_id":  # the app's own setting, not what was posted
                raise
            raise type(error)(f"fetch_token: {error.message}", param="fetch_token", code=error.code) from error
        return replace(reading, download=_download(app, posted, now) or reading.download)

    def can_ask(self, app: StoreApp) -> bool:
        """Whether the app has all the App Store Server API asks for."""
        return all((app.bundle_id, app.api_key_id, app.api_issuer, app.api_private_key))

    async def ask(self, app: StoreApp, question: Question, posted: Posted, now: datetime) -> Reading:
        """The present state and history of a line, from the App Store Server API."""
        if question.hint.startswith(read.ELSEWHERE):
            return await self.find(app, question.subject, now)
        return await self.look_up(app, question.subject, question.environment, now)

    async def look_up(self, app: StoreApp, transaction: str, environment: Environment, now: datetime) -> Reading:
        """The present state and history of the line `transaction`, or of the line that holds a transaction of that id."""
        signed, is_complete = await self._api.history(app, transaction, environment, now)
        try:
            present = await self._api.statuses(app, transaction, environment, now)
        except NotFound:  # one-time purchases have no status
            present = StatusAnswer()
        statements = await asyncio.to_thread(_stated, app, signed, present, _APPLES_NAMES[environment], now)
        note = None if is_complete else f"only the {len(signed)} transactions changed last were read"
        return Reading(statements=tuple(one for one in statements if _is_about(one, transaction)), note=note)

    async def find(self, app: StoreApp, transaction: str, now: datetime) -> Reading:
        """Like `look_up`, where the environment is not known: production first, then the sandbox, as Apple advises."""
        try:
            return await self.look_up(app, transaction, "production", now)
        except TransactionNotFound:
            return await self.look_up(app, transaction, "sandbox", now)

    async def missed(
        self, app: StoreApp, since: datetime, until: datetime, environment: Environment, now: datetime, *, only_failures: bool = False
    ) -> AsyncIterator[Caught | Question]:
        """Notifications Apple sent in the span, oldest page first, each verified like a posted one."""
        async for body in self._api.notifications(app, since, until, environment, now, only_failures=only_failures):
            yield Caught(envelope=self.open(app, body, {}, now), body=body)

    async def act(self, app: StoreApp, act: Act, posted: Posted, now: datetime) -> Reading:
        """Extending a subscription is all that Apple lets a developer do; refunds and cancellations are the customer's to ask for."""
        if act.kind != "extend":
            raise CannotAct(f"the App Store lets nobody but the customer {act.kind} a purchase; only its renewal date can be extended")
        try:
            await self._api.extend(
                app,
                act.subject,
                act.environment,
                now,
                days=int(act.details["days"]),
                reason=int(act.details.get("reason_code", 0)),
                request=act.act_id,
            )
        except (Invalid, NotFound) as error:
            raise CannotAct(error.message, param=error.param) from error
        return Reading(questions=(Question(environment=act.environment, subject=act.subject),))

    def check_creation(self, app: StoreApp) -> None:
        """Whether the app has all App Store Connect asks for: `Conflict` names what is missing."""
        check_credentials(app)

    async def create(self, app: StoreApp, wanted: NewProduct, now: datetime) -> StoreProduct:
        """A subscription in its group, or a one-time purchase. Price and texts are still to be entered, and Apple reviews it."""
        if wanted.type == "subscription":
            return await self._connect.create_subscription(app, wanted, now)
        return await self._connect.create_purchase(app, wanted, now)

    async def request_test_notification(self, app: StoreApp, environment: Environment, now: datetime) -> str:
        """Have Apple post a TEST notification; gives Apple's token for it."""
        return await self._api.request_test_notification(app, environment, now)


def _is_about(statement: Statement, transaction: str) -> bool:
    return statement.line == transaction or any(purchase.transaction == transaction for purchase in statement.purchases)


def _download(app: StoreApp, posted: Posted, now: datetime) -> Download | None:
    """An app transaction that does not hold costs nobody the purchase it came with."""
    if posted.app_transaction is None:
        return None
    try:
        return read.read_download(app, posted.app_transaction.strip(), now)
    except Invalid:
        return None


def _stated(app: StoreApp, signed: Iterable[str], present: StatusAnswer, environment: str, now: datetime) -> tuple[Statement, ...]:
    """Verify and translate an answer, line by line."""
    history = [read.statement(app, read.verified_transaction(app, token, now, environment=environment), None) for token in signed]
    return read.gathered([*history, *_present_statements(app, present, environment, now)])


def _present_statements(app: StoreApp, present: StatusAnswer, environment: str, now: datetime) -> Iterable[Statement]:
    for item in (item for group in present.data for item in group.last_transactions):
        transaction = read.verified_transaction(app, item.signed_transaction_info, now, environment=environment)
        token = item.signed_renewal_info
        renewal = read.verified_renewal(app, token, transaction, now) if token is not None else None
        yield read.statement(app, transaction, renewal, status=item.status)

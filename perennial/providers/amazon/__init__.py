"""The Amazon Appstore: notifications by Amazon SNS, receipts by the Receipt Verification Service.

`sns` verifies who sent a notification, `rvs` asks what a receipt is worth, `read` turns it into statements, `payload` is the wire format.
A notification decides nothing: it names a receipt, and the receipt is asked for.

Settings: `sns_topic_arn` (the topic Amazon's console names; messages of no other are taken), `rvs_sandbox` (`yes`: what production does not
know is asked of the sandbox, where App Tester's receipts are; for development only). Secrets: `shared_secret` (the developer's). The app's
`bundle_id` is its package name. Set the shared secret before the notification address: confirming the subscription is a question like others.

A question's subject is a line's key, `<receiptId>@<userId>`, or `confirm:<url>`. Its hint is the notification's type and, where another
receipt was replaced, ` replaces <receiptId>`; several hints stand on lines of their own.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from perennial.base.errors import Invalid, NotConfigured, Unavailable
from perennial.base.http import Http
from perennial.base.reading import answer_of, decode
from perennial.intake.model import Act, CannotAct, Caught, Envelope, Posted, Question, Reading, StoreApp, Untrusted
from perennial.providers.amazon import read, rvs, sns
from perennial.providers.amazon.payload import Notification, SnsMessage
from perennial.subscriptions.model import Environment, Line, Statement

__all__ = ["AmazonAppstore"]

_CONFIRM = "confirm:"
_REPLACES = " replaces "


class AmazonAppstore:
    """Amazon's store as `intake.model.Provider`. One serves all apps of a process; close it at the end.

    `sns_address` stands in for every host of SNS: a simulated store's.
    """

    def __init__(self, *, sns_address: str | None = None) -> None:
        self._http = Http("Amazon")
        self._sns_address = sns_address
        self._certificates = sns.Certificates(self._http, sns_address)

    async def close(self) -> None:
        await self._http.close()

    async def prepare(self, headers: Mapping[str, str], body: bytes) -> None:
        """Fetch the certificate the message names, where it lies at Amazon SNS."""
        try:
            message = sns.parse(body)
        except Invalid:
            return  # `open` says what is wrong with it
        await self._certificates.fetch(message.signing_cert_url)

    def open(self, app: StoreApp, body: bytes, headers: Mapping[str, str], now: datetime) -> Envelope:
        """Verify that SNS sent it, for this app's topic and package, and lately."""
        message = sns.parse(body)
        topic = app.settings.get("sns_topic_arn")
        if not topic:
            raise NotConfigured("the app has no `sns_topic_arn`; copy it from Amazon's developer console", param="sns_topic_arn")
        if message.topic_arn != topic:
            raise Untrusted(f"of the topic {message.topic_arn!r}, not of {topic!r}", param="TopicArn")
        sent_at = sns.verify(message, self._certificates.get(message.signing_cert_url), now)
        notification = _notification(message)
        if notification is not None and app.bundle_id is not None and notification.app_package_name != app.bundle_id:
            raise Untrusted(f"about the app {notification.app_package_name!r}, not {app.bundle_id!r}", param="appPackageName")
        kind = notification.notification_type if notification is not None else message.type
        return Envelope(message_id=message.message_id, kind=kind, sent_at=sent_at)

    def read(self, app: StoreApp, body: bytes, now: datetime) -> Reading:
        """Which receipts to ask about. The signature was verified by `open`; the certificate is not at hand any more."""
        message = sns.parse(body)
        if message.type == "SubscriptionConfirmation" and message.subscribe_url is not None:
            return Reading(questions=(Question(environment="production", subject=_CONFIRM + message.subscribe_url),))
        if message.type != "Notification":
            return Reading(note=f"{message.type}: nothing to do")
        notification = _notification(message)
        if notification is None:
            raise Invalid("the message within is not a real-time notification", param="Message")
        return Reading(questions=_questions(notification))

    async def read_receipt(self, app: StoreApp, posted: Posted, now: datetime) -> Reading:
        """A receipt id, with the Amazon user id beside it."""
        if not posted.token or not posted.store_user_id:
            raise Invalid("Amazon verifies a receipt only with the Amazon user id; post `store_user_id`", param="store_user_id")
        said = await rvs.verify(self._http, app, posted.store_user_id, posted.token, None)
        if not isinstance(said, rvs.Verified):
            raise Invalid("Amazon knows no such receipt of this user", param="fetch_token")
        with answer_of("Amazon"):
            stated = read.statement(app, said.receipt, posted.store_user_id, posted, now, is_sandbox=said.is_sandbox)
        return Reading(statements=(stated,), should_consume=read.should_consume(said.receipt))

    async def receipt_data(self, app: StoreApp, user_id: str, receipt_id: str) -> Mapping[str, Any]:
        """Amazon's JSON about a receipt: a device learns `termSku` here, which the store's own SDK does not tell it."""
        said = await rvs.verify(self._http, app, user_id, receipt_id, None)
        if not isinstance(said, rvs.Verified):
            raise Invalid("Amazon knows no such receipt of this user", param="receipt_id", code=7103)
        with answer_of("Amazon"):
            known: Mapping[str, Any] = decode(said.raw, dict[str, Any])
        return known

    def can_ask(self, app: StoreApp) -> bool:
        return bool(app.secrets.get("shared_secret"))

    async def ask(self, app: StoreApp, question: Question, posted: Posted, now: datetime) -> Reading:
        """The present state of a receipt, and of the one its line lives on; or the confirmation of a subscription to the topic."""
        if question.subject.startswith(_CONFIRM):
            return await self._confirm(app, question.subject.removeprefix(_CONFIRM))
        replaced = tuple(dict.fromkeys(hint.partition(_REPLACES)[2] for hint in question.hint.splitlines() if _REPLACES in hint))
        keys = dict.fromkeys([question.subject, *([read.latest_key(posted.line)] if posted.line is not None and posted.line.held else [])])
        statements, notes = [], []
        for key in keys:
            said = await self._state(app, key, question.environment, posted, now, replaced if key == question.subject else ())
            if isinstance(said, Statement):
                statements.append(said)
            else:
                notes.append(said)
        return Reading(statements=tuple(statements), note="; ".join(notes) or None)

    async def missed(
        self, app: StoreApp, since: datetime, until: datetime, environment: Environment, now: datetime
    ) -> AsyncIterator[Caught | Question]:
        """Amazon remembers nothing it sent, and lists no receipts."""
        nothing: tuple[Caught, ...] = ()
        for caught in nothing:
            yield caught

    async def act(self, app: StoreApp, act: Act, posted: Posted, now: datetime) -> Reading:
        raise CannotAct(f"Amazon lets nobody but the customer and itself {act.kind} a purchase")

    async def _state(
        self, app: StoreApp, key: str, environment: Environment, posted: Posted, now: datetime, replaced: tuple[str, ...]
    ) -> Statement | str:
        receipt_id, user_id = read.parts(key)
        said = await rvs.verify(self._http, app, user_id, receipt_id, environment)
        if isinstance(said, rvs.Verified):
            return read.statement(app, said.receipt, user_id, posted, now, is_sandbox=said.is_sandbox, replaced=replaced)
        if said == "gone" and isinstance(posted.line, Line) and (ended := read.gone(app, posted.line, receipt_id, now)) is not None:
            return ended
        return f"Amazon says of {receipt_id}: {said}"

    async def _confirm(self, app: StoreApp, url: str) -> Reading:
        if not sns.is_confirmation_address(url, app.settings.get("sns_topic_arn", "")):
            raise Invalid("not an address that confirms a subscription to the app's topic at Amazon SNS", param="SubscribeURL")
        answer = await self._http.call("GET", sns.address(url, self._sns_address), largest=64 * 1024)
        if not answer.is_success:
            raise Unavailable(f"Amazon SNS answered {answer.status} to the confirmation; send it anew from the console")
        return Reading(note="the subscription to the topic is confirmed")


def _notification(message: SnsMessage) -> Notification | None:
    """The notification within, where there is one that can be read."""
    if message.type != "Notification":
        return None
    try:
        return decode(message.message, Notification)
    except Invalid:
        return None


def _questions(notification: Notification) -> tuple[Question, ...]:
    """Live App Testing (`betaProductTransaction`) is of the sandbox, though production answers for it."""
    environment: Environment = "sandbox" if notification.beta_product_transaction else "production"
    replaced = notification.related_receipts.cancelled_receipt_id if notification.related_receipts is not None else None
    hint = notification.notification_type + (f"{_REPLACES}{replaced}" if replaced else "")
    asked = [Question(environment=environment, subject=read.line_key(notification.receipt_id, notification.app_user_id), hint=hint)]
    if replaced:
        asked.append(
            Question(environment=environment, subject=read.line_key(replaced, notification.app_user_id), hint=notification.notification_type)
        )
    return tuple(asked)

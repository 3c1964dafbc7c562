"""The App Store Server API of the simulated store, as an ASGI application: the real client asks it like Apple.

It is mounted where the path goes on with an app's id: `/simulated/app_store/{app_id}/inApps/...`. Bearer tokens are checked as Apple
checks them, against the key made when the app opted in. What an answer signs is signed anew, at a moment of its own.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from perennial import catalog, intake
from perennial.base.db import Database, Tx
from perennial.base.errors import Conflict, Invalid, NotFound, Unavailable
from perennial.base.reading import decode
from perennial.base.secrets import Vault
from perennial.base.time import EPOCH, to_ms
from perennial.base.value import value
from perennial.intake.model import StoreApp
from perennial.providers.simulated.app_store import actions, db, payloads, rules
from perennial.providers.simulated.app_store.actions import Pen
from perennial.providers.simulated.app_store.model import Credentials, Payload, Sent, Subscription
from perennial.providers.simulated.asgi import read, respond

PAGE = 20
AUDIENCE = "appstoreconnect-v1"
LONGEST_TOKEN = timedelta(minutes=60)

_TRANSACTION_NOT_FOUND = 4040010
_BAD_REQUEST = 4000000
_TWO_FILTERS = 4000019
_TEST_NOT_FOUND = 4040008
_NOT_EXTENDABLE = 4030004
_PATH = re.compile(r"/(?P<app_id>app_[0-9A-Za-z]+)(?P<call>/inApps/.*)")
_LEEWAY = timedelta(minutes=5)


@value
class Request:
    method: str
    call: str  # the path from /inApps on
    query: Mapping[str, str]
    body: bytes
    authorization: str

    def __repr__(self) -> str:
        return f"Request({self.method})"


@value
class Answer:
    status: int
    body: Payload | None = None  # none: a 401 has no body


class Refused(Exception):
    """An error in Apple's numbers."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.answer = Answer(status=code // 10_000, body={"errorCode": code, "errorMessage": message})


@value
class Counter:
    """Everything a call needs: the transaction, the app, and the pen to sign the answer."""

    tx: Tx
    vault: Vault
    app: StoreApp
    pen: Pen


# The application --------------------------------------------------------------------------------------------------------------


class AppStoreServer:
    """The ASGI application."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        found = _PATH.search(scope["path"])
        body = await read(receive)
        headers = {name.lower(): content for name, content in scope["headers"]}
        if found is None or body is None:
            return await _send(send, Answer(status=404 if found is None else 413))
        request = Request(
            method=scope["method"],
            call=found["call"].rstrip("/"),  # where it is mounted a slash is added
            query=dict(parse_qsl(scope["query_string"].decode("ascii", "replace"))),
            body=body,
            authorization=headers.get(b"authorization", b"").decode("ascii", "replace"),
        )
        await _send(send, await answer(self._database, self._vault, found["app_id"], request))


async def _send(send: Any, answer: Answer) -> None:
    await respond(send, answer.status, msgspec.json.encode(answer.body) if answer.body is not None else b"")


async def answer(database: Database, vault: Vault, app_id: str, request: Request) -> Answer:
    """What the store's API says to a request about an app."""
    project_id = await catalog.project_of_app(database, app_id)
    if project_id is None:
        return Answer(status=401)
    try:
        async with database.transaction(project_id) as tx:
            app, pens = (await intake.store_apps(tx, vault, [app_id]))[app_id], await actions.pens(tx, vault, [app_id])
            if app_id not in pens or not app.simulated_roots or not is_authorized(request.authorization, pens[app_id].credentials, app, tx.now):
                return Answer(status=401)
            return await _route(Counter(tx=tx, vault=vault, app=app, pen=pens[app_id]), request)
    except Refused as refused:
        return refused.answer
    except NotFound as error:
        return Refused(_TRANSACTION_NOT_FOUND, error.message).answer
    except Conflict as error:
        return Refused(_NOT_EXTENDABLE, error.message).answer
    except Invalid as error:
        return Refused(_BAD_REQUEST, error.message).answer
    except Unavailable as error:
        return Refused(5000001, error.message).answer


# Who asks ---------------------------------------------------------------------------------------------------------------------


def is_authorized(authorization: str, credentials: Credentials, app: StoreApp, now: datetime) -> bool:
    """Apple's rules: ES256 with the key named, for this issuer, audience and bundle, living at most an hour, and now."""
    scheme, _, token = authorization.partition(" ")
    try:
        header, claims, signature = token.split(".")
        said, claimed = (decode(_unbase64(part), dict[str, Any]) for part in (header, claims))
        raw = _unbase64(signature)
    except (ValueError, Invalid):
        return False
    if scheme != "Bearer" or len(raw) != 64:
        return False
    if said.get("alg") != "ES256" or said.get("kid") != credentials.key_id:
        return False
    return _is_signed(credentials, f"{header}.{claims}".encode(), raw) and _claims_hold(claimed, credentials, app, now)


def _is_signed(credentials: Credentials, covered: bytes, raw: bytes) -> bool:
    key = load_pem_private_key(credentials.private_key.encode(), password=None)
    assert isinstance(key, EllipticCurvePrivateKey), "opting in made this key"
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    try:
        key.public_key().verify(signature, covered, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _claims_hold(claims: Mapping[str, object], credentials: Credentials, app: StoreApp, now: datetime) -> bool:
    issued, expires = claims.get("iat"), claims.get("exp")
    if (claims.get("iss"), claims.get("aud"), claims.get("bid")) != (credentials.issuer, AUDIENCE, app.bundle_id):
        return False
    if not isinstance(issued, int) or not isinstance(expires, int):
        return False
    seconds = (now - EPOCH).total_seconds()
    return issued <= seconds + _LEEWAY.total_seconds() and seconds < expires <= issued + LONGEST_TOKEN.total_seconds()


def _unbase64(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


# The calls --------------------------------------------------------------------------------------------------------------------

Call = Callable[[Counter, Request, str], Awaitable[Payload]]


async def _route(counter: Counter, request: Request) -> Answer:
    for method, pattern, call in _CALLS:
        if request.method == method and (found := pattern.fullmatch(request.call)):
            return Answer(status=200, body=await call(counter, request, found[1] if pattern.groups else ""))
    return Answer(status=404)


async def _statuses(counter: Counter, request: Request, transaction: str) -> Payload:
    line, signed_at = await _look(counter, transaction)
    data: list[Payload] = []
    if line.type == "Auto-Renewable Subscription":
        last: Payload = {
            "originalTransactionId": line.store_line,
            "status": payloads.status(line),
            "signedTransactionInfo": _signed(counter, payloads.transaction_payload(line, payloads.current(line), signed_at)),
            "signedRenewalInfo": counter.pen.authority.sign(payloads.renewal_payload(line, signed_at)),
        }
        data = [{"subscriptionGroupIdentifier": payloads.GROUP, "lastTransactions": [last]}]
    return _about(counter) | {"data": data}


async def _history(counter: Counter, request: Request, transaction: str) -> Payload:
    """Ordered by what changed last; a page of 20; `revision` says where the next begins."""
    line, signed_at = await _look(counter, transaction)
    charges = sorted(line.charges, key=lambda charge: (charge.changed_at, charge.transaction), reverse=request.query.get("sort") == "DESCENDING")
    if "productId" in request.query:
        charges = [charge for charge in charges if charge.product == request.query["productId"]]
    if "revoked" in request.query:
        charges = [charge for charge in charges if (charge.revoked is not None) == (request.query["revoked"] == "true")]
    start = _whole(request.query.get("revision", "0"))
    page = charges[start : start + PAGE]
    return _about(counter) | {
        "revision": str(start + len(page)),
        "hasMore": start + PAGE < len(charges),
        "signedTransactions": [_signed(counter, payloads.transaction_payload(line, charge, signed_at)) for charge in page],
    }


async def _one_transaction(counter: Counter, request: Request, transaction: str) -> Payload:
    line, signed_at = await _look(counter, transaction)
    return {"signedTransactionInfo": _signed(counter, payloads.transaction_payload(line, rules.find_charge(line, transaction), signed_at))}


async def _notification_history(counter: Counter, request: Request, _: str) -> Payload:
    wanted = _decode(request.body)
    if "transactionId" in wanted and "notificationType" in wanted:
        raise Refused(_TWO_FILTERS, "Only one of transactionId and notificationType may be given.")
    if not all(isinstance(wanted.get(name, 0), int) for name in ("startDate", "endDate")):
        raise Invalid("startDate and endDate are whole numbers, in milliseconds since 1970")
    sent = await actions.notification_history(counter.tx, counter.vault, counter.app.app_id)
    found = [(one, body) for one, body in sent if _is_wanted(one, wanted)]
    start = _whole(request.query.get("paginationToken", "0"))
    page = found[start : start + PAGE]
    has_more = start + PAGE < len(found)
    token = {"paginationToken": str(start + PAGE)} if has_more else {}
    return token | {"hasMore": has_more, "notificationHistory": [_history_item(one, body) for one, body in page]}


def _is_wanted(one: Sent, wanted: Payload) -> bool:
    draft, moment = one.draft, to_ms(one.draft.signed_at)
    return (
        wanted.get("startDate", moment) <= moment <= wanted.get("endDate", moment)
        and wanted.get("notificationType", draft.type) == draft.type
        and wanted.get("notificationSubtype", draft.subtype) == draft.subtype
        and ("transactionId" not in wanted or (draft.transaction or {}).get("originalTransactionId") == rules.line_of(str(wanted["transactionId"])))
        and not (wanted.get("onlyFailures") and one.is_delivered)
    )


def _history_item(one: Sent, body: bytes) -> Payload:
    result = "SUCCESS" if one.is_delivered else "NO_RESPONSE"
    attempts = [{"attemptDate": to_ms(one.draft.signed_at), "sendAttemptResult": result}] * max(1, one.attempts)
    return msgspec.json.decode(body, type=dict[str, Any]) | {"sendAttempts": attempts}


async def _request_test(counter: Counter, request: Request, _: str) -> Payload:
    return {"testNotificationToken": await actions.test_notification(counter.tx, counter.app.app_id)}


async def _test_status(counter: Counter, request: Request, token: str) -> Payload:
    sent = await actions.notification_history(counter.tx, counter.vault, counter.app.app_id)
    found = [_history_item(one, body) for one, body in sent if one.draft.uuid == token and one.draft.type == "TEST"]
    if not found:
        raise Refused(_TEST_NOT_FOUND, "Test notification not found.")
    return found[0]


async def _extend(counter: Counter, request: Request, transaction: str) -> Payload:
    days = _decode(request.body).get("extendByDays")
    if not isinstance(days, int):
        raise Invalid("extendByDays must be a whole number", param="extendByDays")
    line = await actions.extend(counter.tx, counter.app.app_id, rules.line_of(transaction), days)
    charge = payloads.current(line)
    assert charge.expires_at is not None, "what was extended ends"
    return {"originalTransactionId": line.store_line, "success": True, "effectiveDate": to_ms(charge.expires_at)}


async def _look(counter: Counter, transaction: str) -> tuple[Subscription, datetime]:
    """The line as it is now, and a moment to sign it at, that no other word on it has."""
    line = await actions.require_line(counter.tx, counter.app.app_id, rules.line_of(transaction))
    rules.find_charge(line, transaction)
    line, signed_at = rules.sign_moment(rules.play(line, counter.tx.now), counter.tx.now)
    await db.save(counter.tx, [line], [rules.next_moment(line)])
    return line, signed_at


def _about(counter: Counter) -> Payload:
    return {"environment": payloads.ENVIRONMENT, "bundleId": counter.app.bundle_id, "appAppleId": counter.app.app_apple_id}


def _signed(counter: Counter, payload: Payload) -> str:
    return payloads.sign_transaction(counter.pen.authority, counter.app, payload)


def _decode(body: bytes) -> Payload:
    try:
        return decode(body or b"{}", dict[str, Any])
    except Invalid as error:
        raise Invalid(f"the body is not a JSON object: {error.message}") from error


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid("not a token this API gave")
    return int(text)


_CALLS: tuple[tuple[str, re.Pattern[str], Call], ...] = (
    ("GET", re.compile(r"/inApps/v1/subscriptions/(\d+)"), _statuses),
    ("GET", re.compile(r"/inApps/v2/history/(\d+)"), _history),
    ("GET", re.compile(r"/inApps/v1/transactions/(\d+)"), _one_transaction),
    ("POST", re.compile(r"/inApps/v1/notifications/history"), _notification_history),
    ("POST", re.compile(r"/inApps/v1/notifications/test"), _request_test),
    ("GET", re.compile(r"/inApps/v1/notifications/test/([0-9a-f-]+)"), _test_status),
    ("PUT", re.compile(r"/inApps/v1/subscriptions/extend/(\d+)"), _extend),
)

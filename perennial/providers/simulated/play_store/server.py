"""The API of the simulated Google Play, as an ASGI application: the real provider asks it like Google's.

It is mounted where the path goes on with an app's id: `/simulated/play_store/{app_id}/...`. `/token` gives access tokens for the service account
made when the app opted in, by Google's rules; the rest is the Android Publisher API, as far as the provider calls it, with Google's errors.
"""

import hmac
import re
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from perennial import catalog, intake
from perennial.base.db import Database, Tx
from perennial.base.errors import Conflict, Invalid, NotFound
from perennial.base.reading import decode
from perennial.base.secrets import Vault
from perennial.base.time import to_ms
from perennial.base.value import value
from perennial.intake.model import StoreApp
from perennial.providers.google.api import service_account
from perennial.providers.simulated.asgi import read, respond
from perennial.providers.simulated.play_store import actions, db, payloads, rules
from perennial.providers.simulated.play_store.model import Life
from perennial.providers.simulated.play_store.payloads import Body

MOST_LIVES = 1000  # that a list of voided purchases looks through
VOIDED_PAGE = 100
TOKEN_LIFE = timedelta(hours=1)
_LEEWAY = timedelta(minutes=5)
_PATH = re.compile(r"/(?P<app_id>app_[0-9A-Za-z]+)(?P<call>/(?:token|androidpublisher/v3/applications/.+))")
_DURATION = re.compile(r"(\d{1,9})(?:\.\d+)?s", re.ASCII)


@value
class Request:
    method: str
    call: str  # the path after the package name, unquoted where it names something
    query: Mapping[str, Sequence[str]]
    body: bytes
    authorization: str

    def __repr__(self) -> str:
        return f"Request({self.method})"


@value
class Answer:
    status: int
    body: Body


class Refused(Exception):
    """An error as Google writes it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        error = {"code": status, "message": message, "errors": [{"domain": "androidpublisher", "reason": reason, "message": message}]}
        self.answer = Answer(status=status, body={"error": error})


@value
class Counter:
    """Everything a call needs."""

    tx: Tx
    app: StoreApp


# The application --------------------------------------------------------------------------------------------------------------


class PlayServer:
    """The ASGI application."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        found = _PATH.search(scope["path"])
        body = await read(receive)
        if found is None or body is None:
            return await _send(send, Refused(404 if found is None else 413, "notFound", "no such call").answer)
        headers = {name.lower(): content for name, content in scope["headers"]}
        request = Request(
            method=scope["method"],
            call=found["call"].rstrip("/"),  # where it is mounted a slash is added
            query=parse_qs(scope["query_string"].decode("ascii", "replace")),
            body=body,
            authorization=headers.get(b"authorization", b"").decode("ascii", "replace"),
        )
        await _send(send, await answer(self._database, self._vault, found["app_id"], request))


async def _send(send: Any, answer: Answer) -> None:
    await respond(send, answer.status, msgspec.json.encode(answer.body))


async def answer(database: Database, vault: Vault, app_id: str, request: Request) -> Answer:
    """What Google's API says to a request about an app."""
    project_id = await catalog.project_of_app(database, app_id)
    if project_id is None:
        return _NOT_AUTHORIZED
    try:
        async with database.transaction(project_id) as tx:
            app = (await intake.store_apps(tx, vault, [app_id]))[app_id]
            if not actions.is_simulated(app):
                return _NOT_AUTHORIZED
            if request.call == "/token":
                return Answer(status=200, body=_grant(app, request, tx.now))
            if not is_authorized(app, request.authorization, tx.now):
                return _NOT_AUTHORIZED
            return Answer(status=200, body=await _route(Counter(tx=tx, app=app), request))
    except Refused as refused:
        return refused.answer
    except NotFound as error:
        return Refused(404, "purchaseTokenNotFound", error.message).answer
    except (Conflict, Invalid) as error:
        return Refused(400, "invalid", error.message).answer


_NOT_AUTHORIZED = Refused(401, "authError", "Invalid Credentials").answer


# Access tokens ----------------------------------------------------------------------------------------------------------------


def _grant(app: StoreApp, request: Request, now: datetime) -> Body:
    """An access token for an assertion the service account signed: for this address, living now and at most an hour."""
    form = parse_qs(request.body.decode("ascii", "replace"))
    claims = _asserted(app, form.get("assertion", [""])[0])
    seconds, leeway = to_ms(now) // 1000, int(_LEEWAY.total_seconds())
    issued, expires = claims.get("iat"), claims.get("exp")
    is_for_us = claims.get("iss") == service_account(app).client_email and claims.get("aud") == f"{app.api_base_url}/token"
    if not is_for_us or not isinstance(issued, int) or not isinstance(expires, int):
        raise Refused(400, "invalid_grant", "Invalid JWT Signature.")
    if not issued <= seconds + leeway or not seconds < expires <= issued + 3600:
        raise Refused(400, "invalid_grant", "Invalid JWT: iat and exp must be now, and within an hour.")
    until = to_ms(now + TOKEN_LIFE)
    return {"access_token": f"{until}.{_stamp(app, until)}", "expires_in": int(TOKEN_LIFE.total_seconds()), "token_type": "Bearer"}


def _asserted(app: StoreApp, assertion: str) -> Mapping[str, Any]:
    try:
        header, claims, signature = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in assertion.split("."))
        key = service_account(app).private_key.public_key()
        key.verify(signature, assertion.rpartition(".")[0].encode(), PKCS1v15(), SHA256())
        if decode(header, dict[str, Any]).get("alg") != "RS256":
            raise ValueError("another algorithm")
        return decode(claims, dict[str, Any])
    except (ValueError, InvalidSignature, Invalid) as error:
        raise Refused(400, "invalid_grant", "Invalid JWT Signature.") from error


def is_authorized(app: StoreApp, authorization: str, now: datetime) -> bool:
    """Whether the bearer token is one that was given here, and not yet past its hour."""
    scheme, _, token = authorization.partition(" ")
    until, _, stamp = token.partition(".")
    if scheme != "Bearer" or not (until.isascii() and until.isdigit() and len(until) < 16):
        return False
    return hmac.compare_digest(stamp.encode(), _stamp(app, int(until)).encode()) and to_ms(now) < int(until)


def _stamp(app: StoreApp, until: int) -> str:
    return hmac.new(app.reveal("service_account").encode(), str(until).encode(), sha256).hexdigest()


# The calls --------------------------------------------------------------------------------------------------------------------

Call = Callable[[Counter, Request, str], Awaitable[Body]]


async def _route(counter: Counter, request: Request) -> Body:
    package, _, rest = request.call.removeprefix("/androidpublisher/v3/applications/").partition("/")
    if unquote(package) != counter.app.bundle_id:
        raise Refused(404, "applicationNotFound", f"No application was found for the given package name {unquote(package)!r}.")
    for method, pattern, call in _CALLS:
        if request.method == method and (found := pattern.fullmatch(f"/{rest}")):
            return await call(counter, request, unquote(found[1]) if pattern.groups else "")
    raise Refused(404, "notFound", "no such call")


async def _life(counter: Counter, subject: str) -> Life:
    life = await db.find(counter.tx, counter.app.app_id, actions.code_of(subject))
    if life is None:
        raise NotFound(f"The purchase {subject!r} was not found.")
    return rules.play(life, counter.tx.now)


async def _subscription(counter: Counter, request: Request, token: str) -> Body:
    life = await _life(counter, token)
    if not rules.is_subscription(life):
        raise Refused(400, "invalid", "The purchase token is not of a subscription.")
    return payloads.subscription(life, rules.find_token(life, token))


async def _product(counter: Counter, request: Request, token: str) -> Body:
    life = await _life(counter, token)
    if rules.is_subscription(life):
        raise Refused(400, "invalid", "The purchase token is not of a one-time product.")
    return payloads.product(life, rules.find_token(life, token))


async def _act(counter: Counter, token: str, work: actions.Act) -> Body:
    await actions.act(counter.tx, counter.app.app_id, token, work)
    return {}


async def _acknowledge(counter: Counter, request: Request, token: str) -> Body:
    return await _act(counter, token, lambda life: rules.acknowledge(life, rules.find_token(life, token)))


async def _consume(counter: Counter, request: Request, token: str) -> Body:
    return await _act(counter, token, lambda life: rules.consume(life, counter.tx.now))


async def _cancel(counter: Counter, request: Request, token: str) -> Body:
    by_developer = _member(request, "cancellationContext").get("cancellationType") == "DEVELOPER_REQUESTED_STOP_PAYMENTS"
    return await _act(counter, token, lambda life: rules.cancel(_living(life, token), counter.tx.now, by="developer" if by_developer else "user"))


async def _revoke(counter: Counter, request: Request, token: str) -> Body:
    if "fullRefund" not in _member(request, "revocationContext"):
        raise Refused(400, "invalid", "the simulated Google Play revokes with fullRefund alone")
    return await _act(counter, token, lambda life: rules.refund(_living(life, token), None, counter.tx.now, revoke=True))


async def _defer(counter: Counter, request: Request, token: str) -> Body:
    context = _member(request, "deferralContext")
    duration = _DURATION.fullmatch(str(context.get("deferDuration")))
    if duration is None:
        raise Refused(400, "invalid", "deferDuration must look like 604800s")

    def moved(life: Life) -> Life:
        if context.get("etag") != payloads.etag(life):
            raise Refused(400, "etagMismatch", "The etag does not match the latest one of this subscription.")
        return rules.defer(_living(life, token), timedelta(seconds=int(duration[1])), counter.tx.now)

    return await _act(counter, token, moved)


def _living(life: Life, token: str) -> Life:
    """What is done to a token that another took the place of is refused."""
    if rules.find_token(life, token) is not life.newest:
        raise Refused(400, "subscriptionExpired", "The subscription was replaced by another.")
    return life


async def _order(counter: Counter, request: Request, order_id: str) -> Body:
    life = await _life(counter, order_id)
    return payloads.order(life, rules.find_order(life, order_id))


async def _orders(counter: Counter, request: Request, _: str) -> Body:
    """All of them, or none."""
    return {"orders": [await _order(counter, request, order_id) for order_id in request.query.get("orderIds", ())]}


async def _refund(counter: Counter, request: Request, order_id: str) -> Body:
    revoke = request.query.get("revoke", ["false"])[0] == "true"
    return await _act(counter, order_id, lambda life: rules.refund(life, order_id, counter.tx.now, revoke=revoke))


async def _voided(counter: Counter, request: Request, _: str) -> Body:
    """Of one-time purchases, and of subscriptions where `type` is 1; a page of a hundred, in the order they were voided."""
    since, until, start = (_whole(request, name, default) for name, default in (("startTime", 0), ("endTime", to_ms(counter.tx.now)), ("token", 0)))
    with_subscriptions = request.query.get("type", ["0"])[0] == "1"
    lives = await actions.lives(counter.tx, counter.app.app_id, limit=MOST_LIVES)
    found = [
        (order.voided_at, payloads.voided(life, order))
        for life in lives
        if with_subscriptions or not rules.is_subscription(life)
        for order in life.orders
        if order.voided_at is not None and since <= to_ms(order.voided_at) <= until
    ]
    page = [body for _, body in sorted(found, key=lambda one: (one[0], one[1]["orderId"]))][start : start + VOIDED_PAGE]
    has_more = len(found) > start + VOIDED_PAGE
    return {"voidedPurchases": page} | ({"tokenPagination": {"nextPageToken": str(start + VOIDED_PAGE)}} if has_more else {})


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, [str(default)])[0]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Refused(400, "invalid", f"{name} must be a whole number")
    return int(text)


def _member(request: Request, name: str) -> Mapping[str, Any]:
    try:
        found = decode(request.body or b"{}", dict[str, Any]).get(name)
    except Invalid as error:
        raise Refused(400, "badRequest", "the body is not a JSON object") from error
    if not isinstance(found, dict):
        raise Refused(400, "required", f"{name} is required")
    return found


_TOKENS = "/purchases/subscriptionsv2/tokens/([^/:]+)"
_CALLS: tuple[tuple[str, re.Pattern[str], Call], ...] = (
    ("GET", re.compile(_TOKENS), _subscription),
    ("POST", re.compile(f"{_TOKENS}:cancel"), _cancel),
    ("POST", re.compile(f"{_TOKENS}:revoke"), _revoke),
    ("POST", re.compile(f"{_TOKENS}:defer"), _defer),
    ("POST", re.compile(r"/purchases/(?:subscriptions|products)/[^/]+/tokens/([^/:]+):acknowledge"), _acknowledge),
    ("POST", re.compile(r"/purchases/products/[^/]+/tokens/([^/:]+):consume"), _consume),
    ("GET", re.compile(r"/purchases/productsv2/tokens/([^/:]+)"), _product),
    ("GET", re.compile(r"/purchases/voidedpurchases"), _voided),
    ("GET", re.compile(r"/orders:batchGet"), _orders),
    ("GET", re.compile(r"/orders/([^/:]+)"), _order),
    ("POST", re.compile(r"/orders/([^/:]+):refund"), _refund),
)

"""The Android Publisher API: asking Google instead of believing a notification.

Google's own clients are synchronous or read the machine's clock, so this is ours: httpx, one pool of connections, a dozen calls. A service
account's key signs a request for an access token, which is kept until shortly before it runs out.

Passing trouble is tried again here for a second or two (409 concurrentUpdate, 5xx, a broken connection); what lasts longer, and 429, is the
caller's to ask again later. Sources: the discovery document of androidpublisher v3 (revision 20261026); Google Identity, "Using OAuth 2.0 for
server to server applications".
"""

import asyncio
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import NoReturn, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from perennial.base.errors import Conflict, Invalid, NotConfigured, NotFound, Unavailable
from perennial.base.http import concealed
from perennial.base.reading import answer_of, decode
from perennial.base.secrets import Secret
from perennial.base.time import perf_counter, to_ms
from perennial.base.value import value
from perennial.intake.model import StoreApp
from perennial.providers.google.payload import (
    AccessToken,
    ErrorAnswer,
    ErrorBody,
    Nothing,
    Order,
    Orders,
    ProductPurchase,
    ProductPurchaseV1,
    Subscription,
    VoidedPurchase,
    VoidedPurchases,
)

ADDRESS = "https://androidpublisher.googleapis.com"
TOKEN_ADDRESS = "https://oauth2.googleapis.com/token"  # noqa: S105  an address
PUBLISHER_SCOPE = "https://www.googleapis.com/auth/androidpublisher"
MOST_ORDERS = 100  # of one batch; Google takes 1000, in an address that grows with them
MOST_BATCHES = 3  # of one question: three years of weekly orders, and what is beside them
MOST_VOIDED_PAGES = 1000  # of 1000 purchases
VOIDED_KEPT = timedelta(days=30)

PAUSES = (0.3, 1.0)  # seconds before the second and the third attempt

_ATTEMPTS = 3
_LARGEST_ANSWER = 16 * 1024 * 1024
_TIMEOUT = httpx.Timeout(20, connect=5)
_GRANT_LIFE = timedelta(hours=1)
_CLOCK_LEEWAY = timedelta(minutes=1)
_RENEW_BEFORE = 120.0  # seconds
_MOST_TOKENS = 1000
_MOST_ACCOUNTS = 1000

Answer = TypeVar("Answer", bound=msgspec.Struct)


class PlayUnavailable(Unavailable):
    """Google cannot answer now. `retry_at` is when it asked us to come back, where it said so."""

    def __init__(self, message: str, *, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class NotKnown(NotFound):
    """Google has no such token, order or package."""


class NotUnderstood(Invalid):
    """Google's 400 to a question: what was asked about is no token, or one of another kind of purchase."""


class NoLongerKept(NotFound):
    """Google has forgotten the purchase: 60 days after its end. What we know of it stays as it is."""


class Refused(Conflict):
    """What was asked to be done cannot be done: Google's 400 to an act."""


@value
class ServiceAccount:
    """Of the JSON key Google gives for a service account. Its `token_uri` is not followed: it would lead wherever its author likes."""

    client_email: str
    private_key_id: str
    private_key: RSAPrivateKey


class _KeyFile(msgspec.Struct):
    client_email: str
    private_key: str
    private_key_id: str = ""

    def __repr__(self) -> str:
        return f"_KeyFile({self.client_email}, ***)"


@value
class _Kept:
    token: Secret
    until: float  # by perf_counter


class PublisherApi:
    """One pool of connections to Google, shared by every app. Close it when the process ends."""

    def __init__(self, http: httpx.AsyncClient, *, pauses: Sequence[float] = PAUSES) -> None:
        self._http = http
        self._pauses = pauses
        self._tokens: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()

    # What is

    async def subscription(self, app: StoreApp, token: str, now: datetime) -> Subscription:
        """The present state of a subscription's purchase token."""
        return await self._call(app, now, "GET", f"/purchases/subscriptionsv2/tokens/{_quoted(token)}", Subscription)

    async def product(self, app: StoreApp, token: str, now: datetime) -> ProductPurchase:
        """The present state of a one-time purchase."""
        return await self._call(app, now, "GET", f"/purchases/productsv2/tokens/{_quoted(token)}", ProductPurchase)

    async def product_v1(self, app: StoreApp, sku: str, token: str, now: datetime) -> ProductPurchaseV1:
        """The same by the call the second version replaced, which knows some purchases the second does not."""
        return await self._call(app, now, "GET", f"/purchases/products/{_quoted(sku)}/tokens/{_quoted(token)}", ProductPurchaseV1)

    async def order(self, app: StoreApp, order_id: str, now: datetime) -> Order:
        return await self._call(app, now, "GET", f"/orders/{_quoted(order_id)}", Order)

    async def orders(self, app: StoreApp, order_ids: Sequence[str], now: datetime) -> dict[str, Order]:
        """Those of the first `MOST_BATCHES` times `MOST_ORDERS` orders that Google knows."""
        wanted = list(dict.fromkeys(order_ids))[: MOST_BATCHES * MOST_ORDERS]
        batches = [wanted[start : start + MOST_ORDERS] for start in range(0, len(wanted), MOST_ORDERS)]
        found = [order for batch in batches for order in await self._batch(app, batch, now)]
        return {order.order_id: order for order in found if order.order_id}

    async def _batch(self, app: StoreApp, order_ids: Sequence[str], now: datetime) -> Sequence[Order]:
        """One unknown id makes the whole batch fail: then they are asked one by one."""
        try:
            return (await self._call(app, now, "GET", "/orders:batchGet", Orders, query={"orderIds": list(order_ids)})).orders
        except (NotUnderstood, NotFound):
            return [order for order_id in order_ids if (order := await self._order_or_none(app, order_id, now)) is not None]

    async def _order_or_none(self, app: StoreApp, order_id: str, now: datetime) -> Order | None:
        try:
            return await self.order(app, order_id, now)
        except (NotUnderstood, NotFound):
            return None

    async def voided(self, app: StoreApp, since: datetime, until: datetime, now: datetime) -> AsyncIterator[VoidedPurchase]:
        """Purchases voided in the span, of subscriptions too. Google keeps them 30 days; an earlier `since` is moved to what is kept."""
        oldest = now - VOIDED_KEPT + timedelta(hours=1)
        query: dict[str, str | list[str]] = {
            "type": "1",
            "includeQuantityBasedPartialRefund": "true",
            "maxResults": "1000",
            "startTime": str(to_ms(max(since, oldest))),
            "endTime": str(to_ms(min(until, now))),
        }
        for _ in range(MOST_VOIDED_PAGES):
            page = await self._call(app, now, "GET", "/purchases/voidedpurchases", VoidedPurchases, query=query)
            for one in page.voided_purchases:
                yield one
            following = page.token_pagination.next_page_token if page.token_pagination is not None else None
            if not following:
                return
            query["token"] = following
        raise Invalid(f"more than {MOST_VOIDED_PAGES * 1000} voided purchases in that span; ask for a shorter one", param="since")

    # What is to be

    async def acknowledge_subscription(self, app: StoreApp, product: str, token: str, now: datetime) -> None:
        path = f"/purchases/subscriptions/{_quoted(product)}/tokens/{_quoted(token)}:acknowledge"
        await self._call(app, now, "POST", path, Nothing, body={})

    async def acknowledge_product(self, app: StoreApp, product: str, token: str, now: datetime) -> None:
        path = f"/purchases/products/{_quoted(product)}/tokens/{_quoted(token)}:acknowledge"
        await self._call(app, now, "POST", path, Nothing, body={})

    async def consume(self, app: StoreApp, product: str, token: str, now: datetime) -> None:
        """Uses a consumable up, so that it can be bought again; that acknowledges it too."""
        await self._call(app, now, "POST", f"/purchases/products/{_quoted(product)}/tokens/{_quoted(token)}:consume", Nothing)

    async def cancel(self, app: StoreApp, token: str, now: datetime) -> None:
        """Stops the next renewal; what is paid for stays, and the customer may undo it."""
        body = {"cancellationContext": {"cancellationType": "USER_REQUESTED_STOP_RENEWALS"}}
        await self._call(app, now, "POST", f"/purchases/subscriptionsv2/tokens/{_quoted(token)}:cancel", Nothing, body=body)

    async def revoke(self, app: StoreApp, token: str, now: datetime) -> None:
        """Ends a subscription at once and gives the latest charge back."""
        body: dict[str, object] = {"revocationContext": {"fullRefund": {}}}
        await self._call(app, now, "POST", f"/purchases/subscriptionsv2/tokens/{_quoted(token)}:revoke", Nothing, body=body)

    async def defer(self, app: StoreApp, token: str, by: timedelta, etag: str, now: datetime) -> None:
        """Moves the renewal date on. The etag is that of the state this was decided on."""
        body = {"deferralContext": {"deferDuration": f"{int(by.total_seconds())}s", "etag": etag, "validateOnly": False}}
        await self._call(app, now, "POST", f"/purchases/subscriptionsv2/tokens/{_quoted(token)}:defer", Nothing, body=body)

    async def refund(self, app: StoreApp, order_id: str, now: datetime, *, revoke: bool) -> None:
        """Gives a whole order back; `revoke` takes what it paid for, too."""
        query: dict[str, str | list[str]] = {"revoke": "true" if revoke else "false"}
        await self._call(app, now, "POST", f"/orders/{_quoted(order_id)}:refund", Nothing, query=query)

    # How it is asked

    async def _call(
        self,
        app: StoreApp,
        now: datetime,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        query: Mapping[str, str | list[str]] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Answer:
        if not app.bundle_id:
            raise NotConfigured("the app has no package name; set it to ask Google Play", param="bundle_id")
        url = f"{base_address(app)}/androidpublisher/v3/applications/{_quoted(app.bundle_id)}{path}"
        return await self.call(app, now, method, url, answer, scope=PUBLISHER_SCOPE, query=query, body=body)

    async def call(
        self,
        app: StoreApp,
        now: datetime,
        method: str,
        url: str,
        answer: type[Answer],
        *,
        scope: str,
        query: Mapping[str, str | list[str]] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Answer:
        """One call in the service account's name, tried again where the trouble may pass at once. Raises what `_refuse` raises."""
        was_forgotten = False
        for attempt in range(_ATTEMPTS):
            try:
                response, content = await self._send(method, url, await self._token(app, scope, now), query, body)
                if response.status_code == 401 and not was_forgotten:
                    self._forget(app, scope)  # it may have been withdrawn, or a sandbox's clock has moved past it
                    was_forgotten = True
                    response, content = await self._send(method, url, await self._token(app, scope, now), query, body)
                if not response.is_success:
                    _refuse(response, concealed(content, response.request.headers.get("Authorization")), method, now)
                return _decode(content, answer)
            except _Passing:
                if attempt + 1 == _ATTEMPTS:
                    raise
                await asyncio.sleep(self._pauses[attempt])
        raise AssertionError("the last try returns or raises")

    async def _send(
        self, method: str, url: str, token: str, query: Mapping[str, str | list[str]] | None, body: Mapping[str, object] | None
    ) -> tuple[httpx.Response, bytes]:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        try:
            async with self._http.stream(method, url, params=query, json=body, headers=headers, timeout=_TIMEOUT) as response:
                return response, await _content(response)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Invalid(f"{url!r} is not the address of a store's API", param="api_base_url") from error
        except httpx.HTTPError as error:
            raise _Passing(f"Google did not answer: {type(error).__name__}") from error

    async def _token(self, app: StoreApp, scope: str, now: datetime) -> str:
        kept = self._tokens.get(_token_key(app, scope))
        if kept is not None and perf_counter() < kept.until:
            return kept.token.reveal()
        granted = await self._grant(app, scope, now)
        self._tokens[_token_key(app, scope)] = _Kept(token=Secret(granted.access_token), until=perf_counter() + granted.expires_in - _RENEW_BEFORE)
        if len(self._tokens) > _MOST_TOKENS:
            self._tokens.popitem(last=False)
        return granted.access_token

    async def _grant(self, app: StoreApp, scope: str, now: datetime) -> AccessToken:
        address = f"{base_address(app)}/token" if app.api_base_url else TOKEN_ADDRESS
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": _assertion(service_account(app), address, scope, now)}
        try:
            async with self._http.stream("POST", address, data=form, timeout=_TIMEOUT) as response:
                content = await _content(response)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Invalid(f"{address!r} is not the address of a store's API", param="api_base_url") from error
        except httpx.HTTPError as error:
            raise _Passing(f"Google did not answer: {type(error).__name__}") from error
        if response.status_code in (400, 401, 403):
            raise NotConfigured("Google gave no access token for the app's `service_account`: it was deleted, its key withdrawn, or a clock is wrong")
        if not response.is_success:
            raise _Passing(f"Google gave no access token: it answered {response.status_code}")
        return _decode(content, AccessToken)

    def _forget(self, app: StoreApp, scope: str) -> None:
        self._tokens.pop(_token_key(app, scope), None)


class _Passing(PlayUnavailable):
    """Worth another attempt at once."""


def base_address(app: StoreApp) -> str:
    return (app.api_base_url or ADDRESS).rstrip("/")


def service_account(app: StoreApp) -> ServiceAccount:
    """The app's secret `service_account`, read. Raises `NotConfigured` where it is missing or no such key."""
    text = app.secrets.get("service_account")
    if not text:
        raise NotConfigured(
            "the app has no `service_account`: paste the JSON key of the service account invited in the Play Console", param="service_account"
        )
    account = _account(text)
    if account is None:
        raise NotConfigured(
            "`service_account` is not the JSON key of a service account: paste the whole file Google gave you", param="service_account"
        )
    return account


@lru_cache(maxsize=_MOST_ACCOUNTS)
def _account(text: Secret) -> ServiceAccount | None:
    """Kept: checking a key takes tens of milliseconds, in which nobody else is served."""
    try:
        said = msgspec.json.decode(text.reveal_bytes(), type=_KeyFile)
        key = load_pem_private_key(said.private_key.encode(), password=None)
    except (msgspec.MsgspecError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, RSAPrivateKey):
        return None
    return ServiceAccount(client_email=said.client_email, private_key_id=said.private_key_id, private_key=key)


def _token_key(app: StoreApp, scope: str) -> tuple[str, ...]:
    """Whose token it is: another key, address or app means another token."""
    return app.app_id, base_address(app), scope, sha256(app.reveal("service_account").encode()).hexdigest()


def _assertion(account: ServiceAccount, address: str, scope: str, now: datetime) -> str:
    """The JWT by which a service account asks for an access token (RFC 7523)."""
    issued, expires = (to_ms(instant) // 1000 for instant in (now - _CLOCK_LEEWAY, now - _CLOCK_LEEWAY + _GRANT_LIFE))
    claims = {"iss": account.client_email, "scope": scope, "aud": address, "iat": issued, "exp": expires}
    return sign({"alg": "RS256", "kid": account.private_key_id, "typ": "JWT"}, claims, account.private_key)


def sign(header: Mapping[str, object], claims: Mapping[str, object], key: RSAPrivateKey) -> str:
    """A compact RS256 JWS, as RFC 7515 writes it."""
    covered = _base64(msgspec.json.encode(header)) + b"." + _base64(msgspec.json.encode(claims))
    return (covered + b"." + _base64(key.sign(covered, PKCS1v15(), SHA256()))).decode("ascii")


def _base64(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


async def _content(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > _LARGEST_ANSWER:
            raise PlayUnavailable(f"Google answered more than the {_LARGEST_ANSWER} bytes we read")
    return bytes(content)


def _decode(content: bytes, answer: type[Answer]) -> Answer:
    with answer_of("Google"):
        return decode(content or b"{}", answer)


def _refuse(response: httpx.Response, content: bytes, method: str, now: datetime) -> NoReturn:
    """Google's refusal as one of ours."""
    status, error = response.status_code, _error(content)
    reason = next((item.reason for item in error.errors if item.reason), "") if error is not None else ""
    said = f"Google answered {status}" + (f" {reason}" if reason else "") + (f": {error.message}" if error is not None and error.message else "")
    match status:
        case 401:
            raise NotConfigured(f"{said}. Check the app's `service_account`, and that it is invited in the Play Console")
        case 403:
            raise NotConfigured(f"{said}. In the Play Console, let the service account view financial data and manage orders and subscriptions")
        case 404:
            raise NotKnown(said)
        case 410:
            raise NoLongerKept(said)
        case 429:
            raise PlayUnavailable(said, retry_at=_retry_at(response.headers.get("Retry-After"), now))
        case 409:
            raise _Passing(said)
        case _ if status >= 500 or status < 400:
            raise _Passing(said, retry_at=_retry_at(response.headers.get("Retry-After"), now))
    raise Refused(said) if method == "POST" else NotUnderstood(said)


def _error(content: bytes) -> ErrorBody | None:
    try:
        return decode(content, ErrorAnswer).error
    except Invalid:
        return None


def _retry_at(header: str | None, now: datetime) -> datetime | None:
    """`Retry-After` in seconds (RFC 9110); a date instead is not read."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 6:
        return None
    return now + timedelta(seconds=int(header))


def _quoted(text: str) -> str:
    """For a path. Dots alone would be a step up in it."""
    if not text.strip("."):
        raise Invalid(f"{text!r} is no token, order or product of Google's")
    return quote(text, safe="")

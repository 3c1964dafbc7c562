"""The App Store Server API: asking Apple instead of waiting to be told.

Apple's own library has a client, but it reads the machine's clock for its tokens, cannot be pointed at another address, and drops the
`Retry-After` header, so this is ours: httpx, one pool of connections, five calls. Nothing here believes an answer: what is signed in it is
verified by the caller like any message.

Addresses, calls and error numbers are Apple's (App Store Server API 1.21).
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import NoReturn, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from perennial.base.errors import Invalid, NotConfigured, NotFound, Unavailable
from perennial.base.http import tls
from perennial.base.reading import decode
from perennial.base.time import EPOCH, to_ms
from perennial.intake.model import StoreApp
from perennial.providers.apple import jws
from perennial.providers.apple.payload import ApiError, ExtendAnswer, HistoryAnswer, NotificationHistoryAnswer, StatusAnswer, TestNotificationAnswer
from perennial.subscriptions.model import Environment

ADDRESSES: dict[Environment, str] = {
    "production": "https://api.storekit.apple.com",
    "sandbox": "https://api.storekit-sandbox.apple.com",
}
NOTIFICATIONS_KEPT: dict[Environment, timedelta] = {"production": timedelta(days=180), "sandbox": timedelta(days=30)}
MOST_HISTORY_PAGES = 100  # of 20 transactions
MOST_NOTIFICATION_PAGES = 10_000  # of 20 notifications

_TRANSACTION_NOT_FOUND = 4040010
_PASSING = frozenset((4040002, 4040004, 4040006, 5000001))  # Apple calls these retryable
_LARGEST_ANSWER = 16 * 1024 * 1024
_TOKEN_LIFE = timedelta(minutes=5)
_CLOCK_LEEWAY = timedelta(minutes=1)
_TIMEOUT = httpx.Timeout(20, connect=5)
_LATEST_SECONDS = 10**9  # a `Retry-After` up to here counts seconds from now (RFC 9110); Apple's counts milliseconds since 1970

Answer = TypeVar("Answer", bound=msgspec.Struct)


class StoreUnavailable(Unavailable):
    """Apple cannot answer now. `retry_at` is when it asked us to come back, where it said so."""

    def __init__(self, message: str, *, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class TransactionNotFound(NotFound):
    """Apple has no such transaction in this environment; it may be in the other."""


class ServerApi:
    """One pool of connections to Apple, shared by every app. Close it when the process ends."""

    def __init__(self) -> None:
        self._http = httpx.AsyncClient(verify=tls(), timeout=_TIMEOUT, headers={"Accept": "application/json", "User-Agent": "perennial"})

    async def close(self) -> None:
        await self._http.aclose()

    async def statuses(self, app: StoreApp, transaction: str, environment: Environment, now: datetime) -> StatusAnswer:
        """Every subscription of the customer who made `transaction` (any id of it), with its present state."""
        return await self._call(app, environment, now, "GET", f"/inApps/v1/subscriptions/{quote(transaction, safe='')}", StatusAnswer)

    async def history(self, app: StoreApp, transaction: str, environment: Environment, now: datetime) -> tuple[list[str], bool]:
        """Signed transactions of the customer who made `transaction`, last changed first, and whether that is all of them.

        At most `MOST_HISTORY_PAGES` pages are read; what is left out changed longest ago.
        """
        signed: list[str] = []
        query = {"sort": "DESCENDING"}
        for _ in range(MOST_HISTORY_PAGES):
            path = f"/inApps/v2/history/{quote(transaction, safe='')}"
            page = await self._call(app, environment, now, "GET", path, HistoryAnswer, query=query)
            signed += page.signed_transactions
            if not page.has_more or page.revision is None:
                return signed, True
            query["revision"] = page.revision
        return signed, False

    async def notifications(
        self, app: StoreApp, since: datetime, until: datetime, environment: Environment, now: datetime, *, only_failures: bool = False
    ) -> AsyncIterator[bytes]:
        """Every notification Apple sent (or, `only_failures`, could not deliver) in the span, as the body it posts.

        Apple keeps them 180 days, of the sandbox 30; an earlier `since` is moved to what is kept. Raises `Invalid` past
        `MOST_NOTIFICATION_PAGES` pages: nothing is left out in silence.
        """
        oldest = now - NOTIFICATIONS_KEPT[environment] + timedelta(hours=1)
        body = {"startDate": to_ms(max(since, oldest)), "endDate": to_ms(until), "onlyFailures": only_failures}
        query: dict[str, str] = {}
        for _ in range(MOST_NOTIFICATION_PAGES):
            path = "/inApps/v1/notifications/history"
            page = await self._call(app, environment, now, "POST", path, NotificationHistoryAnswer, query=query, body=body)
            for item in page.notification_history:
                yield msgspec.json.encode({"signedPayload": item.signed_payload})
            if not page.has_more or page.pagination_token is None:
                return
            query["paginationToken"] = page.pagination_token
        raise Invalid(f"more than {MOST_NOTIFICATION_PAGES * 20} notifications in that span; ask for a shorter one", param="since")

    async def extend(self, app: StoreApp, transaction: str, environment: Environment, now: datetime, *, days: int, reason: int, request: str) -> None:
        """Move the renewal date of a subscription by 1 to 90 days, without a charge. `request` is the idempotency key: at most 128 characters."""
        path = f"/inApps/v1/subscriptions/extend/{quote(transaction, safe='')}"
        body = {"extendByDays": days, "extendReasonCode": reason, "requestIdentifier": request}
        await self._call(app, environment, now, "PUT", path, ExtendAnswer, body=body)

    async def request_test_notification(self, app: StoreApp, environment: Environment, now: datetime) -> str:
        """Ask Apple to post a TEST notification to the address set in App Store Connect; gives Apple's token for it."""
        path = "/inApps/v1/notifications/test"
        return (await self._call(app, environment, now, "POST", path, TestNotificationAnswer)).test_notification_token

    async def _call(
        self,
        app: StoreApp,
        environment: Environment,
        now: datetime,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Answer:
        address = (app.api_base_url or ADDRESSES[environment]).rstrip("/")
        headers = {"Authorization": f"Bearer {_token(app, now)}"}
        try:
            async with self._http.stream(method, address + path, params=query, json=body, headers=headers) as response:
                content = await _content(response)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Invalid(f"{address!r} is not the address of a store's API", param="api_base_url") from error
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"the App Store Server API did not answer: {type(error).__name__}") from error
        if not response.is_success:
            _refuse(response, content, now)
        try:
            return decode(content, answer)
        except Invalid as error:
            raise StoreUnavailable(f"the App Store Server API answered what we cannot read: {error.message}") from error


async def _content(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > _LARGEST_ANSWER:
            raise StoreUnavailable(f"the App Store Server API answered more than the {_LARGEST_ANSWER} bytes we read")
    return bytes(content)


def _refuse(response: httpx.Response, content: bytes, now: datetime) -> NoReturn:
    """Apple's refusal as one of ours. A 401 has no body: the token was not accepted."""
    status = response.status_code
    error = _error(content)
    code, message = (error.error_code, error.error_message) if error is not None else (0, "")
    said = f"the App Store Server API answered {status}" + (f" ({code}: {message})" if code else "")
    if status == 401:
        raise NotConfigured(
            f"{said}: it did not accept our token. Check the app's in-app purchase key, its key id, the issuer id and the bundle id, and this clock"
        )
    if status == 429 or status >= 500 or status < 400 or code in _PASSING:
        raise StoreUnavailable(said, retry_at=_retry_at(response.headers.get("Retry-After"), now))
    if status == 404:
        raise TransactionNotFound(said) if code == _TRANSACTION_NOT_FOUND else NotFound(said)
    raise Invalid(said)


def _error(content: bytes) -> ApiError | None:
    try:
        return decode(content, ApiError)
    except Invalid:
        return None


def _retry_at(header: str | None, now: datetime) -> datetime | None:
    """Apple writes an instant, in milliseconds since 1970; whatever stands between may write seconds to wait."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 15:
        return None
    number = int(header)
    return now + timedelta(seconds=number) if number <= _LATEST_SECONDS else EPOCH + timedelta(milliseconds=number)


def _token(app: StoreApp, now: datetime) -> str:
    """The JWT Apple asks for: signed with the app's in-app purchase key, valid for minutes."""
    key_id, issuer, bundle_id = _set(app.api_key_id, "api_key_id"), _set(app.api_issuer, "api_issuer"), _set(app.bundle_id, "bundle_id")
    key = private_key(_set(app.api_private_key.reveal() if app.api_private_key is not None else None, "api_private_key"), param="api_private_key")
    issued, expires = (to_ms(instant) // 1000 for instant in (now - _CLOCK_LEEWAY, now + _TOKEN_LIFE))
    claims = {"iss": issuer, "iat": issued, "exp": expires, "aud": "appstoreconnect-v1", "bid": bundle_id}
    return jws.sign({"alg": "ES256", "kid": key_id, "typ": "JWT"}, claims, key)


def private_key(pem: str, *, param: str) -> EllipticCurvePrivateKey:
    """Of a .p8 file; `param` is the setting it stands in."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise Invalid(f"`{param}` is not a key of Apple's: paste the whole .p8 file App Store Connect gave you", param=param)
    return key


def _set(setting: str | None, name: str) -> str:
    if not setting:
        raise NotConfigured(f"the app has no `{name}`; the App Store Server API cannot be asked without it", param=name)
    return setting

"""Who sent a notification: the bearer token Pub/Sub puts on every push, and the envelope around the message.

The token is an RS256 JWT of Google's: anybody's service account can have one made for our audience, so the audience alone proves nothing.
What binds it to the app is the service account's e-mail the push subscription was set up with. Google's keys are fetched by `Keys.prepare`
and kept by their key ids. A simulated store signs with a key of its own, whose certificate must be among the app's `simulated_roots`; its key ids
begin with `simulated-`, so that nobody asks Google for them.

Source: Cloud Pub/Sub, "Authentication for push subscriptions"; Google Identity, "Validating an ID token".
"""

import asyncio
import re
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256

import httpx
import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from perennial.base.errors import Invalid, NotConfigured, Unavailable
from perennial.base.reading import decode
from perennial.base.secrets import same
from perennial.base.time import perf_counter, to_ms
from perennial.intake.model import Envelope, StoreApp, Untrusted
from perennial.providers.google.payload import DeveloperNotification, PushEnvelope, millis, moment

CERTIFICATES = "https://www.googleapis.com/oauth2/v3/certs"
ISSUERS = ("https://accounts.google.com", "accounts.google.com")
SIMULATED = "simulated-"
LARGEST_BODY = 10 * 1024 * 1024 + 64 * 1024  # a Pub/Sub message may have 10 MB
LONGEST_TOKEN = 8192
LEEWAY = timedelta(minutes=1)
MOST_KEYS = 32

_REFRESH_AFTER = 3600.0  # seconds; Google rotates its keys over days and publishes new ones well before it signs with them
_ASK_AGAIN_AFTER = 30.0  # seconds between two fetches for key ids nobody knows: a stranger's invention must not keep us asking
_LARGEST_ANSWER = 256 * 1024
_KEY_ID = re.compile(r"[A-Za-z0-9_\-]{1,128}", re.ASCII)
_JWT = re.compile(r"[A-Za-z0-9_\-.]+", re.ASCII)  # base64url without padding, as RFC 7515 has it


class _Header(msgspec.Struct):
    alg: str
    kid: str


class _Claims(msgspec.Struct):
    iss: str
    aud: str
    exp: int | float
    iat: int | float
    email: str | None = None
    email_verified: bool = False


class _Jwk(msgspec.Struct):
    kid: str
    kty: str
    n: str = ""
    e: str = ""


class _JwkSet(msgspec.Struct):
    keys: list[_Jwk]


_HEADER, _CLAIMS, _JWKS = msgspec.json.Decoder(_Header), msgspec.json.Decoder(_Claims), msgspec.json.Decoder(_JwkSet)


# Google's keys ----------------------------------------------------------------------------------------------------------------


class Keys:
    """Google's public keys by key id: a bounded set, replaced as a whole, at most an hour old unless Google does not answer."""

    def __init__(self, http: httpx.AsyncClient, address: str) -> None:
        self._http = http
        self._address = address
        self._keys: dict[str, RSAPublicKey] = {}
        self._fetched_at: float | None = None
        self._lock = asyncio.Lock()

    def get(self, key_id: str) -> RSAPublicKey | None:
        return self._keys.get(key_id)

    async def prepare(self, headers: Mapping[str, str]) -> None:
        """Fetches the set where the token's key is not in it, or it has grown old. Raises `Unavailable` without a key to judge by."""
        key_id = _claimed_key_id(headers)
        if key_id is None or key_id.startswith(SIMULATED) or not self._is_wanting(key_id):
            return
        async with self._lock:
            if not self._is_wanting(key_id):  # somebody else fetched it while we waited
                return
            try:
                await self._fetch()
            except Unavailable:
                if key_id not in self._keys:
                    raise

    def _is_wanting(self, key_id: str) -> bool:
        if self._fetched_at is None:
            return True
        age = perf_counter() - self._fetched_at
        return age > (_REFRESH_AFTER if key_id in self._keys else _ASK_AGAIN_AFTER)

    async def _fetch(self) -> None:
        try:
            response = await self._http.get(self._address)
        except httpx.HTTPError as error:
            raise Unavailable(f"Google's keys could not be fetched: {type(error).__name__}") from error
        if not response.is_success or len(response.content) > _LARGEST_ANSWER:
            raise Unavailable(f"Google's keys could not be fetched: the answer was {response.status_code}")
        try:
            published = _JWKS.decode(response.content).keys
        except (msgspec.MsgspecError, ValueError) as error:
            raise Unavailable(f"Google's keys cannot be read: {error}") from error
        self._keys = {jwk.kid: _public_key(jwk) for jwk in published[:MOST_KEYS] if jwk.kty == "RSA"}
        self._fetched_at = perf_counter()


def _public_key(jwk: _Jwk) -> RSAPublicKey:
    try:
        modulus, exponent = (int.from_bytes(urlsafe_b64decode(part + "=" * (-len(part) % 4)), "big") for part in (jwk.n, jwk.e))
        return RSAPublicNumbers(e=exponent, n=modulus).public_key()
    except ValueError as error:
        raise Unavailable(f"Google's key {jwk.kid!r} cannot be read") from error


def _claimed_key_id(headers: Mapping[str, str]) -> str | None:
    """Which key a token says it is signed with. Nothing more of it is believed here, and what is no token is `verify`'s to refuse."""
    try:
        header, _, _, _ = _segments(_bearer(headers))
        said = _HEADER.decode(header)
    except (Invalid, msgspec.MsgspecError):
        return None
    return said.kid if _KEY_ID.fullmatch(said.kid) else None


# The token --------------------------------------------------------------------------------------------------------------------


def verify(app: StoreApp, headers: Mapping[str, str], keys: Keys, now: datetime) -> None:
    """Raises `Untrusted` unless Google signed the push for this app's push subscription; `Invalid` where the app's settings are missing."""
    audience, email = _set(app, "pubsub_audience"), _set(app, "pubsub_service_account")
    header, payload, signature, covered = _segments(_bearer(headers))
    try:
        said, claims = _HEADER.decode(header), _CLAIMS.decode(payload)
    except msgspec.MsgspecError as error:
        raise Untrusted("the push token cannot be read", param="authorization") from error
    if said.alg != "RS256":
        raise Untrusted(f"the push token is signed with {said.alg!r}; Google signs with RS256", param="authorization")
    _verify_signature(_key(app, said.kid, keys, now), signature, covered)
    _verify_claims(claims, audience, email, now)


def _set(app: StoreApp, name: str) -> str:
    setting = app.settings.get(name)
    if not setting:
        raise NotConfigured(f"the app has no `{name}`: set it to that of its Pub/Sub push subscription", param=name)
    return setting


def _key(app: StoreApp, key_id: str, keys: Keys, now: datetime) -> RSAPublicKey:
    if key_id.startswith(SIMULATED):
        return _simulated_key(app, key_id, now)
    key = keys.get(key_id)
    if key is None:
        raise Untrusted("the push token is signed with a key that is not one of Google's", param="authorization")
    return key


def key_id_of(certificate: bytes) -> str:
    """A simulated store's key id: the SHA-256 of its certificate (DER)."""
    return SIMULATED + sha256(certificate).hexdigest()


def _simulated_key(app: StoreApp, key_id: str, now: datetime) -> RSAPublicKey:
    root = next((root for root in app.simulated_roots if key_id_of(root) == key_id), None)
    if root is None:
        raise Untrusted("the push token is signed by a simulated store that this app does not trust", param="authorization")
    certificate = x509.load_der_x509_certificate(root)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise Untrusted("the simulated store's certificate is not valid now", param="authorization")
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise Untrusted("the simulated store's certificate has no RSA key", param="authorization")
    return key


def _verify_signature(key: RSAPublicKey, signature: bytes, covered: bytes) -> None:
    try:
        key.verify(signature, covered, PKCS1v15(), SHA256())
    except InvalidSignature as error:
        raise Untrusted("the push token's signature does not fit", param="authorization") from error


def _verify_claims(claims: _Claims, audience: str, email: str, now: datetime) -> None:
    if claims.iss not in ISSUERS:
        raise Untrusted(f"the push token is issued by {claims.iss!r}, not by Google", param="authorization")
    if not same(claims.aud, audience):
        raise Untrusted(f"the push token is for {claims.aud!r}, not for this app's `pubsub_audience`", param="authorization")
    if not claims.email_verified or claims.email is None or not same(claims.email, email):
        raise Untrusted(f"the push token is of {claims.email!r}, not of this app's `pubsub_service_account`", param="authorization")
    seconds, leeway = to_ms(now) / 1000, LEEWAY.total_seconds()
    if claims.exp <= seconds - leeway:
        raise Untrusted("the push token has expired", param="authorization")
    if claims.iat > seconds + leeway:
        raise Untrusted("the push token is of the future; check this machine's clock", param="authorization")


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Untrusted("no push token: enable authentication for the Pub/Sub push subscription", param="authorization")
    return token.strip()


def _segments(token: str) -> tuple[bytes, bytes, bytes, bytes]:
    """Header, payload, signature, decoded, and what the signature covers."""
    parts = token.split(".")
    if len(token) > LONGEST_TOKEN or len(parts) != 3 or _JWT.fullmatch(token) is None:
        raise Untrusted("the push token is no JWT", param="authorization")
    try:
        header, payload, signature = (
            a2b_base64(part.translate(str.maketrans("-_", "+/")) + "=" * (-len(part) % 4), strict_mode=True) for part in parts
        )
    except NotBase64 as error:
        raise Untrusted("the push token is no JWT", param="authorization") from error
    return header, payload, signature, token.rpartition(".")[0].encode()


# The envelope -----------------------------------------------------------------------------------------------------------------

# Google's numbers (Real-time developer notifications reference); others are kept by their number.
SUBSCRIPTION_TYPES = {
    1: "RECOVERED",
    2: "RENEWED",
    3: "CANCELED",
    4: "PURCHASED",
    5: "ON_HOLD",
    6: "IN_GRACE_PERIOD",
    7: "RESTARTED",
    8: "PRICE_CHANGE_CONFIRMED",
    9: "DEFERRED",
    10: "PAUSED",
    11: "PAUSE_SCHEDULE_CHANGED",
    12: "REVOKED",
    13: "EXPIRED",
    17: "ITEMS_CHANGED",
    18: "CANCELLATION_SCHEDULED",
    19: "PRICE_CHANGE_UPDATED",
    20: "PENDING_PURCHASE_CANCELED",
    22: "PRICE_STEP_UP_CONSENT_UPDATED",
}
ONE_TIME_TYPES = {1: "PURCHASED", 2: "CANCELED"}


def envelope(body: bytes, now: datetime) -> Envelope:
    """What a push is kept by. Whatever Google's token came with is kept, understood or not: refused, it would only come again for days."""
    try:
        push, notification = opened(body)
    except Invalid:
        return Envelope(message_id=_message_id(body), kind="unreadable", sent_at=now)
    message = push.message
    assert message.message_id, "opened says so"
    return Envelope(message_id=message.message_id, kind=kind(notification), sent_at=_sent_at(push, notification, now))


def opened(body: bytes) -> tuple[PushEnvelope, DeveloperNotification]:
    """The envelope and what is in it. Raises `Invalid`."""
    if len(body) > LARGEST_BODY:
        raise Invalid(f"a body of {len(body)} bytes is longer than the {LARGEST_BODY} we read")
    try:
        push = decode(body, PushEnvelope)
        notification = decode(a2b_base64(push.message.data or "", strict_mode=True), DeveloperNotification)
    except (Invalid, NotBase64, ValueError) as error:
        raise Invalid(f"not a Pub/Sub push of a Google Play notification: {error}") from error
    if not push.message.message_id or len(push.message.message_id) > 200:
        raise Invalid("the push has no messageId", param="messageId")
    return push, notification


def kind(notification: DeveloperNotification) -> str:
    """As Google spells it, for people: SUBSCRIPTION_RENEWED, ONE_TIME_PRODUCT_PURCHASED, VOIDED_PURCHASE."""
    match notification:
        case DeveloperNotification(subscription_notification=subscription) if subscription is not None:
            return f"SUBSCRIPTION_{SUBSCRIPTION_TYPES.get(subscription.notification_type or 0, subscription.notification_type)}"
        case DeveloperNotification(one_time_product_notification=product) if product is not None:
            return f"ONE_TIME_PRODUCT_{ONE_TIME_TYPES.get(product.notification_type or 0, product.notification_type)}"
        case DeveloperNotification(voided_purchase_notification=voided) if voided is not None:
            return "VOIDED_PURCHASE"
        case DeveloperNotification(pending_refund_review_notification=review) if review is not None:
            return "PENDING_REFUND_REVIEW"
        case DeveloperNotification(test_notification=test) if test is not None:
            return "TEST"
    return "unknown"


def _message_id(body: bytes) -> str:
    """Pub/Sub's own id where even an unreadable push has one; else the body itself tells duplicates apart."""
    try:
        said = decode(body, PushEnvelope).message.message_id
    except Invalid:
        said = None
    return said if said and len(said) <= 200 else f"sha256:{sha256(body).hexdigest()}"


def _sent_at(push: PushEnvelope, notification: DeveloperNotification, now: datetime) -> datetime:
    try:
        return millis(notification.event_time_millis, "eventTimeMillis")
    except Invalid:
        pass
    try:
        return moment(push.message.publish_time, "publishTime")
    except Invalid:
        return now

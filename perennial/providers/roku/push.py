"""Push notifications: a compact JWS, signed with one of the keys Roku publishes at an address that never changes.

Endpoints from before February 2024 may still get the unsigned form. Anyone could send that, and Roku wants our API key in the answer; so it
is refused, unless the app says `legacy_push`, and even then it is only a hint to look. Source: "Receiving secured Roku Pay push
notifications" (Roku developer documentation).
"""

from base64 import b64decode, urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from perennial.base.errors import Invalid, Unavailable
from perennial.base.http import Http
from perennial.base.reading import decode
from perennial.base.time import EPOCH, perf_counter
from perennial.base.value import value
from perennial.intake.model import StoreApp, Untrusted
from perennial.providers.roku.payload import Claims, Header, KeySet, Push, moment_or_none

KEYS = "https://assets.cs.roku.com/keys/partner-jwks.json"
TEST_KEYS = "https://assets.cs.roku.com/keys/partner-jwks-test.json"
ISSUER = "Roku, Inc. urn:roku:apps:partner-service.roku.com"
TYPE = "roku.rpay.push"
LARGEST_BODY = 64 * 1024
CLOCK_SKEW = timedelta(minutes=5)

_FRESH = 3600.0  # seconds for which published keys are not asked for again
_PATIENCE = 60.0  # seconds between two askings for a key nobody published

W = TypeVar("W", bound=msgspec.Struct)


@value
class Opened:
    """A push whose sender is known, and the key by which its duplicates are told. `push` is None where it cannot be understood."""

    push: Push | None
    message_key: str
    sent_at: datetime


class Keys:
    """The keys Roku signs with, by their id. `addresses` are the production set's and the test set's."""

    def __init__(self, http: Http, addresses: tuple[str, str]) -> None:
        self._http = http
        self._addresses = addresses
        self._production: Mapping[str, RSAPublicKey] = {}
        self._test: Mapping[str, RSAPublicKey] = {}
        self._asked_at: float | None = None

    def get(self, key_id: str, *, is_test_allowed: bool) -> RSAPublicKey | None:
        return self._production.get(key_id) or (self._test.get(key_id) if is_test_allowed else None)

    async def fetch(self, key_id: str) -> None:
        """Into the cache: when they are old, and soon when a message names one we have not seen. Raises `Unavailable` while there are none."""
        age = None if self._asked_at is None else perf_counter() - self._asked_at
        is_known = key_id in self._production or key_id in self._test
        if age is not None and age < (_FRESH if is_known else _PATIENCE):
            return
        try:
            self._production = await self._published(self._addresses[0])
            self._test = await self._published(self._addresses[1])
        except Unavailable:
            if not self._production:
                raise
        self._asked_at = perf_counter()

    async def _published(self, address: str) -> Mapping[str, RSAPublicKey]:
        answer = await self._http.call("GET", address, largest=256 * 1024)
        if not answer.is_success:
            raise answer.unavailable()
        keys = {key.kid: _key(key.n, key.e) for key in answer.decode(KeySet).keys if key.kty == "RSA" and key.alg == "RS256"}
        return {key_id: key for key_id, key in keys.items() if key is not None}


def key_id(body: bytes) -> str | None:
    """The key a signed push names; None for anything else."""
    try:
        return _decoded(body.strip().split(b".")[0], Header).kid if _is_signed(body) else None
    except Invalid:
        return None


def opened(app: StoreApp, body: bytes, keys: Keys, now: datetime) -> Opened:
    """Verify a push. Raises `Untrusted` or `Invalid`."""
    if len(body) > LARGEST_BODY:
        raise Invalid(f"a body of {len(body)} bytes is longer than the {LARGEST_BODY} we read")
    message = _verified(app, body, keys, now) if _is_signed(body) else _unsigned(app, body, now)
    if app.bundle_id is not None and message.push is not None and str(message.push.channel_id) != app.bundle_id:
        raise Untrusted(f"about the channel {message.push.channel_id}, not {app.bundle_id}", param="channelId")
    return message


def parsed(body: bytes) -> Push:
    """A push that was verified when it came. Raises `Invalid` where it cannot be understood."""
    return _message(_decoded(body.strip().split(b".")[1], Claims)) if _is_signed(body) else _push(body)


def _is_signed(body: bytes) -> bool:
    return len(body) <= LARGEST_BODY and body.count(b".") == 2 and not body.lstrip().startswith(b"{")


def _verified(app: StoreApp, body: bytes, keys: Keys, now: datetime) -> Opened:
    head, payload, signature = body.strip().split(b".")
    header = _decoded(head, Header)
    if header.alg != "RS256" or header.crit is not None or header.jku not in (None, KEYS, TEST_KEYS):
        raise Untrusted("not signed as Roku signs: RS256, with a key of its published set")
    key = keys.get(header.kid, is_test_allowed=app.settings.get("test_push") == "yes")
    if key is None:
        raise Untrusted(f"Roku has published no key {header.kid!r}", param="kid")
    try:
        key.verify(_unbase64(signature), head + b"." + payload, PKCS1v15(), SHA256())
    except InvalidSignature as error:
        raise Untrusted("the signature does not fit the message") from error
    claims = _decoded(payload, Claims)
    _verify_claims(claims, now)
    try:
        push = _message(claims)
        return Opened(push=push, message_key=claims.key, sent_at=moment_or_none(push.event_date, "eventDate") or now)
    except Invalid:  # Roku's all the same: kept, and called unreadable when it is read
        return Opened(push=None, message_key=claims.key, sent_at=now)


def _verify_claims(claims: Claims, now: datetime) -> None:
    if claims.iss != ISSUER or claims.type != TYPE:
        raise Untrusted(f"issued by {claims.iss!r} as {claims.type!r}: no push notification of Roku Pay", param="iss")
    seconds, skew = (now - EPOCH).total_seconds(), CLOCK_SKEW.total_seconds()
    if not claims.nbf - skew <= seconds <= claims.exp + skew:
        raise Untrusted("an old message played back, or a clock that is wrong: Roku signs for a day", param="exp")
    if not claims.key:
        raise Invalid("the push has no `x-Roku-message-key`", param="x-Roku-message-key")


def _unsigned(app: StoreApp, body: bytes, now: datetime) -> Opened:
    if app.settings.get("legacy_push") != "yes":
        raise Untrusted("not signed. Turn on JWT authentication for this endpoint in Roku's developer dashboard")
    return _legacy(body, now)


def _legacy(body: bytes, now: datetime) -> Opened:
    """It carries no key, so what tells it from others is one: as a list, whose members cannot be taken for each other's."""
    push = _push(body)
    named = msgspec.json.encode([push.transaction_type, push.transaction_id, push.event_date])
    return Opened(push=push, message_key=sha256(named).hexdigest(), sent_at=moment_or_none(push.event_date, "eventDate") or now)


def _message(claims: Claims) -> Push:
    if claims.encoding != "base64-utf8":
        raise Invalid(f"a message in the encoding {claims.encoding!r}, which we do not know", param="x-Roku-message-encoding")
    text = claims.message.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return _push(b64decode(text + "=" * (-len(text) % 4), validate=True))
    except (NotBase64, ValueError) as error:
        raise Invalid("the message is not base64", param="x-Roku-message") from error


def _push(content: bytes) -> Push:
    try:
        return decode(content, Push)
    except Invalid as error:
        raise Invalid(f"not a push notification of Roku Pay: {error.message}", param=error.param) from error


def _decoded(segment: bytes, kind: type[W]) -> W:
    return _json(_unbase64(segment), kind)


def _json(content: bytes, kind: type[W]) -> W:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Invalid(f"not a push notification of Roku Pay: {error}") from error


def _unbase64(segment: bytes) -> bytes:
    try:
        return urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except (NotBase64, ValueError) as error:
        raise Invalid("not a signed push notification: it is no base64url") from error


def _key(modulus: str, exponent: str) -> RSAPublicKey | None:
    """None for a key too short to be believed, or none at all."""
    try:
        n, e = (int.from_bytes(_unbase64(part.encode("ascii")), "big") for part in (modulus, exponent))
        key = RSAPublicNumbers(e=e, n=n).public_key()
    except (Invalid, ValueError):
        return None
    return key if key.key_size >= 2048 else None

"""Amazon SNS: who signed a message, and when.

The message says where the certificate lies, so its address is judged before anything is fetched: https, a host of SNS, a name as SNS gives
its certificates, no redirects. What comes from there over TLS is Amazon's; it is kept, a few of them, until it expires. Source: "Verifying
the signatures of Amazon SNS messages" (Amazon SNS developer guide).
"""

import asyncio
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections import deque
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from perennial.base import reading
from perennial.base.errors import Invalid, Unavailable
from perennial.base.http import Http
from perennial.base.time import perf_counter
from perennial.intake.model import Untrusted
from perennial.providers.amazon.payload import SnsMessage

LARGEST_BODY = 300 * 1024  # SNS carries 256 KiB at most
# SNS tries a message for an hour at most, with the timestamp of the first attempt.
OLDEST = timedelta(minutes=70)
CLOCK_SKEW = timedelta(minutes=5)
MOST_FETCHES, FETCHES_WITHIN = 20, 60.0  # of certificates, in so many seconds
MOST_CERTIFICATES = 16

_HOST = re.compile(r"sns\.[a-z0-9-]{1,32}\.amazonaws\.com(\.cn)?", re.ASCII)
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]{1,64}\.pem", re.ASCII)
_HASHES: dict[str, type[HashAlgorithm]] = {"1": SHA1, "2": SHA256}  # by SignatureVersion
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}

_UNSIGNED = frozenset(("Signature", "SignatureVersion", "SigningCertURL"))
_MESSAGE = msgspec.json.Decoder(SnsMessage)  # as it is written, to the letter: it is what was signed


class Certificates:
    """The certificates SNS signs with, by their address. `stand_in` replaces every SNS host: a simulated store's address."""

    def __init__(self, http: Http, stand_in: str | None) -> None:
        self._http = http
        self._stand_in = stand_in
        self._known: dict[str, x509.Certificate] = {}
        self._fetches: deque[float] = deque(maxlen=MOST_FETCHES)  # when the last ones began
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def get(self, url: str) -> x509.Certificate | None:
        return self._known.get(url)

    async def fetch(self, url: str) -> None:
        """Into the cache, where the address is one of SNS's and holds a certificate. Raises `Unavailable`.

        Whoever posts a message names the address, before anything of it is verified: one that is asked for is waited for by all who name it,
        and so many are asked for in a minute and no more. SNS has one for each region, for years, and sends again what was not taken.
        """
        if url in self._known or not is_certificate_address(url):
            return
        if (running := self._under_way.get(url)) is None:
            self._check_pace()
            running = self._under_way[url] = asyncio.create_task(self._fetch(url))
            running.add_done_callback(lambda done: self._under_way.pop(url, None))
        await asyncio.shield(running)

    def _check_pace(self) -> None:
        began = perf_counter()
        if len(self._fetches) == MOST_FETCHES and began - self._fetches[0] < FETCHES_WITHIN:
            raise Unavailable("too many certificates of Amazon SNS were asked for in a minute; send the message again later")
        self._fetches.append(began)

    async def _fetch(self, url: str) -> None:
        answer = await self._http.call("GET", address(url, self._stand_in), largest=64 * 1024)
        if answer.status >= 500 or answer.status == 429:
            raise answer.unavailable()
        certificate = _certificate(answer.content) if answer.is_success else None
        if certificate is None:
            return
        if len(self._known) >= MOST_CERTIFICATES:
            self._known.pop(next(iter(self._known)))
        self._known[url] = certificate

    def forget(self, url: str) -> None:
        self._known.pop(url, None)


def _certificate(pem: bytes) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        return None


def is_certificate_address(url: str) -> bool:
    return _is_of_sns(url) and _CERTIFICATE.fullmatch(urlsplit(url).path) is not None and not urlsplit(url).query


def is_confirmation_address(url: str, topic: str) -> bool:
    """Whether a GET of it confirms a subscription to this topic at SNS, and nothing else anywhere else."""
    if not _is_of_sns(url):
        return False
    asked = parse_qs(urlsplit(url).query)
    return asked.get("Action") == ["ConfirmSubscription"] and asked.get("TopicArn") == [topic]


def _is_of_sns(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return url.isascii() and url.isprintable() and parts.scheme == "https" and _HOST.fullmatch(parts.netloc) is not None
    except ValueError:
        return False


def address(url: str, stand_in: str | None) -> str:
    """Where an address of SNS is really called: at itself, or at its stand-in."""
    parts = urlsplit(url)
    return url if stand_in is None else stand_in.rstrip("/") + parts.path + (f"?{parts.query}" if parts.query else "")


def parse(body: bytes) -> SnsMessage:
    if len(body) > LARGEST_BODY:
        raise Invalid(f"a body of {len(body)} bytes is longer than the {LARGEST_BODY} SNS sends")
    try:
        message = _MESSAGE.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Invalid(f"not a message of Amazon SNS: {error}") from error
    _check_borders(message)
    return message


def _check_borders(message: SnsMessage) -> None:
    """What is signed is names and fields, a line each. `Message` comes first and may have lines of its own; were another field to have them, two
    different messages could be the same signed text."""
    for name, text in msgspec.to_builtins(message).items():
        if name not in _UNSIGNED and text is not None and ("\x00" in text or (name != "Message" and ("\n" in text or "\r" in text))):
            raise Invalid(f"`{name}` holds a line break or a NUL character, which no message of Amazon SNS does", param=name)


def verify(message: SnsMessage, certificate: x509.Certificate | None, now: datetime) -> datetime:
    """When SNS made the message, where its signature holds and it is no old one played back. Raises `Untrusted` or `Invalid`."""
    hash_kind, signed = _HASHES.get(message.signature_version), _SIGNED.get(message.type)
    if hash_kind is None or signed is None:
        raise Untrusted(f"SNS signs no {message.type!r} with signature version {message.signature_version!r}")
    if not is_certificate_address(message.signing_cert_url):
        raise Untrusted("its certificate does not lie at Amazon SNS", param="SigningCertURL")
    if certificate is None:
        raise Untrusted("no certificate lies where the message says", param="SigningCertURL")
    if not certificate.not_valid_before_utc <= now + CLOCK_SKEW or not now - CLOCK_SKEW <= certificate.not_valid_after_utc:
        raise Untrusted("its certificate is not valid now", param="SigningCertURL")
    _verify_signature(certificate, message.signature, _covered(message, signed), hash_kind())
    return _moment(message, now)


def _covered(message: SnsMessage, signed: tuple[str, ...]) -> bytes:
    fields = msgspec.to_builtins(message)
    return "".join(f"{name}\n{fields[name]}\n" for name in signed if fields.get(name) is not None).encode()


def _verify_signature(certificate: x509.Certificate, signature: str, covered: bytes, digest: HashAlgorithm) -> None:
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey) or key.key_size < 2048:
        raise Untrusted("its certificate holds no RSA key of 2048 bits or more", param="SigningCertURL")
    try:
        key.verify(b64decode(signature, validate=True), covered, PKCS1v15(), digest)
    except (InvalidSignature, NotBase64, ValueError) as error:
        raise Untrusted("the signature does not fit the message", param="Signature") from error


def _moment(message: SnsMessage, now: datetime) -> datetime:
    made_at = reading.instant(message.timestamp, "Timestamp")
    if not now - OLDEST <= made_at <= now + CLOCK_SKEW:
        raise Untrusted("an old message played back, or a clock that is wrong: SNS delivers within the hour", param="Timestamp")
    return made_at

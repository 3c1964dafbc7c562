"""App Store signatures: a compact JWS whose header carries the certificates that vouch for it.

The steps are those Apple publishes for StoreKit 2 and notifications version 2: exactly ES256, exactly three certificates, a pinned
root, Apple's two marker extensions, and then the signature itself. Three decisions of ours:

- **Which moment.** Certificates are judged at the payload's own `signedDate`, which must not lie more than five minutes ahead of
  `now`. So what Apple once signed stays verifiable after its certificate ran out: late messages, notification history, backups.
- **Revocation is not asked.** OCSP would put a network call in front of every message and make stored ones unverifiable. The price:
  a certificate Apple withdraws is believed until its validity ends.
- **Simulated roots.** Other roots are believed only where the caller hands them in, and only for payloads of the sandbox.

Checking a chain costs twenty times the signature, so a chain that held is kept by the raw header it came in. Its dates are compared on
every use; nothing else about it can change.
"""

from base64 import urlsafe_b64encode
from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from threading import Lock
from typing import Protocol, TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from perennial.base import reading
from perennial.base.errors import Invalid
from perennial.base.value import value
from perennial.intake.model import Untrusted
from perennial.providers.apple.certificates import is_issued_by, vouch

APPLE_ROOT_G3 = "63343abfb89a6a03ebb57e9b3f5fa7be7c4f5c756f3017b3a8c488c3653e9179"  # SHA-256 of "Apple Root CA - G3", as Apple publishes it
LARGEST_JWS = 256 * 1024
FUTURE_LEEWAY_MS = 5 * 60 * 1000
CHAINS_KEPT = 256

_LARGEST_CERTIFICATE = 16 * 1024
_ES256 = ECDSA(SHA256())
_URL_ALPHABET = bytes.maketrans(b"-_+/", b"+/!!")  # `+` and `/` are not in the URL alphabet: make them unreadable
_CHAIN_HASHES = frozenset(("sha256", "sha384", "sha512"))


class Signed(Protocol):
    """What must be readable in every payload before it is believed."""

    @property
    def signed_ms(self) -> float | None:
        """When it was signed, in epoch milliseconds."""

    @property
    def stated_environment(self) -> str | None:
        """`Production` or `Sandbox`, as the payload spells it."""


P = TypeVar("P", bound=Signed)


@value
class Chain:
    """Three certificates that vouch for each other up to a root we know, and the key the last one vouches for."""

    key: EllipticCurvePublicKey
    valid_from_ms: int
    valid_until_ms: int
    is_simulated: bool


class _Header(msgspec.Struct):
    alg: str
    x5c: list[str]
    crit: object = msgspec.UNSET


_HEADER = msgspec.json.Decoder(_Header)


def verify(token: str, kind: type[P], *, roots: tuple[bytes, ...], now: datetime) -> P:
    """The payload of `token`, when Apple (or one of the simulated `roots`, DER, in the sandbox) signed it.

    Raises `Invalid` for what is no JWS at all or whose payload cannot be read, `Untrusted` for everything a signer did not vouch for.
    """
    header, payload, signature, covered = _segments(token)
    chain = _chains.get(header, roots)
    if chain is None:
        chain = verify_chain(_certificates(header), roots=roots)
        _verify_signature(chain, covered, signature)
        _chains.keep(header, roots, chain)  # only now: a forged signature must not push real chains out
    else:
        _verify_signature(chain, covered, signature)
    content = reading.decode(_unbase64(payload), kind)
    _verify_moment(chain, content.signed_ms, now)
    if chain.is_simulated and content.stated_environment != "Sandbox":
        raise Untrusted("a simulated store signed this, and simulated stores are believed only for the Sandbox environment")
    return content


def verify_chain(x5c: list[str], *, roots: tuple[bytes, ...]) -> Chain:
    """Leaf, intermediate, root (base64 of DER): `Untrusted` unless each vouches for the one before and the root is known.

    The third certificate is believed only if its fingerprint is Apple's. Otherwise it is ignored and one of `roots` must vouch.
    """
    if len(x5c) != 3:
        raise Untrusted(f"the header carries {len(x5c)} certificates; the App Store sends exactly 3, Xcode's local testing fewer")
    try:
        leaf, intermediate = (x509.load_der_x509_certificate(_certificate_bytes(text)) for text in x5c[:2])
        root, is_simulated = _root(_certificate_bytes(x5c[2]), intermediate, roots)
        vouched = vouch(leaf, intermediate, root, hashes=_CHAIN_HASHES)
    except Untrusted:
        raise
    except Exception as error:  # the bytes come from strangers: whatever a parser objects to, this is no chain
        raise Untrusted(f"the header's certificates cannot be read: {error}") from error
    if not isinstance(vouched.key, EllipticCurvePublicKey) or not isinstance(vouched.key.curve, SECP256R1):
        raise Untrusted("the leaf certificate's key is not on the curve P-256 that ES256 asks for")
    return Chain(
        key=vouched.key,
        valid_from_ms=vouched.valid_from_ms,
        valid_until_ms=vouched.valid_until_ms,
        is_simulated=is_simulated,
    )


def sign(header: Mapping[str, object], payload: Mapping[str, object], key: EllipticCurvePrivateKey) -> str:
    """A compact ES256 JWS, as RFC 7515 writes it."""
    covered = _base64(msgspec.json.encode(header)) + b"." + _base64(msgspec.json.encode(payload))
    r, s = decode_dss_signature(key.sign(covered, _ES256))
    return (covered + b"." + _base64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode("ascii")


class _Chains:
    """The chains that held, never more than `CHAINS_KEPT`. A key is the raw header and the roots it was judged by.

    Who was used last stands last, from when there is no room for more: Apple has a handful of chains, and each message asks for one.
    """

    def __init__(self) -> None:
        self._chains: dict[tuple[bytes, tuple[bytes, ...]], Chain] = {}
        self._lock = Lock()

    def get(self, header: bytes, roots: tuple[bytes, ...]) -> Chain | None:
        chain = self._chains.get((header, roots))
        if chain is not None and len(self._chains) >= CHAINS_KEPT:
            with self._lock:
                self._chains.pop((header, roots), None)
                self._chains[header, roots] = chain
        return chain

    def keep(self, header: bytes, roots: tuple[bytes, ...], chain: Chain) -> None:
        with self._lock:
            self._chains[header, roots] = chain
            if len(self._chains) > CHAINS_KEPT:
                del self._chains[next(iter(self._chains))]

    def __len__(self) -> int:
        return len(self._chains)

    def clear(self) -> None:
        with self._lock:
            self._chains.clear()


_chains = _Chains()


def _segments(token: str) -> tuple[bytes, bytes, bytes, bytes]:
    """Header, payload, signature, and what the signature covers; the first three still in base64url."""
    if len(token) > LARGEST_JWS:
        raise Invalid(f"a signed message of {len(token)} characters is longer than the {LARGEST_JWS} we read")
    if token.isascii():
        covered, _, signature = token.encode("ascii").rpartition(b".")
        header, dot, payload = covered.partition(b".")
        if dot and b"." not in payload:
            return header, payload, signature, covered
    raise Invalid("not a JWS: it must be three base64url parts with a dot between them")


def _certificates(header: bytes) -> list[str]:
    try:
        said = _HEADER.decode(_unbase64(header))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Invalid(f"not an App Store JWS: its header cannot be read: {error}") from error
    if said.alg != "ES256":
        raise Untrusted(f"signed with {said.alg!r}; the App Store signs with ES256 only")
    if said.crit is not msgspec.UNSET:
        raise Untrusted("the header names critical extensions; the App Store sends none")
    return said.x5c


def _verify_signature(chain: Chain, covered: bytes, signature: bytes) -> None:
    raw = _unbase64(signature)
    if len(raw) != 64:
        raise Untrusted(f"an ES256 signature has 64 bytes, this one {len(raw)}")
    try:
        chain.key.verify(encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")), covered, _ES256)
    except InvalidSignature as error:
        raise Untrusted("the signature does not fit the message: it was altered, or signed with another key") from error


def _verify_moment(chain: Chain, signed_ms: float | None, now: datetime) -> None:
    if signed_ms is None:
        raise Untrusted("the payload does not say when it was signed (signedDate), so its certificates cannot be judged")
    if not chain.valid_from_ms <= signed_ms <= chain.valid_until_ms:
        raise Untrusted("signed at a moment when its certificates were not valid")
    if signed_ms > now.timestamp() * 1000 + FUTURE_LEEWAY_MS:
        raise Untrusted("signed more than 5 minutes in the future; check this machine's clock")


def _root(carried: bytes, intermediate: x509.Certificate, roots: tuple[bytes, ...]) -> tuple[x509.Certificate, bool]:
    if sha256(carried).hexdigest() == APPLE_ROOT_G3:
        return x509.load_der_x509_certificate(carried), False
    for root in map(x509.load_der_x509_certificate, roots):
        if is_issued_by(intermediate, root):
            return root, True
    raise Untrusted("the certificates do not lead to Apple Root CA - G3")


def _certificate_bytes(text: str) -> bytes:
    if len(text) > _LARGEST_CERTIFICATE:
        raise Untrusted("a certificate in the header is longer than any of Apple's")
    return a2b_base64(text, strict_mode=True)


def _unbase64(segment: bytes) -> bytes:
    try:
        return a2b_base64(segment.translate(_URL_ALPHABET) + b"=" * (-len(segment) % 4), strict_mode=True)
    except NotBase64 as error:
        raise Invalid("not a JWS: a part of it is not base64url") from error


def _base64(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")

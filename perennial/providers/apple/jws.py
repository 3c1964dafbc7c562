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

import re
from base64 import urlsafe_b64encode
from binascii import Error as NotBase64
from binascii import a2b_base64
from collections import OrderedDict
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

from perennial.base.errors import Invalid
from perennial.base.time import to_ms
from perennial.base.value import value
from perennial.intake.model import Untrusted

APPLE_ROOT_G3 = "63343abfb89a6a03ebb57e9b3f5fa7be7c4f5c756f3017b3a8c488c3653e9179"  # SHA-256 of "Apple Root CA - G3", as Apple publishes it
LEAF_MARK = x509.ObjectIdentifier("1.2.840.113635.100.6.11.1")  # "may sign receipts and App Store data"
INTERMEDIATE_MARK = x509.ObjectIdentifier("1.2.840.113635.100.6.2.1")  # "Worldwide Developer Relations"
LARGEST_JWS = 256 * 1024
FUTURE_LEEWAY_MS = 5 * 60 * 1000
CHAINS_KEPT = 256

_LARGEST_CERTIFICATE = 16 * 1024
_ES256 = ECDSA(SHA256())
_URL_ALPHABET = bytes.maketrans(b"-_+/", b"+/!!")  # `+` and `/` are not in the URL alphabet: make them unreadable
_CHAIN_HASHES = frozenset(("sha256", "sha384", "sha512"))
_UNDERSTOOD = frozenset((x509.BasicConstraints.oid, x509.KeyUsage.oid, LEAF_MARK, INTERMEDIATE_MARK))


class Signed(Protocol):
    """What must be readable in every payload before it is believed."""

    @property
    def signed_ms(self) -> float | None:
        """When it was signed, in epoch milliseconds."""

    @property
    def stated_environment(self) -> str | None:
        """`Production` or `Sandbox`, as the payload spells it."""


P = TypeVar("P", bound=Signed)
Extension = TypeVar("Extension", bound=x509.ExtensionType)


@value
class Chain:
    """Three certificates that vouch for each other up to a root we know, and the key the last one vouches for."""

    key: EllipticCurvePublicKey
    valid_from_ms: int  # the latest beginning of the three
    valid_until_ms: int  # the earliest end of the three
    is_simulated: bool


class _Header(msgspec.Struct):
    alg: str
    x5c: list[str]
    crit: msgspec.Raw | None = None


_HEADER = msgspec.json.Decoder(_Header)


def verify(token: str, decoder: msgspec.json.Decoder[P], *, roots: tuple[bytes, ...], now: datetime) -> P:
    """The payload of `token`, when Apple (or one of the simulated `roots`, DER, in the sandbox) signed it.

    Raises `Invalid` for what is no JWS at all or whose payload has another shape, `Untrusted` for everything a signer did not vouch for.
    """
    header, payload, signature, covered = _segments(token)
    chain = _chains.get(header, roots)
    if chain is None:
        chain = verify_chain(_certificates(header), roots=roots)
        _verify_signature(chain, covered, signature)
        _chains.keep(header, roots, chain)  # only now: a forged signature must not push real chains out
    else:
        _verify_signature(chain, covered, signature)
    content = decode(_unbase64(payload), decoder)
    _verify_moment(chain, content.signed_ms, now)
    if chain.is_simulated and content.stated_environment != "Sandbox":
        raise Untrusted("a simulated store signed this, and simulated stores are believed only for the Sandbox environment")
    return content


def decode(payload: bytes, decoder: msgspec.json.Decoder[P]) -> P:
    """JSON to a typed payload. `Invalid` names the field that has another type."""
    if rb"\u0000" in payload:
        raise Invalid("the payload holds a NUL character, which no identifier has and no database keeps")
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        field = re.search(r"`\$\.?([^`]*)`", str(error))
        raise Invalid(f"the signed payload cannot be read: {error}", param=field.group(1) if field else None) from error


def verify_chain(x5c: list[str], *, roots: tuple[bytes, ...]) -> Chain:
    """Leaf, intermediate, root (base64 of DER): `Untrusted` unless each vouches for the one before and the root is known.

    The third certificate is believed only if its fingerprint is Apple's. Otherwise it is ignored and one of `roots` must vouch.
    """
    if len(x5c) != 3:
        raise Untrusted(f"the header carries {len(x5c)} certificates; the App Store sends exactly 3, Xcode's local testing fewer")
    try:
        leaf, intermediate = (x509.load_der_x509_certificate(_certificate_bytes(text)) for text in x5c[:2])
        root, is_simulated = _root(_certificate_bytes(x5c[2]), intermediate, roots)
        _verify_authority(root, "root", certificates_below=1)
        _verify_authority(intermediate, "intermediate", certificates_below=0)
        _verify_issued(intermediate, root, "intermediate", INTERMEDIATE_MARK)
        _verify_issued(leaf, intermediate, "leaf", LEAF_MARK)
        return _chain(leaf, intermediate, root, is_simulated=is_simulated)
    except Untrusted:
        raise
    except Exception as error:  # the bytes come from strangers: whatever a parser objects to, this is no chain
        raise Untrusted(f"the header's certificates cannot be read: {error}") from error


def sign(header: Mapping[str, object], payload: Mapping[str, object], key: EllipticCurvePrivateKey) -> str:
    """A compact ES256 JWS, as RFC 7515 writes it."""
    covered = _base64(msgspec.json.encode(header)) + b"." + _base64(msgspec.json.encode(payload))
    r, s = decode_dss_signature(key.sign(covered, _ES256))
    return (covered + b"." + _base64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode("ascii")


class _Chains:
    """The chains that held, newest use last, never more than `CHAINS_KEPT`. A key is the raw header and the roots it was judged by."""

    def __init__(self) -> None:
        self._chains: OrderedDict[tuple[bytes, tuple[bytes, ...]], Chain] = OrderedDict()
        self._lock = Lock()

    def get(self, header: bytes, roots: tuple[bytes, ...]) -> Chain | None:
        with self._lock:
            chain = self._chains.get((header, roots))
            if chain is not None:
                self._chains.move_to_end((header, roots))
            return chain

    def keep(self, header: bytes, roots: tuple[bytes, ...], chain: Chain) -> None:
        with self._lock:
            self._chains[header, roots] = chain
            if len(self._chains) > CHAINS_KEPT:
                self._chains.popitem(last=False)

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
    try:
        raw = token.encode("ascii")
        header, payload, signature = raw.split(b".")
    except ValueError as error:
        raise Invalid("not a JWS: it must be three base64url parts with a dot between them") from error
    return header, payload, signature, raw[: -len(signature) - 1]


def _certificates(header: bytes) -> list[str]:
    try:
        said = _HEADER.decode(_unbase64(header))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Invalid(f"not an App Store JWS: its header cannot be read: {error}") from error
    if said.alg != "ES256":
        raise Untrusted(f"signed with {said.alg!r}; the App Store signs with ES256 only")
    if said.crit is not None:
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
    if signed_ms > to_ms(now) + FUTURE_LEEWAY_MS:
        raise Untrusted("signed more than 5 minutes in the future; check this machine's clock")


def _root(carried: bytes, intermediate: x509.Certificate, roots: tuple[bytes, ...]) -> tuple[x509.Certificate, bool]:
    if sha256(carried).hexdigest() == APPLE_ROOT_G3:
        return x509.load_der_x509_certificate(carried), False
    for root in map(x509.load_der_x509_certificate, roots):
        if _is_issued_by(intermediate, root):
            return root, True
    raise Untrusted("the certificates do not lead to Apple Root CA - G3")


def _verify_authority(certificate: x509.Certificate, name: str, *, certificates_below: int) -> None:
    """RFC 5280, 4.2.1.9 and 4.2.1.3: a certificate may vouch for others only if it says so. `certificates_below` counts authorities."""
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise Untrusted(f"the {name} certificate is not an authority")
    if constraints.path_length is not None and constraints.path_length < certificates_below:
        raise Untrusted(f"the {name} certificate does not allow a chain of this length")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise Untrusted(f"the {name} certificate may not sign certificates")


def _verify_issued(certificate: x509.Certificate, issuer: x509.Certificate, name: str, mark: x509.ObjectIdentifier) -> None:
    if not _is_issued_by(certificate, issuer):
        raise Untrusted(f"the {name} certificate is not signed by the certificate after it")
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None or algorithm.name not in _CHAIN_HASHES:
        raise Untrusted(f"the {name} certificate is signed with a hash that is no longer safe")
    if any(extension.critical and extension.oid not in _UNDERSTOOD for extension in certificate.extensions):
        raise Untrusted(f"the {name} certificate has a critical extension we do not know")
    if all(extension.oid != mark for extension in certificate.extensions):
        raise Untrusted(f"the {name} certificate lacks Apple's mark {mark.dotted_string}: it was issued for another purpose")


def _chain(leaf: x509.Certificate, intermediate: x509.Certificate, root: x509.Certificate, *, is_simulated: bool) -> Chain:
    constraints, usage, key = _extension(leaf, x509.BasicConstraints), _extension(leaf, x509.KeyUsage), leaf.public_key()
    if constraints is not None and constraints.ca:
        raise Untrusted("the leaf certificate is an authority; only the certificates above it may be")
    if usage is not None and not usage.digital_signature:
        raise Untrusted("the leaf certificate may not sign data")
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise Untrusted("the leaf certificate's key is not on the curve P-256 that ES256 asks for")
    chain = (leaf, intermediate, root)
    return Chain(
        key=key,
        valid_from_ms=max(to_ms(certificate.not_valid_before_utc) for certificate in chain),
        valid_until_ms=min(to_ms(certificate.not_valid_after_utc) for certificate in chain),
        is_simulated=is_simulated,
    )


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Names match and the issuer's key signed it."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


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

"""Three certificates that vouch for each other: the rules App Store signatures of both generations share.

Apple marks its certificates with extensions of its own, so that a certificate it issued for another purpose (a developer's, say) cannot
sign purchases: the leaf must carry 1.2.840.113635.100.6.11.1, the intermediate 1.2.840.113635.100.6.2.1. The rest is RFC 5280. An
authority key identifier is not asked for: the signatures themselves are checked.
"""

from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from perennial.base.time import to_ms
from perennial.base.value import value
from perennial.intake.model import Untrusted

LEAF_MARK = x509.ObjectIdentifier("1.2.840.113635.100.6.11.1")
INTERMEDIATE_MARK = x509.ObjectIdentifier("1.2.840.113635.100.6.2.1")

_UNDERSTOOD = frozenset((x509.BasicConstraints.oid, x509.KeyUsage.oid, LEAF_MARK, INTERMEDIATE_MARK))

Extension = TypeVar("Extension", bound=x509.ExtensionType)


@value
class Vouched:
    """The leaf's key, and the span in which all three certificates are valid (epoch milliseconds, both ends included)."""

    key: CertificatePublicKeyTypes
    valid_from_ms: int
    valid_until_ms: int


def vouch(leaf: x509.Certificate, intermediate: x509.Certificate, root: x509.Certificate, *, hashes: frozenset[str]) -> Vouched:
    """Check every link below `root`, which the caller already knows to be one of ours. `Untrusted` says which link does not hold.

    `hashes` are the digests (`sha256`, ...) in which a certificate may be signed.
    """
    _verify_authority(root, "root", authorities_below=1)
    _verify_authority(intermediate, "intermediate", authorities_below=0)
    _verify_issued(intermediate, root, "intermediate", INTERMEDIATE_MARK, hashes)
    _verify_issued(leaf, intermediate, "leaf", LEAF_MARK, hashes)
    _verify_signer(leaf)
    chain = (leaf, intermediate, root)
    return Vouched(
        key=leaf.public_key(),
        valid_from_ms=max(to_ms(certificate.not_valid_before_utc) for certificate in chain),
        valid_until_ms=min(to_ms(certificate.not_valid_after_utc) for certificate in chain),
    )


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """The names match and the issuer's key signed it. (The library's own check refuses SHA-1, in which Apple's older ones are signed.)"""
    if certificate.issuer.public_bytes() != issuer.subject.public_bytes() or not _is_signed_in_whole_bytes(certificate):
        return False
    key, covered, signature = issuer.public_key(), certificate.tbs_certificate_bytes, certificate.signature
    try:
        digest = certificate.signature_hash_algorithm
        if isinstance(key, EllipticCurvePublicKey) and digest is not None:
            key.verify(signature, covered, ECDSA(digest))
            return True
        if isinstance(key, RSAPublicKey) and digest is not None and key.key_size >= 2048:
            key.verify(signature, covered, PKCS1v15(), digest)
            return True
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return False


def _is_signed_in_whole_bytes(certificate: x509.Certificate) -> bool:
    """A signature is a string of bits, and a certificate's last part: the byte before it says how many bits of it are unused, which must be none."""
    return certificate.public_bytes(Encoding.DER).endswith(b"\0" + certificate.signature)


def _verify_authority(certificate: x509.Certificate, name: str, *, authorities_below: int) -> None:
    """RFC 5280, 4.2.1.9 and 4.2.1.3: a certificate may vouch for others only if it says so."""
    constraints, usage = _extension(certificate, x509.BasicConstraints), _extension(certificate, x509.KeyUsage)
    if constraints is None or not constraints.ca:
        raise Untrusted(f"the {name} certificate is not an authority")
    if constraints.path_length is not None and constraints.path_length < authorities_below:
        raise Untrusted(f"the {name} certificate does not allow a chain of this length")
    if usage is not None and not usage.key_cert_sign:
        raise Untrusted(f"the {name} certificate may not sign certificates")


def _verify_issued(certificate: x509.Certificate, issuer: x509.Certificate, name: str, mark: x509.ObjectIdentifier, hashes: frozenset[str]) -> None:
    if not is_issued_by(certificate, issuer):
        raise Untrusted(f"the {name} certificate is not signed by the certificate above it")
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None or algorithm.name not in hashes:
        raise Untrusted(f"the {name} certificate is signed with a hash that is not safe")
    if any(extension.critical and extension.oid not in _UNDERSTOOD for extension in certificate.extensions):
        raise Untrusted(f"the {name} certificate has a critical extension we do not know")
    if all(extension.oid != mark for extension in certificate.extensions):
        raise Untrusted(f"the {name} certificate lacks Apple's mark {mark.dotted_string}: it was issued for another purpose")


def _verify_signer(leaf: x509.Certificate) -> None:
    constraints, usage = _extension(leaf, x509.BasicConstraints), _extension(leaf, x509.KeyUsage)
    if constraints is not None and constraints.ca:
        raise Untrusted("the leaf certificate is an authority; only the certificates above it may be")
    if usage is not None and not usage.digital_signature:
        raise Untrusted("the leaf certificate may not sign data")


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None

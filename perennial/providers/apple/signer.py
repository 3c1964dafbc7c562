"""The simulated App Store's pen: certificates shaped like Apple's, and signatures the verifier accepts where a project opted in.

A project that trusts a simulated store lists this authority's root; nothing else tells its messages from Apple's, so the verifier
takes them for the sandbox only. The keys of the root and of the intermediate are thrown away when the authority is made: nobody can ever
make a second pen from the same root.
"""

from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

from perennial.base.errors import Invalid
from perennial.base.ids import random_bytes
from perennial.base.time import FOREVER
from perennial.base.value import value
from perennial.providers.apple import jws
from perennial.providers.apple.certificates import INTERMEDIATE_MARK, LEAF_MARK

YEAR = timedelta(days=365)
YEARS_AHEAD = 50  # a sandbox clock may run far
_END_OF_CERTIFICATE = b"-----END CERTIFICATE-----"


@value
class SigningAuthority:
    """A leaf key, and the three certificates that vouch for it: leaf, intermediate, root."""

    key: EllipticCurvePrivateKey
    leaf: x509.Certificate
    intermediate: x509.Certificate
    root: x509.Certificate

    @classmethod
    def create(cls, now: datetime) -> "SigningAuthority":
        """A new authority, valid from a year before `now` to fifty years after it (or the end of the calendar)."""
        root_key, intermediate_key, leaf_key = (generate_private_key(SECP256R1()) for _ in range(3))
        root_name, intermediate_name, leaf_name = (_name(part) for part in ("Root", "Intermediate", "Receipt Signing"))
        root = _builder(root_name, root_name, root_key.public_key(), root_key.public_key(), now, authority_depth=None)
        intermediate = _builder(intermediate_name, root_name, intermediate_key.public_key(), root_key.public_key(), now, authority_depth=0)
        leaf = _builder(leaf_name, intermediate_name, leaf_key.public_key(), intermediate_key.public_key(), now, authority_depth=-1)
        return cls(
            key=leaf_key,
            root=root.sign(root_key, SHA256()),
            intermediate=_marked(intermediate, INTERMEDIATE_MARK).sign(root_key, SHA256()),
            leaf=_marked(leaf, LEAF_MARK).sign(intermediate_key, SHA256()),
        )

    @property
    def root_der(self) -> bytes:
        """What a project lists to trust this store: `StoreApp.simulated_roots`."""
        return self.root.public_bytes(Encoding.DER)

    def sign(self, payload: Mapping[str, object]) -> str:
        """A compact JWS with its certificates in the header, as the App Store sends it."""
        chain = (self.leaf, self.intermediate, self.root)
        x5c = [b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii") for certificate in chain]
        return jws.sign({"alg": "ES256", "x5c": x5c}, payload, self.key)

    def sign_receipt(self, content: bytes) -> str:
        """A legacy app receipt: `content` (its attributes, in DER) in a PKCS#7 envelope, in base64."""
        builder = PKCS7SignatureBuilder().set_data(content).add_signer(self.leaf, self.key, SHA256())
        builder = builder.add_certificate(self.intermediate).add_certificate(self.root)
        return b64encode(builder.sign(Encoding.DER, [PKCS7Options.Binary, PKCS7Options.NoAttributes])).decode("ascii")

    def dump(self) -> bytes:
        """The whole authority as PEM, the private key included: keep it where secrets are kept."""
        chain = (self.leaf, self.intermediate, self.root)
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain) + key

    @classmethod
    def load(cls, dumped: bytes) -> "SigningAuthority":
        """The authority `dump` wrote. Raises `Invalid` for anything else."""
        certificates, _, pem_key = dumped.rpartition(_END_OF_CERTIFICATE)
        try:
            leaf, intermediate, root = x509.load_pem_x509_certificates(certificates + _END_OF_CERTIFICATE)
            key = load_pem_private_key(pem_key.lstrip(), password=None)
        except (ValueError, TypeError) as error:
            raise Invalid("not a dumped signing authority: it must be three certificates and a private key in PEM") from error
        if not isinstance(key, EllipticCurvePrivateKey) or key.public_key() != leaf.public_key():
            raise Invalid("not a dumped signing authority: the private key is not the first certificate's")
        return cls(key=key, leaf=leaf, intermediate=intermediate, root=root)


def _name(part: str) -> x509.Name:
    """The root's name tells authorities apart; it is no secret."""
    organization = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Perennial Simulated App Store")
    return x509.Name([organization, x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Simulated {part} {random_bytes(8).hex()}")])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePublicKey,
    issuer_key: EllipticCurvePublicKey,
    now: datetime,
    *,
    authority_depth: int | None,
) -> x509.CertificateBuilder:
    """`authority_depth`: how many authorities may stand below it (None: any number); -1 for a leaf."""
    is_authority = authority_depth != -1
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(int.from_bytes(b"\x01" + random_bytes(18), "big"))
        .not_valid_before(now - YEAR)
        .not_valid_after(now + YEARS_AHEAD * YEAR if now < FOREVER - YEARS_AHEAD * YEAR else FOREVER)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=authority_depth if is_authority else None), critical=True)
        .add_extension(_usage(is_authority=is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _marked(builder: x509.CertificateBuilder, mark: x509.ObjectIdentifier) -> x509.CertificateBuilder:
    return builder.add_extension(x509.UnrecognizedExtension(mark, b"\x05\x00"), critical=False)  # an ASN.1 NULL, as in Apple's


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )

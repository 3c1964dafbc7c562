"""Legacy App Store app receipts: a PKCS#7 envelope around a set of numbered attributes.

The envelope carries the signer's certificate and those above it up to Apple Root CA, which is pinned by its published fingerprint. As with
newer signatures, certificates are judged at the moment the receipt was created and revocation is not asked. SHA-1 is accepted here, in
signatures and certificates, because Apple signed with nothing else before 2023; nobody but Apple chooses what is signed.

The attributes are Apple's "Receipt Validation Programming Guide": a SET of SEQUENCE { type, version, value }. A receipt knows neither
prices nor how a subscription will go on, and it shows a transaction replaced by an upgrade as cancelled like a refunded one: ask the
store afterwards. It does not tell consumables from non-consumables either; everything without an end is read as `non_consumable`, and
the catalog's product type overrides that.
"""

from base64 import b64decode
from collections.abc import Iterator
from datetime import datetime
from typing import TypeVar

from asn1crypto import cms  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, Hash, HashAlgorithm

from perennial.base import reading
from perennial.base.errors import Invalid, NotConfigured
from perennial.base.reading import note
from perennial.base.time import to_ms
from perennial.base.value import value
from perennial.customers.model import Download
from perennial.intake.model import Reading, StoreApp, Untrusted
from perennial.providers.apple.certificates import Vouched, is_issued_by, vouch
from perennial.providers.apple.jws import FUTURE_LEEWAY_MS
from perennial.providers.apple.read import about, gathered
from perennial.subscriptions.model import Environment, PeriodType, Purchase, Revocation, Statement

APPLE_ROOT = "b0b1730ecbc7ff4505142c49f1295e6eda6bcaed7e2c68c5be91b5a11001f024"  # SHA-256 of "Apple Root CA", as Apple publishes it
LARGEST_RECEIPT = 2 * 1024 * 1024  # characters of base64; about four thousand transactions

_MOST_CERTIFICATES = 8
_LONGEST_TEXT = 1024  # bytes
_DIGESTS: dict[str, HashAlgorithm] = {"sha1": SHA1(), "sha256": SHA256()}  # noqa: S303  see above
_CHAIN_HASHES = frozenset(("sha1", "sha256", "sha384", "sha512"))
_ENVIRONMENTS: dict[str, Environment] = {
    "Production": "production",
    "ProductionVPP": "production",
    "ProductionSandbox": "sandbox",
    "ProductionVPPSandbox": "sandbox",
}
_INTEGER, _OCTETS, _UTF8, _SEQUENCE, _IA5, _SET = 0x02, 0x04, 0x0C, 0x30, 0x16, 0x31  # ASN.1 tags, as their one byte

# Attributes of a receipt, and of one purchase in it
_RECEIPT_TYPE, _BUNDLE_ID, _APP_VERSION, _CREATED_AT, _IN_APP, _DOWNLOADED_AT, _ORIGINAL_APP_VERSION = 0, 2, 3, 12, 17, 18, 19
_QUANTITY, _PRODUCT, _TRANSACTION, _PURCHASED_AT, _ORIGINAL_TRANSACTION = 1701, 1702, 1703, 1704, 1705
_ORIGINALLY_AT = 1706
_EXPIRES_AT, _CANCELLED_AT, _IS_TRIAL, _IS_INTRO = 1708, 1712, 1713, 1719

Attributes = dict[int, bytes]
Found = TypeVar("Found", str, datetime)


@value
class Receipt:
    """A verified receipt. `purchases` are the raw attributes of each purchase in it."""

    bundle_id: str
    environment: Environment
    created_at: datetime
    app_version: str | None
    original_app_version: str | None
    purchases: tuple[Attributes, ...]
    downloaded_at: datetime | None = None


def read_app_receipt(app: StoreApp, token: str, now: datetime) -> Reading:
    """What an app receipt (base64) states, line by line. Raises `Untrusted`, or `Invalid` for what is no app receipt."""
    receipt = verified_receipt(token, roots=app.simulated_roots, now=now)
    if app.bundle_id is None:
        raise NotConfigured("the app has no bundle id; set it to read its receipts", param="bundle_id")
    if receipt.bundle_id != app.bundle_id:
        raise Untrusted(f"a receipt of the app {receipt.bundle_id!r}, not of {app.bundle_id!r}", param="fetch_token")
    statements = gathered(_readable(app, receipt))
    if not statements:
        return Reading(note="the receipt holds no purchase", download=_download(receipt))
    return Reading(statements=statements, questions=tuple(about(statement) for statement in statements), download=_download(receipt))


def _readable(app: StoreApp, receipt: Receipt) -> Iterator[Statement]:
    """One purchase that cannot be read does not take the others with it. Where it is the only one, it says why it cannot: `Invalid`."""
    for attributes in receipt.purchases:
        try:
            yield _statement(app, receipt, attributes)
        except Invalid as error:
            if len(receipt.purchases) == 1:
                raise
            note("in_app", error.message)


def _download(receipt: Receipt) -> Download | None:
    if not receipt.original_app_version or receipt.downloaded_at is None:
        return None
    return Download(version=receipt.original_app_version, at=receipt.downloaded_at)


def verified_receipt(token: str, *, roots: tuple[bytes, ...], now: datetime) -> Receipt:
    """The receipt inside the envelope, when Apple (or, in the sandbox, one of the simulated `roots`) signed it."""
    raw = _decoded(token)
    try:
        envelope = cms.ContentInfo.load(raw, strict=True)
        content, vouched, is_simulated = _signed_content(envelope, roots)
        receipt = _receipt(content)
    except Invalid:
        raise
    except Exception as error:  # the bytes come from strangers: whatever a parser objects to, this is no receipt
        raise Invalid(f"not an app receipt: {error}", param="fetch_token") from error
    created_ms = to_ms(receipt.created_at)
    if not vouched.valid_from_ms <= created_ms <= vouched.valid_until_ms:
        raise Untrusted("the receipt was created at a moment when its certificates were not valid", param="fetch_token")
    if created_ms > to_ms(now) + FUTURE_LEEWAY_MS:
        raise Untrusted("the receipt was created more than 5 minutes in the future; check this machine's clock", param="fetch_token")
    if is_simulated and receipt.environment != "sandbox":
        raise Untrusted("a simulated store signed this, and simulated stores are believed only in the sandbox", param="fetch_token")
    return receipt


# The envelope


def _decoded(token: str) -> bytes:
    if len(token) > LARGEST_RECEIPT:
        raise Invalid(f"a receipt of {len(token)} characters is longer than the {LARGEST_RECEIPT} we read", param="fetch_token")
    try:
        raw = b64decode("".join(token.split()), validate=True)
    except ValueError as error:
        raise Invalid("neither a signed transaction nor a receipt: it is not base64", param="fetch_token") from error
    if raw[:1] != b"{":
        return raw
    if b'"purchase-info"' in raw:
        raise Invalid("a transaction receipt as iOS 6 made them; post the app receipt or the signed transaction instead", param="fetch_token")
    raise Invalid("a receipt of Xcode's local testing, which the App Store did not sign; test against the sandbox", param="fetch_token")


def _signed_content(envelope: cms.ContentInfo, roots: tuple[bytes, ...]) -> tuple[bytes, Vouched, bool]:
    """The bytes inside, once the signer's signature over them and its certificates hold."""
    if envelope["content_type"].native != "signed_data":
        raise Invalid("not an app receipt: the PKCS#7 envelope is not signed", param="fetch_token")
    signed = envelope["content"]
    signers, content = signed["signer_infos"], signed["encap_content_info"]["content"].native
    if len(signers) != 1 or not isinstance(content, bytes):
        raise Invalid("not an app receipt: the PKCS#7 envelope must hold data and one signature", param="fetch_token")
    vouched, is_simulated = _vouched_signer(signed, signers[0], roots)
    _verify_signature(signers[0], content, vouched.key)
    return content, vouched, is_simulated


def _vouched_signer(signed: cms.SignedData, signer: cms.SignerInfo, roots: tuple[bytes, ...]) -> tuple[Vouched, bool]:
    if len(signed["certificates"]) > _MOST_CERTIFICATES:
        raise Untrusted("the receipt carries more certificates than any of Apple's", param="fetch_token")
    carried = [x509.load_der_x509_certificate(choice.chosen.dump()) for choice in signed["certificates"]]
    leaf = next((one for one in carried if _is_signers(one, signer)), None)
    if leaf is None:
        raise Untrusted("the receipt does not carry its signer's certificate", param="fetch_token")
    intermediate = next((one for one in carried if one is not leaf and is_issued_by(leaf, one)), None)
    if intermediate is None:
        raise Untrusted("nothing in the receipt vouches for its signer", param="fetch_token")
    root, is_simulated = _root(carried, intermediate, roots)
    return vouch(leaf, intermediate, root, hashes=_CHAIN_HASHES), is_simulated


def _is_signers(certificate: x509.Certificate, signer: cms.SignerInfo) -> bool:
    """Apple names the signer by issuer and serial number, the first of the two ways RFC 5652 allows."""
    if signer["sid"].name != "issuer_and_serial_number":
        return False
    named = signer["sid"].chosen
    return bool(named["serial_number"].native == certificate.serial_number and named["issuer"].dump() == certificate.issuer.public_bytes())


def _root(carried: list[x509.Certificate], intermediate: x509.Certificate, roots: tuple[bytes, ...]) -> tuple[x509.Certificate, bool]:
    for certificate in carried:
        if certificate.fingerprint(SHA256()).hex() == APPLE_ROOT and is_issued_by(intermediate, certificate):
            return certificate, False
    for root in map(x509.load_der_x509_certificate, roots):
        if is_issued_by(intermediate, root):
            return root, True
    raise Untrusted("the receipt's certificates do not lead to Apple Root CA", param="fetch_token")


def _verify_signature(signer: cms.SignerInfo, content: bytes, key: CertificatePublicKeyTypes) -> None:
    digest = _DIGESTS.get(signer["digest_algorithm"]["algorithm"].native)
    if digest is None:
        raise Untrusted("the receipt is signed with a digest the App Store does not use", param="fetch_token")
    covered = content
    if signer["signed_attrs"].native is not None:
        _verify_digest(signer, content, digest)
        covered = b"\x31" + signer["signed_attrs"].dump()[1:]  # RFC 5652, 5.4: signed as a SET, not with the tag it travels under
    signature = signer["signature"].native
    try:
        if isinstance(key, RSAPublicKey) and key.key_size >= 2048:
            key.verify(signature, covered, PKCS1v15(), digest)
        elif isinstance(key, EllipticCurvePublicKey):
            key.verify(signature, covered, ECDSA(digest))
        else:
            raise Untrusted("the receipt is signed with a kind of key the App Store does not use", param="fetch_token")
    except InvalidSignature as error:
        raise Untrusted("the signature does not fit the receipt: it was altered, or signed with another key", param="fetch_token") from error


def _verify_digest(signer: cms.SignerInfo, content: bytes, digest: HashAlgorithm) -> None:
    """With signed attributes the signature covers those, and they cover the content by its digest."""
    hashed = Hash(digest)
    hashed.update(content)
    values = {attribute["type"].native: attribute["values"].native for attribute in signer["signed_attrs"]}
    if values.get("content_type") != ["data"] or values.get("message_digest") != [hashed.finalize()]:
        raise Untrusted("the signed digest does not fit the receipt: it was altered", param="fetch_token")


# The attributes


def _receipt(content: bytes) -> Receipt:
    attributes: Attributes = {}
    purchases: list[Attributes] = []
    for kind, attribute in _attributes(content):
        if kind == _IN_APP:
            purchases.append(dict(_attributes(attribute)))
        else:
            attributes[kind] = attribute
    stated = _needed(_text(attributes.get(_RECEIPT_TYPE)), "receipt type")
    environment = _ENVIRONMENTS.get(stated)
    if environment is None:
        raise Untrusted(f"a receipt of the environment {stated!r}, which is not signed by the App Store", param="fetch_token")
    return Receipt(
        bundle_id=_needed(_text(attributes.get(_BUNDLE_ID)), "bundle id"),
        environment=environment,
        created_at=_needed(_moment(attributes.get(_CREATED_AT)), "creation date"),
        app_version=_text(attributes.get(_APP_VERSION)),
        original_app_version=_text(attributes.get(_ORIGINAL_APP_VERSION)),
        purchases=tuple(purchases),
        downloaded_at=_downloaded_at(attributes.get(_DOWNLOADED_AT)),
    )


def _attributes(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute of a DER SET; the value is DER itself."""
    elements = list(_elements(content))
    if len(elements) != 1 or elements[0][0] != _SET:
        raise Invalid("not an app receipt: its attributes are not one SET", param="fetch_token")
    for tag, attribute in _elements(elements[0][1]):
        parts = list(_elements(attribute)) if tag == _SEQUENCE else []
        if [part[0] for part in parts] != [_INTEGER, _INTEGER, _OCTETS]:
            raise Invalid("not an app receipt: an attribute is not a type, a version and a value", param="fetch_token")
        yield int.from_bytes(parts[0][1], "big", signed=True), parts[2][1]


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of DER elements that stand one after another. One-byte tags and definite lengths: receipts have no others."""
    position, end = 0, len(content)
    while position < end:
        if position + 2 > end:
            raise Invalid("the receipt breaks off within an attribute", param="fetch_token")
        tag, length = content[position], content[position + 1]
        position += 2
        if length >= 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4:
                raise Invalid("the receipt has an attribute of impossible length", param="fetch_token")
            length = int.from_bytes(content[position : position + size], "big")
            position += size
        if position + length > end:
            raise Invalid("the receipt breaks off within an attribute", param="fetch_token")
        yield tag, content[position : position + length]
        position += length


def _statement(app: StoreApp, receipt: Receipt, attributes: Attributes) -> Statement:
    transaction = _needed(_text(attributes.get(_TRANSACTION)), "transaction id")
    line = _text(attributes.get(_ORIGINAL_TRANSACTION)) or transaction
    expires_at = _moment(attributes.get(_EXPIRES_AT))
    cancelled_at = _moment(attributes.get(_CANCELLED_AT))
    purchase = Purchase(
        transaction=transaction,
        product=_needed(_text(attributes.get(_PRODUCT)), "product id"),
        kind="subscription" if expires_at is not None else "non_consumable",
        purchased_at=_needed(_moment(attributes.get(_PURCHASED_AT)), "purchase date"),
        expires_at=expires_at,
        as_of=receipt.created_at,
        is_summary=True,
        is_first=transaction == line,
        is_renewal=expires_at is not None and transaction != line,
        period_type=_period_type(attributes),
        quantity=reading.quantity(_number(attributes, _QUANTITY)),
        revocation=Revocation(at=cancelled_at, refunded=True) if cancelled_at is not None else None,
    )
    return Statement(
        store=app.store,
        environment=receipt.environment,
        line=line,
        purchases=(purchase,),
        original_purchased_at=_moment(attributes.get(_ORIGINALLY_AT)),
    )


def _period_type(attributes: Attributes) -> PeriodType:
    if _number(attributes, _IS_TRIAL):
        return "trial"
    return "intro" if _number(attributes, _IS_INTRO) else "normal"


def _number(attributes: Attributes, kind: int) -> int | None:
    """Of an attribute that nothing depends on."""
    return reading.aside(f"in_app.{kind}", attributes.get(kind), lambda: _integer(attributes.get(kind)))


def _text(encoded: bytes | None) -> str | None:
    """A UTF-8 or IA5 string; an absent or empty one is None. NUL, which no identifier has, is refused."""
    if encoded is None:
        return None
    elements = list(_elements(encoded))
    if len(elements) != 1 or elements[0][0] not in (_UTF8, _IA5) or b"\0" in elements[0][1] or len(elements[0][1]) > _LONGEST_TEXT:
        raise Invalid("the receipt has text that is not text, or longer than any of Apple's", param="fetch_token")
    try:
        return elements[0][1].decode("utf-8") or None
    except UnicodeDecodeError as error:
        raise Invalid("the receipt has text that is not text", param="fetch_token") from error


def _integer(encoded: bytes | None) -> int | None:
    if encoded is None:
        return None
    elements = list(_elements(encoded))
    if len(elements) != 1 or elements[0][0] != _INTEGER or not 1 <= len(elements[0][1]) <= 8:
        raise Invalid("the receipt has a number that is not a number", param="fetch_token")
    return int.from_bytes(elements[0][1], "big", signed=True)


def _moment(encoded: bytes | None) -> datetime | None:
    """RFC 3339, in UTC: `2025-12-26T18:39:47Z`."""
    text = _text(encoded)
    return None if text is None else reading.instant(text, "a moment of the receipt")


def _downloaded_at(encoded: bytes | None) -> datetime | None:
    """Apple's guide leaves this attribute out, so that one which is no moment does not spoil a receipt."""
    try:
        return _moment(encoded)
    except Invalid:
        return None


def _needed(found: Found | None, name: str) -> Found:
    if found is None:
        raise Invalid(f"the receipt lacks its {name}", param="fetch_token")
    return found

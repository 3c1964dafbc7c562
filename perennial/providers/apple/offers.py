"""Signatures for promotional offers: the App Store gives such an offer only where the app's owner signed for this one purchase.

The signed text and its order are Apple's ("Generating a signature for promotional offers"): ECDSA over P-256 with SHA-256, DER in base64.
"""

from base64 import b64encode
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from perennial.base.errors import Invalid
from perennial.base.time import to_ms
from perennial.base.value import value
from perennial.intake.model import StoreApp

SEPARATOR = "\u2063"  # INVISIBLE SEPARATOR


class OfferKeyMissing(Invalid):
    """7234: the app has no key Apple would know, so nothing can be signed."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; set the app's in-app purchase key from App Store Connect", param="api_private_key", code=7234)


@value
class OfferSignature:
    """What the SDK hands to StoreKit beside the offer. Apple takes it for 24 hours, once."""

    key_id: str
    signature: str  # base64
    nonce: str
    timestamp_ms: int


def sign_offer(app: StoreApp, *, product: str, offer: str, buyer: str, nonce: str, now: datetime) -> OfferSignature:
    """`buyer` is what the app tells StoreKit of who buys (applicationUsername or appAccountToken), empty for nothing; `nonce` a new UUID.

    Raises `OfferKeyMissing`.
    """
    if not app.bundle_id or not app.api_key_id:
        raise OfferKeyMissing("the app has no bundle id or no key id")
    timestamp = to_ms(now)
    text = signed_text(app.bundle_id, app.api_key_id, product=product, offer=offer, buyer=buyer, nonce=nonce, timestamp_ms=timestamp)
    signature = _private_key(app).sign(text, ECDSA(SHA256()))
    return OfferSignature(key_id=app.api_key_id, signature=b64encode(signature).decode("ascii"), nonce=nonce.lower(), timestamp_ms=timestamp)


def signed_text(bundle_id: str, key_id: str, *, product: str, offer: str, buyer: str, nonce: str, timestamp_ms: int) -> bytes:
    """Buyer and nonce in lower case, as Apple's own library does. A field with the separator in it could be taken for two: `Invalid`."""
    for name, field in (("product_id", product), ("offer_id", offer), ("app_user_id", buyer)):
        if SEPARATOR in field:
            raise Invalid(f"`{name}` holds the character that separates the signed fields", param=name)
    return SEPARATOR.join((bundle_id, key_id, product, offer, buyer.lower(), nonce.lower(), str(timestamp_ms))).encode()


def _private_key(app: StoreApp) -> EllipticCurvePrivateKey:
    if not app.api_private_key:
        raise OfferKeyMissing("the app has no in-app purchase key")
    try:
        key = load_pem_private_key(app.api_private_key.reveal_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise OfferKeyMissing("the app's in-app purchase key cannot be read")
    return key

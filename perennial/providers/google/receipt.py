"""What an Android device may post beside the bare token: the purchase as Google's billing library gives it, with Google's signature.

The signature is RSA with SHA-1 over the exact text of the purchase data, by the key each app has in the Play Console ("licensing"). It proves that
Google once said so, and nothing about now: the token in it is asked about like any other.

Source: Google Play Billing, "Verify purchases"; Purchase.getOriginalJson and getSignature.
"""

from base64 import b64decode
from binascii import Error as NotBase64

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_der_public_key

from perennial.base.errors import Invalid, NotConfigured
from perennial.base.reading import LONGEST_KEY, decode
from perennial.base.value import value
from perennial.intake.model import StoreApp, Untrusted

_LARGEST_RECEIPT = 64 * 1024


@value
class Proof:
    """What is to be asked about: the token, and the products it is said to be of."""

    token: str
    products: tuple[str, ...]


class _Signed(msgspec.Struct):
    """`data` stays as it was written: its signature covers that text and no other."""

    data: msgspec.Raw
    signature: str


class _PurchaseData(msgspec.Struct, rename="camel"):
    package_name: str
    purchase_token: str
    product_id: str | None = None
    product_ids: list[str] = []


def proof_of(app: StoreApp, posted: str, products: tuple[str, ...]) -> Proof:
    """A bare token as it is; signed purchase data (`{"data": ..., "signature": ...}`) once its signature holds.

    `data` is the purchase as an object, or the text of it. Raises `Invalid`, or `Untrusted` where another signed it or it is another app's.
    """
    posted = posted.strip()
    if not posted.startswith("{"):
        return Proof(token=_token(posted), products=products)
    if len(posted) > _LARGEST_RECEIPT:
        raise Invalid(f"a receipt of {len(posted)} characters is longer than the {_LARGEST_RECEIPT} we read", param="fetch_token")
    signed, text = _parts(posted)
    _verify(app, text, signed.signature)
    try:
        said = decode(text, _PurchaseData)
    except Invalid as error:
        raise Invalid(f"the signed purchase data cannot be read: {error.message}", param="fetch_token") from error
    if said.package_name != app.bundle_id:
        raise Untrusted(f"signed for the package {said.package_name!r}, not for {app.bundle_id!r}", param="fetch_token")
    named = (said.product_id, *said.product_ids)
    return Proof(token=_token(said.purchase_token), products=tuple(dict.fromkeys(one for one in named if one)) or products)


def _token(text: str) -> str:
    if not 0 < len(text) <= LONGEST_KEY or not text.isascii() or not text.isprintable() or " " in text or not text.strip("."):
        raise Invalid("not a purchase token: it is what Purchase.getPurchaseToken gives", param="fetch_token")
    return text


def _parts(posted: str) -> tuple[_Signed, bytes]:
    try:
        signed = msgspec.json.decode(posted, type=_Signed)
        raw = bytes(signed.data)
        return signed, msgspec.json.decode(raw, type=str).encode() if raw.startswith(b'"') else raw
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Invalid('a receipt with a signature is {"data": ..., "signature": ...}', param="fetch_token") from error


def _verify(app: StoreApp, text: bytes, signature: str) -> None:
    try:
        license_key(app).verify(b64decode(signature, validate=True), text, PKCS1v15(), SHA1())  # noqa: S303  Google's choice, of 2011
    except (InvalidSignature, NotBase64) as error:
        raise Untrusted("Google did not sign this purchase for this app", param="fetch_token") from error


def license_key(app: StoreApp) -> RSAPublicKey:
    """The app's setting `license_key`: base64 of a DER public key, as the Play Console shows it."""
    text = app.settings.get("license_key")
    if not text:
        raise NotConfigured(
            "the app has no `license_key`; a signed purchase cannot be verified without it, a bare token can be posted", param="license_key"
        )
    try:
        key = load_der_public_key(b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey):
        raise NotConfigured("`license_key` is not the key the Play Console shows: paste the whole base64 text", param="license_key")
    return key

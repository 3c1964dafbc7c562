"""Signed offers, judged by Apple's own library."""

import uuid
from base64 import b64decode
from datetime import UTC, datetime

import pytest
from appstoreserverlibrary.promotional_offer import PromotionalOfferSignatureCreator
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from perennial.api.v1.eligibility import buyer_told_to_storekit, intro_eligibility
from perennial.base.errors import Invalid
from perennial.base.ids import AppId, ProjectId
from perennial.base.value import replace
from perennial.intake.model import StoreApp
from perennial.providers.apple.offers import SEPARATOR, OfferKeyMissing, sign_offer, signed_text
from perennial.subscriptions.model import Offer, Purchase
from tests.rules.lives import Life

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEY = generate_private_key(SECP256R1())
NONCE = "6F0D1C2E-8F5E-4A55-9D5E-0A1B2C3D4E5F"


def pem(key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


APP = StoreApp(
    project_id=ProjectId("proj_1"),
    app_id=AppId("app_1"),
    store="app_store",
    bundle_id="com.example.app",
    api_key_id="KEY123",
    api_private_key=pem(KEY),
)


def test_what_we_sign_is_what_apples_library_signs():
    theirs = PromotionalOfferSignatureCreator(pem(KEY).encode(), "KEY123", "com.example.app").create_signature(
        "pro_monthly", "stay", "Ada", uuid.UUID(NONCE), 1769860800000
    )
    text = signed_text("com.example.app", "KEY123", product="pro_monthly", offer="stay", buyer="Ada", nonce=NONCE, timestamp_ms=1769860800000)
    KEY.public_key().verify(b64decode(theirs), text, ECDSA(SHA256()))


def test_a_signature_holds_for_its_text_alone():
    made = sign_offer(APP, product="pro_monthly", offer="stay", buyer="Ada", nonce=NONCE, now=NOW)
    assert (made.key_id, made.nonce, made.timestamp_ms) == ("KEY123", NONCE.lower(), 1769860800000)
    text = "\u2063".join(("com.example.app", "KEY123", "pro_monthly", "stay", "ada", NONCE.lower(), "1769860800000"))
    KEY.public_key().verify(b64decode(made.signature), text.encode(), ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(b64decode(made.signature), text.replace("ada", "bea").encode(), ECDSA(SHA256()))


@pytest.mark.parametrize(
    "app",
    [
        replace(APP, api_private_key=None),
        replace(APP, api_key_id=None),
        replace(APP, bundle_id=None),
        replace(APP, api_private_key="nonsense"),
        replace(APP, api_private_key=pem(generate_private_key(SECP384R1()))),
    ],
)
def test_without_a_key_apple_knows_nothing_is_signed(app: StoreApp):
    with pytest.raises(OfferKeyMissing) as refused:
        sign_offer(app, product="pro_monthly", offer="stay", buyer="", nonce=NONCE, now=NOW)
    assert refused.value.code == 7234


@pytest.mark.parametrize(
    ("app_user_id", "version", "second", "buyer"),
    [
        ("ada", "1", None, "ada"),
        ("ada", "2", None, ""),
        (NONCE, "2", None, NONCE),
        (NONCE, None, "true", NONCE),
        ("ada", None, "true", ""),
        ("ada", None, "false", "ada"),
        ("ada", None, None, "ada"),
    ],
)
def test_the_signature_names_whom_the_sdk_tells_storekit(app_user_id: str, version: str | None, second: str | None, buyer: str):
    assert buyer_told_to_storekit(app_user_id, version, second) == buyer


# Introductory offers


def bought(*, trial: bool, **changes) -> Purchase:
    life = Life(product="monthly")
    life.subscribe(trial=trial)
    return replace(life.last, **changes)


ASKED = ("monthly", "yearly", "weekly")
KNOWN = {"monthly", "yearly"}


@pytest.mark.parametrize(
    ("histories", "expected"),
    [
        ([], {"monthly": True, "yearly": True, "weekly": None}),
        ([[bought(trial=False)]], {"monthly": True, "yearly": True, "weekly": None}),
        ([[bought(trial=True)]], {"monthly": False, "yearly": None, "weekly": None}),
        ([[bought(trial=True), bought(trial=False, product="yearly")]], {"monthly": False, "yearly": False, "weekly": None}),
        ([[bought(trial=True, ownership="family_shared")]], {"monthly": True, "yearly": True, "weekly": None}),
        ([[bought(trial=True, offer=Offer(kind="offer_code"))]], {"monthly": True, "yearly": True, "weekly": None}),
        ([[bought(trial=False, offer=Offer(kind="introductory"))]], {"monthly": False, "yearly": None, "weekly": None}),
    ],
)
def test_an_introductory_offer_is_once_in_a_subscription_group(histories, expected):
    assert intro_eligibility(ASKED, KNOWN, histories) == expected


@pytest.mark.parametrize("field", ["product", "offer", "buyer"])
def test_a_field_with_the_separator_in_it_is_not_signed(field: str) -> None:
    said = {"product": "pro", "offer": "save", "buyer": "ada", field: f"a{SEPARATOR}b"}
    with pytest.raises(Invalid, match="separates"):
        signed_text("com.example.app", "KEY", nonce="n", timestamp_ms=1, **said)

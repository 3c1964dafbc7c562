"""Purchase data as Google's billing library signs it on a device."""

import json
from base64 import b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from perennial.base.errors import Invalid, NotConfigured
from perennial.base.value import replace
from perennial.intake.model import Untrusted
from perennial.providers.google.receipt import Proof, proof_of
from tests.google_messages import APP, PACKAGE

KEY = generate_private_key(65537, 2048)
OURS = replace(APP, settings={"license_key": b64encode(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()})
DATA: dict[str, Any] = {"packageName": PACKAGE, "productId": "pro", "purchaseToken": "token-a", "purchaseState": 0}
TEXT = json.dumps(DATA, indent=1)  # unlike what an encoder of ours would write: the signature covers this very text


def signed(text: str = TEXT, key: RSAPrivateKey = KEY, *, as_text: bool = False) -> str:
    signature = b64encode(key.sign(text.encode(), PKCS1v15(), SHA1())).decode()
    return f'{{"data": {json.dumps(text) if as_text else text}, "signature": "{signature}"}}'


@pytest.mark.parametrize("as_text", [False, True])
def test_signed_data_names_the_token_and_its_product(as_text: bool) -> None:
    assert proof_of(OURS, signed(as_text=as_text), ()) == Proof(token="token-a", products=("pro",))


def test_a_bare_token_needs_no_key() -> None:
    assert proof_of(APP, " token-a\n", ("pro",)) == Proof(token="token-a", products=("pro",))


def test_several_products_of_one_purchase() -> None:
    data = {"packageName": PACKAGE, "productIds": ["pro", "storage"], "purchaseToken": "token-a"}
    assert proof_of(OURS, signed(json.dumps(data)), ()).products == ("pro", "storage")


def test_the_same_purchase_written_anew_is_not_what_was_signed() -> None:
    signature = json.loads(signed())["signature"]
    with pytest.raises(Untrusted, match="did not sign"):
        proof_of(OURS, json.dumps({"data": DATA, "signature": signature}), ())


@pytest.mark.parametrize("posted", [signed(key=generate_private_key(65537, 2048)), signed().replace("token-a", "token-b"), signed()[:-4] + '!!"}'])
def test_what_google_did_not_sign_is_untrusted(posted: str) -> None:
    with pytest.raises(Untrusted, match="did not sign") as caught:
        proof_of(OURS, posted, ())
    assert caught.value.param == "fetch_token"


def test_another_apps_purchase_is_untrusted_though_it_is_signed() -> None:
    with pytest.raises(Untrusted, match=r"com\.other"):
        proof_of(OURS, signed(json.dumps(DATA | {"packageName": "com.other"})), ())


@pytest.mark.parametrize("posted", ["{", "{}", '{"data": {}}', signed("[]"), signed('{"packageName": 1}'), '{"data": "' + "a" * 70_000 + '"}'])
def test_what_is_no_receipt_is_invalid(posted: str) -> None:
    with pytest.raises(Invalid) as caught:
        proof_of(OURS, posted, ())
    assert not isinstance(caught.value, Untrusted)


@pytest.mark.parametrize("key", [None, "", "not base64", b64encode(b"no key").decode()])
def test_without_the_apps_key_no_signature_is_believed(key: str | None) -> None:
    with pytest.raises(NotConfigured) as caught:
        proof_of(replace(APP, settings={"license_key": key} if key is not None else {}), signed(), ())
    assert caught.value.param == "license_key"

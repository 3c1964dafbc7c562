"""Real and public App Store data, judged as its index says, and Apple's own library as the judge of what it can judge."""

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from appstoreserverlibrary.models.AppTransaction import AppTransaction as ApplesAppTransaction
from appstoreserverlibrary.models.Environment import Environment as ApplesEnvironment
from appstoreserverlibrary.models.HistoryResponse import HistoryResponse
from appstoreserverlibrary.models.JWSRenewalInfoDecodedPayload import JWSRenewalInfoDecodedPayload
from appstoreserverlibrary.models.JWSTransactionDecodedPayload import JWSTransactionDecodedPayload
from appstoreserverlibrary.models.LibraryUtility import _get_cattrs_converter
from appstoreserverlibrary.models.ResponseBodyV2DecodedPayload import ResponseBodyV2DecodedPayload
from appstoreserverlibrary.models.StatusResponse import StatusResponse
from appstoreserverlibrary.receipt_utility import ReceiptUtility
from appstoreserverlibrary.signed_data_verifier import SignedDataVerifier, VerificationException
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from perennial.base.errors import Invalid
from perennial.base.ids import AppId, ProjectId
from perennial.base.time import from_ms
from perennial.base.value import replace
from perennial.intake.model import Envelope, Posted, Reading, StoreApp, Untrusted
from perennial.providers.apple import AppStore, jws, payload
from perennial.providers.apple.certificates import is_issued_by
from perennial.providers.apple.receipt import APPLE_ROOT, verified_receipt
from perennial.subscriptions.model import Purchase

FOLDER = Path(__file__).parents[2].parent / "shared/fixtures/stores"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
STORE = AppStore()
PYTHON, JAVA = "apple__app-store-server-library-python", "apple__app-store-server-library-java"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the public store samples are not beside the project (../shared/fixtures/stores)")


def raw(name: str) -> bytes:
    return (FOLDER / "apple" / name).read_bytes()


def text(name: str) -> str:
    return raw(name).decode().strip()


def content(name: str) -> Any:
    return json.loads(raw(name))


def app(bundle_id: str, *roots: bytes) -> StoreApp:
    return StoreApp(project_id=ProjectId("proj_1"), app_id=AppId("app_1"), store="app_store", bundle_id=bundle_id, simulated_roots=roots)


def samples_root() -> bytes:
    """The root of Apple's published samples, which is not Apple's own."""
    return raw(f"{PYTHON}/testCA.der")


def apples_verifier(root: bytes, bundle_id: str, environment: ApplesEnvironment = ApplesEnvironment.SANDBOX) -> SignedDataVerifier:
    verifier = SignedDataVerifier([root], False, environment, bundle_id, 1234)
    verifier._chain_verifier.enable_strict_checks = False  # the test certificates lack an authority key identifier
    return verifier


def apple_accepts(check: Callable[[str], object], token: str) -> bool:
    try:
        check(token)
    except VerificationException:
        return False
    return True


def altered(token: str) -> str:
    """The same message with one letter of its payload changed."""
    header, body, signature = token.split(".")
    return f"{header}.{body[:40]}{'A' if body[40] != 'A' else 'B'}{body[41:]}.{signature}"


def posted(token: str) -> bytes:
    return json.dumps({"signedPayload": token}).encode()


# Signed messages


def test_notification() -> None:
    token, ours = text(f"{PYTHON}/testNotification"), app("com.example", samples_root())
    assert STORE.open(ours, posted(token), {}, NOW) == Envelope(
        message_id="9ad56bd2-0bc6-42e0-af24-fd996d87a1e6", kind="TEST", sent_at=from_ms(1681314324000)
    )
    assert STORE.read(ours, posted(token), NOW) == Reading(note="TEST: carries no transaction")
    for wrong in (app("com.example"), app("com.other", samples_root()), app("com.example", raw("richzw__appstore/AppleRootCA-G3.cer"))):
        with pytest.raises(Untrusted):
            STORE.open(wrong, posted(token), {}, NOW)
    with pytest.raises(Invalid):
        STORE.open(ours, posted(altered(token)), {}, NOW)
    judge = apples_verifier(samples_root(), "com.example")
    assert apple_accepts(judge.verify_and_decode_notification, token)
    assert not apple_accepts(judge.verify_and_decode_notification, altered(token))
    assert not apple_accepts(apples_verifier(raw("richzw__appstore/AppleRootCA-G3.cer"), "com.example").verify_and_decode_notification, token)
    in_production = apples_verifier(samples_root(), "com.example", ApplesEnvironment.PRODUCTION)
    assert not apple_accepts(in_production.verify_and_decode_notification, token)


def test_transaction_info() -> None:
    token = text(f"{PYTHON}/transactionInfo")
    said = jws.verify(token, payload.Transaction, roots=(samples_root(),), now=NOW)
    assert said == payload.Transaction(environment="Sandbox", bundle_id="com.example", signed_date=1672956154000)
    with pytest.raises(Untrusted):
        jws.verify(token, payload.Transaction, roots=(), now=NOW)
    with pytest.raises(Invalid):
        jws.verify(altered(token), payload.Transaction, roots=(samples_root(),), now=NOW)
    judge = apples_verifier(samples_root(), "com.example").verify_and_decode_signed_transaction
    assert apple_accepts(judge, token)
    assert not apple_accepts(judge, altered(token))


async def test_renewal_info() -> None:
    token = text(f"{PYTHON}/renewalInfo")
    said = jws.verify(token, payload.RenewalInfo, roots=(samples_root(),), now=NOW)
    assert said == payload.RenewalInfo(environment="Sandbox", signed_date=1672956154000)
    with pytest.raises(Untrusted, match="fetch_token"):  # it names no app, so it is never believed alone
        await STORE.read_receipt(app("com.example", samples_root()), Posted(token=token), NOW)
    judge = apples_verifier(samples_root(), "com.example").verify_and_decode_renewal_info
    assert apple_accepts(judge, token)
    assert not apple_accepts(judge, altered(token))


def test_real_notification() -> None:
    """Signed by Apple in 2022; its leaf ran out in 2023."""
    body, ours = raw("imdhemy__appstore-iap/test-notification-signed-payload.json"), app("com.Abilities")
    assert STORE.open(ours, body, {}, NOW) == Envelope(message_id="5e09dcfc-205e-4ea1-9883-96676f394992", kind="TEST", sent_at=from_ms(1662122492884))
    assert STORE.read(ours, body, NOW) == Reading(note="TEST: carries no transaction")
    with pytest.raises(Untrusted, match=r"com\.Abilities"):
        STORE.open(app("com.other"), body, {}, NOW)
    with pytest.raises(Untrusted, match="5 minutes in the future"):
        STORE.open(ours, body, {}, from_ms(1662122492884 - 300_001))
    token = json.loads(body)["signedPayload"]
    with pytest.raises(Invalid):
        STORE.open(ours, posted(altered(token)), {}, NOW)
    judge = SignedDataVerifier([raw("richzw__appstore/AppleRootCA-G3.cer")], False, ApplesEnvironment.SANDBOX, "com.Abilities")
    assert apple_accepts(judge.verify_and_decode_notification, token)
    assert not apple_accepts(judge.verify_and_decode_notification, altered(token))


async def test_xcode_transaction() -> None:
    token, bundle_id = text(f"{PYTHON}/xcode-signed-transaction"), "com.example.naturelab.backyardbirds.example"
    with pytest.raises(Untrusted, match="carries 1 certificates"):
        await STORE.read_receipt(app(bundle_id), Posted(token=token), NOW)
    certificate = base64.b64decode(json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["x5c"][0])
    with pytest.raises(Untrusted, match="carries 1 certificates"):  # not even where someone lists Xcode's certificate
        await STORE.read_receipt(app(bundle_id, certificate), Posted(token=token), NOW)
    assert not apple_accepts(apples_verifier(certificate, bundle_id).verify_and_decode_signed_transaction, token)


@pytest.mark.parametrize(("name", "is_simulated"), [("valid test chain", True), ("real Apple chain", False)])
def test_chain_vectors(name: str, is_simulated: bool) -> None:
    (vector,) = [one for one in content(f"{PYTHON}/x5c-chain-vectors-valid.json") if one["name"] == name]
    assert vector["expected"] == "OK"
    roots = (base64.b64decode(vector["root"]),) if is_simulated else ()
    chain = jws.verify_chain(vector["x5c"], roots=roots)
    assert chain.is_simulated is is_simulated
    assert chain.valid_from_ms <= vector["effective_date"] * 1000 <= chain.valid_until_ms
    with pytest.raises(Untrusted):
        jws.verify_chain([vector["x5c"][1], vector["x5c"][0], vector["x5c"][2]], roots=roots)


# Certificates


def test_apples_roots_are_the_pinned_ones() -> None:
    assert hashlib.sha256(raw("richzw__appstore/AppleRootCA-G3.cer")).hexdigest() == jws.APPLE_ROOT_G3
    assert hashlib.sha256(raw("tikhop__TPInAppReceipt/AppleIncRootCertificate.cer")).hexdigest() == APPLE_ROOT


def test_the_intermediate_chains_to_apples_root() -> None:
    root, intermediate = (
        x509.load_der_x509_certificate(raw(one)) for one in ("richzw__appstore/AppleRootCA-G3.cer", "imdhemy__appstore-iap/AppleWWDRCAG6.cer")
    )
    assert is_issued_by(intermediate, root)
    assert not is_issued_by(root, intermediate)


def test_the_test_authority_chains() -> None:
    root, intermediate, leaf = (x509.load_pem_x509_certificate(raw(f"{JAVA}/{name}.pem")) for name in ("testCA", "testIntermediate", "testLeaf"))
    assert root.public_bytes(Encoding.DER) == samples_root()
    x5c = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in (leaf, intermediate, root)]
    assert jws.verify_chain(x5c, roots=(samples_root(),)).is_simulated is True
    with pytest.raises(Untrusted, match="do not lead to Apple Root CA - G3"):
        jws.verify_chain(x5c, roots=())


def test_xcodes_certificate_is_no_authority_of_ours() -> None:
    xcode = base64.b64encode(raw("tikhop__TPInAppReceipt/StoreKitTestCertificate.cer")).decode()
    with pytest.raises(Untrusted, match="do not lead to Apple Root CA - G3"):
        jws.verify_chain([xcode] * 3, roots=())


# Receipts


async def test_real_sandbox_receipt() -> None:
    token, ours = text("tikhop__TPInAppReceipt/receipt-sandbox-g5"), app("dev.bonzer.weeka.app")
    reading = await STORE.read_receipt(ours, Posted(token=token), NOW)
    first = Purchase(
        transaction="2000001092134138",
        product="dev.bonzer.weeka.app.subscription.pro.annual",
        kind="subscription",
        purchased_at=datetime(2025, 12, 26, 17, 43, 7, tzinfo=UTC),
        expires_at=datetime(2025, 12, 26, 18, 19, 7, tzinfo=UTC),
        as_of=datetime(2025, 12, 26, 18, 39, 47, tzinfo=UTC),
        is_first=True,
        is_renewal=False,
        is_summary=True,
    )
    second = replace(
        first,
        transaction="2000001092148094",
        purchased_at=datetime(2025, 12, 26, 18, 19, 7, tzinfo=UTC),
        expires_at=datetime(2025, 12, 26, 18, 55, 7, tzinfo=UTC),
        is_first=False,
        is_renewal=True,
    )
    (stated,) = reading.statements
    assert (stated.line, stated.environment, stated.purchases, stated.renewals) == ("2000001092134138", "sandbox", (first, second), ())
    assert reading.questions
    assert ReceiptUtility().extract_transaction_id_from_app_receipt(token) == first.transaction
    with pytest.raises(Untrusted, match=r"dev\.bonzer\.weeka\.app"):
        await STORE.read_receipt(app("com.other"), Posted(token=token), NOW)


async def test_real_receipt_with_sha_1() -> None:
    token = content("imdhemy__laravel-in-app-purchases/product-receipt.json")["transactionReceipt"]
    reading = await STORE.read_receipt(app("com.twigano.fashion"), Posted(token=token), NOW)
    assert [(one.line, len(one.purchases)) for one in reading.statements] == [("1000000747778008", 1), ("1000000723811158", 60)]
    (boost,) = reading.statements[0].purchases
    assert (boost.transaction, boost.product, boost.kind, boost.expires_at) == ("1000000747778008", "boost", "non_consumable", None)
    assert boost.purchased_at == datetime(2020, 11, 29, 19, 21, 2, tzinfo=UTC)
    assert ReceiptUtility().extract_transaction_id_from_app_receipt(token) == "1000000747778008"


@pytest.mark.parametrize("name", ["dev.bonzer.weeka.app", "2000001092134138", "2025-12-26T18:19:07Z"])
def test_an_altered_real_receipt_is_untrusted(name: str) -> None:
    genuine = base64.b64decode(text("tikhop__TPInAppReceipt/receipt-sandbox-g5"))
    forged = genuine.replace(name.encode(), name.replace("1", "7").replace("e", "f").encode())
    assert forged != genuine
    with pytest.raises(Untrusted, match="does not fit the receipt"):
        verified_receipt(base64.b64encode(forged).decode(), roots=(), now=NOW)


async def test_xcode_receipt() -> None:
    token = text(f"{PYTHON}/xcode-app-receipt-with-transaction")
    certificate = raw("tikhop__TPInAppReceipt/StoreKitTestCertificate.cer")
    for roots in ((), (certificate,)):
        with pytest.raises(Untrusted, match="nothing in the receipt vouches for its signer"):
            await STORE.read_receipt(app("com.example.naturelab.backyardbirds.example", *roots), Posted(token=token), NOW)
    assert ReceiptUtility().extract_transaction_id_from_app_receipt(token) == "0"


@pytest.mark.parametrize(
    ("name", "transaction"),
    [(f"{PYTHON}/legacyTransaction", "33993399"), ("voltrue2__in-app-purchase/apple-transaction-receipt.txt", "1000000046178817")],
)
async def test_transaction_receipts_of_ios_6(name: str, transaction: str) -> None:
    with pytest.raises(Invalid, match="a transaction receipt as iOS 6 made them") as caught:
        await STORE.read_receipt(app("com.example"), Posted(token=text(name)), NOW)
    assert not isinstance(caught.value, Untrusted)
    assert ReceiptUtility().extract_transaction_id_from_transaction_receipt(text(name)) == transaction


# What is not signed is not read


@pytest.mark.parametrize(
    "name", ["imdhemy__appstore-iap/asn-v1-server-notification.json", "aporat__store-receipt-validator/serverNotificationRequest.json"]
)
def test_notifications_of_version_1(name: str) -> None:
    with pytest.raises(Invalid, match="choose version 2 in App Store Connect"):
        STORE.open(app("com.example"), raw(name), {}, NOW)
    with pytest.raises(Invalid, match="choose version 2 in App Store Connect"):
        STORE.read(app("com.example"), raw(name), NOW)


@pytest.mark.parametrize(
    "name", ["imdhemy__appstore-iap/verify_receipt_response.json", "aporat__store-receipt-validator/inAppPurchaseInvalidReceiptResponse.json"]
)
async def test_answers_of_verify_receipt_are_no_proof(name: str) -> None:
    with pytest.raises(Invalid, match="fetch_token"):
        await STORE.read_receipt(app("com.example"), Posted(token=text(name)), NOW)
    with pytest.raises(Invalid, match="signedPayload"):
        STORE.open(app("com.example"), raw(name), {}, NOW)


# Bodies: ours and Apple's library read the same


def apples(kind: type, name: str) -> Any:
    return _get_cattrs_converter(kind).structure(content(f"{PYTHON}/{name}"), kind)


def differences(ours: msgspec.Struct, theirs: object, names: dict[str, str] | None = None) -> dict[str, tuple[object, object]]:
    """Fields whose value is not Apple's library's value; enums there are compared by their raw value."""
    found: dict[str, tuple[object, object]] = {}
    for field in msgspec.structs.fields(ours):
        mine = getattr(ours, field.name)
        his = getattr(theirs, (names or {}).get(field.encode_name, field.encode_name))
        if isinstance(mine, msgspec.Struct):
            found |= differences(mine, his, names)
        elif mine != (getattr(his, "value", his)):
            found[field.encode_name] = (mine, his)
    return found


def test_transaction_body() -> None:
    ours = msgspec.json.decode(raw(f"{PYTHON}/signedTransaction.json"), type=payload.Transaction)
    assert differences(ours, apples(JWSTransactionDecodedPayload, "signedTransaction.json")) == {}
    assert (ours.transaction_id, ours.price, ours.commitment_info and ours.commitment_info.billing_period_number) == ("23456", 10990, 3)


def test_renewal_info_body() -> None:
    ours = msgspec.json.decode(raw(f"{PYTHON}/signedRenewalInfo.json"), type=payload.RenewalInfo)
    assert differences(ours, apples(JWSRenewalInfoDecodedPayload, "signedRenewalInfo.json")) == {}
    assert (ours.auto_renew_product_id, ours.expiration_intent) == ("com.example.product.2", 1)
    assert ours.eligible_win_back_offer_ids == ["eligible1", "eligible2"]


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("signedNotification.json", "SUBSCRIBED/INITIAL_BUY", None),
        ("signedConsumptionRequestNotification.json", "CONSUMPTION_REQUEST", "UNINTENDED_PURCHASE"),
    ],
)
def test_notification_bodies(name: str, kind: str, reason: str | None) -> None:
    ours = msgspec.json.decode(raw(f"{PYTHON}/{name}"), type=payload.Notification)
    assert differences(ours, apples(ResponseBodyV2DecodedPayload, name)) == {}
    assert ours.data is not None
    assert (ours.kind, ours.stated_environment, ours.data.consumption_request_reason) == (kind, "LocalTesting", reason)


def test_app_transaction_body() -> None:
    ours = msgspec.json.decode(raw(f"{PYTHON}/appTransaction.json"), type=payload.AppTransaction)
    assert differences(ours, apples(ApplesAppTransaction, "appTransaction.json")) == {}
    assert (ours.stated_environment, ours.signed_ms, ours.bundle_id) == ("LocalTesting", 1698148900000, "com.example")


def test_status_answer() -> None:
    ours = msgspec.json.decode(raw(f"{PYTHON}/getAllSubscriptionStatusesResponse.json"), type=payload.StatusAnswer)
    theirs = apples(StatusResponse, "getAllSubscriptionStatusesResponse.json")
    items = [
        [(one.original_transaction_id, one.status, one.signed_transaction_info, one.signed_renewal_info) for one in group.last_transactions]
        for group in ours.data
    ]
    assert items == [
        [(one.originalTransactionId, one.status, one.signedTransactionInfo, one.signedRenewalInfo) for one in group.lastTransactions]
        for group in theirs.data
    ]
    assert [[item[1] for item in group] for group in items] == [[1, 5], [2]]


def test_history_answer() -> None:
    ours = msgspec.json.decode(raw(f"{PYTHON}/transactionHistoryResponse.json"), type=payload.HistoryAnswer)
    assert differences(ours, apples(HistoryResponse, "transactionHistoryResponse.json")) == {}
    assert (ours.revision, ours.has_more, len(ours.signed_transactions)) == ("revision_output", True, 2)


def test_test_notification_answer() -> None:
    ours = msgspec.json.decode(raw(f"{PYTHON}/requestTestNotificationResponse.json"), type=payload.TestNotificationAnswer)
    assert ours.test_notification_token == "ce3af791-365e-4c60-841b-1674b43c1609"


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("apiException.json", 5000000, "An unknown error occurred."),
        ("invalidTransactionIdError.json", 4000006, "Invalid transaction id."),
        ("transactionIdNotFoundError.json", 4040010, "Transaction id not found."),
    ],
)
def test_error_bodies(name: str, code: int, message: str) -> None:
    assert msgspec.json.decode(raw(f"{PYTHON}/{name}"), type=payload.ApiError) == payload.ApiError(error_code=code, error_message=message)


def test_error_list() -> None:
    errors = msgspec.json.decode(raw("awa__go-iap/api-errors.json"), type=list[payload.ApiError])
    assert errors == [payload.ApiError(error_code=4040001, error_message="Account not found.")]


# Answers to calls we do not make: they hold nothing signed that we read, and no body we take for a notification.
UNASKED = (
    "appTransactionInfoResponse.json",
    "extendRenewalDateForAllActiveSubscribersResponse.json",
    "extendSubscriptionRenewalDateResponse.json",
    "getTestNotificationStatusResponse.json",
    "transactionInfoResponse.json",
)


@pytest.mark.parametrize("name", UNASKED)
def test_answers_to_other_calls_are_no_notifications(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        STORE.open(app("com.example"), raw(f"{PYTHON}/{name}"), {}, NOW)
    assert not isinstance(caught.value, Untrusted)


def test_every_sample_of_the_index_is_judged_here() -> None:
    index = json.loads((FOLDER / "index.json").read_bytes())
    source = Path(__file__).read_text()
    listed = [one["path"].removeprefix("apple/") for one in index if one["store"] == "apple"]
    unjudged = [path for path in listed if path.split("/")[-1] not in source and path.split("/")[-1].removesuffix(".pem") not in source]
    assert (len(listed), unjudged) == (40, [])

"""Public Google Play samples, judged as their index says, and Google's own discovery document as the judge of our wire types."""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from google.auth import crypt
from google.auth import jwt as googles_jwt

from perennial.base.errors import NotConfigured, Unavailable
from perennial.base.time import from_ms
from perennial.base.value import replace
from perennial.intake.model import Envelope, Posted, Question, Reading, Untrusted
from perennial.providers.google import PlayStore, payload
from perennial.providers.google.api import _assertion, service_account
from perennial.providers.google.receipt import Proof, proof_of
from tests.google_messages import (
    ACCOUNT_KEY,
    APP,
    DAY,
    GOOGLES_KEY,
    GOOGLES_KEY_ID,
    NOW,
    FakeGoogle,
    bearer,
    bought_product,
    certificate,
    jwk,
    line_item,
    order,
    product_order,
    push_token,
    refunded,
    subscription,
)

FOLDER = Path(__file__).parents[2].parent / "shared/fixtures/stores"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the public store samples are not beside the project (../shared/fixtures/stores)")

EXAMPLE = replace(APP, bundle_id="com.example.app")
SENT_AT = from_ms(1783300000000)


def raw(name: str) -> bytes:
    return (FOLDER / "google" / name).read_bytes()


def content(name: str) -> Any:
    return json.loads(raw(name))


def push_of(name: str) -> bytes:
    return json.dumps(content(f"constructed/{name}.json")["pubsub_push"]).encode()


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    fake = FakeGoogle()
    fake.says("//certs", {"keys": [jwk(GOOGLES_KEY, GOOGLES_KEY_ID)]})
    yield fake
    fake.close()


@pytest.fixture
async def store(google: FakeGoogle) -> AsyncIterator[PlayStore]:
    made = PlayStore(certificates=f"{google.address}/certs")
    yield made
    await made.close()


async def test_every_sample_is_judged_here() -> None:
    listed = {one["path"] for one in json.loads((FOLDER / "index.json").read_text()) if one["store"] == "google"}
    here = Path(__file__).read_text()
    assert {path for path in listed if Path(path).name.removesuffix(".json") not in here} == set()


# Notifications


@pytest.mark.parametrize(
    ("name", "message_id", "kind"),
    [
        ("rtdn-test", "168185497412125", "TEST"),
        ("rtdn-onetime-purchased", "1496711559827026", "ONE_TIME_PRODUCT_PURCHASED"),
        ("rtdn-voided-subscription-full", "4093148193044382", "VOIDED_PURCHASE"),
    ],
)
async def test_notifications_are_kept(store: PlayStore, name: str, message_id: str, kind: str) -> None:
    headers = bearer(push_token())
    await store.prepare(headers, push_of(name))
    assert store.open(EXAMPLE, push_of(name), headers, NOW) == Envelope(message_id=message_id, kind=kind, sent_at=SENT_AT)
    with pytest.raises(Untrusted):
        store.open(EXAMPLE, push_of(name), bearer(push_token(aud="https://other.example.com")), NOW)
    with pytest.raises(Untrusted, match="package"):
        store.read(APP, push_of(name), NOW)


def test_a_test_notification_changes_nothing(store: PlayStore) -> None:
    assert store.read(EXAMPLE, push_of("rtdn-test"), NOW) == Reading(note="TEST: carries no purchase")


async def test_a_one_time_purchase_is_fetched_granted_once_and_acknowledged(store: PlayStore, google: FakeGoogle) -> None:
    (question,) = store.read(EXAMPLE, push_of("rtdn-onetime-purchased"), NOW).questions
    assert question == Question(environment="production", subject="tok-one", hint="product coins_100")
    ours = replace(APP, api_base_url=google.address)
    google.says("/purchases/productsv2/tokens/tok-one", bought_product(product="coins_100", acknowledgementState="ACKNOWLEDGEMENT_STATE_PENDING"))
    google.has(product_order(product="coins_100"))
    first, second = [await store.ask(ours, question, Posted(), NOW) for _ in range(2)]
    assert [purchase.product for statement in first.statements for purchase in statement.purchases] == ["coins_100"]
    assert first == second  # a purchase and an act with the same keys: recorded once, done once
    google.says("/purchases/products/coins_100/tokens/tok-one:acknowledge", b"")
    await store.act(ours, first.acts[0], Posted(), NOW)
    assert google.paths()[-1] == "POST /purchases/products/coins_100/tokens/tok-one:acknowledge"


async def test_a_voided_renewal_is_refunded_alone_and_access_is_the_subscriptions(store: PlayStore, google: FakeGoogle) -> None:
    (question,) = store.read(EXAMPLE, push_of("rtdn-voided-subscription-full"), NOW).questions
    fourth, fifth = "GPA.1111-2222-3333-44444..3", "GPA.1111-2222-3333-44444..4"
    assert question == Question(environment="production", subject="tok-sub", hint=f"voided {fourth} 1783300000000 full")
    google.says("/purchases/subscriptionsv2/tokens/tok-sub", subscription("ACTIVE", line_item(order=fifth, until=NOW + 30 * DAY)))
    void = order(fourth, NOW - 30 * DAY, NOW, state="REFUNDED", history=refunded(SENT_AT))
    google.has(void, order(fifth))
    (statement,) = (await store.ask(replace(APP, api_base_url=google.address), question, Posted(), SENT_AT)).statements
    assert [(one.transaction, one.revocation, len(one.refunds), one.expires_at) for one in statement.purchases] == [
        (fourth, None, 1, NOW),
        (fifth, None, 0, NOW + 30 * DAY),
    ]
    assert statement.purchases[0].refunds[0].amount == statement.purchases[0].price


# Purchase data signed on a device


def test_real_purchase_data_with_its_signature() -> None:
    posted, key = raw("voltrue2__in-app-purchase/google-purchase-data.json").decode(), raw("voltrue2__in-app-purchase/iap-live.pub").decode().strip()
    ours = replace(APP, bundle_id="com.topdox.android.trivialdrivesample2", settings={"license_key": key})
    proof = proof_of(ours, posted, ())
    assert proof == Proof(token=json.loads(posted)["data"]["purchaseToken"], products=("topdox_android_monthly_subscription",))
    with pytest.raises(Untrusted, match="did not sign"):
        proof_of(ours, json.dumps(json.loads(posted)), ())  # the same, written anew
    with pytest.raises(Untrusted, match="did not sign"):
        proof_of(ours, posted.replace("1456139019030", "1456139019031"), ())
    with pytest.raises(Untrusted, match="for the package"):
        proof_of(replace(ours, bundle_id="com.example.app"), posted, ())


# Recorded answers


def recorded(name: str) -> dict[str, Any]:
    (first, *_) = content(f"jnbt__candy_check/{name}.json")
    answer: dict[str, Any] = first
    return answer


async def test_a_recorded_purchase_of_the_call_before(store: PlayStore, google: FakeGoogle) -> None:
    answer = recorded("product_purchases-valid_but_not_consumed")
    google.says("/purchases/products/my_product_id/tokens/my_token", answer["body"].encode(), status=answer["status"])
    question = Question(environment="production", subject="my_token", hint="product my_product_id")
    reading = await store.ask(replace(APP, api_base_url=google.address), question, Posted(), NOW)
    (statement,) = reading.statements
    (purchase,) = statement.purchases
    assert (purchase.transaction, purchase.product, purchase.kind, purchase.purchased_at) == (
        "123",
        "my_product_id",
        "non_consumable",
        from_ms(123456789),
    )
    assert reading.acts == ()  # acknowledged already


async def test_a_recorded_refusal_is_for_the_operator_and_grants_nothing(store: PlayStore, google: FakeGoogle) -> None:
    answer = recorded("product_purchases-permission_denied")
    google.says("/purchases/productsv2/tokens/my_token", answer["body"].encode(), status=answer["status"])
    question = Question(environment="production", subject="my_token", hint="product my_product_id")
    with pytest.raises(NotConfigured, match="permissionDenied: The current user has insufficient permissions"):
        await store.ask(replace(APP, api_base_url=google.address), question, Posted(), NOW)


async def test_an_empty_answer_grants_nothing(store: PlayStore, google: FakeGoogle) -> None:
    google.says("/purchases/subscriptionsv2/tokens/my_token", b"{}")
    reading = await store.ask(replace(APP, api_base_url=google.address), Question(environment="production", subject="my_token"), Posted(), NOW)
    assert (reading.statements, reading.acts, reading.note) == ((), (), "nothing is granted: an empty answer")


async def test_an_answer_of_the_call_google_shut_down_is_not_understood_and_grants_nothing(store: PlayStore, google: FakeGoogle) -> None:
    google.says("/purchases/subscriptionsv2/tokens/my_token", recorded("subscription_purchases-valid_but_expired")["body"].encode())
    with pytest.raises(Unavailable, match="subscriptionState"):
        await store.ask(replace(APP, api_base_url=google.address), Question(environment="production", subject="my_token"), Posted(), NOW)


# The discovery document: what we read and call is there, spelled like this

SCHEMAS = {
    payload.Subscription: "SubscriptionPurchaseV2",
    payload.SubscriptionItem: "SubscriptionPurchaseLineItem",
    payload.AutoRenewingPlan: "AutoRenewingPlan",
    payload.PriceChangeDetails: "SubscriptionItemPriceChangeDetails",
    payload.PriceStepUpConsentDetails: "PriceStepUpConsentDetails",
    payload.InstallmentDetails: "InstallmentPlan",
    payload.CanceledStateContext: "CanceledStateContext",
    payload.PausedStateContext: "PausedStateContext",
    payload.OutOfAppPurchaseContext: "OutOfAppPurchaseContext",
    payload.ExternalAccountIdentifiers: "ExternalAccountIdentifiers",
    payload.OfferDetails: "OfferDetails",
    payload.OfferPhase: "OfferPhase",
    payload.ProrationPeriod: "ProrationPeriodOfferPhase",
    payload.DeferredItemReplacement: "DeferredItemReplacement",
    payload.ItemReplacement: "ItemReplacement",
    payload.SignupPromotion: "SignupPromotion",
    payload.VanityCode: "VanityCode",
    payload.WireMoney: "Money",
    payload.ProductPurchase: "ProductPurchaseV2",
    payload.ProductItem: "ProductLineItem",
    payload.ProductOfferDetails: "ProductOfferDetails",
    payload.PurchaseStateContext: "PurchaseStateContext",
    payload.ProductPurchaseV1: "ProductPurchase",
    payload.Order: "Order",
    payload.OrderItem: "LineItem",
    payload.SubscriptionDetails: "SubscriptionDetails",
    payload.OfferPhaseDetails: "OfferPhaseDetails",
    payload.ProrationPeriodDetails: "ProrationPeriodDetails",
    payload.OrderHistory: "OrderHistory",
    payload.PartialRefundEvent: "PartialRefundEvent",
    payload.RefundEvent: "RefundEvent",
    payload.RefundDetails: "RefundDetails",
    payload.BuyerAddress: "BuyerAddress",
    payload.VoidedPurchase: "VoidedPurchase",
    payload.VoidedPurchases: "VoidedPurchasesListResponse",
    payload.TokenPagination: "TokenPagination",
}
DISCOVERY = "googleapis__google-api-python-client/androidpublisher.v3.subset.json"


@pytest.mark.parametrize(("wire", "schema"), SCHEMAS.items(), ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_every_field_we_read_is_googles(wire: type[msgspec.Struct], schema: str) -> None:
    named = {field.encode_name for field in msgspec.structs.fields(wire)}
    assert named - set(content(DISCOVERY)["schemas"][schema]["properties"]) == set()


def test_every_call_we_make_is_googles() -> None:
    document = content(DISCOVERY)
    calls = set()

    def walk(resource: dict[str, Any]) -> None:
        for method in resource.get("methods", {}).values():
            calls.add((method["httpMethod"], re.sub(r"\{[^}]*\}", "{}", method["path"].partition("{packageName}")[2])))
        for inner in resource.get("resources", {}).values():
            walk(inner)

    walk(document["purchases"])
    walk(document["orders"])
    source = (Path(__file__).parents[2] / "perennial/providers/google/api.py").read_text()
    made = {
        (method, re.sub(r"\{_quoted\(\w+\)\}", "{}", path))
        for path, method in [
            *((path, method) for method, path in re.findall(r'"(GET|POST)", f?"(/[^"]+)"', source)),
            *((path, "POST") for path in re.findall(r'path = f"(/[^"]+)"', source)),
        ]
    }
    assert len(made) == 13
    assert made - calls == set()


# Google's own library reads our signatures


def test_googles_library_accepts_what_we_sign_as_a_service_account() -> None:
    token = _assertion(service_account(APP), "https://oauth2.googleapis.com/token", "scope", NOW)
    certificate_text = x509.load_der_x509_certificate(certificate(ACCOUNT_KEY)).public_bytes(Encoding.PEM)
    header, claims, signed, signature = googles_jwt._unverified_decode(token)  # type: ignore[no-untyped-call]
    assert (header["kid"], claims["iss"], claims["aud"]) == (
        "key-1",
        "publisher@example.iam.gserviceaccount.com",
        "https://oauth2.googleapis.com/token",
    )
    assert crypt.verify_signature(signed, signature, certificate_text)  # type: ignore[no-untyped-call]
    assert not crypt.verify_signature(signed + b"x", signature, certificate_text)  # type: ignore[no-untyped-call]


def test_the_samples_are_the_ones_the_index_lists() -> None:
    for one in json.loads((FOLDER / "index.json").read_text()):
        if one["store"] == "google":
            assert hashlib.sha256((FOLDER / one["path"]).read_bytes()).hexdigest() == one["sha256"]

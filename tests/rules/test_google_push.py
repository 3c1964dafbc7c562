"""Who may say that Google Play has something to tell: the push token, and the envelope it comes with."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base.errors import Invalid, NotConfigured, Unavailable
from perennial.base.value import replace
from perennial.intake.model import Envelope, Question, Reading, Untrusted
from perennial.providers.google import PlayStore, push
from tests.google_messages import (
    APP,
    AUDIENCE,
    GOOGLES_KEY,
    GOOGLES_KEY_ID,
    NOW,
    SUBSCRIPTION,
    FakeGoogle,
    about_subscription,
    bearer,
    certificate,
    jwk,
    notification,
    push_token,
)
from tests.google_messages import push as pushed

BODY = pushed(about_subscription(2))
STRANGER = generate_private_key(65537, 2048)


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


async def test_a_push_of_the_apps_own_service_account_is_kept_by_its_message_id(store: PlayStore) -> None:
    headers = bearer(push_token())
    await store.prepare(headers, BODY)
    assert store.open(APP, BODY, headers, NOW) == Envelope(message_id="136969346945", kind="SUBSCRIPTION_RENEWED", sent_at=NOW)


@pytest.mark.parametrize("issuer", ["https://accounts.google.com", "accounts.google.com"])
async def test_google_spells_itself_in_two_ways(store: PlayStore, issuer: str) -> None:
    headers = bearer(push_token(iss=issuer))
    await store.prepare(headers, BODY)
    assert store.open(APP, BODY, headers, NOW).message_id == "136969346945"


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (push_token(STRANGER), "signature does not fit"),
        (push_token(key_id="another"), "not one of Google's"),
        (push_token(alg="HS256"), "signed with 'HS256'"),
        (push_token(alg="none"), "signed with 'none'"),
        (push_token(iss="https://accounts.example.com"), "issued by"),
        (push_token(aud="https://other.example.com"), "pubsub_audience"),
        (push_token(aud=AUDIENCE + "/"), "pubsub_audience"),
        (push_token(email="mallory@other.iam.gserviceaccount.com"), "pubsub_service_account"),
        (push_token(email=None), "pubsub_service_account"),
        (push_token(email_verified=False), "pubsub_service_account"),
        (push_token(email_verified=None), "pubsub_service_account"),
        (push_token(exp=int(NOW.timestamp()) - 61), "expired"),
        (push_token(iat=int(NOW.timestamp()) + 61), "future"),
        (push_token(exp=None), "cannot be read"),
        (push_token().replace(".", "", 1), "no JWT"),
        (push_token() + "=", "no JWT"),
        ("é.é.é", "no JWT"),
        ("a" * 9000, "no JWT"),
    ],
)
async def test_a_token_that_is_not_googles_for_this_app_is_untrusted(store: PlayStore, token: str, why: str) -> None:
    headers = bearer(token)
    await store.prepare(headers, BODY)
    await store.prepare(bearer(push_token()), BODY)
    with pytest.raises(Untrusted, match=why):
        store.open(APP, BODY, headers, NOW)


@pytest.mark.parametrize("headers", [{}, {"authorization": ""}, {"authorization": "Bearer "}, {"authorization": f"Basic {push_token()}"}])
async def test_a_push_without_a_token_is_untrusted(store: PlayStore, headers: dict[str, str]) -> None:
    await store.prepare(headers, BODY)
    with pytest.raises(Untrusted, match="no push token"):
        store.open(APP, BODY, headers, NOW)


@pytest.mark.parametrize("setting", ["pubsub_audience", "pubsub_service_account"])
async def test_without_its_settings_an_app_takes_no_push(store: PlayStore, setting: str) -> None:
    headers = bearer(push_token())
    await store.prepare(headers, BODY)
    with pytest.raises(NotConfigured, match=setting):
        store.open(replace(APP, settings={name: text for name, text in APP.settings.items() if name != setting}), BODY, headers, NOW)


# Google's keys


async def test_googles_keys_are_fetched_once(store: PlayStore, google: FakeGoogle) -> None:
    for _ in range(3):
        await store.prepare(bearer(push_token()), BODY)
    assert google.paths() == ["GET /certs"]


async def test_invented_key_ids_do_not_keep_us_asking_google(store: PlayStore, google: FakeGoogle) -> None:
    for number in range(20):
        await store.prepare(bearer(push_token(key_id=f"invented-{number}")), BODY)
    assert google.paths() == ["GET /certs"]


async def test_a_key_google_began_to_use_is_fetched_after_a_while(store: PlayStore, google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "_ASK_AGAIN_AFTER", 0.0)
    await store.prepare(bearer(push_token()), BODY)
    google.answers["/certs"] = [(200, {}, json.dumps({"keys": [jwk(STRANGER, "new")]}).encode())]
    headers = bearer(push_token(STRANGER, "new"))
    await store.prepare(headers, BODY)
    assert store.open(APP, BODY, headers, NOW).message_id == "136969346945"
    with pytest.raises(Untrusted, match="not one of Google's"):  # the set is replaced as a whole: what Google withdrew is gone
        store.open(APP, BODY, bearer(push_token()), NOW)


@pytest.mark.parametrize(("status", "content"), [(500, b""), (200, b"<html>"), (200, b'{"keys": 1}')])
async def test_without_googles_keys_the_push_is_to_come_again(store: PlayStore, google: FakeGoogle, status: int, content: bytes) -> None:
    google.answers["/certs"] = [(status, {}, content)]
    with pytest.raises(Unavailable, match="Google's keys"):
        await store.prepare(bearer(push_token()), BODY)


async def test_a_known_key_serves_on_while_google_does_not_answer(store: PlayStore, google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.prepare(bearer(push_token()), BODY)
    monkeypatch.setattr(push, "_REFRESH_AFTER", 0.0)
    google.answers["/certs"] = [(500, {}, b"")]
    await store.prepare(bearer(push_token()), BODY)
    assert store.open(APP, BODY, bearer(push_token()), NOW).kind == "SUBSCRIPTION_RENEWED"


# A simulated store


async def test_a_simulated_store_signs_where_the_app_trusts_it_and_google_is_not_asked(store: PlayStore, google: FakeGoogle) -> None:
    root = certificate(STRANGER)
    headers = bearer(push_token(STRANGER, push.key_id_of(root)))
    await store.prepare(headers, BODY)
    assert store.open(replace(APP, simulated_roots=(root,)), BODY, headers, NOW).kind == "SUBSCRIPTION_RENEWED"
    assert google.paths() == []
    for roots in ((), (certificate(GOOGLES_KEY),)):
        with pytest.raises(Untrusted, match="simulated store that this app does not trust"):
            store.open(replace(APP, simulated_roots=roots), BODY, headers, NOW)
    with pytest.raises(Untrusted, match="not valid now"):
        store.open(replace(APP, simulated_roots=(root,)), BODY, headers, NOW + timedelta(days=400))


async def test_a_simulated_key_does_not_stand_in_for_googles_by_name(store: PlayStore) -> None:
    root = certificate(STRANGER)
    headers = bearer(push_token(GOOGLES_KEY, push.key_id_of(root)))
    with pytest.raises(Untrusted, match="signature does not fit"):
        store.open(replace(APP, simulated_roots=(root,)), BODY, headers, NOW)


# What is kept, and what it asks


async def opened(store: PlayStore, body: bytes) -> Envelope:
    headers = bearer(push_token())
    await store.prepare(headers, body)
    return store.open(APP, body, headers, NOW)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (about_subscription(4), "SUBSCRIPTION_PURCHASED"),
        (about_subscription(22), "SUBSCRIPTION_PRICE_STEP_UP_CONSENT_UPDATED"),
        (about_subscription(99), "SUBSCRIPTION_99"),
        (notification(oneTimeProductNotification={"notificationType": 1, "purchaseToken": "t", "sku": "coins"}), "ONE_TIME_PRODUCT_PURCHASED"),
        (notification(voidedPurchaseNotification={"purchaseToken": "t", "orderId": "GPA.1", "productType": 1, "refundType": 1}), "VOIDED_PURCHASE"),
        (notification(pendingRefundReviewNotification={"orderId": "GPA.1", "refundReason": 7}), "PENDING_REFUND_REVIEW"),
        (notification(testNotification={"version": "1.0"}), "TEST"),
        (notification(somethingNew={}), "unknown"),
    ],
)
async def test_what_a_push_is_called(store: PlayStore, content: dict[str, Any], kind: str) -> None:
    assert (await opened(store, pushed(content))).kind == kind


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b"\xff", b"[" * 50_000, pushed(b"not json"), pushed(b"\xff\x00")])
async def test_what_is_truly_googles_and_cannot_be_understood_is_kept(store: PlayStore, body: bytes) -> None:
    envelope = await opened(store, body)
    assert envelope.kind == "unreadable"
    assert envelope == await opened(store, body)  # once, though it comes twice
    with pytest.raises(Invalid):
        store.read(APP, body, NOW)


async def test_an_unreadable_push_is_known_by_its_own_id_where_it_has_one(store: PlayStore) -> None:
    assert (await opened(store, pushed(b"not json", message_id="77"))).message_id == "77"
    assert (await opened(store, pushed(b"not json", message_id=None))).message_id.startswith("sha256:")
    assert (await opened(store, pushed(about_subscription(2), message_id="a\0b"))).message_id.startswith("sha256:")


@pytest.mark.parametrize("package", ["com.example.other", "", None])
async def test_another_apps_notification_is_kept_and_not_read(store: PlayStore, package: str | None) -> None:
    body = pushed(about_subscription(2) | {"packageName": package})
    assert (await opened(store, body)).kind == "SUBSCRIPTION_RENEWED"
    with pytest.raises(Untrusted, match="package"):
        store.read(APP, body, NOW)


def test_where_the_push_subscription_is_set_only_its_pushes_are_read(store: PlayStore) -> None:
    ours = replace(APP, settings={**APP.settings, "pubsub_subscription": SUBSCRIPTION})
    assert store.read(ours, BODY, NOW).questions
    with pytest.raises(Untrusted, match="projects/other"):
        store.read(ours, pushed(about_subscription(2), subscription="projects/other/subscriptions/s"), NOW)


@pytest.mark.parametrize(
    ("content", "reading"),
    [
        (about_subscription(2), Reading(questions=(Question(environment="production", subject="token-a", hint="2"),))),
        (about_subscription(11), Reading(questions=(Question(environment="production", subject="token-a", hint="11"),))),
        (about_subscription(99), Reading(questions=(Question(environment="production", subject="token-a", hint="99"),))),
        (
            notification(oneTimeProductNotification={"notificationType": 1, "purchaseToken": "t", "sku": "coins"}),
            Reading(questions=(Question(environment="production", subject="t", hint="product coins"),)),
        ),
        (
            notification(voidedPurchaseNotification={"purchaseToken": "t", "orderId": "GPA.1..3", "productType": 1, "refundType": 1}),
            Reading(questions=(Question(environment="production", subject="t", hint="voided GPA.1..3 1772366400000 full"),)),
        ),
        (
            notification(voidedPurchaseNotification={"purchaseToken": "t", "orderId": "GPA.1", "productType": 2, "refundType": 2}),
            Reading(questions=(Question(environment="production", subject="t", hint="voided GPA.1 1772366400000 part"),)),
        ),
        (notification(testNotification={"version": "1.0"}), Reading(note="TEST: carries no purchase")),
        (
            notification(pendingRefundReviewNotification={"orderId": "GPA.1", "refundReason": 7}),
            Reading(note="PENDING_REFUND_REVIEW: Google asks for an opinion on a refund of GPA.1 (reason 7)"),
        ),
        (notification(somethingNew={}), Reading(note="unknown: names no purchase")),
        (notification(subscriptionNotification={"notificationType": 2}), Reading(note="SUBSCRIPTION_RENEWED: names no purchase")),
    ],
)
def test_a_notification_is_a_hint_it_only_asks(store: PlayStore, content: dict[str, Any], reading: Reading) -> None:
    assert store.read(APP, pushed(content), NOW) == reading


def test_a_simulated_stores_purchases_are_asked_about_in_the_sandbox(store: PlayStore) -> None:
    (question,) = store.read(replace(APP, simulated_roots=(b"root",)), BODY, NOW).questions
    assert question == Question(environment="sandbox", subject="token-a", hint="2")


@settings(deadline=None)
@given(st.binary())
def test_any_body_is_kept(body: bytes) -> None:
    envelope = push.envelope(body, NOW)
    assert 0 < len(envelope.message_id) <= 200


@settings(deadline=None)
@given(st.binary())
def test_any_content_is_kept_and_read_or_refused_cleanly(content: bytes) -> None:
    body = json.dumps({"message": {"data": b64encode(content).decode(), "messageId": "1"}}).encode()
    assert push.envelope(body, NOW).message_id == "1"
    with pytest.raises(Invalid):
        push.opened(json.dumps({"message": {"data": "!" + b64encode(content).decode(), "messageId": "1"}}).encode())

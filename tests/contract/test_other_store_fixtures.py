"""Public samples of Amazon, Paddle and Microsoft, judged as their index says; those of systems we only import from are refused."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from perennial.base.errors import Invalid
from perennial.base.money import Money
from perennial.base.time import from_ms
from perennial.base.value import replace
from perennial.intake.model import Posted, Reading, Untrusted
from perennial.providers.amazon import AmazonAppstore
from perennial.providers.amazon import read as amazon_read
from perennial.providers.amazon.payload import Receipt
from perennial.providers.microsoft import MicrosoftStore
from perennial.providers.microsoft import read as microsoft_read
from perennial.providers.microsoft.payload import Recurrence
from perennial.providers.paddle import PaddleBilling, signature
from perennial.providers.paddle.payload import Adjustment, Subscription, Transaction
from perennial.providers.paddle.read import Found, statements
from perennial.subscriptions.model import Statement
from perennial.subscriptions.rules import is_entitled, status
from tests.answering import Answering
from tests.other_stores import PADDLE_SECRET, YEAR, app, hear, paddle_event, paddle_headers, sns_certificate, told

FOLDER = Path(__file__).parents[2].parent / "shared/fixtures/stores"
NOW = datetime(2026, 1, 10, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
SDK, RAILS = "paddle/PaddleHQ__paddle-python-sdk", "paddle/pay-rails__pay"
PADDLE_APP = app("paddle", secrets={"notification_secret": PADDLE_SECRET})
PADDLE = PaddleBilling()

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the public store samples are not beside the project (../shared/fixtures/stores)")


def raw(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def content(name: str) -> Any:
    return json.loads(raw(name))


# Amazon


@pytest.fixture
async def amazon() -> AsyncIterator[tuple[AmazonAppstore, Answering]]:
    server = Answering()
    store = AmazonAppstore(sns_address=server.address)
    yield store, server
    await store.close()
    server.close()


def amazon_says(name: str, now: datetime) -> Statement:
    ours = app("amazon", bundle_id="com.example.app")
    return amazon_read.statement(ours, msgspec.convert(content(f"amazon/{name}"), Receipt), "amzn-user=", Posted(), now, is_sandbox=False)


def test_entitled_purchase_response_is_of_the_sandbox() -> None:
    said = amazon_says("aporat__store-receipt-validator/entitledPurchaseResponse.json", NOW)
    (purchase,) = said.purchases
    assert (said.environment, purchase.kind, purchase.product) == ("sandbox", "non_consumable", "com.amazon.iapsamplev2.expansion_set_3")
    assert (purchase.purchased_at, purchase.expires_at, purchase.revocation) == (from_ms(1402008634018), None, None)


def test_rvs_subscription_active_until_its_renewal_date() -> None:
    line = hear([amazon_says("constructed/rvs-subscription-active.json", NOW)], NOW)
    ends = from_ms(1769904000000)
    assert (line.environment, line.held[0].purchase.product) == ("production", "com.example.pro.month")
    assert is_entitled(line, ends - SECOND) and not is_entitled(line, ends)


def test_rvs_subscription_grace_until_its_grace_ends() -> None:
    now = from_ms(1769904000000) + DAY
    line = hear([amazon_says("constructed/rvs-subscription-grace.json", now)], now)
    grace = from_ms(1770336000000)
    assert status(line, now) == "in_grace_period"
    assert is_entitled(line, grace - SECOND) and not is_entitled(line, grace)


async def test_rtn_subscription_purchased_has_no_signature_to_believe(amazon: tuple[AmazonAppstore, Answering]) -> None:
    store, server = amazon
    body = raw("amazon/constructed/rtn-subscription-purchased.json")
    sent_at = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    server.answer("GET /SimpleNotificationService-EXAMPLE.pem", sns_certificate(sent_at - YEAR, sent_at + YEAR))
    ours = app("amazon", bundle_id="com.example.app", settings={"sns_topic_arn": "arn:aws:sns:us-east-1:033616359524:EXAMPLE"})
    await store.prepare({}, body)
    assert server.calls == ["GET /SimpleNotificationService-EXAMPLE.pem"]
    with pytest.raises(Untrusted, match="does not fit"):
        store.open(ours, body, {}, sent_at)
    (question,) = store.read(ours, body, sent_at).questions
    assert (question.subject, question.hint) == ("rcpt-1:3:11@amzn-user=", "SUBSCRIPTION_PURCHASED")


async def test_amazon_client_receipt_is_quoted(amazon: tuple[AmazonAppstore, Answering]) -> None:
    store, server = amazon
    receipt = content("amazon/voltrue2__in-app-purchase/amazon-client-receipt.json")
    ours = app("amazon", address=server.address, secrets={"shared_secret": "s"})
    server.answer("GET " + path(receipt["userId"], receipt["receiptId"]), {}, status=400)
    with pytest.raises(Invalid, match="no such receipt"):
        await store.read_receipt(ours, Posted(token=receipt["receiptId"], store_user_id=receipt["userId"]), NOW)
    assert server.asked[-1].path == path(receipt["userId"], receipt["receiptId"])
    assert "=" not in server.asked[-1].path and ":" not in server.asked[-1].path


def path(user: str, receipt: str) -> str:
    return f"/version/1.0/verifyReceiptId/developer/s/user/{quote(user, safe='')}/receiptId/{quote(receipt, safe='')}"


# Microsoft


def microsoft_says(name: str) -> Statement:
    recurrence = msgspec.convert(content(f"microsoft/constructed/{name}"), Recurrence)
    return microsoft_read.statement(app("microsoft"), recurrence, None, (), datetime(2026, 5, 1, tzinfo=UTC))


def test_recurrence_active() -> None:
    said = microsoft_says("recurrence-active.json")
    line = hear([said], said.purchases[0].as_of)
    ends = datetime(2026, 5, 22, 18, 39, 58, tzinfo=UTC)
    assert said.purchases[0].expires_at == ends  # year 1 is no cancellation
    assert is_entitled(line, ends - SECOND) and not is_entitled(line, ends)
    assert said.renewals[0].auto_renew is True


def test_recurrence_failed_is_expired() -> None:
    said = microsoft_says("recurrence-failed.json")
    after = datetime(2026, 6, 6, tzinfo=UTC)
    line = hear([replace(said, purchases=())], after)
    assert said.renewals[0].ended == "billing_error"
    assert told([said], after, line) == ["INITIAL_PURCHASE", "EXPIRATION billing_error"]
    assert status(hear([said], after), after) == "expired"


async def test_windows_receipt_is_no_store_id_key() -> None:
    """XML receipts of the simulator are signed for nobody in production, and are not read at all."""
    server, store = Answering(), MicrosoftStore()
    server.answer("POST /t/oauth2/token", {"access_token": "x"})
    server.answer("POST /v8.0/b2b/recurrences/query", {"code": "BadRequest"}, status=400)
    ours = app("microsoft", address=server.address, settings={"tenant_id": "t", "client_id": "c"}, secrets={"client_secret": "s"})
    with pytest.raises(Invalid, match="Store ID key"):
        await store.read_receipt(ours, Posted(token=raw("microsoft/voltrue2__in-app-purchase/windows-receipt.xml").decode()), NOW)
    await store.close()
    server.close()


# Paddle Billing


def paddle_says(name: str, now: datetime = NOW) -> Reading:
    """What an event with this entity states; the envelope is ours."""
    return PADDLE.read(PADDLE_APP, paddle_event(name, content(f"{SDK}/{name}.json"), now), now)


@pytest.mark.parametrize(
    ("name", "status_", "auto_renew"),
    [
        ("subscription.created", "active", True),
        ("subscription.activated", "active", True),
        ("subscription.trialing", "trialing", True),
        ("subscription.updated", "active", True),
    ],
)
def test_subscriptions_that_go_on(name: str, status_: str, auto_renew: bool) -> None:
    entity = content(f"{SDK}/{name}.json")
    assert entity["status"] == status_
    reading = paddle_says(name)
    assert [one.line for one in reading.statements] == [
        entity["id"],
        *(f"{entity['id']}#{one['price']['id']}" for one in entity["items"][1:] if one["recurring"]),
    ]
    assert {one.renewals[0].auto_renew for one in reading.statements} == {auto_renew}
    assert {one.renewals[0].in_billing_retry for one in reading.statements} == {False}


def test_subscription_created_names_its_first_payment() -> None:
    first = paddle_says("subscription.created").statements[0].purchases[0]
    assert (first.transaction, first.product, first.quantity) == ("txn_01hv8wptq8987qeep44cyrewp9", "pri_01gsz8x8sawmvhz1pv30nge1ke", 10)
    assert (first.purchased_at, first.expires_at) == (
        datetime(2024, 4, 12, 10, 18, 47, 635628, tzinfo=UTC),
        datetime(2024, 5, 12, 10, 18, 47, 635628, tzinfo=UTC),
    )


def test_subscription_past_due_gives_access_by_policy() -> None:
    unpaid = datetime(2024, 5, 12, 10, 18, 47, 635628, tzinfo=UTC)
    bought = hear(paddle_says("transaction.completed", unpaid - DAY).statements[:1], unpaid - DAY)
    line = hear(paddle_says("subscription.past_due", unpaid + DAY).statements[:1], unpaid + DAY, bought)
    assert status(line, unpaid + DAY) == "in_grace_period"
    assert is_entitled(line, unpaid + 7 * DAY - SECOND) and not is_entitled(line, unpaid + 7 * DAY)


def test_subscription_canceled_has_no_period_and_keeps_what_was_paid() -> None:
    entity = content(f"{SDK}/subscription.canceled.json")
    assert entity["current_billing_period"] is None
    reading = paddle_says("subscription.canceled")
    assert {one.renewals[0].ended for one in reading.statements} == {"unsubscribe"}
    assert all(one.purchases == () for one in reading.statements)
    assert [one.subject for one in reading.questions] == [entity["id"]]


def test_transaction_completed() -> None:
    said = {one.line: one.purchases[0] for one in paddle_says("transaction.completed").statements}
    assert list(said) == [
        "sub_01hv8x29kz0t586xy6zn1a62ny",
        "sub_01hv8x29kz0t586xy6zn1a62ny#pri_01h1vjfevh5etwq3rb416a23h2",
        "txn_01hv8wptq8987qeep44cyrewp9#pri_01gsz98e27ak2tyhexptwc58yk",
    ]
    assert [(one.price, one.kind) for one in said.values()] == [
        (Money(amount=32662, currency="USD"), "subscription"),
        (Money(amount=10887, currency="USD"), "subscription"),
        (Money(amount=21666, currency="USD"), "non_consumable"),
    ]
    assert sum(one.tax.amount for one in said.values() if one.tax) == 5315
    assert sum(one.commission.amount for one in said.values() if one.commission) == 3311


def test_transaction_paid_has_no_subscription_yet() -> None:
    """Its one-time item is bought already; its periods are told with `completed`, under the same transaction."""
    reading = paddle_says("transaction.paid")
    assert [one.line for one in reading.statements] == ["txn_01hv8wptq8987qeep44cyrewp9#pri_01gsz98e27ak2tyhexptwc58yk"]
    assert reading.statements[0].purchases[0].commission is None  # known at `completed` only


@pytest.mark.parametrize("name", ["transaction.payment_failed", "transaction.billed", "transaction.created"])
def test_transactions_nobody_paid(name: str) -> None:
    assert paddle_says(name).statements == ()


def test_adjustment_created_waits_for_approval() -> None:
    entity = content(f"{SDK}/adjustment.created.json")
    assert paddle_says("adjustment.created") == Reading(note="adjustment.created: refund is pending_approval")
    approved = PADDLE.read(PADDLE_APP, paddle_event("adjustment.updated", {**entity, "status": "approved"}, NOW), NOW)
    assert [one.subject for one in approved.questions] == [entity["subscription_id"]]
    paid = content(f"{SDK}/transaction.completed.json")
    item = paid["details"]["line_items"][0]["id"]
    given = {**entity, "status": "approved", "transaction_id": paid["id"], "items": [{**entity["items"][0], "item_id": item}]}
    found = Found(
        subscription=msgspec.convert(content(f"{SDK}/subscription.activated.json"), Subscription),
        transactions=(msgspec.convert(paid, Transaction),),
        adjustments=(msgspec.convert(given, Adjustment),),
    )
    refunds = [(one.line.count("#"), refund.amount.amount) for one in statements(PADDLE_APP, found, None, NOW) for refund in one.purchases[0].refunds]
    assert refunds == [(0, 100)]


@pytest.mark.parametrize("name", ["customer.created", "price.created", "product.created", "discount.created", "payment_method.saved"])
def test_what_is_about_no_purchase(name: str) -> None:
    assert paddle_says(name) == Reading(note=f"{name}: about no purchase")


def test_webhook_payload_is_signed_without_the_files_last_newline() -> None:
    body = raw(f"{SDK}/webhook_payload.json").rstrip(b"\n")
    signed_at = datetime.fromtimestamp(1710498758, UTC)
    headers = paddle_headers(body, signed_at)
    envelope = PADDLE.open(PADDLE_APP, body, headers, signed_at)
    assert (envelope.message_id, envelope.kind) == ("evt_01hs0tqfme2xwb2hvwv87p8y3w", "customer.created")
    with pytest.raises(Untrusted):
        PADDLE.open(PADDLE_APP, body + b"\n", headers, signed_at)
    assert headers[signature.HEADER].startswith("ts=1710498758;h1=")


def test_paddle_billing_subscription_created_as_a_whole() -> None:
    body = raw(f"{RAILS}/paddle_billing-subscription.created.json")
    occurred_at = datetime(2023, 8, 11, 8, 7, 38, 334150, tzinfo=UTC)
    envelope = PADDLE.open(PADDLE_APP, body, paddle_headers(body, occurred_at), occurred_at)
    assert (envelope.message_id, envelope.kind, envelope.sent_at) == ("evt_01h7ht60jy5hpdv5x8tfsaxje4", "subscription.created", occurred_at)
    reading = PADDLE.read(PADDLE_APP, body, occurred_at)
    assert [one.purchases[0].as_of for one in reading.statements] == [occurred_at, occurred_at]


# What is left to the importers: nothing of it is taken for a notification of Paddle Billing


@pytest.mark.parametrize(
    "name",
    [
        f"{RAILS}/paddle_classic-subscription_created.json",
        f"{RAILS}/paddle_classic-subscription_updated.json",
        f"{RAILS}/paddle_classic-subscription_cancelled.json",
        f"{RAILS}/paddle_public_key.pem",
        "paddle/dj-paddle__dj-paddle/classic-subscription_payment_success.txt",
        "paddle/dj-paddle__dj-paddle/classic-subscription_payment_failed.txt",
        "paddle/dj-paddle__dj-paddle/classic-subscription_payment_refunded.txt",
        "others/pay-rails__pay/lemonsqueezy-order_created.json",
        "others/pay-rails__pay/lemonsqueezy-subscription_created.json",
        "others/pay-rails__pay/lemonsqueezy-subscription_payment_success.json",
        "others/pay-rails__pay/braintree-subscription_cancelled.json",
    ],
)
def test_what_we_only_import_is_no_notification(name: str) -> None:
    with pytest.raises(Untrusted):
        PADDLE.open(PADDLE_APP, raw(name), {}, NOW)
    with pytest.raises(Invalid):
        PADDLE.read(PADDLE_APP, raw(name), NOW)


def test_every_sample_of_the_index_is_judged_here() -> None:
    source = Path(__file__).read_text()
    listed = [one["path"] for one in json.loads(raw("index.json")) if one["store"] in ("amazon", "paddle", "microsoft", "others", "roku")]
    unjudged = [path for path in listed if path.split("/")[-1] not in source and path.split("/")[-1].removesuffix(".json") not in source]
    assert (len(listed), unjudged) == (38, [])

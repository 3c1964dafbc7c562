"""What every store's provider must do, whatever the store: one suite, and for each store a kit that makes its genuine messages."""

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base.errors import Invalid, NotFound, Unauthorized, Unavailable
from perennial.base.money import Money
from perennial.base.time import to_ms
from perennial.base.value import replace, value
from perennial.catalog.model import Product
from perennial.intake.model import Posted, Provider, Question, Reading, StoreApp, Untrusted
from perennial.providers.amazon import AmazonAppstore
from perennial.providers.apple import AppStore
from perennial.providers.apple.signer import SigningAuthority
from perennial.providers.google import PlayStore
from perennial.providers.microsoft import MicrosoftStore
from perennial.providers.paddle import PaddleBilling
from perennial.providers.roku import RokuPay
from perennial.providers.stripe import StripeBilling
from perennial.providers.stripe import signature as stripe_signature
from perennial.providers.test_store import TestStore
from perennial.subscriptions.model import Statement, Store
from tests import google_messages as google
from tests import stripe_objects as stripe
from tests.answering import Answering
from tests.other_stores import (
    CERTIFICATE_PATH,
    KEY_ID,
    PADDLE_SECRET,
    TOPIC,
    YEAR,
    app,
    paddle_event,
    paddle_headers,
    roku_jws,
    roku_keys,
    roku_push,
    rtn,
    sns_certificate,
    sns_message,
)

NOW = google.NOW
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
LARGEST = 12 * 1024 * 1024

Signed = tuple[Mapping[str, str], bytes]


@value
class Kit:
    """A provider, an app of its store, and messages. A store that sends nothing has none."""

    provider: Provider
    app: StoreApp
    fresh: Callable[[], Provider]  # another one, that has fetched nothing
    genuine: Signed | None = None
    again: Signed | None = None  # the same message, sent anew
    again_at: datetime = NOW
    forged: tuple[Signed, ...] = ()  # signed by another than the store
    elsewhere: tuple[StoreApp, ...] = ()  # apps it was not sent to
    is_body_signed: bool = True
    stale_after: timedelta | None = None  # how old a message may be, where the store signs its time
    stated: Callable[[], Awaitable[list[Statement]]] | None = None

    @property
    def message(self) -> Signed:
        if self.genuine is None:
            pytest.skip("this store sends no notifications")
        return self.genuine


async def nothing() -> list[Statement]:
    return []


# The kits


@asynccontextmanager
async def app_store() -> AsyncIterator[Kit]:
    pen, forger = SigningAuthority.create(NOW), SigningAuthority.create(NOW)
    ours = replace(app("app_store", bundle_id="com.example.app"), simulated_roots=(pen.root_der,))
    transaction = {
        "environment": "Sandbox",
        "bundleId": "com.example.app",
        "transactionId": "1002",
        "originalTransactionId": "1001",
        "productId": "pro",
        "type": "Auto-Renewable Subscription",
        "purchaseDate": to_ms(NOW - DAY),
        "expiresDate": to_ms(NOW + DAY),
        "signedDate": to_ms(NOW),
        "price": 9990,
        "currency": "EUR",
    }

    def body(by: SigningAuthority) -> bytes:
        data = {"environment": "Sandbox", "bundleId": "com.example.app", "status": 1, "signedTransactionInfo": by.sign(transaction)}
        said = {"notificationType": "DID_RENEW", "notificationUUID": "uuid-1", "version": "2.0", "signedDate": to_ms(NOW), "data": data}
        return json.dumps({"signedPayload": by.sign(said)}).encode()

    provider, genuine = AppStore(), body(pen)

    async def stated() -> list[Statement]:
        return list(provider.read(ours, genuine, NOW).statements)

    yield Kit(
        provider=provider,
        app=ours,
        fresh=AppStore,
        genuine=({}, genuine),
        again=({}, body(pen)),
        forged=(({}, body(forger)),),
        elsewhere=(replace(ours, bundle_id="com.other"), replace(ours, simulated_roots=())),
        stated=stated,
    )
    await provider.close()


@asynccontextmanager
async def play_store() -> AsyncIterator[Kit]:
    fake = google.FakeGoogle()
    fake.says("//certs", {"keys": [google.jwk(google.GOOGLES_KEY, google.GOOGLES_KEY_ID)]})
    fake.says("/purchases/subscriptionsv2/tokens/token-a", google.subscription())
    fake.has(google.order())
    provider = PlayStore(certificates=f"{fake.address}/certs")
    ours = replace(google.APP, api_base_url=fake.address)
    body = google.push(google.about_subscription(4))

    async def stated() -> list[Statement]:
        return list((await provider.ask(ours, Question(environment="production", subject="token-a"), Posted(), NOW)).statements)

    def other(name: str) -> StoreApp:
        return replace(ours, settings={**ours.settings, name: "another"})

    yield Kit(
        provider=provider,
        app=ours,
        fresh=lambda: PlayStore(certificates="http://127.0.0.1:1/certs"),
        genuine=(google.bearer(google.push_token()), body),
        again=(google.bearer(google.push_token(jti="again")), body),
        forged=((google.bearer(google.push_token(google.ACCOUNT_KEY)), body), ({}, body)),
        elsewhere=(other("pubsub_audience"), other("pubsub_service_account"), replace(ours, bundle_id="com.other")),
        is_body_signed=False,  # the token is Pub/Sub's, and covers no body
        stale_after=timedelta(hours=1, minutes=5),
        stated=stated,
    )
    await provider.close()
    fake.close()


@asynccontextmanager
async def amazon() -> AsyncIterator[Kit]:
    server = Answering()
    server.answer(f"GET {CERTIFICATE_PATH}", sns_certificate(NOW - YEAR, NOW + YEAR))
    receipt = {
        "receiptId": "r-1",
        "productId": "pro",
        "productType": "SUBSCRIPTION",
        "purchaseDate": to_ms(NOW - DAY),
        "renewalDate": to_ms(NOW + 29 * DAY),
        "autoRenewing": True,
    }
    server.answer("GET /version/1.0/verifyReceiptId/developer/s/user/u/receiptId/r-1", receipt)
    provider = AmazonAppstore(sns_address=server.address)
    settings_, secrets = {"sns_topic_arn": TOPIC}, {"shared_secret": "s"}
    ours = app("amazon", bundle_id="com.example.app", address=server.address, settings=settings_, secrets=secrets)
    said = rtn("SUBSCRIPTION_PURCHASED", NOW, receiptId="r-1", appUserId="u")
    body = sns_message(said, NOW)

    async def stated() -> list[Statement]:
        (question,) = provider.read(ours, body, NOW).questions
        return list((await provider.ask(ours, question, Posted(), NOW)).statements)

    yield Kit(
        provider=provider,
        app=ours,
        fresh=AmazonAppstore,
        genuine=({}, body),
        again=({}, sns_message(said, NOW, version="2")),
        forged=(({}, sns_message(said, NOW, key="forged")),),
        elsewhere=(replace(ours, bundle_id="com.other"), replace(ours, settings={"sns_topic_arn": "arn:aws:sns:us-east-1:1:other"})),
        stale_after=timedelta(minutes=70),
        stated=stated,
    )
    await provider.close()
    server.close()


@asynccontextmanager
async def roku() -> AsyncIterator[Kit]:
    server = Answering()
    server.answer("GET /keys.json", roku_keys(KEY_ID))
    server.answer("GET /test-keys.json", roku_keys())
    transaction = {
        "status": 0,
        "OriginalTransactionId": "T-1",
        "transactionId": "T2",
        "channelId": 251682,
        "productId": "pro",
        "purchaseDate": f"/Date({to_ms(NOW - DAY)}+0000)/",
        "expirationDate": f"/Date({to_ms(NOW + DAY)}+0000)/",
        "isEntitled": True,
        "total": 4.99,
        "currency": "usd",
    }
    server.answer("GET /validate-transaction/k/t2", transaction)
    server.answer("GET /validate-transaction/k/t1", transaction)
    server.answer("GET /validate-refund/k/t2", {"status": 0, "total": -4.99, "currency": "usd"})
    provider = RokuPay(key_addresses=(f"{server.address}/keys.json", f"{server.address}/test-keys.json"))
    ours = app("roku", bundle_id="251682", address=server.address, secrets={"api_key": "k"})
    body = roku_jws(roku_push("Refund", NOW), NOW)

    async def stated() -> list[Statement]:
        (question,) = provider.read(ours, body, NOW).questions
        return list((await provider.ask(ours, question, Posted(), NOW)).statements)

    yield Kit(
        provider=provider,
        app=ours,
        fresh=RokuPay,
        genuine=({}, body),
        again=({}, roku_jws(roku_push("Refund", NOW), NOW + DAY)),
        again_at=NOW + DAY,
        forged=(({}, roku_jws(roku_push("Refund", NOW), NOW, key="forged")), ({}, json.dumps(roku_push("Refund", NOW)).encode())),
        elsewhere=(replace(ours, bundle_id="1"),),
        stale_after=timedelta(days=1, minutes=5),
        stated=stated,
    )
    await provider.close()
    server.close()


@asynccontextmanager
async def paddle() -> AsyncIterator[Kit]:
    ours = app("paddle", secrets={"notification_secret": PADDLE_SECRET})
    data = {
        "id": "sub_1",
        "status": "active",
        "items": [{"price": {"id": "pri_1", "billing_cycle": {"interval": "month", "frequency": 1}}, "quantity": 1}],
        "current_billing_period": {"starts_at": (NOW - DAY).isoformat(), "ends_at": (NOW + 29 * DAY).isoformat()},
        "transaction_id": "txn_1",
    }
    body = paddle_event("subscription.created", data, NOW)
    provider = PaddleBilling()

    async def stated() -> list[Statement]:
        return list(provider.read(ours, body, NOW).statements)

    yield Kit(
        provider=provider,
        app=ours,
        fresh=PaddleBilling,
        genuine=(paddle_headers(body, NOW), body),
        again=(paddle_headers(body, NOW + DAY), body),
        again_at=NOW + DAY,
        forged=((paddle_headers(body, NOW, "pdl_ntfset_other"), body), ({}, body)),
        elsewhere=(replace(ours, secrets={"notification_secret": "pdl_ntfset_other"}),),
        stale_after=timedelta(seconds=60),
        stated=stated,
    )
    await provider.close()


@asynccontextmanager
async def stripe_billing() -> AsyncIterator[Kit]:
    ours = app("stripe", secrets={"webhook_secret": stripe.SECRET})
    bodies = [stripe.event("customer.subscription.updated", stripe.subscription()), stripe.event("invoice.paid", stripe.invoice())]
    body, provider = bodies[0], StripeBilling()

    def headers(secret: str = stripe.SECRET, when: datetime = NOW) -> dict[str, str]:
        return {stripe_signature.HEADER: stripe_signature.sign(body, secret=secret, now=when)}

    async def stated() -> list[Statement]:
        return [statement for one in bodies for statement in provider.read(ours, one, NOW).statements]

    yield Kit(
        provider=provider,
        app=ours,
        fresh=StripeBilling,
        genuine=(headers(), body),
        again=(headers(when=NOW + DAY), body),
        again_at=NOW + DAY,
        forged=((headers("whsec_other"), body), ({}, body)),
        elsewhere=(replace(ours, secrets={"webhook_secret": "whsec_other"}),),
        stale_after=timedelta(minutes=5),
        stated=stated,
    )
    await provider.close()


@asynccontextmanager
async def microsoft() -> AsyncIterator[Kit]:
    server = Answering()
    server.answer("POST /t/oauth2/token", {"access_token": "x"})
    recurrence = {
        "id": "mdr:1",
        "productId": "9N",
        "recurrenceState": "Active",
        "startTime": NOW.isoformat(),
        "expirationTime": (NOW + 30 * DAY).isoformat(),
        "autoRenew": True,
    }
    server.answer("POST /v8.0/b2b/recurrences/query", {"items": [recurrence]})
    provider = MicrosoftStore()
    ours = app("microsoft", address=server.address, settings={"tenant_id": "t", "client_id": "c"}, secrets={"client_secret": "s"})

    async def stated() -> list[Statement]:
        return list((await provider.read_receipt(ours, Posted(token="key"), NOW)).statements)

    yield Kit(provider=provider, app=ours, fresh=MicrosoftStore, stated=stated)
    await provider.close()
    server.close()


@asynccontextmanager
async def test_store() -> AsyncIterator[Kit]:
    provider, ours = TestStore(), app("test_store")
    product = Product(
        product_id="p",
        app_id=ours.app_id,
        store_identifier="pro",
        type="subscription",
        created_at=NOW,
        duration="P1M",
        prices=(Money(amount=999, currency="EUR"),),
    )

    async def stated() -> list[Statement]:
        return list(
            (await provider.read_receipt(ours, Posted(token="test_1", product_ids=(product.store_identifier,), products=(product,)), NOW)).statements
        )

    yield Kit(provider=provider, app=ours, fresh=TestStore, stated=stated)


KITS: dict[Store, Any] = {
    "app_store": app_store,
    "mac_app_store": app_store,
    "play_store": play_store,
    "amazon": amazon,
    "roku": roku,
    "paddle": paddle,
    "stripe": stripe_billing,
    "microsoft": microsoft,
    "test_store": test_store,
}
test_store.__test__ = False  # type: ignore[attr-defined]  # a kit, not a test


def test_every_store_that_has_a_provider_has_a_kit() -> None:
    assert set(KITS) == set(get_args(Store)) - {"external", "promotional"}


@pytest.fixture(scope="module", params=list(KITS))
async def kit(request: pytest.FixtureRequest) -> AsyncIterator[Kit]:
    async with AsyncExitStack() as stack:
        made: Kit = await stack.enter_async_context(KITS[request.param]())
        for headers, body in [one for one in (made.genuine, made.again, *made.forged) if one is not None]:
            await made.provider.prepare(headers, body)
        yield made


# Who sent it


def test_a_genuine_message_is_taken(kit: Kit) -> None:
    headers, body = kit.message
    envelope = kit.provider.open(kit.app, body, headers, NOW)
    assert envelope.message_id and envelope.kind
    assert envelope.sent_at.utcoffset() is not None


def test_a_forged_message_is_untrusted(kit: Kit) -> None:
    assert kit.message and kit.forged
    for headers, body in kit.forged:
        with pytest.raises(Untrusted):
            kit.provider.open(kit.app, body, headers, NOW)


def test_a_message_changed_on_its_way_is_refused(kit: Kit) -> None:
    headers, body = kit.message
    if not kit.is_body_signed:
        pytest.skip("this store signs no body")
    for place in range(0, len(body), max(1, len(body) // 40)):
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        with pytest.raises(Invalid):
            kit.provider.open(kit.app, changed, headers, NOW)


def test_a_message_for_another_app_is_refused(kit: Kit) -> None:
    headers, body = kit.message

    def take(other: StoreApp) -> Reading:
        kit.provider.open(other, body, headers, NOW)
        return kit.provider.read(other, body, NOW)

    assert kit.elsewhere
    for other in kit.elsewhere:
        with pytest.raises(Invalid):
            take(other)


def test_an_old_message_played_back_is_refused(kit: Kit) -> None:
    headers, body = kit.message
    if kit.stale_after is None:
        pytest.skip("this store's messages do not age: what they say is judged by when it was signed")
    kit.provider.open(kit.app, body, headers, NOW)
    with pytest.raises(Untrusted):
        kit.provider.open(kit.app, body, headers, NOW + kit.stale_after + SECOND)


def test_a_message_from_the_future_is_refused(kit: Kit) -> None:
    headers, body = kit.message
    with pytest.raises(Untrusted):
        kit.provider.open(kit.app, body, headers, NOW - 2 * DAY)


def test_a_store_that_sends_nothing_takes_nothing(kit: Kit) -> None:
    if kit.genuine is not None:
        pytest.skip("this store sends notifications")
    for body in (b"", b"{}", b"null"):
        with pytest.raises(Invalid):
            kit.provider.open(kit.app, body, {}, NOW)
        with pytest.raises(Invalid):
            kit.provider.read(kit.app, body, NOW)


# Rubbish


def harmless(kit: Kit, headers: Mapping[str, str], body: bytes) -> None:
    """Nothing but `Invalid` and `Untrusted` comes of it."""
    with suppress(Invalid):
        kit.provider.open(kit.app, body, headers, NOW)
    with suppress(Invalid):
        kit.provider.read(kit.app, body, NOW)


def test_a_truncated_message_harms_nobody(kit: Kit) -> None:
    headers, body = kit.message
    for length in range(0, len(body), max(1, len(body) // 60)):
        harmless(kit, headers, body[:length])
        harmless(kit, {}, body[:length])


def test_an_oversized_message_harms_nobody(kit: Kit) -> None:
    headers, body = kit.message
    for large in (body + b" " * LARGEST, b"[" * LARGEST, b"." * LARGEST, b'{"a":' * 200_000):
        harmless(kit, headers, large)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'""', b"..", b"a.b.c", b"\xff\xfe", b"\x00", b'{"a":"\\u0000"}', b'{"a":"\\ud800"}', b"NaN", b"1e999999"]
)
def test_odd_messages_harm_nobody(kit: Kit, body: bytes) -> None:
    harmless(kit, kit.genuine[0] if kit.genuine else {}, body)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_random_bytes_harm_nobody(kit: Kit, data: st.DataObject) -> None:
    headers, body = kit.genuine or ({}, b"{}")
    place = data.draw(st.integers(0, len(body)))
    noise = data.draw(st.binary(max_size=40))
    names = list(headers) or ["authorization"]
    text = data.draw(st.text(max_size=60))
    harmless(kit, headers, body[:place] + noise + body[place + len(noise) :])
    harmless(kit, {names[0]: text}, data.draw(st.binary(max_size=200)))


@pytest.mark.parametrize("body", [b"", b"{}", b"a.b.c", b"\xff" * 100, b"{" * 5000])
async def test_preparing_for_rubbish_fetches_nothing_and_trusts_nothing(kit: Kit, body: bytes) -> None:
    await kit.fresh().prepare({}, body)


# Once


def test_a_message_sent_anew_has_the_same_id(kit: Kit) -> None:
    headers, body = kit.message
    assert kit.again is not None
    first = kit.provider.open(kit.app, body, headers, NOW)
    second = kit.provider.open(kit.app, kit.again[1], kit.again[0], kit.again_at)
    assert first.message_id == second.message_id
    assert kit.provider.open(kit.app, body, headers, NOW) == first


def test_reading_twice_says_the_same(kit: Kit) -> None:
    _, body = kit.message
    first = kit.provider.read(kit.app, body, NOW)
    assert first == kit.provider.read(kit.app, body, NOW)
    assert first != Reading()  # it says something, or why not


def test_reading_takes_no_network_and_nothing_fetched_before(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    _, body = kit.message

    def refuse(*_: object) -> None:
        raise AssertionError("reading called out")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert kit.fresh().read(kit.app, body, NOW) == kit.provider.read(kit.app, body, NOW)


# What is stated


async def test_statements_are_whole(kit: Kit) -> None:
    assert kit.stated is not None
    statements = await kit.stated()
    assert any(one.purchases for one in statements)
    for statement in statements:
        assert statement.store == kit.app.store
        assert statement.environment in ("production", "sandbox")
        assert statement.line and statement.line not in statement.also
        transactions = [one.transaction for one in statement.purchases]
        assert all(transactions) and len(set(transactions)) == len(transactions)
        for moment in moments(statement):
            assert moment.utcoffset() == timedelta(0), moment
        for purchase in statement.purchases:
            assert purchase.product and purchase.quantity > 0
            assert purchase.kind != "subscription" or purchase.expires_at is not None
            assert purchase.expires_at is None or purchase.expires_at >= purchase.purchased_at
            assert purchase.price is None or purchase.price.amount >= 0
            assert all(one.identifier and one.amount.amount > 0 for one in purchase.refunds)
            assert not (purchase.is_first and purchase.is_renewal)
        assert all(one.transaction in {*transactions, ""} for one in statement.renewals)


def moments(statement: Statement) -> list[datetime]:
    found: list[datetime | None] = []
    for purchase in statement.purchases:
        found += [purchase.purchased_at, purchase.expires_at, purchase.as_of, purchase.revocation.at if purchase.revocation else None]
        found += [one.at for one in purchase.refunds]
    for renewal in statement.renewals:
        found += [renewal.as_of, renewal.grace_until, renewal.resumes_at]
    return [moment for moment in found if moment is not None]


async def test_the_same_is_stated_again(kit: Kit) -> None:
    assert kit.stated is not None
    assert await kit.stated() == await kit.stated()


# Credentials


def test_without_credentials_a_store_cannot_be_asked(kit: Kit) -> None:
    bare = app(kit.app.store)
    assert kit.provider.can_ask(bare) is (kit.app.store == "test_store")


@pytest.mark.parametrize("token", ["", "x", "../../etc", "a" * 100_000, "\x00", "é", "sub_1", "%2e%2e", "a b"])
async def test_what_proves_nothing_is_said_to(kit: Kit, token: str) -> None:
    """Refused, or called passing trouble where there is nobody to ask: never anything else."""
    bare = replace(app(kit.app.store, bundle_id="com.example.app", address="http://127.0.0.1:1"), settings=kit.app.settings, secrets=kit.app.secrets)
    with pytest.raises((Invalid, Unavailable, NotFound, Unauthorized)):
        await kit.provider.read_receipt(bare, Posted(token=token, store_user_id="u"), NOW)

"""Whatever is sent to a door that takes a store's input: no 5xx, no answer over a second, no message that stops the inbox.

What is kept can be shown.

Hundreds of requests in the suite, thousands by `make deep`. A failure prints its seed and the document.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import process_time
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from perennial import catalog, customers, intake
from perennial.base.ids import AppId
from perennial.base.time import to_ms
from perennial.providers.apple.signer import SigningAuthority
from perennial.providers.paddle import signature as paddle_signature
from perennial.providers.stripe import signature as stripe_signature
from tests import stripe_objects as stripe
from tests.apple_messages import trust
from tests.fuzz.mutating import as_json, cases, mutated
from tests.fuzz.signing import signed
from tests.fuzz.test_readers import NOTIFICATION, PADDLE_SUBSCRIPTION, PADDLE_TRANSACTION, RENEWAL, TRANSACTION
from tests.other_stores import PADDLE_SECRET
from tests.world import BUNDLE, START, World

Send = Callable[[Any], Awaitable[httpx.Response]]

IN_THE_SUITE = 25  # documents of each door
DAY = timedelta(days=1)


@pytest.fixture
async def pen(world: World) -> SigningAuthority:
    made = SigningAuthority.create(START)
    await trust(world, made)
    return made


async def open_app(world: World, store: Any, **secrets: str) -> AppId:
    async with world.app.database.transaction(world.project_id) as tx:
        made, _ = await catalog.create_app(tx, world.app.vault, name=store, store=store, secrets=secrets)
        if store == "external":
            await catalog.create_product(tx, app_id=made.app_id, store_identifier="elsewhere", type="subscription", duration="P1M")
    return made.app_id


def moved(document: dict[str, Any]) -> dict[str, Any]:
    """The App Store's documents, of this world's app and time."""
    by = to_ms(START) - document["signedDate"] if "signedDate" in document else 0
    of_here = {name: one + by if isinstance(one, int) and name.endswith("Date") else one for name, one in document.items()}
    return {**of_here, **({"bundleId": BUNDLE} if "bundleId" in document else {})}


async def sent(name: str, seed: int, document: Any, send: Send, allowed: frozenset[int] | None = None) -> int:
    started = process_time()
    answer = await send(document)
    taken = process_time() - started
    told = f"{name}, seed {seed}: {answer.status_code} {answer.text[:500]}\n{as_json(document)[:4000].decode()}"
    assert answer.status_code < 500, told
    assert allowed is None or answer.status_code in allowed, told
    assert taken < 1, f"took {taken:.1f} s: {told}"
    return answer.status_code


async def nothing_is_stuck(world: World) -> None:
    """Every message was read or called unreadable, and whoever holds anything can be shown."""
    await world.run_due()
    async with world.app.database.transaction(world.project_id) as tx:
        stuck = await tx.fetch("SELECT app_id, kind, last_error, body FROM notification WHERE digested_at IS NULL")
        assert not stuck, [dict(row) for row in stuck][:2]
        names = await tx.fetch("SELECT app_user_id FROM alias ORDER BY app_user_id LIMIT 300")
        people = list((await customers.find(tx, [row["app_user_id"] for row in names])).values())
        assert await customers.load(tx, people)
    for row in names:
        answer = await world.http.get(f"/v1/subscribers/{_quoted(row['app_user_id'])}", headers=world.secret)
        assert answer.status_code in (200, 201), (row["app_user_id"], answer.text)
        for what in ("subscriptions", "purchases"):
            listed = await world.http.get(f"/v2/projects/{world.project_id}/customers/{_quoted(row['app_user_id'])}/{what}", headers=world.secret)
            assert listed.status_code == 200, (row["app_user_id"], listed.text)


def _quoted(name: str) -> str:
    return quote(name, safe="")


async def test_app_store_notifications(world: World, pen: SigningAuthority) -> None:
    at = f"/hooks/app_store/{world.app_ids['app_store']}"
    data = {**NOTIFICATION["data"], "bundleId": BUNDLE}
    right = {"notification": {**moved(NOTIFICATION), "data": data}, "transaction": moved(TRANSACTION), "renewal": moved(RENEWAL)}

    async def send(documents: Any) -> httpx.Response:
        said = documents.get("notification")
        if isinstance(said, dict) and isinstance(said.get("data"), dict):
            inner = {"signedTransactionInfo": "transaction", "signedRenewalInfo": "renewal"}
            said = {**said, "data": {**said["data"], **{name: signed(pen, documents[one]) for name, one in inner.items() if one in documents}}}
        return await world.http.post(at, content=as_json({"signedPayload": signed(pen, said)}))

    assert await sent("app_store", 0, right, send) == 200
    for seed in cases("door of app_store", IN_THE_SUITE):
        documents = mutated(right, seed)
        if isinstance(documents.get("notification"), dict):
            documents["notification"].setdefault("notificationUUID", f"uuid-{seed}")
        await sent("app_store", seed, documents, send, frozenset({200, 400, 401}))
    await nothing_is_stuck(world)


async def test_stripe_events(world: World) -> None:
    at = f"/hooks/stripe/{await open_app(world, 'stripe', webhook_secret=stripe.SECRET)}"
    rights = [
        ("customer.subscription.updated", stripe.subscription()),
        ("invoice.paid", stripe.invoice()),
        ("checkout.session.completed", stripe.session(mode="subscription")),
    ]

    async def send(document: Any) -> httpx.Response:
        body = as_json(document)
        signed_by = stripe_signature.sign(body, secret=stripe.SECRET, now=world.app.database.clock())
        return await world.http.post(at, content=body, headers={"Stripe-Signature": signed_by})

    for kind, about in rights:
        right = json.loads(stripe.event(kind, about))
        for seed in cases(f"door of stripe {kind}", IN_THE_SUITE):
            document = mutated(right, seed)
            if isinstance(document.get("id"), str) and document["id"] == "evt_1":
                document["id"] = f"evt_{seed}"
            await sent(f"stripe {kind}", seed, document, send, frozenset({200}))
    await nothing_is_stuck(world)


async def test_paddle_events(world: World) -> None:
    at = f"/hooks/paddle/{await open_app(world, 'paddle', notification_secret=PADDLE_SECRET)}"

    async def send(document: Any) -> httpx.Response:
        body = as_json(document)
        signed_by = paddle_signature.sign(body, secret=PADDLE_SECRET, now=world.app.database.clock())
        return await world.http.post(at, content=body, headers={"Paddle-Signature": signed_by})

    for kind, about in (("subscription.created", PADDLE_SUBSCRIPTION), ("transaction.completed", PADDLE_TRANSACTION)):
        right = {"event_id": "evt_1", "event_type": kind, "occurred_at": "2026-03-01T00:00:00Z", "data": about}
        for seed in cases(f"door of paddle {kind}", IN_THE_SUITE):
            document = mutated(right, seed)
            if document.get("event_id") == "evt_1":
                document["event_id"] = f"evt_{seed}"
            await sent(f"paddle {kind}", seed, document, send, frozenset({200}))
    await nothing_is_stuck(world)


async def test_receipts(world: World, pen: SigningAuthority) -> None:
    right = {"token": moved(TRANSACTION), "body": {"app_user_id": "ada", "product_id": "pro_monthly", "price": 9.99, "currency": "EUR"}}

    async def send(documents: Any) -> httpx.Response:
        body = documents.get("body")
        if isinstance(body, dict) and "token" in documents:
            body = {**body, "fetch_token": signed(pen, documents["token"])}
        headers = {**world.sdk("app_store"), "X-Platform": "iOS", "Content-Type": "application/json"}
        return await world.http.post("/v1/receipts", content=as_json(body), headers=headers)

    assert await sent("receipts", 0, right, send) == 200
    for seed in cases("door of receipts", 2 * IN_THE_SUITE):
        await sent("receipts", seed, mutated(right, seed), send)
    await nothing_is_stuck(world)


async def test_receipts_of_the_test_store(world: World) -> None:
    right = {
        "app_user_id": "ada",
        "fetch_token": "test_1",
        "product_id": "pro_monthly",
        "price": 9.99,
        "currency": "EUR",
        "store_user_id": "user",
        "presented_offering_identifier": "default",
        "is_restore": False,
        "attributes": {"$email": {"value": "ada@example.com", "updated_at_ms": 1_700_000_000_000}},
    }

    async def send(document: Any) -> httpx.Response:
        headers = {**world.sdk(), "Content-Type": "application/json"}
        return await world.http.post("/v1/receipts", content=as_json(document), headers=headers)

    assert await sent("test store", 0, right, send) == 200
    for seed in cases("door of the test store", 2 * IN_THE_SUITE):
        await sent("test store", seed, mutated(right, seed), send)
    await nothing_is_stuck(world)


async def test_purchases_told_from_elsewhere(world: World) -> None:
    await open_app(world, "external")
    right = {
        "purchase": {
            "object": "external_subscription",
            "customer_id": "ada",
            "source_subscription_identifier": "sub_1",
            "source_product_identifier": "elsewhere",
            "updated_at": "2026-01-30T00:00:00Z",
            "current_period_starts_at": 1_769_700_000_000,
            "current_period_ends_at": "2026-03-01T00:00:00Z",
            "gives_access": True,
            "status": "active",
            "auto_renewal_status": "will_renew",
            "metadata": {"plan": "gold", "seats": 3},
        },
        "payment": {
            "object": "external_subscription_payment",
            "source_subscription_identifier": "sub_1",
            "payment_identifier": "pay_1",
            "processed_at": "2026-01-30T00:00:00Z",
            "country": "DE",
            "amount_in_local_currency": {"gross": 9.99, "tax": "1.6", "commission": 1, "currency": "EUR"},
            "active_offer_type": "offer_code",
            "active_offer": "SPRING",
        },
    }

    async def send(document: Any) -> httpx.Response:
        headers = {**world.secret, "Content-Type": "application/json"}
        return await world.http.post("/v1/receipts/external", content=as_json(document), headers=headers)

    assert await sent("external", 0, right, send) == 200
    for seed in cases("door of external", 3 * IN_THE_SUITE):
        await sent("external", seed, mutated(right, seed), send)
    await nothing_is_stuck(world)


async def test_what_cannot_be_read_is_kept_counted_and_shown(world: World, pen: SigningAuthority) -> None:
    """A purchase whose type, price and storefront are none we know: recorded, with what was left aside for a person to see."""
    odd = moved(TRANSACTION) | {"type": "Loan", "price": 10**30, "storefrontId": {"id": 1}, "revocationDate": None}
    data = {**NOTIFICATION["data"], "bundleId": BUNDLE, "signedTransactionInfo": signed(pen, odd)}
    before = intake.UNREAD_FIELDS["app_store", "notification"]
    body = {"signedPayload": signed(pen, {**moved(NOTIFICATION), "data": data})}
    answer = await world.http.post(f"/hooks/app_store/{world.app_ids['app_store']}", json=body)
    assert answer.status_code == 200
    await world.run_due()
    async with world.app.database.transaction(world.project_id) as tx:
        found = await intake.unread(tx, tx.now - DAY)
        held = await tx.fetch("SELECT product, kind, price_amount FROM purchase")
        outcome = (await tx.fetch("SELECT outcome FROM notification"))[0]["outcome"]
    assert {one.field: one.times for one in found} == {"storefrontId": 1, "type": 1, "price": 1}
    assert outcome == "recorded; not read: storefrontId, type, price"
    assert intake.UNREAD_FIELDS["app_store", "notification"] == before + 3
    assert [tuple(row.values()) for row in held] == [("pro_monthly", "subscription", None)]

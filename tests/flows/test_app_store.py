"""The App Store, from a signed notification to an entitlement, through the real doors."""

from datetime import timedelta

import pytest

from perennial import invariants, ledger
from perennial.base.money import Money
from perennial.base.time import to_ms
from perennial.base.value import replace
from perennial.providers.apple.signer import SigningAuthority
from tests.apple_messages import BUNDLE, notification, transaction, trust
from tests.rules.lives import Life
from tests.world import START, World


@pytest.fixture
async def pen(world: World) -> SigningAuthority:
    made = SigningAuthority.create(START)
    await trust(world, made)
    return made


async def hear(world: World, pen: SigningAuthority, life: Life, *, line: str = "7000", token: str | None = None) -> None:
    for message in life.messages:
        answer = await world.http.post(f"/hooks/app_store/{world.app_ids['app_store']}", content=notification(pen, message, line=line, token=token))
        assert (answer.status_code, answer.json()) == (200, {})
    await world.run_due()


def fresh() -> Life:
    return Life(clock=START - timedelta(days=10), product="pro_monthly")


async def test_a_notification_becomes_an_entitlement_and_lapses_by_itself(world: World, pen: SigningAuthority):
    token = "6f0d1c2e-8f5e-4a55-9d5e-0a1b2c3d4e5f"
    await world.customer(token.upper(), store="app_store")
    life = fresh()
    life.subscribe()
    await hear(world, pen, life, token=token)
    assert await world.entitled(token.upper(), store="app_store") == ["pro"]
    await world.advance(days=40)
    assert await world.entitled(token.upper(), store="app_store") == []
    assert await world.told(token.upper()) == ["INITIAL_PURCHASE", "EXPIRATION"]


async def test_a_purchase_nobody_claims_waits_for_its_customer(world: World, pen: SigningAuthority):
    life = fresh()
    life.subscribe()
    await hear(world, pen, life)
    jws = pen.sign(transaction(life.purchases[0], line="7000"))
    answer = await world.http.post(
        "/v1/receipts", headers=world.sdk("app_store", **{"X-Platform": "iOS"}), json={"app_user_id": "ada", "fetch_token": jws}
    )
    assert answer.status_code == 200, answer.text
    subscription = answer.json()["subscriber"]["subscriptions"]["pro_monthly"]
    assert (subscription["store"], subscription["is_sandbox"], subscription["store_transaction_id"]) == ("app_store", True, "7000")
    assert subscription["price"] == {"amount": 9.99, "currency": "USD"}
    assert answer.json()["subscriber"]["management_url"] == "https://apps.apple.com/account/subscriptions"
    assert await world.told("ada") == ["INITIAL_PURCHASE"]


async def test_the_sdk_and_the_store_telling_at_once_is_one_purchase(world: World, pen: SigningAuthority):
    life = fresh()
    life.subscribe()
    jws = pen.sign(transaction(life.purchases[0], line="7000"))
    body = {"app_user_id": "ada", "fetch_token": jws}
    for _ in range(2):
        assert (await world.http.post("/v1/receipts", headers=world.sdk("app_store"), json=body)).status_code == 200
        await hear(world, pen, life)
    assert await world.told() == ["INITIAL_PURCHASE"]


@pytest.mark.parametrize("cents", [(999, 1099), (999, 999)], ids=["other prices", "one price"])
async def test_a_transaction_stated_on_two_lines_is_booked_of_both(world: World, pen: SigningAuthority, cents: tuple[int, int]):
    """As by a tester's receipts. What is told of twice is in the books twice, and neither statement is refused."""
    for line, amount in zip(("7000", "8000"), cents, strict=True):
        life = fresh()
        life.subscribe()
        (purchase,) = life.purchases
        said = transaction(replace(purchase, price=Money(amount=amount, currency="USD")), line=line) | {"transactionId": "7000"}
        for refunded in ({}, {"revocationDate": said["signedDate"], "revocationReason": 0, "revocationPercentage": 50_000}):
            body = {"app_user_id": f"of-{line}", "fetch_token": pen.sign(said | refunded | {"signedDate": said["signedDate"] + len(refunded)})}
            assert (await world.http.post("/v1/receipts", headers=world.sdk("app_store"), json=body)).status_code == 200
    async with world.app.database.transaction(world.project_id) as tx:
        books = await ledger.balance(tx, ["sandbox/revenue/app_store", "sandbox/refunds/app_store"])
    sold = {unit.code: amount for unit, amount in books["sandbox/revenue/app_store"].items()}
    given_back = {unit.code: amount for unit, amount in books["sandbox/refunds/app_store"].items()}
    assert sold["USD"] == sum(cents)
    assert -given_back["USD"] == sum(amount // 2 + amount % 2 * (amount // 2 % 2) for amount in cents)
    assert await invariants.run(world.app.database, world.project_id, world.app.database.clock()) == []


async def test_grace_keeps_access_and_shows_its_end(world: World, pen: SigningAuthority):
    user = "6f0d1c2e-8f5e-4a55-9d5e-0a1b2c3d4e5f"
    life = Life(clock=START - timedelta(days=31), product="pro_monthly")
    life.subscribe()
    life.fail_in_grace(16)
    await world.customer(user, store="app_store")
    await hear(world, pen, life, token=user)
    [line] = await world.lines(user)
    subscription = (await world.customer(user, store="app_store"))["subscriptions"]["pro_monthly"]
    assert subscription["expires_date"] == subscription["grace_period_expires_date"] == "2026-02-15T12:00:00Z"
    assert subscription["billing_issues_detected_at"] == "2026-01-30T12:00:01Z"
    assert await world.entitled(user, store="app_store") == ["pro"]
    await world.advance(days=16)
    assert await world.entitled(user, store="app_store") == []
    assert [one["type"] for one in await world.bodies(user)][:3] == ["INITIAL_PURCHASE", "BILLING_ISSUE", "CANCELLATION"]
    assert line.environment == "sandbox"


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        (lambda body: body[:-40] + b'"}', 400),
        (lambda body: body.replace(b".", b"!", 1), 400),
        (lambda body: b"{}", 400),
        (lambda body: b"", 400),
        (lambda body: b"\xff\xfe", 400),
        (lambda body: b"[" * 100_000, 400),
        (lambda body: b'{"signedPayload": 5}', 400),
    ],
)
async def test_a_spoiled_notification_is_refused_clearly_and_nothing_is_kept(world: World, pen: SigningAuthority, spoil, status: int):
    life = fresh()
    life.subscribe()
    body = spoil(notification(pen, life.messages[0], line="7000"))
    answer = await world.http.post(f"/hooks/app_store/{world.app_ids['app_store']}", content=body)
    assert answer.status_code in (400, 401)
    assert answer.json()["message"]
    async with world.app.database.transaction(world.project_id) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM notification") == 0


async def test_a_stranger_s_signature_is_not_believed(world: World, pen: SigningAuthority):
    life = fresh()
    life.subscribe()
    stranger = SigningAuthority.create(START)
    answer = await world.http.post(f"/hooks/app_store/{world.app_ids['app_store']}", content=notification(stranger, life.messages[0], line="7000"))
    assert answer.status_code == 401
    receipt = {"app_user_id": "ada", "fetch_token": stranger.sign(transaction(life.purchases[0], line="7000"))}
    refused = await world.http.post("/v1/receipts", headers=world.sdk("app_store"), json=receipt)
    assert (refused.status_code, refused.json()["code"]) == (400, 7103)


async def test_another_project_does_not_trust_our_simulated_store(world: World, pen: SigningAuthority):
    from tests.world import make_world

    other = await make_world(world.app, world.http)
    life = fresh()
    life.subscribe()
    answer = await world.http.post(f"/hooks/app_store/{other.app_ids['app_store']}", content=notification(pen, life.messages[0], line="7000"))
    assert answer.status_code == 401


async def test_a_poisoned_message_steps_aside_and_others_pass(world: World, pen: SigningAuthority):
    await world.track(world.app_ids["app_store"])
    life = fresh()
    life.subscribe()
    await hear(world, pen, life)
    async with world.app.database.transaction(world.project_id) as tx:
        await tx.execute("UPDATE notification SET wake_at = %(now)s, body = 'rotten'", now=tx.now)
    other = fresh()
    other.subscribe()
    await hear(world, pen, other, line="8000")
    async with world.app.database.transaction(world.project_id) as tx:
        rows = await tx.fetch("SELECT outcome, wake_at FROM notification ORDER BY outcome")
    assert [row["wake_at"] for row in rows] == [None, None]
    assert rows[0]["outcome"] == "recorded"
    assert rows[1]["outcome"].startswith("unreadable")
    await world.advance(minutes=5)
    assert await world.told() == ["INITIAL_PURCHASE", "INITIAL_PURCHASE"]


def downloaded(pen: SigningAuthority, version: str, days_ago: float, bundle: str = BUNDLE) -> str:
    proof = {"receiptType": "Sandbox", "bundleId": bundle, "receiptCreationDate": to_ms(START), "applicationVersion": "300"}
    return pen.sign({**proof, "originalApplicationVersion": version, "originalPurchaseDate": to_ms(START - timedelta(days=days_ago))})


async def test_the_version_first_downloaded_is_told_and_the_earliest_stays(world: World, pen: SigningAuthority):
    async def post(app_user_id: str, **body: str) -> tuple[str | None, str | None]:
        answer = await world.http.post("/v1/receipts", headers=world.sdk("app_store"), json={"app_user_id": app_user_id, **body})
        assert answer.status_code == 200, answer.text
        subscriber = answer.json()["subscriber"]
        assert await world.customer(app_user_id, store="app_store") == subscriber | {"last_seen": subscriber["last_seen"]}
        return subscriber["original_application_version"], subscriber["original_purchase_date"]

    life = fresh()
    life.subscribe()
    purchase = pen.sign(transaction(life.purchases[0], line="7000"))
    assert await post("ada", fetch_token=purchase) == (None, None)
    assert await post("ada", fetch_token=purchase, app_transaction=downloaded(pen, "101", 5)) == ("101", "2026-01-26T12:00:00Z")
    assert await post("ada", app_transaction=downloaded(pen, "100", 9)) == ("100", "2026-01-22T12:00:00Z")
    assert await post("ada", app_transaction=downloaded(pen, "200", 1)) == ("100", "2026-01-22T12:00:00Z")
    assert await world.entitled("ada", store="app_store") == ["pro"]
    forged = SigningAuthority.create(START)
    for believed_by_nobody in ("no.such.thing", downloaded(forged, "1", 99), downloaded(pen, "1", 99, bundle="com.example.other")):
        assert await post("ada", fetch_token=purchase, app_transaction=believed_by_nobody) == ("100", "2026-01-22T12:00:00Z")


async def test_a_download_goes_with_who_it_is_of(world: World, pen: SigningAuthority):
    anonymous = "$RCAnonymousID:" + "0" * 32
    for app_user_id, version, days_ago in ((anonymous, "100", 9), ("ada", "101", 5)):
        body = {"app_user_id": app_user_id, "app_transaction": downloaded(pen, version, days_ago)}
        assert (await world.http.post("/v1/receipts", headers=world.sdk("app_store"), json=body)).status_code == 200
    joined = {"app_user_id": anonymous, "new_app_user_id": "ada"}
    answer = await world.http.post("/v1/subscribers/identify", headers=world.sdk("app_store"), json=joined)
    assert answer.json()["subscriber"]["original_application_version"] == "100"
    assert (await world.http.delete("/v1/subscribers/ada", headers=world.secret)).status_code == 200
    assert (await world.customer("ada", store="app_store"))["original_application_version"] is None

"""Entitlements granted by hand: beside what stores sell, told like anything else, ended by themselves or taken back."""

from datetime import timedelta

from perennial import catalog
from perennial.base.time import to_ms
from tests.contract.v2_caller import Caller
from tests.world import START, World


async def grant(world: World, who: str, **body):
    answer = await world.http.post(f"/v1/subscribers/{who}/entitlements/pro/promotional", headers=world.secret, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["subscriber"]


async def pro_id(world: World) -> str:
    async with world.app.database.transaction(world.project_id) as tx:
        (pro,) = await catalog.get_entitlements(tx, lookup_keys=["pro"])
    return pro.entitlement_id


async def test_a_grant_gives_access_is_told_and_ends_by_itself(world: World):
    await grant(world, "ada", duration="monthly")
    assert await world.entitled("ada") == ["pro"]
    await world.advance(days=27)
    assert await world.entitled("ada") == ["pro"]
    assert await world.told("ada") == ["NON_RENEWING_PURCHASE"]
    await world.advance(days=1)
    assert await world.entitled("ada") == []
    granted, ended = await world.bodies("ada")
    assert (granted["type"], ended["type"]) == ("NON_RENEWING_PURCHASE", "EXPIRATION")
    for body in (granted, ended):
        assert "app_id" not in body, "no app sold it"
        assert (body["store"], body["environment"], body["period_type"]) == ("PROMOTIONAL", "PRODUCTION", "PROMOTIONAL")
        assert (body["product_id"], body["entitlement_ids"], body["app_user_id"]) == ("rc_promo_pro_monthly", ["pro"], "ada")
        assert (body["price"], body["price_in_purchased_currency"], body["is_family_share"]) == (0.0, 0.0, False)
        assert body["expiration_at_ms"] == to_ms(START) + 28 * 86_400_000
        assert body["transaction_id"] == body["original_transaction_id"]
    assert ended["perennial"]["happened_at_ms"] == ended["expiration_at_ms"]
    assert ended["expiration_reason"] == "UNKNOWN"


async def test_a_grant_that_is_taken_back_ends_at_once_and_only_once(world: World):
    await grant(world, "ada", duration="lifetime")
    await world.advance(days=3)
    for _ in range(2):
        answer = await world.http.post("/v1/subscribers/ada/entitlements/pro/revoke_promotionals", headers=world.secret)
        assert answer.status_code == 200
    await world.advance(days=900)
    assert await world.entitled("ada") == []
    told = await world.bodies("ada")
    assert [one["type"] for one in told] == ["NON_RENEWING_PURCHASE", "CANCELLATION", "EXPIRATION"]
    assert (told[1]["cancel_reason"], told[2]["expiration_reason"]) == ("DEVELOPER_INITIATED", "DEVELOPER_INITIATED")
    assert told[2]["expiration_at_ms"] == to_ms(START) + 3 * 86_400_000


async def test_grants_and_purchases_stand_beside_each_other(world: World):
    await world.buy("ada", "pro_monthly")
    subscriber = await grant(world, "ada", duration="six_month")
    assert subscriber["entitlements"]["pro"]["product_identifier"] == "rc_promo_pro_six_month"
    assert set(subscriber["subscriptions"]) == {"pro_monthly", "rc_promo_pro_six_month"}
    assert subscriber["subscriptions"]["pro_monthly"]["unsubscribe_detected_at"] is None
    await world.advance(days=40)
    assert await world.told("ada") == ["INITIAL_PURCHASE", "NON_RENEWING_PURCHASE", "RENEWAL"]
    await world.advance(days=150)
    over = [body["product_id"] for body in await world.bodies("ada") if body["type"] == "EXPIRATION"]
    assert over == ["rc_promo_pro_six_month"]
    assert await world.entitled("ada") == ["pro"]


async def test_the_same_grant_asked_for_again_is_one(world: World):
    end = to_ms(START) + 30 * 86_400_000
    await grant(world, "ada", end_time_ms=end)
    await grant(world, "ada", end_time_ms=end + 7_200_000)
    await grant(world, "ada", end_time_ms=end - 7_200_000)
    assert await world.told("ada") == ["NON_RENEWING_PURCHASE"]
    await grant(world, "ada", end_time_ms=end + 7_200_001)
    assert await world.told("ada") == ["NON_RENEWING_PURCHASE"] * 2
    await world.advance(days=31)
    await grant(world, "ada", end_time_ms=end + 31 * 86_400_000)
    assert (await world.told("ada")).count("NON_RENEWING_PURCHASE") == 3, "one that is over is no reason not to grant another"


async def test_a_grant_is_shown_by_v2_and_is_not_granted_twice(world: World):
    v2, entitlement = Caller.of(world), await pro_id(world)
    await v2.post("/customers", {"id": "ada"})
    end = to_ms(START + timedelta(days=10))
    shown = await v2.post("/customers/ada/actions/grant_entitlement", {"entitlement_id": entitlement, "expires_at": end}, status=201)
    assert shown["active_entitlements"]["items"] == [{"object": "customer.active_entitlement", "entitlement_id": entitlement, "expires_at": end}]
    again = await v2.post("/customers/ada/actions/grant_entitlement", {"entitlement_id": entitlement, "expires_at": end * 2}, status=201)
    assert again == shown
    (subscription,) = (await v2.get("/customers/ada/subscriptions"))["items"]
    assert subscription["store_subscription_identifier"].startswith("grant_")
    assert {
        name: subscription[name] for name in ("product_id", "status", "auto_renewal_status", "gives_access", "store", "environment", "ends_at")
    } == {
        "product_id": None,
        "status": "active",
        "auto_renewal_status": "will_not_renew",
        "gives_access": True,
        "store": "promotional",
        "environment": "production",
        "ends_at": end,
    }
    assert [one["lookup_key"] for one in subscription["entitlements"]["items"]] == ["pro"]
    assert list((await world.customer("ada"))["subscriptions"]) == ["rc_promo_pro_custom"]
    revoked = await v2.post("/customers/ada/actions/revoke_granted_entitlement", {"entitlement_id": entitlement}, status=200)
    assert revoked["active_entitlements"]["items"] == []
    assert (await v2.get(f"/subscriptions/{subscription['id']}"))["status"] == "expired"


async def test_what_v2_refuses_to_grant(world: World):
    v2, entitlement = Caller.of(world), await pro_id(world)
    await v2.post("/customers", {"id": "ada"})
    grant_path, now = "/customers/ada/actions/grant_entitlement", to_ms(START)
    await v2.refused("POST", grant_path, {"entitlement_id": entitlement, "expires_at": now}, status=400, type="parameter_error", param="expires_at")
    await v2.refused("POST", grant_path, {"entitlement_id": entitlement}, status=400, type="parameter_error", param="expires_at")
    await v2.refused(
        "POST", grant_path, {"entitlement_id": "entl_x", "expires_at": now + 1}, status=404, type="resource_missing", param="entitlement_id"
    )
    await v2.refused(
        "POST",
        "/customers/bob/actions/grant_entitlement",
        {"entitlement_id": entitlement, "expires_at": now + 1},
        status=404,
        type="resource_missing",
        param="customer_id",
    )
    assert await world.told() == []


async def test_an_entitlement_that_is_deleted_takes_its_grants_along(world: World):
    await grant(world, "ada", duration="yearly")
    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.delete_entitlement(tx, (await catalog.get_entitlements(tx, lookup_keys=["pro"]))[0].entitlement_id)
    assert await world.entitled("ada") == []
    assert list((await world.customer("ada"))["subscriptions"]) == ["rc_promo_pro_yearly"]


async def test_an_anonymous_customer_s_grant_follows_them_into_their_account(world: World):
    anonymous = "$RCAnonymousID:" + "d" * 32
    await grant(world, anonymous, duration="weekly")
    await world.http.post("/v1/subscribers/identify", headers=world.sdk(), json={"app_user_id": anonymous, "new_app_user_id": "ada"})
    assert await world.entitled("ada") == ["pro"]

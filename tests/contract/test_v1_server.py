"""v1 for servers, operation by operation: what secret keys do to customers."""

import pytest

from perennial.base.time import to_ms
from tests.world import START, World

DAY = 86_400_000


async def post(world: World, path: str, json=None, **headers: str):
    return await world.http.post(f"/v1/subscribers/{path}", headers={**world.secret, **headers}, json=json)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "ada"),
        ("POST", "ada/entitlements/pro/promotional"),
        ("POST", "ada/entitlements/pro/revoke_promotionals"),
        ("POST", "ada/subscriptions/pro_monthly/revoke"),
        ("POST", "ada/subscriptions/pro_monthly/defer"),
        ("POST", "ada/subscriptions/test_one/cancel"),
        ("POST", "ada/subscriptions/test_one/extend"),
        ("POST", "ada/transactions/test_one/refund"),
        ("POST", "ada/offerings/ofrng_x/override"),
        ("DELETE", "ada/offerings/override"),
    ],
)
async def test_an_app_may_not_do_what_servers_do(world: World, method: str, path: str):
    await world.buy("ada", "pro_monthly", token="test_one")
    bodies = {
        "defer": {"extend_by_days": 3},
        "extend": {"extend_by_days": 3, "extend_reason_code": 0},
        "promotional": {"duration": "daily"},
    }
    json = bodies.get(path.rsplit("/", 1)[-1])
    answer = await world.http.request(method, f"/v1/subscribers/{path}", headers=world.sdk(), json=json)
    assert (answer.status_code, answer.json()["code"]) == (403, 7225)
    assert await world.entitled("ada") == ["pro"]
    assert await world.told("ada") == ["INITIAL_PURCHASE"]


async def test_a_customer_is_deleted_and_comes_back_as_somebody_new(world: World):
    await world.buy("ada", "pro_monthly")
    answer = await world.http.delete("/v1/subscribers/ada", headers=world.secret)
    assert (answer.status_code, answer.json()) == (200, {"app_user_id": "ada", "deleted": True})
    again = await world.http.delete("/v1/subscribers/ada", headers=world.secret)
    assert (again.status_code, again.json()["code"]) == (404, 7259)
    fresh = await world.http.get("/v1/subscribers/ada", headers=world.sdk())
    assert fresh.status_code == 201
    assert (fresh.json()["subscriber"]["entitlements"], fresh.json()["subscriber"]["subscriptions"]) == ({}, {})


async def test_a_grant_is_shown_as_the_vendor_shows_it(world: World):
    answer = await post(world, "ada/entitlements/pro/promotional", {"duration": "monthly"})
    assert answer.status_code == 201
    subscriber = answer.json()["subscriber"]
    assert subscriber["entitlements"]["pro"] == {
        "expires_date": "2026-02-28T12:00:00Z",
        "grace_period_expires_date": None,
        "product_identifier": "rc_promo_pro_monthly",
        "purchase_date": "2026-01-31T12:00:00Z",
    }
    grant = subscriber["subscriptions"]["rc_promo_pro_monthly"]
    assert grant.pop("store_transaction_id").startswith("grant_")
    assert grant == {
        "auto_resume_date": None,
        "billing_issues_detected_at": None,
        "display_name": "Pro",
        "expires_date": "2026-02-28T12:00:00Z",
        "grace_period_expires_date": None,
        "is_sandbox": False,
        "management_url": None,
        "original_purchase_date": "2026-01-31T12:00:00Z",
        "ownership_type": "PURCHASED",
        "period_type": "normal",
        "price": {"amount": 0.0, "currency": "USD"},
        "product_plan_identifier": None,
        "purchase_date": "2026-01-31T12:00:00Z",
        "refunded_at": None,
        "store": "promotional",
        "unsubscribe_detected_at": None,
    }


@pytest.mark.parametrize(
    ("body", "status", "end"),
    [
        ({"duration": "daily"}, 201, "2026-02-01T12:00:00Z"),
        ({"duration": "three_day"}, 201, "2026-02-03T12:00:00Z"),
        ({"duration": "weekly"}, 201, "2026-02-07T12:00:00Z"),
        ({"duration": "two_week"}, 201, "2026-02-14T12:00:00Z"),
        ({"duration": "two_month"}, 201, "2026-03-31T12:00:00Z"),
        ({"duration": "three_month"}, 201, "2026-04-30T12:00:00Z"),
        ({"duration": "six_month"}, 201, "2026-07-31T12:00:00Z"),
        ({"duration": "yearly"}, 201, "2027-01-31T12:00:00Z"),
        ({"duration": "lifetime"}, 201, "2226-01-31T12:00:00Z"),
        ({"duration": "weekly", "start_time_ms": to_ms(START) + 3 * DAY}, 201, "2026-02-10T12:00:00Z"),
        ({"end_time_ms": to_ms(START) + 5 * DAY, "duration": "yearly"}, 201, "2026-02-05T12:00:00Z"),
        ({}, 400, None),
        ({"duration": "eternal"}, 400, None),
        ({"end_time_ms": to_ms(START)}, 400, None),
        ({"duration": "daily", "start_time_ms": to_ms(START) - 2 * DAY}, 400, None),
    ],
)
async def test_how_long_a_grant_lasts(world: World, body, status: int, end: str | None):
    answer = await post(world, "ada/entitlements/pro/promotional", body)
    assert answer.status_code == status
    if end is None:
        assert answer.json()["code"] == 7226
        assert await world.told() == []
    else:
        assert answer.json()["subscriber"]["entitlements"]["pro"]["expires_date"] == end
        assert answer.json()["subscriber"]["entitlements"]["pro"]["purchase_date"] == "2026-01-31T12:00:00Z"


async def test_an_entitlement_nobody_made_is_not_granted(world: World):
    for action in ("promotional", "revoke_promotionals"):
        answer = await post(world, f"ada/entitlements/gold/{action}", {"duration": "daily"})
        assert (answer.status_code, answer.json()["code"]) == (404, 7226)


async def test_grants_are_revoked_together_and_what_was_bought_stays(world: World):
    await world.buy("ada", "pro_monthly")
    await post(world, "ada/entitlements/pro/promotional", {"duration": "yearly"})
    await post(world, "ada/entitlements/pro/promotional", {"duration": "six_month"})
    answer = await post(world, "ada/entitlements/pro/revoke_promotionals")
    assert answer.status_code == 200
    assert answer.json()["subscriber"]["entitlements"]["pro"]["product_identifier"] == "pro_monthly"
    assert await world.told("ada") == ["INITIAL_PURCHASE", *["NON_RENEWING_PURCHASE"] * 2, *["CANCELLATION", "EXPIRATION"] * 2]
    unknown = await post(world, "nobody/entitlements/pro/revoke_promotionals")
    assert (unknown.status_code, unknown.json()["code"]) == (404, 7259)


async def test_a_subscription_is_refunded_and_ended(world: World):
    await world.buy("ada", "pro_monthly", token="test_one")
    answer = await post(world, "ada/subscriptions/pro_monthly/revoke")
    assert answer.status_code == 200
    assert answer.json()["subscriber"]["subscriptions"]["pro_monthly"]["refunded_at"] == "2026-01-31T12:00:00Z"
    assert await world.entitled("ada") == []
    assert await world.told("ada") == ["INITIAL_PURCHASE", "CANCELLATION", "EXPIRATION"]


@pytest.mark.parametrize(
    ("body", "end"),
    [
        ({"extend_by_days": 30}, "2026-03-30T12:00:00Z"),
        ({"expiry_time_ms": to_ms(START) + 60 * DAY}, "2026-04-01T12:00:00Z"),
        ({"extend_by_days": 366}, None),
        ({"extend_by_days": 0}, None),
        ({"expiry_time_ms": to_ms(START) + DAY}, None),
        ({}, None),
    ],
)
async def test_a_subscription_is_deferred(world: World, body, end: str | None):
    await world.buy("ada", "pro_monthly")
    answer = await post(world, "ada/subscriptions/pro_monthly/defer", body)
    if end is None:
        assert (answer.status_code, answer.json()["code"]) == (400, 7226)
        assert await world.told("ada") == ["INITIAL_PURCHASE"]
    else:
        assert answer.status_code == 200, answer.text
        assert answer.json()["subscriber"]["subscriptions"]["pro_monthly"]["expires_date"] == end
        assert await world.told("ada") == ["INITIAL_PURCHASE", "SUBSCRIPTION_EXTENDED"]


async def test_a_subscription_is_cancelled_by_its_transaction(world: World):
    await world.buy("ada", "pro_monthly", token="test_one")
    answer = await post(world, "ada/subscriptions/test_one/cancel")
    assert answer.status_code == 200
    assert answer.json()["subscriber"]["subscriptions"]["pro_monthly"]["unsubscribe_detected_at"] == "2026-01-31T12:00:00Z"
    assert await world.entitled("ada") == ["pro"]
    assert await world.told("ada") == ["INITIAL_PURCHASE", "CANCELLATION"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"extend_by_days": 10, "extend_reason_code": 1}, 200),
        ({"extend_by_days": 91, "extend_reason_code": 1}, 400),
        ({"extend_by_days": 10, "extend_reason_code": 4}, 400),
        ({"extend_by_days": 10}, 400),
    ],
)
async def test_a_subscription_is_extended(world: World, body, status: int):
    await world.buy("ada", "pro_monthly", token="test_one")
    answer = await post(world, "ada/subscriptions/test_one/extend", body)
    assert answer.status_code == status
    expires = (await world.customer("ada"))["subscriptions"]["pro_monthly"]["expires_date"]
    assert expires == ("2026-03-10T12:00:00Z" if status == 200 else "2026-02-28T12:00:00Z")


async def test_a_transaction_is_refunded_within_a_year(world: World):
    await world.buy("ada", "pro_lifetime", token="test_one")
    await world.advance(days=364)
    answer = await post(world, "ada/transactions/test_one/refund")
    assert answer.status_code == 200
    assert answer.json()["subscriber"]["entitlements"] == {}
    await world.buy("bob", "pro_lifetime", token="test_two")
    await world.advance(days=366)
    late = await post(world, "bob/transactions/test_two/refund")
    assert (late.status_code, late.json()["code"]) == (400, 7226)
    assert await world.entitled("bob") == ["pro"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("subscriptions/other/revoke", None),
        ("subscriptions/other/defer", {"extend_by_days": 1}),
        ("subscriptions/test_other/cancel", None),
        ("subscriptions/test_other/extend", {"extend_by_days": 1, "extend_reason_code": 0}),
        ("transactions/test_other/refund", None),
    ],
)
async def test_what_a_customer_has_not_bought_is_not_found(world: World, path: str, body):
    await world.buy("ada", "pro_monthly", token="test_one")
    await world.buy("bob", "pro_monthly", token="test_other")
    answer = await post(world, f"ada/{path}", body)
    assert (answer.status_code, answer.json()["code"]) == (404, 7259)
    assert await world.told("bob") == ["INITIAL_PURCHASE"]


async def test_what_was_granted_is_no_store_s_to_cancel(world: World):
    granted = (await post(world, "ada/entitlements/pro/promotional", {"duration": "monthly"})).json()["subscriber"]
    transaction = granted["subscriptions"]["rc_promo_pro_monthly"]["store_transaction_id"]
    answer = await post(world, f"ada/subscriptions/{transaction}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, 7226)


async def test_a_customer_s_offering_stands_where_the_current_one_would(world: World):
    from perennial import catalog

    async with world.app.database.transaction(world.project_id) as tx:
        sale = await catalog.create_offering(tx, lookup_key="sale", display_name="Sale")
        other = await catalog.create_offering(tx, lookup_key="other", display_name="Other")
        default = next(one for one in await catalog.get_offerings(tx) if one.is_current)
        await catalog.set_placement(tx, "onboarding", default.offering_id)
        await catalog.set_placement(tx, "settings", other.offering_id)
        await catalog.set_placement(tx, "nowhere", None)
        await catalog.set_fallback_offering(tx, default.offering_id)

    async def seen(who: str):
        body = (await world.http.get(f"/v1/subscribers/{who}/offerings", headers=world.sdk())).json()
        return body["current_offering_id"], body["placements"]["fallback_offering_id"], body["placements"]["offering_ids_by_placement"]

    await world.customer("ada")
    usual = ("default", "default", {"onboarding": "default", "settings": "other", "nowhere": None})
    assert await seen("ada") == usual
    answer = await post(world, f"ada/offerings/{sale.offering_id}/override")
    assert answer.status_code == 201
    assert answer.json()["subscriber"]["original_app_user_id"] == "ada"
    assert await seen("ada") == ("sale", "sale", {"onboarding": "sale", "settings": "other", "nowhere": None})
    assert await seen("bob") == usual
    assert (await post(world, "ada/offerings/ofrng_unknown/override")).status_code == 404
    removed = await world.http.delete("/v1/subscribers/ada/offerings/override", headers=world.secret)
    assert removed.status_code == 201
    assert await seen("ada") == usual


async def test_a_chosen_offering_goes_with_its_customer(world: World):
    from perennial import catalog

    async with world.app.database.transaction(world.project_id) as tx:
        sale = await catalog.create_offering(tx, lookup_key="sale", display_name="Sale")
    anonymous = "$RCAnonymousID:" + "a" * 32
    await world.customer(anonymous)
    await post(world, f"{anonymous}/offerings/{sale.offering_id}/override")
    await world.customer("ada")
    await world.http.post("/v1/subscribers/identify", headers=world.sdk(), json={"app_user_id": anonymous, "new_app_user_id": "ada"})
    body = (await world.http.get("/v1/subscribers/ada/offerings", headers=world.sdk())).json()
    assert body["current_offering_id"] == "sale"
    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.delete_offering(tx, sale.offering_id)
    body = (await world.http.get("/v1/subscribers/ada/offerings", headers=world.sdk())).json()
    assert body["current_offering_id"] == "default"


async def test_a_server_that_sets_attributes_is_told_the_customer(world: World):
    answer = await post(world, "ada/attributes", {"attributes": {"team": {"value": "red"}}})
    assert answer.status_code == 200
    assert answer.json()["subscriber"]["subscriber_attributes"]["team"]["value"] == "red"

"""From a purchase in an app to an entitlement, and what follows as time goes by: through the API, on a sandbox clock."""

from datetime import timedelta

import pytest

from tests.world import START, World


async def test_a_purchase_becomes_an_entitlement_renews_and_is_told(world: World):
    bought = await world.buy("ada", "pro_monthly")
    assert bought.status_code == 200, bought.text
    subscriber = bought.json()["subscriber"]
    assert subscriber["entitlements"]["pro"] == {
        "expires_date": "2026-02-28T12:00:00Z",
        "grace_period_expires_date": None,
        "product_identifier": "pro_monthly",
        "purchase_date": "2026-01-31T12:00:00Z",
    }
    assert subscriber["subscriptions"]["pro_monthly"]["store"] == "test_store"
    assert subscriber["subscriptions"]["pro_monthly"]["is_sandbox"] is True
    assert await world.entitled("ada") == ["pro"]
    await world.advance(days=40)
    assert await world.entitled("ada") == ["pro"]
    assert await world.told("ada") == ["INITIAL_PURCHASE", "RENEWAL"]
    renewed = (await world.customer("ada"))["subscriptions"]["pro_monthly"]
    assert (renewed["purchase_date"], renewed["expires_date"]) == ("2026-02-28T12:00:00Z", "2026-03-31T12:00:00Z")


async def test_a_trial_converts_by_itself(world: World):
    assert (await world.buy("ada", "pro_annual")).json()["subscriber"]["subscriptions"]["pro_annual"]["period_type"] == "trial"
    await world.advance(days=8)
    told = await world.bodies("ada")
    assert [(one["type"], one.get("is_trial_conversion"), one["price"]) for one in told] == [
        ("INITIAL_PURCHASE", None, 0.0),
        ("RENEWAL", True, 59.99),
    ]
    assert told[1]["expiration_at_ms"] == told[0]["expiration_at_ms"] + 365 * 86_400_000


async def test_a_lifetime_purchase_never_ends(world: World):
    await world.buy("ada", "pro_lifetime")
    await world.advance(days=4000)
    assert await world.entitled("ada") == ["pro"]
    assert await world.told("ada") == ["NON_RENEWING_PURCHASE"]
    assert [one["store_transaction_id"][:5] for one in (await world.customer("ada"))["non_subscriptions"]["pro_lifetime"]] == ["test_"]


async def test_a_test_subscription_ends_after_a_year_of_renewals_exactly_once(world: World):
    await world.buy("ada", "pro_monthly")
    await world.advance(days=800)
    told = await world.told("ada")
    assert told == ["INITIAL_PURCHASE", *["RENEWAL"] * 12, "CANCELLATION", "EXPIRATION"]
    assert await world.entitled("ada") == []


async def test_the_same_purchase_posted_twice_is_one(world: World):
    first = await world.buy("ada", "pro_monthly", token="test_same")
    second = await world.buy("ada", "pro_monthly", token="test_same")
    assert first.json()["subscriber"]["subscriptions"] == second.json()["subscriber"]["subscriptions"]
    assert await world.told("ada") == ["INITIAL_PURCHASE"]


@pytest.mark.parametrize(
    ("behavior", "status", "holder"),
    [("transfer", 200, "grace"), ("transfer_if_inactive", 409, "ada"), ("keep", 409, "ada"), ("share", 409, "ada")],
)
async def test_who_may_have_a_purchase_that_is_another_s(world: World, behavior: str, status: int, holder: str):
    from perennial import catalog

    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.update_project(tx, restore_behavior=behavior)
    await world.buy("ada", "pro_monthly", token="test_one")
    answer = await world.buy("grace", "pro_monthly", token="test_one")
    assert answer.status_code == status
    if status == 409:
        assert answer.json()["code"] == 7102
    assert {name: await world.entitled(name) for name in ("ada", "grace")} == {
        "ada": ["pro"] if holder == "ada" else [],
        "grace": ["pro"] if holder == "grace" else [],
    }
    transfers = [body for body in await world.bodies() if body["type"] == "TRANSFER"]
    assert [(one["transferred_from"], one["transferred_to"], "app_user_id" in one) for one in transfers] == (
        [(["ada"], ["grace"], False)] if holder == "grace" else []
    )


async def test_shared_purchases_join_their_customers_on_restore(world: World):
    from perennial import catalog

    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.update_project(tx, restore_behavior="share")
    await world.buy("ada", "pro_monthly", token="test_one")
    answer = await world.buy("grace", "pro_monthly", token="test_one", is_restore=True)
    assert answer.status_code == 200
    assert await world.entitled("ada") == await world.entitled("grace") == ["pro"]


async def test_an_inactive_owner_lets_go(world: World):
    from perennial import catalog

    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.update_project(tx, restore_behavior="transfer_if_inactive")
    await world.buy("ada", "pro_monthly", token="test_one")
    await world.advance(days=800)
    assert (await world.buy("grace", "pro_monthly", token="test_one")).status_code == 200
    assert await world.told("grace") == ["TRANSFER"]


async def test_an_anonymous_purchase_follows_its_buyer_into_their_account(world: World):
    anonymous = "$RCAnonymousID:" + "a" * 32
    await world.buy(anonymous, "pro_monthly")
    logged_in = await world.http.post("/v1/subscribers/identify", headers=world.sdk(), json={"app_user_id": anonymous, "new_app_user_id": "ada"})
    assert logged_in.status_code == 201
    assert await world.entitled("ada") == ["pro"]
    assert logged_in.json()["subscriber"]["original_app_user_id"] == anonymous
    other = "$RCAnonymousID:" + "b" * 32
    await world.customer(other)
    again = await world.http.post("/v1/subscribers/identify", headers=world.sdk(), json={"app_user_id": other, "new_app_user_id": "ada"})
    assert again.status_code == 200
    assert await world.entitled(other) == [], "ada has an anonymous alias already: this is a switch, not a merge"


async def test_a_known_customer_without_anonymous_alias_is_joined(world: World):
    anonymous = "$RCAnonymousID:" + "c" * 32
    await world.buy("ada", "pro_lifetime")
    await world.buy(anonymous, "pro_monthly")
    answer = await world.http.post("/v1/subscribers/identify", headers=world.sdk(), json={"app_user_id": anonymous, "new_app_user_id": "ada"})
    assert answer.status_code == 200
    assert set((await world.customer(anonymous))["subscriptions"]) == {"pro_monthly"}
    assert set((await world.customer("ada"))["non_subscriptions"]) == {"pro_lifetime"}


async def test_a_write_is_seen_by_the_very_next_read(world: World):
    assert (await world.http.get("/v1/subscribers/ada", headers=world.sdk())).status_code == 201
    assert (await world.http.get("/v1/subscribers/ada", headers=world.sdk())).status_code == 200
    assert await world.entitled("ada") == []
    await world.buy("ada", "pro_monthly")
    assert await world.entitled("ada") == ["pro"]


async def test_a_product_attached_later_gives_its_entitlement_without_replay(world: World):
    from perennial import catalog

    await world.buy("ada", "coins")
    assert await world.entitled("ada") == []
    async with world.app.database.transaction(world.project_id) as tx:
        products = await catalog.get_products(tx, app_id=world.app_ids["test_store"])
        rich = await catalog.create_entitlement(tx, lookup_key="rich", display_name="Rich")
        await catalog.attach_products(tx, rich.entitlement_id, [one.product_id for one in products if one.store_identifier == "coins"])
    assert await world.entitled("ada") == ["rich"]


async def test_time_alone_ends_access_even_if_every_worker_is_down(world: World):
    from perennial import catalog

    await world.buy("ada", "pro_monthly")
    assert await world.entitled("ada") == ["pro"]
    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.set_clock(tx, START + timedelta(days=28), None)
    assert await world.entitled("ada") == []

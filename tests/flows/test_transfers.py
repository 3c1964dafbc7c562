"""Moving what a customer holds to another because a server says so."""

from tests.contract.v2_caller import Caller
from tests.world import World


async def people(world: World, *names: str) -> Caller:
    v2 = Caller.of(world)
    for name in names:
        await v2.post("/customers", {"id": name})
    return v2


async def test_everything_moves_and_is_told_once_for_each_store(world: World):
    v2 = await people(world, "bob")
    await world.buy("ada", "pro_monthly", token="test_one")
    await world.buy("ada", "coins", token="test_two")
    await world.http.post("/v1/subscribers/ada/entitlements/pro/promotional", headers=world.secret, json={"duration": "weekly"})
    told_before = len(await world.bodies())
    answer = await v2.post("/customers/ada/actions/transfer", {"target_customer_id": "bob"}, status=200)
    assert set(answer) == {"source_customer", "target_customer"}
    assert (answer["source_customer"]["id"], answer["source_customer"]["active_entitlements"]["items"]) == ("ada", [])
    assert [one["object"] for one in answer["target_customer"]["active_entitlements"]["items"]] == ["customer.active_entitlement"]
    assert (await world.entitled("ada"), await world.entitled("bob")) == ([], ["pro"])
    told = [body for body in await world.bodies() if body["type"] == "TRANSFER"]
    assert len(await world.bodies()) == told_before + 2
    assert sorted((one["store"], one.get("app_id"), one["transferred_from"], one["transferred_to"]) for one in told) == [
        ("PROMOTIONAL", None, ["ada"], ["bob"]),
        ("TEST_STORE", world.app_ids["test_store"], ["ada"], ["bob"]),
    ]
    again = await v2.post("/customers/ada/actions/transfer", {"target_customer_id": "bob"}, status=200)
    assert again["target_customer"]["active_entitlements"] == answer["target_customer"]["active_entitlements"]
    assert len(await world.bodies()) == told_before + 2, "nothing was left to move, so nothing is told"
    await world.advance(days=40)
    assert "RENEWAL" in await world.told("bob")
    assert "RENEWAL" not in await world.told("ada")


async def test_only_what_was_bought_in_the_named_apps_moves(world: World):
    v2 = await people(world, "bob")
    await world.buy("ada", "pro_monthly")
    await world.http.post("/v1/subscribers/ada/entitlements/pro/promotional", headers=world.secret, json={"duration": "weekly"})
    body = {"target_customer_id": "bob", "app_ids": [world.app_ids["app_store"]]}
    await v2.post("/customers/ada/actions/transfer", body, status=200)
    assert await world.entitled("bob") == []
    await v2.post("/customers/ada/actions/transfer", body | {"app_ids": [world.app_ids["test_store"]]}, status=200)
    assert set((await world.customer("bob"))["subscriptions"]) == {"pro_monthly"}
    assert set((await world.customer("ada"))["subscriptions"]) == {"rc_promo_pro_weekly"}
    assert [body["type"] for body in await world.bodies("bob")] == ["TRANSFER"]


async def test_a_restore_behavior_that_keeps_does_not_bind_the_server(world: World):
    from perennial import catalog

    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.update_project(tx, restore_behavior="keep")
    v2 = await people(world, "bob")
    await world.buy("ada", "pro_monthly")
    await v2.post("/customers/ada/actions/transfer", {"target_customer_id": "bob"}, status=200)
    assert await world.entitled("bob") == ["pro"]


async def test_what_cannot_be_transferred(world: World):
    v2 = await people(world, "bob")
    await world.buy("ada", "pro_monthly")
    await world.http.post("/v1/subscribers/ada/alias", headers=world.sdk(), json={"new_app_user_id": "ada2"})
    path = "/customers/ada/actions/transfer"
    await v2.refused("POST", path, {}, status=400, type="parameter_error", param="target_customer_id")
    await v2.refused("POST", path, {"target_customer_id": "eve"}, status=404, type="resource_missing", param="target_customer_id")
    await v2.refused("POST", path, {"target_customer_id": "ada"}, status=400, type="parameter_error", param="target_customer_id")
    unknown = {"target_customer_id": "bob", "app_ids": ["app_unknown"]}
    await v2.refused("POST", path, unknown, status=404, type="resource_missing", param="app_id")
    await v2.refused(
        "POST", "/customers/eve/actions/transfer", {"target_customer_id": "bob"}, status=404, type="resource_missing", param="customer_id"
    )
    assert await world.entitled("ada") == ["pro"]

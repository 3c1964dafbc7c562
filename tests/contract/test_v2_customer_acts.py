"""v2, what is done to customers and at stores: shapes, statuses, refusals."""

from datetime import timedelta

import pytest

from perennial import catalog, checkout, customers
from perennial.base.time import to_ms
from tests.contract.v2_caller import Caller
from tests.contract.v2_schemas import check
from tests.world import START, World

NOW = to_ms(START)


async def bought(world: World, product: str, token: str, kind: str = "subscriptions") -> tuple[Caller, str]:
    v2 = Caller.of(world)
    await world.buy("ada", product, token=token)
    return v2, (await v2.get(f"/customers/ada/{kind}"))["items"][0]["id"]


async def test_a_subscription_is_cancelled_at_its_store(world: World):
    v2, subscription = await bought(world, "pro_monthly", "test_one")
    shown = await v2.post(f"/subscriptions/{subscription}/actions/cancel", status=200)
    check(shown)
    assert (shown["auto_renewal_status"], shown["status"], shown["gives_access"]) == ("will_not_renew", "active", True)
    assert shown["ends_at"] == shown["current_period_ends_at"]
    assert await world.told("ada") == ["INITIAL_PURCHASE", "CANCELLATION"]


async def test_a_subscription_is_refunded_at_its_store(world: World):
    v2, subscription = await bought(world, "pro_monthly", "test_one")
    shown = await v2.post(f"/subscriptions/{subscription}/actions/refund", status=200)
    check(shown)
    assert (shown["status"], shown["gives_access"]) == ("expired", False)
    assert shown["total_revenue_in_usd"] == {"currency": "USD", "gross": 0, "commission": 0, "tax": 0, "proceeds": 0}
    assert await world.told("ada") == ["INITIAL_PURCHASE", "CANCELLATION", "EXPIRATION"]


async def test_one_payment_is_refunded_and_access_goes_on(world: World):
    v2, subscription = await bought(world, "pro_monthly", "test_one")
    await world.advance(days=30)
    first, second = (await v2.get(f"/subscriptions/{subscription}/transactions"))["items"]
    shown = await v2.post(f"/subscriptions/{subscription}/transactions/{first['id']}/actions/refund", status=200)
    assert shown == first
    assert await world.entitled("ada") == ["pro"]
    assert (await v2.get(f"/subscriptions/{subscription}"))["total_revenue_in_usd"]["gross"] == 9.99
    assert second["purchased_at"] == first["expiration_date"]
    path = f"/subscriptions/{subscription}/transactions/test_other/actions/refund"
    await v2.refused("POST", path, status=404, type="resource_missing", param="transaction_id")


async def test_a_purchase_is_refunded(world: World):
    v2, purchase = await bought(world, "pro_lifetime", "test_one", "purchases")
    shown = await v2.post(f"/purchases/{purchase}/actions/refund", status=200)
    check(shown)
    assert (shown["status"], shown["revenue_in_usd"]["gross"]) == ("refunded", 0)
    assert await world.entitled("ada") == []


@pytest.mark.parametrize("action", ["cancel", "refund"])
async def test_what_was_granted_is_no_store_s(world: World, action: str):
    await world.http.post("/v1/subscribers/ada/entitlements/pro/promotional", headers=world.secret, json={"duration": "weekly"})
    v2 = Caller.of(world)
    grant = (await v2.get("/customers/ada/subscriptions"))["items"][0]
    check(grant)
    message = await v2.refused("POST", f"/subscriptions/{grant['id']}/actions/{action}", status=422, type="store_error")
    assert "granted by hand" in message


async def test_what_the_app_store_leaves_to_its_customers(world: World):
    from perennial import subscriptions
    from perennial.subscriptions import Said
    from perennial.subscriptions.model import Purchase, Statement

    purchase = Purchase(
        transaction="100",
        product="pro_monthly",
        kind="subscription",
        purchased_at=START,
        expires_at=None,
        as_of=START,
        is_first=True,
        is_renewal=False,
    )
    async with world.app.database.transaction(world.project_id) as tx:
        statement = Statement(store="app_store", environment="production", line="100", purchases=(purchase,), app_user_id="ada")
        (line_id,) = await subscriptions.record(tx, [Said(app_id=world.app_ids["app_store"], statement=statement)])
    v2 = Caller.of(world)
    message = await v2.refused("POST", f"/subscriptions/{line_id}/actions/cancel", status=422, type="store_error", param="app_id")
    assert "credentials" in message


async def test_a_management_address_where_there_is_no_portal(world: World):
    v2, subscription = await bought(world, "pro_monthly", "test_one")
    path = f"/subscriptions/{subscription}/authenticated_management_url"
    message = await v2.refused("GET", path, status=422, type="unprocessable_entity_error", param="subscription_id")
    assert "management_url" in message


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/subscriptions/sub_x/actions/cancel", "subscription_id"),
        ("/subscriptions/sub_x/actions/refund", "subscription_id"),
        ("/subscriptions/sub_x/transactions/test_one/actions/refund", "subscription_id"),
        ("/purchases/sub_x/actions/refund", "purchase_id"),
    ],
)
async def test_acts_on_what_is_not_there(world: World, path: str, param: str):
    await Caller.of(world).refused("POST", path, status=404, type="resource_missing", param=param)


async def test_a_customer_is_deleted_transferred_and_given_an_offering(world: World):
    v2 = Caller.of(world)
    await world.buy("ada", "pro_monthly")
    await v2.post("/customers", {"id": "bob"})
    moved = await v2.post("/customers/ada/actions/transfer", {"target_customer_id": "bob"}, status=200)
    check(moved["source_customer"])
    check(moved["target_customer"])
    offering = (await v2.post("/offerings", {"lookup_key": "sale", "display_name": "Sale"}))["id"]
    path = "/customers/bob/actions/assign_offering"
    assert await v2.post(path, {"offering_id": offering}, status=200) == {}
    seen = (await world.http.get("/v1/subscribers/bob/offerings", headers=world.sdk())).json()
    assert seen["current_offering_id"] == "sale"
    assert await v2.post(path, {"offering_id": None}, status=200) == {}
    seen = (await world.http.get("/v1/subscribers/bob/offerings", headers=world.sdk())).json()
    assert seen["current_offering_id"] == "default"
    await v2.refused("POST", path, {}, status=400, type="parameter_error", param="offering_id")
    await v2.refused("POST", path, {"offering_id": "ofrng_x"}, status=404, type="resource_missing", param="offering_id")
    assert await v2.ask("DELETE", "/customers/bob", status=200) == {"object": "customer", "id": "bob", "deleted_at": NOW}
    await v2.refused("DELETE", "/customers/bob", status=404, type="resource_missing", param="customer_id")


async def test_a_play_subscription_is_called_by_its_two_names(world: World):
    from perennial import catalog, subscriptions
    from perennial.subscriptions import Said
    from perennial.subscriptions.model import Purchase, Statement

    purchase = Purchase(
        transaction="GPA.1",
        product="pro:monthly",
        kind="subscription",
        purchased_at=START,
        expires_at=None,
        as_of=START,
        is_first=True,
        is_renewal=False,
    )
    statement = Statement(store="play_store", environment="production", line="token", purchases=(purchase,), app_user_id="ada")
    async with world.app.database.transaction(world.project_id) as tx:
        app, _ = await catalog.create_app(tx, world.app.vault, name="Play", store="play_store", bundle_id="com.example.world")
        product = await catalog.create_product(tx, app_id=app.app_id, store_identifier="pro:monthly", type="subscription")
        (pro,) = await catalog.get_entitlements(tx, lookup_keys=["pro"])
        await catalog.attach_products(tx, pro.entitlement_id, [product.product_id])
        await subscriptions.record(tx, [Said(app_id=app.app_id, statement=statement)])
    shown = await world.customer("ada")
    assert (shown["entitlements"]["pro"]["product_identifier"], shown["entitlements"]["pro"]["product_plan_identifier"]) == ("pro", "monthly")
    assert shown["subscriptions"]["pro"]["product_plan_identifier"] == "monthly"
    assert shown["management_url"] == "https://play.google.com/store/account/subscriptions"


async def test_a_token_server_vouches_for_a_customer_of_an_app(world: World) -> None:
    """As the vendor's own demo of one asks: the answer's `access_token` is what the web SDK sends."""
    v2 = Caller.of(world)
    path = f"/apps/{world.app_ids['test_store']}/authenticate"
    given = await v2.post(path, {"app_user_id": "newcomer"}, status=200)
    assert given == {
        "object": "customer_authentication",
        "access_token": given["token"],
        "token": given["token"],
        "expires_at": to_ms(await world.now() + timedelta(hours=1)),
    }
    assert (await v2.get("/customers/newcomer"))["id"] == "newcomer"
    async with world.app.database.transaction(world.project_id) as tx:
        found = await customers.find(tx, ["newcomer"])
        assert checkout.open_token(world.app.vault, given["access_token"], world.project_id, tx.now) == found["newcomer"]
    ours = await v2.post("/customers/newcomer/actions/authenticate", status=200)
    assert ours.keys() == given.keys() and ours["access_token"] == ours["token"]
    await v2.refused("POST", "/apps/app_nobody/authenticate", {"app_user_id": "ada"}, status=404, type="resource_missing", param="app_id")
    await v2.refused("POST", path, {"app_user_id": "a/b"}, status=400, type="parameter_error", param="app_user_id")
    await v2.refused("POST", path, {}, status=400, type="parameter_error", param="app_user_id")


@pytest.mark.parametrize(
    ("field", "text"), [("roku_channel_id", "12345"), ("roku_channel_id", "1234567"), ("roku_channel_name", "x" * 31), ("roku_channel_name", "")]
)
async def test_a_roku_channel_has_the_vendor_s_limits(world: World, field: str, text: str) -> None:
    v2 = Caller.of(world)
    roku = {"roku_channel_id": "251682", "roku_channel_name": "x" * 30}
    made = await v2.post("/apps", {"name": "Roku", "type": "roku", "roku": roku}, status=201)
    assert made["roku"] == roku
    await v2.refused(
        "POST", "/apps", {"name": "Roku", "type": "roku", "roku": roku | {field: text}}, status=400, type="parameter_error", param=f"roku.{field}"
    )
    await v2.refused("POST", f"/apps/{made['id']}", {"roku": {field: text}}, status=400, type="parameter_error", param=f"roku.{field}")
    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.change_app(tx, world.app.vault, made["id"], bundle_id="12", settings={"channel_name": "y" * 31})
    shown = (await v2.get(f"/apps/{made['id']}"))["roku"]
    assert shown == {"roku_channel_id": None, "roku_channel_name": None}, "what its clients would refuse is not shown to them"

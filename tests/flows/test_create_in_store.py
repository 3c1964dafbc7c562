"""Products of the catalog are made known to App Store Connect, which stands on this machine and checks every token."""

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from perennial import catalog
from tests.connect import SECRETS, SETTINGS, AppStoreConnect
from tests.contract.v2_caller import Caller
from tests.world import BUNDLE, World

MONTHLY = {"store_information": {"duration": "ONE_MONTH", "subscription_group_name": "Pro"}}


@pytest.fixture
def connect() -> Iterator[AppStoreConnect]:
    server = AppStoreConnect(page=2)
    yield server
    server.close()


async def product(world: World, address: str | None, *, type: str = "subscription", identifier: str = "pro_monthly", **app: Any) -> str:
    """A product of a new app, whose App Store Connect is at `address`; gives where to create it."""
    made = {"store": "app_store", "bundle_id": BUNDLE, "settings": SETTINGS, "secrets": SECRETS, **app}
    async with world.app.database.transaction(world.project_id) as tx:
        app_made, _ = await catalog.create_app(tx, world.app.vault, name="iOS", api_base_url=address, **made)
        duration = "P1M" if type == "subscription" else None
        one = await catalog.create_product(
            tx, app_id=app_made.app_id, store_identifier=identifier, type=type, display_name=f"The {identifier}", duration=duration
        )
    return f"/products/{one.product_id}/create_in_store"


async def test_a_subscription_is_made_with_its_group(world: World, connect: AppStoreConnect) -> None:
    v2 = Caller.of(world)
    path = await product(world, connect.address)
    made = await v2.post(path, MONTHLY, status=201)
    identifier = connect.made[0]["id"]
    assert made == {"created_product": {"object": "store_product", "id": identifier, "name": "The pro_monthly", "product_identifier": "pro_monthly"}}
    assert connect.made[0]["attributes"] == {"name": "The pro_monthly", "productId": "pro_monthly", "subscriptionPeriod": "ONE_MONTH"}
    assert [group["attributes"] for group in connect.groups] == [{"referenceName": "Pro"}]
    logged = (await v2.get("/audit_logs"))["items"][0]
    assert (logged["action_type"], logged["additional_data"]["store_identifier"]) == ("product.create_in_store", "pro_monthly")


async def test_a_group_of_that_name_or_id_is_found_on_any_page(world: World, connect: AppStoreConnect) -> None:
    v2 = Caller.of(world)
    for number in range(5):
        connect.groups.append({"type": "subscriptionGroups", "id": f"90{number}", "attributes": {"referenceName": f"Group {number}"}})
    by_name = {"duration": "ONE_YEAR", "subscription_group_name": "Group 4"}
    await v2.post(await product(world, connect.address, identifier="a"), {"store_information": by_name}, status=201)
    by_id = {"duration": "ONE_YEAR", "subscription_group_name": "Another name", "subscription_group_id": "903"}
    await v2.post(await product(world, connect.address, identifier="b"), {"store_information": by_id}, status=201)
    assert len(connect.groups) == 5
    path = await product(world, connect.address, identifier="c")
    strangers = {"store_information": {**by_id, "subscription_group_id": "77"}}
    message = await v2.refused("POST", path, strangers, status=422, type="store_error", param="store_information.subscription_group_id")
    assert "77" in message and len(connect.made) == 2


@pytest.mark.parametrize(
    ("type", "apples"),
    [
        ("consumable", "CONSUMABLE"),
        ("non_consumable", "NON_CONSUMABLE"),
        ("non_renewing_subscription", "NON_RENEWING_SUBSCRIPTION"),
    ],
)
async def test_what_is_bought_once_is_made_as_what_it_is(world: World, connect: AppStoreConnect, type: str, apples: str) -> None:
    path = await product(world, connect.address, type=type, identifier="coins")
    made = await Caller.of(world).post(path, {}, status=201)
    assert made["created_product"]["product_identifier"] == "coins"
    assert [one["attributes"]["inAppPurchaseType"] for one in connect.made] == [apples]
    assert "POST /v2/inAppPurchases" in connect.calls and "POST /v1/subscriptionGroups" not in connect.calls


async def test_what_is_there_already_is_not_made_again(world: World, connect: AppStoreConnect) -> None:
    v2 = Caller.of(world)
    path = await product(world, connect.address)
    await v2.post(path, MONTHLY, status=201)
    message = await v2.refused("POST", path, MONTHLY, status=409, type="resource_already_exists", param="product_id")
    assert "The productId you entered has already been used." in message
    assert len(connect.made) == len(connect.groups) == 1


async def test_apples_refusals_are_told_in_its_words(world: World, connect: AppStoreConnect) -> None:
    v2 = Caller.of(world)
    await v2.post(await product(world, connect.address, type="consumable", identifier="coins"), {}, status=201)
    async with world.app.database.transaction(world.project_id) as tx:
        app, _ = await catalog.create_app(
            tx, world.app.vault, name="x", store="app_store", bundle_id=BUNDLE, settings=SETTINGS, secrets=SECRETS, api_base_url=connect.address
        )
        same_name = await catalog.create_product(tx, app_id=app.app_id, store_identifier="more", type="consumable", display_name="The coins")
        long_name = await catalog.create_product(tx, app_id=app.app_id, store_identifier="x", type="consumable", display_name="x" * 65)
    for one, words in ((same_name, "The name you entered has already been used."), (long_name, "can be no more than 64 characters")):
        message = await v2.refused("POST", f"/products/{one.product_id}/create_in_store", {}, status=422, type="store_error", param="product_id")
        assert words in message
    connect.busy = True
    message = await v2.refused("POST", f"/products/{long_name.product_id}/create_in_store", {}, status=503, type="server_error")
    assert "rate limit" in message


async def test_a_wrong_key_is_apples_to_refuse_and_not_the_callers(world: World, connect: AppStoreConnect) -> None:
    another = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    path = await product(world, connect.address, secrets={"app_store_connect_api_key": another})
    message = await Caller.of(world).refused("POST", path, MONTHLY, status=422, type="store_error", param="app_id")
    assert "signed bearer token" in message and another not in message
    unknown = await product(world, connect.address, bundle_id="com.example.unknown")
    assert "com.example.unknown" in await Caller.of(world).refused("POST", unknown, MONTHLY, status=422, type="store_error", param="app_id")


@pytest.mark.parametrize(
    ("type", "body", "param"),
    [
        ("subscription", {}, "store_information.duration"),
        ("subscription", {"store_information": {"duration": "ONE_MONTH"}}, "store_information.subscription_group_name"),
        ("subscription", {"store_information": {"duration": "P1M", "subscription_group_name": "Pro"}}, "store_information.duration"),
        ("consumable", MONTHLY, "store_information.duration"),
        ("one_time", {}, "product_id"),
    ],
)
async def test_what_apple_would_need_is_asked_for(world: World, connect: AppStoreConnect, type: str, body: Any, param: str) -> None:
    path = await product(world, connect.address, type=type)
    await Caller.of(world).refused("POST", path, body, status=400, type="parameter_error", param=param)
    assert connect.made == []


async def test_without_a_key_of_app_store_connect_nothing_is_asked(world: World, connect: AppStoreConnect) -> None:
    for missing in ("app_store_connect_api_key", "app_store_connect_api_key_issuer"):
        settings = {name: said for name, said in SETTINGS.items() if name != missing}
        secrets = {} if missing == "app_store_connect_api_key" else SECRETS
        path = await product(world, connect.address, settings=settings, secrets=secrets)
        message = await Caller.of(world).refused("POST", path, MONTHLY, status=422, type="unprocessable_entity_error", param="app_id")
        assert f"`{missing}`" in message
    assert connect.calls == []


async def test_other_stores_take_no_products_from_here(world: World) -> None:
    path = await product(world, None, store="play_store", settings={}, secrets={})
    message = await Caller.of(world).refused("POST", path, {}, status=422, type="unprocessable_entity_error", param="product_id")
    assert "play_store" in message

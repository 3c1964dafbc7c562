"""Pages: forward only, nothing twice, nothing left out; and a list costs the same number of statements however long it is."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest

from perennial.base.ids import new_token
from tests.contract.v2_caller import Caller
from tests.world import World

MANY = 7


async def fill(v2: Caller, count: int) -> dict[str, str]:
    """`count` of everything; returns the ids that paths need."""
    world = v2.world
    app_id = world.app_ids["test_store"]
    offering = next(one for one in await v2.all("/offerings") if one["lookup_key"] == "default")
    entitlement = next(one for one in await v2.all("/entitlements") if one["lookup_key"] == "pro")
    package = next(one for one in await v2.all(f"/offerings/{offering['id']}/packages") if one["lookup_key"] == "$rc_monthly")
    await world.buy("ada", "pro_monthly")
    for _ in range(count):
        number = new_token(4)
        await v2.post("/apps", {"name": f"App {number}", "type": "test_store"})
        product = await v2.post("/products", {"store_identifier": f"p{number}", "app_id": app_id, "type": "consumable"})
        await v2.post(f"/entitlements/{entitlement['id']}/actions/attach_products", {"product_ids": [product["id"]]})
        await v2.post(f"/packages/{package['id']}/actions/attach_products", {"products": [{"product_id": product["id"]}]})
        await v2.post("/entitlements", {"lookup_key": f"e{number}", "display_name": "E"})
        await v2.post("/offerings", {"lookup_key": f"o{number}", "display_name": "O"})
        await v2.post(f"/offerings/{offering['id']}/packages", {"lookup_key": f"k{number}", "display_name": "K", "position": 1})
        await v2.post("/customers", {"id": f"customer {number}"})
        await v2.post("/customers/ada/attributes", {"attributes": [{"name": f"a{number}", "value": "x"}]})
        await v2.post("/integrations/webhooks", {"name": "Hook", "url": f"https://example.com/{number}"})
        await world.buy("ada", "pro_monthly")
        await world.buy("ada", "coins")
    return {
        "offering": offering["id"],
        "entitlement": entitlement["id"],
        "package": package["id"],
        "subscription": (await v2.get("/customers/ada/subscriptions"))["items"][0]["id"],
    }


LISTS = [
    "/v2/projects",
    "/apps",
    "/products",
    "/products?expand=items.app",
    "/entitlements",
    "/entitlements?expand=items.product",
    "/entitlements/{entitlement}/products",
    "/offerings",
    "/offerings?expand=items.package",
    "/offerings?expand=items.package.product",
    "/offerings/{offering}/packages",
    "/offerings/{offering}/packages?expand=items.product",
    "/packages/{package}/products",
    "/customers",
    "/customers/ada/aliases",
    "/customers/ada/attributes",
    "/customers/ada/active_entitlements",
    "/customers/ada/subscriptions",
    "/customers/ada/purchases",
    "/subscriptions/{subscription}/transactions",
    "/subscriptions/{subscription}/entitlements",
    "/integrations/webhooks",
    "/events",
    "/events?customer_id=ada",
    "/audit_logs",
    "/audit_logs?start_date=2026-01-01",
]


def key_of(item: dict[str, Any]) -> str:
    return str(item.get("id") or item.get("name") or item.get("entitlement_id") or item["product"]["id"])


async def test_pages_of_any_size_show_everything_once_in_one_order(world: World) -> None:
    v2 = Caller.of(world)
    ids = await fill(v2, MANY)
    for path in LISTS:
        path = path.format(**ids)
        whole = await v2.get(path, **({} if "?" in path else {"limit": 1000}))
        for limit in (1, 3):
            joined = f"{path}{'&' if '?' in path else '?'}limit={limit}"
            assert (paged := await v2.all(joined)), path
            if whole["next_page"] is None:
                assert [key_of(one) for one in paged] == [key_of(one) for one in whole["items"]], path
            assert len({key_of(one) for one in paged}) == len(paged), path


async def test_the_next_page_keeps_what_was_asked(world: World) -> None:
    v2 = Caller.of(world)
    await fill(v2, 2)
    page = await v2.get(f"/products?expand=items.app&app_id={world.app_ids['test_store']}&limit=2")
    following = await v2.get(page["next_page"])
    assert {one["app_id"] for one in following["items"]} == {world.app_ids["test_store"]}
    assert all("app" in one for one in following["items"]) and len(following["items"]) == 2


async def test_an_id_of_any_characters_leads_to_its_own_pages(world: World) -> None:
    v2 = Caller.of(world)
    for app_user_id in ("a b?c#d%25&e=ü", "+49 170 / 1"[:7], "$RCAnonymousID:" + "0" * 32):
        await v2.post("/customers", {"id": app_user_id, "attributes": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]})
        assert [one["name"] for one in await v2.all(f"/customers/{quote(app_user_id, safe='')}/attributes?limit=1")] == ["a", "b"]
        assert (await v2.get("/customers", search=app_user_id))["items"][0]["id"] == app_user_id


async def test_a_log_is_followed_by_its_cursor(world: World) -> None:
    v2 = Caller.of(world)
    await world.buy("ada", "pro_monthly")
    (first,) = (await v2.get("/events"))["items"]
    assert (await v2.get("/events", starting_after=first["cursor"]))["items"] == []
    await world.advance(days=28)
    assert [one["type"] for one in (await v2.get("/events", starting_after=first["cursor"]))["items"]] == ["RENEWAL"]


@pytest.mark.parametrize("limit", [0, 1001, -1, "many", 1.5])
async def test_a_limit_has_limits(world: World, limit: Any) -> None:
    message = await Caller.of(world).refused("GET", "/apps", status=400, type="parameter_error", param="limit", limit=limit)
    assert message.startswith("limit must be ")


async def test_a_list_costs_the_same_however_long_it_is(world: World) -> None:
    v2 = Caller.of(world)
    ids = await fill(v2, 1)
    few = {path: await statements(world, lambda path=path: v2.get(path.format(**ids))) for path in LISTS}  # type: ignore[misc]
    await fill(v2, MANY)
    many = {path: await statements(world, lambda path=path: v2.get(path.format(**ids))) for path in LISTS}  # type: ignore[misc]
    assert many == few
    assert max(many.values()) <= 10, many  # the transaction's own two among them


async def statements(world: World, work: Callable[[], Awaitable[Any]]) -> int:
    seen: list[str] = []
    world.app.database.before_statement = seen.append
    try:
        await work()
    finally:
        world.app.database.before_statement = None
    return len(seen)

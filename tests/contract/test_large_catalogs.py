"""Offerings are rendered once for each version of the catalog, and never shown of another; there is an end to how many a project has."""

import asyncio
from typing import Any

import pytest

from perennial import catalog
from perennial.api.v1 import catalog as rendering
from perennial.api.v1.kept import Kept, Rendered
from perennial.catalog.actions import offerings, products
from perennial.catalog.model import PackageProduct, TooManyOfThem
from tests.world import World


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The apps whose offerings were rendered."""
    asked: list[str] = []
    render = rendering._render_offerings

    async def counted(tx: Any, caller: Any, app_id: Any) -> Rendered:
        asked.append(app_id)
        return await render(tx, caller, app_id)

    monkeypatch.setattr(rendering, "_render_offerings", counted)
    return asked


async def read(world: World, app_user_id: str = "ada", store: str = "test_store") -> Any:
    answer = await world.http.get(f"/v1/subscribers/{app_user_id}/offerings", headers=world.sdk(store))
    assert answer.status_code == 200
    return answer.json()


def packages_of(answer: Any, lookup_key: str) -> list[str]:
    return [package["identifier"] for one in answer["offerings"] if one["identifier"] == lookup_key for package in one["packages"]]


async def test_a_catalog_is_rendered_once_and_never_shown_late(world: World, rendered: list[str]) -> None:
    first = await read(world)
    assert [await read(world, name) for name in ("bob", "eve")] == [first] * 2
    assert (await world.http.get("/v1/offerings", headers=world.sdk())).json() == first
    assert rendered == [world.app_ids["test_store"]]
    assert list(first) == ["current_offering_id", "offerings"]

    async with world.app.database.transaction(world.project_id) as tx:
        [default] = await catalog.get_offerings(tx)
        winter = await catalog.create_offering(tx, lookup_key="winter", display_name="Winter")
    assert packages_of(await read(world), "winter") == []
    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.update_offering(tx, winter.offering_id, is_current=True)
    assert (await read(world))["current_offering_id"] == "winter"
    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.set_placement(tx, "home", default.offering_id)
    assert (await read(world))["placements"] == {"fallback_offering_id": None, "offering_ids_by_placement": {"home": "default"}}
    async with world.app.database.transaction(world.project_id) as tx:
        coins = next(one for one in await catalog.get_products(tx, app_id=world.app_ids["test_store"]) if one.store_identifier == "coins")
        package = await catalog.create_package(tx, offering_id=winter.offering_id, lookup_key="coins", display_name="Coins")
        await catalog.attach_to_package(tx, package.package_id, [PackageProduct(product_id=coins.product_id, eligibility_criteria="all")])
    assert packages_of(await read(world), "winter") == ["coins"]
    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.detach_from_package(tx, package.package_id, [coins.product_id])
        await catalog.archive_product(tx, coins.product_id)
    assert packages_of(await read(world), "winter") == []


async def test_a_customer_of_their_own_offering_sees_it_in_what_is_kept(world: World, rendered: list[str]) -> None:
    async with world.app.database.transaction(world.project_id) as tx:
        winter = await catalog.create_offering(tx, lookup_key="winter", display_name="Winter")
    await read(world)
    await world.customer("ada")
    answer = await world.http.post(f"/v1/subscribers/ada/offerings/{winter.offering_id}/override", headers=world.secret)
    assert answer.status_code == 201
    assert ((await read(world))["current_offering_id"], (await read(world, "bob"))["current_offering_id"]) == ("winter", "default")
    assert len(rendered) == 1


async def test_a_transaction_that_is_taken_back_leaves_nothing_behind(world: World) -> None:
    before = await read(world)

    async def give_up() -> None:
        async with world.app.database.transaction(world.project_id) as tx:
            await catalog.create_offering(tx, lookup_key="never", display_name="Never")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await give_up()
    assert await read(world) == before


async def test_more_than_a_thousand_products_are_all_shown(world: World) -> None:
    async with world.app.database.transaction(world.project_id) as tx:
        offering = await catalog.create_offering(tx, lookup_key="large", display_name="Large")
        package = await catalog.create_package(tx, offering_id=offering.offering_id, lookup_key="last", display_name="Last")
        for number in range(1100):
            last = await catalog.create_product(tx, app_id=world.app_ids["test_store"], store_identifier=f"p{number}", type="consumable")
        await catalog.attach_to_package(tx, package.package_id, [PackageProduct(product_id=last.product_id, eligibility_criteria="all")])
    shown = {one["identifier"]: one for one in (await read(world))["offerings"]}["large"]
    assert [one["platform_product_identifier"] for one in shown["packages"]] == ["p1099"]
    mapping = (await world.http.get("/v1/product_entitlement_mapping", headers=world.sdk())).json()["product_entitlement_mapping"]
    assert len(mapping) == 1104


async def test_there_is_an_end_to_how_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offerings, "MOST_OFFERINGS", 2)
    monkeypatch.setattr(offerings, "MOST_PACKAGES", 3)
    monkeypatch.setattr(products, "MOST_PRODUCTS", 5)
    path, key = f"/v2/projects/{world.project_id}", world.secret
    offering = (await world.http.post(f"{path}/offerings", headers=key, json={"lookup_key": "a", "display_name": "A"})).json()
    product = {"app_id": world.app_ids["test_store"], "type": "consumable"}
    assert (await world.http.post(f"{path}/products", headers=key, json=product | {"store_identifier": "5"})).status_code == 201
    for _ in range(3):
        answer = await world.http.post(f"{path}/offerings/{offering['id']}/packages", headers=key, json={"lookup_key": str(_), "display_name": "A"})
        assert answer.status_code == 201
    for where, body in (
        ("offerings", {"lookup_key": "b", "display_name": "B"}),
        (f"offerings/{offering['id']}/packages", {"lookup_key": "3", "display_name": "A"}),
        ("products", product | {"store_identifier": "6"}),
    ):
        answer = await world.http.post(f"{path}/{where}", headers=key, json=body)
        assert (answer.status_code, answer.json()["type"]) == (422, "unprocessable_entity_error"), answer.text
    with pytest.raises(TooManyOfThem):
        async with world.app.database.transaction(world.project_id) as tx:
            await catalog.create_offering(tx, lookup_key="b", display_name="B")


async def test_what_is_kept_is_bounded_and_rendered_by_one_of_many() -> None:
    kept, made = Kept(most_bytes=10_000), 0

    async def render() -> Rendered:
        nonlocal made
        made += 1
        await asyncio.sleep(0.01)
        return Rendered(offerings=b"x" * 3000)

    await asyncio.gather(*(kept.get(("a",), 1, render) for _ in range(50)))
    assert made == 1
    for number in range(100):
        await kept.get((str(number),), 1, render)
    assert kept.size <= 10_000
    await kept.get(("99",), 1, render)
    assert made == 101
    await kept.get(("99",), 2, render)
    assert made == 102
    assert kept._locks == {}


async def test_ever_new_anonymous_ids_of_one_customer_come_to_an_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from perennial.subscriptions.actions import moving

    monkeypatch.setattr(moving, "MAX_ALIASES", 5)

    def anonymous(number: int) -> str:
        return f"$RCAnonymousID:{number:032x}"

    await world.customer(anonymous(0))
    answers = [
        await world.http.post(
            "/v1/subscribers/identify", headers=world.sdk(), json={"app_user_id": anonymous(0), "new_app_user_id": anonymous(number)}
        )
        for number in range(1, 7)
    ]
    assert [answer.status_code for answer in answers] == [201] * 4 + [409] * 2
    assert "at most 5 app user ids" in answers[-1].json()["message"]
    assert (await world.customer(anonymous(4)))["original_app_user_id"] == anonymous(0)

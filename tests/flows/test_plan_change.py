"""A customer changes their plan on a web page: shown first, then done at Stripe, told, and seen by the next read."""

from typing import Any

import httpx
import pytest

from perennial import catalog
from perennial.base.money import Money
from perennial.base.time import iso
from perennial.providers.simulated import stripe
from tests.contract.v2_caller import Caller
from tests.flows.test_simulated_stripe import Shop, shop  # noqa: F401  a fixture
from tests.world import START, World, make_world

START_CHECKOUT = "/rcbilling/v1/checkout/start"


async def token_of(world: World, customer: str = "ada") -> str:
    answer = await Caller.of(world).post(f"/customers/{customer}/actions/authenticate", status=200)
    assert answer["object"] == "customer_authentication"
    assert answer["expires_at"] == int((await world.now()).timestamp() * 1000) + 3_600_000
    return str(answer["token"])


class Page:
    """The web SDK on a page of a signed-in customer's."""

    def __init__(self, town: Shop, key: str, token: str) -> None:
        self.shop, self.headers = town, {"Authorization": f"Bearer {key}", "X-Platform": "web", "X-RC-Subscriber-Token": token}

    @property
    def http(self) -> httpx.AsyncClient:
        return self.shop.world.http

    async def start(self, product: str, *, user: str = "ada", **change: str) -> httpx.Response:
        body = {"app_user_id": user, "product_id": product, "price_id": "any", "trace_id": "t", "product_change": change}
        return await self.http.post(START_CHECKOUT, headers=self.headers, json=body)

    async def complete(self, session: str) -> httpx.Response:
        return await self.http.post(f"/rcbilling/v1/checkout/{session}/complete", headers=self.headers, json={})

    async def change(self, product: str, **change: str) -> dict[str, Any]:
        started = await self.start(product, **change)
        assert started.status_code == 201, started.text
        done = await self.complete(started.json()["operation_session_id"])
        assert done.status_code == 200, done.text
        await self.shop.world.run_due()
        answer: dict[str, Any] = done.json()
        return answer


@pytest.fixture
async def page(shop: Shop) -> Page:  # noqa: F811
    async with shop.transaction() as tx:
        key = await tx.fetch_value("SELECT public_key FROM api_key WHERE app_id = %(app)s", app=shop.app_id)
    await shop.buy("prod_pro")
    return Page(shop, key, await token_of(shop.world))


async def test_an_upgrade_is_shown_then_charged_at_once_and_told(page: Page) -> None:
    started = (await page.start("prod_max")).json()
    assert started["checkout_mode"] == "subscription_change"
    assert started["change_type"] == "immediate"
    assert started["from_product"]["product_id"] == "prod_pro"
    to_product = started["to_product"]
    assert (to_product["product_id"], to_product["price_in_micros"], to_product["period_duration"]) == ("prod_max", 19_990_000, "P1M")
    assert await page.shop.told() == ["INITIAL_PURCHASE"], "nothing is done before the customer says yes"
    done = await page.complete(started["operation_session_id"])
    assert done.json() == {
        "operation_session_id": started["operation_session_id"],
        "checkout_mode": "subscription_change",
        "change_type": "immediate",
        "new_product_id": "prod_max",
    }
    subscriber = await page.shop.world.customer("ada")
    assert subscriber["entitlements"]["pro"]["product_identifier"] == "prod_max", "the very next read shows it"
    await page.shop.world.run_due()
    told = await page.shop.told()
    assert told[:2] == ["INITIAL_PURCHASE", "PRODUCT_CHANGE"]
    assert "EXPIRATION" not in told
    assert (await page.complete(started["operation_session_id"])).status_code == 200, "a lost answer is asked for again"
    await page.shop.world.run_due()
    assert await page.shop.told() == told


async def test_a_cheaper_plan_waits_for_the_end_of_what_was_paid(page: Page) -> None:
    await page.change("prod_max")
    assert (await page.change("prod_pro"))["change_type"] == "deferred"
    subscriber = await page.shop.world.customer("ada")
    assert subscriber["entitlements"]["pro"]["product_identifier"] == "prod_max"
    again = await page.start("prod_pro")
    assert (again.status_code, again.json()["code"]) == (409, 7772), "it is planned already"
    await page.shop.world.advance(days=31)
    subscriber = await page.shop.world.customer("ada")
    assert subscriber["entitlements"]["pro"]["product_identifier"] == "prod_pro"
    assert subscriber["subscriptions"]["prod_pro"]["expires_date"] > iso(await page.shop.world.now())
    assert "EXPIRATION" not in await page.shop.told()


async def test_a_year_is_compared_by_what_it_costs_a_month(page: Page) -> None:
    """79.99 a year is less a month than 9.99: what was paid is used up first."""
    assert (await page.start("prod_year")).json()["change_type"] == "deferred"


@pytest.mark.parametrize("token", ["", "x", "x" * 300, "é" * 100])
async def test_who_has_no_token_of_the_customer_changes_nothing(page: Page, token: str) -> None:
    session = (await page.start("prod_max")).json()["operation_session_id"]
    page.headers["X-RC-Subscriber-Token"] = token.encode("latin-1").decode("latin-1") if token.isascii() else "x%C3"
    started, done = await page.start("prod_max"), await page.complete(session)
    assert (started.status_code, started.json()["code"]) == ((401, 7224) if token else (400, 7878))
    assert (done.status_code, done.json()["code"]) == (401, 7224)
    assert await page.shop.told() == ["INITIAL_PURCHASE"]


async def test_a_token_is_one_customers_one_projects_and_an_hours(page: Page) -> None:
    world = page.shop.world
    session = (await page.start("prod_max")).json()["operation_session_id"]
    await world.customer("bob")
    mine, bobs = page.headers["X-RC-Subscriber-Token"], await token_of(world, "bob")
    stranger = await make_world(world.app, world.http)
    await stranger.customer("ada")
    for other in (bobs, await token_of(stranger)):
        page.headers["X-RC-Subscriber-Token"] = other
        assert (await page.start("prod_max")).json()["code"] == 7224
        assert (await page.complete(session)).status_code in (400, 401), "of another's session no more is said than that there is none"
    page.headers["X-RC-Subscriber-Token"] = mine
    await world.advance(hours=1)
    assert (await page.start("prod_max")).json()["code"] == 7224
    page.headers["X-RC-Subscriber-Token"] = await token_of(world)
    old = await page.complete(session)
    assert (old.status_code, old.json()["code"]) == (400, 7877)
    assert await page.shop.told() == ["INITIAL_PURCHASE"]


async def test_what_cannot_be_changed_is_said_with_the_way_out(page: Page) -> None:
    for product, change, code in (
        ("prod_pro", {}, 7772),
        ("prod_nothing", {}, 7878),
        ("prod_life", {}, 7878),
        ("prod_max", {"subscription_id": "sub_nobody"}, 7878),
        ("prod_max", {"from_product_id": "prod_year"}, 7878),
        ("prod_max", {"from_product_id": "a\x00b"}, 7226),
    ):
        answer = await page.start(product, **change)
        assert answer.json()["code"] == code, answer.text
        assert 400 <= answer.status_code < 500
    assert await page.shop.told() == ["INITIAL_PURCHASE"]


async def test_of_several_subscriptions_the_page_says_which(page: Page) -> None:
    year = await page.shop.buy("prod_year")
    assert (await page.start("prod_max")).json()["code"] == 7878
    assert (await page.start("prod_max", from_product_id="prod_pro")).json()["from_product"]["product_id"] == "prod_pro"
    assert (await page.start("prod_max", subscription_id=str(year.subscription))).json()["from_product"]["product_id"] == "prod_year"


async def test_a_price_that_stripe_does_not_have_is_refused_in_words(page: Page) -> None:
    session = (await page.start("prod_max")).json()["operation_session_id"]
    async with page.shop.transaction() as tx:
        (product,) = [one for one in await catalog.get_products(tx, app_id=page.shop.app_id) if one.store_identifier == "prod_max"]
        await catalog.change_price(tx, product.product_id, Money(amount=2999, currency="USD"))
    answer = await page.complete(session)
    assert (answer.status_code, answer.json()["code"]) == (409, 7773)
    assert "no active price of 19.99 USD" in answer.json()["message"]
    assert await page.shop.told() == ["INITIAL_PURCHASE"]


async def test_a_subscription_that_has_ended_is_not_changed(page: Page) -> None:
    session = (await page.start("prod_max")).json()["operation_session_id"]
    (line,) = await page.shop.world.lines("ada")
    async with page.shop.transaction() as tx:
        await stripe.cancel_now(tx, page.shop.app_id, line.store_line)
    answer = await page.complete(session)
    assert (answer.status_code, answer.json()["code"]) == (409, 7773)
    await page.shop.world.run_due()
    assert (await page.start("prod_max")).json()["code"] == 7878
    assert (await page.http.get("/rcbilling/v1/branding", headers=page.headers)).json()["app_name"] == "web"
    assert await page.shop.world.now() == START

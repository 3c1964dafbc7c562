"""Where customers manage what they bought: an address that their store's portal makes for them alone."""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs

import httpx
import pytest

from perennial import catalog, subscriptions
from perennial.base.money import Money
from perennial.providers.simulated import stripe
from perennial.providers.simulated.stripe import StripeServer
from perennial.subscriptions import Said
from perennial.subscriptions.model import Environment, Purchase, Statement, Store
from tests.answering import Answering
from tests.contract.v2_caller import Caller
from tests.flows.town import listening
from tests.world import START, World

PORTAL = "https://billing.stripe.example/p/session/" + "x" * 400  # longer than the 255 characters of the vendor's schema


@pytest.fixture
def store() -> Iterator[Answering]:
    server = Answering()
    yield server
    server.close()


async def bought(
    world: World, store: Store, line: str, *, environment: Environment = "sandbox", address: str | None = None, **app: dict[str, str]
) -> str:
    """A subscription of a store whose API is at `address`; gives its address in v2."""
    purchase = Purchase(
        transaction=f"{line}_1",
        product="pro",
        kind="subscription",
        purchased_at=START,
        expires_at=datetime(2026, 3, 1, tzinfo=UTC),
        as_of=START,
        is_first=True,
        is_renewal=False,
    )
    async with world.app.database.transaction(world.project_id) as tx:
        made, _ = await catalog.create_app(tx, world.app.vault, name=store, store=store, api_base_url=address, **app)
        statement = Statement(store=store, environment=environment, line=line, purchases=(purchase,), app_user_id="ada")
        (line_id,) = await subscriptions.record(tx, [Said(app_id=made.app_id, statement=statement)])
    return f"/subscriptions/{line_id}/authenticated_management_url"


async def test_stripe_is_asked_for_a_session_of_its_portal_each_time(world: World, store: Answering) -> None:
    store.answer("GET /v1/subscriptions/sub_1", {"id": "sub_1", "customer": "cus_1"})
    store.answer("POST /v1/billing_portal/sessions", {"id": "bps_1", "url": PORTAL}, {"id": "bps_2", "url": "https://stripe.example/2"})
    settings = {"portal_return_url": "https://app.example/account"}
    path = await bought(world, "stripe", "sub_1#si_2", address=store.address, secrets={"api_key": "sk_test_1"}, settings=settings)
    v2 = Caller.of(world)
    assert await v2.get(path) == {"object": "authenticated_management_url", "management_url": PORTAL}
    assert (await v2.get(path))["management_url"] == "https://stripe.example/2"
    made = [one for one in store.asked if one.method == "POST"]
    assert [parse_qs(one.raw.decode()) for one in made] == [{"customer": ["cus_1"], "return_url": ["https://app.example/account"]}] * 2
    assert len({one.headers["idempotency-key"] for one in made}) == 2, "an old session is not handed out again"


async def test_stripes_refusals_are_told_in_its_words(world: World, store: Answering) -> None:
    store.answer("GET /v1/subscriptions/sub_1", {"id": "sub_1", "customer": "cus_1"})
    words = "No configuration provided and your test mode default configuration has not been created."
    store.answer("POST /v1/billing_portal/sessions", {"error": {"type": "invalid_request_error", "message": words}}, status=400)
    path = await bought(world, "stripe", "sub_1", address=store.address, secrets={"api_key": "sk_test_1"})
    assert words in await Caller.of(world).refused("GET", path, status=422, type="store_error")


@pytest.mark.parametrize(
    ("status", "line", "answered", "kind"),
    [(401, "sub_1", 422, "store_error"), (403, "sub_1", 422, "store_error"), (500, "sub_1", 503, "server_error"), (404, "sub_1", 422, "store_error")],
)
async def test_trouble_with_stripe_is_never_the_callers_key(world: World, store: Answering, status: int, line: str, answered: int, kind: str) -> None:
    store.answer(f"GET /v1/subscriptions/{line}", {"error": {"message": "no"}}, status=status)
    path = await bought(world, "stripe", line, address=store.address, secrets={"api_key": "sk_test_1"})
    await Caller.of(world).refused("GET", path, status=answered, type=kind)


async def test_paddle_is_asked_for_a_session_of_its_portal(world: World, store: Answering) -> None:
    subscription = {"id": "sub_01h", "status": "active", "items": [], "customer_id": "ctm_01h"}
    store.answer("GET /subscriptions/sub_01h", {"data": subscription})
    links = {
        "general": {"overview": "https://customer-portal.paddle.example/cpl_01h?token=pga_1"},
        "subscriptions": [{"id": "sub_01h", "cancel_subscription": "https://x.example", "update_subscription_payment_method": "https://y.example"}],
    }
    store.answer("POST /customers/ctm_01h/portal-sessions", {"data": {"id": "cpls_01h", "customer_id": "ctm_01h", "urls": links}}, status=201)
    path = await bought(world, "paddle", "sub_01h#pro", address=store.address, secrets={"api_key": "pdl_sdbx_1"})
    answer = await Caller.of(world).get(path)
    assert answer["management_url"] == links["general"]["overview"]
    assert store.asked[-1].json == {"subscription_ids": ["sub_01h"]}


async def test_without_a_key_the_portal_stays_shut(world: World) -> None:
    path = await bought(world, "paddle", "sub_01h")
    message = await Caller.of(world).refused("GET", path, status=422, type="unprocessable_entity_error", param="app_id")
    assert "credentials" in message


# The simulated Stripe's own


@pytest.fixture
async def shop(world: World) -> AsyncIterator[str]:
    """Ada's subscription at a simulated Stripe; gives its address in v2."""
    async with listening(StripeServer(world.app.database, world.app.vault)) as address:
        async with world.app.database.transaction(world.project_id) as tx:
            made, _ = await catalog.create_app(tx, world.app.vault, name="web", store="stripe")
            await catalog.create_product(
                tx,
                app_id=made.app_id,
                store_identifier="prod_pro",
                type="subscription",
                duration="P1M",
                prices=[Money(amount=999, currency="USD")],
            )
            await stripe.opt_in(tx, world.app.vault, made.app_id, address)
            await stripe.buy(tx, world.app.vault, made.app_id, product="prod_pro", app_user_id="ada")
        await world.run_due()
        (line,) = await world.lines("ada")
        yield f"/subscriptions/{line.line_id}/authenticated_management_url"


async def test_a_customer_ends_their_subscription_in_the_portal_and_goes_on(world: World, shop: str) -> None:
    url = (await Caller.of(world).get(shop))["management_url"]
    async with httpx.AsyncClient() as browser:
        page = await browser.get(url)
        assert page.status_code == 200
        assert re.search(r"prod_pro</b>, 9.99 USD", page.text) and "Cancel at the end of the period" in page.text
        pressed = await browser.post(url, data={"do": "cancel"})
        assert (pressed.status_code, pressed.headers["location"]) == (303, url)
        await browser.post(url, data={"do": "cancel"})
        assert "Keep it" in (await browser.get(url)).text
        await world.run_due()
        assert await world.told("ada") == ["INITIAL_PURCHASE", "CANCELLATION"]
        await browser.post(url, data={"do": "keep"})
        await world.run_due()
        assert await world.told("ada") == ["INITIAL_PURCHASE", "CANCELLATION", "UNCANCELLATION"]


async def test_a_session_is_over_soon_and_cannot_be_made_up(world: World, shop: str) -> None:
    url = (await Caller.of(world).get(shop))["management_url"]
    async with httpx.AsyncClient() as browser:
        for forged in (url[:-1] + ("0" if url[-1] != "0" else "1"), url.replace("/portal/", "/portal/0"), url.rpartition("/")[0] + "/x"):
            assert (await browser.get(forged)).status_code == 404
            assert (await browser.post(forged, data={"do": "cancel"})).status_code == 404
        await world.advance(minutes=5)
        assert "expired" in (await browser.get(url)).text
        await world.run_due()
        assert await world.told("ada") == ["INITIAL_PURCHASE"]

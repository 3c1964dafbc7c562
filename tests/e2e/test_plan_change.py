"""The web SDK changes the plan of a customer's Stripe subscription: its own page asks, our checkout does it at the (simulated) Stripe."""

import asyncio

import pytest

from perennial import agenda, catalog
from perennial.base.money import Money
from perennial.catalog.model import PackageProduct
from perennial.providers.simulated import stripe
from tests.contract.v2_caller import Caller
from tests.e2e.pages import SdkError, Shop
from tests.world import World

_CHANGE = """async ({ product, token }) => {
  const found = (await sdk.getOfferings()).all["plans"].availablePackages.find((one) => one.webBillingProduct.identifier === product);
  return await sdk.purchase({ rcPackage: found, productChangeInfo: { subscriberToken: token } });
}"""


async def open_as_subscriber(shop: Shop, *, plan: str = "prod_pro") -> str:
    """A page of ada's, who has `plan` at Stripe, and the token that her backend got for it."""
    world = shop.world
    async with world.app.database.transaction(world.project_id) as tx:
        sold, key = await catalog.create_app(tx, world.app.vault, name="web", store="stripe")
        (pro,) = await catalog.get_entitlements(tx)
        plans = await catalog.create_offering(tx, lookup_key="plans", display_name="Plans")
        for identifier, package, cents in (("prod_pro", "$rc_monthly", 999), ("prod_max", "max", 1999)):
            made = await catalog.create_product(
                tx,
                app_id=sold.app_id,
                store_identifier=identifier,
                type="subscription",
                display_name=identifier,
                duration="P1M",
                trial_duration=None,
                prices=[Money(amount=cents, currency="USD")],
            )
            await catalog.attach_products(tx, pro.entitlement_id, [made.product_id])
            shown = await catalog.create_package(tx, offering_id=plans.offering_id, lookup_key=package, display_name=identifier)
            await catalog.attach_to_package(tx, shown.package_id, [PackageProduct(product_id=made.product_id, eligibility_criteria="all")])
        await stripe.opt_in(tx, world.app.vault, sold.app_id, shop.base_url)
        await stripe.buy(tx, world.app.vault, sold.app_id, product=plan, app_user_id="ada")
    await agenda.run_due(world.app, world.project_id)
    assert key.public_key is not None
    await shop.open("ada", key=key.public_key)
    return str((await Caller.of(world).post("/customers/ada/actions/authenticate", status=200))["token"])


async def products_of(world: World) -> list[str]:
    return [name for name, one in (await world.customer("ada"))["subscriptions"].items() if one["unsubscribe_detected_at"] is None]


async def test_an_upgrade_is_confirmed_on_the_sdk_s_own_page_and_done(shop: Shop) -> None:
    token = await open_as_subscriber(shop)
    assert await shop.is_entitled_to("pro")
    changed = await shop.click_through(_CHANGE, {"product": "prod_max", "token": token}, button="Confirm upgrade")
    assert changed["productChange"] == {"changeType": "immediate"}
    assert changed["storeTransaction"]["productIdentifier"] == "prod_max"
    assert changed["customerInfo"]["entitlements"]["active"]["pro"]["productIdentifier"] == "prod_max"
    await agenda.run_due(shop.world.app, shop.world.project_id)
    told = await shop.world.told("ada")
    assert told[:2] == ["INITIAL_PURCHASE", "PRODUCT_CHANGE"]
    assert "EXPIRATION" not in told


async def test_a_downgrade_is_scheduled(shop: Shop) -> None:
    token = await open_as_subscriber(shop, plan="prod_max")
    changed = await shop.click_through(_CHANGE, {"product": "prod_pro", "token": token}, button="Confirm schedule")
    assert changed["productChange"] == {"changeType": "deferred"}
    assert changed["customerInfo"]["entitlements"]["active"]["pro"]["productIdentifier"] == "prod_max", "what is paid is used up first"
    await agenda.run_due(shop.world.app, shop.world.project_id)
    bodies = await shop.world.bodies("ada")
    assert [(one["type"], one.get("new_product_id")) for one in bodies] == [("INITIAL_PURCHASE", None), ("PRODUCT_CHANGE", "prod_pro")]


@pytest.mark.parametrize(
    ("product", "token", "shown", "button", "name"),
    [
        ("prod_pro", None, "You already subscribed to prod_pro", "Go to web", "ProductAlreadyPurchasedError"),
        ("prod_max", "x" * 90, "error code: 7224", "Try again", "StoreProblemError"),
    ],
)
async def test_what_is_refused_is_shown_for_what_it_is(shop: Shop, product: str, token: str | None, shown: str, button: str, name: str) -> None:
    """The page has the app's name from our branding, and says why by our error number."""
    valid = await open_as_subscriber(shop)

    async def leave() -> None:
        await shop.page.get_by_text(shown).wait_for()
        await shop.page.get_by_role("button", name=button, exact=True).click()

    outcomes = await asyncio.gather(shop.call(_CHANGE, {"product": product, "token": token or valid}), leave(), return_exceptions=True)
    (refused,) = [one for one in outcomes if one is not None]
    assert isinstance(refused, SdkError)
    assert refused.error["name"] == name
    assert await shop.world.told("ada") == ["INITIAL_PURCHASE"]

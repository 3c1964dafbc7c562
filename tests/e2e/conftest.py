"""A deployed server, a web site on another origin, and a browser, one of each per test process; a project and a page per test."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest
from playwright.async_api import Browser

from perennial import catalog
from perennial.app import App, open_app
from perennial.catalog.model import PackageProduct
from tests.e2e.browser import open_browser
from tests.e2e.npm import HERE, install_packages
from tests.e2e.pages import Hybrid, Shop, open_page
from tests.e2e.server import open_server, open_site
from tests.world import World, make_world, settings_for


@dataclass(frozen=True)
class Deployment:
    app: App  # a way in beside the server, to prepare projects
    http: httpx.AsyncClient
    base_url: str


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The pages of this folder, with the SDKs they load."""
    install_packages()
    with open_site(HERE) as address:
        yield address


@pytest.fixture(scope="session")
async def deployment(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    home = tmp_path_factory.mktemp("deployment")
    async with (
        open_server(database_url, home) as base_url,
        open_app(settings_for(database_url, home), connections=2) as app,
        httpx.AsyncClient(base_url=base_url, trust_env=False) as http,
    ):
        yield Deployment(app=app, http=http, base_url=base_url)


@pytest.fixture
async def world(deployment: Deployment) -> World:
    """On the clock of the wall, because an SDK goes by its device's. Beside `default`, three placements: `onboarding` shows `welcome`,
    `quiet` shows nothing, and any other `default`."""
    world = await make_world(deployment.app, deployment.http, clock_at=None)
    async with deployment.app.database.transaction(world.project_id) as tx:
        [default] = await catalog.get_offerings(tx)
        welcome = await catalog.create_offering(tx, lookup_key="welcome", display_name="Welcome")
        products = {product.store_identifier: product for product in await catalog.get_products(tx, app_id=world.app_ids["test_store"])}
        for lookup_key, identifier in (("$rc_annual", "pro_annual"), ("purse", "coins")):
            package = await catalog.create_package(tx, offering_id=welcome.offering_id, lookup_key=lookup_key, display_name=identifier)
            sold = PackageProduct(product_id=products[identifier].product_id, eligibility_criteria="all")
            await catalog.attach_to_package(tx, package.package_id, [sold])
        await catalog.set_placement(tx, "onboarding", welcome.offering_id)
        await catalog.set_placement(tx, "quiet", None)
        await catalog.set_fallback_offering(tx, default.offering_id)
    return world


@pytest.fixture
async def shop(browser: Browser, site: str, deployment: Deployment, world: World) -> AsyncIterator[Shop]:
    async with open_page(browser) as page:
        opened = Shop(page, world, f"{site}/shop.html", deployment.base_url)
        yield opened
        assert opened.strangers == set(), "purchases-js was told to speak to nobody but us"
        assert opened.failures == []


@pytest.fixture
async def hybrid(browser: Browser, site: str, deployment: Deployment, world: World) -> AsyncIterator[Hybrid]:
    async with open_page(browser) as page:
        opened = Hybrid(page, world, f"{site}/hybrid.html", deployment.base_url)
        yield opened
        assert opened.strangers <= {"e.revenue.cat"}, "the mappings cannot tell the SDK where its events go, and send nothing else elsewhere"
        assert opened.failures == []

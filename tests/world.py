"""`World`: a project of its own for one test, with the API in front of it and a clock that stands still until told.

Nothing is mocked: a real PostgreSQL, the real ASGI application, the stores that ship with the product.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from perennial import agenda, catalog, customers, subscriptions
from perennial.api.asgi import Front
from perennial.api.sightings import Sightings
from perennial.api.signing import Signer
from perennial.app import App, open_app
from perennial.asgi import make_framework
from perennial.base.db import LIMIT
from perennial.base.ids import AppId, ProjectId, new_id, new_token
from perennial.base.money import Money
from perennial.base.time import wall_clock
from perennial.base.value import replace
from perennial.catalog.model import TRACK_NEW_PURCHASES, PackageProduct, Product
from perennial.providers.google import PlayStore
from perennial.providers.stripe import StripeBilling
from perennial.settings import Settings
from perennial.subscriptions.model import Line

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
BUNDLE = "com.example.world"


@dataclass
class World:
    app: App
    http: httpx.AsyncClient
    project_id: ProjectId
    secret_key: str
    keys: dict[str, str] = field(default_factory=dict)
    app_ids: dict[str, AppId] = field(default_factory=dict)

    # What apps do

    def sdk(self, store: str = "test_store", **headers: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[store]}", **headers}

    @property
    def secret(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret_key}"}

    async def customer(self, app_user_id: str, *, store: str = "test_store") -> dict[str, Any]:
        answer = await self.http.get(f"/v1/subscribers/{app_user_id}", headers=self.sdk(store))
        assert answer.status_code in (200, 201), answer.text
        subscriber: dict[str, Any] = answer.json()["subscriber"]
        return subscriber

    async def entitled(self, app_user_id: str, *, store: str = "test_store") -> list[str]:
        """The entitlements an SDK would call active, by the request's own date."""
        answer = (await self.http.get(f"/v1/subscribers/{app_user_id}", headers=self.sdk(store))).json()
        now = answer["request_date"]
        return [name for name, one in answer["subscriber"]["entitlements"].items() if one["expires_date"] is None or one["expires_date"] > now]

    async def buy(self, app_user_id: str, product: str, *, token: str | None = None, **body: Any) -> httpx.Response:
        """In the Test Store, as an SDK does."""
        token = token or f"test_{new_token(8)}"
        return await self.http.post(
            "/v1/receipts", headers=self.sdk(), json={"app_user_id": app_user_id, "fetch_token": token, "product_id": product, **body}
        )

    async def track(self, app_id: str, how: str = "on") -> None:
        """Purchases that only the app's store told of are told as an anonymous customer's, after a while."""
        async with self.app.database.transaction(self.project_id) as tx:
            await catalog.change_app(tx, self.app.vault, app_id, settings={TRACK_NEW_PURCHASES: how})

    # What we know of it

    async def now(self) -> datetime:
        async with self.app.database.transaction(self.project_id) as tx:
            return tx.now

    async def advance(self, **duration: float) -> int:
        return await agenda.advance(self.app, self.project_id, await self.now() + timedelta(**duration))

    async def run_due(self) -> int:
        return await agenda.run_due(self.app, self.project_id)

    async def lines(self, app_user_id: str) -> list[Line]:
        async with self.app.database.transaction(self.project_id) as tx:
            found = await customers.find(tx, [app_user_id])
            return await subscriptions.load_of_customers(tx, found.values())

    async def bodies(self, app_user_id: str | None = None) -> list[dict[str, Any]]:
        """The event objects told, in order."""
        async with self.app.database.transaction(self.project_id) as tx:
            rows = await tx.fetch("SELECT e.body, e.customer_id FROM event e ORDER BY e.customer_id, e.sequence")
            found = await customers.find(tx, [app_user_id]) if app_user_id else {}
            people = [one for customer_id in found.values() for one in await customers.merged_ids(tx, customer_id)]
        return [row["body"] for row in rows if app_user_id is None or row["customer_id"] in people]

    async def told(self, app_user_id: str | None = None) -> list[str]:
        return [body["type"] for body in await self.bodies(app_user_id)]


@dataclass(frozen=True)
class House:
    """One running application, with the API in front of it, for all tests of a process: as a server's, its projects know nothing of each other."""

    app: App
    front: Front
    http: httpx.AsyncClient
    sightings: Sightings

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """To one test: what it put in the way of all is taken away in the end."""
        self.sightings.start()
        try:
            yield
        finally:
            self.app.database.clock, self.app.database.before_statement = wall_clock, None
            await self.sightings.stop()

    @asynccontextmanager
    async def open_world(self) -> AsyncIterator[World]:
        async with self.lent():
            yield await make_world(self.app, self.http)


@asynccontextmanager
async def open_house(database_url: str, home: Path, *, is_demo: bool = False, limit: float = LIMIT) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        settings = replace(settings_for(database_url, home), is_demo=is_demo)
        app = _impatient(await stack.enter_async_context(open_app(settings, connections=4, limit=limit)))
        sightings = Sightings(app.database)
        front = Front(app, make_framework(app), sightings, await Signer.open(app.database, app.vault, home))
        transport = httpx.ASGITransport(app=front, raise_app_exceptions=False)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://perennial.test"))
        yield House(app=app, front=front, http=http, sightings=sightings)


def _impatient(app: App) -> App:
    """It asks a store again as often as ever, without the pauses between."""
    return replace(app, providers={**app.providers, "play_store": PlayStore(pauses=(0, 0)), "stripe": StripeBilling(pauses=(0, 0))})


def settings_for(database_url: str, home: Path) -> Settings:
    return Settings(
        home=home, database_url=database_url, port=8080, host="127.0.0.1", workers=1, allow_internal_webhooks=True, is_demo=False, otlp_endpoint=None
    )


async def make_world(app: App, http: httpx.AsyncClient, *, clock_at: datetime | None = START) -> World:
    project_id = ProjectId(new_id("proj", wall_clock()))
    async with app.database.transaction(project_id) as tx:
        await catalog.create_project(tx, "World", is_sandbox=True)
        await catalog.set_clock(tx, clock_at, None)
        _, secret_key = await catalog.create_secret_key(tx, "world")
        world = World(app=app, http=http, project_id=project_id, secret_key=secret_key)
        for store in ("test_store", "app_store", "rc_billing"):
            made, key = await catalog.create_app(tx, app.vault, name=store, store=store, bundle_id=BUNDLE if store == "app_store" else None)
            assert key.public_key is not None
            world.app_ids[store], world.keys[store] = made.app_id, key.public_key
        pro = await catalog.create_entitlement(tx, lookup_key="pro", display_name="Pro")
        default = await catalog.create_offering(tx, lookup_key="default", display_name="Plans", metadata={"colour": "green"}, is_current=True)
        packages = {
            product: await catalog.create_package(tx, offering_id=default.offering_id, lookup_key=package, display_name=product)
            for product, package in (("pro_monthly", "$rc_monthly"), ("pro_annual", "$rc_annual"), ("pro_lifetime", "$rc_lifetime"))
        }
        sold: dict[str, list[Product]] = {identifier: [] for identifier in packages}
        for app_id in world.app_ids.values():
            for identifier, duration, trial, cents in (
                ("pro_monthly", "P1M", None, 999),
                ("pro_annual", "P1Y", "P1W", 5999),
                ("pro_lifetime", None, None, 14999),
                ("coins", None, None, 99),
            ):
                kind = "subscription" if duration else "consumable" if identifier == "coins" else "non_consumable"
                product = await catalog.create_product(
                    tx,
                    app_id=app_id,
                    store_identifier=identifier,
                    type=kind,
                    display_name=identifier,
                    duration=duration,
                    trial_duration=trial,
                    prices=[Money(amount=cents, currency="USD"), Money(amount=cents, currency="EUR")],
                )
                if identifier in packages:
                    sold[identifier].append(product)
        await catalog.attach_products(tx, pro.entitlement_id, [product.product_id for products in sold.values() for product in products])
        for identifier, products in sold.items():
            contents = [PackageProduct(product_id=product.product_id, eligibility_criteria="all") for product in products]
            await catalog.attach_to_package(tx, packages[identifier].package_id, contents)
    return world

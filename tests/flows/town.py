"""A town with a simulated App Store: a sandbox project on its own clock, an app, and one customer, ada."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from perennial import agenda, catalog, customers, subscriptions
from perennial.app import App
from perennial.base.db import Database, Tx
from perennial.base.ids import ProjectId, new_id, new_uuid
from perennial.base.money import Money
from perennial.base.secrets import Vault
from perennial.base.time import wall_clock
from perennial.providers.admob import AdMob
from perennial.providers.apple import AppStore
from perennial.providers.integrations import Integrations
from perennial.providers.simulated import app_store
from perennial.providers.simulated.app_store import Bought
from perennial.providers.simulated.app_store.server import AppStoreServer
from perennial.providers.test_store import TestStore
from perennial.providers.webhook import WebhookSender
from perennial.settings import Settings
from perennial.subscriptions.model import Line

VAULT = Vault(sha256(b"tests").digest())
PRODUCTS = {
    "weekly": ("P1W", 199),
    "monthly": ("P1M", 999),
    "monthly_plus": ("P1M", 1999),
    "yearly": ("P1Y", 7999),
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Town:
    """A sandbox project on its own clock, an app with a simulated store, and one customer, ada."""

    def __init__(self, app: App, project_id: ProjectId, app_id: str, ada: str) -> None:
        self.app, self.project_id, self.app_id, self.ada = app, project_id, app_id, ada

    def transaction(self) -> Any:
        return self.app.database.transaction(self.project_id)

    async def settle(self) -> None:
        await agenda.run_due(self.app, self.project_id)

    async def buy(self, product: str = "monthly", **more: Any) -> Bought:
        async with self.transaction() as tx:
            bought = await app_store.buy(tx, VAULT, self.app_id, product=product, app_account_token=self.ada, **more)
        await self.settle()
        return bought

    async def do(self, verb: Any, bought: Bought, *arguments: Any, **more: Any) -> Any:
        async with self.transaction() as tx:
            done = await verb(tx, self.app_id, bought.store_line, *arguments, **more)
        await self.settle()
        return done

    async def resubscribe(self, bought: Bought, product: str, **more: Any) -> Bought:
        async with self.transaction() as tx:
            again = await app_store.resubscribe(tx, VAULT, self.app_id, bought.store_line, product, **more)
        await self.settle()
        return again

    async def until(self, text: str) -> None:
        await agenda.advance(self.app, self.project_id, at(text))

    async def later(self, **span: float) -> None:
        await agenda.advance(self.app, self.project_id, await self.now() + timedelta(**span))

    async def now(self) -> datetime:
        async with self.transaction() as tx:
            return tx.now

    async def line(self, bought: Bought) -> Line:
        async with self.transaction() as tx:
            (line,) = await subscriptions.find(tx, [("app_store", "sandbox", bought.store_line)])
            return line

    async def is_entitled(self, bought: Bought) -> bool:
        return subscriptions.is_entitled(await self.line(bought), await self.now())

    async def status(self, bought: Bought) -> str:
        return subscriptions.status(await self.line(bought), await self.now())

    async def bodies(self) -> list[dict[str, Any]]:
        async with self.transaction() as tx:
            return [row["body"] for row in await tx.fetch("SELECT body FROM event ORDER BY customer_id, sequence")]

    async def told(self) -> list[str]:
        return [body["type"] for body in await self.bodies()]

    async def kinds(self) -> list[str]:
        """What arrived in the inbox, in the order it was signed."""
        async with self.transaction() as tx:
            return [row["kind"] for row in await tx.fetch("SELECT kind FROM notification ORDER BY sent_at, message_id")]

    async def outcomes(self) -> set[str]:
        async with self.transaction() as tx:
            return {row["outcome"] for row in await tx.fetch("SELECT DISTINCT outcome FROM notification")}


@pytest.fixture(scope="session")
async def app(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    database = await Database.open(database_url, connections=5)
    store, sender = AppStore(), WebhookSender(allow_internal=False)
    carrier, ads = Integrations(allow_internal=False, files_folder=None), AdMob()
    providers = {"app_store": store, "mac_app_store": store, "test_store": TestStore()}
    yield App(settings=Settings.read(), database=database, vault=VAULT, providers=providers, sender=sender, carrier=carrier, ads=ads)
    await store.close()
    await sender.close()
    await carrier.close()
    await ads.close()
    await database.close()


async def make_town(app: App, start: datetime, *, is_sandbox: bool = True) -> Town:
    project_id = ProjectId(new_id("proj", wall_clock()))
    async with app.database.transaction(project_id) as tx:
        await catalog.create_project(tx, "Simulated", is_sandbox=is_sandbox)
        if is_sandbox:
            await catalog.set_clock(tx, start, None)
    async with app.database.transaction(project_id) as tx:
        sold, _ = await catalog.create_app(tx, VAULT, name="Iron", store="app_store", bundle_id="com.example.iron", app_apple_id=4711)
        await fill_shop(tx, sold.app_id)
        ada = new_uuid()
        await customers.ensure(tx, [ada])
        if is_sandbox:
            await app_store.opt_in(tx, VAULT, sold.app_id)
    return Town(app, project_id, sold.app_id, ada)


async def fill_shop(tx: Tx, app_id: str) -> None:
    for name, (duration, cents) in PRODUCTS.items():
        price = Money(amount=cents, currency="USD")
        await catalog.create_product(tx, app_id=app_id, store_identifier=name, type="subscription", duration=duration, prices=[price])
    await catalog.create_product(tx, app_id=app_id, store_identifier="coins", type="consumable", prices=[Money(amount=499, currency="USD")])


@pytest.fixture
async def town(app: App) -> Town:
    return await make_town(app, at("2025-01-31T10:00:00"))


@asynccontextmanager
async def listening(application: Any) -> AsyncIterator[str]:
    """The ASGI application behind a real socket: as little of HTTP as our client needs."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = [(name.lower().encode(), content.strip().encode()) for name, _, content in (line.partition(":") for line in lines[1:] if line)]
        body = await reader.readexactly(int(dict(headers).get(b"content-length", b"0")))
        path, _, query = target.partition("?")

        async def receive() -> Any:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                head = b"".join(b"%s: %s\r\n" % header for header in message["headers"])
                writer.write(b"HTTP/1.1 %d x\r\nconnection: close\r\n%s\r\n" % (message["status"], head))
            else:
                writer.write(message["body"])

        await application({"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers}, receive, send)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
async def asking(town: Town) -> AsyncIterator[Town]:
    """A town whose app asks the simulated store's API, like Apple's."""
    async with listening(AppStoreServer(town.app.database, VAULT)) as address:
        async with town.transaction() as tx:
            given = await app_store.credentials(tx, VAULT, town.app_id)
            await catalog.change_app(
                tx,
                VAULT,
                town.app_id,
                api_key_id=given.key_id,
                api_issuer=given.issuer,
                api_private_key=given.private_key,
                api_base_url=f"{address}/simulated/app_store/{town.app_id}",
            )
        yield town

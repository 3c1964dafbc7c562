"""A database of the benchmark's own, a project in it, and the servers in front of it. Nothing of it is left behind."""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import TypeAlias
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx

from perennial import catalog
from perennial.app import App, open_app
from perennial.base.ids import AppId, ProjectId, new_id, random_bytes
from perennial.base.migrate import migrate
from perennial.base.money import Money
from perennial.base.time import perf_counter, wall_clock
from perennial.base.value import replace, value
from perennial.postgres import EmbeddedPostgres, start_child
from perennial.providers.simulated import app_store
from perennial.settings import Settings

BUNDLE = "com.example.bench"
ROOT = Path(__file__).resolve().parents[1]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # of the owner, who is behind no wall: for ceilings and for filling


@value
class House:
    home: Path
    url: str
    app: App

    async def connect(self) -> Connection:
        connection: Connection = await asyncpg.connect(self.url)
        return connection


@value
class Shop:
    """A sandbox project on the wall clock, with an app whose simulated store we hold the pen of."""

    project_id: ProjectId
    app_id: AppId
    public_key: str


@asynccontextmanager
async def open_house(settings: Settings) -> AsyncIterator[House]:
    home = settings.home / "bench"
    home.mkdir(parents=True, exist_ok=True)
    home = home / random_bytes(4).hex()
    home.mkdir()
    try:
        async with _database(settings, home) as url:
            await migrate(url)
            async with open_app(replace(settings, home=home, database_url=url), application="perennial bench") as app:
                yield House(home=home, url=url, app=app)
    finally:
        remove_home(home)


def remove_home(home: Path) -> None:
    """Started by root, the database's files may lie elsewhere, behind a link."""
    pointer = home / "postgres"
    if pointer.is_symlink():
        shutil.rmtree(pointer.resolve())
    shutil.rmtree(home)


@asynccontextmanager
async def _database(settings: Settings, home: Path) -> AsyncIterator[str]:
    """A database beside the one DATABASE_URL names, or a server of our own."""
    if settings.database_url is None:
        async with await EmbeddedPostgres.start(home) as postgres:
            yield postgres.url
        return
    name = f"perennial_bench_{random_bytes(4).hex()}"
    keeper = await asyncpg.connect(settings.require_database_url())
    try:
        await keeper.execute(f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(urlsplit(settings.require_database_url())._replace(path=f"/{name}"))
        finally:
            await keeper.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await keeper.close()


async def make_shop(app: App, *, identifiers: Sequence[str] = ("pro_monthly", "pro_lifetime")) -> Shop:
    project_id = ProjectId(new_id("proj", wall_clock()))
    async with app.database.transaction(project_id) as tx:
        await catalog.create_project(tx, "Bench", is_sandbox=True)
        sold, key = await catalog.create_app(tx, app.vault, name="Bench", store="app_store", bundle_id=BUNDLE)
        pro = await catalog.create_entitlement(tx, lookup_key="pro", display_name="Pro")
        for identifier in identifiers:
            product = await catalog.create_product(
                tx,
                app_id=sold.app_id,
                store_identifier=identifier,
                display_name=identifier,
                prices=[Money(amount=999, currency="USD")],
                type="subscription" if identifier == "pro_monthly" else "non_consumable",
                duration="P1M" if identifier == "pro_monthly" else None,
            )
            await catalog.attach_products(tx, pro.entitlement_id, [product.product_id])
        await app_store.opt_in(tx, app.vault, sold.app_id)
    assert key.public_key is not None
    return Shop(project_id=project_id, app_id=sold.app_id, public_key=key.public_key)


@asynccontextmanager
async def server(house: House, name: str, *, workers: int = 1, **environment: str) -> AsyncIterator[int]:
    """A server of `bench.serve` on a free port, ready."""
    port = free_port()
    env = {
        **os.environ,
        **environment,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "WEB_CONCURRENCY": str(workers),
        "PERENNIAL_HOME": str(house.home),
        "DATABASE_URL": house.url,
    }
    with (house.home / f"{name}.log").open("ab") as output:
        child = start_child([sys.executable, "-m", "bench.serve", name], on_our_death=SIGTERM, env=env, output=output)
    try:
        await ready(port, child.poll, house.home / f"{name}.log")
        yield port
    finally:
        child.send_signal(SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(child.wait), 20)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, SIGKILL)
        child.wait()


async def ready(port: int, ended: Callable[[], int | None], log: Path, *, limit: float = 60.0) -> None:
    deadline = perf_counter() + limit
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=5) as client:
        while True:
            with suppress(httpx.TransportError):
                if (await client.get("/readyz")).status_code == 200:
                    return
            if ended() is not None or perf_counter() > deadline:
                raise RuntimeError(f"a server did not start:\n{log.read_text(errors='replace')[-4000:]}")
            await asyncio.sleep(0.02)


async def quiet(connection: Connection, *, limit: float = 15.0) -> None:
    """Until the database has had nothing to do for a while: the aftermath of one round is not the next one's."""
    deadline, calm = perf_counter() + limit, 0
    while calm < 5 and perf_counter() < deadline:
        busy = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()"
        )
        calm = 0 if busy else calm + 1
        await asyncio.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

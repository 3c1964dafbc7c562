"""The other stores, whose notification mostly is a hint: read, asked about, recorded. Their API is one that answers at once (`bench.answers`)."""

import asyncio
import json
import os
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from signal import SIGKILL

import httpx
import msgspec

from bench.house import ROOT, House, Shop, free_port
from bench.intake import kits, steps
from bench.intake.kits import Answer, Kit
from bench.report import Figure, paired
from perennial import catalog, customers, intake, subscriptions
from perennial.app import App
from perennial.base.ids import ProjectId, new_id
from perennial.base.money import Money
from perennial.base.time import perf_counter, wall_clock
from perennial.base.value import replace
from perennial.intake.model import STORE_USER, Question, StoreApp
from perennial.postgres import start_child
from perennial.providers.microsoft import read as microsoft
from perennial.providers.microsoft.payload import Recurrence
from perennial.subscriptions import Said

LINES = 2000
TRIPS = 2000  # bare round trips to the store's API
AT_ONCE = 8  # as many as the product asks at a time


async def run(house: House, store: str) -> list[Figure]:
    now = wall_clock()
    make, answers = kits.KITS[store]
    async with _api(house, answers(now)) as address:
        kit = await asyncio.to_thread(make, address, range(LINES), now)
        app = replace(house.app, providers={**house.app.providers, store: kit.provider})
        shop, bare = [await _open_shop(app, kit, address) for _ in range(2)]
        connection = await house.connect()
        accepted = await steps.accept(house, app, shop, bare, store, kit.messages, kit.check)
        before, served = await steps.counts(connection, shop), await _served(address)
        done = await steps.digest(app, shop)
        trips = (await _served(address) - served) / LINES
        tables = await steps.grown(connection, shop, before)
        await steps.check_told(connection, shop, {"INITIAL_PURCHASE": LINES})
        copied = await steps.copy_bare(connection, shop, bare, tables)
        bare_trips = await _round_trips(address, kit.asked) if kit.asked else 0.0
        await connection.close()
    return [_accept_figure(kit, accepted), *_digest_figures(f"intake.{store}.digest", done, copied, trips, bare_trips)]


def _accept_figure(kit: Kit, accepted: steps.Accepted) -> Figure:
    checks, inserts = accepted.checked.middle, accepted.kept.middle
    return Figure(
        name=f"intake.{kit.store}.accept",
        value=accepted.ours.middle,
        unit="messages/s",
        ceiling=f"the slower of bare {kit.checked} checks ({checks:,.0f}/s) and bare inserts, 100 per commit ({inserts:,.0f}/s)",
        ceiling_value=accepted.slower.middle,
        measured_ratio=paired(accepted.ours, accepted.slower),
        note=f"{len(kit.messages[0][1]):,} bytes each; {accepted.ours.spread}",
    )


def _digest_figures(name: str, done: steps.Digested, copied: float, trips: float, bare_trips: float) -> list[Figure]:
    """Beside the bare rows and, where the store is asked, beside the bare questions."""
    value, asked = LINES / done.seconds, f"{trips:.0f} questions each" if trips >= 0.5 else "nothing is asked"
    figures = [
        Figure(
            name=name,
            value=value,
            unit="messages/s",
            ceiling="bare COPY of the rows this writes, 100 messages per commit",
            ceiling_value=copied,
            note=f"read, asked about, recorded; {asked}, {done.statements / LINES:.2f} statements each",
        )
    ]
    if trips < 0.5:
        return figures
    return [*figures, _of_client(f"{name}_of_client", value, trips, bare_trips)]


def _of_client(name: str, value: float, trips: float, bare_trips: float) -> Figure:
    return Figure(
        name=name,
        value=value,
        unit="messages/s",
        ceiling=f"the HTTP client alone, {AT_ONCE} at a time: {bare_trips:,.0f} round trips/s to the same server, {trips:.2f} each",
        ceiling_value=bare_trips / trips,
    )


async def run_microsoft(house: House) -> list[Figure]:
    """It sends nothing. Lines of a month ago are asked about, and were renewed."""
    now = wall_clock()
    async with _api(house, kits.microsoft_answers(now)) as address:
        kit = kits.microsoft(address, range(LINES), now)
        app = replace(house.app, providers={**house.app.providers, kit.store: kit.provider})
        shop, connection = await _open_shop(app, kit, address), await house.connect()
        for start in range(0, LINES, steps.BATCH):
            await _post_keys(app, shop, range(start, start + steps.BATCH), now)
        served = await _served(address)
        done = await steps.digest(app, shop)
        trips = (await _served(address) - served) / LINES
        await steps.check_told(connection, shop, {"INITIAL_PURCHASE": LINES, "RENEWAL": LINES})
        await connection.close()
        assert kit.asked is not None
        return [_of_client("intake.microsoft.ask", LINES / done.seconds, trips, await _round_trips(address, kit.asked))]


async def _post_keys(app: App, shop: Shop, numbers: Sequence[int], now: datetime) -> None:
    """What devices posted a month ago: a key each, and the subscription it opened."""
    async with app.database.transaction(shop.project_id) as tx:
        ours: StoreApp = (await intake.store_apps(tx, app.vault, [shop.app_id]))[shop.app_id]
        names = [f"{number:08d}" for number in numbers]
        ids, _ = await customers.ensure(tx, names)
        then = now - kits.MONTH
        said = []
        for name in names:
            recurrence = msgspec.convert(kits.microsoft_recurrence(name, then, now), Recurrence)
            statement = microsoft.statement(ours, recurrence, None, (), then)
            said.append(Said(app_id=shop.app_id, statement=statement, buyer=ids[name], store_user=app.vault.seal(f"key-{name}", STORE_USER)))
        await subscriptions.record(tx, said)
        questions = [(shop.app_id, Question(environment=one.statement.environment, subject=one.statement.line)) for one in said]
        await intake.inquire(tx, questions, "measured")


# The shop and its store -------------------------------------------------------------------------------------------------------


async def _open_shop(app: App, kit: Kit, address: str) -> Shop:
    """A project with an app of the store, whose API is at `address`, and what it sells."""
    project_id = ProjectId(new_id("proj", wall_clock()))
    async with app.database.transaction(project_id) as tx:
        await catalog.create_project(tx, "Bench", is_sandbox=True)
        sold, key = await catalog.create_app(
            tx,
            app.vault,
            name="Bench",
            store=kit.store,
            bundle_id=kit.bundle_id,
            api_base_url=address,
            settings=kit.settings,
            secrets=kit.secrets,
        )
        pro = await catalog.create_entitlement(tx, lookup_key="pro", display_name="Pro")
        product = await catalog.create_product(
            tx, app_id=sold.app_id, store_identifier=kit.product, display_name="Pro", prices=[Money(amount=999, currency="USD")], type="subscription"
        )
        await catalog.attach_products(tx, pro.entitlement_id, [product.product_id])
    assert key.public_key is not None
    return Shop(project_id=project_id, app_id=sold.app_id, public_key=key.public_key)


@asynccontextmanager
async def _api(house: House, answers: Sequence[Answer]) -> AsyncIterator[str]:
    """The address of a store's API that has these answers and does nothing else."""
    port, path = free_port(), house.home / "answers.json"
    path.write_text(json.dumps([(part, b64encode(body).decode()) for part, body in answers]))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    child = start_child([sys.executable, "-m", "bench.answers", str(path), str(port)], on_our_death=SIGKILL, env=env)
    try:
        address = f"http://127.0.0.1:{port}"
        await _listening(address, limit=20)
        yield address
    finally:
        child.kill()
        child.wait()


async def _listening(address: str, *, limit: float) -> None:
    deadline = perf_counter() + limit
    while perf_counter() < deadline:
        with suppress(httpx.TransportError):
            await _served(address)
            return
        await asyncio.sleep(0.02)
    raise RuntimeError("the store's API did not start")


async def _served(address: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        return int((await client.get(f"{address}/served")).content)


async def _round_trips(address: str, path: str) -> float:
    """Round trips a second of the HTTP client the product has, and nothing around it."""
    left = iter(range(TRIPS))
    async with httpx.AsyncClient(trust_env=False) as client:

        async def ask() -> None:
            for _ in left:
                answer = await client.get(address + path)
                assert answer.status_code == 200, answer.status_code

        began = perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(ask())
        return TRIPS / (perf_counter() - began)

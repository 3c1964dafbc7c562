"""What every store's measurement is made of: taking in, digesting and asking, and the ceilings of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bench.house import Connection, House, Shop
from bench.intake.kits import Check, Signed
from bench.jws import rate
from bench.report import Rounds
from perennial import intake
from perennial.api.hooks import Inbox, Incoming
from perennial.app import App
from perennial.base.time import perf_counter, wall_clock
from perennial.base.value import value

BATCH = 100
CONCURRENT = 256
ROUNDS = 5
CHECKS = 400  # bare checks in a round

# What digesting writes, in the order the references ask for. `grown` holds the list against the database.
TABLES = ("customer", "alias", "line_directory", "line", "purchase", "renewal", "event", "untold_event", "transfer")


# Taking in --------------------------------------------------------------------------------------------------------------------


@value
class Accepted:
    """Messages a second: taken in by us, kept bare, and bare checks of one signature; measured in turns."""

    ours: Rounds
    kept: Rounds
    checked: Rounds

    @property
    def slower(self) -> Rounds:
        """The slower of the two ceilings, round by round."""
        return Rounds(values=tuple(map(min, self.kept.values, self.checked.values)))


async def accept(house: House, app: App, shop: Shop, bare: Shop, store: str, messages: Sequence[Signed], check: Check) -> Accepted:
    inbox, connections = Inbox(app), [await house.connect() for _ in range(2)]
    parts = [messages[place::ROUNDS] for place in range(ROUNDS)]
    ours, kept, checked = [], [], []
    await app.providers[store].prepare(*messages[0])  # fetches the store's keys, once
    await _keep_bare(connections, bare, [body for _, body in parts[0]], "warm")
    rate(check, 50)
    for number, part in enumerate(parts):
        ours.append(await _accept(app, inbox, shop, store, part))
        kept.append(await _keep_bare(connections, bare, [body for _, body in part], str(number)))
        checked.append(rate(check, CHECKS))
    for connection in connections:
        await connection.close()
    return Accepted(ours=Rounds(values=tuple(ours)), kept=Rounds(values=tuple(kept)), checked=Rounds(values=tuple(checked)))


async def _accept(app: App, inbox: Inbox, shop: Shop, store: str, messages: Sequence[Signed]) -> float:
    left = iter(messages)

    async def post() -> None:
        for headers, body in left:
            await app.providers[store].prepare(headers, body)
            await inbox.accept(Incoming(project_id=shop.project_id, app_id=shop.app_id, store=store, body=body, headers=headers))

    began = perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENT):
            group.create_task(post())
    return len(messages) / (perf_counter() - began)


async def _keep_bare(connections: Sequence[Connection], shop: Shop, bodies: Sequence[bytes], name: str) -> float:
    """The inbox's rows, as the owner whom no wall hinders, one statement a batch; on two connections, as the product uses two."""
    now, left = wall_clock(), iter(range(0, len(bodies), BATCH))

    async def insert(connection: Connection) -> None:
        for start in left:
            batch = bodies[start : start + BATCH]
            ids = [f"{name}-{start + place:034d}" for place in range(len(batch))]
            await connection.execute(_KEEP, shop.project_id, shop.app_id, ids, now, list(batch))

    began = perf_counter()
    await asyncio.gather(*(insert(connection) for connection in connections))
    return len(bodies) / (perf_counter() - began)


_KEEP = """
    INSERT INTO notification (project_id, app_id, message_id, kind, sent_at, body, received_at, wake_at)
    SELECT $1, $2, id, 'SUBSCRIBED/INITIAL_BUY', $4, body, $4, $4 FROM unnest($3::text[], $5::bytea[]) AS new (id, body)
"""


# Digesting --------------------------------------------------------------------------------------------------------------------


@value
class Digested:
    seconds: float
    statements: int  # sent to the database


async def digest(app: App, shop: Shop) -> Digested:
    """Until nothing is left to read and nothing left to ask."""
    async with _counted(app) as counted:
        began = perf_counter()
        while await intake.digest(app.database, app.vault, app.providers, shop.project_id, limit=BATCH):
            pass
        while await intake.ask_due(app.database, app.vault, app.providers, shop.project_id):
            pass
        seconds = perf_counter() - began
    return Digested(seconds=seconds, statements=counted.total())


@asynccontextmanager
async def _counted(app: App) -> AsyncIterator[Counter[str]]:
    counted: Counter[str] = Counter()
    app.database.before_statement = lambda sql: counted.update([sql])
    try:
        yield counted
    finally:
        app.database.before_statement = None


async def check_told(connection: Connection, shop: Shop, told: dict[str, int]) -> None:
    """That everything was done which a measurement says was. What no app has posted waits to be told, decided all the same."""
    rows = await connection.fetch(
        """
        SELECT type, count(*) FROM (SELECT project_id, type FROM event UNION ALL SELECT project_id, type FROM untold_event) AS decided
        WHERE project_id = $1 GROUP BY type
        """,
        shop.project_id,
    )
    assert dict(map(tuple, rows)) == told, rows
    left = await connection.fetchval("SELECT count(*) FROM inquiry WHERE project_id = $1", shop.project_id)
    assert left == 0, f"{left} questions were not answered"


# The ceiling of digesting -----------------------------------------------------------------------------------------------------

Rows = tuple[list[str], list[tuple[Any, ...]]]


async def copy_bare(connection: Connection, shop: Shop, bare: Shop, names: Sequence[str]) -> float:
    """The rows that were written once more, under another project, for a hundred customers per commit. Customers a second."""
    tables = {name: await _rows(connection, name, shop, bare) for name in names}
    owners = sorted({row[tables["customer"][0].index("customer_id")] for row in tables["customer"][1]})
    batches = [_part(tables, owners, start) for start in range(0, len(owners), BATCH)]
    began = perf_counter()
    for batch in batches:
        async with connection.transaction():
            for name, (columns, rows) in batch.items():
                await connection.copy_records_to_table(name, columns=columns, records=rows)
    return len(owners) / (perf_counter() - began)


async def grown(connection: Connection, shop: Shop, before: dict[str, int]) -> list[str]:
    """The tables that were written to: what is copied is exactly what was written, wherever that was."""
    after = await counts(connection, shop)
    names = {name for name, count in after.items() if count > before[name]}
    assert names <= set(TABLES), f"digesting writes {sorted(names)}, and only {sorted(TABLES)} can be copied"
    return [name for name in TABLES if name in names]


async def counts(connection: Connection, shop: Shop) -> dict[str, int]:
    names = await connection.fetch(
        """
        SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
        WHERE c.table_schema = 'public' AND c.column_name = 'project_id' AND t.table_type = 'BASE TABLE'
        """
    )
    counted = {}
    for (name,) in names:
        counted[name] = await connection.fetchval(f'SELECT count(*) FROM "{name}" WHERE project_id = $1', shop.project_id)
    return counted


async def _rows(connection: Connection, table: str, shop: Shop, bare: Shop) -> Rows:
    found = await connection.fetch(f"SELECT * FROM {table} WHERE project_id = $1", shop.project_id)
    swapped = {shop.project_id: bare.project_id, shop.app_id: bare.app_id}
    return list(found[0].keys()), [tuple(swapped.get(cell, cell) if isinstance(cell, str) else cell for cell in row) for row in found]


def _part(tables: dict[str, Rows], owners: Sequence[str], start: int) -> dict[str, Rows]:
    """The rows of a hundred customers; of what names no customer, as many as there are for each."""
    ours = set(owners[start : start + BATCH])
    part: dict[str, Rows] = {}
    for name, (names, rows) in tables.items():
        if "customer_id" in names:
            place = names.index("customer_id")
            part[name] = names, [row for row in rows if row[place] in ours]
        else:
            part[name] = names, rows[start * len(rows) // len(owners) : (start + BATCH) * len(rows) // len(owners)]
    return part

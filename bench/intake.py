"""Notifications of a store: taken in (checked, kept, committed), and digested (read, checked, recorded, told)."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.progress import Progress

from bench import store
from bench.house import Connection, House, Shop, make_shop, server
from bench.jws import bare_check, rate
from bench.load import Plan, measure
from bench.report import Figure
from perennial import intake
from perennial.api.hooks import Inbox
from perennial.base.time import perf_counter, wall_clock
from perennial.intake.model import StoreApp
from perennial.providers import simulated

LINES = 4000
BATCH = 100
CONCURRENT = 256

# Of a new subscription, everything that digesting writes, in the order the references ask for.
_TABLES = ("customer", "alias", "line_directory", "line", "purchase", "renewal", "event")


async def run(house: House, progress: Progress, customers: int) -> list[Figure]:
    shop, bare = await make_shop(house.app), await make_shop(house.app)
    task = progress.add_task(f"{LINES * 2:,} notifications: signed", total=None)
    bodies, verified = await _signed(house, shop)
    purchases, renewals = [pair[0] for pair in bodies], [pair[1] for pair in bodies]
    connection = await house.connect()
    progress.update(task, description="notifications: accepted")
    accepted = await _accept(house, shop, purchases)
    kept = await _keep_bare(house, bare, purchases)
    by_http = await _accept_by_http(house, shop, renewals)
    progress.update(task, description="notifications: digested")
    first = await _digest(house, shop, LINES)
    again = await _digest(house, shop, LINES)
    await _check(connection, shop)
    copied = await _copy_bare(connection, shop, bare)
    await connection.close()
    progress.remove_task(task)
    ceiling, what = min((verified, "the bare ECDSA check, the slower of that and"), (kept, "the bare insert, the slower of that and"))
    other = f"bare unnest inserts, 100 per commit ({kept:,.0f}/s)" if ceiling == verified else f"the bare ECDSA check ({verified:,.0f}/s)"
    return [
        Figure(
            name="intake.accept",
            value=accepted,
            unit="messages/s",
            ceiling=f"{what} {other}",
            ceiling_value=ceiling,
            note=f"{CONCURRENT} at once, {len(purchases[0]):,} bytes each",
        ),
        Figure(name="intake.accept_http", value=by_http, unit="messages/s", ceiling="the same", ceiling_value=ceiling, note="POST, 32 connections"),
        Figure(
            name="intake.digest",
            value=first,
            unit="messages/s",
            ceiling="bare COPY of the rows this writes, 100 messages per commit",
            ceiling_value=copied,
            note="new subscriptions: three signatures, rows in seven tables; the ceiling neither reads, checks, decides nor marks",
        ),
        Figure(name="intake.digest_renewals", value=again, unit="messages/s", note="renewals of lines that are known"),
    ]


async def _signed(house: House, shop: Shop) -> tuple[list[tuple[bytes, bytes]], float]:
    """The bodies, and how many bare checks of one's outer signature a second has."""
    async with house.app.database.transaction(shop.project_id) as tx:
        pen = (await simulated.require_pen(tx, house.app.vault, shop.app_id)).authority
        app: StoreApp = (await intake.store_apps(tx, house.app.vault, [shop.app_id]))[shop.app_id]
    bodies = await asyncio.to_thread(store.notifications, pen, app, range(LINES), wall_clock())
    token: str = msgspec.json.decode(bodies[0][0])["signedPayload"]
    return bodies, rate(bare_check(pen, token), 3000)


async def _accept(house: House, shop: Shop, bodies: Sequence[bytes]) -> float:
    inbox, left = Inbox(house.app), iter(bodies)

    async def post() -> None:
        for body in left:
            await inbox.accept(shop.project_id, shop.app_id, body)

    began = perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENT):
            group.create_task(post())
    return len(bodies) / (perf_counter() - began)


async def _accept_by_http(house: House, shop: Shop, bodies: Sequence[bytes]) -> float:
    head = f"POST /hooks/app_store/{shop.app_id} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    path = house.home / "requests.msgpack"
    path.write_bytes(msgspec.msgpack.encode([f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]))
    async with server(house, "product") as port:
        return (await measure(Plan(port=port, requests=str(path)))).rate


async def _digest(house: House, shop: Shop, count: int) -> float:
    app, handled, began = house.app, 0, perf_counter()
    while handled < count:
        done = await intake.digest(app.database, app.vault, app.providers, shop.project_id, limit=BATCH)
        assert done, "the inbox is empty too early"
        handled += done
    return handled / (perf_counter() - began)


async def _check(connection: Connection, shop: Shop) -> None:
    told = await connection.fetch("SELECT type, count(*) FROM event WHERE project_id = $1 GROUP BY type ORDER BY type", shop.project_id)
    assert [tuple(row) for row in told] == [("INITIAL_PURCHASE", LINES), ("RENEWAL", LINES)], told


# Ceilings -------------------------------------------------------------------------------------------------------------------------


async def _keep_bare(house: House, shop: Shop, bodies: Sequence[bytes]) -> float:
    """The inbox's rows, as the owner whom no wall hinders, one statement a batch; on two connections, as the product uses two."""
    now, connections = wall_clock(), [await house.connect() for _ in range(2)]
    left = iter(range(0, len(bodies), BATCH))

    async def insert(connection: Connection) -> None:
        for start in left:
            batch = bodies[start : start + BATCH]
            await connection.execute(_KEEP, shop.project_id, shop.app_id, [f"{start + place:036d}" for place in range(len(batch))], now, list(batch))

    began = perf_counter()
    await asyncio.gather(*(insert(connection) for connection in connections))
    seconds = perf_counter() - began
    for connection in connections:
        await connection.close()
    return len(bodies) / seconds


_KEEP = """
    INSERT INTO notification (project_id, app_id, message_id, kind, sent_at, body, received_at, wake_at)
    SELECT $1, $2, id, 'SUBSCRIBED/INITIAL_BUY', $4, body, $4, $4 FROM unnest($3::text[], $5::bytea[]) AS new (id, body)
"""


async def _copy_bare(connection: Connection, shop: Shop, bare: Shop) -> float:
    """The rows of the first notifications once more, under another project."""
    tables = {name: await _rows(connection, name, shop, bare) for name in _TABLES}
    owners = sorted({row[1] for row in tables["customer"][1]})
    batches = [_of(tables, set(owners[start : start + BATCH])) for start in range(0, len(owners), BATCH)]
    began = perf_counter()
    for batch in batches:
        async with connection.transaction():
            for name, (names, rows) in batch.items():
                await connection.copy_records_to_table(name, columns=names, records=rows)
    return len(owners) / (perf_counter() - began)


Rows = tuple[list[str], list[tuple[Any, ...]]]

_OF_THE_FIRST = {
    "purchase": "AND NOT is_renewal",
    "renewal": "AND transaction NOT IN (SELECT transaction FROM purchase WHERE is_renewal)",
    "event": "AND sequence = 1",
}


async def _rows(connection: Connection, table: str, shop: Shop, bare: Shop) -> Rows:
    """What the first message of each line wrote: the renewal's rows are left out."""
    found = await connection.fetch(f"SELECT * FROM {table} WHERE project_id = $1 {_OF_THE_FIRST.get(table, '')}", shop.project_id)
    swapped = {shop.project_id: bare.project_id, shop.app_id: bare.app_id}
    return list(found[0].keys()), [tuple(swapped.get(cell, cell) if isinstance(cell, str) else cell for cell in row) for row in found]


def _of(tables: dict[str, Rows], owners: set[str]) -> dict[str, Rows]:
    return {name: (names, [row for row in rows if row[names.index("customer_id")] in owners]) for name, (names, rows) in tables.items()}

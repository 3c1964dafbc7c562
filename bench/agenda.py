"""Lines whose time has come: ten thousand subscriptions that ran out, woken, told and saved."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rich.progress import Progress

from bench.house import House, Shop, make_shop
from bench.report import Figure
from perennial import agenda, catalog, customers, subscriptions
from perennial.base.money import Money
from perennial.base.time import perf_counter
from perennial.subscriptions import Said
from perennial.subscriptions.model import Purchase, Renewal, Statement
from perennial.subscriptions.rules import ASK_AFTER

ITEMS = 10_000
BATCH = 500
_START = datetime(2026, 1, 31, 12, tzinfo=UTC)
_MONTH = timedelta(days=28)


async def run(house: House, progress: Progress, customers: int) -> list[Figure]:
    task = progress.add_task(f"{ITEMS:,} lines that expire", total=ITEMS)
    shop = await make_shop(house.app)
    await _set_clock(house, shop, _START)
    for start in range(0, ITEMS, BATCH):
        await _sell(house, shop, range(start, start + BATCH))
        progress.update(task, completed=start + BATCH)
    await _ask_in_time(house, shop)
    await _set_clock(house, shop, _START + _MONTH * 2)
    progress.update(task, description="agenda: drained")
    drained, statements = await _drain(house, shop)
    bare = await _drain_bare(house)
    progress.remove_task(task)
    return [
        Figure(
            name="agenda.drain",
            value=drained,
            unit="items/s",
            ceiling="a queue of no-ops in plain SQL, batches of 500",
            ceiling_value=bare,
            note="each writes line, purchase, customer and event",
        ),
        Figure(
            name="agenda.queries", value=statements / ITEMS, unit="queries/item", note=f"{statements:,} statements, with each entering and commit"
        ),
    ]


async def _set_clock(house: House, shop: Shop, at: datetime) -> None:
    async with house.app.database.transaction(shop.project_id) as tx:
        await catalog.set_clock(tx, at, None)


async def _sell(house: House, shop: Shop, numbers: Sequence[int]) -> None:
    async with house.app.database.transaction(shop.project_id) as tx:
        ids, _ = await customers.ensure(tx, [f"leaver-{number}" for number in numbers])
        said = [Said(app_id=shop.app_id, statement=_cancelled(number), buyer=ids[f"leaver-{number}"]) for number in numbers]
        await subscriptions.record(tx, said)


def _cancelled(number: int) -> Statement:
    transaction = f"3{number:014d}"
    purchase = Purchase(
        transaction=transaction,
        product="pro_monthly",
        kind="subscription",
        purchased_at=_START,
        expires_at=_START + _MONTH,
        as_of=_START,
        is_first=True,
        is_renewal=False,
        price=Money(amount=999, currency="USD"),
        country="US",
    )
    renewal = Renewal(as_of=_START, transaction=transaction, auto_renew=False, off_reason="unsubscribe")
    return Statement(store="app_store", environment="production", line=transaction, purchases=(purchase,), renewals=(renewal,))


async def _ask_in_time(house: House, shop: Shop) -> None:
    """At its end a line is woken to ask its store (here there is none to ask). One that was not would be given time to answer."""
    await _set_clock(house, shop, _START + _MONTH + ASK_AFTER)
    await agenda.run_due(house.app, shop.project_id, ["money"])


async def _drain(house: House, shop: Shop) -> tuple[float, int]:
    """Items a second, and how many statements it took."""
    counted: Counter[str] = Counter()
    house.app.database.before_statement = lambda sql: counted.update([sql])
    began = perf_counter()
    handled = await agenda.run_due(house.app, shop.project_id, ["money"])
    seconds = perf_counter() - began
    house.app.database.before_statement = None
    assert handled == ITEMS, f"{handled} items were handled, not {ITEMS}"
    await _check(house, shop)
    return handled / seconds, counted.total()


async def _check(house: House, shop: Shop) -> None:
    async with house.app.database.transaction(shop.project_id) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM event WHERE type = 'EXPIRATION'") == ITEMS


async def _drain_bare(house: House) -> float:
    connection = await house.connect()
    await connection.execute(
        """
        CREATE TABLE bench_queue (id text PRIMARY KEY, wake_at timestamptz);
        CREATE INDEX ON bench_queue (wake_at) WHERE wake_at IS NOT NULL;
        """
    )
    await connection.execute("INSERT INTO bench_queue SELECT 'item_' || n, $1::timestamptz FROM generate_series(1, $2::integer) n", _START, ITEMS)
    await connection.execute("ANALYZE bench_queue")
    began, handled = perf_counter(), 0
    while True:
        async with connection.transaction():
            rows = await connection.fetch(
                "SELECT id FROM bench_queue WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2 FOR UPDATE SKIP LOCKED", _START + _MONTH, BATCH
            )
            if not rows:
                break
            await connection.execute("UPDATE bench_queue SET wake_at = NULL WHERE id = ANY ($1::text[])", [row["id"] for row in rows])
            handled += len(rows)
    seconds = perf_counter() - began
    await connection.execute("DROP TABLE bench_queue")
    await connection.close()
    return handled / seconds

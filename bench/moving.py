"""Moving in and out: a scheduled export imported, and exported again; and how much memory that takes, from its beginning to its end."""

import csv
import gzip
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import psutil
from rich.progress import Progress

from bench.house import Connection, House, Shop, make_shop
from bench.report import Figure
from perennial import exports, imports
from perennial.base.time import perf_counter, wall_clock
from perennial.exports import COLUMNS

PERIODS = 3
_BATCH = 1_000
_COPIED = 20_000  # customers whose rows are written once more for the ceiling: they are held in memory
# What an import writes, in the order the references ask for.
_TABLES = ("customer", "alias", "line_directory", "line", "purchase", "renewal", "transfer")


async def run(house: House, progress: Progress, people: int) -> list[Figure]:
    shop, bare = await make_shop(house.app), await make_shop(house.app)
    task = progress.add_task(f"{people * PERIODS:,} rows of {people:,} customers", total=people * PERIODS)
    with tempfile.TemporaryDirectory(dir=house.home) as folder:
        path = _write(Path(folder) / "export.csv.gz", people, wall_clock())
        memory = Memory(people * PERIODS)
        with imports.unhurried_collector():
            imported, room = await _import(house, shop, path, Path(folder), progress, memory)
    copied = await _copy_bare(await house.connect(), shop, bare)
    async with house.app.database.transaction(shop.project_id) as tx:
        plan = await exports.create(tx, name="Bench", target=str(house.home / "exported"), format="parquet", mode="full")
    out = Memory(people * PERIODS)
    progress.reset(task)
    began = perf_counter()

    def watch(rows: int) -> None:
        out.note(rows)
        progress.update(task, completed=rows)

    done = await exports.run(house.app.database, shop.project_id, plan, watch=watch)
    exported = done.rows / (perf_counter() - began)
    assert done.rows == people * PERIODS, done.rows
    progress.remove_task(task)
    return [
        Figure(
            name="import.rows",
            value=imported,
            unit="purchases/s",
            ceiling="bare COPY of the rows this writes, in as many commits",
            ceiling_value=copied,
            target="> 2,000 a second",
            note=f"{people:,} customers with {PERIODS} periods each, sorted ({room:,.0f} MB on disk), merged and booked; {memory}",
        ),
        Figure(name="export.rows", value=exported, unit="purchases/s", note=f"to Parquet, in a folder; {out}"),
    ]


class Memory:
    """How much this process had in memory, at a tenth, at half, and at the end of so many rows."""

    def __init__(self, total: int) -> None:
        self._marks = {round(total * share): f"{share:.0%}" for share in (0.1, 0.5, 1)}
        self._seen: dict[str, float] = {}

    def note(self, rows: int) -> None:
        for mark, name in self._marks.items():
            if rows >= mark and name not in self._seen:
                self._seen[name] = psutil.Process().memory_info().rss / (1 << 20)

    def __str__(self) -> str:
        return f"this process had {', '.join(f'{size:,.0f} MB at {name}' for name, size in self._seen.items())}"


def _write(path: Path, people: int, now: datetime) -> Path:
    """Customers who are in their third month, in the order of the months: nobody's rows stand together."""
    month = timedelta(days=30)
    with gzip.open(path, "wt", compresslevel=1, newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS), restval="", delimiter=";")
        writer.writeheader()
        for period in range(PERIODS):
            begun = now - month * (PERIODS - period) + timedelta(days=10)
            for number in range(people):
                writer.writerow(
                    {
                        "rc_original_app_user_id": f"user-{number}",
                        "rc_last_seen_app_user_id_alias": f"user-{number}",
                        "country": "US",
                        "country_source": "from_sdk",
                        "product_identifier": "pro_monthly",
                        "start_time": f"{begun:%Y-%m-%d %H:%M:%S}",
                        "end_time": f"{begun + month:%Y-%m-%d %H:%M:%S}",
                        "effective_end_time": f"{begun + month:%Y-%m-%d %H:%M:%S}",
                        "store": "app_store",
                        "is_auto_renewable": "true",
                        "purchased_currency": "USD",
                        "price_in_purchased_currency": "9.99",
                        "purchase_price_in_purchased_currency": "9.99",
                        "store_transaction_id": f"{2_000_000_000 + number}{period or ''}",
                        "original_store_transaction_id": f"{2_000_000_000 + number}",
                        "renewal_number": period + 1,
                        "updated_at": f"{now:%Y-%m-%d %H:%M:%S}",
                        "first_seen_time": f"{now - month * PERIODS:%Y-%m-%d %H:%M:%S}",
                    }
                )
    return path


async def _import(house: House, shop: Shop, path: Path, folder: Path, progress: Progress, memory: Memory) -> tuple[float, float]:
    """From the file to the last commit, sorting included: rows a second, and the megabytes that what was sorted took."""
    app = house.app
    began = perf_counter()
    *_, found = imports.sort_files("export", [path], folder)
    assert isinstance(found, imports.Sorted)
    room = sum(run.stat().st_size for run in found.runs) / (1 << 20)
    desk = imports.House(database=app.database, vault=app.vault, providers=app.providers, project_id=shop.project_id)
    shelf = await imports.load_shelf(desk, as_of=imports.age_of(found))
    state = await imports.open_import(desk, "export", path.name, imports.fingerprint([path]))
    rows = 0
    async for _, outcome in imports.run(desk, shelf, imports.file_batches("export", found, shelf, state.reached), state):
        rows += outcome.rows
        memory.note(rows)
        progress.update(progress.task_ids[-1], completed=rows)
        assert not outcome.findings, outcome.findings[0]
    return rows / (perf_counter() - began), room


async def _copy_bare(connection: Connection, shop: Shop, bare: Shop) -> float:
    """The same rows once more, or those of the first customers, under another project, as the owner whom no wall hinders."""
    first = await connection.fetch("SELECT customer_id FROM customer WHERE project_id = $1 ORDER BY 1 LIMIT $2", shop.project_id, _COPIED)
    swapped = {shop.project_id: bare.project_id, shop.app_id: bare.app_id}
    tables = {}
    for name in _TABLES:
        condition = "TRUE ORDER BY transfer_id LIMIT $2" if name == "transfer" else "customer_id <= $2"
        limit = len(first) * PERIODS if name == "transfer" else first[-1]["customer_id"]
        found = await connection.fetch(f"SELECT * FROM {name} WHERE project_id = $1 AND {condition}", shop.project_id, limit)
        rows = [tuple(swapped.get(cell, cell) if isinstance(cell, str) else cell for cell in row) for row in found]
        tables[name] = (list(found[0].keys()), rows)
    purchases = len(tables["purchase"][1])
    steps = -(-purchases // _BATCH)
    began = perf_counter()
    for name in _TABLES:  # one table after another, so that references hold; as many commits in all
        names, rows = tables[name]
        size = -(-len(rows) // max(steps // len(_TABLES), 1))
        for start in range(0, len(rows), size):
            await connection.copy_records_to_table(name, columns=names, records=rows[start : start + size])
    rate = purchases / (perf_counter() - began)
    await connection.close()
    return rate

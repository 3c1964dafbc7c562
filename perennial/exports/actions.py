"""The verbs of exports: plan, run, pause.

A run reads one snapshot of the database: everything in it agrees, whatever happens meanwhile. It writes a file here, leaves the transaction, and only
then delivers. Each run's file has a name of its own, so one that is delivered twice after a crash does no harm: its rows have unique keys.
"""

import asyncio
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from perennial import catalog, customers, subscriptions
from perennial.base.db import Database, Tx
from perennial.base.errors import Invalid, NotFound, PerennialError
from perennial.base.ids import CustomerId, ProjectId
from perennial.exports import db, files, rules
from perennial.exports.model import OVERLAP, Export, ExportRun, Format, Mode
from perennial.subscriptions.model import Line

log = structlog.get_logger("perennial.exports")

PAGE = 500  # customers read at once
MOST_EXPORTS = 20

Watch = Callable[[int], None]  # told how many rows are written


async def create(tx: Tx, *, name: str, target: str, format: Format, mode: Mode) -> Export:
    """Daily from now on, first everything. Raises `Invalid` for a target that cannot be."""
    checked = files.check_target(target)
    files.store_of(checked)
    if len(await db.load(tx)) >= MOST_EXPORTS:
        raise Invalid(f"this project has {MOST_EXPORTS} exports already; delete one first")
    return await db.insert(tx, name, checked, format, mode)


async def require(tx: Tx, export_id: str) -> Export:
    found = await db.load(tx, export_id)
    if not found:
        raise NotFound(f"no export {export_id[:80]!r} in this project", param="export_id")
    return found[0]


async def delete(tx: Tx, export_id: str) -> None:
    """What was delivered stays where it is."""
    if not await db.delete(tx, export_id):
        raise NotFound(f"no export {export_id[:80]!r} in this project", param="export_id")


async def pause(tx: Tx, export_id: str) -> None:
    await require(tx, export_id)
    await db.set_wake(tx, export_id, None)


async def resume(tx: Tx, export_id: str) -> None:
    """Due at once, and then by its plan."""
    await require(tx, export_id)
    await db.set_wake(tx, export_id, tx.now)


async def run_due(database: Database, project_id: ProjectId) -> int:
    """Runs one export that is due, and returns how many: one, or none."""
    async with database.transaction(project_id) as tx:
        export = await db.claim_due(tx)
    if export is None:
        return 0
    try:
        await run(database, project_id, export)
    except (PerennialError, OSError) as error:
        message = error.message if isinstance(error, PerennialError) else str(error)
        log.warning("an export failed", project_id=project_id, export_id=export.export_id, error=message)
        async with database.transaction(project_id) as tx:
            await db.postpone(tx, export.export_id, message, rules.retry_at(export.attempts, tx.now))
    return 1


async def run(database: Database, project_id: ProjectId, export: Export, *, is_full: bool = False, watch: Watch = lambda rows: None) -> ExportRun:
    """Writes what is new, or everything, and delivers it."""
    mode: Mode = "full" if is_full or export.mode == "full" or export.until_at is None else "new_and_updated"
    since = export.until_at - OVERLAP if mode == "new_and_updated" and export.until_at is not None else None
    with tempfile.TemporaryDirectory(prefix="perennial-export-") as folder:
        table, until_at, rows = await _write(database, project_id, Path(folder), since, watch)
        path = table
        if export.format == "parquet":
            path = Path(folder) / "table.parquet"
            await asyncio.to_thread(files.to_parquet, table, path, rules.COLUMNS)
        name = rules.file_name(export.name, until_at, files.ENDINGS[export.format])
        await files.deliver(files.store_of(export.target), name, path)
        size = path.stat().st_size
    async with database.transaction(project_id) as tx:
        done = ExportRun(
            run_id=tx.new_id("run"),
            export_id=export.export_id,
            mode=mode,
            since=since,
            until_at=until_at,
            object=name,
            rows=rows,
            bytes=size,
            started_at=until_at,
            finished_at=tx.now,
        )
        planned = export.next_at <= tx.now
        await db.save_run(tx, done, next_at=rules.next_after(export, tx.now) if planned else export.next_at)
    return done


async def _write(database: Database, project_id: ProjectId, folder: Path, since: datetime | None, watch: Watch) -> tuple[Path, datetime, int]:
    path = folder / "table.csv.gz"
    with files.Table(path, rules.COLUMNS) as table:
        async with database.transaction(project_id, is_snapshot=True) as tx:
            after = ""
            while ids := await db.page(tx, after=after, since=since, limit=PAGE):
                table.write(await _rows(tx, ids))
                watch(table.rows)
                after = ids[-1]
            return path, tx.now, table.rows


async def _rows(tx: Tx, ids: list[CustomerId]) -> list[list[Any]]:
    lines = await subscriptions.load_of_customers(tx, ids)
    owners: dict[CustomerId, list[Line]] = {}
    for line in lines:
        owners.setdefault(line.customer_id, []).append(line)
    people = await customers.load(tx, sorted(owners)) if owners else {}
    products = await catalog.find_products(tx, {(line.app_id, held.purchase.product) for line in lines for held in line.held})
    apps = await subscriptions.sellers(tx, lines)
    return [row for customer_id in sorted(owners) for row in rules.rows_of(people[customer_id], owners[customer_id], products, apps)]


async def listed(tx: Tx) -> list[tuple[Export, ExportRun | None]]:
    """Each export with its latest run."""
    found = await db.load(tx)
    return [(export, next(iter(await db.runs(tx, export.export_id, 1)), None)) for export in found]

"""SQL of exports: what is planned, what was delivered, and whose turn it is."""

from datetime import datetime

from perennial.base.db import Row, Tx
from perennial.base.ids import CustomerId
from perennial.exports.model import LEASE, Export, ExportRun, Format, Mode


async def insert(tx: Tx, name: str, target: str, format: Format, mode: Mode) -> Export:
    made = Export(export_id=tx.new_id("exp"), name=name, target=target, format=format, mode=mode, created_at=tx.now, next_at=tx.now, wake_at=tx.now)
    await tx.execute(
        """
        INSERT INTO export (project_id, export_id, name, target, format, mode, created_at, next_at, wake_at)
        VALUES (%(project_id)s, %(export_id)s, %(name)s, %(target)s, %(format)s, %(mode)s, %(now)s, %(now)s, %(now)s)
        """,
        project_id=tx.project_id,
        export_id=made.export_id,
        name=name,
        target=target,
        format=format,
        mode=mode,
        now=tx.now,
    )
    return made


async def load(tx: Tx, export_id: str | None = None) -> list[Export]:
    rows = await tx.fetch(
        "SELECT * FROM export WHERE %(export_id)s::text IS NULL OR export_id = %(export_id)s ORDER BY export_id LIMIT 100", export_id=export_id
    )
    return [_export(row) for row in rows]


async def delete(tx: Tx, export_id: str) -> bool:
    return await tx.execute("DELETE FROM export WHERE export_id = %(export_id)s", export_id=export_id) == 1


async def set_wake(tx: Tx, export_id: str, wake_at: datetime | None) -> None:
    await tx.execute("UPDATE export SET wake_at = %(wake_at)s WHERE export_id = %(export_id)s", export_id=export_id, wake_at=wake_at)


async def claim_due(tx: Tx) -> Export | None:
    """One whose time has come, under a lease: if we die, it wakes again."""
    row = await tx.fetch_one(
        """
        WITH due AS (
          SELECT project_id, export_id FROM export WHERE project_id = (SELECT %(project_id)s::text) AND wake_at <= %(now)s
          ORDER BY wake_at LIMIT 1 FOR UPDATE SKIP LOCKED)
        UPDATE export e SET wake_at = %(lease)s, attempts = attempts + 1 FROM due
        WHERE e.project_id = due.project_id AND e.export_id = due.export_id RETURNING e.*
        """,
        project_id=tx.project_id,
        now=tx.now,
        lease=tx.now + LEASE,
    )
    return None if row is None else _export(row)


async def postpone(tx: Tx, export_id: str, error: str, wake_at: datetime) -> None:
    await tx.execute(
        "UPDATE export SET last_error = %(error)s, wake_at = %(wake_at)s WHERE export_id = %(export_id)s AND wake_at IS NOT NULL",
        export_id=export_id,
        error=error[:1000],
        wake_at=wake_at,
    )


async def save_run(tx: Tx, run: ExportRun, *, next_at: datetime) -> None:
    """Delivered: what is new is counted from here on, and the next run is planned, where it was not paused meanwhile."""
    await tx.execute(
        """
        INSERT INTO export_run (project_id, export_id, run_id, mode, since, until_at, object, rows, bytes, started_at, finished_at)
        VALUES (%(project_id)s, %(export_id)s, %(run_id)s, %(mode)s, %(since)s, %(until_at)s, %(object)s, %(rows)s, %(bytes)s, %(started_at)s,
          %(finished_at)s)
        """,
        project_id=tx.project_id,
        export_id=run.export_id,
        run_id=run.run_id,
        mode=run.mode,
        since=run.since,
        until_at=run.until_at,
        object=run.object,
        rows=run.rows,
        bytes=run.bytes,
        started_at=run.started_at,
        finished_at=run.finished_at,
    )
    await tx.execute(
        """
        UPDATE export SET until_at = greatest(until_at, %(until_at)s), attempts = 0, last_error = NULL, next_at = %(next_at)s::timestamptz,
          wake_at = CASE WHEN wake_at IS NOT NULL THEN %(next_at)s::timestamptz END
        WHERE export_id = %(export_id)s
        """,
        export_id=run.export_id,
        until_at=run.until_at,
        next_at=next_at,
    )


async def runs(tx: Tx, export_id: str, limit: int) -> list[ExportRun]:
    """The newest first."""
    rows = await tx.fetch(
        "SELECT * FROM export_run WHERE export_id = %(export_id)s ORDER BY run_id DESC LIMIT %(limit)s", export_id=export_id, limit=limit
    )
    return [
        ExportRun(
            run_id=row["run_id"],
            export_id=row["export_id"],
            mode=row["mode"],
            since=row["since"],
            until_at=row["until_at"],
            object=row["object"],
            rows=row["rows"],
            bytes=row["bytes"],
            started_at=row["started_at"],
            finished_at=row["finished_at"],
        )
        for row in rows
    ]


async def page(tx: Tx, *, after: str, since: datetime | None, limit: int) -> list[CustomerId]:
    """Customers in the order of their making, those of whom something changed after `since`; the deleted too: what they bought stays."""
    rows = await tx.fetch(
        """
        SELECT customer_id FROM customer
        WHERE project_id = (SELECT %(project_id)s::text) AND customer_id > %(after)s AND merged_into IS NULL
          AND placeholder IS DISTINCT FROM 'hidden' AND (%(since)s::timestamptz IS NULL OR changed_at > %(since)s)
        ORDER BY customer_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        after=after,
        since=since,
        limit=limit,
    )
    return [row["customer_id"] for row in rows]


def _export(row: Row) -> Export:
    return Export(
        export_id=row["export_id"],
        name=row["name"],
        target=row["target"],
        format=row["format"],
        mode=row["mode"],
        created_at=row["created_at"],
        next_at=row["next_at"],
        until_at=row["until_at"],
        attempts=row["attempts"],
        wake_at=row["wake_at"],
        last_error=row["last_error"],
    )

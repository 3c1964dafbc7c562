"""SQL of imports: how far each got."""

from perennial.base.db import Row, Tx
from perennial.base.value import replace
from perennial.imports.model import Batch, Import, Outcome, Source


async def unfinished(tx: Tx, fingerprint: str) -> Import | None:
    row = await tx.fetch_one(
        "SELECT * FROM import WHERE fingerprint = %(fingerprint)s AND finished_at IS NULL ORDER BY import_id DESC LIMIT 1", fingerprint=fingerprint
    )
    return None if row is None else _import(row)


async def begin(tx: Tx, source: Source, name: str, fingerprint: str) -> Import:
    begun = Import(import_id=tx.new_id("imp"), source=source, name=name, fingerprint=fingerprint, started_at=tx.now)
    await tx.execute(
        """
        INSERT INTO import (project_id, import_id, source, name, fingerprint, started_at)
        VALUES (%(project_id)s, %(import_id)s, %(source)s, %(name)s, %(fingerprint)s, %(now)s)
        """,
        project_id=tx.project_id,
        import_id=begun.import_id,
        source=source,
        name=name[:1000],
        fingerprint=fingerprint,
        now=tx.now,
    )
    return begun


async def save(tx: Tx, state: Import) -> None:
    await tx.execute(
        """
        UPDATE import SET reached = %(reached)s, rows = %(rows)s, refused = %(refused)s, customers = %(customers)s, lines = %(lines)s,
          changed = %(changed)s, finished_at = %(finished_at)s
        WHERE import_id = %(import_id)s
        """,
        import_id=state.import_id,
        reached=state.reached,
        rows=state.rows,
        refused=state.refused,
        customers=state.customers,
        lines=state.lines,
        changed=state.changed,
        finished_at=state.finished_at,
    )


async def keep_batch(tx: Tx, import_id: str, batch: Batch, outcome: Outcome) -> Outcome:
    """Keeps what a batch did, with what it records. Returns what it did when it was first recorded, where that was before."""
    row = await tx.fetch_one(
        """
        INSERT INTO import_batch (project_id, import_id, batch, rows, refused, customers, lines, changed)
        VALUES (%(project_id)s, %(import_id)s, %(batch)s, %(rows)s, %(refused)s, %(customers)s, %(lines)s, %(changed)s)
        ON CONFLICT (project_id, import_id, batch) DO UPDATE SET rows = import_batch.rows
        RETURNING rows, refused, customers, lines, changed
        """,
        project_id=tx.project_id,
        import_id=import_id,
        batch=_place_of(batch.reached, batch.part),
        rows=outcome.rows,
        refused=outcome.refused,
        customers=outcome.customers,
        lines=outcome.lines,
        changed=outcome.changed,
    )
    assert row is not None, "it was inserted, or was there"
    return replace(outcome, rows=row["rows"], refused=row["refused"], customers=row["customers"], lines=row["lines"], changed=row["changed"])


async def forget_batch(tx: Tx, import_id: str, reached: str) -> None:
    """Once it is in the sums of its import."""
    await tx.execute(
        "DELETE FROM import_batch WHERE project_id = %(project_id)s AND import_id = %(import_id)s AND split_part(batch, '/', 1) = %(reached)s",
        project_id=tx.project_id,
        import_id=import_id,
        reached=_place_of(reached, "").partition("/")[0],
    )


def _place_of(reached: str, part: str) -> str:
    return f"{reached.replace('/', '|')}/{part}"


async def latest(tx: Tx, limit: int) -> list[Import]:
    """The newest first."""
    rows = await tx.fetch("SELECT * FROM import ORDER BY import_id DESC LIMIT %(limit)s", limit=limit)
    return [_import(row) for row in rows]


def _import(row: Row) -> Import:
    return Import(
        import_id=row["import_id"],
        source=row["source"],
        name=row["name"],
        fingerprint=row["fingerprint"],
        started_at=row["started_at"],
        reached=row["reached"],
        rows=row["rows"],
        refused=row["refused"],
        customers=row["customers"],
        lines=row["lines"],
        changed=row["changed"],
        finished_at=row["finished_at"],
    )


async def sample(tx: Tx, limit: int) -> list[str]:
    """App user ids of so many customers who hold something, drawn by a hash: the same ones each time, from everywhere."""
    rows = await tx.fetch(
        """
        SELECT c.original_app_user_id FROM customer c
        WHERE c.merged_into IS NULL AND c.deleted_at IS NULL AND c.placeholder IS NULL
          AND EXISTS (SELECT FROM line l WHERE l.project_id = c.project_id AND l.customer_id = c.customer_id)
        ORDER BY md5(c.customer_id) LIMIT %(limit)s
        """,
        limit=limit,
    )
    return [row["original_app_user_id"] for row in rows]

"""SQL of what we want done at stores. What was given up waits until a person wakes it."""

from collections.abc import Sequence
from datetime import datetime

from perennial.base.db import Tx
from perennial.base.ids import AppId
from perennial.base.value import value
from perennial.intake.model import LEASE, Act


@value
class WantedAct:
    """An act on our list, claimed."""

    app_id: AppId
    act: Act
    attempts: int


async def want_acts(tx: Tx, acts: Sequence[tuple[AppId, Act]], wake_at: datetime) -> None:
    """Onto the list, once each: an act wanted again is the same act."""
    rows = {(app_id, act.act_id): act for app_id, act in acts}
    keys = sorted(rows)
    await tx.execute(
        """
        INSERT INTO store_act (project_id, app_id, act_id, kind, environment, subject, details, wanted_at, wake_at)
        SELECT %(project_id)s, app_id, act_id, kind, environment, subject, details, %(now)s, %(wake_at)s
        FROM jsonb_to_recordset(%(rows)s) AS new (app_id text, act_id text, kind text, environment text, subject text, details jsonb)
        ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        now=tx.now,
        wake_at=wake_at,
        rows=[
            {
                "app_id": app_id,
                "act_id": act_id,
                "kind": rows[app_id, act_id].kind,
                "environment": rows[app_id, act_id].environment,
                "subject": rows[app_id, act_id].subject,
                "details": dict(rows[app_id, act_id].details),
            }
            for app_id, act_id in keys
        ],
    )


async def claim_acts(tx: Tx, limit: int) -> list[WantedAct]:
    """Takes due ones under a lease: if we die, they wake again."""
    rows = await tx.fetch(
        """
        WITH due AS (
          SELECT project_id, app_id, act_id FROM store_act
          WHERE project_id = (SELECT %(project_id)s::text) AND wake_at <= %(now)s ORDER BY wake_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        UPDATE store_act s SET wake_at = %(lease)s, attempts = attempts + 1 FROM due
        WHERE s.project_id = due.project_id AND s.app_id = due.app_id AND s.act_id = due.act_id
        RETURNING s.app_id, s.act_id, s.kind, s.environment, s.subject, s.details, s.attempts
        """,
        project_id=tx.project_id,
        now=tx.now,
        lease=tx.now + LEASE,
        limit=limit,
    )
    return [
        WantedAct(
            app_id=row["app_id"],
            attempts=row["attempts"],
            act=Act(act_id=row["act_id"], kind=row["kind"], environment=row["environment"], subject=row["subject"], details=row["details"]),
        )
        for row in rows
    ]


async def close_act(tx: Tx, app_id: AppId, act_id: str) -> None:
    await tx.execute(
        "UPDATE store_act SET done_at = %(now)s, wake_at = NULL, last_error = NULL WHERE app_id = %(app_id)s AND act_id = %(act_id)s",
        now=tx.now,
        app_id=app_id,
        act_id=act_id,
    )


async def postpone_act(tx: Tx, app_id: AppId, act_id: str, *, error: str, wake_at: datetime | None) -> None:
    """Null parks it for a person to see."""
    await tx.execute(
        "UPDATE store_act SET last_error = %(error)s, wake_at = %(wake_at)s WHERE app_id = %(app_id)s AND act_id = %(act_id)s",
        app_id=app_id,
        act_id=act_id,
        error=error[:1000],
        wake_at=wake_at,
    )


async def wake_act(tx: Tx, app_id: str, act_id: str) -> bool:
    """False where no such act is parked."""
    woken = await tx.execute(
        """
        UPDATE store_act SET attempts = 0, wake_at = %(now)s
        WHERE app_id = %(app_id)s AND act_id = %(act_id)s AND wake_at IS NULL AND done_at IS NULL
        """,
        now=tx.now,
        app_id=app_id,
        act_id=act_id,
    )
    return woken == 1

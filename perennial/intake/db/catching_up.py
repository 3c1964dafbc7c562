"""SQL of catching up after an outage: where it stands, which lines it asks about, how it went."""

from datetime import datetime

from perennial.base.db import Row, Tx
from perennial.base.ids import AppId
from perennial.base.value import names_of
from perennial.intake.model import CatchUp, Report
from perennial.subscriptions.model import Environment


async def unfinished_catch_up(tx: Tx, app_id: AppId, environment: Environment) -> CatchUp | None:
    row = await tx.fetch_one(
        """
        SELECT * FROM catch_up WHERE app_id = %(app_id)s AND environment = %(environment)s AND finished_at IS NULL
        ORDER BY catch_up_id DESC LIMIT 1
        """,
        app_id=app_id,
        environment=environment,
    )
    return None if row is None else _catch_up(row)


async def begin_catch_up(tx: Tx, app_id: AppId, environment: Environment, since: datetime) -> CatchUp:
    state = CatchUp(catch_up_id=tx.new_id("catchup"), app_id=app_id, environment=environment, since=since, until=tx.now, started_at=tx.now)
    await tx.execute(
        """
        INSERT INTO catch_up (project_id, app_id, catch_up_id, environment, since, until, started_at)
        VALUES (%(project_id)s, %(app_id)s, %(id)s, %(environment)s, %(since)s, %(now)s, %(now)s)
        """,
        project_id=tx.project_id,
        app_id=app_id,
        id=state.catch_up_id,
        environment=environment,
        since=since,
        now=tx.now,
    )
    return state


async def save_catch_up(tx: Tx, state: CatchUp) -> None:
    await tx.execute(
        """
        UPDATE catch_up SET reached = %(reached)s, is_read = %(is_read)s, lines_after = %(lines_after)s,
          told = %(told)s, new = %(new)s, asked = %(asked)s, finished_at = %(finished_at)s
        WHERE app_id = %(app_id)s AND catch_up_id = %(id)s
        """,
        app_id=state.app_id,
        id=state.catch_up_id,
        reached=state.reached,
        is_read=state.is_read,
        lines_after=state.lines_after,
        told=state.told,
        new=state.new,
        asked=state.asked,
        finished_at=state.finished_at,
    )


async def lines_of_span(tx: Tx, state: CatchUp, limit: int) -> list[Row]:
    """Lines of the app that gave access, or could have, after the span began."""
    return await tx.fetch(
        """
        SELECT l.line_id, coalesce(l.newest_key, l.store_line) AS subject FROM line l
        WHERE l.project_id = (SELECT %(project_id)s::text) AND l.line_id > %(after)s AND l.app_id = %(app_id)s AND l.environment = %(environment)s
          AND EXISTS (
            SELECT FROM purchase p WHERE p.project_id = l.project_id AND p.customer_id = l.customer_id AND p.line_id = l.line_id
              AND p.kind = 'subscription' AND (NOT p.told_expired OR p.expires_at > %(since)s))
        ORDER BY l.line_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        after=state.lines_after,
        app_id=state.app_id,
        environment=state.environment,
        since=state.since,
        limit=limit,
    )


async def catch_up_report(tx: Tx, state: CatchUp) -> Report:
    row = await tx.fetch_one(
        """
        SELECT
          (SELECT count(*) FROM inquiry WHERE app_id = %(app_id)s AND environment = %(environment)s AND wake_at IS NOT NULL) AS open,
          (SELECT count(*) FROM inquiry WHERE app_id = %(app_id)s AND environment = %(environment)s AND wake_at IS NULL) AS parked,
          (SELECT count(*) FROM notification
           WHERE app_id = %(app_id)s AND received_at >= %(started_at)s AND outcome LIKE 'unreadable%') AS unreadable,
          (SELECT count(*) FROM event WHERE app_id = %(app_id)s AND recorded_at >= %(started_at)s) AS events
        """,
        app_id=state.app_id,
        environment=state.environment,
        started_at=state.started_at,
    )
    assert row is not None, "counts are always there"
    return Report(told=state.told, new=state.new, asked=state.asked, **row)


def _catch_up(row: Row) -> CatchUp:
    return CatchUp(**{name: row[name] for name in names_of(CatchUp)})

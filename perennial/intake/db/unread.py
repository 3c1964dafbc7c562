"""SQL of what could not be read of what stores said."""

from collections.abc import Sequence
from datetime import datetime

from perennial.base.db import Tx
from perennial.base.ids import AppId
from perennial.intake.model import Source, UnreadField


async def keep_unread(tx: Tx, source: Source, found: Sequence[tuple[AppId, str, str]]) -> None:
    """`found` are app, field and what stood there; of a field that stands several times, the last."""
    times: dict[tuple[AppId, str], int] = {}
    said: dict[tuple[AppId, str], str] = {}
    for app_id, field, text in found:
        times[app_id, field] = times.get((app_id, field), 0) + 1
        said[app_id, field] = text
    keys = sorted(times)
    await tx.execute(
        """
        INSERT INTO unread (project_id, app_id, source, field, said, times, first_at, last_at)
        SELECT %(project_id)s, app_id, %(source)s, field, said, times, %(now)s, %(now)s
        FROM unnest(%(apps)s::text[], %(fields)s::text[], %(said)s::text[], %(times)s::bigint[]) AS new (app_id, field, said, times)
        ON CONFLICT (project_id, app_id, source, field) DO UPDATE
          SET said = excluded.said, times = unread.times + excluded.times, last_at = greatest(unread.last_at, excluded.last_at)
        """,
        project_id=tx.project_id,
        now=tx.now,
        source=source,
        apps=[app_id for app_id, _ in keys],
        fields=[field for _, field in keys],
        said=[said[key] for key in keys],
        times=[times[key] for key in keys],
    )


async def unread_since(tx: Tx, since: datetime, limit: int) -> list[UnreadField]:
    """Fields that could not be read since, the latest first."""
    rows = await tx.fetch(
        """
        SELECT app_id, source, field, said, times, first_at, last_at FROM unread
        WHERE last_at >= %(since)s ORDER BY last_at DESC, app_id, field LIMIT %(limit)s
        """,
        since=since,
        limit=limit,
    )
    return [UnreadField(**row) for row in rows]

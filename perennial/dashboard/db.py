"""What only the pages ask of the database: they read for one project, the demo's, which is small."""

from datetime import datetime

from perennial.base.db import Tx
from perennial.base.ids import CustomerId
from perennial.base.value import value


@value
class Lane:
    """How much of a lane's work is due, is planned, and was given up until a person looks."""

    name: str
    due: int
    later: int
    parked: int
    next_at: datetime | None


async def lanes(tx: Tx, names: tuple[str, ...]) -> list[Lane]:
    """Every lane of the agenda, also those with nothing on them."""
    rows = await tx.fetch(
        """
        WITH waiting AS (
          SELECT lane, count(*) FILTER (WHERE wake_at <= %(now)s) AS due, count(*) FILTER (WHERE wake_at > %(now)s) AS later,
                 min(wake_at) FILTER (WHERE wake_at > %(now)s) AS next_at
          FROM agenda GROUP BY lane),
        parked AS (
          SELECT 'telling' AS lane, count(*) AS parked FROM delivery WHERE parked_at IS NOT NULL
          UNION ALL
          SELECT 'money', (SELECT count(*) FROM notification WHERE wake_at IS NULL AND digested_at IS NULL)
                        + (SELECT count(*) FROM inquiry WHERE wake_at IS NULL))
        SELECT name, coalesce(w.due, 0) AS due, coalesce(w.later, 0) AS later, coalesce(p.parked, 0) AS parked, w.next_at
        FROM unnest(%(names)s::text[]) WITH ORDINALITY AS lane (name, place)
        LEFT JOIN waiting w ON w.lane = name LEFT JOIN parked p ON p.lane = name ORDER BY place
        """,
        now=tx.now,
        names=list(names),
    )
    return [Lane(**dict(row)) for row in rows]


async def seen_lately(tx: Tx, limit: int) -> list[CustomerId]:
    """Those who were seen, or first heard of, last."""
    rows = await tx.fetch(
        """
        SELECT customer_id FROM customer WHERE merged_into IS NULL
        ORDER BY greatest(first_seen_at, last_seen_at) DESC, customer_id DESC LIMIT %(limit)s
        """,
        limit=limit,
    )
    return [row["customer_id"] for row in rows]

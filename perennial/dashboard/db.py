"""What only the pages ask of the database: they read for one project, the demo's, which is small."""

from datetime import datetime
from typing import Literal

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
                        + (SELECT count(*) FROM inquiry WHERE wake_at IS NULL)
                        + (SELECT count(*) FROM store_act WHERE wake_at IS NULL AND done_at IS NULL))
        SELECT name, coalesce(w.due, 0) AS due, coalesce(w.later, 0) AS later, coalesce(p.parked, 0) AS parked, w.next_at
        FROM unnest(%(names)s::text[]) WITH ORDINALITY AS lane (name, place)
        LEFT JOIN waiting w ON w.lane = name LEFT JOIN parked p ON p.lane = name ORDER BY place
        """,
        now=tx.now,
        names=list(names),
    )
    return [Lane(**dict(row)) for row in rows]


ParkedKind = Literal["notification", "inquiry", "store_act", "delivery", "shipment"]  # the last: to an integration that is no webhook


@value
class Parked:
    """Something that was tried as often as it is worth, and waits for a person. `place` and `key` name it: of which app or endpoint, and which."""

    kind: ParkedKind
    place: str
    key: str
    environment: str | None
    name: str  # of the app or endpoint
    what: str
    at: datetime | None
    last_error: str | None


async def parked(tx: Tx, limit: int) -> list[Parked]:
    """The newest of each kind first."""
    rows = await tx.fetch(
        """
        WITH parked AS (
          SELECT 'notification' AS kind, app_id AS place, message_id AS key, NULL AS environment, kind AS what, received_at AS at, last_error
          FROM notification WHERE wake_at IS NULL AND digested_at IS NULL
          UNION ALL
          SELECT 'inquiry', app_id, subject, environment, subject, NULL, last_error FROM inquiry WHERE wake_at IS NULL
          UNION ALL
          SELECT 'store_act', app_id, act_id, environment, kind || ' ' || subject, wanted_at, last_error
          FROM store_act WHERE wake_at IS NULL AND done_at IS NULL
          UNION ALL
          SELECT CASE n.kind WHEN 'webhook' THEN 'delivery' ELSE 'shipment' END, d.endpoint_id, d.event_id, NULL, coalesce(e.type, 'TEST'),
            d.parked_at, d.last_error
          FROM delivery d JOIN endpoint n ON n.project_id = d.project_id AND n.endpoint_id = d.endpoint_id
          LEFT JOIN event e ON e.project_id = d.project_id AND e.customer_id = d.customer_id AND e.event_id = d.event_id
          WHERE d.parked_at IS NOT NULL)
        SELECT p.*, coalesce(a.name, n.name, p.place) AS name FROM parked p
        LEFT JOIN app a ON a.app_id = p.place LEFT JOIN endpoint n ON n.endpoint_id = p.place
        ORDER BY p.kind, p.at DESC NULLS LAST, p.key LIMIT %(limit)s
        """,
        limit=limit,
    )
    return [Parked(**row) for row in rows]


async def seen_lately(tx: Tx, limit: int) -> list[CustomerId]:
    """Those who were seen, or first heard of, last. Who was deleted is nobody any more."""
    rows = await tx.fetch(
        """
        SELECT customer_id FROM customer WHERE merged_into IS NULL AND deleted_at IS NULL AND placeholder IS DISTINCT FROM 'hidden'
        ORDER BY greatest(first_seen_at, last_seen_at) DESC, customer_id DESC LIMIT %(limit)s
        """,
        limit=limit,
    )
    return [row["customer_id"] for row in rows]

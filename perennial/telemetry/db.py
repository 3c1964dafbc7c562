"""SQL of SDK events and attribution."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from perennial.base.db import Tx
from perennial.base.ids import CustomerId
from perennial.telemetry.model import Attribution, SdkEvent


async def insert_events(tx: Tx, events: Sequence[SdkEvent]) -> int:
    """Returns how many were new."""
    return await tx.execute(
        """
        INSERT INTO sdk_event (project_id, happened_at, event_id, app_id, app_user_id, type, data, received_at)
        SELECT %(project_id)s, happened_at, event_id, app_id, app_user_id, type, data, %(now)s
        FROM unnest(%(moments)s::timestamptz[], %(ids)s::text[], %(apps)s::text[], %(people)s::text[], %(types)s::text[], %(data)s::jsonb[])
          AS new (happened_at, event_id, app_id, app_user_id, type, data)
        ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        now=tx.now,
        moments=[event.happened_at for event in events],
        ids=[event.event_id for event in events],
        apps=[event.app_id for event in events],
        people=[event.app_user_id for event in events],
        types=[event.type for event in events],
        data=[event.data for event in events],
    )


async def begin_shelf(tx: Tx, wake_at: datetime) -> None:
    """A project that has begun to have events will have some to forget."""
    await tx.execute(
        "INSERT INTO sdk_event_shelf (project_id, wake_at) VALUES (%(project_id)s, %(wake_at)s) ON CONFLICT DO NOTHING",
        project_id=tx.project_id,
        wake_at=wake_at,
    )


async def hold_due_shelf(tx: Tx) -> bool:
    """False where nothing is due, or somebody else is at it."""
    return await tx.fetch_one("SELECT FROM sdk_event_shelf WHERE wake_at <= %(now)s FOR UPDATE SKIP LOCKED", now=tx.now) is not None


async def delete_before(tx: Tx, bound: datetime, limit: int) -> int:
    """The oldest first."""
    return await tx.execute(
        """
        DELETE FROM sdk_event e USING (
          SELECT happened_at, event_id FROM sdk_event
          WHERE project_id = %(project_id)s AND happened_at <= %(bound)s ORDER BY happened_at, event_id LIMIT %(limit)s) old
        WHERE e.project_id = %(project_id)s AND e.happened_at = old.happened_at AND e.event_id = old.event_id
        """,
        project_id=tx.project_id,
        bound=bound,
        limit=limit,
    )


async def plan_shelf(tx: Tx, kept_for: timedelta) -> None:
    """Wakes when the oldest event that is left has been kept long enough; where none is left, when one of now would have been."""
    await tx.execute(
        """
        UPDATE sdk_event_shelf SET wake_at = %(kept_for)s::interval + coalesce(
          (SELECT happened_at FROM sdk_event WHERE project_id = %(project_id)s ORDER BY happened_at LIMIT 1), %(now)s::timestamptz)
        """,
        project_id=tx.project_id,
        kept_for=kept_for,
        now=tx.now,
    )


async def delete_of_person(tx: Tx, app_user_ids: Sequence[str]) -> int:
    return await tx.execute("DELETE FROM sdk_event WHERE app_user_id = ANY (%(ids)s::text[])", ids=list(app_user_ids))


async def delete_attributions(tx: Tx, customer_ids: Sequence[CustomerId]) -> None:
    await tx.execute("DELETE FROM attribution WHERE customer_id = ANY (%(ids)s::text[])", ids=list(customer_ids))


async def save_attribution(tx: Tx, customer_id: CustomerId, network: str, data: dict[str, Any]) -> None:
    await tx.execute(
        """
        INSERT INTO attribution (project_id, customer_id, network, data, received_at)
        VALUES (%(project_id)s, %(customer_id)s, %(network)s, %(data)s, %(now)s)
        ON CONFLICT (project_id, customer_id, network) DO UPDATE SET data = excluded.data, received_at = excluded.received_at
        """,
        project_id=tx.project_id,
        customer_id=customer_id,
        network=network,
        data=data,
        now=tx.now,
    )


async def attributions(tx: Tx, customer_ids: Sequence[CustomerId]) -> list[Attribution]:
    """What networks said of a customer, by all the ids they have had (`customers.merged_ids`)."""
    rows = await tx.fetch(
        "SELECT network, data, received_at FROM attribution WHERE customer_id = ANY (%(ids)s::text[]) ORDER BY received_at, network",
        ids=list(customer_ids),
    )
    return [Attribution(**dict(row)) for row in rows]

"""SQL of Customer Centers and support tickets."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from perennial.base.db import Tx
from perennial.base.ids import CustomerId
from perennial.customer_center.model import Config, Ticket


async def load_config(tx: Tx) -> Config | None:
    kept: dict[str, Any] | None = await tx.fetch_value("SELECT config FROM customer_center")
    return None if kept is None else msgspec.convert(kept, Config)


async def save_config(tx: Tx, config: Config) -> None:
    await tx.execute(
        """
        INSERT INTO customer_center (project_id, config, updated_at) VALUES (%(project_id)s, %(config)s, %(now)s)
        ON CONFLICT (project_id) DO UPDATE SET config = excluded.config, updated_at = excluded.updated_at
        """,
        project_id=tx.project_id,
        config=config,
        now=tx.now,
    )


async def insert_ticket(tx: Tx, ticket: Ticket) -> None:
    await tx.execute(
        """
        INSERT INTO support_ticket (project_id, customer_id, ticket_id, app_user_id, email, description, created_at)
        VALUES (%(project_id)s, %(customer_id)s, %(ticket_id)s, %(app_user_id)s, %(email)s, %(description)s, %(now)s)
        """,
        project_id=tx.project_id,
        customer_id=ticket.customer_id,
        ticket_id=ticket.ticket_id,
        app_user_id=ticket.app_user_id,
        email=ticket.email,
        description=ticket.description,
        now=tx.now,
    )


async def count_tickets(tx: Tx, customer_id: CustomerId, since: datetime) -> int:
    count: int = await tx.fetch_value(
        "SELECT count(*) FROM support_ticket WHERE customer_id = %(customer_id)s AND created_at > %(since)s", customer_id=customer_id, since=since
    )
    return count


async def page_tickets(tx: Tx, *, after: str | None, limit: int) -> list[Ticket]:
    """The newest first; those before the ticket `after`."""
    rows = await tx.fetch(
        """
        SELECT ticket_id, customer_id, app_user_id, email, description, created_at, closed_at FROM support_ticket
        WHERE project_id = (SELECT %(project_id)s::text) AND (%(after)s::text IS NULL OR ticket_id < %(after)s)
        ORDER BY ticket_id DESC LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        after=after,
        limit=limit,
    )
    return [Ticket(**dict(row)) for row in rows]


async def close_ticket(tx: Tx, ticket_id: str) -> Ticket | None:
    """When it was closed first stays."""
    row = await tx.fetch_one(
        """
        UPDATE support_ticket SET closed_at = coalesce(closed_at, %(now)s) WHERE ticket_id = %(ticket_id)s
        RETURNING ticket_id, customer_id, app_user_id, email, description, created_at, closed_at
        """,
        now=tx.now,
        ticket_id=ticket_id,
    )
    return None if row is None else Ticket(**dict(row))


async def delete_tickets(tx: Tx, customer_ids: Sequence[CustomerId]) -> None:
    await tx.execute("DELETE FROM support_ticket WHERE customer_id = ANY (%(ids)s::text[])", ids=list(customer_ids))

"""SQL of the inbox and of inquiries.

Walks in the order of an index say `project_id = (SELECT ...)` beside the wall, whose `= ANY (...)` does not give that order.
"""

from collections.abc import Sequence
from datetime import datetime

from perennial.base.db import Row, Tx
from perennial.base.secrets import Vault
from perennial.base.value import value
from perennial.catalog import API_SECRET
from perennial.intake.model import LEASE, Message, StoreApp
from perennial.subscriptions.model import Environment


@value
class Due:
    """A kept message whose turn it is."""

    app_id: str
    message_id: str
    kind: str
    body: bytes
    attempts: int


@value
class Inquiry:
    app_id: str
    environment: Environment
    store_line: str
    attempts: int


async def store_apps(tx: Tx, vault: Vault, app_ids: Sequence[str] | None = None) -> dict[str, StoreApp]:
    """Apps as providers need them. A simulated store's root counts in a sandbox project alone."""
    rows = await tx.fetch(
        """
        SELECT a.*, CASE WHEN p.is_sandbox THEN s.root END AS simulated_root
        FROM app a JOIN project p ON p.project_id = a.project_id
        LEFT JOIN simulated_store s ON s.project_id = a.project_id AND s.app_id = a.app_id
        WHERE %(ids)s::text[] IS NULL OR a.app_id = ANY (%(ids)s)
        """,
        ids=None if app_ids is None else list(app_ids),
    )
    return {row["app_id"]: _store_app(row, vault) for row in rows}


def _store_app(row: Row, vault: Vault) -> StoreApp:
    return StoreApp(
        project_id=row["project_id"],
        app_id=row["app_id"],
        store=row["store"],
        bundle_id=row["bundle_id"],
        app_apple_id=row["app_apple_id"],
        api_key_id=row["api_key_id"],
        api_issuer=row["api_issuer"],
        api_base_url=row["api_base_url"],
        api_private_key=vault.unseal(row["api_secret"], API_SECRET).decode() if row["api_secret"] else None,
        simulated_roots=(row["simulated_root"],) if row["simulated_root"] else (),
    )


async def keep(tx: Tx, messages: Sequence[Message]) -> None:
    """Into the inbox, once each: a duplicate finds its first and changes nothing."""
    rows = sorted(messages, key=lambda message: (message.app_id, message.envelope.message_id))
    await tx.execute(
        """
        INSERT INTO notification (project_id, app_id, message_id, kind, sent_at, body, received_at, wake_at)
        SELECT %(project_id)s, app_id, message_id, kind, sent_at, body, %(now)s, %(now)s
        FROM unnest(%(apps)s::text[], %(ids)s::text[], %(kinds)s::text[], %(sent)s::timestamptz[], %(bodies)s::bytea[])
          AS new (app_id, message_id, kind, sent_at, body)
        ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        now=tx.now,
        apps=[row.app_id for row in rows],
        ids=[row.envelope.message_id for row in rows],
        kinds=[row.envelope.kind for row in rows],
        sent=[row.envelope.sent_at for row in rows],
        bodies=[row.body for row in rows],
    )


async def due_messages(tx: Tx, limit: int) -> list[Due]:
    rows = await tx.fetch(
        """
        SELECT app_id, message_id, kind, body, attempts FROM notification
        WHERE project_id = (SELECT %(project_id)s::text) AND wake_at <= %(now)s ORDER BY wake_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        """,
        project_id=tx.project_id,
        now=tx.now,
        limit=limit,
    )
    return [Due(**row) for row in rows]


async def mark_digested(tx: Tx, messages: Sequence[Due], outcomes: Sequence[str]) -> None:
    await tx.execute(
        """
        UPDATE notification n SET digested_at = %(now)s, outcome = done.outcome, wake_at = NULL, last_error = NULL
        FROM unnest(%(apps)s::text[], %(ids)s::text[], %(outcomes)s::text[]) AS done (app_id, message_id, outcome)
        WHERE n.app_id = done.app_id AND n.message_id = done.message_id
        """,
        now=tx.now,
        apps=[one.app_id for one in messages],
        ids=[one.message_id for one in messages],
        outcomes=list(outcomes),
    )


async def step_aside(tx: Tx, message: Due, *, error: str, wake_at: datetime | None) -> None:
    """Lets others pass; null parks it."""
    await tx.execute(
        """
        UPDATE notification SET attempts = attempts + 1, last_error = %(error)s, wake_at = %(wake_at)s
        WHERE app_id = %(app_id)s AND message_id = %(message_id)s
        """,
        app_id=message.app_id,
        message_id=message.message_id,
        error=error[:1000],
        wake_at=wake_at,
    )


async def inquire(tx: Tx, wanted: Sequence[tuple[str, Environment, str]], reason: str) -> None:
    """Asks about each (app, environment, line) soon; one open question per line is enough."""
    rows = sorted(set(wanted))
    await tx.execute(
        """
        INSERT INTO inquiry (project_id, app_id, environment, store_line, reason, wake_at)
        SELECT %(project_id)s, app_id, environment, store_line, %(reason)s, %(now)s
        FROM unnest(%(apps)s::text[], %(environments)s::text[], %(lines)s::text[]) AS new (app_id, environment, store_line)
        ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        now=tx.now,
        reason=reason,
        apps=[row[0] for row in rows],
        environments=[row[1] for row in rows],
        lines=[row[2] for row in rows],
    )


async def claim_inquiries(tx: Tx, limit: int) -> list[Inquiry]:
    """Takes due ones under a lease: if we die, they wake again."""
    rows = await tx.fetch(
        """
        WITH due AS (
          SELECT project_id, app_id, environment, store_line FROM inquiry
          WHERE project_id = (SELECT %(project_id)s::text) AND wake_at <= %(now)s ORDER BY wake_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        UPDATE inquiry i SET wake_at = %(lease)s, attempts = attempts + 1 FROM due
        WHERE i.project_id = due.project_id AND i.app_id = due.app_id AND i.environment = due.environment AND i.store_line = due.store_line
        RETURNING i.app_id, i.environment, i.store_line, i.attempts
        """,
        project_id=tx.project_id,
        now=tx.now,
        lease=tx.now + LEASE,
        limit=limit,
    )
    return [Inquiry(**row) for row in rows]


async def close_inquiry(tx: Tx, inquiry: Inquiry) -> None:
    await tx.execute(
        "DELETE FROM inquiry WHERE app_id = %(app_id)s AND environment = %(environment)s AND store_line = %(store_line)s",
        app_id=inquiry.app_id,
        environment=inquiry.environment,
        store_line=inquiry.store_line,
    )


async def postpone_inquiry(tx: Tx, inquiry: Inquiry, *, error: str, wake_at: datetime | None) -> None:
    await tx.execute(
        """
        UPDATE inquiry SET last_error = %(error)s, wake_at = %(wake_at)s
        WHERE app_id = %(app_id)s AND environment = %(environment)s AND store_line = %(store_line)s
        """,
        app_id=inquiry.app_id,
        environment=inquiry.environment,
        store_line=inquiry.store_line,
        error=error[:1000],
        wake_at=wake_at,
    )

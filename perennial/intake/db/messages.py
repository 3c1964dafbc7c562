"""SQL of the inbox: what stores sent, and whose turn it is."""

from collections.abc import Sequence
from datetime import datetime

from perennial.base.db import Tx
from perennial.base.ids import AppId
from perennial.base.value import value
from perennial.intake.model import Message
from perennial.intake.wrappings import Wrapping


@value
class Due:
    """A kept message whose turn it is."""

    app_id: AppId
    message_id: str
    kind: str
    body: bytes
    attempts: int


async def keep(tx: Tx, messages: Sequence[Message]) -> int:
    """Into the inbox, once each: a duplicate finds its first and changes nothing. Returns how many were new."""
    rows = sorted(messages, key=lambda message: (message.app_id, message.envelope.message_id))
    return await tx.execute(
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


async def wake_message(tx: Tx, app_id: str, message_id: str) -> bool:
    """False where no such message is parked."""
    woken = await tx.execute(
        """
        UPDATE notification SET attempts = 0, wake_at = %(now)s
        WHERE app_id = %(app_id)s AND message_id = %(message_id)s AND wake_at IS NULL AND digested_at IS NULL
        """,
        now=tx.now,
        app_id=app_id,
        message_id=message_id,
    )
    return woken == 1


async def note_misdelivery(tx: Tx, app_id: str, wrapping: str, times: int, at: datetime) -> bool:
    count = await tx.execute(
        """
        INSERT INTO misdelivery (project_id, app_id, wrapping, times, first_at, last_at)
        SELECT project_id, app_id, %(wrapping)s, %(times)s, %(at)s, %(at)s FROM app WHERE project_id = %(project_id)s AND app_id = %(app_id)s
        ON CONFLICT (project_id, app_id, wrapping) DO UPDATE SET times = misdelivery.times + excluded.times, last_at = excluded.last_at
        """,
        project_id=tx.project_id,
        app_id=app_id,
        wrapping=wrapping,
        times=times,
        at=at,
    )
    return count == 1


async def last_notification(tx: Tx, app_id: str) -> datetime | None:
    """When the store's last one came."""
    at: datetime | None = await tx.fetch_value(
        "SELECT max(received_at) FROM notification WHERE project_id = %(project_id)s AND app_id = %(app_id)s", project_id=tx.project_id, app_id=app_id
    )
    return at


async def misdeliveries(tx: Tx, app_id: str) -> tuple[Wrapping, ...]:
    """Forms of pushes that cannot be read, and that came after the last one that could."""
    rows = await tx.fetch(
        """
        SELECT wrapping FROM misdelivery m WHERE project_id = %(project_id)s AND app_id = %(app_id)s
          AND last_at > coalesce((SELECT max(received_at) FROM notification n WHERE n.project_id = m.project_id AND n.app_id = m.app_id), '-infinity')
        ORDER BY wrapping
        """,
        project_id=tx.project_id,
        app_id=app_id,
    )
    return tuple(row["wrapping"] for row in rows)

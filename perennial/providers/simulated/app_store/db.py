"""SQL of the simulated App Store: its desk and its lines."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from perennial.base.db import Tx
from perennial.base.ids import AppId
from perennial.base.value import replace
from perennial.providers.simulated.app_store.model import DESK, Desk, Subscription
from perennial.providers.simulated.playing import Kept


async def insert(tx: Tx, line: Subscription, wake_at: datetime | None) -> bool:
    """False where the project has the number already: draw another."""
    inserted = await tx.execute(
        """
        INSERT INTO simulated_subscription (project_id, app_id, store_line, state, wake_at)
        SELECT %(project_id)s, %(app_id)s, %(line)s, %(state)s::jsonb, %(wake_at)s::timestamptz
        WHERE NOT EXISTS (SELECT FROM simulated_subscription WHERE store_line = %(line)s)
        ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        app_id=line.app_id,
        line=line.store_line,
        state=line,
        wake_at=wake_at,
    )
    return inserted == 1


async def lock_line(tx: Tx, app_id: str, store_line: str) -> Subscription | None:
    """The line, ours until the transaction ends, delivering as its store's desk says."""
    state = await tx.fetch_value(
        "SELECT state FROM simulated_subscription WHERE app_id = %(app_id)s AND store_line = %(line)s AND store_line <> %(desk)s FOR UPDATE",
        app_id=app_id,
        line=store_line,
        desk=DESK,
    )
    return None if state is None else under(await find_desk(tx, app_id), line_of(state))


async def find_desk(tx: Tx, app_id: str) -> Desk:
    state = await tx.fetch_value(
        "SELECT state FROM simulated_subscription WHERE app_id = %(app_id)s AND store_line = %(desk)s", app_id=app_id, desk=DESK
    )
    return Desk(app_id=AppId(app_id)) if state is None else desk_of(state)


async def lock_desk(tx: Tx, app_id: str) -> Desk:
    """The desk, made where there is none."""
    await tx.execute(
        """
        INSERT INTO simulated_subscription (project_id, app_id, store_line, state)
        VALUES (%(project_id)s, %(app_id)s, %(desk)s, %(state)s) ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        app_id=app_id,
        desk=DESK,
        state=Desk(app_id=AppId(app_id)),
    )
    state = await tx.fetch_value(
        "SELECT state FROM simulated_subscription WHERE app_id = %(app_id)s AND store_line = %(desk)s FOR UPDATE", app_id=app_id, desk=DESK
    )
    return desk_of(state)


async def find_lines(tx: Tx, app_id: str, store_lines: Sequence[str]) -> list[Subscription]:
    rows = await tx.fetch(
        """
        SELECT state FROM simulated_subscription
        WHERE app_id = %(app_id)s AND store_line = ANY (%(lines)s::text[]) AND store_line <> %(desk)s ORDER BY store_line
        """,
        app_id=app_id,
        lines=list(store_lines),
        desk=DESK,
    )
    return [line_of(row["state"]) for row in rows]


async def all_lines(tx: Tx, app_id: str, *, after: str = "", limit: int = 100) -> list[Subscription]:
    """A page of an app's lines, in the order of their numbers."""
    rows = await tx.fetch(
        """
        SELECT state FROM simulated_subscription
        WHERE app_id = %(app_id)s AND store_line > %(after)s AND store_line <> %(desk)s ORDER BY store_line LIMIT %(limit)s
        """,
        app_id=app_id,
        after=after,
        desk=DESK,
        limit=limit,
    )
    return [line_of(row["state"]) for row in rows]


async def claim_due(tx: Tx, limit: int) -> list[Kept]:
    rows = await tx.fetch(
        """
        SELECT app_id, store_line AS key, state FROM simulated_subscription
        WHERE wake_at <= %(now)s ORDER BY wake_at, store_line LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        """,
        now=tx.now,
        limit=limit,
    )
    return [Kept(**row) for row in rows]


async def save(tx: Tx, senders: Sequence[Subscription | Desk], wakes: Sequence[datetime | None]) -> None:
    await tx.execute(
        """
        UPDATE simulated_subscription s SET state = new.state, wake_at = new.wake_at
        FROM unnest(%(apps)s::text[], %(lines)s::text[], %(states)s::jsonb[], %(wakes)s::timestamptz[]) AS new (app_id, store_line, state, wake_at)
        WHERE s.app_id = new.app_id AND s.store_line = new.store_line
        """,
        apps=[one.app_id for one in senders],
        lines=[key_of(one) for one in senders],
        states=list(senders),
        wakes=list(wakes),
    )


async def postpone(tx: Tx, one: Kept, wake_at: datetime) -> None:
    """Lets others pass."""
    await tx.execute(
        "UPDATE simulated_subscription SET wake_at = %(wake_at)s WHERE app_id = %(app_id)s AND store_line = %(line)s",
        wake_at=wake_at,
        app_id=one.app_id,
        line=one.key,
    )


def key_of(sender: Subscription | Desk) -> str:
    return sender.store_line if isinstance(sender, Subscription) else DESK


def line_of(state: object) -> Subscription:
    return msgspec.convert(state, Subscription)


def desk_of(state: object) -> Desk:
    return msgspec.convert(state, Desk)


def under(desk: Desk, line: Subscription) -> Subscription:
    """The line, delivering as the desk says."""
    return replace(line, outbox=replace(line.outbox, delivery=desk.outbox.delivery))

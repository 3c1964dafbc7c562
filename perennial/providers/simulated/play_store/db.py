"""SQL of the simulated Google Play: one row for each life."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from perennial.base.db import Tx
from perennial.providers.simulated.play_store.model import Life
from perennial.providers.simulated.playing import Kept


async def insert(tx: Tx, life: Life, wake_at: datetime | None) -> None:
    await tx.execute(
        """
        INSERT INTO simulated_play_store (project_id, app_id, code, state, wake_at)
        VALUES (%(project_id)s, %(app_id)s, %(code)s, %(state)s, %(wake_at)s)
        """,
        project_id=tx.project_id,
        app_id=life.app_id,
        code=life.code,
        state=life,
        wake_at=wake_at,
    )


async def find(tx: Tx, app_id: str, code: str) -> Life | None:
    state = await tx.fetch_value("SELECT state FROM simulated_play_store WHERE app_id = %(app_id)s AND code = %(code)s", app_id=app_id, code=code)
    return None if state is None else life_of(state)


async def find_all(tx: Tx, app_id: str, codes: Sequence[str]) -> list[Life]:
    rows = await tx.fetch(
        "SELECT state FROM simulated_play_store WHERE app_id = %(app_id)s AND code = ANY (%(codes)s::text[]) ORDER BY code",
        app_id=app_id,
        codes=list(codes),
    )
    return [life_of(row["state"]) for row in rows]


async def of_account(tx: Tx, app_id: str, account: str, product: str) -> list[Life]:
    """What an account bought of one product, the newest first; at most a hundred."""
    rows = await tx.fetch(
        """
        SELECT state FROM simulated_play_store
        WHERE project_id = %(project_id)s AND app_id = %(app_id)s AND state @> %(wanted)s ORDER BY code DESC LIMIT 100
        """,
        project_id=tx.project_id,
        app_id=app_id,
        wanted={"account": account, "tokens": [{"plan": {"product": product}}]},
    )
    return [life_of(row["state"]) for row in rows]


async def lock(tx: Tx, app_id: str, code: str) -> Life | None:
    """Ours until the transaction ends."""
    state = await tx.fetch_value(
        "SELECT state FROM simulated_play_store WHERE app_id = %(app_id)s AND code = %(code)s FOR UPDATE", app_id=app_id, code=code
    )
    return None if state is None else life_of(state)


async def newest(tx: Tx, app_id: str, *, before: str | None = None, limit: int = 100) -> list[Life]:
    """A page of an app's lives, the newest first: codes begin with the moment they were made."""
    rows = await tx.fetch(
        """
        SELECT state FROM simulated_play_store
        WHERE app_id = %(app_id)s AND (%(before)s::text IS NULL OR code < %(before)s::text) ORDER BY code DESC LIMIT %(limit)s
        """,
        app_id=app_id,
        before=before,
        limit=limit,
    )
    return [life_of(row["state"]) for row in rows]


async def claim_due(tx: Tx, limit: int) -> list[Kept]:
    rows = await tx.fetch(
        """
        SELECT app_id, code AS key, state FROM simulated_play_store
        WHERE wake_at <= %(now)s ORDER BY wake_at, code LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        """,
        now=tx.now,
        limit=limit,
    )
    return [Kept(**row) for row in rows]


async def save(tx: Tx, lives: Sequence[Life], wakes: Sequence[datetime | None]) -> None:
    await tx.execute(
        """
        UPDATE simulated_play_store s SET state = new.state, wake_at = new.wake_at
        FROM unnest(%(apps)s::text[], %(codes)s::text[], %(states)s::jsonb[], %(wakes)s::timestamptz[]) AS new (app_id, code, state, wake_at)
        WHERE s.app_id = new.app_id AND s.code = new.code
        """,
        apps=[one.app_id for one in lives],
        codes=[one.code for one in lives],
        states=list(lives),
        wakes=list(wakes),
    )


async def postpone(tx: Tx, one: Kept, wake_at: datetime) -> None:
    """Lets others pass."""
    await tx.execute(
        "UPDATE simulated_play_store SET wake_at = %(wake_at)s WHERE app_id = %(app_id)s AND code = %(code)s",
        wake_at=wake_at,
        app_id=one.app_id,
        code=one.key,
    )


def life_of(state: object) -> Life:
    return msgspec.convert(state, Life)

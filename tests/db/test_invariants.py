"""Invariants that only a broken table, a double under another customer, or a store's poison can break: each is made to fire.

What the tables' own constraints make impossible is asked all the same (a restored backup, an index that is not what it was): here of a table of the
same name without them, which lasts as long as the transaction.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from perennial import customers, invariants
from perennial.base.db import Tx
from perennial.events import append
from perennial.events.model import NewEvent
from perennial.intake import receive
from perennial.intake.model import RETRY_AFTER, Envelope, Message
from tests.world import World


class _Undo(Exception):
    pass


@asynccontextmanager
async def undone(world: World) -> AsyncIterator[Tx]:
    """A transaction that leaves the project as it was."""
    with suppress(_Undo):
        async with world.app.database.transaction(world.project_id) as tx:
            yield tx
            raise _Undo


async def looked_at(tx: Tx, name: str) -> tuple[int, tuple[str, ...]]:
    """How many keys an invariant finds wrong, and which."""
    (invariant,) = (one for one in invariants.INVARIANTS if one.name == name)
    found = await invariants.check(tx, tx.now, [invariant])
    return (found[0].count, found[0].samples) if found else (0, ())


def an_event(tx: Tx, customer_id: Any, event_id: str, sequence: int) -> NewEvent:
    return NewEvent(
        event_id=event_id,
        customer_id=customer_id,
        sequence=sequence,
        type="RENEWAL",
        app_id=None,
        environment="sandbox",
        happened_at=tx.now,
        body={"id": event_id},
    )


async def test_two_events_of_one_number_are_found(world: World) -> None:
    async with undone(world) as tx:
        await tx.execute("CREATE TEMPORARY TABLE event (LIKE public.event) ON COMMIT DROP")
        for event_id, customer_id, sequence in (("a", "cus_1", 1), ("b", "cus_1", 2), ("c", "cus_2", 1)):
            await _write(tx, event_id, customer_id, sequence)
        assert await looked_at(tx, "no-number-twice") == (0, ())
        await _write(tx, "d", "cus_1", 2)
        assert await looked_at(tx, "no-number-twice") == (1, ("cus_1 2",))
    async with world.app.database.transaction(world.project_id) as tx:
        assert await looked_at(tx, "no-number-twice") == (0, ())


async def _write(tx: Tx, event_id: str, customer_id: str, sequence: int) -> None:
    await tx.execute(
        """
        INSERT INTO event (project_id, customer_id, event_id, sequence, type, environment, happened_at, recorded_at, body)
        VALUES (%(project_id)s, %(customer_id)s, %(event_id)s, %(sequence)s, 'RENEWAL', 'sandbox', %(now)s, %(now)s, '{}')
        """,
        project_id=tx.project_id,
        customer_id=customer_id,
        event_id=event_id,
        sequence=sequence,
        now=tx.now,
    )


async def test_an_event_under_two_customers_is_found(world: World) -> None:
    async with undone(world) as tx:
        people, _ = await customers.ensure(tx, ["ada", "ben"])
        numbers = await customers.bump(tx, dict.fromkeys(people.values(), 1))
        for customer_id in people.values():
            await append(tx, [an_event(tx, customer_id, f"of {customer_id}", numbers[customer_id] + 1)])
        assert await looked_at(tx, "no-event-twice") == (0, ())
        numbers = await customers.bump(tx, dict.fromkeys(people.values(), 1))
        for customer_id in people.values():
            await _write(tx, "told", customer_id, numbers[customer_id] + 1)
        assert await looked_at(tx, "no-event-twice") == (1, ("told",))


async def test_a_notification_that_was_given_up_is_found(world: World) -> None:
    """A person is told of it, and it is no error of ours."""
    app_id = world.app_ids["app_store"]
    async with world.app.database.transaction(world.project_id) as tx:
        await receive(tx, [Message(app_id=app_id, envelope=Envelope(message_id="poison", kind="?", sent_at=tx.now), body=b"{}")])
        assert await looked_at(tx, "notifications-parked") == (0, ())
        await tx.execute("UPDATE notification SET attempts = %(tries)s, wake_at = NULL WHERE message_id = 'poison'", tries=len(RETRY_AFTER))
        assert await looked_at(tx, "notifications-parked") == (1, (f"{app_id} poison",))
        (found,) = await invariants.check(tx, tx.now + timedelta(hours=1))
        assert (found.name, found.level) == ("notifications-parked", "warning")
        await tx.execute("UPDATE notification SET digested_at = %(now)s WHERE message_id = 'poison'", now=tx.now)
        assert await looked_at(tx, "notifications-parked") == (0, ())

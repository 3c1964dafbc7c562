"""Writing down what happened, and reading it back."""

from collections.abc import Sequence

from perennial.base.db import Tx
from perennial.base.ids import CustomerId
from perennial.events import db
from perennial.events.model import NewEvent, Place, RecordedEvent


async def append(tx: Tx, events: Sequence[NewEvent]) -> None:
    """Writes events down and puts those that are new on their way, in the transaction of what they tell.

    Two statements for any number of events. The same event again, here or in another transaction, changes nothing.
    """
    if not events:
        return
    new = await db.insert_events(tx, events)
    if new:
        await db.open_deliveries(tx, new)
    if len(new) < len(events):
        assert not await db.unknown(tx, events), "a customer's event number was given twice"


async def list_events(tx: Tx, customer_ids: Sequence[CustomerId] | None = None, after: Place | None = None, limit: int = 100) -> list[RecordedEvent]:
    """Reads on from a place (an event's `place`; None: the beginning), newest last, with each event's deliveries.

    Ordered by when the writing transaction began, so an event written by a long one can appear behind a place already passed.
    """
    return await db.with_deliveries(tx, await db.events_after(tx, customer_ids, after, limit))


async def latest_events(
    tx: Tx, customer_ids: Sequence[CustomerId] | None = None, before: Place | None = None, limit: int = 100
) -> list[RecordedEvent]:
    """The newest, or the newest before a place; newest last, as `list_events`."""
    return await db.with_deliveries(tx, (await db.events_before(tx, customer_ids, before, limit))[::-1])

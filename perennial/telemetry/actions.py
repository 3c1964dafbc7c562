"""The verbs: keep what SDKs report, and forget it when it has been kept long enough."""

from collections.abc import Sequence
from typing import Any

from perennial.base.db import Tx
from perennial.base.ids import CustomerId
from perennial.telemetry import db, rules
from perennial.telemetry.model import KEPT_FOR, SdkEvent

FORGET_BATCH = 5000


async def keep(tx: Tx, events: Sequence[SdkEvent]) -> int:
    """Returns how many were new: SDKs send a batch again where they missed our answer."""
    if not events:
        return 0
    ordered = sorted(events, key=lambda event: (event.happened_at, event.event_id))  # in one order for everyone
    await db.begin_shelf(tx, ordered[0].happened_at + KEPT_FOR)
    return await db.insert_events(tx, ordered)


async def forget_due(tx: Tx) -> int:
    """Forgets a batch of what was kept long enough, and plans the next. Returns 1 where it was due: there may be more."""
    if not await db.hold_due_shelf(tx):
        return 0
    await db.delete_before(tx, tx.now - KEPT_FOR, FORGET_BATCH)
    await db.plan_shelf(tx, KEPT_FOR)
    return 1


async def forget_person(tx: Tx, app_user_ids: Sequence[str], customer_ids: Sequence[CustomerId]) -> int:
    """Everything SDKs reported of someone, by all their ids, and where they came from; returns how many events that were."""
    await db.delete_attributions(tx, customer_ids)
    return await db.delete_of_person(tx, app_user_ids)


async def attribute(tx: Tx, customer_id: CustomerId, network: str, data: dict[str, Any]) -> None:
    """Keeps what a network said of a customer, in place of what it said before. `Invalid` where it is too large."""
    rules.check_attribution(data)
    await db.save_attribution(tx, customer_id, network, data)

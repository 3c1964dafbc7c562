"""Telling again, and telling for a try."""

from collections.abc import Sequence
from datetime import datetime

from perennial.base.db import Tx
from perennial.base.errors import Conflict, Invalid
from perennial.base.ids import EndpointId, EventId, new_uuid
from perennial.base.time import FOREVER
from perennial.events import db, rules
from perennial.events.actions.endpoints import get_endpoint
from perennial.events.actions.integrations import get_integration
from perennial.events.model import TEST_CUSTOMER, Endpoint, Integration, Place

MOST_REPLAYED = 100_000
REPLAY_PAGE = 1000


async def replay(
    tx: Tx, endpoint_id: str, *, since: datetime | None = None, until: datetime | None = None, event_ids: Sequence[str] | None = None
) -> int:
    """Tells an endpoint again: everything recorded from `since` to `until` (both included), or the events named. Returns how many.

    Deliveries are opened anew, from their first attempt on and with the same ids; events that match the endpoint's filters and were never
    meant for it (it is new, or heard less) get a delivery. Each customer's events go out in their order. Twice is harmless. An attempt
    under way meanwhile may arrive besides. Raises `Invalid` where more than 100,000 events would go: take the time in pieces.
    """
    endpoint = await get_endpoint(tx, endpoint_id)
    return await _replay(tx, endpoint.endpoint_id, since, until, event_ids)


async def replay_integration(
    tx: Tx, endpoint_id: str, *, since: datetime | None = None, until: datetime | None = None, event_ids: Sequence[str] | None = None
) -> int:
    """The same for an integration: its receiver knows the events by their ids."""
    integration = await get_integration(tx, endpoint_id)
    return await _replay(tx, integration.endpoint_id, since, until, event_ids)


async def _replay(tx: Tx, endpoint_id: EndpointId, since: datetime | None, until: datetime | None, event_ids: Sequence[str] | None) -> int:
    if (since is None) == (event_ids is None):
        raise Invalid("say either since when, or which events, to tell again", param="since")
    await db.lock_endpoints(tx, [endpoint_id])
    if since is not None:
        return await _replay_since(tx, endpoint_id, since, until or FOREVER)
    wanted = sorted(EventId(event_id) for event_id in set(event_ids or ()))
    if len(wanted) > REPLAY_PAGE:
        raise Invalid(f"event_ids names {len(wanted)} events; at most {REPLAY_PAGE} at a time", param="event_ids")
    found = await db.find_events(tx, wanted)
    if missing := sorted(set(wanted) - {event.event_id for event in found}):
        raise Invalid(f"no event {missing[0][:80]!r} in this project", param="event_ids")
    return await _open_anew(tx, found, endpoint_id)


async def _replay_since(tx: Tx, endpoint_id: EndpointId, since: datetime, until: datetime) -> int:
    place: Place = (since, -1, "")
    opened = 0
    for _ in range(MOST_REPLAYED // REPLAY_PAGE):
        page = await db.headings_after(tx, place, until=until, limit=REPLAY_PAGE)
        if page:
            opened += await _open_anew(tx, [heading for heading, _ in page], endpoint_id)
            place = page[-1][1]
        if len(page) < REPLAY_PAGE:
            return opened
    if await db.headings_after(tx, place, until=until, limit=1):
        raise Invalid(f"more than {MOST_REPLAYED} events were recorded in that time; take it in pieces, with until", param="since")
    return opened


async def _open_anew(tx: Tx, headings: Sequence[db.Heading], endpoint_id: EndpointId) -> int:
    told_before = await db.reopen_deliveries(tx, headings, endpoint_id)
    real = [heading for heading in headings if heading.customer_id != TEST_CUSTOMER]
    return told_before + await db.open_deliveries(tx, real, endpoint_id)


async def send_test(tx: Tx, endpoint_id: str) -> EventId:
    """Puts a TEST event on its way to this endpoint alone, whatever its filters. Returns the event's id.

    It is an event like others, of the customer `test`, who has a sequence of their own. Older tests still waiting for a retry are parked:
    who tries again after a repair wants to see this one, now.
    """
    endpoint = await get_endpoint(tx, endpoint_id)
    if endpoint.paused_at is not None:
        raise Conflict("this webhook is paused, so a test would wait; resume it first")
    return await _send_test(tx, endpoint)


async def send_test_to_integration(tx: Tx, endpoint_id: str) -> EventId:
    """The same for an integration."""
    return await _send_test(tx, await get_integration(tx, endpoint_id))


async def _send_test(tx: Tx, endpoint: Endpoint | Integration) -> EventId:
    sequence = await db.next_test_sequence(tx)
    event = rules.event_for_test(endpoint, event_id=EventId(new_uuid()), sequence=sequence, now=tx.now)
    await db.insert_events(tx, [event])
    await db.park_waiting_tests(tx, endpoint.endpoint_id)
    await db.insert_delivery(tx, event, endpoint.endpoint_id)
    return event.event_id

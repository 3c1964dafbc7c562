"""Events written down and put on their way to a receiver, a hundred in a transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.progress import Progress

from bench.house import Connection, House, Shop, make_shop
from bench.report import Figure, Rounds, paired
from perennial import events
from perennial.base.ids import CustomerId, EventId, told_id
from perennial.base.time import perf_counter, to_ms, wall_clock
from perennial.events.model import NewEvent

EVENTS = 2000  # a round
BATCH = 100
ROUNDS = 9


async def run(house: House, progress: Progress, customers: int) -> list[Figure]:
    task = progress.add_task("webhook events", total=ROUNDS)
    shop, bare = await make_shop(house.app), await make_shop(house.app)
    async with house.app.database.transaction(shop.project_id) as tx:
        await events.create_endpoint(tx, house.app.vault, name="Receiver", url="https://receiver.example.com/hook")
    async with house.app.database.transaction(bare.project_id) as tx:
        endpoint, _ = await events.create_endpoint(tx, house.app.vault, name="Receiver", url="https://receiver.example.com/hook")
    ours, bares = [], []
    connection = await house.connect()
    for number in range(ROUNDS):
        batches = _batches(shop, number, wall_clock())
        ours.append(await _append(house, shop, batches))
        bares.append(await _insert_bare(connection, bare, endpoint.endpoint_id, batches))
        progress.advance(task)
    await connection.close()
    async with house.app.database.transaction(shop.project_id) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM delivery") == EVENTS * ROUNDS
    progress.remove_task(task)
    value, ceiling = Rounds(values=tuple(ours)), Rounds(values=tuple(bares))
    return [
        Figure(
            name="webhook.enqueue",
            value=value.middle,
            unit="events/s",
            ceiling="bare unnest inserts of the same rows, 100 per commit",
            ceiling_value=ceiling.middle,
            measured_ratio=paired(value, ceiling),
            note=f"one receiver; {value.spread}",
        )
    ]


def _batches(shop: Shop, number: int, now: datetime) -> list[list[NewEvent]]:
    made = [_event(shop, f"{number}-{place}", now) for place in range(EVENTS)]
    return [made[start : start + BATCH] for start in range(0, EVENTS, BATCH)]


def _event(shop: Shop, name: str, now: datetime) -> NewEvent:
    event_id = told_id("bench", name)
    return NewEvent(
        event_id=event_id,
        customer_id=CustomerId(f"cus_{name:>026}"),
        sequence=1,
        type="RENEWAL",
        app_id=shop.app_id,
        environment="PRODUCTION",
        happened_at=now,
        body=_body(shop, event_id, name, now),
    )


def _body(shop: Shop, event_id: EventId, name: str, now: datetime) -> dict[str, Any]:
    at = to_ms(now)
    return {
        "id": event_id,
        "type": "RENEWAL",
        "app_id": shop.app_id,
        "environment": "PRODUCTION",
        "event_timestamp_ms": at,
        "app_user_id": f"user-{name}",
        "original_app_user_id": f"user-{name}",
        "aliases": [f"user-{name}"],
        "product_id": "pro_monthly",
        "entitlement_ids": ["pro"],
        "entitlement_id": None,
        "period_type": "NORMAL",
        "purchased_at_ms": at,
        "expiration_at_ms": at + 2_592_000_000,
        "store": "APP_STORE",
        "transaction_id": f"2{name}",
        "original_transaction_id": f"2{name}",
        "is_family_share": False,
        "country_code": "US",
        "currency": "USD",
        "price": 9.99,
        "price_in_purchased_currency": 9.99,
        "takehome_percentage": 0.7,
        "tax_percentage": 0.0,
        "commission_percentage": 0.3,
        "presented_offering_id": "default",
        "offer_code": None,
        "renewal_number": 2,
        "is_trial_conversion": False,
        "subscriber_attributes": {},
    }


async def _append(house: House, shop: Shop, batches: Sequence[Sequence[NewEvent]]) -> float:
    began = perf_counter()
    for batch in batches:
        async with house.app.database.transaction(shop.project_id) as tx:
            await events.append(tx, batch)
    return EVENTS / (perf_counter() - began)


async def _insert_bare(connection: Connection, shop: Shop, endpoint_id: str, batches: Sequence[Sequence[NewEvent]]) -> float:
    """The bodies are JSON already, and nobody asks whether the event is new or who wants to hear it."""
    now = wall_clock()
    ready = [
        ([one.customer_id for one in batch], [one.event_id for one in batch], [msgspec.json.encode(one.body).decode() for one in batch])
        for batch in batches
    ]
    began = perf_counter()
    for owners, ids, bodies in ready:
        async with connection.transaction():
            await connection.execute(_EVENTS, shop.project_id, now, shop.app_id, owners, ids, bodies)
            await connection.execute(_DELIVERIES, shop.project_id, endpoint_id, now, owners, ids)
    return EVENTS / (perf_counter() - began)


_EVENTS = """
    INSERT INTO event (project_id, customer_id, event_id, sequence, type, app_id, environment, happened_at, recorded_at, body)
    SELECT $1, customer_id, event_id, 1, 'RENEWAL', $3, 'PRODUCTION', $2, $2, body
    FROM unnest($4::text[], $5::text[], $6::jsonb[]) AS new (customer_id, event_id, body)
"""
_DELIVERIES = """
    INSERT INTO delivery (project_id, customer_id, endpoint_id, event_id, sequence, wake_at)
    SELECT $1, customer_id, $2, event_id, 1, $3 FROM unnest($4::text[], $5::text[]) AS new (customer_id, event_id)
"""

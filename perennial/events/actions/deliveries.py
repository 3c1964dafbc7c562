"""Sending what is on its way.

This is one round of one project, for clocks that are moved and whoever wants to wait for the outcome; workers send all the time
(`dispatching`).

Delivery is at least once. An attempt is claimed and committed before the receiver is called, and its result is recorded after, so:
two workers never send the same delivery within a lease; a crash between claim and record sends it again, with the same id, when the lease
is over; late is merely late; and a worker that never comes back leaves nothing behind that another does not find on the agenda.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta

from perennial.base.db import Database
from perennial.base.ids import EndpointId, ProjectId
from perennial.base.secrets import Vault
from perennial.base.time import perf_counter
from perennial.events import db, rules
from perennial.events.actions.attempts import SENDING_WINDOW, Outside, carry, log_failures, record, send, take
from perennial.events.model import Answer, Carrier, IntegrationRoute, Parcel, Route, Sender, WebhookRoute
from perennial.events.rules import MOST_SILENCE

SENT_AT_ONCE = 20
SENT_AT_ONCE_TO_ONE = 10  # a receiver that hangs must not occupy every place
MOST_PASSES = 200  # over deliveries that wait behind others


async def deliver_due(
    database: Database, project_id: ProjectId, vault: Vault, sender: Sender, limit: int = 500, *, carrier: Carrier | None = None
) -> int:
    """One round: claims what is due, sends it with no transaction open, records how it went. Returns how many attempts were made.

    Events of one customer reach an endpoint in order: one is sent only when none before it is still open. Events of different customers,
    and different endpoints, do not wait for each other. `carrier` is needed where there are integrations beside webhooks.
    """
    parcels, routes = await _claim(database, project_id, limit)
    if not parcels:
        return 0
    answers = await _submit(project_id, parcels, routes, Outside(vault=vault, sender=sender, carrier=carrier, clock=database.clock))
    async with database.transaction(project_id) as tx:
        settled = [rules.settle(parcel, answer, tx.now) for parcel, answer in zip(parcels, answers, strict=True)]
        await record(tx, settled, routes)
    log_failures(project_id, settled)
    return sum(one.was_tried for one in settled)


async def _claim(database: Database, project_id: ProjectId, limit: int) -> tuple[list[Parcel], dict[EndpointId, Route]]:
    """Passes over deliveries that wait behind others until it finds some whose turn it is."""
    for _ in range(MOST_PASSES):
        async with database.transaction(project_id) as tx:
            due = await db.lock_due(tx, limit)
            routes = await db.routes(tx, [one.endpoint_id for one in due]) if due else {}
            if parcels := await take(tx, due, routes):
                return parcels, routes
        if not due:
            break
    return [], {}


async def _submit(project_id: ProjectId, parcels: Sequence[Parcel], routes: Mapping[EndpointId, Route], outside: Outside) -> list[Answer | None]:
    """Sends side by side. None where it was not tried: its endpoint is silent, or the lease would not last."""
    everyone = asyncio.Semaphore(SENT_AT_ONCE)
    each: defaultdict[EndpointId, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(SENT_AT_ONCE_TO_ONE))
    silence: Counter[EndpointId] = Counter()
    answers: list[Answer | None] = [None] * len(parcels)
    began = perf_counter()

    def left() -> timedelta:
        return SENDING_WINDOW - timedelta(seconds=perf_counter() - began)

    async def send_one(place: int, parcel: Parcel, route: WebhookRoute) -> None:
        async with each[parcel.endpoint_id], everyone:
            if silence[parcel.endpoint_id] >= MOST_SILENCE or left() <= timedelta(0):
                return
            answer = await send(parcel, route, outside)
            silence[parcel.endpoint_id] += answer.status is None
            answers[place] = answer

    async def carry_some(places: Sequence[int], route: IntegrationRoute) -> None:
        async with everyone:
            if left() > timedelta(0):
                carried = await carry(project_id, [parcels[place] for place in places], route, outside, left())
                for place, answer in zip(places, carried, strict=True):
                    answers[place] = answer

    shipments: defaultdict[tuple[EndpointId, str | None], list[int]] = defaultdict(list)
    async with asyncio.TaskGroup() as group:
        for place, parcel in enumerate(parcels):
            match routes[parcel.endpoint_id]:
                case WebhookRoute() as route:
                    group.create_task(send_one(place, parcel, route))
                case IntegrationRoute():
                    shipments[parcel.endpoint_id, parcel.batch].append(place)
        for (endpoint_id, _), places in shipments.items():
            to = routes[endpoint_id]
            assert isinstance(to, IntegrationRoute)
            group.create_task(carry_some(places, to))
    return answers

"""Sending what is on its way.

Delivery is at least once. An attempt is claimed and committed before the receiver is called, and its result is recorded after, so:
two workers never send the same delivery within a lease; a crash between claim and record sends it again, with the same id, when the lease
is over; late is merely late; and a worker that never comes back leaves nothing behind that another does not find on the agenda.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from perennial.base.db import Database, Tx
from perennial.base.errors import PerennialError
from perennial.base.ids import EndpointId, ProjectId
from perennial.base.secrets import Vault
from perennial.base.time import perf_counter
from perennial.base.value import value
from perennial.events import db, rules
from perennial.events.actions.sealing import unseal_authorization, unseal_secrets, unseal_signing_secret
from perennial.events.model import LEASE, Answer, Carrier, IntegrationRoute, Message, Parcel, Route, Sender, Settled, Shipment, WebhookRoute

SENT_AT_ONCE = 20
SENT_AT_ONCE_TO_ONE = 10  # a receiver that hangs must not occupy every place
MOST_SILENCE = 5  # so many attempts without an answer, and the endpoint rests until its next turn
SENDING_WINDOW = LEASE - timedelta(seconds=25)  # nothing is begun later: the slowest answer still falls within the lease
MOST_PASSES = 200  # over deliveries that wait behind others
_log = structlog.get_logger()


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
    answers = await _submit(parcels, routes, _Outside(vault=vault, sender=sender, carrier=carrier, clock=database.clock))
    async with database.transaction(project_id) as tx:
        settled = [rules.settle(parcel, answer, tx.now) for parcel, answer in zip(parcels, answers, strict=True)]
        await _record(tx, settled, routes)
    _log_failures(project_id, settled)
    return sum(one.was_tried for one in settled)


@value
class _Outside:
    """What sending needs."""

    vault: Vault
    sender: Sender
    carrier: Carrier | None
    clock: Callable[[], datetime]


async def _claim(database: Database, project_id: ProjectId, limit: int) -> tuple[list[Parcel], dict[EndpointId, Route]]:
    """Passes over deliveries that wait behind others until it finds some whose turn it is."""
    for _ in range(MOST_PASSES):
        async with database.transaction(project_id) as tx:
            due = await db.lock_due(tx, limit)
            routes = await db.routes(tx, [one.endpoint_id for one in due]) if due else {}
            if parcels := await _take(tx, due, routes):
                return parcels, routes
        if len(due) < limit:
            break
    return [], {}


async def _take(tx: Tx, due: Sequence[db.Due], routes: Mapping[EndpointId, Route]) -> list[Parcel]:
    gathered = [one for one in due if _gathers(routes[one.endpoint_id])]
    single = [one for one in due if not _gathers(routes[one.endpoint_id])]
    parcels = await db.claim(tx, single, until=tx.now + LEASE) if single else []
    if gathered:
        names = {one.endpoint_id: f"dt={tx.now:%Y-%m-%d}/{tx.new_id('batch')}" for one in gathered}
        parcels += await db.claim_batches(tx, gathered, names, until=tx.now + LEASE)
    return parcels


def _gathers(route: Route) -> bool:
    return isinstance(route, IntegrationRoute) and route.gathers


async def _submit(parcels: Sequence[Parcel], routes: Mapping[EndpointId, Route], outside: _Outside) -> list[Answer | None]:
    """Sends side by side. None where it was not tried: its endpoint is silent, or the lease would not last."""
    everyone = asyncio.Semaphore(SENT_AT_ONCE)
    each: defaultdict[EndpointId, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(SENT_AT_ONCE_TO_ONE))
    silence: Counter[EndpointId] = Counter()
    answers: list[Answer | None] = [None] * len(parcels)
    began = perf_counter()

    def left() -> timedelta:
        return SENDING_WINDOW - timedelta(seconds=perf_counter() - began)

    async def send(place: int, parcel: Parcel, route: WebhookRoute) -> None:
        async with each[parcel.endpoint_id], everyone:
            if silence[parcel.endpoint_id] >= MOST_SILENCE or left() <= timedelta(0):
                return
            answer = await _send(parcel, route, outside)
            silence[parcel.endpoint_id] += answer.status is None
            answers[place] = answer

    async def carry(places: Sequence[int], route: IntegrationRoute) -> None:
        async with everyone:
            if left() > timedelta(0):
                carried = await _carry([parcels[place] for place in places], route, outside, left())
                for place, answer in zip(places, carried, strict=True):
                    answers[place] = answer

    shipments: defaultdict[tuple[EndpointId, str | None], list[int]] = defaultdict(list)
    async with asyncio.TaskGroup() as group:
        for place, parcel in enumerate(parcels):
            match routes[parcel.endpoint_id]:
                case WebhookRoute() as route:
                    group.create_task(send(place, parcel, route))
                case IntegrationRoute():
                    shipments[parcel.endpoint_id, parcel.batch].append(place)
        for (endpoint_id, _), places in shipments.items():
            to = routes[endpoint_id]
            assert isinstance(to, IntegrationRoute)
            group.create_task(carry(places, to))
    return answers


async def _send(parcel: Parcel, route: WebhookRoute, outside: _Outside) -> Answer:
    """Never raises: one delivery that cannot be sent steps aside, and the rest of the batch is recorded."""
    try:
        return await outside.sender.send(_message(parcel, route, outside.vault, outside.clock()))
    except PerennialError as error:
        return Answer(error=error.message)
    except Exception as error:  # whose text may show a header, so only its kind is kept
        return Answer(error=f"could not be sent ({type(error).__name__})")


def _message(parcel: Parcel, route: WebhookRoute, vault: Vault, at: datetime) -> Message:
    return Message(
        message_id=parcel.event_id,
        url=route.url,
        authorization_header=unseal_authorization(vault, parcel.endpoint_id, route.authorization_header),
        signing_secret=unseal_signing_secret(vault, parcel.endpoint_id, route.signing_secret),
        sent_at=at,
        event=parcel.body,
    )


async def _carry(parcels: Sequence[Parcel], route: IntegrationRoute, outside: _Outside, within: timedelta) -> Sequence[Answer | None]:
    """Never raises, as `_send`. The parcels are of one endpoint."""
    assert outside.carrier is not None, "there are integrations, and nobody to carry to them"
    try:
        shipment = Shipment(
            endpoint_id=parcels[0].endpoint_id,
            kind=route.kind,
            settings=route.settings,
            secrets=unseal_secrets(outside.vault, parcels[0].endpoint_id, route.secrets),
            events=tuple(parcel.body for parcel in parcels),
            batch=parcels[0].batch,
            sent_at=outside.clock(),
            within=within,
        )
        return await outside.carrier.carry(shipment)
    except PerennialError as error:
        return [Answer(error=error.message)] * len(parcels)
    except Exception as error:
        return [Answer(error=f"could not be sent ({type(error).__name__})")] * len(parcels)


async def _record(tx: Tx, settled: Sequence[Settled], routes: Mapping[EndpointId, Route]) -> None:
    """Behind what is closed the next in the queue is woken; where events are gathered, it has a time of its own."""
    await db.lock_endpoints(tx, [one.parcel.endpoint_id for one in settled])
    saved = await db.save_settled(tx, settled)
    await db.hold_followers(tx, [one for one in saved if one.wake_at is not None and one.was_tried])
    await db.wake_next(tx, [one for one in saved if one.wake_at is None and not _gathers(routes[one.parcel.endpoint_id])])
    await db.save_health(tx, rules.health(settled))


def _log_failures(project_id: ProjectId, settled: Sequence[Settled]) -> None:
    """By ids: a URL may hold a secret of its receiver's."""
    for one in settled:
        if one.error is not None and one.skipped_at is None:
            _log.warning(
                "event not delivered",
                project_id=project_id,
                endpoint_id=one.parcel.endpoint_id,
                event_id=one.parcel.event_id,
                attempt=one.attempts,
                status=one.status,
                error=one.error,
                retry_at=one.wake_at,
                is_parked=one.parked_at is not None,
            )

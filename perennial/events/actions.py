"""The verbs of telling: write down what happened, send it out, ask for it again.

Delivery is at least once. An attempt is claimed and committed before the receiver is called, and its result is recorded after, so:
two workers never send the same delivery within a lease; a crash between claim and record sends it again, with the same id, when the lease
is over; late is merely late; and a worker that never comes back leaves nothing behind that another does not find on the agenda.
"""

import asyncio
import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from msgspec import UNSET, UnsetType

from perennial.base.db import Database, Tx
from perennial.base.errors import Invalid, PerennialError
from perennial.base.ids import AppId, CustomerId, EndpointId, EventId, ProjectId, new_uuid, random_bytes
from perennial.base.secrets import Vault
from perennial.base.time import FOREVER, perf_counter
from perennial.base.value import replace, value
from perennial.events import db, rules
from perennial.events.model import (
    LEASE,
    TEST_CUSTOMER,
    Answer,
    Carrier,
    Endpoint,
    EndpointMissing,
    Integration,
    IntegrationMissing,
    IntegrationRoute,
    Message,
    NewEvent,
    Parcel,
    Place,
    RecordedEvent,
    Route,
    Sender,
    Settled,
    Shipment,
    WebhookRoute,
)

SENT_AT_ONCE = 20
SENT_AT_ONCE_TO_ONE = 10  # a receiver that hangs must not occupy every place
MOST_SILENCE = 5  # so many attempts without an answer, and the endpoint rests until its next turn
SENDING_WINDOW = LEASE - timedelta(seconds=25)  # nothing is begun later: the slowest answer still falls within the lease
MOST_PASSES = 200  # over deliveries that wait behind others
MOST_REPLAYED = 100_000
REPLAY_PAGE = 1000

_AUTHORIZATION = "endpoint.authorization_header"  # what the vault binds the secrets to
_SIGNING_SECRET = "endpoint.signing_secret"  # noqa: S105  a column's name
_SECRETS = "endpoint.secrets"

_log = structlog.get_logger()


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


# Sending --------------------------------------------------------------------------------------------------------------------------


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
    header = route.authorization_header
    return Message(
        message_id=parcel.event_id,
        url=route.url,
        authorization_header=None if header is None else vault.unseal(header, _purpose(_AUTHORIZATION, parcel.endpoint_id)).decode(),
        signing_secret=vault.unseal(route.signing_secret, _purpose(_SIGNING_SECRET, parcel.endpoint_id)).decode(),
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
            secrets=_unseal_secrets(outside.vault, parcels[0].endpoint_id, route.secrets),
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


# Endpoints ------------------------------------------------------------------------------------------------------------------------


async def create_endpoint(
    tx: Tx,
    vault: Vault,
    *,
    name: str,
    url: str,
    authorization_header: str | None = None,
    environment: str | None = None,
    app_id: str | None = None,
    event_types: Sequence[str] | None = None,
) -> tuple[Endpoint, str]:
    """A webhook integration, and its Standard Webhooks signing secret (`whsec_...`), which is shown this once.

    A project's endpoints sign with one secret, so that a receiver behind several of them has one to check.

    It hears what happens from now on; `replay` tells it of the past.
    """
    endpoint = Endpoint(
        endpoint_id=EndpointId(tx.new_id("whintgr")),
        name=name,
        url=url,
        environment=environment,
        app_id=None if app_id is None else AppId(app_id),
        event_types=_in_order(event_types),
        created_at=tx.now,
        has_authorization=authorization_header is not None,
    )
    await _check(tx, endpoint)
    secret = await _shared_secret(tx, vault) or "whsec_" + base64.b64encode(random_bytes(32)).decode()
    await db.insert_endpoint(
        tx,
        endpoint,
        authorization_header=_seal_authorization(vault, endpoint.endpoint_id, authorization_header),
        signing_secret=vault.seal(secret, _purpose(_SIGNING_SECRET, endpoint.endpoint_id)),
    )
    return endpoint, secret


async def _shared_secret(tx: Tx, vault: Vault) -> str | None:
    others = await db.page_endpoints(tx, after=None, limit=1)
    if not others:
        return None
    route = (await db.routes(tx, [others[0].endpoint_id]))[others[0].endpoint_id]
    assert isinstance(route, WebhookRoute)
    return vault.unseal(route.signing_secret, _purpose(_SIGNING_SECRET, others[0].endpoint_id)).decode()


async def update_endpoint(
    tx: Tx,
    vault: Vault,
    endpoint_id: str,
    *,
    name: str | UnsetType = UNSET,
    url: str | UnsetType = UNSET,
    authorization_header: str | UnsetType | None = UNSET,
    environment: str | UnsetType | None = UNSET,
    app_id: str | UnsetType | None = UNSET,
    event_types: Sequence[str] | UnsetType | None = UNSET,
) -> Endpoint:
    """Changes what is given. None is a value here (every environment, no header), so what stays as it is is left out, or `UNSET`.

    What is on its way already still goes out, to the new url; new filters count for events from now on.
    """
    await db.lock_endpoints(tx, [EndpointId(endpoint_id)])
    endpoint = await get_endpoint(tx, endpoint_id)
    changed = replace(
        endpoint,
        name=endpoint.name if isinstance(name, UnsetType) else name,
        url=endpoint.url if isinstance(url, UnsetType) else url,
        environment=endpoint.environment if isinstance(environment, UnsetType) else environment,
        app_id=endpoint.app_id if isinstance(app_id, UnsetType) else None if app_id is None else AppId(app_id),
        event_types=endpoint.event_types if isinstance(event_types, UnsetType) else _in_order(event_types),
        has_authorization=endpoint.has_authorization if isinstance(authorization_header, UnsetType) else authorization_header is not None,
    )
    await _check(tx, changed)
    await db.update_endpoint(tx, changed)
    if not isinstance(authorization_header, UnsetType):
        await db.set_authorization(tx, changed.endpoint_id, _seal_authorization(vault, changed.endpoint_id, authorization_header))
    return changed


async def get_endpoint(tx: Tx, endpoint_id: str) -> Endpoint:
    found = await db.get_endpoints(tx, [EndpointId(endpoint_id)])
    if not found:
        raise EndpointMissing(f"no webhook integration {endpoint_id[:80]!r} in this project", param="webhook_integration_id")
    return found[0]


async def list_endpoints(tx: Tx, after: str | None = None, limit: int = 20) -> list[Endpoint]:
    """In order of their making, those after the id `after`."""
    return await db.page_endpoints(tx, after=after, limit=limit)


async def delete_endpoint(tx: Tx, endpoint_id: str) -> None:
    """With all its deliveries. A message already under way arrives; nothing is tried again."""
    if not await db.delete_endpoint(tx, EndpointId(endpoint_id)):
        raise EndpointMissing(f"no webhook integration {endpoint_id[:80]!r} in this project", param="webhook_integration_id")


async def _check(tx: Tx, endpoint: Endpoint) -> None:
    rules.check_endpoint(endpoint)
    await _check_app(tx, endpoint.app_id)


async def _check_app(tx: Tx, app_id: str | None) -> None:
    if app_id is not None and not await db.has_app(tx, app_id):
        raise Invalid(f"no app {app_id[:80]!r} in this project; leave it out to hear of all apps", param="app_id")


def _in_order(event_types: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if event_types is None else tuple(sorted(set(event_types)))


def _seal_authorization(vault: Vault, endpoint_id: EndpointId, header: str | None) -> bytes | None:
    if header is None:
        return None
    rules.check_authorization(header)
    return vault.seal(header, _purpose(_AUTHORIZATION, endpoint_id))


def _purpose(column: str, endpoint_id: EndpointId) -> str:
    """Bound to its row too: one endpoint's header moved to another's row would be sent to a stranger."""
    return f"{column} {endpoint_id}"


# Integrations ---------------------------------------------------------------------------------------------------------------------


async def create_integration(
    tx: Tx,
    vault: Vault,
    carrier: Carrier,
    *,
    kind: str,
    name: str,
    settings: Mapping[str, Any],
    secrets: Mapping[str, Any],
    environment: str | None = None,
    app_id: str | None = None,
    event_types: Sequence[str] | None = None,
) -> Integration:
    """It hears what happens from now on; `replay_integration` tells it of the past. Its secrets are kept encrypted and never shown again."""
    configured = carrier.check(kind, settings, secrets)
    integration = Integration(
        endpoint_id=EndpointId(tx.new_id("intgr")),
        kind=kind,
        name=name,
        settings=configured.settings,
        secret_names=tuple(sorted(configured.secrets)),
        environment=environment,
        app_id=None if app_id is None else AppId(app_id),
        event_types=_in_order(event_types),
        created_at=tx.now,
        gather_for=configured.gather_for,
    )
    rules.check_hearing(integration)
    await _check_app(tx, integration.app_id)
    await db.insert_integration(tx, integration, secrets=_seal_secrets(vault, integration.endpoint_id, configured.secrets))
    return integration


async def update_integration(
    tx: Tx,
    vault: Vault,
    carrier: Carrier,
    endpoint_id: str,
    *,
    name: str | UnsetType = UNSET,
    settings: Mapping[str, Any] | UnsetType = UNSET,
    secrets: Mapping[str, Any] | UnsetType = UNSET,
    environment: str | UnsetType | None = UNSET,
    app_id: str | UnsetType | None = UNSET,
    event_types: Sequence[str] | UnsetType | None = UNSET,
) -> Integration:
    """Changes what is given, as `update_endpoint`. `settings` and `secrets` are each given whole.

    Who changes where an integration sends must give its secrets again: else whoever may edit it could have them sent to themselves.
    """
    await db.lock_endpoints(tx, [EndpointId(endpoint_id)])
    integration = await get_integration(tx, endpoint_id)
    changed = replace(
        integration,
        name=integration.name if isinstance(name, UnsetType) else name,
        environment=integration.environment if isinstance(environment, UnsetType) else environment,
        app_id=integration.app_id if isinstance(app_id, UnsetType) else None if app_id is None else AppId(app_id),
        event_types=integration.event_types if isinstance(event_types, UnsetType) else _in_order(event_types),
    )
    rules.check_hearing(changed)
    await _check_app(tx, changed.app_id)
    await db.update_integration(tx, changed)
    if not (isinstance(settings, UnsetType) and isinstance(secrets, UnsetType)):
        await _configure(tx, vault, carrier, integration, settings, secrets)
    return await get_integration(tx, endpoint_id)


async def _configure(
    tx: Tx,
    vault: Vault,
    carrier: Carrier,
    integration: Integration,
    settings: Mapping[str, Any] | UnsetType,
    secrets: Mapping[str, Any] | UnsetType,
) -> None:
    endpoint_id = integration.endpoint_id
    route = (await db.routes(tx, [endpoint_id]))[endpoint_id]
    assert isinstance(route, IntegrationRoute)
    held = _unseal_secrets(vault, endpoint_id, route.secrets)
    before = carrier.check(integration.kind, integration.settings, held)
    configured = carrier.check(
        integration.kind,
        integration.settings if isinstance(settings, UnsetType) else settings,
        held if isinstance(secrets, UnsetType) else secrets,
    )
    if isinstance(secrets, UnsetType) and configured.address != before.address:
        raise Invalid("give the secrets again: with these settings they would go to another address", param="secrets")
    await db.configure_integration(tx, endpoint_id, configured, secrets=_seal_secrets(vault, endpoint_id, configured.secrets))


async def get_integration(tx: Tx, endpoint_id: str) -> Integration:
    found = await db.get_integrations(tx, [EndpointId(endpoint_id)])
    if not found:
        raise IntegrationMissing(f"no integration {endpoint_id[:80]!r} in this project", param="integration_id")
    return found[0]


async def list_integrations(tx: Tx, after: str | None = None, limit: int = 20) -> list[Integration]:
    """In order of their making, those after the id `after`. Webhooks are not among them."""
    return await db.page_integrations(tx, after=after, limit=limit)


async def delete_integration(tx: Tx, endpoint_id: str) -> None:
    """With all its deliveries, as `delete_endpoint`."""
    integration = await get_integration(tx, endpoint_id)
    await db.delete_endpoint(tx, integration.endpoint_id)


def _seal_secrets(vault: Vault, endpoint_id: EndpointId, secrets: Mapping[str, str]) -> bytes:
    return vault.seal(msgspec.json.encode(secrets), _purpose(_SECRETS, endpoint_id))


def _unseal_secrets(vault: Vault, endpoint_id: EndpointId, sealed: bytes) -> dict[str, str]:
    return msgspec.json.decode(vault.unseal(sealed, _purpose(_SECRETS, endpoint_id)), type=dict[str, str])


# Again, and for a try -------------------------------------------------------------------------------------------------------------


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
    return await _send_test(tx, await get_endpoint(tx, endpoint_id))


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


# The log --------------------------------------------------------------------------------------------------------------------------


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

"""One attempt at a delivery, and what is written down before and after it. Who attempts what, and when, is not decided here."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from perennial.base.db import Tx
from perennial.base.errors import PerennialError
from perennial.base.ids import EndpointId, ProjectId
from perennial.base.secrets import Vault
from perennial.base.value import value
from perennial.events import db, rules
from perennial.events.actions.sealing import unseal_authorization, unseal_secrets, unseal_signing_secret
from perennial.events.model import LEASE, Answer, Carrier, IntegrationRoute, Message, Parcel, Route, Sender, Settled, Shipment, WebhookRoute

SENDING_WINDOW = LEASE - timedelta(seconds=25)  # nothing is begun later: the slowest answer still falls within the lease
_log = structlog.get_logger()


@value
class Outside:
    """What sending needs."""

    vault: Vault
    sender: Sender
    carrier: Carrier | None
    clock: Callable[[], datetime]


async def take(tx: Tx, due: Sequence[db.Due], routes: Mapping[EndpointId, Route]) -> list[Parcel]:
    gathered = [one for one in due if gathers(routes[one.endpoint_id])]
    single = [one for one in due if not gathers(routes[one.endpoint_id])]
    parcels = await db.claim(tx, single, until=tx.now + LEASE) if single else []
    if gathered:
        names = {one.endpoint_id: f"dt={tx.now:%Y-%m-%d}/{tx.new_id('batch')}" for one in gathered}
        parcels += await db.claim_batches(tx, gathered, names, until=tx.now + LEASE)
    return parcels


def gathers(route: Route) -> bool:
    return isinstance(route, IntegrationRoute) and route.gathers


async def send(parcel: Parcel, route: WebhookRoute, outside: Outside) -> Answer:
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
        former_secret=None if route.former_secret is None else unseal_signing_secret(vault, parcel.endpoint_id, route.former_secret),
        sent_at=at,
        event=parcel.body,
    )


async def carry(
    project_id: ProjectId, parcels: Sequence[Parcel], route: IntegrationRoute, outside: Outside, within: timedelta
) -> Sequence[Answer | None]:
    """Never raises, as `send`. The parcels are of one endpoint."""
    assert outside.carrier is not None, "there are integrations, and nobody to carry to them"
    try:
        shipment = Shipment(
            endpoint_id=parcels[0].endpoint_id,
            kind=route.kind,
            settings=route.settings,
            secrets=unseal_secrets(outside.vault, parcels[0].endpoint_id, route.secrets),
            events=tuple(parcel.body for parcel in parcels),
            project_id=project_id,
            batch=parcels[0].batch,
            sent_at=outside.clock(),
            within=within,
        )
        return await outside.carrier.carry(shipment)
    except PerennialError as error:
        return [Answer(error=error.message)] * len(parcels)
    except Exception as error:
        return [Answer(error=f"could not be sent ({type(error).__name__})")] * len(parcels)


async def record(tx: Tx, settled: Sequence[Settled], routes: Mapping[EndpointId, Route]) -> None:
    """Behind what is closed the next in the queue is woken; where events are gathered, it has a time of its own."""
    await db.lock_endpoints(tx, [one.parcel.endpoint_id for one in settled])
    saved = await db.save_settled(tx, settled)
    await db.hold_followers(tx, [one for one in saved if one.wake_at is not None and one.was_tried])
    await db.wake_next(tx, [one for one in saved if one.wake_at is None and not gathers(routes[one.parcel.endpoint_id])])
    await db.save_health(tx, rules.health(settled))


def log_failures(project_id: ProjectId, settled: Sequence[Settled]) -> None:
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
                retry_at=one.wake_at.isoformat() if one.wake_at is not None else None,
                is_parked=one.parked_at is not None,
            )

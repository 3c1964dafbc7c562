"""Webhooks: made, changed, looked up, deleted."""

import base64
from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from perennial.base.db import Tx
from perennial.base.ids import AppId, EndpointId, random_bytes
from perennial.base.secrets import Vault
from perennial.base.value import replace
from perennial.events import db, rules
from perennial.events.actions.hearing import check_app, check_count, in_order
from perennial.events.actions.sealing import seal_authorization, seal_signing_secret
from perennial.events.model import FORMER_SECRET_SIGNS, Endpoint, EndpointMissing


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

    The secret is the endpoint's own: one receiver cannot sign in the name of another's.

    It hears what happens from now on; `replay` tells it of the past.
    """
    endpoint = Endpoint(
        endpoint_id=EndpointId(tx.new_id("whintgr")),
        name=name,
        url=url,
        environment=environment,
        app_id=None if app_id is None else AppId(app_id),
        event_types=in_order(event_types),
        created_at=tx.now,
        has_authorization=authorization_header is not None,
    )
    await _check(tx, endpoint)
    await check_count(tx)
    secret = _new_secret()
    await db.insert_endpoint(
        tx,
        endpoint,
        authorization_header=seal_authorization(vault, endpoint.endpoint_id, authorization_header),
        signing_secret=seal_signing_secret(vault, endpoint.endpoint_id, secret),
    )
    return endpoint, secret


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(random_bytes(32)).decode()


async def rotate_secret(tx: Tx, vault: Vault, endpoint_id: str, *, keeps_former: bool = True) -> tuple[Endpoint, str]:
    """Another signing secret, which is shown this once. For a day messages are signed with both, so that the receiver can learn it meanwhile;
    without `keeps_former`, because the former one is in wrong hands, with the new one alone from now on."""
    await db.lock_endpoints(tx, [EndpointId(endpoint_id)])
    endpoint, secret = await get_endpoint(tx, endpoint_id), _new_secret()
    former_until = tx.now + FORMER_SECRET_SIGNS if keeps_former else None
    await db.rotate_secret(tx, endpoint.endpoint_id, seal_signing_secret(vault, endpoint.endpoint_id, secret), former_until=former_until)
    return replace(endpoint, former_until=former_until), secret


async def pause_endpoint(tx: Tx, endpoint_id: str) -> Endpoint:
    """What there is to tell is kept, and goes out in its order once it is resumed. What is on its way at this moment still arrives."""
    await db.lock_endpoints(tx, [EndpointId(endpoint_id)])
    endpoint = await get_endpoint(tx, endpoint_id)
    paused = replace(endpoint, paused_at=endpoint.paused_at or tx.now)
    await db.set_paused(tx, endpoint.endpoint_id, paused.paused_at)
    return paused


async def resume_endpoint(tx: Tx, endpoint_id: str) -> Endpoint:
    await db.lock_endpoints(tx, [EndpointId(endpoint_id)])
    endpoint = await get_endpoint(tx, endpoint_id)
    await db.set_paused(tx, endpoint.endpoint_id, None)
    return replace(endpoint, paused_at=None)


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
        event_types=endpoint.event_types if isinstance(event_types, UnsetType) else in_order(event_types),
        has_authorization=endpoint.has_authorization if isinstance(authorization_header, UnsetType) else authorization_header is not None,
    )
    await _check(tx, changed)
    await db.update_endpoint(tx, changed)
    if not isinstance(authorization_header, UnsetType):
        await db.set_authorization(tx, changed.endpoint_id, seal_authorization(vault, changed.endpoint_id, authorization_header))
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
    await check_app(tx, endpoint.app_id)

"""Services with a shape of their own: made, changed, looked up, deleted."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from perennial.base.db import Tx
from perennial.base.errors import Invalid
from perennial.base.ids import AppId, EndpointId
from perennial.base.secrets import Vault
from perennial.base.value import replace
from perennial.events import db, rules
from perennial.events.actions.hearing import check_app, check_count, in_order
from perennial.events.actions.sealing import seal_secrets, unseal_secrets
from perennial.events.model import Carrier, Integration, IntegrationMissing, IntegrationRoute


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
        event_types=in_order(event_types),
        created_at=tx.now,
        gather_for=configured.gather_for,
    )
    rules.check_hearing(integration)
    await check_app(tx, integration.app_id)
    await check_count(tx)
    await db.insert_integration(tx, integration, secrets=seal_secrets(vault, integration.endpoint_id, configured.secrets))
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
        event_types=integration.event_types if isinstance(event_types, UnsetType) else in_order(event_types),
    )
    rules.check_hearing(changed)
    await check_app(tx, changed.app_id)
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
    held = unseal_secrets(vault, endpoint_id, route.secrets)
    before = carrier.check(integration.kind, integration.settings, held)
    configured = carrier.check(
        integration.kind,
        integration.settings if isinstance(settings, UnsetType) else settings,
        held if isinstance(secrets, UnsetType) else secrets,
    )
    if isinstance(secrets, UnsetType) and configured.address != before.address:
        raise Invalid("give the secrets again: with these settings they would go to another address", param="secrets")
    await db.configure_integration(tx, endpoint_id, configured, secrets=seal_secrets(vault, endpoint_id, configured.secrets))


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

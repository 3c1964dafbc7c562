"""Integrations beside webhooks: analytics tools, chats, buckets. Ours, in the manner of webhook integrations, which are a resource of their own."""

from typing import get_args

from litestar.params import JSONBody

from perennial import events
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.entry import entered, ms
from perennial.api.v2.pages import AskedPage
from perennial.api.v2.routes import PathId, delete, get, post
from perennial.base.errors import Invalid
from perennial.base.time import from_ms, to_ms
from perennial.events import Integration
from perennial.providers.integrations import KINDS

assert get_args(wire.IntegrationKind) == KINDS, "the documented kinds are those there are"

_TAGS = ["Integrations"]
_PATH = "/projects/{project_id:str}/integrations"
_ONE = _PATH + "/{integration_id:str}"
_READ = "project_configuration:integrations:read"
_WRITE = "project_configuration:integrations:read_write"


@get(_PATH, permission=_READ, operation_id="list-integrations", summary="List integrations", tags=_TAGS)
async def list_integrations(request: HttpRequest, project_id: PathId, page: AskedPage) -> wire.ListOf[wire.Integration]:
    """Webhook integrations have a list of their own."""
    async with entered(request, project_id) as entry:
        found = await events.list_integrations(entry.tx, after=page.after, limit=page.probe)
    return page.of(found, lambda one: one.endpoint_id, lambda one: _show(one, project_id))


@post(_PATH, permission=_WRITE, operation_id="create-integration", summary="Create an integration", tags=_TAGS)
async def create_integration(request: HttpRequest, project_id: PathId, data: JSONBody[wire.IntegrationCreate]) -> wire.Integration:
    """It hears what happens from now on; replay tells it of the past."""
    async with entered(request, project_id) as entry:
        integration = await events.create_integration(
            entry.tx,
            entry.app.vault,
            entry.app.carrier,
            kind=data.kind,
            name=data.name,
            settings=data.settings,
            secrets=data.secrets,
            environment=data.environment,
            app_id=data.app_id,
            event_types=data.event_types,
        )
        await entry.audit("integration.create", integration.endpoint_id, {"name": integration.name, "kind": integration.kind})
    return _show(integration, project_id)


@get(_ONE, permission=_READ, operation_id="get-integration", summary="Get an integration, with its health", tags=_TAGS)
async def get_integration(request: HttpRequest, project_id: PathId, integration_id: PathId) -> wire.Integration:
    async with entered(request, project_id) as entry:
        return _show(await events.get_integration(entry.tx, integration_id), project_id)


@post(_ONE, permission=_WRITE, operation_id="update-integration", summary="Update an integration", tags=_TAGS, status_code=200)
async def update_integration(
    request: HttpRequest, project_id: PathId, integration_id: PathId, data: JSONBody[wire.IntegrationUpdate]
) -> wire.Integration:
    """What is left out stays; `settings` and `secrets` are each given whole. Settings that lead elsewhere need the secrets again."""
    async with entered(request, project_id) as entry:
        integration = await events.update_integration(
            entry.tx,
            entry.app.vault,
            entry.app.carrier,
            integration_id,
            name=data.name,
            settings=data.settings,
            secrets=data.secrets,
            environment=data.environment,
            app_id=data.app_id,
            event_types=data.event_types,
        )
        await entry.audit("integration.update", integration_id, {"name": integration.name})
    return _show(integration, project_id)


@delete(_ONE, permission=_WRITE, operation_id="delete-integration", summary="Delete an integration", tags=_TAGS, status_code=200)
async def delete_integration(request: HttpRequest, project_id: PathId, integration_id: PathId) -> wire.IntegrationDeleted:
    """What was still on its way there goes with it."""
    async with entered(request, project_id) as entry:
        await events.delete_integration(entry.tx, integration_id)
        await entry.audit("integration.delete", integration_id)
        return wire.IntegrationDeleted(id=integration_id, deleted_at=to_ms(entry.tx.now))


@post(_ONE + "/actions/test", permission=_WRITE, operation_id="test-integration", summary="Send a test event", tags=_TAGS, status_code=200)
async def test_integration(request: HttpRequest, project_id: PathId, integration_id: PathId) -> wire.IntegrationTest:
    """It is sent at once, whatever the filters. How it was answered shows in the health and in the event's deliveries."""
    async with entered(request, project_id) as entry:
        event_id = await events.send_test_to_integration(entry.tx, integration_id)
        await entry.audit("integration.test", integration_id, {"event_id": event_id})
    return wire.IntegrationTest(event_id=event_id)


@post(_ONE + "/actions/replay", permission=_WRITE, operation_id="replay-integration", summary="Tell it again", tags=_TAGS, status_code=200)
async def replay_integration(
    request: HttpRequest, project_id: PathId, integration_id: PathId, data: JSONBody[wire.WebhookReplay]
) -> wire.IntegrationReplayed:
    """Everything recorded since a moment, or the events named, with their old ids, by which its receiver tells repeats apart."""
    if (data.since_ms is None) == (data.event_ids is None):
        raise Invalid("say what to tell again: exactly one of since_ms and event_ids", param="since_ms")
    since = from_ms(data.since_ms) if data.since_ms is not None else None
    async with entered(request, project_id) as entry:
        count = await events.replay_integration(entry.tx, integration_id, since=since, event_ids=data.event_ids)
        await entry.audit("integration.replay", integration_id, {"since_ms": data.since_ms, "deliveries": count})
    return wire.IntegrationReplayed(deliveries=count)


def _show(integration: Integration, project_id: str) -> wire.Integration:
    return wire.Integration(
        id=integration.endpoint_id,
        project_id=project_id,
        kind=integration.kind,  # type: ignore[arg-type]
        name=integration.name,
        settings=integration.settings,
        secrets=list(integration.secret_names),
        environment=integration.environment,  # type: ignore[arg-type]
        event_types=None if integration.event_types is None else list(integration.event_types),
        app_id=integration.app_id,
        created_at=to_ms(integration.created_at),
        health=wire.IntegrationHealth(
            last_success_at=ms(integration.last_success_at),
            last_failure_at=ms(integration.last_failure_at),
            last_error=integration.last_error,
            failures=integration.failures,
        ),
    )


HANDLERS = [
    list_integrations,
    create_integration,
    get_integration,
    update_integration,
    delete_integration,
    test_integration,
    replay_integration,
]

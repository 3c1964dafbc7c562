"""Webhook integrations: who is told, how that goes, and telling them again; and the log of what there was to tell."""

from datetime import datetime, timedelta
from typing import Annotated

from litestar.params import JSONBody, QueryParameter

from perennial import customers, events
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.entry import entered, ms
from perennial.api.v2.pages import AskedPage
from perennial.api.v2.routes import PathId, delete, get, post
from perennial.base.db import Tx
from perennial.base.errors import Invalid
from perennial.base.ids import CustomerId
from perennial.base.time import EPOCH, from_ms, to_ms
from perennial.events import Delivery, Endpoint, RecordedEvent
from perennial.events.model import Place

_TAGS = ["Webhook integrations"]
_PATH = "/projects/{project_id:str}/integrations/webhooks"
_ONE = _PATH + "/{webhook_integration_id:str}"


@get(
    _PATH,
    permission="project_configuration:integrations:read",
    operation_id="list-webhook-integrations",
    summary="List webhook integrations",
    tags=_TAGS,
)
async def list_webhooks(request: HttpRequest, project_id: PathId, page: AskedPage) -> wire.ListOf[wire.WebhookIntegration]:
    async with entered(request, project_id) as entry:
        found = await events.list_endpoints(entry.tx, after=page.after, limit=page.probe)
    return page.of(found, lambda one: one.endpoint_id, lambda one: _show(one, project_id))


@post(
    _PATH,
    permission="project_configuration:integrations:read_write",
    operation_id="create-webhook-integration",
    summary="Create a webhook integration",
    tags=_TAGS,
)
async def create_webhook(request: HttpRequest, project_id: PathId, data: JSONBody[wire.WebhookCreate]) -> wire.WebhookIntegration:
    """The answer has the `signing_secret`, this once: messages are signed with it as Standard Webhooks says."""
    async with entered(request, project_id) as entry:
        endpoint, secret = await events.create_endpoint(
            entry.tx,
            entry.app.vault,
            name=data.name,
            url=data.url,
            authorization_header=data.authorization_header,
            environment=data.environment,
            app_id=data.app_id,
            event_types=data.event_types,
        )
        await entry.audit("webhook_integration.create", endpoint.endpoint_id, {"name": endpoint.name})
    shown = _show(endpoint, project_id)
    shown.signing_secret = secret
    return shown


@get(
    _ONE,
    permission="project_configuration:integrations:read",
    operation_id="get-webhook-integration",
    summary="Get a webhook integration, with its health",
    tags=_TAGS,
)
async def get_webhook(request: HttpRequest, project_id: PathId, webhook_integration_id: PathId) -> wire.WebhookIntegration:
    async with entered(request, project_id) as entry:
        return _show(await events.get_endpoint(entry.tx, webhook_integration_id), project_id)


@post(
    _ONE,
    permission="project_configuration:integrations:read_write",
    operation_id="update-webhook-integration",
    summary="Update a webhook integration",
    tags=_TAGS,
    status_code=200,
)
async def update_webhook(
    request: HttpRequest, project_id: PathId, webhook_integration_id: PathId, data: JSONBody[wire.WebhookUpdate]
) -> wire.WebhookIntegration:
    """What is left out stays; null means all, or none in the case of the header."""
    async with entered(request, project_id) as entry:
        endpoint = await events.update_endpoint(
            entry.tx,
            entry.app.vault,
            webhook_integration_id,
            name=data.name,
            url=data.url,
            authorization_header=data.authorization_header,
            environment=data.environment,
            app_id=data.app_id,
            event_types=data.event_types,
        )
        await entry.audit("webhook_integration.update", webhook_integration_id, {"name": endpoint.name})
    return _show(endpoint, project_id)


@delete(
    _ONE,
    permission="project_configuration:integrations:read_write",
    operation_id="delete-webhook-integration",
    summary="Delete a webhook integration",
    tags=_TAGS,
    status_code=200,
)
async def delete_webhook(request: HttpRequest, project_id: PathId, webhook_integration_id: PathId) -> wire.DeletedObject:
    """What was still on its way there goes with it."""
    async with entered(request, project_id) as entry:
        await events.delete_endpoint(entry.tx, webhook_integration_id)
        await entry.audit("webhook_integration.delete", webhook_integration_id)
        return wire.DeletedObject(object="webhook_integration", id=webhook_integration_id, deleted_at=to_ms(entry.tx.now))


@post(
    _ONE + "/actions/test",
    permission="project_configuration:integrations:read_write",
    operation_id="test-webhook-integration",
    summary="Send a test event",
    tags=_TAGS,
    status_code=200,
)
async def test_webhook(request: HttpRequest, project_id: PathId, webhook_integration_id: PathId) -> wire.WebhookTest:
    """It is sent at once. How it was answered shows in the integration's health and in the event's deliveries."""
    async with entered(request, project_id) as entry:
        event_id = await events.send_test(entry.tx, webhook_integration_id)
        await entry.audit("webhook_integration.test", webhook_integration_id, {"event_id": event_id})
    return wire.WebhookTest(event_id=event_id)


@post(
    _ONE + "/actions/pause",
    permission="project_configuration:integrations:read_write",
    operation_id="pause-webhook-integration",
    summary="Pause a webhook integration",
    tags=_TAGS,
    status_code=200,
)
async def pause_webhook(request: HttpRequest, project_id: PathId, webhook_integration_id: PathId) -> wire.WebhookIntegration:
    """What there is to tell is kept, and sent in its order after it is resumed."""
    async with entered(request, project_id) as entry:
        endpoint = await events.pause_endpoint(entry.tx, webhook_integration_id)
        await entry.audit("webhook_integration.pause", webhook_integration_id)
    return _show(endpoint, project_id)


@post(
    _ONE + "/actions/resume",
    permission="project_configuration:integrations:read_write",
    operation_id="resume-webhook-integration",
    summary="Resume a webhook integration",
    tags=_TAGS,
    status_code=200,
)
async def resume_webhook(request: HttpRequest, project_id: PathId, webhook_integration_id: PathId) -> wire.WebhookIntegration:
    """What waited meanwhile goes out now."""
    async with entered(request, project_id) as entry:
        endpoint = await events.resume_endpoint(entry.tx, webhook_integration_id)
        await entry.audit("webhook_integration.resume", webhook_integration_id)
    return _show(endpoint, project_id)


@post(
    _ONE + "/actions/rotate_signing_secret",
    permission="project_configuration:integrations:read_write",
    operation_id="rotate-webhook-signing-secret",
    summary="Make another signing secret",
    tags=_TAGS,
    status_code=200,
)
async def rotate_signing_secret(
    request: HttpRequest, project_id: PathId, webhook_integration_id: PathId, data: JSONBody[wire.WebhookRotation]
) -> wire.WebhookIntegration:
    """The answer has the new `signing_secret`, this once. For a day messages carry two signatures, by the new secret and the former one."""
    async with entered(request, project_id) as entry:
        endpoint, secret = await events.rotate_secret(entry.tx, entry.app.vault, webhook_integration_id, keeps_former=data.keep_former)
        await entry.audit("webhook_integration.rotate_signing_secret", webhook_integration_id, {"keep_former": data.keep_former})
    shown = _show(endpoint, project_id)
    shown.signing_secret = secret
    return shown


@post(
    _ONE + "/actions/replay",
    permission="project_configuration:integrations:read_write",
    operation_id="replay-webhook-integration",
    summary="Tell it again",
    tags=_TAGS,
    status_code=200,
)
async def replay_webhook(
    request: HttpRequest, project_id: PathId, webhook_integration_id: PathId, data: JSONBody[wire.WebhookReplay]
) -> wire.WebhookReplayed:
    """Everything recorded since a moment, or the events named, with their old ids: receivers that remember ids lose and double nothing."""
    if (data.since_ms is None) == (data.event_ids is None):
        raise Invalid("say what to tell again: exactly one of since_ms and event_ids", param="since_ms")
    since = from_ms(data.since_ms) if data.since_ms is not None else None
    async with entered(request, project_id) as entry:
        count = await events.replay(entry.tx, webhook_integration_id, since=since, event_ids=data.event_ids)
        await entry.audit("webhook_integration.replay", webhook_integration_id, {"since_ms": data.since_ms, "deliveries": count})
    return wire.WebhookReplayed(deliveries=count)


def _show(endpoint: Endpoint, project_id: str) -> wire.WebhookIntegration:
    return wire.WebhookIntegration(
        id=endpoint.endpoint_id,
        project_id=project_id,
        name=endpoint.name,
        url=endpoint.url,
        environment=endpoint.environment,  # type: ignore[arg-type]
        event_types=None if endpoint.event_types is None else list(endpoint.event_types),
        app_id=endpoint.app_id,
        created_at=to_ms(endpoint.created_at),
        perennial=wire.WebhookHealth(
            last_success_at=ms(endpoint.last_success_at),
            last_failure_at=ms(endpoint.last_failure_at),
            last_error=endpoint.last_error,
            failures=endpoint.failures,
            has_authorization_header=endpoint.has_authorization,
            paused_at=ms(endpoint.paused_at),
            former_secret_until=ms(endpoint.former_until),
        ),
    )


# The log --------------------------------------------------------------------------------------------------------------------------


@get(
    "/projects/{project_id:str}/events",
    permission="customer_information:customers:read",
    operation_id="list-events",
    summary="List what happened, and who was told",
    tags=["Events"],
)
async def list_events(
    request: HttpRequest,
    project_id: PathId,
    page: AskedPage,
    customer_id: Annotated[str | None, QueryParameter(min_length=1, max_length=1500, description="Of this customer alone")] = None,
) -> wire.ListOf[wire.Event]:
    """The oldest first. To follow the log, ask again with the last event's `cursor` as `starting_after`."""
    after = _place(page.after) if page.after is not None else None
    async with entered(request, project_id) as entry:
        people = await _everyone_behind(entry.tx, customer_id) if customer_id is not None else None
        found = await events.list_events(entry.tx, people, after=after, limit=page.probe)
    return page.of(found, _cursor, _show_event)


async def _everyone_behind(tx: Tx, app_user_id: str) -> list[CustomerId]:
    """Also those merged into them: what was told of them then is part of their story."""
    return await customers.merged_ids(tx, (await customers.get(tx, app_user_id)).customer_id)


def _cursor(event: RecordedEvent) -> str:
    at, sequence, event_id = event.place
    return f"{(at - EPOCH) // timedelta(microseconds=1)}.{sequence}.{event_id}"


def _place(cursor: str) -> Place:
    at, _, rest = cursor.partition(".")
    sequence, _, event_id = rest.partition(".")
    if not (at.isascii() and at.isdigit() and len(at) <= 18 and sequence.isascii() and sequence.isdigit() and len(sequence) <= 18 and event_id):
        raise Invalid("starting_after must be the cursor of an event; start without it", param="starting_after")
    try:
        moment: datetime = EPOCH + timedelta(microseconds=int(at))
    except OverflowError as error:
        raise Invalid("starting_after must be the cursor of an event; start without it", param="starting_after") from error
    return moment, int(sequence), event_id


def _show_event(event: RecordedEvent) -> wire.Event:
    return wire.Event(
        id=event.event_id,
        cursor=_cursor(event),
        type=event.type,
        app_id=event.app_id,
        environment=event.environment,
        sequence=event.sequence,
        happened_at=to_ms(event.happened_at),
        recorded_at=to_ms(event.recorded_at),
        body=event.body,
        deliveries=[_show_delivery(one) for one in event.deliveries],
    )


def _show_delivery(one: Delivery) -> wire.Delivery:
    return wire.Delivery(
        webhook_integration_id=one.endpoint_id,
        webhook_integration_name=one.endpoint_name,
        state=one.state,
        attempts=one.attempts,
        next_attempt_at=ms(one.wake_at),
        delivered_at=ms(one.delivered_at),
        skipped_at=ms(one.skipped_at),
        parked_at=ms(one.parked_at),
        last_status=one.last_status,
        last_error=one.last_error,
    )


HANDLERS = [
    list_webhooks,
    create_webhook,
    get_webhook,
    update_webhook,
    delete_webhook,
    test_webhook,
    pause_webhook,
    resume_webhook,
    rotate_signing_secret,
    replay_webhook,
    list_events,
]

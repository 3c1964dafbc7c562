"""Webhook integrations, and the log of events."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from perennial.api.v2.wire.common import DisplayName, Environment, EventTypeName, Id, Milliseconds


class WebhookHealth(Struct):
    """`failures` counts those since the last success. `paused_at`: what there is to tell waits. `former_secret_until`: until when messages are
    signed with the secret before the present one too."""

    last_success_at: int | None
    last_failure_at: int | None
    last_error: str | None
    failures: int
    has_authorization_header: bool
    paused_at: int | None = None
    former_secret_until: int | None = None


class WebhookIntegration(Struct):
    """`perennial` is ours, and `signing_secret`, which is told where it is made alone (Standard Webhooks, `whsec_...`)."""

    id: str
    project_id: str
    name: str
    url: str
    environment: Environment | None
    event_types: list[str] | None
    app_id: str | None
    created_at: int
    perennial: WebhookHealth
    signing_secret: str | UnsetType = UNSET
    object: Literal["webhook_integration"] = "webhook_integration"


class WebhookCreate(Struct):
    name: DisplayName
    url: Annotated[str, Meta(min_length=1, max_length=5000)]
    authorization_header: Annotated[str, Meta(max_length=5000)] | None = None
    environment: Environment | None = None
    event_types: Annotated[list[EventTypeName], Meta(max_length=100)] | None = None
    app_id: Id | None = None


class WebhookUpdate(Struct):
    name: DisplayName | UnsetType = UNSET
    url: Annotated[str, Meta(min_length=1, max_length=5000)] | UnsetType = UNSET
    authorization_header: Annotated[str, Meta(max_length=5000)] | UnsetType | None = UNSET
    environment: Environment | UnsetType | None = UNSET
    event_types: Annotated[list[EventTypeName], Meta(max_length=100)] | UnsetType | None = UNSET
    app_id: Id | UnsetType | None = UNSET


class WebhookRotation(Struct):
    """Ours. Without `keep_former`, the former secret signs no more, from now on."""

    keep_former: bool = True


class WebhookTest(Struct):
    event_id: str
    object: Literal["webhook_test"] = "webhook_test"


class WebhookReplay(Struct):
    """Since when, or which events. Ours."""

    since_ms: Milliseconds | None = None
    event_ids: Annotated[list[Id], Meta(min_length=1, max_length=1000)] | None = None


class WebhookReplayed(Struct):
    deliveries: int
    object: Literal["webhook_replay"] = "webhook_replay"


class Delivery(Struct):
    """To a webhook, or to an integration of another kind. `skipped`: there was nothing for it; `last_error` says why."""

    webhook_integration_id: str
    webhook_integration_name: str
    state: Literal["waiting", "retrying", "delivered", "skipped", "parked"]
    attempts: int
    next_attempt_at: int | None
    delivered_at: int | None
    skipped_at: int | None
    parked_at: int | None
    last_status: int | None
    last_error: str | None


class Event(Struct):
    """Ours. `cursor` says where the event stands in the log: hand it back as `starting_after` to read on from it, now or later."""

    id: str
    cursor: str
    type: str
    app_id: str | None
    environment: str
    sequence: int
    happened_at: int
    recorded_at: int
    body: dict[str, Any]
    deliveries: list[Delivery]
    object: Literal["event"] = "event"

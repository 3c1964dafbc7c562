"""Integrations: analytics tools, chats and buckets. Ours, in the manner of webhook integrations."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from perennial.api.v2.wire.common import DisplayName, Environment, EventTypeName, Id

Kind = Literal["segment", "slack", "posthog", "amplitude", "mixpanel", "firebase", "firestore", "files"]
Settings = Annotated[dict[str, Any], Meta(max_length=20, description="What this kind is set with, such as `base_url`; see docs/integrations.md")]
Secrets = Annotated[
    dict[Annotated[str, Meta(max_length=100)], Annotated[str, Meta(max_length=20_000)]],
    Meta(max_length=20, description="Its keys: kept encrypted, never shown again"),
]


class IntegrationHealth(Struct):
    """`failures` counts those since the last success. What was skipped is neither."""

    last_success_at: int | None
    last_failure_at: int | None
    last_error: str | None
    failures: int


class Integration(Struct):
    """`secrets` names those that are set."""

    id: str
    project_id: str
    kind: Kind
    name: str
    settings: dict[str, Any]
    secrets: list[str]
    environment: Environment | None
    event_types: list[str] | None
    app_id: str | None
    created_at: int
    health: IntegrationHealth
    object: Literal["integration"] = "integration"


class IntegrationCreate(Struct):
    kind: Kind
    name: DisplayName
    secrets: Secrets
    settings: Settings = {}
    environment: Environment | None = None
    event_types: Annotated[list[EventTypeName], Meta(max_length=100)] | None = None
    app_id: Id | None = None


class IntegrationUpdate(Struct):
    name: DisplayName | UnsetType = UNSET
    settings: Settings | UnsetType = UNSET
    secrets: Secrets | UnsetType = UNSET
    environment: Environment | UnsetType | None = UNSET
    event_types: Annotated[list[EventTypeName], Meta(max_length=100)] | UnsetType | None = UNSET
    app_id: Id | UnsetType | None = UNSET


class IntegrationDeleted(Struct):
    id: str
    deleted_at: int
    object: Literal["integration"] = "integration"


class IntegrationTest(Struct):
    event_id: str
    object: Literal["integration_test"] = "integration_test"


class IntegrationReplayed(Struct):
    deliveries: int
    object: Literal["integration_replay"] = "integration_replay"

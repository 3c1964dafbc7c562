"""Projects, what was done in them by hand, and their clocks."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from perennial.api.v2.wire.common import Milliseconds, Name, RestoreBehavior


class ProjectFacts(Struct):
    is_sandbox: bool
    restore_behavior: RestoreBehavior


class Project(Struct):
    """`perennial` is ours."""

    id: str
    name: str
    created_at: int
    perennial: ProjectFacts
    icon_url: str | None = None
    icon_url_large: str | None = None
    object: Literal["project"] = "project"


class ProjectCreate(Struct):
    """`is_sandbox` (a clock of its own, simulated stores) and `restore_behavior` are ours."""

    name: Name
    is_sandbox: bool = False
    restore_behavior: RestoreBehavior = "transfer"


class AuditLog(Struct):
    id: str
    project_id: str
    action_type: str
    target_type: str
    target_identifier: str
    actor_type: Literal["user", "system", "api_key"]
    actor_identifier: str
    occurred_at: int
    additional_data: dict[str, Any]
    object: Literal["audit_log"] = "audit_log"


class Clock(Struct):
    """Ours: what time it is in a project. `ticking` is false where a sandbox clock stands still until it is advanced."""

    now: int
    is_sandbox: bool
    ticking: bool
    object: Literal["clock"] = "clock"


class ClockAdvance(Struct):
    """One of the four."""

    days: Annotated[float, Meta(gt=0, le=36_500)] | None = None
    hours: Annotated[float, Meta(gt=0, le=876_000)] | None = None
    minutes: Annotated[float, Meta(gt=0, le=52_560_000)] | None = None
    to_ms: Milliseconds | None = None


class AdvancedClock(Clock):
    handled: int = 0  # how many things happened on the way

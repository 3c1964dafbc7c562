"""Projects, what was done in them by hand, and their clocks."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal

from litestar.params import JSONBody, QueryParameter

from perennial import agenda, catalog
from perennial.api.auth import HttpRequest, app_of, project_caller, secret_caller
from perennial.api.v2 import wire
from perennial.api.v2.entry import entered
from perennial.api.v2.pages import AskedPage
from perennial.api.v2.routes import PathId, get, post
from perennial.base.errors import Conflict, Forbidden, Invalid
from perennial.base.ids import ProjectId, new_id
from perennial.base.time import from_ms, to_ms
from perennial.catalog.model import AuditEntry, Project

MOST_REACHED = 1000  # projects of one key
LATEST_YEAR = 2500  # of a sandbox clock: beyond it calendars run out before subscriptions do


@get(
    "/projects",
    permission="project_configuration:projects:read",
    operation_id="list-projects",
    summary="List the projects of your key",
    tags=["Projects"],
)
async def list_projects(request: HttpRequest, page: AskedPage) -> wire.ListOf[wire.Project]:
    """The key's own project, and those created with it."""
    caller = await secret_caller(request)
    reached = sorted({caller.project_id, *caller.reaches})
    found = await catalog.projects_of(app_of(request).database, reached, after=page.after, limit=page.probe)
    return page.of(found, lambda project: project.project_id, show_project)


@post(
    "/projects",
    permission="project_configuration:projects:read_write",
    goes_outside=True,
    operation_id="create-project",
    summary="Create a project",
    tags=["Projects"],
    status_code=200,
)
async def create_project(request: HttpRequest, data: JSONBody[wire.ProjectCreate]) -> wire.Project:
    """The key you create it with may enter it from then on."""
    caller, app = await secret_caller(request), app_of(request)
    if caller.kind != "secret":
        raise Forbidden("projects are created with a secret key; an access token stays within the project it was given for")
    if len(caller.reaches) >= MOST_REACHED:
        raise Conflict(f"a key can create at most {MOST_REACHED} projects; make another key")
    project_id = ProjectId(new_id("proj", app.database.clock()))
    # The reach first: should we fail in between, it leads nowhere, while a project that nobody reaches would stay for ever.
    async with app.database.transaction(caller.project_id) as tx:
        await catalog.reach(tx, caller.key_id, project_id)
    async with app.database.transaction(project_id) as tx:
        project = await catalog.create_project(tx, data.name, is_sandbox=data.is_sandbox, restore_behavior=data.restore_behavior)
        await catalog.audit(tx, actor=caller.key_id, action="project.create", target=project_id)
    return show_project(project)


def show_project(project: Project) -> wire.Project:
    return wire.Project(
        id=project.project_id,
        name=project.name,
        created_at=to_ms(project.created_at),
        perennial=wire.ProjectFacts(is_sandbox=project.is_sandbox, restore_behavior=project.restore_behavior),
    )


@get(
    "/projects/{project_id:str}/audit_logs",
    permission="project_configuration:audit_logs:read",
    operation_id="list-audit-logs",
    summary="List what was done by hand",
    tags=["Projects"],
)
async def list_audit_logs(
    request: HttpRequest,
    project_id: PathId,
    page: AskedPage,
    start_date: Annotated[date | None, QueryParameter(description="From this day on, in UTC")] = None,
    end_date: Annotated[date | None, QueryParameter(description="Up to and with this day, in UTC")] = None,
) -> wire.ListOf[wire.AuditLog]:
    """The newest first."""
    since = datetime.combine(start_date, time(), UTC) if start_date else None
    until = datetime.combine(end_date, time(), UTC) + timedelta(days=1) if end_date and end_date < date.max else None
    async with entered(request, project_id) as entry:
        found = await catalog.get_audit(entry.tx, before=page.after, since=since, until=until, limit=page.probe)
    return page.of(found, lambda one: one.audit_id, lambda one: _show_audit(one, project_id))


def _show_audit(one: AuditEntry, project_id: str) -> wire.AuditLog:
    return wire.AuditLog(
        id=one.audit_id,
        project_id=project_id,
        action_type=one.action,
        target_type=one.action.split(".")[0],
        target_identifier=one.target,
        actor_type=_actor_type(one.actor),
        actor_identifier=one.actor,
        occurred_at=to_ms(one.at),
        additional_data=one.data,
    )


def _actor_type(actor: str) -> Literal["user", "system", "api_key"]:
    return "api_key" if actor.startswith("key_") else "system" if actor == "system" else "user"


# The clock ------------------------------------------------------------------------------------------------------------------------


@get(
    "/projects/{project_id:str}/clock",
    permission="project_configuration:projects:read",
    operation_id="get-clock",
    summary="What time it is in the project",
    tags=["Clock"],
)
async def get_clock(request: HttpRequest, project_id: PathId) -> wire.Clock:
    async with entered(request, project_id) as entry:
        return _show_clock(await catalog.require_project(entry.tx), entry.tx.now)


ADVANCED_WITHIN = 10.0  # seconds, of one request


@post(
    "/projects/{project_id:str}/clock/actions/advance",
    permission="project_configuration:projects:read_write",
    goes_outside=True,
    operation_id="advance-clock",
    summary="Move a sandbox's clock",
    tags=["Clock"],
    status_code=200,
)
async def advance_clock(request: HttpRequest, project_id: PathId, data: JSONBody[wire.ClockAdvance]) -> wire.AdvancedClock:
    """Everything that would happen on the way happens, in its order: renewals, expirations, webhooks."""
    caller, app = await project_caller(request, project_id), app_of(request)
    async with app.database.transaction(caller.project_id) as tx:
        project, to = await catalog.require_project(tx), _goal(data, tx.now)
        if not project.is_sandbox:
            raise Conflict("only sandbox projects have a clock of their own; this project runs on the real one")
        await catalog.audit(tx, actor=caller.key_id, action="clock.advance", target=project_id, data={"to_ms": to_ms(to)})
    handled = await agenda.advance(app, caller.project_id, to, within=ADVANCED_WITHIN)
    async with app.database.transaction(caller.project_id) as tx:
        clock = _show_clock(await catalog.require_project(tx), tx.now)
    return wire.AdvancedClock(now=clock.now, is_sandbox=clock.is_sandbox, ticking=clock.ticking, handled=handled)


def _goal(data: wire.ClockAdvance, now: datetime) -> datetime:
    steps = {"days": data.days, "hours": data.hours, "minutes": data.minutes}
    given = {name: amount for name, amount in steps.items() if amount is not None}
    if len(given) + (data.to_ms is not None) != 1:
        raise Invalid("say how far: exactly one of days, hours, minutes and to_ms")
    to = from_ms(data.to_ms) if data.to_ms is not None else now + timedelta(**given)
    if to.year > LATEST_YEAR:
        raise Invalid(f"a clock goes up to the year {LATEST_YEAR}", param=next(iter(given), "to_ms"))
    return to


def _show_clock(project: Project, now: datetime) -> wire.Clock:
    is_ticking = project.clock_at is None or project.clock_started_at is not None
    return wire.Clock(now=to_ms(now), is_sandbox=project.is_sandbox, ticking=is_ticking)


HANDLERS = [list_projects, create_project, list_audit_logs, get_clock, advance_clock]

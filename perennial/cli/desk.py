"""What every command needs: the database, a project, a way to say things, and one line where something is wrong."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup
from typer.exceptions import TyperException

from perennial import catalog, preflight
from perennial.app import App, open_app
from perennial.base.db import Tx
from perennial.base.errors import Invalid, NotFound, NotPrepared, PerennialError, Unavailable
from perennial.base.ids import ProjectId
from perennial.base.secrets import Secret, conceal, has_key
from perennial.base.value import replace, value
from perennial.catalog.model import Project
from perennial.cli.output import act_on, answer, begin, console, counted, done, is_json, say, show, table, warn, write
from perennial.observability import configure_for_people, reason
from perennial.postgres import running_url
from perennial.settings import Settings, read_log_level

__all__ = [
    "Desk",
    "ProjectOption",
    "act_on",
    "answer",
    "at_desk",
    "choose_project",
    "console",
    "counted",
    "demo_project",
    "done",
    "group",
    "is_json",
    "listed",
    "read_settings",
    "run",
    "say",
    "show",
    "table",
    "warn",
    "work_in",
    "write",
]

ACTOR = "cli"  # in the audit log
RUN_FILE = "run.json"  # under PERENNIAL_HOME while `perennial up` runs: how to reach its database
DEMO_FILE = "demo.json"

T = TypeVar("T")

ProjectOption = Annotated[
    str | None,
    typer.Option("--project", "-p", envvar="PERENNIAL_PROJECT", help="The project's id or name. Not needed where there is one.", show_default=False),
]


class Commands(TyperGroup):
    """Says what is wrong in one line and ends with 1. The traceback of a fault of ours is shown at PERENNIAL_LOG_LEVEL=debug."""

    def invoke(self, ctx: Any) -> Any:
        try:
            configure_for_people()
            begin()
            return super().invoke(ctx)
        except PerennialError as error:
            complain(conceal(error.message))
            raise typer.Exit(1) from error
        except (TyperException, typer.Exit, typer.Abort, BrokenPipeError):  # the library's own ways to end
            raise
        except Exception as error:
            if read_log_level() == "debug":
                raise
            complain(f"this is a fault of Perennial itself: {reason(error)}; PERENNIAL_LOG_LEVEL=debug shows where")
            raise typer.Exit(1) from error


def complain(text: str) -> None:
    Console(stderr=True).print(f"[red]✗[/red] {escape(text)}", soft_wrap=True, highlight=False)


def group(help: str) -> typer.Typer:
    return typer.Typer(help=help, no_args_is_help=True, rich_markup_mode="rich")


# The database ---------------------------------------------------------------------------------------------------------------------


class _Running(msgspec.Struct):
    """What `perennial up` leaves in run.json."""

    database_url: str
    pid: int
    port: int
    allow_internal_webhooks: bool = False

    def __repr__(self) -> str:
        return f"_Running(pid={self.pid}, port={self.port})"


def read_settings() -> Settings:
    """With the database of `perennial up` where DATABASE_URL names none."""
    settings = Settings.read()
    if settings.database_url is not None:
        return settings
    running = _running(settings.home)
    return replace(
        settings,
        database_url=Secret(running.database_url),
        port=running.port,
        allow_internal_webhooks=settings.allow_internal_webhooks or running.allow_internal_webhooks,
    )


def url_to_migrate(settings: Settings) -> str:
    """As who owns the tables: of the embedded database that is the owner's own, which servers and other commands do not get."""
    if os.environ.get("DATABASE_URL") or settings.migrate_database_url is not None:
        return settings.url_to_migrate()
    return running_url(settings.home) or settings.url_to_migrate()


def _running(home: Path) -> _Running:
    path = home / RUN_FILE
    way_out = "start Perennial with: perennial up; or set DATABASE_URL to your PostgreSQL"
    try:
        running = msgspec.json.decode(path.read_bytes(), type=_Running)
    except FileNotFoundError:
        raise Unavailable(f"Perennial does not run here (there is no {path}); {way_out}") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise Unavailable(f"{path} cannot be read: {error}; {way_out}") from error
    if not _lives(running.pid):
        raise Unavailable(f"Perennial no longer runs here ({path} is from a process that has ended); {way_out}")
    return running


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, and so alive
        return True
    return True


@asynccontextmanager
async def opened() -> AsyncIterator[App]:
    """What is sealed by a command, servers must open: no key is made, and another one than theirs is refused."""
    settings = read_settings()
    async with open_app(settings, application="perennial cli", connections=2, makes_key=False) as app:
        try:
            await app.database.door("SELECT FROM project LIMIT 1")
        except NotPrepared as error:
            raise NotPrepared(f"this database is not Perennial's yet ({error.__cause__}); prepare it with: perennial init") from error
        if has_key(settings.home):
            with suppress(NotPrepared):  # a schema of before has none
                await preflight.check_key(app, makes_root=False)
        yield app


def run(work: Callable[[App], Awaitable[T]]) -> T:
    """Does it with the house open."""

    async def inside() -> T:
        async with opened() as app:
            return await work(app)

    return asyncio.run(inside())


# The project ----------------------------------------------------------------------------------------------------------------------


@value
class Desk:
    """One command at work in one project, in one transaction."""

    app: App
    tx: Tx
    project: Project

    async def audit(self, action: str, target: str, data: dict[str, Any] | None = None) -> None:
        await catalog.audit(self.tx, actor=ACTOR, action=action, target=target, data=data)


def work_in(wanted: str | None, work: Callable[[Desk], Awaitable[T]]) -> T:
    async def inside(app: App) -> T:
        async with at_desk(app, wanted) as desk:
            return await work(desk)

    return run(inside)


@asynccontextmanager
async def at_desk(app: App, wanted: str | None) -> AsyncIterator[Desk]:
    project = await choose_project(app, wanted)
    async with app.database.transaction(project.project_id) as tx:
        yield Desk(app=app, tx=tx, project=project)


async def choose_project(app: App, wanted: str | None) -> Project:
    """By id or name, else the only one. From here on the output names it."""
    project = _chosen(await catalog.all_projects(app.database), wanted)
    act_on(project)
    return project


def _chosen(projects: list[Project], wanted: str | None) -> Project:
    if wanted is not None:
        return _named(projects, wanted)
    if not projects:
        raise NotFound("there is no project yet; make one with: perennial init")
    if len(projects) == 1:
        return projects[0]
    raise Invalid(f"there are {len(projects)} projects; say which with --project, or with PERENNIAL_PROJECT: {listed(projects)}", param="project")


def _named(projects: list[Project], wanted: str) -> Project:
    found = [project for project in projects if project.project_id == wanted] or [project for project in projects if project.name == wanted]
    if not found:
        raise NotFound(f"no project {wanted!r}; there are: {listed(projects) or 'none'}", param="project")
    if len(found) > 1:
        raise Invalid(f"{len(found)} projects are called {wanted!r}; give the id: {listed(found)}", param="project")
    return found[0]


def listed(projects: list[Project]) -> str:
    shown = ", ".join(f"{project.project_id} ({project.name})" for project in projects[:20])
    return shown if len(projects) <= 20 else f"{shown}, ..."


def demo_project(home: Path) -> ProjectId | None:
    try:
        demo: dict[str, Any] = msgspec.json.decode((home / DEMO_FILE).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return None
    return demo.get("project_id")

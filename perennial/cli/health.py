"""`perennial check`: is the data as it must be? `perennial doctor`: is the machine?"""

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Annotated, Literal

import httpx
import typer
from rich.markup import escape

from perennial import catalog, events, intake, invariants, subscriptions, troubles
from perennial.app import App, open_app
from perennial.base.db import Database, might_of
from perennial.base.errors import PerennialError
from perennial.base.migrate import find_folder, pending, read_migrations
from perennial.base.secrets import Vault, has_key, no_key, place_of_key
from perennial.base.value import value
from perennial.catalog.model import Project
from perennial.cli.desk import RUN_FILE, answer, choose_project, counted, done, read_settings, run, say
from perennial.intake import ADVICE, WRAPPINGS, Wrapping
from perennial.invariants import Violation
from perennial.listening import PortTaken, address_of, check_port
from perennial.preflight import advice_for, check_key
from perennial.settings import Settings

LEAST_POSTGRES = 15
LEAST_DISK = 1024**3  # bytes
MOST_COUNTED = 1000  # purchases of a project
MOST_SKEW = timedelta(seconds=5)
UNREAD_LATELY = timedelta(days=7)

_MARKS = {"error": "[red]✗[/red]", "warning": "[yellow]![/yellow]", "ok": "[green]✓[/green]"}


# check ----------------------------------------------------------------------------------------------------------------------------


def check(
    project: Annotated[str | None, typer.Option("--project", "-p", help="Only this one; without it, all", show_default=False)] = None,
) -> None:
    """Ask the database everything that must always be so, in every project.

    Ends with 1 where something is broken; a warning alone does not count. Reads only.
    """

    async def work(app: App) -> list[tuple[Project, list[Violation]]]:
        projects = [await choose_project(app, project)] if project is not None else await catalog.all_projects(app.database)
        return [(one, await invariants.run(app.database, one.project_id)) for one in projects]

    checked = run(work)
    for one, violations in checked:
        for violation in violations:
            _say_violation(one, violation)
    errors = sum(violation.level == "error" for _, violations in checked for violation in violations)
    if errors:
        say(f"[red]{counted(errors, 'thing')} not as it must be[/red]")
        raise typer.Exit(1)
    done(f"{len(invariants.INVARIANTS)} invariants hold in {counted(len(checked), 'project')}")


def _say_violation(project: Project, violation: Violation) -> None:
    say(f"{_MARKS[violation.level]} {escape(project.name)} ({project.project_id}): [bold]{violation.name}[/bold], {counted(violation.count, 'time')}")
    say(f"  {escape(violation.sentence)}")
    for sample in violation.samples:
        say(f"    {escape(sample)}")


# doctor ---------------------------------------------------------------------------------------------------------------------------


@value
class Finding:
    level: Literal["ok", "warning", "error"]
    text: str


def doctor() -> None:
    """Look at this machine and the database: is everything there that Perennial needs? Ends with 1 where something is wrong."""
    findings = asyncio.run(_examine())
    answer(findings=[{"level": finding.level, "text": finding.text} for finding in findings])
    for finding in findings:
        say(f"{_MARKS[finding.level]} {escape(finding.text)}")
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


async def _examine() -> list[Finding]:
    findings = [_python()]
    try:
        settings = Settings.read()
    except PerennialError as error:
        return [*findings, Finding(level="error", text=error.message)]
    findings += [_secret_key(settings), _port(settings), _disk(settings)]
    try:
        settings = read_settings()
        async with open_app(settings, application="perennial doctor", connections=2, makes_key=False) as app:
            findings.append(Finding(level="ok", text="the database answers, and lets us work under the role perennial_app"))
            findings += [finding async for finding in _examine_database(app)]
    except PerennialError as error:
        findings.append(Finding(level="error", text=error.message))
    return findings


def _python() -> Finding:
    is_new_enough = sys.version_info >= (3, 11)
    return Finding(level="ok" if is_new_enough else "error", text=f"Python {platform.python_version()}{'' if is_new_enough else '; 3.11 is needed'}")


def _secret_key(settings: Settings) -> Finding:
    """For a database of the operator's own nobody makes one."""
    if not has_key(settings.home):
        if settings.database_url is not None:
            return Finding(level="error", text=no_key(settings.home).message)
        return Finding(level="warning", text=f"there is no installation key yet; `perennial up` makes {place_of_key(settings.home)}")
    try:
        Vault.open(settings.home)
    except (PerennialError, ValueError, OSError) as error:
        return Finding(level="error", text=f"the installation key cannot be used: {error}")
    return Finding(level="ok", text=f"the installation key is in {place_of_key(settings.home)}; keep a copy of it somewhere else")


def _port(settings: Settings) -> Finding:
    try:
        check_port(settings.host, settings.port)
    except PortTaken:
        if os.path.exists(settings.home / RUN_FILE):
            return Finding(level="ok", text=f"port {settings.port} is in use; perennial up runs here")
        if _is_served(settings):
            return Finding(level="ok", text=f"port {settings.port} is in use; a server of Perennial answers there")
        return Finding(level="warning", text=f"port {settings.port} is in use by another program; choose another with PORT=")
    except PerennialError as error:
        return Finding(level="error", text=error.message)
    return Finding(level="ok", text=f"port {settings.port} is free")


def _is_served(settings: Settings) -> bool:
    try:
        answer = httpx.get(f"{address_of(settings.host, settings.port)}/healthz", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and answer.text == '{"status":"ok"}' and "x-request-id" in answer.headers


def _disk(settings: Settings) -> Finding:
    place = next(folder for folder in (settings.home, *settings.home.parents) if os.path.exists(folder))
    free = shutil.disk_usage(place).free
    warning = "" if free >= LEAST_DISK else "; PostgreSQL stops where it runs out"
    return Finding(level="error" if warning else "ok", text=f"{free / 1024**3:.1f} GB of disk are free in {place}{warning}")


async def _examine_database(app: App) -> AsyncIterator[Finding]:
    version = (await app.database.door("SELECT current_setting('server_version_num')::integer AS number"))[0]["number"] // 10_000
    is_new_enough = version >= LEAST_POSTGRES
    yield Finding(level="ok" if is_new_enough else "error", text=f"PostgreSQL {version}{'' if is_new_enough else f'; {LEAST_POSTGRES} is needed'}")
    yield await _skew(app.database)
    applied = await _applied(app.database)
    if applied is None:
        yield Finding(level="error", text="the database is older than this version; bring it up to date with: perennial migrate")
        return
    if not applied:
        yield Finding(level="error", text="no migration was applied; prepare the database with: perennial migrate")
        return
    migrations = _migrations(applied, may_be_newer=app.settings.allow_newer_schema)
    yield migrations
    if migrations.level == "error":  # what else is asked needs this version's tables
        return
    if has_key(app.settings.home):
        yield await _key_opens(app)
    might = await might_of(app.database)
    yield Finding(level="warning" if might.could_bypass else "ok", text=advice_for(might) or f"the login {might.login} owns nothing, as is right")
    yield await _webhooks(app)
    async for finding in _troubles(app):
        yield finding
    yield await _unread(app)
    async for finding in _buyers(app):
        yield finding


async def _skew(database: Database) -> Finding:
    """Leases and webhook signatures compare the clocks of both."""
    theirs = (await database.door("SELECT clock_timestamp() AS moment"))[0]["moment"]
    skew = abs(theirs - database.clock())
    if skew >= MOST_SKEW:
        return Finding(level="error", text=f"the clocks of this machine and the database differ by {skew}; set up NTP on both")
    return Finding(level="ok", text="the clocks of this machine and the database agree")


async def _applied(database: Database) -> Mapping[str, str] | None:
    """None where the application may not read the list, as before 0062_logins."""
    rows = await database.door("SELECT to_regclass('public.schema_migration') IS NOT NULL AND to_regproc('public.enter') IS NOT NULL AS is_there")
    if not rows[0]["is_there"]:
        return {}
    if not (await database.door("SELECT has_table_privilege('public.schema_migration', 'SELECT') AS may"))[0]["may"]:
        return None
    async with database.transaction() as tx:
        return {row["name"]: row["sha256"] for row in await tx.fetch("SELECT name, sha256 FROM public.schema_migration")}


async def _key_opens(app: App) -> Finding:
    try:
        await check_key(app, makes_root=False)
    except PerennialError as error:
        return Finding(level="error", text=error.message)
    return Finding(level="ok", text="the installation key opens what is sealed in the database")


def _migrations(applied: Mapping[str, str], *, may_be_newer: bool) -> Finding:
    known = {migration.name for migration in read_migrations(find_folder())}
    if may_be_newer and (newer := sorted(applied.keys() - known)):
        return Finding(level="warning", text=f"the database is newer than this version, as PERENNIAL_ALLOW_NEWER_SCHEMA allows: it has {newer[-1]}")
    try:
        missing = pending(read_migrations(find_folder()), applied)
    except PerennialError as error:
        return Finding(level="error", text=error.message)
    if missing:
        return Finding(level="error", text=f"{counted(len(missing), 'migration')} missing, the first {missing[0].name}; to apply: perennial migrate")
    return Finding(level="ok", text=f"{counted(len(applied), 'migration')} applied, none missing")


async def _buyers(app: App) -> AsyncIterator[Finding]:
    """Purchases that are kept and nobody's, and those whose buyer has an impossible name."""
    waiting, misnamed = 0, []
    for project in await catalog.all_projects(app.database):
        async with app.database.transaction(project.project_id) as tx:
            waiting += len(await subscriptions.unclaimed(tx, MOST_COUNTED))
            misnamed += [f"{one.refused_name!r} in {project.name}" for one in await subscriptions.misnamed(tx, MOST_COUNTED)]
    if misnamed:
        text = f"{counted(len(misnamed), 'purchase')} whose buyer your backend named as nobody can be called: {', '.join(misnamed[:5])}"
        yield Finding(level="warning", text=f"{text}; see perennial customer unclaimed")
    if waiting:
        yield Finding(level="ok", text=f"{counted(waiting, 'purchase')} no app has posted yet, kept until one does; see perennial customer unclaimed")


_TROUBLES: dict[troubles.Kind, tuple[str, str]] = {
    "notifications_parked": ("store notification", "given up after the last try; mend what the reason says, then: perennial catch-up"),
    "notifications_unreadable": ("store notification", "that could not be read in the last week; it is kept as it came"),
    "questions_parked": ("question to a store", "given up; it is asked again when the store next speaks of it: see perennial check"),
    "acts_parked": ("act at a store", "given up, such as a refund or an acknowledgement: see perennial check"),
    "deliveries_parked": ("webhook delivery", "given up; mend the receiver, then: perennial webhooks replay"),
    "imports_unfinished": ("import", "not finished; run it again, it goes on: see perennial import list"),
}


async def _troubles(app: App) -> AsyncIterator[Finding]:
    """What was given up or could not be read, by project; pushes in the wrong wrapping with what to change."""
    names = {project.project_id: project.name for project in await catalog.all_projects(app.database)}
    found = await troubles.find(app.database)
    for one in found:
        project = names.get(one.project_id, one.project_id)
        if one.kind == "pushes_misdelivered":
            times = counted(one.count, "push") if one.count == 1 else f"{one.count} pushes"
            yield Finding(level="warning", text=f"{project}, app {one.sample}: {times} in the wrong wrapping. {ADVICE[_wrapping(one.reason)]}")
            continue
        noun, advice = _TROUBLES[one.kind]
        reason = f"; {one.sample}: {' '.join(one.reason.split())[:200]}" if one.reason else f"; {one.sample}"
        yield Finding(level="warning", text=f"{project}: {counted(one.count, noun)} {advice}{reason}")
    if not found:
        yield Finding(level="ok", text="nothing was given up, and nothing came that could not be read")


def _wrapping(said: str) -> Wrapping:
    return next(one for one in WRAPPINGS if one == said)


async def _webhooks(app: App) -> Finding:
    failing = []
    for project in await catalog.all_projects(app.database):
        async with app.database.transaction(project.project_id) as tx:
            failing += [f"{one.name} of {project.name}" for one in await events.list_endpoints(tx, limit=1000) if one.failures]
            failing += [f"{one.name} of {project.name}" for one in await events.list_integrations(tx, limit=1000) if one.failures]
    if failing:
        return Finding(level="warning", text=f"told in vain: {', '.join(failing[:10])}; see perennial webhooks list, perennial integrations list")
    return Finding(level="ok", text="no webhook integration fails, nor any other")


async def _unread(app: App) -> Finding:
    """What of stores' words was left aside lately: the purchases are recorded, and a field or a word is new, or broken."""
    found = []
    for project in await catalog.all_projects(app.database):
        async with app.database.transaction(project.project_id) as tx:
            found += [(project.name, one) for one in await intake.unread(tx, tx.now - UNREAD_LATELY)]
    if not found:
        return Finding(level="ok", text=f"everything stores said in {UNREAD_LATELY.days} days could be read")
    shown = [f"{one.field} of {one.app_id} in {name} ({counted(one.times, 'time')}, last {one.said[:60]})" for name, one in found[:10]]
    return Finding(level="warning", text=f"stores said what could not be read, and the rest was recorded: {'; '.join(shown)}")

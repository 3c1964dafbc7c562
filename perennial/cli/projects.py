"""Projects and their keys."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from perennial import catalog
from perennial.access.model import READ_ONLY
from perennial.app import App
from perennial.base.errors import Invalid
from perennial.base.ids import ProjectId, new_id
from perennial.catalog.model import Project, RestoreBehavior
from perennial.cli.desk import (
    ACTOR,
    DEMO_FILE,
    Desk,
    ProjectOption,
    answer,
    at_desk,
    choose_project,
    counted,
    demo_project,
    done,
    group,
    is_json,
    listed,
    run,
    say,
    show,
    table,
    warn,
    work_in,
)

projects = group("Projects: each with its own customers, catalog, keys and, in a sandbox, time.")
keys = group("Secret keys, for servers. What apps carry are public keys: [bold]perennial apps list[/bold].")


@projects.command("list")
def list_projects(deleted: Annotated[bool, typer.Option("--deleted", help="Those that were deleted, by whom and when")] = False) -> None:
    """List all projects of this installation."""

    async def work(app: App) -> None:
        if deleted:
            _show_deleted(await catalog.deleted_projects(app.database))
            return
        made = table("id", "name", "kind", "made")
        for project in await catalog.all_projects(app.database):
            kind = "sandbox" if project.is_sandbox else "live"
            made.add_row(project.project_id, escape(project.name), kind, f"{project.created_at:%Y-%m-%d %H:%M}")
        show(made)

    run(work)


def _show_deleted(rows: Sequence[Mapping[str, Any]]) -> None:
    made = table("id", "name", "by", "deleted", "rows")
    for row in rows:
        made.add_row(row["project_id"], escape(row["name"]), row["actor"], f"{row['deleted_at']:%Y-%m-%d %H:%M}", str(row["row_count"]))
    show(made)


@projects.command("create")
def create_project(
    name: Annotated[str, typer.Argument(help="What to call it")],
    sandbox: Annotated[bool, typer.Option("--sandbox", help="With a clock of its own that you can advance, and simulated stores")] = False,
    restore: Annotated[
        str, typer.Option(help="Who keeps a purchase that another user restores: transfer, transfer_if_inactive, keep, share")
    ] = "transfer",
) -> None:
    """Make a project and a secret key for it.

    [bold]Example[/bold]

      perennial projects create "Cat Pictures" --sandbox
    """
    behaviors: dict[str, RestoreBehavior] = {"transfer": "transfer", "transfer_if_inactive": "transfer_if_inactive", "keep": "keep", "share": "share"}
    if restore not in behaviors:
        raise Invalid(f"--restore {restore!r} is not one of {', '.join(behaviors)}", param="restore")

    async def work(app: App) -> None:
        await make_project(app, name, is_sandbox=sandbox, restore_behavior=behaviors[restore])

    run(work)


async def make_project(app: App, name: str, *, is_sandbox: bool, restore_behavior: RestoreBehavior = "transfer") -> None:
    """With its first key, which is shown. A sandbox has a clock of its own, which ticks until it is moved."""
    await warn_of_twins(app, name)
    now = app.database.clock()
    project_id = ProjectId(new_id("proj", now))
    async with app.database.transaction(project_id) as tx:
        await catalog.create_project(tx, name, is_sandbox=is_sandbox, restore_behavior=restore_behavior)
        if is_sandbox:
            await catalog.set_clock(tx, now, now)
        key, secret = await catalog.create_secret_key(tx, "first key")
        await catalog.audit(tx, actor=ACTOR, action="project.create", target=project_id)
        await catalog.audit(tx, actor=ACTOR, action="key.create", target=key.key_id)
    answer(project_id=project_id, secret_key=secret)
    done(f"made the project {escape(name)} [bold]{project_id}[/bold]")
    say(f"  Its secret key, shown this once: [bold]{secret}[/bold]")


async def warn_of_twins(app: App, name: str) -> None:
    if twins := [one for one in await catalog.all_projects(app.database) if one.name == name]:
        warn(f"there is a project of this name already ({escape(listed(twins))}); commands then need the id: --project proj_...")


@projects.command("rename")
def rename_project(
    name: Annotated[str, typer.Argument(help="What to call it from now on")],
    project: ProjectOption = None,
) -> None:
    """Give a project another name. Its id, keys and everything else stay.

    [bold]Example[/bold]

      perennial projects rename "Cats and Dogs" --project "Cat Pictures"
    """

    async def work(app: App) -> None:
        chosen = await choose_project(app, project)
        if name != chosen.name:
            await warn_of_twins(app, name)
        async with at_desk(app, chosen.project_id) as desk:
            await catalog.rename_project(desk.tx, name)
            await desk.audit("project.update", chosen.project_id, {"name": name, "before": chosen.name})
        answer(project_id=chosen.project_id, name=name)
        done(f"is called {escape(name)} from now on")

    run(work)


@projects.command("delete")
def delete_project(
    project: Annotated[str, typer.Argument(help="The project's id or name")],
    yes: Annotated[str | None, typer.Option("--yes", metavar="NAME", help="The project's name again, instead of typing it when asked")] = None,
) -> None:
    """Delete a project with all it has: apps, keys, catalog, customers, purchases, ledger, events, and work that waits. For good.

    [bold]Examples[/bold]

      perennial projects delete "Cat Pictures"

      perennial projects delete proj_01J8... --yes "Cat Pictures"
    """

    async def work(app: App) -> None:
        chosen = await choose_project(app, project)
        _confirm(chosen, yes)
        deleted = await catalog.delete_project(app.database, chosen.project_id, actor=ACTOR)
        if demo_project(app.settings.home) == chosen.project_id:
            (app.settings.home / DEMO_FILE).unlink(missing_ok=True)
        answer(project_id=chosen.project_id, rows=deleted)
        done(f"deleted {chosen.project_id}, with {counted(deleted, 'row')}")

    run(work)


def _confirm(project: Project, given: str | None) -> None:
    if given is None:
        if is_json() or not sys.stdin.isatty():
            raise Invalid(f"to delete {project.name!r} for good, give its name again: --yes {shlex.quote(project.name)}", param="yes")
        given = typer.prompt(f"This deletes {project.name!r} ({project.project_id}) with everything in it, for good. Its name, to confirm", err=True)
    if given != project.name:
        raise Invalid(f"{given!r} is not the project's name, {project.name!r}; nothing was deleted", param="yes")


# Keys -----------------------------------------------------------------------------------------------------------------------------


@keys.command("list")
def list_keys(project: ProjectOption = None) -> None:
    """List the keys of a project. Of secret ones, only what they are called: the key itself is not kept."""

    async def work(desk: Desk) -> None:
        made = table("id", "kind", "label", "key", "may", "made", "revoked")
        for key in await catalog.get_keys(desk.tx):
            revoked = f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else ""
            may = "what apps do" if key.kind == "public" else "everything" if key.permissions is None else ", ".join(key.permissions)
            made.add_row(key.key_id, key.kind, escape(key.label), key.public_key or "", may, f"{key.created_at:%Y-%m-%d %H:%M}", revoked)
        show(made)

    work_in(project, work)


@keys.command("create")
def create_key(
    label: Annotated[str, typer.Argument(help="What it is for, so that you know which to revoke")],
    permission: Annotated[
        list[str] | None,
        typer.Option(help="What it may do, such as customer_information:customers:read; as often as needed. Without any: everything"),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="It may read everything and write nothing")] = False,
    project: ProjectOption = None,
) -> None:
    """Make a secret key. It is shown this once.

    [bold]Examples[/bold]

      perennial keys create "billing server"

      perennial keys create "support desk" --permission customer_information:read --permission project_configuration:products:read
    """
    if permission and read_only:
        raise Invalid("give either --permission or --read-only", param="permission")
    permissions = READ_ONLY if read_only else permission or None

    async def work(desk: Desk) -> None:
        key, secret = await catalog.create_secret_key(desk.tx, label, permissions=permissions)
        await desk.audit("key.create", key.key_id, {"label": label, "permissions": key.permissions})
        answer(key_id=key.key_id, secret_key=secret)
        done(f"made the key {key.key_id}")
        say(f"  Shown this once: [bold]{secret}[/bold]")

    work_in(project, work)


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="From: perennial keys list")], project: ProjectOption = None) -> None:
    """Make a key useless, at once and for good."""

    async def work(desk: Desk) -> None:
        await catalog.revoke_key(desk.tx, key_id)
        await desk.audit("key.revoke", key_id)

    work_in(project, work)
    done(f"revoked {escape(key_id)}")

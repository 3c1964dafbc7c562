"""Projects, their keys, their apps."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from perennial import catalog
from perennial.app import App
from perennial.base.errors import Invalid
from perennial.base.ids import ProjectId, new_id
from perennial.catalog.model import KEY_PREFIXES, RestoreBehavior
from perennial.cli.desk import ACTOR, Desk, ProjectOption, done, group, run, say, show, table, work_in

projects = group("Projects: each with its own customers, catalog, keys and, in a sandbox, time.")
keys = group("Secret keys, for servers. What apps carry are public keys: [bold]perennial apps list[/bold].")
apps = group("Apps: one per store and platform, each with its public SDK key.")


@projects.command("list")
def list_projects() -> None:
    """List all projects of this installation."""

    async def work(app: App) -> None:
        made = table("id", "name", "kind", "made")
        for project in await catalog.all_projects(app.database):
            kind = "sandbox" if project.is_sandbox else "live"
            made.add_row(project.project_id, escape(project.name), kind, f"{project.created_at:%Y-%m-%d %H:%M}")
        show(made)

    run(work)


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
        now = app.database.clock()
        project_id = ProjectId(new_id("proj", now))
        async with app.database.transaction(project_id) as tx:
            await catalog.create_project(tx, name, is_sandbox=sandbox, restore_behavior=behaviors[restore])
            if sandbox:
                await catalog.set_clock(tx, now, now)
            key, secret = await catalog.create_secret_key(tx, "first key")
            await catalog.audit(tx, actor=ACTOR, action="project.create", target=project_id)
            await catalog.audit(tx, actor=ACTOR, action="key.create", target=key.key_id)
        done(f"made the project [bold]{project_id}[/bold]")
        say(f"  Its secret key, shown this once: [bold]{secret}[/bold]")

    run(work)


# Keys -----------------------------------------------------------------------------------------------------------------------------


@keys.command("list")
def list_keys(project: ProjectOption = None) -> None:
    """List the keys of a project. Of secret ones, only what they are called: the key itself is not kept."""

    async def work(desk: Desk) -> None:
        made = table("id", "kind", "label", "key", "made", "revoked")
        for key in await catalog.get_keys(desk.tx):
            revoked = f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else ""
            made.add_row(key.key_id, key.kind, escape(key.label), key.public_key or "", f"{key.created_at:%Y-%m-%d %H:%M}", revoked)
        show(made)

    work_in(project, work)


@keys.command("create")
def create_key(label: Annotated[str, typer.Argument(help="What it is for, so that you know which to revoke")], project: ProjectOption = None) -> None:
    """Make a secret key. It is shown this once.

    [bold]Example[/bold]

      perennial keys create "billing server"
    """

    async def work(desk: Desk) -> None:
        key, secret = await catalog.create_secret_key(desk.tx, label)
        await desk.audit("key.create", key.key_id, {"label": label})
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


# Apps -----------------------------------------------------------------------------------------------------------------------------


@apps.command("list")
def list_apps(project: ProjectOption = None) -> None:
    """List the apps of a project, with the keys that go into them."""

    async def work(desk: Desk) -> None:
        public = {key.app_id: key.public_key for key in await catalog.get_keys(desk.tx) if key.public_key and key.revoked_at is None}
        made = table("id", "name", "store", "bundle id", "store API key", "SDK key")
        for app in await catalog.get_apps(desk.tx, limit=1000):
            has_key = "yes" if app.has_api_secret else ""
            made.add_row(app.app_id, escape(app.name), app.store, escape(app.bundle_id or ""), has_key, public.get(app.app_id) or "")
        show(made)

    work_in(project, work)


@apps.command("create")
def create_app(
    type: Annotated[str, typer.Option(help=f"One of {', '.join(KEY_PREFIXES)}")],
    name: Annotated[str, typer.Option(help="What to call it")],
    bundle_id: Annotated[str | None, typer.Option(help="App Store: such as com.example.app")] = None,
    apple_id: Annotated[int | None, typer.Option(help="App Store: the app's number, for production notifications")] = None,
    key_id: Annotated[str | None, typer.Option(help="App Store: the in-app purchase key's id")] = None,
    issuer: Annotated[str | None, typer.Option(help="App Store: the issuer id of App Store Connect")] = None,
    private_key: Annotated[Path | None, typer.Option(help="App Store: the .p8 file of that key", exists=True, dir_okay=False, readable=True)] = None,
    project: ProjectOption = None,
) -> None:
    """Make an app, and the SDK key to put into it.

    [bold]Examples[/bold]

      perennial apps create --type test_store --name "Try-out"

      perennial apps create --type app_store --name iOS --bundle-id com.example.cats \\
        --key-id ABC123DEFG --issuer 57246542-96fe-1a63-e053-0824d011072a --private-key AuthKey_ABC123DEFG.p8
    """
    given = (key_id, issuer, private_key)
    if any(given) and not all(given):
        raise Invalid("the store's API key has three parts: give --key-id, --issuer and --private-key together")

    async def work(desk: Desk) -> None:
        app, key = await catalog.create_app(
            desk.tx,
            desk.app.vault,
            name=name,
            store=type,
            bundle_id=bundle_id,
            app_apple_id=apple_id,
            api_key_id=key_id,
            api_issuer=issuer,
            api_private_key=read_private_key(private_key) if private_key else None,
        )
        await desk.audit("app.create", app.app_id, {"name": name, "type": type})
        done(f"made the app [bold]{app.app_id}[/bold]")
        say(f"  Its SDK key: [bold]{key.public_key}[/bold]")
        if type in ("app_store", "mac_app_store"):
            say(f"  In App Store Connect, send notifications (version 2) to: https://<this host>/hooks/app_store/{app.app_id}")

    work_in(project, work)


def read_private_key(path: Path) -> str:
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not text; the .p8 file begins with BEGIN PRIVATE KEY", param="private_key") from error
    catalog.check_private_key(text, param="--private-key")
    return text

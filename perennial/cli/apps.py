"""Apps: one per store and platform, with what is needed to talk to the store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from perennial import catalog, intake
from perennial.app import App as House
from perennial.base.errors import Invalid
from perennial.base.ids import ProjectId
from perennial.base.secrets import Secret, covered
from perennial.catalog.model import STORE_KINDS, App
from perennial.cli.desk import Desk, ProjectOption, answer, at_desk, choose_project, done, group, run, say, show, table, warn, work_in

commands = group("Apps: one per store and platform, each with its public SDK key.")

IdentifierOption = Annotated[
    str | None, typer.Option("--bundle-id", "--package-name", help="The app's identifier in its store: such as com.example.app")
]
AppleIdOption = Annotated[int | None, typer.Option(help="App Store: the app's number, for production notifications")]
KeyIdOption = Annotated[str | None, typer.Option(help="App Store: the in-app purchase key's id")]
IssuerOption = Annotated[str | None, typer.Option(help="App Store: the issuer id of App Store Connect")]
PrivateKeyOption = Annotated[Path | None, typer.Option(help="App Store: the .p8 file of that key", exists=True, dir_okay=False, readable=True)]
SettingOption = Annotated[list[str] | None, typer.Option("--setting", help="name=value, or name=@file; may be given several times")]
CheckOption = Annotated[bool, typer.Option("--check/--no-check", help="Ask the store whether it takes new credentials")]
SecretOption = Annotated[list[str] | None, typer.Option("--secret", help="name=value, or name=@file; kept encrypted, and never shown again")]


@commands.command("list")
def list_apps(project: ProjectOption = None) -> None:
    """List the apps of a project, with the keys that go into them."""

    async def work(desk: Desk) -> None:
        public = {key.app_id: key.public_key for key in await catalog.get_keys(desk.tx) if key.public_key and key.revoked_at is None}
        made = table("id", "name", "store", "identifier", "credentials", "notifications to", "SDK key")
        for app in await catalog.get_apps(desk.tx, limit=1000):
            made.add_row(
                app.app_id,
                escape(app.name),
                app.store,
                escape(app.bundle_id or ""),
                ", ".join([*(["API key"] if app.has_api_secret else []), *app.secret_names]),
                catalog.notification_path(app) or "",
                public.get(app.app_id) or "",
            )
        show(made)

    work_in(project, work)


@commands.command("create")
def create_app(
    store: Annotated[str, typer.Option("--type", "--store", help=f"One of {', '.join(STORE_KINDS)}")],
    name: Annotated[str, typer.Option(help="What to call it")],
    bundle_id: IdentifierOption = None,
    apple_id: AppleIdOption = None,
    key_id: KeyIdOption = None,
    issuer: IssuerOption = None,
    private_key: PrivateKeyOption = None,
    setting: SettingOption = None,
    secret: SecretOption = None,
    check: CheckOption = True,
    project: ProjectOption = None,
) -> None:
    """Make an app, and the SDK key to put into it.

    [bold]Examples[/bold]

      perennial apps create --store test_store --name "Try-out"

      perennial apps create --store app_store --name iOS --bundle-id com.example.cats \\
        --key-id ABC123DEFG --issuer 57246542-96fe-1a63-e053-0824d011072a --private-key AuthKey_ABC123DEFG.p8

      perennial apps create --store play_store --name Android --package-name com.example.cats \\
        --secret service_account=@service-account.json --setting pubsub_audience=https://billing.example.com
    """
    _check_whole(key_id, issuer, private_key)
    settings, secrets = read_pairs(setting, "--setting"), covered(read_pairs(secret, "--secret"))

    async def work(desk: Desk) -> str:
        app, key = await catalog.create_app(
            desk.tx,
            desk.app.vault,
            name=name,
            store=store,
            bundle_id=bundle_id,
            app_apple_id=apple_id,
            api_key_id=key_id,
            api_issuer=issuer,
            api_private_key=read_private_key(private_key) if private_key else None,
            settings=settings,
            secrets=secrets,
        )
        await desk.audit("app.create", app.app_id, {"name": name, "type": store})
        if bundle_id and (twins := [one for one in await catalog.get_apps(desk.tx, limit=1000) if _is_twin(one, app)]):
            warn(f"{escape(bundle_id)} of {store} has an app already: {', '.join(one.app_id for one in twins)}; one of the two hears nothing new")
        answer(app_id=app.app_id, sdk_key=key.public_key, notifications_to=catalog.notification_path(app))
        done(f"made the app [bold]{app.app_id}[/bold]")
        say(f"  Its SDK key: [bold]{key.public_key}[/bold]")
        _say_where(app)
        return app.app_id

    app_id = work_in(project, work)
    if check and (secrets or private_key):
        _check_stored(project, app_id)


@commands.command("update")
def update_app(
    app_id: Annotated[str, typer.Argument(help="From: perennial apps list")],
    name: Annotated[str | None, typer.Option(help="What to call it from now on")] = None,
    bundle_id: IdentifierOption = None,
    apple_id: AppleIdOption = None,
    key_id: KeyIdOption = None,
    issuer: IssuerOption = None,
    private_key: PrivateKeyOption = None,
    setting: SettingOption = None,
    secret: SecretOption = None,
    check: CheckOption = True,
    project: ProjectOption = None,
) -> None:
    """Change an app. What is not given stays; an empty setting or secret ([bold]name=[/bold]) is taken away.

    [bold]Example[/bold]

      perennial apps update app_01J8... --secret webhook_secret=@whsec.txt
    """
    _check_whole(key_id, issuer, private_key)
    settings, secrets = read_pairs(setting, "--setting"), covered(read_pairs(secret, "--secret"))

    async def work(desk: Desk) -> None:
        app = await catalog.change_app(
            desk.tx,
            desk.app.vault,
            app_id,
            name=name,
            bundle_id=bundle_id,
            app_apple_id=apple_id,
            api_key_id=key_id,
            api_issuer=issuer,
            api_private_key=read_private_key(private_key) if private_key else None,
            settings={key: text or None for key, text in settings.items()},
            secrets={key: hidden or None for key, hidden in secrets.items()},
        )
        await desk.audit("app.update", app_id, {"name": app.name, "settings": sorted(settings), "secrets": sorted(secrets)})
        done(f"changed the app [bold]{app.app_id}[/bold]")
        _say_where(app)

    work_in(project, work)
    if check and (any(secrets.values()) or private_key):
        _check_stored(project, app_id)


@commands.command("check")
def check_apps(
    app_id: Annotated[str | None, typer.Argument(help="From: perennial apps list; without it, all of the project")] = None,
    project: ProjectOption = None,
) -> None:
    """Ask each app's store once, by a call that changes nothing: are the credentials good, and when did the last notification come?

    Ends with 1 where something is wrong.

    [bold]Examples[/bold]

      perennial apps check

      perennial apps check app_01J8... --json
    """

    async def work(house: House) -> list[tuple[App, intake.Checked]]:
        chosen = await choose_project(house, project)
        async with at_desk(house, chosen.project_id) as desk:
            apps = [await catalog.require_app(desk.tx, app_id)] if app_id is not None else await catalog.get_apps(desk.tx, limit=1000)
        return [(app, await _checked(house, chosen.project_id, app.app_id)) for app in apps]

    found = run(work)
    answer(
        apps=[
            {
                "app_id": app.app_id,
                "name": app.name,
                "store": app.store,
                "state": checked.state,
                "said": checked.said,
                "last_notification_at": checked.last_notification_at,
                "wrong_wrappings": checked.wrappings,
            }
            for app, checked in found
        ]
    )
    for app, checked in found:
        _say_checked(app, checked)
    if any(checked.state in ("wrong", "silent") or checked.wrappings for _, checked in found):
        raise typer.Exit(1)


async def _checked(house: House, project_id: ProjectId, app_id: str) -> intake.Checked:
    return await intake.check_app(house.database, house.vault, house.providers, project_id, app_id)


_MARKS = {"green": "[green]✓[/green]", "wrong": "[red]✗[/red]", "silent": "[yellow]![/yellow]", "no credentials": "[yellow]![/yellow]"}


def _say_checked(app: App, checked: intake.Checked) -> None:
    last = f"last notification {checked.last_notification_at:%Y-%m-%d %H:%M} UTC" if checked.last_notification_at else "no notification yet"
    heard = f"; {last}" if catalog.notification_path(app) else ""
    say(f"{_MARKS[checked.state]} {escape(app.name)} ({app.store}, {app.app_id}): {escape(checked.said)}{heard}")
    for wrapping in checked.wrappings:
        say(f"  [red]{escape(intake.ADVICE[wrapping])}[/red]")


def _check_stored(project: str | None, app_id: str) -> None:
    """Credentials are tried when they are stored: what is wrong is said now, and changes nothing of what was done."""

    async def work(house: House) -> intake.Checked:
        chosen = await choose_project(house, project)
        return await _checked(house, chosen.project_id, app_id)

    checked = run(work)
    if checked.state == "green":
        say("  The store was asked, and takes these credentials")
    elif checked.state != "no credentials":
        warn(f"the store was asked: {escape(checked.said)}. Try again with: perennial apps check {app_id}")


@commands.command("delete")
def delete_app(app_id: Annotated[str, typer.Argument(help="From: perennial apps list")], project: ProjectOption = None) -> None:
    """Delete an app with its products and its SDK key. One that customers hold purchases of stays."""

    async def work(desk: Desk) -> None:
        app = await catalog.require_app(desk.tx, app_id)
        await catalog.delete_app(desk.tx, app_id)
        await desk.audit("app.delete", app_id, {"name": app.name, "type": app.store})

    work_in(project, work)
    done(f"deleted {escape(app_id)}")


def _is_twin(one: App, made: App) -> bool:
    return (one.store, one.bundle_id) == (made.store, made.bundle_id) and one.app_id != made.app_id


def _say_where(app: App) -> None:
    if path := catalog.notification_path(app):
        note = " (version 2)" if app.store in ("app_store", "mac_app_store") else ""
        say(f"  Let the store send its notifications{note} to: https://<this host>{path}")


def _check_whole(key_id: str | None, issuer: str | None, private_key: Path | None) -> None:
    given = (key_id, issuer, private_key)
    if any(given) and not all(given):
        raise Invalid("the store's API key has three parts: give --key-id, --issuer and --private-key together")


def read_pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    """`name=value`, or `name=@file` for what the file has in it, without the line end at its end."""
    pairs = {}
    for pair in given or ():
        name, equals, text = pair.partition("=")
        if not equals or not name:  # what stands there is not repeated: it may be the secret alone
            raise Invalid(f"{option}: write it as name=value, or as name=@file")
        pairs[name] = _read_file(Path(text[1:]), option) if text.startswith("@") else text
    return pairs


def _read_file(path: Path, option: str) -> str:
    try:
        return path.read_text().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise Invalid(f"{option}: {path} is not text") from error
    except OSError as error:
        raise Invalid(f"{option}: {path} cannot be read: {error.strerror}") from error


def read_private_key(path: Path) -> Secret:
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not text; the .p8 file begins with BEGIN PRIVATE KEY", param="private_key") from error
    catalog.check_private_key(text, param="--private-key")
    return Secret(text)

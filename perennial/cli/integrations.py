"""Integrations: analytics tools, chats and buckets that are told of what happens."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape

from perennial import events
from perennial.app import App
from perennial.base.errors import Invalid
from perennial.cli.desk import Desk, ProjectOption, at_desk, counted, done, group, run, say, show, table, work_in
from perennial.cli.moments import parse_moment
from perennial.cli.webhooks import attempted, health, hears, say_attempt
from perennial.events import Delivery
from perennial.providers.integrations import KINDS, fields

commands = group("Integrations: analytics tools, chats and buckets that are told of what happens.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="From: perennial integrations list")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="A setting, such as base_url=https://eu.i.posthog.com; may repeat")]
SecretOption = Annotated[list[str] | None, typer.Option("--secret", help="A secret, as name=value or name=@file; kept encrypted; may repeat")]


@commands.command("kinds")
def list_kinds() -> None:
    """List the kinds there are, and what each is set with."""
    made = table("kind", "settings", "secrets")
    for kind in KINDS:
        settings, secrets = fields(kind)
        made.add_row(kind, escape(_listed(settings)), escape(_listed(secrets)))
    show(made)


def _listed(struct: type[msgspec.Struct]) -> str:
    return ", ".join(
        field.encode_name if field.required else f"[{field.encode_name}]" if field.default is None else f"[{field.encode_name}={field.default}]"
        for field in msgspec.structs.fields(struct)
    )


@commands.command("list")
def list_integrations(project: ProjectOption = None) -> None:
    """List a project's integrations and how they do."""

    async def work(desk: Desk) -> None:
        made = table("id", "kind", "name", "settings", "hears", "health", "last error")
        for one in await events.list_integrations(desk.tx, limit=1000):
            made.add_row(
                one.endpoint_id,
                one.kind,
                escape(one.name),
                escape(", ".join(f"{key}={setting}" for key, setting in one.settings.items())),
                escape(hears(one)),
                health(one),
                escape(one.last_error or "") if one.failures else "",
            )
        show(made)

    work_in(project, work)


@commands.command("create")
def create_integration(
    kind: Annotated[str, typer.Argument(help="One of: perennial integrations kinds")],
    name: Annotated[str | None, typer.Option(help="What to call it; left out: its kind")] = None,
    settings: SetOption = None,
    secrets: SecretOption = None,
    environment: Annotated[str | None, typer.Option(help="Only production, or only sandbox")] = None,
    app: Annotated[str | None, typer.Option(help="Only what happens in this app: its id")] = None,
    event: Annotated[list[str] | None, typer.Option(help="Only these types, such as initial_purchase; may repeat")] = None,
    project: ProjectOption = None,
) -> None:
    """Make an integration. It hears what happens from now on.

    [bold]Examples[/bold]

      perennial integrations create posthog --secret api_key=phc_... --set base_url=https://eu.i.posthog.com

      perennial integrations create slack --secret url=https://hooks.slack.com/services/... --environment production

      perennial integrations create files --set url=gs://bucket/events --secret service_account_key=@key.json
    """

    async def work(desk: Desk) -> None:
        integration = await events.create_integration(
            desk.tx,
            desk.app.vault,
            desk.app.carrier,
            kind=kind,
            name=name or kind.title(),
            settings=_settings(settings),
            secrets=_secrets(secrets),
            environment=environment,
            app_id=app,
            event_types=event or None,
        )
        await desk.audit("integration.create", integration.endpoint_id, {"name": integration.name, "kind": kind})
        done(f"made the integration [bold]{integration.endpoint_id}[/bold]")
        say(f"  Try it: perennial integrations test {integration.endpoint_id}")

    work_in(project, work)


def _settings(given: list[str] | None) -> dict[str, Any]:
    """Whole numbers are meant as such."""
    return {key: int(text) if text.isascii() and text.isdigit() else text for key, text in _pairs(given, "--set").items()}


def _secrets(given: list[str] | None) -> dict[str, str]:
    return {key: _from_file(text[1:]) if text.startswith("@") else text for key, text in _pairs(given, "--secret").items()}


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    pairs = [one.partition("=") for one in given or ()]
    if any(not key or not sign for key, sign, _ in pairs):  # what stands there is not repeated: it may be the secret alone
        raise Invalid(f"{option}: write it as name=value, or as name=@file", param=option)
    return {key: text for key, _, text in pairs}


def _from_file(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read: {error}", param="--secret") from error


@commands.command("test")
def send_test(integration_id: IdArgument, project: ProjectOption = None) -> None:
    """Send a test event, and say how the receiver answered."""

    async def work(app: App) -> Delivery | None:
        async with at_desk(app, project) as desk:
            event_id = await events.send_test_to_integration(desk.tx, integration_id)
            await desk.audit("integration.test", integration_id, {"event_id": event_id})
        return await attempted(app, desk.project.project_id, event_id)

    say_attempt(run(work))


@commands.command("replay")
def replay_integration(
    integration_id: IdArgument,
    since: Annotated[str | None, typer.Option(help="Everything recorded since: 2026-01-31, 2026-01-31T12:00, 6h or 2d (ago)")] = None,
    event: Annotated[list[str] | None, typer.Option(help="This event's id; may repeat")] = None,
    project: ProjectOption = None,
) -> None:
    """Tell an integration again, with the events' old ids, by which its receiver tells repeats apart.

    [bold]Example[/bold]

      perennial integrations replay intgr_01J... --since 2d
    """

    async def work(desk: Desk) -> int:
        moment: datetime | None = parse_moment(since, desk.tx.now, param="--since") if since is not None else None
        count = await events.replay_integration(desk.tx, integration_id, since=moment, event_ids=event or None)
        await desk.audit("integration.replay", integration_id, {"deliveries": count})
        return count

    count = work_in(project, work)
    done(f"{counted(count, 'event')} {'is' if count == 1 else 'are'} on the way")


@commands.command("delete")
def delete_integration(integration_id: IdArgument, project: ProjectOption = None) -> None:
    """Delete an integration, with what was still on its way there."""

    async def work(desk: Desk) -> None:
        await events.delete_integration(desk.tx, integration_id)
        await desk.audit("integration.delete", integration_id)

    work_in(project, work)
    done(f"deleted {integration_id}")

"""Webhook integrations: who is told, whether it works, and telling them again."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated

import typer
from msgspec import UNSET
from rich.markup import escape

from perennial import events
from perennial.app import App
from perennial.base.errors import Invalid, Unavailable
from perennial.base.ids import CustomerId, ProjectId
from perennial.cli.desk import Desk, ProjectOption, at_desk, counted, done, group, run, say, show, table, work_in
from perennial.cli.moments import parse_moment
from perennial.events import Delivery, Endpoint, Integration
from perennial.events.model import TEST_CUSTOMER

commands = group("Webhook integrations: who is told of what happens.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="From: perennial webhooks list")]
WAIT_FOR_TEST = timedelta(seconds=15)
_LOOK_EVERY = timedelta(milliseconds=250)


@commands.command("list")
def list_webhooks(project: ProjectOption = None) -> None:
    """List a project's webhook integrations and how they do."""

    async def work(desk: Desk) -> None:
        made = table("id", "name", "url", "hears", "health", "last error")
        for endpoint in await events.list_endpoints(desk.tx, limit=1000):
            made.add_row(
                endpoint.endpoint_id,
                escape(endpoint.name),
                escape(endpoint.url),
                escape(hears(endpoint)),
                health(endpoint),
                escape(endpoint.last_error or "") if endpoint.failures else "",
            )
        show(made)

    work_in(project, work)


def hears(endpoint: Endpoint | Integration) -> str:
    parts = [endpoint.environment, endpoint.app_id, ", ".join(endpoint.event_types) if endpoint.event_types else None]
    return "; ".join(part for part in parts if part) or "everything"


def health(endpoint: Endpoint | Integration) -> str:
    if isinstance(endpoint, Endpoint) and endpoint.paused_at is not None:
        return "[yellow]paused[/yellow]"
    if endpoint.failures:
        return f"[red]{counted(endpoint.failures, 'failure')} since the last success[/red]"
    return "[green]well[/green]" if endpoint.last_success_at else "not used yet"


@commands.command("create")
def create_webhook(
    url: Annotated[str, typer.Argument(help="Where to POST events to")],
    name: Annotated[str, typer.Option(help="What to call it")] = "Webhook",
    authorization: Annotated[str | None, typer.Option(help="Sent verbatim as the Authorization header; kept encrypted")] = None,
    environment: Annotated[str | None, typer.Option(help="Only production, or only sandbox")] = None,
    event: Annotated[list[str] | None, typer.Option(help="Only these types, such as initial_purchase; may repeat")] = None,
    project: ProjectOption = None,
) -> None:
    """Make a webhook integration. Its signing secret is shown this once.

    [bold]Example[/bold]

      perennial webhooks create https://example.com/hooks --event initial_purchase --event expiration
    """

    async def work(desk: Desk) -> None:
        endpoint, secret = await events.create_endpoint(
            desk.tx, desk.app.vault, name=name, url=url, authorization_header=authorization, environment=environment, event_types=event or None
        )
        await desk.audit("webhook_integration.create", endpoint.endpoint_id, {"name": name})
        done(f"made the webhook integration [bold]{endpoint.endpoint_id}[/bold]")
        say(f"  Its signing secret (Standard Webhooks), shown this once: [bold]{secret}[/bold]")
        say(f"  Try it: perennial webhooks test {endpoint.endpoint_id}")

    work_in(project, work)


@commands.command("update")
def update_webhook(
    webhook_id: IdArgument,
    url: Annotated[str | None, typer.Option(help="Where to POST events to, also what is on its way already")] = None,
    name: Annotated[str | None, typer.Option(help="What to call it")] = None,
    authorization: Annotated[str | None, typer.Option(help="Sent verbatim as the Authorization header; an empty one takes it away")] = None,
    environment: Annotated[str | None, typer.Option(help="Only production, or only sandbox, or both")] = None,
    app: Annotated[str | None, typer.Option("--app", help="Only of this app, by its id; or all")] = None,
    event: Annotated[list[str] | None, typer.Option(help="Only these types; may repeat; or all")] = None,
    project: ProjectOption = None,
) -> None:
    """Change a webhook integration. What is not given stays; what it hears counts for events from now on.

    [bold]Examples[/bold]

      perennial webhooks update whintgr_01J... --url https://example.com/new-hooks

      perennial webhooks update whintgr_01J... --environment both --event all
    """

    async def work(desk: Desk) -> Endpoint:
        if all(one is None for one in (url, name, authorization, environment, app, event)):
            raise Invalid("nothing to change: give --url, --name, --authorization, --environment, --app or --event")
        endpoint = await events.update_endpoint(
            desk.tx,
            desk.app.vault,
            webhook_id,
            name=UNSET if name is None else name,
            url=UNSET if url is None else url,
            authorization_header=UNSET if authorization is None else authorization or None,
            environment=UNSET if environment is None else None if environment == "both" else environment,
            app_id=UNSET if app is None else None if app == "all" else app,
            event_types=UNSET if not event else None if event == ["all"] else event,
        )
        await desk.audit("webhook_integration.update", webhook_id, {"name": endpoint.name})
        return endpoint

    endpoint = work_in(project, work)
    done(f"{escape(endpoint.name)} is told of {escape(hears(endpoint))} at {escape(endpoint.url)}")


@commands.command("pause")
def pause_webhook(webhook_id: IdArgument, project: ProjectOption = None) -> None:
    """Send nothing for now. What there is to tell waits, and goes out in its order with: perennial webhooks resume."""

    async def work(desk: Desk) -> Endpoint:
        endpoint = await events.pause_endpoint(desk.tx, webhook_id)
        await desk.audit("webhook_integration.pause", webhook_id)
        return endpoint

    done(f"{escape(work_in(project, work).name)} is paused; what there is to tell waits for: perennial webhooks resume {escape(webhook_id)}")


@commands.command("resume")
def resume_webhook(webhook_id: IdArgument, project: ProjectOption = None) -> None:
    """Send again, first what waited."""

    async def work(desk: Desk) -> Endpoint:
        endpoint = await events.resume_endpoint(desk.tx, webhook_id)
        await desk.audit("webhook_integration.resume", webhook_id)
        return endpoint

    done(f"{escape(work_in(project, work).name)} is sent what waited, and all from now on")


@commands.command("delete")
def delete_webhook(
    webhook_id: IdArgument, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False, project: ProjectOption = None
) -> None:
    """Delete a webhook integration, with what is still on its way there."""

    async def look(desk: Desk) -> Endpoint:
        return await events.get_endpoint(desk.tx, webhook_id)

    async def work(desk: Desk) -> None:
        await events.delete_endpoint(desk.tx, webhook_id)
        await desk.audit("webhook_integration.delete", webhook_id)

    endpoint = work_in(project, look)
    if not yes:
        typer.confirm(f"Delete {endpoint.name} ({endpoint.url}), with what is still on its way there?", abort=True)
    work_in(project, work)
    done(f"deleted {escape(endpoint.name)}")


@commands.command("rotate")
def rotate_webhook(
    webhook_id: IdArgument,
    at_once: Annotated[bool, typer.Option("--at-once", help="The former secret is in wrong hands: it signs no more from now on")] = False,
    project: ProjectOption = None,
) -> None:
    """Make another signing secret, shown this once. For a day messages are signed with both, so that the receiver can learn it meanwhile."""

    async def work(desk: Desk) -> tuple[Endpoint, str]:
        made = await events.rotate_secret(desk.tx, desk.app.vault, webhook_id, keeps_former=not at_once)
        await desk.audit("webhook_integration.rotate_signing_secret", webhook_id, {"keep_former": not at_once})
        return made

    endpoint, secret = work_in(project, work)
    done(f"{escape(endpoint.name)} has another signing secret (Standard Webhooks), shown this once: [bold]{secret}[/bold]")
    if endpoint.former_until is not None:
        say(f"  The former one signs too until {endpoint.former_until:%Y-%m-%d %H:%M} UTC: let the receiver know the new one before")


@commands.command("test")
def send_test(webhook_id: IdArgument, project: ProjectOption = None) -> None:
    """Send a test event, and say how the receiver answered."""

    async def work(app: App) -> Delivery | None:
        async with at_desk(app, project) as desk:
            event_id = await events.send_test(desk.tx, webhook_id)
            await desk.audit("webhook_integration.test", webhook_id, {"event_id": event_id})
        return await attempted(app, desk.project.project_id, event_id)

    say_attempt(run(work))


def say_attempt(delivery: Delivery | None) -> None:
    """How the receiver answered; `Unavailable` where it did not take it, or nobody sent."""
    if delivery is None:
        raise Unavailable(f"it was not sent within {WAIT_FOR_TEST.seconds} s; it goes out when a worker runs: perennial up, or perennial worker")
    if delivery.delivered_at is None:
        raise Unavailable(f"{delivery.endpoint_name}: {delivery.last_error or 'not delivered'}")
    done(f"{escape(delivery.endpoint_name)} answered {delivery.last_status}")


async def attempted(app: App, project_id: ProjectId, event_id: str) -> Delivery | None:
    """The worker sends; we watch."""
    for _ in range(WAIT_FOR_TEST // _LOOK_EVERY):
        async with app.database.transaction(project_id) as tx:
            for event in await events.latest_events(tx, [CustomerId(TEST_CUSTOMER)], limit=20):
                for delivery in event.deliveries:
                    if event.event_id == event_id and (delivery.delivered_at or delivery.last_error):
                        return delivery
        await asyncio.sleep(_LOOK_EVERY.total_seconds())
    return None


@commands.command("replay")
def replay_webhook(
    webhook_id: IdArgument,
    since: Annotated[str | None, typer.Option(help="Everything recorded since: 2026-01-31, 2026-01-31T12:00, 6h or 2d (ago)")] = None,
    event: Annotated[list[str] | None, typer.Option(help="This event's id; may repeat")] = None,
    project: ProjectOption = None,
) -> None:
    """Tell an integration again, with the events' old ids: receivers that remember ids double nothing.

    [bold]Examples[/bold]

      perennial webhooks replay whintgr_01J... --since 6h

      perennial webhooks replay whintgr_01J... --event 6ce968fb-b3eb-5a5b-9b3d-e5473546ae6d
    """

    async def work(desk: Desk) -> int:
        moment: datetime | None = parse_moment(since, desk.tx.now, param="--since") if since is not None else None
        count = await events.replay(desk.tx, webhook_id, since=moment, event_ids=event or None)
        await desk.audit("webhook_integration.replay", webhook_id, {"deliveries": count})
        return count

    count = work_in(project, work)
    done(f"{counted(count, 'event')} {'is' if count == 1 else 'are'} on the way")

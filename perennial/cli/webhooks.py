"""Webhook integrations: who is told, whether it works, and telling them again."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape

from perennial import events
from perennial.app import App
from perennial.base.errors import Unavailable
from perennial.base.ids import CustomerId, ProjectId
from perennial.cli.desk import Desk, ProjectOption, at_desk, counted, done, group, run, say, show, table, work_in
from perennial.cli.moments import parse_moment
from perennial.events import Delivery, Endpoint, Integration
from perennial.events.model import TEST_CUSTOMER

commands = group("Webhook integrations: who is told of what happens.")

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


@commands.command("test")
def send_test(webhook_id: Annotated[str, typer.Argument(metavar="ID", help="From: perennial webhooks list")], project: ProjectOption = None) -> None:
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
    webhook_id: Annotated[str, typer.Argument(metavar="ID", help="From: perennial webhooks list")],
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

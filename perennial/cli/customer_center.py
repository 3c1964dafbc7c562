"""The Customer Center as a file, the tickets written in it, and redemption links for what was bought on the web."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from perennial import customer_center, customers, redemption
from perennial.base.errors import Invalid
from perennial.cli.desk import Desk, ProjectOption, done, group, say, show, table, work_in, write
from perennial.customer_center.model import Config

commands = group("The Customer Center of a project's apps, and the tickets written in it.")


@commands.command("show")
def show_center(project: ProjectOption = None) -> None:
    """Print what apps show, as the file that `put` takes."""

    async def work(desk: Desk) -> None:
        config = await customer_center.get_config(desk.tx)
        write(msgspec.json.format(msgspec.json.encode(config), indent=2))

    work_in(project, work)


@commands.command("put")
def put_center(
    file: Annotated[Path, typer.Argument(help="A .json file", exists=True, dir_okay=False, readable=True)], project: ProjectOption = None
) -> None:
    """Show in apps what a file says, in place of what they showed.

    [bold]Example[/bold]

      perennial customer-center show > center.json

      perennial customer-center put center.json
    """
    try:
        config = msgspec.json.decode(file.read_bytes(), type=Config)
    except msgspec.MsgspecError as error:
        raise Invalid(f"{file} is not as documented: {error}", param="file") from error

    async def work(desk: Desk) -> None:
        await customer_center.set_config(desk.tx, config)
        await desk.audit("customer_center.put", desk.project.project_id)

    work_in(project, work)
    done("apps show it from their next look on")


@commands.command("tickets")
def list_tickets(project: ProjectOption = None, limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most")] = 50) -> None:
    """List support tickets, the newest first."""

    async def work(desk: Desk) -> None:
        made = table("id", "written", "by", "answer to", "what", "")
        for ticket in await customer_center.get_tickets(desk.tx, limit=limit):
            written, state = f"{ticket.created_at:%Y-%m-%d %H:%M}", "closed" if ticket.closed_at else "open"
            made.add_row(ticket.ticket_id, written, escape(ticket.app_user_id), escape(ticket.email), escape(ticket.description), state)
        show(made)

    work_in(project, work)


@commands.command("close")
def close_ticket(ticket_id: Annotated[str, typer.Argument(metavar="ID", help="Of the ticket")], project: ProjectOption = None) -> None:
    """Close a support ticket."""

    async def work(desk: Desk) -> None:
        await customer_center.close_ticket(desk.tx, ticket_id)
        await desk.audit("support_ticket.close", ticket_id)

    work_in(project, work)
    done(f"closed {ticket_id}")


def issue_redemption_link(
    app_user_id: Annotated[str, typer.Argument(metavar="ID", help="Who bought on the web")],
    url_scheme: Annotated[str, typer.Option(help="The one the app opens redemption links by")] = "rc-perennial",
    project: ProjectOption = None,
) -> None:
    """Issue a link that brings what was bought on the web into an app: once, within the hour. Send it yourself.

    [bold]Example[/bold]

      perennial redemption-link '$RCAnonymousID:0123456789abcdef0123456789abcdef' --url-scheme rc-0a1b2c3d4e
    """

    async def work(desk: Desk) -> None:
        customer = await customers.get(desk.tx, app_user_id)
        issued = await redemption.issue(desk.tx, customer.customer_id)
        await desk.audit("redemption_link.issue", app_user_id)
        say(issued.url(url_scheme))
        say(f"  [dim]until {issued.redemption.expires_at:%Y-%m-%d %H:%M} UTC; the token is shown this once[/dim]")

    work_in(project, work)

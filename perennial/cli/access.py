"""Who works on a project, and which applications of others it lets in."""

from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

import typer
from rich.markup import escape

from perennial import access
from perennial.access.model import ROLES
from perennial.base.errors import Invalid
from perennial.cli.desk import Desk, ProjectOption, done, group, say, show, table, work_in

collaborators = group("Collaborators: who works on a project. A role says what somebody is, not yet what they may do.")
oauth = group("OAuth clients: applications of others that a project lets in, each within its permissions.")


@collaborators.command("list")
def list_collaborators(project: ProjectOption = None) -> None:
    """List who works on a project."""

    async def work(desk: Desk) -> None:
        made = table("id", "e-mail", "name", "role", "since")
        for one in await access.get_collaborators(desk.tx, limit=1000):
            made.add_row(one.collaborator_id, escape(one.email), escape(one.name or ""), one.role, f"{one.created_at:%Y-%m-%d}")
        show(made)

    work_in(project, work)


@collaborators.command("add")
def add_collaborator(
    email: Annotated[str, typer.Argument(help="Their e-mail address")],
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}")] = "developer",
    name: Annotated[str | None, typer.Option(help="What they are called")] = None,
    project: ProjectOption = None,
) -> None:
    """Write down that somebody works on a project.

    [bold]Example[/bold]

      perennial collaborators add ada@example.com --role support --name "Ada"
    """

    async def work(desk: Desk) -> None:
        made = await access.add_collaborator(desk.tx, email=email, role=role, name=name)
        await desk.audit("collaborator.add", made.collaborator_id, {"email": email, "role": role})
        done(f"added {escape(email)} as {made.collaborator_id}")

    work_in(project, work)


@collaborators.command("remove")
def remove_collaborator(
    collaborator_id: Annotated[str, typer.Argument(help="From: perennial collaborators list")], project: ProjectOption = None
) -> None:
    """Take somebody off a project."""

    async def work(desk: Desk) -> None:
        await access.remove_collaborator(desk.tx, collaborator_id)
        await desk.audit("collaborator.remove", collaborator_id)

    work_in(project, work)
    done(f"removed {escape(collaborator_id)}")


# Third parties ----------------------------------------------------------------------------------------------------------------


@oauth.command("list")
def list_clients(project: ProjectOption = None) -> None:
    """List the applications a project knows."""

    async def work(desk: Desk) -> None:
        made = table("id", "name", "kind", "redirect URIs", "may ask for")
        for client in await access.get_clients(desk.tx):
            kind = "public" if client.secret_hash is None else "confidential"
            made.add_row(client.client_id, escape(client.name), kind, escape("\n".join(client.redirect_uris)), "\n".join(client.permissions))
        show(made)

    work_in(project, work)


@oauth.command("register")
def register_client(
    name: Annotated[str, typer.Argument(help="What people are told it is called")],
    redirect_uri: Annotated[list[str], typer.Option(help="Where people come back to; compared letter by letter. As often as needed")],
    permission: Annotated[list[str], typer.Option(help="The most it may ask for, such as project_configuration:read. As often as needed")],
    confidential: Annotated[bool, typer.Option("--confidential", help="It runs on a server and can keep a secret")] = False,
    project: ProjectOption = None,
) -> None:
    """Let an application ask people for access to a project.

    [bold]Example[/bold]

      perennial oauth register "Reports" --redirect-uri https://reports.example.com/callback --permission charts_metrics:read
    """

    async def work(desk: Desk) -> None:
        client, secret = await access.register_client(
            desk.tx,
            desk.app.database.clock(),
            name=name,
            redirect_uris=redirect_uri,
            permissions=permission,
            is_confidential=confidential,
        )
        await desk.audit("oauth_client.register", client.client_id, {"name": client.name, "permissions": client.permissions})
        done(f"registered [bold]{client.client_id}[/bold]")
        if secret is not None:
            say(f"  Its secret, shown this once: [bold]{secret}[/bold]")

    work_in(project, work)


@oauth.command("remove")
def remove_client(client_id: Annotated[str, typer.Argument(help="From: perennial oauth list")], project: ProjectOption = None) -> None:
    """Shut an application out: its tokens are dead at once."""

    async def work(desk: Desk) -> None:
        await access.remove_client(desk.tx, client_id)
        await desk.audit("oauth_client.remove", client_id)

    work_in(project, work)
    done(f"removed {escape(client_id)}")


@oauth.command("approve")
def approve(
    address: Annotated[str, typer.Argument(help="The whole address that the application opened: .../oauth/authorize?...")],
    project: ProjectOption = None,
) -> None:
    """Say yes to an application, where there is no page to say it on. Prints where to go next, within a minute."""
    asked = dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))
    if "client_id" not in asked:
        raise Invalid("this is not the address of a question for access: there is no client_id in it", param="address")

    async def work(desk: Desk) -> None:
        client = await access.require_client(desk.tx, asked["client_id"])
        wanted = access.authorization(client, access.require_redirect_uri(client, asked.get("redirect_uri")), asked)
        grant_id, code = await access.grant(desk.tx, wanted, desk.app.database.clock())
        await desk.audit("oauth_grant.create", grant_id, {"client_id": client.client_id, "permissions": wanted.permissions})
        done(f"{escape(client.name)} may now: {', '.join(wanted.permissions)}")
        issuer = desk.app.settings.public_url or "{0.scheme}://{0.netloc}".format(urlsplit(address))
        say(escape(f"  Open: {access.sent_back(wanted.redirect_uri, code=code, state=wanted.state, iss=issuer)}"))

    work_in(project, work)

"""The Customer Center of a project's apps, the tickets written in it, and redemption links for what was bought on the web. All ours."""

from typing import Annotated, Literal

from litestar.params import JSONBody
from msgspec import Meta, Struct

from perennial import customer_center, customers, redemption
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.entry import entered, ms
from perennial.api.v2.pages import AskedPage
from perennial.api.v2.routes import PathId, get, post, put
from perennial.base.time import to_ms
from perennial.customer_center.model import Config, Ticket

_TAGS = ["Customer Center"]
_CENTER = "/projects/{project_id:str}/customer_center"
_TICKETS = "/projects/{project_id:str}/support_tickets"


class SupportTicket(Struct):
    id: str
    project_id: str
    app_user_id: str
    email: str
    description: str
    created_at: int
    closed_at: int | None
    object: Literal["support_ticket"] = "support_ticket"


class RedemptionLinkIssue(Struct):
    """`url_scheme`: the one the app opens redemption links by."""

    url_scheme: Annotated[str, Meta(max_length=50, pattern="^[a-z][a-z0-9+.-]*$")] = "rc-perennial"


class RedemptionLink(Struct):
    """The token is told this once; with the address it opens the app."""

    token: str
    redeem_url: str
    expires_at: int
    email: str | None
    object: Literal["redemption_link"] = "redemption_link"


@get(_CENTER, permission="project_configuration:apps:read", operation_id="get-customer-center", summary="Get the Customer Center", tags=_TAGS)
async def get_center(request: HttpRequest, project_id: PathId) -> Config:
    """What the SDKs read. Where none was put, the default."""
    async with entered(request, project_id) as entry:
        return await customer_center.get_config(entry.tx)


@put(_CENTER, permission="project_configuration:apps:read_write", operation_id="put-customer-center", summary="Put the Customer Center", tags=_TAGS)
async def put_center(request: HttpRequest, project_id: PathId, data: JSONBody[Config]) -> Config:
    """The whole of it, in place of what was."""
    async with entered(request, project_id) as entry:
        await customer_center.set_config(entry.tx, data)
        await entry.audit("customer_center.put", project_id)
        return await customer_center.get_config(entry.tx)


@get(
    _TICKETS,
    permission="customer_information:customers:read",
    operation_id="list-support-tickets",
    summary="List support tickets",
    tags=_TAGS,
)
async def list_tickets(request: HttpRequest, project_id: PathId, page: AskedPage) -> wire.ListOf[SupportTicket]:
    """The newest first."""
    async with entered(request, project_id) as entry:
        found = await customer_center.get_tickets(entry.tx, after=page.after, limit=page.probe)
    return page.of(found, lambda one: one.ticket_id, lambda one: _show(one, project_id))


@post(
    _TICKETS + "/{support_ticket_id:str}/actions/close",
    permission="customer_information:customers:read_write",
    operation_id="close-support-ticket",
    summary="Close a support ticket",
    tags=_TAGS,
    status_code=200,
)
async def close_ticket(request: HttpRequest, project_id: PathId, support_ticket_id: PathId) -> SupportTicket:
    async with entered(request, project_id) as entry:
        ticket = await customer_center.close_ticket(entry.tx, support_ticket_id)
        await entry.audit("support_ticket.close", support_ticket_id)
    return _show(ticket, project_id)


@post(
    "/projects/{project_id:str}/customers/{customer_id:str}/actions/issue_redemption_link",
    permission="customer_information:purchases:read_write",
    operation_id="issue-redemption-link",
    summary="Issue a redemption link",
    tags=_TAGS,
)
async def issue_link(request: HttpRequest, project_id: PathId, customer_id: PathId, data: JSONBody[RedemptionLinkIssue]) -> RedemptionLink:
    """For everything the customer bought on the web. It works once, for an hour, and ends older ones. Sending it is yours to do."""
    async with entered(request, project_id) as entry:
        customer = await customers.get(entry.tx, customer_id)
        issued = await redemption.issue(entry.tx, customer.customer_id)
        await entry.audit("redemption_link.issue", customer_id)
    made = issued.redemption
    return RedemptionLink(token=issued.token, redeem_url=issued.url(data.url_scheme), expires_at=to_ms(made.expires_at), email=made.email)


def _show(ticket: Ticket, project_id: str) -> SupportTicket:
    return SupportTicket(
        id=ticket.ticket_id,
        project_id=project_id,
        app_user_id=ticket.app_user_id,
        email=ticket.email,
        description=ticket.description,
        created_at=to_ms(ticket.created_at),
        closed_at=ms(ticket.closed_at),
    )


HANDLERS = [get_center, put_center, list_tickets, close_ticket, issue_link]

"""The verbs: keep a project's Customer Center, show it to a customer, take and close tickets."""

from collections.abc import Sequence

from perennial import customers, subscriptions
from perennial.base.db import Tx
from perennial.base.ids import CustomerId
from perennial.customer_center import db, rules
from perennial.customer_center.model import DEFAULT, MOST_TICKETS, TICKET_SPAN, Config, Ticket, TicketMissing
from perennial.customer_center.rules import Platform


async def get_config(tx: Tx) -> Config:
    """The project's own, or the default."""
    return await db.load_config(tx) or DEFAULT


async def set_config(tx: Tx, config: Config) -> None:
    """In place of what was. `Invalid` names the field that cannot be."""
    rules.check(config)
    await db.save_config(tx, config)


async def shown_to(tx: Tx, app_user_id: str, platform: Platform) -> Config:
    """The customer need not exist."""
    found = await customers.find(tx, [app_user_id])
    lines = await subscriptions.load_of_customers(tx, found.values())
    has_subscribed = any(held.purchase.kind == "subscription" for line in lines for held in line.held)
    return rules.shown(await get_config(tx), platform, has_subscribed=has_subscribed)


async def create_ticket(tx: Tx, app_user_id: str, email: str, description: str) -> Ticket | None:
    """None where this customer may write none, or has written too many today. `Invalid` for what nobody could answer."""
    rules.check_ticket(email, description)
    config = await get_config(tx)
    found = await customers.find(tx, [app_user_id])
    lines = await subscriptions.load_of_customers(tx, found.values())
    if not rules.may_write(config.support.support_tickets, is_active=any(subscriptions.is_entitled(line, tx.now) for line in lines)):
        return None
    customer_id = (await customers.ensure(tx, [app_user_id]))[0][app_user_id]
    await customers.lock(tx, [customer_id])
    if await db.count_tickets(tx, customer_id, tx.now - TICKET_SPAN) >= MOST_TICKETS:
        return None
    ticket = Ticket(
        ticket_id=tx.new_id("tick"), customer_id=customer_id, app_user_id=app_user_id, email=email, description=description, created_at=tx.now
    )
    await db.insert_ticket(tx, ticket)
    return ticket


async def get_tickets(tx: Tx, *, after: str | None = None, limit: int = 100) -> list[Ticket]:
    """The newest first."""
    return await db.page_tickets(tx, after=after, limit=limit)


async def close_ticket(tx: Tx, ticket_id: str) -> Ticket:
    ticket = await db.close_ticket(tx, ticket_id)
    if ticket is None:
        raise TicketMissing(f"no ticket {ticket_id!r}", param="ticket_id")
    return ticket


async def forget_person(tx: Tx, customer_ids: Sequence[CustomerId]) -> None:
    """Every ticket someone wrote."""
    await db.delete_tickets(tx, customer_ids)

"""One customer on one page: what they may use, what they hold, what was told of them and to whom."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape

from perennial import catalog, customers, events, subscriptions
from perennial.base.time import FOREVER
from perennial.catalog.model import Product
from perennial.cli.desk import Desk, ProjectOption, group, say, show, table, work_in
from perennial.customers.model import Customer, why_refused
from perennial.events import Delivery
from perennial.subscriptions.model import Line

commands = group("Customers.")
SHOWN_EVENTS = 50
MOST_UNCLAIMED = 1000

Products = dict[tuple[str | None, str], Product]


@commands.command("show")
def show_customer(app_user_id: Annotated[str, typer.Argument(metavar="ID", help="Any of their app user ids")], project: ProjectOption = None) -> None:
    """Show everything about a customer.

    [bold]Example[/bold]

      perennial customer show ada
    """

    async def work(desk: Desk) -> None:
        customer = await customers.get(desk.tx, app_user_id)
        lines = await subscriptions.load_of_customers(desk.tx, [customer.customer_id])
        products = await catalog.find_products(desk.tx, {(line.app_id, held.purchase.product) for line in lines for held in line.held})
        _show_person(customer, desk.tx.now)
        _show_entitlements(lines, products, desk.tx.now)
        _show_lines(lines, desk.tx.now)
        await _show_events(desk, customer)

    work_in(project, work)


@commands.command("unclaimed")
def show_unclaimed(project: ProjectOption = None) -> None:
    """List purchases whose buyer is not known: nobody named one, or by a name that can be no app user id.

    [bold]Example[/bold]

      perennial customer unclaimed
    """

    async def work(desk: Desk) -> None:
        waiting = await subscriptions.unclaimed(desk.tx, MOST_UNCLAIMED)
        misnamed = await subscriptions.misnamed(desk.tx, MOST_UNCLAIMED)
        people = await customers.load(desk.tx, [line.customer_id for line in (*waiting, *misnamed)])
        made = table("line", "store", "its key", "product", "held by", "why")
        for line in (*waiting, *misnamed):
            since = f"nobody has said who bought it since {_when(line.unclaimed.since)}" if line.unclaimed is not None else ""
            why = since if line.refused_name is None else f"named {line.refused_name!r}: {why_refused(line.refused_name)}"
            product = line.held[-1].purchase.product if line.held else ""
            holder = people[line.customer_id].app_user_id
            made.add_row(line.line_id, f"{line.store} {line.environment}", *map(escape, (line.store_line, product, holder, why)))
        if made.row_count:
            show(made)
        else:
            say("every purchase has a buyer")

    work_in(project, work)


def _show_person(customer: Customer, now: datetime) -> None:
    say(f"[bold]{escape(customer.app_user_id)}[/bold]  [dim]{customer.customer_id}, version {customer.version}; the time is {_when(now)} UTC[/dim]")
    say(f"  ids: {escape(', '.join(customer.aliases))}")
    say(f"  first seen {_when(customer.first_seen_at)}" + (f", last seen {_when(customer.last_seen_at)}" if customer.last_seen_at else ""))
    for name, attribute in sorted(customer.attributes.items()):
        if attribute.value is not None:
            say(f"  {escape(name)}: {escape(attribute.value)}")


def _show_entitlements(lines: Sequence[Line], products: Products, now: datetime) -> None:
    made = table("entitlement", "until", "by", title="\nMay use")
    for line in lines:
        for held in line.held:
            product, end = products.get((line.app_id, held.purchase.product)), subscriptions.access_end(line, held)
            for key in product.entitlements if product and end > now else ():
                made.add_row(escape(key), _end(end), escape(f"{held.purchase.product} ({line.store})"))
    if made.row_count:
        show(made)
    else:
        say("\nMay use nothing")


def _show_lines(lines: Sequence[Line], now: datetime) -> None:
    if not lines:
        return
    made = table("line", "store", "product", "kind", "from", "until", "price", "status", title="\nHolds")
    for line in lines:
        status = subscriptions.status(line, now)
        for held in line.held:
            purchase = held.purchase
            price = f"{purchase.price.major} {purchase.price.currency}" if purchase.price else ""
            is_latest = held is subscriptions.latest(line)
            made.add_row(
                line.line_id,
                f"{line.store} {line.environment}",
                escape(purchase.product),
                "proration" if purchase.is_proration else purchase.period_type if purchase.kind == "subscription" else purchase.kind,
                _when(purchase.purchased_at),
                _end(subscriptions.access_end(line, held)),
                price,
                status if is_latest else "refunded" if purchase.revocation else "",
            )
    show(made)
    for line in lines:
        if line.unclaimed is not None:
            say(f"  {line.line_id}: nobody has said who bought it since {_when(line.unclaimed.since)}; it is told to nobody until its app posts it")
        if line.refused_name is not None:
            say(f"  {line.line_id}: your backend named {escape(repr(line.refused_name))} as its buyer: {escape(why_refused(line.refused_name))}")


async def _show_events(desk: Desk, customer: Customer) -> None:
    people = await customers.merged_ids(desk.tx, customer.customer_id)
    told = await events.latest_events(desk.tx, people, limit=SHOWN_EVENTS)
    if not told:
        return
    made = table("when", "event", "product", "told to", "id", title=f"\nTold{f' (the last {SHOWN_EVENTS})' if len(told) == SHOWN_EVENTS else ''}")
    for event in told:
        product = str(event.body.get("product_id") or "")
        made.add_row(_when(event.happened_at), event.type, escape(product), escape(", ".join(map(_told_to, event.deliveries))), event.event_id)
    show(made)


def _told_to(delivery: Delivery) -> str:
    attempts = f" after {delivery.attempts}" if delivery.attempts > 1 else ""
    return f"{delivery.endpoint_name}: {delivery.state}{attempts}"


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _end(end: datetime) -> str:
    return "for good" if end == FOREVER else _when(end)

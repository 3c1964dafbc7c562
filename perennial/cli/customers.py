"""One customer on one page: what they may use, what they hold, what was told of them and to whom."""

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape

from perennial import catalog, customers, events, subscriptions
from perennial.app import App
from perennial.base.errors import Invalid, NotFound
from perennial.base.time import FOREVER
from perennial.catalog.model import Product
from perennial.cli.desk import Desk, ProjectOption, answer, at_desk, choose_project, done, group, is_json, run, say, show, table, work_in
from perennial.cli.moments import parse_moment
from perennial.customers.model import Customer, why_refused
from perennial.events import Delivery
from perennial.intake.model import ActKind
from perennial.subscriptions.model import Line

commands = group("Customers: who they are, what they may use and hold, and what is done for them.")
SHOWN_EVENTS = 50
MOST_UNCLAIMED = 1000

Products = dict[tuple[str | None, str], Product]


@commands.command("show")
def show_customer(app_user_id: Annotated[str, typer.Argument(metavar="ID", help="Any of their app user ids")], project: ProjectOption = None) -> None:
    """Show everything about a customer.

    [bold]Example[/bold]

      perennial customers show ada
    """

    async def work(desk: Desk) -> None:
        customer = await customers.get(desk.tx, app_user_id)
        answer(
            customer={
                "id": customer.customer_id,
                "app_user_id": customer.app_user_id,
                "aliases": customer.aliases,
                "first_seen_at": customer.first_seen_at,
                "last_seen_at": customer.last_seen_at,
                "attributes": {name: one.value for name, one in customer.attributes.items()},
            }
        )
        lines = await subscriptions.load_of_customers(desk.tx, [customer.customer_id])
        products = await catalog.find_products(desk.tx, {(line.app_id, held.purchase.product) for line in lines for held in line.held})
        _show_person(customer, desk.tx.now)
        _show_entitlements(lines, products, desk.tx.now)
        _show_lines(lines, desk.tx.now)
        await _show_events(desk, customer)

    work_in(project, work)


@commands.command("list")
def list_customers(
    search: Annotated[str | None, typer.Option(help="Part of an app user id or e-mail address")] = None,
    after: Annotated[str | None, typer.Option(help="The customer id the last page ended with")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most")] = 100,
    project: ProjectOption = None,
) -> None:
    """List customers, in the order of their ids, a page at a time.

    [bold]Examples[/bold]

      perennial customers list --search ada

      perennial customers list --limit 1000 --after cus_01J8... --json
    """

    async def work(desk: Desk) -> None:
        ids = await customers.page(desk.tx, after=after, limit=limit, search=search)
        people = await customers.load(desk.tx, ids)
        made = table("customer", "app user id", "other ids", "first seen", "last seen")
        for one in (people[customer_id] for customer_id in ids):
            others = ", ".join(alias for alias in one.aliases if alias != one.app_user_id)
            last = _when(one.last_seen_at) if one.last_seen_at else ""
            made.add_row(one.customer_id, escape(one.app_user_id), escape(others), _when(one.first_seen_at), last)
        if made.row_count or is_json():
            show(made)
        else:
            say("no customer is like that")
        if len(ids) == limit:
            answer(next_after=ids[-1])
            say(f"more: --after {ids[-1]}")

    work_in(project, work)


# Acts -----------------------------------------------------------------------------------------------------------------------------

CustomerId = Annotated[str, typer.Argument(metavar="ID", help="Any of their app user ids")]


@commands.command("grant")
def grant(
    app_user_id: CustomerId,
    entitlement: Annotated[str, typer.Argument(help="The entitlement's lookup key")],
    days: Annotated[float | None, typer.Option(min=0.01, help="For so many days")] = None,
    until: Annotated[str | None, typer.Option(help="Such as 2027-01-31 or 2027-01-31T12:00")] = None,
    for_good: Annotated[bool, typer.Option("--for-good", help="Without an end")] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take back what was granted of it; what stores sold stays")] = False,
    project: ProjectOption = None,
) -> None:
    """Grant an entitlement to a customer, beside whatever stores sell. One who was never seen is made.

    [bold]Examples[/bold]

      perennial customers grant ada pro --days 30

      perennial customers grant ada pro --revoke
    """
    if sum((days is not None, until is not None, for_good, revoke)) != 1:
        raise Invalid("say until when: one of --days, --until and --for-good; or --revoke")

    async def work(desk: Desk) -> str:
        entitlements = await catalog.get_entitlements(desk.tx, lookup_keys=[entitlement])
        if not entitlements:
            raise NotFound(f"no entitlement {entitlement[:80]!r} in this project; see perennial catalog show", param="entitlement")
        if revoke:
            customer = await customers.get(desk.tx, app_user_id)
            await subscriptions.revoke_grants(desk.tx, customer.customer_id, entitlement)
            await desk.audit("customer.revoke_granted_entitlement", app_user_id, {"entitlement": entitlement})
            return f"{escape(app_user_id)} has no granted {escape(entitlement)} any more"
        end = _grant_end(desk.tx.now, days, until)
        found, _ = await customers.ensure(desk.tx, [app_user_id])
        await subscriptions.grant(desk.tx, found[app_user_id], entitlement, until=end)
        await desk.audit("customer.grant_entitlement", app_user_id, {"entitlement": entitlement, "until": end.isoformat()})
        return f"{escape(app_user_id)} may use {escape(entitlement)} {'for good' if end == FOREVER else f'until {_when(end)} UTC'}"

    done(work_in(project, work))


def _grant_end(now: datetime, days: float | None, until: str | None) -> datetime:
    end = now + timedelta(days=days) if days is not None else parse_moment(until, now, param="--until") if until is not None else FOREVER
    if end <= now:
        raise Invalid(f"--until must be after now, {_when(now)} UTC", param="until")
    return end


LineId = Annotated[str, typer.Argument(metavar="LINE", help="Of a subscription or purchase, from: perennial customers show")]


@commands.command("cancel")
def cancel(line_id: LineId, project: ProjectOption = None) -> None:
    """Let a subscription end with its period, at its store. Stores that leave this to the customer alone (the App Store) refuse.

    [bold]Example[/bold]

      perennial customers cancel sub_01J8...
    """
    _act(project, line_id, "cancel", None)
    done(f"{escape(line_id)} ends with its period")


@commands.command("refund")
def refund(
    line_id: LineId,
    transaction: Annotated[str | None, typer.Option(help="One payment alone, and access goes on; without it, the last, and access ends")] = None,
    project: ProjectOption = None,
) -> None:
    """Give a payment back, at its store.

    [bold]Examples[/bold]

      perennial customers refund sub_01J8...

      perennial customers refund sub_01J8... --transaction GPA.1234-5678
    """
    _act(project, line_id, "revoke" if transaction is None else "refund", transaction)
    done(f"refunded {escape(line_id)}" + ("; access ends" if transaction is None else f": {escape(transaction)}"))


def _act(project: str | None, line_id: str, kind: ActKind, transaction: str | None) -> None:
    """As the API does it: written down, done at the store with no transaction open, and the store asked how things are."""
    from perennial.api.acts import act_on

    async def work(house: App) -> None:
        chosen = await choose_project(house, project)
        async with at_desk(house, chosen.project_id) as desk:
            line = (await subscriptions.load_by_ids(desk.tx, [line_id])).get(line_id)  # type: ignore[call-overload]
            if line is None:
                raise NotFound(f"no subscription or purchase {line_id[:80]!r} in this project; see perennial customers show", param="line")
            wanted = transaction or line.held[-1].purchase.transaction
            if all(held.purchase.transaction != wanted for held in line.held):
                raise NotFound(f"{line_id} has no transaction {wanted[:80]!r}", param="transaction")
            details: dict[str, str | int] = {} if kind == "cancel" else {"transaction": wanted}
            await desk.audit(f"subscription.{kind}", line.line_id, dict(details))
        await act_on(house, chosen.project_id, line, kind, details)

    run(work)


@commands.command("delete")
def delete(
    app_user_id: CustomerId,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking")] = False,
    project: ProjectOption = None,
) -> None:
    """Delete everything that says who a customer is. What they bought stays with a made-up id, so that stores still telling of it recreate nobody.

    [bold]Example[/bold]

      perennial customers delete ada --yes
    """
    from perennial.api.deletion import delete_customer

    if not yes and (is_json() or not sys.stdin.isatty()):
        raise Invalid("this cannot be undone; give --yes to do it without being asked", param="yes")
    if not yes:
        typer.confirm(f"Delete {app_user_id} for good?", abort=True, err=True)

    async def work(desk: Desk) -> str:
        pseudonym = await delete_customer(desk.tx, app_user_id)
        await desk.audit("customer.delete", pseudonym)
        return pseudonym

    done(f"deleted {escape(app_user_id)}; what was bought goes by {work_in(project, work)}")


# Unclaimed ------------------------------------------------------------------------------------------------------------------------


@commands.command("unclaimed")
def show_unclaimed(project: ProjectOption = None) -> None:
    """List purchases whose buyer is not known: nobody named one, or by a name that can be no app user id.

    [bold]Example[/bold]

      perennial customers unclaimed
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

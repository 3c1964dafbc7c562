"""Saving lines, and telling and booking what follows: everything that changes a line ends here."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import itemgetter

from perennial import catalog, currencies, customers, events, ledger
from perennial.base.db import Tx
from perennial.base.ids import AppId, CustomerId, LineId, told_id
from perennial.base.value import replace, value
from perennial.catalog.model import App, Product
from perennial.customers.model import Customer
from perennial.events.model import NewEvent
from perennial.subscriptions import db, ownership, proceeds, wire
from perennial.subscriptions.booking import book
from perennial.subscriptions.db import Place, Untold
from perennial.subscriptions.earning import earnings
from perennial.subscriptions.model import Line, Telling
from perennial.subscriptions.telling import tell


async def tell_and_save(
    tx: Tx,
    lines: Sequence[Line],
    before: Mapping[LineId, Line],
    *,
    quiet: bool = False,
    unseen: Collection[CustomerId] = (),
    at_last: Collection[LineId] = (),
) -> list[Line]:
    """Saves the lines that changed, with the events, ledger transfers and currency grants that follow. Returns all lines as they are then.

    `before` has the lines as they were loaded. `at_last` are lines that had no owner and have one now: their events, which waited, are told too.
    Events of lines without an owner wait. `quiet`: nobody is told. `unseen` are customers this transaction made.
    """
    booked = [(*book(line), tellings) for line, tellings in (tell(line, tx.now, quiet=quiet) for line in lines)]
    told = [(ownership.woken_in_time(line), tellings) for line, _, tellings in booked]
    changed = [line for line, _ in told if line != before.get(line.line_id) or line.line_id in at_last]
    if changed:
        untold = await _untold(tx, [line for line in changed if line.line_id in at_last], quiet=quiet)
        numbers = await _bump(tx, _counts(told, changed, untold), unseen)
        await db.save(tx, changed, dict(before))
        await _append(tx, [(telling, line) for line, tellings in told for telling in tellings], untold, numbers)
        await ledger.post(tx, [transfer for _, transfers, _ in booked for transfer in transfers])
        owned = [line for line in changed if line.unclaimed is None]
        await currencies.settle(tx, (earning for line in owned for earning in earnings(line)), quiet=quiet)
    return [line for line, _ in told]


async def wait_or_show(tx: Tx, lines: Sequence[Line]) -> tuple[list[Line], set[LineId]]:
    """Lines nobody has claimed wait as their apps say; those that have waited long enough are an anonymous customer's from now on, and are named."""
    apps = {line.app_id for line in lines if line.unclaimed is not None and line.app_id is not None}
    if not apps:
        return list(lines), set()
    tracking = await catalog.tracking_apps(tx, apps)
    waiting = [line if line.unclaimed is None else ownership.waiting(line, is_tracked=line.app_id in tracking) for line in lines]
    shown = {line.line_id: line.customer_id for line in waiting if ownership.has_waited(line, tx.now)}
    if shown:
        await customers.reveal(tx, sorted(shown.values()))
    return [replace(line, unclaimed=None) if line.line_id in shown else line for line in waiting], set(shown)


async def sellers(tx: Tx, lines: Sequence[Line]) -> dict[AppId | None, App]:
    """The apps whose terms with their stores are needed to estimate what stores keep of these lines' purchases."""
    app_ids = {line.app_id for line in lines if line.app_id is not None and proceeds.is_estimated(line.store)}
    return {app.app_id: app for app in await catalog.get_apps(tx, app_ids=sorted(app_ids))} if app_ids else {}


async def _untold(tx: Tx, lines: Sequence[Line], *, quiet: bool) -> list[tuple[Untold, Line]]:
    """What waited of lines that are somebody's now, but for what came with history as well."""
    by_id = {line.line_id: line for line in lines}
    waited = await db.take_untold(tx, [Place(customer_id=line.customer_id, line_id=line.line_id) for line in lines])
    quietly = {(line.line_id, held.purchase.transaction) for line in lines for held in line.held if quiet and held.told.quietly}
    return [(one, by_id[one.line_id]) for one in waited if (one.line_id, one.transaction) not in quietly]


async def _bump(tx: Tx, counts: Mapping[CustomerId, int], unseen: Collection[CustomerId]) -> dict[CustomerId, int]:
    """Numbers for what is told. Whom nobody has read of yet needs no new version."""
    read = {customer_id: count for customer_id, count in counts.items() if count or customer_id not in unseen}
    return await customers.bump(tx, read) if read else {}


def _counts(told: Sequence[tuple[Line, list[Telling]]], changed: Sequence[Line], untold: Sequence[tuple[Untold, Line]]) -> dict[CustomerId, int]:
    counts = dict.fromkeys((line.customer_id for line in changed), 0)
    for line, tellings in told:
        if tellings:
            counts[line.customer_id] += len(tellings)
    for _, line in untold:
        counts[line.customer_id] += 1
    return counts


async def _append(tx: Tx, tellings: Sequence[tuple[Telling, Line]], untold: Sequence[tuple[Untold, Line]], numbers: dict[CustomerId, int]) -> None:
    """Writes the events: numbered per customer, in the order things happened across all of a customer's lines. Of lines nobody claimed, they wait."""
    if not tellings and not untold:
        return
    every = [*(line for _, line in untold), *(line for _, line in tellings)]
    asked = [*((telling.held.purchase.product, line) for telling, line in tellings), *((one.product, line) for one, line in untold)]
    around = Around(
        people=await customers.load(tx, [line.customer_id for line in every]),
        products=await catalog.find_products(tx, [(line.app_id, product) for product, line in asked]),
        apps=await sellers(tx, [line for _, line in tellings]),
    )
    made: list[tuple[datetime, Line, Callable[[int], NewEvent]]] = [
        *((one.event.happened_at, line, partial(_told_at_last, tx, one, line, around)) for one, line in untold),
        *((telling.happened_at, line, partial(_event, tx, telling, line, around)) for telling, line in tellings),
    ]
    told: list[NewEvent] = []
    waiting: list[Untold] = []
    for _, line, make in sorted(made, key=itemgetter(0)):
        numbers[line.customer_id] += 1
        event = make(numbers[line.customer_id])
        if line.unclaimed is None:
            told.append(event)
        else:
            waiting.append(Untold(line_id=line.line_id, event=event))
    await events.append(tx, told)
    await db.keep_untold(tx, waiting)


@value
class Around:
    """What events are told with, beside their lines."""

    people: Mapping[CustomerId, Customer]
    products: Mapping[tuple[str | None, str], Product]  # by (app, store identifier)
    apps: Mapping[AppId | None, App]


def _event(tx: Tx, telling: Telling, line: Line, around: Around, sequence: int) -> NewEvent:
    event_id = told_id(tx.project_id, line.store, line.environment, line.store_line, telling.type, telling.key)
    body = wire.event_body(
        telling,
        line,
        around.people[line.customer_id],
        around.products.get((line.app_id, telling.held.purchase.product)),
        around.apps.get(line.app_id),
        event_id=event_id,
        sequence=sequence,
        now=tx.now,
    )
    return NewEvent(
        event_id=event_id,
        customer_id=line.customer_id,
        sequence=sequence,
        type=telling.type,
        app_id=line.app_id,
        environment=line.environment,
        happened_at=telling.happened_at,
        body=body,
    )


def _told_at_last(tx: Tx, one: Untold, line: Line, around: Around, sequence: int) -> NewEvent:
    """An event that waited, as it is told of the line's customer now. Its id is what it would have been."""
    product = around.products.get((line.app_id, one.product))
    body = wire.told_at_last(one.event.body, line, around.people[line.customer_id], product, sequence=sequence, now=tx.now)
    return replace(one.event, customer_id=line.customer_id, sequence=sequence, body=body)

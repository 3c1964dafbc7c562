"""The verbs of moving in: open an import, record its batches, and say what each did or would do.

Nothing here tells anybody anything: what moves in counts as told. Every batch is one transaction and merges like a store's word, so a batch that
came before, whole or in part, changes nothing. A dry run does the same and takes it back.
"""

import asyncio
import gc
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import structlog

from perennial import catalog, customers, intake, subscriptions
from perennial.base.db import Database, Tx
from perennial.base.errors import Invalid, PerennialError, Unavailable
from perennial.base.ids import CustomerId, LineId, ProjectId
from perennial.base.secrets import Vault, conceal
from perennial.base.time import EPOCH
from perennial.base.value import replace, value
from perennial.customers.model import Newcomer, why_refused
from perennial.imports import db, files, rules, tables
from perennial.imports.model import Batch, Finding, Import, Outcome, Place, Refused, Row, Shelf, Source, Told
from perennial.intake import Providers
from perennial.subscriptions import Said
from perennial.subscriptions.model import Line

log = structlog.get_logger("perennial.imports")

BATCH = 1_000  # rows in a transaction, or a few more: a customer is not cut in two
_LARGEST = 5_000  # rows, even of one customer
_AT_ONCE = 3  # one is read, or decided on, while others are written
_LOOKED_FOR_AFTER = 20_000  # new values: then garbage in cycles is looked for
_ATTEMPTS = 4  # of a batch whose database is busy
_MOST_PRODUCTS = 100_000
Key = tuple[str, str, str]  # of a line: store, environment, the store's own
_ORDER = {
    "export": ("rc_original_app_user_id", "store", "is_sandbox", "original_store_transaction_id", "start_time", "renewal_number"),
    "rows": ("app_user_id", "store", "is_sandbox", "original_transaction_id", "transaction_id"),
}


@value
class House:
    """What an import works with."""

    database: Database
    vault: Vault
    providers: Providers
    project_id: ProjectId


# Opening ----------------------------------------------------------------------------------------------------------------------


async def open_import(house: House, source: Source, name: str, fingerprint: str) -> Import:
    """The unfinished import of the very same, to be gone on with, or a new one."""
    async with house.database.transaction(house.project_id) as tx:
        return await db.unfinished(tx, fingerprint) or await db.begin(tx, source, name, fingerprint)


async def load_shelf(house: House, *, app_id: str | None = None, as_of: datetime | None = None) -> Shelf:
    """The project's apps, or the one that is meant, and all it sells."""
    async with house.database.transaction(house.project_id) as tx:
        apps = [await catalog.require_app(tx, app_id)] if app_id is not None else await catalog.get_apps(tx)
        products = await catalog.get_products(tx, limit=_MOST_PRODUCTS)
        return Shelf(
            apps=tuple(apps),
            products={(product.app_id, product.store_identifier): product for product in products},
            as_of=min(as_of, tx.now) if as_of is not None else tx.now,
        )


def sort_files(source: Source, paths: Sequence[Path], folder: Path) -> Iterator[int | files.Sorted]:
    """Reads the files, and puts their rows in order in `folder`. Yields how many are read, and the result at last."""
    needed, _ = tables.READERS[source]
    return files.sort(paths, needed, _ORDER[source], folder, newest="updated_at" if source == "export" else None)


def age_of(found: files.Sorted) -> datetime | None:
    """How old the source is, by the newest change it knows of."""
    with suppress(Invalid):
        return tables.moment({"updated_at": found.newest or ""}, "updated_at")
    return None


async def file_batches(source: Source, found: files.Sorted, shelf: Shelf, reached: str) -> AsyncIterator[Batch]:
    """The rows after the `reached`-th, whole customers at a time."""
    _, read = tables.READERS[source]
    skip, count, position = int(reached or 0), 0, 0
    rows: list[Row] = []
    refused = [Refused(place=place, reason=reason) for place, reason in found.broken] if not skip else []
    broken = len(refused)  # rows too, which are no rows to put in order
    customer = ""
    for place, cells in files.merged(found.runs):
        position += 1
        if position <= skip:
            continue
        if (count >= BATCH and cells.get(_ORDER[source][0]) != customer) or count >= _LARGEST:
            yield rules.batch_of(rows, shelf, refused, count=count + broken, reached=str(position - 1))
            rows, refused, count, broken = [], [], 0, 0
        customer = cells.get(_ORDER[source][0], "")
        count += 1
        try:
            rows.append(read(cells, place))
        except Invalid as error:
            refused.append(Refused(place=place, reason=error.message))
    if count or refused:
        yield rules.batch_of(rows, shelf, refused, count=count + broken, reached=str(position))


@contextmanager
def unhurried_collector() -> Iterator[None]:
    """Around an import that is all a process does: its values hold no cycles, and looking for some after every few hundred costs a fifth."""
    usual = gc.get_threshold()
    gc.set_threshold(_LOOKED_FOR_AFTER, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


# Recording --------------------------------------------------------------------------------------------------------------------


async def run(house: House, shelf: Shelf, batches: AsyncIterator[Batch], state: Import | None) -> AsyncIterator[tuple[Import | None, Outcome]]:
    """Records batch after batch, and yields how far it got and what each did. Without a `state` it is a dry run: everything is taken back.

    Raises `Unavailable` where the database or the other side does not answer: run it again, it goes on from there.
    """
    unknown: set[str] = set()
    pending: deque[tuple[Batch, asyncio.Task[Outcome]]] = deque()
    try:
        async for batch in batches:
            pending.append((batch, asyncio.create_task(_do(house, shelf, batch, of=state.import_id if state is not None else None))))
            if len(pending) == _AT_ONCE:
                state, outcome = await _done(house, state, *pending.popleft())
                yield state, _without_repeats(outcome, unknown)
        while pending:
            state, outcome = await _done(house, state, *pending.popleft())
            yield state, _without_repeats(outcome, unknown)
    finally:
        for _, task in pending:
            task.cancel()
            with suppress(asyncio.CancelledError, PerennialError):
                await task
    if state is not None:
        async with house.database.transaction(house.project_id) as tx:
            state = replace(state, finished_at=tx.now)
            await db.save(tx, state)
        yield state, Outcome(findings=(), rows=0, refused=0, customers=0, lines=0)


async def _done(house: House, state: Import | None, batch: Batch, task: "asyncio.Task[Outcome]") -> tuple[Import | None, Outcome]:
    outcome = await task
    if state is None:
        return None, outcome
    state = replace(
        state,
        reached=batch.reached,
        rows=state.rows + outcome.rows,
        refused=state.refused + outcome.refused,
        customers=state.customers + outcome.customers,
        lines=state.lines + outcome.lines,
        changed=state.changed + outcome.changed,
    )
    async with house.database.transaction(house.project_id) as tx:
        await db.save(tx, state)
        await db.forget_batch(tx, state.import_id, batch.reached)
    return state, outcome


def _without_repeats(outcome: Outcome, unknown: set[str]) -> Outcome:
    """A product the catalog does not know is named once."""
    findings = []
    for finding in outcome.findings:
        if finding.change != "unknown product" or finding.subject not in unknown:
            findings.append(finding)
        if finding.change == "unknown product":
            unknown.add(finding.subject)
    return replace(outcome, findings=tuple(findings))


class _TakenBackError(Exception):
    """Ends the transaction of a dry run."""


async def _do(house: House, shelf: Shelf, batch: Batch, *, of: str | None) -> Outcome:
    """`of`: the import it is a batch of; None in a dry run."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return await _in_transaction(house, shelf, batch, of=of)
        except Unavailable:
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(0.1 * attempt)
        except Exception as error:
            if not batch.part and batch.rows > 1:
                log.debug("a batch could not be imported; taking its lines one by one", exc_info=True)
                return await _one_by_one(house, shelf, batch, of=of)
            places = [one.place for one in batch.told] or [Place(name="customer", line=0)]
            finding = Finding(change="refused", subject=str(places[0]), detail=_reason(error), place=places[0])
            return Outcome(findings=(finding,), rows=batch.rows, refused=batch.rows, customers=0, lines=0)
    raise AssertionError("the last attempt returns or raises")


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, PerennialError) else conceal(f"it cannot be recorded: {error!r}")[:500]


async def _one_by_one(house: House, shelf: Shelf, batch: Batch, *, of: str | None) -> Outcome:
    people = {person.app_user_id: person for person in batch.people}
    parts = [
        replace(batch, people=(people[one.app_user_id],), told=(one,), refused=(), suspicious=(), readings=(), rows=one.rows, part=str(number))
        for number, one in enumerate(batch.told, start=1)
    ]
    parts.append(replace(batch, people=(), told=(), rows=batch.rows - sum(one.rows for one in batch.told), part="rest"))
    outcomes = [await _do(house, shelf, part, of=of) for part in parts]
    return Outcome(
        findings=tuple(finding for outcome in outcomes for finding in outcome.findings),
        rows=sum(outcome.rows for outcome in outcomes),
        refused=sum(outcome.refused for outcome in outcomes),
        customers=sum(outcome.customers for outcome in outcomes),
        lines=sum(outcome.lines for outcome in outcomes),
        changed=sum(outcome.changed for outcome in outcomes),
    )


async def _in_transaction(house: House, shelf: Shelf, batch: Batch, *, of: str | None) -> Outcome:
    outcome: Outcome | None = None
    with suppress(_TakenBackError):
        async with house.database.transaction(house.project_id) as tx:
            outcome = await _record(tx, house, shelf, batch, is_dry_run=of is None)
            if of is None:
                raise _TakenBackError
            outcome = await db.keep_batch(tx, of, batch, outcome)
    assert outcome is not None
    return outcome


async def _record(tx: Tx, house: House, shelf: Shelf, batch: Batch, *, is_dry_run: bool) -> Outcome:
    before = await subscriptions.find_by_keys(tx, [one.key for one in batch.told])
    owned = await _owned(tx, batch) if is_dry_run else {}
    arrivals = await customers.bring_in(tx, _newcomers(batch))
    doubles = await _join_doubles(tx, arrivals.doubles)
    said = _said(batch.told, before)
    line_ids = await subscriptions.record(tx, said, quiet=True, arrivals=None if arrivals.doubles else arrivals)
    findings = [
        *(Finding(change="refused", subject=str(one.place), detail=one.reason, place=one.place) for one in batch.refused),
        *batch.suspicious,
        *doubles,
        *_refused_names(batch.told),
        *_unknown_products(batch.told, shelf),
    ]
    if is_dry_run:
        findings += [Finding(change="new customer", subject=one) for one in arrivals.new]
        findings += await _differences(tx, shelf, batch, before, owned)
    else:
        await _follow(tx, house, batch, dict(zip([one.key for one in said], line_ids, strict=True)))
    return Outcome(
        findings=tuple(findings),
        rows=batch.rows,
        refused=sum(one.rows for one in batch.refused),
        customers=len(arrivals.new),
        lines=len({one.key for one in said} - before.keys()),
        changed=await _changed(tx, before),
    )


async def _changed(tx: Tx, before: dict[Key, Line]) -> int:
    """How many of the lines that were known are different now. Where all are new, as in a first import, nobody is asked."""
    if not before:
        return 0
    after = await subscriptions.find_by_keys(tx, list(before))
    return sum(after.get(key) != line for key, line in before.items())


def _refused_names(told: Sequence[Told]) -> list[Finding]:
    """Purchases that moved in as an anonymous customer's, each name once."""
    places = {one.refused_name: one.place for one in reversed(told) if one.refused_name is not None}
    return [Finding(change="refused name", subject=name, detail=why_refused(name), place=place) for name, place in sorted(places.items())]


def _newcomers(batch: Batch) -> list[Newcomer]:
    bought: dict[str, datetime] = {}
    for one in batch.told:
        newest = max(purchase.purchased_at for purchase in one.statement.purchases)
        bought[one.app_user_id] = max(newest, bought.get(one.app_user_id, newest))
    return [
        Newcomer(
            app_user_id=person.app_user_id,
            aliases=person.aliases,
            first_seen_at=person.first_seen_at,
            country=person.country,
            attributes=person.attributes,
            bought_at=bought.get(person.app_user_id, EPOCH),
        )
        for person in batch.people
    ]


def _said(told: Sequence[Told], known: dict[Key, Line]) -> list[Said]:
    """One for each place a purchase was presented, as that is said of a whole statement; and one for the rest."""
    said: list[Said] = []
    for one in told:
        statement = rules.news(one.statement, known.get(one.key))
        apart = rules.by_offering(statement, one.offerings)
        said += [Said(app_id=one.app_id, statement=part, presented_offering=offering, refused_name=one.refused_name) for offering, part in apart]
    return said


async def _join_doubles(tx: Tx, doubles: Sequence[tuple[CustomerId, CustomerId]]) -> list[Finding]:
    """Two customers whom the other system knows as one are joined where one of them has no name; else they stay, and are reported."""
    left: list[Finding] = []
    for one, other in doubles:
        people = await customers.load(tx, [one, other])
        if not (people[one].aliases and people[other].aliases):
            continue  # joined a moment ago
        nameless = next((customer_id for customer_id in (other, one) if people[customer_id].is_anonymous), None)
        if nameless is None:
            left.append(Finding(change="two customers", subject=people[one].app_user_id, detail=people[other].app_user_id))
        else:
            await subscriptions.join(tx, nameless, one if nameless == other else other)
    return left


def _unknown_products(told: Sequence[Told], shelf: Shelf) -> list[Finding]:
    sold = {(one.app_id, purchase.product): one for one in told for purchase in one.statement.purchases if one.app_id is not None}
    return [
        Finding(
            change="unknown product", subject=f"{one.statement.store} {pair[1]}", detail="it gives nothing until the catalog has it", place=one.place
        )
        for pair, one in sold.items()
        if pair not in shelf.products
    ]


async def _follow(tx: Tx, house: House, batch: Batch, line_ids: dict[Key, LineId]) -> None:
    """Asks the stores of what ended just now, where the source may be older than the truth, and what receipts left open."""
    open_lines = [
        line_ids[key]
        for one in batch.told
        if one.is_open and (end := one.statement.purchases[-1].expires_at) is not None and end <= tx.now
        for key in [one.key]
    ]
    if open_lines:
        lines = await subscriptions.load_by_ids(tx, open_lines)
        await intake.ask_about(tx, house.vault, house.providers, list(lines.values()))
    if batch.readings:
        apps = await intake.store_apps(tx, house.vault, sorted({app_id for app_id, _ in batch.readings}))
        await intake.follow(tx, house.providers, apps, batch.readings)


# What it changes --------------------------------------------------------------------------------------------------------------


async def _owned(tx: Tx, batch: Batch) -> dict[str, list[Line]]:
    """What the batch's people hold, by the id they come with."""
    found = await customers.find(tx, [name for person in batch.people for name in (person.app_user_id, *person.aliases)])
    whose = {person.app_user_id: found[name] for person in batch.people for name in (person.app_user_id, *person.aliases) if name in found}
    lines = await subscriptions.load_of_customers(tx, whose.values())
    return {name: [line for line in lines if line.customer_id == customer_id] for name, customer_id in whose.items()}


async def _differences(tx: Tx, shelf: Shelf, batch: Batch, before: dict[Key, Line], owned: dict[str, list[Line]]) -> list[Finding]:
    keys = {one.key: one.place for one in batch.told}
    after = await subscriptions.find_by_keys(tx, list(keys))
    owned_after = await _owned(tx, batch)
    findings = [finding for key, place in keys.items() if key in after for finding in rules.line_changes(before.get(key), after[key], place)]
    for person in batch.people:
        name = person.app_user_id
        findings += rules.access_changes(name, owned.get(name, []), owned_after.get(name, []), shelf.products, tx.now)
    return findings

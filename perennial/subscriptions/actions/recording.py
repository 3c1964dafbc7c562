"""What stores say, and what time alone makes true."""

from collections.abc import Collection, Mapping, Sequence

from perennial import customers
from perennial.base.db import Tx
from perennial.base.ids import CustomerId, LineId
from perennial.base.text import storable
from perennial.base.value import replace
from perennial.customers.model import Arrivals
from perennial.subscriptions import db, rules
from perennial.subscriptions.actions.claims import find_claims, nameless, settle_owners
from perennial.subscriptions.actions.places import find_or_make_places
from perennial.subscriptions.actions.saving import tell_and_save, wait_or_show
from perennial.subscriptions.actions.statements import Said
from perennial.subscriptions.db import Key, Place
from perennial.subscriptions.model import Held, Line, Unclaimed

LONGEST_REFUSED_NAME = 500  # characters kept of a buyer's name that can be no customer's


async def record(tx: Tx, said: Sequence[Said], *, quiet: bool = False, arrivals: Arrivals | None = None) -> list[LineId]:
    """Merges statements into what we know, tells what follows, and returns the lines, one per statement.

    Any statement may come twice, late or out of order. Raises `ReceiptInUse` where a buyer may not have what they restore. `quiet` is for
    history that moves in: what it brings counts as told and nobody is told of it, and it takes nothing from whom it has an owner. `arrivals` are
    the buyers the statements name, where they were brought in by this very transaction: they need not be looked for again.
    """
    if not said:
        return []
    await db.hold(tx, [key for one in said for key in one.keys])
    claims = await find_claims(tx, said, arrivals)
    found = await find_or_make_places(tx, said, claims.customer_ids, claims.refused)
    places, claimed = await settle_owners(tx, said, found.places, claims.customer_ids, quiet=quiet)
    claimed |= found.claimed
    await customers.lock(tx, sorted({place.customer_id for place in places.values()} - _unseen(arrivals)))
    before = await db.load(tx, {place for place in places.values() if place.line_id in found.known})
    unnamed = await nameless(tx, [places[key].customer_id for key in claims.refused])
    after: dict[LineId, Line] = {}
    for one in said:
        place = places[one.key]
        line = after.get(place.line_id) or before.get(place.line_id) or _new_line(one, place, tx, is_unclaimed=place in found.unclaimed)
        line = replace(line, unclaimed=None) if place.line_id in claimed else line
        line = _with_offering(rules.merge(line, one.statement, tx.now), one, is_untold=place.line_id in claimed)
        line = _with_refused_name(line, one, claims.refused if place.customer_id in unnamed else {})
        after[place.line_id] = replace(line, store_user=one.store_user) if one.store_user else line
    if quiet and claimed:
        after = {line_id: _told_quietly(line, said) if line_id in claimed else line for line_id, line in after.items()}
    lines, shown = await wait_or_show(tx, list(after.values()))
    await tell_and_save(tx, lines, before, quiet=quiet, unseen=_unseen(arrivals), at_last=claimed | shown)
    return [places[one.key].line_id for one in said]


async def due(tx: Tx, limit: int) -> list[Line]:
    """Lines whose time has come, held. Those of customers whom somebody else holds are left to them."""
    places = await db.due(tx, limit)
    free = await customers.lock_free(tx, [place.customer_id for place in places])
    loaded = await db.load(tx, [place for place in places if place.customer_id in free])
    return [line for line in loaded.values() if line.wake_at is not None and line.wake_at <= tx.now]


async def wake(tx: Tx, lines: Sequence[Line], *, being_asked: Collection[LineId]) -> list[Line]:
    """Tells what time alone has made true of lines that are `due`. Returns those still waiting for their store: ask it.

    Where silence would mean the end, it must be the store's: one that is first looked at so late (after an outage of ours), or whose question is
    open and about to be asked, is given time once more.
    """
    before = {line.line_id: line for line in lines}
    patient = [
        replace(line, wake_at=again)
        for line in lines
        if (again := rules.give_time_to_answer(line, tx.now, is_being_asked=line.line_id in being_asked)) is not None
    ]
    patient_ids = {line.line_id for line in patient}
    others, shown = await wait_or_show(tx, [line for line in lines if line.line_id not in patient_ids])
    woken = [*await tell_and_save(tx, others, before, at_last=shown), *patient]
    if patient:
        await db.save(tx, patient, before)
    return [line for line in woken if (at := rules.ask_at(line)) is not None and at <= tx.now]


async def forget_person(tx: Tx, customer_ids: Sequence[CustomerId]) -> None:
    """What the project's own system noted about what someone bought. The purchases stay."""
    await db.forget_words(tx, customer_ids)


def _unseen(arrivals: Arrivals | None) -> set[CustomerId]:
    """Whom this transaction made: nobody else can have read of them, or hold them."""
    return {arrivals.customer_ids[name] for name in arrivals.new} if arrivals is not None else set()


def _told_quietly(line: Line, said: Sequence[Said]) -> Line:
    """A line that history brings an owner: what the history knows of it counts as told by whoever it comes from."""
    stated = {purchase.transaction for one in said for purchase in one.statement.purchases}
    marked = [
        replace(held, told=replace(held.told, purchased=True, quietly=True)) if held.purchase.transaction in stated else held for held in line.held
    ]
    return replace(line, held=tuple(marked))


def _new_line(one: Said, place: Place, tx: Tx, *, is_unclaimed: bool) -> Line:
    statement = one.statement
    return Line(
        line_id=place.line_id,
        customer_id=place.customer_id,
        app_id=one.app_id,
        store=statement.store,
        environment=statement.environment,
        store_line=statement.line,
        heard_at=tx.now,
        unclaimed=Unclaimed(since=tx.now) if is_unclaimed else None,
    )


def _with_refused_name(line: Line, one: Said, refused: Mapping[Key, str]) -> Line:
    """Remembers a buyer's name that can be no customer's, until the project's backend gives a better one."""
    if one.key in refused:
        return replace(line, refused_name=storable(refused[one.key][:LONGEST_REFUSED_NAME]))
    return replace(line, refused_name=None) if one.statement.app_user_id is not None and line.refused_name is not None else line


def _with_offering(line: Line, one: Said, *, is_untold: bool) -> Line:
    """Remembers where the newest purchase of a statement was presented, once. `is_untold`: nothing of the line was told before."""
    if one.presented_offering is None:
        return line
    stated = {purchase.transaction for purchase in one.statement.purchases}

    def presented(held: Held) -> Held:
        is_new = held.purchase.transaction in stated and held.presented_offering is None and (is_untold or not held.told.purchased)
        return replace(held, presented_offering=one.presented_offering) if is_new else held

    return replace(line, held=tuple(presented(held) for held in line.held))

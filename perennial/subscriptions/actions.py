"""The verbs: record what stores say, tell what follows, join and transfer what customers hold."""

from collections.abc import Mapping, Sequence

from perennial import catalog, customers, events
from perennial.base.db import Tx
from perennial.base.errors import Conflict
from perennial.base.ids import AppId, CustomerId, LineId, anonymous_app_user_id, told_id
from perennial.base.value import replace, value
from perennial.catalog.model import RestoreBehavior
from perennial.customers.model import is_anonymous
from perennial.events.model import NewEvent
from perennial.subscriptions import db, ownership, rules, wire
from perennial.subscriptions.db import Key, Place
from perennial.subscriptions.model import Held, Line, Statement, Telling
from perennial.subscriptions.telling import tell


class ReceiptInUse(Conflict):
    """The purchase belongs to another customer, and the project's restore behavior says it stays there."""

    def __init__(self) -> None:
        super().__init__("this purchase belongs to another app user id, and this project does not let it move", code=7102)


@value
class Said:
    """A statement as it reached us: of which app, from whom, and where the app presented what was bought."""

    app_id: AppId
    statement: Statement
    buyer: CustomerId | None = None  # who posted it; None for a store's notification
    is_restore: bool = False
    presented_offering: str | None = None

    @property
    def key(self) -> Key:
        return (self.statement.store, self.statement.environment, self.statement.line)


async def record(tx: Tx, said: Sequence[Said]) -> list[LineId]:
    """Merges statements into what we know, tells what follows, and returns the lines, one per statement.

    Any statement may come twice, late or out of order. Raises `ReceiptInUse` where a buyer may not have what they restore.
    """
    if not said:
        return []
    await db.hold(tx, [one.key for one in said])
    places = await _places(tx, said)
    places = await _settle_owners(tx, said, places)
    await customers.lock(tx, [place.customer_id for place in places.values()])
    before = await db.load(tx, places.values())
    after: dict[LineId, Line] = {}
    for one in said:
        place = places[one.key]
        line = after.get(place.line_id) or before.get(place.line_id) or _new_line(one, place, tx)
        after[place.line_id] = _with_offering(rules.merge(line, one.statement, tx.now), one)
    await _tell_and_save(tx, list(after.values()), before)
    return [places[one.key].line_id for one in said]


async def wake(tx: Tx, limit: int) -> tuple[int, list[Line]]:
    """Tells what time alone has made true of lines that are due. Returns how many, and those still waiting for their store: ask it."""
    due = await db.due(tx, limit)
    free = await customers.lock_free(tx, [place.customer_id for place in due])
    loaded = await db.load(tx, [place for place in due if place.customer_id in free])
    before = {line_id: line for line_id, line in loaded.items() if line.wake_at is not None and line.wake_at <= tx.now}
    woken = await _tell_and_save(tx, list(before.values()), before)
    return len(woken), [line for line in woken if (at := rules.ask_at(line)) is not None and at <= tx.now]


async def find(tx: Tx, keys: Sequence[Key]) -> list[Line]:
    """The lines stores know by these keys, with everything they hold."""
    places = await db.find_places(tx, keys)
    return list((await db.load(tx, places.values())).values())


async def identify(tx: Tx, current_id: str, new_id: str) -> tuple[CustomerId, bool]:
    """Logs in: the customer behind `new_id` from now on, and whether that id was new to us."""
    found = await customers.find(tx, [current_id, new_id])
    await customers.lock(tx, list(found.values()))
    people = await customers.load(tx, list(found.values()))
    current = people[found[current_id]] if current_id in found else None
    target = people[found[new_id]] if new_id in found else None
    match customers.identification(current, current_id, target):
        case "alias":
            assert current is not None
            if await customers.add_alias(tx, new_id, current.customer_id):
                await customers.bump(tx, {current.customer_id: 0})
                return current.customer_id, True
        case "merge":
            assert current is not None and target is not None
            await join(tx, current.customer_id, target.customer_id)
        case "switch":
            pass
    ids, new = await customers.ensure(tx, [new_id])
    return ids[new_id], new_id in new


async def join(tx: Tx, source: CustomerId, target: CustomerId) -> None:
    """Two customers turn out to be one: everything of `source` is `target`'s from now on."""
    await customers.lock(tx, [source, target])
    await customers.join(tx, source, target)
    await db.move(tx, source, target)
    await customers.bump(tx, {source: 0, target: 0})


async def transfer(tx: Tx, source: CustomerId, target: CustomerId, line: Key, app_id: AppId) -> None:
    """Moves what `source` bought in an app to `target`, and tells it once."""
    await customers.lock(tx, [source, target])
    moved = await db.move(tx, source, target, app_id=app_id)
    people = await customers.load(tx, [source, target])
    numbers = await customers.bump(tx, {source: 0, target: 1})
    sequence = numbers[target] + 1
    event_id = told_id(tx.project_id, "TRANSFER", source, target, *sorted(moved), str(people[target].version))
    store, environment, _ = line
    body = wire.transfer_body(
        app_id, store, environment, source=people[source], target=people[target], event_id=event_id, sequence=sequence, now=tx.now
    )
    await events.append(
        tx,
        [
            NewEvent(
                event_id=event_id,
                customer_id=target,
                sequence=sequence,
                type="TRANSFER",
                app_id=app_id,
                environment=environment,
                happened_at=tx.now,
                body=body,
            )
        ],
    )


# Whose line it is -------------------------------------------------------------------------------------------------------------


async def _places(tx: Tx, said: Sequence[Said]) -> dict[Key, Place]:
    """Where each line is kept; a new one is given to its buyer, to whom the app's hint names, or to a new anonymous customer."""
    known = await db.find_places(tx, [one.key for one in said])
    missing = {one.key: one for one in said if one.key not in known}
    if not missing:
        return known
    owners = await _first_owners(tx, missing)
    new = {key: Place(customer_id=owners[key], line_id=LineId(tx.new_id("sub"))) for key in missing}
    await db.insert_places(tx, new)
    return known | new


async def _first_owners(tx: Tx, missing: Mapping[Key, Said]) -> dict[Key, CustomerId]:
    hints = await _hinted(tx, list(missing.values()))
    nobodys = {key: anonymous_app_user_id(f"{tx.project_id}|{'|'.join(key)}") for key, one in missing.items() if not (one.buyer or key in hints)}
    anonymous, _ = await customers.ensure(tx, list(nobodys.values())) if nobodys else ({}, set())
    return {key: one.buyer or hints.get(key) or anonymous[nobodys[key]] for key, one in missing.items()}


async def _hinted(tx: Tx, said: Sequence[Said]) -> dict[Key, CustomerId]:
    """Customers whose app user id is the token the app attached at the purchase, in either spelling of a UUID."""
    hints = {one.key: one.statement.customer_hint for one in said if one.statement.customer_hint}
    if not hints:
        return {}
    found = await customers.find(tx, [spelling for hint in hints.values() for spelling in (hint, hint.upper())])
    return {key: found.get(hint) or found[hint.upper()] for key, hint in hints.items() if hint in found or hint.upper() in found}


async def _settle_owners(tx: Tx, said: Sequence[Said], places: dict[Key, Place]) -> dict[Key, Place]:
    """Applies the restore behavior where somebody else than the owner comes with a purchase."""
    hints = await _hinted(tx, [one for one in said if one.buyer is None and any(not bought.is_renewal for bought in one.statement.purchases)])
    claims = {one.key: (one, claimant) for one in said if (claimant := one.buyer or hints.get(one.key)) and claimant != places[one.key].customer_id}
    for key, (one, claimant) in claims.items():
        owner = places[key].customer_id
        if owner != claimant and await _settle(tx, one, owner, claimant):
            places = await db.find_places(tx, places)  # one settlement may move more lines than the one claimed
    return places


async def _settle(tx: Tx, one: Said, owner: CustomerId, claimant: CustomerId) -> bool:
    """True where the line changed hands."""
    await customers.lock(tx, [owner, claimant])
    people = await customers.load(tx, [owner, claimant])
    behavior: RestoreBehavior = (await catalog.require_project(tx)).restore_behavior
    held = await db.load_of_customers(tx, [owner])
    match ownership.settle(
        behavior,
        owner_is_anonymous=all(is_anonymous(alias) for alias in people[owner].aliases),
        owner_is_active=any(line.held and line.held[-1].purchase.kind == "subscription" and rules.is_entitled(line, tx.now) for line in held),
        is_restore=one.is_restore,
        is_known_to_claimant=one.buyer is None,
    ):
        case "join":
            await join(tx, owner, claimant)
            return True
        case "transfer":
            await transfer(tx, owner, claimant, one.key, one.app_id)
            return True
        case "refuse":
            raise ReceiptInUse
        case "stay":
            return False


def _new_line(one: Said, place: Place, tx: Tx) -> Line:
    statement = one.statement
    return Line(
        line_id=place.line_id,
        customer_id=place.customer_id,
        app_id=one.app_id,
        store=statement.store,
        environment=statement.environment,
        store_line=statement.line,
        heard_at=tx.now,
    )


def _with_offering(line: Line, one: Said) -> Line:
    """Remembers where the newest purchase of a statement was presented, once."""
    if one.presented_offering is None:
        return line
    stated = {purchase.transaction for purchase in one.statement.purchases}

    def presented(held: Held) -> Held:
        is_new = held.purchase.transaction in stated and held.presented_offering is None and not held.told.purchased
        return replace(held, presented_offering=one.presented_offering) if is_new else held

    return replace(line, held=tuple(presented(held) for held in line.held))


# Telling ----------------------------------------------------------------------------------------------------------------------


async def _tell_and_save(tx: Tx, lines: Sequence[Line], before: Mapping[LineId, Line]) -> list[Line]:
    told = [tell(line, tx.now) for line in lines]
    changed = [line for line, _ in told if line != before.get(line.line_id)]
    if changed:
        numbers = await customers.bump(tx, _counts(told, changed))
        await db.save(tx, changed, dict(before))
        await _append(tx, [(telling, line) for line, tellings in told for telling in tellings], numbers)
    return [line for line, _ in told]


def _counts(told: Sequence[tuple[Line, list[Telling]]], changed: Sequence[Line]) -> dict[CustomerId, int]:
    counts = dict.fromkeys((line.customer_id for line in changed), 0)
    for line, tellings in told:
        if tellings:
            counts[line.customer_id] += len(tellings)
    return counts


async def _append(tx: Tx, tellings: Sequence[tuple[Telling, Line]], numbers: dict[CustomerId, int]) -> None:
    """Writes the events: numbered per customer, in the order things happened across all of a customer's lines."""
    if not tellings:
        return
    people = await customers.load(tx, [line.customer_id for _, line in tellings])
    products = await catalog.find_products(tx, [(line.app_id, telling.held.purchase.product) for telling, line in tellings])
    new = []
    for telling, line in sorted(tellings, key=lambda pair: pair[0].happened_at):
        numbers[line.customer_id] += 1
        event_id = told_id(tx.project_id, line.store, line.environment, line.store_line, telling.type, telling.key)
        body = wire.event_body(
            telling,
            line,
            people[line.customer_id],
            products.get((line.app_id, telling.held.purchase.product)),
            event_id=event_id,
            sequence=numbers[line.customer_id],
            now=tx.now,
        )
        new.append(
            NewEvent(
                event_id=event_id,
                customer_id=line.customer_id,
                sequence=numbers[line.customer_id],
                type=telling.type,
                app_id=line.app_id,
                environment=line.environment,
                happened_at=telling.happened_at,
                body=body,
            )
        )
    await events.append(tx, new)

"""The verbs: record what stores say, tell what follows, join and transfer what customers hold."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from perennial import catalog, currencies, customers, events, ledger
from perennial.base.db import Tx
from perennial.base.errors import Conflict
from perennial.base.ids import AppId, CustomerId, LineId, anonymous_app_user_id, told_id
from perennial.base.time import EPOCH, Duration
from perennial.base.value import replace, value
from perennial.catalog.model import App, RestoreBehavior
from perennial.customers.model import Arrivals, is_anonymous, is_sha256
from perennial.events.model import NewEvent
from perennial.subscriptions import db, grants, ownership, proceeds, rules, wire
from perennial.subscriptions.booking import book
from perennial.subscriptions.db import Key, Place
from perennial.subscriptions.earning import earnings
from perennial.subscriptions.model import Held, Line, Statement, Telling
from perennial.subscriptions.telling import tell


class ReceiptInUse(Conflict):
    """The purchase belongs to another customer, and the project's restore behavior says it stays there."""

    def __init__(self) -> None:
        super().__init__("this purchase belongs to another app user id, and this project does not let it move", code=7102)


@value
class Said:
    """A statement as it reached us: of which app, from whom, and where the app presented what was bought."""

    app_id: AppId | None  # None for what was granted by hand
    statement: Statement
    buyer: CustomerId | None = None  # who posted it; None for a store's notification
    is_restore: bool = False
    presented_offering: str | None = None
    store_user: bytes | None = None  # sealed

    @property
    def key(self) -> Key:
        return (self.statement.store, self.statement.environment, self.statement.line)

    @property
    def keys(self) -> list[Key]:
        """All the store's keys for this line that the statement knows of, its own first."""
        return [self.key, *((self.statement.store, self.statement.environment, also) for also in self.statement.also)]


async def record(tx: Tx, said: Sequence[Said], *, quiet: bool = False, arrivals: Arrivals | None = None) -> list[LineId]:
    """Merges statements into what we know, tells what follows, and returns the lines, one per statement.

    Any statement may come twice, late or out of order. Raises `ReceiptInUse` where a buyer may not have what they restore. `quiet` is for
    history that moves in: what it brings counts as told and nobody is told of it, and it takes nothing from whom it has an owner. `arrivals` are
    the buyers the statements name, where they were brought in by this very transaction: they need not be looked for again.
    """
    if not said:
        return []
    await db.hold(tx, [key for one in said for key in one.keys])
    claimed = await _claimed(tx, said, arrivals)
    places, known = await _places(tx, said, claimed)
    places = await _settle_owners(tx, said, places, claimed, quiet=quiet)
    await customers.lock(tx, sorted({place.customer_id for place in places.values()} - _unseen(arrivals)))
    before = await db.load(tx, {place for place in places.values() if place.line_id in known})
    after: dict[LineId, Line] = {}
    for one in said:
        place = places[one.key]
        line = after.get(place.line_id) or before.get(place.line_id) or _new_line(one, place, tx)
        line = _with_offering(rules.merge(line, one.statement, tx.now), one)
        after[place.line_id] = replace(line, store_user=one.store_user) if one.store_user else line
    await _tell_and_save(tx, list(after.values()), before, quiet=quiet, unseen=_unseen(arrivals))
    return [places[one.key].line_id for one in said]


def _unseen(arrivals: Arrivals | None) -> set[CustomerId]:
    """Whom this transaction made: nobody else can have read of them, or hold them."""
    return {arrivals.customer_ids[name] for name in arrivals.new} if arrivals is not None else set()


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
    woken = [*await _tell_and_save(tx, [line for line in lines if line.line_id not in patient_ids], before), *patient]
    if patient:
        await db.save(tx, patient, before)
    return [line for line in woken if (at := rules.ask_at(line)) is not None and at <= tx.now]


async def find(tx: Tx, keys: Sequence[Key]) -> list[Line]:
    """The lines stores know by these keys, with everything they hold."""
    places = await db.find_places(tx, keys)
    return list((await db.load(tx, places.values())).values())


async def find_by_keys(tx: Tx, keys: Sequence[Key]) -> dict[Key, Line]:
    """Likewise, by each key that is known: a line may have several."""
    places = await db.find_places(tx, keys)
    lines = await db.load(tx, places.values())
    return {key: lines[place.line_id] for key, place in places.items()}


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
    await currencies.join(tx, source, target)
    await customers.bump(tx, {source: 0, target: 0})


async def transfer(tx: Tx, source: CustomerId, target: CustomerId, *, app_ids: Sequence[AppId] | None = None) -> None:
    """Moves what `source` holds to `target`, or what they bought in some apps, and tells it once for each store it was bought in."""
    await customers.lock(tx, [source, target])
    held = {line.line_id: line for line in await db.load_of_customers(tx, [source])}
    moved = [held[line_id] for line_id in await db.move(tx, source, target, app_ids=app_ids)]
    shops = sorted({(line.app_id, line.store, line.environment) for line in moved}, key=str)
    people = await customers.load(tx, [source, target])
    numbers = await customers.bump(tx, {source: 0, target: len(shops)})
    new = []
    for sequence, (app_id, store, environment) in enumerate(shops, numbers[target] + 1):
        lines = sorted(line.line_id for line in moved if (line.app_id, line.store, line.environment) == (app_id, store, environment))
        event_id = told_id(tx.project_id, "TRANSFER", source, target, *lines, str(people[target].version))
        body = wire.transfer_body(
            app_id, store, environment, source=people[source], target=people[target], event_id=event_id, sequence=sequence, now=tx.now
        )
        new.append(
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
        )
    await events.append(tx, new)


async def grant(tx: Tx, customer_id: CustomerId, lookup_key: str, *, until: datetime, preset: str | None = None, is_only: bool = False) -> None:
    """Gives a customer an entitlement by hand, beside whatever stores sell. One that would end when a running one does is that one.

    `preset` only names the grant. With `is_only` nothing is granted beside a running grant of the entitlement.
    """
    await customers.lock(tx, [customer_id])
    running = grants.active_grants(await db.load_of_customers(tx, [customer_id]), lookup_key, tx.now)
    if (is_only and running) or any(grants.is_the_same(line, until) for line in running):
        return
    statement = grants.new_grant(tx.new_id("grant"), catalog.grant_name(lookup_key, preset), until, tx.now)
    await record(tx, [Said(app_id=None, statement=statement, buyer=customer_id)])


async def grant_more(tx: Tx, customer_id: CustomerId, lookup_key: str, lasts: Duration, *, grant_id: str) -> datetime:
    """Gives a customer an entitlement for a while longer, and returns until when: from now, or from the end of what was given so before.

    The same `grant_id` again is the same grant. It stands beside what was granted by hand otherwise, however near their ends are.
    """
    await customers.lock(tx, [customer_id])
    running = grants.active_grants(await db.load_of_customers(tx, [customer_id]), lookup_key, tx.now)
    until = grants.lengthened(running, grant_id.partition("_")[0], lasts, tx.now)
    statement = grants.new_grant(grant_id, catalog.grant_name(lookup_key, None), until, tx.now)
    await record(tx, [Said(app_id=None, statement=statement, buyer=customer_id)])
    return until


async def revoke_grants(tx: Tx, customer_id: CustomerId, lookup_key: str) -> None:
    """Takes back every running grant of an entitlement, now. What stores sold stays."""
    await customers.lock(tx, [customer_id])
    running = grants.active_grants(await db.load_of_customers(tx, [customer_id]), lookup_key, tx.now)
    await record(tx, [Said(app_id=None, statement=grants.revoked(line, tx.now)) for line in running])


async def forget_person(tx: Tx, customer_ids: Sequence[CustomerId]) -> None:
    """What the project's own system noted about what someone bought. The purchases stay."""
    await db.forget_words(tx, customer_ids)


# Whose line it is -------------------------------------------------------------------------------------------------------------


async def _places(tx: Tx, said: Sequence[Said], claimed: Mapping[Key, CustomerId]) -> tuple[dict[Key, Place], set[LineId]]:
    """Where each line is kept, and which of them we know; a new one is given to who claims it, or to a new anonymous customer.

    Keys that a statement names together are one line: new keys join a known one, and two known lines that turn out to be one become it.
    """
    known = await db.find_places(tx, [key for one in said for key in one.keys])
    families = _families(said)
    new = [family for family in families if not any(key in known for key in family.keys)]
    places = dict(known)
    if new:
        owners = await _first_owners(tx, new, claimed)
        for family in new:
            places[family.keys[0]] = Place(customer_id=owners[family.keys[0]], line_id=LineId(tx.new_id("sub")))
    for family in families:
        place = await _one_place(tx, [places[key] for key in family.keys if key in places])
        places |= dict.fromkeys(family.keys, place)
    if added := {key: place for key, place in places.items() if key not in known}:
        await db.insert_places(tx, added)
    return places, {place.line_id for place in known.values()}


@value
class Family:
    """Keys of one line, and who spoke of it."""

    keys: tuple[Key, ...]
    said: tuple[Said, ...]


def _families(said: Sequence[Said]) -> list[Family]:
    """Statements gathered by the lines they speak of, through any key they share."""
    families: dict[int, Family] = {}
    known: dict[Key, int] = {}
    for number, one in enumerate(said):
        touched = [families.pop(other) for other in sorted({known[key] for key in one.keys if key in known})]
        families[number] = Family(
            keys=tuple(dict.fromkeys(key for keys in (*(family.keys for family in touched), one.keys) for key in keys)),
            said=(*(other for family in touched for other in family.said), one),
        )
        known |= dict.fromkeys(families[number].keys, number)
    return list(families.values())


async def _one_place(tx: Tx, found: Sequence[Place]) -> Place:
    """The one line of a family, whose newest keys come first: the oldest line we know takes in what the others hold."""
    target, *others = sorted(set(found), key=lambda place: place.line_id)
    if others:
        people = sorted({place.customer_id for place in (target, *others)})
        await customers.lock(tx, people)
        for source in others:
            await db.join_lines(tx, source, target, source_is_newer=source == found[0])
        await customers.bump(tx, dict.fromkeys(people, 0))
    return target


async def _first_owners(tx: Tx, families: Sequence[Family], claimed: Mapping[Key, CustomerId]) -> dict[Key, CustomerId]:
    owners: dict[Key, CustomerId] = {}
    nobodys: dict[Key, str] = {}
    for family in families:
        named = [claimed[one.key] for one in family.said if one.key in claimed]
        if named:
            owners[family.keys[0]] = named[0]
        else:
            nobodys[family.keys[0]] = anonymous_app_user_id(f"{tx.project_id}|{'|'.join(family.keys[0])}")
    anonymous, _ = await customers.ensure(tx, list(nobodys.values())) if nobodys else ({}, set())
    return owners | {key: anonymous[nobody] for key, nobody in nobodys.items()}


async def _claimed(tx: Tx, said: Sequence[Said], arrivals: Arrivals | None) -> dict[Key, CustomerId]:
    """Who each line's statements say bought it: who posted it, whom the project's backend named, or whom the app's hint fits."""
    hinted = await _hinted(tx, [one for one in said if one.buyer is None and one.statement.app_user_id is None])
    ids = arrivals.customer_ids if arrivals is not None else await customers.ensure_named(tx, _named(said))
    claimed = dict(hinted)
    for one in said:
        if one.statement.app_user_id is not None:
            claimed[one.key] = ids[one.statement.app_user_id]
        if one.buyer is not None:
            claimed[one.key] = one.buyer
    return claimed


def _named(said: Sequence[Said]) -> dict[str, datetime]:
    """Whom the project's backend named as buyers, each with the newest thing they bought themselves."""
    named: dict[str, datetime] = {}
    for one in said:
        if one.statement.app_user_id is not None:
            bought = max((purchase.purchased_at for purchase in one.statement.purchases if not purchase.is_renewal), default=EPOCH)
            named[one.statement.app_user_id] = max(bought, named.get(one.statement.app_user_id, EPOCH))
    return named


async def _hinted(tx: Tx, said: Sequence[Said]) -> dict[Key, CustomerId]:
    """Customers whose app user id is the token the app attached at the purchase, in either spelling of a UUID, or hashed."""
    hints = {one.key: one.statement.customer_hint for one in said if one.statement.customer_hint}
    if not hints:
        return {}
    found = await customers.find(tx, [spelling for hint in hints.values() for spelling in (hint, hint.upper())])
    hashed = await customers.find_hashed(tx, [hint.lower() for hint in hints.values() if is_sha256(hint)])
    fitting = {key: found.get(hint) or found.get(hint.upper()) or hashed.get(hint.lower()) for key, hint in hints.items()}
    return {key: customer_id for key, customer_id in fitting.items() if customer_id is not None}


async def _settle_owners(
    tx: Tx, said: Sequence[Said], places: dict[Key, Place], claimed: Mapping[Key, CustomerId], *, quiet: bool
) -> dict[Key, Place]:
    """Applies the restore behavior where somebody else than the owner comes with a purchase."""
    claims = [(one, claimed[one.key]) for one in said if one.key in claimed and claimed[one.key] != places[one.key].customer_id]
    if not claims:
        return places
    lines = await db.load(tx, [places[one.key] for one, _ in claims])
    for one, claimant in claims:
        owner = places[one.key].customer_id
        is_claim = not quiet and (one.buyer is not None or _brings_news(lines.get(places[one.key].line_id), one.statement))
        if owner != claimant and await _settle(tx, one, owner, claimant, is_claim=is_claim):
            places = await db.find_places(tx, places)  # one settlement may move more lines than the one claimed
    return places


def _brings_news(line: Line | None, statement: Statement) -> bool:
    """Whether the customer bought something anew: a store that repeats who bought long ago claims nothing."""
    known = {held.purchase.transaction for held in line.held} if line else set()
    return any(not bought.is_renewal and bought.transaction not in known for bought in statement.purchases)


async def _settle(tx: Tx, one: Said, owner: CustomerId, claimant: CustomerId, *, is_claim: bool) -> bool:
    """True where the line changed hands. What is no claim can still give a name to what nobody owned."""
    await customers.lock(tx, [owner, claimant])
    people = await customers.load(tx, [owner, claimant])
    if one.buyer is None and people[owner].deleted_at is not None:
        return False  # a store's word brings back nobody who was deleted; only they can, by restoring
    owner_is_anonymous = all(is_anonymous(alias) for alias in people[owner].aliases)
    if not is_claim and not owner_is_anonymous:
        return False
    behavior: RestoreBehavior = (await catalog.require_project(tx)).restore_behavior
    held = await db.load_of_customers(tx, [owner])
    match ownership.settle(
        behavior,
        owner_is_anonymous=owner_is_anonymous,
        owner_is_active=any(line.held and line.held[-1].purchase.kind == "subscription" and rules.is_entitled(line, tx.now) for line in held),
        is_restore=one.is_restore,
        is_known_to_claimant=one.buyer is None,
    ):
        case "join":
            await join(tx, owner, claimant)
            return True
        case "transfer":
            assert one.app_id is not None, "what was granted by hand is claimed by nobody"
            await transfer(tx, owner, claimant, app_ids=[one.app_id])
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


async def _tell_and_save(
    tx: Tx, lines: Sequence[Line], before: Mapping[LineId, Line], *, quiet: bool = False, unseen: Collection[CustomerId] = ()
) -> list[Line]:
    booked = [(*book(line), tellings) for line, tellings in (tell(line, tx.now, quiet=quiet) for line in lines)]
    told = [(line, tellings) for line, _, tellings in booked]
    changed = [line for line, _ in told if line != before.get(line.line_id)]
    if changed:
        numbers = await _bump(tx, _counts(told, changed), unseen)
        await db.save(tx, changed, dict(before))
        await _append(tx, [(telling, line) for line, tellings in told for telling in tellings], numbers)
        await ledger.post(tx, [transfer for _, transfers, _ in booked for transfer in transfers])
        await currencies.settle(tx, (earning for line in changed for earning in earnings(line)), quiet=quiet)
    return [line for line, _ in told]


async def sellers(tx: Tx, lines: Sequence[Line]) -> dict[AppId | None, App]:
    """The apps whose terms with their stores are needed to estimate what stores keep of these lines' purchases."""
    app_ids = {line.app_id for line in lines if line.app_id is not None and proceeds.is_estimated(line.store)}
    return {app.app_id: app for app in await catalog.get_apps(tx, app_ids=sorted(app_ids))} if app_ids else {}


async def _bump(tx: Tx, counts: Mapping[CustomerId, int], unseen: Collection[CustomerId]) -> dict[CustomerId, int]:
    """Numbers for what is told. Whom nobody has read of yet needs no new version."""
    read = {customer_id: count for customer_id, count in counts.items() if count or customer_id not in unseen}
    return await customers.bump(tx, read) if read else {}


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
    apps = await sellers(tx, [line for _, line in tellings])
    new = []
    for telling, line in sorted(tellings, key=lambda pair: pair[0].happened_at):
        numbers[line.customer_id] += 1
        event_id = told_id(tx.project_id, line.store, line.environment, line.store_line, telling.type, telling.key)
        body = wire.event_body(
            telling,
            line,
            people[line.customer_id],
            products.get((line.app_id, telling.held.purchase.product)),
            apps.get(line.app_id),
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

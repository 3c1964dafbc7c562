"""The verbs: record what stores say, tell what follows, join and transfer what customers hold."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any

import msgspec

from perennial import catalog, currencies, customers, events, ledger
from perennial.base.db import Tx
from perennial.base.errors import Conflict
from perennial.base.ids import AppId, CustomerId, LineId, anonymous_app_user_id, told_id
from perennial.base.text import forbidden_in, storable
from perennial.base.time import EPOCH, Duration
from perennial.base.value import replace, value
from perennial.catalog.model import App, Product, RestoreBehavior
from perennial.customers.model import MAX_ALIASES, Arrivals, Customer, Placeholder, is_anonymous, is_sha256
from perennial.events.model import NewEvent
from perennial.subscriptions import db, grants, ownership, proceeds, rules, wire
from perennial.subscriptions.booking import book
from perennial.subscriptions.customer_info import opening, render
from perennial.subscriptions.db import Key, Place, Untold
from perennial.subscriptions.earning import earnings
from perennial.subscriptions.model import Held, Line, Statement, Telling, Unclaimed
from perennial.subscriptions.telling import tell

LONGEST_REFUSED_NAME = 500  # characters kept of a buyer's name that can be no customer's


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
    refused_name: str | None = None  # whom the source names as the buyer, where `statement` has a made-up id for them

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
    claims = await _claims(tx, said, arrivals)
    found = await _places(tx, said, claims.customer_ids, claims.refused)
    places, claimed = await _settle_owners(tx, said, found.places, claims.customer_ids, quiet=quiet)
    claimed |= found.claimed
    await customers.lock(tx, sorted({place.customer_id for place in places.values()} - _unseen(arrivals)))
    before = await db.load(tx, {place for place in places.values() if place.line_id in found.known})
    nameless = await _nameless(tx, [places[key].customer_id for key in claims.refused])
    after: dict[LineId, Line] = {}
    for one in said:
        place = places[one.key]
        line = after.get(place.line_id) or before.get(place.line_id) or _new_line(one, place, tx, is_unclaimed=place in found.unclaimed)
        line = replace(line, unclaimed=None) if place.line_id in claimed else line
        line = _with_offering(rules.merge(line, one.statement, tx.now), one, is_untold=place.line_id in claimed)
        line = _with_refused_name(line, one, claims.refused if place.customer_id in nameless else {})
        after[place.line_id] = replace(line, store_user=one.store_user) if one.store_user else line
    if quiet and claimed:
        after = {line_id: _told_quietly(line, said) if line_id in claimed else line for line_id, line in after.items()}
    lines, shown = await _wait_or_show(tx, list(after.values()))
    await _tell_and_save(tx, lines, before, quiet=quiet, unseen=_unseen(arrivals), at_last=claimed | shown)
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
    others, shown = await _wait_or_show(tx, [line for line in lines if line.line_id not in patient_ids])
    woken = [*await _tell_and_save(tx, others, before, at_last=shown), *patient]
    if patient:
        await db.save(tx, patient, before)
    return [line for line in woken if (at := rules.ask_at(line)) is not None and at <= tx.now]


async def find(tx: Tx, keys: Sequence[Key]) -> list[Line]:
    """The lines stores know by these keys, with everything they hold."""
    places = await db.find_places(tx, keys)
    return list((await db.load(tx, places.values())).values())


async def unclaimed(tx: Tx, limit: int) -> list[Line]:
    """Lines whose buyer nobody has named yet, the oldest first."""
    lines = await db.load(tx, await db.unclaimed(tx, limit))
    return sorted(lines.values(), key=lambda line: (line.unclaimed.since if line.unclaimed is not None else tx.now, line.line_id))


async def misnamed(tx: Tx, limit: int) -> list[Line]:
    """Lines whose buyer the project's backend named by what can be no app user id (`refused_name`), and whom we know by no better one."""
    return list((await db.load(tx, await db.misnamed(tx, limit))).values())


async def find_by_keys(tx: Tx, keys: Sequence[Key]) -> dict[Key, Line]:
    """Likewise, by each key that is known: a line may have several."""
    places = await db.find_places(tx, keys)
    lines = await db.load(tx, places.values())
    return {key: lines[place.line_id] for key, place in places.items()}


async def customer_infos(tx: Tx, app_user_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """The customer objects of those who are there, as SDKs are answered, by the ids asked for."""
    found = await customers.find(tx, sorted(set(app_user_ids)))
    people = await customers.load(tx, list(found.values()))
    lines = await db.load_of_customers(tx, people)
    products = await catalog.find_products(tx, {(line.app_id, held.purchase.product) for line in lines for held in line.held})
    infos: dict[CustomerId, dict[str, Any]] = {}
    for customer_id, customer in people.items():
        document = render(customer, [line for line in lines if line.customer_id == customer_id], products, tx.now)
        whole = opening(tx.now, customer.last_seen_at or customer.first_seen_at) + document.body
        infos[customer_id] = msgspec.json.decode(whole, type=dict[str, Any])["subscriber"]
    return {app_user_id: infos[customer_id] for app_user_id, customer_id in found.items()}


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
            if len(current.aliases) >= MAX_ALIASES:
                raise Conflict(
                    f"a customer has at most {MAX_ALIASES} app user ids; log in with a stable id instead of ever new ones", param="new_app_user_id"
                )
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
    if await _is_hidden(tx, source):
        await _hand_over(tx, source, target)
        return
    await customers.join(tx, source, target)
    await db.move(tx, source, target)
    await currencies.join(tx, source, target)
    await customers.bump(tx, {source: 0, target: 0})


async def transfer(tx: Tx, source: CustomerId, target: CustomerId, *, app_ids: Sequence[AppId] | None = None) -> None:
    """Moves what `source` holds to `target`, or what they bought in some apps, and tells it once for each store it was bought in.

    What nobody had claimed was told to nobody: it is told as `target`'s, and no transfer is.
    """
    await customers.lock(tx, [source, target])
    if await _is_hidden(tx, source):
        await _hand_over(tx, source, target, app_ids=app_ids)
        return
    held = {line.line_id: line for line in await db.load_of_customers(tx, [source])}
    moved = [held[line_id] for line_id in await db.move(tx, source, target, app_ids=app_ids)]
    shops = sorted({(line.app_id, line.store, line.environment) for line in moved}, key=str)
    people = await customers.load(tx, [source, target])
    if people[source].placeholder is not None:
        await currencies.join(tx, source, target)  # what came with the purchases goes with them: nobody is left to spend it
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


@value
class Claims:
    """Who each line's statements say bought it, and the names of buyers in them that can be no customer's."""

    customer_ids: Mapping[Key, CustomerId]
    refused: Mapping[Key, str]


@value
class Found:
    """Where lines are kept, by each of their keys. `unclaimed` are new and nobody's; `claimed` joined a line that is somebody's."""

    places: dict[Key, Place]
    known: set[LineId]
    unclaimed: set[Place]
    claimed: set[LineId]


async def _places(tx: Tx, said: Sequence[Said], claimed: Mapping[Key, CustomerId], refused: Mapping[Key, str]) -> Found:
    """Where each line is kept, and which of them we know; a new one is given to who claims it, or to a placeholder.

    Keys that a statement names together are one line: new keys join a known one, and two known lines that turn out to be one become it.
    """
    known = await db.find_places(tx, [key for one in said for key in one.keys])
    families = _families(said)
    new = [family for family in families if not any(key in known for key in family.keys)]
    places = dict(known)
    unclaimed: set[Place] = set()
    joined: set[LineId] = set()
    if new:
        owners, hidden = await _first_owners(tx, new, claimed, refused)
        for family in new:
            place = Place(customer_id=owners[family.keys[0]], line_id=LineId(tx.new_id("sub")))
            places[family.keys[0]] = place
            if family.keys[0] in hidden:
                unclaimed.add(place)
    for family in families:
        place, is_claimed = await _one_place(tx, [places[key] for key in family.keys if key in places])
        places |= dict.fromkeys(family.keys, place)
        if is_claimed:
            joined.add(place.line_id)
    if added := {key: place for key, place in places.items() if key not in known}:
        await db.insert_places(tx, added)
    return Found(places=places, known={place.line_id for place in known.values()}, unclaimed=unclaimed, claimed=joined)


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


async def _one_place(tx: Tx, found: Sequence[Place]) -> tuple[Place, bool]:
    """The one line of a family, whose newest keys come first: the oldest line we know takes in what the others hold.

    A line somebody holds comes before one that a placeholder does. True where that claimed what nobody had.
    """
    if len(set(found)) == 1:
        return found[0], False
    people = sorted({place.customer_id for place in found})
    await customers.lock(tx, people)
    kinds = {customer_id: customer.placeholder for customer_id, customer in (await customers.load(tx, people)).items()}
    rank = {None: 0, "known": 1, "hidden": 2}
    target, *others = sorted(set(found), key=lambda place: (rank[kinds[place.customer_id]], place.line_id))
    for source in others:
        await db.join_lines(tx, source, target, source_is_newer=source == found[0])
    hidden = {place.customer_id for place in others if kinds[place.customer_id] == "hidden"} - {target.customer_id}
    await customers.bump(tx, dict.fromkeys(people, 0))
    await customers.remove(tx, sorted(hidden))
    return target, bool(hidden) and kinds[target.customer_id] != "hidden"


async def _first_owners(
    tx: Tx, families: Sequence[Family], claimed: Mapping[Key, CustomerId], refused: Mapping[Key, str]
) -> tuple[dict[Key, CustomerId], set[Key]]:
    """Who holds each new line, and which of them nobody has claimed. Whom the project's backend named by a name nobody can have is anonymous."""
    owners: dict[Key, CustomerId] = {}
    nobodys: dict[Placeholder, dict[Key, str]] = {"hidden": {}, "known": {}}
    for family in families:
        key = family.keys[0]
        named = [claimed[one.key] for one in family.said if one.key in claimed]
        if named:
            owners[key] = named[0]
        else:
            is_named = any(one.key in refused for one in family.said)
            nobodys["known" if is_named else "hidden"][key] = anonymous_app_user_id(f"{tx.project_id}|{'|'.join(key)}")
    for placeholder, made_up in nobodys.items():
        if made_up:
            found = await customers.stand_in(tx, list(made_up.values()), placeholder)
            owners |= {key: found[app_user_id] for key, app_user_id in made_up.items()}
    return owners, set(nobodys["hidden"])


async def _nameless(tx: Tx, customer_ids: Sequence[CustomerId]) -> set[CustomerId]:
    """Those who are known by no name of their own."""
    people = await customers.load(tx, customer_ids) if customer_ids else {}
    return {customer_id for customer_id, customer in people.items() if customer.is_anonymous}


async def _claims(tx: Tx, said: Sequence[Said], arrivals: Arrivals | None) -> Claims:
    """Who each line's statements say bought it: who posted it, whom the project's backend named, or whom the app's hint fits."""
    claimed = await _hinted(tx, [one for one in said if one.buyer is None and one.statement.app_user_id is None])
    ids, impossible = (arrivals.customer_ids, set[str]()) if arrivals is not None else await customers.ensure_named(tx, _named(said))
    refused: dict[Key, str] = {}
    for one in said:
        if (name := one.statement.app_user_id) is not None and name not in impossible:
            claimed[one.key] = ids[name]
        if one.refused_name is not None or (name is not None and name in impossible):
            refused[one.key] = one.refused_name if one.refused_name is not None else name or ""
        if one.buyer is not None:
            claimed[one.key] = one.buyer
    return Claims(customer_ids=claimed, refused=refused)


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
    stated = {one.key: one.statement.customer_hint for one in said}
    hints = {key: hint for key, hint in stated.items() if hint and forbidden_in(hint) is None}
    if not hints:
        return {}
    found = await customers.find(tx, [spelling for hint in hints.values() for spelling in (hint, hint.upper())])
    hashed = await customers.find_hashed(tx, [hint.lower() for hint in hints.values() if is_sha256(hint)])
    fitting = {key: found.get(hint) or found.get(hint.upper()) or hashed.get(hint.lower()) for key, hint in hints.items()}
    return {key: customer_id for key, customer_id in fitting.items() if customer_id is not None}


async def _settle_owners(
    tx: Tx, said: Sequence[Said], places: dict[Key, Place], claimed: Mapping[Key, CustomerId], *, quiet: bool
) -> tuple[dict[Key, Place], set[LineId]]:
    """Applies the restore behavior where somebody else than the owner comes with a purchase. Returns the lines nobody had claimed before, too."""
    claims = [(one, claimed[one.key]) for one in said if one.key in claimed and claimed[one.key] != places[one.key].customer_id]
    if not claims:
        return places, set()
    first_claimed: set[LineId] = set()
    lines = await db.load(tx, [places[one.key] for one, _ in claims])
    for one, claimant in claims:
        place = places[one.key]
        is_claim = not quiet and (one.buyer is not None or _brings_news(lines.get(place.line_id), one.statement))
        if place.customer_id == claimant:
            continue
        match await _settle(tx, one, place.customer_id, claimant, is_claim=is_claim):
            case "claim":
                first_claimed.add(place.line_id)
            case "stay" | "refuse":
                continue
            case _:
                pass
        places = await db.find_places(tx, places)  # one settlement may move more lines than the one claimed
    return places, first_claimed


def _brings_news(line: Line | None, statement: Statement) -> bool:
    """Whether the customer bought something anew: a store that repeats who bought long ago claims nothing."""
    known = {held.purchase.transaction for held in line.held} if line else set()
    return any(not bought.is_renewal and bought.transaction not in known for bought in statement.purchases)


async def _settle(tx: Tx, one: Said, owner: CustomerId, claimant: CustomerId, *, is_claim: bool) -> ownership.Settlement:
    """What became of the line. What is no claim can still give a name to what nobody owned."""
    await customers.lock(tx, [owner, claimant])
    people = await customers.load(tx, [owner, claimant])
    if one.buyer is None and people[owner].deleted_at is not None:
        return "stay"  # a store's word brings back nobody who was deleted; only they can, by restoring
    owner_is_anonymous = all(is_anonymous(alias) for alias in people[owner].aliases)
    if not is_claim and not owner_is_anonymous:
        return "stay"
    behavior: RestoreBehavior = (await catalog.require_project(tx)).restore_behavior
    held = await db.load_of_customers(tx, [owner])
    settlement = ownership.settle(
        behavior,
        owner_is=people[owner].placeholder,
        owner_is_anonymous=owner_is_anonymous,
        owner_is_active=any(line.held and line.held[-1].purchase.kind == "subscription" and rules.is_entitled(line, tx.now) for line in held),
        is_restore=one.is_restore,
        is_known_to_claimant=one.buyer is None,
    )
    match settlement:
        case "claim":
            await _take_over(tx, owner, claimant)
        case "join":
            await join(tx, owner, claimant)
        case "transfer":
            assert one.app_id is not None, "what was granted by hand is claimed by nobody"
            await transfer(tx, owner, claimant, app_ids=[one.app_id])
        case "refuse":
            raise ReceiptInUse
        case "stay":
            pass
    return settlement


# What nobody has claimed ------------------------------------------------------------------------------------------------------


async def _is_hidden(tx: Tx, customer_id: CustomerId) -> bool:
    return (await customers.load(tx, [customer_id]))[customer_id].placeholder == "hidden"


async def _take_over(tx: Tx, placeholder: CustomerId, claimant: CustomerId, *, app_ids: Sequence[AppId] | None = None) -> list[LineId]:
    """The lines of a placeholder are the claimant's; of who was told to nobody, nothing is left."""
    line_ids = await db.move(tx, placeholder, claimant, app_ids=app_ids)
    if app_ids is None or line_ids:
        await customers.remove(tx, [placeholder])
    return line_ids


async def _hand_over(tx: Tx, placeholder: CustomerId, claimant: CustomerId, *, app_ids: Sequence[AppId] | None = None) -> None:
    """What nobody had claimed is the claimant's by a person's word, and told as theirs."""
    line_ids = await _take_over(tx, placeholder, claimant, app_ids=app_ids)
    before = await db.load(tx, [Place(customer_id=claimant, line_id=line_id) for line_id in line_ids])
    await _tell_and_save(tx, [replace(line, unclaimed=None) for line in before.values()], before, at_last=set(line_ids))


async def _wait_or_show(tx: Tx, lines: Sequence[Line]) -> tuple[list[Line], set[LineId]]:
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


# Telling ----------------------------------------------------------------------------------------------------------------------


async def _tell_and_save(
    tx: Tx,
    lines: Sequence[Line],
    before: Mapping[LineId, Line],
    *,
    quiet: bool = False,
    unseen: Collection[CustomerId] = (),
    at_last: Collection[LineId] = (),
) -> list[Line]:
    """`at_last` are lines nobody had claimed, which are somebody's now: what waited of them is told too. What others have to tell waits."""
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

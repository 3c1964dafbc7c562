"""Where a line is kept: which of those we know statements speak of, by any of its keys, and who holds a new one."""

from collections.abc import Mapping, Sequence

from perennial import customers
from perennial.base.db import Tx
from perennial.base.ids import CustomerId, LineId, anonymous_app_user_id
from perennial.base.value import value
from perennial.customers.model import Placeholder
from perennial.subscriptions import db
from perennial.subscriptions.actions.statements import Said
from perennial.subscriptions.db import Key, Place


@value
class Found:
    """Where lines are kept, by each of their keys. `unclaimed` are new and nobody's; `claimed` joined a line that is somebody's."""

    places: dict[Key, Place]
    known: set[LineId]
    unclaimed: set[Place]
    claimed: set[LineId]


@value
class Family:
    """Keys of one line, and who spoke of it."""

    keys: tuple[Key, ...]
    said: tuple[Said, ...]


async def find_or_make_places(tx: Tx, said: Sequence[Said], claimed: Mapping[Key, CustomerId], refused: Mapping[Key, str]) -> Found:
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
            nobodys["known" if is_named else "hidden"][key] = anonymous_app_user_id(tx.project_id, *key)
    for placeholder, made_up in nobodys.items():
        if made_up:
            found = await customers.stand_in(tx, list(made_up.values()), placeholder)
            owners |= {key: found[app_user_id] for key, app_user_id in made_up.items()}
    return owners, set(nobodys["hidden"])

"""Whose a line is: whom statements name as its buyer, and what the project's restore behavior says where that is somebody else than its owner."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from perennial import catalog, customers
from perennial.base.db import Tx
from perennial.base.errors import Conflict
from perennial.base.ids import CustomerId, LineId
from perennial.base.text import forbidden_in
from perennial.base.time import EPOCH
from perennial.base.value import value
from perennial.catalog.model import RestoreBehavior
from perennial.customers.model import Arrivals, is_anonymous, is_sha256
from perennial.subscriptions import db, ownership, rules
from perennial.subscriptions.actions.moving import join, take_over, transfer
from perennial.subscriptions.actions.statements import Said
from perennial.subscriptions.db import Key, Place
from perennial.subscriptions.model import Line, Statement


class ReceiptInUse(Conflict):
    """The purchase belongs to another customer, and the project's restore behavior says it stays there."""

    def __init__(self) -> None:
        super().__init__("this purchase belongs to another app user id, and this project does not let it move", code=7102)


@value
class Claims:
    """Who each line's statements say bought it, and the names of buyers in them that can be no customer's."""

    customer_ids: Mapping[Key, CustomerId]
    refused: Mapping[Key, str]


async def find_claims(tx: Tx, said: Sequence[Said], arrivals: Arrivals | None) -> Claims:
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


async def nameless(tx: Tx, customer_ids: Sequence[CustomerId]) -> set[CustomerId]:
    """Those who are known by no name of their own."""
    people = await customers.load(tx, customer_ids) if customer_ids else {}
    return {customer_id for customer_id, customer in people.items() if customer.is_anonymous}


async def settle_owners(
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
            await take_over(tx, owner, claimant)
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

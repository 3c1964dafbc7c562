"""The verbs of identity. Joining what two customers hold is `subscriptions`' affair; here only who they are."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from perennial import catalog, events
from perennial.base.db import Tx
from perennial.base.errors import Invalid, Unavailable
from perennial.base.ids import CustomerId, anonymous_app_user_id
from perennial.base.text import forbidden_in
from perennial.base.value import replace
from perennial.customers import db, rules
from perennial.customers.model import (
    Arrivals,
    Attribute,
    Customer,
    CustomerBlocked,
    CustomerMissing,
    Forgotten,
    Newcomer,
    Placeholder,
    check_app_user_id,
    is_app_user_id,
)
from perennial.customers.rules import AttributeProblem

MOST_BLOCKED = 1000


async def ensure(tx: Tx, app_user_ids: Sequence[str]) -> tuple[dict[str, CustomerId], set[str]]:
    """The customers behind these app user ids, made where there are none; and which ids were new. Raises `CustomerBlocked`."""
    for app_user_id in app_user_ids:
        check_app_user_id(app_user_id)
    wanted = sorted(set(app_user_ids))
    known = await db.find(tx, wanted)
    missing = [app_user_id for app_user_id in wanted if app_user_id not in known]
    if not missing:
        return known, set()
    if blocked := await db.blocked_among(tx, missing):
        raise CustomerBlocked(min(blocked))
    made = await _make(tx, [Newcomer(app_user_id=one) for one in missing])
    return {**known, **made.customer_ids}, set(made.new)


async def _make(tx: Tx, newcomers: Sequence[Newcomer]) -> Arrivals:
    """Customers for ids that nobody had a moment ago."""
    new = await db.insert(tx, newcomers)
    late = [one.app_user_id for one in newcomers if one.app_user_id not in new]
    return Arrivals(customer_ids=new | (await db.find(tx, late) if late else {}), doubles=(), new=tuple(sorted(new)))


async def ensure_named(tx: Tx, named: Mapping[str, datetime]) -> tuple[dict[str, CustomerId], set[str]]:
    """The customers a store means by these app user ids, each with the moment of the purchase it speaks of; and the names nobody can have.

    A store repeats for years whom it was once told. What was bought before its buyer was deleted belongs to who stands for them since. A name that
    cannot be an app user id, or is blocked, is no reason to refuse what a store states: it is returned, and names nobody.
    """
    known = await db.find(tx, [one for one in sorted(named) if forbidden_in(one) is None])
    impossible = {one for one in named if one not in known and not is_app_user_id(one)}
    strangers = [Newcomer(app_user_id=one, bought_at=named[one]) for one in sorted(set(named) - set(known) - impossible)]
    if not strangers:
        return known, impossible
    gone, blocked = await _gone_or_blocked(tx, strangers)
    made = await _make_free(tx, strangers, {*gone, *blocked})
    return {**known, **gone, **made.customer_ids}, impossible | blocked


async def stand_in(tx: Tx, app_user_ids: Sequence[str], placeholder: Placeholder) -> dict[str, CustomerId]:
    """Customers under made-up ids, for purchases nobody has a customer for."""
    known = await db.find(tx, app_user_ids)
    new = [Newcomer(app_user_id=one, placeholder=placeholder) for one in sorted(set(app_user_ids) - set(known))]
    return {**known, **(await _make(tx, new)).customer_ids} if new else known


async def _welcome(tx: Tx, strangers: Sequence[Newcomer]) -> Arrivals:
    """Customers for people whose ids nobody has; of those who were deleted or are blocked, who stands for them."""
    if not strangers:
        return Arrivals(customer_ids={}, doubles=(), new=())
    gone, blocked = await _gone_or_blocked(tx, strangers)
    called = {one: anonymous_app_user_id(tx.project_id, "blocked", one) for one in blocked}
    stands_for, _ = await ensure(tx, list(called.values())) if called else ({}, set())
    made = await _make_free(tx, strangers, {*gone, *blocked})
    return replace(made, customer_ids={**made.customer_ids, **gone, **{one: stands_for[called[one]] for one in blocked}})


async def _gone_or_blocked(tx: Tx, strangers: Sequence[Newcomer]) -> tuple[dict[str, CustomerId], set[str]]:
    """Of people whose ids nobody has: who stands for those deleted since they bought, and whose ids are blocked."""
    by_id = {one.app_user_id: one for one in strangers}
    names = sorted(by_id)
    gone = {one: owner for one, (owner, since) in (await db.pseudonyms(tx, names)).items() if by_id[one].bought_at <= since}
    return gone, await db.blocked_among(tx, names) - gone.keys()


async def _make_free(tx: Tx, strangers: Sequence[Newcomer], taken: Collection[str]) -> Arrivals:
    free = [one for one in strangers if one.app_user_id not in taken]
    for one in free:
        check_app_user_id(one.app_user_id)
    return await _make(tx, free) if free else Arrivals(customer_ids={}, doubles=(), new=())


async def bring_in(tx: Tx, newcomers: Sequence[Newcomer]) -> Arrivals:
    """Customers as another system knew them, with their ids, attributes and since when. What we know already stays, and is added to.

    Nobody comes back who was deleted or is blocked here: what they bought is of who stands for them, and their ids and attributes stay away.
    An id that leads to another customer here is left to them, and both are named in `doubles`.
    """
    named = sorted({name for one in newcomers for name in _ids_of(one)})
    found = await db.find(tx, named)
    known = {one.app_user_id: found[name] for one in newcomers for name in reversed(_ids_of(one)) if name in found}
    made = await _welcome(tx, [one for one in newcomers if one.app_user_id not in known])
    ids = {**made.customer_ids, **known}
    new = {name: ids[name] for name in made.new}
    await db.lock(tx, sorted(set(ids.values()) - set(new.values())))  # whom we just made, nobody else sees yet
    met = sorted(set(made.customer_ids) - set(new))
    here = {**found, **new, **(await db.find(tx, met) if met else {})}
    present = [one for one in newcomers if any(name in here for name in _ids_of(one))]  # who is gone or blocked is only stood for
    await _add_ids(tx, present, ids, here)
    await db.save_arrivals(tx, {ids[one.app_user_id]: one for one in present if one.app_user_id not in new})
    await _add_attributes(tx, present, ids)
    doubles = {(ids[one.app_user_id], found[name]) for one in present for name in _ids_of(one) if name in found}
    return Arrivals(
        customer_ids=ids,
        doubles=tuple(sorted((one, other) for one, other in doubles if one != other)),
        new=made.new,
    )


def _ids_of(newcomer: Newcomer) -> tuple[str, ...]:
    return (newcomer.app_user_id, *newcomer.aliases)


async def _add_ids(tx: Tx, newcomers: Sequence[Newcomer], ids: Mapping[str, CustomerId], here: Mapping[str, CustomerId]) -> None:
    wanted = {name: ids[one.app_user_id] for one in newcomers for name in _ids_of(one) if name not in here}
    if not wanted:
        return
    away = {*await db.pseudonyms(tx, sorted(wanted)), *await db.blocked_among(tx, sorted(wanted))}
    added = {name: customer_id for name, customer_id in wanted.items() if name not in away}
    await db.add_aliases(tx, added)
    await db.bump(tx, dict.fromkeys(sorted(set(added.values())), 0))


async def _add_attributes(tx: Tx, newcomers: Sequence[Newcomer], ids: Mapping[str, CustomerId]) -> None:
    noted = [one for one in newcomers if one.attributes]
    if not noted:
        return
    people = await db.load(tx, [ids[one.app_user_id] for one in noted])
    good = {}
    for one in noted:
        held = people[ids[one.app_user_id]].attributes
        bounded = {name: replace(sent, updated_at=rules.at_latest(sent.updated_at, tx.now)) for name, sent in one.attributes.items()}
        kept, _ = rules.check_attributes(bounded, held)
        if news := {name: attribute for name, attribute in kept.items() if _is_news(attribute, held.get(name))}:
            good[ids[one.app_user_id]] = news
    if good:
        await db.save_attributes_of(tx, good)
        await db.bump(tx, dict.fromkeys(sorted(good), 0))


def _is_news(attribute: Attribute, held: Attribute | None) -> bool:
    return held is None or attribute.updated_at > held.updated_at


async def get(tx: Tx, app_user_id: str, *, param: str = "customer_id") -> Customer:
    if (forbidden := forbidden_in(app_user_id)) is not None:
        raise Invalid(f"{param} {app_user_id[:80]!r} holds {forbidden}, which no app user id does; check its spelling", param=param, code=7256)
    found = await db.find(tx, [app_user_id])
    if app_user_id not in found:
        raise CustomerMissing(f"no customer has the id {app_user_id[:80]!r}; create it, or check its spelling", param=param, code=7259)
    return (await db.load(tx, [found[app_user_id]]))[found[app_user_id]]


async def set_attributes(tx: Tx, customer_id: CustomerId, sent: Mapping[str, Attribute]) -> list[AttributeProblem]:
    """Keeps what is well-formed, newest write per name; returns what was not."""
    await db.lock(tx, [customer_id])
    held = (await db.load(tx, [customer_id]))[customer_id].attributes
    bounded = {name: Attribute(value=one.value, updated_at=rules.at_latest(one.updated_at, tx.now)) for name, one in sent.items()}
    good, problems = rules.check_attributes(bounded, held)
    if good:
        await db.save_attributes(tx, customer_id, good)
        await db.bump(tx, {customer_id: 0})
    return problems


async def join(tx: Tx, source: CustomerId, target: CustomerId) -> None:
    """All ids of `source` lead to `target` from now on; attributes join, the newer write winning. Both must be locked."""
    people = await db.load(tx, [source, target])
    joined = rules.merge_attributes(people[target].attributes, people[source].attributes)
    if joined:
        await db.save_attributes(tx, target, joined)
    await db.move_aliases(tx, source, target)


async def add_alias(tx: Tx, app_user_id: str, customer_id: CustomerId) -> bool:
    """False where somebody else took the id meanwhile. Raises `CustomerBlocked`."""
    if await db.blocked_among(tx, [app_user_id]):
        raise CustomerBlocked(app_user_id)
    return await db.add_alias(tx, app_user_id, customer_id)


async def forget(tx: Tx, app_user_id: str) -> Forgotten:
    """Forgets who a customer was: their ids and attributes, when and where they were seen, and their names in what was told of them.

    What they bought stays, with who stands for them: later notifications of stores find it there, and so recreate nobody
    (`docs/decisions/deletion.md`). Whoever comes with one of the old ids is somebody new.
    """
    customer_id = (await get(tx, app_user_id)).customer_id
    await db.lock(tx, [customer_id])
    customer = await get(tx, app_user_id)
    if customer.customer_id != customer_id:
        raise Unavailable(f"the customer {app_user_id[:80]!r} was just joined with another; delete them again")
    gone = Forgotten(customer_ids=tuple(await db.merged_ids(tx, customer_id)), aliases=customer.aliases, pseudonym=anonymous_app_user_id())
    await db.forget(tx, gone.customer_ids, customer_id, gone.pseudonym)
    await db.add_alias(tx, gone.pseudonym, customer_id)
    await events.forget(tx, gone.customer_ids, gone.aliases, gone.pseudonym)
    await catalog.rename_audited(tx, gone.aliases, gone.pseudonym)
    return gone


async def block(tx: Tx, app_user_id: str) -> None:
    """Nobody may use the id again. Who has it is to be deleted first."""
    check_app_user_id(app_user_id, param="customer_id")
    if len(await db.blocked(tx, MOST_BLOCKED)) == MOST_BLOCKED:
        raise Invalid(f"this project has blocked {MOST_BLOCKED} customers already; unblock some first", param="customer_id")
    await db.block(tx, app_user_id)


async def unblock(tx: Tx, app_user_id: str) -> None:
    if not await db.unblock(tx, app_user_id):
        raise CustomerMissing(f"the id {app_user_id[:80]!r} is not blocked", param="customer_id", code=7259)

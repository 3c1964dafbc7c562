"""The verbs of identity. Joining what two customers hold is `subscriptions`' affair; here only who they are."""

from collections.abc import Mapping, Sequence

from perennial.base.db import Tx
from perennial.base.ids import CustomerId
from perennial.customers import db, rules
from perennial.customers.model import Attribute, Customer, CustomerMissing, check_app_user_id
from perennial.customers.rules import AttributeProblem


async def ensure(tx: Tx, app_user_ids: Sequence[str]) -> tuple[dict[str, CustomerId], set[str]]:
    """The customers behind these app user ids, made where there are none; and which ids were new."""
    for app_user_id in app_user_ids:
        check_app_user_id(app_user_id)
    wanted = sorted(set(app_user_ids))
    known = await db.find(tx, wanted)
    missing = [app_user_id for app_user_id in wanted if app_user_id not in known]
    if not missing:
        return known, set()
    new = await db.insert(tx, missing)
    return known | await db.find(tx, missing), new


async def get(tx: Tx, app_user_id: str) -> Customer:
    found = await db.find(tx, [app_user_id])
    if app_user_id not in found:
        raise CustomerMissing(f"no customer has the id {app_user_id[:80]!r}; create it, or check its spelling", param="customer_id", code=7259)
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

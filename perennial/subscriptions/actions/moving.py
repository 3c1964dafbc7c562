"""Customers who turn out to be one, and what moves from one to another."""

from collections.abc import Sequence

from perennial import currencies, customers, events
from perennial.base.db import Tx
from perennial.base.errors import Conflict
from perennial.base.ids import AppId, CustomerId, LineId, told_id
from perennial.base.value import replace
from perennial.customers.model import MAX_ALIASES
from perennial.events.model import NewEvent
from perennial.subscriptions import db, wire
from perennial.subscriptions.actions.saving import tell_and_save
from perennial.subscriptions.db import Place


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


async def take_over(tx: Tx, placeholder: CustomerId, claimant: CustomerId, *, app_ids: Sequence[AppId] | None = None) -> list[LineId]:
    """The lines of a placeholder are the claimant's; of who was told to nobody, nothing is left."""
    line_ids = await db.move(tx, placeholder, claimant, app_ids=app_ids)
    if app_ids is None or line_ids:
        await customers.remove(tx, [placeholder])
    return line_ids


async def _hand_over(tx: Tx, placeholder: CustomerId, claimant: CustomerId, *, app_ids: Sequence[AppId] | None = None) -> None:
    """What nobody had claimed is the claimant's by a person's word, and told as theirs."""
    line_ids = await take_over(tx, placeholder, claimant, app_ids=app_ids)
    before = await db.load(tx, [Place(customer_id=claimant, line_id=line_id) for line_id in line_ids])
    await tell_and_save(tx, [replace(line, unclaimed=None) for line in before.values()], before, at_last=set(line_ids))


async def _is_hidden(tx: Tx, customer_id: CustomerId) -> bool:
    return (await customers.load(tx, [customer_id]))[customer_id].placeholder == "hidden"

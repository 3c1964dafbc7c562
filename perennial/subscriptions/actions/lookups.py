"""Lines as they are kept, and customers as SDKs are told of them."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from perennial import catalog, customers
from perennial.base.db import Tx
from perennial.base.ids import CustomerId
from perennial.subscriptions import db
from perennial.subscriptions.customer_info import opening, render
from perennial.subscriptions.db import Key
from perennial.subscriptions.model import Line


async def find(tx: Tx, keys: Sequence[Key]) -> list[Line]:
    """The lines stores know by these keys, with everything they hold."""
    places = await db.find_places(tx, keys)
    return list((await db.load(tx, places.values())).values())


async def find_by_keys(tx: Tx, keys: Sequence[Key]) -> dict[Key, Line]:
    """Likewise, by each key that is known: a line may have several."""
    places = await db.find_places(tx, keys)
    lines = await db.load(tx, places.values())
    return {key: lines[place.line_id] for key, place in places.items()}


async def unclaimed(tx: Tx, limit: int) -> list[Line]:
    """Lines whose buyer nobody has named yet, the oldest first."""
    lines = await db.load(tx, await db.unclaimed(tx, limit))
    return sorted(lines.values(), key=lambda line: (line.unclaimed.since if line.unclaimed is not None else tx.now, line.line_id))


async def misnamed(tx: Tx, limit: int) -> list[Line]:
    """Lines whose buyer the project's backend named by what can be no app user id (`refused_name`), and whom we know by no better one."""
    return list((await db.load(tx, await db.misnamed(tx, limit))).values())


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

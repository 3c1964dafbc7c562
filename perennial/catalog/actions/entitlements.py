"""Entitlements, and the products that give them."""

from collections.abc import Sequence

from perennial.base.db import Tx, UniqueViolation
from perennial.base.value import replace
from perennial.catalog import db
from perennial.catalog.actions.checks import named, one_of
from perennial.catalog.actions.products import require_products
from perennial.catalog.model import Entitlement, Exists


async def create_entitlement(tx: Tx, *, lookup_key: str, display_name: str) -> Entitlement:
    entitlement = Entitlement(
        entitlement_id=tx.new_id("entl"),
        lookup_key=named(lookup_key, "lookup_key", 200),
        display_name=named(display_name, "display_name", 1500),
        created_at=tx.now,
    )
    try:
        await db.insert_entitlement(tx, entitlement)
    except UniqueViolation as error:
        raise Exists(f"the project already has an entitlement {lookup_key!r}", param="lookup_key") from error
    await db.touch(tx)
    return entitlement


async def update_entitlement(tx: Tx, entitlement_id: str, *, display_name: str) -> Entitlement:
    await db.touch(tx)  # first: it holds the project, so two who change an entitlement take turns
    changed = replace(await require_entitlement(tx, entitlement_id), display_name=named(display_name, "display_name", 1500))
    await db.update_entitlement(tx, changed)
    return changed


async def archive_entitlement(tx: Tx, entitlement_id: str) -> Entitlement:
    """Out of sight. Its products still give it: who holds it keeps it."""
    await db.touch(tx)  # first: it holds the project, so two who change an entitlement take turns
    entitlement = await require_entitlement(tx, entitlement_id)
    archived = replace(entitlement, archived_at=entitlement.archived_at or tx.now)
    await db.update_entitlement(tx, archived)
    return archived


async def unarchive_entitlement(tx: Tx, entitlement_id: str) -> Entitlement:
    await db.touch(tx)  # first: it holds the project, so two who change an entitlement take turns
    seen = replace(await require_entitlement(tx, entitlement_id), archived_at=None)
    await db.update_entitlement(tx, seen)
    return seen


async def delete_entitlement(tx: Tx, entitlement_id: str) -> None:
    """Customers who hold it lose it at once. What they bought stays."""
    await db.touch(tx)
    await require_entitlement(tx, entitlement_id)
    await db.delete_entitlement(tx, entitlement_id)


async def attach_products(tx: Tx, entitlement_id: str, product_ids: Sequence[str]) -> None:
    await require_entitlement(tx, entitlement_id)
    await require_products(tx, product_ids)
    await db.attach_to_entitlement(tx, entitlement_id, product_ids)
    await db.touch(tx)


async def detach_products(tx: Tx, entitlement_id: str, product_ids: Sequence[str]) -> None:
    await require_entitlement(tx, entitlement_id)
    await db.detach_from_entitlement(tx, entitlement_id, product_ids)
    await db.touch(tx)


async def require_entitlement(tx: Tx, entitlement_id: str) -> Entitlement:
    return one_of(await db.get_entitlements(tx, entitlement_ids=[entitlement_id]), "entitlement", entitlement_id, "entitlement_id")

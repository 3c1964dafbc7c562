"""Offerings, their packages, and where they show."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from perennial.base.db import Tx, UniqueViolation
from perennial.base.errors import Invalid
from perennial.base.value import replace
from perennial.catalog import db
from perennial.catalog.actions.checks import named, one_of
from perennial.catalog.actions.products import require_products
from perennial.catalog.model import (
    MOST_OFFERINGS,
    MOST_PACKAGES,
    Archived,
    Exists,
    InUse,
    Missing,
    Offering,
    Package,
    PackageProduct,
    PlacementIds,
    TooManyOfThem,
)


async def create_offering(
    tx: Tx, *, lookup_key: str, display_name: str, metadata: dict[str, Any] | None = None, is_current: bool = False
) -> Offering:
    await db.touch(tx)  # first: it holds the project, so two who make an offering current take turns
    if await db.is_full_of_offerings(tx, MOST_OFFERINGS):
        raise TooManyOfThem(f"a project has at most {MOST_OFFERINGS} offerings; delete one first, archived ones count too", param="lookup_key")
    if is_current:
        await db.clear_current_offering(tx)
    offering = Offering(
        offering_id=tx.new_id("ofrng"),
        lookup_key=named(lookup_key, "lookup_key", 200),
        display_name=named(display_name, "display_name", 1500),
        is_current=is_current,
        created_at=tx.now,
        metadata=metadata,
    )
    try:
        await db.insert_offering(tx, offering)
    except UniqueViolation as error:
        raise Exists(f"the project already has an offering {lookup_key!r}", param="lookup_key") from error
    return offering


async def update_offering(
    tx: Tx,
    offering_id: str,
    *,
    display_name: str | None = None,
    is_current: bool | None = None,
    metadata: dict[str, Any] | UnsetType | None = UNSET,
) -> Offering:
    """Changes what is given. `metadata` may be None, which removes it; what stays is left out."""
    await db.touch(tx)  # first: it holds the project, so two who make an offering current take turns
    offering = await require_offering(tx, offering_id)
    if is_current:
        _check_seen([offering])
        await db.clear_current_offering(tx)
    changed = replace(
        offering,
        display_name=offering.display_name if display_name is None else named(display_name, "display_name", 1500),
        is_current=offering.is_current if is_current is None else is_current,
        metadata=offering.metadata if isinstance(metadata, UnsetType) else metadata,
    )
    await db.update_offering(tx, changed)
    return changed


async def archive_offering(tx: Tx, offering_id: str) -> Offering:
    """No app shows it any more."""
    await db.touch(tx)  # first: it holds the project, so nobody makes it current meanwhile
    offering = await require_offering(tx, offering_id)
    _check_unused(offering, await db.get_placement_ids(tx), "archived")
    archived = replace(offering, archived_at=offering.archived_at or tx.now)
    await db.update_offering(tx, archived)
    return archived


async def unarchive_offering(tx: Tx, offering_id: str, *, with_products: bool = False) -> Offering:
    """`with_products`: those of its packages that are archived come back with it. Without, they are in the way."""
    await db.touch(tx)  # first: it holds the project, so nobody archives a product of it meanwhile
    offering = await require_offering(tx, offering_id)
    sold = {one.product_id for package in offering.packages for one in package.products}
    archived = [product for product in await db.get_products(tx, product_ids=sold, limit=10_000) if product.archived_at is not None]
    if archived and not with_products:
        raise Archived(
            f"it offers {archived[0].store_identifier!r}, which is archived; unarchive its products first, or with it: unarchive_referenced_entities",
            object_ids=[product.product_id for product in archived],
        )
    for product in archived:
        await db.update_product(tx, replace(product, archived_at=None))
    seen = replace(offering, archived_at=None)
    await db.update_offering(tx, seen)
    return seen


async def delete_offering(tx: Tx, offering_id: str) -> None:
    """With its packages. Its products stay."""
    await db.touch(tx)  # first: it holds the project, so nobody makes it current meanwhile
    _check_unused(await require_offering(tx, offering_id), await db.get_placement_ids(tx), "deleted")
    await db.delete_offering(tx, offering_id)


async def create_package(tx: Tx, *, offering_id: str, lookup_key: str, display_name: str, position: int | None = None) -> Package:
    offering = await require_offering(tx, offering_id)
    if position is not None and position < 1:
        raise Invalid("position counts from 1", param="position")
    if len(offering.packages) >= MOST_PACKAGES:
        raise TooManyOfThem(f"an offering has at most {MOST_PACKAGES} packages; delete one first", param="lookup_key")
    package = Package(
        package_id=tx.new_id("pkge"),
        offering_id=offering_id,
        lookup_key=named(lookup_key, "lookup_key", 200),
        display_name=named(display_name, "display_name", 1500),
        position=position or len(offering.packages) + 1,
        created_at=tx.now,
    )
    try:
        await db.insert_package(tx, package)
    except UniqueViolation as error:
        raise Exists(f"the offering already has a package {lookup_key!r}", param="lookup_key") from error
    await db.touch(tx)
    return package


async def update_package(tx: Tx, package_id: str, *, display_name: str | None = None, position: int | None = None) -> Package:
    await db.touch(tx)  # first: it holds the project, so two who change a package take turns
    package = await require_package(tx, package_id)
    if position is not None and position < 1:
        raise Invalid("position counts from 1", param="position")
    changed = replace(
        package,
        display_name=package.display_name if display_name is None else named(display_name, "display_name", 1500),
        position=position or package.position,
    )
    await db.update_package(tx, changed)
    return changed


async def delete_package(tx: Tx, package_id: str) -> None:
    """Its products stay."""
    await require_package(tx, package_id)
    await db.delete_package(tx, package_id)
    await db.touch(tx)


async def attach_to_package(tx: Tx, package_id: str, products: Sequence[PackageProduct]) -> None:
    await require_package(tx, package_id)
    await require_products(tx, [one.product_id for one in products])
    await db.attach_to_package(tx, package_id, list({one.product_id: one for one in products}.values()))
    await db.touch(tx)


async def detach_from_package(tx: Tx, package_id: str, product_ids: Sequence[str]) -> None:
    await require_package(tx, package_id)
    await db.detach_from_package(tx, package_id, product_ids)
    await db.touch(tx)


async def set_placement(tx: Tx, identifier: str, offering_id: str | None) -> None:
    await db.touch(tx)  # first: it holds the project, so nobody archives the offering meanwhile
    if offering_id is not None:
        _check_seen([await require_offering(tx, offering_id)])
    await db.set_placement(tx, named(identifier, "identifier", 200), offering_id)


async def set_fallback_offering(tx: Tx, offering_id: str | None) -> None:
    await db.touch(tx)  # first: it holds the project, so nobody archives the offering meanwhile
    if offering_id is not None:
        _check_seen([await require_offering(tx, offering_id)])
    await db.set_fallback(tx, offering_id)


async def set_placements(tx: Tx, placements: PlacementIds) -> None:
    """These are all there are from now on."""
    await db.touch(tx)  # first: it holds the project, so two who set them take turns
    wanted = {one for one in (placements.fallback_offering_id, *placements.offering_ids.values()) if one is not None}
    found = await db.get_offerings(tx, offering_ids=sorted(wanted)) if wanted else []
    if missing := sorted(wanted - {offering.offering_id for offering in found}):
        raise Missing(f"no offering {missing[0]!r} in this project", param="placements")
    _check_seen(found)
    await db.delete_other_placements(tx, list(placements.offering_ids))
    for identifier, offering_id in placements.offering_ids.items():
        await db.set_placement(tx, named(identifier, "identifier", 200), offering_id)
    await db.set_fallback(tx, placements.fallback_offering_id)


def _check_seen(offerings: Sequence[Offering]) -> None:
    if archived := [offering for offering in offerings if offering.archived_at is not None]:
        raise Archived(
            f"the offering {archived[0].lookup_key!r} is archived, and no app would show it; unarchive it first",
            object_ids=[offering.offering_id for offering in archived],
        )


def _check_unused(offering: Offering, placements: PlacementIds, done: str) -> None:
    """Apps would find nothing where they look for it."""
    where = [
        *(["the current one"] if offering.is_current else []),
        *(["the fallback of placements"] if placements.fallback_offering_id == offering.offering_id else []),
        *(f"shown at {name}" for name, offering_id in placements.offering_ids.items() if offering_id == offering.offering_id),
    ]
    if where:
        raise InUse(
            f"the offering {offering.lookup_key!r} is {', '.join(where)}, so it cannot be {done}; let another take its place first",
            param="offering_id",
        )


async def require_offering(tx: Tx, offering_id: str) -> Offering:
    return one_of(await db.get_offerings(tx, offering_ids=[offering_id]), "offering", offering_id, "offering_id")


async def require_package(tx: Tx, package_id: str) -> Package:
    return one_of(await db.get_packages(tx, package_ids=[package_id]), "package", package_id, "package_id")

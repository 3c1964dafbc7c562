"""SQL of offerings, packages and placements."""

from collections.abc import Iterable, Sequence

from perennial.base.db import Row, Tx
from perennial.catalog.model import (
    Offering,
    Package,
    PackageProduct,
    PlacementIds,
    Placements,
)


async def insert_offering(tx: Tx, offering: Offering) -> None:
    await tx.execute(
        """
        INSERT INTO offering (project_id, offering_id, lookup_key, display_name, metadata, is_current, created_at)
        VALUES (%(project_id)s, %(offering_id)s, %(lookup_key)s, %(display_name)s, %(metadata)s, %(is_current)s, %(now)s)
        """,
        project_id=tx.project_id,
        offering_id=offering.offering_id,
        lookup_key=offering.lookup_key,
        display_name=offering.display_name,
        metadata=offering.metadata,
        is_current=offering.is_current,
        now=tx.now,
    )


async def is_full_of_offerings(tx: Tx, most: int) -> bool:
    return bool(
        await tx.fetch("SELECT 1 FROM offering WHERE project_id = %(project_id)s OFFSET %(most)s - 1 LIMIT 1", project_id=tx.project_id, most=most)
    )


async def update_offering(tx: Tx, offering: Offering) -> None:
    await tx.execute(
        """
        UPDATE offering SET display_name = %(display_name)s, metadata = %(metadata)s, is_current = %(is_current)s, archived_at = %(archived_at)s
        WHERE offering_id = %(offering_id)s
        """,
        offering_id=offering.offering_id,
        display_name=offering.display_name,
        metadata=offering.metadata,
        is_current=offering.is_current,
        archived_at=offering.archived_at,
    )


async def delete_offering(tx: Tx, offering_id: str) -> None:
    await tx.execute("DELETE FROM offering WHERE offering_id = %(offering_id)s", offering_id=offering_id)


async def clear_current_offering(tx: Tx) -> None:
    await tx.execute("UPDATE offering SET is_current = false WHERE is_current")


async def get_offerings(tx: Tx, *, offering_ids: Sequence[str] | None = None, after: str | None = None, limit: int = 1000) -> list[Offering]:
    """Offerings with their packages in position order, in two queries."""
    rows = await tx.fetch(
        """
        SELECT offering_id, lookup_key, display_name, is_current, created_at, metadata, archived_at FROM offering
        WHERE (%(ids)s::text[] IS NULL OR offering_id = ANY (%(ids)s)) AND (%(after)s::text IS NULL OR offering_id > %(after)s)
        ORDER BY offering_id LIMIT %(limit)s
        """,
        ids=None if offering_ids is None else list(offering_ids),
        after=after,
        limit=limit,
    )
    packages = await get_packages(tx, offering_ids=[row["offering_id"] for row in rows])
    return [Offering(**dict(row), packages=tuple(package for package in packages if package.offering_id == row["offering_id"])) for row in rows]


async def find_offering_ids(tx: Tx, lookup_keys: Iterable[str]) -> dict[str, str]:
    """Offering ids by lookup key, of those that the project has."""
    rows = await tx.fetch(
        "SELECT lookup_key, offering_id FROM offering WHERE project_id = %(project_id)s AND lookup_key = ANY (%(keys)s::text[])",
        project_id=tx.project_id,
        keys=sorted(set(lookup_keys)),
    )
    return {row["lookup_key"]: row["offering_id"] for row in rows}


async def insert_package(tx: Tx, package: Package) -> None:
    await tx.execute(
        """
        INSERT INTO package (project_id, package_id, offering_id, lookup_key, display_name, position, created_at)
        VALUES (%(project_id)s, %(package_id)s, %(offering_id)s, %(lookup_key)s, %(display_name)s, %(position)s, %(now)s)
        """,
        project_id=tx.project_id,
        package_id=package.package_id,
        offering_id=package.offering_id,
        lookup_key=package.lookup_key,
        display_name=package.display_name,
        position=package.position,
        now=tx.now,
    )


async def get_packages(
    tx: Tx, *, package_ids: Sequence[str] | None = None, offering_ids: Sequence[str] | None = None, after: str | None = None, limit: int = 10_000
) -> list[Package]:
    rows = await tx.fetch(
        """
        SELECT k.package_id, k.offering_id, k.lookup_key, k.display_name, k.position, k.created_at,
          (SELECT jsonb_agg(jsonb_build_array(pp.product_id, pp.eligibility_criteria) ORDER BY pp.product_id)
           FROM package_product pp WHERE pp.project_id = k.project_id AND pp.package_id = k.package_id) AS products
        FROM package k
        WHERE (%(ids)s::text[] IS NULL OR k.package_id = ANY (%(ids)s)) AND (%(offerings)s::text[] IS NULL OR k.offering_id = ANY (%(offerings)s))
          AND (%(after)s::text IS NULL OR k.package_id > %(after)s)
        ORDER BY k.offering_id, k.position, k.package_id LIMIT %(limit)s
        """,
        ids=None if package_ids is None else list(package_ids),
        offerings=None if offering_ids is None else list(offering_ids),
        after=after,
        limit=limit,
    )
    return [_package(row) for row in rows]


def _package(row: Row) -> Package:
    return Package(
        package_id=row["package_id"],
        offering_id=row["offering_id"],
        lookup_key=row["lookup_key"],
        display_name=row["display_name"],
        position=row["position"],
        created_at=row["created_at"],
        products=tuple(PackageProduct(product_id=one, eligibility_criteria=criteria) for one, criteria in row["products"] or ()),
    )


async def attach_to_package(tx: Tx, package_id: str, products: Sequence[PackageProduct]) -> None:
    await tx.execute(
        """
        INSERT INTO package_product (project_id, package_id, product_id, eligibility_criteria)
        SELECT %(project_id)s, %(package_id)s, product_id, criteria
        FROM unnest(%(products)s::text[], %(criteria)s::text[]) AS new (product_id, criteria)
        ON CONFLICT (project_id, package_id, product_id) DO UPDATE SET eligibility_criteria = excluded.eligibility_criteria
        """,
        project_id=tx.project_id,
        package_id=package_id,
        products=[one.product_id for one in products],
        criteria=[one.eligibility_criteria for one in products],
    )


async def detach_from_package(tx: Tx, package_id: str, product_ids: Sequence[str]) -> None:
    await tx.execute(
        "DELETE FROM package_product WHERE package_id = %(package_id)s AND product_id = ANY (%(products)s::text[])",
        package_id=package_id,
        products=list(product_ids),
    )


async def set_placement(tx: Tx, identifier: str, offering_id: str | None) -> None:
    await tx.execute(
        """
        INSERT INTO placement (project_id, identifier, offering_id) VALUES (%(project_id)s, %(identifier)s, %(offering_id)s)
        ON CONFLICT (project_id, identifier) DO UPDATE SET offering_id = excluded.offering_id
        """,
        project_id=tx.project_id,
        identifier=identifier,
        offering_id=offering_id,
    )


async def set_fallback(tx: Tx, offering_id: str | None) -> None:
    await tx.execute("UPDATE project SET fallback_offering_id = %(offering_id)s", offering_id=offering_id)


async def get_placements(tx: Tx) -> Placements:
    rows = await tx.fetch(
        """
        SELECT p.identifier, o.lookup_key FROM placement p LEFT JOIN offering o ON o.project_id = p.project_id AND o.offering_id = p.offering_id
        UNION ALL
        SELECT NULL, o.lookup_key FROM project j JOIN offering o ON o.project_id = j.project_id AND o.offering_id = j.fallback_offering_id
        """
    )
    by_identifier = {row["identifier"]: row["lookup_key"] for row in rows}
    return Placements(fallback_offering=by_identifier.pop(None, None), offerings=by_identifier)


async def update_package(tx: Tx, package: Package) -> None:
    await tx.execute(
        "UPDATE package SET display_name = %(display_name)s, position = %(position)s WHERE package_id = %(package_id)s",
        display_name=package.display_name,
        position=package.position,
        package_id=package.package_id,
    )


async def delete_package(tx: Tx, package_id: str) -> None:
    await tx.execute("DELETE FROM package WHERE package_id = %(package_id)s", package_id=package_id)


async def delete_other_placements(tx: Tx, identifiers: Sequence[str]) -> None:
    await tx.execute("DELETE FROM placement WHERE identifier <> ALL (%(identifiers)s::text[])", identifiers=list(identifiers))


async def get_placement_ids(tx: Tx) -> PlacementIds:
    rows = await tx.fetch(
        """
        SELECT identifier, offering_id FROM placement
        UNION ALL SELECT NULL, fallback_offering_id FROM project WHERE fallback_offering_id IS NOT NULL
        ORDER BY identifier
        """
    )
    by_identifier = {row["identifier"]: row["offering_id"] for row in rows}
    return PlacementIds(fallback_offering_id=by_identifier.pop(None, None), offering_ids=by_identifier)

"""SQL of the catalog, projects and keys."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, LiteralString

from perennial.base.db import Database, Row, Tx
from perennial.base.ids import ProjectId
from perennial.base.money import Money
from perennial.catalog.model import (
    ApiKey,
    App,
    AuditEntry,
    Caller,
    Entitlement,
    Offering,
    Package,
    PackageProduct,
    PlacementIds,
    Placements,
    Product,
    Project,
)

# Projects, apps, keys ---------------------------------------------------------------------------------------------------------


async def insert_project(tx: Tx, project: Project) -> None:
    await tx.execute(
        """
        INSERT INTO project (project_id, name, is_sandbox, clock_at, clock_started_at, restore_behavior, created_at)
        VALUES (%(project_id)s, %(name)s, %(is_sandbox)s, %(clock_at)s, %(clock_started_at)s, %(restore_behavior)s, %(created_at)s)
        """,
        project_id=project.project_id, name=project.name, is_sandbox=project.is_sandbox, clock_at=project.clock_at,
        clock_started_at=project.clock_started_at, restore_behavior=project.restore_behavior, created_at=project.created_at,
    )


async def get_projects(tx: Tx) -> list[Project]:
    """Those the transaction entered, oldest first."""
    return [_project(row) for row in await tx.fetch("SELECT * FROM project ORDER BY project_id")]


async def all_projects(database: Database) -> list[Project]:
    """Every project of the installation: for its operator, never for a caller with a key."""
    return [_project(row) for row in await database.door("SELECT * FROM all_projects()")]


def _project(row: Row) -> Project:
    return Project(
        project_id=row["project_id"], name=row["name"], is_sandbox=row["is_sandbox"], restore_behavior=row["restore_behavior"],
        created_at=row["created_at"], clock_at=row["clock_at"], clock_started_at=row["clock_started_at"],
    )


async def update_project(tx: Tx, *, restore_behavior: str) -> None:
    await tx.execute("UPDATE project SET restore_behavior = %(restore_behavior)s", restore_behavior=restore_behavior)


async def set_clock(tx: Tx, clock_at: datetime | None, clock_started_at: datetime | None) -> None:
    await tx.execute(
        "UPDATE project SET clock_at = %(clock_at)s, clock_started_at = %(clock_started_at)s", clock_at=clock_at, clock_started_at=clock_started_at
    )


async def claim_clock(tx: Tx, wall: datetime, until: datetime) -> bool:
    """False while somebody else moves the clock."""
    count = await tx.execute(
        "UPDATE project SET moving_until = %(until)s WHERE moving_until IS NULL OR moving_until <= %(wall)s", until=until, wall=wall
    )
    return count == 1


async def keep_clock(tx: Tx, until: datetime) -> None:
    await tx.execute("UPDATE project SET moving_until = %(until)s", until=until)


async def release_clock(tx: Tx) -> None:
    await tx.execute("UPDATE project SET moving_until = NULL")


async def insert_app(tx: Tx, app: App, *, api_secret: bytes | None) -> None:
    await tx.execute(
        """
        INSERT INTO app (project_id, app_id, name, store, bundle_id, app_apple_id, api_key_id, api_issuer, api_secret, api_base_url, created_at)
        VALUES (%(project_id)s, %(app_id)s, %(name)s, %(store)s, %(bundle_id)s, %(app_apple_id)s, %(api_key_id)s, %(api_issuer)s, %(api_secret)s,
                %(api_base_url)s, %(now)s)
        """,
        project_id=tx.project_id, app_id=app.app_id, name=app.name, store=app.store, bundle_id=app.bundle_id, app_apple_id=app.app_apple_id,
        api_key_id=app.api_key_id, api_issuer=app.api_issuer, api_secret=api_secret, api_base_url=app.api_base_url, now=tx.now,
    )


async def update_app(tx: Tx, app: App, *, api_secret: bytes | None) -> None:
    """Everything a person may change; the secret only where a new one is given."""
    await tx.execute(
        """
        UPDATE app SET name = %(name)s, bundle_id = %(bundle_id)s, app_apple_id = %(app_apple_id)s, api_key_id = %(api_key_id)s,
          api_issuer = %(api_issuer)s, api_base_url = %(api_base_url)s, api_secret = coalesce(%(api_secret)s, api_secret)
        WHERE app_id = %(app_id)s
        """,
        app_id=app.app_id, name=app.name, bundle_id=app.bundle_id, app_apple_id=app.app_apple_id, api_key_id=app.api_key_id,
        api_issuer=app.api_issuer, api_base_url=app.api_base_url, api_secret=api_secret,
    )


_APP: LiteralString = "app_id, name, store, created_at, bundle_id, app_apple_id, api_key_id, api_issuer, api_base_url, api_secret IS NOT NULL AS has_api_secret"


async def get_apps(tx: Tx, *, app_ids: Sequence[str] | None = None, after: str | None = None, limit: int = 100) -> list[App]:
    rows = await tx.fetch(
        "SELECT " + _APP + """ FROM app
        WHERE (%(ids)s::text[] IS NULL OR app_id = ANY (%(ids)s)) AND (%(after)s::text IS NULL OR app_id > %(after)s)
        ORDER BY app_id LIMIT %(limit)s
        """,
        ids=None if app_ids is None else list(app_ids), after=after, limit=limit,
    )
    return [App(**dict(row)) for row in rows]


async def get_app_secret(tx: Tx, app_id: str) -> bytes | None:
    sealed: bytes | None = await tx.fetch_value("SELECT api_secret FROM app WHERE app_id = %(app_id)s", app_id=app_id)
    return sealed


async def project_of_app(database: Database, app_id: str) -> ProjectId | None:
    """For stores, which address an app without a key."""
    rows = await database.door("SELECT project_of_app($1) AS project_id", app_id)
    return rows[0]["project_id"] if rows else None


async def insert_key(tx: Tx, key: ApiKey, key_hash: bytes) -> None:
    await tx.execute(
        """
        INSERT INTO api_key (project_id, key_id, kind, app_id, label, hash, public_key, created_at)
        VALUES (%(project_id)s, %(key_id)s, %(kind)s, %(app_id)s, %(label)s, %(hash)s, %(public_key)s, %(now)s)
        """,
        project_id=tx.project_id, key_id=key.key_id, kind=key.kind, app_id=key.app_id, label=key.label, hash=key_hash,
        public_key=key.public_key, now=tx.now,
    )


async def get_keys(tx: Tx, *, app_id: str | None = None) -> list[ApiKey]:
    rows = await tx.fetch(
        """
        SELECT key_id, kind, label, created_at, app_id, public_key, revoked_at FROM api_key
        WHERE %(app_id)s::text IS NULL OR app_id = %(app_id)s ORDER BY key_id LIMIT 1000
        """,
        app_id=app_id,
    )
    return [ApiKey(**dict(row)) for row in rows]


async def revoke_key(tx: Tx, key_id: str) -> bool:
    count = await tx.execute("UPDATE api_key SET revoked_at = %(now)s WHERE key_id = %(key_id)s AND revoked_at IS NULL", now=tx.now, key_id=key_id)
    return count == 1


async def extend_reach(tx: Tx, key_id: str, project_id: ProjectId) -> None:
    await tx.execute("UPDATE api_key SET reaches = array_append(reaches, %(project_id)s) WHERE key_id = %(key_id)s", key_id=key_id, project_id=project_id)


async def find_caller(database: Database, key_hash: bytes) -> Caller | None:
    rows = await database.door("SELECT * FROM find_keys($1)", [key_hash])
    if not rows:
        return None
    row = rows[0]
    return Caller(
        project_id=row["project_id"], key_id=row["key_id"], kind=row["kind"], app_id=row["app_id"], store=row["store"], reaches=tuple(row["reaches"])
    )


async def insert_audit(tx: Tx, audit_id: str, *, actor: str, action: str, target: str, data: dict[str, Any]) -> None:
    await tx.execute(
        """
        INSERT INTO audit (project_id, audit_id, actor, action, target, at, data)
        VALUES (%(project_id)s, %(audit_id)s, %(actor)s, %(action)s, %(target)s, %(now)s, %(data)s)
        """,
        project_id=tx.project_id, audit_id=audit_id, actor=actor, action=action, target=target, now=tx.now, data=data,
    )


async def touch(tx: Tx) -> None:
    """Every rendered document of the project is out of date from this commit on."""
    await tx.execute("UPDATE project SET catalog_version = catalog_version + 1")


# Products and entitlements ----------------------------------------------------------------------------------------------------


async def insert_product(tx: Tx, product: Product) -> None:
    await tx.execute(
        """
        INSERT INTO product (project_id, product_id, app_id, store_identifier, type, display_name, duration, trial_duration, created_at)
        VALUES (%(project_id)s, %(product_id)s, %(app_id)s, %(store_identifier)s, %(type)s, %(display_name)s, %(duration)s, %(trial_duration)s, %(now)s)
        """,
        project_id=tx.project_id, product_id=product.product_id, app_id=product.app_id, store_identifier=product.store_identifier, type=product.type,
        display_name=product.display_name, duration=product.duration, trial_duration=product.trial_duration, now=tx.now,
    )
    await insert_prices(tx, product.product_id, product.prices)


async def insert_prices(tx: Tx, product_id: str, prices: Sequence[Money]) -> None:
    if not prices:
        return
    await tx.execute(
        """
        INSERT INTO price (project_id, product_id, currency, amount)
        SELECT %(project_id)s, %(product_id)s, currency, amount FROM unnest(%(currencies)s::text[], %(amounts)s::bigint[]) AS new (currency, amount)
        ON CONFLICT (project_id, product_id, currency) DO UPDATE SET amount = excluded.amount
        """,
        project_id=tx.project_id, product_id=product_id, currencies=[price.currency for price in prices], amounts=[price.amount for price in prices],
    )


async def get_products(
    tx: Tx, *, product_ids: Iterable[str] | None = None, app_id: str | None = None, after: str | None = None, limit: int = 1000
) -> list[Product]:
    """Products with prices and the lookup keys of their entitlements, in order of making."""
    rows = await tx.fetch(
        _PRODUCT
        + """
        WHERE (%(ids)s::text[] IS NULL OR p.product_id = ANY (%(ids)s)) AND (%(app_id)s::text IS NULL OR p.app_id = %(app_id)s)
          AND (%(after)s::text IS NULL OR p.product_id > %(after)s)
        ORDER BY p.product_id LIMIT %(limit)s
        """,
        ids=None if product_ids is None else sorted(set(product_ids)), app_id=app_id, after=after, limit=limit,
    )
    return [_product(row) for row in rows]


async def find_products(tx: Tx, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Product]:
    """By (app, store identifier), as stores name them."""
    wanted = sorted(set(pairs))
    if not wanted:
        return {}
    rows = await tx.fetch(
        _PRODUCT
        + """
        JOIN unnest(%(apps)s::text[], %(identifiers)s::text[]) AS wanted (app_id, store_identifier)
          ON wanted.app_id = p.app_id AND wanted.store_identifier = p.store_identifier
        """,
        apps=[app for app, _ in wanted], identifiers=[identifier for _, identifier in wanted],
    )
    return {(row["app_id"], row["store_identifier"]): _product(row) for row in rows}


_PRODUCT: LiteralString = """
    SELECT p.product_id, p.app_id, p.store_identifier, p.type, p.created_at, p.display_name, p.duration, p.trial_duration,
      (SELECT jsonb_agg(jsonb_build_array(c.currency, c.amount) ORDER BY (c.currency <> 'USD'), c.currency)
       FROM price c WHERE c.project_id = p.project_id AND c.product_id = p.product_id) AS prices,
      (SELECT array_agg(e.lookup_key ORDER BY e.lookup_key) FROM entitlement_product ep
       JOIN entitlement e ON e.project_id = ep.project_id AND e.entitlement_id = ep.entitlement_id
       WHERE ep.project_id = p.project_id AND ep.product_id = p.product_id) AS entitlements
    FROM product p"""


def _product(row: Row) -> Product:
    return Product(
        product_id=row["product_id"], app_id=row["app_id"], store_identifier=row["store_identifier"], type=row["type"], created_at=row["created_at"],
        display_name=row["display_name"], duration=row["duration"], trial_duration=row["trial_duration"],
        prices=tuple(Money(amount=amount, currency=currency) for currency, amount in row["prices"] or ()),
        entitlements=tuple(row["entitlements"] or ()),
    )


async def insert_entitlement(tx: Tx, entitlement: Entitlement) -> None:
    await tx.execute(
        """
        INSERT INTO entitlement (project_id, entitlement_id, lookup_key, display_name, created_at)
        VALUES (%(project_id)s, %(entitlement_id)s, %(lookup_key)s, %(display_name)s, %(now)s)
        """,
        project_id=tx.project_id, entitlement_id=entitlement.entitlement_id, lookup_key=entitlement.lookup_key,
        display_name=entitlement.display_name, now=tx.now,
    )


async def get_entitlements(tx: Tx, *, entitlement_ids: Sequence[str] | None = None, after: str | None = None, limit: int = 1000) -> list[Entitlement]:
    rows = await tx.fetch(
        """
        SELECT entitlement_id, lookup_key, display_name, created_at FROM entitlement
        WHERE (%(ids)s::text[] IS NULL OR entitlement_id = ANY (%(ids)s)) AND (%(after)s::text IS NULL OR entitlement_id > %(after)s)
        ORDER BY entitlement_id LIMIT %(limit)s
        """,
        ids=None if entitlement_ids is None else list(entitlement_ids), after=after, limit=limit,
    )
    return [Entitlement(**dict(row)) for row in rows]


async def attach_to_entitlement(tx: Tx, entitlement_id: str, product_ids: Sequence[str]) -> None:
    await tx.execute(
        """
        INSERT INTO entitlement_product (project_id, entitlement_id, product_id)
        SELECT %(project_id)s, %(entitlement_id)s, unnest(%(products)s::text[]) ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id, entitlement_id=entitlement_id, products=sorted(set(product_ids)),
    )


async def detach_from_entitlement(tx: Tx, entitlement_id: str, product_ids: Sequence[str]) -> None:
    await tx.execute(
        "DELETE FROM entitlement_product WHERE entitlement_id = %(entitlement_id)s AND product_id = ANY (%(products)s::text[])",
        entitlement_id=entitlement_id, products=list(product_ids),
    )


async def products_of_entitlement(tx: Tx, entitlement_id: str) -> list[str]:
    rows = await tx.fetch("SELECT product_id FROM entitlement_product WHERE entitlement_id = %(id)s ORDER BY product_id", id=entitlement_id)
    return [row["product_id"] for row in rows]


# Offerings, packages, placements ----------------------------------------------------------------------------------------------


async def insert_offering(tx: Tx, offering: Offering) -> None:
    await tx.execute(
        """
        INSERT INTO offering (project_id, offering_id, lookup_key, display_name, metadata, is_current, created_at)
        VALUES (%(project_id)s, %(offering_id)s, %(lookup_key)s, %(display_name)s, %(metadata)s, %(is_current)s, %(now)s)
        """,
        project_id=tx.project_id, offering_id=offering.offering_id, lookup_key=offering.lookup_key, display_name=offering.display_name,
        metadata=offering.metadata, is_current=offering.is_current, now=tx.now,
    )


async def update_offering(tx: Tx, offering: Offering) -> None:
    await tx.execute(
        "UPDATE offering SET display_name = %(display_name)s, metadata = %(metadata)s, is_current = %(is_current)s WHERE offering_id = %(offering_id)s",
        offering_id=offering.offering_id, display_name=offering.display_name, metadata=offering.metadata, is_current=offering.is_current,
    )


async def clear_current_offering(tx: Tx) -> None:
    await tx.execute("UPDATE offering SET is_current = false WHERE is_current")


async def get_offerings(tx: Tx, *, offering_ids: Sequence[str] | None = None, after: str | None = None, limit: int = 1000) -> list[Offering]:
    """Offerings with their packages in position order, in two queries."""
    rows = await tx.fetch(
        """
        SELECT offering_id, lookup_key, display_name, is_current, created_at, metadata FROM offering
        WHERE (%(ids)s::text[] IS NULL OR offering_id = ANY (%(ids)s)) AND (%(after)s::text IS NULL OR offering_id > %(after)s)
        ORDER BY offering_id LIMIT %(limit)s
        """,
        ids=None if offering_ids is None else list(offering_ids), after=after, limit=limit,
    )
    packages = await get_packages(tx, offering_ids=[row["offering_id"] for row in rows])
    return [
        Offering(**dict(row), packages=tuple(package for package in packages if package.offering_id == row["offering_id"])) for row in rows
    ]


async def insert_package(tx: Tx, package: Package) -> None:
    await tx.execute(
        """
        INSERT INTO package (project_id, package_id, offering_id, lookup_key, display_name, position, created_at)
        VALUES (%(project_id)s, %(package_id)s, %(offering_id)s, %(lookup_key)s, %(display_name)s, %(position)s, %(now)s)
        """,
        project_id=tx.project_id, package_id=package.package_id, offering_id=package.offering_id, lookup_key=package.lookup_key,
        display_name=package.display_name, position=package.position, now=tx.now,
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
        ids=None if package_ids is None else list(package_ids), offerings=None if offering_ids is None else list(offering_ids), after=after, limit=limit,
    )
    return [_package(row) for row in rows]


def _package(row: Row) -> Package:
    return Package(
        package_id=row["package_id"], offering_id=row["offering_id"], lookup_key=row["lookup_key"], display_name=row["display_name"],
        position=row["position"], created_at=row["created_at"],
        products=tuple(PackageProduct(product_id=one, eligibility_criteria=criteria) for one, criteria in row["products"] or ()),
    )


async def attach_to_package(tx: Tx, package_id: str, products: Sequence[PackageProduct]) -> None:
    await tx.execute(
        """
        INSERT INTO package_product (project_id, package_id, product_id, eligibility_criteria)
        SELECT %(project_id)s, %(package_id)s, product_id, criteria FROM unnest(%(products)s::text[], %(criteria)s::text[]) AS new (product_id, criteria)
        ON CONFLICT (project_id, package_id, product_id) DO UPDATE SET eligibility_criteria = excluded.eligibility_criteria
        """,
        project_id=tx.project_id, package_id=package_id, products=[one.product_id for one in products],
        criteria=[one.eligibility_criteria for one in products],
    )


async def detach_from_package(tx: Tx, package_id: str, product_ids: Sequence[str]) -> None:
    await tx.execute(
        "DELETE FROM package_product WHERE package_id = %(package_id)s AND product_id = ANY (%(products)s::text[])",
        package_id=package_id, products=list(product_ids),
    )


async def set_placement(tx: Tx, identifier: str, offering_id: str | None) -> None:
    await tx.execute(
        """
        INSERT INTO placement (project_id, identifier, offering_id) VALUES (%(project_id)s, %(identifier)s, %(offering_id)s)
        ON CONFLICT (project_id, identifier) DO UPDATE SET offering_id = excluded.offering_id
        """,
        project_id=tx.project_id, identifier=identifier, offering_id=offering_id,
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



# Changes by hand, and who made them ---------------------------------------------------------------------------------------------


async def update_product(tx: Tx, product: Product) -> None:
    """What a person may change of it, without its prices; its store identifier and type are what it is."""
    await tx.execute(
        """
        UPDATE product SET display_name = %(display_name)s, duration = %(duration)s, trial_duration = %(trial_duration)s
        WHERE product_id = %(product_id)s
        """,
        product_id=product.product_id, display_name=product.display_name, duration=product.duration, trial_duration=product.trial_duration,
    )


async def delete_other_prices(tx: Tx, product_id: str, currencies: Sequence[str]) -> None:
    await tx.execute(
        "DELETE FROM price WHERE product_id = %(product_id)s AND currency <> ALL (%(currencies)s::text[])",
        product_id=product_id, currencies=list(currencies),
    )


async def update_entitlement(tx: Tx, entitlement: Entitlement) -> None:
    await tx.execute(
        "UPDATE entitlement SET display_name = %(display_name)s WHERE entitlement_id = %(entitlement_id)s",
        display_name=entitlement.display_name, entitlement_id=entitlement.entitlement_id,
    )


async def products_of_entitlements(tx: Tx, entitlement_ids: Sequence[str]) -> dict[str, list[str]]:
    """Product ids by entitlement, for all of a page at once."""
    rows = await tx.fetch(
        """
        SELECT entitlement_id, array_agg(product_id ORDER BY product_id) AS products FROM entitlement_product
        WHERE entitlement_id = ANY (%(ids)s::text[]) GROUP BY entitlement_id
        """,
        ids=list(entitlement_ids),
    )
    return {row["entitlement_id"]: list(row["products"]) for row in rows}


async def update_package(tx: Tx, package: Package) -> None:
    await tx.execute(
        "UPDATE package SET display_name = %(display_name)s, position = %(position)s WHERE package_id = %(package_id)s",
        display_name=package.display_name, position=package.position, package_id=package.package_id,
    )


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


async def get_audit(
    tx: Tx, *, before: str | None = None, since: datetime | None = None, until: datetime | None = None, limit: int = 100
) -> list[AuditEntry]:
    """The newest first; those before the entry `before`, and from `since` up to but without `until`.

    It names the project, as behind the wall alone PostgreSQL would sort a long log for every page of it.
    """
    rows = await tx.fetch(
        """
        SELECT audit_id, actor, action, target, at, data FROM audit
        WHERE project_id = %(project_id)s AND (%(before)s::text IS NULL OR audit_id < %(before)s)
          AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
        ORDER BY audit_id DESC LIMIT %(limit)s
        """,
        project_id=tx.project_id, before=before, since=since, until=until, limit=limit,
    )
    return [AuditEntry(**dict(row)) for row in rows]

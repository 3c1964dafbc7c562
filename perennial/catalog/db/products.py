"""SQL of products, prices and entitlements."""

from collections.abc import Iterable, Mapping, Sequence
from typing import LiteralString

from perennial.base.db import Row, Tx
from perennial.base.money import Money
from perennial.catalog import rules
from perennial.catalog.model import (
    Entitlement,
    Product,
)


async def is_full_of_products(tx: Tx, app_id: str, most: int) -> bool:
    return bool(
        await tx.fetch(
            "SELECT 1 FROM product WHERE project_id = %(project_id)s AND app_id = %(app_id)s OFFSET %(most)s - 1 LIMIT 1",
            project_id=tx.project_id,
            app_id=app_id,
            most=most,
        )
    )


async def insert_product(tx: Tx, product: Product) -> None:
    await tx.execute(
        """
        INSERT INTO product (project_id, product_id, app_id, store_identifier, type, display_name, duration, trial_duration, created_at)
        VALUES (%(project_id)s, %(product_id)s, %(app_id)s, %(store_identifier)s, %(type)s, %(display_name)s, %(duration)s,
          %(trial_duration)s, %(now)s)
        """,
        project_id=tx.project_id,
        product_id=product.product_id,
        app_id=product.app_id,
        store_identifier=product.store_identifier,
        type=product.type,
        display_name=product.display_name,
        duration=product.duration,
        trial_duration=product.trial_duration,
        now=tx.now,
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
        project_id=tx.project_id,
        product_id=product_id,
        currencies=[price.currency for price in prices],
        amounts=[price.amount for price in prices],
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
        ids=None if product_ids is None else sorted(set(product_ids)),
        app_id=app_id,
        after=after,
        limit=limit,
    )
    return [_product(row) for row in rows]


async def find_products(tx: Tx, pairs: Iterable[tuple[str | None, str]]) -> dict[tuple[str | None, str], Product]:
    """By (app, store identifier), as stores name them. Without an app: what is granted by hand, found by its entitlement."""
    wanted = set(pairs)
    sold = sorted((app_id, identifier) for app_id, identifier in wanted if app_id is not None)
    granted = {name: key for app_id, name in wanted if app_id is None and (key := rules.granted_entitlement(name)) is not None}
    return {**await _sold(tx, sold), **await _granted(tx, granted)}


async def _sold(tx: Tx, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str | None, str], Product]:
    if not wanted:
        return {}
    rows = await tx.fetch(
        _PRODUCT
        + """
        JOIN unnest(%(apps)s::text[], %(identifiers)s::text[]) AS wanted (app_id, store_identifier)
          ON wanted.app_id = p.app_id AND wanted.store_identifier = p.store_identifier
        """,
        apps=[app for app, _ in wanted],
        identifiers=[identifier for _, identifier in wanted],
    )
    return {(row["app_id"], row["store_identifier"]): _product(row) for row in rows}


async def _granted(tx: Tx, wanted: Mapping[str, str]) -> dict[tuple[str | None, str], Product]:
    """Grants, by their names; `wanted` says which entitlement each gives."""
    if not wanted:
        return {}
    found = {one.lookup_key: one for one in await get_entitlements(tx, lookup_keys=sorted(set(wanted.values())))}
    return {(None, name): rules.granted_product(name, found[key]) for name, key in wanted.items() if key in found}


_PRODUCT: LiteralString = """
    SELECT p.product_id, p.app_id, p.store_identifier, p.type, p.created_at, p.display_name, p.duration, p.trial_duration, p.archived_at,
      (SELECT jsonb_agg(jsonb_build_array(c.currency, c.amount) ORDER BY (c.currency <> 'USD'), c.currency)
       FROM price c WHERE c.project_id = p.project_id AND c.product_id = p.product_id) AS prices,
      (SELECT array_agg(e.lookup_key ORDER BY e.lookup_key) FROM entitlement_product ep
       JOIN entitlement e ON e.project_id = ep.project_id AND e.entitlement_id = ep.entitlement_id
       WHERE ep.project_id = p.project_id AND ep.product_id = p.product_id) AS entitlements
    FROM product p"""


def _product(row: Row) -> Product:
    return Product(
        product_id=row["product_id"],
        app_id=row["app_id"],
        store_identifier=row["store_identifier"],
        type=row["type"],
        created_at=row["created_at"],
        display_name=row["display_name"],
        duration=row["duration"],
        trial_duration=row["trial_duration"],
        prices=tuple(Money(amount=amount, currency=currency) for currency, amount in row["prices"] or ()),
        entitlements=tuple(row["entitlements"] or ()),
        archived_at=row["archived_at"],
    )


async def insert_entitlement(tx: Tx, entitlement: Entitlement) -> None:
    await tx.execute(
        """
        INSERT INTO entitlement (project_id, entitlement_id, lookup_key, display_name, created_at)
        VALUES (%(project_id)s, %(entitlement_id)s, %(lookup_key)s, %(display_name)s, %(now)s)
        """,
        project_id=tx.project_id,
        entitlement_id=entitlement.entitlement_id,
        lookup_key=entitlement.lookup_key,
        display_name=entitlement.display_name,
        now=tx.now,
    )


async def get_entitlements(
    tx: Tx,
    *,
    entitlement_ids: Sequence[str] | None = None,
    lookup_keys: Sequence[str] | None = None,
    after: str | None = None,
    limit: int = 1000,
) -> list[Entitlement]:
    rows = await tx.fetch(
        """
        SELECT entitlement_id, lookup_key, display_name, created_at, archived_at FROM entitlement
        WHERE (%(ids)s::text[] IS NULL OR entitlement_id = ANY (%(ids)s)) AND (%(keys)s::text[] IS NULL OR lookup_key = ANY (%(keys)s))
          AND (%(after)s::text IS NULL OR entitlement_id > %(after)s)
        ORDER BY entitlement_id LIMIT %(limit)s
        """,
        ids=None if entitlement_ids is None else list(entitlement_ids),
        keys=None if lookup_keys is None else list(lookup_keys),
        after=after,
        limit=limit,
    )
    return [Entitlement(**dict(row)) for row in rows]


async def attach_to_entitlement(tx: Tx, entitlement_id: str, product_ids: Sequence[str]) -> None:
    await tx.execute(
        """
        INSERT INTO entitlement_product (project_id, entitlement_id, product_id)
        SELECT %(project_id)s, %(entitlement_id)s, unnest(%(products)s::text[]) ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        entitlement_id=entitlement_id,
        products=sorted(set(product_ids)),
    )


async def detach_from_entitlement(tx: Tx, entitlement_id: str, product_ids: Sequence[str]) -> None:
    await tx.execute(
        "DELETE FROM entitlement_product WHERE entitlement_id = %(entitlement_id)s AND product_id = ANY (%(products)s::text[])",
        entitlement_id=entitlement_id,
        products=list(product_ids),
    )


async def products_of_entitlement(tx: Tx, entitlement_id: str) -> list[str]:
    rows = await tx.fetch("SELECT product_id FROM entitlement_product WHERE entitlement_id = %(id)s ORDER BY product_id", id=entitlement_id)
    return [row["product_id"] for row in rows]


async def update_product(tx: Tx, product: Product) -> None:
    """What a person may change of it, without its prices; its store identifier and type are what it is."""
    await tx.execute(
        """
        UPDATE product SET display_name = %(display_name)s, duration = %(duration)s, trial_duration = %(trial_duration)s,
          archived_at = %(archived_at)s
        WHERE product_id = %(product_id)s
        """,
        product_id=product.product_id,
        display_name=product.display_name,
        duration=product.duration,
        trial_duration=product.trial_duration,
        archived_at=product.archived_at,
    )


async def delete_product(tx: Tx, product_id: str) -> None:
    await tx.execute("DELETE FROM product WHERE product_id = %(product_id)s", product_id=product_id)


async def delete_other_prices(tx: Tx, product_id: str, currencies: Sequence[str]) -> None:
    await tx.execute(
        "DELETE FROM price WHERE product_id = %(product_id)s AND currency <> ALL (%(currencies)s::text[])",
        product_id=product_id,
        currencies=list(currencies),
    )


async def update_entitlement(tx: Tx, entitlement: Entitlement) -> None:
    await tx.execute(
        "UPDATE entitlement SET display_name = %(display_name)s, archived_at = %(archived_at)s WHERE entitlement_id = %(entitlement_id)s",
        display_name=entitlement.display_name,
        archived_at=entitlement.archived_at,
        entitlement_id=entitlement.entitlement_id,
    )


async def delete_entitlement(tx: Tx, entitlement_id: str) -> None:
    await tx.execute("DELETE FROM entitlement WHERE entitlement_id = %(entitlement_id)s", entitlement_id=entitlement_id)


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

"""SQL of virtual currencies, and of what products give of them."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from perennial.base.db import Row, Tx
from perennial.catalog.model import GivenByProduct, ProductGrant, VirtualCurrency


async def hold_currencies(tx: Tx) -> int:
    """Nobody else adds or changes the project's currencies until the transaction ends. Returns how many there are."""
    await tx.fetch("SELECT FROM project WHERE project_id = %(project_id)s FOR NO KEY UPDATE", project_id=tx.project_id)
    count: int = await tx.fetch_value("SELECT count(*) FROM virtual_currency")
    return count


async def insert_currency(tx: Tx, currency: VirtualCurrency) -> None:
    await tx.execute(
        """
        INSERT INTO virtual_currency (project_id, code, name, description, created_at)
        VALUES (%(project_id)s, %(code)s, %(name)s, %(description)s, %(now)s)
        """,
        project_id=tx.project_id,
        code=currency.code,
        name=currency.name,
        description=currency.description,
        now=tx.now,
    )


async def update_currency(tx: Tx, currency: VirtualCurrency) -> None:
    await tx.execute(
        "UPDATE virtual_currency SET name = %(name)s, description = %(description)s WHERE code = %(code)s",
        code=currency.code,
        name=currency.name,
        description=currency.description,
    )


async def delete_currency(tx: Tx, code: str) -> None:
    await tx.execute("DELETE FROM virtual_currency WHERE code = %(code)s", code=code)


async def set_grants(tx: Tx, code: str, grants: Sequence[ProductGrant]) -> None:
    """These are all there are from now on. A product that gave this currency before keeps the moment from which it does."""
    since = await _given_since(tx, code)
    await tx.execute("DELETE FROM product_grant WHERE code = %(code)s", code=code)
    places = range(1, len(grants) + 1)
    await tx.execute(
        """
        INSERT INTO product_grant (project_id, code, position, amount, trial_amount, expire_at_cycle_end)
        SELECT %(project_id)s, %(code)s, * FROM unnest(%(places)s::integer[], %(amounts)s::bigint[], %(trials)s::bigint[], %(expiring)s::boolean[])
        """,
        project_id=tx.project_id,
        code=code,
        places=list(places),
        amounts=[grant.amount for grant in grants],
        trials=[grant.trial_amount for grant in grants],
        expiring=[grant.expire_at_cycle_end for grant in grants],
    )
    named = [(place, product_id) for place, grant in zip(places, grants, strict=True) for product_id in grant.product_ids]
    await tx.execute(
        """
        INSERT INTO product_grant_product (project_id, code, position, product_id, since)
        SELECT %(project_id)s, %(code)s, * FROM unnest(%(places)s::integer[], %(products)s::text[], %(since)s::timestamptz[])
        """,
        project_id=tx.project_id,
        code=code,
        places=[place for place, _ in named],
        products=[product_id for _, product_id in named],
        since=[since.get(product_id, tx.now) for _, product_id in named],
    )


async def _given_since(tx: Tx, code: str) -> dict[str, datetime]:
    rows = await tx.fetch("SELECT product_id, since FROM product_grant_product WHERE code = %(code)s", code=code)
    return {row["product_id"]: row["since"] for row in rows}


async def get_currencies(tx: Tx, *, codes: Iterable[str] | None = None, after: str | None = None, limit: int = 1000) -> list[VirtualCurrency]:
    """In the order of their codes. A grant whose products are all gone is not shown."""
    rows = await tx.fetch(
        """
        SELECT c.code, c.name, c.description, c.created_at,
          (SELECT jsonb_agg(jsonb_build_array(g.amount, g.trial_amount, g.expire_at_cycle_end, g.products) ORDER BY g.position) FROM (
             SELECT g.position, g.amount, g.trial_amount, g.expire_at_cycle_end, jsonb_agg(p.product_id ORDER BY p.product_id) AS products
             FROM product_grant g
             JOIN product_grant_product p ON p.project_id = g.project_id AND p.code = g.code AND p.position = g.position
             WHERE g.project_id = c.project_id AND g.code = c.code GROUP BY g.position, g.amount, g.trial_amount, g.expire_at_cycle_end) g) AS grants
        FROM virtual_currency c
        WHERE (%(codes)s::text[] IS NULL OR c.code = ANY (%(codes)s)) AND (%(after)s::text IS NULL OR c.code COLLATE "C" > %(after)s)
        ORDER BY c.code COLLATE "C" LIMIT %(limit)s
        """,
        codes=None if codes is None else sorted(set(codes)),
        after=after,
        limit=limit,
    )
    return [_currency(row) for row in rows]


async def given_by(tx: Tx, product_ids: Iterable[str]) -> dict[str, list[GivenByProduct]]:
    """What these products give now, by product, in the order of the currencies' codes."""
    rows = await tx.fetch(
        """
        SELECT p.product_id, p.code, g.amount, g.trial_amount, g.expire_at_cycle_end, p.since
        FROM product_grant_product p
        JOIN product_grant g ON g.project_id = p.project_id AND g.code = p.code AND g.position = p.position
        WHERE p.product_id = ANY (%(ids)s::text[]) ORDER BY p.code COLLATE "C"
        """,
        ids=sorted(set(product_ids)),
    )
    given: dict[str, list[GivenByProduct]] = {}
    for row in rows:
        facts = dict(row)
        given.setdefault(facts.pop("product_id"), []).append(GivenByProduct(**facts))
    return given


def _currency(row: Row) -> VirtualCurrency:
    return VirtualCurrency(
        code=row["code"],
        name=row["name"],
        description=row["description"],
        created_at=row["created_at"],
        product_grants=tuple(
            ProductGrant(product_ids=tuple(products), amount=amount, trial_amount=trial_amount, expire_at_cycle_end=expires)
            for amount, trial_amount, expires, products in row["grants"] or ()
        ),
    )

"""SQL of grants and adjustments. Sets in, sets out."""

from collections.abc import Iterable, Sequence

from perennial.base.db import Row, Tx
from perennial.base.ids import CustomerId
from perennial.currencies.model import Adjustment, Grant, Origin

Bought = tuple[str, str, str]  # store, environment, transaction


async def is_any(tx: Tx) -> bool:
    """Whether the project has, or had, virtual currencies at all: most have none, and need look no further."""
    found: bool = await tx.fetch_value(
        """
        SELECT EXISTS (SELECT FROM virtual_currency WHERE project_id = %(project_id)s)
          OR EXISTS (SELECT FROM currency_grant WHERE project_id = %(project_id)s)
        """,
        project_id=tx.project_id,
    )
    return found


async def find_grants(tx: Tx, bought: Iterable[Bought]) -> dict[Bought, dict[str, Grant]]:
    """What these purchases gave, by purchase and code, whoever has it now."""
    wanted = sorted(set(bought))
    rows = await tx.fetch(
        """
        SELECT g.* FROM unnest(%(stores)s::text[], %(environments)s::text[], %(transactions)s::text[]) AS wanted (store, environment, transaction)
        CROSS JOIN LATERAL (
          SELECT * FROM currency_grant WHERE project_id = %(project_id)s AND store = wanted.store AND environment = wanted.environment
            AND transaction = wanted.transaction OFFSET 0) g
        """,
        project_id=tx.project_id,
        stores=[one[0] for one in wanted],
        environments=[one[1] for one in wanted],
        transactions=[one[2] for one in wanted],
    )
    found: dict[Bought, dict[str, Grant]] = {}
    for row in rows:
        found.setdefault((row["store"], row["environment"], row["transaction"]), {})[row["code"]] = _grant(row)
    return found


async def expiring(tx: Tx, customer_ids: Iterable[CustomerId]) -> list[Grant]:
    """Grants of these customers that expire and were not cleared away yet."""
    rows = await tx.fetch(
        """
        SELECT g.* FROM unnest(%(customers)s::text[]) AS wanted (customer_id)
        CROSS JOIN LATERAL (
          SELECT * FROM currency_grant WHERE project_id = %(project_id)s AND customer_id = wanted.customer_id OFFSET 0) g
        WHERE g.wake_at IS NOT NULL
        """,
        project_id=tx.project_id,
        customers=sorted(set(customer_ids)),
    )
    return [_grant(row) for row in rows]


async def due(tx: Tx, limit: int) -> list[Grant]:
    """Grants whose time has come. Not held: customers are held before what they have, by everyone."""
    rows = await tx.fetch(
        """
        SELECT * FROM currency_grant WHERE project_id = (SELECT %(project_id)s::text) AND wake_at <= %(now)s ORDER BY wake_at LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        now=tx.now,
        limit=limit,
    )
    return [_grant(row) for row in rows]


async def save_grants(tx: Tx, grants: Sequence[Grant]) -> None:
    rows = [
        {
            "project_id": tx.project_id,
            "customer_id": grant.customer_id,
            "store": grant.origin.store,
            "environment": grant.origin.environment,
            "transaction": grant.origin.transaction,
            "code": grant.code,
            "grant_id": grant.grant_id,
            "app_id": grant.origin.app_id,
            "product": grant.origin.product,
            "amount": grant.amount,
            "due_back": grant.due_back,
            "taken_back": grant.taken_back,
            "reckonings": grant.reckonings,
            "expires_at": grant.expires_at,
            "granted_at": tx.now,
            "wake_at": grant.wake_at,
        }
        for grant in grants
    ]
    await tx.execute(
        """
        INSERT INTO currency_grant SELECT * FROM jsonb_populate_recordset(NULL::public.currency_grant, %(rows)s)
        ON CONFLICT (project_id, customer_id, grant_id) DO UPDATE SET due_back = excluded.due_back, taken_back = excluded.taken_back,
          reckonings = excluded.reckonings, expires_at = excluded.expires_at, wake_at = excluded.wake_at
        """,
        rows=rows,
    )


async def move_grants(tx: Tx, source: CustomerId, target: CustomerId) -> None:
    await tx.execute("UPDATE currency_grant SET customer_id = %(target)s WHERE customer_id = %(source)s", source=source, target=target)


async def find_adjustment(tx: Tx, customer_id: CustomerId, adjustment_id: str) -> Adjustment | None:
    row = await tx.fetch_one(
        """
        SELECT adjustment_id, customer_id, adjustments, balances, is_told, reference FROM currency_adjustment
        WHERE customer_id = %(customer_id)s AND adjustment_id = %(adjustment_id)s
        """,
        customer_id=customer_id,
        adjustment_id=adjustment_id,
    )
    return None if row is None else Adjustment(**dict(row))


async def insert_adjustment(tx: Tx, adjustment: Adjustment) -> None:
    await tx.execute(
        """
        INSERT INTO currency_adjustment (project_id, customer_id, adjustment_id, adjustments, reference, is_told, balances, adjusted_at)
        VALUES (%(project_id)s, %(customer_id)s, %(adjustment_id)s, %(adjustments)s, %(reference)s, %(is_told)s, %(balances)s, %(now)s)
        """,
        project_id=tx.project_id,
        customer_id=adjustment.customer_id,
        adjustment_id=adjustment.adjustment_id,
        adjustments=dict(adjustment.adjustments),
        reference=adjustment.reference,
        is_told=adjustment.is_told,
        balances=dict(adjustment.balances),
        now=tx.now,
    )


def _grant(row: Row) -> Grant:
    return Grant(
        grant_id=row["grant_id"],
        customer_id=row["customer_id"],
        origin=Origin(
            store=row["store"], environment=row["environment"], transaction=row["transaction"], app_id=row["app_id"], product=row["product"]
        ),
        code=row["code"],
        amount=row["amount"],
        due_back=row["due_back"],
        taken_back=row["taken_back"],
        reckonings=row["reckonings"],
        expires_at=row["expires_at"],
        wake_at=row["wake_at"],
    )

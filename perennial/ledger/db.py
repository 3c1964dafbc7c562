"""SQL of transfers and bounded accounts. Sets in, sets out; rows are looked up key by key (`LATERAL`), so that a long ledger is never walked."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from perennial.base.db import Row, Tx
from perennial.ledger.model import Posted, Transfer, Unit
from perennial.ledger.rules import Holding


async def insert(tx: Tx, transfers: Sequence[Transfer]) -> set[str]:
    """Returns the keys that were new."""
    ids = sorted(tx.new_id("trn") for _ in transfers)
    rows = await tx.fetch(
        """
        INSERT INTO transfer
          (project_id, key, transfer_id, from_account, to_account, amount, unit, currency, kind, reference, happened_at, recorded_at)
        SELECT %(project_id)s, key, transfer_id, from_account, to_account, amount, unit, currency, kind, reference, happened_at, %(now)s
        FROM json_to_recordset(%(rows)s::text::json) AS new (key text, transfer_id text, from_account text, to_account text, amount bigint,
          unit text, currency text, kind text, reference text, happened_at timestamptz)
        ON CONFLICT (project_id, key) DO NOTHING
        RETURNING key
        """,
        project_id=tx.project_id,
        now=tx.now,
        rows=msgspec.json.encode([_row(one, transfer_id) for one, transfer_id in zip(transfers, ids, strict=True)]).decode(),
    )
    return {row["key"] for row in rows}


def _row(transfer: Transfer, transfer_id: str) -> dict[str, Any]:
    return {
        "key": transfer.key,
        "transfer_id": transfer_id,
        "from_account": transfer.from_account,
        "to_account": transfer.to_account,
        "amount": transfer.amount,
        "unit": transfer.unit.kind,
        "currency": transfer.unit.code,
        "kind": transfer.kind,
        "reference": transfer.reference,
        "happened_at": transfer.happened_at,
    }


async def find(tx: Tx, keys: Sequence[str]) -> list[Transfer]:
    rows = await tx.fetch(
        """
        SELECT t.* FROM unnest(%(keys)s::text[]) AS wanted (key)
        CROSS JOIN LATERAL (SELECT * FROM transfer WHERE project_id = %(project_id)s AND key = wanted.key LIMIT 1) t
        """,
        project_id=tx.project_id,
        keys=list(keys),
    )
    return [_transfer(row) for row in rows]


async def hold(tx: Tx, holdings: Sequence[Holding]) -> dict[Holding, int]:
    """Balances that nobody else changes until the transaction ends. Accounts are made where there are none, and held in the order given."""
    parameters = {
        "project_id": tx.project_id,
        "accounts": [account for account, _ in holdings],
        "units": [unit.kind for _, unit in holdings],
        "currencies": [unit.code for _, unit in holdings],
    }
    await tx.execute(
        """
        INSERT INTO bounded_account (project_id, account, unit, currency, balance)
        SELECT %(project_id)s, account, unit, currency, 0
        FROM unnest(%(accounts)s::text[], %(units)s::text[], %(currencies)s::text[]) AS new (account, unit, currency)
        ON CONFLICT DO NOTHING
        """,
        **parameters,
    )
    rows = await tx.fetch(
        """
        SELECT b.* FROM unnest(%(accounts)s::text[], %(units)s::text[], %(currencies)s::text[]) WITH ORDINALITY
          AS wanted (account, unit, currency, place)
        CROSS JOIN LATERAL (
          SELECT * FROM bounded_account b
          WHERE b.project_id = %(project_id)s AND b.account = wanted.account AND b.unit = wanted.unit AND b.currency = wanted.currency
          LIMIT 1 FOR UPDATE) b
        """,
        **parameters,
    )
    return {(row["account"], _unit(row)): row["balance"] for row in rows}


async def save(tx: Tx, balances: Mapping[Holding, int]) -> None:
    """Balances of held accounts. By their keys alone, as a join with a table that has grown fast may be planned as a walk over all of it."""
    await tx.execute(
        """
        INSERT INTO bounded_account (project_id, account, unit, currency, balance)
        SELECT %(project_id)s, *
        FROM unnest(%(accounts)s::text[], %(units)s::text[], %(currencies)s::text[], %(balances)s::bigint[])
        ON CONFLICT (project_id, account, unit, currency) DO UPDATE SET balance = excluded.balance
        """,
        project_id=tx.project_id,
        accounts=[account for account, _ in balances],
        units=[unit.kind for _, unit in balances],
        currencies=[unit.code for _, unit in balances],
        balances=list(balances.values()),
    )


async def sums(tx: Tx, accounts: Sequence[str]) -> list[tuple[Holding, int]]:
    """Balances of accounts without a row: all their transfers, from the indexes alone.

    The order is asked for because only the right index has it: of a table too young for statistics PostgreSQL expects one row by any of them.
    """
    rows = await tx.fetch(
        """
        SELECT wanted.account, t.unit, t.currency, sum(t.amount)::bigint AS balance
        FROM unnest(%(accounts)s::text[]) AS wanted (account)
        CROSS JOIN LATERAL (
          (SELECT unit, currency, amount FROM transfer WHERE project_id = %(project_id)s AND to_account = wanted.account
           ORDER BY transfer_id OFFSET 0)
          UNION ALL
          (SELECT unit, currency, -amount FROM transfer WHERE project_id = %(project_id)s AND from_account = wanted.account
           ORDER BY transfer_id OFFSET 0)) t
        GROUP BY 1, 2, 3
        """,
        project_id=tx.project_id,
        accounts=list(accounts),
    )
    return [((row["account"], _unit(row)), row["balance"]) for row in rows]


async def kept(tx: Tx, accounts: Sequence[str]) -> list[tuple[Holding, int]]:
    """Balances of bounded accounts."""
    rows = await tx.fetch(
        """
        SELECT b.* FROM unnest(%(accounts)s::text[]) AS wanted (account)
        CROSS JOIN LATERAL (SELECT * FROM bounded_account WHERE project_id = %(project_id)s AND account = wanted.account OFFSET 0) b
        """,
        project_id=tx.project_id,
        accounts=list(accounts),
    )
    return [((row["account"], _unit(row)), row["balance"]) for row in rows]


async def kept_under(tx: Tx, paths: Sequence[str]) -> list[tuple[Holding, int]]:
    """Balances of the bounded accounts under paths that end in a slash, which `0` follows in the order of bytes."""
    rows = await tx.fetch(
        """
        SELECT b.* FROM unnest(%(paths)s::text[], %(ends)s::text[]) AS wanted (path, path_end)
        CROSS JOIN LATERAL (
          SELECT * FROM bounded_account
          WHERE project_id = %(project_id)s AND account > wanted.path COLLATE "C" AND account < wanted.path_end COLLATE "C" OFFSET 0) b
        """,
        project_id=tx.project_id,
        paths=list(paths),
        ends=[path[:-1] + "0" for path in paths],
    )
    return [((row["account"], _unit(row)), row["balance"]) for row in rows]


async def history(tx: Tx, account: str, *, before: str | None, limit: int) -> list[Posted]:
    """The newest first, by the two indexes in their order."""
    rows = await tx.fetch(
        """
        SELECT * FROM (
          (SELECT * FROM transfer WHERE project_id = %(project_id)s AND from_account = %(account)s
             AND (%(before)s::text IS NULL OR transfer_id < %(before)s) ORDER BY transfer_id DESC LIMIT %(limit)s)
          UNION ALL
          (SELECT * FROM transfer WHERE project_id = %(project_id)s AND to_account = %(account)s
             AND (%(before)s::text IS NULL OR transfer_id < %(before)s) ORDER BY transfer_id DESC LIMIT %(limit)s)) t
        ORDER BY transfer_id DESC LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        account=account,
        before=before,
        limit=limit,
    )
    return [Posted(transfer_id=row["transfer_id"], transfer=_transfer(row), recorded_at=row["recorded_at"]) for row in rows]


def _transfer(row: Row) -> Transfer:
    return Transfer(
        key=row["key"],
        from_account=row["from_account"],
        to_account=row["to_account"],
        amount=row["amount"],
        unit=_unit(row),
        kind=row["kind"],
        happened_at=row["happened_at"],
        reference=row["reference"],
    )


def _unit(row: Row) -> Unit:
    return Unit(kind=row["unit"], code=row["currency"])

"""SQL of lines with their purchases and renewal snapshots. Batches of lines in, batches out; every query once per batch.

Rows are looked up key by key (`LATERAL`), so that a table that has grown faster than its statistics is never walked as a whole.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from perennial.base.db import Row, Tx
from perennial.base.ids import CustomerId, LineId
from perennial.subscriptions.db.places import Place
from perennial.subscriptions.db.rows import held_of, line_of, line_row, purchase_row, renewal_of, renewal_row
from perennial.subscriptions.model import Held, Line, Renewal


async def load(tx: Tx, places: Iterable[Place]) -> dict[LineId, Line]:
    """Lines with everything known of them, in three queries."""
    wanted = sorted({(place.customer_id, place.line_id) for place in places})
    if not wanted:
        return {}
    rows = await tx.fetch(
        """
        SELECT l.* FROM unnest(%(customers)s::text[], %(ids)s::text[]) AS wanted (customer_id, line_id)
        CROSS JOIN LATERAL (
          SELECT * FROM line WHERE project_id = %(project_id)s AND customer_id = wanted.customer_id AND line_id = wanted.line_id LIMIT 1) l
        """,
        project_id=tx.project_id,
        customers=[customer for customer, _ in wanted],
        ids=[line for _, line in wanted],
    )
    return await _with_contents(tx, rows)


async def load_by_ids(tx: Tx, line_ids: Iterable[str]) -> dict[LineId, Line]:
    """For callers who hold a line's id alone."""
    rows = await tx.fetch("SELECT customer_id, line_id FROM line WHERE line_id = ANY (%(ids)s::text[])", ids=sorted(set(line_ids)))
    return await load(tx, [Place(**row) for row in rows])


async def load_of_customers(tx: Tx, customer_ids: Iterable[CustomerId]) -> list[Line]:
    ids = sorted(set(customer_ids))
    rows = await tx.fetch("SELECT * FROM line WHERE customer_id = ANY (%(ids)s::text[]) ORDER BY line_id", ids=ids)
    return list((await _with_contents(tx, rows)).values())


async def _with_contents(tx: Tx, rows: Sequence[Row]) -> dict[LineId, Line]:
    customers, ids = [row["customer_id"] for row in rows], [row["line_id"] for row in rows]
    if not ids:
        return {}
    purchases = await tx.fetch(
        """
        SELECT p.* FROM unnest(%(customers)s::text[], %(ids)s::text[]) AS wanted (customer_id, line_id)
        CROSS JOIN LATERAL (
          SELECT * FROM purchase WHERE project_id = %(project_id)s AND customer_id = wanted.customer_id AND line_id = wanted.line_id OFFSET 0) p
        ORDER BY p.line_id, p.purchased_at, p.transaction
        """,
        project_id=tx.project_id,
        customers=customers,
        ids=ids,
    )
    renewals = await tx.fetch(
        """
        SELECT r.* FROM unnest(%(customers)s::text[], %(ids)s::text[]) AS wanted (customer_id, line_id)
        CROSS JOIN LATERAL (
          SELECT * FROM renewal WHERE project_id = %(project_id)s AND customer_id = wanted.customer_id AND line_id = wanted.line_id OFFSET 0) r
        ORDER BY r.line_id, r.as_of
        """,
        project_id=tx.project_id,
        customers=customers,
        ids=ids,
    )
    held: dict[str, list[Held]] = {}
    said: dict[str, list[Renewal]] = {}
    for row in purchases:
        held.setdefault(row["line_id"], []).append(held_of(row))
    for row in renewals:
        said.setdefault(row["line_id"], []).append(renewal_of(row))
    return {row["line_id"]: line_of(row, held.get(row["line_id"], []), said.get(row["line_id"], [])) for row in rows}


async def was_sold(tx: Tx, app_id: str, product: str) -> bool:
    """Whether any customer has bought it, or will be changed to it. It looks through everything where none has: for rare acts of a person."""
    found: bool = await tx.fetch_value(
        """
        SELECT EXISTS (SELECT FROM line l WHERE l.app_id = %(app_id)s AND (
          EXISTS (SELECT FROM purchase p
                  WHERE p.project_id = l.project_id AND p.customer_id = l.customer_id AND p.line_id = l.line_id AND p.product = %(product)s)
          OR EXISTS (SELECT FROM renewal r
                     WHERE r.project_id = l.project_id AND r.customer_id = l.customer_id AND r.line_id = l.line_id AND r.next_product = %(product)s)))
        """,
        app_id=app_id,
        product=product,
    )
    return found


async def sold_within(tx: Tx, app_id: str, products: Sequence[str], *, since: datetime, until: datetime, after: str, limit: int) -> list[Line]:
    """A page of an app's lines with a purchase of these products in the span, by line id, the first after `after`."""
    rows = await tx.fetch(
        """
        SELECT l.line_id FROM line l
        WHERE l.project_id = (SELECT %(project_id)s::text) AND l.line_id > %(after)s AND l.app_id = %(app_id)s AND EXISTS (
          SELECT FROM purchase p
          WHERE p.project_id = l.project_id AND p.customer_id = l.customer_id AND p.line_id = l.line_id
            AND p.product = ANY (%(products)s::text[]) AND p.purchased_at >= %(since)s AND p.purchased_at < %(until)s)
        ORDER BY l.line_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        app_id=app_id,
        products=list(products),
        since=since,
        until=until,
        after=after,
        limit=limit,
    )
    found = await load_by_ids(tx, [row["line_id"] for row in rows])
    return [found[line_id] for line_id in sorted(found)]


async def due(tx: Tx, limit: int) -> list[Place]:
    """Lines whose time has come. Not held: customers are held before their lines, by everyone."""
    rows = await tx.fetch(
        """
        SELECT customer_id, line_id FROM line WHERE project_id = (SELECT %(project_id)s::text) AND wake_at <= %(now)s
        ORDER BY wake_at LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        now=tx.now,
        limit=limit,
    )
    return [Place(**row) for row in rows]


async def unclaimed(tx: Tx, limit: int) -> list[Place]:
    """Lines nobody has claimed, the oldest first."""
    rows = await tx.fetch(
        """
        SELECT customer_id, line_id FROM line WHERE project_id = (SELECT %(project_id)s::text) AND unclaimed_since IS NOT NULL
        ORDER BY unclaimed_since, line_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        limit=limit,
    )
    return [Place(**row) for row in rows]


async def misnamed(tx: Tx, limit: int) -> list[Place]:
    """Lines whose buyer was named by what can be nobody's name, and is known by no better one."""
    rows = await tx.fetch(
        """
        SELECT customer_id, line_id FROM line WHERE project_id = (SELECT %(project_id)s::text) AND refused_name IS NOT NULL
        ORDER BY line_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        limit=limit,
    )
    return [Place(**row) for row in rows]


async def save(tx: Tx, lines: Sequence[Line], before: dict[LineId, Line]) -> None:
    """Writes what differs from `before`: three statements, whatever the number of lines."""
    await _upsert_lines(tx, lines)
    await _forget_repeated(tx, lines, before)
    purchases = [purchase_row(line, held, tx) for line in lines for held in line.held if held not in _known(before.get(line.line_id))]
    renewals = [renewal_row(line, one, tx) for line in lines for one in line.renewals if one not in _said(before.get(line.line_id))]
    if purchases:
        await _upsert_purchases(tx, purchases)
    if renewals:
        await _upsert_renewals(tx, renewals)


async def _forget_repeated(tx: Tx, lines: Sequence[Line], before: dict[LineId, Line]) -> None:
    """Snapshots that merging left out, as they only repeat their neighbours."""
    gone = [(line, one.as_of) for line in lines for one in _said(before.get(line.line_id)) if one not in line.renewals]
    if gone:
        await tx.execute(
            """
            DELETE FROM renewal r
            USING unnest(%(customers)s::text[], %(ids)s::text[], %(moments)s::timestamptz[]) AS gone (customer_id, line_id, as_of)
            WHERE r.project_id = %(project_id)s AND r.customer_id = gone.customer_id AND r.line_id = gone.line_id AND r.as_of = gone.as_of
            """,
            project_id=tx.project_id,
            customers=[line.customer_id for line, _ in gone],
            ids=[line.line_id for line, _ in gone],
            moments=[as_of for _, as_of in gone],
        )


def _known(line: Line | None) -> tuple[Held, ...]:
    return line.held if line else ()


def _said(line: Line | None) -> tuple[Renewal, ...]:
    return line.renewals if line else ()


async def forget_words(tx: Tx, customer_ids: Sequence[CustomerId]) -> None:
    await tx.execute("UPDATE line SET noted = NULL, noted_at = NULL WHERE customer_id = ANY (%(ids)s::text[])", ids=list(customer_ids))


async def _upsert_lines(tx: Tx, lines: Sequence[Line]) -> None:
    await tx.execute(
        """
        INSERT INTO line SELECT * FROM json_populate_recordset(NULL::public.line, %(rows)s::text::json)
        ON CONFLICT (project_id, customer_id, line_id) DO UPDATE SET told_auto_renew = excluded.told_auto_renew,
          told_next_product = excluded.told_next_product, told_paused = excluded.told_paused,
          heard_at = excluded.heard_at, wake_at = excluded.wake_at, newest_key = excluded.newest_key, store_user = excluded.store_user,
          noted = excluded.noted, noted_at = excluded.noted_at, original_purchased_at = excluded.original_purchased_at,
          refused_name = excluded.refused_name,
          unclaimed_since = excluded.unclaimed_since, tell_unclaimed_at = excluded.tell_unclaimed_at
        """,
        rows=_json([line_row(line, tx) for line in lines]),
    )


async def _upsert_purchases(tx: Tx, rows: list[dict[str, Any]]) -> None:
    await tx.execute(
        """
        INSERT INTO purchase SELECT * FROM json_populate_recordset(NULL::public.purchase, %(rows)s::text::json)
        ON CONFLICT (project_id, customer_id, line_id, transaction) DO UPDATE SET
          product = excluded.product, kind = excluded.kind, purchased_at = excluded.purchased_at, expires_at = excluded.expires_at,
          as_of = excluded.as_of, is_first = excluded.is_first, is_renewal = excluded.is_renewal, period_type = excluded.period_type,
          ownership = excluded.ownership, price_amount = excluded.price_amount, price_currency = excluded.price_currency,
          tax_amount = excluded.tax_amount, commission_amount = excluded.commission_amount, refunds = excluded.refunds,
          quantity = excluded.quantity, offer_kind = excluded.offer_kind, offer_identifier = excluded.offer_identifier,
          country = excluded.country, revoked_at = excluded.revoked_at, revoked_refunded = excluded.revoked_refunded,
          revoked_share_ppm = excluded.revoked_share_ppm, is_superseded = excluded.is_superseded, is_summary = excluded.is_summary,
          is_proration = excluded.is_proration, charged_ppm = excluded.charged_ppm,
          presented_offering = excluded.presented_offering, told_purchased = excluded.told_purchased,
          told_expires_at = excluded.told_expires_at, told_revoked_at = excluded.told_revoked_at, told_expired = excluded.told_expired,
          told_reversals = excluded.told_reversals, told_billing_issue = excluded.told_billing_issue,
          told_refunds = excluded.told_refunds, told_quietly = excluded.told_quietly,
          booked_gross = excluded.booked_gross, booked_tax = excluded.booked_tax,
          booked_commission = excluded.booked_commission, booked_refunded = excluded.booked_refunded,
          booked_currency = excluded.booked_currency, booked_postings = excluded.booked_postings
        """,
        rows=_json(rows),
    )


async def _upsert_renewals(tx: Tx, rows: list[dict[str, Any]]) -> None:
    await tx.execute(
        """
        INSERT INTO renewal SELECT * FROM json_populate_recordset(NULL::public.renewal, %(rows)s::text::json)
        ON CONFLICT (project_id, customer_id, line_id, as_of) DO UPDATE SET
          transaction = excluded.transaction, auto_renew = excluded.auto_renew, next_product = excluded.next_product,
          off_reason = excluded.off_reason, in_billing_retry = excluded.in_billing_retry, grace_until = excluded.grace_until,
          ended = excluded.ended, ended_at = excluded.ended_at, price_consent = excluded.price_consent,
          pause = excluded.pause, resumes_at = excluded.resumes_at
        """,
        rows=_json(rows),
    )


def _json(rows: list[dict[str, Any]]) -> str:
    """Rows as one text: read once, where `jsonb` would be made of it first, at two thirds more of the database's time."""
    return msgspec.json.encode(rows).decode()

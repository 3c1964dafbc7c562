"""SQL of lines, purchases and renewal snapshots. Batches of lines in, batches out; every query once per batch.

Rows are looked up key by key (`LATERAL`), so that a table that has grown faster than its statistics is never walked as a whole.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from perennial.base.db import Row, Tx
from perennial.base.ids import CustomerId, LineId
from perennial.base.money import Money
from perennial.base.value import value
from perennial.subscriptions.model import Held, Line, Offer, Purchase, Renewal, Revocation, Told, ToldLine

Key = tuple[str, str, str]  # store, environment, the store's own key of the line


@value
class Place:
    """Where we keep a line of a store."""

    customer_id: CustomerId
    line_id: LineId


async def hold(tx: Tx, keys: Iterable[Key]) -> None:
    """Nobody else records these lines until the transaction ends, known or not yet: taken first, in one order for everyone."""
    await tx.fetch(
        "SELECT pg_advisory_xact_lock(hashtextextended(key, 0)) FROM unnest(%(keys)s::text[]) AS key",
        keys=sorted({"|".join((tx.project_id, *key)) for key in keys}),
    )


async def find_places(tx: Tx, keys: Iterable[Key]) -> dict[Key, Place]:
    """The known lines among these."""
    wanted = sorted(set(keys))
    rows = await tx.fetch(
        """
        SELECT d.* FROM unnest(%(stores)s::text[], %(environments)s::text[], %(lines)s::text[]) AS wanted (store, environment, store_line)
        CROSS JOIN LATERAL (
          SELECT * FROM line_directory l
          WHERE l.project_id = %(project_id)s AND l.store = wanted.store AND l.environment = wanted.environment AND l.store_line = wanted.store_line
          LIMIT 1) d
        """,
        project_id=tx.project_id,
        stores=[key[0] for key in wanted],
        environments=[key[1] for key in wanted],
        lines=[key[2] for key in wanted],
    )
    return {(row["store"], row["environment"], row["store_line"]): Place(customer_id=row["customer_id"], line_id=row["line_id"]) for row in rows}


async def insert_places(tx: Tx, places: dict[Key, Place]) -> None:
    """New lines; who writes them holds their keys."""
    keys = sorted(places)
    await tx.execute(
        """
        INSERT INTO line_directory (project_id, store, environment, store_line, customer_id, line_id)
        SELECT %(project_id)s, * FROM unnest(%(stores)s::text[], %(environments)s::text[], %(lines)s::text[], %(customers)s::text[], %(ids)s::text[])
        """,
        project_id=tx.project_id,
        stores=[key[0] for key in keys],
        environments=[key[1] for key in keys],
        lines=[key[2] for key in keys],
        customers=[places[key].customer_id for key in keys],
        ids=[places[key].line_id for key in keys],
    )


async def load(tx: Tx, places: Iterable[Place]) -> dict[LineId, Line]:
    """Lines with everything known of them, in three queries."""
    wanted = sorted({(place.customer_id, place.line_id) for place in places})
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
        held.setdefault(row["line_id"], []).append(_held(row))
    for row in renewals:
        said.setdefault(row["line_id"], []).append(_renewal(row))
    return {row["line_id"]: _line(row, held.get(row["line_id"], []), said.get(row["line_id"], [])) for row in rows}


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


async def save(tx: Tx, lines: Sequence[Line], before: dict[LineId, Line]) -> None:
    """Writes what differs from `before`: three statements, whatever the number of lines."""
    await _upsert_lines(tx, lines)
    purchases = [_purchase_row(line, held, tx) for line in lines for held in line.held if held not in _known(before.get(line.line_id))]
    renewals = [_renewal_row(line, one, tx) for line in lines for one in line.renewals if one not in _said(before.get(line.line_id))]
    if purchases:
        await _upsert_purchases(tx, purchases)
    if renewals:
        await _upsert_renewals(tx, renewals)


def _known(line: Line | None) -> tuple[Held, ...]:
    return line.held if line else ()


def _said(line: Line | None) -> tuple[Renewal, ...]:
    return line.renewals if line else ()


async def _upsert_lines(tx: Tx, lines: Sequence[Line]) -> None:
    rows = [
        {
            "project_id": tx.project_id,
            "customer_id": line.customer_id,
            "line_id": line.line_id,
            "app_id": line.app_id,
            "store": line.store,
            "environment": line.environment,
            "store_line": line.store_line,
            "told_auto_renew": line.told.auto_renew,
            "told_next_product": line.told.next_product,
            "heard_at": line.heard_at,
            "wake_at": line.wake_at,
        }
        for line in lines
    ]
    await tx.execute(
        """
        INSERT INTO line SELECT * FROM jsonb_populate_recordset(NULL::public.line, %(rows)s)
        ON CONFLICT (project_id, customer_id, line_id) DO UPDATE SET told_auto_renew = excluded.told_auto_renew,
          told_next_product = excluded.told_next_product, heard_at = excluded.heard_at, wake_at = excluded.wake_at
        """,
        rows=rows,
    )


async def _upsert_purchases(tx: Tx, rows: list[dict[str, Any]]) -> None:
    await tx.execute(
        """
        INSERT INTO purchase SELECT * FROM jsonb_populate_recordset(NULL::public.purchase, %(rows)s)
        ON CONFLICT (project_id, customer_id, line_id, transaction) DO UPDATE SET
          product = excluded.product, kind = excluded.kind, purchased_at = excluded.purchased_at, expires_at = excluded.expires_at,
          as_of = excluded.as_of, is_first = excluded.is_first, is_renewal = excluded.is_renewal, period_type = excluded.period_type,
          ownership = excluded.ownership, price_amount = excluded.price_amount, price_currency = excluded.price_currency,
          quantity = excluded.quantity, offer_kind = excluded.offer_kind, offer_identifier = excluded.offer_identifier,
          country = excluded.country, revoked_at = excluded.revoked_at, revoked_refunded = excluded.revoked_refunded,
          revoked_share_ppm = excluded.revoked_share_ppm, is_superseded = excluded.is_superseded, is_summary = excluded.is_summary,
          presented_offering = excluded.presented_offering, told_purchased = excluded.told_purchased,
          told_expires_at = excluded.told_expires_at, told_revoked_at = excluded.told_revoked_at, told_expired = excluded.told_expired,
          told_reversals = excluded.told_reversals, told_billing_issue = excluded.told_billing_issue
        """,
        rows=rows,
    )


async def _upsert_renewals(tx: Tx, rows: list[dict[str, Any]]) -> None:
    await tx.execute(
        """
        INSERT INTO renewal SELECT * FROM jsonb_populate_recordset(NULL::public.renewal, %(rows)s)
        ON CONFLICT (project_id, customer_id, line_id, as_of) DO UPDATE SET
          transaction = excluded.transaction, auto_renew = excluded.auto_renew, next_product = excluded.next_product,
          off_reason = excluded.off_reason, in_billing_retry = excluded.in_billing_retry, grace_until = excluded.grace_until,
          ended = excluded.ended, price_consent = excluded.price_consent
        """,
        rows=rows,
    )


async def move(tx: Tx, source: CustomerId, target: CustomerId, *, app_id: str | None = None) -> list[LineId]:
    """Lines of one customer become another's, with all they hold; only those of one app where it is named."""
    rows = await tx.fetch(
        """
        UPDATE line SET customer_id = %(target)s WHERE customer_id = %(source)s AND (%(app_id)s::text IS NULL OR app_id = %(app_id)s)
        RETURNING line_id, store, environment, store_line
        """,
        source=source,
        target=target,
        app_id=app_id,
    )
    await tx.execute(
        """
        UPDATE line_directory d SET customer_id = %(target)s
        FROM unnest(%(stores)s::text[], %(environments)s::text[], %(lines)s::text[]) AS moved (store, environment, store_line)
        WHERE d.project_id = %(project_id)s AND d.store = moved.store AND d.environment = moved.environment AND d.store_line = moved.store_line
        """,
        project_id=tx.project_id,
        target=target,
        stores=[row["store"] for row in rows],
        environments=[row["environment"] for row in rows],
        lines=[row["store_line"] for row in rows],
    )
    return [row["line_id"] for row in rows]


# Rows and values --------------------------------------------------------------------------------------------------------------


def _line(row: Row, held: list[Held], renewals: list[Renewal]) -> Line:
    return Line(
        line_id=row["line_id"],
        customer_id=row["customer_id"],
        app_id=row["app_id"],
        store=row["store"],
        environment=row["environment"],
        store_line=row["store_line"],
        heard_at=row["heard_at"],
        held=tuple(held),
        renewals=tuple(renewals),
        wake_at=row["wake_at"],
        told=ToldLine(auto_renew=row["told_auto_renew"], next_product=row["told_next_product"]),
    )


def _held(row: Row) -> Held:
    return Held(
        purchase=Purchase(
            transaction=row["transaction"],
            product=row["product"],
            kind=row["kind"],
            purchased_at=row["purchased_at"],
            expires_at=row["expires_at"],
            as_of=row["as_of"],
            is_first=row["is_first"],
            is_renewal=row["is_renewal"],
            period_type=row["period_type"],
            ownership=row["ownership"],
            price=_price(row["price_amount"], row["price_currency"]),
            quantity=row["quantity"],
            offer=Offer(kind=row["offer_kind"], identifier=row["offer_identifier"]) if row["offer_kind"] else None,
            country=row["country"],
            revocation=_revocation(row),
            is_superseded=row["is_superseded"],
            is_summary=row["is_summary"],
        ),
        told=Told(
            purchased=row["told_purchased"],
            expires_at=row["told_expires_at"],
            revoked_at=row["told_revoked_at"],
            expired=row["told_expired"],
            reversals=row["told_reversals"],
            billing_issue=row["told_billing_issue"],
        ),
        presented_offering=row["presented_offering"],
    )


def _price(amount: int | None, currency: str | None) -> Money | None:
    return None if amount is None or currency is None else Money(amount=amount, currency=currency)


def _revocation(row: Row) -> Revocation | None:
    at: datetime | None = row["revoked_at"]
    return None if at is None else Revocation(at=at, refunded=row["revoked_refunded"], share_ppm=row["revoked_share_ppm"])


def _renewal(row: Row) -> Renewal:
    return Renewal(
        as_of=row["as_of"],
        transaction=row["transaction"],
        auto_renew=row["auto_renew"],
        next_product=row["next_product"],
        off_reason=row["off_reason"],
        in_billing_retry=row["in_billing_retry"],
        grace_until=row["grace_until"],
        ended=row["ended"],
        price_consent=row["price_consent"],
    )


def _purchase_row(line: Line, held: Held, tx: Tx) -> dict[str, Any]:
    purchase, told = held.purchase, held.told
    price, offer, revocation = purchase.price, purchase.offer, purchase.revocation
    return {
        "project_id": tx.project_id,
        "customer_id": line.customer_id,
        "line_id": line.line_id,
        "recorded_at": tx.now,
        "transaction": purchase.transaction,
        "product": purchase.product,
        "kind": purchase.kind,
        "purchased_at": purchase.purchased_at,
        "expires_at": purchase.expires_at,
        "as_of": purchase.as_of,
        "is_first": purchase.is_first,
        "is_renewal": purchase.is_renewal,
        "period_type": purchase.period_type,
        "ownership": purchase.ownership,
        "quantity": purchase.quantity,
        "country": purchase.country,
        "price_amount": price.amount if price else None,
        "price_currency": price.currency if price else None,
        "offer_kind": offer.kind if offer else None,
        "offer_identifier": offer.identifier if offer else None,
        "revoked_at": revocation.at if revocation else None,
        "revoked_refunded": revocation.refunded if revocation else None,
        "revoked_share_ppm": revocation.share_ppm if revocation else None,
        "is_superseded": purchase.is_superseded,
        "is_summary": purchase.is_summary,
        "presented_offering": held.presented_offering,
        "told_purchased": told.purchased,
        "told_expires_at": told.expires_at,
        "told_revoked_at": told.revoked_at,
        "told_expired": told.expired,
        "told_reversals": told.reversals,
        "told_billing_issue": told.billing_issue,
    }


def _renewal_row(line: Line, renewal: Renewal, tx: Tx) -> dict[str, Any]:
    return {
        "project_id": tx.project_id,
        "customer_id": line.customer_id,
        "line_id": line.line_id,
        "as_of": renewal.as_of,
        "transaction": renewal.transaction,
        "auto_renew": renewal.auto_renew,
        "next_product": renewal.next_product,
        "off_reason": renewal.off_reason,
        "in_billing_retry": renewal.in_billing_retry,
        "grace_until": renewal.grace_until,
        "ended": renewal.ended,
        "price_consent": renewal.price_consent,
    }

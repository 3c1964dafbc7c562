"""SQL of lines, purchases and renewal snapshots. Batches of lines in, batches out; every query once per batch.

Rows are looked up key by key (`LATERAL`), so that a table that has grown faster than its statistics is never walked as a whole.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, LiteralString

from perennial.base.db import Row, Tx
from perennial.base.ids import CustomerId, LineId
from perennial.base.money import Money
from perennial.base.value import value
from perennial.subscriptions.model import Booked, Held, Line, Offer, Purchase, Refund, Renewal, Revocation, Told, ToldLine

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
    await _forget_repeated(tx, lines, before)
    purchases = [_purchase_row(line, held, tx) for line in lines for held in line.held if held not in _known(before.get(line.line_id))]
    renewals = [_renewal_row(line, one, tx) for line in lines for one in line.renewals if one not in _said(before.get(line.line_id))]
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
            "told_paused": line.told.paused,
            "heard_at": line.heard_at,
            "wake_at": line.wake_at,
            "newest_key": line.newest_key,
            "store_user": None if line.store_user is None else "\\x" + line.store_user.hex(),
        }
        for line in lines
    ]
    await tx.execute(
        """
        INSERT INTO line SELECT * FROM jsonb_populate_recordset(NULL::public.line, %(rows)s)
        ON CONFLICT (project_id, customer_id, line_id) DO UPDATE SET told_auto_renew = excluded.told_auto_renew,
          told_next_product = excluded.told_next_product, told_paused = excluded.told_paused,
          heard_at = excluded.heard_at, wake_at = excluded.wake_at, newest_key = excluded.newest_key, store_user = excluded.store_user
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
          tax_amount = excluded.tax_amount, commission_amount = excluded.commission_amount, refunds = excluded.refunds,
          quantity = excluded.quantity, offer_kind = excluded.offer_kind, offer_identifier = excluded.offer_identifier,
          country = excluded.country, revoked_at = excluded.revoked_at, revoked_refunded = excluded.revoked_refunded,
          revoked_share_ppm = excluded.revoked_share_ppm, is_superseded = excluded.is_superseded, is_summary = excluded.is_summary,
          presented_offering = excluded.presented_offering, told_purchased = excluded.told_purchased,
          told_expires_at = excluded.told_expires_at, told_revoked_at = excluded.told_revoked_at, told_expired = excluded.told_expired,
          told_reversals = excluded.told_reversals, told_billing_issue = excluded.told_billing_issue,
          told_refunds = excluded.told_refunds, told_quietly = excluded.told_quietly,
          booked_gross = excluded.booked_gross, booked_tax = excluded.booked_tax,
          booked_commission = excluded.booked_commission, booked_refunded = excluded.booked_refunded,
          booked_currency = excluded.booked_currency, booked_postings = excluded.booked_postings
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
          ended = excluded.ended, price_consent = excluded.price_consent, pause = excluded.pause, resumes_at = excluded.resumes_at
        """,
        rows=rows,
    )


async def join_lines(tx: Tx, source: Place, target: Place, *, source_is_newer: bool) -> None:
    """Two lines turn out to be one: what `source` holds is `target`'s from now on, and so are the store's keys for it."""
    if source_is_newer:
        await tx.execute(
            """
            UPDATE line t SET newest_key = coalesce(s.newest_key, s.store_line) FROM line s
            WHERE s.project_id = %(project_id)s AND s.customer_id = %(customer)s AND s.line_id = %(line)s
              AND t.project_id = %(project_id)s AND t.customer_id = %(target_customer)s AND t.line_id = %(target_line)s
            """,
            project_id=tx.project_id,
            customer=source.customer_id,
            line=source.line_id,
            target_customer=target.customer_id,
            target_line=target.line_id,
        )
    for statement in _JOIN:
        await tx.execute(
            statement,
            project_id=tx.project_id,
            customer=source.customer_id,
            line=source.line_id,
            target_customer=target.customer_id,
            target_line=target.line_id,
        )


_JOIN: tuple[LiteralString, ...] = (
    """
    INSERT INTO purchase
    SELECT (jsonb_populate_record(p, jsonb_build_object('customer_id', %(target_customer)s::text, 'line_id', %(target_line)s::text))).*
    FROM purchase p WHERE p.project_id = %(project_id)s AND p.customer_id = %(customer)s AND p.line_id = %(line)s ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO renewal
    SELECT (jsonb_populate_record(r, jsonb_build_object('customer_id', %(target_customer)s::text, 'line_id', %(target_line)s::text))).*
    FROM renewal r WHERE r.project_id = %(project_id)s AND r.customer_id = %(customer)s AND r.line_id = %(line)s ON CONFLICT DO NOTHING
    """,
    """
    UPDATE line_directory SET customer_id = %(target_customer)s, line_id = %(target_line)s
    WHERE project_id = %(project_id)s AND customer_id = %(customer)s AND line_id = %(line)s
    """,
    """
    DELETE FROM line WHERE project_id = %(project_id)s AND customer_id = %(customer)s AND line_id = %(line)s
      AND NOT (%(target_customer)s = customer_id AND %(target_line)s = line_id)
    """,
)


async def move(tx: Tx, source: CustomerId, target: CustomerId, *, app_ids: Sequence[str] | None = None) -> list[LineId]:
    """Lines of one customer become another's, with all they hold; only those of some apps where they are named."""
    rows = await tx.fetch(
        """
        UPDATE line SET customer_id = %(target)s WHERE customer_id = %(source)s AND (%(apps)s::text[] IS NULL OR app_id = ANY (%(apps)s))
        RETURNING line_id
        """,
        source=source,
        target=target,
        apps=None if app_ids is None else list(app_ids),
    )
    await tx.execute(
        """
        UPDATE line_directory d SET customer_id = %(target)s
        FROM unnest(%(ids)s::text[]) AS moved (line_id)
        WHERE d.project_id = %(project_id)s AND d.customer_id = %(source)s AND d.line_id = moved.line_id
        """,
        project_id=tx.project_id,
        source=source,
        target=target,
        ids=[row["line_id"] for row in rows],
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
        newest_key=row["newest_key"],
        store_user=row["store_user"],
        told=ToldLine(auto_renew=row["told_auto_renew"], next_product=row["told_next_product"], paused=row["told_paused"]),
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
            price=_money(row["price_amount"], row["price_currency"]),
            tax=_money(row["tax_amount"], row["price_currency"]),
            commission=_money(row["commission_amount"], row["price_currency"]),
            quantity=row["quantity"],
            offer=Offer(kind=row["offer_kind"], identifier=row["offer_identifier"]) if row["offer_kind"] else None,
            country=row["country"],
            revocation=_revocation(row),
            refunds=tuple(_refund(refund) for refund in row["refunds"]),
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
            refunds=tuple(row["told_refunds"]),
            quietly=row["told_quietly"],
        ),
        booked=Booked(
            gross=row["booked_gross"],
            tax=row["booked_tax"],
            commission=row["booked_commission"],
            refunded=row["booked_refunded"],
            currency=row["booked_currency"],
            postings=row["booked_postings"],
        ),
        presented_offering=row["presented_offering"],
    )


def _money(amount: int | None, currency: str | None) -> Money | None:
    return None if amount is None or currency is None else Money(amount=amount, currency=currency)


def _revocation(row: Row) -> Revocation | None:
    at: datetime | None = row["revoked_at"]
    return None if at is None else Revocation(at=at, refunded=row["revoked_refunded"], share_ppm=row["revoked_share_ppm"])


def _refund(refund: dict[str, Any]) -> Refund:
    return Refund(
        identifier=refund["identifier"],
        at=datetime.fromisoformat(refund["at"]),
        amount=Money(amount=refund["amount"], currency=refund["currency"]),
        is_reversed=refund["is_reversed"],
    )


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
        pause=row["pause"],
        resumes_at=row["resumes_at"],
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
        "tax_amount": purchase.tax.amount if purchase.tax else None,
        "commission_amount": purchase.commission.amount if purchase.commission else None,
        "refunds": [_refund_row(refund) for refund in purchase.refunds],
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
        "told_refunds": list(told.refunds),
        "told_quietly": told.quietly,
        "booked_gross": held.booked.gross,
        "booked_tax": held.booked.tax,
        "booked_commission": held.booked.commission,
        "booked_refunded": held.booked.refunded,
        "booked_currency": held.booked.currency,
        "booked_postings": held.booked.postings,
    }


def _refund_row(refund: Refund) -> dict[str, Any]:
    money = refund.amount
    return {
        "identifier": refund.identifier,
        "at": refund.at.isoformat(),
        "amount": money.amount,
        "currency": money.currency,
        "is_reversed": refund.is_reversed,
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
        "pause": renewal.pause,
        "resumes_at": renewal.resumes_at,
    }

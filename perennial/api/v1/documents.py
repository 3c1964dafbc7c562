"""Keeps rendered customer objects beside the customer's version, and makes them anew where they are out of date."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from perennial import catalog, customers, subscriptions
from perennial.base.db import Tx
from perennial.base.ids import CustomerId
from perennial.customers.model import Customer
from perennial.subscriptions import Document, opening, render
from perennial.subscriptions.model import Line


async def current(tx: Tx, customer_ids: Sequence[CustomerId]) -> dict[CustomerId, Document]:
    """Fresh documents for these customers, kept for the next reader: six statements, whatever their number."""
    catalog_version: int = await tx.fetch_value("SELECT catalog_version FROM project")
    people = await customers.load(tx, customer_ids)
    documents = await _render(tx, people)
    await keep(tx, catalog_version, people, documents)
    return documents


async def keep(tx: Tx, catalog_version: int, people: Mapping[CustomerId, Customer], documents: Mapping[CustomerId, Document]) -> None:
    """For the next reader, what was rendered of these versions.

    A document is kept only where the customer can be held still at the version that was rendered: a writer, who takes the kept document away,
    is either before us (the version differs, or the row is locked and passed over) or waits until ours is there to be taken away.
    """
    rows = sorted(people)
    await tx.execute(
        """
        INSERT INTO customer_document (project_id, customer_id, version, catalog_version, fresh_until, body)
        SELECT %(project_id)s, new.customer_id, new.version, %(catalog_version)s, new.fresh_until, new.body
        FROM unnest(%(ids)s::text[], %(versions)s::bigint[], %(fresh)s::timestamptz[], %(bodies)s::bytea[])
          AS new (customer_id, version, fresh_until, body)
        JOIN customer c ON c.project_id = %(project_id)s AND c.customer_id = new.customer_id AND c.version = new.version
        FOR SHARE OF c SKIP LOCKED
        ON CONFLICT (project_id, customer_id) DO UPDATE SET version = excluded.version, catalog_version = excluded.catalog_version,
          fresh_until = excluded.fresh_until, body = excluded.body
        WHERE (customer_document.version, customer_document.catalog_version, customer_document.fresh_until)
          IS DISTINCT FROM (excluded.version, excluded.catalog_version, excluded.fresh_until)
        """,
        project_id=tx.project_id,
        catalog_version=catalog_version,
        ids=rows,
        versions=[people[one].version for one in rows],
        fresh=[documents[one].fresh_until for one in rows],
        bodies=[documents[one].body for one in rows],
    )


async def answer(tx: Tx, customer_id: CustomerId, *, last_seen: datetime | None = None, with_attributes: bool = False) -> bytes:
    """The whole body for one customer, straight from what is known now."""
    people = await customers.load(tx, [customer_id])
    document = (await _render(tx, people, with_attributes=with_attributes))[customer_id]
    seen = last_seen or people[customer_id].last_seen_at or people[customer_id].first_seen_at
    return opening(tx.now, seen) + document.body


async def _render(tx: Tx, people: dict[CustomerId, Customer], *, with_attributes: bool = False) -> dict[CustomerId, Document]:
    lines = await subscriptions.load_of_customers(tx, people)
    products = await catalog.find_products(tx, {(line.app_id, held.purchase.product) for line in lines for held in line.held})
    held: dict[CustomerId, list[Line]] = {customer_id: [] for customer_id in people}
    for line in lines:
        held[line.customer_id].append(line)
    return {
        customer_id: render(customer, held[customer_id], products, tx.now, with_attributes=with_attributes)
        for customer_id, customer in people.items()
    }

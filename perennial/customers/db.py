"""SQL of customers, their aliases and attributes. Sets in, sets out."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from perennial.base.db import Row, Tx
from perennial.base.ids import CustomerId
from perennial.base.time import from_ms
from perennial.customers.model import Attribute, Customer, Sighting


async def find(tx: Tx, app_user_ids: Sequence[str]) -> dict[str, CustomerId]:
    rows = await tx.fetch("SELECT app_user_id, customer_id FROM alias WHERE app_user_id = ANY (%(ids)s::text[])", ids=list(app_user_ids))
    return {row["app_user_id"]: row["customer_id"] for row in rows}


async def insert(tx: Tx, app_user_ids: Sequence[str]) -> set[str]:
    """New customers, one per app user id; returns the ids that were new. Whoever comes second finds the first one's."""
    ids = sorted(app_user_ids)
    customers = [tx.new_id("cus") for _ in ids]
    await tx.execute(
        """
        INSERT INTO customer (project_id, customer_id, original_app_user_id, first_seen_at)
        SELECT %(project_id)s, customer_id, app_user_id, %(now)s FROM unnest(%(customers)s::text[], %(ids)s::text[]) AS new (customer_id, app_user_id)
        """,
        project_id=tx.project_id,
        now=tx.now,
        customers=customers,
        ids=ids,
    )
    rows = await tx.fetch(
        """
        INSERT INTO alias (project_id, app_user_id, customer_id, created_at)
        SELECT %(project_id)s, app_user_id, customer_id, %(now)s FROM unnest(%(customers)s::text[], %(ids)s::text[]) AS new (customer_id, app_user_id)
        ON CONFLICT DO NOTHING RETURNING app_user_id
        """,
        project_id=tx.project_id,
        now=tx.now,
        customers=customers,
        ids=ids,
    )
    new = {row["app_user_id"] for row in rows}
    if late := [customer for customer, app_user_id in zip(customers, ids, strict=True) if app_user_id not in new]:
        await tx.execute("DELETE FROM customer WHERE customer_id = ANY (%(late)s::text[])", late=late)
    return new


async def load(tx: Tx, customer_ids: Sequence[CustomerId]) -> dict[CustomerId, Customer]:
    """Customers with their aliases and attributes, in one query."""
    rows = await tx.fetch(
        """
        SELECT c.*,
               (SELECT array_agg(a.app_user_id ORDER BY a.created_at, a.app_user_id)
                FROM alias a WHERE a.project_id = c.project_id AND a.customer_id = c.customer_id) AS aliases,
               (SELECT jsonb_agg(jsonb_build_array(t.name, t.value, (extract(epoch FROM t.updated_at) * 1000)::bigint))
                FROM attribute t WHERE t.project_id = c.project_id AND t.customer_id = c.customer_id) AS attributes
        FROM customer c WHERE c.customer_id = ANY (%(ids)s::text[])
        """,
        ids=sorted(set(customer_ids)),
    )
    return {row["customer_id"]: _customer(row) for row in rows}


def _customer(row: Row) -> Customer:
    return Customer(
        customer_id=row["customer_id"],
        original_app_user_id=row["original_app_user_id"],
        first_seen_at=row["first_seen_at"],
        last_seen_at=row["last_seen_at"],
        version=row["version"],
        aliases=tuple(row["aliases"] or ()),
        attributes={name: Attribute(value=text, updated_at=from_ms(at)) for name, text, at in row["attributes"] or ()},
        last_seen_platform=row["last_seen_platform"],
        last_seen_platform_version=row["last_seen_platform_version"],
        last_seen_app_version=row["last_seen_app_version"],
        last_seen_country=row["last_seen_country"],
    )


async def lock(tx: Tx, customer_ids: Sequence[CustomerId]) -> None:
    """Holds the customers until the transaction ends, in one order for everyone."""
    await tx.fetch("SELECT FROM customer WHERE customer_id = ANY (%(ids)s::text[]) ORDER BY customer_id FOR UPDATE", ids=sorted(set(customer_ids)))


async def lock_free(tx: Tx, customer_ids: Sequence[CustomerId]) -> set[CustomerId]:
    """Holds those of the customers that nobody else holds just now."""
    rows = await tx.fetch(
        "SELECT customer_id FROM customer WHERE customer_id = ANY (%(ids)s::text[]) ORDER BY customer_id FOR UPDATE SKIP LOCKED",
        ids=sorted(set(customer_ids)),
    )
    return {row["customer_id"] for row in rows}


async def bump(tx: Tx, tellings: Mapping[CustomerId, int]) -> dict[CustomerId, int]:
    """A new version for each, and numbers for so many events; returns the last number given before."""
    ids = sorted(tellings)
    rows = await tx.fetch(
        """
        UPDATE customer c SET version = c.version + 1, event_sequence = c.event_sequence + new.events
        FROM unnest(%(ids)s::text[], %(events)s::bigint[]) AS new (customer_id, events)
        WHERE c.customer_id = new.customer_id
        RETURNING c.customer_id, c.event_sequence - new.events AS before
        """,
        ids=ids,
        events=[tellings[customer] for customer in ids],
    )
    return {row["customer_id"]: row["before"] for row in rows}


async def add_alias(tx: Tx, app_user_id: str, customer_id: CustomerId) -> bool:
    """False where somebody else took the id meanwhile."""
    count = await tx.execute(
        """
        INSERT INTO alias (project_id, app_user_id, customer_id, created_at)
        VALUES (%(project_id)s, %(app_user_id)s, %(customer_id)s, %(now)s) ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        app_user_id=app_user_id,
        customer_id=customer_id,
        now=tx.now,
    )
    return count == 1


async def move_aliases(tx: Tx, source: CustomerId, target: CustomerId) -> None:
    await tx.execute("UPDATE alias SET customer_id = %(target)s WHERE customer_id = %(source)s", source=source, target=target)
    await tx.execute(
        """
        UPDATE customer t SET first_seen_at = least(t.first_seen_at, s.first_seen_at), last_seen_at = greatest(t.last_seen_at, s.last_seen_at),
          original_app_user_id = CASE WHEN s.first_seen_at < t.first_seen_at THEN s.original_app_user_id ELSE t.original_app_user_id END
        FROM customer s WHERE s.customer_id = %(source)s AND t.customer_id = %(target)s
        """,
        source=source,
        target=target,
    )
    await tx.execute(
        "UPDATE customer SET merged_into = %(target)s WHERE customer_id = %(source)s OR merged_into = %(source)s", source=source, target=target
    )
    await tx.execute("DELETE FROM customer_document WHERE customer_id = %(source)s", source=source)


async def save_attributes(tx: Tx, customer_id: CustomerId, attributes: Mapping[str, Attribute]) -> None:
    names = sorted(attributes)
    await tx.execute(
        """
        INSERT INTO attribute (project_id, customer_id, name, value, updated_at)
        SELECT %(project_id)s, %(customer_id)s, name, value, updated_at
        FROM unnest(%(names)s::text[], %(texts)s::text[], %(updated)s::timestamptz[]) AS new (name, value, updated_at)
        ON CONFLICT (project_id, customer_id, name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
        WHERE attribute.updated_at < excluded.updated_at
          OR (attribute.updated_at = excluded.updated_at AND excluded.value IS DISTINCT FROM attribute.value)
        """,
        project_id=tx.project_id,
        customer_id=customer_id,
        names=names,
        texts=[attributes[name].value for name in names],
        updated=[attributes[name].updated_at for name in names],
    )


async def save_sightings(tx: Tx, sightings: Sequence[Sighting]) -> None:
    """Does not bump versions: who was seen when changes nothing about what they may use."""
    rows = sorted(sightings, key=lambda sighting: sighting.customer_id)
    await tx.execute(
        """
        UPDATE customer c SET
          last_seen_at = greatest(c.last_seen_at, seen.at),
          last_seen_platform = coalesce(seen.platform, c.last_seen_platform),
          last_seen_platform_version = coalesce(seen.platform_version, c.last_seen_platform_version),
          last_seen_app_version = coalesce(seen.app_version, c.last_seen_app_version),
          last_seen_country = coalesce(seen.country, c.last_seen_country)
        FROM unnest(%(ids)s::text[], %(at)s::timestamptz[], %(platforms)s::text[], %(versions)s::text[], %(apps)s::text[], %(countries)s::text[])
          AS seen (customer_id, at, platform, platform_version, app_version, country)
        WHERE c.customer_id = seen.customer_id AND (c.last_seen_at IS NULL OR c.last_seen_at < seen.at)
        """,
        ids=[row.customer_id for row in rows],
        at=[row.seen_at for row in rows],
        platforms=[row.platform for row in rows],
        versions=[row.platform_version for row in rows],
        apps=[row.app_version for row in rows],
        countries=[row.country for row in rows],
    )


async def page(tx: Tx, *, after: str | None, limit: int, search: str | None) -> list[CustomerId]:
    """Customer ids in order of their making. `search` finds by an exact app user id or the $email attribute."""
    if search is not None:
        return await _found(tx, after=after, limit=limit, search=search)
    rows = await tx.fetch(
        """
        SELECT c.customer_id FROM customer c
        WHERE c.project_id = (SELECT %(project_id)s::text) AND c.merged_into IS NULL AND (%(after)s::text IS NULL OR c.customer_id > %(after)s)
        ORDER BY c.customer_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        after=after,
        limit=limit,
    )
    return [row["customer_id"] for row in rows]


async def _found(tx: Tx, *, after: str | None, limit: int, search: str) -> list[CustomerId]:
    """From the ids found to their customers, never through all customers: a query of its own, as a plan for both would do the latter."""
    rows = await tx.fetch(
        """
        SELECT c.customer_id FROM (
          SELECT a.customer_id FROM alias a WHERE a.app_user_id = %(search)s
          UNION SELECT t.customer_id FROM attribute t WHERE t.name = '$email' AND lower(t.value) = lower(%(search)s)) found
        JOIN customer c ON c.project_id = (SELECT %(project_id)s::text) AND c.customer_id = found.customer_id
        WHERE c.merged_into IS NULL AND (%(after)s::text IS NULL OR c.customer_id > %(after)s)
        ORDER BY c.customer_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        after=after,
        search=search,
        limit=limit,
    )
    return [row["customer_id"] for row in rows]


async def merged_ids(tx: Tx, customer_id: CustomerId) -> list[CustomerId]:
    """The customer and everyone merged into them."""
    rows = await tx.fetch("SELECT customer_id FROM customer WHERE merged_into = %(customer_id)s", customer_id=customer_id)
    return [customer_id, *(row["customer_id"] for row in rows)]


async def aliases(tx: Tx, customer_id: CustomerId) -> list[tuple[str, datetime]]:
    rows = await tx.fetch(
        "SELECT app_user_id, created_at FROM alias WHERE customer_id = %(customer_id)s ORDER BY created_at, app_user_id LIMIT 1000",
        customer_id=customer_id,
    )
    return [(row["app_user_id"], row["created_at"]) for row in rows]

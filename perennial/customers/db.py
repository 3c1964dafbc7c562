"""SQL of customers, their aliases and attributes. Sets in, sets out."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from perennial.base.db import Database, Row, Tx
from perennial.base.ids import CustomerId
from perennial.base.time import from_ms
from perennial.customers.model import SEEN_LATELY, Attribute, Blocked, Customer, Download, Newcomer, Sighting

MOST_WITH_ONE_EMAIL = 10_000


async def find(tx: Tx, app_user_ids: Sequence[str]) -> dict[str, CustomerId]:
    rows = await tx.fetch("SELECT app_user_id, customer_id FROM alias WHERE app_user_id = ANY (%(ids)s::text[])", ids=list(app_user_ids))
    return {row["app_user_id"]: row["customer_id"] for row in rows}


async def find_hashed(tx: Tx, hashes: Sequence[str]) -> dict[str, CustomerId]:
    """Customers by the SHA-256, in hex, of an app user id: what Google's SDK tells a store instead of the id."""
    if not hashes:
        return {}
    rows = await tx.fetch("SELECT hash, customer_id FROM find_hashed(%(hashes)s::text[])", hashes=list(hashes))
    return {row["hash"]: row["customer_id"] for row in rows}


async def insert(tx: Tx, newcomers: Sequence[Newcomer]) -> dict[str, CustomerId]:
    """New customers, one per app user id; returns those that were new. Whoever comes second finds the first one's."""
    people = sorted(newcomers, key=lambda one: one.app_user_id)
    ids = [one.app_user_id for one in people]
    customers = sorted(CustomerId(tx.new_id("cus")) for _ in ids)
    await tx.execute(
        """
        INSERT INTO customer (project_id, customer_id, original_app_user_id, first_seen_at, last_seen_country, changed_at, placeholder)
        SELECT %(project_id)s, customer_id, app_user_id, least(first_seen_at, %(now)s), CASE WHEN first_seen_at < %(now)s THEN country END, %(now)s,
          placeholder
        FROM unnest(%(customers)s::text[], %(ids)s::text[], %(first_seen)s::timestamptz[], %(countries)s::text[], %(placeholders)s::text[])
          AS new (customer_id, app_user_id, first_seen_at, country, placeholder)
        """,
        project_id=tx.project_id,
        now=tx.now,
        customers=customers,
        ids=ids,
        first_seen=[one.first_seen_at for one in people],
        countries=[one.country for one in people],
        placeholders=[one.placeholder for one in people],
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
    made = dict(zip(ids, customers, strict=True))
    if late := [made.pop(app_user_id) for app_user_id in ids if app_user_id not in new]:
        await tx.execute("DELETE FROM customer WHERE customer_id = ANY (%(late)s::text[])", late=late)
    return made


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
        download=Download(version=row["download_version"], at=row["downloaded_at"]) if row["downloaded_at"] is not None else None,
        deleted_at=row["deleted_at"],
        placeholder=row["placeholder"],
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
        UPDATE customer c SET version = c.version + 1, event_sequence = c.event_sequence + new.events, changed_at = %(now)s
        FROM unnest(%(ids)s::text[], %(events)s::bigint[]) AS new (customer_id, events)
        WHERE c.customer_id = new.customer_id
        RETURNING c.customer_id, c.event_sequence - new.events AS before
        """,
        now=tx.now,
        ids=ids,
        events=[tellings[customer] for customer in ids],
    )
    return {row["customer_id"]: row["before"] for row in rows}


async def reveal(tx: Tx, customer_ids: Sequence[CustomerId]) -> None:
    """Hidden placeholders are known from now on. None of their events was told yet, so their numbers begin anew."""
    await tx.execute(
        """
        UPDATE customer SET placeholder = 'known', event_sequence = 0, version = version + 1, changed_at = %(now)s
        WHERE customer_id = ANY (%(ids)s::text[]) AND placeholder = 'hidden'
        """,
        ids=sorted(customer_ids),
        now=tx.now,
    )


async def remove(tx: Tx, customer_ids: Sequence[CustomerId]) -> None:
    """Hidden placeholders that hold nothing any more, and were told to nobody, leave no trace."""
    await tx.execute("DELETE FROM customer WHERE customer_id = ANY (%(ids)s::text[]) AND placeholder = 'hidden'", ids=sorted(customer_ids))


async def set_download(tx: Tx, customer_id: CustomerId, download: Download) -> None:
    """Keeps the earliest. Stores tell it with every receipt, so mostly nothing changes."""
    await tx.execute(
        """
        UPDATE customer SET download_version = %(version)s, downloaded_at = %(at)s, version = version + 1, changed_at = %(now)s
        WHERE customer_id = %(customer_id)s AND (downloaded_at IS NULL OR downloaded_at > %(at)s)
        """,
        customer_id=customer_id,
        version=download.version,
        at=download.at,
        now=tx.now,
    )


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
          event_sequence = greatest(t.event_sequence, s.event_sequence),
          original_app_user_id = CASE WHEN s.first_seen_at < t.first_seen_at AND s.deleted_at IS NULL THEN s.original_app_user_id
                                      ELSE t.original_app_user_id END,
          download_version = CASE WHEN t.downloaded_at <= s.downloaded_at THEN t.download_version
                                  ELSE coalesce(s.download_version, t.download_version) END,
          downloaded_at = least(t.downloaded_at, s.downloaded_at)
        FROM customer s WHERE s.customer_id = %(source)s AND t.customer_id = %(target)s
        """,
        source=source,
        target=target,
    )
    await tx.execute(
        "UPDATE customer SET merged_into = %(target)s WHERE customer_id = %(source)s OR merged_into = %(source)s", source=source, target=target
    )
    await tx.execute("DELETE FROM customer_document WHERE customer_id = %(source)s", source=source)
    await tx.execute(
        """
        WITH moved AS (DELETE FROM offering_override WHERE customer_id = %(source)s RETURNING project_id, offering_id)
        INSERT INTO offering_override (project_id, customer_id, offering_id) SELECT project_id, %(target)s, offering_id FROM moved
        ON CONFLICT DO NOTHING
        """,
        source=source,
        target=target,
    )


async def save_attributes(tx: Tx, customer_id: CustomerId, attributes: Mapping[str, Attribute]) -> None:
    await save_attributes_of(tx, {customer_id: attributes})


async def save_attributes_of(tx: Tx, attributes: Mapping[CustomerId, Mapping[str, Attribute]]) -> None:
    rows = [(customer_id, name, attributes[customer_id][name]) for customer_id in sorted(attributes) for name in sorted(attributes[customer_id])]
    await tx.execute(
        """
        INSERT INTO attribute (project_id, customer_id, name, value, updated_at)
        SELECT %(project_id)s, customer_id, name, value, updated_at
        FROM unnest(%(customers)s::text[], %(names)s::text[], %(texts)s::text[], %(updated)s::timestamptz[])
          AS new (customer_id, name, value, updated_at)
        ON CONFLICT (project_id, customer_id, name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
        WHERE attribute.updated_at < excluded.updated_at
          OR (attribute.updated_at = excluded.updated_at AND excluded.value IS DISTINCT FROM attribute.value)
        """,
        project_id=tx.project_id,
        customers=[customer_id for customer_id, _, _ in rows],
        names=[name for _, name, _ in rows],
        texts=[attribute.value for _, _, attribute in rows],
        updated=[attribute.updated_at for _, _, attribute in rows],
    )


async def add_aliases(tx: Tx, aliases: Mapping[str, CustomerId]) -> None:
    """Ids that nobody has, each to its customer."""
    ids = sorted(aliases)
    await tx.execute(
        """
        INSERT INTO alias (project_id, app_user_id, customer_id, created_at)
        SELECT %(project_id)s, app_user_id, customer_id, %(now)s FROM unnest(%(ids)s::text[], %(customers)s::text[]) AS new (app_user_id, customer_id)
        ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        now=tx.now,
        ids=ids,
        customers=[aliases[one] for one in ids],
    )


async def save_arrivals(tx: Tx, arrivals: Mapping[CustomerId, Newcomer]) -> None:
    """Since when another system has known them, and by which first id: the earlier word of the two counts. All of them must be held."""
    ids = [customer_id for customer_id in sorted(arrivals) if arrivals[customer_id].first_seen_at is not None]
    await tx.execute(
        """
        UPDATE customer c SET first_seen_at = new.first_seen_at, original_app_user_id = new.app_user_id,
          last_seen_country = coalesce(c.last_seen_country, new.country)
        FROM unnest(%(ids)s::text[], %(names)s::text[], %(first_seen)s::timestamptz[], %(countries)s::text[])
          AS new (customer_id, app_user_id, first_seen_at, country)
        WHERE c.customer_id = new.customer_id AND new.first_seen_at < c.first_seen_at
        """,
        ids=ids,
        names=[arrivals[one].app_user_id for one in ids],
        first_seen=[arrivals[one].first_seen_at for one in ids],
        countries=[arrivals[one].country for one in ids],
    )


async def save_sightings(database: Database, sightings: Sequence[Sighting]) -> None:
    """Of any projects, outside their transactions. Does not bump versions: who was seen when changes nothing about what they may use."""
    rows = sorted(sightings, key=lambda sighting: (sighting.project_id, sighting.customer_id))
    await database.door(
        "SELECT save_sightings($1, $2, $3, $4, $5, $6, $7, $8)",
        [row.project_id for row in rows],
        [row.customer_id for row in rows],
        [row.seen_at for row in rows],
        [row.platform for row in rows],
        [row.platform_version for row in rows],
        [row.app_version for row in rows],
        [row.country for row in rows],
        SEEN_LATELY,
    )


async def page(tx: Tx, *, after: str | None, limit: int, search: str | None) -> list[CustomerId]:
    """Customer ids in order of their making. `search` finds by an exact app user id or the $email attribute."""
    if search is not None:
        return await _found(tx, after=after, limit=limit, search=search)
    rows = await tx.fetch(
        """
        SELECT c.customer_id FROM customer c
        WHERE c.project_id = (SELECT %(project_id)s::text) AND c.merged_into IS NULL AND c.deleted_at IS NULL
          AND c.placeholder IS DISTINCT FROM 'hidden' AND (%(after)s::text IS NULL OR c.customer_id > %(after)s)
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
          UNION SELECT find_by_email(%(search)s, %(most)s)) found
        JOIN customer c ON c.project_id = (SELECT %(project_id)s::text) AND c.customer_id = found.customer_id
        WHERE c.merged_into IS NULL AND c.deleted_at IS NULL AND (%(after)s::text IS NULL OR c.customer_id > %(after)s)
        ORDER BY c.customer_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        after=after,
        search=search,
        most=MOST_WITH_ONE_EMAIL,
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


# An offering for one customer --------------------------------------------------------------------------------------------------


async def set_offering_override(tx: Tx, customer_id: CustomerId, offering_id: str) -> None:
    await tx.execute(
        """
        INSERT INTO offering_override (project_id, customer_id, offering_id) VALUES (%(project_id)s, %(customer_id)s, %(offering_id)s)
        ON CONFLICT (project_id, customer_id) DO UPDATE SET offering_id = excluded.offering_id
        """,
        project_id=tx.project_id,
        customer_id=customer_id,
        offering_id=offering_id,
    )


async def clear_offering_override(tx: Tx, customer_id: CustomerId) -> None:
    await tx.execute("DELETE FROM offering_override WHERE customer_id = %(customer_id)s", customer_id=customer_id)


async def offering_override(tx: Tx, app_user_id: str) -> str | None:
    """The id of the offering that is current for this customer alone, where there is such a customer and such an offering."""
    offering_id: str | None = await tx.fetch_value(
        """
        SELECT o.offering_id FROM alias a JOIN offering_override o ON o.project_id = a.project_id AND o.customer_id = a.customer_id
        WHERE a.app_user_id = %(app_user_id)s
        """,
        app_user_id=app_user_id,
    )
    return offering_id


# Blocking ----------------------------------------------------------------------------------------------------------------------


async def block(tx: Tx, app_user_id: str) -> None:
    await tx.execute(
        "INSERT INTO blocked_customer (project_id, app_user_id, blocked_at) VALUES (%(project_id)s, %(app_user_id)s, %(now)s) ON CONFLICT DO NOTHING",
        project_id=tx.project_id,
        app_user_id=app_user_id,
        now=tx.now,
    )


async def unblock(tx: Tx, app_user_id: str) -> bool:
    """False where it was not blocked."""
    return await tx.execute("DELETE FROM blocked_customer WHERE app_user_id = %(app_user_id)s", app_user_id=app_user_id) == 1


async def blocked(tx: Tx, limit: int) -> list[Blocked]:
    rows = await tx.fetch("SELECT app_user_id, blocked_at FROM blocked_customer ORDER BY app_user_id LIMIT %(limit)s", limit=limit)
    return [Blocked(**dict(row)) for row in rows]


async def blocked_among(tx: Tx, app_user_ids: Sequence[str]) -> set[str]:
    rows = await tx.fetch("SELECT app_user_id FROM blocked_customer WHERE app_user_id = ANY (%(ids)s::text[])", ids=list(app_user_ids))
    return {row["app_user_id"] for row in rows}


# Deletion ----------------------------------------------------------------------------------------------------------------------


async def forget(tx: Tx, customer_ids: Sequence[CustomerId], customer_id: CustomerId, pseudonym: str) -> None:
    """Of the customer and everyone merged into them, nothing is left that says who they were; what they are called from now on is made up."""
    ids = list(customer_ids)
    await tx.execute(
        """
        INSERT INTO deleted_app_user_id (project_id, hash, customer_id, deleted_at)
        SELECT project_id, hash_of_id(app_user_id), %(customer_id)s, %(now)s FROM alias WHERE customer_id = %(customer_id)s
        ON CONFLICT (project_id, hash) DO UPDATE SET customer_id = excluded.customer_id, deleted_at = excluded.deleted_at
        """,
        customer_id=customer_id,
        now=tx.now,
    )
    await tx.execute("DELETE FROM alias WHERE customer_id = ANY (%(ids)s::text[])", ids=ids)
    await tx.execute("DELETE FROM attribute WHERE customer_id = ANY (%(ids)s::text[])", ids=ids)
    await tx.execute("DELETE FROM customer_document WHERE customer_id = ANY (%(ids)s::text[])", ids=ids)
    await tx.execute("DELETE FROM offering_override WHERE customer_id = ANY (%(ids)s::text[])", ids=ids)
    await tx.execute(
        """
        UPDATE customer SET original_app_user_id = %(pseudonym)s, last_seen_at = NULL, last_seen_platform = NULL, last_seen_platform_version = NULL,
          last_seen_app_version = NULL, last_seen_country = NULL, download_version = NULL, downloaded_at = NULL,
          deleted_at = %(now)s, changed_at = %(now)s, version = version + 1
        WHERE customer_id = ANY (%(ids)s::text[])
        """,
        ids=ids,
        pseudonym=pseudonym,
        now=tx.now,
    )


async def pseudonyms(tx: Tx, app_user_ids: Sequence[str]) -> dict[str, tuple[CustomerId, datetime]]:
    """Of these ids, those whose persons were deleted: who stands for them now, and since when.

    Key by key: joined, a thousand ids were compared with every customer of a project that had deleted nobody yet.
    """
    rows = await tx.fetch(
        """
        SELECT wanted.app_user_id, coalesce(c.merged_into, c.customer_id) AS customer_id, d.deleted_at
        FROM unnest(%(ids)s::text[]) AS wanted (app_user_id)
        CROSS JOIN LATERAL (
          SELECT * FROM deleted_app_user_id WHERE project_id = %(project_id)s AND hash = hash_of_id(wanted.app_user_id) LIMIT 1) d
        CROSS JOIN LATERAL (SELECT * FROM customer WHERE project_id = %(project_id)s AND customer_id = d.customer_id LIMIT 1) c
        """,
        project_id=tx.project_id,
        ids=list(app_user_ids),
    )
    return {row["app_user_id"]: (row["customer_id"], row["deleted_at"]) for row in rows}

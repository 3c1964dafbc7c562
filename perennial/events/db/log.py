"""SQL of the event log. Sets in, sets out."""

from collections.abc import Sequence
from datetime import datetime

from perennial.base.db import Row, Tx
from perennial.base.ids import AppId, CustomerId, EventId
from perennial.base.time import EPOCH, FOREVER
from perennial.base.value import value
from perennial.events.model import TEST_CUSTOMER, Delivery, NewEvent, Place, RecordedEvent

_FIRST: Place = (EPOCH, 0, "")
_LAST: Place = (FOREVER, 0, "")


@value
class Heading:
    """What of an event decides who hears it, and in which order."""

    customer_id: CustomerId
    event_id: EventId
    sequence: int
    type: str
    app_id: AppId | None
    environment: str


async def insert_events(tx: Tx, events: Sequence[NewEvent]) -> list[Heading]:
    """Returns those that were new: the key is derived from what happened, so a second telling finds the first.

    Of two transactions that tell the same at once, either unique index may be the first to say so; `unknown` tells that from a number given twice.
    """
    rows = await tx.fetch(
        """
        INSERT INTO event (project_id, customer_id, event_id, sequence, type, app_id, environment, happened_at, recorded_at, body)
        SELECT %(project_id)s, customer_id, event_id, sequence, type, app_id, environment, happened_at, %(now)s, body
        FROM unnest(%(customers)s::text[], %(ids)s::text[], %(sequences)s::bigint[], %(types)s::text[], %(apps)s::text[], %(environments)s::text[],
                    %(happened)s::timestamptz[], %(bodies)s::jsonb[])
          AS new (customer_id, event_id, sequence, type, app_id, environment, happened_at, body)
        ON CONFLICT DO NOTHING
        RETURNING customer_id, event_id, sequence, type, app_id, environment
        """,
        project_id=tx.project_id,
        now=tx.now,
        customers=[event.customer_id for event in events],
        ids=[event.event_id for event in events],
        sequences=[event.sequence for event in events],
        types=[event.type for event in events],
        apps=[event.app_id for event in events],
        environments=[event.environment for event in events],
        happened=[event.happened_at for event in events],
        bodies=[event.body for event in events],
    )
    return [Heading(**row) for row in rows]


async def unknown(tx: Tx, events: Sequence[NewEvent]) -> list[EventId]:
    """Those of the events that are not in the log."""
    rows = await tx.fetch(
        """
        SELECT new.event_id FROM unnest(%(customers)s::text[], %(ids)s::text[]) AS new (customer_id, event_id)
        LEFT JOIN event e ON e.project_id = %(project_id)s AND e.customer_id = new.customer_id AND e.event_id = new.event_id
        WHERE e.event_id IS NULL
        """,
        project_id=tx.project_id,
        customers=[event.customer_id for event in events],
        ids=[event.event_id for event in events],
    )
    return [row["event_id"] for row in rows]


async def find_events(tx: Tx, event_ids: Sequence[EventId]) -> list[Heading]:
    rows = await tx.fetch(
        """
        SELECT customer_id, event_id, sequence, type, app_id, environment FROM event
        WHERE event_id = ANY (%(ids)s::text[]) ORDER BY customer_id, sequence
        """,
        ids=list(event_ids),
    )
    return [Heading(**row) for row in rows]


async def headings_after(tx: Tx, place: Place, *, until: datetime, limit: int) -> list[tuple[Heading, Place]]:
    """Real events only: nobody wants an old test again."""
    rows = await tx.fetch(
        """
        SELECT customer_id, event_id, sequence, type, app_id, environment, recorded_at FROM event
        WHERE project_id = (SELECT %(project_id)s::text) AND recorded_at >= %(at)s AND recorded_at <= %(until)s
          AND (recorded_at, sequence, event_id) > (%(at)s, %(sequence)s, %(event_id)s) AND customer_id <> %(test_customer)s
        ORDER BY recorded_at, sequence, event_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        at=place[0],
        sequence=place[1],
        event_id=place[2],
        until=until,
        test_customer=TEST_CUSTOMER,
        limit=limit,
    )
    return [(_heading(row), (row["recorded_at"], row["sequence"], row["event_id"])) for row in rows]


def _heading(row: Row) -> Heading:
    return Heading(
        customer_id=row["customer_id"],
        event_id=row["event_id"],
        sequence=row["sequence"],
        type=row["type"],
        app_id=row["app_id"],
        environment=row["environment"],
    )


async def events_after(tx: Tx, customer_ids: Sequence[CustomerId] | None, place: Place | None, limit: int) -> list[Row]:
    at, sequence, event_id = place or _FIRST
    return await tx.fetch(
        """
        SELECT customer_id, event_id, sequence, type, app_id, environment, happened_at, recorded_at, body FROM event
        WHERE project_id = (SELECT %(project_id)s::text) AND (%(customers)s::text[] IS NULL OR customer_id = ANY (%(customers)s))
          AND recorded_at >= %(at)s AND (recorded_at, sequence, event_id) > (%(at)s, %(sequence)s, %(event_id)s)
        ORDER BY recorded_at, sequence, event_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        customers=None if customer_ids is None else list(customer_ids),
        at=at,
        sequence=sequence,
        event_id=event_id,
        limit=limit,
    )


async def events_before(tx: Tx, customer_ids: Sequence[CustomerId] | None, place: Place | None, limit: int) -> list[Row]:
    """The newest first."""
    at, sequence, event_id = place or _LAST
    return await tx.fetch(
        """
        SELECT customer_id, event_id, sequence, type, app_id, environment, happened_at, recorded_at, body FROM event
        WHERE project_id = (SELECT %(project_id)s::text) AND (%(customers)s::text[] IS NULL OR customer_id = ANY (%(customers)s))
          AND recorded_at <= %(at)s AND (recorded_at, sequence, event_id) < (%(at)s, %(sequence)s, %(event_id)s)
        ORDER BY recorded_at DESC, sequence DESC, event_id DESC LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        customers=None if customer_ids is None else list(customer_ids),
        at=at,
        sequence=sequence,
        event_id=event_id,
        limit=limit,
    )


async def with_deliveries(tx: Tx, rows: Sequence[Row]) -> list[RecordedEvent]:
    """Adds to each event who was told. The way there goes through the endpoints, so that the key of deliveries is known whole."""
    deliveries = await tx.fetch(
        """
        SELECT shown.customer_id, shown.event_id, p.endpoint_id, p.name AS endpoint_name, d.*
        FROM unnest(%(customers)s::text[], %(ids)s::text[]) AS shown (customer_id, event_id)
        CROSS JOIN endpoint p
        CROSS JOIN LATERAL (
          SELECT attempts, wake_at, delivered_at, skipped_at, parked_at, last_status, last_error FROM delivery
          WHERE customer_id = shown.customer_id AND endpoint_id = p.endpoint_id AND event_id = shown.event_id LIMIT 1) d
        ORDER BY p.endpoint_id
        """,
        customers=[row["customer_id"] for row in rows],
        ids=[row["event_id"] for row in rows],
    )
    told: dict[tuple[str, str], list[Delivery]] = {}
    for row in deliveries:
        fields = dict(row)
        told.setdefault((fields.pop("customer_id"), fields.pop("event_id")), []).append(Delivery(**fields))
    return [RecordedEvent(**row, deliveries=tuple(told.get((row["customer_id"], row["event_id"]), ()))) for row in rows]


async def next_test_sequence(tx: Tx) -> int:
    """One asks at a time: nobody real is behind the test customer whose row could be locked instead."""
    await tx.fetch("SELECT pg_advisory_xact_lock(hashtextextended('test events of ' || %(project_id)s::text, 0))", project_id=tx.project_id)
    last: int | None = await tx.fetch_value("SELECT max(sequence) FROM event WHERE customer_id = %(test_customer)s", test_customer=TEST_CUSTOMER)
    return (last or 0) + 1


async def forget(tx: Tx, customer_ids: Sequence[CustomerId], aliases: Sequence[str], pseudonym: str) -> None:
    """What was told of these customers, and of them in telling of others, speaks of a made-up id from now on."""
    await tx.execute(
        """
        UPDATE event SET body = (body - 'metadata') || jsonb_build_object(
          'app_user_id', %(pseudonym)s::text, 'original_app_user_id', %(pseudonym)s::text, 'aliases', jsonb_build_array(%(pseudonym)s::text),
          'subscriber_attributes', '{}'::jsonb)
        WHERE customer_id = ANY (%(customers)s::text[]) AND body ? 'app_user_id'
        """,
        customers=list(customer_ids),
        pseudonym=pseudonym,
    )
    await tx.execute(
        """
        UPDATE event e SET body = e.body || jsonb_build_object('transferred_from', named.sources, 'transferred_to', named.targets)
        FROM (SELECT t.customer_id, t.event_id,
                     (SELECT jsonb_agg(DISTINCT CASE WHEN id = ANY (%(aliases)s::text[]) THEN %(pseudonym)s::text ELSE id END)
                      FROM jsonb_array_elements_text(t.body->'transferred_from') AS id) AS sources,
                     (SELECT jsonb_agg(DISTINCT CASE WHEN id = ANY (%(aliases)s::text[]) THEN %(pseudonym)s::text ELSE id END)
                      FROM jsonb_array_elements_text(t.body->'transferred_to') AS id) AS targets
              FROM event t
              WHERE t.project_id = %(project_id)s AND t.type = 'TRANSFER'
                AND (t.body->'transferred_from' ?| %(aliases)s::text[] OR t.body->'transferred_to' ?| %(aliases)s::text[])) AS named
        WHERE e.project_id = %(project_id)s AND e.customer_id = named.customer_id AND e.event_id = named.event_id
        """,
        project_id=tx.project_id,
        aliases=list(aliases),
        pseudonym=pseudonym,
    )

"""SQL of the event log and the outbox. Sets in, sets out.

Unlike elsewhere, queries that walk an index in its order name `project_id`: behind the wall's `= ANY (...)` alone PostgreSQL cannot
know that one project's rows follow each other, and would read and sort all of them.
"""

from collections.abc import Sequence
from datetime import datetime

from perennial.base.db import Row, Tx
from perennial.base.ids import CustomerId, EndpointId, EventId
from perennial.base.time import EPOCH, FOREVER
from perennial.base.value import value
from perennial.events.model import OPT_IN_TYPES, TEST_CUSTOMER, Delivery, Endpoint, Health, NewEvent, Parcel, Place, RecordedEvent, Route, Settled

_FIRST: Place = (EPOCH, 0, "")
_LAST: Place = (FOREVER, 0, "")


@value
class EventKey:
    customer_id: CustomerId
    event_id: EventId


@value
class Due:
    """A locked delivery whose time has come, though perhaps not yet its turn."""

    customer_id: CustomerId
    endpoint_id: EndpointId
    event_id: EventId
    sequence: int


# The log --------------------------------------------------------------------------------------------------------------------------


async def insert_events(tx: Tx, events: Sequence[NewEvent]) -> list[EventKey]:
    """Returns those that were new: the key is derived from what happened, so a second telling finds the first."""
    rows = await tx.fetch(
        """
        INSERT INTO event (project_id, customer_id, event_id, sequence, type, app_id, environment, happened_at, recorded_at, body)
        SELECT %(project_id)s, customer_id, event_id, sequence, type, app_id, environment, happened_at, %(now)s, body
        FROM unnest(%(customers)s::text[], %(ids)s::text[], %(sequences)s::bigint[], %(types)s::text[], %(apps)s::text[], %(environments)s::text[],
                    %(happened)s::timestamptz[], %(bodies)s::jsonb[])
          AS new (customer_id, event_id, sequence, type, app_id, environment, happened_at, body)
        ON CONFLICT (project_id, customer_id, event_id) DO NOTHING
        RETURNING customer_id, event_id
        """,
        project_id=tx.project_id, now=tx.now, customers=[event.customer_id for event in events], ids=[event.event_id for event in events],
        sequences=[event.sequence for event in events], types=[event.type for event in events], apps=[event.app_id for event in events],
        environments=[event.environment for event in events], happened=[event.happened_at for event in events],
        bodies=[event.body for event in events],
    )
    return [EventKey(**row) for row in rows]


async def open_deliveries(tx: Tx, events: Sequence[EventKey], endpoint_id: EndpointId | None = None) -> int:
    """Puts events on their way to every endpoint that wants to hear them, or to one; returns how many ways.

    A delivery that exists is opened anew, from its first attempt on, whatever the endpoint's filters have become since.
    """
    return await tx.execute(
        """
        INSERT INTO delivery (project_id, customer_id, endpoint_id, event_id, sequence, wake_at)
        SELECT e.project_id, e.customer_id, p.endpoint_id, e.event_id, e.sequence, %(now)s
        FROM unnest(%(customers)s::text[], %(ids)s::text[]) WITH ORDINALITY AS wanted (customer_id, event_id, place)
        JOIN event e ON e.project_id = %(project_id)s AND e.customer_id = wanted.customer_id AND e.event_id = wanted.event_id
        JOIN endpoint p ON p.project_id = e.project_id AND (%(endpoint_id)s::text IS NULL OR p.endpoint_id = %(endpoint_id)s)
        LEFT JOIN delivery d
          ON d.project_id = e.project_id AND d.customer_id = e.customer_id AND d.endpoint_id = p.endpoint_id AND d.event_id = e.event_id
        WHERE d.event_id IS NOT NULL OR (
          e.customer_id <> %(test_customer)s
          AND (p.environment IS NULL OR p.environment = lower(e.environment))
          AND (p.app_id IS NULL OR p.app_id = e.app_id)
          AND CASE WHEN p.event_types IS NULL THEN e.type <> ALL (%(opt_in)s::text[]) ELSE lower(e.type) = ANY (p.event_types) END)
        ORDER BY wanted.place, p.endpoint_id
        ON CONFLICT (project_id, customer_id, endpoint_id, event_id) DO UPDATE
        SET attempts = 0, wake_at = excluded.wake_at, delivered_at = NULL, parked_at = NULL
        """,
        project_id=tx.project_id, now=tx.now, customers=[event.customer_id for event in events], ids=[event.event_id for event in events],
        endpoint_id=endpoint_id, test_customer=TEST_CUSTOMER, opt_in=sorted(OPT_IN_TYPES),
    )


async def find_events(tx: Tx, event_ids: Sequence[EventId]) -> list[EventKey]:
    rows = await tx.fetch(
        "SELECT customer_id, event_id FROM event WHERE event_id = ANY (%(ids)s::text[]) ORDER BY customer_id, sequence", ids=list(event_ids)
    )
    return [EventKey(**row) for row in rows]


async def keys_after(tx: Tx, place: Place, *, until: datetime, limit: int) -> list[tuple[EventKey, Place]]:
    """Real events only: nobody wants an old test again."""
    rows = await tx.fetch(
        """
        SELECT customer_id, event_id, recorded_at, sequence FROM event
        WHERE project_id = %(project_id)s AND recorded_at >= %(at)s AND recorded_at <= %(until)s
          AND (recorded_at, sequence, event_id) > (%(at)s, %(sequence)s, %(event_id)s) AND customer_id <> %(test_customer)s
        ORDER BY recorded_at, sequence, event_id LIMIT %(limit)s
        """,
        project_id=tx.project_id, at=place[0], sequence=place[1], event_id=place[2], until=until, test_customer=TEST_CUSTOMER, limit=limit,
    )
    return [
        (EventKey(customer_id=row["customer_id"], event_id=row["event_id"]), (row["recorded_at"], row["sequence"], row["event_id"])) for row in rows
    ]


async def events_after(tx: Tx, customer_ids: Sequence[CustomerId] | None, place: Place | None, limit: int) -> list[Row]:
    at, sequence, event_id = place or _FIRST
    return await tx.fetch(
        """
        SELECT customer_id, event_id, sequence, type, app_id, environment, happened_at, recorded_at, body FROM event
        WHERE project_id = %(project_id)s AND (%(customers)s::text[] IS NULL OR customer_id = ANY (%(customers)s))
          AND recorded_at >= %(at)s AND (recorded_at, sequence, event_id) > (%(at)s, %(sequence)s, %(event_id)s)
        ORDER BY recorded_at, sequence, event_id LIMIT %(limit)s
        """,
        project_id=tx.project_id, customers=None if customer_ids is None else list(customer_ids), at=at, sequence=sequence, event_id=event_id,
        limit=limit,
    )


async def events_before(tx: Tx, customer_ids: Sequence[CustomerId] | None, place: Place | None, limit: int) -> list[Row]:
    """The newest first."""
    at, sequence, event_id = place or _LAST
    return await tx.fetch(
        """
        SELECT customer_id, event_id, sequence, type, app_id, environment, happened_at, recorded_at, body FROM event
        WHERE project_id = %(project_id)s AND (%(customers)s::text[] IS NULL OR customer_id = ANY (%(customers)s))
          AND recorded_at <= %(at)s AND (recorded_at, sequence, event_id) < (%(at)s, %(sequence)s, %(event_id)s)
        ORDER BY recorded_at DESC, sequence DESC, event_id DESC LIMIT %(limit)s
        """,
        project_id=tx.project_id, customers=None if customer_ids is None else list(customer_ids), at=at, sequence=sequence, event_id=event_id,
        limit=limit,
    )


async def with_deliveries(tx: Tx, rows: Sequence[Row]) -> list[RecordedEvent]:
    """Adds to each event who was told. The join goes through endpoints so that the key of deliveries is known whole."""
    deliveries = await tx.fetch(
        """
        SELECT d.customer_id, d.event_id, d.endpoint_id, p.name AS endpoint_name, d.attempts, d.wake_at, d.delivered_at, d.parked_at,
               d.last_status, d.last_error
        FROM unnest(%(customers)s::text[], %(ids)s::text[]) AS shown (customer_id, event_id)
        JOIN endpoint p ON p.project_id = %(project_id)s
        JOIN delivery d
          ON d.project_id = p.project_id AND d.customer_id = shown.customer_id AND d.endpoint_id = p.endpoint_id AND d.event_id = shown.event_id
        ORDER BY d.endpoint_id
        """,
        project_id=tx.project_id, customers=[row["customer_id"] for row in rows], ids=[row["event_id"] for row in rows],
    )
    told: dict[tuple[str, str], list[Delivery]] = {}
    for row in deliveries:
        fields = dict(row)
        told.setdefault((fields.pop("customer_id"), fields.pop("event_id")), []).append(Delivery(**fields))
    return [RecordedEvent(**row, deliveries=tuple(told.get((row["customer_id"], row["event_id"]), ()))) for row in rows]


# Endpoints ------------------------------------------------------------------------------------------------------------------------


async def insert_endpoint(tx: Tx, endpoint: Endpoint, *, authorization_header: bytes | None, signing_secret: bytes) -> None:
    await tx.execute(
        """
        INSERT INTO endpoint (project_id, endpoint_id, name, url, authorization_header, signing_secret, environment, app_id, event_types, created_at)
        VALUES (%(project_id)s, %(endpoint_id)s, %(name)s, %(url)s, %(authorization_header)s, %(signing_secret)s, %(environment)s, %(app_id)s,
                %(event_types)s, %(now)s)
        """,
        project_id=tx.project_id, endpoint_id=endpoint.endpoint_id, name=endpoint.name, url=endpoint.url, authorization_header=authorization_header,
        signing_secret=signing_secret, environment=endpoint.environment, app_id=endpoint.app_id, event_types=endpoint.event_types, now=tx.now,
    )


async def update_endpoint(tx: Tx, endpoint: Endpoint) -> None:
    """All but its secrets and its health."""
    await tx.execute(
        """
        UPDATE endpoint SET name = %(name)s, url = %(url)s, environment = %(environment)s, app_id = %(app_id)s, event_types = %(event_types)s
        WHERE endpoint_id = %(endpoint_id)s
        """,
        endpoint_id=endpoint.endpoint_id, name=endpoint.name, url=endpoint.url, environment=endpoint.environment, app_id=endpoint.app_id,
        event_types=endpoint.event_types,
    )


async def set_authorization(tx: Tx, endpoint_id: EndpointId, authorization_header: bytes | None) -> None:
    await tx.execute(
        "UPDATE endpoint SET authorization_header = %(header)s WHERE endpoint_id = %(endpoint_id)s",
        header=authorization_header, endpoint_id=endpoint_id,
    )


async def delete_endpoint(tx: Tx, endpoint_id: EndpointId) -> bool:
    """Its deliveries go with it."""
    return await tx.execute("DELETE FROM endpoint WHERE endpoint_id = %(endpoint_id)s", endpoint_id=endpoint_id) == 1


async def get_endpoints(tx: Tx, endpoint_ids: Sequence[EndpointId]) -> list[Endpoint]:
    rows = await tx.fetch("SELECT * FROM endpoint WHERE endpoint_id = ANY (%(ids)s::text[]) ORDER BY endpoint_id", ids=list(endpoint_ids))
    return [_endpoint(row) for row in rows]


async def page_endpoints(tx: Tx, *, after: str | None, limit: int) -> list[Endpoint]:
    rows = await tx.fetch(
        """
        SELECT * FROM endpoint WHERE project_id = %(project_id)s AND (%(after)s::text IS NULL OR endpoint_id > %(after)s)
        ORDER BY endpoint_id LIMIT %(limit)s
        """,
        project_id=tx.project_id, after=after, limit=limit,
    )
    return [_endpoint(row) for row in rows]


async def lock_endpoints(tx: Tx, endpoint_ids: Sequence[EndpointId]) -> None:
    """Who records or replays holds its endpoints, all in one order, so two of them never wait for each other in a ring.

    The weaker lock: new deliveries, which refer to the endpoint, may still be written meanwhile.
    """
    await tx.fetch(
        "SELECT FROM endpoint WHERE endpoint_id = ANY (%(ids)s::text[]) ORDER BY endpoint_id FOR NO KEY UPDATE", ids=sorted(set(endpoint_ids))
    )


async def has_app(tx: Tx, app_id: str) -> bool:
    return await tx.fetch_value("SELECT TRUE FROM app WHERE app_id = %(app_id)s", app_id=app_id) is not None


async def save_health(tx: Tx, lines: Sequence[Health]) -> None:
    """The endpoints must be locked."""
    await tx.execute(
        """
        UPDATE endpoint p SET
          last_success_at = CASE WHEN new.has_success THEN %(now)s ELSE p.last_success_at END,
          last_failure_at = CASE WHEN new.failures > 0 THEN %(now)s ELSE p.last_failure_at END,
          last_error = coalesce(new.last_error, p.last_error),
          failures = CASE WHEN new.has_success THEN 0 ELSE p.failures + new.failures END
        FROM unnest(%(ids)s::text[], %(has_success)s::boolean[], %(failures)s::integer[], %(errors)s::text[])
          AS new (endpoint_id, has_success, failures, last_error)
        WHERE p.endpoint_id = new.endpoint_id
        """,
        now=tx.now, ids=[one.endpoint_id for one in lines], has_success=[one.has_success for one in lines],
        failures=[one.failures for one in lines], errors=[one.last_error for one in lines],
    )


def _endpoint(row: Row) -> Endpoint:
    return Endpoint(
        endpoint_id=row["endpoint_id"],
        name=row["name"],
        url=row["url"],
        environment=row["environment"],
        app_id=row["app_id"],
        event_types=None if row["event_types"] is None else tuple(row["event_types"]),
        created_at=row["created_at"],
        has_authorization=row["authorization_header"] is not None,
        last_success_at=row["last_success_at"],
        last_failure_at=row["last_failure_at"],
        last_error=row["last_error"],
        failures=row["failures"],
    )


# The outbox -----------------------------------------------------------------------------------------------------------------------


async def lock_due(tx: Tx, limit: int) -> list[Due]:
    """Deliveries whose time has come and that nobody else is looking at."""
    rows = await tx.fetch(
        """
        SELECT customer_id, endpoint_id, event_id, sequence FROM delivery
        WHERE project_id = %(project_id)s AND wake_at <= %(now)s ORDER BY wake_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        """,
        project_id=tx.project_id, now=tx.now, limit=limit,
    )
    return [Due(**row) for row in rows]


async def claim(tx: Tx, due: Sequence[Due], *, until: datetime) -> list[Parcel]:
    """Of locked deliveries, takes those at the head of their customer's queue; the others sleep until their head's time, so nobody looks at
    them in vain.

    A second statement after `lock_due` on purpose: its snapshot is younger than the locks, so a head that was delivered a moment ago is
    seen to be.
    """
    rows = await tx.fetch(
        """
        WITH turn AS (
          SELECT due.*, head.wake_at AS head_wake_at
          FROM unnest(%(customers)s::text[], %(endpoints)s::text[], %(ids)s::text[], %(sequences)s::bigint[])
            AS due (customer_id, endpoint_id, event_id, sequence)
          LEFT JOIN LATERAL (
            SELECT h.wake_at FROM delivery h
            WHERE h.project_id = %(project_id)s AND h.endpoint_id = due.endpoint_id AND h.customer_id = due.customer_id
              AND h.wake_at IS NOT NULL AND h.sequence < due.sequence
            ORDER BY h.sequence LIMIT 1) head ON TRUE)
        UPDATE delivery d SET
          attempts = d.attempts + (turn.head_wake_at IS NULL)::integer,
          wake_at = greatest(turn.head_wake_at, %(until)s)
        FROM turn LEFT JOIN event e
          ON turn.head_wake_at IS NULL AND e.project_id = %(project_id)s AND e.customer_id = turn.customer_id AND e.event_id = turn.event_id
        WHERE d.project_id = %(project_id)s AND d.customer_id = turn.customer_id AND d.endpoint_id = turn.endpoint_id AND d.event_id = turn.event_id
        RETURNING d.customer_id, d.endpoint_id, d.event_id, d.sequence, d.attempts, e.body
        """,
        project_id=tx.project_id, until=until, customers=[one.customer_id for one in due], endpoints=[one.endpoint_id for one in due],
        ids=[one.event_id for one in due], sequences=[one.sequence for one in due],
    )
    return [Parcel(**row) for row in rows if row["body"] is not None]


async def routes(tx: Tx, endpoint_ids: Sequence[EndpointId]) -> dict[EndpointId, Route]:
    rows = await tx.fetch(
        "SELECT endpoint_id, url, authorization_header, signing_secret FROM endpoint WHERE endpoint_id = ANY (%(ids)s::text[])",
        ids=sorted(set(endpoint_ids)),
    )
    return {row["endpoint_id"]: _route(row) for row in rows}


def _route(row: Row) -> Route:
    return Route(url=row["url"], authorization_header=row["authorization_header"], signing_secret=row["signing_secret"])


async def save_settled(tx: Tx, settled: Sequence[Settled]) -> list[Settled]:
    """Only where the claim is still ours, and returns those: another attempt since, or a replay, has its own say."""
    rows = await tx.fetch(
        """
        UPDATE delivery d SET attempts = new.attempts, wake_at = new.wake_at, delivered_at = new.delivered_at, parked_at = new.parked_at,
          last_status = CASE WHEN new.was_tried THEN new.status ELSE d.last_status END,
          last_error = CASE WHEN new.was_tried THEN new.error ELSE d.last_error END
        FROM unnest(%(customers)s::text[], %(endpoints)s::text[], %(ids)s::text[], %(claimed)s::integer[], %(attempts)s::integer[],
                    %(wakes)s::timestamptz[], %(delivered)s::timestamptz[], %(parked)s::timestamptz[], %(statuses)s::integer[], %(errors)s::text[],
                    %(tried)s::boolean[])
          AS new (customer_id, endpoint_id, event_id, claimed, attempts, wake_at, delivered_at, parked_at, status, error, was_tried)
        WHERE d.project_id = %(project_id)s AND d.customer_id = new.customer_id AND d.endpoint_id = new.endpoint_id AND d.event_id = new.event_id
          AND d.attempts = new.claimed AND d.wake_at IS NOT NULL
        RETURNING d.customer_id, d.endpoint_id, d.event_id
        """,
        project_id=tx.project_id, customers=[one.parcel.customer_id for one in settled], endpoints=[one.parcel.endpoint_id for one in settled],
        ids=[one.parcel.event_id for one in settled], claimed=[one.parcel.attempts for one in settled], attempts=[one.attempts for one in settled],
        wakes=[one.wake_at for one in settled], delivered=[one.delivered_at for one in settled], parked=[one.parked_at for one in settled],
        statuses=[one.status for one in settled], errors=[one.error for one in settled],
        tried=[one.was_tried for one in settled],
    )
    ours = {(row["customer_id"], row["endpoint_id"], row["event_id"]) for row in rows}
    return [one for one in settled if (one.parcel.customer_id, one.parcel.endpoint_id, one.parcel.event_id) in ours]


async def hold_followers(tx: Tx, failed: Sequence[Settled]) -> None:
    """What waits behind a delivery that is tried again later sleeps as long as it."""
    await tx.execute(
        """
        UPDATE delivery d SET wake_at = head.wake_at
        FROM unnest(%(customers)s::text[], %(endpoints)s::text[], %(sequences)s::bigint[], %(wakes)s::timestamptz[])
          AS head (customer_id, endpoint_id, sequence, wake_at)
        WHERE d.project_id = %(project_id)s AND d.endpoint_id = head.endpoint_id AND d.customer_id = head.customer_id AND d.sequence > head.sequence
          AND d.wake_at IS NOT NULL AND d.wake_at < head.wake_at
        """,
        project_id=tx.project_id, customers=[one.parcel.customer_id for one in failed], endpoints=[one.parcel.endpoint_id for one in failed],
        sequences=[one.parcel.sequence for one in failed], wakes=[one.wake_at for one in failed],
    )


async def wake_next(tx: Tx, closed: Sequence[Settled]) -> None:
    """Behind what is delivered or parked, the next in the queue is due. Those after it follow one by one.

    It is written even where it is due already: a claimer may be about to put it to sleep behind a head that, for its snapshot, is still
    open, and writing waits for that.
    """
    await tx.execute(
        """
        UPDATE delivery d SET wake_at = %(now)s
        FROM unnest(%(customers)s::text[], %(endpoints)s::text[]) AS queue (customer_id, endpoint_id)
        CROSS JOIN LATERAL (
          SELECT n.event_id FROM delivery n
          WHERE n.project_id = %(project_id)s AND n.endpoint_id = queue.endpoint_id AND n.customer_id = queue.customer_id AND n.wake_at IS NOT NULL
          ORDER BY n.sequence LIMIT 1) next
        WHERE d.project_id = %(project_id)s AND d.customer_id = queue.customer_id AND d.endpoint_id = queue.endpoint_id AND d.event_id = next.event_id
          AND d.attempts = 0 AND d.wake_at IS NOT NULL
        """,
        project_id=tx.project_id, now=tx.now, customers=[one.parcel.customer_id for one in closed],
        endpoints=[one.parcel.endpoint_id for one in closed],
    )


# Tests by hand --------------------------------------------------------------------------------------------------------------------


async def next_test_sequence(tx: Tx) -> int:
    """One asks at a time: nobody real is behind the test customer whose row could be locked instead."""
    await tx.fetch("SELECT pg_advisory_xact_lock(hashtextextended('test events of ' || %(project_id)s::text, 0))", project_id=tx.project_id)
    last: int | None = await tx.fetch_value("SELECT max(sequence) FROM event WHERE customer_id = %(test_customer)s", test_customer=TEST_CUSTOMER)
    return (last or 0) + 1


async def park_waiting_tests(tx: Tx, endpoint_id: EndpointId) -> None:
    await tx.execute(
        """
        UPDATE delivery SET wake_at = NULL, parked_at = %(now)s
        WHERE customer_id = %(test_customer)s AND endpoint_id = %(endpoint_id)s AND wake_at IS NOT NULL
        """,
        now=tx.now, test_customer=TEST_CUSTOMER, endpoint_id=endpoint_id,
    )


async def insert_delivery(tx: Tx, event: NewEvent, endpoint_id: EndpointId) -> None:
    await tx.execute(
        """
        INSERT INTO delivery (project_id, customer_id, endpoint_id, event_id, sequence, wake_at)
        VALUES (%(project_id)s, %(customer_id)s, %(endpoint_id)s, %(event_id)s, %(sequence)s, %(now)s)
        """,
        project_id=tx.project_id, customer_id=event.customer_id, endpoint_id=endpoint_id, event_id=event.event_id, sequence=event.sequence,
        now=tx.now,
    )

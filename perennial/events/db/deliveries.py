"""SQL of the outbox: what is on its way to whom, and whose turn it is. Sets in, sets out.

What is open in a queue is asked for by `num_nulls(wake_at) = 0`, which says to PostgreSQL which index to walk (`migrations/0083_queues.sql`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from perennial.base.db import Database, Tx
from perennial.base.ids import CustomerId, EndpointId, EventId, ProjectId
from perennial.base.time import EPOCH
from perennial.base.value import value
from perennial.events.db.log import Heading
from perennial.events.model import OPT_IN_TYPES, TEST_CUSTOMER, NewEvent, Parcel, Settled


@value
class Due:
    """A locked delivery whose time has come, though perhaps not yet its turn."""

    customer_id: CustomerId
    endpoint_id: EndpointId
    event_id: EventId
    sequence: int
    attempts: int
    batch: str | None = None


@value
class DueEndpoint:
    """With a delivery whose time has come."""

    project_id: ProjectId
    endpoint_id: EndpointId
    is_webhook: bool


async def open_deliveries(tx: Tx, events: Sequence[Heading], endpoint_id: EndpointId | None = None) -> int:
    """Puts events on their way to every endpoint that wants to hear them, or to one; returns how many ways are new.

    Where an endpoint gathers, they wait for the end of the span they fall in; what is told of the past goes at once. The types that webhooks
    hear on request alone are for integrations like others: without them their sums of money would not come out right.
    """
    return await tx.execute(
        """
        INSERT INTO delivery (project_id, customer_id, endpoint_id, event_id, sequence, wake_at)
        SELECT p.project_id, e.customer_id, p.endpoint_id, e.event_id, e.sequence,
               CASE WHEN p.gather_for IS NULL OR %(endpoint_id)s::text IS NOT NULL THEN %(now)s::timestamptz
                 ELSE date_bin(p.gather_for, %(now)s::timestamptz, %(epoch)s::timestamptz) + p.gather_for END
        FROM unnest(%(customers)s::text[], %(ids)s::text[], %(sequences)s::bigint[], %(types)s::text[], %(apps)s::text[], %(environments)s::text[])
          WITH ORDINALITY AS e (customer_id, event_id, sequence, type, app_id, environment, place)
        JOIN endpoint p ON (%(endpoint_id)s::text IS NULL OR p.endpoint_id = %(endpoint_id)s)
          AND (p.environment IS NULL OR p.environment = lower(e.environment))
          AND (p.app_id IS NULL OR p.app_id = e.app_id)
          AND CASE WHEN p.event_types IS NULL THEN p.kind <> 'webhook' OR e.type <> ALL (%(opt_in)s::text[])
            ELSE lower(e.type) = ANY (p.event_types) END
        WHERE p.project_id = %(project_id)s
        ORDER BY e.place, p.endpoint_id
        ON CONFLICT (project_id, customer_id, endpoint_id, event_id) DO NOTHING
        """,
        project_id=tx.project_id,
        now=tx.now,
        customers=[event.customer_id for event in events],
        ids=[event.event_id for event in events],
        sequences=[event.sequence for event in events],
        types=[event.type for event in events],
        apps=[event.app_id for event in events],
        environments=[event.environment for event in events],
        endpoint_id=endpoint_id,
        opt_in=sorted(OPT_IN_TYPES),
        epoch=EPOCH,
    )


async def reopen_deliveries(tx: Tx, events: Sequence[Heading], endpoint_id: EndpointId) -> int:
    """From the first attempt on, whatever the endpoint's filters have become since. Returns how many there were."""
    return await tx.execute(
        """
        INSERT INTO delivery (project_id, customer_id, endpoint_id, event_id, sequence)
        SELECT %(project_id)s, d.customer_id, d.endpoint_id, d.event_id, d.sequence
        FROM unnest(%(customers)s::text[], %(ids)s::text[]) AS wanted (customer_id, event_id)
        CROSS JOIN LATERAL (
          SELECT * FROM delivery WHERE customer_id = wanted.customer_id AND endpoint_id = %(endpoint_id)s AND event_id = wanted.event_id
          LIMIT 1 FOR UPDATE) d
        ON CONFLICT (project_id, customer_id, endpoint_id, event_id) DO UPDATE
        SET attempts = 0, wake_at = %(now)s, delivered_at = NULL, skipped_at = NULL, parked_at = NULL, batch = NULL
        """,
        project_id=tx.project_id,
        now=tx.now,
        customers=[event.customer_id for event in events],
        ids=[event.event_id for event in events],
        endpoint_id=endpoint_id,
    )


async def lock_due(tx: Tx, limit: int) -> list[Due]:
    """Deliveries whose time has come and that nobody else is looking at: of each endpoint that is not paused, its share of `limit`.

    One that gathers has all of it: a batch is claimed whole or not at all.
    """
    rows = await tx.fetch(
        """
        WITH share AS MATERIALIZED (
          SELECT endpoint_id, CASE WHEN gather_for IS NULL THEN greatest(%(limit)s / count(*) OVER (), 1) ELSE %(limit)s END AS most FROM endpoint
          WHERE project_id = (SELECT %(project_id)s::text) AND paused_at IS NULL)
        SELECT d.* FROM share CROSS JOIN LATERAL (
          SELECT customer_id, endpoint_id, event_id, sequence, attempts, batch FROM delivery
          WHERE project_id = (SELECT %(project_id)s::text) AND endpoint_id = share.endpoint_id AND wake_at <= %(now)s
          ORDER BY wake_at LIMIT share.most FOR UPDATE SKIP LOCKED) d
        """,
        project_id=tx.project_id,
        now=tx.now,
        limit=limit,
    )
    return [Due(**row) for row in rows]


async def lock_due_to(tx: Tx, wanted: Mapping[EndpointId, int]) -> list[Due]:
    """The same of these endpoints, at most so many of each."""
    rows = await tx.fetch(
        """
        SELECT d.* FROM unnest(%(ids)s::text[], %(most)s::bigint[]) AS wanted (endpoint_id, most)
        JOIN endpoint p ON p.project_id = (SELECT %(project_id)s::text) AND p.endpoint_id = wanted.endpoint_id AND p.paused_at IS NULL
        CROSS JOIN LATERAL (
          SELECT customer_id, endpoint_id, event_id, sequence, attempts, batch FROM delivery
          WHERE project_id = (SELECT %(project_id)s::text) AND endpoint_id = wanted.endpoint_id AND wake_at <= %(now)s
          ORDER BY wake_at LIMIT wanted.most FOR UPDATE SKIP LOCKED) d
        """,
        project_id=tx.project_id,
        now=tx.now,
        ids=list(wanted),
        most=list(wanted.values()),
    )
    return [Due(**row) for row in rows]


async def find_due(
    database: Database, *, busy: Sequence[EndpointId], busy_projects: Sequence[ProjectId], after: tuple[str, str], limit: int
) -> list[DueEndpoint]:
    """Of all projects, in the order of their ids; those that are busy are left out."""
    rows = await database.door(
        "SELECT * FROM due_endpoints($1, $2, $3, $4, $5, $6)", database.clock(), list(busy), list(busy_projects), *after, limit
    )
    return [DueEndpoint(**row) for row in rows]


async def claim(tx: Tx, due: Sequence[Due], *, until: datetime) -> list[Parcel]:
    """Of locked deliveries, takes those at the head of their customer's queue; the others sleep until their head's time, so nobody looks at
    them in vain.

    A second statement after `lock_due` on purpose: its snapshot is younger than the locks, so a head that was delivered a moment ago is
    seen to be.
    """
    rows = await tx.fetch(
        """
        WITH turn AS MATERIALIZED (
          SELECT due.customer_id, due.endpoint_id, due.event_id, due.sequence, head.wake_at IS NULL AS is_head,
                 due.attempts + (head.wake_at IS NULL)::integer AS attempts, greatest(head.wake_at, %(until)s) AS wake_at
          FROM unnest(%(customers)s::text[], %(endpoints)s::text[], %(ids)s::text[], %(sequences)s::bigint[], %(attempts)s::integer[])
            AS due (customer_id, endpoint_id, event_id, sequence, attempts)
          LEFT JOIN LATERAL (
            SELECT wake_at FROM delivery
            WHERE endpoint_id = due.endpoint_id AND customer_id = due.customer_id AND num_nulls(wake_at) = 0 AND sequence < due.sequence
            LIMIT 1) head ON TRUE),
        saved AS (
          INSERT INTO delivery (project_id, customer_id, endpoint_id, event_id, sequence, attempts, wake_at)
          SELECT %(project_id)s, customer_id, endpoint_id, event_id, sequence, attempts, wake_at FROM turn
          ON CONFLICT (project_id, customer_id, endpoint_id, event_id) DO UPDATE SET attempts = excluded.attempts, wake_at = excluded.wake_at)
        SELECT turn.customer_id, turn.endpoint_id, turn.event_id, turn.sequence, turn.attempts, e.body
        FROM turn CROSS JOIN LATERAL (
          SELECT body FROM event WHERE customer_id = turn.customer_id AND event_id = turn.event_id LIMIT 1) e
        WHERE turn.is_head
        """,
        project_id=tx.project_id,
        until=until,
        customers=[one.customer_id for one in due],
        endpoints=[one.endpoint_id for one in due],
        ids=[one.event_id for one in due],
        sequences=[one.sequence for one in due],
        attempts=[one.attempts for one in due],
    )
    return [Parcel(**row) for row in rows]


async def claim_batches(tx: Tx, due: Sequence[Due], names: dict[EndpointId, str], *, until: datetime) -> list[Parcel]:
    """Of locked deliveries to endpoints that gather, takes whole batches; what cannot go yet sleeps.

    Those that are in no batch yet become one (`names`, by endpoint): all of a customer's that are due, unless an earlier one of theirs is still
    open elsewhere. One that was begun goes again with exactly those it had, or not at all while somebody else holds some of them: its object
    would lose the others.
    """
    rows = await tx.fetch(
        """
        WITH due AS MATERIALIZED (
          SELECT * FROM unnest(%(customers)s::text[], %(endpoints)s::text[], %(ids)s::text[], %(sequences)s::bigint[], %(attempts)s::integer[],
                               %(batches)s::text[]) AS due (customer_id, endpoint_id, event_id, sequence, attempts, batch)),
        ahead AS MATERIALIZED (
          SELECT queue.endpoint_id, queue.customer_id, min(d.sequence) AS sequence
          FROM (SELECT endpoint_id, customer_id, max(sequence) AS last FROM due WHERE batch IS NULL GROUP BY 1, 2) queue
          CROSS JOIN LATERAL (
            SELECT * FROM delivery WHERE endpoint_id = queue.endpoint_id AND customer_id = queue.customer_id AND num_nulls(wake_at) = 0
              AND sequence <= queue.last) d
          LEFT JOIN due beside ON beside.endpoint_id = d.endpoint_id AND beside.customer_id = d.customer_id AND beside.event_id = d.event_id
            AND beside.batch IS NULL
          WHERE beside.event_id IS NULL GROUP BY 1, 2),
        broken AS MATERIALIZED (
          SELECT DISTINCT d.endpoint_id, d.batch
          FROM (SELECT DISTINCT endpoint_id, batch FROM due WHERE batch IS NOT NULL) begun
          CROSS JOIN LATERAL (SELECT * FROM delivery WHERE endpoint_id = begun.endpoint_id AND batch = begun.batch AND wake_at IS NOT NULL) d
          LEFT JOIN due beside ON beside.endpoint_id = d.endpoint_id AND beside.customer_id = d.customer_id AND beside.event_id = d.event_id
          WHERE beside.event_id IS NULL),
        turn AS MATERIALIZED (
          SELECT due.customer_id, due.endpoint_id, due.event_id, due.sequence, goes.is_turn, due.attempts + goes.is_turn::integer AS attempts,
                 CASE WHEN goes.is_turn THEN coalesce(due.batch, names.name) ELSE due.batch END AS batch
          FROM due
          JOIN unnest(%(named)s::text[], %(names)s::text[]) AS names (endpoint_id, name) ON names.endpoint_id = due.endpoint_id
          LEFT JOIN ahead ON due.batch IS NULL AND ahead.endpoint_id = due.endpoint_id AND ahead.customer_id = due.customer_id
          LEFT JOIN broken ON broken.endpoint_id = due.endpoint_id AND broken.batch = due.batch
          CROSS JOIN LATERAL (SELECT broken.batch IS NULL AND (ahead.sequence IS NULL OR due.sequence < ahead.sequence) AS is_turn) goes),
        saved AS (
          INSERT INTO delivery (project_id, customer_id, endpoint_id, event_id, sequence, attempts, wake_at, batch)
          SELECT %(project_id)s, customer_id, endpoint_id, event_id, sequence, attempts, %(until)s, batch FROM turn
          ON CONFLICT (project_id, customer_id, endpoint_id, event_id) DO UPDATE
          SET attempts = excluded.attempts, wake_at = excluded.wake_at, batch = excluded.batch)
        SELECT turn.customer_id, turn.endpoint_id, turn.event_id, turn.sequence, turn.attempts, turn.batch, e.body
        FROM turn CROSS JOIN LATERAL (
          SELECT body, recorded_at FROM event WHERE customer_id = turn.customer_id AND event_id = turn.event_id LIMIT 1) e
        WHERE turn.is_turn ORDER BY turn.endpoint_id, turn.batch, e.recorded_at, turn.customer_id, turn.sequence
        """,
        project_id=tx.project_id,
        until=until,
        customers=[one.customer_id for one in due],
        endpoints=[one.endpoint_id for one in due],
        ids=[one.event_id for one in due],
        sequences=[one.sequence for one in due],
        attempts=[one.attempts for one in due],
        batches=[one.batch for one in due],
        named=list(names),
        names=list(names.values()),
    )
    return [Parcel(**row) for row in rows]


async def save_settled(tx: Tx, settled: Sequence[Settled]) -> list[Settled]:
    """Only where the claim is still ours, and returns those: another attempt since, or a replay, has its own say."""
    rows = await tx.fetch(
        """
        INSERT INTO delivery (project_id, customer_id, endpoint_id, event_id, sequence, attempts, wake_at, delivered_at, skipped_at,
                              parked_at, last_status, last_error)
        SELECT %(project_id)s, d.customer_id, d.endpoint_id, d.event_id, d.sequence, new.attempts, new.wake_at, new.delivered_at, new.skipped_at,
               new.parked_at, CASE WHEN new.was_tried THEN new.status ELSE d.last_status END,
               CASE WHEN new.was_tried THEN new.error ELSE d.last_error END
        FROM unnest(%(customers)s::text[], %(endpoints)s::text[], %(ids)s::text[], %(claimed)s::integer[], %(attempts)s::integer[],
                    %(wakes)s::timestamptz[], %(delivered)s::timestamptz[], %(skipped)s::timestamptz[], %(parked)s::timestamptz[],
                    %(statuses)s::integer[], %(errors)s::text[], %(tried)s::boolean[])
          AS new (customer_id, endpoint_id, event_id, claimed, attempts, wake_at, delivered_at, skipped_at, parked_at, status, error, was_tried)
        CROSS JOIN LATERAL (
          SELECT * FROM delivery WHERE customer_id = new.customer_id AND endpoint_id = new.endpoint_id AND event_id = new.event_id
          LIMIT 1 FOR UPDATE) d
        WHERE d.attempts = new.claimed AND d.wake_at IS NOT NULL
        ON CONFLICT (project_id, customer_id, endpoint_id, event_id) DO UPDATE
        SET attempts = excluded.attempts, wake_at = excluded.wake_at, delivered_at = excluded.delivered_at,
          skipped_at = excluded.skipped_at, parked_at = excluded.parked_at, last_status = excluded.last_status, last_error = excluded.last_error
        RETURNING customer_id, endpoint_id, event_id
        """,
        project_id=tx.project_id,
        customers=[one.parcel.customer_id for one in settled],
        endpoints=[one.parcel.endpoint_id for one in settled],
        ids=[one.parcel.event_id for one in settled],
        claimed=[one.parcel.attempts for one in settled],
        attempts=[one.attempts for one in settled],
        wakes=[one.wake_at for one in settled],
        delivered=[one.delivered_at for one in settled],
        skipped=[one.skipped_at for one in settled],
        parked=[one.parked_at for one in settled],
        statuses=[one.status for one in settled],
        errors=[one.error for one in settled],
        tried=[one.was_tried for one in settled],
    )
    ours = {(row["customer_id"], row["endpoint_id"], row["event_id"]) for row in rows}
    return [one for one in settled if (one.parcel.customer_id, one.parcel.endpoint_id, one.parcel.event_id) in ours]


async def hold_followers(tx: Tx, failed: Sequence[Settled]) -> None:
    """What waits behind a delivery that is tried again later sleeps as long as it."""
    await tx.execute(
        """
        INSERT INTO delivery (project_id, customer_id, endpoint_id, event_id, sequence, wake_at)
        SELECT %(project_id)s, d.customer_id, d.endpoint_id, d.event_id, d.sequence, head.wake_at
        FROM unnest(%(customers)s::text[], %(endpoints)s::text[], %(sequences)s::bigint[], %(wakes)s::timestamptz[])
          AS head (customer_id, endpoint_id, sequence, wake_at)
        CROSS JOIN LATERAL (
          SELECT * FROM delivery WHERE endpoint_id = head.endpoint_id AND customer_id = head.customer_id AND sequence > head.sequence
            AND num_nulls(wake_at) = 0 AND coalesce(wake_at < head.wake_at, FALSE)
          FOR UPDATE) d
        ON CONFLICT (project_id, customer_id, endpoint_id, event_id) DO UPDATE SET wake_at = excluded.wake_at
        """,
        project_id=tx.project_id,
        customers=[one.parcel.customer_id for one in failed],
        endpoints=[one.parcel.endpoint_id for one in failed],
        sequences=[one.parcel.sequence for one in failed],
        wakes=[one.wake_at for one in failed],
    )


async def wake_next(tx: Tx, closed: Sequence[Settled]) -> None:
    """Behind what is delivered or parked, the next in the queue is due. Those after it follow one by one.

    It is written even where it is due already: a claimer may be about to put it to sleep behind a head that, for its snapshot, is still
    open, and writing waits for that. One that has been tried keeps the time it was given then.
    """
    await tx.execute(
        """
        INSERT INTO delivery (project_id, customer_id, endpoint_id, event_id, sequence)
        SELECT %(project_id)s, next.customer_id, next.endpoint_id, next.event_id, next.sequence
        FROM unnest(%(customers)s::text[], %(endpoints)s::text[]) AS queue (customer_id, endpoint_id)
        CROSS JOIN LATERAL (
          SELECT * FROM delivery WHERE project_id = (SELECT %(project_id)s::text) AND endpoint_id = queue.endpoint_id
            AND customer_id = queue.customer_id AND num_nulls(wake_at) = 0
          ORDER BY sequence LIMIT 1 FOR UPDATE) next
        WHERE next.attempts = 0
        ON CONFLICT (project_id, customer_id, endpoint_id, event_id) DO UPDATE SET wake_at = %(now)s
        """,
        project_id=tx.project_id,
        now=tx.now,
        customers=[one.parcel.customer_id for one in closed],
        endpoints=[one.parcel.endpoint_id for one in closed],
    )


async def park_waiting_tests(tx: Tx, endpoint_id: EndpointId) -> None:
    await tx.execute(
        """
        UPDATE delivery SET wake_at = NULL, parked_at = %(now)s
        WHERE customer_id = %(test_customer)s AND endpoint_id = %(endpoint_id)s AND num_nulls(wake_at) = 0
        """,
        now=tx.now,
        test_customer=TEST_CUSTOMER,
        endpoint_id=endpoint_id,
    )


async def insert_delivery(tx: Tx, event: NewEvent, endpoint_id: EndpointId) -> None:
    await tx.execute(
        """
        INSERT INTO delivery (project_id, customer_id, endpoint_id, event_id, sequence, wake_at)
        VALUES (%(project_id)s, %(customer_id)s, %(endpoint_id)s, %(event_id)s, %(sequence)s, %(now)s)
        """,
        project_id=tx.project_id,
        customer_id=event.customer_id,
        endpoint_id=endpoint_id,
        event_id=event.event_id,
        sequence=event.sequence,
        now=tx.now,
    )

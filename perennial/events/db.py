"""SQL of the event log and the outbox. Sets in, sets out.

These tables grow without end and of one project faster than statistics follow, so what PostgreSQL expects of them is often far too little,
and a plain join of a thousand keys with them may be planned as a thousand walks over the whole project. Two habits keep plans right
whatever is expected:

- Rows are looked up key by key, in a `LATERAL` that ends in `LIMIT 1` or `FOR UPDATE`, which is never turned into another join. To change
  rows, they are looked up so, locked, and written back by `INSERT ... ON CONFLICT DO UPDATE`, which goes by the key alone.
- Walks in the order of an index say `project_id = (SELECT ...)` beside the wall, whose `= ANY (...)` does not tell that one project's rows
  follow each other; and the subquery keeps a project too young for statistics from counting as empty.
"""

from collections.abc import Sequence
from datetime import datetime

from perennial.base.db import Row, Tx
from perennial.base.ids import AppId, CustomerId, EndpointId, EventId
from perennial.base.time import EPOCH, FOREVER
from perennial.base.value import value
from perennial.events.model import (
    OPT_IN_TYPES,
    TEST_CUSTOMER,
    Configured,
    Delivery,
    Endpoint,
    Health,
    Integration,
    IntegrationRoute,
    NewEvent,
    Parcel,
    Place,
    RecordedEvent,
    Route,
    Settled,
    WebhookRoute,
)

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


@value
class Due:
    """A locked delivery whose time has come, though perhaps not yet its turn."""

    customer_id: CustomerId
    endpoint_id: EndpointId
    event_id: EventId
    sequence: int
    attempts: int
    batch: str | None = None


# The log --------------------------------------------------------------------------------------------------------------------------


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


# Endpoints ------------------------------------------------------------------------------------------------------------------------


async def insert_endpoint(tx: Tx, endpoint: Endpoint, *, authorization_header: bytes | None, signing_secret: bytes) -> None:
    await tx.execute(
        """
        INSERT INTO endpoint (project_id, endpoint_id, name, url, authorization_header, signing_secret, environment, app_id, event_types, created_at)
        VALUES (%(project_id)s, %(endpoint_id)s, %(name)s, %(url)s, %(authorization_header)s, %(signing_secret)s, %(environment)s, %(app_id)s,
                %(event_types)s, %(now)s)
        """,
        project_id=tx.project_id,
        endpoint_id=endpoint.endpoint_id,
        name=endpoint.name,
        url=endpoint.url,
        authorization_header=authorization_header,
        signing_secret=signing_secret,
        environment=endpoint.environment,
        app_id=endpoint.app_id,
        event_types=endpoint.event_types,
        now=tx.now,
    )


async def update_endpoint(tx: Tx, endpoint: Endpoint) -> None:
    """All but its secrets and its health."""
    await tx.execute(
        """
        UPDATE endpoint SET name = %(name)s, url = %(url)s, environment = %(environment)s, app_id = %(app_id)s, event_types = %(event_types)s
        WHERE endpoint_id = %(endpoint_id)s
        """,
        endpoint_id=endpoint.endpoint_id,
        name=endpoint.name,
        url=endpoint.url,
        environment=endpoint.environment,
        app_id=endpoint.app_id,
        event_types=endpoint.event_types,
    )


async def set_authorization(tx: Tx, endpoint_id: EndpointId, authorization_header: bytes | None) -> None:
    await tx.execute(
        "UPDATE endpoint SET authorization_header = %(header)s WHERE endpoint_id = %(endpoint_id)s",
        header=authorization_header,
        endpoint_id=endpoint_id,
    )


async def delete_endpoint(tx: Tx, endpoint_id: EndpointId) -> bool:
    """Its deliveries go with it."""
    return await tx.execute("DELETE FROM endpoint WHERE endpoint_id = %(endpoint_id)s", endpoint_id=endpoint_id) == 1


async def get_endpoints(tx: Tx, endpoint_ids: Sequence[EndpointId]) -> list[Endpoint]:
    """Webhooks alone."""
    rows = await tx.fetch(
        "SELECT * FROM endpoint WHERE endpoint_id = ANY (%(ids)s::text[]) AND kind = 'webhook' ORDER BY endpoint_id", ids=list(endpoint_ids)
    )
    return [_endpoint(row) for row in rows]


async def page_endpoints(tx: Tx, *, after: str | None, limit: int) -> list[Endpoint]:
    rows = await tx.fetch(
        """
        SELECT * FROM endpoint
        WHERE project_id = (SELECT %(project_id)s::text) AND kind = 'webhook' AND (%(after)s::text IS NULL OR endpoint_id > %(after)s)
        ORDER BY endpoint_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        after=after,
        limit=limit,
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
        now=tx.now,
        ids=[one.endpoint_id for one in lines],
        has_success=[one.has_success for one in lines],
        failures=[one.failures for one in lines],
        errors=[one.last_error for one in lines],
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


# Integrations ---------------------------------------------------------------------------------------------------------------------


async def insert_integration(tx: Tx, integration: Integration, *, secrets: bytes) -> None:
    await tx.execute(
        """
        INSERT INTO endpoint (project_id, endpoint_id, kind, name, settings, secrets, secret_names, gather_for, environment, app_id, event_types,
                              created_at)
        VALUES (%(project_id)s, %(endpoint_id)s, %(kind)s, %(name)s, %(settings)s, %(secrets)s, %(secret_names)s, %(gather_for)s, %(environment)s,
                %(app_id)s, %(event_types)s, %(now)s)
        """,
        project_id=tx.project_id,
        endpoint_id=integration.endpoint_id,
        kind=integration.kind,
        name=integration.name,
        settings=integration.settings,
        secrets=secrets,
        secret_names=integration.secret_names,
        gather_for=integration.gather_for,
        environment=integration.environment,
        app_id=integration.app_id,
        event_types=integration.event_types,
        now=tx.now,
    )


async def update_integration(tx: Tx, integration: Integration) -> None:
    """Its name, and what it hears."""
    await tx.execute(
        """
        UPDATE endpoint SET name = %(name)s, environment = %(environment)s, app_id = %(app_id)s, event_types = %(event_types)s
        WHERE endpoint_id = %(endpoint_id)s
        """,
        endpoint_id=integration.endpoint_id,
        name=integration.name,
        environment=integration.environment,
        app_id=integration.app_id,
        event_types=integration.event_types,
    )


async def configure_integration(tx: Tx, endpoint_id: EndpointId, configured: Configured, *, secrets: bytes) -> None:
    await tx.execute(
        """
        UPDATE endpoint SET settings = %(settings)s, secrets = %(secrets)s, secret_names = %(secret_names)s, gather_for = %(gather_for)s
        WHERE endpoint_id = %(endpoint_id)s
        """,
        endpoint_id=endpoint_id,
        settings=configured.settings,
        secrets=secrets,
        secret_names=sorted(configured.secrets),
        gather_for=configured.gather_for,
    )


async def get_integrations(tx: Tx, endpoint_ids: Sequence[EndpointId]) -> list[Integration]:
    rows = await tx.fetch(
        "SELECT * FROM endpoint WHERE endpoint_id = ANY (%(ids)s::text[]) AND kind <> 'webhook' ORDER BY endpoint_id", ids=list(endpoint_ids)
    )
    return [_integration(row) for row in rows]


async def page_integrations(tx: Tx, *, after: str | None, limit: int) -> list[Integration]:
    rows = await tx.fetch(
        """
        SELECT * FROM endpoint
        WHERE project_id = (SELECT %(project_id)s::text) AND kind <> 'webhook' AND (%(after)s::text IS NULL OR endpoint_id > %(after)s)
        ORDER BY endpoint_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        after=after,
        limit=limit,
    )
    return [_integration(row) for row in rows]


def _integration(row: Row) -> Integration:
    return Integration(
        endpoint_id=row["endpoint_id"],
        kind=row["kind"],
        name=row["name"],
        settings=row["settings"],
        secret_names=tuple(row["secret_names"]),
        environment=row["environment"],
        app_id=row["app_id"],
        event_types=None if row["event_types"] is None else tuple(row["event_types"]),
        created_at=row["created_at"],
        gather_for=row["gather_for"],
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
        SELECT customer_id, endpoint_id, event_id, sequence, attempts, batch FROM delivery
        WHERE project_id = (SELECT %(project_id)s::text) AND wake_at <= %(now)s ORDER BY wake_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        """,
        project_id=tx.project_id,
        now=tx.now,
        limit=limit,
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
        WITH turn AS MATERIALIZED (
          SELECT due.customer_id, due.endpoint_id, due.event_id, due.sequence, head.wake_at IS NULL AS is_head,
                 due.attempts + (head.wake_at IS NULL)::integer AS attempts, greatest(head.wake_at, %(until)s) AS wake_at
          FROM unnest(%(customers)s::text[], %(endpoints)s::text[], %(ids)s::text[], %(sequences)s::bigint[], %(attempts)s::integer[])
            AS due (customer_id, endpoint_id, event_id, sequence, attempts)
          LEFT JOIN LATERAL (
            SELECT wake_at FROM delivery
            WHERE endpoint_id = due.endpoint_id AND customer_id = due.customer_id AND wake_at IS NOT NULL AND sequence < due.sequence
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
            SELECT * FROM delivery WHERE endpoint_id = queue.endpoint_id AND customer_id = queue.customer_id AND wake_at IS NOT NULL
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


async def routes(tx: Tx, endpoint_ids: Sequence[EndpointId]) -> dict[EndpointId, Route]:
    rows = await tx.fetch(
        """
        SELECT endpoint_id, kind, url, authorization_header, signing_secret, settings, secrets, gather_for IS NOT NULL AS gathers
        FROM endpoint WHERE endpoint_id = ANY (%(ids)s::text[])
        """,
        ids=sorted(set(endpoint_ids)),
    )
    return {row["endpoint_id"]: _route(row) for row in rows}


def _route(row: Row) -> Route:
    if row["kind"] != "webhook":
        return IntegrationRoute(kind=row["kind"], settings=row["settings"], secrets=row["secrets"], gathers=row["gathers"])
    return WebhookRoute(url=row["url"], authorization_header=row["authorization_header"], signing_secret=row["signing_secret"])


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
            AND attempts = new.claimed AND wake_at IS NOT NULL
          LIMIT 1 FOR UPDATE) d
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
            AND wake_at IS NOT NULL AND wake_at < head.wake_at
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
            AND customer_id = queue.customer_id AND wake_at IS NOT NULL
          ORDER BY sequence LIMIT 1 FOR UPDATE) next
        WHERE next.attempts = 0
        ON CONFLICT (project_id, customer_id, endpoint_id, event_id) DO UPDATE SET wake_at = %(now)s
        """,
        project_id=tx.project_id,
        now=tx.now,
        customers=[one.parcel.customer_id for one in closed],
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


async def forget(tx: Tx, customer_ids: Sequence[CustomerId], aliases: Sequence[str], pseudonym: str) -> None:
    """What was told of these customers, and of them in telling of others, speaks of a made-up id from now on."""
    await tx.execute(
        """
        UPDATE event SET body = body || jsonb_build_object(
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

"""The event log and the outbox on a real database: filters, doubles, replays, pages, and how few statements they take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from structlog.testing import capture_logs

from perennial import events
from perennial.base.db import Database, Tx
from perennial.base.errors import Invalid, NotFound
from perennial.base.ids import AppId, CustomerId, EventId, ProjectId, new_id, new_uuid, random_bytes
from perennial.base.secrets import Vault
from perennial.base.time import wall_clock
from perennial.base.value import replace
from perennial.events import db as outbox
from perennial.events.model import EVENT_TYPES, OPT_IN_TYPES, Answer, Delivery, Message, NewEvent, Place
from perennial.events.rules import settle

VAULT = Vault(random_bytes(32))
NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url, connections=12)
    yield opened
    await opened.close()


@pytest.fixture
async def project_id(database: Database) -> ProjectId:
    return await create_project(database)


async def create_project(database: Database) -> ProjectId:
    project_id = ProjectId(new_id("proj", wall_clock()))
    async with database.transaction(project_id) as tx:
        await tx.execute(
            """
            INSERT INTO project (project_id, name, is_sandbox, clock_at, created_at)
            VALUES (%(project_id)s, 'A story', TRUE, %(noon)s, %(noon)s)
            """,
            project_id=project_id,
            noon=NOON,
        )
        await tx.execute(
            """
            INSERT INTO app (project_id, app_id, name, store, created_at)
            SELECT %(project_id)s, app_id, 'An app', 'app_store', %(now)s FROM unnest(%(apps)s::text[]) AS new (app_id)
            """,
            project_id=project_id,
            apps=["ios", "mac"],
            now=tx.now,
        )
    return project_id


async def move_clock(database: Database, project_id: ProjectId, to: datetime) -> None:
    async with database.transaction(project_id) as tx:
        await tx.execute("UPDATE project SET clock_at = %(to)s WHERE project_id = %(project_id)s", to=to, project_id=project_id)


def event(customer: str = "cus_ada", sequence: int = 1, **fields: Any) -> NewEvent:
    event_id = EventId(new_uuid())
    plain = NewEvent(
        event_id=event_id,
        customer_id=CustomerId(customer),
        sequence=sequence,
        type="RENEWAL",
        app_id=AppId("ios"),
        environment="production",
        happened_at=NOON,
        body={"id": event_id, "type": "RENEWAL", "price": 4.99, "aliases": ["ada"], "offer_code": None},
    )
    return replace(plain, **fields)


async def deliveries(tx: Tx) -> list[tuple[str, str, str]]:
    rows = await tx.fetch("SELECT customer_id, event_id, endpoint_id FROM delivery ORDER BY customer_id, sequence, endpoint_id")
    return [(row["customer_id"], row["event_id"], row["endpoint_id"]) for row in rows]


async def test_an_event_is_written_once_and_as_it_was_given(database: Database, project_id: ProjectId) -> None:
    first = event()
    async with database.transaction(project_id) as tx:
        endpoint, _ = await events.create_endpoint(tx, VAULT, name="Hooks", url="https://example.com/hooks")
        await events.append(tx, [])
        await events.append(tx, [first])
    async with database.transaction(project_id) as tx:
        await events.append(tx, [replace(first, sequence=9), event(sequence=2)])
        listed = await events.list_events(tx)
    assert [(one.event_id == first.event_id, one.sequence) for one in listed] == [(True, 1), (False, 2)]
    assert listed[0].body == first.body
    assert (listed[0].happened_at, listed[0].recorded_at, listed[0].app_id) == (NOON, NOON, "ios")
    assert listed[0].deliveries == (Delivery(endpoint_id=endpoint.endpoint_id, endpoint_name="Hooks", attempts=0, wake_at=NOON),)


async def test_the_same_event_from_many_transactions_at_once_is_told_once(database: Database, project_id: ProjectId) -> None:
    async with database.transaction(project_id) as tx:
        await events.create_endpoint(tx, VAULT, name="Hooks", url="https://example.com/hooks")
    same = [event(sequence=number) for number in range(1, 6)]

    async def write() -> None:
        async with database.transaction(project_id) as tx:
            await events.append(tx, same)

    await asyncio.gather(*(write() for _ in range(8)))
    async with database.transaction(project_id) as tx:
        assert [one.event_id for one in await events.list_events(tx)] == [one.event_id for one in same]
        assert len(await deliveries(tx)) == 5


async def test_ten_thousand_events_take_as_many_statements_as_one(database: Database, project_id: ProjectId) -> None:
    async with database.transaction(project_id) as tx:
        for number in range(2):
            await events.create_endpoint(tx, VAULT, name=f"Hooks {number}", url="https://example.com/hooks")
    statements: list[str] = []
    database.before_statement = statements.append
    counts = []
    for count in (1, 100, 10_000):
        many = [event(f"cus_{count}_{number % 500}", number) for number in range(count)]
        async with database.transaction(project_id) as tx:
            statements.clear()
            await events.append(tx, many)
            counts.append(len(statements))
    database.before_statement = None
    assert counts == [2, 2, 2]
    async with database.transaction(project_id) as tx:
        assert len(await deliveries(tx)) == 2 * 10_101


async def test_an_endpoint_hears_what_it_asked_for(database: Database, project_id: ProjectId) -> None:
    wishes = list(product((None, "production", "sandbox"), (None, "ios"), (None, ["renewal", "transfer"], ["refund"])))
    happenings = [
        event(sequence=number, environment=environment, app_id=app, type=type)
        for number, (environment, app, type) in enumerate(
            product(("production", "SANDBOX"), (AppId("ios"), AppId("mac"), None), ("RENEWAL", "CANCELLATION", "REFUND")), 1
        )
    ]
    async with database.transaction(project_id) as tx:
        made = []
        for environment, app, types in wishes:
            wish: dict[str, Any] = {"environment": environment, "app_id": app, "event_types": types}
            made.append((await events.create_endpoint(tx, VAULT, name="Hooks", url="https://example.com", **wish))[0])
        await events.append(tx, happenings)
        told = await deliveries(tx)
    expected = {
        (one.customer_id, one.event_id, endpoint.endpoint_id)
        for endpoint, (environment, app, types), one in ((e, w, h) for (e, w), h in product(zip(made, wishes, strict=True), happenings))
        if environment in (None, one.environment.lower())
        and app in (None, one.app_id)
        and (one.type not in OPT_IN_TYPES if types is None else one.type.lower() in types)
    }
    assert len(told) == len(expected)
    assert set(told) == expected


async def test_another_project_hears_and_sees_nothing(database: Database, project_id: ProjectId) -> None:
    other = await create_project(database)
    async with database.transaction(other) as tx:
        endpoint, _ = await events.create_endpoint(tx, VAULT, name="Hooks", url="https://example.com/hooks")
    async with database.transaction(project_id) as tx:
        await events.append(tx, [event()])
        assert await deliveries(tx) == []
        assert await events.list_endpoints(tx) == []
        for attempt in (
            events.get_endpoint(tx, endpoint.endpoint_id),
            events.update_endpoint(tx, VAULT, endpoint.endpoint_id, name="Mine"),
            events.delete_endpoint(tx, endpoint.endpoint_id),
            events.replay(tx, endpoint.endpoint_id, since=NOON),
            events.send_test(tx, endpoint.endpoint_id),
        ):
            with pytest.raises(NotFound):
                await attempt
    async with database.transaction(other) as tx:
        assert await events.list_events(tx) == []
        assert await events.get_endpoint(tx, endpoint.endpoint_id) == endpoint


async def test_an_endpoint_from_its_making_to_its_end(database: Database, project_id: ProjectId) -> None:
    async with database.transaction(project_id) as tx:
        made, secret = await events.create_endpoint(
            tx,
            VAULT,
            name="Hooks",
            url="https://example.com/hooks",
            authorization_header="Bearer 123",
            environment="production",
            app_id="ios",
            event_types=["renewal", "cancellation", "renewal"],
        )
        assert await events.get_endpoint(tx, made.endpoint_id) == made
        kept = await tx.fetch_one("SELECT authorization_header, signing_secret FROM endpoint")
    assert secret.startswith("whsec_")
    assert made.event_types == ("cancellation", "renewal")
    assert made.has_authorization
    assert kept is not None
    assert b"Bearer 123" not in kept["authorization_header"]
    assert secret.encode() not in kept["signing_secret"]
    async with database.transaction(project_id) as tx:
        renamed = await events.update_endpoint(tx, VAULT, made.endpoint_id, name="New name", environment=None)
        assert renamed == replace(made, name="New name", environment=None)
        bare = await events.update_endpoint(tx, VAULT, made.endpoint_id, app_id=None, event_types=None, authorization_header=None)
        assert bare == replace(renamed, app_id=None, event_types=None, has_authorization=False)
        assert await events.get_endpoint(tx, made.endpoint_id) == bare
        await events.append(tx, [event()])
        await events.delete_endpoint(tx, made.endpoint_id)
        assert await deliveries(tx) == []
        assert await events.list_endpoints(tx) == []


async def test_a_wrong_endpoint_is_refused_with_the_name_of_its_field(database: Database, project_id: ProjectId) -> None:
    async with database.transaction(project_id) as tx:
        made, _ = await events.create_endpoint(tx, VAULT, name="Hooks", url="https://example.com/hooks")
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"app_id": "android"}, "app_id"),
            ({"url": "https://me@example.com"}, "url"),
            ({"event_types": ["birthday"]}, "event_types"),
            ({"authorization_header": "a\nb"}, "authorization_header"),
        ]
        for change, param in wrong:
            for attempt in (
                events.create_endpoint(tx, VAULT, **{"name": "Hooks", "url": "https://example.com", **change}),
                events.update_endpoint(tx, VAULT, made.endpoint_id, **change),
            ):
                with pytest.raises(Invalid) as trouble:
                    await attempt
                assert trouble.value.param == param


async def test_endpoints_come_in_pages(database: Database, project_id: ProjectId) -> None:
    names = []
    for number in range(5):
        await move_clock(database, project_id, NOON + timedelta(minutes=number))
        async with database.transaction(project_id) as tx:
            names.append((await events.create_endpoint(tx, VAULT, name=f"{number}", url="https://example.com"))[0].endpoint_id)
    async with database.transaction(project_id) as tx:
        first = await events.list_endpoints(tx, limit=3)
        second = await events.list_endpoints(tx, after=first[-1].endpoint_id, limit=3)
    assert [one.endpoint_id for one in first + second] == names


async def test_every_type_that_may_be_listed_is_heard(database: Database, project_id: ProjectId) -> None:
    async with database.transaction(project_id) as tx:
        await events.create_endpoint(tx, VAULT, name="Hooks", url="https://example.com", event_types=EVENT_TYPES)
        await events.append(tx, [event(sequence=number, type=type.upper()) for number, type in enumerate(EVENT_TYPES, 1)])
        assert len(await deliveries(tx)) == len(EVENT_TYPES)


async def test_a_new_endpoint_is_given_history(database: Database, project_id: ProjectId) -> None:
    history = []
    for hour in range(4):
        await move_clock(database, project_id, NOON + timedelta(hours=hour))
        async with database.transaction(project_id) as tx:
            now = [event("cus_ada", 2 * hour + 1), event("cus_ada", 2 * hour + 2, environment="sandbox"), event("cus_bob", hour + 1)]
            await events.append(tx, now)
            history.append(now)
    async with database.transaction(project_id) as tx:
        endpoint, _ = await events.create_endpoint(tx, VAULT, name="Hooks", url="https://example.com", environment="production")
        opened = await events.replay(tx, endpoint.endpoint_id, since=NOON + timedelta(hours=1), until=NOON + timedelta(hours=2))
        expected = [(one.customer_id, one.event_id, endpoint.endpoint_id) for hour in (1, 2) for one in (history[hour][0], history[hour][2])]
        assert await deliveries(tx) == sorted(expected, key=lambda one: one[0])
        assert opened == 4
        assert await events.replay(tx, endpoint.endpoint_id, since=NOON) == 8
        assert await events.replay(tx, endpoint.endpoint_id, since=NOON) == 8
        assert len(await deliveries(tx)) == 8


async def test_a_replay_opens_what_was_delivered_or_parked_and_nothing_else(database: Database, project_id: ProjectId) -> None:
    async with database.transaction(project_id) as tx:
        endpoint, _ = await events.create_endpoint(tx, VAULT, name="Hooks", url="https://example.com")
        await events.create_endpoint(tx, VAULT, name="Another", url="https://example.com")
        told = [event(sequence=number) for number in range(1, 5)]
        await events.append(tx, told)
        await tx.execute("UPDATE delivery SET wake_at = NULL, attempts = 6, parked_at = %(now)s WHERE sequence = 2", now=tx.now)
        await tx.execute("UPDATE delivery SET wake_at = NULL, attempts = 1, delivered_at = %(now)s WHERE sequence <> 2", now=tx.now)
        await events.update_endpoint(tx, VAULT, endpoint.endpoint_id, event_types=["transfer"])
        assert await events.replay(tx, endpoint.endpoint_id, event_ids=[told[1].event_id, told[0].event_id]) == 2
        rows = await tx.fetch(
            "SELECT sequence, endpoint_id, attempts, delivered_at, parked_at FROM delivery WHERE wake_at IS NOT NULL ORDER BY sequence"
        )
    assert [tuple(row.values()) for row in rows] == [(number, endpoint.endpoint_id, 0, None, None) for number in (1, 2)]


async def test_a_replay_that_cannot_be_is_refused(database: Database, project_id: ProjectId) -> None:
    async with database.transaction(project_id) as tx:
        endpoint, _ = await events.create_endpoint(tx, VAULT, name="Hooks", url="https://example.com")
        wrong: list[tuple[dict[str, Any], str]] = [
            ({}, "since"),
            ({"since": NOON, "event_ids": []}, "since"),
            ({"event_ids": ["nothing"]}, "event_ids"),
            ({"event_ids": [f"{number}" for number in range(1001)]}, "event_ids"),
        ]
        for wish, param in wrong:
            with pytest.raises(Invalid) as trouble:
                await events.replay(tx, endpoint.endpoint_id, **wish)
            assert trouble.value.param == param
        assert await events.replay(tx, endpoint.endpoint_id, event_ids=[]) == 0


async def test_tests_at_the_same_moment_get_numbers_of_their_own_and_only_the_last_waits(database: Database, project_id: ProjectId) -> None:
    async with database.transaction(project_id) as tx:
        endpoint, _ = await events.create_endpoint(tx, VAULT, name="Hooks", url="https://example.com", event_types=["renewal"])
        other, _ = await events.create_endpoint(tx, VAULT, name="Another", url="https://example.com")

    async def press() -> None:
        async with database.transaction(project_id) as tx:
            await events.send_test(tx, endpoint.endpoint_id)

    await asyncio.gather(*(press() for _ in range(10)))
    async with database.transaction(project_id) as tx:
        listed = await events.list_events(tx, [CustomerId("test")])
        assert [one.sequence for one in listed] == list(range(1, 11))
        assert [[delivery.endpoint_id for delivery in one.deliveries] for one in listed] == [[endpoint.endpoint_id]] * 10
        assert [one.deliveries[0].state for one in listed] == ["parked"] * 9 + ["waiting"]
        assert await events.replay(tx, other.endpoint_id, since=NOON - timedelta(days=1)) == 0


async def test_the_log_is_read_in_pages_from_both_ends(database: Database, project_id: ProjectId) -> None:
    written: list[NewEvent] = []
    for minute in range(3):
        await move_clock(database, project_id, NOON + timedelta(minutes=minute))
        async with database.transaction(project_id) as tx:
            now = [event("cus_ada", 3 * minute + number) for number in (1, 2, 3)] + [event("cus_bob", minute + 1)]
            await events.append(tx, now)
            written += sorted(now, key=lambda one: (one.sequence, one.event_id))
    ids = [one.event_id for one in written]
    adas = [one.event_id for one in written if one.customer_id == "cus_ada"]
    async with database.transaction(project_id) as tx:
        read: list[str] = []
        place: Place | None = None
        while page := await events.list_events(tx, after=place, limit=5):
            read += [one.event_id for one in page]
            place = page[-1].place
        assert read == ids
        newest = await events.latest_events(tx, limit=5)
        assert [one.event_id for one in newest] == ids[-5:]
        assert [one.event_id for one in await events.latest_events(tx, before=newest[0].place, limit=100)] == ids[:-5]
        assert [one.event_id for one in await events.list_events(tx, [CustomerId("cus_ada")])] == adas
        assert [one.event_id for one in await events.latest_events(tx, [CustomerId("cus_ada"), CustomerId("cus_cyd")], limit=4)] == adas[-4:]
        assert await events.list_events(tx, []) == []


async def test_a_young_project_with_many_events_is_planned_well(database: Database, project_id: ProjectId) -> None:
    """No statistics know of it yet: what was planned as a walk over the project for each of its events would now take minutes."""
    async with database.transaction(project_id) as tx:
        endpoint, _ = await events.create_endpoint(tx, VAULT, name="Hooks", url="https://example.com/hooks")
    told: list[NewEvent] = []
    for batch in range(3):
        told += (new := [event(f"cus_{number % 1000}", batch * 2 + number // 1000 + 1) for number in range(2000)])
        async with database.transaction(project_id) as tx:
            await events.append(tx, new)
    with capture_logs():
        assert 0 < await events.deliver_due(database, project_id, VAULT, Deaf(), limit=1000) <= 1000
    walks: list[int] = []
    async with database.transaction(project_id) as tx, rows_read(tx, walks):
        assert await events.replay(tx, endpoint.endpoint_id, event_ids=[one.event_id for one in told[:1000]]) == 1000
    async with database.transaction(project_id) as tx, rows_read(tx, walks):
        assert await events.replay(tx, endpoint.endpoint_id, since=NOON) == 6000
    async with database.transaction(project_id) as tx, rows_read(tx, walks):
        assert len(await events.latest_events(tx, limit=1000)) == 1000
    assert 0 < sum(walks) < 100 * len(told), f"a walk over the project for each of its events would have read 36 million rows: {walks}"


async def test_of_a_queue_its_own_deliveries_alone_are_read(database: Database, project_id: ProjectId) -> None:
    """Whatever waits at the endpoint besides, and whatever statistics know of it."""
    async with database.transaction(project_id) as tx:
        await events.create_endpoint(tx, VAULT, name="Hooks", url="https://example.com/hooks")
        await events.append(tx, [event(f"cus_{number}", 1) for number in range(3000)])
        await events.append(tx, [event(f"cus_{number}", 2) for number in range(300)])
    walks: list[int] = []
    async with database.transaction(project_id) as tx, rows_read(tx, walks):
        due = await outbox.lock_due(tx, 3300)
    assert len(due) == 3300
    due = [one for one in due if int(one.customer_id[4:]) < 300]
    async with database.transaction(project_id) as tx, rows_read(tx, walks):
        parcels = await outbox.claim(tx, due, until=tx.now + timedelta(minutes=1))
    assert [parcel.sequence for parcel in parcels] == [1] * 300
    async with database.transaction(project_id) as tx, rows_read(tx, walks):
        settled = await outbox.save_settled(tx, [settle(parcel, Answer(status=503), tx.now) for parcel in parcels])
        await outbox.hold_followers(tx, settled)
    assert len(settled) == 300
    async with database.transaction(project_id) as tx, rows_read(tx, walks):
        await outbox.wake_next(tx, settled)
    assert all(read < 5 * 3300 for read in walks), f"a walk over what waits for each delivery would have read a million rows: {walks}"


@asynccontextmanager
async def rows_read(tx: Tx, walks: list[int]) -> AsyncIterator[None]:
    """By what is done within, added to `walks`. Counted as a difference: what a connection did before, in other transactions, may be counted still.

    What is written twice in one transaction has its references checked again, by a plan PostgreSQL keeps: so each act has its own.
    """
    before = await _rows_read(tx)
    yield
    walks.append(await _rows_read(tx) - before)


async def _rows_read(tx: Tx) -> int:
    rows: int | None = await tx.fetch_value(
        """
        SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_all_tables
        WHERE relname IN ('event', 'delivery')
        """
    )
    return rows or 0


class Deaf:
    """A sender whose receivers always refuse."""

    async def send(self, _: Message) -> Answer:
        return Answer(status=503)


async def test_pages_and_claims_walk_an_index_in_its_order(database: Database, project_id: ProjectId) -> None:
    """Else a page would read and sort a project's whole history."""
    async with database.transaction(project_id) as tx:
        for way in ("seqscan", "bitmapscan", "sort"):  # which seem cheap where statistics know a few rows only
            await tx.execute(f"SET LOCAL enable_{way} = off")
        log = await tx.fetch(
            """
            EXPLAIN SELECT * FROM event WHERE project_id = (SELECT %(project_id)s::text) AND recorded_at >= %(now)s
            ORDER BY recorded_at LIMIT 10
            """,
            project_id=project_id,
            now=tx.now,
        )
        outbox = await tx.fetch(
            """
            EXPLAIN SELECT * FROM delivery WHERE project_id = (SELECT %(project_id)s::text) AND wake_at <= %(now)s
            ORDER BY wake_at LIMIT 10 FOR UPDATE SKIP LOCKED
            """,
            project_id=project_id,
            now=tx.now,
        )
    for plan, index in ((log, "event_by_time"), (outbox, "delivery_wake")):
        text = "\n".join(row["QUERY PLAN"] for row in plan)
        assert f"using {index}" in text, text
        assert "Sort" not in text, text

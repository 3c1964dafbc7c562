"""Events reach tools of others: real HTTP to receivers on this machine, files in a folder, on the clock of a sandbox project."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from perennial import events
from perennial.base.db import Database, Row
from perennial.base.ids import CustomerId, EventId, ProjectId, new_id, new_uuid, random_bytes
from perennial.base.secrets import Vault
from perennial.base.time import to_ms, wall_clock
from perennial.cli import app as cli
from perennial.events.model import Carrier, NewEvent
from perennial.providers.integrations import Integrations
from perennial.providers.webhook import WebhookSender
from tests.contract.v2_caller import Caller
from tests.flows.test_webhook_delivery import Heard, Receiver
from tests.world import World

VAULT = Vault(random_bytes(32))
NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)
KEY = "wk-s3cr3t"


class Crash(BaseException):
    """The process dies."""


class Dying:
    """Carries, and dies before it can tell."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self.check = carrier.check

    async def carry(self, shipment: Any) -> Any:
        await self._carrier.carry(shipment)
        raise Crash


class Story:
    """A project with a clock that stands still, a receiver, and somebody who delivers."""

    def __init__(self, database: Database, receiver: Receiver, carrier: Carrier, sender: WebhookSender) -> None:
        self.database, self.receiver, self.carrier, self.sender = database, receiver, carrier, sender
        self.project_id = ProjectId(new_id("proj", wall_clock()))
        self.now = NOON

    async def begin(self) -> None:
        async with self.database.transaction(self.project_id) as tx:
            await tx.execute(
                """
                INSERT INTO project (project_id, name, is_sandbox, clock_at, created_at)
                VALUES (%(project_id)s, 'A story', TRUE, %(now)s, %(now)s)
                """,
                project_id=self.project_id,
                now=self.now,
            )

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.receiver.port}"

    async def connect(self, kind: str, secrets: dict[str, str], **settings: Any) -> str:
        """To the receiver, or a folder."""
        given = settings if kind in ("slack", "files") else {"base_url": self.base, **settings}
        async with self.database.transaction(self.project_id) as tx:
            made = await events.create_integration(tx, VAULT, self.carrier, kind=kind, name=kind, settings=given, secrets=secrets)
        return made.endpoint_id

    async def segment(self) -> str:
        return await self.connect("segment", {"write_key": KEY})

    async def tell(self, *keys: tuple[str, int], **fields: Any) -> list[EventId]:
        new = [happening(customer, number, self.now, **fields) for customer, number in keys]
        async with self.database.transaction(self.project_id) as tx:
            await events.append(tx, new)
        return [one.event_id for one in new]

    async def wait(self, **duration: float) -> None:
        self.now += timedelta(**duration)
        async with self.database.transaction(self.project_id) as tx:
            await tx.execute("UPDATE project SET clock_at = %(now)s WHERE project_id = %(project_id)s", now=self.now, project_id=self.project_id)

    async def deliver(self, *, limit: int = 500, carrier: Carrier | None = None) -> int:
        return await events.deliver_due(self.database, self.project_id, VAULT, self.sender, limit, carrier=carrier or self.carrier)

    async def deliver_all(self) -> int:
        total = 0
        while sent := await self.deliver():
            total += sent
        return total

    async def rows(self) -> list[Row]:
        async with self.database.transaction(self.project_id) as tx:
            return await tx.fetch("SELECT * FROM delivery ORDER BY customer_id, sequence")

    async def states(self) -> list[str]:
        """In order of customers and their events."""
        async with self.database.transaction(self.project_id) as tx:
            found = await events.list_events(tx, limit=1000)
        return [one.state for event in sorted(found, key=lambda event: (event.customer_id, event.sequence)) for one in event.deliveries]

    def batches(self, key: str | None) -> list[list[dict[str, Any]]]:
        documents = [json.loads(heard.body) for heard in self.receiver.heard]
        return [one if key is None else one[key] for one in documents]


def happening(customer: str, number: int, at: datetime, **fields: Any) -> NewEvent:
    event_id = EventId(new_uuid())
    body = {
        "id": event_id,
        "type": "RENEWAL",
        "app_user_id": customer,
        "event_timestamp_ms": to_ms(at),
        "product_id": "pro",
        "number": number,
        "price_in_purchased_currency": 4.5,
        "currency": "EUR",
        "environment": "PRODUCTION",
        "store": "APP_STORE",
        "perennial": {"sequence": number, "happened_at_ms": to_ms(at)},
        **fields,
    }
    return NewEvent(
        event_id=event_id,
        customer_id=CustomerId(customer),
        sequence=number,
        type=body["type"],
        app_id=None,
        environment="production",
        happened_at=at,
        body=body,
    )


def status(code: int, said: str = "", more: str = "") -> bytes:
    return f"HTTP/1.1 {code} Said\r\nContent-Length: {len(said.encode())}\r\n{more}\r\n{said}".encode()


def saying(*answers: bytes) -> Callable[[Heard], Awaitable[bytes]]:
    """One after the other, the last for ever."""
    left = list(answers)

    async def reply(_: Heard) -> bytes:
        return left.pop(0) if len(left) > 1 else left[0]

    return reply


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url, connections=10)
    yield opened
    await opened.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().open() as opened:
        yield opened


@pytest.fixture
async def story(database: Database, receiver: Receiver, tmp_path: Path) -> AsyncIterator[Story]:
    carrier, sender = Integrations(allow_internal=True, files_folder=tmp_path), WebhookSender(allow_internal=True)
    told = Story(database, receiver, carrier, sender)
    await told.begin()
    yield told
    await carrier.close()
    await sender.close()


# Order, batches, repeats ----------------------------------------------------------------------------------------------------------


async def test_many_customers_go_in_one_request_and_each_in_order(story: Story) -> None:
    await story.segment()
    keys = [(f"cus_{number}", turn) for turn in (1, 2, 3) for number in range(40)]
    ids = await story.tell(*keys)
    assert await story.deliver_all() == 120
    batches = story.batches("batch")
    assert [len(batch) for batch in batches] == [40, 40, 40]
    assert [[one["properties"]["number"] for one in batch] for batch in batches] == [[1] * 40, [2] * 40, [3] * 40]
    assert sorted(one["messageId"] for batch in batches for one in batch) == sorted(ids)
    assert {heard.line for heard in story.receiver.heard} == {"POST /v1/batch HTTP/1.1"}
    assert await story.states() == ["delivered"] * 120


async def test_a_request_never_holds_more_than_the_receiver_takes(story: Story) -> None:
    await story.segment()
    await story.tell(*((f"cus_{number}", 1) for number in range(30)), note="x" * 30_000)
    await story.tell(("cus_large", 1), note="x" * 32_000)
    assert await story.deliver_all() == 31
    assert [len(batch) for batch in story.batches("batch")] == [14, 14, 2]
    assert all(len(heard.body) < 500_000 for heard in story.receiver.heard)
    (large,) = [row for row in await story.rows() if row["customer_id"] == "cus_large"]
    assert large["parked_at"] == NOON and large["last_error"].endswith("bytes, and Segment takes at most 32000")


async def test_a_receiver_that_fails_gets_the_same_ids_again_and_followers_wait(story: Story) -> None:
    await story.segment()
    story.receiver.reply = saying(status(503), status(200))
    first, second = await story.tell(("cus_ada", 1), ("cus_ada", 2))
    assert await story.deliver_all() == 1
    assert await story.states() == ["retrying", "waiting"]
    await story.wait(minutes=4)
    assert await story.deliver_all() == 0
    await story.wait(minutes=1)
    assert await story.deliver_all() == 2
    assert [[one["messageId"] for one in batch] for batch in story.batches("batch")] == [[first], [first], [second]]
    assert await story.states() == ["delivered", "delivered"]


async def test_a_receiver_that_asks_for_time_gets_it(story: Story) -> None:
    await story.segment()
    story.receiver.reply = saying(status(429, "slow down", "Retry-After: 7200\r\n"), status(429, "slow down", "Retry-After: 1\r\n"))
    await story.tell(("cus_ada", 1))
    await story.deliver()
    assert (await story.rows())[0]["wake_at"] == NOON + timedelta(hours=2)
    assert (await story.rows())[0]["last_error"] == "answered 429: slow down"
    await story.wait(hours=2)
    await story.deliver()
    assert (await story.rows())[0]["wake_at"] == NOON + timedelta(hours=2, minutes=10), "never sooner than by our own schedule"


async def test_a_crash_before_the_answer_was_kept_sends_the_same_ids_again(story: Story) -> None:
    await story.segment()
    (event_id,) = await story.tell(("cus_ada", 1))
    with pytest.raises(BaseExceptionGroup):
        await story.deliver(carrier=Dying(story.carrier))
    assert await story.deliver() == 0
    await story.wait(seconds=90)
    assert await story.deliver() == 1
    assert [[one["messageId"] for one in batch] for batch in story.batches("batch")] == [[event_id], [event_id]]


async def test_history_is_told_with_its_old_ids(story: Story) -> None:
    ids = await story.tell(("cus_ada", 1), ("cus_ada", 2), ("cus_bob", 1))
    endpoint_id = await story.segment()
    assert await story.deliver_all() == 0, "it hears what happens from now on"
    for expected in (3, 3):
        async with story.database.transaction(story.project_id) as tx:
            assert await events.replay_integration(tx, endpoint_id, since=NOON) == expected
        assert await story.deliver_all() == 3
    sent = [one["messageId"] for batch in story.batches("batch") for one in batch]
    assert sorted(sent) == sorted([*ids, *ids])


# Refusals -------------------------------------------------------------------------------------------------------------------------


async def test_one_event_that_is_refused_does_not_hold_up_the_others(story: Story) -> None:
    endpoint_id = await story.segment()

    async def picky(heard: Heard) -> bytes:
        is_poisoned = any(one["userId"] == "cus_7" for one in json.loads(heard.body)["batch"])
        return status(400, f"bad user, said {KEY}") if is_poisoned else status(200)

    story.receiver.reply = picky
    await story.tell(*((f"cus_{number}", 1) for number in range(10)))
    assert await story.deliver_all() == 10
    states = await story.states()
    assert (states.count("delivered"), states.index("parked"), len(states)) == (9, 7, 10)
    row = next(row for row in await story.rows() if row["customer_id"] == "cus_7")
    assert (row["last_status"], row["last_error"], row["attempts"]) == (400, "answered 400: bad user, said ***", 1)
    async with story.database.transaction(story.project_id) as tx:
        integration = await events.get_integration(tx, endpoint_id)
    assert (integration.failures, integration.last_error) == (0, "answered 400: bad user, said ***")


async def test_a_request_that_is_too_large_is_halved_until_it_fits(story: Story) -> None:
    await story.segment()

    async def small(heard: Heard) -> bytes:
        return status(413 if len(json.loads(heard.body)["batch"]) > 3 else 200)

    story.receiver.reply = small
    await story.tell(*((f"cus_{number}", 1) for number in range(10)))
    assert await story.deliver_all() == 10
    assert [len(batch) for batch in story.batches("batch")] == [10, 5, 2, 3, 5, 2, 3]
    assert await story.states() == ["delivered"] * 10


async def test_amplitude_gets_the_rest_again_without_what_it_refused(story: Story) -> None:
    await story.connect("amplitude", {"api_key": "k"})
    refusal = {"code": 400, "error": "Request missing required field", "events_with_missing_fields": {"time": [1]}}
    story.receiver.reply = saying(status(400, json.dumps(refusal)), status(200, '{"code": 200}'))
    await story.tell(("cus_a", 1), ("cus_b", 1), ("cus_c", 1))
    assert await story.deliver_all() == 3
    first, second = [[one["insert_id"] for one in batch] for batch in story.batches("events")]
    assert second == [first[0], first[2]]
    rows = {row["event_id"]: row for row in await story.rows()}
    assert rows[first[1]]["parked_at"] == NOON and rows[first[1]]["last_error"] == "answered 400: the event lacks time"
    assert sorted(await story.states()) == ["delivered", "delivered", "parked"]


async def test_mixpanel_has_taken_the_rest(story: Story) -> None:
    await story.connect("mixpanel", {"token": "t"})
    failed = {"failed_records": [{"index": 0, "insert_id": "x", "field": "properties.time", "message": "'properties.time' is invalid"}]}
    story.receiver.reply = saying(status(400, json.dumps(failed)))
    await story.tell(("cus_a", 1), ("cus_b", 1))
    assert await story.deliver_all() == 2
    assert len(story.receiver.heard) == 1
    assert sorted(await story.states()) == ["delivered", "parked"]


async def test_slack_at_its_limit_gets_the_rest_later(story: Story) -> None:
    await story.connect("slack", {"url": f"{story.base}/services/T/B/secret"})
    story.receiver.reply = saying(status(200, "ok"), status(429, "", "Retry-After: 30\r\n"), status(200, "ok"))
    await story.tell(*((f"cus_{number}", 1) for number in range(4)))
    assert await story.deliver() == 2
    assert sorted(await story.states()) == ["delivered", "retrying", "waiting", "waiting"]
    await story.wait(minutes=5)
    assert await story.deliver_all() == 3
    assert {heard.line for heard in story.receiver.heard} == {"POST /services/T/B/secret HTTP/1.1"}
    assert await story.states() == ["delivered"] * 4
    assert "secret" not in str([row["last_error"] for row in await story.rows()])


async def test_what_is_not_for_a_receiver_is_skipped_with_the_reason(story: Story) -> None:
    endpoint_id = await story.connect("firebase", {"api_secret": "s"}, firebase_app_id="1:2:ios:3")
    await story.tell(("cus_ada", 1))
    await story.tell(("cus_ada", 2), subscriber_attributes={"$firebaseAppInstanceId": {"value": "f" * 32, "updated_at_ms": 1}})
    story.receiver.reply = saying(status(204))
    await story.deliver_all()
    assert await story.states() == ["skipped", "delivered"]
    row = (await story.rows())[0]
    assert row["last_error"] == "skipped: the customer has no attribute $firebaseAppInstanceId, by which Google Analytics knows them"
    assert (row["skipped_at"], row["wake_at"], row["parked_at"]) == (NOON, None, None)
    (heard,) = story.receiver.heard
    assert heard.line == "POST /mp/collect?firebase_app_id=1%3A2%3Aios%3A3&api_secret=s HTTP/1.1"
    assert json.loads(heard.body)["events"][0]["params"]["value"] == 4.5
    async with story.database.transaction(story.project_id) as tx:
        integration = await events.get_integration(tx, endpoint_id)
    assert (integration.failures, integration.last_error) == (0, None)


async def test_internal_addresses_are_not_called(story: Story) -> None:
    await story.segment()
    await story.connect("slack", {"url": f"http://localhost:{story.receiver.port}/hook"})
    await story.connect("files", {"access_key_id": "a", "secret_access_key": "b"}, url="s3://bucket", endpoint=story.base)
    await story.tell(("cus_ada", 1))
    await story.wait(hours=1)
    guarded = Integrations(allow_internal=False, files_folder=None)
    assert await story.deliver(carrier=guarded) == 3
    await guarded.close()
    assert story.receiver.heard == []
    assert all("not public (127.0.0.1)" in row["last_error"] for row in await story.rows())


async def test_secrets_are_kept_sealed(story: Story) -> None:
    endpoint_id = await story.segment()
    async with story.database.transaction(story.project_id) as tx:
        (row,) = await tx.fetch("SELECT * FROM endpoint")
        shown = await events.get_integration(tx, endpoint_id)
    assert KEY not in str(dict(row)) and KEY.encode() not in row["secrets"]
    assert shown.secret_names == ("write_key",) and shown.settings == {"base_url": story.base}
    await story.tell(("cus_ada", 1))
    assert await events.deliver_due(story.database, story.project_id, Vault(random_bytes(32)), story.sender, carrier=story.carrier) == 1
    assert "does not open with this installation's key" in (await story.rows())[0]["last_error"]


# Files ----------------------------------------------------------------------------------------------------------------------------


def objects(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def read(folder: Path) -> list[tuple[Any, ...]]:
    return duckdb.sql(f"SELECT app_user_id, sequence FROM read_json('{folder}/events/*/*.ndjson') ORDER BY filename").fetchall()


async def test_events_of_a_span_go_into_one_file_in_order(story: Story, tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    await story.connect("files", {}, url=f"file://{folder}", every_minutes=30)
    await story.wait(minutes=3)
    await story.tell(("cus_ada", 1), ("cus_bob", 1), ("cus_ada", 2))
    await story.wait(minutes=20)
    await story.tell(("cus_ada", 3))
    assert await story.deliver_all() == 0
    await story.wait(minutes=7)
    assert await story.deliver_all() == 4
    data, schema = objects(folder)
    assert data.startswith("events/dt=2030-05-01/batch_") and data.endswith(".ndjson") and schema == "schema.json"
    assert read(folder) == [("cus_ada", 1), ("cus_ada", 2), ("cus_bob", 1), ("cus_ada", 3)]
    assert await story.states() == ["delivered"] * 4
    assert len({row["batch"] for row in await story.rows()}) == 1


async def test_a_file_written_before_a_crash_is_written_over_with_the_same(story: Story, tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    await story.connect("files", {}, url=f"file://{folder}", every_minutes=1)
    await story.tell(("cus_ada", 1), ("cus_bob", 1))
    await story.wait(minutes=1)
    with pytest.raises(BaseExceptionGroup):
        await story.deliver(carrier=Dying(story.carrier))
    before = objects(folder)
    await story.tell(("cus_ada", 2), ("cus_carol", 1))
    await story.wait(minutes=1)
    assert await story.deliver_all() == 1, "carol's, in a file of her own; ada's second waits behind her first"
    await story.wait(seconds=30)
    assert await story.deliver_all() == 2
    await story.wait(minutes=2)
    assert await story.deliver_all() == 1
    assert set(before) < set(objects(folder)) and len(objects(folder)) == len(before) + 2
    assert sorted(read(folder)) == [("cus_ada", 1), ("cus_ada", 2), ("cus_bob", 1), ("cus_carol", 1)]


async def test_half_a_batch_is_never_written(story: Story, tmp_path: Path) -> None:
    """As when another worker holds some of its deliveries at this moment: the object would lose them."""
    folder = tmp_path / "lake"
    await story.connect("files", {}, url=f"file://{folder}", every_minutes=1)
    await story.tell(("cus_ada", 1), ("cus_bob", 1))
    await story.wait(minutes=1)
    with pytest.raises(BaseExceptionGroup):
        await story.deliver(carrier=Dying(story.carrier))
    await story.wait(seconds=90)
    (before,) = [path.read_bytes() for path in folder.rglob("*.ndjson")]
    assert await story.deliver(limit=1) == 0
    assert [path.read_bytes() for path in folder.rglob("*.ndjson")] == [before]
    await story.wait(seconds=90)
    assert await story.deliver() == 2
    assert [path.read_bytes() for path in folder.rglob("*.ndjson")] == [before]


async def test_a_folder_that_cannot_be_written_is_tried_again_and_nothing_overtakes(story: Story, tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    folder.write_text("in the way")
    await story.connect("files", {}, url=f"file://{folder}", format="parquet", every_minutes=1)
    await story.tell(("cus_ada", 1))
    await story.wait(minutes=1)
    assert await story.deliver_all() == 1
    await story.tell(("cus_ada", 2))
    await story.wait(minutes=2)
    assert await story.deliver_all() == 0
    assert "cannot write into" in (await story.rows())[0]["last_error"]
    folder.unlink()
    for _ in range(4):
        await story.wait(minutes=2)
        await story.deliver_all()
    assert await story.states() == ["delivered", "delivered"]
    told = duckdb.sql(f"SELECT sequence FROM '{folder}/events/*/*.parquet' ORDER BY filename").fetchall()
    assert told == [(1,), (2,)]
    assert not [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".parquet", ".json")], "nothing half-written is left"


async def test_a_bucket_gets_whole_objects_by_signed_addresses(story: Story) -> None:
    """What speaks S3: here our receiver, which looks at where and what, not at the signature."""
    keys = {"access_key_id": "AK", "secret_access_key": "SK-s3cr3t"}
    await story.connect("files", keys, url="s3://bucket/events", endpoint=story.base, every_minutes=5)
    await story.tell(("cus_ada", 1), ("cus_bob", 1))
    story.receiver.reply = saying(status(200), status(403, "<Error>SK-s3cr3t is wrong</Error>"), status(200))
    await story.wait(minutes=5)
    assert await story.deliver_all() == 2
    assert {row["last_error"] for row in await story.rows()} == {"answered 403: <Error>*** is wrong</Error>"}
    assert await story.states() == ["retrying", "retrying"]
    await story.wait(minutes=5)
    assert await story.deliver_all() == 2
    paths = [heard.line.split()[1].partition("?") for heard in story.receiver.heard]
    (batch,) = {row["batch"] for row in await story.rows()}
    data = f"/bucket/events/events/{batch.replace('=', '%3D')}.ndjson"
    assert [path for path, _, _ in paths] == ["/bucket/events/schema.json", data, "/bucket/events/schema.json", data]
    assert all("X-Amz-Signature=" in query and "SK-s3cr3t" not in query for _, _, query in paths)
    assert story.receiver.heard[1].body == story.receiver.heard[3].body
    assert [json.loads(line)["app_user_id"] for line in story.receiver.heard[3].body.splitlines()] == ["cus_ada", "cus_bob"]
    assert story.receiver.heard[3].headers["content-type"] == "application/x-ndjson"


# Through the front doors ----------------------------------------------------------------------------------------------------------


async def test_from_a_purchase_to_a_tool_by_the_api(world: World, receiver: Receiver) -> None:
    v2 = Caller.of(world)
    base = f"http://127.0.0.1:{receiver.port}"
    made = await v2.post(
        "/integrations", {"kind": "posthog", "name": "Product", "settings": {"base_url": base}, "secrets": {"api_key": "phc_secret"}}, status=201
    )
    assert made == {
        "object": "integration",
        "id": made["id"],
        "project_id": world.project_id,
        "kind": "posthog",
        "name": "Product",
        "settings": {"base_url": base},
        "secrets": ["api_key"],
        "environment": None,
        "event_types": None,
        "app_id": None,
        "created_at": made["created_at"],
        "health": {"last_success_at": None, "last_failure_at": None, "last_error": None, "failures": 0},
    }
    assert (await v2.get("/integrations/webhooks"))["items"] == [] and (await v2.get("/integrations"))["items"] == [made]
    await v2.ask("GET", f"/integrations/webhooks/{made['id']}", status=404)
    await world.buy("ada", "pro_monthly")
    await world.run_due()
    (told,) = (await v2.get("/events"))["items"]
    (sent,) = json.loads(receiver.heard[0].body)["batch"]
    assert (sent["uuid"], sent["event"], sent["distinct_id"]) == (told["id"], "rc_initial_purchase_event", "ada")
    assert [(one["webhook_integration_id"], one["state"], one["last_status"]) for one in told["deliveries"]] == [(made["id"], "delivered", 200)]
    changed = await v2.post(f"/integrations/{made['id']}", {"name": "Funnels", "event_types": ["renewal"]}, status=200)
    assert (changed["name"], changed["event_types"], changed["health"]["failures"]) == ("Funnels", ["renewal"], 0)
    test = await v2.post(f"/integrations/{made['id']}/actions/test", status=200)
    await world.run_due()
    assert json.loads(receiver.heard[1].body)["batch"][0]["event"] == "rc_test_event"
    assert {one["id"] for one in (await v2.get("/events"))["items"]} == {told["id"], test["event_id"]}
    assert await v2.post(f"/integrations/{made['id']}/actions/replay", {"event_ids": [told["id"]]}, status=200) == {
        "object": "integration_replay",
        "deliveries": 1,
    }
    await world.run_due()
    assert json.loads(receiver.heard[2].body)["batch"][0]["uuid"] == told["id"]
    gone = await v2.ask("DELETE", f"/integrations/{made['id']}", status=200)
    assert gone == {"object": "integration", "id": made["id"], "deleted_at": gone["deleted_at"]}
    await v2.ask("GET", f"/integrations/{made['id']}", status=404)
    audited = (await v2.get("/audit_logs?limit=100"))["items"]
    assert {one["action_type"] for one in audited} >= {f"integration.{verb}" for verb in ("create", "update", "test", "replay", "delete")}
    assert "phc_secret" not in str([made, changed, audited, told])


async def test_secrets_do_not_follow_to_another_address(world: World) -> None:
    v2 = Caller.of(world)
    made = await v2.post("/integrations", {"kind": "segment", "name": "S", "secrets": {"write_key": "k"}}, status=201)
    path, elsewhere = f"/integrations/{made['id']}", {"base_url": "https://elsewhere.example"}
    await v2.refused("POST", path, {"settings": elsewhere}, status=400, type="parameter_error", param="secrets")
    assert (await v2.get(path))["settings"] == {"base_url": "https://api.segment.io"}
    changed = await v2.post(path, {"settings": elsewhere, "secrets": {"write_key": "k2"}}, status=200)
    assert changed["settings"] == elsewhere


async def test_by_the_command_line(world: World, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_ALLOW_INTERNAL_WEBHOOKS", "1")

    async def perennial(*arguments: str, code: int = 0) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, cli, ["integrations", *arguments, *(() if arguments == ("kinds",) else project)])
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        return result.output

    project = ("--project", world.project_id)
    assert "firebase_app_id, [base_url=https://www.google-analytics.com]" in await perennial("kinds")
    (tmp_path / "key").write_text("tok\n")
    base = f"base_url=http://127.0.0.1:{receiver.port}"
    made = await perennial("create", "mixpanel", "--name", "Funnels", "--secret", f"token=@{tmp_path / 'key'}", "--set", base)
    integration_id = next(word for word in made.split() if word.startswith("intgr_"))
    listed = await perennial("list")
    assert "Funnels" in listed and base in listed and "not used yet" in listed and "tok" not in listed.replace("token", "")
    await world.buy("ada", "pro_monthly")
    await world.run_due()
    assert "well" in await perennial("list")
    testing = asyncio.create_task(perennial("test", integration_id))
    while not testing.done():
        await world.run_due()
        await asyncio.sleep(0.05)
    assert "Funnels answered 200" in await testing
    assert "1 event is on the way" in await perennial("replay", integration_id, "--since", "1d")
    assert "token=... is not" not in await perennial("create", "mixpanel", "--secret", "token", code=1)
    await perennial("delete", integration_id)
    assert integration_id not in await perennial("list")

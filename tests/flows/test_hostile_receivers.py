"""Receivers that hang, at whatever stage, wait alone: beside fifty of them a good one hears of everything at once.

Real sockets that never answer. Whether somebody waited is told by order: the good receiver has heard all before any of the others was given up.
"""

import asyncio
import base64
import os
import socket
import sys
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from perennial import events
from perennial.base import resolving
from perennial.base.db import Database
from perennial.base.errors import Unavailable
from perennial.base.time import perf_counter
from perennial.events import rules
from perennial.events.actions.dispatching import Dispatcher, Limits
from perennial.events.model import Answer, Pace
from perennial.providers.integrations import Integrations
from perennial.providers.webhook import WebhookSender
from tests.flows.test_integrations import happening as for_tools
from tests.flows.test_webhook_delivery import KEY, NOON, VAULT, Heard, Receiver, Story, accept, message, status

PATIENCE = timedelta(seconds=30)  # of the sender: nothing waits for it where receivers wait alone
SOON = 10.0  # seconds, for what takes parts of one where nobody is held up


class Tarpit:
    """Takes connections and says nothing, or what `speech` says."""

    def __init__(self, speech: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None) -> None:
        self._speech = speech
        self.port = 0
        self.open_now = 0
        self.most_open = 0
        self.taken = 0
        self.given_up = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Tarpit"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1000)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            if self._speech is not None:
                await self._speech(writer)
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
        finally:
            self.open_now -= 1
            self.given_up += 1
            writer.close()


@pytest.fixture
async def sender() -> AsyncIterator[WebhookSender]:
    opened = WebhookSender(allow_internal=True, timeout=PATIENCE)
    yield opened
    await opened.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().open() as opened:
        yield opened


@pytest.fixture
async def story(own: Database, receiver: Receiver, sender: WebhookSender) -> Story:
    told = Story(own, receiver, sender)
    await told.begin()
    return told


@asynccontextmanager
async def dispatching(story: Story, *, count: int = 1, carrier: Integrations | None = None, limits: Limits | None = None) -> AsyncIterator[None]:
    stop = asyncio.Event()
    made = [Dispatcher(story.database, VAULT, story.sender, carrier, limits=limits) for _ in range(count)]
    running = [asyncio.create_task(one.run(stop)) for one in made]
    try:
        yield
    finally:
        for one in made:  # what hangs for half a minute is not waited for
            for task in list(one._tasks):
                task.cancel()
        stop.set()
        await asyncio.gather(*running)


async def until(condition: Callable[[], bool | Awaitable[bool]], within: float = SOON) -> None:
    began = perf_counter()
    while True:
        met = condition()
        if met if isinstance(met, bool) else await met:
            return
        assert perf_counter() - began < within, "it took too long"
        await asyncio.sleep(0.02)


async def another_project(story: Story, url: str) -> Story:
    other = Story(story.database, story.receiver, story.sender)
    async with other.database.transaction(other.project_id) as tx:
        await tx.execute(
            "INSERT INTO project (project_id, name, is_sandbox, clock_at, created_at) VALUES (%(id)s, 'Another', TRUE, %(now)s, %(now)s)",
            id=other.project_id,
            now=NOON,
        )
        await events.create_endpoint(tx, VAULT, name="Hooks", url=url)
    return other


async def surround(story: Story, tarpit: Tarpit, *, is_same_project: bool, count: int = 50) -> None:
    """With endpoints that hang, each with several events due."""
    url = f"http://127.0.0.1:{tarpit.port}/"
    if is_same_project:
        async with story.database.transaction(story.project_id) as tx:
            for _ in range(count):
                await events.create_endpoint(tx, VAULT, name="Tarpit", url=url)
        await story.tell(*((f"cus_{number}", 1) for number in range(4)))
        return
    for _ in range(count):
        other = await another_project(story, url)
        await other.tell(*((f"cus_{number}", 1) for number in range(4)))


# Fifty of them --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_same_project", "workers"), [(False, 1), (True, 1), (False, 2), (True, 2)])
async def test_beside_fifty_that_never_answer_a_good_one_hears_all(story: Story, is_same_project: bool, workers: int) -> None:
    async with Tarpit().open() as tarpit:
        await surround(story, tarpit, is_same_project=is_same_project)
        async with dispatching(story, count=workers):
            await until(lambda: tarpit.open_now >= 50)
            queue = [("cus_ada", number) for number in range(1, 6)]
            for key in queue:
                await story.tell(key)
            await until(lambda: [key for key in story.receiver.keys if key[0] == "cus_ada"] == queue)
            assert tarpit.given_up == 0
            assert tarpit.most_open <= 50 * workers, "one that has shown nothing has one attempt under way"


@pytest.mark.parametrize(("is_same_project", "workers"), [(False, 1), (True, 2)])
async def test_real_workers_do_so_too(story: Story, own_url: str, tmp_path: Path, is_same_project: bool, workers: int) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": own_url,
        "PERENNIAL_HOME": str(tmp_path),
        "PERENNIAL_SECRET_KEY": base64.b64encode(KEY).decode(),
        "PERENNIAL_ALLOW_INTERNAL_WEBHOOKS": "1",
    }
    async with Tarpit().open() as tarpit:
        await surround(story, tarpit, is_same_project=is_same_project)
        queue = [("cus_ada", number) for number in range(1, 6)]
        await story.tell(*queue)
        running = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "perennial", "worker", env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
            for _ in range(workers)
        ]
        try:
            await until(lambda: tarpit.taken > 0 and len([key for key in story.receiver.keys if key[0] == "cus_ada"]) == 5, within=30)
            assert tarpit.given_up == 0
            assert [key for key in story.receiver.keys if key[0] == "cus_ada"] == queue
        finally:
            for one in running:
                one.kill()
                await one.wait()


async def test_integrations_that_hang_hold_up_neither_webhooks_nor_each_other(story: Story, tmp_path: Path) -> None:
    carrier = Integrations(allow_internal=True, files_folder=tmp_path, timeout=PATIENCE)
    async with Tarpit().open() as tarpit, Receiver().open() as segment:
        async with story.database.transaction(story.project_id) as tx:
            for port in [tarpit.port] * 50 + [segment.port]:
                base = f"http://127.0.0.1:{port}"
                await events.create_integration(
                    tx, VAULT, carrier, kind="segment", name="Segment", settings={"base_url": base}, secrets={"write_key": "k"}
                )
        async with dispatching(story, carrier=carrier):
            await tell_tools(story, ("cus_bob", 1))
            await until(lambda: tarpit.open_now == 50)
            for number in (1, 2, 3):
                await tell_tools(story, ("cus_ada", number))
            await until(lambda: len(segment.heard) >= 4 and len(story.receiver.heard) == 4)
            assert tarpit.given_up == 0
            assert tarpit.most_open == 50, "shipments to one receiver follow each other"
    await carrier.close()


async def tell_tools(story: Story, *keys: tuple[str, int]) -> None:
    """With what integrations read of an event."""
    async with story.database.transaction(story.project_id) as tx:
        await events.append(tx, [for_tools(customer, number, NOON) for customer, number in keys])


async def test_names_that_never_resolve_hold_up_nobody(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than a loop has threads to resolve names with."""
    over, asked = threading.Event(), set[str]()

    def resolve(host: str, port: Any, *, flags: int, **how: Any) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            return socket.getaddrinfo(host, port, flags=flags, **how)
        asked.add(host)
        if host.endswith(".tarpit.example"):
            over.wait(60)
        return [(2, 1, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(resolving, "getaddrinfo", resolve)
    async with story.database.transaction(story.project_id) as tx:
        for number in range(50):
            await events.create_endpoint(tx, VAULT, name="Tarpit", url=f"https://h{number}.tarpit.example/")
        good, _ = await events.create_endpoint(tx, VAULT, name="Good", url=f"http://good.example:{story.receiver.port}/")
    try:
        async with dispatching(story):
            await story.tell(("cus_bob", 1))
            await until(lambda: len(asked) == 51)
            await story.tell(("cus_ada", 1), ("cus_ada", 2))
            await until(
                lambda: [heard.key for heard in story.receiver.heard if "good" in heard.headers["host"]][-2:] == [("cus_ada", 1), ("cus_ada", 2)]
            )
            rows = [row for row in await story.rows() if row["endpoint_id"] != good.endpoint_id and row["endpoint_id"] != story.endpoint_id]
            assert {row["last_error"] for row in rows} == {None}, "nobody was given up yet"
    finally:
        over.set()


async def test_the_same_name_is_looked_up_once_however_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    over, asked = threading.Event(), list[str]()

    def resolve(host: str, port: Any, *, flags: int, **how: Any) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        asked.append(host)
        over.wait(60)
        return [(2, 1, 6, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(resolving, "getaddrinfo", resolve)
    resolver = resolving.Resolver()
    impatient = [asyncio.create_task(resolver.resolve("slow.example")) for _ in range(20)]
    await until(lambda: asked == ["slow.example"])
    for one in impatient[:10]:
        one.cancel()
    over.set()
    assert await asyncio.gather(*impatient[10:]) == [["192.0.2.1"]] * 10
    assert asked == ["slow.example"]
    assert await resolver.resolve("slow.example") == ["192.0.2.1"], "asked anew, as nothing is remembered"
    assert len(asked) == 2
    await resolver.close()


# One of them ----------------------------------------------------------------------------------------------------------------------


async def drip_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(10_000):
        writer.write(f"X-{number}: drip\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.05)


async def continue_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
        await writer.drain()


async def endless_header(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


@pytest.mark.parametrize(("speech", "scheme"), [(drip_headers, "http"), (continue_for_ever, "http"), (endless_header, "http"), (None, "https")])
async def test_whatever_stage_it_hangs_at_the_attempt_is_over_in_its_time(
    speech: Callable[[asyncio.StreamWriter], Awaitable[None]] | None, scheme: str
) -> None:
    impatient = WebhookSender(allow_internal=True, timeout=timedelta(seconds=1))
    async with Tarpit(speech).open() as tarpit:
        began = perf_counter()
        answer = await impatient.send(message(f"{scheme}://127.0.0.1:{tarpit.port}/"))
        assert perf_counter() - began < 5
        assert answer.status is None and answer.error
        await until(lambda: tarpit.open_now == 0)
    await impatient.close()


async def test_what_is_said_before_the_status_is_bounded_in_bytes() -> None:
    patient = WebhookSender(allow_internal=True, timeout=timedelta(seconds=60))
    async with Tarpit(continue_for_ever).open() as tarpit:
        assert await patient.send(message(f"http://127.0.0.1:{tarpit.port}/")) == Answer(error="the connection broke before an answer (ReadError)")
    await patient.close()


async def test_a_body_that_drips_costs_two_seconds_and_counts_as_answered() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.1)

    sender = WebhookSender(allow_internal=True)
    async with Tarpit(drip).open() as tarpit:
        assert await sender.send(message(f"http://127.0.0.1:{tarpit.port}/")) == Answer(status=200)
        await until(lambda: tarpit.open_now == 0)
    await sender.close()


# Shares ---------------------------------------------------------------------------------------------------------------------------


async def test_a_project_has_its_share_of_places_and_no_more(story: Story) -> None:
    async with Tarpit().open() as tarpit, Receiver().open() as good:
        await surround(story, tarpit, is_same_project=True, count=20)
        other = await another_project(story, good.url)
        async with dispatching(story, limits=Limits(in_all=8, of_project=6, slow=3, slow_of_project=2)):
            await until(lambda: tarpit.open_now >= 5)
            await other.tell(("cus_eve", 1), ("cus_eve", 2), ("cus_eve", 3))
            await until(lambda: good.keys == [("cus_eve", 1), ("cus_eve", 2), ("cus_eve", 3)])
            assert tarpit.given_up == 0
        assert tarpit.most_open <= 6


async def test_those_that_were_slow_share_the_places_of_slow_ones(own: Database, receiver: Receiver) -> None:
    """However many of them: once they are known, the others have the rest."""
    impatient = WebhookSender(allow_internal=True, timeout=rules.QUICK + timedelta(seconds=0.2))
    story = Story(own, receiver, impatient)
    await story.begin()
    async with Tarpit().open() as tarpit:
        await surround(story, tarpit, is_same_project=True, count=12)
        async with dispatching(story, limits=Limits(in_all=16, of_project=16, slow=4, slow_of_project=2)):
            await until(lambda: tarpit.given_up >= 12)
            tarpit.most_open = 0
            await until(lambda: tarpit.taken >= 16, within=20)
            assert tarpit.most_open <= 2
    await impatient.close()


def test_an_endpoint_has_more_places_as_it_answers_quickly_and_fewer_when_it_does_not() -> None:
    quick, slow = timedelta(seconds=0.2), timedelta(seconds=15)
    pace, windows = Pace(), []
    for _ in range(6):
        windows.append(pace.window)
        pace = rules.pace_after(pace, Answer(status=200), quick)
    assert windows == [1, 2, 4, 8, 10, 10]
    assert rules.rest(pace) == timedelta(0)
    assert rules.pace_after(pace, Answer(status=200), slow) == Pace(window=4, is_slow=True), "answers late, but answers"
    assert rules.rest(Pace(window=4, is_slow=True)) == timedelta(0)
    rests = []
    for _ in range(8):
        pace = rules.pace_after(pace, Answer(error="no answer"), slow)
        rests.append(rules.rest(pace).total_seconds())
    assert pace.window == 1 and pace.is_slow
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60]
    assert rules.pace_after(pace, Answer(status=500), quick) == Pace(window=2), "an answer is an answer"
    refused = Pace()
    for expected in (0, 0, 0, 0, 16):
        refused = rules.pace_after(refused, Answer(error="no connection"), quick)
        assert rules.rest(refused).total_seconds() == expected, "what fails at once holds no place, and rests after five"
    assert rules.pace_after(Pace(), Answer(verdict="skipped"), quick) == Pace(window=2)


# As in single rounds --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(1, 6))])
async def test_several_dispatchers_send_each_once_and_no_event_overtakes_an_open_one(story: Story, seed: int) -> None:
    closed: set[tuple[str, int]] = set()
    tries: defaultdict[tuple[str, int], int] = defaultdict(int)
    overtaken: list[tuple[str, int]] = []

    async def by_dice(heard: Heard) -> bytes:
        customer, number = heard.key
        tries[heard.key] += 1
        overtaken.extend((customer, before) for before in range(1, number) if (customer, before) not in closed)
        is_good = sha256(f"{seed} {heard.key} {tries[heard.key]}".encode()).digest()[0] < 160
        if is_good or tries[heard.key] == 6:
            closed.add(heard.key)
        return status(200 if is_good else 500)

    story.receiver.reply = by_dice
    keys = [(f"cus_{customer}", number) for number in range(1, 6) for customer in range(40)]
    await story.tell(*keys)

    async def is_over() -> bool:
        rows = await story.rows()
        if not any(row["wake_at"] for row in rows):
            return True
        if not any(row["wake_at"] is not None and row["wake_at"] <= story.now + timedelta(seconds=90) for row in rows):
            await story.wait(minutes=5)
        return False

    async with dispatching(story, count=3):
        await until(is_over, within=60)
    assert overtaken == []
    assert set(tries) == set(keys)
    assert all(row["attempts"] == tries[row["customer_id"], row["sequence"]] for row in await story.rows())


async def test_one_that_dies_leaves_its_deliveries_to_others_after_the_lease(story: Story) -> None:
    async with Tarpit().open() as tarpit:
        async with story.database.transaction(story.project_id) as tx:
            await events.update_endpoint(tx, VAULT, story.endpoint_id, url=f"http://127.0.0.1:{tarpit.port}/")
        (event_id,) = await story.tell(("cus_ada", 1))
        dying = asyncio.create_task(Dispatcher(story.database, VAULT, story.sender, None).run(asyncio.Event()))
        await until(lambda: tarpit.open_now == 1)
        dying.cancel()
        async with story.database.transaction(story.project_id) as tx:
            await events.update_endpoint(tx, VAULT, story.endpoint_id, url=story.receiver.url)
        async with dispatching(story):
            await story.wait(seconds=89)
            await asyncio.sleep(0.6)
            assert story.receiver.heard == []
            await story.wait(seconds=1)
            await until(lambda: len(story.receiver.heard) == 1)
        assert story.receiver.heard[0].headers["webhook-id"] == event_id
        assert (await story.rows())[0]["attempts"] == 2


async def test_one_that_stops_gives_back_what_it_has_not_begun(story: Story) -> None:
    """Others need not wait for a lease."""
    release = asyncio.Event()

    async def hold(_: Heard) -> bytes:
        if len(story.receiver.heard) > 2:
            await release.wait()
        return status(200)

    story.receiver.reply = hold
    await story.tell(*((f"cus_{number}", 1) for number in range(100)))
    stop = asyncio.Event()
    running = asyncio.create_task(Dispatcher(story.database, VAULT, story.sender, None).run(stop))
    await until(lambda: len(story.receiver.heard) > 3)
    stop.set()
    await asyncio.sleep(0.3)
    release.set()
    await running
    heard = len(story.receiver.heard)
    assert heard < 100
    rows = await story.rows()
    assert sorted((row["attempts"], row["wake_at"]) for row in rows if row["wake_at"] is not None) == [(0, NOON)] * (100 - heard)
    story.receiver.reply = accept
    async with dispatching(story):
        await until(lambda: len(story.receiver.heard) == 100)
    assert len(set(story.receiver.keys)) == 100


async def test_outcomes_are_written_down_when_the_database_comes_back(story: Story) -> None:
    troubles = 0

    def trouble(statement: str) -> None:
        nonlocal troubles
        if "delivered_at" in statement and "INSERT INTO delivery" in statement and troubles < 2:
            troubles += 1
            raise Unavailable("the database is away")

    await story.tell(("cus_ada", 1))
    story.database.before_statement = trouble
    async with dispatching(story):
        await until(lambda: troubles == 2)

        async def is_delivered() -> bool:
            return await story.states() == ["delivered"]

        await until(is_delivered)
    story.database.before_statement = None
    assert len(story.receiver.heard) == 1


async def test_ten_projects_with_much_to_tell_do_not_hold_up_one_with_little(story: Story) -> None:
    async with Receiver().open() as busy:
        for _ in range(10):
            other = await another_project(story, busy.url)
            await other.tell(*((f"cus_{number}", 1) for number in range(200)))
        async with dispatching(story):
            await until(lambda: len(busy.heard) > 20)
            await story.tell(("cus_ada", 1), ("cus_ada", 2))
            await until(lambda: story.receiver.keys == [("cus_ada", 1), ("cus_ada", 2)])
            assert len(busy.heard) < 2000
            await until(lambda: len(busy.heard) == 2000, within=60)


async def test_what_an_integration_at_its_limit_left_over_waits(story: Story, tmp_path: Path) -> None:
    """One request, and not one for each event that is due."""
    carrier = Integrations(allow_internal=True, files_folder=tmp_path)
    async with Receiver().open() as slack:
        slack.reply = busy
        async with story.database.transaction(story.project_id) as tx:
            address = {"url": f"http://127.0.0.1:{slack.port}/services/T/B/x"}
            await events.create_integration(tx, VAULT, carrier, kind="slack", name="Slack", settings={}, secrets=address)
        await tell_tools(story, *((f"cus_{number}", 1) for number in range(10)))
        async with dispatching(story, carrier=carrier):
            await until(lambda: len(slack.heard) == 1 and len(story.receiver.heard) == 10)
            await asyncio.sleep(1)
            assert len(slack.heard) == 1
        rows = [row for row in await story.rows() if row["endpoint_id"].startswith("intgr")]
        assert sorted((row["attempts"], row["wake_at"]) for row in rows) == [
            *[(0, NOON + timedelta(minutes=1))] * 9,
            (1, NOON + timedelta(minutes=5)),
        ]
    await carrier.close()


async def busy(_: Heard) -> bytes:
    return status(429, "Retry-After: 30\r\n")


async def test_whoever_locks_an_endpoint_for_long_holds_up_no_other_project(story: Story) -> None:
    """As a replay of a long history does: what was sent to it is written down when it is done."""
    async with Receiver().open() as replaying:
        others = [await another_project(story, replaying.url) for _ in range(5)]
        release = asyncio.Event()

        async def hold(other: Story) -> None:
            async with other.database.transaction(other.project_id) as tx:
                await tx.fetch("SELECT FROM endpoint FOR NO KEY UPDATE")
                await release.wait()

        holding = [asyncio.create_task(hold(other)) for other in others[:5]]
        for other in others:
            await other.tell(("cus_bob", 1))
        async with dispatching(story):
            await until(lambda: len(replaying.heard) == 5)
            for number in (1, 2, 3):
                await story.tell(("cus_ada", number))
            await until(lambda: story.receiver.keys == [("cus_ada", 1), ("cus_ada", 2), ("cus_ada", 3)])
            release.set()
            await asyncio.gather(*holding)

            async def are_delivered() -> bool:
                return [await other.states() for other in others] == [["delivered"]] * 5

            await until(are_delivered)
        assert len(replaying.heard) == 5

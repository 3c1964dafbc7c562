"""Events reach their receivers: real HTTP to a receiver on this machine, on the clock of a sandbox project."""

import asyncio
import contextlib
import socket
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks import Webhook, WebhookVerificationError
from structlog.testing import capture_logs

import perennial
from perennial import events
from perennial.base import resolving
from perennial.base.db import Database, Row
from perennial.base.errors import Conflict, Unavailable
from perennial.base.ids import CustomerId, EventId, ProjectId, new_id, new_uuid, random_bytes
from perennial.base.secrets import Vault
from perennial.base.time import wall_clock
from perennial.base.value import replace, value
from perennial.events.model import MOST_ENDPOINTS, Answer, Endpoint, Message, NewEvent
from perennial.invariants import INVARIANTS
from perennial.providers.webhook import WebhookSender

KEY = random_bytes(32)
VAULT = Vault(KEY)
NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)
SECRET_HEADER = "Bearer s3cr3t-of-ours"


@value
class Heard:
    """A request as it came over the wire."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return dict(msgspec.json.decode(self.body)["event"])

    @property
    def key(self) -> tuple[str, int]:
        return self.event["customer"], self.event["number"]


Reply = Callable[[Heard], Awaitable[bytes]]


def status(code: int, more: str = "") -> bytes:
    return f"HTTP/1.1 {code} Said\r\nContent-Length: 0\r\n{more}\r\n".encode()


async def accept(_: Heard) -> bytes:
    return status(200)


class Receiver:
    """A small HTTP server that remembers what it heard and answers as told."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.reply: Reply = accept
        self.port = 0
        self.names: list[str | None] = []  # that TLS asked for

    @contextlib.asynccontextmanager
    async def open(self, context: ssl.SSLContext | None = None) -> AsyncIterator["Receiver"]:
        if context is not None:
            context.sni_callback = lambda _, name, __: self.names.append(name)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
                headers = {name.lower(): text for name, text in (header.split(": ", 1) for header in lines)}
                self.heard.append(Heard(line=line, headers=headers, body=await reader.readexactly(int(headers["content-length"]))))
                writer.write(await self.reply(self.heard[-1]))
                await writer.drain()
        writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?of=perennial"

    @property
    def keys(self) -> list[tuple[str, int]]:
        return [heard.key for heard in self.heard]


class Story:
    """A project with a clock that stands still, an endpoint, and somebody who delivers."""

    def __init__(self, database: Database, receiver: Receiver, sender: WebhookSender) -> None:
        self.database = database
        self.receiver = receiver
        self.sender = sender
        self.project_id = ProjectId(new_id("proj", wall_clock()))
        self.now = NOON
        self.endpoint_id = ""
        self.secret = ""

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
            endpoint, self.secret = await events.create_endpoint(tx, VAULT, name="Hooks", url=self.receiver.url, authorization_header=SECRET_HEADER)
            self.endpoint_id = endpoint.endpoint_id

    async def add_endpoint(self, url: str) -> str:
        async with self.database.transaction(self.project_id) as tx:
            return (await events.create_endpoint(tx, VAULT, name="Another", url=url))[0].endpoint_id

    async def tell(self, *keys: tuple[str, int]) -> list[EventId]:
        new = [happening(customer, number) for customer, number in keys]
        async with self.database.transaction(self.project_id) as tx:
            await events.append(tx, new)
        return [one.event_id for one in new]

    async def wait(self, **duration: float) -> None:
        self.now += timedelta(**duration)
        async with self.database.transaction(self.project_id) as tx:
            await tx.execute("UPDATE project SET clock_at = %(now)s WHERE project_id = %(project_id)s", now=self.now, project_id=self.project_id)

    async def deliver(self, limit: int = 500) -> int:
        return await events.deliver_due(self.database, self.project_id, VAULT, self.sender, limit)

    async def deliver_all(self) -> int:
        total = 0
        while sent := await self.deliver():
            total += sent
        return total

    async def is_due(self) -> bool:
        rows = await self.database.door("SELECT * FROM due_projects('telling', $1, 10000) AS project_id", wall_clock())
        return self.project_id in [row["project_id"] for row in rows]

    async def rows(self) -> list[Row]:
        async with self.database.transaction(self.project_id) as tx:
            return await tx.fetch("SELECT * FROM delivery ORDER BY endpoint_id, customer_id, sequence")

    async def states(self) -> list[str]:
        async with self.database.transaction(self.project_id) as tx:
            return [delivery.state for event in await events.list_events(tx, limit=1000) for delivery in event.deliveries]

    async def endpoint(self) -> Endpoint:
        async with self.database.transaction(self.project_id) as tx:
            return await events.get_endpoint(tx, self.endpoint_id)


def happening(customer: str, number: int) -> NewEvent:
    event_id = EventId(new_uuid())
    body = {"id": event_id, "type": "RENEWAL", "customer": customer, "number": number, "name": "Žofie ✓"}
    return NewEvent(
        event_id=event_id,
        customer_id=CustomerId(customer),
        sequence=number,
        type="RENEWAL",
        app_id=None,
        environment="production",
        happened_at=NOON,
        body=body,
    )


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
async def sender() -> AsyncIterator[WebhookSender]:
    opened = WebhookSender(allow_internal=True)
    yield opened
    await opened.close()


@pytest.fixture
async def story(database: Database, receiver: Receiver, sender: WebhookSender) -> Story:
    told = Story(database, receiver, sender)
    await told.begin()
    return told


def refuse(*keys: tuple[str, int], code: int = 500) -> Reply:
    async def reply(heard: Heard) -> bytes:
        return status(code if not keys or heard.key in keys else 200)

    return reply


def message(url: str, **fields: Any) -> Message:
    plain = Message(
        message_id=new_uuid(),
        url=url,
        authorization_header=None,
        signing_secret="whsec_c2VjcmV0",
        sent_at=wall_clock(),
        event={"customer": "cus_ada", "number": 1},
    )
    return replace(plain, **fields)


# On the wire ----------------------------------------------------------------------------------------------------------------------


async def test_a_receiver_gets_the_event_signed_and_with_its_own_header(story: Story) -> None:
    (event_id,) = await story.tell(("cus_ada", 1))
    assert await story.deliver() == 1
    (heard,) = story.receiver.heard
    assert heard.line == "POST /hooks?of=perennial HTTP/1.1"
    assert heard.headers["host"] == f"127.0.0.1:{story.receiver.port}"
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["authorization"] == SECRET_HEADER
    assert heard.headers["user-agent"] == f"Perennial/{perennial.__version__}"
    assert heard.headers["webhook-id"] == event_id
    assert Webhook(story.secret).verify(heard.body, dict(heard.headers)) == {
        "api_version": "1.0",
        "event": {"id": event_id, "type": "RENEWAL", "customer": "cus_ada", "number": 1, "name": "Žofie ✓"},
    }
    assert await story.states() == ["delivered"]
    assert await story.deliver() == 0


async def test_no_authorization_header_where_none_was_given(receiver: Receiver, sender: WebhookSender) -> None:
    assert await sender.send(message(receiver.url)) == Answer(status=200)
    assert "authorization" not in receiver.heard[0].headers


async def test_a_redirect_is_not_followed(receiver: Receiver, sender: WebhookSender) -> None:
    async def redirect(_: Heard) -> bytes:
        return status(302, f"Location: {receiver.url}\r\n")

    receiver.reply = redirect
    assert await sender.send(message(receiver.url)) == Answer(status=302)
    assert len(receiver.heard) == 1


async def test_an_endless_answer_is_read_to_a_bound_and_its_status_counts(receiver: Receiver, sender: WebhookSender) -> None:
    async def endless(_: Heard) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 1_000_000

    receiver.reply = endless
    assert await sender.send(message(receiver.url)) == Answer(status=200)


async def test_an_answer_that_stalls_after_its_status_has_still_been_given(receiver: Receiver, sender: WebhookSender) -> None:
    async def stall(_: Heard) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"

    receiver.reply = stall
    assert await sender.send(message(receiver.url)) == Answer(status=200)


async def test_a_receiver_that_hangs_or_breaks_is_an_error_not_an_exception(
    receiver: Receiver, sender: WebhookSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = asyncio.Event()

    def resolve(host: str, port: Any, **how: Any) -> list[Any]:
        if host == "nobody.invalid":  # answered here as a resolver does: without a network that takes its timeouts
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return socket.getaddrinfo(host, port, **how)

    monkeypatch.setattr(resolving, "getaddrinfo", resolve)

    async def hang(_: Heard) -> bytes:
        await over.wait()
        return status(200)

    receiver.reply = hang
    impatient = WebhookSender(allow_internal=True, timeout=timedelta(seconds=0.3))
    assert await impatient.send(message(receiver.url)) == Answer(error="no answer within 0.3 seconds")
    over.set()
    receiver.reply = babble
    assert await sender.send(message(receiver.url)) == Answer(error="the connection broke before an answer (RemoteProtocolError)")
    for url in ("http://127.0.0.1:1/", "http://nobody.invalid/", "https://" + "x" * 300 + "/", "http://a..b/", f"https://127.0.0.1:{receiver.port}/"):
        answer = await impatient.send(message(url))  # the last of them is asked for TLS, and waits for more
        assert answer.status is None
        assert answer.error
    await impatient.close()


async def babble(_: Heard) -> bytes:
    return b"220 smtp.example.com ready\r\n\r\n"


async def test_connections_are_used_again(receiver: Receiver, sender: WebhookSender) -> None:
    for _ in range(3):
        assert (await sender.send(message(receiver.url))).is_success
    assert len(receiver.heard) == 3


# Internal addresses ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "LOCALHOST.", "127.1", "0", "0.0.0.0", "169.254.169.254", "10.0.0.1"),
        *("2130706433", "0x7f000001", "0x7f.1", "017700000001", "①②⑦.⓪.⓪.①"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[fe80::1]"),
    ],
)
async def test_no_spelling_of_an_internal_address_is_called(host: str, receiver: Receiver) -> None:
    guarded = WebhookSender(allow_internal=False)
    answer = await guarded.send(message(f"http://{host}:{receiver.port}/"))
    await guarded.close()
    assert answer.status is None
    assert answer.error is not None
    assert "not public" in answer.error or "does not resolve" in answer.error or "cannot be called" in answer.error, answer.error
    assert receiver.heard == []


async def test_the_address_that_was_checked_is_the_one_connected_to(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads elsewhere when asked again: it is asked once, and what is not public is left out."""
    asked = 0

    def resolve(host: str, port: Any, *, flags: int, **_: Any) -> list[Any]:
        nonlocal asked
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        asked += 1
        return [(2, 1, 6, "", (address, port)) for address in (["192.0.2.1"] if asked == 1 else ["127.0.0.1"])]

    guarded = WebhookSender(allow_internal=False)
    monkeypatch.setattr(resolving, "getaddrinfo", resolve)
    first = await guarded.send(message(f"http://hooks.example:{receiver.port}/"))
    second = await guarded.send(message(f"http://hooks.example:{receiver.port}/"))
    await guarded.close()
    assert asked == 2
    for answer, address in ((first, "192.0.2.1"), (second, "127.0.0.1")):
        assert answer.error == f"hooks.example leads to an address that is not public ({address}); receivers must be on the public internet"
    assert receiver.heard == []


async def test_tls_and_host_go_by_the_name_though_the_connection_goes_by_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(_: str, port: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    serving, trusting = certified("hooks.example", tmp_path)
    async with Receiver().open(serving) as receiver:
        sender = WebhookSender(allow_internal=True, trust=trusting)
        monkeypatch.setattr(resolving, "getaddrinfo", resolve)
        assert await sender.send(message(f"https://hooks.example:{receiver.port}/")) == Answer(status=200)
        other = await sender.send(message(f"https://other.example:{receiver.port}/"))
        await sender.close()
    assert receiver.names == ["hooks.example", "other.example"]
    assert receiver.heard[0].headers["host"] == f"hooks.example:{receiver.port}"
    assert other.status is None
    assert other.error is not None
    assert "certificate" in other.error.lower()
    assert len(receiver.heard) == 1


def certified(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A certificate for a name: to serve with, and to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(wall_clock() - timedelta(days=1))
        .not_valid_after(wall_clock() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(IPv4Address("127.0.0.2"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(pem))
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(path)
    return serving, ssl.create_default_context(cadata=certificate.public_bytes(pem).decode())


# Retries and order ----------------------------------------------------------------------------------------------------------------


async def test_a_failing_event_is_retried_by_the_schedule_then_parked_and_the_next_goes_out(story: Story) -> None:
    first, second, third = await story.tell(("cus_ada", 1), ("cus_ada", 2), ("cus_ada", 3))
    story.receiver.reply = refuse(("cus_ada", 1))
    for minutes in (0, 5, 10, 20, 40, 80):
        if minutes:
            await story.wait(minutes=minutes, seconds=-1)
            assert not await story.is_due()
            assert await story.deliver() == 0
            await story.wait(seconds=1)
        assert await story.is_due()
        assert await story.deliver() == 1
    assert [heard.headers["webhook-id"] for heard in story.receiver.heard] == [first] * 6
    assert len({heard.body for heard in story.receiver.heard}) == 1
    assert await story.states() == ["parked", "waiting", "waiting"]
    assert await story.deliver_all() == 2
    assert [heard.headers["webhook-id"] for heard in story.receiver.heard[6:]] == [second, third]
    assert await story.states() == ["parked", "delivered", "delivered"]
    await story.wait(days=30)
    assert await story.deliver() == 0
    row = (await story.rows())[0]
    assert (row["attempts"], row["last_status"], row["last_error"]) == (6, 500, "answered 500; only 200 counts as received")


async def test_one_customers_trouble_is_not_anothers(story: Story) -> None:
    await story.tell(("cus_ada", 1), ("cus_ada", 2), ("cus_bob", 1), ("cus_bob", 2))
    story.receiver.reply = refuse(("cus_ada", 1))
    assert await story.deliver_all() == 3
    assert sorted(story.receiver.keys) == [("cus_ada", 1), ("cus_bob", 1), ("cus_bob", 2)]
    assert len({row["wake_at"] for row in await story.rows() if row["customer_id"] == "cus_ada"}) == 1, "who waits behind sleeps as long"
    await story.tell(("cus_ada", 3), ("cus_bob", 3))
    assert await story.deliver_all() == 1
    assert not await story.is_due(), "what waits behind another is not looked at again and again"
    story.receiver.reply = accept
    await story.wait(minutes=5)
    assert await story.deliver_all() == 3
    assert story.receiver.keys[-4:] == [("cus_bob", 3), ("cus_ada", 1), ("cus_ada", 2), ("cus_ada", 3)]


async def test_two_endpoints_do_not_wait_for_each_other(story: Story) -> None:
    async with Receiver().open() as broken:
        broken.reply = refuse()
        await story.add_endpoint(broken.url)
        await story.tell(("cus_ada", 1), ("cus_ada", 2))
        await story.deliver_all()
        assert (story.receiver.keys, broken.keys) == ([("cus_ada", 1), ("cus_ada", 2)], [("cus_ada", 1)])


async def test_a_long_queue_of_one_customer_goes_out_in_order_however_small_the_batch(story: Story) -> None:
    await story.tell(*(("cus_ada", number) for number in range(1, 41)))
    sent = 0
    while (now_sent := await story.deliver(limit=3)) > 0:
        assert now_sent == 1
        sent += now_sent
    assert sent == 40
    assert story.receiver.keys == [("cus_ada", number) for number in range(1, 41)]


async def test_the_health_of_an_endpoint(story: Story) -> None:
    story.receiver.reply = refuse(code=503)
    await story.tell(("cus_ada", 1), ("cus_bob", 1))
    await story.deliver()
    await story.wait(minutes=5)
    await story.deliver()
    sick = await story.endpoint()
    assert (sick.failures, sick.last_failure_at, sick.last_success_at) == (4, story.now, None)
    assert sick.last_error == "answered 503; only 200 counts as received"
    story.receiver.reply = accept
    await story.wait(minutes=10)
    await story.deliver()
    well = await story.endpoint()
    assert (well.failures, well.last_success_at, well.last_failure_at) == (0, story.now, NOON + timedelta(minutes=5))


# Many at once, and crashes --------------------------------------------------------------------------------------------------------


async def test_two_workers_send_each_event_once_and_each_customers_in_order(story: Story, database_url: str) -> None:
    customers, length = 60, 5
    await story.tell(*((f"cus_{customer}", number) for customer in range(customers) for number in range(1, length + 1)))
    other = Story(await Database.open(database_url, connections=4), story.receiver, story.sender)
    other.project_id = story.project_id

    async def work(worker: Story) -> int:
        sent, idle = 0, 0
        while idle < 5:
            now_sent = await worker.deliver(limit=17)
            sent, idle = sent + now_sent, 0 if now_sent else idle + 1
            await asyncio.sleep(0 if now_sent else 0.02)
        return sent

    counts = await asyncio.gather(work(story), work(other), work(story))
    await other.database.close()
    assert sum(counts) + await story.deliver_all() == customers * length
    assert len(story.receiver.keys) == customers * length
    heard: defaultdict[str, list[int]] = defaultdict(list)
    for customer, number in story.receiver.keys:
        heard[customer].append(number)
    assert all(numbers == list(range(1, length + 1)) for numbers in heard.values())


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(2, 12))])
async def test_whatever_fails_no_event_overtakes_an_earlier_open_one(story: Story, seed: int) -> None:
    """Receivers that fail by dice, workers side by side, until nothing is open."""
    closed: set[tuple[str, int]] = set()
    tries: defaultdict[tuple[str, int], int] = defaultdict(int)
    overtaken: list[int] = []

    async def by_dice(heard: Heard) -> bytes:
        customer, number = heard.key
        tries[heard.key] += 1
        overtaken.extend(before for before in range(1, number) if (customer, before) not in closed)
        is_good = sha256(f"{seed} {heard.key} {tries[heard.key]}".encode()).digest()[0] < 110
        if is_good or tries[heard.key] == 6:
            closed.add(heard.key)
        return status(200 if is_good else 500)

    story.receiver.reply = by_dice
    keys = [(f"cus_{customer}", number) for number in range(1, 6) for customer in range(12)]
    await story.tell(*keys[:30])
    await story.deliver()
    await story.tell(*keys[30:])
    while any(row["wake_at"] for row in await story.rows()):
        while any(await asyncio.gather(story.deliver(limit=7), story.deliver(limit=5), story.deliver())):
            pass
        await story.wait(minutes=5)
    assert overtaken == []
    assert set(tries) == set(keys)
    assert all(row["attempts"] == tries[row["customer_id"], row["sequence"]] for row in await story.rows())


async def test_a_crash_between_claim_and_record_sends_again_after_the_lease_with_the_same_id(story: Story) -> None:
    (event_id,) = await story.tell(("cus_ada", 1))
    entered = 0

    def crash(statement: str) -> None:
        nonlocal entered
        entered += statement == "ENTER"
        if entered == 2:
            raise ConnectionAbortedError("the power went out")

    story.database.before_statement = crash
    with pytest.raises(Unavailable):
        await story.deliver()
    story.database.before_statement = None
    assert len(story.receiver.heard) == 1
    await story.wait(seconds=89)
    assert await story.deliver() == 0
    await story.wait(seconds=1)
    assert await story.deliver() == 1
    first, second = story.receiver.heard
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == event_id
    assert first.body == second.body
    assert await story.states() == ["delivered"]
    assert (await story.rows())[0]["attempts"] == 2


async def test_who_records_after_their_lease_changes_nothing(story: Story) -> None:
    """A slow worker comes back when another has taken over: its late failure must not undo the other's success."""
    await story.tell(("cus_ada", 1), ("cus_ada", 2))

    async def slow_then_fail(_: Heard) -> bytes:
        story.receiver.reply = accept
        await story.wait(seconds=90)
        assert await story.deliver() == 1
        return status(500)

    story.receiver.reply = slow_then_fail
    await story.deliver()
    assert await story.states() == ["delivered", "waiting"]
    assert await story.deliver() == 1
    assert await story.states() == ["delivered", "delivered"]


async def test_a_silent_endpoint_rests_and_others_are_served(story: Story) -> None:
    async with Receiver().open() as silent:
        silent.reply = babble
        silent_id = await story.add_endpoint(silent.url)
        await story.tell(*((f"cus_{number}", 1) for number in range(100)))
        assert await story.deliver() == 100 + len(silent.heard)
    assert len(story.receiver.heard) == 100
    assert 5 <= len(silent.heard) <= 14, "ten at once, and as many as got in while the first five fell silent"
    of_silent = [row for row in await story.rows() if row["endpoint_id"] == silent_id]
    assert sorted({(row["attempts"], row["wake_at"]) for row in of_silent}) == [(0, NOON + timedelta(minutes=1)), (1, NOON + timedelta(minutes=5))]


async def test_one_secret_that_does_not_open_steps_aside(story: Story, sender: WebhookSender) -> None:
    await story.tell(("cus_ada", 1))
    with capture_logs() as logs:
        assert await events.deliver_due(story.database, story.project_id, Vault(random_bytes(32)), sender) == 1
    assert story.receiver.heard == []
    assert await story.states() == ["retrying"]
    assert "does not open" in logs[0]["error"]


async def test_a_failure_is_logged_without_secrets(story: Story) -> None:
    async def echo(heard: Heard) -> bytes:
        said = f"go away, {heard.headers['authorization']}"
        return f"HTTP/1.1 401 {said}\r\nContent-Length: {len(said)}\r\n\r\n{said}".encode()

    (event_id,) = await story.tell(("cus_ada", 1))
    story.receiver.reply = echo
    with capture_logs() as logs:
        await story.deliver()
    (line,) = logs
    expected = {"event": "event not delivered", "event_id": event_id, "endpoint_id": story.endpoint_id, "status": 401, "attempt": 1}
    assert expected.items() <= line.items()
    kept = f"{line} {await story.rows()} {await story.endpoint()}"
    assert "401" in kept
    assert "s3cr3t" not in kept
    assert story.secret not in kept
    assert story.receiver.url not in f"{line}"


# Again, and for a try -------------------------------------------------------------------------------------------------------------


async def test_a_parked_event_is_sent_again_when_asked_with_the_same_id(story: Story) -> None:
    (event_id,) = await story.tell(("cus_ada", 1))
    story.receiver.reply = refuse()
    for minutes in (0, 5, 10, 20, 40, 80):
        await story.wait(minutes=minutes)
        await story.deliver()
    assert await story.states() == ["parked"]
    story.receiver.reply = accept
    async with story.database.transaction(story.project_id) as tx:
        assert await events.replay(tx, story.endpoint_id, event_ids=[event_id]) == 1
    assert await story.deliver() == 1
    assert {heard.headers["webhook-id"] for heard in story.receiver.heard} == {event_id}
    assert (await story.rows())[0]["attempts"] == 1


async def test_history_is_told_to_a_new_endpoint_in_each_customers_order(story: Story) -> None:
    keys = [(f"cus_{customer}", number) for number in range(1, 6) for customer in range(7)]
    for start in range(0, len(keys), 5):
        await story.tell(*keys[start : start + 5])
        await story.wait(hours=1)
    await story.deliver_all()
    async with Receiver().open() as late:
        endpoint_id = await story.add_endpoint(late.url)
        async with story.database.transaction(story.project_id) as tx:
            assert await events.replay(tx, endpoint_id, since=NOON) == len(keys)
        assert await story.deliver_all() == len(keys)
    for customer in {customer for customer, _ in keys}:
        assert [number for heard, number in late.keys if heard == customer] == [1, 2, 3, 4, 5]
    assert len(story.receiver.heard) == len(keys), "the other endpoint hears nothing twice"


async def test_a_test_event_arrives_at_one_endpoint_alone(story: Story) -> None:
    async with Receiver().open() as other:
        await story.add_endpoint(other.url)
        async with story.database.transaction(story.project_id) as tx:
            event_id = await events.send_test(tx, story.endpoint_id)
        assert await story.deliver_all() == 1
        assert other.heard == []
    (heard,) = story.receiver.heard
    assert (heard.event["type"], heard.event["id"], heard.event["environment"]) == ("TEST", event_id, "SANDBOX")
    Webhook(story.secret).verify(heard.body, dict(heard.headers))


async def test_after_a_failed_test_the_next_one_goes_out_at_once(story: Story) -> None:
    story.receiver.reply = refuse()
    for _ in range(2):
        async with story.database.transaction(story.project_id) as tx:
            await events.send_test(tx, story.endpoint_id)
        assert await story.deliver() == 1
        story.receiver.reply = accept
    assert await story.states() == ["parked", "delivered"]


async def test_a_round_takes_as_many_statements_for_many_deliveries_as_for_one(story: Story) -> None:
    statements: list[str] = []
    counts = []
    for count in (1, 300):
        await story.tell(*((f"cus_{count}_{number}", 1) for number in range(count)))
        statements.clear()
        story.database.before_statement = statements.append
        assert await story.deliver() == count
        story.database.before_statement = None
        counts.append(len([statement for statement in statements if statement not in ("ENTER", "COMMIT")]))
    assert counts == [8, 8]


# Its secret, and pausing it -------------------------------------------------------------------------------------------------------


def signed_by(heard: Heard) -> Callable[[str], bool]:
    """Which secrets a receiver may have to find its signature."""

    def is_signed(secret: str) -> bool:
        try:
            Webhook(secret).verify(heard.body, dict(heard.headers))
        except WebhookVerificationError:
            return False
        return True

    return is_signed


async def test_the_secret_belongs_to_the_endpoint(story: Story) -> None:
    async with Receiver().open() as other, story.database.transaction(story.project_id) as tx:
        _, secret = await events.create_endpoint(tx, VAULT, name="Another", url=other.url)
        await events.append(tx, [happening("cus_ada", 1)])
    assert secret != story.secret
    async with story.database.transaction(story.project_id) as tx:
        await events.update_endpoint(tx, VAULT, [one.endpoint_id for one in await events.list_endpoints(tx)][1], url=story.receiver.url)
    assert await story.deliver_all() == 2
    signed = [[signed_by(heard)(one) for one in (story.secret, secret)] for heard in story.receiver.heard]
    assert sorted(signed) == [[False, True], [True, False]]


async def test_after_a_rotation_both_secrets_are_valid_for_a_day(story: Story) -> None:
    async with story.database.transaction(story.project_id) as tx:
        endpoint, second = await events.rotate_secret(tx, VAULT, story.endpoint_id)
    assert second.startswith("whsec_") and second != story.secret
    assert endpoint.former_until == NOON + timedelta(days=1) == (await story.endpoint()).former_until
    for hours, expected in ((0, [True, True]), (23.9, [True, True]), (0.1, [False, True])):
        await story.wait(hours=hours)
        await story.tell(("cus_ada", len(story.receiver.heard) + 1))
        await story.deliver()
        is_signed = signed_by(story.receiver.heard[-1])
        assert [is_signed(story.secret), is_signed(second)] == expected, hours
    assert [len(heard.headers["webhook-signature"].split(" ")) for heard in story.receiver.heard] == [2, 2, 1]


async def test_a_secret_in_wrong_hands_signs_no_more_and_of_two_rotations_the_last_two_sign(story: Story) -> None:
    async with story.database.transaction(story.project_id) as tx:
        _, second = await events.rotate_secret(tx, VAULT, story.endpoint_id)
        _, third = await events.rotate_secret(tx, VAULT, story.endpoint_id)
    await story.tell(("cus_ada", 1))
    await story.deliver()
    assert [signed_by(story.receiver.heard[-1])(one) for one in (story.secret, second, third)] == [False, True, True]
    async with story.database.transaction(story.project_id) as tx:
        _, fourth = await events.rotate_secret(tx, VAULT, story.endpoint_id, keeps_former=False)
        kept = await tx.fetch_one("SELECT former_secret, former_until FROM endpoint")
    assert kept is not None and set(kept.values()) == {None}
    await story.tell(("cus_ada", 2))
    await story.deliver()
    assert [signed_by(story.receiver.heard[-1])(one) for one in (second, third, fourth)] == [False, False, True]


async def test_a_paused_endpoint_is_told_in_order_once_it_is_resumed(story: Story) -> None:
    async with Receiver().open() as other:
        await story.add_endpoint(other.url)
        async with story.database.transaction(story.project_id) as tx:
            assert (await events.pause_endpoint(tx, story.endpoint_id)).paused_at == NOON
        await story.tell(("cus_ada", 1), ("cus_ada", 2), ("cus_bob", 1))
        assert await story.deliver_all() == 3
        assert (story.receiver.heard, len(other.heard)) == ([], 3)
        async with story.database.transaction(story.project_id) as tx:
            with pytest.raises(Conflict, match="resume it first"):
                await events.send_test(tx, story.endpoint_id)
        await story.wait(days=3)
        async with story.database.transaction(story.project_id) as tx:
            late = next(one for one in INVARIANTS if one.name == "nothing-is-late")
            assert await tx.fetch(late.query, late=story.now) == [], "nobody is late"  # type: ignore[arg-type]
            assert (await events.resume_endpoint(tx, story.endpoint_id)).paused_at is None
        assert await story.deliver_all() == 3
    assert [key for key in story.receiver.keys if key[0] == "cus_ada"] == [("cus_ada", 1), ("cus_ada", 2)]


async def test_a_project_has_so_many_endpoints_and_no_more(story: Story) -> None:
    async with story.database.transaction(story.project_id) as tx:
        for _ in range(MOST_ENDPOINTS - 2):
            await events.create_endpoint(tx, VAULT, name="Hooks", url="https://example.com")

    async def make() -> str:
        try:
            await story.add_endpoint("https://example.com")
        except Conflict as refusal:
            return refusal.message
        return "made"

    refusal = "a project has at most 100 webhooks and integrations; delete one first"
    assert sorted(await asyncio.gather(*(make() for _ in range(4)))) == [refusal, refusal, refusal, "made"]

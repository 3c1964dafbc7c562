"""Runs an installation under load while it is broken, one act after another, and counts what it lost. On a machine of one's own only.

    python -m tools.faults [--seconds 8] [--acts kill-worker,tarpits] [--markdown]

A PostgreSQL, a server with two processes and a worker are started, each started anew when it ends, as an init system would. Meanwhile
purchases are posted as a device posts them, again until they are acknowledged; a neighbour reads a customer; a receiver takes webhooks. In the
end every acknowledged purchase must be there once, have been told once, and every invariant of `perennial check` hold. Ends with 1 where not.

An act needs what it names: `disk-full` a small file system, which only root may mount. What cannot be tried is said, and left out.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

from perennial import catalog, events, invariants
from perennial.app import App, open_app
from perennial.base.ids import ProjectId, new_id
from perennial.base.migrate import migrate
from perennial.base.money import Money
from perennial.base.secrets import Secret
from perennial.base.time import perf_counter, wall_clock
from perennial.base.value import replace
from perennial.postgres import EmbeddedPostgres
from perennial.settings import Settings

TARPITS = 50
SILENT, HALF, DRIP = 2048, 200, 100
WRITERS = 4
READ_PACE = 0.02  # seconds between a neighbour's reads
DRAIN_LIMIT = 180  # seconds, for what is on its way when the last act is over
DISK = 768  # MB of the small file system
NEIGHBOUR_LIMIT = 0.1  # seconds: the 99th percentile of what is answered
_ENVIRONMENT = {"PERENNIAL_ALLOW_INTERNAL_WEBHOOKS": "1", "PERENNIAL_RATE_LIMITS": "off", "HOST": "127.0.0.1", "WEB_CONCURRENCY": "2"}


@dataclass
class Measured:
    """One act: a neighbour's reads, and what was acknowledged meanwhile."""

    name: str
    reads: list[float] = field(default_factory=list)
    failed_reads: int = 0
    acknowledged: int = 0
    refused: int = 0
    memory: int = 0

    @property
    def p99(self) -> float:
        ordered = sorted(self.reads)
        return ordered[len(ordered) * 99 // 100] if ordered else 0.0

    def row(self) -> list[str]:
        return [
            self.name,
            f"{len(self.reads):,}",
            f"{self.failed_reads:,}",
            f"{self.p99 * 1000:.1f}",
            f"{self.acknowledged:,}",
            f"{self.refused:,}",
            f"{self.memory}",
        ]


HEADER = ("act", "reads answered", "not answered", "p99 ms", "writes acknowledged", "tries refused", "memory MB")


class Machine:
    """The processes, each started anew when it ends."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = _free_port()
        self.url = self.owner_url = ""  # of server and worker; of who owns the tables
        self.postgres: EmbeddedPostgres | None = None
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.is_ending = False
        self._log = (home / "processes.log").open("ab")
        self._postgres_port = _free_port()

    async def start(self) -> None:
        await self.start_postgres()
        await migrate(self.owner_url)
        for name in ("serve", "worker"):
            self.start_process(name)

    async def start_postgres(self) -> None:
        self.postgres = await EmbeddedPostgres.start(self.home, port=self._postgres_port, settings={"max_connections": "60"})
        self.url, self.owner_url = self.postgres.server_url, self.postgres.url

    def start_process(self, name: str) -> None:
        environment = {**os.environ, **_ENVIRONMENT, "DATABASE_URL": self.url, "PERENNIAL_HOME": str(self.home), "PORT": str(self.port)}
        command = [sys.executable, "-m", "perennial", name]
        self.processes[name] = subprocess.Popen(command, env=environment, stdout=self._log, stderr=self._log, start_new_session=True)

    async def keep(self) -> None:
        """Starts what has ended, a second later."""
        while not self.is_ending:
            await asyncio.sleep(1)
            if self.postgres is not None and self.postgres.ended() is not None and not self.is_ending:
                with contextlib.suppress(Exception):
                    await self.postgres.stop()
                with contextlib.suppress(Exception):
                    await self.start_postgres()
            for name, process in list(self.processes.items()):
                if process.poll() is not None and not self.is_ending:
                    self.start_process(name)

    async def stop(self) -> None:
        self.is_ending = True
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                await asyncio.to_thread(process.wait, 30)
            except subprocess.TimeoutExpired:
                process.kill()
        if self.postgres is not None:
            await self.postgres.stop()
        self._log.close()

    def memory(self) -> int:
        """MB of server and worker, with their children."""
        total = 0
        for process in self.processes.values():
            with contextlib.suppress(psutil.Error):
                parent = psutil.Process(process.pid)
                total += sum(one.memory_info().rss for one in (parent, *parent.children(recursive=True)))
        return total // 1024 // 1024

    def children_of(self, name: str) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self.processes[name].pid).children(recursive=True)
        return []

    def postmaster(self) -> psutil.Process:
        pid = int((next(self.home.rglob("postmaster.pid"))).read_text().split()[0])
        return psutil.Process(pid)


class Receiver:
    """Answers webhooks at once, and remembers which it took."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.bodies: dict[str, str] = {}
        self.changed = 0  # an id that came with another body
        self.url = self.owner_url = ""  # of server and worker; of who owns the tables

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                event = json.loads(await reader.readexactly(length))["event"]
                self._take(event["id"], event.get("transaction_id") or "")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        writer.close()

    def _take(self, event_id: str, transaction: str) -> None:
        self.changed += self.bodies.setdefault(event_id, transaction) != transaction
        self.taken[event_id] += 1


@dataclass
class Shop:
    """Two projects: one that sells, reads and is told; one whose receivers never answer."""

    project_id: ProjectId
    key: str
    hostile_id: ProjectId
    hostile_key: str
    endpoint_ids: list[str]


async def set_up(app: App, good_url: str, tarpit_url: str) -> Shop:
    made = []
    for name, urls in (("Neighbour", [good_url]), ("Hostile", [tarpit_url] * TARPITS)):
        project_id = ProjectId(new_id("proj", wall_clock()))
        async with app.database.transaction(project_id) as tx:
            await catalog.create_project(tx, name)
            seller, key = await catalog.create_app(tx, app.vault, name="Shop", store="test_store")
            await catalog.create_product(
                tx, app_id=seller.app_id, store_identifier="coins", type="consumable", prices=[Money(amount=99, currency="USD")]
            )
            endpoints = [(await events.create_endpoint(tx, app.vault, name=f"Receiver {number}", url=url))[0] for number, url in enumerate(urls)]
        made.append((project_id, key.public_key or "", [one.endpoint_id for one in endpoints]))
    (project_id, key, _), (hostile_id, hostile_key, endpoint_ids) = made
    return Shop(project_id=project_id, key=key, hostile_id=hostile_id, hostile_key=hostile_key, endpoint_ids=endpoint_ids)


# Load -----------------------------------------------------------------------------------------------------------------------


class Load:
    """Writers that post until they are acknowledged, and a neighbour that reads."""

    def __init__(self, machine: Machine, shop: Shop) -> None:
        self.machine, self.shop = machine, shop
        self.acknowledged: dict[str, str] = {}  # token -> customer
        self.now = Measured("")
        self.is_ending = False

    async def write(self, number: int) -> None:
        count = 0
        while not self.is_ending:
            count += 1
            token, customer = f"test_{number}_{count}", f"buyer-{number}-{count % 50}"
            while not await self.post(self.shop.key, customer, token):
                self.now.refused += 1
                await asyncio.sleep(0.2)
                if self.is_ending:
                    return
            self.acknowledged[token] = customer
            self.now.acknowledged += 1

    async def post(self, key: str, customer: str, token: str) -> bool:
        body = json.dumps({"app_user_id": customer, "fetch_token": token, "product_id": "coins"}).encode()
        head = f"POST /v1/receipts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        return await self._ask(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body) is not None

    async def read(self) -> None:
        request = (
            f"GET /v1/subscribers/neighbour HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.shop.key}\r\nConnection: close\r\n\r\n"
        ).encode()
        while not self.is_ending:
            measured = self.now
            took = await self._ask(request)
            if took is None:
                measured.failed_reads += 1
            else:
                measured.reads.append(took)
            await asyncio.sleep(READ_PACE)

    async def _ask(self, request: bytes) -> float | None:
        """How long it took, or None where it was not answered with 2xx."""
        began = perf_counter()
        try:
            async with asyncio.timeout(15):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.machine.port)
                try:
                    writer.write(request)
                    status = await reader.readline()
                    return perf_counter() - began if status[9:10] == b"2" else None
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError):
            return None


# Acts -----------------------------------------------------------------------------------------------------------------------

Act = Callable[[Machine, Load, float], Awaitable[None]]


async def nothing(machine: Machine, load: Load, seconds: float) -> None:
    await asyncio.sleep(seconds)


async def kill_server_process(machine: Machine, load: Load, seconds: float) -> None:
    for child in machine.children_of("serve")[-1:]:
        child.kill()
    await asyncio.sleep(seconds)


async def kill_server(machine: Machine, load: Load, seconds: float) -> None:
    machine.processes["serve"].kill()
    await asyncio.sleep(seconds)


async def kill_worker(machine: Machine, load: Load, seconds: float) -> None:
    machine.processes["worker"].kill()
    await asyncio.sleep(seconds)


async def kill_postgres(machine: Machine, load: Load, seconds: float) -> None:
    machine.postmaster().kill()
    await asyncio.sleep(seconds)


async def kill_everything(machine: Machine, load: Load, seconds: float) -> None:
    machine.postmaster().kill()
    for process in machine.processes.values():
        process.kill()
    await asyncio.sleep(seconds)


async def stop_postgres(machine: Machine, load: Load, seconds: float) -> None:
    """As a dead network looks: it takes connections, and says nothing."""
    postmaster = machine.postmaster()
    stopped = [postmaster, *postmaster.children(recursive=True)]
    for one in stopped:
        with contextlib.suppress(psutil.Error):
            one.suspend()
    await asyncio.sleep(seconds / 2)
    for one in stopped:
        with contextlib.suppress(psutil.Error):
            one.resume()
    await asyncio.sleep(seconds / 2)


async def exhaust_connections(machine: Machine, load: Load, seconds: float) -> None:
    taken = []
    with contextlib.suppress(asyncpg.PostgresError, OSError):
        while len(taken) < 100:
            taken.append(await asyncpg.connect(machine.owner_url, timeout=5))
    await asyncio.sleep(seconds / 2)
    for connection in taken:
        connection.terminate()
    await asyncio.sleep(seconds / 2)


async def silent_connections(machine: Machine, load: Load, seconds: float) -> None:
    """Held by a process of its own, so that what it takes to hold them is not measured as the server's."""
    held = (("--silent", SILENT), ("--half", HALF), ("--drip", DRIP), ("--seconds", int(seconds)))
    arguments = [str(part) for pair in held for part in pair]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.silent_connections", f"http://127.0.0.1:{machine.port}", "--key", load.shop.key, *arguments),
        stdout=asyncio.subprocess.DEVNULL,
    )
    await process.wait()


async def tarpits(machine: Machine, load: Load, seconds: float) -> None:
    """Fifty receivers of another project that never answer, with events for each."""
    for number in range(20):
        await load.post(load.shop.hostile_key, f"victim-{number}", f"test_hostile_{number}_{new_id('t', wall_clock())}")
    await asyncio.sleep(seconds)


async def fill_disk(machine: Machine, load: Load, seconds: float) -> None:
    filler = machine.home / "filler"
    try:
        with filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 1024 * 1024)
                file.flush()
        await asyncio.sleep(seconds / 2)
    finally:
        filler.unlink(missing_ok=True)
    await asyncio.sleep(seconds / 2)


ACTS: Mapping[str, Act] = {
    "nothing": nothing,
    "tarpits": tarpits,
    "silent-connections": silent_connections,
    "kill-worker": kill_worker,
    "kill-server-process": kill_server_process,
    "kill-server": kill_server,
    "kill-postgres": kill_postgres,
    "kill-everything": kill_everything,
    "stop-postgres": stop_postgres,
    "exhaust-connections": exhaust_connections,
    "disk-full": fill_disk,
}
# What keeps the database or the server away altogether keeps reads away too: only how fast they are when answered is looked at.
_WATCHED = ("nothing", "tarpits", "silent-connections", "kill-worker", "exhaust-connections")


# Running --------------------------------------------------------------------------------------------------------------------


async def play(arguments: argparse.Namespace, home: Path) -> list[str]:
    """The problems found; prints a table."""
    machine = Machine(home)
    receiver, tarpit = Receiver(), _Tarpit()
    good = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    bad = await asyncio.start_server(tarpit.serve, "127.0.0.1", 0, backlog=1024)
    await machine.start()
    keeper = asyncio.create_task(machine.keep())
    measured: list[Measured] = []
    try:
        settings = replace(Settings.read(), home=home, database_url=Secret(machine.url))
        async with open_app(settings, connections=2) as app:
            shop = await set_up(app, _url(good), _url(bad))
        load = Load(machine, shop)
        await _until_answered(load)
        tasks = [asyncio.create_task(load.write(number)) for number in range(WRITERS)] + [asyncio.create_task(load.read())]
        for name in arguments.acts:
            measured += [await _act(name, machine, load, arguments.seconds)]
        load.is_ending = True
        await asyncio.gather(*tasks)
        await _until_answered(load)
        async with open_app(settings, connections=4) as app:
            return [*_slow(measured), *await verify(app, load, receiver)]
    finally:
        keeper.cancel()
        await machine.stop()
        good.close()
        bad.close()
        _print(measured, is_markdown=arguments.markdown)


async def _act(name: str, machine: Machine, load: Load, seconds: float) -> Measured:
    load.now = measured = Measured(name)
    watch = asyncio.create_task(_watch_memory(machine, measured))
    await ACTS[name](machine, load, seconds)
    await _until_answered(load)
    watch.cancel()
    return measured


async def _watch_memory(machine: Machine, measured: Measured) -> None:
    while True:
        measured.memory = max(measured.memory, machine.memory())
        await asyncio.sleep(0.5)


async def _until_answered(load: Load) -> None:
    began = perf_counter()
    while not await load.post(load.shop.key, "neighbour", "test_first"):
        await asyncio.sleep(0.2)
        if perf_counter() - began > 60:
            raise SystemExit(f"the server did not come back within a minute; see {load.machine.home / 'processes.log'}")


class _Tarpit:
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(65536):
                pass


def _url(server: asyncio.Server) -> str:
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


# Verifying ------------------------------------------------------------------------------------------------------------------


async def verify(app: App, load: Load, receiver: Receiver) -> list[str]:
    """What was acknowledged must be there once and have been told; nothing may have been told under two ids, or one id with two contents."""
    project_id = load.shop.project_id
    async with app.database.transaction(project_id) as tx:
        rows = await tx.fetch("SELECT transaction, count(*) AS times FROM purchase GROUP BY transaction")
        told = await tx.fetch("SELECT event_id, body->>'transaction_id' AS transaction FROM event")
    held = {row["transaction"]: row["times"] for row in rows}
    transactions = Counter(row["transaction"] for row in told)
    problems = [f"acknowledged and not there: {token}" for token in load.acknowledged if token not in held]
    problems += [f"there {times} times: {token}" for token, times in held.items() if times != 1]
    problems += [f"told {times} times: {token}" for token, times in transactions.items() if times != 1]
    wanted = {row["event_id"] for row in told}
    began = perf_counter()
    while wanted - receiver.taken.keys() and perf_counter() - began < DRAIN_LIMIT:
        await asyncio.sleep(0.5)
    problems += [f"not delivered: {event_id}" for event_id in wanted - receiver.taken.keys()]
    if receiver.changed:
        problems.append(f"{receiver.changed} deliveries had the id of another event")
    problems += [f"invariant: {one}" for one in await invariants.run(app.database, project_id) if one.level == "error"]
    doubled = sum(times - 1 for times in receiver.taken.values())
    print(f"{len(load.acknowledged):,} writes acknowledged, {len(wanted):,} events delivered, {doubled:,} of them again with the same id")
    return problems


def _slow(measured: Sequence[Measured]) -> list[str]:
    return [
        f"{one.name}: a neighbour's reads took {one.p99 * 1000:.0f} ms (p99)"
        for one in measured
        if one.name in _WATCHED and one.p99 > NEIGHBOUR_LIMIT
    ]


def _print(measured: Sequence[Measured], *, is_markdown: bool) -> None:
    rows = [list(HEADER), *(one.row() for one in measured)]
    if is_markdown:
        print("\n".join(["| " + " | ".join(row) + " |" for row in [rows[0], ["---"] * len(HEADER), *rows[1:]]]))
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


# Where --------------------------------------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def _home(acts: list[str]) -> AsyncIterator[Path]:
    """On a small file system where one can be mounted; else the full disk is left out."""
    with tempfile.TemporaryDirectory(prefix="perennial-faults-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        is_small = False
        if "disk-full" in acts:
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m,mode=755", "tmpfs", folder], capture_output=True)
            is_small = mounted.returncode == 0
            if not is_small:
                acts.remove("disk-full")
                print("disk-full is left out: a small file system cannot be mounted here (only root may)")
        try:
            yield home
        finally:
            if is_small:
                subprocess.run(["umount", "--lazy", folder], check=False)


async def run(arguments: argparse.Namespace) -> int:
    async with _home(arguments.acts) as home:
        problems = await play(arguments, home)
    print("\n".join(problems[:50]) or "nothing was lost, and nothing doubled")
    return 1 if problems else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8, help="of each act")
    parser.add_argument("--acts", default=",".join(ACTS), help=f"of {', '.join(ACTS)}")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    arguments.acts = arguments.acts.split(",")
    if unknown := [name for name in arguments.acts if name not in ACTS]:
        parser.error(f"no act {unknown[0]!r}; there are {', '.join(ACTS)}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 65536, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    return asyncio.run(run(arguments))


if __name__ == "__main__":
    sys.exit(main())

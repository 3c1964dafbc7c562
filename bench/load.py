"""The load generator: `python -m bench.load`, a process of its own that is much cheaper than any server it measures.

Raw non-blocking sockets, epoll where there is one, HTTP/1.1 with keep-alive, requests made beforehand. Of an answer it reads the status
and the length, and now and then that it is about whom was asked. A `Plan` comes in on standard input, an `Outcome` goes out.

Closed loop: every connection sends its next request when it has its answer. Open loop (`rate`): requests are due at constant intervals
whether or not the server keeps up, and latency counts from when each was due, so that a server that stalls cannot hide it.
"""

import asyncio
import os
import random
import resource
import selectors
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import msgspec

from perennial.base.time import perf_counter

CHECKED = 64  # every so many answers, the body is looked into
ENDLESS = 3600.0
# Seconds. What becomes due within one is sent together, later than due by up to as much: to wake for each would cost a third of a processor.
TICK = 0.001
PATIENCE = 10.0  # seconds


class Plan(msgspec.Struct, kw_only=True):
    port: int
    head: str = ""  # a request is head + id + tail
    tail: str = ""
    ids: tuple[int, int] = (0, 0)  # from, and up to but not including
    seed: int = 0
    requests: str | None = None  # instead: a file of ready requests, each sent once
    expected: str | None = None  # stands before the id in the answer
    connections: int = 32
    warm_up: float = 0.5  # seconds
    seconds: float = 3.0
    rate: float | None = None


class Outcome(msgspec.Struct, kw_only=True):
    answers: int
    seconds: float
    processor_seconds: float
    bytes_per_answer: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    most_ms: float = 0.0
    stolen: float = 0.0  # the part of all processors' time that the machine gave to others, where it says

    @property
    def rate(self) -> float:
        return self.answers / self.seconds

    @property
    def cost_us(self) -> float:
        """Of the generator's own processor time per request."""
        return self.processor_seconds / self.answers * 1e6


async def measure(plan: Plan) -> Outcome:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    answer, _ = await process.communicate(msgspec.json.encode(plan))
    if process.returncode:
        raise RuntimeError("the load generator gave up; what it said is above")
    return msgspec.json.decode(answer, type=Outcome)


class Connection:
    __slots__ = ("asked", "due_at", "receive", "rest", "send")

    def __init__(self, port: int) -> None:
        opened = socket.create_connection(("127.0.0.1", port), timeout=10)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setblocking(False)
        self.send: Callable[[bytes], int] = opened.send
        self.receive: Callable[[int], bytes] = opened.recv
        self.rest = b""
        self.asked = b""
        self.due_at = 0.0


class Generator:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.answers = 0
        self.bytes = 0
        self.latencies: list[float] = []
        self.expected = plan.expected.encode() if plan.expected is not None else None
        self.requests = _requests(plan)
        self.selector = selectors.DefaultSelector()
        self.connections = [Connection(plan.port) for _ in range(plan.connections)]
        for one in self.connections:
            descriptor = one.receive.__self__  # type: ignore[attr-defined]
            self.selector.register(descriptor, selectors.EVENT_READ, one)

    def run(self) -> Outcome:
        if self.plan.requests is None and self.plan.warm_up:
            self._run(self.plan.warm_up)
            self.answers, self.bytes, self.latencies = 0, 0, []
        cpu, stolen, began = _processor_seconds(), _stolen_seconds(), perf_counter()
        self._run(self.plan.seconds if self.plan.requests is None else ENDLESS)
        seconds, cpu = perf_counter() - began, _processor_seconds() - cpu
        ordered = sorted(self.latencies) or [0.0]
        return Outcome(
            answers=self.answers,
            seconds=seconds,
            processor_seconds=cpu,
            bytes_per_answer=self.bytes / max(self.answers, 1),
            p50_ms=_at(ordered, 0.5) * 1000,
            p99_ms=_at(ordered, 0.99) * 1000,
            most_ms=ordered[-1] * 1000,
            stolen=(_stolen_seconds() - stolen) / seconds / (os.cpu_count() or 1),
        )

    def _run(self, seconds: float) -> None:
        if self.plan.rate is None:
            self._closed(seconds)
        else:
            self._open(seconds, self.plan.rate)

    def _closed(self, seconds: float) -> None:
        until = perf_counter() + seconds
        busy = 0
        for one in self.connections:
            busy += self._ask(one)
        while busy:
            for one in self._wait(PATIENCE):
                if self._read(one):
                    busy -= 1
                    if perf_counter() < until:
                        busy += self._ask(one)

    def _open(self, seconds: float, rate: float) -> None:
        began = perf_counter()
        planned, total = 0, int(seconds * rate)
        free = deque(self.connections)
        while planned < total or len(free) < len(self.connections):
            now = perf_counter()
            while planned < total and free and (due_at := began + planned / rate) <= now:
                one = free.popleft()
                one.due_at = due_at
                self._ask(one)
                planned += 1
            for one in self._wait(TICK if planned < total and free else PATIENCE):
                if self._read(one):
                    self.latencies.append(perf_counter() - one.due_at)
                    free.append(one)

    def _wait(self, pause: float) -> list[Connection]:
        """Those that can be read from."""
        ready = [key.data for key, _ in self.selector.select(pause)]
        if not ready and pause >= PATIENCE:
            raise TimeoutError(f"no answer for {PATIENCE:.0f} seconds")
        return ready

    def _ask(self, one: Connection) -> int:
        request = next(self.requests, None)
        if request is None:
            return 0
        one.asked = request
        sent = one.send(request)
        assert sent == len(request), "the server does not read"
        return 1

    def _read(self, one: Connection) -> bool:
        """True where the answer is whole."""
        data = one.receive(262_144)
        if one.rest:
            data = one.rest + data
        elif not data:
            raise ConnectionError("the server closed a connection")
        end = data.find(b"\r\n\r\n")
        at = data.find(b"content-length: ")
        if end < 0 or at < 0 or len(data) < end + 4 + int(data[at + 16 : data.find(b"\r", at)]):
            one.rest = data
            return False
        if data[9:12] != b"200":
            raise ValueError(f"not a 200: {data[:2000]!r}")
        one.rest = b""
        self.answers += 1
        self.bytes += len(data)
        if self.expected is not None and not self.answers % CHECKED:
            self._check(one.asked, data)
        return True

    def _check(self, asked: bytes, data: bytes) -> None:
        start = len(self.plan.head)
        number = asked[start : asked.index(b" ", start)]
        assert self.expected is not None
        if self.expected + number + b'"' not in data:
            raise ValueError(f"asked for {number!r}, got {data[:2000]!r}")


def _requests(plan: Plan) -> Iterator[bytes]:
    if plan.requests is not None:
        return iter(msgspec.msgpack.decode(Path(plan.requests).read_bytes(), type=list[bytes]))
    chance = random.Random(plan.seed)
    head, tail = plan.head.encode(), plan.tail.encode()
    return cycle([head + b"%d" % chance.randrange(*plan.ids) + tail for _ in range(100_000)])


def _at(ordered: list[float], part: float) -> float:
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _stolen_seconds() -> float:
    """Of a virtual machine, what its host ran others in while it had something to run itself. Linux counts it."""
    counts = Path("/proc/stat")
    return int(counts.read_text().split(maxsplit=9)[8]) / os.sysconf("SC_CLK_TCK") if counts.exists() else 0.0


if __name__ == "__main__":
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(Generator(plan).run()))

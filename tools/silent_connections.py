"""Holds a server's connections without saying anything, and measures whether its other clients notice. On a machine of one's own only.

    python -m tools.silent_connections http://127.0.0.1:8080 --key test_... [--silent 2048] [--half 700] [--drip 200] [--seconds 30] [--pid 4711]

`silent` connections send nothing, `half` send the head of a large body and a little of it, `drip` send a header a byte a second. Meanwhile a
neighbour reads a customer as fast as it may, twenty times a second, each time on a new connection. Prints its times and, with the process id of
the server, the largest memory of it and its children.
"""

import argparse
import asyncio
import contextlib
import resource
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from perennial.base.time import perf_counter

MOST = 20_000
PACE = 0.05  # seconds between a neighbour's reads
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

Hold = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def half(key: str, size: int) -> Hold:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"POST /v1/receipts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {size}\r\n\r\n"
        writer.write(head.encode() + b" " * (size // 2))
        await reader.read()

    return hold


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET / HTTP/1.1\r\nX: ")
    while not reader.at_eof():
        writer.write(b"a")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1), 1)


class Crowd:
    """Opens connections and opens them again when they are closed."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port, self.opened, self.refused, self.held = host, port, 0, 0, 0

    async def hold(self, how: Hold) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(self.host, self.port)
            except OSError:
                self.refused += 1
                await asyncio.sleep(1)
                continue
            self.opened += 1
            self.held += 1
            try:
                await how(reader, writer)
            except OSError:
                pass
            finally:
                self.held -= 1
                writer.close()


async def read_once(host: str, port: int, key: str) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /v1/subscribers/neighbour HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n".encode())
        return b" 20" in (await reader.readline())[:13]
    finally:
        writer.close()


async def neighbour(host: str, port: int, key: str, seconds: float) -> tuple[list[float], int]:
    times, failed, began = [], 0, perf_counter()
    while perf_counter() - began < seconds:
        asked = perf_counter()
        try:
            async with asyncio.timeout(10):
                failed += not await read_once(host, port, key)
        except (TimeoutError, OSError):
            failed += 1
        times.append(perf_counter() - asked)
        await asyncio.sleep(PACE)
    return sorted(times), failed


def memory_of(pid: int) -> int:
    """Largest so far, in MB, of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    peaks = [line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(peaks[0]) // 1024 + sum(memory_of(int(child)) for child in children)


async def run(arguments: argparse.Namespace) -> None:
    address = urlsplit(arguments.address)
    host, port = address.hostname or "", address.port or 80
    if host not in _LOOPBACK:
        raise SystemExit("this holds all of a server's connections: it is for 127.0.0.1 only")
    crowd = Crowd(host, port)
    kinds: list[tuple[int, Hold]] = [(arguments.silent, silent), (arguments.half, half(arguments.key, arguments.size)), (arguments.drip, drip)]
    held = [asyncio.create_task(crowd.hold(how)) for number, how in kinds for _ in range(min(number, MOST))]
    await asyncio.sleep(2)
    times, failed = await neighbour(host, port, arguments.key, arguments.seconds)
    print(f"held {crowd.held}, opened {crowd.opened}, refused {crowd.refused}")
    p50, p99 = (times[len(times) * part // 100] * 1000 for part in (50, 99))
    print(f"neighbour: {len(times)} reads, {failed} failed, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    if arguments.pid:
        print(f"memory at most {memory_of(arguments.pid)} MB")
    for one in held:
        one.cancel()
    await asyncio.gather(*held, return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("--key", required=True, help="a public SDK key")
    for name, number in (("silent", 2048), ("half", 700), ("drip", 200), ("size", 1_000_000), ("pid", 0)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--seconds", type=float, default=30)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, MOST + 100) if hard != resource.RLIM_INFINITY else MOST + 100, hard))
    asyncio.run(run(arguments))


if __name__ == "__main__":
    main()

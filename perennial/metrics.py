"""Prometheus metrics of a process, on a listener of their own: what they tell is nothing for the public.

`PERENNIAL_METRICS_PORT` says where it begins: each process (servers, however many, and workers) takes the first port from there that is free.
"""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from perennial.api.observe import OBSERVED, exposition
from perennial.base.errors import Unavailable
from perennial.settings import Settings

log = structlog.get_logger("perennial.metrics")

PORTS = 128  # tried
ASKED_WITHIN = 5.0  # seconds, for the whole request
MOST_ASKED = 8  # at once; others are closed at once
_LONGEST_HEAD = 8192


@asynccontextmanager
async def metrics_served(settings: Settings, process: str) -> AsyncIterator[int | None]:
    """The port, or None where no metrics are asked for. `process`: server or worker."""
    if settings.metrics_port is None:
        yield None
        return
    OBSERVED.process.labels(process).set(1)
    server, port = await _listen(settings.metrics_host, settings.metrics_port)
    log.info("metrics are served", address=f"http://{settings.metrics_host}:{port}/metrics", process=process)
    async with server:
        yield port


async def _listen(host: str, first: int) -> tuple[asyncio.Server, int]:
    door = _Door()
    for port in range(first, min(first + PORTS, 65_536)):
        try:
            return await asyncio.start_server(door.answer, host, port, limit=_LONGEST_HEAD, reuse_address=False), port
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise Unavailable(f"cannot serve metrics at {host}, port {port}: {error.strerror}; set PERENNIAL_METRICS_HOST and _PORT") from error
    raise Unavailable(f"no port is free from {first} to {first + PORTS - 1}; set PERENNIAL_METRICS_PORT to another")


class _Door:
    def __init__(self) -> None:
        self._asked = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._asked += 1
        try:
            if self._asked <= MOST_ASKED:
                async with asyncio.timeout(ASKED_WITHIN):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(_answer(head))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            self._asked -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _answer(head: bytes) -> bytes:
    method, _, rest = head.partition(b" ")
    is_known = method in (b"GET", b"HEAD") and rest.partition(b" ")[0].partition(b"?")[0] == b"/metrics"
    body = exposition() if is_known else b"metrics are at GET /metrics\n"
    status, kind = (b"200 OK", b"text/plain; version=0.0.4; charset=utf-8") if is_known else (b"404 Not Found", b"text/plain")
    start = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, kind, len(body))
    return start + (b"" if method == b"HEAD" else body)

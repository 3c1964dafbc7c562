"""How a request's body comes in: bounded in bytes, also once it is inflated, in time, and in the sum over all requests of this process.

Whoever sends slowly waits alone. A body must come at a pace (`GRACE`, then a second for each `SLOWEST_PACE` bytes). Where all together hold
`MOST_HELD` bytes, whoever has sent more than a little is read no further until others are done; after `STALLED_AFTER` seconds one of which nothing
came for as long gives way. What is larger than `MOST_UNKNOWN` is read only for those who may send it (`Gate`), so that nobody without a key fills
memory. To an SDK a 4xx is final, so what may be our load or their network is a 503.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from perennial.base.errors import Invalid, Unavailable
from perennial.base.time import perf_counter

MOST_BODY = 1024 * 1024  # bytes; a legacy receipt of years is a few hundred kB
MOST_UNKNOWN = 64 * 1024  # of somebody of whom we do not know whether they may send
MOST_HELD = 64 * 1024 * 1024  # by all requests of this process
GRACE = 10.0  # seconds
SLOWEST_PACE = 4096  # bytes a second: the slowest mobile network anybody still has
LONGEST = 60.0  # seconds, at whatever pace
STALLED_AFTER = 3.0  # seconds
LITTLE = 16 * 1024  # bytes, which are read of everybody: most requests

Gate = Callable[[], Awaitable[None]]  # raises where the sender may not send more than a little
_BODILESS = ("GET", "HEAD", "DELETE")
_ENCODINGS = (b"gzip", b"x-gzip", b"deflate")
_CROWDED = "more is being sent than this server holds at once; send it again"


class TooLarge(Invalid):
    """413."""


class NotReadable(Invalid):
    """415."""


class ClientGone(Exception):
    """Nobody is there to be answered."""


class Body:
    """What has come so far of one."""

    def __init__(self) -> None:
        self.size = 0
        self.moved_at = perf_counter()
        self.can_give_way = True  # not while it waits for room, nor once it is whole
        self.gave_way = False
        self.deadline: asyncio.Timeout | None = None


class Incoming:
    """The bodies of all requests in this process, from their first byte until their request is answered."""

    def __init__(self, most_held: int = MOST_HELD) -> None:
        self._most_held = most_held
        self._bodies: dict[Body, None] = {}  # the eldest first
        self._waiting: dict[asyncio.Future[None], None] = {}
        self.held = 0

    @contextmanager
    def one(self) -> Iterator[Body]:
        body = Body()
        self._bodies[body] = None
        try:
            yield body
        finally:
            self._let_go(body)

    async def read(self, body: Body, scope: Any, receive: Any, gate: Gate) -> bytes:
        """The whole body, inflated. `ClientGone` where it never ends."""
        if scope["method"] in _BODILESS:
            return b""
        headers = dict(scope["headers"])
        encoding = headers.get(b"content-encoding", b"").strip().lower()
        if encoding not in (b"", b"identity", *_ENCODINGS):
            raise NotReadable(f"the body is {encoding[:40].decode('latin-1')}; send it as it is, or as gzip or deflate", param="Content-Encoding")
        raw = await self._read_raw(body, receive, _declared(headers), gate)
        body.can_give_way = False
        if encoding not in _ENCODINGS:
            return raw
        whole = inflated(raw)
        self._hold(body, len(whole))
        return whole

    async def _read_raw(self, body: Body, receive: Any, declared: int, gate: Gate) -> bytes:
        if declared > MOST_BODY:
            raise TooLarge(f"the body is larger than {MOST_BODY} bytes")
        began, whole, is_known = perf_counter(), bytearray(), False
        while True:
            if not is_known and max(declared, body.size) > MOST_UNKNOWN:
                await gate()
                is_known = True
            await self._wait_for_room(body)
            message = await self._receive(body, receive, began)
            if message["type"] != "http.request":
                raise ClientGone
            chunk = message.get("body", b"")
            self._hold(body, len(chunk))
            if body.size > MOST_BODY:
                raise TooLarge(f"the body is larger than {MOST_BODY} bytes")
            if not message.get("more_body") and not whole:
                return bytes(chunk)
            whole += chunk  # joined at once: a body of many small pieces is not many times its size
            if not message.get("more_body"):
                return bytes(whole)

    async def _receive(self, body: Body, receive: Any, began: float) -> Any:
        left = min(LONGEST, GRACE + body.size / SLOWEST_PACE) - (perf_counter() - began)
        try:
            async with asyncio.timeout(left) as body.deadline:
                return await receive()
        except TimeoutError as error:
            if body.gave_way:
                raise Unavailable(_CROWDED) from error
            raise Unavailable("the body came too slowly; send it again") from error
        finally:
            body.deadline = None

    async def _wait_for_room(self, body: Body) -> None:
        if self.held < self._most_held or body.size < LITTLE:
            return
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[room] = None
        body.can_give_way = False
        try:
            async with asyncio.timeout(STALLED_AFTER):
                await room
        except TimeoutError as error:
            if not self._end_a_stalled_one():
                raise Unavailable(_CROWDED) from error
        finally:
            del self._waiting[room]
            body.can_give_way, body.moved_at = True, perf_counter()

    def _end_a_stalled_one(self) -> bool:
        before = perf_counter() - STALLED_AFTER
        stalled = next((one for one in self._bodies if one.can_give_way and one.moved_at <= before), None)
        if stalled is None:
            return False
        stalled.gave_way = True
        if stalled.deadline is not None and not stalled.deadline.expired():
            stalled.deadline.reschedule(0)
        self._let_go(stalled)
        return True

    def _hold(self, body: Body, size: int) -> None:
        if body not in self._bodies or self.held + size > 2 * self._most_held:  # it gave way while this came; or all come at the same moment
            raise Unavailable(_CROWDED)
        body.size += size
        body.moved_at = perf_counter()
        self.held += size

    def _let_go(self, body: Body) -> None:
        if body not in self._bodies:
            return
        del self._bodies[body]
        self.held -= body.size
        for room, _ in zip(list(self._waiting), range(1 + body.size // MOST_UNKNOWN), strict=False):
            if not room.done():
                room.set_result(None)
        body.size = 0


def _declared(headers: dict[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"0")
    return int(length) if length.isdigit() and len(length) < 19 else 0


def inflated(raw: bytes) -> bytes:
    """Of one gzip member, or of zlib's format, which is what HTTP means by deflate."""
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # it finds out which
    try:
        whole = inflate.decompress(raw, MOST_BODY + 1)
    except zlib.error as error:
        raise Invalid("the body is not what its Content-Encoding says", param="Content-Encoding") from error
    if len(whole) > MOST_BODY:
        raise TooLarge(f"the body is larger than {MOST_BODY} bytes once it is inflated")
    if not inflate.eof or inflate.unused_data:
        raise Invalid("the body ends before its compression does, or goes on after it", param="Content-Encoding")
    return whole

"""How an answer leaves: a large one piece by piece, each once the one before it was taken, so that we know who does not read.

The HTTP server takes whatever it is given and holds it until the client has read it, without end. So what is longer than `PIECE` is bounded here:
in time (`TAKEN_WITHIN` for each piece), and in the sum over all requests of this process. Where all together hold `MOST_HELD` bytes, the one that
has read nothing for longest, `STALLED_AFTER` seconds at least, is cut off; where there is no such one, the newcomer is told to come again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from perennial.base.errors import Outcome, Unavailable
from perennial.base.time import perf_counter

PIECE = 64 * 1024  # bytes
TAKEN_WITHIN = 60.0  # seconds
MOST_HELD = 128 * 1024 * 1024  # bytes of large answers, in one process
STALLED_AFTER = 3.0  # seconds

Send = Callable[[dict[str, Any]], Awaitable[None]]


class _Leaving:
    """A large answer on its way."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.moved_at = perf_counter()
        self.deadline: asyncio.Timeout | None = None


class Outgoing:
    def __init__(self, most_held: int = MOST_HELD) -> None:
        self._most_held = most_held
        self._leaving: dict[_Leaving, None] = {}
        self.held = 0

    def check_room(self, size: int, outcome: Outcome | None = None) -> None:
        """`Unavailable` where so large an answer would be too much; `outcome` is what became of what was asked."""
        if size <= PIECE:
            return
        while self._leaving and self.held + size > self._most_held:
            if not self._cut_off_a_stalled_one():
                raise Unavailable("more is being read than this server holds at once; ask again", outcome=outcome)

    async def send(self, send: Send, start: dict[str, Any], body: bytes) -> None:
        """An answer whose client does not take it ends in the middle: its length says so."""
        await send(start)
        if len(body) <= PIECE:
            await send({"type": "http.response.body", "body": body})
            return
        one = _Leaving(len(body))
        self._leaving[one] = None
        self.held += one.size
        try:
            await self._send_pieces(one, send, body)
        finally:
            self._let_go(one)

    async def _send_pieces(self, one: _Leaving, send: Send, body: bytes) -> None:
        for begins in range(0, len(body), PIECE):
            ends = begins + PIECE
            try:
                async with asyncio.timeout(TAKEN_WITHIN) as one.deadline:
                    await send({"type": "http.response.body", "body": body[begins:ends], "more_body": ends < len(body)})
            except TimeoutError:
                return
            finally:
                one.deadline = None
            if one not in self._leaving:
                return
            one.moved_at = perf_counter()

    def _cut_off_a_stalled_one(self) -> bool:
        slowest = min(self._leaving, key=lambda one: one.moved_at)
        if slowest.moved_at > perf_counter() - STALLED_AFTER:
            return False
        if slowest.deadline is not None and not slowest.deadline.expired():
            slowest.deadline.reschedule(0)
        self._let_go(slowest)
        return True

    def _let_go(self, one: _Leaving) -> None:
        if one in self._leaving:
            del self._leaving[one]
            self.held -= one.size

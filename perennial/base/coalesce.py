"""Concurrent requests that want the same kind of thing become one query.

Whatever is waiting when a slot falls free goes together: no timer, so a lone request never waits. One request's failure is not its
neighbours' (a failed batch is tried one by one), a cancelled request leaves its batch, and the queue has a limit. So has the wait,
from the submission to the result: whoever waited for `longest_wait` is told so, also while the work goes on.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

from perennial.base.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")
_Waiting: TypeAlias = tuple[Item, asyncio.Future[Result], float]  # the last: when it was submitted

_LOOK_EVERY = 0.2  # seconds between looks for those who have waited too long


class Coalescer(Generic[Item, Result]):
    """`work` takes a batch and returns one result per item, in order; an exception as a result fails that item alone."""

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        slots: int = 2,
        largest: int = 100,
        longest_queue: int = 10_000,
        longest_wait: float = 10.0,
    ) -> None:
        self._work = work
        self._free = slots
        self._largest = largest
        self._longest_queue = longest_queue
        self._longest_wait = longest_wait
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._in_work: list[list[_Waiting[Item, Result]]] = []
        self._watch: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[None]] = set()

    def submit(self, item: Item) -> asyncio.Future[Result]:
        if len(self._waiting) >= self._longest_queue:
            raise Unavailable("too many requests are waiting; try again in a moment")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future, loop.time()))
        if self._watch is None:
            self._watch = loop.call_later(_LOOK_EVERY, self._look, loop)
        if self._free:
            self._free -= 1
            task = asyncio.create_task(self._drain())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._run_batch([self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))])
        finally:
            self._free += 1

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all, and none while nothing is in hand: a timer for each request would cost it more than the rest of this."""
        if not self._waiting and not self._in_work:
            self._watch = None
            return
        submitted_before = loop.time() - self._longest_wait
        for queue in (self._waiting, *self._in_work):
            for _, future, submitted_at in queue:  # the oldest first
                if submitted_at > submitted_before:
                    break
                if not future.done():
                    future.set_exception(Unavailable(f"no answer came within {self._longest_wait:g} s; try again in a moment"))
        self._watch = loop.call_later(_LOOK_EVERY, self._look, loop)

    async def _run_batch(self, batch: "list[_Waiting[Item, Result]]") -> None:
        batch = [one for one in batch if not one[1].done()]
        if not batch:
            return
        self._in_work.append(batch)
        try:
            await self._finish_batch(batch)
        finally:
            self._in_work.remove(batch)

    async def _finish_batch(self, batch: "list[_Waiting[Item, Result]]") -> None:
        try:
            results = await self._work([item for item, _, _ in batch])
        except Exception as error:
            if len(batch) == 1 or isinstance(error, Unavailable):  # nobody's own fault: asking one by one would only keep the others waiting
                for _, future, _ in batch:
                    if not future.done():
                        future.set_exception(error)
                return
            for one in batch:
                await self._run_batch([one])
            return
        for (_, future, _), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

"""Concurrent requests that want the same kind of thing become one query.

Whatever is waiting when a slot falls free goes together: no timer, so a lone request never waits. One request's failure is not its
neighbours' (a failed batch is tried one by one), a cancelled request leaves its batch, and the queue has a limit.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from perennial.base.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class Coalescer(Generic[Item, Result]):
    """`work` takes a batch and returns one result per item, in order; an exception as a result fails that item alone."""

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        slots: int = 2,
        largest: int = 100,
        longest_queue: int = 10_000,
    ) -> None:
        self._work = work
        self._free = slots
        self._largest = largest
        self._longest_queue = longest_queue
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    def submit(self, item: Item) -> asyncio.Future[Result]:
        if len(self._waiting) >= self._longest_queue:
            raise Unavailable("too many requests are waiting; try again in a moment")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
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

    async def _run_batch(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        batch = [pair for pair in batch if not pair[1].done()]
        if not batch:
            return
        try:
            results = await self._work([item for item, _ in batch])
        except Exception as error:
            if len(batch) == 1 or isinstance(error, Unavailable):  # nobody's own fault: asking one by one would only keep the others waiting
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                return
            for pair in batch:
                await self._run_batch([pair])
            return
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

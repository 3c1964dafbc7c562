"""When customers were last seen: gathered in memory, written in batches. A read never writes.

A crash loses at most the last few seconds of sightings, which the next visit repairs.
"""

import asyncio
import contextlib
from collections import deque
from datetime import datetime
from itertools import islice

import structlog

from perennial import customers
from perennial.api.headers import Client, client_of
from perennial.api.observe import OBSERVED
from perennial.base.db import Database
from perennial.base.errors import Unavailable
from perennial.base.ids import CustomerId, ProjectId
from perennial.base.time import perf_counter
from perennial.customers.model import SEEN_LATELY, Sighting

log = structlog.get_logger("perennial.api")

FLUSH_EVERY = 2.0  # seconds
CHUNK = 15  # rows a statement: short enough that no read waits long behind one
FAREWELL = 3.0  # seconds for what is left when the server stops, in chunks of `LAST_CHUNK`: nobody reads any more
LAST_CHUNK = 1000
SHARE = 0.05  # of the time: a writer that took 2 ms rests 38, so that a flood of visitors takes no more from those who read
MOST_KEPT = 200_000
REMEMBERED = 200_000  # who was written down lately, in two generations of at most this many


class Sightings:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: deque[tuple[ProjectId, CustomerId, datetime, Client]] = deque()
        self._lately: dict[tuple[ProjectId, CustomerId], datetime] = {}
        self._before: dict[tuple[ProjectId, CustomerId], datetime] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Writes what is left, as far as that goes in a moment: a server that is told to stop has readers who wait for the next one."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        try:
            async with asyncio.timeout(FAREWELL):
                await self.flush(share=1, chunk=LAST_CHUNK)
        except (TimeoutError, Unavailable) as error:
            OBSERVED.sightings_lost.inc(len(self._seen))
            log.warning("sightings were not saved", count=len(self._seen), error=str(error) or "no time was left")

    def note(self, project_id: ProjectId, customer_id: CustomerId, seen_at: datetime, headers: dict[bytes, bytes]) -> None:
        """Costs a read next to nothing: what is written is made of it later, and only where it is news."""
        who = (project_id, customer_id)
        noted_at = self._lately.get(who) or self._before.get(who)
        if noted_at is not None and seen_at - noted_at < SEEN_LATELY:
            return
        if len(self._seen) >= MOST_KEPT:
            OBSERVED.sightings_lost.inc()
            return
        if len(self._lately) >= REMEMBERED:
            self._before, self._lately = self._lately, {}
        self._lately[who] = seen_at
        self._seen.append((project_id, customer_id, seen_at, client_of(headers)))

    async def flush(self, *, share: float = SHARE, chunk: int = CHUNK) -> None:
        """Writes what was noted, resting between chunks so that it takes `share` of the time. What cannot be written stays for the next time."""
        while self._seen:
            began = perf_counter()
            # No more is made at once: tens of thousands would keep every read waiting.
            made = [_sighting(*one) for one in islice(self._seen, chunk)]
            await customers.save_sightings(self._database, made)
            for _ in made:
                self._seen.popleft()
            await asyncio.sleep((perf_counter() - began) * (1 / share - 1))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            try:
                await self.flush()
            except Unavailable as error:
                log.warning("sightings were not saved", error=error.message)


def _sighting(project_id: ProjectId, customer_id: CustomerId, seen_at: datetime, client: Client) -> Sighting:
    return Sighting(
        project_id=project_id,
        customer_id=customer_id,
        seen_at=seen_at,
        platform=client.platform,
        platform_version=client.platform_version,
        app_version=client.app_version,
        country=client.country,
    )

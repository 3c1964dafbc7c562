"""When customers were last seen: gathered in memory, written in batches. A read never writes.

A crash loses at most the last few seconds of sightings, which the next visit repairs.
"""

import asyncio
import contextlib
from collections import defaultdict
from datetime import datetime

import structlog

from perennial import customers
from perennial.api.headers import Client
from perennial.base.db import Database
from perennial.base.errors import Unavailable
from perennial.base.ids import CustomerId, ProjectId
from perennial.customers.model import Sighting

log = structlog.get_logger("perennial.api")

FLUSH_EVERY = 2.0  # seconds
CHUNK = 100  # rows a transaction: a few milliseconds of the database, so that no read waits long behind one
PAUSE = 0.05  # seconds between chunks while the server is busy
MOST_KEPT = 100_000


class Sightings:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[tuple[ProjectId, CustomerId], tuple[datetime, Client]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.flush(pause=0)

    def note(self, project_id: ProjectId, customer_id: CustomerId, seen_at: datetime, client: Client) -> None:
        """Costs a read next to nothing: what is written is made of it later."""
        if len(self._seen) < MOST_KEPT:
            self._seen[project_id, customer_id] = (seen_at, client)

    async def flush(self, *, pause: float = PAUSE) -> None:
        seen, self._seen = self._seen, {}
        by_project: dict[ProjectId, list[Sighting]] = defaultdict(list)
        for (project_id, customer_id), (seen_at, client) in seen.items():
            by_project[project_id].append(_sighting(customer_id, seen_at, client))
        for project_id, sightings in by_project.items():
            for start in range(0, len(sightings), CHUNK):
                async with self._database.transaction(project_id) as tx:
                    await customers.save_sightings(tx, sightings[start : start + CHUNK])
                await asyncio.sleep(pause)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            try:
                await self.flush()
            except Unavailable as error:
                log.warning("sightings were not saved", error=error.message)


def _sighting(customer_id: CustomerId, seen_at: datetime, client: Client) -> Sighting:
    return Sighting(
        customer_id=customer_id,
        seen_at=seen_at,
        platform=client.platform,
        platform_version=client.platform_version,
        app_version=client.app_version,
        country=client.country,
    )

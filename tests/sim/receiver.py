"""Who is told: a receiver that fails now and then, and remembers what it took."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence

from perennial.base.db import Database
from perennial.base.ids import ProjectId
from perennial.events.model import Answer, Message


class Receiver:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.taken: dict[str, list[int]] = defaultdict(list)
        self.ids: Counter[str] = Counter()

    async def send(self, message: Message) -> Answer:
        await asyncio.sleep(0)
        if self.chance.random() < 0.1:
            return Answer(status=500)
        body = message.event
        if not self.ids[message.message_id]:
            self.taken[body.get("original_app_user_id") or "?"].append(body["perennial"]["sequence"])
        self.ids[message.message_id] += 1
        return Answer(status=200)

    async def close(self) -> None:
        return None


async def all_delivered(database: Database, project_id: ProjectId, tellers: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Failed deliveries wait minutes: move the clock until none is left. Lines stay asleep: only telling is run."""
    for _ in range(2000):
        async with database.transaction(project_id) as tx:
            waiting = await tx.fetch_value("SELECT min(wake_at) FROM delivery")
            if waiting is None:
                return
            await tx.execute("UPDATE project SET clock_at = %(at)s WHERE clock_at < %(at)s", at=waiting)
        for tell in tellers:
            await tell()
    raise AssertionError("deliveries never came to an end")


def in_order(receiver: Receiver, which: str) -> None:
    for customer, sequences in receiver.taken.items():
        assert sequences == sorted(sequences), f"{which}: {customer} was told out of order"

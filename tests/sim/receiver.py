"""Who is told: a receiver that fails now and then, and remembers what it took."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence

from perennial.base.db import Database, Tx
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
    """Failed deliveries wait minutes: move the clock until none is left, and have what was given up tried again. Lines stay asleep: only telling
    is run."""
    for _ in range(2000):
        async with database.transaction(project_id) as tx:
            waiting = await tx.fetch_value("SELECT min(wake_at) FROM delivery")
            if waiting is None and not await reopened(tx):
                return
            if waiting is None:
                continue
            await tx.execute("UPDATE project SET clock_at = %(at)s WHERE clock_at < %(at)s", at=waiting)
        for tell in tellers:
            await tell()
    raise AssertionError("deliveries never came to an end")


async def reopened(tx: Tx) -> int:
    """What a person does who mended the receiver."""
    return await tx.execute("UPDATE delivery SET attempts = 0, wake_at = %(now)s, parked_at = NULL WHERE parked_at IS NOT NULL", now=tx.now)


def in_order(receiver: Receiver, which: str) -> None:
    for customer, sequences in receiver.taken.items():
        assert sequences == sorted(sequences), f"{which}: {customer} was told out of order"

"""The unthought: many lives at once through the real doors, with messages doubled, shuffled and lost, several workers, and crashes
between any two statements. A failure prints its seed; `SEED=7 LIVES=5000 make test ARGS=tests/sim` runs it again, or longer.
"""

import asyncio
import os
import random
from collections import Counter, defaultdict
from datetime import timedelta

import pytest

from perennial import events, invariants, subscriptions
from perennial.agenda import run_due
from perennial.app import App
from perennial.base.db import Database
from perennial.base.value import replace
from perennial.events.model import Answer, Message
from perennial.providers.apple.signer import SigningAuthority
from perennial.subscriptions.model import Line
from tests.apple_messages import notification, trust
from tests.rules.lives import CHAPTERS, ENDINGS, Life, live
from tests.rules.test_telling import facts, hear_at_once
from tests.world import World, make_world

LIVES = int(os.environ.get("LIVES", "120"))
SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else [1, 2, 3]
WORKERS = 3


class Crash(BaseException):
    """The process dies here. Not an Exception: nothing may catch it and go on."""


class Receiver:
    """A receiver that fails now and then, and remembers what it took."""

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


def crashing(app: App, database: Database, chance: random.Random, receiver: Receiver, odds: float) -> App:
    def before_statement(sql: str) -> None:
        if chance.random() < odds:
            raise Crash(sql)

    database.before_statement = before_statement
    return replace(app, database=database, sender=receiver)


async def run(app: App, world: World, lanes: list[str]) -> bool:
    """Whether the worker lived. A task group hands a crash on inside a group."""
    try:
        await run_due(app, world.project_id, lanes)
    except Crash:
        return False
    except BaseExceptionGroup as group:
        crashed, other = group.split(Crash)
        assert crashed is not None
        if other is not None:
            raise other from group
        return False
    return True


async def work_until_done(app: App, world: World) -> int:
    """A worker that is started again whenever it dies; how often it did."""
    crashes = 0
    while not await run(app, world, ["money", "telling"]):
        crashes += 1
    return crashes


async def post(world: World, app_id: str, body: bytes) -> None:
    answer = await world.http.post(f"/hooks/app_store/{app_id}", content=body)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("seed", SEEDS)
async def test_thousands_of_lives_in_a_bad_world(world: World, database_url: str, seed: int):
    chance = random.Random(seed)
    lives = {
        f"9{number:06d}": live(chance.choices(CHAPTERS, k=chance.randint(0, 3)), chance.choice(ENDINGS), trial=chance.random() < 0.3)
        for number in range(LIVES)
    }
    end = max(life.clock for life in lives.values()) + timedelta(minutes=1)
    world = await make_world(world.app, world.http, clock_at=end)
    pen = SigningAuthority.create(lives["9000000"].messages[0].purchases[0].as_of)
    await trust(world, pen)
    async with world.app.database.transaction(world.project_id) as tx:
        await events.create_endpoint(tx, world.app.vault, name="all", url="http://127.0.0.1:9/never", event_types=None)

    receiver = Receiver(chance)
    databases = [await Database.open(database_url, connections=2) for _ in range(WORKERS)]
    workers = [crashing(world.app, database, chance, receiver, 0.05) for database in databases]
    try:
        bodies = [notification(pen, message, line=line) for line, life in lives.items() for message in life.messages]
        bodies += chance.sample(bodies, len(bodies) // 5)
        chance.shuffle(bodies)
        lost, heard = bodies[: len(bodies) // 5], bodies[len(bodies) // 5 :]
        crashes = 0
        for batch in (heard[: len(heard) // 2], heard[len(heard) // 2 :], lost):
            await asyncio.gather(*(post(world, world.app_ids["app_store"], body) for body in batch))
            crashes += sum(await asyncio.gather(*(work_until_done(worker, world) for worker in workers)))
            assert await invariants.run(world.app.database, world.project_id, end) == [], f"seed {seed}"
        await all_delivered(world, workers)
    finally:
        for database in databases:
            database.before_statement = None
            await database.close()
    assert crashes > 5, "a simulation without crashes proves little"
    await everything_is_told_once(world, lives, receiver, seed)


async def all_delivered(world: World, workers: list[App]) -> None:
    """Failed deliveries wait minutes: move the clock until none is left. Lines stay asleep: only telling is run."""
    for _ in range(2000):
        async with world.app.database.transaction(world.project_id) as tx:
            waiting = await tx.fetch_value("SELECT min(wake_at) FROM delivery")
            if waiting is None:
                return
            await tx.execute("UPDATE project SET clock_at = %(at)s WHERE clock_at < %(at)s", at=waiting)
        for worker in workers:
            await run(worker, world, ["telling"])
    raise AssertionError("deliveries never came to an end")


async def everything_is_told_once(world: World, lives: dict[str, Life], receiver: Receiver, seed: int) -> None:
    async with world.app.database.transaction(world.project_id) as tx:
        rows = await tx.fetch("SELECT body, event_id FROM event")
        lines = {line.store_line: line for line in await subscriptions.find(tx, [("app_store", "sandbox", line) for line in lives])}
    by_line: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        by_line[row["body"]["original_transaction_id"]].append(row["body"])
    for number, life in lives.items():
        straight, told = hear_at_once(life.messages, max(message.purchases[0].as_of for message in life.messages) + timedelta(minutes=1))
        bought = Counter(body["type"] for body in by_line[number] if body["type"] in ("INITIAL_PURCHASE", "RENEWAL"))
        assert bought == Counter(kind for kind, _ in facts(told).elements()), f"seed {seed}, life {number}"
        assert len({body["id"] for body in by_line[number]}) == len(by_line[number])
        assert what_is_held(lines[number]) == what_is_held(straight), f"seed {seed}, life {number}"
    assert set(receiver.ids) >= {row["event_id"] for row in rows if row["body"]["type"] != "REFUND"}, "every event reached the receiver"
    for customer, sequences in receiver.taken.items():
        assert sequences == sorted(sequences), f"seed {seed}: {customer} was told out of order"


def what_is_held(line: Line) -> list[tuple]:
    return [
        (held.purchase.product, held.purchase.purchased_at, held.purchase.expires_at, held.purchase.revocation and held.purchase.revocation.at)
        for held in line.held
    ]

"""The unthought: many lives at once through the real doors, with messages doubled, shuffled and lost, several workers, and crashes
between any two statements. A failure prints its seed; `SEED=7 LIVES=5000 make test ARGS=tests/sim` runs it again, or longer.

Here the store tells everything itself, signed (the App Store), and the app posts each purchase once, at any place among what the store tells.
With an odd seed the app tracks purchases nobody has claimed, and what was not posted by then is told as an anonymous customer's first.
Stores that are asked have theirs in `test_asked_stores`.
"""

import asyncio
import os
import random
from collections import Counter, defaultdict
from datetime import timedelta
from functools import partial

import pytest

from perennial import catalog, customers, events, invariants, subscriptions
from perennial.base.db import Database
from perennial.providers.apple.signer import SigningAuthority
from perennial.subscriptions.model import Line
from tests.apple_messages import notification, transaction, trust
from tests.rules.lives import CHAPTERS, ENDINGS, Life, live
from tests.rules.test_telling import facts, hear_at_once
from tests.sim.receiver import Receiver, all_delivered, in_order
from tests.sim.workers import crashing, run, work_until_done
from tests.world import World, make_world

LIVES = int(os.environ.get("LIVES", "40"))
SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else [1, 2]
WORKERS = 3


async def post(world: World, app_id: str, body: bytes) -> None:
    answer = await world.http.post(f"/hooks/app_store/{app_id}", content=body)
    assert answer.status_code == 200, answer.text


async def claim(world: World, pen: SigningAuthority, line: str, life: Life) -> None:
    body = {"app_user_id": f"buyer-{line}", "fetch_token": pen.sign(transaction(life.purchases[0], line=line)), "presented_offering_identifier": line}
    answer = await world.http.post("/v1/receipts", headers=world.sdk("app_store"), json=body)
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
    await world.track(world.app_ids["app_store"], "on" if seed % 2 else "off")
    async with world.app.database.transaction(world.project_id) as tx:
        await events.create_endpoint(tx, world.app.vault, name="all", url="http://127.0.0.1:9/never", event_types=None)

    receiver = Receiver(chance)
    databases = [await Database.open(database_url, connections=2) for _ in range(WORKERS)]
    workers = [crashing(world.app, database, chance, receiver, 0.05) for database in databases]
    try:
        bodies = [notification(pen, message, line=line) for line, life in lives.items() for message in life.messages]
        bodies += chance.sample(bodies, len(bodies) // 5)
        said = [partial(post, world, world.app_ids["app_store"], body) for body in bodies]
        said += [partial(claim, world, pen, line, life) for line, life in lives.items()]
        chance.shuffle(said)
        lost, heard = said[: len(said) // 5], said[len(said) // 5 :]
        crashes = 0
        for batch in (heard[: len(heard) // 2], heard[len(heard) // 2 :], lost):
            if batch is lost:  # what nobody has posted by now was waited for
                end += subscriptions.UNCLAIMED_WAITS
                async with world.app.database.transaction(world.project_id) as tx:
                    await catalog.set_clock(tx, end, None)
                crashes += sum(await asyncio.gather(*(work_until_done(worker, world.project_id) for worker in workers)))
            await asyncio.gather(*(one() for one in batch))
            crashes += sum(await asyncio.gather(*(work_until_done(worker, world.project_id) for worker in workers)))
            assert await invariants.run(world.app.database, world.project_id, end) == [], f"seed {seed}"
        tellers = [partial(run, worker, world.project_id, ["telling"]) for worker in workers]
        await all_delivered(world.app.database, world.project_id, tellers)
    finally:
        for database in databases:
            database.before_statement = None
            await database.close()
    assert crashes > 5, "a simulation without crashes proves little"
    await everything_is_told_once(world, lives, receiver, seed)


async def everything_is_told_once(world: World, lives: dict[str, Life], receiver: Receiver, seed: int) -> None:
    async with world.app.database.transaction(world.project_id) as tx:
        rows = await tx.fetch("SELECT body, event_id FROM event WHERE type <> 'TRANSFER'")
        moved = await tx.fetch("SELECT body FROM event WHERE type = 'TRANSFER'")
        lines = {line.store_line: line for line in await subscriptions.find(tx, [("app_store", "sandbox", line) for line in lives])}
        owners = await customers.load(tx, [line.customer_id for line in lines.values()])
    by_line: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        by_line[row["body"]["original_transaction_id"]].append(row["body"])
    for number, life in lives.items():
        straight, told = hear_at_once(life.messages, max(message.purchases[0].as_of for message in life.messages) + timedelta(minutes=1))
        bought = Counter(body["type"] for body in by_line[number] if body["type"] in ("INITIAL_PURCHASE", "RENEWAL"))
        assert bought == Counter(kind for kind, _ in facts(told).elements()), f"seed {seed}, life {number}"
        assert len({body["id"] for body in by_line[number]}) == len(by_line[number])
        buyer, named = f"buyer-{number}", {body["app_user_id"] for body in by_line[number]}
        assert (lines[number].unclaimed, owners[lines[number].customer_id].aliases) == (None, (buyer,)), f"seed {seed}, life {number}"
        assert (named == {buyer}) if not seed % 2 else (len(named - {buyer}) <= 1), f"seed {seed}, life {number}"
        assert what_is_held(lines[number]) == what_is_held(straight), f"seed {seed}, life {number}"
    moves = [(row["body"]["transferred_from"][0], row["body"]["transferred_to"][0]) for row in moved]
    assert len(set(moves)) == len(moves) and bool(moves) == bool(seed % 2)
    assert all(told_to.startswith("$RCAnonymousID:") and claimed_by.startswith("buyer-") for told_to, claimed_by in moves)
    assert set(receiver.ids) >= {row["event_id"] for row in rows if row["body"]["type"] != "REFUND"}, "every event reached the receiver"
    in_order(receiver, f"seed {seed}")


def what_is_held(line: Line) -> list[tuple]:
    return [
        (held.purchase.product, held.purchase.purchased_at, held.purchase.expires_at, held.purchase.revocation and held.purchase.revocation.at)
        for held in line.held
    ]

"""The unthought at stores that are asked: a notification is a hint, and the store's API is as bad as the rest of the world.

Google Play and Stripe as they are simulated and ship, with their APIs behind a real socket. Every life is also lived straight, heard in time by the
provider's own functions; the bad world must end where that ends. A failure prints its seed; `SEED=7 LIVES=5000 DAYS=330 make test
ARGS=tests/sim` runs it again, or longer.
"""

import os
import random
from collections import Counter
from collections.abc import Sequence, Set
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from perennial.base.value import replace
from perennial.providers.google import PlayStore
from perennial.providers.stripe import StripeBilling
from perennial.subscriptions import is_entitled
from perennial.subscriptions.model import Line, Purchase, Telling
from tests.flows.town import listening
from tests.sim.asked import STEPS, PlayShop, Shop, StripeShop, Town, open_workers
from tests.sim.bad_api import BadApi
from tests.sim.lives import drawn, straight
from tests.sim.receiver import in_order
from tests.world import START, World, make_world

LIVES = int(os.environ.get("LIVES", "8"))
MOST_LIVES = 100  # of one town; more live in several
SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else [1]
END = START + timedelta(days=int(os.environ.get("DAYS", "200")), hours=7)
SHOPS: tuple[type[Shop], ...] = (PlayShop, StripeShop)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", SHOPS, ids=lambda make: make.store)
async def test_lives_at_a_store_that_is_asked_in_a_bad_world(world: World, database_url: str, make: type[Shop], seed: int) -> None:
    for town, first in enumerate(range(0, LIVES, MOST_LIVES)):
        await live_in_a_town(world, database_url, make(), random.Random(f"{seed} {town}"), min(MOST_LIVES, LIVES - first), f"seed {seed}")


async def live_in_a_town(world: World, database_url: str, shop: Shop, chance: random.Random, number: int, which: str) -> None:
    world = await make_world(world.app, world.http, clock_at=START)
    providers = {"play_store": PlayStore(pauses=(0, 0)), "stripe": StripeBilling(pauses=(0, 0))}
    app = replace(world.app, providers=world.app.providers | providers)
    api = BadApi(shop.server(world.app), chance)
    async with listening(api) as address:
        town = Town(world, shop, chance, app, api)
        await town.open(address)
        lives = {f"{one:026d}": shop.lived(f"{one:026d}", chance) for one in range(number)}
        chapters = {code: drawn(lived.verbs, chance) for code, lived in lives.items()}
        expected = {code: straight(lived, chapters[code], END) for code, lived in lives.items()}
        await town.settle_in(lives)
        databases = await open_workers(town, database_url, 0.02)
        try:
            while town.clock < END:
                assert await town.step(min(END, town.clock + chance.choice(STEPS))) == [], which
            assert await town.come_to_an_end() == [], which
        finally:
            for database in databases:
                database.before_statement = None
                await database.close()
            for provider in providers.values():
                await provider.close()
        assert town.crashes > 5 and api.failed and town.lost, "a simulation without trouble proves little"
        print(f"{which}: {town.crashes} crashes, {api.failed} calls failed, {town.lost} notifications lost")
        lines = await town.lines()
        told = await events_of(town)
        deferred = {code for code, lived in lives.items() if any(deed.verb == "defer" for deed in lived.deeds)}
        wrong = {code: differs(line, lines[code], tellings, told[code], is_deferred=code in deferred) for code, (line, tellings) in expected.items()}
        found = [f"{code} {chapters[code]}: {'; '.join(what)}" for code, what in wrong.items() if what]
        assert not found, "\n".join([which, *found])
        in_order(town.receiver, which)


async def events_of(town: Town) -> dict[str, list[dict[str, Any]]]:
    async with town.transaction() as tx:
        bodies = [row["body"] for row in await tx.fetch("SELECT body FROM event ORDER BY customer_id, sequence")]
        sent = {row["event_id"] for row in await tx.fetch("SELECT event_id FROM event WHERE type <> 'REFUND'")}
    assert set(town.receiver.ids) >= sent, "every event reached the receiver"
    assert len({body["id"] for body in bodies}) == len(bodies)
    return {code: [body for body in bodies if code in body["transaction_id"]] for code in town.lives}


def differs(straight: Line, lines: Sequence[Line], tellings: Sequence[Telling], bodies: Sequence[dict[str, Any]], *, is_deferred: bool) -> list[str]:
    """What came out otherwise than heard straight."""
    unheard = given_away_unheard(straight, lines)
    known = [held.purchase for line in lines for held in line.held]
    just_ended = {one.transaction for one in known if straight.store == "play_store" and is_free(one) and one.revocation is None}
    reversed_ones = what_was_told(bodies, "REFUND_REVERSED")
    came_to_nothing = Counter(said(tellings, "REFUND_REVERSED")) - reversed_ones  # before we heard of it: told neither when given nor when it failed
    found = [
        ("entitled", any(is_entitled(line, END) for line in lines), is_entitled(straight, END)),
        (
            "held",
            what_is_held(lines, just_ended, is_deferred=is_deferred),
            [one for one in what_is_held([straight], just_ended, is_deferred=is_deferred) if one[0] not in unheard],
        ),
        ("bought", what_was_bought(bodies), Counter(tx for tx in said(tellings, *BOUGHT) if tx not in unheard)),
        (
            "given back",
            what_was_given_back(bodies) + came_to_nothing,
            Counter(one.held.purchase.transaction for one in tellings if one.key.startswith("refund") and one.type != "REFUND_REVERSED"),
        ),
        ("reversed", reversed_ones + came_to_nothing, Counter(said(tellings, "REFUND_REVERSED"))),
    ]
    ended = [body["transaction_id"] for body in bodies if body["type"] == "EXPIRATION"]
    expected = said(tellings, "EXPIRATION")
    troubles = [f"{name}: {diff(ours, theirs)}" for name, ours, theirs in found if ours != theirs]
    if unheard:
        return [one for one in troubles if not one.startswith("entitled")]
    last = straight.held[-1].purchase.transaction
    if (last in expected) != (last in ended):
        troubles.append(f"the last end: {ended}, not {expected}")
    if set(ended) - set(expected) - before_a_change(lines, bodies):
        troubles.append(f"ended: {ended}, not {expected}")
    if len(set(ended)) != len(ended) and len(set(expected)) == len(expected):
        troubles.append(f"ended twice: {ended}")
    return troubles


def said(tellings: Sequence[Telling], *kinds: str) -> list[str]:
    return [one.held.purchase.transaction for one in tellings if one.type in kinds]


def before_a_change(lines: Sequence[Line], bodies: Sequence[dict[str, Any]]) -> set[str]:
    """Periods whose end was told before we had heard of the token or plan that went on: after a day, silence means the end of what was replaced."""
    told = [(body["type"], body["transaction_id"]) for body in bodies]
    held = [one.purchase for line in lines for one in line.held]
    changes = [(one.transaction, after.transaction) for one, after in pairwise(held) if one.is_superseded or one.product != after.product]
    heard = {after: next((place for place, (_, about) in enumerate(told) if about == after), len(told)) for _, after in changes}
    return {one for one, after in changes if ("EXPIRATION", one) in told[: heard[after]]}


def given_away_unheard(straight: Line, lines: Sequence[Line]) -> set[str]:
    """What Stripe does not tell any more once it is past: periods given away while collection was paused, plans that a trial went on with."""
    ours = {held.purchase.transaction for line in lines for held in line.held}
    given = [held.purchase for held in straight.held if held.purchase.price is not None and not held.purchase.price.amount]
    past = {one.transaction for one in given if one.period_type == "normal" or ":change" in one.transaction}
    return past - ours if straight.store == "stripe" else set()


def diff(ours: Any, theirs: Any) -> str:
    if isinstance(ours, list):
        return f"{[one for one in ours if one not in theirs]}, not {[one for one in theirs if one not in ours]}"
    return f"{ours}, not {theirs}"


BOUGHT = ("INITIAL_PURCHASE", "RENEWAL")


def what_was_bought(bodies: Sequence[dict[str, Any]]) -> Counter[str]:
    return Counter(body["transaction_id"] for body in bodies if body["type"] in BOUGHT)


def what_was_given_back(bodies: Sequence[dict[str, Any]]) -> Counter[str]:
    return Counter(body["transaction_id"] for body in bodies if body["type"] == "REFUND" or body.get("cancel_reason") == "CUSTOMER_SUPPORT")


def what_was_told(bodies: Sequence[dict[str, Any]], kind: str) -> Counter[str]:
    return Counter(body["transaction_id"] for body in bodies if body["type"] == kind)


def is_free(purchase: Purchase) -> bool:
    return purchase.price is not None and not purchase.price.amount


def what_is_held(lines: Sequence[Line], just_ended: Set[str], *, is_deferred: bool = False) -> list[tuple[Any, ...]]:
    """Without what was heard in its time or never: the fee of an order given back since, deferred ends, when a trial changed its plan.

    `just_ended` are trials of which we were not told that Google took them back: without the notification, there is no more to know.
    """
    return sorted(
        (
            one.transaction,
            one.product,
            None if is_free(one) and ":change" in one.transaction else one.purchased_at,
            one.expires_at if line.store == "stripe" or not is_deferred else None,
            one.revocation and one.revocation.at if one.transaction not in just_ended else None,
            one.price,
            one.commission if line.store == "stripe" or not (one.refunds or one.revocation or is_free(one)) else None,
            tuple((refund.identifier, refund.amount, refund.is_reversed) for refund in one.refunds),
        )
        for line in lines
        for one in (held.purchase for held in line.held)
    )

"""A store gives a subscription another key at every change (Google's purchase tokens): to us it stays one line, whichever key came first."""

from datetime import datetime, timedelta
from hashlib import sha256
from itertools import permutations

import pytest

from perennial import customers, subscriptions
from perennial.base.value import replace
from perennial.subscriptions import Said
from perennial.subscriptions.model import Line, Purchase, Renewal, Statement
from tests.world import START, World

MONTH = timedelta(days=30)


def bought(token: str, order: str, day: int, *, product: str = "basic", also: tuple[str, ...] = (), hint: str | None = None) -> Statement:
    moment = START + timedelta(days=day)
    purchase = Purchase(
        transaction=order,
        product=product,
        kind="subscription",
        purchased_at=moment,
        expires_at=moment + MONTH,
        as_of=moment,
        is_first=not also,
        is_renewal=False,
    )
    renewal = Renewal(as_of=moment, transaction=order, auto_renew=True)
    return Statement(
        store="play_store", environment="production", line=token, purchases=(purchase,), renewals=(renewal,), also=also, customer_hint=hint
    )


LIFE = (bought("A", "GPA.1", 0), bought("B", "GPA.2", 10, product="plus", also=("A",)), bought("C", "GPA.3", 20, product="pro", also=("B",)))


async def record(world: World, *said: Statement, buyer: str | None = None) -> list[Line]:
    async with world.app.database.transaction(world.project_id) as tx:
        who = (await customers.ensure(tx, [buyer]))[0][buyer] if buyer else None
        await subscriptions.record(tx, [Said(app_id=world.app_ids["test_store"], statement=one, buyer=who) for one in said])
        return await subscriptions.find(tx, [("play_store", "production", token) for token in "ABC"])


def facts(line: Line) -> tuple[str, list[str], datetime | None]:
    return line.subject, [held.purchase.transaction for held in line.held], subscriptions.access_until(line)


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_tokens_that_replace_each_other_are_one_line_in_any_order(world: World, order: tuple[int, ...]) -> None:
    await world.advance(days=21)
    for place in order:
        await record(world, LIFE[place])
    (line,) = await record(world)
    assert facts(line) == ("C", ["GPA.1", "GPA.2", "GPA.3"], START + timedelta(days=20) + MONTH)
    assert await world.bodies() == []
    await record(world, LIFE[order[0]], buyer="ada")
    bodies = await world.bodies("ada")
    charges = [body["transaction_id"] for body in bodies if body["type"] in ("INITIAL_PURCHASE", "RENEWAL")]
    assert sorted(charges) == ["GPA.1", "GPA.2", "GPA.3"]
    assert {body["type"] for body in bodies} <= {"INITIAL_PURCHASE", "RENEWAL", "PRODUCT_CHANGE"}


async def test_tokens_of_one_batch_are_one_line_too(world: World) -> None:
    await world.advance(days=21)
    (line,) = await record(world, *reversed(LIFE))
    assert facts(line) == ("C", ["GPA.1", "GPA.2", "GPA.3"], START + timedelta(days=20) + MONTH)


async def test_the_new_token_belongs_to_the_holder_of_the_old_one(world: World) -> None:
    await world.advance(days=21)
    await record(world, LIFE[0], buyer="ada")
    await record(world, LIFE[1])
    assert [facts(line)[:2] for line in await world.lines("ada")] == [("B", ["GPA.1", "GPA.2"])]


async def test_lines_of_two_customers_that_turn_out_to_be_one_are_the_older_one_s(world: World) -> None:
    await world.advance(days=21)
    await record(world, LIFE[0], buyer="ada")
    await world.advance(seconds=1)
    await record(world, LIFE[2], buyer="bob")
    assert [len(await world.lines(who)) for who in ("ada", "bob")] == [1, 1]
    await record(world, LIFE[1])
    assert [[facts(line)[:2] for line in await world.lines(who)] for who in ("ada", "bob")] == [[("C", ["GPA.1", "GPA.2", "GPA.3"])], []]


async def test_a_purchase_finds_its_buyer_by_the_hash_of_their_id(world: World) -> None:
    await world.customer("ada")
    await world.advance(days=1)
    hashed = "6668aabf6d87f8f2bd4a1b8e5f4b8e1b0b2a5a3a4c3d5e6f7a8b9c0d1e2f3a4b"
    await record(world, replace(LIFE[0], customer_hint=hashed))
    assert await world.lines("ada") == []
    await record(world, bought("B", "GPA.9", 1, hint=sha256(b"ada").hexdigest()))
    assert [line.store_line for line in await world.lines("ada")] == ["B"]


async def test_what_a_store_repeats_of_an_old_purchase_takes_nothing_from_whom_it_was_moved_to(world: World) -> None:
    await world.customer("ada")
    await world.advance(days=1)
    told = bought("A", "GPA.1", 0, hint="ada")
    await record(world, told)
    await record(world, told, buyer="bob")
    assert [len(await world.lines(who)) for who in ("ada", "bob")] == [0, 1]
    await record(world, replace(told, purchases=(replace(told.purchases[0], as_of=START + timedelta(hours=9)),)))
    assert [len(await world.lines(who)) for who in ("ada", "bob")] == [0, 1]


async def test_a_buyer_the_backend_names_is_made_where_there_is_none(world: World) -> None:
    await world.advance(days=1)
    await record(world, replace(LIFE[0], app_user_id="new-here"))
    assert [line.store_line for line in await world.lines("new-here")] == ["A"]

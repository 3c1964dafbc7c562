"""What stores are asked: side by side, recorded together, and one that fails steps aside alone."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from perennial import intake
from perennial.base.errors import Unavailable
from perennial.base.value import replace
from perennial.intake.actions.asking import MOST_AT_ONCE
from perennial.intake.model import RETRY_AFTER, Posted, Question, Reading, StoreApp
from perennial.providers.test_store import TestStore
from perennial.subscriptions.model import Purchase, Statement
from tests.world import START, World

MONTH = timedelta(days=30)


def bought(subject: str, product: str = "pro_monthly") -> Reading:
    purchase = Purchase(
        transaction=f"order-{subject}",
        product=product,
        kind="subscription",
        purchased_at=START,
        expires_at=START + MONTH,
        as_of=START,
        is_first=True,
        is_renewal=False,
    )
    statement = Statement(store="test_store", environment="production", line=subject, purchases=(purchase,), app_user_id=subject)
    return Reading(statements=(statement,))


class Shop(TestStore):
    """A store that says what a test tells it to, and remembers how many asked at once. `wait` is done before an answer."""

    def __init__(self, answers: dict[str, Reading | Exception], wait: Callable[[], object] = lambda: asyncio.sleep(0)) -> None:
        super().__init__()
        self.answers = answers
        self.wait = wait
        self.asking = 0
        self.most_asking = 0

    async def ask(self, app: StoreApp, question: Question, posted: Posted, now: datetime) -> Reading:
        self.asking += 1
        self.most_asking = max(self.most_asking, self.asking)
        await self.wait()  # type: ignore[misc]
        self.asking -= 1
        said = self.answers[question.subject]
        if isinstance(said, Exception):
            raise said
        return said


async def put(world: World, *subjects: str) -> None:
    async with world.app.database.transaction(world.project_id) as tx:
        questions = [(world.app_ids["test_store"], Question(environment="production", subject=subject)) for subject in subjects]
        await intake.inquire(tx, questions, "a test")


async def ask(world: World, shop: Shop) -> int:
    app = replace(world.app, providers={**world.app.providers, "test_store": shop})
    return await intake.ask_due(app.database, app.vault, app.providers, world.project_id)


async def waiting(world: World) -> dict[str, tuple[datetime | None, int, str | None]]:
    """Questions still on the list: when they are due, after how many attempts, and why."""
    async with world.app.database.transaction(world.project_id) as tx:
        rows = await tx.fetch("SELECT subject, wake_at, attempts, last_error FROM inquiry ORDER BY subject")
        return {row["subject"]: (row["wake_at"], row["attempts"], row["last_error"]) for row in rows}


async def test_what_a_store_does_not_answer_waits_alone(world: World) -> None:
    await put(world, "ada", "bob", "cem", "dan")
    shop = Shop({"ada": bought("ada"), "bob": Unavailable("asleep"), "cem": ValueError("a fault of ours"), "dan": bought("dan")})
    assert await ask(world, shop) == 4
    again = START + RETRY_AFTER[0]
    assert await waiting(world) == {"bob": (again, 1, "asleep"), "cem": (again, 1, "ValueError('a fault of ours')")}
    assert await world.entitled("ada") == await world.entitled("dan") == ["pro"]
    assert sorted(await world.told()) == ["INITIAL_PURCHASE", "INITIAL_PURCHASE"]


async def test_an_answer_that_cannot_be_recorded_steps_aside_alone(world: World) -> None:
    await put(world, "ada", "bob", "cem")
    assert await ask(world, Shop({"ada": bought("ada"), "bob": bought("bob", product="no\0product"), "cem": bought("cem")})) == 3
    left = await waiting(world)
    assert list(left) == ["bob"]
    due, attempts, why = left["bob"]
    assert (due, attempts) == (START + RETRY_AFTER[0], 1)
    assert why
    assert await world.entitled("ada") == await world.entitled("cem") == ["pro"]
    assert await world.told("bob") == []


async def test_a_store_is_asked_about_a_few_subjects_at_a_time(world: World) -> None:
    subjects = [f"user-{number}" for number in range(MOST_AT_ONCE * 2 + 1)]
    await put(world, *subjects)
    shop = Shop({subject: bought(subject) for subject in subjects})
    assert await ask(world, shop) == len(subjects)
    assert shop.most_asking == MOST_AT_ONCE
    assert await waiting(world) == {}
    assert await world.told() == ["INITIAL_PURCHASE"] * len(subjects)


async def test_a_question_put_again_while_it_is_answered_stays_due(world: World) -> None:
    await put(world, "ada", "bob")
    shop = Shop({"ada": bought("ada"), "bob": bought("bob")}, lambda: put(world, "ada"))
    assert await ask(world, shop) == 2
    assert await waiting(world) == {"ada": (START, 0, None)}
    assert await world.entitled("ada") == ["pro"]


async def test_a_question_put_again_while_its_last_attempt_fails_is_not_parked(world: World) -> None:
    await put(world, "ada")
    silent = Shop({"ada": Unavailable("asleep")})
    for pause in RETRY_AFTER:
        assert await ask(world, silent) == 1
        await advance_clock(world, pause)
    assert await ask(world, Shop({"ada": Unavailable("asleep")}, lambda: put(world, "ada"))) == 1
    now = await world.now()
    assert await waiting(world) == {"ada": (now, 0, "asleep")}
    for pause in RETRY_AFTER:
        assert await ask(world, silent) == 1
        await advance_clock(world, pause)
    assert await ask(world, silent) == 1
    assert await waiting(world) == {"ada": (None, 6, "asleep")}


async def advance_clock(world: World, by: timedelta) -> None:
    """Moves the clock and runs nothing."""
    async with world.app.database.transaction(world.project_id) as tx:
        await tx.execute("UPDATE project SET clock_at = %(at)s", at=tx.now + by)

"""After an outage: what a store sent meanwhile, and what it says of every line that ran, is found, once, wherever one stopped on the way."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from perennial import intake
from perennial.agenda import run_due
from perennial.app import App
from perennial.base.errors import Invalid, Unavailable
from perennial.base.ids import AppId
from perennial.base.value import replace
from perennial.intake.model import CatchUp
from perennial.providers.simulated import app_store
from perennial.providers.simulated.app_store.model import Delivery
from tests.flows.town import Town

DAY = timedelta(days=1)


async def lost_month(town: Town) -> None:
    """The store's notifications do not reach us while somebody buys, renews and cancels."""
    async with town.transaction() as tx:
        await app_store.set_delivery(tx, town.app_id, Delivery(lost=True))
    await town.buy("monthly")
    await town.until("2025-03-01T00:00:00")


async def catch_up(town: Town, app: App | None = None) -> list[CatchUp]:
    house = app or town.app
    since = await town.now() - 29 * DAY
    steps: AsyncIterator[CatchUp] = intake.catch_up(
        house.database, house.vault, house.providers, town.project_id, AppId(town.app_id), since, "sandbox"
    )
    return [step async for step in steps]


async def test_what_was_lost_is_told_once_and_reported(asking: Town) -> None:
    await lost_month(asking)
    assert await asking.told() == []
    last = (await catch_up(asking))[-1]
    assert (last.told, last.new, last.is_read, last.finished_at is not None) == (2, 2, True, True)
    await run_due(asking.app, asking.project_id, ["money"])
    assert await asking.told() == ["INITIAL_PURCHASE", "RENEWAL"]
    report = await intake.report(asking.app.database, asking.project_id, last)
    assert (report.new, report.open, report.parked, report.unreadable, report.events) == (2, 0, 0, 0, 2)


async def test_doing_it_again_brings_nothing(asking: Town) -> None:
    await lost_month(asking)
    first = (await catch_up(asking))[-1]
    await run_due(asking.app, asking.project_id, ["money"])
    again = (await catch_up(asking))[-1]
    await run_due(asking.app, asking.project_id, ["money"])
    assert again.catch_up_id != first.catch_up_id
    assert (again.told, again.new, again.asked) == (2, 0, 1)
    assert await asking.told() == ["INITIAL_PURCHASE", "RENEWAL"]


async def test_a_line_nobody_spoke_of_is_asked_about(asking: Town) -> None:
    bought = await asking.buy("monthly")
    async with asking.transaction() as tx:
        await app_store.set_delivery(tx, asking.app_id, Delivery(lost=True))
    await asking.do(app_store.cancel, bought)
    assert await asking.told() == ["INITIAL_PURCHASE"]
    assert (await catch_up(asking))[-1].asked == 1
    await run_due(asking.app, asking.project_id, ["money"])
    assert await asking.told() == ["INITIAL_PURCHASE", "CANCELLATION"]


class Faltering:
    """The store, until it has said so many things: then it does not answer."""

    def __init__(self, store: object, after: int) -> None:
        self._store, self._after = store, after

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def missed(self, *asked: object) -> AsyncIterator[object]:
        said = 0
        async for one in self._store.missed(*asked):  # type: ignore[attr-defined]
            if said == self._after:
                raise Unavailable("the store went silent")
            said += 1
            yield one


async def test_one_that_was_interrupted_goes_on(asking: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial.intake.actions.catching_up.BATCH", 1)
    await lost_month(asking)
    faltering = Faltering(asking.app.providers["app_store"], 1)
    broken = replace(asking.app, providers={**asking.app.providers, "app_store": faltering})  # type: ignore[dict-item]
    with pytest.raises(Unavailable):
        await catch_up(asking, broken)
    steps = await catch_up(asking)
    assert len({step.catch_up_id for step in steps}) == 1
    assert (steps[-1].new, steps[-1].finished_at is not None) == (2, True)
    await run_due(asking.app, asking.project_id, ["money"])
    assert await asking.told() == ["INITIAL_PURCHASE", "RENEWAL"]


async def test_an_app_without_credentials_is_told_so(town: Town) -> None:
    with pytest.raises(Invalid, match="no credentials"):
        await catch_up(town)

"""Giving back at Google Play: what an act must name, and how a refund that takes nothing is found."""

from datetime import timedelta

import pytest

from perennial import intake
from perennial.base.money import Money
from perennial.intake.model import CannotAct
from perennial.providers.simulated import play_store as play
from tests.flows.test_simulated_play_store import Shop, shop, usd  # noqa: F401  the fixture


@pytest.mark.parametrize("details", [{}, {"transaction": ""}])
async def test_a_refund_that_names_no_order_is_refused_and_says_what_is_missing(shop: Shop, details: dict[str, str | int]) -> None:  # noqa: F811
    token = await shop.buy()
    with pytest.raises(CannotAct, match="name the order in `transaction`") as refused:
        await shop.act("refund", token, **details)
    assert refused.value.param == "transaction"
    async with shop.transaction() as tx:
        (act,) = await tx.fetch("SELECT last_error, wake_at, done_at FROM store_act WHERE kind = 'refund'")
    assert (act["wake_at"], act["done_at"]) == (None, None)
    assert "GPA" in act["last_error"]
    assert (await shop.line(token)).held[0].purchase.refunds == ()


async def test_a_one_time_purchase_taken_back_without_naming_its_order_is_refused(shop: Shop) -> None:  # noqa: F811
    token = await shop.buy("coins")
    with pytest.raises(CannotAct, match="name the order"):
        await shop.act("revoke", token)


async def test_an_old_refund_that_takes_nothing_is_found_by_catching_up(shop: Shop) -> None:  # noqa: F811
    """Fourteen charges ago: further back than what a notification makes us look at again."""
    token = await shop.buy()
    await shop.world.advance(days=430)
    orders = (await shop.life(token)).orders
    assert len(orders) == 15
    await shop.do(play.refund, token, orders[0].order_id)
    await shop.world.advance(days=33)
    assert (await shop.line(token)).held[0].purchase.refunds == (), "Google tells nobody"
    world, since = shop.world, await shop.world.now() - timedelta(days=60)
    app = world.app
    async for _ in intake.catch_up(app.database, app.vault, app.providers, world.project_id, shop.app_id, since, "sandbox"):  # type: ignore[arg-type]
        pass
    await world.run_due()
    (refund,) = (await shop.line(token)).held[0].purchase.refunds
    assert refund.amount == usd(999) == Money(amount=999, currency="USD")
    assert (await shop.told()).count("REFUND") == 1
    assert await shop.is_entitled(token)

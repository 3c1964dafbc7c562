"""When we were down: a store's silence counts from when it was asked, not from when it would have been."""

from datetime import timedelta

from perennial.base.db import Database
from perennial.providers.simulated import stripe
from tests.flows.test_simulated_stripe import Shop, shop  # noqa: F401  the fixture

DAY = timedelta(days=1)


async def workers_come_back_after(shop: Shop, days: float) -> None:  # noqa: F811
    """The clock has moved, and nothing was run on the way."""
    database: Database = shop.world.app.database
    async with database.transaction(shop.world.project_id) as tx:
        await tx.execute("UPDATE project SET clock_at = %(at)s", at=tx.now + timedelta(days=days))
    await shop.world.run_due()


async def test_what_was_renewed_while_our_workers_were_down_is_not_told_to_be_over(shop: Shop) -> None:  # noqa: F811
    bought = await shop.buy()
    await shop.do(stripe.set_silent, bought, is_silent=True)
    await workers_come_back_after(shop, 40)
    assert await shop.told() == ["INITIAL_PURCHASE", "RENEWAL"]
    assert await shop.status(bought) == "active"


async def test_what_ended_while_our_workers_were_down_is_told_to_be_over_once(shop: Shop) -> None:  # noqa: F811
    bought = await shop.buy()
    await shop.do(stripe.set_silent, bought, is_silent=True)
    await shop.do(stripe.cancel, bought)
    await workers_come_back_after(shop, 40)
    assert await shop.told() == ["INITIAL_PURCHASE", "EXPIRATION"]
    assert (await shop.last())["expiration_reason"] == "UNSUBSCRIBE"
    await shop.world.advance(days=3)
    assert await shop.told() == ["INITIAL_PURCHASE", "EXPIRATION"]


async def test_what_another_worker_is_just_asking_about_is_not_told_to_be_over(shop: Shop) -> None:  # noqa: F811
    """Its question had failed for hours when all workers went away; now they are back, and one has it while the other looks at the line."""
    bought = await shop.buy()
    await shop.do(stripe.set_silent, bought, is_silent=True)
    address = await api_address(shop, "http://127.0.0.1:9")
    await shop.world.advance(days=28, hours=12)
    assert await shop.told() == ["INITIAL_PURCHASE"]
    await api_address(shop, address)
    async with shop.transaction() as tx:
        await tx.execute("UPDATE project SET clock_at = %(at)s", at=tx.now + timedelta(days=4))
        assert await tx.execute("UPDATE inquiry SET wake_at = %(lease)s", lease=tx.now + timedelta(days=4, minutes=3)) == 1
    await shop.world.run_due()
    assert await shop.told() == ["INITIAL_PURCHASE", "RENEWAL"]
    assert await shop.status(bought) == "active"


async def api_address(shop: Shop, address: str) -> str:  # noqa: F811
    """Where the store is asked from now on; where it was until now."""
    async with shop.transaction() as tx:
        before: str = await tx.fetch_value("SELECT api_base_url FROM app WHERE app_id = %(app)s", app=shop.app_id)
        await tx.execute("UPDATE app SET api_base_url = %(address)s WHERE app_id = %(app)s", app=shop.app_id, address=address)
    return before


async def test_a_store_that_does_not_answer_for_a_day_after_the_outage_has_said_enough(shop: Shop) -> None:  # noqa: F811
    bought = await shop.buy()
    await api_address(shop, "http://127.0.0.1:9")
    await shop.do(stripe.set_silent, bought, is_silent=True)
    await workers_come_back_after(shop, 40)
    assert await shop.told() == ["INITIAL_PURCHASE"]
    await shop.world.advance(hours=23)
    assert await shop.told() == ["INITIAL_PURCHASE"]
    await shop.world.advance(hours=2)
    assert await shop.told() == ["INITIAL_PURCHASE", "EXPIRATION"]

"""Cases 12 to 21: money given back, and access taken back, which are not the same."""

from structlog.testing import capture_logs

from perennial import intake, subscriptions
from perennial.base.ids import AppId, new_uuid
from perennial.base.money import Money
from perennial.base.time import to_ms
from perennial.providers.simulated import app_store, play_store
from perennial.providers.simulated import stripe as web
from perennial.subscriptions.model import Revocation
from tests.tricky.market import DAY, Desk, Market, PlayStall, Stall, at
from tests.world import START


def usd(cents: int) -> Money:
    return Money(amount=cents, currency="USD")


async def test_case_12_a_refund_of_an_earlier_period_is_money_and_nothing_else(market: Market, apple: Stall, play: PlayStall, stripe: Stall) -> None:
    line, token, invoice = await apple.buy("pro_monthly"), await play.buy("pro:monthly"), await stripe.buy("prod_pro")
    await market.later(days=40)
    async with market.transaction() as tx:
        first_order = (await play_store.lives(tx, play.app_id))[0].orders[0].order_id
    await apple.do(app_store.refund, line, line)  # the first transaction has the line's number
    await play.do(play_store.refund, token, first_order, revoke=True)
    await stripe.do(web.refund, invoice, invoice=1)
    for stall, key in ((apple, line), (play, token), (stripe, invoice)):
        assert await stall.told() == ["INITIAL_PURCHASE", "RENEWAL", "REFUND"], stall.store
        assert await stall.status(key) == "active", stall.store
        assert (await stall.sales(), await stall.refunds()) == ([999, 999], [999]), stall.store
    assert await market.has_access()
    assert {body["price"] for body in await market.bodies("REFUND")} == {-9.99}


async def test_case_13_a_refund_of_the_present_period_ends_access_when_it_was_made_and_the_next_period_still_comes(
    market: Market, apple: Stall
) -> None:
    line = await apple.buy("pro_monthly")
    await market.until("2026-02-05T12:00:00")
    await apple.loses(lost=True)
    await apple.do(app_store.refund, line)
    await market.until("2026-02-08T12:00:00")
    assert await market.has_access(), "nobody told us yet"
    async with market.transaction() as tx:
        await app_store.resend_lost(tx, apple.app_id)
    await apple.loses(lost=False)
    await market.settle()
    held = await apple.line(line)
    assert (subscriptions.access_until(held), await apple.status(line), await market.has_access()) == (at("2026-02-05T12:00:00"), "revoked", False)
    assert await apple.told() == ["INITIAL_PURCHASE", "CANCELLATION CUSTOMER_SUPPORT", "EXPIRATION CUSTOMER_SUPPORT"]
    (expired,) = await market.bodies("EXPIRATION")
    assert expired["expiration_at_ms"] == expired["perennial"]["happened_at_ms"] == to_ms(at("2026-02-05T12:00:00"))
    await market.until("2026-02-28T11:59:59")
    assert not await market.has_access()
    await market.until("2026-02-28T12:00:01")
    assert (await apple.status(line), await market.has_access()) == ("active", True)
    assert (await apple.told())[3:] == ["RENEWAL"]
    assert (await apple.sales(), await apple.refunds()) == ([999, 999], [999])


async def test_case_14_a_prorated_refund_gives_back_its_share_rounded_once_and_half_to_even(market: Market, apple: Stall) -> None:
    odd, even = await apple.buy("pro_monthly"), await apple.buy("pro_monthly", price=usd(1001))
    await market.later(days=10)
    for line in (odd, even):
        await apple.do(app_store.refund, line, share_ppm=500_000)
        assert (await apple.status(line), subscriptions.access_until(await apple.line(line))) == ("revoked", at("2026-02-10T12:00:00"))
    assert await apple.refunds() == [500, 500]  # 499.5 and 500.5
    assert [body["price"] for body in await market.bodies("CANCELLATION")] == [-5.0, -5.0]
    assert not await market.has_access()


async def test_case_15_a_refund_reversed_restores_what_is_not_past_and_adds_the_money_again(market: Market, apple: Stall) -> None:
    running, past = await apple.buy("pro_monthly"), await apple.buy("pro_monthly")
    await apple.do(app_store.cancel, past)
    await market.until("2026-02-05T12:00:00")
    for line in (running, past):
        await apple.do(app_store.refund, line)
    await market.until("2026-02-15T12:00:00")
    assert not await market.has_access()
    await apple.do(app_store.reverse_refund, running)
    held = (await apple.line(running)).held
    assert (await apple.status(running), [one.purchase.expires_at for one in held]) == ("active", [at("2026-02-28T12:00:00")])
    assert await market.has_access()
    assert await apple.refunds() == [999, 999, -999]
    await market.until("2026-03-15T12:00:00")
    before = await apple.told()
    assert before[-1] == "RENEWAL"
    await apple.do(app_store.reverse_refund, past)
    assert (await apple.told())[len(before) :] == ["REFUND_REVERSED"]
    assert not subscriptions.is_entitled(await apple.line(past), await market.now())
    await market.later(days=3)
    assert len(await apple.told()) == len(before) + 1, "its end was told already"
    assert (await apple.sales(), await apple.refunds()) == ([999, 999, 999], [999, 999, -999, -999])


async def test_case_16_a_refund_without_a_revocation_takes_money_alone(market: Market, play: PlayStall, stripe: Stall) -> None:
    token, subscription = await play.buy("pro:monthly"), await stripe.buy("prod_pro")
    await market.later(days=3)
    await stripe.do(web.refund, subscription)
    await play.do(play_store.refund, token)
    assert await play.told() == ["INITIAL_PURCHASE"], "Google tells nobody, and does not list it as voided"
    assert await stripe.told() == ["INITIAL_PURCHASE", "CANCELLATION CUSTOMER_SUPPORT"]
    await market.until("2026-03-01T12:00:00")  # the renewal is told, and with it the orders are looked at again
    assert await play.told() == ["INITIAL_PURCHASE", "CANCELLATION CUSTOMER_SUPPORT", "RENEWAL"]  # it was the present period when it was given back
    for stall, key in ((play, token), (stripe, subscription)):
        assert (await stall.line(key)).held[0].purchase.revocation is None
        assert (await stall.status(key), await stall.refunds(), await stall.sales()) == ("active", [999], [999, 999])


async def test_case_17_a_purchase_nobody_acknowledged_is_given_back_and_found_out(market: Market, play: PlayStall) -> None:
    token = await play.buy("pro:monthly", is_silent=True)  # neither its notification nor the device's receipt reached us
    await market.later(days=4)
    assert await play.told() == []
    app = market.world.app
    steps = intake.catch_up(app.database, app.vault, app.providers, market.world.project_id, AppId(play.app_id), START, "sandbox")
    with capture_logs() as logs:
        assert [(step.told, step.asked) async for step in steps][-1] == (1, 1)
    alarms = [one["event"] for one in logs if one["log_level"] == "warning"]
    assert alarms == ["Google gave a purchase back because nobody acknowledged it in time"]
    await market.settle()
    (held,) = (await play.line(token)).held
    assert held.purchase.revocation == Revocation(at=START + 3 * DAY, refunded=False)
    assert await play.told() == ["INITIAL_PURCHASE", "CANCELLATION CUSTOMER_SUPPORT", "EXPIRATION CUSTOMER_SUPPORT"]
    assert (await play.sales(), await play.refunds(), await market.has_access()) == ([999], [999], False)


async def test_case_18_refunds_in_part_are_counted_by_their_ids_and_one_may_fail(market: Market, stripe: Stall) -> None:
    key = await stripe.buy("prod_pro")
    await stripe.do(web.refund, key, amount=100)
    await stripe.do(web.refund, key, amount=250)
    await stripe.do(web.refund, key, amount=649)
    purchase = (await stripe.line(key)).held[0].purchase
    assert [(one.amount.amount, one.is_reversed) for one in purchase.refunds] == [(100, False), (250, False), (649, False)]
    assert sum(await stripe.refunds()) == 999
    told = await stripe.told()
    assert told == ["INITIAL_PURCHASE", "REFUND", "REFUND", "CANCELLATION CUSTOMER_SUPPORT"]  # with the last, all of the period was given back
    await stripe.do(web.fail_refund, key)
    assert (await stripe.told())[4:] == ["REFUND_REVERSED"]
    assert sum(await stripe.refunds()) == 350
    assert (await market.has_access(), await stripe.status(key)) == (True, "active")


async def test_case_19_a_chargeback_counts_when_it_is_lost(market: Market, stripe: Stall, play: PlayStall) -> None:
    won, lost = await stripe.buy("prod_pro"), await stripe.buy("prod_max")
    for key in (won, lost):
        await stripe.do(web.dispute, key)
    assert (await stripe.told(), await stripe.refunds()) == (["INITIAL_PURCHASE"] * 2, [])
    await market.later(days=1)
    await stripe.do(web.close_dispute, won, "won")
    await stripe.do(web.close_dispute, lost, "lost")
    assert (await stripe.told(), await stripe.refunds()) == (["INITIAL_PURCHASE", "INITIAL_PURCHASE", "CANCELLATION CUSTOMER_SUPPORT"], [1999])
    kept = [(await stripe.line(key)).held[0].purchase.commission for key in (won, lost)]
    assert kept == [usd(58 + 1500), usd(87 + 1500)], "the fee of a dispute is Stripe's, whoever wins"
    assert await market.posted("sandbox/stores/stripe/commission") == [58, 87, 1500, 1500]
    assert await stripe.status(lost) == "active", "an access to be ended is ended by cancelling: that is the seller's choice"
    token = await play.buy("pro:monthly")
    await market.later(days=2)
    await play.do(play_store.refund, token, revoke=True)  # Google's answer to a chargeback: REVOKED, and the order voided
    assert await play.told() == ["INITIAL_PURCHASE", "CANCELLATION CUSTOMER_SUPPORT", "EXPIRATION CUSTOMER_SUPPORT"]
    assert (await play.refunds(), await play.status(token)) == ([999], "revoked")


async def test_case_20_what_an_upgrade_gives_back_is_no_refund(market: Market, desk: Desk) -> None:
    life = desk.life(START)
    life.subscribe()
    life.upgrade()  # the old transaction comes back marked as upgraded
    await market.later(days=2)
    await desk.hear(life)
    assert await desk.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL"]
    held = (await desk.line("7000")).held
    assert [(one.purchase.is_superseded, one.purchase.revocation, one.purchase.refunds) for one in held] == [(True, None, ()), (False, None, ())]
    assert await desk.refunds() == []
    shown = (await market.world.customer(market.ada))["subscriptions"]
    assert {name: one["refunded_at"] for name, one in shown.items()} == {"pro_monthly": None, "pro_monthly+": None}


async def test_case_21_a_familys_access_taken_back_is_no_money_and_each_member_has_their_own(market: Market, apple: Stall) -> None:
    bob = new_uuid()
    await market.world.customer(bob)
    buyers, member = await apple.buy("pro_monthly"), await apple.buy("pro_monthly", app_account_token=bob, family_shared=True)
    await market.later(days=3)
    await apple.do(app_store.refund, buyers)
    await apple.do(app_store.revoke_family, member)  # what the purchaser's refund brings each of the family
    assert await market.told(who=market.ada) == ["INITIAL_PURCHASE", "CANCELLATION CUSTOMER_SUPPORT", "EXPIRATION CUSTOMER_SUPPORT"]
    assert await market.told(who=bob) == ["INITIAL_PURCHASE", "EXPIRATION CUSTOMER_SUPPORT"]
    assert (await market.has_access(), await market.has_access(bob)) == (False, False)
    assert (await apple.sales(), await apple.refunds()) == ([999], [999])
    revocation = (await apple.line(member)).held[0].purchase.revocation
    assert revocation is not None and not revocation.refunded

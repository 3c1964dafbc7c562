"""Cases 22 to 34: what comes late, twice, early or not at all, and what the calendar does."""

from datetime import UTC, datetime, timedelta

from perennial import ledger, subscriptions
from perennial.base import reading
from perennial.base.time import from_ms, iso, to_ms, wall_clock
from perennial.base.value import replace
from perennial.intake.model import Posted
from perennial.providers.amazon import read as amazon_read
from perennial.providers.amazon.payload import Receipt
from perennial.providers.google import payload as google_payload
from perennial.providers.paddle import payload as paddle_payload
from perennial.providers.roku import payload as roku_payload
from perennial.providers.simulated import app_store, play_store
from perennial.providers.stripe import accounts as stripe_accounts
from perennial.subscriptions.model import Line
from tests import other_stores as others
from tests.tricky.market import DAY, Desk, Mall, Market, PlayStall, Stall, at, open_desk, open_stall
from tests.world import START


def periods(line: Line) -> list[tuple[str, str]]:
    """From when to when, each."""
    return [(iso(one.purchase.purchased_at)[:10], iso(one.purchase.expires_at or START)[:10]) for one in line.held]


async def test_case_22_what_overtakes_something_changes_no_ending(market: Market, desk: Desk) -> None:
    renewed = desk.life(START - 40 * DAY)
    renewed.subscribe()
    renewed.renew()
    for statement in reversed(renewed.messages):
        await desk.post(statement, line="7000")
        await market.settle()
    assert await desk.told() == ["RENEWAL", "INITIAL_PURCHASE"]
    assert await desk.status("7000") == "active"

    recovered = desk.life(START - 60 * DAY)
    recovered.subscribe()
    recovered.fail_without_grace()
    recovered.recover_late()
    purchase, failure, recovery = recovered.messages
    for statement in (purchase, recovery, failure):
        await desk.post(statement, line="8000")
        await market.settle()
    assert (await desk.status("8000"), len((await desk.line("8000")).held)) == ("active", 2)

    wavering = desk.life(START - 5 * DAY)
    wavering.subscribe()
    wavering.cancel()
    wavering.uncancel()
    bought, off, on = wavering.messages
    before = await desk.told()
    for statement in (bought, on, off):
        await desk.post(statement, line="9000")
        await market.settle()
    assert (await desk.told())[len(before) :] == ["INITIAL_PURCHASE"], "the mind that was changed back is untold"
    assert subscriptions.auto_renew_off_at(await desk.line("9000")) is None
    assert await market.has_access()


async def test_case_23_what_is_said_twice_is_told_once(market: Market, desk: Desk, play: PlayStall) -> None:
    life = desk.life(START - 5 * DAY)
    life.subscribe()
    life.refund(life.last)
    await desk.hear(life)
    await desk.hear(life)  # the same messages: the same ids
    refund = life.messages[-1].purchases[0]
    again = replace(life.messages[-1], purchases=(replace(refund, as_of=refund.as_of + timedelta(seconds=1)),))
    await desk.post(again)  # the same refund, in a message of its own
    await market.settle()
    assert await desk.told() == ["INITIAL_PURCHASE", "CANCELLATION CUSTOMER_SUPPORT", "EXPIRATION CUSTOMER_SUPPORT"]
    assert await desk.refunds() == [999]
    assert len(await market.outcomes()) == 3
    token = await play.buy("pro:monthly")
    for message in ("one", "two", "two"):  # Google publishes to two subscriptions of ours, one of them twice
        await play.push(token, 4, message_id=message)
    assert await play.told() == ["INITIAL_PURCHASE"]
    assert await play.sales() == [999]


async def test_case_24_a_renewal_told_a_day_ahead_leaves_no_gap_and_counts_from_its_period(market: Market, desk: Desk) -> None:
    life = desk.life(START)
    life.subscribe()
    await market.later(minutes=1)
    await desk.hear(life)
    end = life.last.expires_at
    assert end is not None
    life.clock = end - DAY
    life._say(life._charge(at=end, product=life.product, is_renewal=True))
    await market.later(days=29)
    await desk.hear(life, since=1)
    assert await desk.told() == ["INITIAL_PURCHASE", "RENEWAL"]
    async with market.transaction() as tx:
        newest, *_ = await ledger.history(tx, "sandbox/revenue/app_store")
    assert newest.transfer.happened_at == end > await market.now()
    for hours in (23.9, 0.2, 24 * 20):
        await market.later(hours=hours)
        assert (await market.has_access(), await desk.status("7000")) == (True, "active")
    assert await desk.told() == ["INITIAL_PURCHASE", "RENEWAL"]


async def test_case_25_recovered_within_grace_the_anchor_stays_and_no_day_counts_twice(market: Market, apple: Stall, play: PlayStall) -> None:
    line, token = await apple.buy("pro_monthly"), await play.buy("pro:monthly")
    await apple.do(app_store.fail_next_renewal, line, grace_days=16, recover_after_days=5)
    await play.do(play_store.fail_next_renewal, token, grace_days=7, recover_after_days=5)
    await market.until("2026-03-03T12:00:00")
    assert (await apple.status(line), await play.status(token), await market.has_access()) == ("in_grace_period", "in_grace_period", True)
    assert await apple.sales() == await play.sales() == [999]
    await market.until("2026-03-06T12:00:00")
    for stall in (apple, play):
        assert await stall.told() == ["INITIAL_PURCHASE", "BILLING_ISSUE", "CANCELLATION BILLING_ERROR", "RENEWAL"], stall.store
        assert await stall.sales() == [999, 999]
    assert periods(await apple.line(line)) == [("2026-01-31", "2026-02-28"), ("2026-02-28", "2026-03-31")]
    assert periods(await play.line(token)) == [("2026-01-31", "2026-02-28"), ("2026-02-28", "2026-03-28")]


async def test_case_26_recovered_later_the_gap_stays_in_history(market: Market, apple: Stall, play: PlayStall) -> None:
    line, token = await apple.buy("pro_monthly"), await play.buy("pro:monthly")
    await apple.do(app_store.fail_next_renewal, line, grace_days=6, recover_after_days=20)
    await play.do(play_store.fail_next_renewal, token, grace_days=7, recover_after_days=20)
    await market.until("2026-03-06T11:59:59")
    assert await market.has_access()
    await market.until("2026-03-10T12:00:00")
    assert not await market.has_access()
    await market.until("2026-03-21T12:00:00")
    assert await market.has_access()
    for stall, key, grace in ((apple, line, at("2026-03-06T12:00:00")), (play, token, at("2026-03-07T12:00:00"))):
        told = ["INITIAL_PURCHASE", "BILLING_ISSUE", "CANCELLATION BILLING_ERROR", "EXPIRATION BILLING_ERROR", "RENEWAL"]
        assert await stall.told() == told, stall.store
        held = await stall.line(key)
        assert subscriptions.access_end(held, held.held[0]) == grace, stall.store
        assert held.held[1].purchase.purchased_at == at("2026-03-20T12:00:00"), stall.store


async def test_case_27_grace_that_nothing_follows_ends_once_and_at_its_end(market: Market, desk: Desk) -> None:
    life = desk.life(START - 30 * DAY)
    life.subscribe()
    life.fail_in_grace(16)
    await market.later(minutes=1)
    await desk.hear(life)
    await market.until("2026-02-16T11:59:59")
    assert await market.has_access()
    await market.later(seconds=2)
    assert not await market.has_access()
    await market.later(days=90)
    assert await desk.told() == ["INITIAL_PURCHASE", "BILLING_ISSUE", "CANCELLATION BILLING_ERROR", "EXPIRATION BILLING_ERROR"]
    (expired,) = await market.bodies("EXPIRATION")
    assert expired["perennial"]["happened_at_ms"] == to_ms(at("2026-02-16T12:00:00"))


async def test_case_28_back_on_the_fifty_ninth_day_it_is_the_same_subscription(market: Market, apple: Stall, play: PlayStall) -> None:
    line, token = await apple.buy("pro_monthly"), await play.buy("pro:monthly")
    await apple.do(app_store.fail_next_renewal, line, recover_after_days=59)
    await play.do(play_store.fail_next_renewal, token, grace_days=3, recover_after_days=59)
    await market.until("2026-04-28T11:00:00")
    assert not await market.has_access()
    assert (await apple.status(line), await play.status(token)) == ("in_billing_retry", "in_billing_retry")
    await market.until("2026-04-28T12:01:00")
    for stall in (apple, play):
        told = ["INITIAL_PURCHASE", "BILLING_ISSUE", "CANCELLATION BILLING_ERROR", "EXPIRATION BILLING_ERROR", "RENEWAL"]
        assert await stall.told() == told, stall.store
        assert await stall.sales() == [999, 999]
    assert await market.has_access()


async def test_case_29_cancelled_while_the_charge_fails_it_ends_by_the_customers_word(market: Market, play: PlayStall) -> None:
    in_grace, on_hold, given_up = [await play.buy("pro:monthly") for _ in range(3)]
    for token in (in_grace, on_hold, given_up):
        await play.do(play_store.fail_next_renewal, token, grace_days=7)
    await market.until("2026-03-03T12:00:00")
    await play.do(play_store.cancel, in_grace)
    assert not subscriptions.is_entitled(await play.line(in_grace), await market.now())
    assert subscriptions.is_entitled(await play.line(on_hold), await market.now())
    assert [body["expiration_reason"] for body in await market.bodies("EXPIRATION")] == ["UNSUBSCRIBE"]
    await market.until("2026-03-20T12:00:00")
    await play.do(play_store.cancel, on_hold)
    await market.until("2026-05-20T12:00:00")
    ended = [(await play.line(token)).renewals[-1].ended for token in (in_grace, on_hold, given_up)]
    assert ended == ["unsubscribe", "unsubscribe", "billing_error"]
    reasons = [body["expiration_reason"] for body in await market.bodies("EXPIRATION")]
    assert reasons == ["UNSUBSCRIBE", "BILLING_ERROR", "BILLING_ERROR"]  # on hold, access had ended for the failed charge


async def test_case_30_a_day_given_silently_is_no_renewal(market: Market, play: PlayStall) -> None:
    token = await play.buy("pro:monthly")
    await play.do(play_store.fail_next_renewal, token)
    await market.until("2026-03-01T11:00:00")
    assert (await market.has_access(), await play.sales()) == (True, [999])
    assert [one for one in await play.told() if one != "SUBSCRIPTION_EXTENDED"] == ["INITIAL_PURCHASE"]
    await market.until("2026-03-01T12:30:00")
    assert not await market.has_access()
    await market.later(days=3)
    assert "RENEWAL" not in await play.told()
    assert (await play.told())[-1] == "EXPIRATION BILLING_ERROR"
    assert (len((await play.line(token)).held), await play.sales()) == (1, [999])


async def test_case_31_month_ends_and_leap_days_are_each_stores_own(market: Market, mall: Mall, apple: Stall, play: PlayStall, stripe: Stall) -> None:
    line, token, web_line = await apple.buy("pro_monthly"), await play.buy("pro:monthly"), await stripe.buy("prod_pro")
    await market.until("2026-05-01T00:00:00")
    back_again = [("2026-01-31", "2026-02-28"), ("2026-02-28", "2026-03-31"), ("2026-03-31", "2026-04-30"), ("2026-04-30", "2026-05-31")]
    assert periods(await apple.line(line)) == periods(await stripe.line(web_line)) == back_again
    assert periods(await play.line(token))[:3] == [("2026-01-31", "2026-02-28"), ("2026-02-28", "2026-03-28"), ("2026-03-28", "2026-04-28")]
    receipt = Receipt(receipt_id="r", product_id="pro", product_type="SUBSCRIPTION", purchase_date=to_ms(START), term="1 Month", auto_renewing=False)
    for seen, end in (("2026-02-10", "2026-02-28"), ("2026-03-10", "2026-03-31"), ("2026-04-10", "2026-04-30")):
        stated = amazon_read.statement(others.app("amazon"), receipt, "u", Posted(), at(f"{seen}T00:00:00"), is_sandbox=False)
        assert stated.purchases[0].expires_at == at(f"{end}T12:00:00")
    leaping = await Market.open(mall, start=at("2024-02-29T12:00:00"))
    yearly = await (shop := await open_stall(leaping, "app_store")).buy("pro_annual")
    await leaping.until("2028-06-01T00:00:00")
    assert [end for _, end in periods(await shop.line(yearly))] == ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29", "2029-02-28"]


def test_case_32_every_stores_moments_are_one_instant() -> None:
    instant = datetime(2026, 3, 29, 1, 30, 0, 123000, UTC)  # the night clocks go forward in Europe
    assert from_ms(1774747800123) == instant  # Apple, Amazon
    assert google_payload.moment("2026-03-29T01:30:00.123456789Z", "expiryTime") == instant + timedelta(microseconds=456)
    assert google_payload.moment("2026-03-29T01:30:00.123Z", "expiryTime") == instant
    assert stripe_accounts.moment(1774747800) == instant.replace(microsecond=0)
    assert roku_payload.moment("/Date(1774747800123+0200)/", "expirationDate") == instant  # the zone is for people; the number is UTC
    assert roku_payload.moment("2026-03-29T01:30:00.123Z", "eventDate") == instant
    event = others.paddle_event("subscription.updated", {}, instant).replace(b"01:30:00.123000+00:00", b"01:30:00.123456Z")
    assert reading.decode(event, paddle_payload.Event).at(instant) == instant + timedelta(microseconds=456)


async def test_case_33_a_date_moved_on_costs_nothing_and_is_no_renewal(market: Market, apple: Stall, play: PlayStall) -> None:
    line, token = await apple.buy("pro_monthly"), await play.buy("pro:monthly")
    await apple.do(app_store.extend, line, 10)
    await play.do(play_store.defer, token, timedelta(days=10))
    for stall, key in ((apple, line), (play, token)):
        assert await stall.told() == ["INITIAL_PURCHASE", "SUBSCRIPTION_EXTENDED"], stall.store
        assert (await stall.sales(), len((await stall.line(key)).held)) == ([999], 1)
    await market.until("2026-03-10T11:00:00")
    assert await market.has_access()
    assert await market.bodies("RENEWAL") == []
    await market.until("2026-03-10T12:01:00")
    assert [body["renewal_number"] for body in await market.bodies("RENEWAL")] == [2, 2]
    assert await apple.sales() == await play.sales() == [999, 999]


async def test_case_34_a_clock_a_little_ahead_is_believed_and_one_far_ahead_is_not(mall: Mall) -> None:
    market = await Market.open(mall, start=wall_clock())
    desk = await open_desk(market)
    ahead, far = desk.life(await market.now() + timedelta(minutes=4)), desk.life(await market.now() + timedelta(minutes=10))
    ahead.subscribe()
    far.subscribe()
    assert (await desk.hook(desk.notification(far.messages[0], line="8000"))).status_code == 401  # Apple sends it again, when it is no longer ahead
    await desk.hear(ahead)
    assert await market.told() == ["INITIAL_PURCHASE"]
    assert await market.has_access()
    assert len(await market.outcomes()) == 1

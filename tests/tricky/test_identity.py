"""Cases 1 to 11: which purchase is whose, and which purchases are one."""

import asyncio
from datetime import timedelta
from hashlib import sha256

from perennial import catalog, subscriptions
from perennial.base.money import Money
from perennial.base.value import replace
from perennial.providers.simulated import app_store, play_store
from perennial.providers.simulated import stripe as web
from perennial.providers.simulated.play_store import rules as play_rules
from perennial.subscriptions.model import Purchase, Statement
from tests import google_messages as wire
from tests import stripe_objects
from tests.apple_messages import transaction
from tests.tricky.market import DAY, Desk, Market, PlayStall, Stall, at
from tests.world import START


async def test_case_01_an_upgraded_google_token_inherits_its_line_and_the_old_ones_end_is_not_told(market: Market, play: PlayStall) -> None:
    old = await play.buy("basic:monthly")
    await market.later(days=3)
    new = play_store.bought(await play.do(play_store.upgrade, old, "pro:monthly")).token  # the store tells 4 for the new, then 13 for the old
    assert await play.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "INITIAL_PURCHASE"]
    assert (await play.line(new)).line_id == (await play.line(old)).line_id
    await play.push(old, 13, message_id="late-13")
    await market.later(hours=30)
    assert await play.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "INITIAL_PURCHASE"]
    assert await market.has_access()
    assert len(await market.world.lines(market.ada)) == 1

    other = await play.buy("basic:monthly")
    await market.later(days=3)
    await play.do(play_store.set_silent, other, is_silent=True)
    newer = play_store.bought(await play.do(play_store.upgrade, other, "pro:monthly")).token
    before = await play.told()
    await play.push(other, 13, message_id="13-before-4")  # its answer says that it was replaced: the successor is waited for
    assert await play.told() == before
    assert subscriptions.is_entitled(await play.line(other), await market.now())
    await market.later(minutes=1)
    await play.push(newer, 4, message_id="4-at-last")
    await market.later(hours=30)
    assert (await play.told())[len(before) :] == ["PRODUCT_CHANGE", "INITIAL_PURCHASE"]
    assert not any(told.startswith("EXPIRATION") for told in await play.told())
    assert subscriptions.is_entitled(await play.line(newer), await market.now())


async def test_case_02_a_token_whose_predecessor_never_reached_us_is_linked_through_it(
    market: Market, play: PlayStall, google: PlayStall, fake: wire.FakeGoogle
) -> None:
    first = await play.buy("basic:monthly")
    await play.do(play_store.set_silent, first, is_silent=True)
    await market.later(days=2)
    second = play_store.bought(await play.do(play_store.upgrade, first, "pro:monthly")).token
    async with market.transaction() as tx:  # a device acknowledged it, we never heard of it
        await play_store.act(tx, play.app_id, second, lambda life: play_rules.acknowledge(life, life.newest))
    await market.later(days=2)
    third = play_store.bought(await play.do(play_store.upgrade, second, "pro:yearly")).token
    await play.push(third, 4, message_id="third")
    line = await play.line(third)
    assert line.line_id == (await play.line(first)).line_id
    assert [held.purchase.product for held in line.held] == ["basic:monthly", "pro:monthly", "pro:yearly"]
    assert await play.told() == ["INITIAL_PURCHASE", "INITIAL_PURCHASE", "PRODUCT_CHANGE", "INITIAL_PURCHASE"]
    assert await play.sales() == [499, 999, 5999]
    assert await market.has_access()

    # Where Google has forgotten what lies between, the line is another; its owner has both.
    who = {"externalAccountIdentifiers": {"obfuscatedExternalAccountId": sha256(market.ada.encode()).hexdigest()}}
    now = await market.now()
    for token, linked, end in (("A", None, now + 20 * DAY), ("C", "B", now + 30 * DAY)):
        fake.answers.clear()
        answer = wire.subscription("ACTIVE", wire.line_item("pro", f"GPA.{token}", end), linkedPurchaseToken=linked, **who)
        fake.says(f"/purchases/subscriptionsv2/tokens/{token}", answer)
        fake.refuses("/purchases/subscriptionsv2/tokens/B", 410, "purchaseTokenNoLongerValid")
        fake.has(wire.order(f"GPA.{token}", now, end, token=token))
        await google.push(token, 4, message_id=token)
    assert (await google.told())[-2:] == ["INITIAL_PURCHASE", "INITIAL_PURCHASE"]
    assert {line.store_line for line in await market.world.lines(market.ada)} == {first, "A", "C"}


async def test_case_03_a_resubscription_on_another_app_account_is_transferred_once(market: Market, desk: Desk) -> None:
    bob = "0a1b2c3d-8f5e-4a55-9d5e-6f0d1c2e4e5f"
    await market.world.customer(bob)
    life = desk.life(START)
    life.subscribe()
    life.cancel()
    await desk.hear(life, token=market.ada)
    await market.later(days=60)
    assert not await market.has_access()
    life.expire()
    life.clock = await market.now()
    life.subscribe()
    for _ in range(2):
        await desk.hear(life, token=bob, since=2)
    assert await market.told(who=market.ada) == ["INITIAL_PURCHASE", "CANCELLATION UNSUBSCRIBE", "EXPIRATION UNSUBSCRIBE"]
    assert await market.told(who=bob) == ["TRANSFER", "RENEWAL"]
    assert (await market.has_access(bob), await market.has_access()) == (True, False)
    assert [len(await market.world.lines(who)) for who in (market.ada, bob)] == [0, 1]

    async with market.transaction() as tx:
        await catalog.update_project(tx, restore_behavior="keep")
    refused = await desk.receipt(desk.signed(life.purchases[-1]), market.ada)
    assert (refused.status_code, refused.json()["code"]) == (409, 7102)
    assert (await market.told(who=bob)).count("TRANSFER") == 1


async def test_case_04_what_an_anonymous_customer_bought_is_merged_and_not_transferred(market: Market, apple: Stall) -> None:
    anonymous = "$RCAnonymousID:" + "a" * 32
    async with market.transaction() as tx:
        bought = await app_store.buy(tx, market.world.app.vault, apple.app_id, product="pro_monthly")
    assert (await apple.receipt(bought.signed_transaction, anonymous)).status_code == 200
    assert (await apple.receipt(bought.signed_transaction, market.ada, is_restore=True)).status_code == 200
    await market.settle()
    assert await market.told() == ["INITIAL_PURCHASE"]
    assert await market.has_access() and await market.has_access(anonymous)
    aliases = (await market.bodies("INITIAL_PURCHASE"))[0]["aliases"]
    assert aliases == [anonymous], "what was told before they were one person stays as it was told"
    await market.later(days=29)
    assert sorted((await market.bodies("RENEWAL"))[0]["aliases"]) == sorted([anonymous, market.ada])


async def test_case_05_out_of_app_resubscriptions_are_read_before_they_are_acknowledged(market: Market, play: PlayStall) -> None:
    lapsed = await play.buy("pro:monthly")
    await play.do(play_store.cancel, lapsed)
    await market.later(days=40)
    assert not await market.has_access()
    again = play_store.bought(await play.do(play_store.resubscribe, lapsed, "pro:yearly")).token
    async with market.transaction() as tx:
        (life,) = await play_store.lives(tx, play.app_id)
    assert (life.newest.is_acknowledged, life.newest.lapsed) == (True, None), "acknowledged, and what named the lapsed token is gone"
    assert (await play.line(again)).line_id == (await play.line(lapsed)).line_id
    assert await market.has_access()
    assert await play.told() == ["INITIAL_PURCHASE", "CANCELLATION UNSUBSCRIBE", "EXPIRATION UNSUBSCRIBE", "RENEWAL"]


async def test_case_06_an_apple_line_taken_up_years_later_is_not_coloured_by_its_earlier_run(market: Market, apple: Stall) -> None:
    line = await apple.buy("pro_monthly")
    await market.later(days=5)
    await apple.do(app_store.cancel, line)
    await apple.do(app_store.refund, line)
    assert not await market.has_access()
    await market.until("2029-06-01T00:00:00")
    told = ["INITIAL_PURCHASE", "CANCELLATION UNSUBSCRIBE", "CANCELLATION CUSTOMER_SUPPORT", "EXPIRATION CUSTOMER_SUPPORT"]
    assert await apple.told() == told
    await apple.resubscribe(line, "pro_annual")
    assert (await apple.status(line), await market.has_access()) == ("active", True)
    held = await apple.line(line)
    assert subscriptions.auto_renew_off_at(held) is None
    assert (held.held[-1].purchase.revocation, held.held[-1].purchase.product) == (None, "pro_annual")
    await market.until("2030-06-02T00:00:00")
    assert (await apple.told())[len(told) :] == ["RENEWAL", "RENEWAL"]
    assert (await apple.sales(), await apple.refunds()) == ([999, 5999, 5999], [999])


async def test_case_07_an_upgrade_during_an_introductory_offer_leaves_the_newest_purchase_to_speak(market: Market, apple: Stall) -> None:
    line = await apple.buy("pro_monthly", offer="free_trial")
    await market.later(days=2)
    await apple.do(app_store.upgrade, line, "plus_monthly")
    assert await apple.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL"]
    held = await apple.line(line)
    newest = subscriptions.latest(held)
    assert newest is not None and newest.purchase.product == "plus_monthly"
    assert subscriptions.access_until(held) == newest.purchase.expires_at == at("2026-03-02T12:00:00")
    await market.later(days=6)  # past the trial's end
    assert (await apple.told(), await market.has_access()) == (["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL"], True)
    assert await apple.sales() == [1999]


async def test_case_08_one_of_two_stores_ending_takes_no_access(market: Market, apple: Stall, stripe: Stall) -> None:
    await apple.buy("pro_annual")
    await stripe.do(web.cancel, await stripe.buy("prod_pro"))
    await market.later(days=40)
    assert await stripe.told() == ["INITIAL_PURCHASE", "CANCELLATION UNSUBSCRIBE", "EXPIRATION UNSUBSCRIBE"]
    assert await apple.told() == ["INITIAL_PURCHASE"]
    assert await market.has_access()
    shown = (await market.world.customer(market.ada))["subscriptions"]
    assert {name: one["store"] for name, one in shown.items()} == {"pro_annual": "app_store", "prod_pro": "stripe"}
    pro = (await market.world.customer(market.ada))["entitlements"]["pro"]
    assert (pro["product_identifier"], pro["expires_date"]) == ("pro_annual", "2027-01-31T12:00:00Z")


async def test_case_09_sdk_and_store_telling_at_once_is_one_purchase(market: Market, desk: Desk) -> None:
    life = desk.life(START)
    life.subscribe()
    await market.later(hours=1)
    body, receipt = desk.notification(life.messages[0]), desk.signed(life.purchases[0])
    answers = await asyncio.gather(*(desk.hook(body) if turn % 2 else desk.receipt(receipt, market.ada) for turn in range(6)))
    assert [one.status_code for one in answers] == [200] * 6
    await asyncio.gather(*(market.settle() for _ in range(3)))
    assert await market.told() == ["INITIAL_PURCHASE"]
    assert await desk.sales() == [999]
    assert await market.has_access()


async def test_case_10_what_is_genuine_but_anothers_is_refused(
    market: Market, desk: Desk, google: PlayStall, fake: wire.FakeGoogle, stripe: Stall
) -> None:
    life = desk.life(START)
    life.subscribe()
    await market.later(hours=1)
    foreign = transaction(life.purchases[0], line="7000") | {"bundleId": "com.example.other"}
    refused = await desk.receipt(desk.pen.sign(foreign), market.ada)
    assert (refused.status_code, refused.json()["code"]) == (400, 7103)
    assert (await desk.hook(desk.spliced(life.messages[0], "7000", "8000"))).status_code == 200  # ours outside; within, of two subscriptions
    now = int((await market.now()).timestamp())
    elsewhere = wire.push({**wire.about_subscription(4, "A"), "packageName": "com.example.other"}, message_id="p")
    assert (await google.hook(elsewhere, **wire.bearer(wire.push_token(iat=now, exp=now + 3600)))).status_code == 200
    event = stripe_objects.event("invoice.paid", stripe_objects.invoice(), account="acct_other", created=now)
    assert (await stripe.hook(event, **await stripe.signs(event))).status_code == 200
    await market.settle()
    outcomes = sorted(await market.outcomes())
    assert [outcome.split(":")[0] for outcome in outcomes] == ["invoice.paid", "unreadable", "unreadable"]
    assert "the connected account acct_other" in outcomes[0]
    assert (await market.told(), await market.has_access(), fake.asked) == ([], False, [])


async def test_case_11_a_sandbox_purchase_is_never_productions(market: Market) -> None:
    app_id = market.world.app_ids["app_store"]
    bought = Purchase(
        transaction="1",
        product="pro_monthly",
        kind="subscription",
        purchased_at=START,
        expires_at=START + timedelta(days=30),
        as_of=START,
        is_first=True,
        is_renewal=False,
        price=Money(amount=999, currency="USD"),
    )
    production = Statement(store="app_store", environment="production", line="1", purchases=(bought,))
    await market.record(app_id, production, buyer=market.ada)
    await market.record(app_id, replace(production, environment="sandbox"), buyer=market.ada)  # another purchase
    lines = await market.world.lines(market.ada)
    assert sorted(line.environment for line in lines) == ["production", "sandbox"]
    assert sorted(body["environment"] for body in await market.bodies("INITIAL_PURCHASE")) == ["PRODUCTION", "SANDBOX"]
    assert await market.posted("revenue/app_store") == [999]
    assert await market.posted("sandbox/revenue/app_store") == [999]

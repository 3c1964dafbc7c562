"""Cases 35 to 51: trials, prices, other products, money in every spelling, and what the catalog does not know."""

from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256

from perennial import catalog, subscriptions
from perennial.base.money import Money, from_milliunits
from perennial.base.time import to_ms
from perennial.providers.apple.countries import ALPHA_2
from perennial.providers.google.payload import WireMoney
from perennial.providers.google.payload import money as google_money
from perennial.providers.paddle.read import amount as paddle_amount
from perennial.providers.roku.payload import money as roku_money
from perennial.providers.simulated import app_store, play_store
from perennial.providers.simulated import stripe as web
from perennial.providers.stripe.money import money as stripe_money
from tests import google_messages as wire
from tests import other_stores as others
from tests import stripe_objects
from tests.answering import Answering
from tests.rules import test_amazon_appstore as amazon_objects
from tests.rules import test_paddle_billing as paddle_objects
from tests.tricky.market import DAY, Desk, Market, PlayStall, Stall, at, open_scripted
from tests.world import START


def usd(cents: int) -> Money:
    return Money(amount=cents, currency="USD")


# Trials and prices ------------------------------------------------------------------------------------------------------------


async def test_case_35_a_trial_is_what_the_store_calls_one_and_not_what_costs_nothing(
    market: Market, desk: Desk, stripe: Stall, google: PlayStall, fake: wire.FakeGoogle
) -> None:
    life = desk.life(START - DAY)
    life.subscribe()
    for line, changes in {"7000": {"price": 0, "offerType": 3}, "8000": {"price": 0, "offerType": 3, "offerDiscountType": "FREE_TRIAL"}}.items():
        assert (await desk.receipt(desk.signed(life.last, line=line, **changes), market.ada)).status_code == 200
    kinds = {line: (await desk.line(line)).held[0].purchase.period_type for line in ("7000", "8000")}
    assert kinds == {"7000": "normal", "8000": "trial"}
    coupon, trial = await stripe.buy("prod_pro", price=usd(0)), await stripe.buy("prod_pro", free_trial=True)  # both make a paid invoice of nothing
    assert [(await stripe.line(key)).held[0].purchase.period_type for key in (coupon, trial)] == ["normal", "trial"]
    for token, phase in (("free", "baseDetails"), ("trial", "freeTrialDetails")):
        order = f"GPA.{token}"
        fake.answers.clear()
        fake.says(f"/purchases/subscriptionsv2/tokens/{token}", wire.subscription("ACTIVE", wire.line_item("pro", order, START + 30 * DAY)))
        fake.has(wire.order(order, START, START + 30 * DAY, price="0", tax="0", revenue="0", phase=phase, token=token))
        await google.push(token, 4, message_id=token)
    assert [(await google.line(token)).held[0].purchase.period_type for token in ("free", "trial")] == ["normal", "trial"]
    assert await stripe.sales() == await desk.sales() == await google.sales("EUR") == []


async def test_case_36_who_left_in_the_trial_and_comes_back_converts_it(market: Market, apple: Stall) -> None:
    line = await apple.buy("pro_monthly", offer="free_trial")
    await market.later(days=2)
    await apple.do(app_store.cancel, line)
    await market.later(days=30)
    assert not await market.has_access()
    await apple.resubscribe(line, "pro_monthly")
    assert await apple.told() == ["INITIAL_PURCHASE", "CANCELLATION UNSUBSCRIBE", "EXPIRATION UNSUBSCRIBE", "RENEWAL"]
    (renewal,) = await market.bodies("RENEWAL")
    assert (renewal["is_trial_conversion"], renewal["period_type"], renewal["price"]) == (True, "NORMAL", 9.99)
    assert await market.has_access()
    await market.later(days=32)
    assert [body["is_trial_conversion"] for body in await market.bodies("RENEWAL")] == [True, False]


async def test_case_37_a_higher_price_nobody_agreed_to_ends_it_and_one_that_was_agreed_to_is_paid(
    market: Market, apple: Stall, google: PlayStall, fake: wire.FakeGoogle
) -> None:
    silent, agreed, noticed = [await apple.buy("pro_monthly") for _ in range(3)]
    await apple.do(app_store.raise_price, silent, usd(1299), needs_consent=True)
    await apple.do(app_store.raise_price, agreed, usd(1299), needs_consent=True)
    await apple.do(app_store.raise_price, noticed, usd(1299), needs_consent=False)
    await market.later(days=1)
    await apple.do(app_store.consent, agreed)
    consents = [(await apple.line(line)).renewals[-1].price_consent for line in (silent, agreed, noticed)]
    assert consents == ["pending", "accepted", "accepted"]
    assert (await apple.told(), await market.has_access()) == (["INITIAL_PURCHASE"] * 3, True)
    await market.until("2026-03-02T00:00:00")
    assert [await apple.status(line) for line in (silent, agreed, noticed)] == ["expired", "active", "active"]
    assert [body["price"] for body in await market.bodies("RENEWAL")] == [12.99, 12.99]
    assert [body["expiration_reason"] for body in await market.bodies("EXPIRATION")] == ["PRICE_INCREASE"]

    await market.world.track(google.app_id)
    now, end = await market.now(), await market.now() + 10 * DAY
    change = {"priceChangeMode": "PRICE_INCREASE", "priceChangeState": "OUTSTANDING"}
    plan = {"autoRenewEnabled": True, "priceChangeDetails": change}
    off = {"priceChangeDetails": change}
    system = {"canceledStateContext": {"systemInitiatedCancellation": {}}}
    answers = (
        wire.subscription("ACTIVE", wire.line_item("pro", "GPA.1", end, autoRenewingPlan=plan)),
        wire.subscription("CANCELED", wire.line_item("pro", "GPA.1", end, autoRenewingPlan=off), **system),
        wire.subscription("EXPIRED", wire.line_item("pro", "GPA.1", end, autoRenewingPlan=off), **system),
    )
    fake.says("/purchases/subscriptionsv2/tokens/A", *answers)
    fake.has(wire.order("GPA.1", now, end))
    for days, type in ((0, 4), (9, 3), (1.01, 13)):  # purchased, cancelled, expired
        await market.later(days=days)
        await google.push("A", type, message_id=str(type))
    told = ["INITIAL_PURCHASE", "CANCELLATION PRICE_INCREASE", "EXPIRATION PRICE_INCREASE"]
    assert await market.told("play_store") == told


# Other products ---------------------------------------------------------------------------------------------------------------


async def test_case_38_minds_changed_about_a_downgrade_end_where_they_end(market: Market, apple: Stall) -> None:
    line = await apple.buy("plus_monthly")
    told = ["INITIAL_PURCHASE"]
    for verb, arguments, more in (
        (app_store.downgrade, ("pro_monthly",), ["PRODUCT_CHANGE"]),
        (app_store.cancel, (), ["CANCELLATION UNSUBSCRIBE"]),
        (app_store.downgrade, ("pro_monthly",), ["UNCANCELLATION"]),  # Apple turns auto-renew on again and does not say so
        (app_store.revert_downgrade, (), []),
    ):
        await market.later(days=1)
        await apple.do(verb, line, *arguments)
        told += more
        assert await apple.told() == told
        assert [held.purchase.product for held in (await apple.line(line)).held] == ["plus_monthly"]
    await market.until("2026-03-01T00:00:00")
    assert await apple.told() == [*told, "RENEWAL"]
    assert [held.purchase.product for held in (await apple.line(line)).held] == ["plus_monthly", "plus_monthly"]
    assert await market.has_access()


async def test_case_39_a_change_deferred_at_google_leaves_the_old_product_until_it_renews(market: Market, play: PlayStall) -> None:
    token = await play.buy("pro:monthly")
    await market.later(days=5)
    new = play_store.bought(await play.do(play_store.downgrade, token, "basic:monthly")).token
    line = await play.line(new)
    assert [held.purchase.product for held in line.held] == ["pro:monthly"]
    assert line.renewals[-1].next_product == "basic:monthly"
    assert await play.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE"]
    (change,) = await market.bodies("PRODUCT_CHANGE")
    assert (change["product_id"], change["new_product_id"]) == ("pro:monthly", "basic:monthly")
    await market.until("2026-02-28T11:59:00")
    assert (await market.has_access(), await play.sales()) == (True, [999])
    await market.until("2026-02-28T12:01:00")
    assert (await play.told(), await play.sales()) == (["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL"], [999, 499])
    assert [held.purchase.product for held in (await play.line(new)).held] == ["pro:monthly", "basic:monthly"]
    assert await market.has_access()


async def test_case_40_a_crossgrade_counts_at_once_or_with_the_next_period_by_its_length(market: Market, apple: Stall) -> None:
    line = await apple.buy("pro_monthly")
    await market.later(days=3)
    await apple.do(app_store.upgrade, line, "plus_monthly")  # as long: at once
    await apple.do(app_store.downgrade, line, "pro_annual")  # of another length: with the next period
    assert await apple.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL", "PRODUCT_CHANGE"]
    assert [body["new_product_id"] for body in await market.bodies("PRODUCT_CHANGE")] == ["plus_monthly", "pro_annual"]
    held = (await apple.line(line)).held
    assert [(one.purchase.product, one.purchase.purchased_at) for one in held] == [("pro_monthly", START), ("plus_monthly", START + 3 * DAY)]
    await market.until("2026-03-04T00:00:00")
    assert (await apple.line(line)).held[-1].purchase.product == "pro_annual"
    assert await apple.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL", "PRODUCT_CHANGE", "RENEWAL"]
    assert await market.has_access()


async def test_case_41_what_is_sold_beside_ends_by_itself(market: Market, google: PlayStall, fake: wire.FakeGoogle) -> None:
    who = {"externalAccountIdentifiers": {"obfuscatedExternalAccountId": sha256(market.ada.encode()).hexdigest()}}
    until, longer = START + 10 * DAY, START + 30 * DAY
    items = wire.line_item("pro", "GPA.1", longer), wire.line_item("extra", "GPA.1", until)
    fake.says("/purchases/subscriptionsv2/tokens/A", wire.subscription("ACTIVE", *items, **who))
    part = wire.order("GPA.1", START, until, product="extra", price="1.99", tax="0.32")["lineItems"]
    whole = wire.order("GPA.1", START, longer)
    fake.has(whole | {"lineItems": [*whole["lineItems"], *part], "total": wire.amount("11.98"), "tax": wire.amount("1.92")})
    await google.push("A", 4, message_id="google")
    main, beside = await google.line("A"), await google.line("A#extra")
    assert [(one.held[0].purchase.product, subscriptions.access_until(one)) for one in (main, beside)] == [
        ("pro:monthly", longer),
        ("extra:monthly", until),
    ]
    assert await google.sales("EUR") == [199, 999]

    web_shop = await open_scripted(market, "stripe", None, secrets={"webhook_secret": stripe_objects.SECRET})  # no key: the webhooks tell
    begins = int(START.timestamp())
    month, year = begins + 28 * 86_400, begins + 365 * 86_400
    lines = stripe_objects.line(999, begins, month), stripe_objects.line(7999, begins, year, product="prod_year", item="si_2")
    bought = stripe_objects.invoice("in_1", *lines, livemode=True)
    bought["parent"]["subscription_details"]["metadata"]["app_user_id"] = market.ada
    event = stripe_objects.event("invoice.paid", bought, livemode=True, created=begins)
    assert (await web_shop.hook(event, **await web_shop.signs(event))).status_code == 200
    await market.settle()
    monthly, yearly = await web_shop.line("sub_1"), await web_shop.line("sub_1#si_2")
    assert [int((subscriptions.access_until(one) or START).timestamp()) for one in (monthly, yearly)] == [month, year]
    assert await web_shop.sales() == [999, 7999]
    assert await market.told(who=market.ada) == ["INITIAL_PURCHASE"] * 4
    await market.later(days=60)
    assert subscriptions.is_entitled(yearly, await market.now()) and not subscriptions.is_entitled(monthly, await market.now())
    assert await market.has_access()


async def test_case_42_a_prepaid_plan_topped_up_adds_to_its_end(market: Market, play: PlayStall) -> None:
    token = await play.buy("pro:monthly", is_prepaid=True)
    await market.later(days=10)
    new = play_store.bought(await play.do(play_store.top_up, token)).token
    line = await play.line(new)
    assert subscriptions.access_until(line) == at("2026-03-28T12:00:00")  # a month after the first one's end
    assert await play.told() == ["INITIAL_PURCHASE", "INITIAL_PURCHASE"]
    assert await play.sales() == [999, 999]
    async with market.transaction() as tx:
        (life,) = await play_store.lives(tx, play.app_id)
    assert life.newest.is_acknowledged, "an unacknowledged top-up would take all of it back"
    for day in ("2026-02-27", "2026-03-01", "2026-03-28"):
        await market.until(f"{day}T11:00:00")
        assert await market.has_access(), day
    await market.until("2026-03-30T12:00:00")
    assert not await market.has_access()
    assert (await play.told())[2:] == ["EXPIRATION UNSUBSCRIBE"]


async def test_case_43_instalments_go_on_being_charged_after_the_cancellation(market: Market, google: PlayStall, fake: wire.FakeGoogle) -> None:
    await market.world.track(google.app_id)
    ends = [START + (number + 1) * 30 * DAY for number in range(3)]
    off = {"autoRenewEnabled": True, "installmentDetails": {"pendingCancellation": {}}}
    running = {"autoRenewEnabled": True, "installmentDetails": {}}
    orders = [wire.order(f"GPA.1{number}", end - 30 * DAY, end) for number, end in zip(("", "..0", "..1"), ends, strict=True)]
    steps = ((0, 4, 0, running), (5, 18, 0, off), (25.01, 2, 1, off), (30, 2, 2, off))  # bought, cancellation scheduled, charged, charged
    for days, type, month, plan in steps:
        await market.later(days=days)
        fake.answers.clear()
        fake.has(*orders[: month + 1])
        item = wire.line_item("pro", orders[month]["orderId"], ends[month], autoRenewingPlan=plan)
        fake.says("/purchases/subscriptionsv2/tokens/A", wire.subscription("ACTIVE", item))
        await google.push("A", type, message_id=f"{type}-{days}")
        assert subscriptions.is_entitled(await google.line("A"), await market.now())
    assert await google.told() == ["INITIAL_PURCHASE", "CANCELLATION UNSUBSCRIBE", "RENEWAL", "RENEWAL"]
    assert await google.sales("EUR") == [999, 999, 999]
    assert (await google.line("A")).renewals[-1].auto_renew is False


async def test_case_44_a_pause_ends_access_when_it_begins_and_moves_the_anchor_when_it_ends(
    market: Market, play: PlayStall, google: PlayStall, fake: wire.FakeGoogle
) -> None:
    token = await play.buy("pro:monthly")
    await market.later(days=3)
    await play.do(play_store.pause, token, 2)
    assert (await play.told(), await market.has_access()) == (["INITIAL_PURCHASE", "SUBSCRIPTION_PAUSED"], True)
    await market.until("2026-02-28T12:01:00")
    assert (await play.told())[2:] == ["EXPIRATION SUBSCRIPTION_PAUSED"]
    assert (await play.status(token), await market.has_access()) == ("paused", False)
    await market.until("2026-03-15T12:00:00")
    await play.do(play_store.resume, token)
    assert (await play.told())[3:] == ["RENEWAL"]
    held = (await play.line(token)).held
    assert (held[1].purchase.purchased_at, held[1].purchase.expires_at) == (at("2026-03-15T12:00:00"), at("2026-04-15T12:00:00"))
    assert await play.sales() == [999, 999]

    await market.world.track(google.app_id)
    now = await market.now()
    end = now + 5 * DAY
    running = wire.subscription("ACTIVE", wire.line_item("pro", "GPA.1", end))
    paused = wire.subscription("PAUSED", wire.line_item("pro", "GPA.1", end), pausedStateContext={"autoResumeTime": wire.stamp(end + 10 * DAY)})
    failed = wire.subscription("ON_HOLD", wire.line_item("pro", "GPA.1", end + 10 * DAY))
    for days, type, answer in ((0, 4, running), (1, 11, running), (4.001, 10, paused), (10, 5, failed)):  # the charge at the pause's end failed
        await market.later(days=days)
        fake.answers.clear()
        fake.has(wire.order("GPA.1", now, end))
        fake.says("/purchases/subscriptionsv2/tokens/B", answer)
        await google.push("B", type, message_id=f"{type}")
    told = [body["type"] for body in await market.world.bodies() if body.get("original_transaction_id") == "GPA.1"]
    assert told == ["INITIAL_PURCHASE", "SUBSCRIPTION_PAUSED", "EXPIRATION", "BILLING_ISSUE", "CANCELLATION"]
    assert await google.status("B") == "in_billing_retry"
    assert not subscriptions.is_entitled(await google.line("B"), await market.now())


# Money ------------------------------------------------------------------------------------------------------------------------


def test_case_45_every_stores_amounts_are_the_same_money() -> None:
    yen, dinar, krona = (Money(amount=amount, currency=code) for amount, code in ((990, "JPY"), (3490, "KWD"), (1500, "ISK")))
    assert [from_milliunits(*one) for one in ((990_000, "JPY"), (3490, "KWD"), (1_500_000, "ISK"))] == [yen, dinar, krona]
    google = [WireMoney(currency_code="JPY", units="990"), WireMoney(currency_code="KWD", units="3", nanos=490_000_000)]
    assert [google_money(one, "total") for one in (*google, WireMoney(currency_code="ISK", units="1500"))] == [yen, dinar, krona]
    assert [stripe_money(*one) for one in ((990, "jpy"), (3490, "kwd"), (150_000, "isk"))] == [yen, dinar, krona]  # two digits for ISK, always 00
    assert [roku_money(Decimal(text), code) for text, code in (("990", "jpy"), ("3.49", "kwd"), ("1500.00", "isk"))] == [yen, dinar, krona]
    assert Money(amount=paddle_amount("990"), currency="JPY") == yen
    assert [ALPHA_2[code] for code in ("JPN", "KWT", "ISL")] == ["JP", "KW", "IS"]


async def test_case_46_orders_of_nothing_are_neither_sales_nor_renewals(market: Market, play: PlayStall, stripe: Stall) -> None:
    token = await play.buy("pro:monthly")
    await play.do(play_store.cancel, token)
    await market.later(days=2)
    again = play_store.bought(await play.do(play_store.restore, token)).token
    assert await play.told() == ["INITIAL_PURCHASE", "CANCELLATION UNSUBSCRIBE", "UNCANCELLATION"]
    assert (len((await play.line(again)).held), await play.sales()) == (1, [999])
    await stripe.buy("prod_pro", free_trial=True)
    assert (await stripe.told(), await stripe.sales()) == (["INITIAL_PURCHASE"], [])
    await market.until("2026-02-28T12:01:00")
    assert (await play.told())[3:] == ["RENEWAL"]
    assert await play.sales() == [999, 999]
    assert (await stripe.told(), await stripe.sales()) == (["INITIAL_PURCHASE", "RENEWAL"], [999])


async def test_case_47_a_proration_is_revenue_and_no_renewal(market: Market, stripe: Stall) -> None:
    key = await stripe.buy("prod_pro")
    await market.until("2026-02-14T12:00:00")
    await stripe.do(web.upgrade, key, "prod_max")
    held = (await stripe.line(key)).held
    assert [(one.purchase.is_renewal, one.purchase.expires_at) for one in held] == [(False, at("2026-02-28T12:00:00"))] * 2
    assert (await stripe.told(), await stripe.sales()) == (["INITIAL_PURCHASE", "PRODUCT_CHANGE"], [999, 500])
    await market.until("2026-02-28T14:00:00")
    assert (await stripe.line(key)).held[2].purchase.is_renewal
    assert await stripe.sales() == [999, 500, 1999]

    paddle = await open_paddle(market)
    monthly = paddle_objects.item("pri_1")
    begins, changed, ends = at("2026-02-20T00:00:00"), at("2026-02-25T00:00:00"), at("2026-03-20T00:00:00")
    paid = {"items": [monthly], "billing_period": paddle_objects.period(begins, ends), "custom_data": {"app_user_id": market.ada}}
    first = paddle_objects.transaction("txn_1", billed_at=begins.isoformat(), **paid)
    change = paddle_objects.transaction("txn_2", total="300", origin="subscription_update", billed_at=changed.isoformat(), **paid)
    for number, one in enumerate((first, change)):
        for part in one["details"]["line_items"]:
            part["price_id"] = "pri_1"
        await paddle_says(paddle, "transaction.completed", one, f"evt_{number}")
    periods = [(one.purchase.is_renewal, one.purchase.purchased_at, one.purchase.expires_at) for one in (await paddle.line("sub_1")).held]
    assert periods == [(False, begins, ends), (False, changed, ends)]
    assert await paddle.sales() == [1200, 300]
    assert await market.has_access()


async def test_case_48_an_unpaid_period_at_stripe_is_not_given_away(market: Market, stripe: Stall) -> None:
    keys = {then: await stripe.buy("prod_pro") for then in ("canceled", "unpaid", "past_due")}
    for then, key in keys.items():
        await stripe.do(web.fail_next_charge, key, then=then)
    await market.until("2026-03-01T12:00:00")
    assert {await stripe.status(key) for key in keys.values()} == {"in_grace_period"}  # three more tries are planned; the setting `past_due` decides
    await market.until("2026-03-20T12:00:00")
    assert not await market.has_access(), "the unpaid period would last until the 31st"
    assert [await stripe.status(key) for key in keys.values()] == ["expired", "in_billing_retry", "in_billing_retry"]
    for key in keys.values():
        line = await stripe.line(key)
        assert len(line.held) == 1
        assert line.held[0].purchase.expires_at == at("2026-02-28T12:00:00")
    assert await stripe.sales() == [999, 999, 999]
    assert await market.bodies("RENEWAL") == []
    assert [body["expiration_reason"] for body in await market.bodies("EXPIRATION")] == ["BILLING_ERROR"] * 3


# Stores that forget their own dates -------------------------------------------------------------------------------------------


async def test_case_49_amazon_without_a_renewal_date_keeps_the_end_it_told_before(market: Market, answering: Answering) -> None:
    amazon = await open_scripted(
        market,
        "amazon",
        answering.address,
        bundle_id="com.example.app",
        settings={"sns_topic_arn": others.TOPIC},
        secrets={"shared_secret": "S3CRET"},
    )
    end = START + 20 * DAY
    first = amazon_objects.receipt(productId="pro", termSku="pro", purchaseDate=to_ms(START - 10 * DAY), renewalDate=to_ms(end))
    off = {**first, "renewalDate": None, "autoRenewing": False}
    answering.answer(amazon_objects.path(), first, off)
    body = {"app_user_id": market.ada, "fetch_token": amazon_objects.RECEIPT, "store_user_id": amazon_objects.USER, "product_id": "pro"}
    bought = await market.world.http.post("/v1/receipts", headers=market.world.sdk("amazon", **{"X-Platform": "amazon"}), json=body)
    assert bought.status_code == 200, bought.text
    await market.later(days=5)
    now = await market.now()
    message = others.sns_message(others.rtn("SUBSCRIPTION_AUTO_RENEWAL_OFF", now), now)
    assert (await amazon.hook(message)).status_code == 200
    await market.settle()
    assert await market.told() == ["INITIAL_PURCHASE", "CANCELLATION UNSUBSCRIBE"]
    line = await amazon.line(amazon_objects.LINE)
    assert (subscriptions.access_until(line), len(line.held)) == (end, 1)
    await market.until("2026-02-20T11:00:00")
    assert await market.has_access()
    await market.until("2026-02-20T13:30:00")
    assert not await market.has_access()
    assert await market.told() == ["INITIAL_PURCHASE", "CANCELLATION UNSUBSCRIBE", "EXPIRATION UNSUBSCRIBE"]


async def test_case_50_paddle_without_a_period_keeps_the_end_that_was_paid_for(market: Market) -> None:
    paddle = await open_paddle(market)
    ends = START + 20 * DAY
    monthly, user = paddle_objects.item("pri_1"), {"app_user_id": market.ada}
    period = paddle_objects.period(START - 10 * DAY, ends)
    running = paddle_objects.subscription(items=[monthly], custom_data=user, current_billing_period=period)
    await paddle_says(paddle, "subscription.created", {**running, "transaction_id": "txn_1"}, "evt_1")
    assert await market.told() == ["INITIAL_PURCHASE"]
    change = {"action": "cancel", "effective_at": ends.isoformat(), "resume_at": None}
    await market.later(days=1)
    await paddle_says(paddle, "subscription.updated", {**running, "scheduled_change": change}, "evt_2")
    await market.until("2026-02-20T12:00:00")
    stopped = {**running, "status": "canceled", "current_billing_period": None, "canceled_at": ends.isoformat()}
    await paddle_says(paddle, "subscription.canceled", stopped, "evt_3")
    line = await paddle.line("sub_1")
    assert (subscriptions.access_until(line), await paddle.status("sub_1"), await market.has_access()) == (ends, "expired", False)
    assert await market.told() == ["INITIAL_PURCHASE", "CANCELLATION UNSUBSCRIBE", "EXPIRATION UNSUBSCRIBE"]


async def test_case_51_a_product_the_catalog_learns_of_later_gives_access_without_a_replay(market: Market, desk: Desk) -> None:
    life = desk.life(START - DAY, product="mystery")
    life.subscribe()
    await desk.hear(life)
    (bought,) = await market.bodies("INITIAL_PURCHASE")
    assert (bought["product_id"], bought["entitlement_ids"], await desk.sales()) == ("mystery", None, [999])
    assert await market.world.entitled(market.ada) == []
    async with market.transaction() as tx:
        pro = next(one for one in await catalog.get_entitlements(tx) if one.lookup_key == "pro")
        product = await catalog.create_product(tx, app_id=desk.app_id, store_identifier="mystery", type="subscription", duration="P1M")
        await catalog.attach_products(tx, pro.entitlement_id, [product.product_id])
    assert await market.world.entitled(market.ada) == ["pro"]
    assert await market.told() == ["INITIAL_PURCHASE"]


# Paddle's bench ---------------------------------------------------------------------------------------------------------------


async def open_paddle(market: Market) -> Stall:
    return await open_scripted(market, "paddle", None, secrets={"notification_secret": others.PADDLE_SECRET})


async def paddle_says(paddle: Stall, kind: str, data: object, event_id: str) -> None:
    now: datetime = await paddle.market.now() + timedelta(0)
    body = others.paddle_event(kind, data, now, event_id)
    answer = await paddle.hook(body, **others.paddle_headers(body, now))
    assert answer.status_code == 200, answer.text
    await paddle.market.settle()

"""Stores heard by their notifications alone, through the doors: what a subscription object says is served, and what was paid is found with it."""

from datetime import timedelta
from typing import Any

from perennial import subscriptions
from tests import stripe_objects
from tests.other_stores import PADDLE_SECRET, paddle_event, paddle_headers
from tests.rules.test_paddle_billing import item, subscription, transaction
from tests.rules.test_stripe_access_policy import bill, metered
from tests.tricky.market import START, Market, open_scripted

MONTH = 31 * 86_400


async def test_stripe_usage_is_served_billed_and_ended_by_its_notifications(market: Market) -> None:
    shop = await open_scripted(market, "stripe", None, secrets={"webhook_secret": stripe_objects.SECRET})
    begins = int(START.timestamp())
    second = begins + MONTH

    async def hears(kind: str, about: dict[str, Any], at: int) -> None:
        if "parent" in about:
            about["parent"]["subscription_details"]["metadata"]["app_user_id"] = market.ada
        body = stripe_objects.event(kind, about | {"livemode": True}, id=f"evt_{kind}_{at}", livemode=True, created=at)
        assert (await shop.hook(body, **await shop.signs(body))).status_code == 200
        await market.settle()

    said = {"metadata": {"app_user_id": market.ada}, "created": begins, "start_date": begins}
    await hears("customer.subscription.created", metered(begins, second, latest_invoice=None, **said), begins)
    assert await market.has_access() and await shop.told() == ["INITIAL_PURCHASE"]
    await market.later(days=30)
    await hears("customer.subscription.updated", metered(second, second + MONTH, latest_invoice="in_2", **said), second)
    await market.later(days=2)
    await hears("invoice.paid", bill("in_2", 1234, begins, second), second + 3600)
    assert await market.has_access()
    assert await shop.sales() == [1234]
    await hears("customer.subscription.deleted", metered(second, second + MONTH, status="canceled", ended_at=second + 7200, **said), second + 7200)
    assert not await market.has_access()
    await hears("invoice.paid", bill("in_3", 77, second, second + 7200), second + 7300)
    assert sorted(await shop.sales()) == [77, 1234]
    assert await shop.told() == ["INITIAL_PURCHASE", "EXPIRATION UNSUBSCRIBE"]


async def test_paddle_an_import_and_an_add_on_are_known_by_their_prices(market: Market) -> None:
    shop = await open_scripted(market, "paddle", None, settings={"environment": "production"}, secrets={"notification_secret": PADDLE_SECRET})
    now = await market.now()
    runs = {"starts_at": now.isoformat(), "ends_at": (now + timedelta(days=30)).isoformat()}
    buyer = {"custom_data": {"app_user_id": market.ada}, "started_at": now.isoformat(), "current_billing_period": runs}
    plan, extra = {**item("pri_1"), "created_at": now.isoformat()}, item("pri_2")

    async def hears(kind: str, about: dict[str, Any]) -> None:
        at = await market.now()
        body = paddle_event(kind, about, at, f"evt_{kind}")
        assert (await shop.hook(body, **paddle_headers(body, at))).status_code == 200
        await market.settle()

    await hears("subscription.imported", subscription(items=[plan], **buyer))
    assert await market.has_access() and await shop.told() == ["INITIAL_PURCHASE"]
    await market.later(days=1)
    at = (await market.now()).isoformat()
    lines = [{"id": "t", "price_id": "pri_2", "totals": {"total": "300", "tax": "0"}}]
    added = transaction("txn_2", origin="subscription_update", items=[extra], billed_at=at, created_at=at, billing_period=runs)
    added |= {"custom_data": buyer["custom_data"], "details": {"totals": {"total": "300", "grand_total": "300"}, "line_items": lines}}
    await hears("transaction.completed", added)
    await hears("subscription.updated", subscription(items=[{**extra, "created_at": at}, plan], **buyer))
    main, beside = await shop.line("sub_1"), await shop.line("sub_1#pri_2")
    assert [[one.purchase.product for one in line.held] for line in (main, beside)] == [["pri_1"], ["pri_2"]]
    assert (await shop.line("sub_1#pri_1")).line_id == main.line_id
    now = await market.now()
    assert all(subscriptions.is_entitled(line, now) for line in (main, beside))
    assert await shop.sales() == [300]

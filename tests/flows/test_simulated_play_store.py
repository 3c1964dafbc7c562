"""Lives of purchases in the simulated Google Play, told as our customers' servers hear them: through the hook, the API and the clock."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from perennial import catalog, currencies, customers, intake, subscriptions
from perennial.base.errors import Conflict, Invalid, NotFound
from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.base.time import to_ms
from perennial.base.value import replace
from perennial.catalog.model import ProductGrant
from perennial.cli import app as command_line
from perennial.intake.db import inquire
from perennial.intake.model import Act, CannotAct, Posted, Question, Reading, StoreApp
from perennial.providers.simulated import play_store as play
from perennial.providers.simulated.play_store import actions, payloads
from perennial.subscriptions.model import Line, Refund, Revocation
from tests.flows.town import listening
from tests.world import START, World

PACKAGE = "com.example.play"
SOLD = {
    "pro:monthly": ("subscription", "P1M", 999),
    "pro:yearly": ("subscription", "P1Y", 5999),
    "basic:monthly": ("subscription", "P1M", 499),
    "coins": ("consumable", None, 199),
    "lifetime": ("non_consumable", None, 9999),
}


def usd(cents: int) -> Money:
    return Money(amount=cents, currency="USD")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Shop:
    """A sandbox project on its own clock with an app of the Play Store, and ada, who is known to it."""

    def __init__(self, world: World, app_id: str, key: str) -> None:
        self.world, self.app_id, self.key = world, app_id, key
        self.hint = sha256(b"ada").hexdigest()  # as the SDK tells Google who buys

    def transaction(self) -> Any:
        return self.world.app.database.transaction(self.world.project_id)

    async def buy(self, product: str = "pro:monthly", **more: Any) -> str:
        async with self.transaction() as tx:
            bought = await play.buy(tx, self.world.app.vault, self.app_id, product=product, account=self.hint, **more)
        await self.world.run_due()
        return bought.token

    async def do(self, verb: Any, token: str, *arguments: Any, **more: Any) -> str:
        """A minute later, so that a new token's word comes after the old one's. Gives the newest token."""
        await self.world.advance(minutes=1)
        async with self.transaction() as tx:
            life = await verb(tx, self.app_id, token, *arguments, **more)
        await self.world.run_due()
        return play.bought(life).token

    async def life(self, token: str) -> play.Life:
        async with self.transaction() as tx:
            return next(life for life in await play.lives(tx, self.app_id) if life.code == actions.code_of(token))

    async def line(self, token: str) -> Line:
        async with self.transaction() as tx:
            (line,) = await subscriptions.find(tx, [("play_store", "sandbox", token)])
            return line

    async def is_entitled(self, token: str) -> bool:
        return subscriptions.is_entitled(await self.line(token), await self.world.now())

    async def is_renewing(self, token: str) -> bool:
        return (await self.line(token)).renewals[-1].auto_renew is True

    async def status(self, token: str) -> str:
        return subscriptions.status(await self.line(token), await self.world.now())

    async def told(self) -> list[str]:
        """Types with their reasons, in order."""
        bodies = await self.world.bodies()
        return [" ".join(filter(None, (body["type"], body.get("cancel_reason") or body.get("expiration_reason")))) for body in bodies]

    async def new(self, before: list[str]) -> list[str]:
        told = await self.told()
        assert told[: len(before)] == before
        return told[len(before) :]

    async def store_app(self) -> StoreApp:
        async with self.transaction() as tx:
            return (await intake.store_apps(tx, self.world.app.vault, [self.app_id]))[self.app_id]

    async def trouble(self) -> list[str]:
        """What could not be read, asked or done."""
        async with self.transaction() as tx:
            rows = await tx.fetch(
                """
                SELECT outcome AS trouble FROM notification WHERE outcome LIKE 'unreadable%'
                UNION ALL SELECT last_error FROM notification WHERE last_error IS NOT NULL
                UNION ALL SELECT last_error FROM inquiry WHERE last_error IS NOT NULL
                UNION ALL SELECT last_error FROM store_act WHERE last_error IS NOT NULL
                """
            )
            return [row["trouble"] for row in rows]

    async def act(self, kind: Any, token: str, **details: str | int) -> None:
        world = self.world
        wanted = Act(act_id=f"act_{kind}", kind=kind, environment="sandbox", subject=token, details=details)
        await intake.perform(world.app.database, world.app.vault, world.app.providers, world.project_id, self.app_id, wanted)  # type: ignore[arg-type]
        await world.run_due()


@pytest.fixture
async def shop(world: World) -> AsyncIterator[Shop]:
    async with listening(play.PlayServer(world.app.database, world.app.vault)) as address:
        async with world.app.database.transaction(world.project_id) as tx:
            made, key = await catalog.create_app(tx, world.app.vault, name="Android", store="play_store", bundle_id=PACKAGE)
            pro = next(one for one in await catalog.get_entitlements(tx) if one.lookup_key == "pro")
            for identifier, (kind, duration, cents) in SOLD.items():
                product = await catalog.create_product(
                    tx, app_id=made.app_id, store_identifier=identifier, type=kind, duration=duration, prices=[usd(cents)]
                )
                if kind == "subscription":
                    await catalog.attach_products(tx, pro.entitlement_id, [product.product_id])
            await play.opt_in(tx, world.app.vault, made.app_id, address)
        assert key.public_key is not None
        world.keys["play_store"] = key.public_key
        await world.customer("ada")
        yield Shop(world, made.app_id, key.public_key)


# Buying and renewing


async def test_bought_acknowledged_and_renewed_by_itself(shop: Shop) -> None:
    token = await shop.buy()
    assert await shop.told() == ["INITIAL_PURCHASE"]
    assert await shop.world.entitled("ada") == ["pro"]
    assert (await shop.life(token)).newest.is_acknowledged
    (body,) = await shop.world.bodies("ada")
    assert (body["store"], body["environment"], body["product_id"], body["price"]) == ("PLAY_STORE", "SANDBOX", "pro:monthly", 9.99)
    assert body["transaction_id"].startswith("GPA.")
    await shop.world.advance(days=65)
    assert await shop.told() == ["INITIAL_PURCHASE", "RENEWAL", "RENEWAL"]
    line = await shop.line(token)
    assert [(held.purchase.price, held.purchase.tax, held.purchase.commission) for held in line.held] == [(usd(999), usd(160), usd(126))] * 3
    ends = [held.purchase.expires_at for held in line.held]
    assert ends == [at(f"2026-0{month}-28T12:00:00") for month in (2, 3, 4)]  # bought on 31 January: a short month's end stays
    assert await shop.is_entitled(token)
    assert await shop.trouble() == []


async def test_a_trial_becomes_paid(shop: Shop) -> None:
    token = await shop.buy(free_trial=True)
    await shop.world.advance(days=8)
    assert [(held.purchase.period_type, held.purchase.price) for held in (await shop.line(token)).held] == [("trial", usd(0)), ("normal", usd(999))]
    assert [body["is_trial_conversion"] for body in await shop.world.bodies() if body["type"] == "RENEWAL"] == [True]


async def test_what_an_sdk_posts_is_the_buyers_at_once(shop: Shop) -> None:
    async with shop.transaction() as tx:
        bought = await play.buy(tx, shop.world.app.vault, shop.app_id, product="pro:monthly")
    posted = {"app_user_id": "grace", "fetch_token": bought.token, "product_ids": [bought.product]}
    answer = await shop.world.http.post("/v1/receipts", headers=shop.world.sdk("play_store", **{"X-Platform": "android"}), json=posted)
    assert answer.status_code == 200, answer.text
    assert await shop.told() == ["INITIAL_PURCHASE"]
    await shop.world.run_due()
    assert (await shop.life(bought.token)).newest.is_acknowledged
    assert await shop.told() == ["INITIAL_PURCHASE"]  # the notification says the same once more
    assert await shop.world.entitled("grace", store="play_store") == ["pro"]


async def test_a_made_up_token_is_refused(shop: Shop) -> None:
    posted = {"app_user_id": "grace", "fetch_token": "play.01J0000000000000000000000X.1", "product_ids": ["pro"]}
    answer = await shop.world.http.post("/v1/receipts", headers=shop.world.sdk("play_store", **{"X-Platform": "android"}), json=posted)
    assert (answer.status_code, answer.json()["code"]) == (400, 7103)


async def test_an_unacknowledged_purchase_is_given_back_after_three_days(shop: Shop) -> None:
    token = await shop.buy(is_silent=True)  # its notification was lost, and no device posted it
    await shop.world.advance(days=4)
    life = await shop.life(token)
    assert (life.newest.ended_at, life.newest.cancellation, life.orders[0].state) == (at("2026-02-03T12:00:00"), "system", "REFUNDED")
    assert await shop.told() == []
    world = shop.world
    app, since = world.app, at("2026-01-31T00:00:00")
    caught_up = intake.catch_up(app.database, app.vault, app.providers, world.project_id, shop.app_id, since, "sandbox")  # type: ignore[arg-type]
    assert [(read.told, read.asked) async for read in caught_up][-1] == (1, 1)
    await world.run_due()
    line = await shop.line(token)
    assert line.held[0].purchase.revocation == Revocation(at=at("2026-02-03T12:00:00"), refunded=False)
    assert not await shop.is_entitled(token)


# Cancelling and coming back


async def test_cancelled_taken_back_and_cancelled_for_good(shop: Shop) -> None:
    token = await shop.buy()
    await shop.do(play.cancel, token)
    await shop.do(play.uncancel, token)
    await shop.do(play.cancel, token)
    assert await shop.told() == ["INITIAL_PURCHASE", "CANCELLATION UNSUBSCRIBE", "UNCANCELLATION", "CANCELLATION UNSUBSCRIBE"]
    assert await shop.is_entitled(token)
    await shop.world.advance(days=29)
    assert (await shop.told())[4:] == ["EXPIRATION UNSUBSCRIBE"]
    assert not await shop.is_entitled(token)


async def test_bought_again_in_the_app_before_its_end_for_nothing(shop: Shop) -> None:
    token = await shop.buy()
    await shop.do(play.cancel, token)
    again = await shop.do(play.restore, token)
    assert again != token
    assert await shop.told() == ["INITIAL_PURCHASE", "CANCELLATION UNSUBSCRIBE", "UNCANCELLATION"]
    assert (await shop.line(again)).line_id == (await shop.line(token)).line_id
    assert [held.purchase.price for held in (await shop.line(again)).held] == [usd(999)]
    await shop.world.advance(days=29)
    assert (await shop.told())[3:] == ["RENEWAL"]
    assert [held.purchase.price for held in (await shop.line(again)).held] == [usd(999), usd(999)]


async def test_bought_again_after_its_end_in_googles_subscription_centre(shop: Shop) -> None:
    token = await shop.buy()
    await shop.do(play.cancel, token)
    await shop.world.advance(days=40)
    before = await shop.told()
    again = await shop.do(play.resubscribe, token, "pro:monthly")
    assert await shop.new(before) == ["RENEWAL"]
    assert (await shop.line(again)).line_id == (await shop.line(token)).line_id
    assert await shop.world.entitled("ada") == ["pro"]
    assert (await shop.life(again)).newest.lapsed is None  # acknowledged: Google forgets whose it was
    await shop.world.advance(days=33)
    assert await shop.new(before) == ["RENEWAL", "RENEWAL"]


# Billing that fails


async def test_grace_recovered(shop: Shop) -> None:
    token = await shop.buy()
    await shop.do(play.fail_next_renewal, token, grace_days=7, recover_after_days=3)
    await shop.world.advance(days=29)
    assert (await shop.told())[1:] == ["BILLING_ISSUE", "CANCELLATION BILLING_ERROR"]
    assert (await shop.status(token), await shop.is_entitled(token)) == ("in_grace_period", True)
    assert len((await shop.line(token)).held) == 1  # the unpaid order is no purchase
    await shop.world.advance(days=3)
    assert (await shop.told())[3:] == ["RENEWAL"]
    line = await shop.line(token)
    assert line.held[-1].purchase.purchased_at == at("2026-02-28T12:00:00")  # where the old period ended
    assert line.held[-1].purchase.expires_at == at("2026-03-28T12:00:00")


async def test_grace_hold_and_recovered_with_a_gap(shop: Shop) -> None:
    token = await shop.buy()
    await shop.do(play.fail_next_renewal, token, grace_days=7, recover_after_days=20)
    await shop.world.advance(days=37)
    assert (await shop.told())[1:] == ["BILLING_ISSUE", "CANCELLATION BILLING_ERROR", "EXPIRATION BILLING_ERROR"]
    assert (await shop.status(token), await shop.is_entitled(token)) == ("in_billing_retry", False)
    await shop.world.advance(days=14)
    assert (await shop.told())[4:] == ["RENEWAL"]
    assert (await shop.line(token)).held[-1].purchase.purchased_at == at("2026-03-20T12:00:00")
    assert await shop.is_entitled(token)


async def test_grace_hold_and_given_up(shop: Shop) -> None:
    token = await shop.buy()
    await shop.do(play.fail_next_renewal, token, grace_days=7)
    await shop.world.advance(days=120)
    assert (await shop.told())[1:] == ["BILLING_ISSUE", "CANCELLATION BILLING_ERROR", "EXPIRATION BILLING_ERROR"]
    line = await shop.line(token)
    assert (line.held[0].purchase.expires_at, subscriptions.access_until(line)) == (at("2026-02-28T12:00:00"), at("2026-03-07T12:00:00"))


async def test_without_grace_a_day_is_given_silently(shop: Shop) -> None:
    token = await shop.buy()
    await shop.do(play.fail_next_renewal, token)
    await shop.world.advance(days=28, hours=6)
    assert await shop.is_entitled(token)
    assert len((await shop.line(token)).held) == 1
    await shop.world.advance(days=2)
    assert not await shop.is_entitled(token)
    assert "EXPIRATION BILLING_ERROR" in await shop.told()
    assert "RENEWAL" not in await shop.told()


async def test_cancelled_while_on_hold(shop: Shop) -> None:
    token = await shop.buy()
    await shop.do(play.fail_next_renewal, token, grace_days=3)
    await shop.world.advance(days=35)
    await shop.do(play.cancel, token)
    line = await shop.line(token)
    assert (await shop.status(token), line.renewals[-1].ended) == ("expired", "unsubscribe")
    assert (await shop.told()).count("EXPIRATION BILLING_ERROR") == 1


# Pauses


async def test_paused_at_the_periods_end_and_resumed_by_itself(shop: Shop) -> None:
    token = await shop.buy()
    await shop.do(play.pause, token, 2)
    assert (await shop.told())[1:] == ["SUBSCRIPTION_PAUSED"]
    assert await shop.is_entitled(token)
    await shop.world.advance(days=29)
    assert (await shop.told())[2:] == ["EXPIRATION SUBSCRIPTION_PAUSED"]
    assert (await shop.status(token), (await shop.line(token)).renewals[-1].resumes_at) == ("paused", at("2026-04-28T12:00:00"))
    await shop.world.advance(days=60)
    assert (await shop.told())[3:] == ["RENEWAL"]
    assert await shop.is_entitled(token)


async def test_a_pause_ended_early_moves_the_billing_date(shop: Shop) -> None:
    token = await shop.buy()
    await shop.do(play.pause, token)
    await shop.world.advance(days=40)
    await shop.do(play.resume, token)
    assert (await shop.told())[3:] == ["RENEWAL"]
    assert (await shop.line(token)).held[-1].purchase.purchased_at == await shop.world.now()


# Changing


async def test_upgraded_at_once(shop: Shop) -> None:
    token = await shop.buy("basic:monthly")
    again = await shop.do(play.upgrade, token, "pro:monthly")
    assert (await shop.told())[1:] == ["PRODUCT_CHANGE", "INITIAL_PURCHASE"]
    line = await shop.line(token)
    assert (line.subject, await shop.is_entitled(again)) == (again, True)
    assert (await shop.life(again)).newest.is_acknowledged
    await shop.world.advance(days=32)
    assert (await shop.told())[3:] == ["RENEWAL"]


@pytest.mark.parametrize(
    ("mode", "charged", "lasts", "given"),
    [
        ("WITHOUT_PRORATION", 0, 28, 0),
        ("WITH_TIME_PRORATION", 0, 20, 0),
        ("CHARGE_PRORATED_PRICE", 250, 28, 250),
        ("CHARGE_FULL_PRICE", 999, 42, 1000),
    ],
)
async def test_a_replacement_gives_what_it_charges_and_is_a_period_where_that_is_all(
    shop: Shop, mode: Any, charged: int, lasts: int, given: int
) -> None:
    async with shop.transaction() as tx:
        products = {one.store_identifier: one.product_id for one in await catalog.get_products(tx) if one.app_id == shop.app_id}
        grants = [ProductGrant(product_ids=(products[name],), amount=amount) for name, amount in (("basic:monthly", 500), ("pro:monthly", 1000))]
        await catalog.create_currency(tx, code="GEM", name="Gems", product_grants=grants)

    async def gems() -> int:
        async with shop.transaction() as tx:
            customer_id = (await customers.find(tx, ["ada"]))["ada"]
            return (await currencies.balances(tx, [customer_id]))[customer_id].get("GEM", 0)

    token = await shop.buy("basic:monthly", price=Money(amount=499, currency="USD"))
    await shop.world.advance(days=14)
    again = await shop.do(play.upgrade, token, "pro:monthly", mode=mode, price=Money(amount=999, currency="USD"))
    is_period = ["INITIAL_PURCHASE"] if mode == "CHARGE_FULL_PRICE" else []
    told = [one for one in await shop.told() if one != "VIRTUAL_CURRENCY_TRANSACTION"]
    assert told == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", *is_period]
    bought = (await shop.line(again)).held[-1].purchase
    assert bought.price is not None
    assert (bought.price.amount, bought.expires_at is not None and (bought.expires_at - START).days, await gems()) == (charged, lasts, 500 + given)
    await shop.world.advance(days=lasts - 14 + 2)
    assert ([one for one in await shop.told() if one == "RENEWAL"], await gems()) == (["RENEWAL"], 500 + given + 1000)
    assert await shop.trouble() == []


async def test_a_change_with_the_next_renewal(shop: Shop) -> None:
    token = await shop.buy()
    again = await shop.do(play.downgrade, token, "basic:monthly")
    assert (await shop.told())[1:] == ["PRODUCT_CHANGE"]
    (change,) = [body for body in await shop.world.bodies() if body["type"] == "PRODUCT_CHANGE"]
    assert change["new_product_id"] == "basic:monthly"
    assert [held.purchase.product for held in (await shop.line(again)).held] == ["pro:monthly"]
    await shop.world.advance(days=29)
    assert (await shop.told())[2:] == ["RENEWAL"]
    assert [held.purchase.product for held in (await shop.line(again)).held] == ["pro:monthly", "basic:monthly"]
    assert await shop.trouble() == []


async def test_a_prepaid_plan_topped_up_and_run_out(shop: Shop) -> None:
    token = await shop.buy(is_prepaid=True)
    await shop.world.advance(days=10)
    again = await shop.do(play.top_up, token)
    line = await shop.line(again)
    assert (subscriptions.access_until(line), line.held[-1].purchase.period_type) == (at("2026-03-28T12:00:00"), "prepaid")
    assert await shop.told() == ["INITIAL_PURCHASE", "INITIAL_PURCHASE"]
    await shop.world.advance(days=50)
    assert (await shop.told())[2:] == ["EXPIRATION UNSUBSCRIBE"]


# Money back


async def test_a_refund_that_takes_nothing_is_heard_of_when_we_next_ask(shop: Shop) -> None:
    token = await shop.buy()
    await shop.world.advance(days=40)
    first, second = (await shop.life(token)).orders
    await shop.do(play.refund, token, first.order_id)
    assert await shop.told() == ["INITIAL_PURCHASE", "RENEWAL"]  # Google tells nobody
    await shop.world.advance(days=20)
    assert (await shop.line(token)).held[0].purchase.refunds == (
        Refund(identifier=f"{first.order_id}|full", at=at("2026-03-12T12:01:00"), amount=usd(999)),
    )
    assert sorted(await shop.told()) == ["INITIAL_PURCHASE", "REFUND", "RENEWAL", "RENEWAL"]
    assert await shop.is_entitled(token)
    assert second.state == "PROCESSED"


async def test_given_back_and_taken_back(shop: Shop) -> None:
    token = await shop.buy()
    await shop.world.advance(days=10)
    await shop.do(play.refund, token, revoke=True)
    assert (await shop.told())[1:] == ["CANCELLATION CUSTOMER_SUPPORT", "EXPIRATION CUSTOMER_SUPPORT"]
    line = await shop.line(token)
    taken_at = at("2026-02-10T12:01:00")
    assert line.held[0].purchase.revocation == Revocation(at=taken_at, refunded=False)
    (refund,) = line.held[0].purchase.refunds
    assert (await shop.status(token), refund.at, refund.amount) == ("revoked", taken_at, usd(999))
    (shown,) = (await shop.world.customer("ada"))["subscriptions"].values()
    assert (shown["refunded_at"], shown["expires_date"]) == ("2026-02-10T12:01:00Z", "2026-02-10T12:01:00Z")
    await shop.world.advance(days=60)
    assert len(await shop.told()) == 3


async def test_an_earlier_renewal_voided_leaves_the_present_one(shop: Shop) -> None:
    token = await shop.buy()
    await shop.world.advance(days=40)
    await shop.do(play.refund, token, (await shop.life(token)).orders[0].order_id, revoke=True)
    assert (await shop.told())[2:] == ["REFUND"]
    assert await shop.is_entitled(token)


async def test_coins_bought_acknowledged_and_taken_back(shop: Shop) -> None:
    token = await shop.buy("coins")
    assert await shop.told() == ["NON_RENEWING_PURCHASE"]
    assert (await shop.line(token)).held[0].purchase.kind == "consumable"
    await shop.world.advance(days=5)
    assert (await shop.life(token)).newest.ended_at is None  # it was acknowledged in time
    await shop.do(play.refund, token, revoke=True)
    assert (await shop.told())[1:] == ["CANCELLATION CUSTOMER_SUPPORT"]
    assert (await shop.line(token)).held[0].purchase.revocation == Revocation(at=at("2026-02-05T12:01:00"), refunded=False)


async def post(shop: Shop, token: str, product: str, **more: Any) -> dict[str, Any]:
    """As Android's SDK does after a purchase. Its `purchased_products`."""
    answer = await shop.world.http.post(
        "/v1/receipts",
        headers={"Authorization": f"Bearer {shop.key}", "X-Platform": "android"},
        json={"app_user_id": "ada", "fetch_token": token, "product_ids": [product], "is_restore": False, **more},
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json().get("purchased_products", {})
    return found


async def test_coins_are_bought_again_and_again_as_the_device_is_told_to_consume_them(shop: Shop) -> None:
    first = await shop.buy("coins")
    with pytest.raises(Conflict, match="ITEM_ALREADY_OWNED"):
        await shop.buy("coins")
    assert await post(shop, first, "coins") == {"coins": {"should_consume": True}}
    await shop.do(play.consume, first)  # what the SDK does then
    second = await shop.buy("coins")
    assert await post(shop, second, "coins") == {"coins": {"should_consume": True}}
    bought = (await shop.world.customer("ada"))["non_subscriptions"]["coins"]
    assert [one["store_transaction_id"] for one in bought] == [(await shop.life(one)).orders[0].order_id for one in (first, second)]
    assert await shop.trouble() == []


async def test_coins_whose_device_died_after_the_post_are_consumed_by_the_server(shop: Shop) -> None:
    first = await shop.buy("coins")
    await post(shop, first, "coins")
    await shop.world.run_due()
    assert ((await shop.life(first)).newest.is_consumed, (await shop.life(first)).newest.is_acknowledged) == (True, True)
    await shop.buy("coins")
    await post(shop, first, "coins")  # a retry changes nothing
    await shop.world.run_due()
    assert await shop.trouble() == []


async def test_coins_of_an_app_that_completes_its_purchases_itself_are_left_to_it(shop: Shop) -> None:
    token = await shop.buy("coins")
    await post(shop, token, "coins", observer_mode=True)
    await post(shop, token, "coins", purchase_completed_by="my_app")
    await shop.world.run_due()
    assert not (await shop.life(token)).newest.is_consumed


async def test_what_lasts_is_never_consumed(shop: Shop) -> None:
    token = await shop.buy("lifetime")
    assert await post(shop, token, "lifetime") == {"lifetime": {"should_consume": False}}
    await shop.world.run_due()
    assert ((await shop.life(token)).newest.is_consumed, (await shop.life(token)).newest.is_acknowledged) == (False, True)
    with pytest.raises(Conflict, match="ITEM_ALREADY_OWNED"):
        await shop.buy("lifetime")


async def test_a_subscription_has_nothing_to_consume(shop: Shop) -> None:
    assert await post(shop, await shop.buy(), "pro") == {}


# What we have done there


async def test_cancelled_and_moved_on_by_us(shop: Shop) -> None:
    token = await shop.buy()
    await shop.act("defer", token, expires_at_ms=to_ms(at("2026-03-15T12:00:00")))
    assert (await shop.told())[1:] == ["SUBSCRIPTION_EXTENDED"]
    await shop.act("cancel", token)
    assert (await shop.told())[2:] == ["CANCELLATION UNSUBSCRIBE"]
    assert subscriptions.access_until(await shop.line(token)) == at("2026-03-15T12:00:00")


async def test_refunded_and_revoked_by_us(shop: Shop) -> None:
    token = await shop.buy()
    await shop.world.advance(days=30)
    first, second = (await shop.life(token)).orders
    await shop.act("refund", token, transaction=first.order_id)
    assert (await shop.told())[2:] == ["REFUND"]
    await shop.act("revoke", token, transaction=second.order_id)
    assert (await shop.told())[3:] == ["CANCELLATION CUSTOMER_SUPPORT", "EXPIRATION CUSTOMER_SUPPORT"]
    with pytest.raises(CannotAct, match="it has ended"):
        await shop.act("cancel", token)


# The hook, the API and the opt-in


async def test_the_hook_takes_what_the_store_signed_and_nothing_else(shop: Shop) -> None:
    token = await shop.buy(is_silent=True)
    store, life = await shop.store_app(), await shop.life(token)
    async with shop.transaction() as tx:
        pen = (await actions._pens(tx, shop.world.app.vault, [shop.app_id]))[shop.app_id]
        now = tx.now
    body = payloads.push(PACKAGE, life, life.happenings[0])
    signed = {"Authorization": f"Bearer {pen.push_token(store.settings['pubsub_audience'], now)}"}
    path = f"/hooks/play_store/{shop.app_id}"
    for headers in ({}, {"Authorization": "Bearer a.b.c"}, {"Authorization": f"Bearer {pen.push_token('https://other.example.com', now)}"}):
        assert (await shop.world.http.post(path, content=body, headers=headers)).status_code == 401
    assert (await shop.world.http.post(path, content=b"what?", headers=signed)).status_code == 200  # kept, and marked unreadable
    for _ in range(2):
        assert (await shop.world.http.post(path, content=body, headers=signed)).status_code == 200
    await shop.world.run_due()
    assert await shop.told() == ["INITIAL_PURCHASE"]
    async with shop.transaction() as tx:
        kinds = [row["kind"] for row in await tx.fetch("SELECT kind FROM notification ORDER BY kind")]
    assert kinds == ["SUBSCRIPTION_PURCHASED", "unreadable"]


async def test_lost_notifications_are_made_up_for_by_asking(shop: Shop) -> None:
    token = await shop.buy()
    await shop.do(play.set_silent, token, is_silent=True)
    await shop.world.advance(days=65)
    assert await shop.told() == ["INITIAL_PURCHASE", "RENEWAL", "RENEWAL"]


async def test_the_api_is_for_the_apps_own_service_account(shop: Shop) -> None:
    token = await shop.buy()
    store, provider = await shop.store_app(), shop.world.app.providers["play_store"]
    question, now = Question(environment="sandbox", subject=token), await shop.world.now()
    assert (await provider.ask(store, question, Posted(), now)).statements
    forged = replace(store, secrets={"service_account": store.reveal("service_account").replace("simulated-publisher", "mallory")})
    with pytest.raises(Exception, match="no access token"):
        await provider.ask(forged, question, Posted(), now)
    with pytest.raises(NotFound, match="applicationNotFound"):
        await provider.ask(replace(store, bundle_id="com.other"), question, Posted(), now)


async def test_the_command_line_lives_through_it(shop: Shop, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_url)

    async def perennial(*arguments: str) -> str:
        spoken = ["simulate", "play-store", *arguments, "--project", shop.world.project_id]
        result = await asyncio.to_thread(CliRunner().invoke, command_line, spoken)
        assert result.exit_code == 0, result.output
        return "\n".join(line for line in result.output.strip().splitlines() if not line.startswith("Project "))  # which each command names

    address = (await shop.store_app()).api_base_url or ""
    assert address in await perennial("opt-in", "--address", address.partition("/simulated")[0])
    token = (await perennial("buy", "pro:monthly", "--account", shop.hint)).partition(",")[0]
    assert await shop.world.entitled("ada") == ["pro"]
    assert await perennial("cancel", token) == f"{token}: pro:monthly, canceled until 2026-02-28T12:00:00Z"
    assert "active" in await perennial("uncancel", token)
    assert "active" in await perennial("pause", token, "--months", "2")
    assert "active" in await perennial("resume", token)
    assert "active" in await perennial("defer", token, "10")
    assert "active" in await perennial("fail-next-renewal", token, "--grace-days", "3")
    upgraded = (await perennial("upgrade", token, "pro:yearly")).partition(":")[0]
    assert upgraded == token.removesuffix("1") + "2"
    assert "active" in await perennial("downgrade", upgraded, "basic:monthly")
    assert "basic:monthly" in await perennial("status")
    assert "expired" in await perennial("refund", upgraded, "--revoke")
    assert "active" in await perennial("resubscribe", upgraded, "pro:monthly", "--price", "7.99")
    coins = (await perennial("buy", "coins")).partition(",")[0]
    assert await perennial("refund", coins, "--revoke") == f"{coins}: coins, taken back"
    prepaid = (await perennial("buy", "pro:monthly", "--prepaid")).partition(",")[0]
    assert "active until 2026-03-28" in await perennial("top-up", prepaid)


async def test_only_a_sandboxs_play_store_app_opts_in(shop: Shop) -> None:
    world = shop.world
    async with shop.transaction() as tx:
        again = await play.opt_in(tx, world.app.vault, shop.app_id, "http://127.0.0.1:9")
        assert again == f"http://127.0.0.1:9/simulated/play_store/{shop.app_id}"
        with pytest.raises(Conflict, match="stands in for the Play Store"):
            await play.opt_in(tx, world.app.vault, world.app_ids["app_store"], "http://127.0.0.1:9")
        with pytest.raises(Invalid, match="http"):
            await play.opt_in(tx, world.app.vault, shop.app_id, "127.0.0.1")
        real, _ = await catalog.create_app(tx, world.app.vault, name="Real", store="play_store", bundle_id=PACKAGE, secrets={"service_account": "{}"})
        with pytest.raises(Conflict, match="service account of Google's"):
            await play.opt_in(tx, world.app.vault, real.app_id, "http://127.0.0.1:9")
        with pytest.raises(NotFound, match="opt in first"):
            await play.buy(tx, world.app.vault, real.app_id, product="pro:monthly")


@pytest.mark.parametrize(
    ("verb", "arguments", "why"),
    [
        (play.uncancel, (), "nothing was cancelled"),
        (play.resume, (), "no pause"),
        (play.top_up, (), "only a prepaid plan"),
        (play.resubscribe, ("pro:monthly",), "has ended"),
        (play.upgrade, ("pro:monthly",), "already"),
    ],
)
async def test_what_cannot_be_done_says_why(shop: Shop, verb: Any, arguments: tuple[Any, ...], why: str) -> None:
    token = await shop.buy()
    with pytest.raises(Conflict, match=why):
        await shop.do(verb, token, *arguments)


async def test_a_renewal_is_moved_on_by_a_year_at_most(shop: Shop) -> None:
    token = await shop.buy()
    with pytest.raises(Invalid, match="a year"):
        await shop.do(play.defer, token, timedelta(days=400))


async def test_two_tokens_of_a_line_that_are_asked_about_together_do_not_take_back_what_the_other_says(shop: Shop) -> None:
    """After an outage: the token that a deferred change replaced, and its successor, which goes on with the same order until then."""
    chains = [(first, await _downgrade_unheard(shop, first)) for first in [await shop.buy() for _ in range(4)]]
    app, project_id = shop.world.app, shop.world.project_id
    async with shop.transaction() as tx:
        questions = [(AppId(shop.app_id), Question(environment="sandbox", subject=token)) for chain in chains for token in chain]
        await inquire(tx, questions, "an outage is over")
    assert [await intake.ask_due(app.database, app.vault, app.providers, project_id) for _ in range(3)] == [8, 4, 0]
    for _, newest in chains:
        line = await shop.line(newest)
        assert (line.subject, [held.purchase.is_superseded for held in line.held]) == (newest, [False])
        assert await shop.status(newest) == "active"
    await shop.world.run_due()
    assert sorted(await shop.told()) == ["INITIAL_PURCHASE"] * 4 + ["PRODUCT_CHANGE"] * 4


async def _downgrade_unheard(shop: Shop, token: str) -> str:
    async with shop.transaction() as tx:
        return play.bought(await play.downgrade(tx, shop.app_id, token, "basic:monthly")).token


async def test_a_replaced_token_posted_while_its_successor_is_heard_of_takes_nothing_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device still posts the old token; between Google's answer and its recording a worker learns of the new one, on the same order."""
    first = await shop.buy()
    newest = await _downgrade_unheard(shop, first)
    app, project_id = shop.world.app, shop.world.project_id
    really, asked = app.providers["play_store"].read_receipt, list[str]()

    async def read_receipt(store_app: StoreApp, posted: Posted, now: datetime) -> Reading:
        reading = await really(store_app, posted, now)
        asked.append(posted.token)
        if len(asked) == 1:
            async with shop.transaction() as tx:
                await inquire(tx, [(AppId(shop.app_id), Question(environment="sandbox", subject=newest))], "it was bought")
            assert await intake.ask_due(app.database, app.vault, app.providers, project_id) > 0
        return reading

    monkeypatch.setattr(app.providers["play_store"], "read_receipt", read_receipt)
    answer = await shop.world.http.post(
        "/v1/receipts",
        headers=shop.world.sdk("play_store", **{"X-Platform": "android"}),
        json={"app_user_id": "ada", "fetch_token": first, "product_ids": ["pro"]},
    )
    assert answer.status_code == 200, answer.text
    assert asked == [first, first]
    line = await shop.line(newest)
    assert (line.subject, [held.purchase.is_superseded for held in line.held]) == (newest, [False])
    assert await shop.status(newest) == "active"
    await shop.world.run_due()
    assert await shop.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE"]


async def test_a_purchase_that_changes_whenever_it_is_looked_at_is_posted_again_later(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """503: to an SDK that is not final, and it keeps what it has to post."""
    token = await shop.buy()
    really = shop.world.app.providers["play_store"].read_receipt

    async def read_receipt(store_app: StoreApp, posted: Posted, now: datetime) -> Reading:
        reading = await really(store_app, posted, now)
        await shop.do(play.cancel if await shop.is_renewing(token) else play.restore, token)
        return reading

    monkeypatch.setattr(shop.world.app.providers["play_store"], "read_receipt", read_receipt)
    answer = await shop.world.http.post(
        "/v1/receipts",
        headers=shop.world.sdk("play_store", **{"X-Platform": "android"}),
        json={"app_user_id": "bob", "fetch_token": token, "product_ids": ["pro"]},
    )
    assert (answer.status_code, "post it again" in answer.json()["message"]) == (503, True)
    assert await shop.world.lines("bob") == []


async def test_what_is_to_be_asked_after_an_act_is_kept_with_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """We die once the act is done and before Google was asked how it stands: the question wakes when its lease is over."""
    token = await shop.do(play.set_silent, await shop.buy(), is_silent=True)
    provider, app = shop.world.app.providers["play_store"], shop.world.app

    class Died(BaseException):
        pass

    async def die(*_: object) -> Reading:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(provider, "ask", die)
        with pytest.raises(Died):
            await intake.perform(
                app.database,
                app.vault,
                app.providers,
                shop.world.project_id,
                AppId(shop.app_id),
                Act(act_id="act_cancel", kind="cancel", environment="sandbox", subject=token),
            )
    assert await shop.is_renewing(token)
    await shop.world.advance(minutes=10)
    assert not await shop.is_renewing(token)

"""Lives of subscriptions in the simulated Stripe: webhooks through the hook, everything asked of its API, told as customers' servers hear it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from perennial import catalog, currencies, customers, intake, ledger, subscriptions
from perennial.base.errors import Conflict, Invalid, NotFound
from perennial.base.ids import AppId, CustomerId
from perennial.base.money import Money
from perennial.base.time import iso, to_ms
from perennial.catalog.model import ProductGrant
from perennial.cli import app as command_line
from perennial.exports.rules import COLUMNS, rows_of
from perennial.intake.model import Act, CannotAct, StoreApp
from perennial.providers.simulated import stripe
from perennial.providers.simulated.stripe import Bought, StripeServer
from perennial.subscriptions.model import Line
from tests.contract.v2_caller import Caller
from tests.flows.town import listening
from tests.world import START, World

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Shop:
    """A world with an app of Stripe's whose Stripe is the simulated one; ada buys."""

    def __init__(self, world: World, app_id: AppId, address: str) -> None:
        self.world, self.app_id, self.address = world, app_id, address

    def transaction(self) -> Any:
        return self.world.app.database.transaction(self.world.project_id)

    async def buy(self, product: str = "prod_pro", **more: Any) -> Bought:
        async with self.transaction() as tx:
            bought = await stripe.buy(tx, self.world.app.vault, self.app_id, product=product, **{"app_user_id": "ada", **more})
        await self.world.run_due()
        return bought

    async def do(self, verb: Any, bought: Bought, *arguments: Any, **more: Any) -> Any:
        async with self.transaction() as tx:
            done = await verb(tx, self.app_id, bought.subscription or bought.payment, *arguments, **more)
        await self.world.run_due()
        return done

    async def store_app(self) -> StoreApp:
        async with self.transaction() as tx:
            return (await intake.store_apps(tx, self.world.app.vault, [self.app_id]))[self.app_id]

    async def line(self, bought: Bought) -> Line:
        async with self.transaction() as tx:
            (line,) = await subscriptions.find(tx, [("stripe", "sandbox", bought.subscription or bought.payment)])
            return line

    async def status(self, bought: Bought) -> str:
        return subscriptions.status(await self.line(bought), await self.world.now())

    async def has_access(self) -> bool:
        """By the service's own reckoning, grace included."""
        lines, now = await self.world.lines("ada"), await self.world.now()
        return any(subscriptions.is_entitled(line, now) for line in lines)

    async def revenue(self) -> int:
        """What customers paid, in cents, by the ledger."""
        async with self.transaction() as tx:
            paid = await ledger.balance(tx, ["sandbox/customers/receivable"])
        return -paid.get("sandbox/customers/receivable", {}).get(ledger.money("USD"), 0)

    async def gives(self, *, expires: bool = False, **amounts: int) -> None:
        """From now on the products give so many gems each."""
        async with self.transaction() as tx:
            products = {one.store_identifier: one.product_id for one in await catalog.get_products(tx) if one.app_id == self.app_id}
            grants = [ProductGrant(product_ids=(products[name],), amount=amount, expire_at_cycle_end=expires) for name, amount in amounts.items()]
            await catalog.create_currency(tx, code="GEM", name="Gems", product_grants=grants)

    async def gems(self) -> int:
        async with self.transaction() as tx:
            customer_id: CustomerId = (await customers.find(tx, ["ada"]))["ada"]
            return (await currencies.balances(tx, [customer_id]))[customer_id].get("GEM", 0)

    async def told(self) -> list[str]:
        return await self.world.told("ada")

    async def last(self) -> dict[str, Any]:
        return (await self.world.bodies("ada"))[-1]

    async def outcomes(self) -> list[str]:
        async with self.transaction() as tx:
            rows = await tx.fetch("SELECT kind, outcome FROM notification WHERE app_id = %(app)s ORDER BY sent_at, message_id", app=self.app_id)
            return [f"{row['kind']}: {row['outcome']}" for row in rows]

    async def open_questions(self) -> list[dict[str, Any]]:
        async with self.transaction() as tx:
            return [dict(row) for row in await tx.fetch("SELECT subject, last_error FROM inquiry")]

    async def act(self, kind: Any, subject: str, act_id: str = "act_1", **details: str | int) -> None:
        act = Act(act_id=act_id, kind=kind, environment="sandbox", subject=subject, details=details)
        app = self.world.app
        await intake.perform(app.database, app.vault, app.providers, self.world.project_id, self.app_id, act)
        await self.world.run_due()


@pytest.fixture
async def shop(world: World) -> AsyncIterator[Shop]:
    async with listening(StripeServer(world.app.database, world.app.vault)) as address:
        async with world.app.database.transaction(world.project_id) as tx:
            made, _ = await catalog.create_app(tx, world.app.vault, name="web", store="stripe")
            pro = next(one for one in await catalog.get_entitlements(tx) if one.lookup_key == "pro")
            for identifier, kind, duration, cents in (
                ("prod_pro", "subscription", "P1M", 999),
                ("prod_max", "subscription", "P1M", 1999),
                ("prod_year", "subscription", "P1Y", 7999),
                ("prod_life", "non_consumable", None, 14999),
                ("prod_coins", "consumable", None, 99),
            ):
                product = await catalog.create_product(
                    tx,
                    app_id=made.app_id,
                    store_identifier=identifier,
                    type=kind,
                    display_name=identifier,
                    duration=duration,
                    trial_duration="P1W" if kind == "subscription" else None,
                    prices=[Money(amount=cents, currency="USD")],
                )
                if kind != "consumable":
                    await catalog.attach_products(tx, pro.entitlement_id, [product.product_id])
            await stripe.opt_in(tx, world.app.vault, made.app_id, address)
        yield Shop(world, made.app_id, address)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Buying and renewing


async def test_a_checkout_becomes_an_entitlement_renews_by_the_calendar_and_lapses_when_cancelled(shop: Shop) -> None:
    """From 31 January: Stripe goes to the end of February and back to the 31st of March."""
    bought = await shop.buy()
    assert await shop.outcomes() == ["customer.subscription.created: recorded", "invoice.paid: recorded", "checkout.session.completed: recorded"]
    assert await shop.world.entitled("ada") == ["pro"]
    assert await shop.told() == ["INITIAL_PURCHASE"]
    first = await shop.last()
    assert (first["store"], first["environment"], first["product_id"], first["price_in_purchased_currency"]) == (
        "STRIPE",
        "SANDBOX",
        "prod_pro",
        9.99,
    )
    assert (first["transaction_id"], first["original_transaction_id"]) == (f"in_{bought.session[8:]}_1", bought.subscription)
    await shop.world.advance(days=28, hours=2)
    await shop.do(stripe.cancel, bought)
    assert await shop.told() == ["INITIAL_PURCHASE", "RENEWAL", "CANCELLATION"]
    assert (await shop.last())["cancel_reason"] == "UNSUBSCRIBE"
    held = (await shop.line(bought)).held
    assert [(one.purchase.purchased_at, one.purchase.expires_at) for one in held] == [
        (START, at("2026-02-28T12:00:00")),
        (at("2026-02-28T12:00:00"), at("2026-03-31T12:00:00")),
    ]
    await shop.world.advance(days=40)
    assert await shop.told() == ["INITIAL_PURCHASE", "RENEWAL", "CANCELLATION", "EXPIRATION"]
    assert (await shop.last())["expiration_reason"] == "UNSUBSCRIBE"
    assert await shop.world.entitled("ada") == []
    assert await shop.open_questions() == []


async def test_access_goes_on_in_the_hour_before_a_renewal_is_charged(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.world.advance(days=28, minutes=30)
    assert await shop.has_access()
    assert await shop.told() == ["INITIAL_PURCHASE"]
    assert len((await shop.line(bought)).held) == 1
    await shop.world.advance(hours=1)
    assert await shop.told() == ["INITIAL_PURCHASE", "RENEWAL"]


async def test_a_year_is_eleven_renewals_and_no_more(shop: Shop) -> None:
    await shop.buy()
    await shop.world.advance(days=360)
    assert await shop.told() == ["INITIAL_PURCHASE", *["RENEWAL"] * 11]
    assert await shop.open_questions() == []


async def test_a_trial_converts_with_its_first_payment(shop: Shop) -> None:
    await shop.buy(free_trial=True)
    assert (await shop.last())["period_type"] == "TRIAL"
    assert (await shop.last())["price_in_purchased_currency"] == 0
    await shop.world.advance(days=7, hours=2)
    assert await shop.told() == ["INITIAL_PURCHASE", "RENEWAL"]
    paid = await shop.last()
    assert (paid["is_trial_conversion"], paid["period_type"], paid["price_in_purchased_currency"]) == (True, "NORMAL", 9.99)


async def test_a_setup_fee_on_a_trial_is_told_booked_and_exported_and_so_is_its_refund(shop: Shop) -> None:
    await shop.gives(prod_pro=100)
    bought = await shop.buy(free_trial=True, setup_fee=5000)
    (told,) = await shop.world.bodies("ada")
    assert (told["type"], told["period_type"], told["price"], told["price_in_purchased_currency"]) == ("INITIAL_PURCHASE", "TRIAL", 50.0, 50.0)
    assert (await shop.revenue(), await shop.gems()) == (5000, 0)
    await shop.do(stripe.refund, bought, amount=2000)
    assert ((await shop.last())["type"], (await shop.last())["price_in_purchased_currency"], await shop.revenue()) == ("REFUND", -20.0, 3000)
    async with shop.transaction() as tx:
        (ada,) = (await customers.load(tx, list((await customers.find(tx, ["ada"])).values()))).values()
        (row,) = rows_of(ada, [await shop.line(bought)], {}, {})
    cells = dict(zip(COLUMNS, row, strict=True))
    wanted = ("is_trial_period", "purchase_price_in_usd", "price_in_usd", "purchase_price_in_purchased_currency")
    assert [cells[name] for name in wanted] == ["true", "50.00", "30.00", "50.00"]
    v2 = Caller.of(shop.world)
    (held,) = (await v2.get("/customers/ada/subscriptions"))["items"]
    assert (held["status"], held["total_revenue_in_usd"]["gross"]) == ("trialing", 30.0)
    await shop.world.advance(days=8)
    assert ((await shop.told())[-2:], await shop.revenue(), await shop.gems()) == (["RENEWAL", "VIRTUAL_CURRENCY_TRANSACTION"], 3999, 100)


async def test_a_trial_that_is_cancelled_ends_unpaid(shop: Shop) -> None:
    bought = await shop.buy(free_trial=True)
    await shop.do(stripe.cancel, bought)
    await shop.world.advance(days=8)
    assert await shop.told() == ["INITIAL_PURCHASE", "CANCELLATION", "EXPIRATION"]
    assert await shop.world.entitled("ada") == []


async def test_a_mind_that_is_changed_back_renews(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.do(stripe.cancel, bought)
    await shop.do(stripe.uncancel, bought)
    await shop.world.advance(days=29)
    assert await shop.told() == ["INITIAL_PURCHASE", "CANCELLATION", "UNCANCELLATION", "RENEWAL"]


async def test_cancelled_now_ends_now_and_is_told_once(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.world.advance(days=3)
    await shop.do(stripe.cancel_now, bought)
    await shop.world.advance(hours=2)
    assert (await shop.told())[-1] == "EXPIRATION"
    assert (await shop.told()).count("EXPIRATION") == 1
    assert await shop.world.entitled("ada") == []
    assert (await shop.line(bought)).held[0].purchase.expires_at == START + 3 * DAY


async def test_a_first_payment_that_is_declined_is_no_purchase_until_it_is_made(shop: Shop) -> None:
    bought = await shop.buy(is_declined=True)
    assert await shop.told() == []
    assert await shop.world.entitled("ada") == []
    await shop.do(stripe.pay, bought)
    assert await shop.told() == ["INITIAL_PURCHASE"]
    lost = await shop.buy(is_declined=True, app_user_id="ben")
    await shop.world.advance(days=2)
    assert await shop.world.told("ben") == []
    async with shop.transaction() as tx:
        assert await subscriptions.find(tx, [("stripe", "sandbox", lost.subscription)]) == []


# Failing


async def test_a_renewal_that_fails_is_grace_until_a_retry_succeeds(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.do(stripe.fail_next_charge, bought, recover_at_retry=2)
    await shop.world.advance(days=28, hours=2)
    assert await shop.told() == ["INITIAL_PURCHASE", "BILLING_ISSUE", "CANCELLATION"]
    issue = (await shop.world.bodies("ada"))[1]
    assert issue["grace_period_expiration_at_ms"] == to_ms(START + 28 * DAY + HOUR + 3 * DAY + HOUR)
    assert (await shop.last())["cancel_reason"] == "BILLING_ERROR"
    assert (await shop.status(bought), await shop.has_access()) == ("in_grace_period", True)
    await shop.world.advance(days=4)
    assert await shop.has_access()
    await shop.world.advance(days=6)
    assert await shop.told() == ["INITIAL_PURCHASE", "BILLING_ISSUE", "CANCELLATION", "RENEWAL"]
    assert await shop.status(bought) == "active"


@pytest.mark.parametrize(("then", "status"), [("canceled", "expired"), ("unpaid", "in_billing_retry"), ("past_due", "in_billing_retry")])
async def test_a_renewal_that_never_succeeds_ends_by_the_accounts_setting(shop: Shop, then: str, status: str) -> None:
    bought = await shop.buy()
    await shop.do(stripe.fail_next_charge, bought, then=then)
    await shop.world.advance(days=28 + 16, hours=4)
    assert await shop.told() == ["INITIAL_PURCHASE", "BILLING_ISSUE", "CANCELLATION", "EXPIRATION"]
    assert (await shop.last())["expiration_reason"] == "BILLING_ERROR"
    assert (await shop.status(bought), await shop.has_access()) == (status, False)


async def test_an_unpaid_subscription_that_is_paid_at_last_comes_back(shop: Shop) -> None:
    bought = await shop.buy("prod_year")
    await shop.do(stripe.fail_next_charge, bought, then="unpaid")
    await shop.world.advance(days=365 + 20)
    assert await shop.world.entitled("ada") == []
    await shop.do(stripe.pay, bought)
    assert (await shop.told())[-2:] == ["EXPIRATION", "RENEWAL"]
    assert await shop.world.entitled("ada") == ["pro"]


# Pausing


async def test_collection_paused_by_voiding_gives_no_service_until_it_is_resumed(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.do(stripe.pause, bought)
    assert await shop.told() == ["INITIAL_PURCHASE", "SUBSCRIPTION_PAUSED"]
    assert await shop.world.entitled("ada") == ["pro"]
    await shop.world.advance(days=29)
    assert await shop.told() == ["INITIAL_PURCHASE", "SUBSCRIPTION_PAUSED", "EXPIRATION"]
    assert (await shop.last())["expiration_reason"] == "SUBSCRIPTION_PAUSED"
    assert (await shop.status(bought), await shop.has_access()) == ("paused", False)
    await shop.do(stripe.resume, bought)
    await shop.world.advance(days=31)
    assert (await shop.told())[-1] == "RENEWAL"
    assert await shop.world.entitled("ada") == ["pro"]


async def test_collection_paused_otherwise_gives_the_service_away(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.do(stripe.pause, bought, "mark_uncollectible")
    await shop.world.advance(days=29)
    assert await shop.world.entitled("ada") == ["pro"]
    (_, free) = (await shop.line(bought)).held
    assert free.purchase.price == Money(amount=0, currency="USD")


# Money back


async def test_a_refund_is_told_takes_no_access_and_may_fail(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.do(stripe.refund, bought)
    assert await shop.told() == ["INITIAL_PURCHASE", "CANCELLATION"]
    back = await shop.last()
    assert (back["cancel_reason"], back["price_in_purchased_currency"]) == ("CUSTOMER_SUPPORT", -9.99)
    assert await shop.world.entitled("ada") == ["pro"]
    await shop.do(stripe.fail_refund, bought)
    assert await shop.told() == ["INITIAL_PURCHASE", "CANCELLATION", "REFUND_REVERSED"]


async def test_a_part_given_back_is_no_cancellation(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.do(stripe.refund, bought, amount=400)
    assert await shop.told() == ["INITIAL_PURCHASE", "REFUND"]
    (held,) = (await shop.line(bought)).held
    assert [(one.amount, one.is_reversed) for one in held.purchase.refunds] == [(Money(amount=400, currency="USD"), False)]
    with pytest.raises(Invalid, match="between 1 and 599"):
        await shop.do(stripe.refund, bought, amount=600)


async def test_a_refund_of_an_earlier_period_says_nothing_of_this_one(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.world.advance(days=29)
    await shop.do(stripe.refund, bought, invoice=1)
    assert await shop.told() == ["INITIAL_PURCHASE", "RENEWAL", "REFUND"]


@pytest.mark.parametrize(("outcome", "told"), [("won", []), ("lost", ["CANCELLATION"])])
async def test_a_dispute_counts_when_it_is_decided(shop: Shop, outcome: str, told: list[str]) -> None:
    bought = await shop.buy()
    await shop.do(stripe.dispute, bought)
    assert await shop.told() == ["INITIAL_PURCHASE"]
    await shop.do(stripe.close_dispute, bought, outcome)
    assert await shop.told() == ["INITIAL_PURCHASE", *told]


async def test_what_stripe_kept_is_known(shop: Shop) -> None:
    """2.9 % and 30 cents of 9.99."""
    (held,) = (await shop.line(await shop.buy())).held
    assert (held.purchase.commission, held.purchase.price) == (Money(amount=58, currency="USD"), Money(amount=999, currency="USD"))


# Changing


async def test_an_upgrade_counts_at_once_and_its_proration_is_revenue(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.world.advance(days=14)
    await shop.do(stripe.upgrade, bought, "prod_max")
    assert await shop.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE"]
    change = await shop.last()
    assert (change["product_id"], change["new_product_id"]) == ("prod_pro", "prod_max")
    charged = {"transaction_id": (await shop.line(bought)).held[1].purchase.transaction, "price_in_purchased_currency": 5.0, "currency": "USD"}
    assert change["perennial"]["proration"] == charged
    assert (await shop.line(bought)).held[1].purchase.expires_at == START + 28 * DAY
    assert (await shop.revenue(), await shop.has_access()) == (1499, True)
    await shop.world.advance(days=15)
    assert (await shop.told())[2:] == ["RENEWAL"]
    assert ((await shop.last())["renewal_number"], (await shop.last())["price_in_purchased_currency"]) == (2, 19.99)


async def test_an_upgrade_to_another_length_begins_its_period_now(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.world.advance(days=14)
    await shop.do(stripe.upgrade, bought, "prod_year")
    held = (await shop.line(bought)).held
    assert (held[1].purchase.purchased_at, held[1].purchase.expires_at) == (START + 14 * DAY, at("2027-02-14T12:00:00"))
    assert held[1].purchase.price == Money(amount=7999 - 500, currency="USD")


async def test_an_upgrade_to_be_invoiced_later_counts_at_once_and_is_paid_with_the_renewal(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.world.advance(days=14)
    await shop.do(stripe.upgrade, bought, "prod_max", invoiced="later")
    assert await shop.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE"]
    assert (await shop.last())["perennial"]["proration"]["price_in_purchased_currency"] == 0
    await shop.world.advance(days=15)
    assert (await shop.told())[2:] == ["RENEWAL"]
    assert (await shop.last())["price_in_purchased_currency"] == 24.99


async def test_a_downgrade_is_planned_and_comes_with_the_next_period(shop: Shop) -> None:
    bought = await shop.buy("prod_max")
    await shop.do(stripe.downgrade, bought, "prod_pro")
    assert await shop.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE"]
    assert (await shop.last())["new_product_id"] == "prod_pro"
    await shop.world.advance(days=29)
    assert await shop.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL"]
    assert (await shop.last())["product_id"] == "prod_pro"


async def test_a_planned_downgrade_taken_back_does_not_come(shop: Shop) -> None:
    bought = await shop.buy("prod_max")
    await shop.do(stripe.downgrade, bought, "prod_pro")
    await shop.do(stripe.revert_downgrade, bought)
    await shop.world.advance(days=29)
    assert (await shop.last())["product_id"] == "prod_max"


async def test_more_seats_are_paid_for_the_rest_of_the_period(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.world.advance(days=14)
    await shop.do(stripe.set_quantity, bought, 3)
    held = (await shop.line(bought)).held
    assert [(one.purchase.quantity, one.purchase.price) for one in held] == [
        (1, Money(amount=999, currency="USD")),
        (3, Money(amount=1498 - 500, currency="USD")),
    ]
    assert await shop.told() == ["INITIAL_PURCHASE"]
    assert await shop.revenue() == 999 + 998


async def test_seats_to_and_fro_are_no_renewals_and_give_what_was_charged(shop: Shop) -> None:
    await shop.gives(prod_pro=100)
    bought = await shop.buy(quantity=2)
    assert await shop.gems() == 200
    await shop.world.advance(days=14)
    for seats, gems, paid in ((3, 250, 1998 + 499), (2, 250, 1998 + 499), (3, 300, 1998 + 2 * 499), (2, 300, 1998 + 2 * 499)):
        await shop.do(stripe.set_quantity, bought, seats)
        await shop.world.advance(seconds=1)
        assert (await shop.gems(), await shop.revenue()) == (gems, paid)
    assert [one for one in await shop.told() if one != "VIRTUAL_CURRENCY_TRANSACTION"] == ["INITIAL_PURCHASE"]
    await shop.world.advance(days=15)
    assert await shop.gems() == 500
    renewed = next(body for body in reversed(await shop.world.bodies("ada")) if body["type"] == "RENEWAL")
    assert (renewed["renewal_number"], renewed["price_in_purchased_currency"]) == (2, 19.98)


async def test_a_period_is_known_by_its_own_purchase_after_seats_were_added_to_it(shop: Shop) -> None:
    bought = await shop.buy(quantity=2)
    await shop.world.advance(days=14)
    await shop.do(stripe.set_quantity, bought, 3)
    (first, _) = (await shop.line(bought)).held
    shown = (await shop.world.customer("ada"))["subscriptions"]["prod_pro"]
    assert (shown["purchase_date"], shown["price"]["amount"]) == (iso(START), 19.98)
    assert (shown["store_transaction_id"], shown["original_purchase_date"]) == (first.purchase.transaction, iso(START))
    (held,) = (await Caller.of(shop.world).get("/customers/ada/subscriptions"))["items"]
    assert (held["starts_at"], held["current_period_starts_at"], held["total_revenue_in_usd"]["gross"]) == (to_ms(START), to_ms(START), 24.97)
    await shop.do(stripe.cancel, bought)
    told = await shop.last()
    assert (told["type"], told["transaction_id"], told["price_in_purchased_currency"]) == ("CANCELLATION", first.purchase.transaction, 19.98)


async def test_plans_to_and_fro_with_nothing_invoiced_give_nothing_until_they_are_charged(shop: Shop) -> None:
    await shop.gives(prod_pro=100, prod_max=500)
    bought = await shop.buy()
    await shop.world.advance(days=14)
    for product in ("prod_max", "prod_pro", "prod_max"):
        await shop.do(stripe.upgrade, bought, product, invoiced="later")
        await shop.world.advance(hours=1)
        assert await shop.gems() == 100
    told = [one for one in await shop.told() if one != "VIRTUAL_CURRENCY_TRANSACTION"]
    assert told == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "PRODUCT_CHANGE", "PRODUCT_CHANGE"]
    await shop.world.advance(days=15)
    assert (await shop.told())[-2:] == ["RENEWAL", "VIRTUAL_CURRENCY_TRANSACTION"]
    assert await shop.gems() == 100 + 500 + 125, "of the renewal, and of the 5.00 by which the change was charged with it"


async def test_a_change_that_is_charged_gives_its_part_at_once_and_ends_what_expires(shop: Shop) -> None:
    await shop.gives(prod_pro=100, prod_max=500, expires=True)
    bought = await shop.buy()
    await shop.world.advance(days=14)
    await shop.do(stripe.upgrade, bought, "prod_max")
    assert await shop.gems() == 125
    await shop.world.advance(days=15)
    assert await shop.gems() == 500


async def test_a_change_to_another_length_gives_what_was_not_paid_with_the_old_period(shop: Shop) -> None:
    await shop.gives(prod_pro=100, prod_year=1000)
    bought = await shop.buy()
    await shop.world.advance(days=14)
    await shop.do(stripe.upgrade, bought, "prod_year")
    assert await shop.gems() == 100 + round(1000 * (7999 - 500) / 7999)
    assert [one for one in await shop.told() if one != "VIRTUAL_CURRENCY_TRANSACTION"] == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL"]


# One-time payments


async def test_a_lifetime_purchase_lasts_until_it_is_given_back(shop: Shop) -> None:
    bought = await shop.buy("prod_life")
    assert await shop.told() == ["NON_RENEWING_PURCHASE"]
    await shop.world.advance(days=400)
    assert await shop.world.entitled("ada") == ["pro"]
    await shop.do(stripe.refund, bought)
    assert await shop.told() == ["NON_RENEWING_PURCHASE", "CANCELLATION"]
    assert await shop.world.entitled("ada") == []


async def test_a_consumable_is_one_by_our_catalog(shop: Shop) -> None:
    bought = await shop.buy("prod_coins", quantity=3)
    (held,) = (await shop.line(bought)).held
    assert (held.purchase.kind, held.purchase.quantity, held.purchase.price) == ("consumable", 3, Money(amount=297, currency="USD"))


# Who bought, and where it is told


async def test_a_checkout_reference_tells_who_bought(shop: Shop) -> None:
    await shop.buy(is_told_by_session=True)
    assert await shop.world.entitled("ada") == ["pro"]


@pytest.mark.parametrize("token", ["subscription", "session"])
async def test_a_page_may_post_what_it_was_given(shop: Shop, token: str) -> None:
    bought = await shop.buy(app_user_id=None)
    assert await shop.told() == []
    answer = await shop.world.http.post(
        "/v1/receipts",
        headers={**shop.world.secret, "X-Platform": "stripe"},
        json={"app_user_id": "ada", "fetch_token": getattr(bought, token)},
    )
    assert answer.status_code == 200, answer.text
    assert list(answer.json()["subscriber"]["entitlements"]) == ["pro"]
    assert await shop.world.entitled("ada") == ["pro"]


async def test_webhooks_that_were_lost_are_caught_up_with(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.do(stripe.set_silent, bought, is_silent=True)
    before = await shop.world.now()
    await shop.do(stripe.refund, bought, amount=100)
    await shop.do(stripe.cancel, bought)
    assert await shop.told() == ["INITIAL_PURCHASE"]
    app = shop.world.app
    counted = [
        count async for count in intake.catch_up(app.database, app.vault, app.providers, shop.world.project_id, shop.app_id, before - DAY, "sandbox")
    ]
    await shop.world.run_due()
    assert counted[-1].told == 6
    assert sorted(await shop.told()) == ["CANCELLATION", "INITIAL_PURCHASE", "REFUND"]


async def test_a_line_whose_webhooks_are_lost_is_asked_about_when_its_period_ends(shop: Shop) -> None:
    bought = await shop.buy()
    await shop.do(stripe.set_silent, bought, is_silent=True)
    await shop.world.advance(days=28, hours=3)
    assert await shop.told() == ["INITIAL_PURCHASE", "RENEWAL"]


# Acting


async def test_acts_reach_the_store_and_come_back_as_what_it_says(shop: Shop) -> None:
    bought = await shop.buy()
    assert bought.subscription is not None
    await shop.act("extend", bought.subscription, "act_1", days=10)
    assert await shop.told() == ["INITIAL_PURCHASE", "SUBSCRIPTION_EXTENDED"]
    assert (await shop.line(bought)).held[0].purchase.expires_at == START + 38 * DAY
    await shop.act("cancel", bought.subscription, "act_2")
    assert (await shop.told())[-1] == "CANCELLATION"
    await shop.act("refund", bought.subscription, "act_3", transaction=f"in_{bought.session[8:]}_1", amount=100)
    assert (await shop.told())[-1] == "REFUND"
    await shop.act("refund", bought.subscription, "act_3", transaction=f"in_{bought.session[8:]}_1", amount=100)
    assert len((await shop.line(bought)).held[0].purchase.refunds) == 1


async def test_revoke_gives_back_and_ends(shop: Shop) -> None:
    bought = await shop.buy()
    assert bought.subscription is not None
    await shop.act("revoke", bought.subscription, transaction=f"in_{bought.session[8:]}_1")
    assert await shop.told() == ["INITIAL_PURCHASE", "CANCELLATION", "EXPIRATION"]
    assert (await shop.last())["expiration_reason"] == "CUSTOMER_SUPPORT"
    assert await shop.world.entitled("ada") == []
    with pytest.raises(CannotAct):
        await shop.act("cancel", bought.subscription, "act_9")


# The store itself


async def test_only_a_sandbox_app_of_stripe_without_a_real_key_may_opt_in(shop: Shop) -> None:
    vault = shop.world.app.vault
    async with shop.transaction() as tx:
        again = await stripe.opt_in(tx, vault, shop.app_id, shop.address)
        assert again == f"{shop.address}/simulated/stripe/{shop.app_id}"
        with pytest.raises(Conflict, match="test_store"):
            await stripe.opt_in(tx, vault, shop.world.app_ids["test_store"], shop.address)
        with pytest.raises(Invalid, match="http"):
            await stripe.opt_in(tx, vault, shop.app_id, "localhost")
        real, _ = await catalog.create_app(tx, vault, name="real", store="stripe", secrets={"api_key": "sk_test_real"})
        with pytest.raises(Conflict, match="real Stripe account"):
            await stripe.opt_in(tx, vault, real.app_id, shop.address)
        with pytest.raises(NotFound, match="opt in first"):
            await stripe.buy(tx, vault, real.app_id, product="prod_pro")


async def test_the_api_asks_for_the_key_and_knows_what_it_does_not_have(shop: Shop) -> None:
    bought = await shop.buy()
    key = (await shop.store_app()).reveal("api_key")
    base = f"{shop.address}/simulated/stripe/{shop.app_id}/v1"
    async with httpx.AsyncClient() as http:

        async def get(path: str, key: str = key) -> httpx.Response:
            return await http.get(f"{base}/{path}", headers={"Authorization": f"Bearer {key}"})

        assert (await get(f"subscriptions/{bought.subscription}")).json()["status"] == "active"
        assert (await get(f"subscriptions/{bought.subscription}", "sk_test_other")).status_code == 401
        for path in ("subscriptions/sub_none", "invoices/in_none_1", f"refunds/re_{bought.session[8:]}_1_1", "nonsense", "nonsense/x"):
            assert (await get(path)).status_code == 404, path
        for path in ("invoices?limit=0", "events?created[gte]=x", "invoice_payments"):
            assert (await get(path)).status_code == 400, path
        page = (await get("events?limit=2")).json()
        assert (len(page["data"]), page["has_more"]) == (2, True)
        rest = (await get(f"events?limit=2&starting_after={page['data'][-1]['id']}")).json()
        assert [len(rest["data"]), rest["has_more"]] == [1, False]


async def test_the_command_line_lives_through_it(shop: Shop, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_url)

    async def perennial(*arguments: str) -> str:
        spoken = ["simulate", "stripe", *arguments, "--project", shop.world.project_id]
        result = await asyncio.to_thread(CliRunner().invoke, command_line, spoken)
        assert result.exit_code == 0, result.output
        return "\n".join(line for line in result.output.strip().splitlines() if not line.startswith("Project "))  # which each command names

    assert f"{shop.address}/simulated/stripe/{shop.app_id}" in await perennial("opt-in", "--address", shop.address)
    said = await perennial("buy", "prod_pro", "--customer", "ada", "--quantity", "2")
    subscription = said.partition(",")[0]
    assert await shop.world.entitled("ada") == ["pro"]
    assert await perennial("downgrade", subscription, "prod_year") == f"{subscription}: prod_pro, active, until 2026-02-28T12:00:00Z"
    assert "active" in await perennial("quantity", subscription, "3")
    assert "active" in await perennial("refund", subscription, "--amount", "100")
    assert "active" in await perennial("refund", subscription, "--fails")
    assert "active" in await perennial("fail-next-charge", subscription, "--then", "unpaid")
    assert "active" in await perennial("pause", subscription, "--days", "40")
    assert "active" in await perennial("resume", subscription)
    assert (await perennial("cancel", subscription)).endswith("ends then")
    assert "active" in await perennial("uncancel", subscription)
    assert "prod_pro" in await perennial("status")
    assert "canceled" in await perennial("cancel", subscription, "--now")
    assert (await shop.told())[0] == "INITIAL_PURCHASE"
    assert (await shop.told())[-1] == "EXPIRATION"


async def test_the_hook_believes_only_the_apps_own_secret(shop: Shop) -> None:
    answer = await shop.world.http.post(f"/hooks/stripe/{shop.app_id}", content=b"{}", headers={"Stripe-Signature": "t=1,v1=00"})
    assert answer.status_code == 401

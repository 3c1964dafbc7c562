"""Lives of subscriptions in the simulated App Store, told as our customers' servers hear them."""

from datetime import datetime, timedelta

import pytest

from perennial import catalog, intake, subscriptions
from perennial.app import App
from perennial.base.errors import Conflict, Invalid, NotConfigured, NotFound
from perennial.base.ids import new_uuid
from perennial.base.money import Money
from perennial.base.time import wall_clock
from perennial.base.value import replace
from perennial.catalog.model import TRACK_NEW_PURCHASES
from perennial.intake.model import Caught, StoreApp, Untrusted
from perennial.providers.apple import AppStore, SigningAuthority, TransactionNotFound
from perennial.providers.simulated import app_store
from perennial.providers.simulated.app_store import Delivery, Offer, payloads, rules
from perennial.providers.simulated.app_store.model import Draft
from tests.flows.town import VAULT, Town, at, make_town

# Renewals ---------------------------------------------------------------------------------------------------------------------


async def test_a_year_of_renewals_keeps_the_last_day_of_the_month_and_is_told_once(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.until("2026-01-31T10:00:01")
    assert await town.told() == ["INITIAL_PURCHASE", *["RENEWAL"] * 12]
    line = await town.line(bought)
    starts = [held.purchase.purchased_at.strftime("%m-%d") for held in line.held]
    assert starts == ["01-31", "02-28", "03-31", "04-30", "05-31", "06-30", "07-31", "08-31", "09-30", "10-31", "11-30", "12-31", "01-31"]
    assert [body["price"] for body in await town.bodies()] == [9.99] * 13
    assert {body["app_user_id"] for body in await town.bodies()} == {town.ada}
    assert await town.kinds() == ["SUBSCRIBED/INITIAL_BUY", *["DID_RENEW"] * 12]
    assert await town.outcomes() == {"recorded"}
    assert await town.is_entitled(bought)


async def test_a_leap_day_comes_back_every_four_years(app: App) -> None:
    town = await make_town(app, at("2024-02-29T12:00:00"))
    bought = await town.buy("yearly")
    await town.until("2029-01-01T00:00:00")
    ends = [held.purchase.expires_at for held in (await town.line(bought)).held]
    assert [end and end.date().isoformat() for end in ends] == ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29", "2029-02-28"]


async def test_a_trial_becomes_a_paid_subscription(town: Town) -> None:
    await town.buy("monthly", offer="free_trial")
    await town.later(days=8)
    trial, paid = await town.bodies()
    assert (trial["type"], trial["period_type"], trial["price"]) == ("INITIAL_PURCHASE", "TRIAL", 0.0)
    assert (paid["type"], paid["period_type"], paid["price"], paid["is_trial_conversion"]) == ("RENEWAL", "NORMAL", 9.99, True)


async def test_pay_as_you_go_lasts_its_periods(town: Town) -> None:
    offer = Offer(kind="introductory", discount="PAY_AS_YOU_GO", period="P1M", price=Money(amount=99, currency="USD"), periods=3)
    await town.buy("monthly", offer=offer)
    await town.until("2025-05-31T10:00:01")
    assert [body["price"] for body in await town.bodies()] == [0.99, 0.99, 0.99, 9.99, 9.99]
    assert [body["period_type"] for body in await town.bodies()] == ["INTRO", "INTRO", "INTRO", "NORMAL", "NORMAL"]


async def test_a_one_time_purchase(town: Town) -> None:
    bought = await town.buy("coins")
    await town.until("2026-02-01T00:00:00")
    assert await town.told() == ["NON_RENEWING_PURCHASE"]
    await town.do(app_store.refund, bought)
    assert await town.told() == ["NON_RENEWING_PURCHASE", "CANCELLATION"]
    assert (await town.bodies())[-1]["price"] == -4.99


# Changes of mind --------------------------------------------------------------------------------------------------------------


async def test_cancelled_it_runs_out_at_its_end(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.later(days=3)
    await town.do(app_store.cancel, bought)
    assert await town.is_entitled(bought)
    await town.until("2025-02-28T09:59:59")
    assert await town.is_entitled(bought)
    await town.until("2025-03-02T00:00:00")
    assert not await town.is_entitled(bought)
    assert await town.told() == ["INITIAL_PURCHASE", "CANCELLATION", "EXPIRATION"]
    assert (await town.bodies())[1]["cancel_reason"] == "UNSUBSCRIBE"
    assert (await town.bodies())[2]["expiration_reason"] == "UNSUBSCRIBE"
    assert await town.kinds() == ["SUBSCRIBED/INITIAL_BUY", "DID_CHANGE_RENEWAL_STATUS/AUTO_RENEW_DISABLED", "EXPIRED/VOLUNTARY"]


async def test_a_cancellation_taken_back(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.do(app_store.cancel, bought)
    await town.later(days=1)
    await town.do(app_store.uncancel, bought)
    await town.until("2025-03-01T00:00:00")
    assert await town.told() == ["INITIAL_PURCHASE", "CANCELLATION", "UNCANCELLATION", "RENEWAL"]
    with pytest.raises(Conflict):
        await town.do(app_store.uncancel, bought)


async def test_who_comes_back_keeps_the_line(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.do(app_store.cancel, bought)
    await town.until("2025-06-15T00:00:00")
    again = await town.resubscribe(bought, "yearly")
    assert again.store_line == bought.store_line
    await town.later(days=366)
    assert await town.told() == ["INITIAL_PURCHASE", "CANCELLATION", "EXPIRATION", "RENEWAL", "RENEWAL"]
    assert [body["product_id"] for body in await town.bodies()][3:] == ["yearly", "yearly"]
    assert await town.is_entitled(bought)


# Other products ---------------------------------------------------------------------------------------------------------------


async def test_an_upgrade_is_immediate(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.until("2025-02-10T10:00:00")
    upgraded = await town.do(app_store.upgrade, bought, "monthly_plus")
    assert [charge.is_upgraded for charge in upgraded.charges] == [True, False]
    assert await town.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL"]
    await town.until("2025-03-10T10:00:01")
    assert await town.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL", "RENEWAL"]
    assert [body["product_id"] for body in await town.bodies()] == ["monthly", "monthly", "monthly_plus", "monthly_plus"]
    assert (await town.bodies())[1]["new_product_id"] == "monthly_plus"
    assert [body["renewal_number"] for body in await town.bodies() if body["type"] == "RENEWAL"] == [2, 3]


async def test_a_downgrade_waits_for_the_renewal(town: Town) -> None:
    bought = await town.buy("monthly_plus")
    await town.later(days=2)
    await town.do(app_store.downgrade, bought, "monthly")
    assert await town.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE"]
    await town.until("2025-02-28T10:00:01")
    assert [(body["type"], body["product_id"]) for body in await town.bodies()] == [
        ("INITIAL_PURCHASE", "monthly_plus"),
        ("PRODUCT_CHANGE", "monthly_plus"),
        ("RENEWAL", "monthly"),
    ]
    await town.until("2025-03-31T10:00:01")
    assert await town.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL", "RENEWAL"]


async def test_a_downgrade_taken_back_changes_nothing(town: Town) -> None:
    bought = await town.buy("monthly_plus")
    await town.do(app_store.downgrade, bought, "monthly")
    await town.later(days=1)
    await town.do(app_store.revert_downgrade, bought)
    await town.until("2025-03-01T00:00:00")
    assert [body["product_id"] for body in await town.bodies()] == ["monthly_plus"] * 3
    assert await town.told() == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL"]


async def test_a_downgrade_turns_auto_renew_on_again_without_saying_so(town: Town) -> None:
    bought = await town.buy("monthly_plus")
    await town.do(app_store.cancel, bought)
    await town.later(days=1)
    await town.do(app_store.downgrade, bought, "monthly")
    assert sorted((await town.told())[2:]) == ["PRODUCT_CHANGE", "UNCANCELLATION"]
    assert (await town.kinds())[-1] == "DID_CHANGE_RENEWAL_PREF/DOWNGRADE"


async def test_an_offer_redeemed_by_a_subscriber_prices_the_next_period(town: Town) -> None:
    bought = await town.buy("monthly")
    offer = Offer(kind="offer_code", discount="PAY_UP_FRONT", period="P2M", price=Money(amount=500, currency="USD"), identifier="SPRING")
    await town.do(app_store.redeem_offer, bought, offer)
    await town.until("2025-04-30T10:00:01")
    assert [(body["price"], body["offer_code"]) for body in await town.bodies()] == [(9.99, None), (5.0, "SPRING"), (9.99, None)]
    starts = [held.purchase.purchased_at.strftime("%m-%d") for held in (await town.line(bought)).held]
    assert starts == ["01-31", "02-28", "04-30"]


# Billing that fails -----------------------------------------------------------------------------------------------------------


async def test_recovered_within_grace_nothing_is_lost(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.do(app_store.fail_next_renewal, bought, grace_days=16, recover_after_days=5)
    await town.until("2025-02-28T10:00:01")
    assert await town.status(bought) == "in_grace_period"
    assert await town.is_entitled(bought)
    await town.until("2025-03-05T10:00:01")
    assert await town.told() == ["INITIAL_PURCHASE", "BILLING_ISSUE", "CANCELLATION", "RENEWAL"]
    renewed = (await town.line(bought)).held[-1].purchase
    assert (renewed.purchased_at, renewed.expires_at) == (at("2025-02-28T10:00:00"), at("2025-03-31T10:00:00"))
    await town.until("2025-04-01T00:00:00")
    assert (await town.told())[-1] == "RENEWAL"
    assert len(await town.told()) == 5
    assert (await town.bodies())[1]["grace_period_expiration_at_ms"] == at("2025-03-16T10:00:00").timestamp() * 1000


async def test_recovered_after_grace_the_period_begins_anew(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.do(app_store.fail_next_renewal, bought, grace_days=3, recover_after_days=20)
    await town.until("2025-03-03T10:00:01")
    assert not await town.is_entitled(bought)
    await town.until("2025-03-20T10:00:01")
    assert await town.told() == ["INITIAL_PURCHASE", "BILLING_ISSUE", "CANCELLATION", "EXPIRATION", "RENEWAL"]
    assert (await town.bodies())[3]["expiration_reason"] == "BILLING_ERROR"
    renewed = (await town.line(bought)).held[-1].purchase
    assert (renewed.purchased_at, renewed.expires_at) == (at("2025-03-20T10:00:00"), at("2025-04-20T10:00:00"))
    assert (await town.kinds())[1:] == ["DID_FAIL_TO_RENEW/GRACE_PERIOD", "GRACE_PERIOD_EXPIRED", "DID_RENEW/BILLING_RECOVERY"]


async def test_never_recovered_it_ends_once(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.do(app_store.fail_next_renewal, bought)
    await town.until("2025-02-28T10:00:01")
    assert await town.status(bought) == "in_billing_retry"
    assert not await town.is_entitled(bought)
    await town.until("2025-06-01T00:00:00")
    assert await town.told() == ["INITIAL_PURCHASE", "BILLING_ISSUE", "CANCELLATION", "EXPIRATION"]
    assert (await town.kinds())[1:] == ["DID_FAIL_TO_RENEW", "EXPIRED/BILLING_RETRY"]
    assert await town.status(bought) == "expired"


async def test_cancelled_in_grace_it_ends_with_the_grace(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.do(app_store.fail_next_renewal, bought, grace_days=16)
    await town.until("2025-03-05T00:00:00")
    await town.do(app_store.cancel, bought)
    assert await town.is_entitled(bought)
    await town.until("2025-03-20T00:00:00")
    assert not await town.is_entitled(bought)
    assert [kind for kind in await town.told() if kind != "CANCELLATION"] == ["INITIAL_PURCHASE", "BILLING_ISSUE", "EXPIRATION"]
    assert (await town.kinds())[-1] == "EXPIRED/VOLUNTARY"


# Refunds ----------------------------------------------------------------------------------------------------------------------


async def test_the_current_period_refunded_ends_access_at_once(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.do(app_store.cancel, bought)
    await town.until("2025-02-10T00:00:00")
    await town.do(app_store.refund, bought)
    assert not await town.is_entitled(bought)
    assert await town.status(bought) == "revoked"
    await town.until("2025-04-01T00:00:00")
    assert await town.told() == ["INITIAL_PURCHASE", "CANCELLATION", "CANCELLATION", "EXPIRATION"]
    refund, expiry = (await town.bodies())[2:]
    assert (refund["cancel_reason"], refund["price"], expiry["expiration_reason"]) == ("CUSTOMER_SUPPORT", -9.99, "CUSTOMER_SUPPORT")


async def test_refunded_with_auto_renew_on_the_next_period_comes(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.until("2025-02-10T00:00:00")
    await town.do(app_store.refund, bought)
    assert not await town.is_entitled(bought)
    await town.until("2025-02-28T10:00:01")
    assert await town.is_entitled(bought)
    assert await town.told() == ["INITIAL_PURCHASE", "CANCELLATION", "EXPIRATION", "RENEWAL"]


async def test_an_earlier_period_refunded_by_half_touches_no_access(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.until("2025-03-10T00:00:00")
    await town.do(app_store.refund, bought, bought.transaction, share_ppm=500_000)
    assert await town.is_entitled(bought)
    assert await town.told() == ["INITIAL_PURCHASE", "RENEWAL", "REFUND"]
    assert (await town.bodies())[2]["price"] == -5.0  # half of 9.99, half to even
    await town.until("2025-04-01T00:00:00")
    assert await town.told() == ["INITIAL_PURCHASE", "RENEWAL", "REFUND", "RENEWAL"]


async def test_a_refund_reversed_gives_the_rest_of_the_period_back(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.until("2025-02-05T00:00:00")
    await town.do(app_store.refund, bought)
    await town.until("2025-02-15T00:00:00")
    assert not await town.is_entitled(bought)
    await town.do(app_store.reverse_refund, bought)
    assert await town.is_entitled(bought)
    await town.until("2025-03-01T00:00:00")
    assert await town.told() == ["INITIAL_PURCHASE", "CANCELLATION", "EXPIRATION", "REFUND_REVERSED", "RENEWAL"]


async def test_a_refund_asked_for_and_declined(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.do(app_store.request_refund, bought)
    await town.later(hours=12)
    await town.do(app_store.decline_refund, bought)
    assert await town.kinds() == [
        "SUBSCRIBED/INITIAL_BUY",
        "DID_CHANGE_RENEWAL_STATUS/AUTO_RENEW_DISABLED",
        "CONSUMPTION_REQUEST",
        "REFUND_DECLINED",
    ]
    assert await town.told() == ["INITIAL_PURCHASE", "CANCELLATION"]
    assert await town.is_entitled(bought)


# Price, time, family ----------------------------------------------------------------------------------------------------------


async def test_a_price_increase_agreed_to(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.do(app_store.raise_price, bought, Money(amount=1299, currency="USD"), needs_consent=True)
    await town.later(days=1)
    await town.do(app_store.consent, bought)
    await town.until("2025-04-01T00:00:00")
    assert [(body["type"], body["price"]) for body in await town.bodies()] == [("INITIAL_PURCHASE", 9.99), ("RENEWAL", 12.99), ("RENEWAL", 12.99)]


async def test_a_price_increase_not_agreed_to_ends_it(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.do(app_store.raise_price, bought, Money(amount=1299, currency="USD"), needs_consent=True)
    assert await town.told() == ["INITIAL_PURCHASE"]
    await town.until("2025-03-10T00:00:00")
    assert (await town.kinds())[1:] == ["PRICE_INCREASE/PENDING", "EXPIRED/PRICE_INCREASE"]
    assert (await town.told())[-1] == "EXPIRATION"
    assert (await town.bodies())[-1]["expiration_reason"] == "PRICE_INCREASE"
    assert not await town.is_entitled(bought)


async def test_an_extension_moves_the_date_and_costs_nothing(town: Town) -> None:
    bought = await town.buy("monthly")
    await town.do(app_store.extend, bought, 10)
    await town.until("2025-03-10T09:59:59")
    assert await town.is_entitled(bought)
    assert await town.told() == ["INITIAL_PURCHASE", "SUBSCRIPTION_EXTENDED"]
    await town.until("2025-04-10T10:00:01")
    assert await town.told() == ["INITIAL_PURCHASE", "SUBSCRIPTION_EXTENDED", "RENEWAL", "RENEWAL"]


async def test_a_familys_access_taken_back(town: Town) -> None:
    bought = await town.buy("monthly", family_shared=True)
    await town.until("2025-03-10T00:00:00")
    await town.do(app_store.revoke_family, bought)
    assert not await town.is_entitled(bought)
    await town.until("2025-06-01T00:00:00")
    assert await town.told() == ["INITIAL_PURCHASE", "RENEWAL", "EXPIRATION"]
    assert {(body["is_family_share"], body["price"]) for body in await town.bodies()} == {(True, 0.0)}


# Delivery ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", [Delivery(twice=True), Delivery(reversed=True), Delivery(twice=True, reversed=True)], ids=str)
async def test_mischief_on_the_way_changes_nothing_told(town: Town, delivery: Delivery) -> None:
    async with town.transaction() as tx:
        await app_store.set_delivery(tx, town.app_id, delivery)
    bought = await town.buy("monthly")
    await town.do(app_store.fail_next_renewal, bought, grace_days=16, recover_after_days=5)
    await town.until("2025-04-15T00:00:00")
    await town.do(app_store.cancel, bought)
    await town.until("2025-06-01T00:00:00")
    assert [kind for kind in await town.told() if kind in ("INITIAL_PURCHASE", "RENEWAL", "EXPIRATION")] == [
        "INITIAL_PURCHASE",
        "RENEWAL",
        "RENEWAL",
        "EXPIRATION",
    ]
    assert not await town.is_entitled(bought)


async def test_what_was_lost_can_be_sent_later(town: Town) -> None:
    async with town.transaction() as tx:
        await app_store.set_delivery(tx, town.app_id, Delivery(lost=True))
    await town.buy("monthly")
    await town.until("2025-03-01T00:00:00")
    assert await town.kinds() == []
    async with town.transaction() as tx:
        assert await app_store.resend_lost(tx, town.app_id) == 2
    await town.settle()
    assert await town.kinds() == ["SUBSCRIBED/INITIAL_BUY", "DID_RENEW"]
    assert await town.told() == ["INITIAL_PURCHASE", "RENEWAL"]
    async with town.transaction() as tx:
        assert await app_store.resend_lost(tx, town.app_id) == 0


async def test_a_test_notification_arrives_and_the_history_has_it(town: Town) -> None:
    async with town.transaction() as tx:
        uuid = await app_store.test_notification(tx, town.app_id)
    await town.settle()
    assert await town.kinds() == ["TEST"]
    async with town.transaction() as tx:
        ((sent, _),) = await app_store.notification_history(tx, VAULT, town.app_id)
    assert (sent.draft.uuid, sent.is_delivered, sent.attempts) == (uuid, True, 1)


async def test_the_device_posts_what_the_notification_tells(town: Town) -> None:
    bought = await town.buy("monthly")
    receipt = intake.Receipt(token=bought.signed_transaction)
    reading = await intake.read_receipt(town.app.database, VAULT, town.app.providers, town.project_id, town.app_id, receipt)
    (statement,) = reading.statements
    assert (statement.line, statement.customer_hint) == (bought.store_line, town.ada)
    assert statement.purchases == (next(iter((await town.line(bought)).held)).purchase,)


# Trust ------------------------------------------------------------------------------------------------------------------------


def a_notification(pen: SigningAuthority, app: StoreApp, now: datetime) -> bytes:
    return payloads.body(pen, app, Draft(uuid=new_uuid(), type="TEST", subtype=None, signed_at=now))


async def the_store_app(town: Town) -> StoreApp:
    async with town.transaction() as tx:
        return (await intake.store_apps(tx, VAULT, [town.app_id]))[town.app_id]


async def test_another_projects_signature_is_not_believed(app: App, town: Town) -> None:
    other = await make_town(app, at("2025-01-31T10:00:00"))
    async with other.transaction() as tx:
        pen = (await app_store.require_pen(tx, VAULT, other.app_id)).authority
    ours, now = await the_store_app(town), await town.now()
    provider = app.providers["app_store"]
    assert provider.open(await the_store_app(other), a_notification(pen, await the_store_app(other), now), {}, now).kind == "TEST"
    with pytest.raises(Untrusted):
        provider.open(ours, a_notification(pen, ours, now), {}, now)


async def test_a_root_in_a_production_project_counts_for_nothing(app: App) -> None:
    live = await make_town(app, wall_clock(), is_sandbox=False)
    async with live.transaction() as tx:
        with pytest.raises(Conflict):
            await app_store.opt_in(tx, VAULT, live.app_id)
    forged = SigningAuthority.create(wall_clock())
    async with live.transaction() as tx:  # even where the row is there, by whatever way
        await tx.execute(
            "INSERT INTO simulated_store (project_id, app_id, pen, root) VALUES (%(project_id)s, %(app_id)s, %(pen)s, %(root)s)",
            project_id=live.project_id,
            app_id=live.app_id,
            pen=b"",
            root=forged.root_der,
        )
    ours = await the_store_app(live)
    assert ours.simulated_roots == ()
    with pytest.raises(Untrusted):
        app.providers["app_store"].open(ours, a_notification(forged, ours, wall_clock()), {}, wall_clock())


async def test_opting_in_twice_keeps_the_root(town: Town) -> None:
    async with town.transaction() as tx:
        first = await app_store.opt_in(tx, VAULT, town.app_id)
        assert await app_store.opt_in(tx, VAULT, town.app_id) == first


async def test_what_cannot_be_done_says_why(town: Town) -> None:
    bought = await town.buy("monthly")
    with pytest.raises(Conflict, match="already"):
        await town.do(app_store.upgrade, bought, "monthly")
    with pytest.raises(Invalid, match="grace"):
        await town.do(app_store.fail_next_renewal, bought, grace_days=5)
    with pytest.raises(Conflict, match="still runs"):
        await town.resubscribe(bought, "monthly")
    with pytest.raises(NotFound, match="product"):
        await town.buy("nonsense")
    assert rules.line_of(bought.transaction) == bought.store_line
    assert await town.told() == ["INITIAL_PURCHASE"]


# Crashes ----------------------------------------------------------------------------------------------------------------------


async def test_a_crash_while_posting_loses_and_doubles_nothing(town: Town) -> None:
    async with town.transaction() as tx:
        await app_store.buy(tx, VAULT, town.app_id, product="monthly", app_account_token=town.ada)

    def crash(statement: str) -> None:
        if "UPDATE simulated_subscription" in statement:  # the inbox has it by then
            raise ConnectionResetError("the process died here")

    town.app.database.before_statement = crash
    with pytest.raises(ConnectionResetError):
        await app_store.play_due(town.app.database, VAULT, town.app.providers, town.project_id)
    town.app.database.before_statement = None
    assert await town.kinds() == []
    await town.settle()
    assert await town.kinds() == ["SUBSCRIBED/INITIAL_BUY"]
    assert await app_store.play_due(town.app.database, VAULT, town.app.providers, town.project_id) == 0


async def test_a_line_that_cannot_be_played_steps_aside(town: Town) -> None:
    async with town.transaction() as tx:
        broken = await app_store.buy(tx, VAULT, town.app_id, product="monthly")
        statement = "UPDATE simulated_subscription SET state = state - 'charges' WHERE store_line = %(line)s"
        await tx.execute(statement, line=broken.store_line)
    await town.buy("monthly")
    assert await town.kinds() == ["SUBSCRIBED/INITIAL_BUY"]
    assert await app_store.play_due(town.app.database, VAULT, town.app.providers, town.project_id) == 0


async def test_many_lines_renew_in_one_batch(town: Town) -> None:
    async with town.transaction() as tx:
        await catalog.change_app(tx, VAULT, town.app_id, settings={TRACK_NEW_PURCHASES: "on"})
        for _ in range(50):
            await app_store.buy(tx, VAULT, town.app_id, product="monthly")
    await town.until("2025-03-01T00:00:00")
    assert sorted(await town.told()) == ["INITIAL_PURCHASE"] * 50 + ["RENEWAL"] * 50


# The store's API --------------------------------------------------------------------------------------------------------------


async def test_asked_the_store_tells_the_whole_history(asking: Town) -> None:
    async with asking.transaction() as tx:
        await app_store.set_delivery(tx, asking.app_id, Delivery(lost=True))
    bought = await asking.buy("weekly")
    await asking.until("2025-08-01T00:00:00")
    assert await asking.told() == []
    store = AppStore()
    reading = await store.look_up(await the_store_app(asking), bought.transaction, "sandbox", await asking.now())
    (statement,) = reading.statements
    assert len({purchase.transaction for purchase in statement.purchases}) == 26  # two pages
    assert [renewal.auto_renew for renewal in statement.renewals] == [True]
    async with asking.transaction() as tx:
        await subscriptions.record(tx, [subscriptions.Said(app_id=asking.app_id, statement=statement)])
    assert await asking.told() == ["INITIAL_PURCHASE", *["RENEWAL"] * 25]
    with pytest.raises(TransactionNotFound):
        await store.look_up(await the_store_app(asking), "2000000000000000000", "sandbox", await asking.now())
    await store.close()


async def test_asked_after_silence_the_store_says_how_it_went_on(asking: Town) -> None:
    bought = await asking.buy("monthly")
    async with asking.transaction() as tx:
        await app_store.set_delivery(tx, asking.app_id, Delivery(lost=True))
    await asking.until("2025-05-01T00:00:00")
    assert await asking.told() == ["INITIAL_PURCHASE", *["RENEWAL"] * 3]
    assert await asking.is_entitled(bought)
    assert await asking.kinds() == ["SUBSCRIBED/INITIAL_BUY"]


async def test_asked_after_a_refund_the_history_agrees(asking: Town) -> None:
    bought = await asking.buy("monthly")
    await asking.until("2025-03-10T00:00:00")
    await asking.do(app_store.refund, bought, bought.transaction)
    assert await asking.told() == ["INITIAL_PURCHASE", "RENEWAL", "REFUND"]
    assert await asking.is_entitled(bought)
    async with asking.transaction() as tx:
        assert await tx.fetch("SELECT * FROM inquiry") == []


async def test_the_history_of_notifications_brings_what_was_lost(asking: Town) -> None:
    async with asking.transaction() as tx:
        await app_store.set_delivery(tx, asking.app_id, Delivery(lost=True))
    await asking.buy("monthly")
    await asking.until("2025-03-01T00:00:00")
    store, sold, now = AppStore(), await the_store_app(asking), await asking.now()
    history = store.missed(sold, now - timedelta(days=29), now, "sandbox", now, only_failures=True)
    kinds = [one.envelope.kind async for one in history if isinstance(one, Caught)]
    assert kinds == ["SUBSCRIBED/INITIAL_BUY", "DID_RENEW"]
    await store.request_test_notification(sold, "sandbox", now)
    await store.close()


async def test_the_store_answers_nobody_else(asking: Town) -> None:
    bought = await asking.buy("monthly")
    sold, now = await the_store_app(asking), await asking.now()
    store = AppStore()
    for stranger in (replace(sold, api_key_id="OTHER"), replace(sold, api_issuer="other"), replace(sold, bundle_id="com.example.other")):
        with pytest.raises(NotConfigured):
            await store.look_up(stranger, bought.transaction, "sandbox", now)
    with pytest.raises(NotConfigured):
        await store.look_up(sold, bought.transaction, "sandbox", now - timedelta(hours=1))
    await store.close()

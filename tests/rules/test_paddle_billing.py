"""Paddle Billing: signatures, what each event states by itself, what the API adds, and what is done there."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from perennial.base.errors import Invalid, NotConfigured, Unavailable
from perennial.base.money import Money
from perennial.base.reading import noting
from perennial.base.value import replace
from perennial.catalog.model import Product
from perennial.intake.model import Act, CannotAct, Envelope, Posted, Question, Reading, StoreApp, Untrusted
from perennial.providers.paddle import PaddleBilling, signature
from perennial.providers.paddle.payload import Adjustment, Subscription, Transaction
from perennial.providers.paddle.read import Found, statements
from perennial.subscriptions.earning import earnings
from perennial.subscriptions.model import Line, Purchase, Refund, Renewal, Statement
from perennial.subscriptions.rules import is_entitled, status
from tests.answering import Answering
from tests.other_stores import PADDLE_SECRET, app, hear, paddle_event, paddle_headers, told

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
BOUGHT, ENDS, NEXT = (datetime(2026, month, day, tzinfo=UTC) for month, day in ((1, 1), (2, 1), (3, 1)))
DAY, MINUTE, HOUR = timedelta(days=1), timedelta(minutes=1), timedelta(hours=1)
SECRETS = {"notification_secret": PADDLE_SECRET, "api_key": "pdl_live_S3CRET"}
PADDLE_APP = app("paddle", secrets=SECRETS)
STORE = PaddleBilling()


def price(identifier: str = "pri_pro", *, is_recurring: bool = True, has_trial: bool = False) -> dict[str, Any]:
    return {
        "id": identifier,
        "product_id": identifier.replace("pri_", "pro_"),
        "billing_cycle": {"interval": "month", "frequency": 1} if is_recurring else None,
        "trial_period": {"interval": "day", "frequency": 14} if has_trial else None,
    }


def item(identifier: str = "pri_pro", quantity: int = 1, **kind: bool) -> dict[str, Any]:
    return {"price": price(identifier, **kind), "quantity": quantity, "status": "active", "recurring": kind.get("is_recurring", True)}


def period(begins: datetime = BOUGHT, ends: datetime = ENDS) -> dict[str, str]:
    return {"starts_at": begins.isoformat(), "ends_at": ends.isoformat()}


def subscription(**changes: object) -> dict[str, Any]:
    return {
        "id": "sub_1",
        "status": "active",
        "items": [item()],
        "custom_data": {"app_user_id": "ada"},
        "currency_code": "USD",
        "current_billing_period": period(),
        "scheduled_change": None,
        "canceled_at": None,
        "paused_at": None,
        **changes,
    }


def transaction(identifier: str = "txn_1", total: str = "1200", tax: str = "200", fee: str | None = "90", **changes: object) -> dict[str, Any]:
    whole = {
        "id": identifier,
        "status": "completed",
        "origin": "web",
        "items": [item()],
        "details": {
            "totals": {"subtotal": "1000", "tax": tax, "total": total, "grand_total": total, "fee": fee, "currency_code": "USD"},
            "line_items": [{"id": "txnitm_1", "price_id": "pri_pro", "totals": {"total": total, "tax": tax}}],
        },
        "currency_code": "USD",
        "created_at": (BOUGHT - MINUTE).isoformat(),
        "billed_at": BOUGHT.isoformat(),
        "subscription_id": "sub_1",
        "billing_period": period(),
        "custom_data": {"app_user_id": "ada"},
    }
    return {**whole, **changes}


def renewal_transaction(**changes: object) -> dict[str, Any]:
    return transaction(
        "txn_2", **{"origin": "subscription_recurring", "billing_period": period(ENDS, NEXT), "billed_at": ENDS.isoformat(), **changes}
    )


def adjustment(identifier: str = "adj_1", action: str = "refund", total: str = "1200", **changes: object) -> dict[str, Any]:
    return {
        "id": identifier,
        "action": action,
        "status": "approved",
        "transaction_id": "txn_1",
        "subscription_id": "sub_1",
        "reason": "error",
        "items": [{"id": "adjitm_1", "item_id": "txnitm_1", "type": "partial", "amount": total, "totals": {"total": total}}],
        "totals": {"total": total, "currency_code": "USD"},
        "created_at": NOW.isoformat(),
        "updated_at": (NOW + HOUR).isoformat(),
        **changes,
    }


def say(kind: str, data: dict[str, Any], now: datetime = NOW, ours: StoreApp = PADDLE_APP) -> Reading:
    return STORE.read(ours, paddle_event(kind, data, now), now)


def found(about: dict[str, Any], paid: list[dict[str, Any]], given: list[dict[str, Any]] | None = None) -> Found:
    return Found(
        subscription=msgspec.convert(about, Subscription),
        transactions=tuple(msgspec.convert(one, Transaction) for one in paid),
        adjustments=tuple(msgspec.convert(one, Adjustment) for one in given or ()),
    )


def bought() -> Line:
    """A line as two notifications made it: bought and told."""
    return hear([*say("transaction.completed", transaction()).statements, *say("subscription.created", subscription()).statements], NOW)


# Who sent it


BODY = paddle_event("subscription.updated", subscription(), NOW)


def test_a_signed_event_is_taken() -> None:
    assert STORE.open(PADDLE_APP, BODY, paddle_headers(BODY, NOW), NOW) == Envelope(message_id="evt_1", kind="subscription.updated", sent_at=NOW)


def test_any_of_several_signatures_will_do_and_either_of_two_secrets() -> None:
    good = paddle_headers(BODY, NOW)[signature.HEADER]
    rotated = good.replace(";h1=", f";h1={'0' * 64};h1=") + ";h2=whatever"
    STORE.open(PADDLE_APP, BODY, {signature.HEADER: rotated}, NOW)
    two = replace(PADDLE_APP, secrets={"notification_secret": f"pdl_ntfset_new {PADDLE_SECRET}"})
    STORE.open(two, BODY, {signature.HEADER: good}, NOW)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "ts=1;h1=",
        "ts=;h1=00",
        "h1=00",
        "ts=1768046400",
        f"ts=1768046400;h1={'0' * 64}",
        "ts=x;h1=00",
        f"ts=1768046400;ts=1768046400;h1={'0' * 64}",
        f"ts=1768046400;h1={'é' * 64}",
        "ts=" + "9" * 5000 + ";h1=00",
        paddle_headers(BODY, NOW, "pdl_ntfset_other")[signature.HEADER],
        paddle_headers(BODY + b" ", NOW)[signature.HEADER],
    ],
)
def test_what_paddle_did_not_sign_is_untrusted(header: str | None) -> None:
    with pytest.raises(Untrusted):
        STORE.open(PADDLE_APP, BODY, {} if header is None else {signature.HEADER: header}, NOW)


@pytest.mark.parametrize(
    ("seconds", "setting", "is_taken"), [(60, None, True), (61, None, False), (5, "5", True), (6, "5", False), (300, "300", True)]
)
def test_the_tolerance_holds_both_ways(seconds: int, setting: str | None, is_taken: bool) -> None:
    ours = PADDLE_APP if setting is None else replace(PADDLE_APP, settings={"signature_tolerance_seconds": setting})
    headers = paddle_headers(BODY, NOW)
    for now in (NOW + timedelta(seconds=seconds), NOW - timedelta(seconds=seconds)):
        if is_taken:
            STORE.open(ours, BODY, headers, now)
        else:
            with pytest.raises(Untrusted, match="replayed"):
                STORE.open(ours, BODY, headers, now)


@pytest.mark.parametrize("setting", ["0", "-1", "x", "3601", "", "99999999999999"])
def test_a_tolerance_that_is_none(setting: str) -> None:
    with pytest.raises(Invalid, match="signature_tolerance_seconds"):
        STORE.open(replace(PADDLE_APP, settings={"signature_tolerance_seconds": setting}), BODY, paddle_headers(BODY, NOW), NOW)


def test_the_environment_of_the_process_switches_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paddle's own library skips the time check where TEST_MODE is set."""
    monkeypatch.setenv("TEST_MODE", "true")
    with pytest.raises(Untrusted):
        STORE.open(PADDLE_APP, BODY, paddle_headers(BODY, NOW), NOW + HOUR)


def test_what_paddle_signs_but_we_cannot_read_is_kept() -> None:
    body = b'{"event": 1}'
    envelope = STORE.open(PADDLE_APP, body, paddle_headers(body, NOW), NOW)
    assert (envelope.kind, envelope.sent_at, len(envelope.message_id)) == ("unknown", NOW, 64)
    with pytest.raises(Invalid):
        STORE.read(PADDLE_APP, body, NOW)


def test_without_a_secret_nothing_is_taken() -> None:
    with pytest.raises(NotConfigured, match="notification_secret"):
        STORE.open(replace(PADDLE_APP, secrets={}), BODY, paddle_headers(BODY, NOW), NOW)


# What a transaction states


PERIOD = Purchase(
    transaction="txn_1",
    product="pri_pro",
    kind="subscription",
    purchased_at=BOUGHT,
    expires_at=ENDS,
    as_of=NOW,
    is_first=True,
    is_renewal=False,
    price=Money(amount=1200, currency="USD"),
    tax=Money(amount=200, currency="USD"),
    commission=Money(amount=90, currency="USD"),
)


def test_a_first_payment() -> None:
    assert say("transaction.completed", transaction()) == Reading(
        statements=(
            Statement(store="paddle", environment="production", line="sub_1", also=("sub_1#pri_pro",), purchases=(PERIOD,), app_user_id="ada"),
        )
    )


@pytest.mark.parametrize(
    ("origin", "is_first", "is_renewal"),
    [("web", True, False), ("api", True, False), ("subscription_recurring", False, True), ("subscription_update", False, False)],
)
def test_the_origin_says_what_a_payment_is(origin: str, is_first: bool, is_renewal: bool) -> None:
    (purchase,) = say("transaction.completed", transaction(origin=origin)).statements[0].purchases
    assert (purchase.is_first, purchase.is_renewal) == (is_first, is_renewal)


def test_a_change_of_payment_method_is_no_payment() -> None:
    reading = say("transaction.completed", transaction(origin="subscription_payment_method_change", total="0", tax="0"))
    assert (reading.statements, reading.questions) == ((), ())


def test_a_proration_begins_when_it_was_billed_and_takes_over() -> None:
    upgrade = transaction(
        "txn_2",
        origin="subscription_update",
        items=[item("pri_gold")],
        billed_at=(NOW + MINUTE).isoformat(),
        details={"totals": {"total": "800", "grand_total": "800"}, "line_items": [{"id": "t", "price_id": "pri_gold", "totals": {"total": "800"}}]},
    )
    reading = say("transaction.completed", upgrade, NOW + MINUTE)
    (purchase,) = reading.statements[0].purchases
    assert (purchase.purchased_at, purchase.expires_at, purchase.price) == (NOW + MINUTE, ENDS, Money(amount=800, currency="USD"))
    assert (purchase.is_proration, purchase.is_renewal, purchase.is_first) == (True, False, False)
    assert told(reading.statements, NOW + MINUTE, bought()) == ["PRODUCT_CHANGE"]


def seats(identifier: str, quantity: int, total: str, begins: datetime, **unit: Any) -> dict[str, Any]:
    """Another number of seats from a moment on, prorated and billed at once; a credit is paid to the customer's balance."""
    bought_item = item(quantity=quantity)
    bought_item["price"] |= unit
    lines = [{"id": f"t_{identifier}", "price_id": "pri_pro", "totals": {"total": total, "tax": "0"}}]
    return transaction(
        identifier,
        origin="subscription_update",
        items=[bought_item],
        billed_at=begins.isoformat(),
        created_at=begins.isoformat(),
        details={"totals": {"total": total, "grand_total": total, "tax": "0"}, "line_items": lines},
    )


def test_seats_are_prorations_that_give_what_they_charge_and_renew_nothing() -> None:
    """1 -> 3 seats at half of a month of 12.00: two halves; then back, for nothing."""
    line = bought()
    more, less = seats("txn_5", 3, "1200", NOW + DAY), seats("txn_6", 1, "0", NOW + 2 * DAY)
    for body, now in ((more, NOW + DAY), (less, NOW + 2 * DAY)):
        stated = say("transaction.completed", body, now).statements
        assert told(stated, now, line) == []
        line = hear(stated, now, line)
    assert [(one.quantity, one.charged_ppm) for one in earnings(line)] == [(1, 1_000_000), (3, 333_333), (1, 0)]
    renewed = say("transaction.completed", renewal_transaction(), ENDS)
    assert told(renewed.statements, ENDS, line) == ["RENEWAL"]
    assert hear(renewed.statements, ENDS, line).held[-1].purchase.is_renewal


def test_the_full_price_is_the_prices_where_paddle_says_it() -> None:
    unit = {"unit_price": {"amount": "1500", "currency_code": "USD"}}
    (one,) = say("transaction.completed", seats("txn_2", 2, "600", NOW, **unit)).statements[0].purchases
    assert one.charged_ppm == 200_000
    unit["unit_price"]["currency_code"] = "EUR"
    (one,) = say("transaction.completed", seats("txn_2", 2, "600", NOW, **unit)).statements[0].purchases
    assert one.charged_ppm is None


def test_what_is_added_within_a_period_begins_its_line_once_paddle_is_asked() -> None:
    lines = [{"id": "t", "price_id": "pri_extra", "totals": {"total": "300", "tax": "0"}}]
    added = transaction(
        "txn_2",
        origin="subscription_update",
        items=[item(), item("pri_extra")],
        billed_at=NOW.isoformat(),
        details={"totals": {"total": "300", "grand_total": "300", "tax": "0"}, "line_items": lines},
    )
    extra = {**item("pri_extra"), "created_at": NOW.isoformat()}
    here = found(subscription(items=[item(), extra], started_at=BOUGHT.isoformat()), [transaction(), added])
    stated = {one.line: one for one in statements(PADDLE_APP, here, None, NOW + DAY)}
    (beside,) = [one for line, one in stated.items() if line != "sub_1"]
    assert [(p.is_first, p.is_proration) for p in beside.purchases] == [(True, False)]
    assert (stated["sub_1"].original_purchased_at, beside.original_purchased_at) == (BOUGHT, NOW)


def test_paid_comes_before_completed_and_completed_adds_the_fee() -> None:
    paid = say("transaction.paid", transaction(status="paid", fee=None))
    line = hear(paid.statements, NOW)
    assert line.held[0].purchase.commission is None
    done = say("transaction.completed", transaction(), NOW + MINUTE)
    assert told(done.statements, NOW + MINUTE, line) == []
    assert hear(done.statements, NOW + MINUTE, line).held[0].purchase.commission == Money(amount=90, currency="USD")


def test_a_payment_whose_subscription_is_not_made_yet_waits() -> None:
    reading = say("transaction.paid", transaction(status="paid", subscription_id=None, billing_period=None))
    assert (reading.statements, reading.note) == ((), "transaction.paid: its subscription is not made yet, or nothing was charged")


@pytest.mark.parametrize("status_", ["draft", "ready", "billed", "past_due", "canceled"])
def test_what_is_not_paid_is_no_purchase(status_: str) -> None:
    assert say("transaction.updated", transaction(status=status_)).statements == ()


def test_a_one_time_purchase_is_the_line_of_its_transaction() -> None:
    reading = say("transaction.completed", transaction(items=[item(is_recurring=False)], subscription_id=None, billing_period=None))
    (statement,) = reading.statements
    assert (statement.line, statement.renewals) == ("txn_1", ())
    (purchase,) = statement.purchases
    assert (purchase.transaction, purchase.kind, purchase.purchased_at, purchase.expires_at) == ("txn_1", "non_consumable", BOUGHT, None)


def test_several_items_are_lines_of_their_own_and_share_what_was_paid() -> None:
    lines = [
        {"id": f"t{total}", "price_id": one, "totals": {"total": total}} for one, total in (("pri_a", "700"), ("pri_b", "200"), ("pri_c", "101"))
    ]
    reading = say(
        "transaction.completed",
        transaction(
            items=[item("pri_a"), item("pri_b", quantity=3), item("pri_c", is_recurring=False)],
            details={"totals": {"total": "1001", "grand_total": "901", "tax": "100", "fee": "10"}, "line_items": lines},
        ),
    )
    said = {one.line: one.purchases[0] for one in reading.statements}
    assert list(said) == ["sub_1", "sub_1#pri_b", "txn_1#pri_c"]
    assert [one.price.amount for one in said.values() if one.price] == [630, 180, 91]
    assert sum(one.tax.amount for one in said.values() if one.tax) == 100
    assert sum(one.commission.amount for one in said.values() if one.commission) == 10
    assert [one.quantity for one in said.values()] == [1, 3, 1]
    assert [one.transaction for one in said.values()] == ["txn_1", "txn_1", "txn_1#pri_c"]


def test_a_trial_is_a_first_payment_of_nothing_for_a_price_with_a_trial() -> None:
    (trial,) = say("transaction.completed", transaction(items=[item(has_trial=True)], total="0", tax="0", fee="0")).statements[0].purchases
    assert (trial.period_type, trial.price, trial.commission) == ("trial", Money(amount=0, currency="USD"), None)
    (coupon,) = say("transaction.completed", transaction(total="0", tax="0", fee="0")).statements[0].purchases
    assert (coupon.period_type, coupon.price) == ("normal", Money(amount=0, currency="USD"))


def test_yen_has_no_smaller_unit() -> None:
    (purchase,) = say("transaction.completed", transaction(total="1200", currency_code="JPY")).statements[0].purchases
    assert purchase.price == Money(amount=1200, currency="JPY")
    assert purchase.price.major == 1200


@pytest.mark.parametrize("total", ["12.00", "", "1e3", "9" * 40, "١٢"])
def test_what_is_no_amount_leaves_the_price_open_and_the_period_recorded(total: str) -> None:
    with noting() as noted:
        (purchase,) = say("transaction.completed", transaction(total=total)).statements[0].purchases
    assert (purchase.price, purchase.expires_at) == (None, ENDS)
    assert [one.field for one in noted] == ["details"]


@pytest.mark.parametrize("changes", [{"currency_code": "dollar"}, {"total": str(2**63)}, {"total": "1" + "0" * 30}, {"total": "-1" + "0" * 30}])
def test_an_amount_out_of_range_costs_nobody_a_period(changes: dict[str, Any]) -> None:
    with noting() as noted:
        (purchase,) = say("transaction.completed", transaction(**changes)).statements[0].purchases
    assert (purchase.price, purchase.expires_at) == (None, ENDS)
    assert noted


def test_a_fee_that_is_none_leaves_the_price() -> None:
    (purchase,) = say("transaction.completed", transaction(fee="free")).statements[0].purchases
    assert (purchase.price, purchase.commission) == (Money(amount=1200, currency="USD"), None)


@pytest.mark.parametrize(
    ("ends_at", "end"),
    [
        ("9999-12-31T23:59:59-14:00", datetime(9000, 1, 1, tzinfo=UTC)),
        ("10000-01-01T00:00:00Z", datetime(9000, 1, 1, tzinfo=UTC)),
        ("2026-09-01T00:00:00", datetime(2026, 9, 1, tzinfo=UTC)),
    ],
)
def test_a_moment_out_of_range_or_without_a_zone(ends_at: str, end: datetime) -> None:
    of_period = {"starts_at": BOUGHT.isoformat(), "ends_at": ends_at}
    (purchase,) = say("transaction.completed", transaction(billing_period=of_period)).statements[0].purchases
    assert purchase.expires_at == end


@pytest.mark.parametrize("occurred_at", ["9999-12-31T23:59:59-14:00", "soon", None, 7])
def test_an_event_of_no_moment_is_of_now(occurred_at: object) -> None:
    body = json.dumps({"event_id": "evt_1", "event_type": "transaction.completed", "occurred_at": occurred_at, "data": transaction()}).encode()
    assert STORE.open(PADDLE_APP, body, paddle_headers(body, NOW), NOW).sent_at == NOW
    assert [one.as_of for one in STORE.read(PADDLE_APP, body, NOW).statements[0].purchases] == [NOW]


def test_products_may_be_named_by_product() -> None:
    ours = replace(PADDLE_APP, settings={"products_by": "product"})
    assert say("transaction.completed", transaction(), ours=ours).statements[0].purchases[0].product == "pro_pro"


# What a subscription states


def renewal(**changes: object) -> Renewal:
    return say("subscription.updated", subscription(**changes)).statements[0].renewals[0]


COLLECTED = ENDS + HOUR  # the hour in which a renewal is collected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Renewal(as_of=NOW, transaction="", auto_renew=True, next_product="pri_pro", grace_until=COLLECTED)),
        ({"status": "trialing"}, Renewal(as_of=NOW, transaction="", auto_renew=True, next_product="pri_pro", grace_until=COLLECTED)),
        (
            {"scheduled_change": {"action": "cancel", "effective_at": ENDS.isoformat(), "resume_at": None}},
            Renewal(as_of=NOW, transaction="", auto_renew=False, next_product="pri_pro", off_reason="unsubscribe"),
        ),
        (
            {"scheduled_change": {"action": "pause", "effective_at": ENDS.isoformat(), "resume_at": NEXT.isoformat()}},
            Renewal(as_of=NOW, transaction="", auto_renew=True, next_product="pri_pro", pause="scheduled", resumes_at=NEXT),
        ),
        (
            {
                "status": "paused",
                "current_billing_period": None,
                "paused_at": ENDS.isoformat(),
                "scheduled_change": {"action": "resume", "effective_at": NEXT.isoformat()},
            },
            Renewal(as_of=NOW, transaction="", auto_renew=True, pause="in_force", resumes_at=NEXT, ended="subscription_paused"),
        ),
        (
            {"status": "past_due", "current_billing_period": period(ENDS, NEXT)},
            Renewal(as_of=NOW, transaction="", auto_renew=True, in_billing_retry=True, grace_until=ENDS + 7 * DAY),
        ),
        (
            {"status": "canceled", "current_billing_period": None, "canceled_at": ENDS.isoformat()},
            Renewal(as_of=NOW, transaction="", auto_renew=False, off_reason="unsubscribe", ended="unsubscribe"),
        ),
    ],
)
def test_how_it_goes_on(changes: dict[str, Any], expected: Renewal) -> None:
    assert renewal(**changes) == expected


@pytest.mark.parametrize(
    ("settings", "until", "ended"),
    [
        ({"past_due": "grace", "grace_days": "3"}, ENDS + 3 * DAY, None),
        ({"past_due": "keep"}, NEXT, None),
        ({"past_due": "end"}, None, "billing_error"),
    ],
)
def test_past_due_is_the_sellers_policy(settings: dict[str, str], until: datetime | None, ended: str | None) -> None:
    ours = replace(PADDLE_APP, settings=settings)
    unpaid = subscription(status="past_due", current_billing_period=period(ENDS, NEXT))
    (heard,) = say("subscription.past_due", unpaid, ours=ours).statements
    assert (heard.renewals[0].transaction, heard.renewals[0].grace_until, heard.renewals[0].ended) == ("", until, None)
    (asked,) = statements(ours, found(unpaid, [transaction()]), None, NOW)
    assert (asked.renewals[0].transaction, asked.renewals[0].grace_until, asked.renewals[0].ended) == ("txn_1", until, ended)


@pytest.mark.parametrize("settings", [{"past_due": "maybe"}, {"grace_days": "x"}, {"grace_days": "-1"}, {"products_by": "name"}])
def test_a_setting_that_is_none_is_said(settings: dict[str, str]) -> None:
    with pytest.raises(Invalid, match=next(iter(settings))):
        say("subscription.updated", subscription(), ours=replace(PADDLE_APP, settings=settings))


def test_its_creation_says_that_it_began_where_the_payment_does_not() -> None:
    (statement,) = say("subscription.created", subscription(transaction_id="txn_1")).statements
    (purchase,) = statement.purchases
    assert (purchase.transaction, purchase.is_summary, purchase.price, purchase.expires_at) == ("txn_1", True, None, ENDS)
    line = hear([statement], NOW)
    assert told(say("transaction.completed", transaction(), NOW - MINUTE).statements, NOW, line) == []  # known already: the same charge
    assert hear(say("transaction.completed", transaction(), NOW - MINUTE).statements, NOW, line).held[0].purchase.price == PERIOD.price


@pytest.mark.parametrize("kind", ["subscription.updated", "subscription.frozen"])
def test_a_status_we_do_not_know_changes_nothing_of_what_is_known_and_is_asked_about(kind: str) -> None:
    with noting() as noted:
        reading = say(kind, subscription(status="frozen"))
    assert [(one.purchases, one.renewals) for one in reading.statements] == [((), ())]
    assert [one.field for one in noted] == ["status"]
    assert [one.subject for one in reading.questions] == ["sub_1"]
    line = hear(say("transaction.completed", transaction()).statements, NOW)
    assert is_entitled(hear(reading.statements, NOW, line), ENDS - timedelta(minutes=1))
    assert told(reading.statements, NOW, line) == []


@pytest.mark.parametrize("custom_data", [None, {}, {"app_user_id": ""}, {"app_user_id": 7}, {"user": "ada"}])
def test_the_buyer_is_told_only_by_the_custom_data(custom_data: object) -> None:
    assert say("subscription.updated", subscription(custom_data=custom_data)).statements[0].app_user_id is None


# The life of a subscription: each event, and what it comes to


SCHEDULED = {"action": "cancel", "effective_at": ENDS.isoformat()}
LIVES: list[tuple[str, dict[str, Any], datetime, list[str]]] = [
    ("transaction.completed", renewal_transaction(), ENDS + MINUTE, ["RENEWAL"]),
    ("subscription.updated", subscription(scheduled_change=SCHEDULED), NOW + DAY, ["CANCELLATION unsubscribe"]),
    (
        "subscription.updated",
        subscription(scheduled_change={"action": "pause", "effective_at": ENDS.isoformat()}),
        NOW + DAY,
        ["SUBSCRIPTION_PAUSED"],
    ),
    ("subscription.updated", subscription(items=[item("pri_gold")]), NOW + DAY, ["PRODUCT_CHANGE"]),
    (
        "subscription.past_due",
        subscription(status="past_due", current_billing_period=period(ENDS, NEXT)),
        ENDS + MINUTE,
        ["BILLING_ISSUE", "CANCELLATION billing_error"],
    ),
    ("transaction.payment_failed", renewal_transaction(status="ready"), ENDS + MINUTE, []),
    ("transaction.past_due", renewal_transaction(status="past_due"), ENDS + MINUTE, []),
    (
        "subscription.paused",
        subscription(status="paused", current_billing_period=None, paused_at=ENDS.isoformat()),
        ENDS + MINUTE,
        ["SUBSCRIPTION_PAUSED", "EXPIRATION subscription_paused"],
    ),
    (
        "subscription.canceled",
        subscription(status="canceled", current_billing_period=None, canceled_at=ENDS.isoformat()),
        ENDS + MINUTE,
        ["EXPIRATION unsubscribe"],
    ),
    ("subscription.activated", subscription(), NOW + DAY, []),
    ("subscription.imported", subscription(), NOW + DAY, []),
    ("customer.updated", {"id": "ctm_1"}, NOW + DAY, []),
]


@pytest.mark.parametrize(("kind", "data", "now", "events"), LIVES, ids=[f"{kind} {events}" for kind, _, _, events in LIVES])
def test_what_an_event_comes_to(kind: str, data: dict[str, Any], now: datetime, events: list[str]) -> None:
    line = bought()
    reading = say(kind, data, now)
    assert told(reading.statements, now, line) == events
    heard = hear(reading.statements, now, line)
    assert told(say(kind, data, now).statements, now, heard) == []


def test_a_trial_converts() -> None:
    first = transaction(items=[item(has_trial=True)], total="0", tax="0", fee="0")
    line = hear(say("transaction.completed", first).statements, NOW)
    assert told(say("transaction.completed", renewal_transaction(), ENDS + MINUTE).statements, ENDS + MINUTE, line) == ["RENEWAL"]


def test_a_cancellation_is_taken_back() -> None:
    off = hear(say("subscription.updated", subscription(scheduled_change=SCHEDULED), NOW + DAY).statements, NOW + DAY, bought())
    assert told(say("subscription.updated", subscription(), NOW + 2 * DAY).statements, NOW + 2 * DAY, off) == ["UNCANCELLATION"]


def test_recovering_from_past_due() -> None:
    unpaid = subscription(status="past_due", current_billing_period=period(ENDS, NEXT))
    failing = hear(say("subscription.past_due", unpaid, ENDS + MINUTE).statements, ENDS + MINUTE, bought())
    assert status(failing, ENDS + DAY) == "in_grace_period"
    now = ENDS + 3 * DAY
    assert told(say("transaction.completed", renewal_transaction(), now).statements, now, failing) == ["RENEWAL"]
    recovered = hear(say("transaction.completed", renewal_transaction(), now).statements, now, failing)
    assert status(recovered, now) == "active" and is_entitled(recovered, NEXT - MINUTE)


def test_an_unpaid_period_gives_no_access_beyond_grace() -> None:
    unpaid = subscription(status="past_due", current_billing_period=period(ENDS, NEXT))
    failing = hear(say("subscription.past_due", unpaid, ENDS + MINUTE).statements, ENDS + MINUTE, bought())
    assert is_entitled(failing, ENDS + 7 * DAY - MINUTE) and not is_entitled(failing, ENDS + 7 * DAY)


def test_a_pause_keeps_the_paid_period_and_a_resumption_renews() -> None:
    paused = subscription(status="paused", current_billing_period=None, paused_at=ENDS.isoformat())
    line = hear(say("subscription.paused", paused, ENDS + MINUTE).statements, ENDS + MINUTE, bought())
    assert line.held[0].purchase.expires_at == ENDS
    assert status(line, ENDS + 2 * HOUR) == "paused"
    resumed = renewal_transaction(billing_period=period(ENDS + 10 * DAY, NEXT))
    now = ENDS + 10 * DAY + MINUTE
    assert told(say("transaction.completed", resumed, now).statements, now, line) == ["RENEWAL"]


def test_late_news_changes_nothing() -> None:
    line = hear(say("subscription.updated", subscription(scheduled_change=SCHEDULED), NOW + 2 * DAY).statements, NOW + 2 * DAY, bought())
    assert told(say("subscription.updated", subscription(), NOW + DAY).statements, NOW + 2 * DAY, line) == []


# What is asked beyond an event


@pytest.mark.parametrize(
    ("kind", "data", "asked"),
    [
        ("subscription.updated", subscription(), "sub_1"),
        ("subscription.canceled", subscription(status="canceled", current_billing_period=None), "sub_1"),
        ("subscription.paused", subscription(status="paused", current_billing_period=None), "sub_1"),
        ("subscription.created", subscription(transaction_id="txn_1"), None),
        *((f"subscription.{kind}", subscription(), "sub_1") for kind in ("created", "imported", "activated", "trialing", "resumed", "past_due")),
        ("transaction.completed", transaction(), None),
        ("transaction.payment_failed", transaction(status="ready"), "sub_1"),
        ("adjustment.created", adjustment(status="pending_approval"), None),
        ("adjustment.updated", adjustment(status="rejected"), None),
        ("adjustment.updated", adjustment(), "sub_1"),
        ("adjustment.updated", adjustment(subscription_id=None), "txn_1"),
    ],
)
def test_what_is_asked_after_an_event(kind: str, data: dict[str, Any], asked: str | None) -> None:
    expected = () if asked is None else (Question(environment="production", subject=asked, hint=kind),)
    assert say(kind, data).questions == expected


# What the API adds


def test_a_cancellation_in_the_middle_ends_the_period_there() -> None:
    line = bought()
    stopped = subscription(status="canceled", current_billing_period=None, canceled_at=NOW.isoformat())
    said = statements(PADDLE_APP, found(stopped, [transaction()]), line, NOW + MINUTE)
    assert told(said, NOW + MINUTE, line) == ["EXPIRATION unsubscribe"]
    assert not is_entitled(hear(said, NOW + MINUTE, line), NOW + 2 * MINUTE)


def test_given_up_after_failed_charges_is_a_billing_error() -> None:
    unpaid = subscription(status="past_due", current_billing_period=period(ENDS, NEXT))
    failing = hear(say("subscription.past_due", unpaid, ENDS + MINUTE).statements, ENDS + MINUTE, bought())
    now = ENDS + 30 * DAY
    given_up = subscription(status="canceled", current_billing_period=None, canceled_at=now.isoformat())
    assert told(statements(PADDLE_APP, found(given_up, [transaction()]), failing, now), now, failing) == ["EXPIRATION billing_error"]


def test_a_change_that_was_not_billed_serves_the_new_product_at_once() -> None:
    (statement,) = statements(PADDLE_APP, found(subscription(items=[item("pri_gold")]), [transaction()]), None, NOW)
    assert [one.product for one in statement.purchases] == ["pri_gold"]


def test_an_item_taken_off_runs_out() -> None:
    lines = [{"id": one, "price_id": one, "totals": {"total": "100"}} for one in ("pri_pro", "pri_extra")]
    both = transaction(items=[item(), item("pri_extra")], details={"totals": {"total": "200", "grand_total": "200"}, "line_items": lines})
    said = statements(PADDLE_APP, found(subscription(), [both]), None, NOW)
    assert [one.line for one in said] == ["sub_1", "sub_1#pri_extra"]
    assert said[1].renewals == (Renewal(as_of=NOW, transaction="", auto_renew=False, off_reason="unsubscribe"),)
    later = statements(PADDLE_APP, found(subscription(), [both]), None, ENDS)
    assert later[1].renewals[0].ended == "unsubscribe"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([adjustment(status="pending_approval")], []),
        ([adjustment(status="rejected")], []),
        ([adjustment()], [("adj_1", 1200, False)]),
        ([adjustment(status="reversed")], [("adj_1", 1200, True)]),
        ([adjustment(total="300"), adjustment("adj_2", total="200")], [("adj_1", 300, False), ("adj_2", 200, False)]),
        ([adjustment(action="credit")], []),
        ([adjustment(action="chargeback_warning")], []),
        ([adjustment(action="chargeback")], [("adj_1", 1200, False)]),
        ([adjustment(action="chargeback"), adjustment("adj_2", "chargeback_reverse")], [("adj_1", 1200, True)]),
        ([adjustment(transaction_id="txn_9")], []),
    ],
)
def test_money_back_counts_once_it_is_approved(given: list[dict[str, Any]], expected: list[tuple[str, int, bool]]) -> None:
    (statement,) = statements(PADDLE_APP, found(subscription(), [transaction()], given), None, NOW + DAY)
    refunds = statement.purchases[0].refunds
    assert [(one.identifier, one.amount.amount, one.is_reversed) for one in refunds] == expected


def test_a_refund_takes_money_and_no_access() -> None:
    line = bought()
    said = statements(PADDLE_APP, found(subscription(), [transaction()], [adjustment()]), line, NOW + DAY)
    assert said[0].purchases[0].refunds == (Refund(identifier="adj_1", at=NOW + HOUR, amount=Money(amount=1200, currency="USD")),)
    assert told(said, NOW + DAY, line) == ["CANCELLATION customer_support"]
    assert is_entitled(hear(said, NOW + DAY, line), NOW + DAY)


# The API


@pytest.fixture
def paddle() -> Iterator[Answering]:
    server = Answering()
    server.answer("GET /subscriptions/sub_1", {"data": subscription()})
    server.answer("GET /transactions", {"data": [transaction()], "meta": {"pagination": {"has_more": False}}})
    server.answer("GET /adjustments", {"data": []})
    server.answer("GET /transactions/txn_1", {"data": transaction()})
    yield server
    server.close()


@pytest.fixture
async def store() -> AsyncIterator[PaddleBilling]:
    asked = PaddleBilling()
    yield asked
    await asked.close()


@pytest.fixture
def ours(paddle: Answering) -> StoreApp:
    return replace(PADDLE_APP, api_base_url=paddle.address)


async def test_a_subscription_is_asked_for_as_a_whole(
    store: PaddleBilling, paddle: Answering, ours: StoreApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pages = [
        {"data": [one], "meta": {"pagination": {"has_more": one["id"] == "txn_1", "next": "https://evil.example/"}}}
        for one in (transaction(), renewal_transaction())
    ]
    paddle.answer("GET /transactions", *pages)
    for subject in ("sub_1", "sub_1#pri_extra"):
        reading = await store.ask(ours, Question(environment="production", subject=subject), Posted(), NOW)
        assert [one.transaction for one in reading.statements[0].purchases][-1] == "txn_2"
        assert {one.as_of for one in reading.statements[0].purchases} == {NOW}
    first, second = [one.query for one in paddle.asked if one.path == "/transactions"][:2]
    assert first == {"subscription_id": "sub_1", "status": "completed,paid", "order_by": "id[ASC]", "per_page": "30"}
    assert second == {**first, "after": "txn_1"}
    assert {one.headers["authorization"] for one in paddle.asked} == {"Bearer pdl_live_S3CRET"}
    assert "S3CRET" not in caplog.text


@pytest.mark.parametrize("token", ["sub_1", "txn_1", " txn_1 "])
async def test_what_is_posted_is_looked_up(store: PaddleBilling, ours: StoreApp, token: str) -> None:
    (statement,) = (await store.read_receipt(ours, Posted(token=token), NOW)).statements
    assert (statement.line, statement.app_user_id, statement.purchases) == ("sub_1", "ada", (PERIOD,))


async def test_a_one_time_payment_that_was_given_back_is_taken_back(store: PaddleBilling, paddle: Answering, ours: StoreApp) -> None:
    once = transaction(items=[item(is_recurring=False)], subscription_id=None, billing_period=None)
    paddle.answer("GET /transactions/txn_1", {"data": once})
    paddle.answer("GET /adjustments", {"data": [adjustment(subscription_id=None)]})
    coins = Product(product_id="p", app_id=ours.app_id, store_identifier="pri_pro", type="consumable", created_at=NOW)
    (statement,) = (await store.ask(ours, Question(environment="production", subject="txn_1"), Posted(products=(coins,)), NOW + DAY)).statements
    (purchase,) = statement.purchases
    assert (purchase.kind, purchase.revocation is not None, len(purchase.refunds)) == ("consumable", True, 1)


@pytest.mark.parametrize("token", ["sub_2", "txn_2"])
async def test_what_paddle_does_not_know_proves_nothing(store: PaddleBilling, ours: StoreApp, token: str) -> None:
    with pytest.raises(Invalid, match="knows no such"):
        await store.read_receipt(ours, Posted(token=token), NOW)
    assert (await store.ask(ours, Question(environment="production", subject=token), Posted(), NOW)).note == f"Paddle knows no {token}"


@pytest.mark.parametrize("token", ["", "ctm_1", "../customers", "sub_" + "1" * 200])
async def test_what_is_no_id_is_not_asked_for(store: PaddleBilling, paddle: Answering, ours: StoreApp, token: str) -> None:
    with pytest.raises(Invalid):
        await store.read_receipt(ours, Posted(token=token), NOW)
    assert paddle.calls == []


@pytest.mark.parametrize("code", [401, 403, 429, 500, 302])
async def test_trouble_that_may_pass(store: PaddleBilling, paddle: Answering, ours: StoreApp, code: int) -> None:
    paddle.answer("GET /subscriptions/sub_1", {"error": {"code": "forbidden", "detail": "no"}}, status=code)
    with pytest.raises(Unavailable, match=f"{code}: forbidden: no"):
        await store.ask(ours, Question(environment="production", subject="sub_1"), Posted(), NOW)


@pytest.mark.parametrize(
    ("key", "setting", "environment"),
    [
        ("pdl_live_x", None, "production"),
        ("pdl_sdbx_x", None, "sandbox"),
        ("pdl_live_x", "sandbox", "sandbox"),
        ("pdl_sdbx_x", "production", "production"),
    ],
)
def test_the_environment(key: str, setting: str | None, environment: str) -> None:
    ours = replace(PADDLE_APP, secrets={**SECRETS, "api_key": key}, settings={} if setting is None else {"environment": setting})
    assert say("subscription.updated", subscription(), ours=ours).statements[0].environment == environment


def test_asking_takes_an_api_key() -> None:
    assert STORE.can_ask(PADDLE_APP) and not STORE.can_ask(replace(PADDLE_APP, secrets={"notification_secret": "x"}))


# What was missed


async def test_events_of_the_span_come_oldest_first_and_read_like_posted_ones(store: PaddleBilling, paddle: Answering, ours: StoreApp) -> None:
    events = [
        json.loads(paddle_event(kind, subscription(), NOW - days * DAY, event_id))
        for kind, days, event_id in [
            ("subscription.updated", 0, "evt_5"),
            ("subscription.updated", 1, "evt_4"),
            ("customer.updated", 2, "evt_3"),
            ("subscription.created", 3, "evt_2"),
            ("subscription.created", 9, "evt_1"),
        ]
    ]
    paddle.answer(
        "GET /events",
        {"data": events[:2], "meta": {"pagination": {"has_more": True}}},
        {"data": events[2:], "meta": {"pagination": {"has_more": True}}},
    )
    caught = [one async for one in store.missed(ours, NOW - 5 * DAY, NOW - HOUR, "production", NOW)]
    assert [one.envelope.message_id for one in caught] == ["evt_2", "evt_4"]
    posted = paddle_event("subscription.updated", subscription(), NOW - DAY, "evt_4")
    assert store.read(ours, caught[1].body, NOW) == store.read(ours, posted, NOW)
    assert [one async for one in store.missed(ours, NOW - 5 * DAY, NOW, "sandbox", NOW)] == []


# Acting


def act(kind: Any, subject: str = "sub_1", **details: Any) -> Act:
    return Act(act_id="act_1", kind=kind, environment="production", subject=subject, details=details)


async def test_cancelling_at_the_periods_end(store: PaddleBilling, paddle: Answering, ours: StoreApp) -> None:
    paddle.answer("POST /subscriptions/sub_1/cancel", {"data": subscription()})
    assert await store.act(ours, act("cancel"), Posted(), NOW) == Reading(questions=(Question(environment="production", subject="sub_1"),))
    assert paddle.asked[-1].json == {"effective_from": "next_billing_period"}


@pytest.mark.parametrize("so_already", [{"status": "canceled"}, {"scheduled_change": SCHEDULED}])
async def test_what_is_cancelled_already_is_not_cancelled_again(
    store: PaddleBilling, paddle: Answering, ours: StoreApp, so_already: dict[str, Any]
) -> None:
    paddle.answer("GET /subscriptions/sub_1", {"data": subscription(**so_already)})
    await store.act(ours, act("cancel"), Posted(), NOW)
    assert paddle.calls == ["GET /subscriptions/sub_1"]


@pytest.mark.parametrize(
    ("details", "what"),
    [
        ({"transaction": "txn_1"}, {"type": "full"}),
        ({"transaction": "txn_1", "amount": 400}, {"type": "partial", "items": [{"item_id": "txnitm_1", "type": "partial", "amount": "400"}]}),
    ],
)
async def test_refunding(store: PaddleBilling, paddle: Answering, ours: StoreApp, details: dict[str, Any], what: dict[str, Any]) -> None:
    paddle.answer("POST /adjustments", {"data": adjustment(status="pending_approval")}, status=201)
    await store.act(ours, act("refund", **details), Posted(), NOW)
    assert paddle.asked[-1].json == {"action": "refund", "transaction_id": "txn_1", "reason": "Refunded on request (act_1)", **what}


async def test_a_refund_that_was_asked_for_is_not_asked_for_again(store: PaddleBilling, paddle: Answering, ours: StoreApp) -> None:
    paddle.answer("GET /adjustments", {"data": [adjustment(status="pending_approval", reason="Refunded on request (act_1)")]})
    await store.act(ours, act("refund", transaction="txn_1"), Posted(), NOW)
    assert all(one.method == "GET" for one in paddle.asked)


@pytest.mark.parametrize("amount", [0, -5, 1201])
async def test_no_more_is_refunded_than_was_paid(store: PaddleBilling, ours: StoreApp, amount: int) -> None:
    with pytest.raises(CannotAct):
        await store.act(ours, act("refund", transaction="txn_1", amount=amount), Posted(), NOW)


async def test_what_paddle_refuses_is_said_in_its_words(store: PaddleBilling, paddle: Answering, ours: StoreApp) -> None:
    paddle.answer("POST /adjustments", {"error": {"code": "adjustment_pending_refund_request", "detail": "one is pending"}}, status=400)
    with pytest.raises(CannotAct, match="adjustment_pending_refund_request: one is pending"):
        await store.act(ours, act("refund", transaction="txn_1"), Posted(), NOW)
    paddle.answer("POST /adjustments", {}, status=500)
    with pytest.raises(Unavailable):
        await store.act(ours, act("refund", transaction="txn_1"), Posted(), NOW)


@pytest.mark.parametrize("kind", ["revoke", "extend", "defer", "acknowledge"])
async def test_what_paddle_offers_not(store: PaddleBilling, ours: StoreApp, kind: str) -> None:
    with pytest.raises(CannotAct):
        await store.act(ours, act(kind), Posted(), NOW)

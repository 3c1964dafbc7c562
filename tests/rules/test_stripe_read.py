"""What is found at Stripe, and what it states."""

import json
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base.errors import Invalid
from perennial.base.ids import AppId, CustomerId, LineId
from perennial.base.money import Money
from perennial.base.value import replace
from perennial.catalog.model import Product
from perennial.providers.stripe.money import money, readable, to_stripe
from perennial.providers.stripe.one_time import session_statements
from perennial.providers.stripe.payload import Charge, Dispute, Invoice, Session, Subscription
from perennial.providers.stripe.read import subscription_statements, told_by_invoice, told_by_subscription
from perennial.providers.stripe.slots import Found
from perennial.subscriptions.model import Held, Line, Offer, Purchase, Refund, Renewal, Revocation, Statement
from tests.stripe_objects import MONTH, START, at, charge, dispute, invoice, item, line, price, refund, session, subscription

DAY, HOUR = 86_400, 3_600
NOW = at(START + 10 * DAY)
NEXT = START + 2 * MONTH

FIRST = Purchase(
    transaction="in_1",
    product="prod_pro",
    kind="subscription",
    purchased_at=at(START),
    expires_at=at(START + MONTH),
    as_of=NOW,
    is_first=True,
    is_renewal=False,
    price=Money(amount=999, currency="USD"),
    tax=Money(amount=0, currency="USD"),
    country="DE",
)
GOING_ON = Renewal(as_of=NOW, transaction="in_1", auto_renew=True)


def found(sub: dict[str, Any], *invoices: dict[str, Any], charges: Any = (), disputes: Any = (), **said: Any) -> Found:
    def all_of(kind: Any, objects: Any) -> Any:
        return tuple(msgspec.json.decode(json.dumps(one), type=kind) for one in objects)

    return Found(
        subscription=all_of(Subscription, [sub])[0],
        invoices=all_of(Invoice, invoices),
        charges=all_of(Charge, charges),
        disputes=all_of(Dispute, disputes),
        **said,
    )


def states(here: Found, *, now: datetime = NOW, held: Line | None = None, past_due: str = "grace") -> Statement:
    (one,) = subscription_statements(here, held, now, past_due=past_due)
    return one


def known(*purchases: Purchase) -> Line:
    return Line(
        line_id=LineId("line_1"),
        customer_id=CustomerId("cus_1"),
        app_id=AppId("app_1"),
        store="stripe",
        environment="sandbox",
        store_line="sub_1",
        heard_at=NOW,
        held=tuple(Held(purchase=one) for one in purchases),
    )


def cycle(identifier: str = "in_2", *lines: dict[str, Any], **said: Any) -> dict[str, Any]:
    return invoice(identifier, *(lines or (line(start=START + MONTH, end=NEXT),)), reason="subscription_cycle", **said)


# Buying and renewing


def test_a_paid_first_invoice_is_a_purchase_that_goes_on() -> None:
    assert states(found(subscription(), invoice())) == Statement(
        store="stripe",
        environment="sandbox",
        line="sub_1",
        purchases=(FIRST,),
        renewals=(GOING_ON,),
        app_user_id="ada",
        original_purchased_at=at(START),
    )


def test_live_mode_is_production() -> None:
    assert states(found(subscription(livemode=True), invoice())).environment == "production"


def test_a_paid_cycle_is_a_renewal_from_the_end_of_the_last_period_whatever_the_order_of_the_invoices() -> None:
    later = at(START + MONTH + DAY)
    one = states(found(subscription(), cycle(), invoice()), now=later)
    assert [(p.transaction, p.purchased_at, p.expires_at, p.is_first, p.is_renewal) for p in one.purchases] == [
        ("in_1", at(START), at(START + MONTH), True, False),
        ("in_2", at(START + MONTH), at(NEXT), False, True),
    ]
    assert one.renewals == (Renewal(as_of=later, transaction="in_2", auto_renew=True),)


def test_what_runs_but_was_not_paid_for_gives_nothing() -> None:
    """The item's period has moved on already; the invoice is open and its payment failed."""
    unpaid = cycle(status="open", amount_paid=0, next_payment_attempt=START + MONTH + 3 * DAY)
    one = states(found(subscription(item(end=NEXT), status="past_due"), invoice(), unpaid), now=at(START + MONTH + 2 * HOUR))
    assert [(p.transaction, p.expires_at) for p in one.purchases] == [("in_1", at(START + MONTH))]


@pytest.mark.parametrize("status", ["incomplete", "incomplete_expired"])
def test_a_first_payment_that_is_open_or_was_never_made_states_nothing(status: str) -> None:
    assert subscription_statements(found(subscription(status=status), invoice(status="open", amount_paid=0)), None, NOW) == ()


def test_the_hour_in_which_a_renewal_is_collected_is_grace_and_no_trouble() -> None:
    draft = cycle(status="draft", amount_paid=0, next_payment_attempt=START + MONTH + HOUR)
    (renewal,) = states(found(subscription(), invoice(), draft), now=at(START + MONTH + 60)).renewals
    assert (renewal.grace_until, renewal.in_billing_retry, renewal.auto_renew) == (at(START + MONTH + 2 * HOUR), False, True)


def test_a_debit_under_way_is_grace_for_a_day_at_a_time() -> None:
    now = at(START + MONTH + 5 * HOUR)
    (renewal,) = states(found(subscription(), invoice(), cycle(status="open", amount_paid=0)), now=now).renewals
    assert (renewal.grace_until, renewal.in_billing_retry) == (now + timedelta(days=1), False)


def test_an_invoice_to_be_paid_later_is_grace_until_it_is_due() -> None:
    sent = cycle(status="open", amount_paid=0, due_date=START + MONTH + 14 * DAY)
    (renewal,) = states(found(subscription(), invoice(), sent), now=at(START + MONTH + DAY)).renewals
    assert renewal.grace_until == at(START + MONTH + 14 * DAY + HOUR)


# Trials and coupons


def trial(**said: Any) -> dict[str, Any]:
    return subscription(item(end=START + 7 * DAY), status="trialing", trial_start=START, trial_end=START + 7 * DAY, **said)


FREE_WEEK = invoice("in_1", line(0, end=START + 7 * DAY))


def test_a_trials_invoice_of_nothing_is_a_trial_and_no_revenue() -> None:
    (one,) = states(found(trial(), FREE_WEEK), now=at(START + DAY)).purchases
    assert (one.period_type, one.expires_at, one.price) == ("trial", at(START + 7 * DAY), Money(amount=0, currency="USD"))


def test_a_setup_fee_on_a_trial_was_paid_and_may_be_given_back() -> None:
    fee = line(5000) | {"parent": {"type": "invoice_item_details", "invoice_item_details": {"proration": False}}}
    first = invoice("in_1", line(0, end=START + 7 * DAY), fee)
    back = charge("pi_in_1", refund(amount=2000), amount=5000)
    (one,) = states(found(trial(), first, charges=[back]), now=at(START + DAY)).purchases
    assert (one.period_type, one.expires_at, one.price) == ("trial", at(START + 7 * DAY), Money(amount=5000, currency="USD"))
    assert [given.amount for given in one.refunds] == [Money(amount=2000, currency="USD")]
    told = told_by_subscription(msgspec.json.decode(json.dumps(trial()), type=Subscription), NOW, past_due="grace")
    assert [(p.period_type, p.price) for p in told[0].purchases] == [("trial", None)], "what was paid for it the invoice says"


def test_the_first_payment_after_a_trial_is_a_normal_renewal() -> None:
    sub = subscription(trial_start=START, trial_end=START + 7 * DAY)
    paid = invoice("in_2", line(start=START + 7 * DAY, end=START + 7 * DAY + MONTH), reason="subscription_cycle")
    purchases = states(found(sub, FREE_WEEK, paid)).purchases
    assert [(p.period_type, p.is_renewal, p.price) for p in purchases] == [
        ("trial", False, Money(amount=0, currency="USD")),
        ("normal", True, Money(amount=999, currency="USD")),
    ]


def test_a_trial_made_longer_or_shorter_ends_when_it_ends_now() -> None:
    for end in (START + 3 * DAY, START + 14 * DAY):
        (one,) = states(found(subscription(status="trialing", trial_start=START, trial_end=end), FREE_WEEK), now=at(START + DAY)).purchases
        assert (one.period_type, one.expires_at) == ("trial", at(end))


def test_a_trial_stays_one_when_a_later_trial_has_taken_its_place() -> None:
    sub = subscription(status="trialing", trial_start=START + 40 * DAY, trial_end=START + 60 * DAY)
    before = known(replace(FIRST, period_type="trial", price=Money(amount=0, currency="USD")))
    (one,) = states(found(sub, FREE_WEEK), now=at(START + 41 * DAY), held=before).purchases
    assert one.period_type == "trial"


def test_a_coupon_of_100_percent_is_no_trial() -> None:
    coupon = {"id": "di_1", "object": "discount", "source": {"type": "coupon", "coupon": "FRIENDS"}, "promotion_code": "promo_1"}
    (one,) = states(found(subscription(), invoice(total=0, amount_paid=0, discounts=[coupon]))).purchases
    assert (one.period_type, one.price, one.offer) == ("normal", Money(amount=0, currency="USD"), Offer(kind="offer_code", identifier="FRIENDS"))


def test_a_coupon_as_it_was_written_before() -> None:
    coupon = {"id": "di_1", "coupon": {"id": "SPRING"}}
    (one,) = states(found(subscription(), invoice(discounts=[coupon]))).purchases
    assert one.offer == Offer(kind="promotional", identifier="SPRING")


def test_a_trial_set_within_a_paid_period_only_moves_the_renewal() -> None:
    """As `extend` and `defer` do it: Stripe makes an invoice of nothing for it."""
    until = START + 45 * DAY
    sub = subscription(item(end=until), status="trialing", trial_start=START + 9 * DAY, trial_end=until)
    moved = invoice("in_2", line(0, START + 9 * DAY, until), reason="subscription_update")
    for invoices in ((invoice(), moved), (invoice(),)):
        (one,) = states(found(sub, *invoices)).purchases
        assert one == replace(FIRST, expires_at=at(until))


# Changes of product


def test_an_upgrade_invoiced_at_once_is_revenue_and_no_renewal() -> None:
    change = START + 10 * DAY
    lines = (line(-700, change, proration=True), line(1400, change, product="prod_max", proration=True))
    one = states(found(subscription(item(product="prod_max")), invoice(), invoice("in_2", *lines, reason="subscription_update")))
    assert [(p.transaction, p.product, p.is_first, p.is_renewal, p.purchased_at, p.expires_at) for p in one.purchases] == [
        ("in_1", "prod_pro", True, False, at(START), at(START + MONTH)),
        ("in_2", "prod_max", False, False, at(change), at(START + MONTH)),
    ]
    assert one.purchases[1].price == Money(amount=700, currency="USD")


HALF = START + MONTH // 2


def seats(identifier: str, before: int, after: int, at_: int, **said: Any) -> dict[str, Any]:
    """Another quantity at half of the period, invoiced at once."""
    lines = (line(-before * 500, at_, proration=True, quantity=before), line(after * 500, at_, proration=True, quantity=after))
    return invoice(identifier, *lines, reason="subscription_update", **said)


def test_seats_to_and_fro_are_prorations_and_what_a_credit_paid_gives_nothing() -> None:
    first = invoice("in_1", line(2000, quantity=2))
    more, less = seats("in_2", 2, 3, HALF), seats("in_3", 3, 2, HALF + 60)
    again = seats("in_4", 2, 3, HALF + 120, amount_paid=0)  # from the customer's balance
    one = states(found(subscription(item(quantity=3)), first, more, less, again), now=at(HALF + DAY))
    assert [(p.transaction, p.quantity, p.price, p.is_proration, p.is_renewal, p.charged_ppm) for p in one.purchases] == [
        ("in_1", 2, Money(amount=2000, currency="USD"), False, False, None),
        ("in_2", 3, Money(amount=500, currency="USD"), True, False, round(1_000_000 * 500 / (3 * 999))),
        ("in_3", 2, Money(amount=0, currency="USD"), True, False, 0),
        ("in_4", 3, Money(amount=0, currency="USD"), True, False, 0),
    ]
    assert {p.expires_at for p in one.purchases} == {at(START + MONTH)}


@pytest.mark.parametrize("is_before_basil", [True, False])
def test_the_full_price_of_a_proration_is_by_its_price_by_a_whole_period_or_by_the_time(is_before_basil: bool) -> None:
    """The price of a change that was changed again since is on no item any more."""
    charged = line(1000, HALF, product="prod_max", proration=True)
    if is_before_basil:
        charged = {key: one for key, one in charged.items() if key not in ("parent", "pricing")}
        charged |= {"price": price("prod_max", 2500), "proration": True, "subscription_item": "si_1", "type": "invoiceitem"}
    change = invoice("in_2", line(-500, HALF, proration=True), charged, reason="subscription_update")
    one = states(found(subscription(item(product="prod_old")), invoice(), change), now=at(HALF + DAY))
    assert [p.charged_ppm for p in one.purchases[1:2]] == [200_000 if is_before_basil else 250_000]


def test_an_item_added_within_a_period_begins_its_line_with_a_part_of_its_price() -> None:
    extra = item("si_2", product="prod_extra", created=HALF)
    added = invoice("in_2", line(300, HALF, product="prod_extra", item="si_2", proration=True), reason="subscription_update")
    main, beside = subscription_statements(found(subscription(item(), extra), invoice(), added), None, at(HALF + DAY))
    (first,) = beside.purchases
    assert (first.is_first, first.is_proration, first.charged_ppm, beside.original_purchased_at) == (True, False, 300_300, at(HALF))
    assert [p.is_proration for p in main.purchases] == [False]


def test_a_renewal_gives_more_by_the_prorations_charged_with_it_and_no_less_for_credits() -> None:
    def share(*prorations: int) -> list[int | None]:
        lines = (*(line(amount, HALF, proration=True) for amount in prorations), line(1000, START + MONTH, NEXT))
        return [p.charged_ppm for p in states(found(subscription(), invoice(), cycle("in_2", *lines)), now=at(START + MONTH + DAY)).purchases]

    assert share(-500, 1000) == [None, 1_500_000]
    assert share(-1000, 500) == [None, 1_000_000]
    assert share() == [None, None]


def test_a_proration_told_by_its_webhook_alone_is_one() -> None:
    (one,) = told_by_invoice(msgspec.json.decode(json.dumps(seats("in_2", 2, 3, HALF)), type=Invoice), NOW)
    assert [(p.is_proration, p.is_first, p.is_renewal) for p in one.purchases] == [(True, False, False)]


def test_a_subscription_that_was_backdated_began_when_it_says() -> None:
    early = START - 100 * DAY
    assert states(found(subscription(start_date=early), invoice())).original_purchased_at == at(early)


def test_of_two_purchases_of_one_second_the_later_invoice_is_spoken_of() -> None:
    """As a line keeps them: by moment, then by transaction."""
    more = invoice("in_2", line(999, quantity=2, proration=True), reason="subscription_update")
    for invoices in ((invoice(), more), (more, invoice())):
        assert states(found(subscription(), *invoices)).renewals[0].transaction == "in_2"


def test_a_change_to_be_invoiced_later_counts_now_and_costs_with_the_next_invoice() -> None:
    here = found(subscription(item(product="prod_max")), invoice())
    one = states(here)
    change = replace(
        FIRST,
        transaction="in_1:change1",
        product="prod_max",
        purchased_at=NOW,
        is_first=False,
        is_proration=True,
        charged_ppm=0,
        price=Money(amount=0, currency="USD"),
        tax=None,
    )
    assert one.purchases == (FIRST, change)
    assert one.renewals[0].transaction == "in_1:change1"

    again = NOW + timedelta(days=1)
    assert states(here, now=again, held=known(*one.purchases)).purchases == (replace(FIRST, as_of=again), replace(change, as_of=again))

    back = states(found(subscription(item(product="prod_pro")), invoice()), now=again, held=known(*one.purchases))
    assert [(p.transaction, p.product, p.purchased_at) for p in back.purchases] == [
        ("in_1", "prod_pro", at(START)),
        ("in_1:change1", "prod_max", NOW),
        ("in_1:change2", "prod_pro", again),
    ]


def test_prorations_on_a_cycles_invoice_are_part_of_that_renewal() -> None:
    change = START + 10 * DAY
    lines = (
        line(-700, change, START + MONTH, proration=True),
        line(1400, change, START + MONTH, product="prod_max", proration=True),
        line(1999, START + MONTH, NEXT, product="prod_max"),
    )
    one = states(found(subscription(item(product="prod_max")), invoice(), cycle("in_2", *lines)), now=at(START + MONTH + DAY))
    assert [(p.product, p.price, p.purchased_at, p.is_renewal) for p in one.purchases[1:]] == [
        ("prod_max", Money(amount=2699, currency="USD"), at(START + MONTH), True)
    ]


def test_a_credit_alone_is_no_purchase() -> None:
    credit = invoice("in_2", line(-700, START + 10 * DAY, proration=True), reason="subscription_update")
    assert states(found(subscription(), invoice(), credit)).purchases == (FIRST,)


@pytest.mark.parametrize("reason", ["subscription_threshold", "upcoming"])
def test_what_makes_no_period_is_not_told(reason: str) -> None:
    usage = invoice("in_2", line(5000, START, START + 10 * DAY), reason=reason)
    assert states(found(subscription(), invoice(), usage)).purchases == (FIRST,)


def test_what_is_sold_beside_counts_with_the_first_thing() -> None:
    beside = line(500) | {"parent": {"type": "invoice_item_details", "invoice_item_details": {"proration": False}}}
    (one,) = states(found(subscription(), invoice("in_1", line(), beside))).purchases
    assert (one.product, one.price) == ("prod_pro", Money(amount=1499, currency="USD"))


def phases(*products: str) -> dict[str, Any]:
    return {
        "id": "sub_sched_1",
        "status": "active",
        "phases": [{"start_date": START + place * MONTH, "items": [{"price": price(product)}]} for place, product in enumerate(products)],
    }


def test_a_schedules_next_phase_is_the_next_product() -> None:
    assert states(found(subscription(schedule=phases("prod_pro", "prod_lite")), invoice())).renewals[0].next_product == "prod_lite"
    assert states(found(subscription(schedule=phases("prod_pro", "prod_pro")), invoice())).renewals[0].next_product is None
    assert states(found(subscription(schedule=phases("prod_pro", "prod_lite") | {"status": "released"}), invoice())).renewals[0].next_product is None
    assert states(found(subscription(schedule="sub_sched_1"), invoice())).renewals[0].next_product is None


def test_a_change_with_the_renewal_stays_planned_until_that_is_paid() -> None:
    """The schedule is released and the item is the new product's while the period's invoice is a draft."""
    draft = cycle("in_2", line(start=START + MONTH, end=NEXT, product="prod_lite"), status="draft", amount_paid=0)
    one = states(found(subscription(item(product="prod_lite", end=NEXT)), invoice(), draft), now=at(START + MONTH + 60))
    assert [p.product for p in one.purchases] == ["prod_pro"]
    assert one.renewals[0].next_product == "prod_lite"


def test_an_update_that_waits_for_its_payment_is_the_next_product() -> None:
    waiting = {"subscription_items": [item(product="prod_max")]}
    assert states(found(subscription(pending_update=waiting), invoice())).renewals[0].next_product == "prod_max"


# Several things


def test_each_further_item_is_a_line_of_its_own_and_shares_the_invoice() -> None:
    sub = subscription(item("si_1"), item("si_2", product="prod_extra", created=START + 1))
    both = invoice("in_1", line(900), line(300, product="prod_extra", item="si_2"), total=1200, amount_paid=600, total_taxes=[{"amount": 200}])
    one, two = subscription_statements(found(sub, both, charges=[charge("pi_in_1", refund(amount=300), amount=600)]), None, NOW)
    assert [(s.line, s.purchases[0].transaction, s.purchases[0].product) for s in (one, two)] == [
        ("sub_1", "in_1", "prod_pro"),
        ("sub_1#si_2", "in_1:si_2", "prod_extra"),
    ]

    def cents(of: Statement) -> list[int]:
        (p,) = of.purchases
        assert p.price and p.tax and p.commission
        return [p.price.amount, p.tax.amount, p.commission.amount, p.refunds[0].amount.amount]

    assert (cents(one), cents(two)) == ([450, 75, 44, 225], [150, 25, 15, 75])


def test_an_item_that_takes_anothers_place_takes_its_line() -> None:
    sub = subscription(item("si_2", product="prod_max", created=START + 10 * DAY))
    change = START + 10 * DAY
    swap = invoice("in_2", line(-700, change, proration=True), line(1400, change, product="prod_max", item="si_2", proration=True))
    one = states(found(sub, invoice(), swap | {"billing_reason": "subscription_update"}))
    assert [(p.transaction, p.product) for p in one.purchases] == [("in_1", "prod_pro"), ("in_2", "prod_max")]


def test_an_item_added_beside_stays_beside_when_the_first_goes() -> None:
    extra = item("si_2", product="prod_extra", created=START + 10 * DAY)
    added = invoice("in_2", line(300, START + 10 * DAY, product="prod_extra", item="si_2", proration=True), reason="subscription_update")
    both = found(subscription(item(), extra), invoice(), added)
    later = found(subscription(extra), invoice(), added)
    for here in (both, later):
        assert [(s.line, len(s.purchases)) for s in subscription_statements(here, None, NOW)] == [("sub_1", 1), ("sub_1#si_2", 1)]
    gone, _ = subscription_statements(later, None, NOW)
    assert gone.renewals[0].auto_renew is False


def test_quantity_is_the_lines() -> None:
    (one,) = states(found(subscription(item(quantity=5)), invoice("in_1", line(4995, quantity=5)))).purchases
    assert (one.quantity, one.price) == (5, Money(amount=4995, currency="USD"))


# How it goes on


@pytest.mark.parametrize(
    ("said", "auto_renew"),
    [
        ({"cancel_at_period_end": True}, False),
        ({"cancel_at": START + MONTH}, False),
        ({"cancel_at": START + 20 * DAY}, False),
        ({"cancel_at": START + MONTH + 1}, True),
    ],
)
def test_a_planned_cancellation(said: dict[str, Any], auto_renew: bool) -> None:
    (renewal,) = states(found(subscription(**said), invoice())).renewals
    assert renewal == replace(GOING_ON, auto_renew=auto_renew, off_reason=None if auto_renew else "unsubscribe")


@pytest.mark.parametrize(
    ("reason", "ended"),
    [
        ("cancellation_requested", "unsubscribe"),
        ("payment_failed", "billing_error"),
        ("payment_disputed", "customer_support"),
        ("canceled_by_retention_policy", "developer"),
        ("something_new", "unknown"),
        (None, "unsubscribe"),
    ],
)
def test_a_canceled_subscription_ends_where_it_ended(reason: str | None, ended: str) -> None:
    sub = subscription(status="canceled", ended_at=START + 5 * DAY, canceled_at=START + 5 * DAY, cancellation_details={"reason": reason})
    one = states(found(sub, invoice()))
    assert one.purchases == (replace(FIRST, expires_at=at(START + 5 * DAY)),)
    assert one.renewals == (replace(GOING_ON, auto_renew=False, off_reason=ended, ended=ended),)


def test_an_end_at_or_after_the_paid_period_changes_no_period() -> None:
    one = states(found(subscription(status="canceled", ended_at=START + MONTH + DAY), invoice()), now=at(START + MONTH + DAY))
    assert one.purchases[0].expires_at == at(START + MONTH)


def test_canceled_at_once_with_the_money_given_back_is_the_sellers_act() -> None:
    sub = subscription(status="canceled", ended_at=START + 5 * DAY)
    one = states(found(sub, invoice(), charges=[charge("pi_in_1", refund())]))
    assert one.renewals[0].ended == "customer_support"


FAILED = cycle(status="open", amount_paid=0, next_payment_attempt=START + MONTH + 3 * DAY)
GIVEN_UP = cycle(status="open", amount_paid=0)
LATE = at(START + MONTH + DAY)


@pytest.mark.parametrize(
    ("policy", "failed", "grace_until", "ended"),
    [
        ("grace", FAILED, START + MONTH + 3 * DAY + HOUR, None),
        ("grace", GIVEN_UP, None, "billing_error"),
        ("end", FAILED, None, "billing_error"),
        ("keep", GIVEN_UP, NEXT, None),
    ],
)
def test_past_due_by_policy(policy: str, failed: dict[str, Any], grace_until: int | None, ended: str | None) -> None:
    (renewal,) = states(found(subscription(item(end=NEXT), status="past_due"), invoice(), failed), now=LATE, past_due=policy).renewals
    assert renewal == Renewal(
        as_of=LATE,
        transaction="in_1",
        auto_renew=True,
        in_billing_retry=True,
        grace_until=at(grace_until) if grace_until else None,
        ended=ended,  # type: ignore[arg-type]
    )


def test_a_proration_that_could_not_be_paid_takes_nothing_of_the_paid_period() -> None:
    (renewal,) = states(found(subscription(status="past_due"), invoice()), past_due="end").renewals
    assert (renewal.in_billing_retry, renewal.ended) == (True, None)


def test_unpaid_is_billing_retry_without_access() -> None:
    (renewal,) = states(found(subscription(status="unpaid"), invoice(), GIVEN_UP), now=LATE).renewals
    assert (renewal.in_billing_retry, renewal.grace_until, renewal.ended, renewal.auto_renew) == (True, None, "billing_error", True)


def test_paused_for_want_of_a_card_when_the_trial_ended() -> None:
    sub = subscription(status="paused", trial_start=START, trial_end=START + 7 * DAY)
    (renewal,) = states(found(sub, FREE_WEEK)).renewals
    assert (renewal.pause, renewal.ended) == ("in_force", "subscription_paused")


def test_collection_paused_by_voiding_is_a_pause_from_the_end_of_the_paid_period() -> None:
    sub = subscription(pause_collection={"behavior": "void", "resumes_at": START + 3 * MONTH})
    (before,) = states(found(sub, invoice())).renewals
    assert (before.pause, before.resumes_at, before.ended) == ("scheduled", at(START + 3 * MONTH), None)
    (after,) = states(found(sub, invoice(), cycle(status="void", amount_paid=0)), now=LATE).renewals
    assert (after.pause, after.resumes_at, after.ended) == ("in_force", at(START + 3 * MONTH), "subscription_paused")


@pytest.mark.parametrize(("behavior", "status"), [("keep_as_draft", "draft"), ("mark_uncollectible", "uncollectible")])
def test_collection_paused_otherwise_gives_the_period_away(behavior: str, status: str) -> None:
    waived = cycle(status=status, amount_paid=0)
    one = states(found(subscription(pause_collection={"behavior": behavior}), invoice(), waived), now=LATE)
    assert [(p.transaction, p.price, p.expires_at) for p in one.purchases[1:]] == [("in_2", Money(amount=0, currency="USD"), at(NEXT))]
    assert one.renewals[0].pause is None
    assert len(states(found(subscription(), invoice(), waived), now=LATE).purchases) == 1


# Money


def test_a_refund_takes_money_and_no_access() -> None:
    (one,) = states(found(subscription(), invoice(), charges=[charge("pi_in_1", refund(amount=400))])).purchases
    back = Refund(identifier="re_1", at=at(START + DAY), amount=Money(amount=400, currency="USD"))
    assert one == replace(FIRST, commission=Money(amount=59, currency="USD"), refunds=(back,))


@pytest.mark.parametrize(("status", "is_reversed"), [("pending", False), ("succeeded", False), ("failed", True), ("canceled", True)])
def test_a_refund_that_failed_is_reversed(status: str, is_reversed: bool) -> None:
    (one,) = states(found(subscription(), invoice(), charges=[charge("pi_in_1", refund(status=status))])).purchases
    assert [one.is_reversed for one in one.refunds] == [is_reversed]


@pytest.mark.parametrize(
    ("status", "said"), [("lost", [False]), ("won", [True]), ("needs_response", []), ("under_review", []), ("warning_closed", []), ("prevented", [])]
)
def test_a_dispute_counts_when_it_is_decided(status: str, said: list[bool]) -> None:
    (one,) = states(found(subscription(), invoice(), charges=[charge("pi_in_1", disputed=True)], disputes=[dispute(status)])).purchases
    assert [(one.identifier, one.is_reversed) for one in one.refunds] == [("dp_1", reversed_) for reversed_ in said]


def test_a_refund_belongs_to_the_invoice_that_was_paid_with_its_charge() -> None:
    here = found(subscription(), invoice(), cycle(), charges=[charge("pi_in_2"), charge("pi_in_1", refund()), charge("pi_other", refund("re_9"))])
    assert [[back.identifier for back in p.refunds] for p in states(here, now=LATE).purchases] == [["re_1"], []]


def test_what_stripe_kept_in_another_currency_is_told_in_the_purchases() -> None:
    settled = {"id": "txn_1", "amount": 900, "fee": 45, "currency": "eur"}
    (one,) = states(found(subscription(), invoice(), charges=[charge(amount=1000, balance_transaction=settled)])).purchases
    assert one.commission == Money(amount=50, currency="USD")


def test_tax_is_the_part_of_what_was_paid() -> None:
    (whole,) = states(found(subscription(), invoice(total=1000, amount_paid=1000, total_taxes=[{"amount": 100}, {"amount": 60}]))).purchases
    assert whole.tax == Money(amount=160, currency="USD")
    (half,) = states(found(subscription(), invoice(total=1000, amount_paid=500, total_taxes=[{"amount": 160}]))).purchases
    assert (half.price, half.tax) == (Money(amount=500, currency="USD"), Money(amount=80, currency="USD"))


@pytest.mark.parametrize(
    ("currency", "stripes", "ours"),
    [("usd", 999, 999), ("jpy", 500, 500), ("kwd", 5120, 5120), ("isk", 500, 5), ("ugx", 500, 5), ("mga", 5, 500), ("huf", 1000, 1000)],
)
def test_minor_units(currency: str, stripes: int, ours: int) -> None:
    assert money(stripes, currency) == Money(amount=ours, currency=currency.upper())
    assert to_stripe(Money(amount=ours, currency=currency.upper())) == stripes


@pytest.mark.parametrize("currency", [None, "", "us", "dollar", "éur"])
def test_no_currency_no_money(currency: str | None) -> None:
    assert readable(money(1, currency)) is None


# Who buys


@pytest.mark.parametrize(
    ("of_subscription", "of_session", "of_customer", "reference", "expected"),
    [
        ("ada", "ben", "cy", "dora", "ada"),
        (None, "ben", "cy", "dora", "ben"),
        (None, None, "cy", "dora", "cy"),
        (None, None, None, "dora", "dora"),
        (None, None, None, None, None),
        ("", None, None, None, None),
    ],
)
def test_who_buys(of_subscription: Any, of_session: Any, of_customer: Any, reference: Any, expected: str | None) -> None:
    def metadata(said: str | None) -> dict[str, str]:
        return {} if said is None else {"app_user_id": said}

    sub = subscription(metadata=metadata(of_subscription), customer={"id": "cus_1", "metadata": metadata(of_customer)})
    bought = msgspec.convert(session(mode="subscription", metadata=metadata(of_session), client_reference_id=reference), Session)
    assert states(found(sub, invoice(), session=bought)).app_user_id == expected


# Before basil


def test_the_shape_before_basil_states_the_same() -> None:
    old_line = {
        "id": "il_1",
        "type": "subscription",
        "amount": 999,
        "period": {"start": START, "end": START + MONTH},
        "quantity": 1,
        "price": price(),
        "proration": False,
        "subscription_item": "si_1",
    }
    old = {
        "id": "in_1",
        "status": "paid",
        "paid": True,
        "created": START,
        "currency": "usd",
        "billing_reason": "subscription_create",
        "total": 999,
        "amount_paid": 999,
        "tax": 0,
        "subscription": "sub_1",
        "payment_intent": "pi_1",
        "charge": "ch_1",
        "customer_address": {"country": "DE"},
        "lines": {"data": [old_line]},
    }
    periods = {"current_period_start": START, "current_period_end": START + MONTH}
    old_item = {"id": "si_1", "created": START, "plan": price(), "quantity": 1}
    assert states(found(subscription(old_item, **periods), old)) == states(found(subscription(), invoice()))
    taken = charge("pi_1", refund()) | {"invoice": "in_1"}
    assert [one.identifier for one in states(found(subscription(old_item), old, charges=[taken])).purchases[0].refunds] == ["re_1"]
    prorated = old | {"id": "in_2", "lines": {"data": [old_line | {"proration": True, "amount": -500, "type": "invoiceitem"}]}}
    assert len(states(found(subscription(old_item), old, prorated)).purchases) == 1


# One-time payments


def bought(here: dict[str, Any], *charges: dict[str, Any], products: tuple[Product, ...] = ()) -> tuple[Statement, ...]:
    return session_statements(msgspec.convert(here, Session), [msgspec.convert(one, Charge) for one in charges], [], products, NOW)


def product(kind: Any, identifier: str = "prod_life", duration: str | None = None) -> Product:
    return Product(product_id="p", app_id=AppId("app_1"), store_identifier=identifier, type=kind, created_at=NOW, duration=duration)


LIFE = Purchase(
    transaction="pi_1",
    product="prod_life",
    kind="non_consumable",
    purchased_at=at(START),
    expires_at=None,
    as_of=NOW,
    is_first=True,
    is_renewal=False,
    price=Money(amount=14999, currency="USD"),
    tax=Money(amount=2395, currency="USD"),
    country="FR",
)


def test_a_paid_checkout_is_a_one_time_purchase() -> None:
    assert bought(session()) == (Statement(store="stripe", environment="sandbox", line="pi_1", purchases=(LIFE,), app_user_id="ada"),)


def test_a_checkout_that_cost_nothing_goes_by_its_own_id() -> None:
    (one,) = bought(session(payment_intent=None, payment_status="no_payment_required"))
    assert (one.line, one.purchases[0].transaction) == ("cs_test_1", "cs_test_1")


@pytest.mark.parametrize(
    ("kind", "duration", "expected", "until"),
    [
        ("consumable", None, "consumable", None),
        ("non_consumable", None, "non_consumable", None),
        ("one_time", None, "non_consumable", None),
        ("non_renewing_subscription", "P1D", "non_renewing", at(START + DAY)),
        ("subscription", "P1D", "non_renewing", at(START + DAY)),
    ],
)
def test_our_catalog_says_what_kind_it_is(kind: str, duration: str | None, expected: str, until: datetime | None) -> None:
    (one,) = bought(session(), products=(product("subscription", "prod_other"), product(kind, duration=duration)))
    assert (one.purchases[0].kind, one.purchases[0].expires_at) == (expected, until)


def test_a_checkout_of_two_things_is_two_lines() -> None:
    lines = [{"id": f"li_{n}", "amount_total": amount, "quantity": n, "price": price(f"prod_{n}")} for n, amount in ((1, 300), (2, 100))]
    one, two = bought(session(*lines), charge("pi_1", refund(amount=200), amount=400))
    assert [(s.line, s.purchases[0].product, s.purchases[0].quantity) for s in (one, two)] == [("pi_1", "prod_1", 1), ("pi_1#li_2", "prod_2", 2)]
    assert [s.purchases[0].refunds[0].amount.amount for s in (one, two)] == [150, 50]


def test_given_back_in_full_it_is_taken_back_and_in_part_it_is_not() -> None:
    def of(*refunds: dict[str, Any]) -> Purchase:
        return bought(session(), charge("pi_1", *refunds, amount=14999, balance_transaction=None))[0].purchases[0]

    part, rest = refund("re_1", 5000), refund("re_2", 9999, created=START + 2 * DAY)
    first = Refund(identifier="re_1", at=at(START + DAY), amount=Money(amount=5000, currency="USD"))
    assert of(part) == replace(LIFE, refunds=(first,))
    assert of(part, rest) == replace(LIFE, refunds=(first,), revocation=Revocation(at=at(START + 2 * DAY), refunded=True, share_ppm=666_644))
    assert of(refund("re_3", 14999)) == replace(LIFE, revocation=Revocation(at=at(START + DAY), refunded=True))
    failed = of(refund("re_3", 14999, status="failed"))
    assert (failed.revocation, failed.refunds[0].is_reversed) == (None, True)


# What events alone tell


def test_a_paid_invoice_alone_states_its_period() -> None:
    (one,) = told_by_invoice(msgspec.convert(invoice(), Invoice), NOW)
    assert one == Statement(store="stripe", environment="sandbox", line="sub_1", purchases=(FIRST,), app_user_id="ada")
    (renewed,) = told_by_invoice(msgspec.convert(cycle(), Invoice), NOW)
    assert [(p.transaction, p.is_first, p.is_renewal) for p in renewed.purchases] == [("in_2", False, True)]
    (tried,) = told_by_invoice(msgspec.convert(FREE_WEEK, Invoice), NOW)
    assert tried.purchases[0].period_type == "trial"


def test_a_subscription_alone_states_its_trial_and_how_it_goes_on() -> None:
    (one,) = told_by_subscription(msgspec.convert(trial(), Subscription), NOW, past_due="grace")
    assert [(p.transaction, p.product, p.period_type, p.expires_at, p.is_first) for p in one.purchases] == [
        ("in_1", "prod_pro", "trial", at(START + 7 * DAY), True)
    ]
    (active,) = told_by_subscription(msgspec.convert(subscription(cancel_at_period_end=True), Subscription), NOW, past_due="grace")
    assert active.purchases == ()
    assert active.renewals == (Renewal(as_of=NOW, transaction="", auto_renew=False, off_reason="unsubscribe"),)
    assert told_by_subscription(msgspec.convert(subscription(status="incomplete"), Subscription), NOW, past_due="grace") == ()


# Whatever comes

ANYTHING = st.one_of(st.none(), st.integers(-(2**40), 2**40), st.booleans(), st.text(max_size=5))


@settings(deadline=None, max_examples=200)
@given(
    of_subscription=st.dictionaries(st.sampled_from(["status", "trial_start", "trial_end", "cancel_at", "ended_at"]), ANYTHING, max_size=3),
    of_invoice=st.dictionaries(
        st.sampled_from(["status", "billing_reason", "total", "amount_paid", "currency", "created", "next_payment_attempt"]), ANYTHING, max_size=3
    ),
    amounts=st.lists(st.integers(-2000, 2000), min_size=1, max_size=4),
)
def test_any_subscription_is_stated_or_refused_cleanly(of_subscription: dict[str, Any], of_invoice: dict[str, Any], amounts: list[int]) -> None:
    lines = [line(amount, item=f"si_{place % 2 + 1}", proration=amount < 0) for place, amount in enumerate(amounts)]
    try:
        here = found(subscription(**of_subscription), invoice("in_1", *lines, **of_invoice))
        said = subscription_statements(here, None, NOW)
    except (Invalid, msgspec.ValidationError):
        return
    for statement in said:
        assert len({p.transaction for p in statement.purchases}) == len(statement.purchases)

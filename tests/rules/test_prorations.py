"""A charge, a credit or a change within a running period: revenue and what is served from then on, but no new period."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perennial.base.ids import AppId, CustomerId, LineId
from perennial.base.money import Money
from perennial.base.value import replace
from perennial.subscriptions.earning import earnings
from perennial.subscriptions.model import Line, Purchase, Refund, Renewal, Statement, Telling
from perennial.subscriptions.rules import access_until, merge, original_purchased_at, period_number, presented_offering
from perennial.subscriptions.telling import tell

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
END, NEXT = START + 30 * DAY, START + 60 * DAY


def usd(amount: int) -> Money:
    return Money(amount=amount, currency="USD")


def period(transaction: str = "in_1", begins: datetime = START, **facts: Any) -> Purchase:
    return Purchase(
        **{
            "transaction": transaction,
            "product": "pro",
            "kind": "subscription",
            "purchased_at": begins,
            "expires_at": begins + 30 * DAY,
            "as_of": begins,
            "is_first": begins == START,
            "is_renewal": begins != START,
            "price": usd(2000),
            "quantity": 2,
            **facts,
        }
    )


def proration(transaction: str, day: int, amount: int = 0, **facts: Any) -> Purchase:
    begins = START + day * DAY
    said = {"expires_at": END, "is_first": False, "is_renewal": False, "is_proration": True, "price": usd(amount), **facts}
    return period(transaction, begins, **said)


def new_line() -> Line:
    return Line(
        line_id=LineId("sub_1"),
        customer_id=CustomerId("cus_1"),
        app_id=AppId("app_1"),
        store="stripe",
        environment="production",
        store_line="sub_1",
        heard_at=START,
    )


def hear(line: Line, *said: Purchase | Renewal, now: datetime | None = None, **more: Any) -> tuple[Line, list[Telling]]:
    """One statement after another, each as it is made."""
    told: list[Telling] = []
    for one in said:
        bought = (one,) if isinstance(one, Purchase) else ()
        words = (one,) if isinstance(one, Renewal) else (Renewal(as_of=one.as_of, transaction=one.transaction, auto_renew=True),)
        statement = Statement(store="stripe", environment="production", line="sub_1", purchases=bought, renewals=words, **more)
        line, tellings = tell(merge(line, statement, one.as_of), now or one.as_of)
        told += tellings
    return line, told


def types(told: list[Telling]) -> list[str]:
    return [one.type for one in told]


SEATS = (proration("in_2", 5, 800, quantity=3), proration("in_3", 6, 0), proration("in_4", 7, 700, quantity=3), proration("in_5", 8, 0))


def test_seats_to_and_fro_are_told_as_nothing_and_the_renewal_after_them_is_the_second_period() -> None:
    line, told = hear(new_line(), period(), *SEATS)
    assert types(told) == ["INITIAL_PURCHASE"]
    assert access_until(line) == END
    line, told = hear(line, period("in_6", END))
    assert [(one.type, one.renewal_number) for one in told] == [("RENEWAL", 2)]
    assert [period_number(line, held) for held in line.held] == [1, 1, 1, 1, 1, 2]


def test_another_product_within_a_period_is_a_change_and_no_renewal() -> None:
    line, told = hear(new_line(), period(), proration("in_2", 10, 500, product="max"), proration("in_3", 11, 0))
    assert [(one.type, one.held.purchase.product, one.new_product) for one in told[1:]] == [
        ("PRODUCT_CHANGE", "pro", "max"),
        ("PRODUCT_CHANGE", "max", "pro"),
    ]
    assert types(hear(line, period("in_4", END))[1]) == ["RENEWAL"]


def test_a_trial_converts_with_its_first_period_whatever_was_changed_within_it() -> None:
    trial = period(period_type="trial", price=usd(0))
    change = proration("in_1:change1", 3, 0, period_type="trial", product="max")
    _, told = hear(new_line(), trial, change, period("in_2", END, product="max"))
    assert [(one.type, one.is_trial_conversion, one.renewal_number) for one in told] == [
        ("INITIAL_PURCHASE", False, 1),
        ("PRODUCT_CHANGE", False, 1),
        ("RENEWAL", True, 2),
    ]


def test_more_seats_for_a_cancelled_subscription_cancel_it_no_second_time() -> None:
    off = Renewal(as_of=START + DAY, transaction="in_1", auto_renew=False, off_reason="unsubscribe")
    line, told = hear(new_line(), period(), off)
    assert types(told) == ["INITIAL_PURCHASE", "CANCELLATION"]
    statement = Statement(
        store="stripe",
        environment="production",
        line="sub_1",
        purchases=(SEATS[0],),
        renewals=(replace(off, as_of=START + 5 * DAY, transaction="in_2"),),
    )
    assert tell(merge(line, statement, START + 5 * DAY), START + 5 * DAY)[1] == []


def test_a_refund_of_a_proration_is_no_cancellation_and_one_of_the_period_it_falls_in_is() -> None:
    line, _ = hear(new_line(), period(), SEATS[0])
    back = Refund(identifier="re_1", at=START + 6 * DAY, amount=usd(800))
    line, told = hear(line, replace(SEATS[0], as_of=START + 6 * DAY, refunds=(back,)))
    assert types(told) == ["REFUND"]
    all_of_it = Refund(identifier="re_2", at=START + 7 * DAY, amount=usd(2000))
    _, told = hear(line, period(as_of=START + 7 * DAY, refunds=(all_of_it,)))
    assert types(told) == ["CANCELLATION"]


def test_a_proration_heard_of_before_its_period_waits_for_nothing() -> None:
    line, told = hear(new_line(), SEATS[0])
    assert told == []
    line, told = hear(line, period(as_of=START + 9 * DAY))
    assert [(one.type, one.renewal_number) for one in told] == [("INITIAL_PURCHASE", 1)]


# What it gives ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charged", "share"),
    [
        (proration("in_2", 5, 800, quantity=3), 266_667),  # of three seats at 1000
        (proration("in_2", 5, 0), 0),
        (proration("in_2", 5, 9_000), 1_000_000),
        (proration("in_2", 5, 500, product="max"), 250_000),  # what all of it costs is not known: of what the period cost
        (proration("in_2", 5, 500, product="max", charged_ppm=125_000), 125_000),  # by the store's word
        (proration("in_2", 5, price=None), 0),
        (proration("in_2", 5, 800, expires_at=START + 5 * DAY), 0),  # usage, billed after the fact
    ],
)
def test_a_proration_gives_what_its_charge_covers(charged: Purchase, share: int) -> None:
    line, _ = hear(new_line(), period(), charged)
    assert [one.charged_ppm for one in earnings(line)] == [1_000_000, share]


def test_what_a_period_gave_lasts_until_another_product_was_paid_for() -> None:
    line, _ = hear(new_line(), period(), SEATS[0], proration("in_3", 10, 0, product="max"))
    assert [one.ends_at for one in earnings(line)] == [END, END, END]
    line, _ = hear(line, proration("in_4", 20, 500, product="max"))
    assert [one.ends_at for one in earnings(line)] == [START + 20 * DAY, START + 20 * DAY, END, END]


# The line ---------------------------------------------------------------------------------------------------------------------


def presented(line: Line, **offerings: str) -> Line:
    held = (replace(one, presented_offering=offerings.get(one.purchase.transaction)) for one in line.held)
    return replace(line, held=tuple(held))


def offerings(line: Line) -> list[str | None]:
    return [presented_offering(line, held) for held in line.held]


def test_the_first_purchases_offering_stays_through_renewals_and_changes() -> None:
    line, _ = hear(new_line(), period(), SEATS[0], period("in_6", END), period("in_7", END + 10 * DAY, is_renewal=False, product="max"))
    assert offerings(presented(line, in_1="spring")) == ["spring"] * 4
    assert offerings(presented(line, in_1="spring", in_6="sale", in_7="upsell")) == ["spring"] * 4
    assert offerings(presented(line, in_7="upsell")) == [None, None, None, "upsell"]


def test_a_line_bought_again_after_its_end_has_the_offering_it_was_bought_in_then() -> None:
    again, later = NEXT + 10 * DAY, NEXT + 40 * DAY
    line, _ = hear(new_line(), period(), period("in_2", END), period("in_3", again, is_renewal=False), period("in_4", later))
    assert offerings(presented(line, in_1="spring", in_3="win_back")) == ["spring", "spring", "win_back", "win_back"]
    assert offerings(presented(line, in_1="spring")) == ["spring"] * 4


def test_the_earliest_word_of_the_original_purchase_counts_and_the_first_period_where_there_is_none() -> None:
    line, _ = hear(new_line(), period())
    assert original_purchased_at(line) == START
    for said in (START - 300 * DAY, START - 200 * DAY):
        line, _ = hear(line, period(as_of=START + DAY), original_purchased_at=said)
        assert original_purchased_at(line) == START - 300 * DAY

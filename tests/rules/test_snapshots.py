"""Stores that are read as a whole, again and again: what repeats is kept once; money given back, and pauses, are told once."""

from datetime import datetime, timedelta
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.base.money import Money
from perennial.base.value import replace
from perennial.subscriptions.model import Line, Purchase, Refund, Renewal, Statement
from perennial.subscriptions.rules import access_until, auto_renew_off_at, merge, refunded_share, status
from perennial.subscriptions.telling import tell
from tests.rules.lives import MONTH, START, new_line

HOUR = timedelta(hours=1)
PRICE = Money(amount=1000, currency="EUR")
FIRST = Purchase(
    transaction="in_1",
    product="pro",
    kind="subscription",
    purchased_at=START,
    expires_at=START + MONTH,
    as_of=START,
    is_first=True,
    is_renewal=False,
    price=PRICE,
)
SECOND = replace(
    FIRST, transaction="in_2", purchased_at=START + MONTH, expires_at=START + 2 * MONTH, as_of=START + MONTH, is_first=False, is_renewal=True
)


def statement(*purchases: Purchase, renewals: tuple[Renewal, ...] = ()) -> Statement:
    return Statement(store="stripe", environment="production", line="1000", purchases=purchases, renewals=renewals)


def stripe_line() -> Line:
    return replace(new_line(), store="stripe")


def at(moment: datetime, *, on: bool, **changes: object) -> Renewal:
    return replace(Renewal(as_of=moment, transaction="in_1", auto_renew=on), **changes)  # type: ignore[arg-type]


def heard(*statements: Statement, now: datetime) -> tuple[Line, list[str]]:
    line, told = stripe_line(), []
    for one in statements:
        line, tellings = tell(merge(line, one, now), now)
        told += [one.type for one in tellings]
    return line, told


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_of_what_repeats_the_first_and_the_last_stay_and_nothing_read_off_them_changes(answers: list[bool]) -> None:
    asked = [at(START + number * HOUR, on=on) for number, on in enumerate(answers)]
    line = stripe_line()
    for one in asked:
        line = merge(line, statement(FIRST, renewals=(one,)), one.as_of)
    changes = sum(one != other for one, other in pairwise(answers))
    assert len(line.renewals) <= 2 * (changes + 1)
    assert line.renewals[-1] == asked[-1]
    whole = replace(line, renewals=tuple(asked))
    assert auto_renew_off_at(line) == auto_renew_off_at(whole)


def test_asking_twice_says_nothing_twice() -> None:
    cancelled = at(START + HOUR, on=False, off_reason="unsubscribe")
    _, told = heard(
        statement(FIRST, renewals=(cancelled,)),
        statement(replace(FIRST, as_of=START + 2 * HOUR), renewals=(replace(cancelled, as_of=START + 2 * HOUR),)),
        now=START + 3 * HOUR,
    )
    assert told == ["INITIAL_PURCHASE", "CANCELLATION"]


# Money given back ---------------------------------------------------------------------------------------------------------------


def refund(identifier: str, amount: int, *, is_reversed: bool = False, at: datetime = START + HOUR) -> Refund:
    return Refund(identifier=identifier, at=at, amount=Money(amount=amount, currency="EUR"), is_reversed=is_reversed)


def test_a_partial_refund_is_money_alone_and_told_as_such() -> None:
    line, tellings = tell(merge(stripe_line(), statement(replace(FIRST, refunds=(refund("re_1", 300),))), START), START + 2 * HOUR)
    assert [(one.type, one.refunded) for one in tellings] == [("INITIAL_PURCHASE", None), ("REFUND", Money(amount=300, currency="EUR"))]
    assert (status(line, START + 2 * HOUR), access_until(line)) == ("active", START + MONTH)


def test_the_whole_of_the_present_period_given_back_is_a_cancellation() -> None:
    _, told = heard(statement(replace(FIRST, refunds=(refund("re_1", 400), refund("re_2", 600)))), now=START + 2 * HOUR)
    assert sorted(told) == ["CANCELLATION", "CANCELLATION", "INITIAL_PURCHASE"]


def test_the_whole_of_an_earlier_period_given_back_is_a_refund() -> None:
    late = refund("re_1", 1000, at=START + MONTH + HOUR)
    line, told = heard(statement(replace(FIRST, refunds=(late,)), SECOND), now=START + MONTH + 2 * HOUR)
    assert told == ["INITIAL_PURCHASE", "RENEWAL", "REFUND"]
    assert access_until(line) == START + 2 * MONTH


def test_a_refund_that_failed_later_is_told_to_be_reversed_once_and_one_never_told_stays_untold() -> None:
    given_back, failed = statement(replace(FIRST, refunds=(refund("re_1", 300),))), refund("re_1", 300, is_reversed=True)
    again = statement(replace(FIRST, refunds=(failed,), as_of=START + 2 * HOUR))
    assert heard(given_back, again, again, now=START + 3 * HOUR)[1] == ["INITIAL_PURCHASE", "REFUND", "REFUND_REVERSED"]
    assert heard(again, given_back, now=START + 3 * HOUR)[1] == ["INITIAL_PURCHASE"]


def test_refunds_add_up_whatever_the_order_and_the_message_that_does_not_speak_of_one() -> None:
    said = [
        statement(replace(FIRST, refunds=(refund("re_1", 250),), as_of=START + HOUR)),
        statement(replace(FIRST, refunds=(refund("re_2", 250),), as_of=START + 2 * HOUR)),
        statement(replace(FIRST, as_of=START + 3 * HOUR)),
    ]
    for order in permutations(said):
        line, _ = heard(*order, now=START + 4 * HOUR)
        assert [one.identifier for one in line.held[0].purchase.refunds] == ["re_1", "re_2"]
        assert refunded_share(line.held[0].purchase) * 2 == 1


# Pauses -------------------------------------------------------------------------------------------------------------------------


def test_a_pause_is_told_when_it_is_planned_ends_access_when_it_begins_and_is_over_with_the_next_charge() -> None:
    planned = at(START + HOUR, on=True, pause="scheduled", resumes_at=START + 3 * MONTH)
    begun = at(START + MONTH, on=True, pause="in_force", resumes_at=START + 3 * MONTH, ended="subscription_paused")
    line, first = tell(merge(stripe_line(), statement(FIRST, renewals=(planned,)), START + HOUR), START + HOUR)
    assert [(one.type, one.resumes_at) for one in first] == [("INITIAL_PURCHASE", None), ("SUBSCRIPTION_PAUSED", START + 3 * MONTH)]
    assert status(line, START + HOUR) == "active"
    line, second = tell(merge(line, statement(FIRST, renewals=(begun,)), START + MONTH), START + MONTH + HOUR)
    assert [(one.type, one.reason) for one in second] == [("EXPIRATION", "subscription_paused")]
    assert status(line, START + MONTH + HOUR) == "paused"
    back = replace(SECOND, purchased_at=START + 3 * MONTH, expires_at=START + 4 * MONTH, as_of=START + 3 * MONTH)
    line, third = tell(
        merge(line, statement(back, renewals=(at(START + 3 * MONTH, on=True, transaction="in_2"),)), START + 3 * MONTH), START + 3 * MONTH
    )
    assert [one.type for one in third] == ["RENEWAL"]
    assert status(line, START + 3 * MONTH) == "active"


@pytest.mark.parametrize("known", [None, 100])
def test_taxes_and_fees_learned_with_the_price_stay_with_it(known: int | None) -> None:
    whole = replace(FIRST, tax=Money(amount=160, currency="EUR"), commission=Money(amount=30, currency="EUR"), as_of=START + HOUR)
    bare = replace(FIRST, price=None if known is None else Money(amount=known, currency="EUR"), as_of=START + 2 * HOUR)
    line, _ = heard(statement(whole), statement(bare), now=START + 3 * HOUR)
    purchase = line.held[0].purchase
    assert (purchase.tax is None, purchase.commission is None) == (known is not None, known is not None)

"""How the simulated Stripe plays a life, and that what it answers is in the official library's shape."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import stripe as official
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base.errors import Conflict, Invalid
from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.providers.simulated.stripe import payloads, rules
from perennial.providers.simulated.stripe.actions import code_of
from perennial.providers.simulated.stripe.model import Failure, Life, Plan

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONTHLY = Plan(product="prod_pro", duration="P1M", price=Money(amount=999, currency="USD"))
MAX = Plan(product="prod_max", duration="P1M", price=Money(amount=1999, currency="USD"))
YEARLY = Plan(product="prod_year", duration="P1Y", price=Money(amount=7999, currency="USD"))


def bought(plan: Plan = MONTHLY, **more: Any) -> Life:
    return rules.buy(app_id=AppId("app_1"), code="01ABC", plan=plan, now=START, **more)


def kinds(life: Life, *, since: int = 0) -> list[str]:
    return [one.type for one in life.happenings[since:]]


def test_periods_count_from_the_anchor() -> None:
    life = rules.play(bought(), START + 100 * DAY)
    assert [one.lines[0].end for one in life.invoices] == [
        datetime(2026, month, day, 12, tzinfo=UTC) for month, day in ((2, 28), (3, 31), (4, 30), (5, 31))
    ]


def test_a_renewal_is_drafted_at_the_periods_end_and_paid_an_hour_later() -> None:
    drafted = rules.play(bought(), START + 28 * DAY)
    assert (drafted.invoices[1].status, drafted.invoices[1].collects_at) == ("draft", START + 28 * DAY + HOUR)
    paid = rules.play(drafted, START + 28 * DAY + HOUR)
    assert (paid.invoices[1].status, paid.invoices[1].paid) == ("paid", 999)
    assert kinds(paid, since=3) == ["invoice.created", "customer.subscription.updated", "invoice.paid"]


def test_a_failing_charge_is_retried_after_3_5_and_7_days() -> None:
    life = rules.play(rules.fail_next_charge(bought(), Failure()), START + 60 * DAY)
    failed = [one.at - (START + 28 * DAY + HOUR) for one in life.happenings if one.type == "invoice.payment_failed"]
    assert failed == [timedelta(), 3 * DAY, 8 * DAY, 15 * DAY]
    assert (life.status, life.end_reason, life.ended_at) == ("canceled", "payment_failed", START + 43 * DAY + HOUR)
    assert kinds(life)[-1] == "customer.subscription.deleted"


def test_playing_in_steps_is_playing_at_once() -> None:
    life = rules.fail_next_charge(bought(), Failure(recover_at_retry=2))
    steps = life
    for day in range(120):
        steps = rules.play(steps, START + day * DAY)
    assert rules.play(steps, START + 120 * DAY) == rules.play(life, START + 120 * DAY)


def test_prorations_are_the_part_of_the_period_that_is_left() -> None:
    half = START + 14 * DAY
    life = rules.upgrade(bought(), MAX, half)
    assert [(line.amount, line.is_proration) for line in life.invoices[1].lines] == [(-500, True), (1000, True)]
    longer = rules.upgrade(bought(), YEARLY, half)
    assert [(line.amount, line.is_proration) for line in longer.invoices[1].lines] == [(-500, True), (7999, False)]
    assert longer.period_end == datetime(2027, 2, 14, 12, tzinfo=UTC)
    later = rules.play(rules.upgrade(bought(), MAX, half, invoiced="later"), START + 28 * DAY)
    assert [line.amount for line in later.invoices[1].lines] == [-500, 1000, 1999]
    assert later.pending == ()


def test_an_act_with_a_key_is_done_once() -> None:
    def give_back(life: Life) -> Life:
        return rules.refund(life, None, 100, START)

    once = rules.once(bought(), "act_1", give_back)
    assert rules.once(once, "act_1", give_back) == once
    assert rules.given_back(rules.once(once, "act_2", give_back).invoices[0]) == 200


@pytest.mark.parametrize(
    "act",
    [
        lambda life: rules.uncancel(life, START),
        lambda life: rules.resume(life, START),
        lambda life: rules.pay(life, START),
        lambda life: rules.revert_downgrade(life, START),
        lambda life: rules.fail_refund(life, None, START),
        lambda life: rules.close_dispute(life, None, "won", START),
        lambda life: rules.cancel(rules.end(life, START), START),
        lambda life: rules.end(rules.end(life, START), START),
        lambda life: rules.dispute(rules.refund(life, None, None, START), None, START),
        lambda life: rules.refund(life, 7, None, START),
    ],
)
def test_what_makes_no_sense_is_a_conflict(act: Any) -> None:
    with pytest.raises(Conflict):
        act(bought())


@pytest.mark.parametrize(
    "act",
    [
        lambda life: rules.refund(life, None, 1000, START),
        lambda life: rules.set_quantity(life, 1, START),
        lambda life: rules.downgrade(life, MONTHLY, START),
        lambda life: rules.move_renewal(life, START, START),
        lambda life: rules.pause(life, "void", START, START),
        lambda life: rules.fail_next_charge(life, Failure(recover_at_retry=4)),
    ],
)
def test_what_cannot_be_said_is_invalid(act: Any) -> None:
    with pytest.raises(Invalid):
        act(bought())


@pytest.mark.parametrize(
    "subject",
    ["sub_01ABC", "sub_01ABC#si_01ABC", "sub_sched_01ABC", "cs_test_01ABC", "in_01ABC_1", "pi_01ABC_1", "re_01ABC_1_2", "cus_01ABC", "evt_01ABC_9"],
)
def test_any_id_leads_back(subject: str) -> None:
    assert code_of(subject) == "01ABC"


ACTS = {
    "cancel": lambda life, now: rules.cancel(life, now),
    "uncancel": lambda life, now: rules.uncancel(life, now),
    "upgrade": lambda life, now: rules.upgrade(life, MAX, now),
    "later": lambda life, now: rules.upgrade(life, YEARLY, now, invoiced="later"),
    "downgrade": lambda life, now: rules.downgrade(life, YEARLY, now),
    "more": lambda life, now: rules.set_quantity(life, life.quantity + 1, now, invoiced="later"),
    "fail": lambda life, now: rules.fail_next_charge(life, Failure(recover_at_retry=2)),
    "give up": lambda life, now: rules.fail_next_charge(life, Failure(then="unpaid")),
    "pay": lambda life, now: rules.pay(life, now),
    "pause": lambda life, now: rules.pause(life, "keep_as_draft", None, now),
    "resume": lambda life, now: rules.resume(life, now),
    "refund": lambda life, now: rules.refund(life, None, 1, now),
    "fail refund": lambda life, now: rules.fail_refund(life, None, now),
    "dispute": lambda life, now: rules.dispute(life, None, now),
    "end": lambda life, now: rules.end(life, now),
}


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(sorted(ACTS))), max_size=12), st.booleans())
def test_whatever_is_done_the_books_hold(acts: list[tuple[int, str]], has_trial: bool) -> None:
    """Events are in time's order, nothing is given back that was not paid, and every object is written."""
    life, now = bought(trial="P1W" if has_trial else None), START
    for days, name in acts:
        now += timedelta(days=days, minutes=7)
        with suppress(Conflict, Invalid):
            life = rules.act(life, now, partial(ACTS[name], now=now))
    life = rules.play(life, now + 400 * DAY)
    assert [one.at for one in life.happenings] == sorted(one.at for one in life.happenings)
    assert [one.number for one in life.happenings] == list(range(1, len(life.happenings) + 1))
    assert all(0 <= rules.given_back(one) <= one.paid or one.paid == 0 for one in life.invoices)
    assert (life.ended_at is not None) == (life.status in ("canceled", "incomplete_expired"))
    assert all(payloads.event(life, one)["data"]["object"]["id"] for one in life.happenings)


def test_the_official_library_reads_what_is_answered() -> None:
    """Field by field: nothing is written that the library of this API version does not know of."""
    life = rules.close_dispute(rules.dispute(bought(country="DE"), None, START), None, "lost", START)
    invoice = life.invoices[0]
    answered: list[tuple[type[Any], dict[str, Any]]] = [
        (official.Subscription, payloads.subscription(life, {"customer"})),
        (official.SubscriptionItem, payloads.subscription(life)["items"]["data"][0]),
        (official.SubscriptionSchedule, payloads.schedule(rules.downgrade(bought(), MAX, START))),
        (official.Invoice, payloads.invoice(life, invoice, {"payments"})),
        (official.InvoiceLineItem, payloads.invoice(life, invoice)["lines"]["data"][0]),
        (official.InvoicePayment, payloads.invoice_payment(life, invoice)),
        (official.PaymentIntent, payloads.payment_intent(life, invoice)),
        (official.Charge, payloads.charge(life, invoice, {"refunds", "balance_transaction"})),
        (official.BalanceTransaction, payloads.charge(life, invoice, {"balance_transaction"})["balance_transaction"]),
        (official.Dispute, payloads.dispute(life, invoice)),
        (official.Price, payloads.price(MONTHLY)),
        (official.Customer, payloads.customer(life)),
        (official.checkout.Session, payloads.session(life, {"line_items"})),
        (official.Event, payloads.event(life, life.happenings[0])),
    ]
    returned = rules.refund(bought(), None, 1, START)
    answered.append((official.Refund, payloads.refund(returned, returned.invoices[0], returned.invoices[0].refunds[0])))
    for kind, written in answered:
        assert set(written) <= set(kind.__annotations__), (kind.__name__, set(written) - set(kind.__annotations__))
        assert written["object"] == kind.OBJECT_NAME

"""Access at Stripe follows the subscription's status and its items' current period; money follows invoices. Asked, and by events alone."""

import json
from datetime import datetime
from typing import Any

import msgspec
import pytest

from perennial.base.money import Money
from perennial.providers.stripe.read import subscription_statements
from perennial.subscriptions.booking import book
from perennial.subscriptions.model import Line
from perennial.subscriptions.rules import access_end, access_until, is_entitled, merge, status
from perennial.subscriptions.telling import tell
from tests.rules.test_stripe_events import STORE, WITHOUT_KEY
from tests.rules.test_stripe_read import cycle, found
from tests.stripe_objects import MONTH, START, at, event, invoice, item, line, refund, subscription
from tests.stripe_objects import charge as charged

DAY, HOUR = 86_400, 3_600
SECOND, THIRD = START + MONTH, START + 2 * MONTH
USD = "USD"


class Account:
    """What we hold of one subscription, as Stripe is asked about it again and again, or as events tell it; and what was told and booked."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.told: list[str] = []
        self.booked: dict[str, int] = {}

    def asks(self, now: int, sub: dict[str, Any], *invoices: dict[str, Any], past_due: str = "grace", **more: Any) -> list[str]:
        told: list[str] = []
        for key in ["sub_1", *(one for one in self.lines if one != "sub_1")]:
            for stated in subscription_statements(found(sub, *invoices, **more), self.lines.get(key), at(now), past_due=past_due):
                told += self._hears(stated, at(now))
        return told

    def event(self, now: int, kind: str, about: dict[str, Any], **settings: str) -> list[str]:
        app = msgspec.structs.replace(WITHOUT_KEY, settings=settings)
        told: list[str] = []
        for stated in STORE.read(app, event(kind, about, created=now), at(now)).statements:
            told += self._hears(stated, at(now))
        return told

    def passes(self, now: int) -> list[str]:
        """Time alone."""
        return [one for key in self.lines for one in self._tells(key, self.lines[key], at(now))]

    def _hears(self, stated: Any, now: datetime) -> list[str]:
        from tests.other_stores import hear

        known = self.lines.get(stated.line) or hear([msgspec.structs.replace(stated, purchases=(), renewals=(), running=())], now)
        return self._tells(stated.line, merge(known, stated, now), now)

    def _tells(self, key: str, held: Line, now: datetime) -> list[str]:
        held, tellings = tell(held, now)
        held, transfers = book(held)
        self.lines[key] = held
        for one in transfers:
            if one.kind in ("sale", "refund"):
                forward = one.to_account.endswith(("revenue/stripe", "customers/receivable")) and one.kind == "sale"
                self.booked[one.kind] = self.booked.get(one.kind, 0) + (
                    one.amount if forward or one.from_account.endswith("refunds/stripe") else -one.amount
                )
        new = [one.type if one.reason is None else f"{one.type} {one.reason}" for one in tellings]
        self.told += new
        return new

    def entitled(self, *moments: int, line: str = "sub_1") -> list[bool]:
        return [is_entitled(self.lines[line], at(moment)) for moment in moments]

    @property
    def sold(self) -> int:
        return self.booked.get("sale", 0)

    def periods(self, line: str = "sub_1") -> list[tuple[str, int | None]]:
        return [
            (one.purchase.transaction, one.purchase.price.amount if one.purchase.price is not None else None)
            for one in self.lines[line].held
            if not one.purchase.gives_no_time
        ]


def running(start: int, end: int, *, metered: bool = False, **said: Any) -> dict[str, Any]:
    one = item(end=end, **said) | {"current_period_start": start}
    if metered:
        one["price"] = one["price"] | {"recurring": {"interval": "month", "usage_type": "metered"}, "unit_amount": None}
    return one


def used(amount: int, start: int, end: int, **said: Any) -> dict[str, Any]:
    return line(amount, start, end, product="prod_pro", **said) | {"id": f"il_use_{start}"}


def bill(identifier: str, amount: int, start: int, end: int, **said: Any) -> dict[str, Any]:
    """The invoice of a month's usage, made as the month ends."""
    said = {"reason": "subscription_cycle", "created": end, **said}
    return invoice(identifier, used(amount, start, end), **said)


# Anchored to a later date


def test_a_free_first_stretch_without_an_invoice_is_served_and_costs_nothing() -> None:
    account, anchor = Account(), START + 10 * DAY
    free = subscription(running(START, anchor), billing_cycle_anchor=anchor, latest_invoice=None)
    assert account.asks(START + 5, free) == ["INITIAL_PURCHASE"]
    assert (account.periods(), account.sold) == ([(f"sub_1:{START}", 0)], 0)
    assert account.entitled(START, anchor - 1) == [True, True]
    assert account.asks(START + DAY, free) == [], "asked again, nothing new"
    draft = invoice("in_1", line(999, anchor, anchor + MONTH), reason="subscription_cycle", status="draft", amount_paid=0, created=anchor)
    runs = subscription(running(anchor, anchor + MONTH), latest_invoice="in_1")
    assert account.asks(anchor + 60, runs, draft) == []
    assert account.entitled(anchor + 30 * 60) == [True], "while it is collected"
    paid = invoice("in_1", line(999, anchor, anchor + MONTH), reason="subscription_cycle", created=anchor)
    assert account.asks(anchor + HOUR, runs, paid) == ["RENEWAL"]
    assert (account.periods(), account.sold) == ([(f"sub_1:{START}", 0), ("in_1", 999)], 999)
    assert account.entitled(anchor + MONTH - 1, anchor + MONTH) == [True, False]


def test_a_stretch_between_two_anchors_makes_the_period_longer_and_is_no_purchase() -> None:
    account = Account()
    account.asks(START + 5, subscription(), invoice())
    later = START + MONTH + 12 * DAY
    told = account.asks(START + 9 * DAY, subscription(running(START + 9 * DAY, later)), invoice())
    assert (told, account.sold, account.entitled(later - 1, later)) == (["SUBSCRIPTION_EXTENDED"], 999, [True, False])


@pytest.mark.parametrize("state", ["incomplete", "incomplete_expired"])
def test_what_was_never_begun_is_not_served(state: str) -> None:
    account = Account()
    assert account.asks(START + 5, subscription(running(START, SECOND), status=state, latest_invoice=None)) == []
    assert account.lines == {}


@pytest.mark.parametrize("state", ["unpaid", "paused", "canceled"])
def test_a_status_that_serves_nothing_ends_access_within_a_running_period(state: str) -> None:
    account = Account()
    account.asks(START + 5, subscription(running(START, SECOND), latest_invoice=None))
    over = subscription(running(START, SECOND), status=state, latest_invoice=None, ended_at=START + DAY if state == "canceled" else None)
    assert [one.split()[0] for one in account.asks(START + DAY, over)][-1] == "EXPIRATION"
    assert account.entitled(START + DAY) == [False]
    assert account.asks(START + 2 * DAY, over) == []
    assert account.entitled(START + DAY, START + 2 * DAY) == [False, False]


@pytest.mark.parametrize("state", ["unpaid", "paused"])
def test_a_status_that_serves_nothing_ends_a_period_that_was_paid(state: str) -> None:
    account = Account()
    account.asks(START + 5, subscription(), invoice())
    account.asks(START + DAY, subscription(status=state), invoice())
    assert account.entitled(START + DAY) == [False]
    account.asks(START + 2 * DAY, subscription(), invoice())
    assert account.entitled(START + 3 * DAY) == [True], "active again"
    assert account.told.count("INITIAL_PURCHASE") == 1 and account.sold == 999


# Usage, billed in arrears


def metered(start: int, end: int, **said: Any) -> dict[str, Any]:
    return subscription(running(start, end, metered=True), billing_mode={"type": "flexible"}, **said)


def test_usage_is_served_while_it_is_active_and_its_bills_are_money() -> None:
    account = Account()
    assert account.asks(START + 5, metered(START, SECOND, latest_invoice=None)) == ["INITIAL_PURCHASE"]
    assert account.entitled(SECOND - 1) == [True]
    open_ = bill("in_2", 1234, START, SECOND, status="draft", amount_paid=0)
    assert account.asks(SECOND + 60, metered(SECOND, THIRD), open_) == []
    assert account.entitled(SECOND + 30 * 60) == [True]
    first = bill("in_2", 1234, START, SECOND)
    assert account.asks(SECOND + HOUR, metered(SECOND, THIRD), first) == ["RENEWAL"]
    assert (account.entitled(SECOND + HOUR, THIRD - 1), account.sold) == ([True, True], 1234)
    second, fourth = bill("in_3", 500, SECOND, THIRD), START + 3 * MONTH
    assert account.asks(THIRD + HOUR, metered(THIRD, fourth), second, first) == ["RENEWAL"]
    assert account.asks(THIRD + 2 * HOUR, metered(THIRD, fourth), second, first) == []
    assert account.periods() == [(f"sub_1:{START}", 0), ("in_2", 1234), ("in_3", 500)]
    assert (account.entitled(fourth - 1, fourth), account.sold) == ([True, False], 1734)


def test_usage_first_heard_of_in_its_third_month_is_the_same() -> None:
    account, fourth = Account(), START + 3 * MONTH
    bills = bill("in_3", 500, SECOND, THIRD), bill("in_2", 1234, START, SECOND)
    assert account.asks(THIRD + DAY, metered(THIRD, fourth), *bills) == ["INITIAL_PURCHASE", "RENEWAL", "RENEWAL"]
    assert account.periods() == [(f"sub_1:{START}", 0), ("in_2", 1234), ("in_3", 500)]
    assert (account.entitled(fourth - 1), account.sold) == ([True], 1734)


@pytest.mark.parametrize("state", ["void", "uncollectible"])
def test_usage_that_was_never_paid_is_served_for_nothing_while_stripe_says_active(state: str) -> None:
    account = Account()
    account.asks(START + 5, metered(START, SECOND, latest_invoice=None))
    given_up = bill("in_2", 1234, START, SECOND, status=state, amount_paid=0)
    assert account.asks(SECOND + DAY, metered(SECOND, THIRD), given_up) == ["RENEWAL"]
    assert (account.entitled(THIRD - 1), account.sold) == ([True], 0)


@pytest.mark.parametrize(("policy", "served"), [("grace", True), ("keep", True), ("end", False)])
def test_usage_past_due_is_served_by_the_setting(policy: str, served: bool) -> None:
    account = Account()
    account.asks(START + 5, metered(START, SECOND, latest_invoice=None))
    failed = bill("in_2", 1234, START, SECOND, status="open", amount_paid=0, next_payment_attempt=SECOND + 3 * DAY)
    now = SECOND + DAY
    told = account.asks(now, metered(SECOND, THIRD, status="past_due"), failed, past_due=policy)
    assert sorted(told) == ["BILLING_ISSUE", "CANCELLATION billing_error", *(() if served else ("EXPIRATION billing_error",))]
    assert (account.entitled(now), account.sold) == ([served], 0)
    assert account.asks(now + HOUR, metered(SECOND, THIRD), bill("in_2", 1234, START, SECOND)) == ["RENEWAL"]
    assert (account.entitled(THIRD - 1), account.sold) == ([True], 1234)


@pytest.mark.parametrize("ended_at", [THIRD, SECOND + 9 * DAY])
def test_a_last_bill_after_the_end_is_money_alone(ended_at: int) -> None:
    account = Account()
    account.asks(START + 5, metered(START, SECOND, latest_invoice=None))
    first = bill("in_2", 1234, START, SECOND)
    account.asks(SECOND + HOUR, metered(SECOND, THIRD), first)
    over = metered(SECOND, THIRD, status="canceled", ended_at=ended_at)
    last = bill("in_3", 700, SECOND, ended_at, status="open", amount_paid=0)
    assert account.asks(ended_at, over, last, first) == ["EXPIRATION unsubscribe"]
    assert account.entitled(ended_at - 1, ended_at) == [True, False]
    assert account.asks(ended_at + DAY, over, bill("in_3", 700, SECOND, ended_at), first) == []
    assert (account.sold, account.entitled(ended_at), account.passes(ended_at + 9 * DAY)) == (1934, [False], [])
    back = [charged("pi_in_3", refund(amount=700), amount=700)]
    assert account.asks(ended_at + 2 * DAY, over, bill("in_3", 700, SECOND, ended_at), first, charges=back) == ["REFUND customer_support"]
    assert account.booked == {"sale": 1934, "refund": 700}


def test_a_flat_fee_beside_a_usage_item_is_paid_ahead_and_the_usage_afterwards() -> None:
    account = Account()
    flat, use = running(START, SECOND), running(START, SECOND, metered=True, identifier="si_2", product="prod_calls")
    assert account.asks(START + 5, subscription(flat, use), invoice("in_1", line(1000))) == ["INITIAL_PURCHASE", "INITIAL_PURCHASE"]
    assert (account.entitled(SECOND - 1), account.entitled(SECOND - 1, line="sub_1#si_2"), account.sold) == ([True], [True], 1000)
    flat, use = running(SECOND, THIRD), running(SECOND, THIRD, metered=True, identifier="si_2", product="prod_calls")
    calls = used(234, START, SECOND, item="si_2") | {"pricing": {"price_details": {"price": "price_calls", "product": "prod_calls"}}}
    both = invoice("in_2", calls, line(1000, SECOND, THIRD), reason="subscription_cycle", created=SECOND)
    assert account.asks(SECOND + HOUR, subscription(flat, use), both, invoice("in_1", line(1000))) == ["RENEWAL", "RENEWAL"]
    assert account.periods() == [("in_1", 1000), ("in_2", 1000)]
    assert account.periods("sub_1#si_2") == [(f"sub_1#si_2:{START}", 0), ("in_2:si_2", 234)]
    assert (account.entitled(THIRD - 1, THIRD), account.entitled(THIRD - 1, line="sub_1#si_2"), account.sold) == ([True, False], [True], 2234)


def test_a_usage_item_stays_the_subscriptions_line_when_a_flat_fee_is_added() -> None:
    account = Account()
    account.asks(START + 5, metered(START, SECOND, latest_invoice=None))
    use, flat = running(START, SECOND, metered=True), running(START, SECOND, identifier="si_2", product="prod_flat", created=START + 5 * DAY)
    extra = line(800, START + 5 * DAY, SECOND, product="prod_flat", item="si_2", proration=True)
    account.asks(START + 6 * DAY, subscription(use, flat), invoice("in_1", extra, reason="subscription_update", created=START + 5 * DAY))
    assert sorted(account.lines) == ["sub_1", "sub_1#si_2"]
    assert (account.periods(), account.periods("sub_1#si_2")) == ([(f"sub_1:{START}", 0)], [("in_1:si_2", 800)])


# Given up, on credit, paused


@pytest.mark.parametrize("state", ["void", "uncollectible"])
def test_a_renewal_given_up_is_served_for_nothing_while_stripe_says_active(state: str) -> None:
    account = Account()
    account.asks(START + 5, subscription(), invoice())
    given_up = cycle(status=state, amount_paid=0)
    assert account.asks(SECOND + DAY, subscription(running(SECOND, THIRD)), given_up, invoice()) == ["RENEWAL"]
    assert (account.entitled(SECOND + DAY, THIRD - 1), account.sold) == ([True, True], 999)
    fourth = START + 3 * MONTH
    paid = cycle("in_3", line(999, THIRD, fourth))
    assert account.asks(THIRD + HOUR, subscription(running(THIRD, fourth)), paid, given_up, invoice()) == ["RENEWAL"]
    assert account.periods() == [("in_1", 999), ("in_2", 0), ("in_3", 999)]
    assert (account.told.count("EXPIRATION"), account.sold) == (0, 1998)


def test_given_up_and_unpaid_or_canceled_is_not_served() -> None:
    for state in ("unpaid", "canceled"):
        account = Account()
        account.asks(START + 5, subscription(), invoice())
        sub = subscription(running(SECOND, THIRD), status=state, ended_at=SECOND + HOUR if state == "canceled" else None)
        account.asks(SECOND + DAY, sub, cycle(status="void", amount_paid=0), invoice())
        assert (account.entitled(SECOND + DAY), account.periods()) == ([False], [("in_1", 999)])


def test_a_first_invoice_to_be_paid_later_is_served_and_its_money_comes_when_it_is_paid() -> None:
    account = Account()
    sent = invoice(status="open", amount_paid=0, due_date=START + 30 * DAY)
    assert account.asks(START + 5, subscription(collection_method="send_invoice"), sent) == ["INITIAL_PURCHASE"]
    assert (account.periods(), account.entitled(SECOND - 1), account.sold) == ([("in_1", 0)], [True], 0)
    assert account.asks(START + 9 * DAY, subscription(collection_method="send_invoice"), invoice()) == []
    assert (account.periods(), account.sold) == ([("in_1", 999)], 999)


def test_a_first_invoice_that_is_overdue_follows_the_setting() -> None:
    for policy, served in (("grace", False), ("end", False), ("keep", True)):
        account = Account()
        sent = invoice(status="open", amount_paid=0, due_date=START + 7 * DAY)
        account.asks(START + 5, subscription(), sent, past_due=policy)
        account.asks(START + 8 * DAY, subscription(status="past_due"), sent, past_due=policy)
        assert account.entitled(START + 8 * DAY) == [served], policy


def test_collection_paused_by_voiding_serves_no_new_period_of_usage() -> None:
    account = Account()
    account.asks(START + 5, metered(START, SECOND, latest_invoice=None))
    stopped = metered(SECOND, THIRD, pause_collection={"behavior": "void"})
    account.asks(SECOND + DAY, stopped, bill("in_2", 1234, START, SECOND, status="void", amount_paid=0))
    assert account.entitled(SECOND - 1, SECOND + DAY) == [True, False]


def test_a_trial_without_an_invoice_is_a_trial_and_a_free_coupon_is_none() -> None:
    account, end = Account(), START + 7 * DAY
    tried = metered(START, end, status="trialing", trial_start=START, trial_end=end, latest_invoice=None)
    account.asks(START + 5, tried)
    (held,) = account.lines["sub_1"].held
    assert (held.purchase.period_type, held.purchase.expires_at, held.purchase.price) == ("trial", at(end), Money(amount=0, currency=USD))
    longer = metered(START, end + DAY, status="trialing", trial_start=START, trial_end=end + DAY, latest_invoice=None)
    account.asks(START + DAY, longer)
    assert (account.entitled(end + DAY - 1, end + DAY), len(account.lines["sub_1"].held)) == ([True, False], 1)
    free = Account()
    free.asks(START + 5, subscription(), invoice(total=0, amount_paid=0))
    assert [one.purchase.period_type for one in free.lines["sub_1"].held] == ["normal"]


def test_a_planned_end_within_an_uncharged_period_ends_it_there() -> None:
    account, end = Account(), START + 20 * DAY
    account.asks(START + 5, metered(START, SECOND, latest_invoice=None, cancel_at=end))
    assert account.told == ["INITIAL_PURCHASE", "CANCELLATION unsubscribe"]
    account.asks(end, metered(START, SECOND, latest_invoice=None, cancel_at=end, status="canceled", ended_at=end))
    assert account.entitled(end - 1, end) == [True, False]


# By events alone


CREATED, UPDATED, DELETED = (f"customer.subscription.{name}" for name in ("created", "updated", "deleted"))


def test_by_events_alone_a_subscription_without_an_invoice_is_served() -> None:
    for sub in (subscription(latest_invoice=None), metered(START, SECOND, latest_invoice=None)):
        account = Account()
        assert account.event(START, CREATED, sub) == ["INITIAL_PURCHASE"]
        assert (account.periods(), account.entitled(START, SECOND - 1, SECOND)) == ([(f"sub_1:{START}", 0)], [True, True, False])
        assert account.event(START + 5, UPDATED, sub) == []


@pytest.mark.parametrize("order", [0, 1])
def test_by_events_alone_a_payment_and_its_subscription_are_one_period_whichever_comes_first(order: int) -> None:
    account = Account()
    events = [(CREATED, subscription()), ("invoice.paid", invoice())]
    told = [one for kind, about in (events if not order else events[::-1]) for one in account.event(START + 1, kind, about)]
    assert (told, account.periods(), account.sold) == (["INITIAL_PURCHASE"], [("in_1", 999)], 999)


def test_by_events_alone_a_subscription_first_heard_of_later_is_served_and_its_payment_found() -> None:
    account, fifth = Account(), START + 4 * MONTH
    runs = subscription(running(fifth, fifth + MONTH), latest_invoice="in_6")
    assert account.event(fifth + DAY, UPDATED, runs) == ["RENEWAL"]
    assert account.entitled(fifth + MONTH - 1, fifth + MONTH) == [True, False]
    assert account.event(fifth + 2 * DAY, "invoice.paid", cycle("in_5", line(999, fifth, fifth + MONTH))) == []
    assert (account.periods(), account.sold) == ([(f"sub_1:{fifth}", 999)], 999)


def test_by_events_alone_a_renewal_is_told_when_it_is_paid_and_served_meanwhile() -> None:
    account = Account()
    account.event(START, "invoice.paid", invoice())
    assert account.event(SECOND, UPDATED, subscription(running(SECOND, THIRD), latest_invoice="in_2")) == []
    assert account.entitled(SECOND + DAY, THIRD - 1) == [True, True]
    assert account.event(SECOND + HOUR, "invoice.paid", cycle()) == ["RENEWAL"]
    assert (account.periods(), account.sold) == ([("in_1", 999), ("in_2", 999)], 1998)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("policy", "until"), [("grace", SECOND + 3 * DAY + HOUR), ("keep", THIRD), ("end", SECOND + HOUR + 1)])
def test_by_events_alone_a_failed_renewal_is_served_by_the_setting(policy: str, until: int, turned: bool) -> None:
    account = Account()
    account.event(START, "invoice.paid", invoice(), past_due=policy)
    account.event(SECOND, UPDATED, subscription(running(SECOND, THIRD)), past_due=policy)
    failed = cycle(status="open", amount_paid=0, next_payment_attempt=SECOND + 3 * DAY)
    events = [("invoice.payment_failed", failed), (UPDATED, subscription(running(SECOND, THIRD), status="past_due"))]
    for place, (kind, about) in enumerate(events[::-1] if turned else events):
        account.event(SECOND + HOUR + (place if policy == "grace" else 0), kind, about, past_due=policy)
    assert account.entitled(until - 1 - HOUR if policy == "end" else until - 1, until) == [True, False]
    assert account.told[1:3] == ["BILLING_ISSUE", "CANCELLATION billing_error"]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("policy", ["grace", "keep", "end"])
def test_by_events_alone_a_charge_that_succeeds_at_last_renews_and_is_no_further_issue(policy: str, turned: bool) -> None:
    account = Account()
    account.event(START, "invoice.paid", invoice(), past_due=policy)
    account.event(SECOND + HOUR, UPDATED, subscription(running(SECOND, THIRD), status="past_due"), past_due=policy)
    failed = cycle(status="open", amount_paid=0, next_payment_attempt=SECOND + 3 * DAY)
    account.event(SECOND + HOUR, "invoice.payment_failed", failed, past_due=policy)
    paid = [("invoice.paid", cycle()), (UPDATED, subscription(running(SECOND, THIRD)))]
    told = [one for kind, about in (paid[::-1] if turned else paid) for one in account.event(SECOND + 3 * DAY, kind, about, past_due=policy)]
    assert told == ["RENEWAL"]
    assert account.entitled(SECOND + 3 * DAY, THIRD - 1, THIRD) == [True, True, False]
    assert status(account.lines["sub_1"], at(SECOND + 4 * DAY)) == "active"
    account.event(SECOND + 5 * DAY, UPDATED, subscription(running(SECOND, THIRD), status="past_due"))  # a proration cannot be charged
    assert account.told[-2:] == ["BILLING_ISSUE", "CANCELLATION billing_error"], "a charge that fails afterwards is one"


def test_by_events_alone_a_retry_that_fails_after_a_payment_of_the_period_before_was_given_back_is_still_one() -> None:
    account = Account()
    account.event(START, "invoice.paid", invoice())
    account.event(SECOND, "invoice.paid", cycle())
    failed = cycle("in_3", line(999, THIRD, THIRD + MONTH), status="open", amount_paid=0, next_payment_attempt=THIRD + 3 * DAY)
    assert account.event(THIRD + HOUR, "invoice.payment_failed", failed) == ["BILLING_ISSUE", "CANCELLATION billing_error"]
    account.event(THIRD + DAY, "invoice.payment_succeeded", cycle())  # told once more, late
    assert status(account.lines["sub_1"], at(THIRD + DAY)) == "in_grace_period"


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("state", "told"), [("unpaid", "EXPIRATION billing_error"), ("paused", "EXPIRATION subscription_paused")])
def test_by_events_alone_what_waited_for_its_payment_is_served_again_when_it_is_paid(state: str, told: str, turned: bool) -> None:
    account = Account()
    account.event(START, "invoice.paid", invoice())
    account.event(SECOND + HOUR, UPDATED, subscription(running(SECOND, THIRD), status=state))
    assert told in account.told and account.entitled(SECOND + 2 * HOUR) == [False]
    paid = [("invoice.paid", cycle()), (UPDATED, subscription(running(SECOND, THIRD)))]
    for kind, about in paid[::-1] if turned else paid:
        told_now = account.event(SECOND + 9 * DAY, kind, about)
        assert set(told_now) <= {"RENEWAL"} and account.entitled(SECOND + 9 * DAY, THIRD - 1, THIRD) == [True, True, False]
    assert account.told.count("RENEWAL") == 1


def test_by_events_alone_a_payment_after_the_cancellation_brings_nothing_back() -> None:
    account = Account()
    account.event(START, "invoice.paid", invoice())
    account.event(SECOND + HOUR, UPDATED, subscription(running(SECOND, THIRD), status="past_due"))
    gone = subscription(running(SECOND, THIRD), status="canceled", ended_at=SECOND + 9 * DAY)
    account.event(SECOND + 9 * DAY, "customer.subscription.deleted", gone)
    account.event(SECOND + 10 * DAY, "invoice.paid", cycle())
    assert (account.entitled(SECOND + 10 * DAY), account.sold) == ([False], 1998)


def test_by_events_alone_a_change_that_is_invoiced_later_is_served_at_once() -> None:
    account = Account()
    account.event(START, CREATED, subscription())
    account.event(START, "invoice.paid", invoice())
    larger, change = subscription(item(product="prod_max")), START + 10 * DAY
    assert account.event(change, UPDATED, larger) == ["PRODUCT_CHANGE"]
    assert account.event(change + HOUR, UPDATED, larger) == [], "it goes on"
    assert account.event(change - DAY, UPDATED, subscription()) == [], "late news"
    served = [(one.purchase.product, one.purchase.purchased_at, access_end(account.lines["sub_1"], one)) for one in account.lines["sub_1"].held]
    assert served == [("prod_pro", at(START), at(change)), ("prod_max", at(change), at(SECOND))]
    back = account.event(change + DAY, UPDATED, subscription())
    assert (back, account.lines["sub_1"].held[-1].purchase.product, account.sold) == (["PRODUCT_CHANGE"], "prod_pro", 999)
    account.event(change + 2 * DAY, UPDATED, larger)
    account.event(SECOND, UPDATED, subscription(running(SECOND, THIRD, product="prod_max"), latest_invoice="in_2"))
    credit, rest = line(-650, change, SECOND, proration=True), line(1300, change, SECOND, product="prod_max", proration=True)
    renewed = cycle("in_2", credit, rest, line(1999, SECOND, THIRD, product="prod_max"))
    assert account.event(SECOND + HOUR, "invoice.paid", renewed) == ["RENEWAL"]
    assert (account.sold, account.entitled(THIRD - 1, THIRD)) == (999 + 650 + 1999, [True, False])


@pytest.mark.parametrize("turned", [False, True])
def test_by_events_alone_a_change_that_is_charged_is_told_with_its_charge(turned: bool) -> None:
    account = Account()
    account.event(START, "invoice.paid", invoice())
    change = START + 10 * DAY
    charged_now = [line(-650, change, SECOND, proration=True), line(1300, change, SECOND, product="prod_max", proration=True)]
    events = [
        (UPDATED, subscription(item(product="prod_max"), latest_invoice="in_2")),
        ("invoice.paid", invoice("in_2", *charged_now, reason="subscription_update")),
    ]
    told = [one for kind, about in (events[::-1] if turned else events) for one in account.event(change + 1, kind, about)]
    assert (told, account.periods(), account.sold) == (["PRODUCT_CHANGE"], [("in_1", 999), ("in_2", 650)], 999 + 650)


def test_by_events_alone_the_product_of_the_next_period_changes_nothing_of_the_paid_one() -> None:
    account = Account()
    account.event(START, "invoice.paid", invoice())
    account.event(SECOND, UPDATED, subscription(running(SECOND, THIRD, product="prod_max")))
    assert [one.purchase.product for one in account.lines["sub_1"].held] == ["prod_pro"]


def test_by_events_alone_a_renewal_that_is_given_up_ends_access() -> None:
    account = Account()
    account.event(START, "invoice.paid", invoice())
    account.event(SECOND, UPDATED, subscription(running(SECOND, THIRD)))
    account.event(SECOND + 9 * DAY, "invoice.payment_failed", cycle(status="open", amount_paid=0, next_payment_attempt=None))
    assert account.entitled(SECOND + 9 * DAY + 1) == [False]
    account.event(SECOND + 10 * DAY, "invoice.paid", cycle())
    account.event(SECOND + 10 * DAY, UPDATED, subscription(running(SECOND, THIRD)))
    assert account.entitled(THIRD - 1) == [True]


@pytest.mark.parametrize("late", [False, True])
def test_by_events_alone_an_end_within_the_paid_period_ends_access_then(late: bool) -> None:
    account, end = Account(), START + 5 * DAY
    deleted = subscription(status="canceled", ended_at=end, canceled_at=end)
    events = [(START, "invoice.paid", invoice()), (end, DELETED, deleted)]
    told = [one for now, kind, about in (events[::-1] if late else events) for one in account.event(now if not late else end, kind, about)]
    assert (account.entitled(end - 1, end), account.sold) == ([True, False], 999)
    assert told == ["INITIAL_PURCHASE", "EXPIRATION unsubscribe"]
    assert status(account.lines["sub_1"], at(end)) == "expired"


@pytest.mark.parametrize(("state", "reason"), [("paused", "subscription_paused"), ("unpaid", "billing_error"), ("incomplete_expired", "unsubscribe")])
def test_by_events_alone_a_status_that_serves_nothing_ends_access(state: str, reason: str) -> None:
    account, then = Account(), START + 5 * DAY
    account.event(START, "invoice.paid", invoice())
    told = account.event(then, UPDATED, subscription(status=state))
    assert told[-1] == f"EXPIRATION {reason}"
    assert account.entitled(then - 1, then) == [True, False]
    account.event(then + DAY, UPDATED, subscription())
    assert account.entitled(then + 2 * DAY) == [True]


def test_by_events_alone_a_bill_for_usage_is_money_and_no_end() -> None:
    account = Account()
    account.event(START, CREATED, metered(START, SECOND, latest_invoice=None))
    account.event(SECOND, UPDATED, metered(SECOND, THIRD, latest_invoice="in_2"))
    assert account.event(SECOND + HOUR, "invoice.paid", bill("in_2", 1234, START, SECOND)) == []
    assert (account.entitled(SECOND + DAY, THIRD - 1), account.sold) == ([True, True], 1234)
    account.event(THIRD, DELETED, metered(SECOND, THIRD, status="canceled", ended_at=THIRD))
    assert account.event(THIRD + HOUR, "invoice.paid", bill("in_3", 700, SECOND, THIRD)) == []
    assert (account.sold, account.entitled(THIRD), account.told) == (1934, [False], ["INITIAL_PURCHASE", "EXPIRATION unsubscribe"])


# Lists that are cut


def cut(about: dict[str, Any]) -> dict[str, Any]:
    about["lines"]["has_more"] = True
    return about


@pytest.mark.parametrize(
    "shown",
    [
        [line(500, SECOND - 9 * DAY, SECOND, proration=True)],
        [line(-300, SECOND - 9 * DAY, SECOND, proration=True), line(500, SECOND - 9 * DAY, SECOND, proration=True)],
        [used(700, START, SECOND)],
    ],
)
def test_of_a_cut_list_of_lines_no_end_is_concluded_and_all_money_counts(shown: list[dict[str, Any]]) -> None:
    account = Account()
    account.event(START, "invoice.paid", invoice())
    paid = cut(invoice("in_2", *shown, reason="subscription_cycle", created=SECOND, total=3000, amount_paid=3000))
    assert account.event(SECOND + HOUR, "invoice.paid", paid) == ["RENEWAL"]
    assert (account.entitled(SECOND + HOUR, SECOND + 20 * DAY), account.sold) == ([True, True], 3999)
    fourth = START + 3 * MONTH
    account.event(SECOND + HOUR, UPDATED, subscription(running(SECOND, fourth)))
    assert account.entitled(fourth - 1, fourth) == [True, False], "the subscription says until when"


def test_of_a_first_invoice_that_is_cut_no_end_is_concluded() -> None:
    account = Account()
    paid = cut(invoice("in_1", line(500, START - 9 * DAY, START, proration=True), created=START, total=3000, amount_paid=3000))
    assert account.event(START, "invoice.paid", paid) == ["INITIAL_PURCHASE"]
    assert (account.entitled(START + DAY), account.sold) == ([True], 3000)
    account.event(START + 5, DELETED, subscription(status="canceled", ended_at=START + 2 * DAY))
    assert account.entitled(START + 2 * DAY) == [False]


def test_a_cut_list_that_shows_its_period_keeps_it() -> None:
    account = Account()
    account.event(START, "invoice.paid", cut(invoice()))
    assert (account.entitled(SECOND - 1, SECOND), account.sold) == ([True, False], 999)


def test_of_a_cut_list_of_items_no_line_ends() -> None:
    account = Account()
    two = line(300, product="prod_extra", item="si_2")
    account.event(START, "invoice.paid", invoice("in_1", line(), two))
    shown = subscription(item())
    shown["items"]["has_more"] = True
    assert account.event(START + DAY, UPDATED, shown) == []
    asked = Account()
    asked.asks(START + 5, shown, invoice("in_1", line(), two))
    assert asked.lines["sub_1#si_2"].renewals[-1].auto_renew is True


# Identity is the item's


def test_the_order_of_lines_and_items_means_nothing() -> None:
    lines = [line(999), line(300, product="prod_extra", item="si_2")]
    items = [item(), item("si_2", product="prod_extra")]
    seen = []
    for turned in (False, True):
        for told in (False, True):
            account = Account()
            bought, sub = invoice("in_1", *(lines[::-1] if turned else lines)), subscription(*(items[::-1] if turned else items))
            if told:
                account.event(START, "invoice.paid", bought)
                account.event(START + 5, UPDATED, sub)
            else:
                account.asks(START + 5, sub, bought)
            seen.append({key: [one.purchase.product for one in held.held] for key, held in account.lines.items()})
    assert all(one == {"sub_1": ["prod_pro"], "sub_1#si_2": ["prod_extra"]} for one in seen)


def test_before_basil_the_period_is_the_subscriptions() -> None:
    old = {name: content for name, content in item().items() if not name.startswith("current_period")}
    account = Account()
    account.asks(START + 5, subscription(old, current_period_start=START, current_period_end=SECOND, latest_invoice=None))
    assert account.entitled(SECOND - 1, SECOND) == [True, False]


def test_the_end_is_the_same_whether_asked_or_told() -> None:
    assert json.loads(event(CREATED, subscription()))["type"] == CREATED
    asked, told = Account(), Account()
    asked.asks(START + 1, metered(START, SECOND, latest_invoice=None))
    told.event(START + 1, CREATED, metered(START, SECOND, latest_invoice=None))
    assert access_until(asked.lines["sub_1"]) == access_until(told.lines["sub_1"]) == at(SECOND)

"""Paddle: a line is known by its price, never by its place in a list; a credit is no purchase; a subscription object alone says what it says."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from perennial.base.value import replace
from perennial.providers.paddle.read import statements
from perennial.subscriptions.booking import book
from perennial.subscriptions.model import Line
from perennial.subscriptions.rules import is_entitled, merge, status
from perennial.subscriptions.telling import tell
from tests.other_stores import hear
from tests.rules.test_paddle_billing import (
    BOUGHT,
    DAY,
    ENDS,
    HOUR,
    MINUTE,
    NEXT,
    NOW,
    PADDLE_APP,
    SECRETS,
    found,
    item,
    period,
    say,
    subscription,
    transaction,
)

WITHOUT_KEY = replace(PADDLE_APP, secrets={name: one for name, one in SECRETS.items() if name != "api_key"}, settings={"environment": "production"})


class Account:
    """The lines of one subscription, each found by any of its keys, as the core finds them."""

    def __init__(self, *, has_key: bool = False) -> None:
        self.app = PADDLE_APP if has_key else WITHOUT_KEY
        self.keys: dict[str, str] = {}
        self.lines: dict[str, Line] = {}
        self.told: list[str] = []

    def hears(self, kind: str, data: dict[str, Any], now: Any = NOW) -> list[str]:
        return self.takes(say(kind, data, now, self.app).statements, now)

    def asks(self, about: dict[str, Any], paid: list[dict[str, Any]], now: Any = NOW) -> list[str]:
        held = self.lines.get(self.keys.get("sub_1", ""))
        return self.takes(statements(self.app, found(about, paid), held, now), now)

    def takes(self, stated: Any, now: Any) -> list[str]:
        new: list[str] = []
        for one in stated:
            keys = (one.line, *one.also)
            names = sorted({self.keys[key] for key in keys if key in self.keys})
            name = names[0] if names else one.line
            for other in names[1:]:  # two lines turn out to be one
                self.lines[name] = replace(self.lines[name], held=(*self.lines[name].held, *self.lines.pop(other).held))
            self.keys |= {key: name for key, known in self.keys.items() if known in names} | dict.fromkeys(keys, name)
            known = self.lines.get(name) or hear([replace(one, purchases=(), renewals=(), running=())], now)
            line, tellings = tell(merge(known, one, now), now)
            self.lines[name] = book(line)[0]
            new += [said.type if said.reason is None else f"{said.type} {said.reason}" for said in tellings]
        self.told += new
        return new

    def holds(self) -> dict[str, list[tuple[str, int | None]]]:
        return {
            name: [(one.purchase.product, one.purchase.price.amount if one.purchase.price else None) for one in line.held]
            for name, line in self.lines.items()
        }

    def entitled(self, key: str, moment: Any) -> bool:
        return is_entitled(self.lines[self.keys[key]], moment)


def made(price: str, at: Any, quantity: int = 1) -> dict[str, Any]:
    return {**item(price, quantity), "created_at": at.isoformat()}


def paid(identifier: str, totals: dict[str, int], items: list[dict[str, Any]] | None = None, **said: Any) -> dict[str, Any]:
    lines = [{"id": f"{identifier}_{price}", "price_id": price, "totals": {"total": str(total), "tax": "0"}} for price, total in totals.items()]
    grand = str(max(0, sum(totals.values())))
    details = {"totals": {"total": grand, "grand_total": grand, "tax": "0"}, "line_items": lines}
    return transaction(identifier, items=items or [item(price) for price in totals], details=details, **said)


def within(identifier: str, totals: dict[str, int], items: list[dict[str, Any]] | None = None, at: Any = NOW) -> dict[str, Any]:
    return paid(identifier, totals, items, origin="subscription_update", billed_at=at.isoformat(), created_at=at.isoformat())


PLAN, EXTRA = made("pri_01plan", BOUGHT), made("pri_02extra", NOW)
SUB = {"started_at": BOUGHT.isoformat(), "transaction_id": None}


def account_with_a_plan(*, has_key: bool = False) -> Account:
    account = Account(has_key=has_key)
    account.hears("transaction.completed", paid("txn_1", {"pri_01plan": 1200}))
    account.hears("subscription.created", subscription(items=[PLAN], **SUB | {"transaction_id": "txn_1"}))
    assert (account.told, account.holds()) == (["INITIAL_PURCHASE"], {"sub_1": [("pri_01plan", 1200)]})
    return account


@pytest.mark.parametrize("credit", [{"quantity": -1}, {}])
def test_a_credit_is_no_purchase_and_ends_nothing(credit: dict[str, int]) -> None:
    account = account_with_a_plan()
    back = within("txn_2", {"pri_01plan": -600}, [item("pri_01plan", **credit)])
    assert account.hears("transaction.completed", back) == []
    assert account.holds() == {"sub_1": [("pri_01plan", 1200)]}
    assert account.entitled("sub_1", ENDS - MINUTE)


@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_a_plan_is_replaced_by_what_is_charged_beside_its_credit(order: tuple[int, ...]) -> None:
    account = account_with_a_plan()
    legs = [item("pri_01plan", -1), item("pri_09gold")]
    upgrade = within("txn_2", {"pri_01plan": -600, "pri_09gold": 1000}, [legs[place] for place in order], NOW + HOUR)
    assert account.hears("transaction.completed", upgrade, NOW + HOUR) == ["PRODUCT_CHANGE"]
    assert account.holds() == {"sub_1": [("pri_01plan", 1200), ("pri_09gold", 400)]}
    renewal = paid("txn_3", {"pri_09gold": 2000}, origin="subscription_recurring", billing_period=period(ENDS, NEXT), billed_at=ENDS.isoformat())
    assert account.hears("transaction.completed", renewal, ENDS) == ["RENEWAL"]
    assert list(account.lines) == ["sub_1"]


def test_an_add_on_bought_within_a_period_is_its_own() -> None:
    account = account_with_a_plan()
    account.hears("transaction.completed", within("txn_2", {"pri_02extra": 300}))
    for items in ([PLAN, EXTRA], [EXTRA, PLAN]):
        assert account.hears("subscription.updated", subscription(items=items, **SUB), NOW + MINUTE) == []
    assert account.holds() == {"sub_1": [("pri_01plan", 1200)], "sub_1#pri_02extra": [("pri_02extra", 300)]}
    asked = account_with_a_plan(has_key=True)
    transactions = [paid("txn_1", {"pri_01plan": 1200}), within("txn_2", {"pri_02extra": 300})]
    for items in ([PLAN, EXTRA], [EXTRA, PLAN]):
        asked.asks(subscription(items=items, **SUB), transactions, NOW + HOUR)
    assert asked.holds() == account.holds()


@pytest.mark.parametrize("has_key", [False, True])
def test_the_order_of_items_means_nothing(has_key: bool) -> None:
    items, totals = [PLAN, made("pri_02extra", BOUGHT)], {"pri_01plan": 1200, "pri_02extra": 300}
    held = []
    for turned in (1, -1):
        account = Account(has_key=has_key)
        account.hears("transaction.completed", paid("txn_1", dict(list(totals.items())[::turned]), items[::turned]))
        account.hears("subscription.updated", subscription(items=items[::-turned], **SUB), NOW + MINUTE)
        if has_key:
            account.asks(subscription(items=items[::turned], **SUB), [paid("txn_1", totals, items[::-turned])], NOW + HOUR)
        held.append({name: sorted(one) for name, one in account.holds().items()})
        assert account.told == ["INITIAL_PURCHASE", "INITIAL_PURCHASE"]
        assert all(account.entitled(key, ENDS - MINUTE) for key in ("sub_1", "sub_1#pri_02extra"))
    assert held[0] == held[1] == {"sub_1": [("pri_01plan", 1200)], "sub_1#pri_02extra": [("pri_02extra", 300)]}


def test_seats_are_of_the_line_of_their_price() -> None:
    account = account_with_a_plan()
    seats = within("txn_2", {"pri_01plan": 1200}, [item("pri_01plan", 3), item("pri_01plan", -1)])
    assert account.hears("transaction.completed", seats) == []
    assert account.holds() == {"sub_1": [("pri_01plan", 1200), ("pri_01plan", 1200)]}
    assert account.lines["sub_1"].held[-1].purchase.quantity == 3


def test_a_change_that_was_not_billed_keeps_its_line_when_asked_again() -> None:
    account = account_with_a_plan(has_key=True)
    gold = subscription(items=[made("pri_09gold", NOW)], **SUB)
    for hours in (1, 2):
        account.asks(gold, [paid("txn_1", {"pri_01plan": 1200})], NOW + hours * HOUR)
    assert account.holds() == {"sub_1": [("pri_09gold", 1200)]}


def test_a_change_that_was_not_billed_is_served_at_once_by_events_alone() -> None:
    account = account_with_a_plan()
    gold, plan = (subscription(items=[made(price, NOW)], **SUB) for price in ("pri_09gold", "pri_01plan"))
    account.told.clear()
    account.hears("subscription.updated", gold)
    account.hears("subscription.updated", gold, NOW + HOUR)
    assert account.told == ["PRODUCT_CHANGE"]
    assert [one.purchase.product for one in account.lines["sub_1"].held] == ["pri_01plan", "pri_09gold"]
    assert account.entitled("sub_1", ENDS - MINUTE)
    account.hears("subscription.updated", plan, NOW + 2 * HOUR)
    assert account.told == ["PRODUCT_CHANGE", "PRODUCT_CHANGE"] and account.lines["sub_1"].held[-1].purchase.product == "pri_01plan"
    account.hears("subscription.updated", gold, NOW + HOUR)
    assert len(account.lines["sub_1"].held) == 3, "late news"


# A subscription object alone


@pytest.mark.parametrize("kind", ["imported", "activated", "trialing", "resumed", "created", "updated"])
def test_a_running_subscription_is_served_and_asked_about(kind: str) -> None:
    state = "trialing" if kind == "trialing" else "active"
    data = subscription(items=[PLAN], **SUB, status=state)
    account = Account()
    assert account.hears(f"subscription.{kind}", data) == ["INITIAL_PURCHASE"]
    assert account.entitled("sub_1", ENDS - MINUTE)
    assert [one.subject for one in say(f"subscription.{kind}", data).questions] == ["sub_1"]
    bought = paid("txn_7", {"pri_01plan": 1200})
    assert account.hears("transaction.completed", bought, NOW + MINUTE) == [], "its payment, told later, is the same period's"
    assert account.holds() == {"sub_1": [("pri_01plan", 1200)]}


def test_an_imported_subscription_renews_and_is_told_so_once() -> None:
    account = Account(has_key=True)
    data = subscription(items=[PLAN], **SUB)
    account.hears("subscription.imported", data)
    account.asks(data, [], NOW + MINUTE)
    assert account.told == ["INITIAL_PURCHASE"]
    renewal = paid("txn_2", {"pri_01plan": 1200}, origin="subscription_recurring", billing_period=period(ENDS, NEXT), billed_at=ENDS.isoformat())
    assert account.hears("transaction.completed", renewal, ENDS + MINUTE) == ["RENEWAL"]
    assert account.entitled("sub_1", NEXT - MINUTE)


@pytest.mark.parametrize(("state", "reason"), [("paused", "subscription_paused"), ("canceled", "unsubscribe")])
def test_a_stop_within_the_paid_period_ends_it_then_also_without_a_key(state: str, reason: str) -> None:
    account, then = account_with_a_plan(), NOW + DAY
    stopped = subscription(items=[PLAN], **SUB, status=state, current_billing_period=None, **{f"{state}_at": then.isoformat()})
    told = account.hears(f"subscription.{state}", stopped, then + MINUTE)
    assert told[-1] == f"EXPIRATION {reason}"
    assert (account.entitled("sub_1", then - MINUTE), account.entitled("sub_1", then)) == (True, False)
    if state == "paused":
        account.hears("subscription.resumed", subscription(items=[PLAN], **SUB), then + DAY)
        assert account.entitled("sub_1", then + 2 * DAY)


def test_a_cancellation_ends_a_period_that_was_renewed_early() -> None:
    account = account_with_a_plan(has_key=True)
    first, second = paid("txn_1", {"pri_01plan": 1200}), paid("txn_2", {"pri_01plan": 1200}, origin="subscription_recurring")
    second |= {"billing_period": period(NOW, NEXT), "billed_at": NOW.isoformat()}
    account.asks(subscription(items=[PLAN], **SUB, current_billing_period=period(NOW, NEXT)), [first, second], NOW + HOUR)
    gone = subscription(items=[PLAN], **SUB, status="canceled", current_billing_period=None, canceled_at=(NOW + 2 * HOUR).isoformat())
    account.asks(gone, [first, second], NOW + 3 * HOUR)
    assert not account.entitled("sub_1", NOW + 2 * HOUR)


@pytest.mark.parametrize(("policy", "until"), [("grace", ENDS + 7 * DAY), ("keep", NEXT), ("end", None)])
def test_past_due_first_heard_of_is_served_by_the_setting(policy: str, until: Any) -> None:
    account = Account()
    account.app = replace(account.app, settings={**account.app.settings, "past_due": policy})
    failing = subscription(items=[PLAN], **SUB, status="past_due", current_billing_period=period(ENDS, NEXT))
    account.hears("subscription.past_due", failing, ENDS + MINUTE)
    if until is None:
        assert account.lines["sub_1"].held == ()
        return
    assert (account.entitled("sub_1", until - MINUTE), account.entitled("sub_1", until)) == (True, False)
    assert status(account.lines["sub_1"], until + timedelta(days=40)) == "in_billing_retry"

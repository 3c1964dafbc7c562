"""Whatever is done in the simulated Google Play: what we read of its answers agrees with what it says, and nothing is counted twice."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base.errors import Conflict, Invalid
from perennial.base.ids import AppId, CustomerId, LineId
from perennial.base.money import Money
from perennial.base.value import replace
from perennial.providers.google import read
from perennial.providers.google.payload import Order, Subscription
from perennial.providers.google.subscription import Answer, Link, subscription_statements
from perennial.providers.simulated.play_store import payloads, rules
from perennial.providers.simulated.play_store.model import Failure, Happening, Life, Plan
from perennial.subscriptions.model import Line
from perennial.subscriptions.rules import is_entitled, merge
from perennial.subscriptions.telling import tell

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MONTHLY, YEARLY, BASIC = (
    Plan(product=product, price=Money(amount=cents, currency="EUR"), duration=duration)
    for product, cents, duration in (("pro:monthly", 999, "P1M"), ("pro:yearly", 5999, "P1Y"), ("basic:monthly", 499, "P1M"))
)
PREPAID = replace(MONTHLY, is_prepaid=True)
HAS_ACCESS = {"ACTIVE", "CANCELED", "IN_GRACE_PERIOD"}

Verb = Callable[[Life, datetime], Life]
VERBS: dict[str, Verb] = {
    "cancel": rules.cancel,
    "uncancel": rules.uncancel,
    "restore": rules.restore,
    "upgrade": lambda life, now: rules.upgrade(life, YEARLY, now),
    "change back": lambda life, now: rules.upgrade(life, MONTHLY, now),
    "downgrade": lambda life, now: rules.downgrade(life, BASIC, now),
    "top up": rules.top_up,
    "resubscribe": lambda life, now: rules.resubscribe(life, MONTHLY, now),
    "pause": lambda life, now: rules.pause(life, 1, now),
    "resume": rules.resume,
    "fail with grace": lambda life, _: rules.fail_next_renewal(life, Failure(grace_days=7)),
    "fail and recover in grace": lambda life, _: rules.fail_next_renewal(life, Failure(grace_days=7, recover_after_days=3)),
    "fail and recover on hold": lambda life, _: rules.fail_next_renewal(life, Failure(grace_days=3, recover_after_days=20)),
    "fail silently": lambda life, _: rules.fail_next_renewal(life, Failure()),
    "refund": lambda life, now: rules.refund(life, None, now),
    "revoke": lambda life, now: rules.refund(life, None, now, revoke=True),
    "defer": lambda life, now: rules.defer(life, 10 * DAY, now),
}


class Listener:
    """Hears every notification as it is sent, asks, and keeps what the answers state."""

    def __init__(self, life: Life) -> None:
        self.life, self.keys = life, set[str]()
        self.line: Line | None = None
        self.told: list[str] = []

    def hear(self, now: datetime) -> None:
        """Everything sent up to now, each asked about when it was sent, and acknowledged."""
        for _ in range(500):
            moment = rules.next_moment(self.life)
            if moment is None or moment > now:
                return
            self.life, waiting = rules.posted(rules.play(self.life, moment), moment)
            for happening in waiting:
                self.ask(happening, moment)

    def ask(self, happening: Happening, now: datetime) -> None:
        life, token = self.life, self.life.tokens[happening.token - 1]
        name = life.token_name(token.number)
        line = self.line if name in self.keys else None
        found = msgspec.convert(payloads.subscription(life, token), Subscription)
        earlier: list[Link] = []
        before = token.linked
        while line is None and before is not None:
            linked = life.tokens[before - 1]
            earlier.append(Link(token=life.token_name(before), subscription=msgspec.convert(payloads.subscription(life, linked), Subscription)))
            before = linked.linked
        hint = str(happening.type) if happening.about == "subscription" else ""
        asked = [found, *(link.subscription for link in earlier if link.subscription is not None)]
        wanted = {order_id for one in asked for order_id in (*read.known_orders(one, line, hint, now), *read.missed_orders(one, line))}
        orders = [msgspec.convert(payloads.order(life, order), Order) for order in life.orders if order.order_id in wanted]
        answer = Answer(
            token=name,
            subscription=found,
            as_of=read.said_at(self.line, now),  # our clock ticks between two answers
            orders={order.order_id: order for order in orders if order.order_id},
            line=line,
            hint=hint,
            earlier=tuple(earlier),
        )
        for statement in subscription_statements(answer):
            self.keys |= {statement.line, *statement.also}
            self.line, tellings = tell(merge(self.line or self._new(statement.line, now), statement, now), now)
            self.told += [telling.type for telling in tellings]
        if not token.is_acknowledged and read.acknowledgements(name, found):
            self.life = rules.acknowledge(self.life, token)

    def _new(self, name: str, now: datetime) -> Line:
        return Line(
            line_id=LineId("sub_1"),
            customer_id=CustomerId("cust_1"),
            app_id=None,
            store="play_store",
            environment="sandbox",
            store_line=name,
            heard_at=now,
        )


def bought(plan: Plan = MONTHLY, trial: str | None = None) -> Life:
    return rules.buy(app_id=AppId("app_1"), code="0" * 26, plan=plan, now=START, trial=trial)


def check(listener: Listener, now: datetime) -> None:
    life, line = listener.life, listener.line
    assert line is not None
    said = rules.state(life, life.newest)
    if life.trouble is not None and life.trouble.is_silent and not life.trouble.is_on_hold:
        return  # the day Google gives without telling: it is heard of by asking, five minutes after the period's end
    a_moment_later = now + timedelta(seconds=1)  # an answer counts from just after the ones before it
    assert is_entitled(line, a_moment_later) == (said in HAS_ACCESS), (said, now)
    paid = {order.order_id for order in life.orders if order.state in ("PROCESSED", "REFUNDED")}
    free = {order.order_id for order in life.orders if order.price.amount == 0 and order.phase == "base"}
    held = [one.purchase for one in line.held]
    assert {one.transaction for one in held} == paid - free
    for one in held:
        order = rules.find_order(life, one.transaction)
        given = sum(refund.amount.amount for refund in one.refunds)
        if one.revocation is not None and one.revocation.refunded and one.price is not None:
            given += one.price.amount * one.revocation.share_ppm // 1_000_000
        assert one.price == order.price
        if order.voided_at is not None or order.refunded_at is None:  # of a refund that takes nothing nobody is told before we ask
            assert given == (order.price.amount if order.refunded_at is not None else 0)
        assert given <= order.price.amount
    assert listener.told.count("INITIAL_PURCHASE") + listener.told.count("RENEWAL") == len(held)


@settings(deadline=None, max_examples=150)
@given(
    start=st.sampled_from([(MONTHLY, None), (MONTHLY, "P1W"), (PREPAID, None), (BASIC, None)]),
    acts=st.lists(st.tuples(st.sampled_from(sorted(VERBS)), st.integers(1, 45)), max_size=10),
)
def test_we_agree_with_the_store_whatever_is_done(start: tuple[Plan, str | None], acts: list[tuple[str, int]]) -> None:
    listener, now = Listener(bought(*start)), START
    listener.hear(now)
    for verb, days in acts:
        now += days * DAY + timedelta(hours=1)  # never at the very moment of a renewal
        listener.hear(now)
        try:
            listener.life = VERBS[verb](listener.life, now)
        except (Conflict, Invalid):
            continue
        listener.hear(now)
        check(listener, now)
    now += 100 * DAY
    listener.hear(now)
    check(listener, now)


def test_a_short_months_end_stays_where_it_put_the_renewal() -> None:
    listener = Listener(bought())
    listener.hear(START + 70 * DAY)
    ends = [order.ends_at for order in listener.life.orders]
    assert [end.day for end in ends if end is not None] == [28, 28, 28]


def test_what_nobody_acknowledges_is_given_back_after_three_days() -> None:
    life = rules.play(bought(), START + 3 * DAY)
    assert (life.newest.ended_at, life.newest.cancellation) == (START + 3 * DAY, "system")
    assert [(order.state, order.voided_reason) for order in life.orders] == [("REFUNDED", rules.UNACKNOWLEDGED)]
    assert rules.next_turn(life) is None


def test_the_same_state_and_time_give_the_same_answer() -> None:
    life = bought()
    assert payloads.subscription(life, life.newest) == payloads.subscription(life, life.newest)
    assert payloads.etag(life) != payloads.etag(rules.cancel(life, START))


@pytest.mark.parametrize("days", [-1, 31])
def test_a_grace_is_as_long_as_google_allows(days: int) -> None:
    with pytest.raises(Invalid, match="grace"):
        rules.fail_next_renewal(bought(), Failure(grace_days=days))


def test_a_forgotten_subscription_stops_in_the_end() -> None:
    life = bought(replace(MONTHLY, duration="P1W"))
    life = replace(rules.acknowledge(life, life.newest), is_silent=True)
    for _ in range(20):
        life = rules.play(life, START + 5000 * DAY)
    assert (len(life.orders), life.newest.ended_at is not None) == (rules.MOST_ORDERS, True)


def lived(*acts: tuple[int, str], plan: Plan = MONTHLY) -> Listener:
    """Days after the purchase, and what is done then."""
    listener = Listener(bought(plan))
    for days, verb in acts:
        now = START + days * DAY + timedelta(hours=1)
        listener.hear(now)
        listener.life = VERBS[verb](listener.life, now)
        listener.hear(now)
        check(listener, now)
    return listener


def test_revoked_soon_after_a_grace_was_paid_in_the_end() -> None:
    assert lived((1, "fail and recover in grace"), (33, "revoke")).told[-2:] == ["CANCELLATION", "EXPIRATION"]


def test_revoked_while_a_change_waits() -> None:
    listener = lived((1, "downgrade"), (2, "revoke"))
    assert listener.line is not None
    assert listener.line.held[0].purchase.revocation is not None


def test_bought_again_for_nothing_twice() -> None:
    lived((1, "cancel"), (2, "restore"), (3, "cancel"), (4, "restore"), (60, "cancel"))

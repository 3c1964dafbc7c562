"""Every store, whatever the order: what it says reaches us late, twice, or only when it is sent again, and we end where we would have ended.

Each store lives a life of drawn chapters and is read by its own functions: App Store, Google Play and Stripe as their simulations play them, the
others by the answers written here. A store that is asked gives a snapshot as of the asking, so what is shuffled there is how snapshots arrive.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base.errors import Conflict, Invalid
from perennial.base.ids import AppId, CustomerId, LineId
from perennial.base.money import Money
from perennial.base.time import Duration, add, to_ms
from perennial.base.value import replace
from perennial.intake.model import Posted
from perennial.providers.amazon import read as amazon
from perennial.providers.amazon.payload import Receipt
from perennial.providers.apple import read as apple
from perennial.providers.apple.payload import RenewalInfo as AppleRenewal
from perennial.providers.apple.payload import Transaction as AppleTransaction
from perennial.providers.google.payload import Order as GoogleOrder
from perennial.providers.google.payload import Subscription as GoogleSubscription
from perennial.providers.google.subscription import Answer, Link, subscription_statements
from perennial.providers.microsoft import read as microsoft
from perennial.providers.microsoft.payload import Recurrence
from perennial.providers.paddle import read as paddle
from perennial.providers.paddle.payload import Adjustment
from perennial.providers.paddle.payload import Subscription as PaddleSubscription
from perennial.providers.paddle.payload import Transaction as PaddleTransaction
from perennial.providers.roku import read as roku
from perennial.providers.roku.payload import Transaction as RokuTransaction
from perennial.providers.simulated.app_store import model as apple_model
from perennial.providers.simulated.app_store import rules as apple_rules
from perennial.providers.simulated.play_store import model as play_model
from perennial.providers.simulated.play_store import payloads as play_payloads
from perennial.providers.simulated.play_store import rules as play_rules
from perennial.providers.simulated.stripe import model as stripe_model
from perennial.providers.simulated.stripe import payloads as stripe_payloads
from perennial.providers.simulated.stripe import rules as stripe_rules
from perennial.providers.stripe import read as stripe
from perennial.providers.stripe.payload import Charge as StripeCharge
from perennial.providers.stripe.payload import Invoice as StripeInvoice
from perennial.providers.stripe.payload import Subscription as StripeSubscription
from perennial.providers.stripe.slots import Found
from perennial.subscriptions.model import Line, Statement, Store, Telling
from perennial.subscriptions.rules import access_until, merge, period_of, status, will_renew
from perennial.subscriptions.telling import tell
from tests.other_stores import app

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
MONTH = Duration(months=1)
PRICE, MORE = Money(amount=999, currency="USD"), Money(amount=1999, currency="USD")
APP = AppId("app_1")

Word = tuple[datetime, Statement]  # what a store said, and when we heard or asked
Chapter = str


class World(Protocol):
    """A store that lives a subscription's life. `turn` is when it next acts by itself; `say` what it states then, to who holds `line`."""

    store: Store

    def turn(self) -> datetime | None: ...

    def play(self, now: datetime) -> None: ...

    def act(self, verb: Chapter, now: datetime) -> None: ...

    def say(self, line: Line, now: datetime) -> list[Statement]: ...


# Stores that are simulated ----------------------------------------------------------------------------------------------------


class AppStoreWorld:
    """It sends what it has to say: nobody asks."""

    store: Store = "app_store"

    def __init__(self) -> None:
        self.line = apple_rules.buy(
            app_id=APP, store_line="2000000000000001000", type="Auto-Renewable Subscription", plan=self.plan("pro", PRICE), now=START
        )
        self.heard = 0

    def plan(self, product: str, price: Money) -> apple_model.Plan:
        return apple_model.Plan(product=product, duration="P1M", price=price)

    def turn(self) -> datetime | None:
        return apple_rules.next_turn(self.line)

    def play(self, now: datetime) -> None:
        self.line = apple_rules.play(self.line, now)

    def act(self, verb: Chapter, now: datetime) -> None:
        line = self.line
        verbs: dict[Chapter, Callable[[], apple_model.Subscription]] = {
            "cancel": lambda: apple_rules.cancel(line, now),
            "uncancel": lambda: apple_rules.uncancel(line, now),
            "fail": lambda: apple_rules.fail_next_renewal(line, apple_model.Failure(grace_days=16, recover_after_days=None)),
            "recover": lambda: apple_rules.fail_next_renewal(line, apple_model.Failure(grace_days=6, recover_after_days=4)),
            "recover late": lambda: apple_rules.fail_next_renewal(line, apple_model.Failure(grace_days=6, recover_after_days=20)),
            "refund": lambda: apple_rules.refund(line, None, now, share_ppm=1_000_000),
            "refund earlier": lambda: apple_rules.refund(line, line.charges[0].transaction, now, share_ppm=500_000),
            "upgrade": lambda: apple_rules.upgrade(line, self.plan("max", MORE), now),
            "downgrade": lambda: apple_rules.downgrade(line, self.plan("basic", PRICE), now),
            "resubscribe": lambda: apple_rules.resubscribe(line, self.plan("pro", PRICE), now),
        }
        self.line = verbs[verb]()

    def say(self, line: Line, now: datetime) -> list[Statement]:
        sent = [one.draft for one in self.line.outbox.sent]
        new, self.heard = sent[self.heard :], len(sent)
        return [self._stated(one) for one in new]

    def _stated(self, draft: apple_model.Draft) -> Statement:
        transaction = msgspec.convert({**(draft.transaction or {}), "bundleId": "b"}, AppleTransaction)
        renewal = msgspec.convert(draft.renewal, AppleRenewal) if draft.renewal is not None else None
        data = apple.Data(environment="Sandbox", bundle_id="b", status=draft.status)
        about = apple.Notification(notification_type=draft.type, notification_uuid=draft.uuid, subtype=draft.subtype, data=data)
        return apple.statement(app("app_store"), transaction, renewal, status=draft.status, notification=about)


class PlayStoreWorld:
    """It tells which token to ask about: the newest, and the one that was replaced."""

    store: Store = "play_store"

    def __init__(self) -> None:
        self.life = play_rules.buy(app_id=APP, code="0" * 26, plan=self.plan("pro:monthly", PRICE), now=START)
        self.life = play_rules.acknowledge(self.life, self.life.newest)
        self.heard = 0
        self.known: set[str] = set()  # tokens whose line we have

    def plan(self, product: str, price: Money) -> play_model.Plan:
        return play_model.Plan(product=product, price=price, duration="P1M")

    def turn(self) -> datetime | None:
        return play_rules.next_turn(self.life)

    def play(self, now: datetime) -> None:
        self.life = play_rules.play(self.life, now)

    def act(self, verb: Chapter, now: datetime) -> None:
        life = self.life
        verbs: dict[Chapter, Callable[[], play_model.Life]] = {
            "cancel": lambda: play_rules.cancel(life, now),
            "uncancel": lambda: play_rules.uncancel(life, now),
            "fail": lambda: play_rules.fail_next_renewal(life, play_model.Failure(grace_days=7, recover_after_days=None)),
            "recover": lambda: play_rules.fail_next_renewal(life, play_model.Failure(grace_days=7, recover_after_days=4)),
            "recover late": lambda: play_rules.fail_next_renewal(life, play_model.Failure(grace_days=7, recover_after_days=20)),
            "refund": lambda: play_rules.refund(life, None, now, revoke=True),
            "refund earlier": lambda: play_rules.refund(life, life.orders[0].order_id, now, revoke=True),
            "upgrade": lambda: play_rules.upgrade(life, self.plan("max:monthly", MORE), now),
            "downgrade": lambda: play_rules.downgrade(life, self.plan("basic:monthly", PRICE), now),
            "resubscribe": lambda: play_rules.resubscribe(life, self.plan("pro:monthly", PRICE), now),
        }
        self.life = verbs[verb]()

    def say(self, line: Line, now: datetime) -> list[Statement]:
        new, self.heard = self.life.happenings[self.heard :], len(self.life.happenings)
        stated: list[Statement] = []
        for place, happening in enumerate(new):
            answer = self._answer(self.life.tokens[happening.token - 1], happening, line, now + place * timedelta(milliseconds=1))
            more = subscription_statements(answer)
            line = merge(line if line.held else replace(line, store_line=answer.token), more[0], now) if more else line
            stated += more
            self.known.add(answer.token)
        self.life = play_rules.acknowledge(self.life, self.life.newest) if self.life.newest.ended_at is None else self.life
        return stated

    def _answer(self, token: play_model.Token, happening: play_model.Happening, line: Line, now: datetime) -> Answer:
        """A token that is new to us has no line yet: those before it are asked for too."""
        name = self.life.token_name(token.number)
        is_known, held = name in self.known, {one.purchase.transaction for one in line.held}
        numbers = {token.number} if is_known else {token.number, *(one.number for one in self._before(token))}
        found = [one for one in self.life.orders if one.token in numbers or (is_known and one.order_id in held)]
        orders = {one.order_id: msgspec.convert(play_payloads.order(self.life, one), GoogleOrder) for one in found}
        hint = f"voided {happening.order_id} {to_ms(happening.at)} full" if happening.about == "voided" else str(happening.type)
        earlier = tuple(Link(token=self.life.token_name(one.number), subscription=self._subscription(one)) for one in self._before(token))
        return Answer(
            token=name,
            subscription=self._subscription(token),
            as_of=now,
            orders=orders,
            line=line if is_known else None,
            hint=hint,
            earlier=() if is_known else earlier,
        )

    def _subscription(self, token: play_model.Token) -> GoogleSubscription:
        return msgspec.convert(play_payloads.subscription(self.life, token), GoogleSubscription)

    def _before(self, token: play_model.Token) -> list[play_model.Token]:
        """The chain of tokens this one took the place of, newest first."""
        chain: list[play_model.Token] = []
        while token.linked is not None:
            token = self.life.tokens[token.linked - 1]
            chain.append(token)
        return chain


class StripeWorld:
    """Its webhooks are hints: the whole subscription is asked for, with all that was paid."""

    store: Store = "stripe"

    def __init__(self) -> None:
        self.life = stripe_rules.buy(app_id=APP, code="1", plan=self.plan("pro", PRICE), now=START)
        self.heard = 0

    def plan(self, product: str, price: Money) -> stripe_model.Plan:
        return stripe_model.Plan(product=product, duration="P1M", price=price)

    def turn(self) -> datetime | None:
        return stripe_rules.next_due(self.life)

    def play(self, now: datetime) -> None:
        self.life = stripe_rules.play(self.life, now)

    def act(self, verb: Chapter, now: datetime) -> None:
        life = self.life
        verbs: dict[Chapter, Callable[[], stripe_model.Life]] = {
            "cancel": lambda: stripe_rules.cancel(life, now),
            "uncancel": lambda: stripe_rules.uncancel(life, now),
            "fail": lambda: stripe_rules.fail_next_charge(life, stripe_model.Failure(recover_at_retry=None, then="canceled")),
            "recover": lambda: stripe_rules.fail_next_charge(life, stripe_model.Failure(recover_at_retry=1, then="canceled")),
            "recover late": lambda: stripe_rules.fail_next_charge(life, stripe_model.Failure(recover_at_retry=3, then="unpaid")),
            "refund": lambda: stripe_rules.refund(life, None, 300, now),
            "refund earlier": lambda: stripe_rules.refund(life, 1, None, now),
            "upgrade": lambda: stripe_rules.upgrade(life, self.plan("max", MORE), now),
            "downgrade": lambda: stripe_rules.downgrade(life, self.plan("basic", PRICE), now),
        }
        if verb in verbs:
            self.life = stripe_rules.act(life, now, lambda _: verbs[verb]())

    def say(self, line: Line, now: datetime) -> list[Statement]:
        if len(self.life.happenings) == self.heard:
            return []
        self.heard = len(self.life.happenings)
        life, everything = self.life, ("customer", "schedule.phases.items.price", "payments", "balance_transaction", "refunds")
        found = Found(
            subscription=msgspec.convert(stripe_payloads.subscription(life, everything), StripeSubscription),
            invoices=tuple(msgspec.convert(stripe_payloads.invoice(life, one, everything), StripeInvoice) for one in life.invoices),
            charges=tuple(msgspec.convert(stripe_payloads.charge(life, one, everything), StripeCharge) for one in life.invoices if one.paid),
        )
        return list(stripe.subscription_statements(found, line if line.held else None, now))


# Stores whose answers are written here ----------------------------------------------------------------------------------------


class Course:
    """A plain subscription: monthly, paid at once, kept as each of the stores below would keep it."""

    def __init__(self) -> None:
        self.periods = [(START, add(START, MONTH))]
        self.product = self.next_product = "pro"
        self.products = ["pro"]
        self.auto_renew, self.fails = True, ""
        self.failing_since: datetime | None = None
        self.ended_at: datetime | None = None
        self.refunds: list[tuple[int, datetime]] = []  # which period, when
        self.changes = 1

    @property
    def end(self) -> datetime:
        return self.periods[-1][1]

    def turn(self) -> datetime | None:
        if self.ended_at is not None:
            return None
        if self.failing_since is None:
            return self.end
        return self.failing_since + (DAY if self.fails == "recover" else 3 * DAY)

    def play(self, now: datetime) -> None:
        while (at := self.turn()) is not None and at <= now:
            self.changes += 1
            if self.failing_since is not None and self.fails == "recover":
                self._renew()
            elif self.failing_since is not None or not self.auto_renew:
                self.ended_at, self.auto_renew = at, False
            elif self.fails:
                self.failing_since = at
            else:
                self._renew()

    def _renew(self) -> None:
        self.product = self.next_product
        self.periods.append((self.end, add(START, MONTH, len(self.periods) + 1)))
        self.products.append(self.product)
        self.fails, self.failing_since = "", None

    def act(self, verb: Chapter, now: datetime) -> None:
        if self.ended_at is not None or self.failing_since is not None:
            raise Conflict("it does not run")
        before = vars(self).copy()
        match verb:
            case "cancel":
                self.auto_renew = False
            case "uncancel":
                self.auto_renew = True
            case "fail":
                self.fails = "fail"
            case "recover" | "recover late":
                self.fails = "recover"
            case "refund":
                self.give_back(len(self.periods) - 1, now)
            case "refund earlier":
                self.give_back(0, now)
            case "downgrade":
                self.next_product = "basic"
        changed = {name for name, one in vars(self).items() if one != before[name]} - {"fails"}
        self.changes += bool(changed) or verb.startswith("refund")

    def give_back(self, period: int, now: datetime) -> None:
        if any(given == period for given, _ in self.refunds):
            raise Conflict("it was given back already")
        self.refunds.append((period, now))


class Kept(Course, ABC):
    """A `Course` that says something only where something changed."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.heard = 0

    def say(self, line: Line, now: datetime) -> list[Statement]:
        if self.changes == self.heard:
            return []
        self.heard = self.changes
        return self.stated(line if line.held else None, now)

    @abstractmethod
    def stated(self, line: Line | None, now: datetime) -> list[Statement]: ...


class AmazonWorld(Kept):
    """One receipt through all renewals; no refund of a subscription is ever told."""

    store: Store = "amazon"

    def stated(self, line: Line | None, now: datetime) -> list[Statement]:
        is_over = self.ended_at is not None
        receipt = Receipt(
            receipt_id="r",
            product_id="pro",
            term_sku=self.product,
            product_type="SUBSCRIPTION",
            purchase_date=to_ms(START),
            term="1 Month",
            renewal_date=to_ms(self.end) if self.auto_renew or self.failing_since else None,
            auto_renewing=self.auto_renew,
            grace_period_end_date=to_ms(self.failing_since + 3 * DAY) if self.failing_since and not is_over else None,
            cancel_date=to_ms(self.ended_at) if self.ended_at is not None else None,
            cancel_reason=None if not is_over else amazon.SYSTEM if self.failing_since else amazon.CUSTOMER,
            deferred_sku=self.next_product if self.next_product != self.product else None,
        )
        return [amazon.statement(app("amazon"), receipt, "u", Posted(line=line), now, is_sandbox=False)]


class RokuWorld(Kept):
    """Its pushes name the charge to ask about."""

    store: Store = "roku"

    def stated(self, line: Line | None, now: datetime) -> list[Statement]:
        given = [period for period, at in self.refunds if at == now]
        asked = len(self.periods) - 1
        hint = roku.Hint(type="Refund", transaction=f"f{given[0]}", at=now) if given else roku.Hint()
        refund = self.transaction(given[0], now, total="-9.99") if given else None
        known = roku.Known(hint=hint, line=line, refund=refund)
        return list(roku.statements(app("roku"), self.transaction(asked, now), known, now))

    def transaction(self, period: int, now: datetime, total: str = "9.99") -> RokuTransaction:
        return msgspec.convert(
            {
                "status": 0,
                "transactionId": f"t{period}",
                "OriginalTransactionId": "t0",
                "productId": self.products[period],
                "purchaseDate": self.periods[period][0].isoformat().replace("+00:00", "Z"),
                "expirationDate": self.end.isoformat().replace("+00:00", "Z"),
                "isEntitled": self.ended_at is None,
                "cancelled": not self.auto_renew,
                "total": total,
                "currency": "usd",
            },
            RokuTransaction,
            strict=False,
        )


class PaddleWorld(Kept):
    """Asked as a whole: the subscription, what was paid, and what was given back."""

    store: Store = "paddle"

    def stated(self, line: Line | None, now: datetime) -> list[Statement]:
        item = {"price": {"id": self.next_product, "billing_cycle": {"interval": "month"}}, "quantity": 1}
        runs = (self.end, add(self.end, MONTH)) if self.failing_since else self.periods[-1]
        is_over = self.ended_at is not None
        subscription = {
            "id": "sub_1",
            "status": "canceled" if is_over else "past_due" if self.failing_since else "active",
            "items": [item],
            "current_billing_period": None if is_over else self.span(runs),
            "scheduled_change": None if self.auto_renew or is_over else {"action": "cancel", "effective_at": self.end.isoformat()},
            "canceled_at": self.ended_at.isoformat() if self.ended_at is not None else None,
        }
        found = paddle.Found(
            subscription=msgspec.convert(subscription, PaddleSubscription),
            transactions=tuple(msgspec.convert(self.paid(place), PaddleTransaction) for place in range(len(self.periods))),
            adjustments=tuple(msgspec.convert(self.given(*refund), Adjustment) for refund in self.refunds),
        )
        return list(paddle.statements(app("paddle"), found, line, now))

    def span(self, period: tuple[datetime, datetime]) -> dict[str, str]:
        return {"starts_at": period[0].isoformat(), "ends_at": period[1].isoformat()}

    def paid(self, place: int) -> dict[str, Any]:
        totals = {"total": "999", "tax": "160", "grand_total": "999", "fee": "80"}
        return {
            "id": f"txn_{place}",
            "status": "completed",
            "origin": "subscription_recurring" if place else "web",
            "items": [{"price": {"id": self.products[place], "billing_cycle": {"interval": "month"}}, "quantity": 1}],
            "details": {"totals": totals, "line_items": [{"id": f"item_{place}", "price_id": self.products[place], "totals": totals}]},
            "currency_code": "USD",
            "created_at": self.periods[place][0].isoformat(),
            "billed_at": self.periods[place][0].isoformat(),
            "subscription_id": "sub_1",
            "billing_period": self.span(self.periods[place]),
        }

    def given(self, place: int, at: datetime) -> dict[str, Any]:
        return {
            "id": f"adj_{place}",
            "action": "refund",
            "status": "approved",
            "transaction_id": f"txn_{place}",
            "items": [{"item_id": f"item_{place}", "totals": {"total": "400"}}],
            "created_at": at.isoformat(),
        }


class MicrosoftWorld(Kept):
    """A recurrence tells the present period alone, and no money."""

    store: Store = "microsoft"

    def stated(self, line: Line | None, now: datetime) -> list[Statement]:
        state = "Active" if self.ended_at is None else "Failed" if self.failing_since else "Inactive"
        recurrence = Recurrence(
            id="mdr:1",
            product_id="pro",
            recurrence_state="InDunning" if self.failing_since and self.ended_at is None else state,
            start_time=START,
            expiration_time=self.end,
            expiration_time_with_grace=self.failing_since + 3 * DAY if self.failing_since else None,
            auto_renew=self.auto_renew,
        )
        return [microsoft.statement(app("microsoft"), recurrence, line, (), now)]


WORLDS: tuple[type[World], ...] = (AppStoreWorld, PlayStoreWorld, StripeWorld, AmazonWorld, RokuWorld, PaddleWorld, MicrosoftWorld)
VERBS = ("cancel", "uncancel", "fail", "recover", "recover late", "refund", "refund earlier", "upgrade", "downgrade", "resubscribe")


# Living and hearing -----------------------------------------------------------------------------------------------------------


def new_line(store: Store, said: Statement) -> Line:
    return Line(
        line_id=LineId("sub_1"),
        customer_id=CustomerId("cus_1"),
        app_id=APP,
        store=store,
        environment=said.environment,
        store_line=said.line,
        heard_at=START,
    )


def live(world: World, chapters: Sequence[tuple[Chapter, int]]) -> tuple[list[Word], Line, list[Telling]]:
    """All a store said in a life, in its order, and what came of it for one who listened in time."""
    words: list[Word] = []
    line: Line | None = None
    told: list[Telling] = []

    def listen(now: datetime) -> None:
        nonlocal line, told
        blank = line or replace(new_line(world.store, Statement(store=world.store, environment="sandbox", line="", purchases=())), store=world.store)
        for said in world.say(blank, now):
            line = line or new_line(world.store, said)
            words.append((now, said))
            line, more = tell(merge(line, said, now), now)
            told += more

    def wait(until: datetime) -> None:
        """What the store does by itself, and what time alone tells us, each at its moment."""
        nonlocal line, told
        for _ in range(200):
            turn, wake = world.turn(), line.wake_at if line is not None else None
            moments = [one for one in (turn, wake) if one is not None and one <= until]
            if not moments:
                return
            now = min(moments)
            if turn is not None and turn <= now:
                world.play(turn)
                listen(now + SECOND)
            elif line is not None:
                line, more = tell(line, now)
                told += more
        raise AssertionError("a life that never comes to rest")

    now = START
    listen(now + SECOND)
    for chapter, days in chapters:
        wait(now)
        with suppress(Conflict, Invalid):  # what the store does not offer now does not happen
            world.act(chapter, now + 2 * SECOND)
        listen(now + 3 * SECOND)
        now += timedelta(days=days, hours=1)
    wait(now)
    assert line is not None
    return words, line, told


def hear(words: Sequence[Word], now: datetime) -> tuple[Line, list[Telling]]:
    """Everything at one late moment, in the order given."""
    line, told = new_line(words[0][1].store, words[0][1]), []
    for _, said in words:
        line, more = tell(merge(line, said, now), now)
        told += more
    return line, told


def bought(told: Sequence[Telling]) -> Counter[tuple[str, str]]:
    """By name too, but for Google: a token's answer tells no more, once acknowledged, that it was bought again after an end."""
    charges = [one for one in told if one.type in ("INITIAL_PURCHASE", "RENEWAL")]
    is_google = bool(charges) and charges[0].held.purchase.transaction.startswith("GPA.")
    return Counter(("" if is_google else one.type, one.held.purchase.transaction) for one in charges)


def given_back(told: Sequence[Telling]) -> Counter[str]:
    return Counter(one.key for one in told if one.key.startswith("refund"))


def ended(told: Sequence[Telling], line: Line) -> set[str]:
    """Without a grace cut short by a refund: a renewal that is paid in the end covers those days, and who hears of it first hears of no end."""
    cut = {
        one.transaction for one in (held.purchase for held in line.held) if one.revocation and one.expires_at and one.revocation.at >= one.expires_at
    }
    return {one.held.purchase.transaction for one in told if one.type == "EXPIRATION"} - cut


def speaks_of_a_period_unnamed(said: Statement) -> bool:
    """An end of "whichever period is newest", which Apple says beside an old transaction: it may overtake the period it is of."""
    return any(not renewal.transaction and renewal.ended is not None for renewal in said.renewals)


chapters = st.lists(st.tuples(st.sampled_from(VERBS), st.sampled_from((1, 9, 31, 70))), max_size=5)


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.store)
@settings(max_examples=60, deadline=None)
@given(life=chapters, data=st.data())
def test_whatever_the_order_it_ends_the_same_and_every_fact_is_told_once(make: type[World], life: list[tuple[str, int]], data: st.DataObject) -> None:
    words, _, _ = live(make(), life)
    now = words[-1][0] + 400 * DAY
    straight, told_straight = hear(words, now)
    twice = data.draw(st.lists(st.sampled_from(words), max_size=4))
    shuffled = data.draw(st.permutations([*words, *twice]))
    kept = data.draw(st.integers(0, len(shuffled)))
    line, told = hear([*shuffled[kept:], *shuffled[:kept]], now)  # what was lost is sent again at the end
    assert [held.purchase for held in line.held] == [held.purchase for held in straight.held]
    assert (access_until(line), status(line, now), will_renew(line)) == (access_until(straight), status(straight, now), will_renew(straight))
    assert len({(one.type, one.key) for one in told}) == len(told), "nothing is told twice"
    assert bought(told) == bought(told_straight), "every purchase and renewal once"
    assert given_back(told) == given_back(told_straight), "every refund once"
    assert ended(told, line) >= ended(told_straight, line), "every end"
    if not any(speaks_of_a_period_unnamed(said) for _, said in words):
        assert ended(told, line) == ended(told_straight, line), "and no other"
    again, more = tell(line, now)
    assert (more, again.told) == ([], line.told)


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.store)
@settings(max_examples=60, deadline=None)
@given(life=chapters)
def test_heard_in_time_nothing_is_told_twice_or_before_what_it_follows(make: type[World], life: list[tuple[str, int]]) -> None:
    words, line, told = live(make(), life)
    assert len({(one.type, one.key) for one in told}) == len(told)
    assert told[0].type == "INITIAL_PURCHASE"
    periods = [held for held in line.held if not held.purchase.is_proration]
    assert bought(told).total() == len(periods) == len(bought(told)), "each period was told, once"
    starts = [one.happened_at for one in told if one.type in ("INITIAL_PURCHASE", "RENEWAL")]
    assert starts == sorted(starts)
    known: set[str] = set()
    over: set[str] = set()
    for one in told:
        transaction = period_of(line, one.held).purchase.transaction
        known |= {transaction} if one.type in ("INITIAL_PURCHASE", "RENEWAL") else set()
        assert transaction in known, f"{one.type} before its purchase"
        assert one.type not in ("CANCELLATION", "UNCANCELLATION") or transaction not in over or one.reason == "customer_support"
        over |= {transaction} if one.type == "EXPIRATION" else set()
    late, told_late = hear(words, words[-1][0])
    assert bought(told) == bought(told_late)
    assert given_back(told) == given_back(told_late)
    assert [held.purchase for held in late.held] == [held.purchase for held in line.held]


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.store)
def test_every_store_lives_through_the_plain_chapters(make: type[World]) -> None:
    """The lives drawn above are lives: a renewed, cancelled and ended one tells what it must."""
    _, line, told = live(make(), [("downgrade", 40), ("cancel", 60)])
    kinds = [one.type for one in told if one.type != "PRODUCT_CHANGE"]
    assert kinds == ["INITIAL_PURCHASE", "RENEWAL", "CANCELLATION", "EXPIRATION"]
    assert len(line.held) == 2
    assert status(line, START + 200 * DAY) == "expired"


@pytest.mark.parametrize("first", [0, 1], ids=["the replaced token first", "the newest token first"])
def test_an_order_that_two_tokens_stand_on_is_given_back_once_whichever_is_heard_of_first(first: int) -> None:
    """A deferred change at Google: the new token goes on with the old one's order, which is then taken back. We knew of neither token."""
    world = PlayStoreWorld()
    world.play(START + DAY)
    world.act("downgrade", START + DAY)
    world.act("refund earlier", START + 9 * DAY)
    blank = new_line("play_store", Statement(store="play_store", environment="sandbox", line="", purchases=()))
    tokens = world.life.tokens if first == 0 else world.life.tokens[::-1]
    line, told = None, list[Telling]()
    for place, token in enumerate(tokens):
        happening = next(one for one in world.life.happenings[::-1] if one.token == token.number)
        now = START + 40 * DAY + place * SECOND
        (said,) = subscription_statements(world._answer(token, happening, blank, now))
        line, more = tell(merge(line or new_line("play_store", said), said, now), now)
        told += more
    assert line is not None
    (held,) = line.held
    assert held.purchase.revocation is not None and held.purchase.revocation.at == START + 9 * DAY
    assert [refund.amount for refund in held.purchase.refunds] == [PRICE]
    assert given_back(told).total() == 1
    assert [one.refunded for one in told if one.refunded is not None] == [PRICE]
    assert status(line, START + 40 * DAY) == "revoked" and not [one for one in told if one.type == "REFUND_REVERSED"]

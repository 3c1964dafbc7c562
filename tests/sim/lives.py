"""Lives at the stores that are asked: drawn in chapters, lived once straight, and once more from their deeds alone.

`straight` hears of everything in time. `relive` plays the same deeds again on what the store keeps, as far as a moment; what was done to it through
the store's API in between stays done.
"""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from perennial.base.value import value
from perennial.providers.google.payload import Order as GoogleOrder
from perennial.providers.google.subscription import Answer, subscription_statements
from perennial.providers.simulated.play_store import model as play_model
from perennial.providers.simulated.play_store import payloads as play_payloads
from perennial.providers.simulated.play_store import rules as play_rules
from perennial.providers.simulated.stripe import model as stripe_model
from perennial.providers.simulated.stripe import payloads as stripe_payloads
from perennial.providers.simulated.stripe import rules as stripe_rules
from perennial.providers.stripe import read as stripe
from perennial.providers.stripe.payload import Charge, Dispute, Invoice, Subscription
from perennial.providers.stripe.slots import Found
from perennial.subscriptions.model import Line, Statement, Telling
from perennial.subscriptions.rules import merge
from perennial.subscriptions.telling import tell
from tests.rules.test_every_store_order import APP, DAY, PRICE, START, VERBS, PlayStoreWorld, StripeWorld, live

HOUR = timedelta(hours=1)
WAIT = "wait"


@value
class Deed:
    """What the customer, or the seller, did at a moment."""

    at: datetime
    verb: str


class Lived(Protocol):
    """A life at a store: the `World` of `test_every_store_order` with a code of its own, deeds it remembers, and an answer without a notification."""

    code: str
    life: Any
    deeds: list[Deed]

    def ask(self, line: Line, now: datetime) -> list[Statement]: ...

    def relive(self, state: Any, since: datetime, until: datetime) -> Any: ...


class PlayStoreLife(PlayStoreWorld):
    verbs = (*VERBS, "restore", "pause", "resume", "give back", "defer")

    def __init__(self, code: str, chance: random.Random) -> None:
        super().__init__()
        trial = "P1W" if chance.random() < 0.3 else None
        bought = play_rules.buy(app_id=APP, code=code, plan=self.plan("pro:monthly", PRICE), now=START, trial=trial, account=code, is_silent=True)
        self.code, self.bought, self.deeds = code, bought, list[Deed]()
        self.life = play_rules.acknowledge(bought, bought.newest)

    def act(self, verb: str, now: datetime) -> None:
        self.do(verb, now)
        self.deeds.append(Deed(at=now, verb=verb))

    def do(self, verb: str, now: datetime) -> None:
        life = self.life
        match verb:
            case "wait":
                return
            case "restore":
                self.life = play_rules.restore(life, now)
            case "pause":
                self.life = play_rules.pause(life, 1, now)
            case "resume":
                self.life = play_rules.resume(life, now)
            case "give back":
                self.life = play_rules.refund(life, None, now)
            case "defer":
                self.life = play_rules.defer(life, 5 * DAY, now)
            case _:
                super().act(verb, now)

    def ask(self, line: Line, now: datetime) -> list[Statement]:
        """About the newest token."""
        held = {one.purchase.transaction for one in line.held}
        token = self.life.newest
        orders = {
            one.order_id: msgspec.convert(play_payloads.order(self.life, one), GoogleOrder)
            for one in self.life.orders
            if one.token == token.number or one.order_id in held
        }
        name = self.life.token_name(token.number)
        return list(subscription_statements(Answer(token=name, subscription=self._subscription(token), as_of=now, orders=orders, line=line)))

    def relive(self, state: play_model.Life, since: datetime, until: datetime) -> play_model.Life:
        self.life = state
        for deed in self.deeds:
            if since < deed.at <= until:
                self._pass(deed.at)
                self.do(deed.verb, deed.at)
        self._pass(until)
        return self.life

    def _pass(self, until: datetime) -> None:
        """A day after a purchase the device acknowledges it, where we have not."""
        token = self.life.newest
        if not token.is_acknowledged and token.ended_at is None and token.started_at + DAY <= until:
            self.play(token.started_at + DAY)
            newest = self.life.newest
            if newest.number == token.number and newest.ended_at is None:
                self.life = play_rules.acknowledge(self.life, newest)
        self.play(until)


class StripeLife(StripeWorld):
    verbs = (
        *VERBS[:-1],
        "end now",
        "pause",
        "resume",
        "keep as draft",
        "mark uncollectible",
        "dispute",
        "lose dispute",
        "win dispute",
        "refund fails",
        "leave unpaid",
        "pay",
    )

    def __init__(self, code: str, chance: random.Random) -> None:
        super().__init__()
        trial = "P1W" if chance.random() < 0.3 else None
        plan = self.plan("pro", PRICE)
        bought = stripe_rules.buy(app_id=APP, code=code, plan=plan, now=START, trial=trial, app_user_id=code, is_silent=True)
        self.code, self.bought, self.life, self.deeds = code, bought, bought, list[Deed]()

    def act(self, verb: str, now: datetime) -> None:
        self.do(verb, now)
        self.deeds.append(Deed(at=now, verb=verb))

    def do(self, verb: str, now: datetime) -> None:
        life = self.life
        more = {
            "end now": lambda: stripe_rules.end(life, now),
            "pause": lambda: stripe_rules.pause(life, "void", None, now),
            "resume": lambda: stripe_rules.resume(life, now),
            "keep as draft": lambda: stripe_rules.pause(life, "keep_as_draft", now + 50 * DAY, now),
            "mark uncollectible": lambda: stripe_rules.pause(life, "mark_uncollectible", None, now),
            "dispute": lambda: stripe_rules.dispute(life, None, now),
            "lose dispute": lambda: stripe_rules.close_dispute(life, None, "lost", now),
            "win dispute": lambda: stripe_rules.close_dispute(life, None, "won", now),
            "refund fails": lambda: stripe_rules.fail_refund(life, None, now),
            "leave unpaid": lambda: stripe_rules.fail_next_charge(life, stripe_model.Failure(then="unpaid")),
            "pay": lambda: stripe_rules.pay(life, now),
        }
        if verb in more:
            self.life = stripe_rules.act(life, now, lambda _: more[verb]())
        elif verb != WAIT:
            super().act(verb, now)

    def say(self, line: Line, now: datetime) -> list[Statement]:
        if len(self.life.happenings) == self.heard:
            return []
        self.heard = len(self.life.happenings)
        return self.ask(line, now)

    def ask(self, line: Line, now: datetime) -> list[Statement]:
        life, everything = self.life, ("customer", "schedule.phases.items.price", "payments", "balance_transaction", "refunds")
        found = Found(
            subscription=msgspec.convert(stripe_payloads.subscription(life, everything), Subscription),
            invoices=tuple(msgspec.convert(stripe_payloads.invoice(life, one, everything), Invoice) for one in life.invoices),
            charges=tuple(msgspec.convert(stripe_payloads.charge(life, one, everything), Charge) for one in life.invoices if one.paid),
            disputes=tuple(msgspec.convert(stripe_payloads.dispute(life, one), Dispute) for one in life.invoices if one.dispute is not None),
        )
        return list(stripe.subscription_statements(found, line if line.held else None, now))

    def relive(self, state: stripe_model.Life, since: datetime, until: datetime) -> stripe_model.Life:
        self.life = state
        for deed in self.deeds:
            if since < deed.at <= until:
                self.play(deed.at)
                self.do(deed.verb, deed.at)
        self.play(until)
        return self.life


def drawn(verbs: Sequence[str], chance: random.Random) -> list[tuple[str, int]]:
    """A chapter is what is done, and the days until the next. Nothing is done on the first day."""
    return [(WAIT, chance.choice((1, 9, 31))), *((chance.choice(verbs), chance.choice((1, 9, 31, 60))) for _ in range(chance.randint(0, 4)))]


def straight(lived: Any, chapters: Sequence[tuple[str, int]], end: datetime) -> tuple[Line, list[Telling]]:
    """Everything heard in time and, at the end, the store asked once more."""
    spent = sum((timedelta(days=days, hours=1) for _, days in chapters), timedelta(0))
    left = (end - START - spent) // DAY - 1
    assert left > 0, "the end comes after every chapter"
    _, line, told = live(lived, [*chapters, (WAIT, left)])
    lived.play(end)
    for said in lived.ask(line, end):
        line = merge(line, said, end)
    line, more = tell(line, end)
    return line, [*told, *more]

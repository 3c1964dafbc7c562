"""Lives of subscriptions as a store would tell them, for tests: a list of statements, each what one message says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from perennial.base.ids import AppId, CustomerId, LineId
from perennial.base.money import Money
from perennial.base.value import replace
from perennial.subscriptions.model import EndReason, Line, Purchase, Renewal, Revocation, Statement

START = datetime(2026, 1, 1, tzinfo=UTC)
MONTH = timedelta(days=30)


@dataclass
class Life:
    """Plays the store: each verb appends the message the store would send. `clock` is the store's time."""

    clock: datetime = START
    product: str = "monthly"
    next_product: str | None = None
    auto_renew: bool = True
    off_reason: EndReason | None = None
    purchases: list[Purchase] = field(default_factory=list)
    messages: list[Statement] = field(default_factory=list)

    @property
    def last(self) -> Purchase:
        return self.purchases[-1]

    def _tick(self) -> datetime:
        self.clock += timedelta(seconds=1)
        return self.clock

    def _say(self, purchase: Purchase, *, with_renewal: bool = True, **renewal: object) -> None:
        as_of = self._tick()
        said = replace(purchase, as_of=as_of)
        self.purchases = [said if one.transaction == said.transaction else one for one in self.purchases]
        snapshot = Renewal(
            as_of=as_of,
            transaction=purchase.transaction,
            auto_renew=self.auto_renew,
            next_product=self.next_product,
            off_reason=None if self.auto_renew else self.off_reason or "unsubscribe",
        )
        snapshots = (replace(snapshot, **renewal),) if with_renewal else ()  # type: ignore[arg-type]
        self.messages.append(Statement(store="app_store", environment="production", line="1000", purchases=(said,), renewals=snapshots))

    def _charge(self, *, at: datetime, product: str, is_renewal: bool, period_type: str = "normal", length: timedelta = MONTH) -> Purchase:
        purchase = Purchase(
            transaction=str(1000 + len(self.purchases)),
            product=product,
            kind="subscription",
            purchased_at=at,
            expires_at=at + length,
            as_of=self.clock,
            is_first=not self.purchases,
            is_renewal=is_renewal,
            period_type=period_type,  # type: ignore[arg-type]
            price=Money(amount=0 if period_type == "trial" else 999, currency="USD"),
        )
        self.purchases.append(purchase)
        self.product = product
        return purchase

    def subscribe(self, *, trial: bool = False) -> None:
        self.auto_renew, self.next_product = True, None
        self._say(self._charge(at=self.clock, product=self.product, is_renewal=False, period_type="trial" if trial else "normal"))

    def renew(self) -> None:
        assert self.last.expires_at
        self.clock = self.last.expires_at
        product, self.next_product = self.next_product or self.product, None
        self._say(self._charge(at=self.last.expires_at, product=product, is_renewal=True))

    def wait(self, days: float) -> None:
        self.clock += timedelta(days=days)

    def cancel(self) -> None:
        self.auto_renew, self.off_reason = False, "unsubscribe"
        self._say(self.last)

    def uncancel(self) -> None:
        self.auto_renew, self.off_reason = True, None
        self._say(self.last)

    def expire(self) -> None:
        assert self.last.expires_at
        self.clock = max(self.clock, self.last.expires_at)
        self.auto_renew = False
        self._say(self.last, ended=self.off_reason or "unsubscribe")

    def fail_in_grace(self, days: int = 16) -> None:
        assert self.last.expires_at
        self.clock = self.last.expires_at
        self._say(self.last, in_billing_retry=True, grace_until=self.last.expires_at + timedelta(days=days))

    def recover_in_grace(self) -> None:
        assert self.last.expires_at
        self.clock = self.last.expires_at + timedelta(days=3)
        self._say(self._charge(at=self.last.expires_at, product=self.product, is_renewal=True))

    def end_grace(self, days: int = 16) -> None:
        assert self.last.expires_at
        self.clock = self.last.expires_at + timedelta(days=days)
        self._say(self.last, in_billing_retry=True, ended="billing_error")

    def fail_without_grace(self) -> None:
        assert self.last.expires_at
        self.clock = self.last.expires_at
        self._say(self.last, in_billing_retry=True, ended="billing_error")

    def recover_late(self) -> None:
        self.wait(20)
        self._say(self._charge(at=self.clock, product=self.product, is_renewal=True))

    def give_up(self) -> None:
        self.wait(40)
        self.auto_renew, self.off_reason = False, "billing_error"
        self._say(self.last, ended="billing_error")

    def upgrade(self) -> None:
        self.wait(1)
        old = replace(self.last, is_superseded=True)
        self._say(self._charge(at=self.clock, product=self.product + "+", is_renewal=False))
        self._say(old, with_renewal=False)

    def schedule(self, product: str) -> None:
        self.next_product = product
        self._say(self.last)

    def refund(self, purchase: Purchase) -> None:
        self.wait(1)
        self._say(replace(purchase, revocation=Revocation(at=self.clock, refunded=True)), with_renewal=False)

    def reverse(self, purchase: Purchase) -> None:
        self.wait(1)
        current = next(one for one in self.purchases if one.transaction == purchase.transaction)
        self._say(replace(current, revocation=None), with_renewal=False)

    def extend(self, days: int) -> None:
        assert self.last.expires_at
        self._say(replace(self.last, expires_at=self.last.expires_at + timedelta(days=days)))


def new_line(heard_at: datetime = START) -> Line:
    return Line(
        line_id=LineId("sub_1"),
        customer_id=CustomerId("cus_1"),
        app_id=AppId("app_1"),
        store="app_store",
        environment="production",
        store_line="1000",
        heard_at=heard_at,
    )


Chapter = Callable[[Life], None]


def _plain(life: Life) -> None:
    life.renew()


def _wavering(life: Life) -> None:
    life.wait(2)
    life.cancel()
    life.wait(2)
    life.uncancel()
    life.renew()


def _grace_recovered(life: Life) -> None:
    life.fail_in_grace()
    life.recover_in_grace()


def _grace_lost(life: Life) -> None:
    life.fail_in_grace()
    life.end_grace()
    life.recover_late()


def _retry_recovered(life: Life) -> None:
    life.fail_without_grace()
    life.recover_late()


def _left_and_returned(life: Life) -> None:
    life.wait(3)
    life.cancel()
    life.expire()
    life.wait(50)
    life.subscribe()


def _given_up_and_returned(life: Life) -> None:
    life.fail_without_grace()
    life.give_up()
    life.wait(5)
    life.subscribe()


def _upgraded(life: Life) -> None:
    life.upgrade()


def _downgraded(life: Life) -> None:
    life.schedule("basic" if life.product != "basic" else "monthly")
    life.renew()


def _old_refund(life: Life) -> None:
    old = life.last
    life.renew()
    life.refund(old)


def _refunded_and_reversed(life: Life) -> None:
    current = life.last
    life.refund(current)
    life.reverse(current)
    life.renew()


def _extended(life: Life) -> None:
    life.extend(7)
    life.renew()


CHAPTERS: tuple[Chapter, ...] = (
    _plain,
    _wavering,
    _grace_recovered,
    _grace_lost,
    _retry_recovered,
    _left_and_returned,
    _given_up_and_returned,
    _upgraded,
    _downgraded,
    _old_refund,
    _refunded_and_reversed,
    _extended,
)


def _stays(life: Life) -> None:
    return None


def _leaves(life: Life) -> None:
    life.cancel()
    life.expire()


def _fails(life: Life) -> None:
    life.fail_in_grace()
    life.end_grace()
    life.give_up()


def _refunded(life: Life) -> None:
    life.refund(life.last)


ENDINGS: tuple[Chapter, ...] = (_stays, _leaves, _fails, _refunded)


def live(chapters: list[Chapter], ending: Chapter, *, trial: bool) -> Life:
    life = Life()
    life.subscribe(trial=trial)
    for chapter in chapters:
        chapter(life)
    ending(life)
    return life

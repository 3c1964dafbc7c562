"""What the simulated Google Play keeps of a purchase and everything that came of it. Stored as JSON, one row for each."""

from datetime import datetime
from typing import Literal

from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.base.value import value

Phase = Literal["base", "trial", "proration"]
Replacement = Literal["CHARGE_FULL_PRICE", "CHARGE_PRORATED_PRICE", "WITH_TIME_PRORATION", "WITHOUT_PRORATION"]
OrderState = Literal["PENDING", "PROCESSED", "CANCELED", "REFUNDED"]
Cancellation = Literal["user", "developer", "system", "replacement"]
About = Literal["subscription", "product", "voided", "test"]


@value
class Plan:
    """What is sold, with its terms, as they were when the customer agreed to them."""

    product: str  # `subscription:base_plan`, or a one-time product
    price: Money
    duration: str | None  # ISO 8601; None for what is bought once
    is_prepaid: bool = False

    @property
    def subscription(self) -> str:
        """Google's product id, without the base plan."""
        return self.product.split(":")[0]

    @property
    def base_plan(self) -> str | None:
        return self.product.partition(":")[2] or None


@value
class Order:
    """One charge. The first of a token has no number, its renewals count from 0."""

    order_id: str
    token: int
    product: str
    price: Money
    created_at: datetime
    state: OrderState
    starts_at: datetime
    ends_at: datetime | None = None  # as it was when it was charged: extensions do not show
    phase: Phase = "base"
    refunded_at: datetime | None = None
    voided_at: datetime | None = None  # the purchase was taken back with the money
    voided_reason: int = 0


@value
class Token:
    """A purchase token. A change of plan, a top-up or a new start makes another; the newest is the one that lives."""

    number: int
    plan: Plan
    started_at: datetime
    paid_order: str  # latestSuccessfulOrderId
    expires_at: datetime | None  # as Google tells it: in grace the grace's end, after a hold the hold's
    linked: int | None = None  # the token it took the place of
    lapsed: int | None = None  # the one that had ended before it was bought anew in Google's subscription centre
    auto_renew: bool = True
    cancellation: Cancellation | None = None
    ended_at: datetime | None = None
    is_acknowledged: bool = False
    is_consumed: bool = False
    next_plan: Plan | None = None  # a deferred change
    replacement: Replacement | None = None  # how it took the place of the linked one, where that was a change of plan


@value
class Failure:
    """What is to go wrong with the next renewal: grace in days, and the days after which the charge succeeds (None: never)."""

    grace_days: int = 0
    recover_after_days: int | None = None


@value
class Trouble:
    """A renewal that could not be charged, since `since`. What happens when is already decided."""

    since: datetime
    access_until: datetime  # the grace's end; without a grace the day Google gives silently
    give_up_at: datetime
    is_silent: bool
    recover_at: datetime | None = None
    is_on_hold: bool = False


@value
class Pause:
    """Asked for; in force from the period's end on, once `resumes_at` is known."""

    months: int
    resumes_at: datetime | None = None


@value
class Happening:
    """A notification: its content is written when it is posted. `type` is Google's number."""

    number: int
    about: About
    at: datetime
    type: int = 0
    token: int = 1
    order_id: str | None = None
    is_posted: bool = False


@value
class Life:
    """One purchase and what came of it, oldest token and order first."""

    app_id: AppId
    code: str
    tokens: tuple[Token, ...]
    orders: tuple[Order, ...]
    played_at: datetime
    account: str | None = None  # obfuscatedExternalAccountId
    region: str = "US"
    failure: Failure | None = None
    trouble: Trouble | None = None
    pause: Pause | None = None
    happenings: tuple[Happening, ...] = ()
    is_silent: bool = False  # its notifications are lost on the way

    @property
    def newest(self) -> Token:
        return self.tokens[-1]

    def token_name(self, number: int) -> str:
        return f"play.{self.code}.{number}"


@value
class Bought:
    """What a device holds after a purchase: the token its SDK posts."""

    token: str
    order_id: str
    product: str  # as the SDK names it, without the base plan
    expires_at: datetime | None

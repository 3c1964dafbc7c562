"""What the simulated Stripe keeps of one checkout and of everything that came of it. Stored as JSON, one row each.

Amounts are in minor units of ISO 4217, as in the rest of the house; `payloads` writes them as Stripe does. Every id is made of the life's `code`,
so that any of them leads back to its row.
"""

from datetime import datetime
from typing import Literal

from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.base.value import value

Mode = Literal["subscription", "payment"]
Status = Literal["incomplete", "incomplete_expired", "trialing", "active", "past_due", "unpaid", "canceled"]
InvoiceStatus = Literal["draft", "open", "paid", "void", "uncollectible"]
Reason = Literal["subscription_create", "subscription_cycle", "subscription_update"]
Behavior = Literal["void", "keep_as_draft", "mark_uncollectible"]
GivenUp = Literal["canceled", "unpaid", "past_due"]
About = Literal["subscription", "schedule", "invoice", "session", "charge", "refund", "dispute"]


@value
class Plan:
    """A product with its terms. `duration` is ISO 8601; None for what is paid once."""

    product: str
    duration: str | None
    price: Money


@value
class Charged:
    """A line of an invoice."""

    product: str
    amount: int
    start: datetime
    end: datetime
    quantity: int = 1
    is_proration: bool = False
    is_beside: bool = False  # sold once, on an invoice of the subscription: a setup fee


@value
class Back:
    """A refund. One that failed gave nothing back after all."""

    number: int
    amount: int
    at: datetime
    has_failed: bool = False


@value
class Dispute:
    at: datetime
    status: Literal["needs_response", "won", "lost"] = "needs_response"


@value
class Invoice:
    """An invoice, or the one payment of a checkout that is paid once."""

    number: int
    reason: Reason
    lines: tuple[Charged, ...]
    created_at: datetime
    status: InvoiceStatus
    collects_at: datetime | None = None  # the next attempt to charge it
    attempts: int = 0
    paid_at: datetime | None = None
    refunds: tuple[Back, ...] = ()
    dispute: Dispute | None = None

    @property
    def total(self) -> int:
        return sum(line.amount for line in self.lines)

    @property
    def paid(self) -> int:
        """What came in. A credit lowers nothing else here: the customer's balance is not played."""
        return max(0, self.total) if self.paid_at is not None else 0


@value
class Failure:
    """What is to go wrong with the next charge: which retry succeeds (None: none of them), and what Stripe is set to do when all failed."""

    recover_at_retry: int | None = None
    then: GivenUp = "canceled"


@value
class Pause:
    behavior: Behavior
    resumes_at: datetime | None = None


@value
class Happening:
    """An event, by what it is about: its object is written when it is posted or listed. `number` is the invoice's."""

    number: int
    type: str
    at: datetime
    about: About
    invoice: int = 0
    refund: int = 0
    is_posted: bool = False


@value
class Life:
    """One checkout and what came of it: a subscription, or something paid once.

    A period ends at `anchor` plus `periods` of the plan, so that month ends do not creep.
    """

    app_id: AppId
    code: str
    mode: Mode
    plan: Plan
    created_at: datetime
    anchor: datetime
    period_start: datetime
    period_end: datetime
    played_at: datetime
    status: Status = "active"
    quantity: int = 1
    periods: int = 1
    app_user_id: str | None = None
    is_told_by_session: bool = False  # who buys stands in the checkout alone
    country: str | None = None
    trial_start: datetime | None = None
    trial_end: datetime | None = None
    cancel_at_period_end: bool = False
    canceled_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str | None = None  # cancellation_details.reason
    next_plan: Plan | None = None
    pending: tuple[Charged, ...] = ()  # prorations that wait for the next invoice
    pause: Pause | None = None
    failure: Failure | None = None
    invoices: tuple[Invoice, ...] = ()
    happenings: tuple[Happening, ...] = ()
    is_silent: bool = False  # its webhooks are lost on the way
    done: tuple[str, ...] = ()  # idempotency keys


@value
class Bought:
    """What a web page holds after a checkout: what it would post as its token."""

    session: str
    subscription: str | None
    payment: str | None  # the payment intent of what was paid once

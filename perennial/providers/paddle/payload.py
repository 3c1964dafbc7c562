"""What Paddle Billing writes: events and the entities within them, which its API answers in the same shape.

Amounts are texts in minor units ("1000"; JPY has none smaller). Moments are RFC 3339 with microseconds. Unknown fields are skipped.
"""

from datetime import datetime
from typing import Any

import msgspec

from perennial.base.reading import Name, Product, Timed, Word, said_at


class Event(Timed, frozen=True):
    """A notification's body, and an item of the list of events. `data` is the whole entity."""

    event_id: Name
    event_type: Word
    data: msgspec.Raw
    occurred_at: datetime | None = None

    def at(self, now: datetime) -> datetime:
        """When it occurred; `now` where it does not say, or says what cannot be."""
        return said_at(self.occurred_at, now, "occurred_at") if self.occurred_at is not None else now


class Period(Timed, frozen=True):
    starts_at: datetime
    ends_at: datetime


class UnitPrice(msgspec.Struct, frozen=True):
    amount: str
    currency_code: Word


class Price(msgspec.Struct, frozen=True):
    """`billing_cycle` is None for what is bought once. `tax_mode`: internal where taxes are within the unit price."""

    id: Name
    unit_price: UnitPrice | None = None
    tax_mode: Word | None = None
    product_id: Product | None = None
    billing_cycle: Any = None
    trial_period: Any = None


class Item(Timed, frozen=True):
    price: Price
    quantity: int = 1
    created_at: datetime | None = None  # when it was added to a subscription


class ScheduledChange(Timed, frozen=True):
    action: Word  # cancel, pause, resume
    effective_at: datetime
    resume_at: datetime | None = None


class Subscription(Timed, frozen=True):
    """`current_billing_period` is None once it is paused or canceled. `transaction_id` is told by `subscription.created` alone."""

    id: Name
    status: Word  # trialing, active, past_due, paused, canceled
    items: list[Item]
    custom_data: dict[str, Any] | None = None
    current_billing_period: Period | None = None
    scheduled_change: ScheduledChange | None = None
    canceled_at: datetime | None = None
    paused_at: datetime | None = None
    started_at: datetime | None = None
    first_billed_at: datetime | None = None  # after a trial
    transaction_id: Name | None = None
    customer_id: Name | None = None


class Totals(msgspec.Struct, frozen=True):
    total: str
    tax: str = "0"
    grand_total: str | None = None
    fee: str | None = None  # known once the transaction is completed


class LineItem(msgspec.Struct, frozen=True):
    id: Name
    price_id: Name
    totals: Totals


class Details(msgspec.Struct, frozen=True):
    totals: Totals
    line_items: list[LineItem]


class Transaction(Timed, frozen=True):
    """`origin`: web and api begin something, subscription_recurring renews, subscription_update prorates, subscription_charge is beside."""

    id: Name
    status: Word
    origin: Word
    items: list[Item]
    details: Details
    currency_code: Word
    created_at: datetime
    billed_at: datetime | None = None
    subscription_id: Name | None = None
    billing_period: Period | None = None
    custom_data: dict[str, Any] | None = None


class AdjustmentItem(msgspec.Struct, frozen=True):
    item_id: Name
    totals: Totals


class Adjustment(Timed, frozen=True):
    """Money changed after the fact. It counts when `status` is approved; refunds wait for that."""

    id: Name
    action: Word
    status: Word
    transaction_id: Name
    items: list[AdjustmentItem]
    created_at: datetime
    subscription_id: Name | None = None
    updated_at: datetime | None = None
    reason: str | None = None


class Pagination(msgspec.Struct, frozen=True):
    has_more: bool = False


class Meta(msgspec.Struct, frozen=True):
    pagination: Pagination = Pagination()


class ApiError(msgspec.Struct, frozen=True):
    code: str = ""
    detail: str = ""


class ErrorAnswer(msgspec.Struct, frozen=True):
    error: ApiError = ApiError()


class GeneralLinks(msgspec.Struct, frozen=True):
    overview: str


class PortalLinks(msgspec.Struct, frozen=True):
    general: GeneralLinks


class PortalSession(msgspec.Struct, frozen=True):
    """Of the customer portal. Its addresses sign the customer in, for a while: they are not kept."""

    id: Name
    urls: PortalLinks

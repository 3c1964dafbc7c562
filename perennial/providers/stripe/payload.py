"""What Stripe writes: wire types, lenient about what they do not know, so that every version of its API from before basil to endive fits.

Moments are seconds since 1970, amounts whole numbers in Stripe's own minor units (`money`). What may be written as an id or as the whole object
is either here; `id_of` and `whole` tell them apart. Where a meaning has moved between versions, both places are read and a property gives it one
name.
"""

from typing import Any, Generic, TypeVar

import msgspec

from perennial.base.reading import Name, Word


class Wire(msgspec.Struct, gc=False):
    """A JSON object; unknown fields are skipped."""


class Identified(Wire):
    id: Name = ""


One = TypeVar("One", bound=Identified)


class Page(msgspec.Struct, Generic[One]):
    """A list, or the first page of it. Some older answers have an empty object instead."""

    data: list[One] = []
    has_more: bool = False


class RawPage(Wire):
    """A list whose members are kept as they were written."""

    data: list[msgspec.Raw] = []
    has_more: bool = False


def id_of(field: Name | Identified | None) -> str | None:
    """The id, whether the object was expanded or not."""
    return (field.id or None) if isinstance(field, Identified) else (field or None)


def whole(field: str | One | None) -> One | None:
    """The object, where it was expanded."""
    return None if isinstance(field, str) else field


# Customers ------------------------------------------------------------------------------------------------------------------------


class Address(Wire):
    country: str | None = None


class Customer(Identified):
    metadata: dict[str, str] | None = None
    address: Address | None = None


class BillingDetails(Wire):
    address: Address | None = None


# Prices ---------------------------------------------------------------------------------------------------------------------------


class Recurring(Wire):
    usage_type: Word | None = None  # licensed, metered


class Price(Identified):
    """Also what used to be a plan."""

    product: Name | Identified | None = None
    currency: Word | None = None
    unit_amount: int | None = None
    recurring: Recurring | None = None
    usage_type: Word | None = None  # of what used to be a plan

    @property
    def is_metered(self) -> bool:
        return "metered" in (self.recurring.usage_type if self.recurring is not None else None, self.usage_type)


class Coupon(Identified):
    pass


class DiscountSource(Wire):
    coupon: Name | Coupon | None = None


class Discount(Identified):
    coupon: Name | Coupon | None = None
    source: DiscountSource | None = None  # since clover
    promotion_code: Name | Identified | None = None

    @property
    def coupon_id(self) -> str | None:
        return id_of(self.coupon) or (id_of(self.source.coupon) if self.source is not None else None)


# Subscriptions --------------------------------------------------------------------------------------------------------------------


class Item(Identified):
    created: int = 0
    price: Price | None = None
    plan: Price | None = None
    quantity: int | None = None
    current_period_start: int | None = None  # since basil
    current_period_end: int | None = None

    @property
    def product(self) -> str | None:
        price = self.price or self.plan
        return id_of(price.product) if price is not None else None

    @property
    def is_metered(self) -> bool:
        """Billed for what was used, when it was used."""
        price = self.price or self.plan
        return price is not None and price.is_metered


class CancellationDetails(Wire):
    reason: Word | None = None


class PauseCollection(Wire):
    behavior: Word | None = None  # keep_as_draft, mark_uncollectible, void
    resumes_at: int | None = None


class PendingUpdate(Wire):
    subscription_items: list[Item] | None = None


class PhaseItem(Wire):
    price: Name | Price | None = None


class Phase(Wire):
    start_date: int = 0
    items: list[PhaseItem] = []


class Schedule(Identified):
    phases: list[Phase] = []
    subscription: Name | Identified | None = None
    released_subscription: Name | None = None
    status: Word | None = None


class Subscription(Identified):
    status: Word = ""
    livemode: bool = False
    created: int = 0
    start_date: int | None = None  # the first start; earlier than `created` where it was backdated
    customer: Name | Customer | None = None
    items: Page[Item] = msgspec.field(default_factory=Page)
    trial_start: int | None = None
    trial_end: int | None = None
    current_period_start: int | None = None  # before basil
    current_period_end: int | None = None
    currency: Word | None = None
    cancel_at_period_end: bool = False
    cancel_at: int | None = None
    canceled_at: int | None = None
    ended_at: int | None = None
    cancellation_details: CancellationDetails | None = None
    pause_collection: PauseCollection | None = None
    pending_update: PendingUpdate | None = None
    schedule: Name | Schedule | None = None
    latest_invoice: Name | Identified | None = None
    metadata: dict[str, str] | None = None

    def period_end(self, item: Item | None) -> int | None:
        """The end of the period that runs, paid or not."""
        return (item.current_period_end if item is not None else None) or self.current_period_end

    def period(self, item: Item) -> "Period | None":
        """The period that runs, paid or not; None where the subscription does not say a whole one."""
        start, end = item.current_period_start or self.current_period_start, self.period_end(item)
        return Period(start=start, end=end) if start and end and start < end else None


# Invoices -------------------------------------------------------------------------------------------------------------------------


class Period(Wire):
    start: int = 0
    end: int = 0


class PriceDetails(Wire):
    price: Name | Price | None = None
    product: Name | Identified | None = None


class Pricing(Wire):
    price_details: PriceDetails | None = None


class LineDetails(Wire):
    proration: bool = False
    subscription_item: Name | None = None


class LineParent(Wire):
    subscription_item_details: LineDetails | None = None
    invoice_item_details: LineDetails | None = None


class InvoiceLine(Identified):
    amount: int = 0
    period: Period | None = None
    quantity: int | None = None
    pricing: Pricing | None = None  # since basil
    parent: LineParent | None = None
    price: Price | None = None  # before basil
    plan: Price | None = None
    proration: bool | None = None
    subscription_item: Name | None = None
    type: Word | None = None

    @property
    def details(self) -> LineDetails | None:
        return (self.parent.subscription_item_details or self.parent.invoice_item_details) if self.parent is not None else None

    @property
    def item(self) -> str | None:
        return (self.details.subscription_item if self.details is not None else None) or self.subscription_item

    @property
    def is_proration(self) -> bool:
        return self.details.proration if self.details is not None else self.proration is True

    @property
    def is_of_subscription(self) -> bool:
        """Of a subscription's own items, not something sold beside."""
        if self.parent is not None:
            return self.parent.subscription_item_details is not None or self.is_proration
        return self.type == "subscription" or self.subscription_item is not None or self.is_proration

    @property
    def price_id(self) -> str | None:
        said = self.pricing.price_details if self.pricing is not None else None
        return id_of(said.price) if said is not None else id_of(self.price or self.plan)

    @property
    def product(self) -> str | None:
        said = self.pricing.price_details if self.pricing is not None else None
        price = self.price or self.plan
        return id_of(said.product) if said is not None else id_of(price.product) if price is not None else None


class TaxAmount(Wire):
    amount: int = 0


class StatusTransitions(Wire):
    paid_at: int | None = None


class PaymentOf(Wire):
    type: Word | None = None
    payment_intent: Name | Identified | None = None
    charge: Name | Identified | None = None


class InvoicePayment(Identified):
    """A payment made on an invoice. One invoice may have several, one payment may serve several invoices."""

    invoice: Name | Identified | None = None
    amount_paid: int | None = None
    status: Word | None = None
    payment: PaymentOf | None = None


class SubscriptionDetails(Wire):
    subscription: Name | Identified | None = None
    metadata: dict[str, str] | None = None


class InvoiceParent(Wire):
    subscription_details: SubscriptionDetails | None = None


class Invoice(Identified):
    status: Word | None = None  # draft, open, paid, uncollectible, void
    livemode: bool = False
    created: int = 0
    currency: Word | None = None
    billing_reason: Word | None = None
    total: int = 0
    amount_paid: int = 0
    lines: Page[InvoiceLine] = msgspec.field(default_factory=Page)
    next_payment_attempt: int | None = None
    due_date: int | None = None
    status_transitions: StatusTransitions | None = None
    customer_address: Address | None = None
    discounts: list[str | Discount] | None = None
    total_taxes: list[TaxAmount] | None = None  # since basil
    parent: InvoiceParent | None = None
    payments: Page[InvoicePayment] | None = None
    total_tax_amounts: list[TaxAmount] | None = None  # before basil
    tax: int | None = None
    subscription: Name | Identified | None = None
    payment_intent: Name | Identified | None = None
    charge: Name | Identified | None = None
    paid: bool | None = None

    @property
    def is_paid(self) -> bool:
        return self.status == "paid" or (self.status is None and self.paid is True)

    @property
    def subscription_id(self) -> str | None:
        said = self.parent.subscription_details if self.parent is not None else None
        return (id_of(said.subscription) if said is not None else None) or id_of(self.subscription)

    @property
    def subscription_metadata(self) -> dict[str, str]:
        """The subscription's metadata as it was when the invoice was made."""
        said = self.parent.subscription_details if self.parent is not None else None
        return (said.metadata if said is not None else None) or {}

    @property
    def tax_amount(self) -> int | None:
        amounts = self.total_taxes if self.total_taxes is not None else self.total_tax_amounts
        return sum(one.amount for one in amounts) if amounts is not None else self.tax

    @property
    def payment_ids(self) -> set[str]:
        """Payment intents and charges it was paid with."""
        ids = {id_of(self.payment_intent), id_of(self.charge)}
        for one in self.payments.data if self.payments is not None else []:
            if one.payment is not None and one.status != "canceled":
                ids |= {id_of(one.payment.payment_intent), id_of(one.payment.charge)}
        return {one for one in ids if one}


# Payments -------------------------------------------------------------------------------------------------------------------------


class BalanceTransaction(Identified):
    """What a charge did to the account's balance, in the currency it is settled in."""

    amount: int = 0
    fee: int = 0


class Refund(Identified):
    amount: int = 0
    created: int = 0
    currency: Word | None = None
    status: Word | None = None  # pending, requires_action, succeeded, failed, canceled
    charge: Name | Identified | None = None
    payment_intent: Name | Identified | None = None


class Dispute(Identified):
    amount: int = 0
    created: int = 0
    currency: Word | None = None
    status: Word | None = None  # needs_response, under_review, won, lost, warning_*, prevented
    charge: Name | Identified | None = None
    payment_intent: Name | Identified | None = None
    balance_transactions: list[BalanceTransaction] = []  # the withdrawal with its fee, and what came back of both


class CardCountry(Wire):
    country: str | None = None


class PaymentMethodDetails(Wire):
    card: CardCountry | None = None


class Charge(Identified):
    amount: int = 0
    created: int = 0
    currency: Word | None = None
    livemode: bool = False
    status: Word | None = None
    paid: bool = True
    disputed: bool = False
    payment_intent: Name | Identified | None = None
    invoice: Name | Identified | None = None  # before basil
    balance_transaction: Name | BalanceTransaction | None = None
    refunds: Page[Refund] | None = None
    billing_details: BillingDetails | None = None
    payment_method_details: PaymentMethodDetails | None = None

    @property
    def ids(self) -> set[str]:
        return {one for one in (self.id, id_of(self.payment_intent)) if one}

    @property
    def country(self) -> str | None:
        billed = self.billing_details.address if self.billing_details is not None else None
        card = self.payment_method_details.card if self.payment_method_details is not None else None
        return (billed.country if billed is not None else None) or (card.country if card is not None else None)


class PaymentIntent(Identified):
    amount_received: int = 0
    currency: Word | None = None


# Checkout -------------------------------------------------------------------------------------------------------------------------


class SessionLine(Identified):
    amount_total: int = 0
    amount_tax: int | None = None
    quantity: int | None = None
    price: Price | None = None


class CustomerDetails(Wire):
    address: Address | None = None


class Session(Identified):
    mode: Word | None = None  # payment, subscription, setup
    status: Word | None = None
    payment_status: Word | None = None  # paid, unpaid, no_payment_required
    livemode: bool = False
    created: int = 0
    currency: Word | None = None
    amount_total: int | None = None
    client_reference_id: Word | None = None
    customer: Name | Customer | None = None
    customer_details: CustomerDetails | None = None
    subscription: Name | Identified | None = None
    payment_intent: Name | Identified | None = None
    line_items: Page[SessionLine] | None = None
    metadata: dict[str, str] | None = None


# Events and refusals --------------------------------------------------------------------------------------------------------------


class EventData(Wire):
    object: msgspec.Raw = msgspec.Raw(b"{}")
    previous_attributes: dict[str, Any] | None = None


class Event(Identified):
    """`created` is text in events of Stripe's second API, which carry no object."""

    type: Word = ""
    created: int | Word | None = None
    livemode: bool = False
    account: Word | None = None
    data: EventData | None = None


class Subject(Identified):
    """Any object an event may carry, by the ids that lead from it to what a customer holds."""

    subscription: Name | Identified | None = None
    parent: InvoiceParent | None = None
    invoice: Name | Identified | None = None
    payment_intent: Name | Identified | None = None
    charge: Name | Identified | None = None
    released_subscription: Name | None = None

    @property
    def subscription_id(self) -> str | None:
        said = self.parent.subscription_details if self.parent is not None else None
        return (id_of(said.subscription) if said is not None else None) or id_of(self.subscription) or self.released_subscription


class ErrorDetails(Wire):
    type: Word | None = None
    code: str | None = None
    message: str | None = None


class ErrorAnswer(Wire):
    error: ErrorDetails = msgspec.field(default_factory=ErrorDetails)

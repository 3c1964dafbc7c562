"""What customers hold: subscriptions and one-time purchases."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from perennial.api.v2.wire.common import Environment, ListOf, Ownership
from perennial.api.v2.wire.entitlements import Entitlement
from perennial.api.v2.wire.products import Product


class MonetaryAmount(Struct):
    """In major units. `proceeds` are the gross less `tax` and `commission`, which are 0 where the store does not say them."""

    currency: str
    gross: float
    commission: float
    tax: float
    proceeds: float


class PendingChanges(Struct):
    product: Product | None


class HoldingFacts(Struct):
    """`refused_customer_id`: whom your backend named as the buyer, where no customer can have that id. `unclaimed_since`: nobody has named one."""

    refused_customer_id: str | UnsetType = UNSET
    unclaimed_since: int | UnsetType = UNSET


class Subscription(Struct):
    """`total_revenue_in_usd` says its own currency, which is that of the latest payment: we do not convert. `revenue`, ours, has all of them.

    `perennial`, ours, is there where there is something to say of its buyer.
    """

    id: str
    customer_id: str
    original_customer_id: str
    product_id: str | None
    starts_at: int
    current_period_starts_at: int
    current_period_ends_at: int | None
    ends_at: int | None
    gives_access: bool
    pending_payment: bool
    auto_renewal_status: Literal[
        "will_renew", "will_not_renew", "will_change_product", "will_pause", "requires_price_increase_consent", "has_already_renewed"
    ]
    status: Literal["trialing", "active", "expired", "in_grace_period", "in_billing_retry", "paused", "unknown", "incomplete"]
    total_revenue_in_usd: MonetaryAmount
    revenue: list[MonetaryAmount]
    presented_offering_id: str | None
    entitlements: ListOf[Entitlement]
    environment: Environment
    store: str
    store_subscription_identifier: str
    ownership: Ownership
    pending_changes: PendingChanges | None
    country: str | None
    management_url: str | None
    object: Literal["subscription"] = "subscription"
    perennial: HoldingFacts | UnsetType = UNSET


class SubscriptionTransaction(Struct):
    id: str
    purchased_at: int
    product_store_identifier: str
    expiration_date: int | None
    effective_expiration_date: int | None
    object: Literal["subscription_transaction"] = "subscription_transaction"


class Purchase(Struct):
    """`revenue_in_usd` says its own currency: we do not convert."""

    id: str
    customer_id: str
    original_customer_id: str
    product_id: str | None
    purchased_at: int
    revenue_in_usd: MonetaryAmount
    quantity: int
    status: Literal["owned", "refunded"]
    presented_offering_id: str | None
    entitlements: ListOf[Entitlement]
    environment: Environment
    store: str
    store_purchase_identifier: str
    ownership: Ownership
    country: str | None
    object: Literal["purchase"] = "purchase"
    perennial: HoldingFacts | UnsetType = UNSET

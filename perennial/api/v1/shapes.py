"""The shapes of v1's answers, for the documentation. What is sent is rendered by `subscriptions/customer_info.py` and its neighbours."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from perennial.api.documented import spec

Date = str  # ISO 8601, UTC


class Price(Struct):
    amount: float
    currency: str


class EntitlementInfo(Struct):
    expires_date: Date | None
    grace_period_expires_date: Date | None
    product_identifier: str
    purchase_date: Date
    product_plan_identifier: str | UnsetType = UNSET


class PurchaseInfo(Struct):
    purchase_date: Date
    store: str
    is_sandbox: bool
    store_transaction_id: str
    display_name: str | None
    price: Price | None
    original_purchase_date: Date


class SubscriptionInfo(PurchaseInfo):
    expires_date: Date | None
    period_type: Literal["normal", "trial", "intro", "prepaid"]
    unsubscribe_detected_at: Date | None
    billing_issues_detected_at: Date | None
    grace_period_expires_date: Date | None
    refunded_at: Date | None
    auto_resume_date: Date | None
    ownership_type: Literal["PURCHASED", "FAMILY_SHARED"]
    product_plan_identifier: str | None
    management_url: str | None
    metadata: dict[str, str] | UnsetType = UNSET


class OneTimeInfo(PurchaseInfo):
    id: str


class AttributeInfo(Struct):
    value: str
    updated_at_ms: int


class Subscriber(Struct):
    """`subscriber_attributes` only for secret keys."""

    original_app_user_id: str
    first_seen: Date
    last_seen: Date
    management_url: str | None
    original_application_version: str | None
    original_purchase_date: Date | None
    entitlements: dict[str, EntitlementInfo]
    subscriptions: dict[str, SubscriptionInfo]
    non_subscriptions: dict[str, list[OneTimeInfo]]
    other_purchases: dict[str, Any]
    subscriber_attributes: dict[str, AttributeInfo] | UnsetType = UNSET


class CustomerInfo(Struct):
    request_date: Date
    request_date_ms: int
    subscriber: Subscriber


class Deleted(Struct):
    app_user_id: str
    deleted: bool


class Tracked(Struct):
    purchase: str | UnsetType = UNSET
    payment: str | UnsetType = UNSET


class Reward(Struct):
    """A `virtual_currency` has `code` and `amount`, an `entitlement` `identifier` and `expires_at`."""

    type: Literal["virtual_currency", "entitlement"]
    code: str | UnsetType = UNSET
    amount: int | UnsetType = UNSET
    identifier: str | UnsetType = UNSET
    expires_at: Date | UnsetType = UNSET


class RewardVerification(Struct):
    """`reward` where it is verified, with all else it gave; `failure_reason` where it failed."""

    status: Literal["pending", "verified", "failed"]
    reward: Reward | UnsetType = UNSET
    more_rewards: list[Reward] | UnsetType = UNSET
    failure_reason: str | UnsetType = UNSET
    message: str | UnsetType = UNSET


class AmazonReceipt(Struct):
    """As Amazon's Receipt Verification Service answers; what else it says is handed through."""

    receiptId: str
    productId: str
    productType: str
    termSku: str | UnsetType | None = UNSET


_FOUND, _MADE = spec(CustomerInfo, "The customer"), spec(CustomerInfo, "The customer, who is new or was given something")
ANSWERS = {
    "get_customer": {200: _FOUND, 201: _MADE},
    "identify": {200: _FOUND, 201: _MADE},
    "track_external_purchase": {200: spec(Tracked, "The ids of what was recorded")},
    "get_amazon_receipt": {200: spec(AmazonReceipt, "The receipt, in Amazon's words")},
    "get_reward_verification": {200: spec(RewardVerification, "What became of it")},
    "delete_subscriber": {200: spec(Deleted, "They are gone")},
    **{name: {201: _MADE} for name in ("grant_entitlement", "override_offering", "delete_offering_override")},
    **{name: {200: _FOUND} for name in ("alias", "post_receipt", "redeem_purchase", "revoke_granted_entitlements", "revoke_subscription")},
    **{name: {200: _FOUND} for name in ("defer_subscription", "cancel_subscription", "extend_subscription", "refund_transaction")},
}

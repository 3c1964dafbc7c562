"""What goes in and out of v2, field for field as the vendor's clients expect it. Instants are epoch milliseconds.

A field that is absent (`UNSET`) is one the vendor calls optional; one that may be null is always there. What is ours beyond the vendor's
shape is named in the struct's docstring. Bodies may carry fields we do not know: they are ignored.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

T = TypeVar("T")

LARGEST_INT = 2**31 - 1
LARGEST_LONG = 2**53  # what every JSON reader keeps exactly

Id = Annotated[str, Meta(min_length=1, max_length=255)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
DisplayName = Annotated[str, Meta(min_length=1, max_length=1500)]
LookupKey = Annotated[str, Meta(min_length=1, max_length=200)]
BundleId = Annotated[str, Meta(min_length=1, max_length=256)]
Duration = Annotated[str, Meta(min_length=2, max_length=40, description="ISO 8601: P1W, P1M, P1Y, and in sandboxes PT5M")]
Milliseconds = Annotated[int, Meta(ge=0, le=LARGEST_LONG, description="since 1970")]
Position = Annotated[int, Meta(ge=1, le=LARGEST_INT)]
ProductIds = Annotated[list[Id], Meta(min_length=1, max_length=500)]
Environment = Literal["production", "sandbox"]
Ownership = Literal["purchased", "family_shared"]
StoreType = Literal["amazon", "app_store", "mac_app_store", "play_store", "stripe", "rc_billing", "roku", "paddle", "test_store"]
ProductType = Literal["subscription", "one_time", "consumable", "non_consumable", "non_renewing_subscription"]
EligibilityCriteria = Literal["all", "google_sdk_lt_6", "google_sdk_ge_6"]
RestoreBehavior = Literal["transfer", "transfer_if_inactive", "keep", "share"]
EventTypeName = Annotated[str, Meta(min_length=1, max_length=64)]


class ListOf(Struct, Generic[T]):
    items: list[T]
    next_page: str | None
    url: str
    object: Literal["list"] = "list"


class Error(Struct):
    type: str
    message: str
    retryable: bool
    doc_url: str
    param: str | UnsetType = UNSET
    object: Literal["error"] = "error"


class DeletedObject(Struct):
    object: str
    id: str
    deleted_at: int


# Projects and what was done in them -----------------------------------------------------------------------------------------------


class ProjectFacts(Struct):
    is_sandbox: bool
    restore_behavior: RestoreBehavior


class Project(Struct):
    """`perennial` is ours."""

    id: str
    name: str
    created_at: int
    perennial: ProjectFacts
    icon_url: str | None = None
    icon_url_large: str | None = None
    object: Literal["project"] = "project"


class ProjectCreate(Struct):
    """`is_sandbox` (a clock of its own, simulated stores) and `restore_behavior` are ours."""

    name: Name
    is_sandbox: bool = False
    restore_behavior: RestoreBehavior = "transfer"


class AuditLog(Struct):
    id: str
    project_id: str
    action_type: str
    target_type: str
    target_identifier: str
    actor_type: Literal["user", "system", "api_key"]
    actor_identifier: str
    occurred_at: int
    additional_data: dict[str, Any]
    object: Literal["audit_log"] = "audit_log"


class Clock(Struct):
    """Ours: what time it is in a project. `ticking` is false where a sandbox clock stands still until it is advanced."""

    now: int
    is_sandbox: bool
    ticking: bool
    object: Literal["clock"] = "clock"


class ClockAdvance(Struct):
    """One of the four."""

    days: Annotated[float, Meta(gt=0, le=36_500)] | None = None
    hours: Annotated[float, Meta(gt=0, le=876_000)] | None = None
    minutes: Annotated[float, Meta(gt=0, le=52_560_000)] | None = None
    to_ms: Milliseconds | None = None


class AdvancedClock(Clock):
    handled: int = 0  # how many things happened on the way


# Apps -----------------------------------------------------------------------------------------------------------------------------


class AppStoreFields(Struct):
    bundle_id: str


class AppFacts(Struct):
    """`notification_path`: where the store is to send its notifications, behind this installation's address."""

    has_store_api_key: bool
    notification_path: str | None


class App(Struct, omit_defaults=False):
    """`perennial` is ours. Stores without settings of their own have no object named after them."""

    id: str
    name: str
    created_at: int
    type: str
    project_id: str
    perennial: AppFacts
    app_store: AppStoreFields | UnsetType = UNSET
    mac_app_store: AppStoreFields | UnsetType = UNSET
    object: Literal["app"] = "app"


class AppStoreSettings(Struct):
    """`app_apple_id` is ours. A shared secret is taken and not needed: receipts are verified by their signatures."""

    bundle_id: BundleId | None = None
    app_apple_id: Annotated[int, Meta(ge=1, le=LARGEST_LONG)] | None = None
    subscription_private_key: Annotated[str, Meta(min_length=1, max_length=4500)] | None = None
    subscription_key_id: Annotated[str, Meta(min_length=1, max_length=32)] | None = None
    subscription_key_issuer: Annotated[str, Meta(min_length=1, max_length=36)] | None = None


class AppCreate(Struct):
    name: Name
    type: StoreType
    app_store: AppStoreSettings | None = None
    mac_app_store: AppStoreSettings | None = None


class AppUpdate(Struct):
    name: Name | None = None
    app_store: AppStoreSettings | None = None
    mac_app_store: AppStoreSettings | None = None


class PublicApiKey(Struct):
    id: str
    key: str
    environment: Environment
    app_id: str
    created_at: int
    object: Literal["public_api_key"] = "public_api_key"


# Products and entitlements --------------------------------------------------------------------------------------------------------


class Price(Struct):
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    amount_micros: Annotated[int, Meta(ge=0, le=10**15)]


class SubscriptionProduct(Struct):
    duration: str | None
    trial_duration: str | None
    grace_period_duration: str | None = None


class OneTimeProduct(Struct):
    is_consumable: bool | None


class Product(Struct):
    """`prices` is ours: of products that we sell ourselves."""

    id: str
    store_identifier: str
    type: ProductType
    created_at: int
    app_id: str
    display_name: str | None
    subscription: SubscriptionProduct | UnsetType = UNSET
    one_time: OneTimeProduct | UnsetType = UNSET
    prices: list[Price] | UnsetType = UNSET
    app: App | UnsetType = UNSET
    object: Literal["product"] = "product"


class ProductSubscription(Struct):
    duration: Duration
    trial_duration: Duration | None = None


class ProductCreate(Struct):
    """`prices` and `subscription.trial_duration` are ours, for apps of the Test Store and of web billing."""

    store_identifier: LookupKey
    app_id: Id
    type: ProductType
    display_name: DisplayName | None = None
    title: DisplayName | None = None
    subscription: ProductSubscription | None = None
    prices: Annotated[list[Price], Meta(max_length=200)] | None = None


class Entitlement(Struct):
    project_id: str
    id: str
    lookup_key: str
    display_name: str
    created_at: int
    products: ListOf[Product] | UnsetType = UNSET
    object: Literal["entitlement"] = "entitlement"


class EntitlementCreate(Struct):
    lookup_key: LookupKey
    display_name: DisplayName


class EntitlementUpdate(Struct):
    display_name: DisplayName


class ProductsAttach(Struct):
    product_ids: ProductIds


# Offerings, packages, placements --------------------------------------------------------------------------------------------------


class PackageProduct(Struct):
    product: Product
    eligibility_criteria: EligibilityCriteria


class Package(Struct):
    id: str
    lookup_key: str
    display_name: str
    position: int | None
    created_at: int
    products: ListOf[PackageProduct] | UnsetType = UNSET
    object: Literal["package"] = "package"


class PackageCreate(Struct):
    lookup_key: LookupKey
    display_name: DisplayName
    position: Position | None = None


class PackageUpdate(Struct):
    display_name: DisplayName | None = None
    position: Position | None = None


class PackageProductId(Struct):
    product_id: Id
    eligibility_criteria: EligibilityCriteria = "all"


class PackageProductsAttach(Struct):
    products: Annotated[list[PackageProductId], Meta(min_length=1, max_length=500)]


class Offering(Struct):
    id: str
    lookup_key: str
    display_name: str
    is_current: bool
    created_at: int
    project_id: str
    metadata: dict[str, Any] | None
    packages: ListOf[Package] | UnsetType = UNSET
    object: Literal["offering"] = "offering"


class OfferingCreate(Struct):
    """`is_current` is ours here."""

    lookup_key: LookupKey
    display_name: DisplayName
    metadata: dict[str, Any] | None = None
    is_current: bool = False


class OfferingUpdate(Struct):
    display_name: DisplayName | None = None
    is_current: bool | None = None
    metadata: dict[str, Any] | UnsetType | None = UNSET


class Placements(Struct):
    """Ours: which offering shows at which place. Null shows nothing there; a place not named shows the fallback."""

    fallback_offering_id: str | None
    placements: dict[str, str | None]
    object: Literal["placements"] = "placements"


class PlacementsPut(Struct):
    fallback_offering_id: Id | None = None
    placements: Annotated[dict[LookupKey, Id | None], Meta(max_length=200)] = msgspec.field(default_factory=dict)


# Customers ------------------------------------------------------------------------------------------------------------------------


class CustomerEntitlement(Struct):
    entitlement_id: str
    expires_at: int | None
    object: Literal["customer.active_entitlement"] = "customer.active_entitlement"


class CustomerAttribute(Struct):
    name: str
    value: str | None
    updated_at: int
    object: Literal["customer.attribute"] = "customer.attribute"


class CustomerAlias(Struct):
    id: str
    created_at: int
    object: Literal["customer.alias"] = "customer.alias"


class Customer(Struct):
    id: str
    project_id: str
    first_seen_at: int
    last_seen_at: int | None
    last_seen_app_version: str | None
    last_seen_country: str | None
    last_seen_platform: str | None
    last_seen_platform_version: str | None
    active_entitlements: ListOf[CustomerEntitlement] | UnsetType = UNSET
    attributes: ListOf[CustomerAttribute] | UnsetType = UNSET
    object: Literal["customer"] = "customer"


class AttributeSet(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=40)]
    value: Annotated[str, Meta(max_length=500)] | None


class CustomerCreate(Struct):
    id: Annotated[str, Meta(min_length=1, max_length=1500)]
    attributes: Annotated[list[AttributeSet], Meta(max_length=200)] | None = None


class AttributesSet(Struct):
    attributes: Annotated[list[AttributeSet], Meta(min_length=1, max_length=200)]


# Subscriptions and purchases ------------------------------------------------------------------------------------------------------


class MonetaryAmount(Struct):
    """In major units. No store tells us its commission or the tax yet: `tax` is 0, and `proceeds` are the gross."""

    currency: str
    gross: float
    tax: float
    proceeds: float


class PendingChanges(Struct):
    product: Product | None


class Subscription(Struct):
    """`total_revenue_in_usd` says its own currency, which is that of the latest payment: we do not convert. `revenue`, ours, has all of them."""

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


# Webhooks and events --------------------------------------------------------------------------------------------------------------


class WebhookHealth(Struct):
    """`failures` counts those since the last success."""

    last_success_at: int | None
    last_failure_at: int | None
    last_error: str | None
    failures: int
    has_authorization_header: bool


class WebhookIntegration(Struct):
    """`perennial` is ours, and `signing_secret`, which is told at the creation alone (Standard Webhooks, `whsec_...`)."""

    id: str
    project_id: str
    name: str
    url: str
    environment: Environment | None
    event_types: list[str] | None
    app_id: str | None
    created_at: int
    perennial: WebhookHealth
    signing_secret: str | UnsetType = UNSET
    object: Literal["webhook_integration"] = "webhook_integration"


class WebhookCreate(Struct):
    name: DisplayName
    url: Annotated[str, Meta(min_length=1, max_length=5000)]
    authorization_header: Annotated[str, Meta(max_length=5000)] | None = None
    environment: Environment | None = None
    event_types: Annotated[list[EventTypeName], Meta(max_length=100)] | None = None
    app_id: Id | None = None


class WebhookUpdate(Struct):
    name: DisplayName | UnsetType = UNSET
    url: Annotated[str, Meta(min_length=1, max_length=5000)] | UnsetType = UNSET
    authorization_header: Annotated[str, Meta(max_length=5000)] | UnsetType | None = UNSET
    environment: Environment | UnsetType | None = UNSET
    event_types: Annotated[list[EventTypeName], Meta(max_length=100)] | UnsetType | None = UNSET
    app_id: Id | UnsetType | None = UNSET


class WebhookTest(Struct):
    event_id: str
    object: Literal["webhook_test"] = "webhook_test"


class WebhookReplay(Struct):
    """Since when, or which events. Ours."""

    since_ms: Milliseconds | None = None
    event_ids: Annotated[list[Id], Meta(min_length=1, max_length=1000)] | None = None


class WebhookReplayed(Struct):
    deliveries: int
    object: Literal["webhook_replay"] = "webhook_replay"


class Delivery(Struct):
    webhook_integration_id: str
    webhook_integration_name: str
    state: Literal["waiting", "retrying", "delivered", "parked"]
    attempts: int
    next_attempt_at: int | None
    delivered_at: int | None
    parked_at: int | None
    last_status: int | None
    last_error: str | None


class Event(Struct):
    """Ours. `cursor` says where the event stands in the log: hand it back as `starting_after` to read on from it, now or later."""

    id: str
    cursor: str
    type: str
    app_id: str | None
    environment: str
    sequence: int
    happened_at: int
    recorded_at: int
    body: dict[str, Any]
    deliveries: list[Delivery]
    object: Literal["event"] = "event"

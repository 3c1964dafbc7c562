"""What is sold: apps of stores, products and their prices, entitlements they give, offerings that present them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from perennial.base.errors import AlreadyExists, Conflict, NotFound
from perennial.base.ids import AppId, KeyId, ProjectId
from perennial.base.money import Money
from perennial.base.value import field, value

ProductType = Literal["subscription", "one_time", "consumable", "non_consumable", "non_renewing_subscription"]
RestoreBehavior = Literal["transfer", "transfer_if_inactive", "keep", "share"]


@value
class StoreKind:
    """What an app of a store is made of. Its settings and secrets are named as the store's provider reads them (`providers/<store>`)."""

    key_prefix: str  # tells an SDK which store it talks to, and a person what they are looking at
    identifier: str | None = None  # what people call `App.bundle_id` there
    needs_identifier: bool = False
    settings: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    hook: str | None = None  # where its notifications go: /hooks/<hook>/<app id>


STORE_KINDS: dict[str, StoreKind] = {
    "app_store": StoreKind(
        key_prefix="appl_",
        identifier="bundle_id",
        needs_identifier=True,
        settings=(
            "app_store_connect_api_key_id",
            "app_store_connect_api_key_issuer",
            "app_store_connect_vendor_number",
            "admob_ad_units",
            "commission_percentage",
        ),
        secrets=("shared_secret", "app_store_connect_api_key"),
        hook="app_store",
    ),
    "mac_app_store": StoreKind(
        key_prefix="mac_",
        identifier="bundle_id",
        needs_identifier=True,
        settings=("app_store_connect_api_key_id", "app_store_connect_api_key_issuer", "commission_percentage"),
        secrets=("shared_secret", "app_store_connect_api_key"),
        hook="app_store",
    ),
    "play_store": StoreKind(
        key_prefix="goog_",
        identifier="package_name",
        needs_identifier=True,
        settings=("pubsub_audience", "pubsub_service_account", "pubsub_subscription", "license_key", "admob_ad_units", "commission_percentage"),
        secrets=("service_account",),
        hook="play_store",
    ),
    "amazon": StoreKind(
        key_prefix="amzn_",
        identifier="package_name",
        needs_identifier=True,
        settings=("sns_topic_arn", "rvs_sandbox", "admob_ad_units", "commission_percentage"),
        secrets=("shared_secret",),
        hook="amazon",
    ),
    "stripe": StoreKind(
        key_prefix="strp_",
        settings=("account_id", "connected_account", "past_due", "portal_return_url"),
        secrets=("api_key", "webhook_secret", "webhook_secret_previous"),
        hook="stripe",
    ),
    "roku": StoreKind(
        key_prefix="roku_",
        identifier="channel_id",
        settings=("channel_name", "environment", "legacy_push", "test_push", "commission_percentage"),
        secrets=("api_key",),
        hook="roku",
    ),
    "paddle": StoreKind(
        key_prefix="pdl_",
        settings=("environment", "signature_tolerance_seconds", "past_due", "grace_days", "products_by"),
        secrets=("api_key", "notification_secret"),
        hook="paddle",
    ),
    "microsoft": StoreKind(
        key_prefix="ms_", settings=("tenant_id", "client_id", "sandbox", "clawback", "commission_percentage"), secrets=("client_secret",)
    ),
    "rc_billing": StoreKind(key_prefix="rcb_", settings=("stripe_account_id", "app_name", "support_email", "default_currency")),
    "test_store": StoreKind(key_prefix="test_", settings=("admob_ad_units",)),
    "external": StoreKind(key_prefix="ext_"),  # another system of the project's own
}
# A setting of every store's apps: whether a purchase that only its store told of is told as an anonymous customer's, `on` or `off`.
TRACK_NEW_PURCHASES = "track_new_purchases_from_notifications"

SOLD_BY_US = ("test_store", "rc_billing")  # their prices and periods are said here; of other stores they are the store's to say
PRICED_HERE = (*SOLD_BY_US, "stripe", "paddle")  # what web pages show: their SDK has no store on the device to ask what it costs

NO_APP = AppId("")  # where a product is of no app: what is granted by hand
SECRET_PREFIX = "sk_"  # noqa: S105  what secrets begin with

# The order in which the SDKs show the standard packages.
STANDARD_PACKAGES = ("$rc_weekly", "$rc_monthly", "$rc_two_month", "$rc_three_month", "$rc_six_month", "$rc_annual", "$rc_lifetime")


class Missing(NotFound):
    """No such thing in this project's catalog."""


class Exists(AlreadyExists):
    """Its key is taken in this project."""


class TooManyOfThem(Conflict):
    """The project, the app or the offering has as many as it may have."""


class InUse(Conflict):
    """Something still needs it as it is. The message says what, and the way out."""


class Archived(Conflict):
    """What is archived is in the way: it must come back into sight first. `object_ids` are those things."""

    def __init__(self, message: str, *, object_ids: Sequence[str]) -> None:
        super().__init__(message)
        self.object_ids = tuple(object_ids)


@value
class Project:
    project_id: ProjectId
    name: str
    is_sandbox: bool
    restore_behavior: RestoreBehavior
    created_at: datetime
    clock_at: datetime | None = None
    clock_started_at: datetime | None = None


@value
class App:
    app_id: AppId
    name: str
    store: str
    created_at: datetime
    bundle_id: str | None = None  # the app's identifier in its store: bundle id, package name
    app_apple_id: int | None = None
    api_key_id: str | None = None
    api_issuer: str | None = None
    api_base_url: str | None = None
    has_api_secret: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    secret_names: tuple[str, ...] = ()  # those that are set; only the vault opens them


@value
class ApiKey:
    key_id: KeyId
    kind: Literal["public", "secret"]
    label: str
    created_at: datetime
    app_id: AppId | None = None
    public_key: str | None = None
    revoked_at: datetime | None = None
    permissions: tuple[str, ...] | None = None  # what a secret key may do; None: everything


@value
class Caller:
    """Who asks, by their key. A public key stands for one app; a secret key may enter its project and those created with it; a token is that
    of a third party, and `key_id` then its grant."""

    project_id: ProjectId
    key_id: KeyId
    kind: Literal["public", "secret", "token"]
    app_id: AppId | None = None
    store: str | None = None
    reaches: tuple[ProjectId, ...] = ()
    permissions: frozenset[str] | None = None  # None: everything that its kind may do


@value
class Product:
    product_id: str
    app_id: AppId  # `NO_APP` for what is granted by hand
    store_identifier: str
    type: ProductType
    created_at: datetime
    display_name: str | None = None
    duration: str | None = None  # ISO 8601
    trial_duration: str | None = None
    prices: tuple[Money, ...] = ()
    entitlements: tuple[str, ...] = ()  # lookup keys
    archived_at: datetime | None = None  # no longer offered; what was bought of it stays


@value
class Entitlement:
    entitlement_id: str
    lookup_key: str
    display_name: str
    created_at: datetime
    archived_at: datetime | None = None  # out of sight; those who hold it keep it


@value
class PackageProduct:
    product_id: str
    eligibility_criteria: str


@value
class Package:
    package_id: str
    offering_id: str
    lookup_key: str
    display_name: str
    position: int
    created_at: datetime
    products: tuple[PackageProduct, ...] = ()


@value
class Offering:
    offering_id: str
    lookup_key: str
    display_name: str
    is_current: bool
    created_at: datetime
    metadata: dict[str, Any] | None = None
    packages: tuple[Package, ...] = ()
    archived_at: datetime | None = None  # no app shows it


@value
class Placements:
    """Which offering shows where. A placement with None shows nothing; one not named shows the fallback."""

    fallback_offering: str | None  # lookup keys
    offerings: dict[str, str | None]


@value
class PlacementIds:
    """`Placements` by the offerings' ids, as they are set."""

    fallback_offering_id: str | None
    offering_ids: dict[str, str | None]


@value
class AuditEntry:
    """An administrative act: who did what to what. `actor` is a key's id, or where it was done by hand: `cli`, `dashboard`."""

    audit_id: str
    actor: str
    action: str  # noun.verb
    target: str
    at: datetime
    data: dict[str, Any]


# Virtual currencies -----------------------------------------------------------------------------------------------------------

MOST_OFFERINGS = 1000  # of a project: every app of it reads them all at once
MOST_PACKAGES = 250  # of an offering
MOST_PRODUCTS = 10_000  # of an app
MOST_CURRENCIES = 100  # of a project: the vendor's limit
MOST_OF_A_CURRENCY = 2_000_000_000  # that one customer can have: the vendor's limit


@value
class ProductGrant:
    """How much of a virtual currency its products give: at each purchase and renewal, and where a trial begins."""

    product_ids: tuple[str, ...]
    amount: int
    trial_amount: int = 0
    expire_at_cycle_end: bool = False  # what is left of it goes when the period it was given for ends


@value
class VirtualCurrency:
    code: str
    name: str
    created_at: datetime
    description: str | None = None
    product_grants: tuple[ProductGrant, ...] = ()


@value
class GivenByProduct:
    """What one product gives of one currency. What was bought before `since` gave nothing."""

    code: str
    amount: int
    trial_amount: int
    expire_at_cycle_end: bool
    since: datetime

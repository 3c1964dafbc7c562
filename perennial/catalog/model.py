"""What is sold: apps of stores, products and their prices, entitlements they give, offerings that present them."""

from datetime import datetime
from typing import Any, Literal

from perennial.base.errors import Conflict, NotFound
from perennial.base.ids import AppId, KeyId, ProjectId
from perennial.base.money import Money
from perennial.base.value import value

AppStoreKind = Literal["app_store", "mac_app_store", "test_store", "rc_billing"]
ProductType = Literal["subscription", "one_time", "consumable", "non_consumable", "non_renewing_subscription"]
RestoreBehavior = Literal["transfer", "transfer_if_inactive", "keep", "share"]

# The prefix tells an SDK which store it talks to, and a person what they are looking at.
KEY_PREFIXES: dict[str, str] = {"app_store": "appl_", "mac_app_store": "mac_", "test_store": "test_", "rc_billing": "rcb_"}
SECRET_PREFIX = "sk_"  # noqa: S105  what secrets begin with

# The order in which the SDKs show the standard packages.
STANDARD_PACKAGES = ("$rc_weekly", "$rc_monthly", "$rc_two_month", "$rc_three_month", "$rc_six_month", "$rc_annual", "$rc_lifetime")


class Missing(NotFound):
    """No such thing in this project's catalog."""


class Exists(Conflict):
    """Its key is taken in this project."""


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
    bundle_id: str | None = None
    app_apple_id: int | None = None
    api_key_id: str | None = None
    api_issuer: str | None = None
    api_base_url: str | None = None
    has_api_secret: bool = False


@value
class ApiKey:
    key_id: KeyId
    kind: Literal["public", "secret"]
    label: str
    created_at: datetime
    app_id: AppId | None = None
    public_key: str | None = None
    revoked_at: datetime | None = None


@value
class Caller:
    """Who asks, by their key. A public key stands for one app; a secret key may enter its project and those created with it."""

    project_id: ProjectId
    key_id: KeyId
    kind: Literal["public", "secret"]
    app_id: AppId | None = None
    store: str | None = None
    reaches: tuple[ProjectId, ...] = ()


@value
class Product:
    product_id: str
    app_id: AppId
    store_identifier: str
    type: ProductType
    created_at: datetime
    display_name: str | None = None
    duration: str | None = None  # ISO 8601
    trial_duration: str | None = None
    prices: tuple[Money, ...] = ()
    entitlements: tuple[str, ...] = ()  # lookup keys


@value
class Entitlement:
    entitlement_id: str
    lookup_key: str
    display_name: str
    created_at: datetime


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

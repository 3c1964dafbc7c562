"""Apps of stores, and their SDK keys.

A store's object in a body (`play_store`, `stripe`) is the vendor's. What a store needs beyond it goes into `perennial`, by the names its
provider reads. No secret comes back in an answer: `perennial.secrets` names those that are set.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from perennial.api.v2.wire.common import LARGEST_LONG, BundleId, Environment, Name, StoreType

RokuChannelId = Annotated[str, Meta(min_length=6, max_length=6)]
RokuChannelName = Annotated[str, Meta(min_length=1, max_length=30)]
StoreText = Annotated[str, Meta(min_length=1, max_length=256)]
Secret = Annotated[str, Meta(min_length=1, max_length=20_000)]
AppleSharedSecret = Annotated[str, Meta(min_length=32, max_length=32)]
PaddleApiKey = Annotated[str, Meta(min_length=50, max_length=70)]
EmailAddress = Annotated[str, Meta(min_length=1, max_length=320)]
Named = Annotated[str, Meta(min_length=1, max_length=64)]
BillingCurrency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]


class AppStoreFields(Struct):
    bundle_id: str
    subscription_key_configured: bool
    app_store_connect_api_key_configured: bool


class MacAppStoreFields(Struct):
    bundle_id: str


class PackageFields(Struct):
    package_name: str


class StripeFields(Struct):
    stripe_account_id: str | UnsetType = UNSET


class BillingFields(Struct):
    """The `seller_` fields are the vendor's old names of the others."""

    stripe_account_id: str | None
    seller_company_name: str
    app_name: str
    seller_company_support_email: str | None
    support_email: str | None
    default_currency: str


class RokuFields(Struct):
    roku_channel_id: str | None
    roku_channel_name: str | None


class PaddleFields(Struct):
    paddle_is_sandbox: bool


class AppFacts(Struct):
    """`notification_path`: where the store is to send its notifications, behind this installation's address. `secrets`: those that are set."""

    has_store_api_key: bool
    notification_path: str | None
    settings: dict[str, str]
    secrets: list[str]


class App(Struct, omit_defaults=False):
    """`perennial` is ours, and so are the types `microsoft` and `external`. An app has the object of its own store alone."""

    id: str
    name: str
    created_at: int
    type: StoreType
    project_id: str
    perennial: AppFacts
    app_store: AppStoreFields | UnsetType = UNSET
    mac_app_store: MacAppStoreFields | UnsetType = UNSET
    play_store: PackageFields | UnsetType = UNSET
    amazon: PackageFields | UnsetType = UNSET
    stripe: StripeFields | UnsetType = UNSET
    rc_billing: BillingFields | UnsetType = UNSET
    roku: RokuFields | UnsetType = UNSET
    paddle: PaddleFields | UnsetType = UNSET
    object: Literal["app"] = "app"


class AppStoreSettings(Struct):
    """`app_apple_id` is ours. A shared secret is kept and not needed: receipts are verified by their signatures."""

    bundle_id: BundleId | UnsetType = UNSET
    app_apple_id: Annotated[int, Meta(ge=1, le=LARGEST_LONG)] | UnsetType = UNSET
    shared_secret: AppleSharedSecret | UnsetType | None = UNSET
    subscription_private_key: Annotated[str, Meta(min_length=1, max_length=4500)] | UnsetType = UNSET
    subscription_key_id: Annotated[str, Meta(min_length=1, max_length=32)] | UnsetType = UNSET
    subscription_key_issuer: Annotated[str, Meta(min_length=1, max_length=36)] | UnsetType = UNSET
    app_store_connect_api_key: Annotated[str, Meta(min_length=1, max_length=4500)] | UnsetType = UNSET
    app_store_connect_api_key_id: Annotated[str, Meta(min_length=1, max_length=36)] | UnsetType = UNSET
    app_store_connect_api_key_issuer: Annotated[str, Meta(min_length=1, max_length=36)] | UnsetType = UNSET
    app_store_connect_vendor_number: Annotated[str, Meta(min_length=1, max_length=20)] | UnsetType = UNSET


class MacAppStoreSettings(Struct):
    """All but `bundle_id` and `shared_secret` is ours."""

    bundle_id: BundleId | UnsetType = UNSET
    app_apple_id: Annotated[int, Meta(ge=1, le=LARGEST_LONG)] | UnsetType = UNSET
    shared_secret: AppleSharedSecret | UnsetType | None = UNSET
    subscription_private_key: Annotated[str, Meta(min_length=1, max_length=4500)] | UnsetType = UNSET
    subscription_key_id: Annotated[str, Meta(min_length=1, max_length=32)] | UnsetType = UNSET
    subscription_key_issuer: Annotated[str, Meta(min_length=1, max_length=36)] | UnsetType = UNSET


class PlayStoreSettings(Struct):
    package_name: StoreText | UnsetType = UNSET


class AmazonSettings(Struct):
    package_name: StoreText | UnsetType = UNSET
    shared_secret: Secret | UnsetType | None = UNSET


class StripeSettings(Struct):
    stripe_account_id: StoreText | UnsetType = UNSET


class BillingSettings(Struct):
    stripe_account_id: StoreText | UnsetType | None = UNSET
    app_name: StoreText | UnsetType | None = UNSET
    support_email: EmailAddress | UnsetType | None = UNSET
    default_currency: BillingCurrency | UnsetType = UNSET


class RokuSettings(Struct):
    """A channel's id and name have the vendor's limits: its clients refuse an app that is shown with others. A key is never shown, and Roku's are not
    all of 33 characters."""

    roku_api_key: Secret | UnsetType | None = UNSET
    roku_channel_id: RokuChannelId | UnsetType | None = UNSET
    roku_channel_name: RokuChannelName | UnsetType | None = UNSET


class PaddleSettings(Struct):
    paddle_api_key: PaddleApiKey | UnsetType | None = UNSET
    paddle_is_sandbox: bool | UnsetType | None = UNSET


class OurSettings(Struct):
    """By the names the store's provider reads. Null takes one away."""

    settings: Annotated[dict[Named, Secret | None], Meta(max_length=50)] = field(default_factory=dict)
    secrets: Annotated[dict[Named, Secret | None], Meta(max_length=50)] = field(default_factory=dict)


class AppChange(Struct):
    """The object of the app's own store counts, and `perennial`."""

    app_store: AppStoreSettings | None = None
    mac_app_store: MacAppStoreSettings | None = None
    play_store: PlayStoreSettings | None = None
    amazon: AmazonSettings | None = None
    stripe: StripeSettings | None = None
    rc_billing: BillingSettings | None = None
    roku: RokuSettings | None = None
    paddle: PaddleSettings | None = None
    perennial: OurSettings | None = None


class AppCreate(AppChange, kw_only=True):
    name: Name
    type: StoreType


class AppUpdate(AppChange):
    name: Name | None = None


class PublicApiKey(Struct):
    id: str
    key: str
    environment: Environment
    app_id: str
    created_at: int
    object: Literal["public_api_key"] = "public_api_key"


class StoreKitConfigFile(Struct):
    contents: dict[str, Any]
    object: Literal["store_kit_config_file"] = "store_kit_config_file"

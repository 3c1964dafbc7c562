"""Products and what they cost."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from perennial.api.v2.wire.apps import App
from perennial.api.v2.wire.common import DisplayName, Duration, Id, LookupKey, Name, ProductType, State

Micros = Annotated[int, Meta(ge=0, le=10**15, description="Millionths of the currency's major unit")]


class Price(Struct):
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    amount_micros: Micros


class SubscriptionProduct(Struct):
    duration: str | None
    trial_duration: str | None
    grace_period_duration: str | None = None


class OneTimeProduct(Struct):
    is_consumable: bool | None


class Product(Struct):
    """`prices` is ours: of products that we sell ourselves. `state` is inactive while it is archived."""

    id: str
    store_identifier: str
    type: ProductType
    state: State
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


class ProductSubscriptionUpdate(Struct):
    duration: Duration | UnsetType = UNSET
    trial_duration: Duration | UnsetType | None = UNSET


class ProductUpdate(Struct):
    """`subscription` is ours, for apps of the Test Store and of web billing."""

    display_name: Annotated[str, Meta(max_length=1500)] | UnsetType | None = UNSET
    subscription: ProductSubscriptionUpdate | None = None


class ProductPrices(Struct):
    product_id: str
    prices: list[Price]
    object: Literal["product_prices"] = "product_prices"


class PricesAdd(Struct):
    prices: Annotated[list[Price], Meta(min_length=1, max_length=200)]


class PriceUpdate(Struct):
    amount_micros: Micros


class StoreInformation(Struct):
    """The first two of a subscription, and then needed; a one-time purchase needs nothing. A group's id counts before its name."""

    duration: Literal["ONE_WEEK", "ONE_MONTH", "TWO_MONTHS", "THREE_MONTHS", "SIX_MONTHS", "ONE_YEAR"] | None = None
    subscription_group_name: Name | None = None
    subscription_group_id: Id | None = None


class ProductCreateInStore(Struct):
    store_information: StoreInformation | None = None


class StoreProduct(Struct):
    """`id` is the store's own (App Store Connect's), `product_identifier` what apps ask for."""

    id: str
    name: str | None
    product_identifier: str
    object: Literal["store_product"] = "store_product"


class ProductInStore(Struct):
    created_product: StoreProduct

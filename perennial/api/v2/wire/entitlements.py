"""Entitlements, and the products that give them."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from perennial.api.v2.wire.common import DisplayName, ListOf, LookupKey, ProductIds, State
from perennial.api.v2.wire.products import Product


class Entitlement(Struct):
    """`state` is inactive while it is archived: out of sight, and still given to who holds it."""

    project_id: str
    id: str
    lookup_key: str
    display_name: str
    state: State
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

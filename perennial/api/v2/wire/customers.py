"""Customers, and what is noted about them."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from perennial.api.v2.wire.common import ListOf


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

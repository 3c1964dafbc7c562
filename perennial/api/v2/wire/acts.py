"""What is done to customers and to what they hold."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from perennial.api.v2.wire.common import Id, Milliseconds
from perennial.api.v2.wire.customers import Customer


class TransferTo(Struct):
    """Without `app_ids` everything moves, grants too; with them what was bought in those apps."""

    target_customer_id: Annotated[str, Meta(min_length=1, max_length=1500)]
    app_ids: Annotated[list[Id], Meta(min_length=1, max_length=200)] | None = None


class Transfer(Struct):
    source_customer: Customer
    target_customer: Customer


class Authenticate(Struct):
    app_user_id: Annotated[str, Meta(min_length=1, max_length=1500)]


class CustomerAuthentication(Struct):
    """`token` is the vendor's `access_token` by our older name."""

    access_token: str
    token: str
    expires_at: Milliseconds
    object: Literal["customer_authentication"] = "customer_authentication"


class EntitlementGrant(Struct):
    entitlement_id: Id
    expires_at: Milliseconds


class GrantRevoke(Struct):
    entitlement_id: Id


class OfferingAssign(Struct):
    """Null: the project's current offering again."""

    offering_id: Id | None


class BlockedSince(Struct):
    updated_at_ms: int


class AuthenticatedManagementUrl(Struct):
    management_url: str
    object: Literal["authenticated_management_url"] = "authenticated_management_url"

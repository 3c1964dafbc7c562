"""What every noun of v2 is made of: kinds of text, lists, errors."""

from typing import Annotated, Generic, Literal, TypeVar

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
StoreType = Literal[
    "amazon", "app_store", "mac_app_store", "play_store", "stripe", "rc_billing", "roku", "paddle", "test_store", "microsoft", "external"
]
State = Literal["active", "inactive"]
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
    backoff_ms: int | UnsetType = UNSET
    outcome: Literal["not_done", "unknown"] | UnsetType = UNSET  # with 503: whether a write may have been done after all
    referenced_object_ids: list[str] | UnsetType = UNSET
    object: Literal["error"] = "error"


class DeletedObject(Struct):
    """`api_key` and `collaborator` are ours."""

    object: Literal[
        "app",
        "customer",
        "entitlement",
        "offering",
        "package",
        "paywall",
        "product",
        "virtual_currency",
        "webhook_integration",
        "api_key",
        "collaborator",
    ]
    id: str
    deleted_at: int

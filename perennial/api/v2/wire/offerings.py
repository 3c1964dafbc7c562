"""Offerings, their packages, and where they show."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from perennial.api.v2.wire.common import DisplayName, EligibilityCriteria, Id, ListOf, LookupKey, Position, State
from perennial.api.v2.wire.products import Product


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
    """`state` is inactive while it is archived: no app shows it."""

    id: str
    lookup_key: str
    display_name: str
    state: State
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


class OfferingUnarchive(Struct):
    """Whether the archived products of its packages come back with it."""

    unarchive_referenced_entities: bool = False


class Placements(Struct):
    """Ours: which offering shows at which place. Null shows nothing there; a place not named shows the fallback."""

    fallback_offering_id: str | None
    placements: dict[str, str | None]
    object: Literal["placements"] = "placements"


class PlacementsPut(Struct):
    fallback_offering_id: Id | None = None
    placements: Annotated[dict[LookupKey, Id | None], Meta(max_length=200)] = field(default_factory=dict)

"""Request bodies of v1. Unknown fields are ignored: SDKs of every version send more than we need."""

from typing import Annotated, Any, Literal

import msgspec

from perennial.base.errors import Invalid
from perennial.base.reading import milliseconds
from perennial.customers import AttributeProblem
from perennial.customers.model import Attribute

MOST_ATTRIBUTES = 1000  # of one request

# Whatever JSON has, where one thing of a wrong type must not take the rest of the body with it.
Scalar = str | int | float | bool | None
Anything = Scalar | list[Any] | dict[str, Any]


class AttributeIn(msgspec.Struct):
    """`value` is a text, or null to delete; `updated_at_ms` milliseconds, or null for now. An attribute that is otherwise is refused alone (7263)."""

    value: Anything = None
    updated_at_ms: Anything = None


AttributesIn = dict[str, AttributeIn | Scalar | list[Any]]


class Identify(msgspec.Struct):
    app_user_id: str
    new_app_user_id: str


class Alias(msgspec.Struct):
    new_app_user_id: str


class Attributes(msgspec.Struct):
    attributes: AttributesIn


class PostReceipt(msgspec.Struct):
    app_user_id: str
    fetch_token: str | None = None
    app_transaction: str | None = None
    product_id: str | None = None
    product_ids: list[str] | None = None
    is_restore: bool | None = None
    observer_mode: bool | None = None
    purchase_completed_by: str | None = None
    initiation_source: str | None = None
    presented_offering_identifier: str | None = None
    store_user_id: str | None = None
    price: float | None = None
    currency: str | None = None
    attributes: AttributesIn | Scalar | list[Any] = None

    @property
    def products(self) -> tuple[str, ...]:
        return tuple(self.product_ids or ([self.product_id] if self.product_id else []))[:100]


_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern="^[^\\x00]*$")]


class ProductChange(msgspec.Struct):
    """Which subscription is meant, where the customer has several: by its id (ours or the store's), or by its product."""

    subscription_id: _Name | None = None
    from_product_id: _Name | None = None


class StartCheckout(msgspec.Struct):
    app_user_id: str
    product_id: _Name
    product_change: ProductChange | None = None


class Grant(msgspec.Struct):
    """Until `end_time_ms`, or for a `duration` counted from `start_time_ms` or now."""

    end_time_ms: int | None = None
    duration: Literal["daily", "three_day", "weekly", "two_week", "monthly", "two_month", "three_month", "six_month", "yearly", "lifetime"] | None = (
        None
    )
    start_time_ms: int | None = None


class Defer(msgspec.Struct):
    expiry_time_ms: int | None = None
    extend_by_days: Annotated[int, msgspec.Meta(ge=1, le=365)] | None = None


class Extend(msgspec.Struct):
    extend_by_days: Annotated[int, msgspec.Meta(ge=1, le=90)]
    extend_reason_code: Annotated[int, msgspec.Meta(ge=0, le=3)]


class Events(msgspec.Struct):
    """Of every kind an SDK knows: paywalls, checkouts, Customer Center, ads."""

    events: list[Any] = []


class Diagnostics(msgspec.Struct):
    """How an SDK itself does."""

    entries: list[Any] = []


class Attribution(msgspec.Struct):
    """`network` is a number in SDKs, and its digit as a text in the vendor's reference."""

    network: int | Literal["0", "1", "2", "3", "4", "5"]
    data: dict[str, Any] = {}


class AdServicesAttribution(msgspec.Struct):
    aad_attribution_token: Annotated[str, msgspec.Meta(min_length=1, max_length=5000)]


class IntroEligibility(msgspec.Struct):
    product_identifiers: Annotated[list[str], msgspec.Meta(max_length=500)]
    fetch_token: str | None = None


class OfferWanted(msgspec.Struct):
    offer_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    product_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    subscription_group: str | None = None


class SignOffers(msgspec.Struct):
    app_user_id: str
    generate_offers: Annotated[list[OfferWanted], msgspec.Meta(min_length=1, max_length=20)]
    fetch_token: str | None = None


class RestoreEligibility(msgspec.Struct):
    fetch_token: str


class RedeemPurchase(msgspec.Struct):
    redemption_token: Annotated[str, msgspec.Meta(max_length=200)]
    app_user_id: str


class CreateTicket(msgspec.Struct):
    app_user_id: str
    customer_email: str
    issue_description: str


def attributes_of(sent: Anything | AttributesIn, now_ms: int, client_ip: str | None) -> tuple[dict[str, Attribute], list[AttributeProblem]]:
    """The attributes that can be read, and what is wrong with the others. `$ip: "true"` asks the server to fill in what it sees."""
    if sent is None:
        return {}, []
    if not isinstance(sent, dict):
        return {}, [AttributeProblem(key="attributes", message="attributes are an object: each name with its value and updated_at_ms")]
    read: dict[str, Attribute] = {}
    problems: list[AttributeProblem] = []
    for name, one in list(sent.items())[:MOST_ATTRIBUTES]:
        try:
            read[name] = _attribute(name, one, now_ms, client_ip)
        except Invalid as error:
            problems.append(AttributeProblem(key=name[:100], message=error.message))
    return read, problems


def _attribute(name: str, one: object, now_ms: int, client_ip: str | None) -> Attribute:
    if not isinstance(one, AttributeIn):
        raise Invalid("an attribute is an object of its value and updated_at_ms")
    if not isinstance(one.value, str | None):
        raise Invalid("values are texts, or null to delete; put numbers and truths in quotes")
    at = now_ms if one.updated_at_ms is None else one.updated_at_ms
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise Invalid("updated_at_ms is a number of milliseconds, or null for now")
    return Attribute(value=client_ip if name == "$ip" and one.value == "true" else one.value, updated_at=milliseconds(at, "updated_at_ms"))

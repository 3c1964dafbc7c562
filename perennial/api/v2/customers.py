"""Customers: who they are, and what they may use and hold."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated
from urllib.parse import quote

from litestar.params import JSONBody, QueryParameter

from perennial import catalog, customers, subscriptions
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.entry import entered, ms
from perennial.api.v2.holdings import Surroundings, active_entitlements, is_purchase, is_subscription, product_keys, show_purchase, show_subscription
from perennial.api.v2.pages import AskedPage, Expand, expanded, path_of, whole
from perennial.api.v2.routes import PathId, get, post
from perennial.base.db import Tx
from perennial.base.errors import Invalid
from perennial.base.ids import CustomerId
from perennial.base.time import to_ms
from perennial.customers.model import Attribute, Customer, CustomerExists, check_app_user_id
from perennial.subscriptions.model import Environment, Line

TAGS = ["Customers"]
CUSTOMERS = "/projects/{project_id:str}/customers"
CUSTOMER = CUSTOMERS + "/{customer_id:str}"
OfEnvironment = Annotated[Environment | None, QueryParameter(description="Only of this environment")]


@get(CUSTOMERS, permission="customer_information:customers:read", operation_id="list-customers", summary="List customers, or find them", tags=TAGS)
async def list_customers(
    request: HttpRequest,
    project_id: PathId,
    page: AskedPage,
    search: Annotated[str | None, QueryParameter(min_length=1, max_length=255, description="An app user id or e-mail address, whole")] = None,
) -> wire.ListOf[wire.Customer]:
    """In the order we first saw them. Each is called by their first app user id."""
    async with entered(request, project_id) as entry:
        after = await _customer_before(entry.tx, page.after) if page.after is not None else None
        ids = await customers.page(entry.tx, after=after, limit=page.probe, search=search)
        people = await customers.load(entry.tx, ids)
    found = [people[one] for one in ids]
    return page.of(found, lambda one: one.original_app_user_id, lambda one: _show(one, one.original_app_user_id, project_id))


async def _customer_before(tx: Tx, app_user_id: str) -> str:
    found = await customers.find(tx, [app_user_id])
    if app_user_id not in found:
        raise Invalid(f"starting_after: no customer has the id {app_user_id[:80]!r}", param="starting_after")
    return found[app_user_id]


@post(CUSTOMERS, permission="customer_information:customers:read_write", operation_id="create-customer", summary="Create a customer", tags=TAGS)
async def create_customer(request: HttpRequest, project_id: PathId, data: JSONBody[wire.CustomerCreate]) -> wire.Customer:
    """SDKs create customers by themselves; this is for servers that know them earlier."""
    check_app_user_id(data.id, param="id")
    async with entered(request, project_id) as entry:
        ids, new = await customers.ensure(entry.tx, [data.id])
        if not new:
            raise CustomerExists(f"there is a customer {data.id!r} already", param="id")
        if data.attributes:
            await _set_attributes(entry.tx, ids[data.id], data.attributes)
        await entry.audit("customer.create", data.id)
        customer = await customers.get(entry.tx, data.id)
        return _show(customer, data.id, project_id, entitlements=[])


@get(CUSTOMER, permission="customer_information:customers:read", operation_id="get-customer", summary="Get a customer", tags=TAGS)
async def get_customer(request: HttpRequest, project_id: PathId, customer_id: PathId, expand: Expand = None) -> wire.Customer:
    """By any of their app user ids, which is then how the answer calls them."""
    wanted = expanded(expand, "attributes")
    async with entered(request, project_id) as entry:
        customer = await customers.get(entry.tx, customer_id)
        lines = await subscriptions.load_of_customers(entry.tx, [customer.customer_id])
        around = await surroundings(entry.tx, lines, {customer.customer_id: customer}, called={customer.customer_id: customer_id})
    return _show(customer, customer_id, project_id, entitlements=active_entitlements(lines, around), with_attributes=bool(wanted))


@get(
    CUSTOMER + "/active_entitlements",
    permission="customer_information:customers:read",
    operation_id="list-customer-active-entitlements",
    summary="List what a customer may use now",
    tags=TAGS,
)
async def list_active_entitlements(
    request: HttpRequest, project_id: PathId, customer_id: PathId, page: AskedPage
) -> wire.ListOf[wire.CustomerEntitlement]:
    async with entered(request, project_id) as entry:
        customer = await customers.get(entry.tx, customer_id)
        lines = await subscriptions.load_of_customers(entry.tx, [customer.customer_id])
        around = await surroundings(entry.tx, lines, {customer.customer_id: customer})
    return page.part_of(active_entitlements(lines, around), lambda one: one.entitlement_id, lambda one: one)


@get(
    CUSTOMER + "/aliases",
    permission="customer_information:customers:read",
    operation_id="list-customer-aliases",
    summary="List app user ids",
    tags=TAGS,
)
async def list_aliases(request: HttpRequest, project_id: PathId, customer_id: PathId, page: AskedPage) -> wire.ListOf[wire.CustomerAlias]:
    """The oldest first."""
    async with entered(request, project_id) as entry:
        customer = await customers.get(entry.tx, customer_id)
        found = await customers.aliases(entry.tx, customer.customer_id)
    return page.part_of(found, lambda one: one[0], _show_alias)


def _show_alias(one: tuple[str, datetime]) -> wire.CustomerAlias:
    return wire.CustomerAlias(id=one[0], created_at=to_ms(one[1]))


@get(
    CUSTOMER + "/attributes",
    permission="customer_information:customers:read",
    operation_id="list-customer-attributes",
    summary="List attributes",
    tags=TAGS,
)
async def list_attributes(request: HttpRequest, project_id: PathId, customer_id: PathId, page: AskedPage) -> wire.ListOf[wire.CustomerAttribute]:
    async with entered(request, project_id) as entry:
        customer = await customers.get(entry.tx, customer_id)
    return page.part_of(_attributes(customer), lambda one: one.name, lambda one: one)


@post(
    CUSTOMER + "/attributes",
    permission="customer_information:customers:read_write",
    operation_id="set-customer-attributes",
    summary="Set attributes",
    tags=TAGS,
    status_code=200,
)
async def set_attributes(
    request: HttpRequest, project_id: PathId, customer_id: PathId, data: JSONBody[wire.AttributesSet]
) -> wire.ListOf[wire.CustomerAttribute]:
    """A null or empty value deletes. Where one of them cannot be kept, none is."""
    async with entered(request, project_id) as entry:
        customer = await customers.get(entry.tx, customer_id)
        await _set_attributes(entry.tx, customer.customer_id, data.attributes)
        await entry.audit("customer.set_attributes", customer_id, {"names": sorted({one.name for one in data.attributes})})
        customer = await customers.get(entry.tx, customer_id)
    return whole(_attributes(customer), path_of(request))


async def _set_attributes(tx: Tx, customer_id: CustomerId, sent: Sequence[wire.AttributeSet]) -> None:
    problems = await customers.set_attributes(tx, customer_id, {one.name: Attribute(value=one.value, updated_at=tx.now) for one in sent})
    if problems:
        raise Invalid(f"attributes: {problems[0].key!r}: {problems[0].message}", param="attributes")


def _attributes(customer: Customer) -> list[wire.CustomerAttribute]:
    return [
        wire.CustomerAttribute(name=name, value=one.value, updated_at=to_ms(one.updated_at))
        for name, one in sorted(customer.attributes.items())
        if one.value is not None
    ]


@get(
    CUSTOMER + "/subscriptions",
    permission="customer_information:subscriptions:read",
    operation_id="list-customer-subscriptions",
    summary="List a customer's subscriptions",
    tags=TAGS,
)
async def list_subscriptions(
    request: HttpRequest, project_id: PathId, customer_id: PathId, page: AskedPage, environment: OfEnvironment = None
) -> wire.ListOf[wire.Subscription]:
    """Running and ended ones, in the order we heard of them."""
    lines, around = await _held(request, project_id, customer_id, environment)
    return page.part_of([line for line in lines if is_subscription(line)], lambda line: line.line_id, lambda line: show_subscription(line, around))


@get(
    CUSTOMER + "/purchases",
    permission="customer_information:purchases:read",
    operation_id="list-purchases",
    summary="List a customer's purchases",
    tags=TAGS,
)
async def list_purchases(
    request: HttpRequest, project_id: PathId, customer_id: PathId, page: AskedPage, environment: OfEnvironment = None
) -> wire.ListOf[wire.Purchase]:
    """What was bought once."""
    lines, around = await _held(request, project_id, customer_id, environment)
    return page.part_of([line for line in lines if is_purchase(line)], lambda line: line.line_id, lambda line: show_purchase(line, around))


async def _held(request: HttpRequest, project_id: str, customer_id: str, environment: Environment | None) -> tuple[list[Line], Surroundings]:
    async with entered(request, project_id) as entry:
        customer = await customers.get(entry.tx, customer_id)
        lines = await subscriptions.load_of_customers(entry.tx, [customer.customer_id])
        around = await surroundings(entry.tx, lines, {customer.customer_id: customer}, called={customer.customer_id: customer_id})
    return [line for line in lines if environment in (None, line.environment)], around


async def customer_shown(tx: Tx, customer_id: str) -> wire.Customer:
    """As they are within this transaction, called as the caller calls them."""
    customer = await customers.get(tx, customer_id)
    lines = await subscriptions.load_of_customers(tx, [customer.customer_id])
    around = await surroundings(tx, lines, {customer.customer_id: customer})
    return _show(customer, customer_id, tx.project_id, entitlements=active_entitlements(lines, around))


async def surroundings(
    tx: Tx, lines: Sequence[Line], people: Mapping[CustomerId, Customer], *, called: Mapping[str, str] | None = None
) -> Surroundings:
    """Four statements for any number of lines; fewer where none was presented in an offering, or no store keeps a share that is estimated.

    `called`: by which app user id, where the caller named one.
    """
    products = await catalog.find_products(tx, product_keys(lines))
    presented = {held.presented_offering for line in lines for held in line.held if held.presented_offering is not None}
    originals: dict[str, str] = {key: customer.original_app_user_id for key, customer in people.items()}
    return Surroundings(
        project_id=tx.project_id,
        now=tx.now,
        products=products,
        original_ids=originals,
        customer_ids={**originals, **(called or {})},
        entitlements={one.lookup_key: one for one in await catalog.get_entitlements(tx, limit=10_000)},
        offerings=await catalog.find_offering_ids(tx, presented) if presented else {},
        apps=await subscriptions.sellers(tx, lines),
    )


def _show(
    customer: Customer,
    called: str,
    project_id: str,
    *,
    entitlements: Sequence[wire.CustomerEntitlement] | None = None,
    with_attributes: bool = False,
) -> wire.Customer:
    url = f"/v2/projects/{project_id}/customers/{quote(called, safe='')}"
    shown = wire.Customer(
        id=called,
        project_id=project_id,
        first_seen_at=to_ms(customer.first_seen_at),
        last_seen_at=ms(customer.last_seen_at),
        last_seen_app_version=customer.last_seen_app_version,
        last_seen_country=customer.last_seen_country,
        last_seen_platform=customer.last_seen_platform,
        last_seen_platform_version=customer.last_seen_platform_version,
    )
    if entitlements is not None:
        shown.active_entitlements = whole(entitlements, f"{url}/active_entitlements")
    if with_attributes:
        shown.attributes = whole(_attributes(customer), f"{url}/attributes")
    return shown


HANDLERS = [
    list_customers,
    create_customer,
    get_customer,
    list_active_entitlements,
    list_aliases,
    list_attributes,
    set_attributes,
    list_subscriptions,
    list_purchases,
]

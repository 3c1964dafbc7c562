"""Subscriptions and purchases by their own ids, or by their stores'."""

from typing import Annotated, get_args

from litestar.params import QueryParameter

from perennial import customers, subscriptions
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.customers import surroundings
from perennial.api.v2.entry import entered
from perennial.api.v2.holdings import (
    Surroundings,
    current,
    is_purchase,
    is_subscription,
    show_entitlements,
    show_purchase,
    show_subscription,
    show_transaction,
)
from perennial.api.v2.pages import AskedPage, path_of, whole
from perennial.api.v2.routes import PathId, get
from perennial.base.db import Tx
from perennial.base.errors import NotFound
from perennial.base.ids import LineId
from perennial.subscriptions.model import Line, Store

SUBSCRIPTIONS = "/projects/{project_id:str}/subscriptions"
SUBSCRIPTION = SUBSCRIPTIONS + "/{subscription_id:str}"
PURCHASES = "/projects/{project_id:str}/purchases"
PURCHASE = PURCHASES + "/{purchase_id:str}"
_STORES: tuple[str, ...] = get_args(Store)
StoreIdentifier = Annotated[str, QueryParameter(min_length=1, max_length=255, description="The store's own (App Store: the original transaction id)")]


@get(
    SUBSCRIPTIONS,
    permission="customer_information:subscriptions:read",
    operation_id="search-subscriptions",
    summary="Find by the store's identifier",
    tags=["Subscriptions"],
)
async def search_subscriptions(
    request: HttpRequest, project_id: PathId, store_subscription_identifier: StoreIdentifier
) -> wire.ListOf[wire.Subscription]:
    lines, around = await _found(request, project_id, store_subscription_identifier)
    return whole([show_subscription(line, around) for line in lines if is_subscription(line)], path_of(request))


@get(SUBSCRIPTION, permission="customer_information:subscriptions:read", operation_id="get-subscription", summary="Get it", tags=["Subscriptions"])
async def get_subscription(request: HttpRequest, project_id: PathId, subscription_id: PathId) -> wire.Subscription:
    return show_subscription(*await subscription_of(request, project_id, subscription_id))


@get(
    SUBSCRIPTION + "/transactions",
    permission="customer_information:subscriptions:read",
    operation_id="get-subscription-transactions",
    summary="List its periods",
    tags=["Subscriptions"],
)
async def list_transactions(
    request: HttpRequest, project_id: PathId, subscription_id: PathId, page: AskedPage
) -> wire.ListOf[wire.SubscriptionTransaction]:
    """The oldest first."""
    line, _ = await subscription_of(request, project_id, subscription_id)
    return page.part_of(line.held, lambda held: held.purchase.transaction, lambda held: show_transaction(line, held))


@get(
    SUBSCRIPTION + "/entitlements",
    permission="customer_information:subscriptions:read",
    operation_id="list-subscription-entitlements",
    summary="List what it gives",
    tags=["Subscriptions"],
)
async def list_subscription_entitlements(
    request: HttpRequest, project_id: PathId, subscription_id: PathId, page: AskedPage
) -> wire.ListOf[wire.Entitlement]:
    line, around = await subscription_of(request, project_id, subscription_id)
    return page.part_of(show_entitlements(line, current(line, around.now), around).items, lambda one: one.id, lambda one: one)


@get(
    PURCHASES,
    permission="customer_information:purchases:read",
    operation_id="search-purchases",
    summary="Find by the store's identifier",
    tags=["Purchases"],
)
async def search_purchases(request: HttpRequest, project_id: PathId, store_purchase_identifier: StoreIdentifier) -> wire.ListOf[wire.Purchase]:
    lines, around = await _found(request, project_id, store_purchase_identifier)
    return whole([show_purchase(line, around) for line in lines if is_purchase(line)], path_of(request))


@get(PURCHASE, permission="customer_information:purchases:read", operation_id="get-purchase", summary="Get it", tags=["Purchases"])
async def get_purchase(request: HttpRequest, project_id: PathId, purchase_id: PathId) -> wire.Purchase:
    return show_purchase(*await purchase_of(request, project_id, purchase_id))


@get(
    PURCHASE + "/entitlements",
    permission="customer_information:purchases:read",
    operation_id="list-purchase-entitlements",
    summary="List what it gives",
    tags=["Purchases"],
)
async def list_purchase_entitlements(request: HttpRequest, project_id: PathId, purchase_id: PathId, page: AskedPage) -> wire.ListOf[wire.Entitlement]:
    line, around = await purchase_of(request, project_id, purchase_id)
    return page.part_of(show_entitlements(line, current(line, around.now), around).items, lambda one: one.id, lambda one: one)


async def subscription_of(request: HttpRequest, project_id: str, subscription_id: str) -> tuple[Line, Surroundings]:
    line, around = await _line(request, project_id, subscription_id)
    if line is None or not is_subscription(line):
        raise NotFound(f"no subscription {subscription_id[:80]!r} in this project", param="subscription_id")
    return line, around


async def purchase_of(request: HttpRequest, project_id: str, purchase_id: str) -> tuple[Line, Surroundings]:
    line, around = await _line(request, project_id, purchase_id)
    if line is None or not is_purchase(line):
        raise NotFound(f"no purchase {purchase_id[:80]!r} in this project", param="purchase_id")
    return line, around


async def _line(request: HttpRequest, project_id: str, line_id: str) -> tuple[Line | None, Surroundings]:
    async with entered(request, project_id) as entry:
        found = await subscriptions.load_by_ids(entry.tx, [LineId(line_id)])
        return found.get(LineId(line_id)), await _around(entry.tx, list(found.values()))


async def _found(request: HttpRequest, project_id: str, store_line: str) -> tuple[list[Line], Surroundings]:
    """In every store and environment: the identifier alone does not say."""
    keys = [(store, environment, store_line) for store in _STORES for environment in ("production", "sandbox")]
    async with entered(request, project_id) as entry:
        lines = await subscriptions.find(entry.tx, keys)
        return lines, await _around(entry.tx, lines)


async def _around(tx: Tx, lines: list[Line]) -> Surroundings:
    return await surroundings(tx, lines, await customers.load(tx, [line.customer_id for line in lines]))


HANDLERS = [
    search_subscriptions,
    get_subscription,
    list_transactions,
    list_subscription_entitlements,
    search_purchases,
    get_purchase,
    list_purchase_entitlements,
]

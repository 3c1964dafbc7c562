"""Products: what a store sells, by the store's own identifier."""

from typing import Annotated

from litestar.params import JSONBody, QueryParameter

from perennial import catalog
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.apps import show_app
from perennial.api.v2.entry import entered
from perennial.api.v2.pages import AskedPage, Expand, expanded
from perennial.api.v2.routes import PathId, get, post
from perennial.base.db import Tx
from perennial.base.errors import Invalid
from perennial.base.money import Money, from_micros, to_micros
from perennial.base.time import to_ms
from perennial.catalog.model import App, Product

_TAGS = ["Products"]
_PATH = "/projects/{project_id:str}/products"
_ONE = _PATH + "/{product_id:str}"
_SOLD_BY_US = ("test_store", "rc_billing")


@get(_PATH, operation_id="list-products", summary="List products", tags=_TAGS)
async def list_products(
    request: HttpRequest,
    project_id: PathId,
    page: AskedPage,
    app_id: Annotated[str | None, QueryParameter(max_length=255, description="Of this app alone")] = None,
    expand: Expand = None,
) -> wire.ListOf[wire.Product]:
    wanted = expanded(expand, "items.app")
    async with entered(request, project_id) as entry:
        found = await catalog.get_products(entry.tx, app_id=app_id, after=page.after, limit=page.probe)
        apps = await _apps_of(entry.tx, found) if wanted else {}
    return page.of(found, lambda product: product.product_id, lambda product: show_product(product, apps.get(product.app_id), project_id))


@post(_PATH, operation_id="create-product", summary="Create a product", tags=_TAGS)
async def create_product(request: HttpRequest, project_id: PathId, data: JSONBody[wire.ProductCreate]) -> wire.Product:
    """Prices and trials of real stores are the store's to say; for the Test Store and web billing they are said here."""
    subscription = data.subscription if data.type == "subscription" else None
    async with entered(request, project_id) as entry:
        app = await catalog.require_app(entry.tx, data.app_id)
        if data.prices and app.store not in _SOLD_BY_US:
            raise Invalid(f"prices: those of {app.store} products come from the store; leave them out", param="prices")
        if data.type == "subscription" and subscription is None and app.store in _SOLD_BY_US:
            raise Invalid("subscription.duration is missing, such as P1M: we are the ones who renew it", param="subscription.duration")
        product = await catalog.create_product(
            entry.tx,
            app_id=data.app_id,
            store_identifier=data.store_identifier,
            type=data.type,
            display_name=data.display_name or data.title,
            duration=subscription.duration if subscription else None,
            trial_duration=subscription.trial_duration if subscription else None,
            prices=[money_of(price) for price in data.prices or ()],
        )
        await entry.audit("product.create", product.product_id, {"store_identifier": product.store_identifier, "app_id": product.app_id})
    return show_product(product)


@get(_ONE, operation_id="get-product", summary="Get a product", tags=_TAGS)
async def get_product(request: HttpRequest, project_id: PathId, product_id: PathId, expand: Expand = None) -> wire.Product:
    wanted = expanded(expand, "app")
    async with entered(request, project_id) as entry:
        product = await catalog.require_product(entry.tx, product_id)
        apps = await _apps_of(entry.tx, [product]) if wanted else {}
    return show_product(product, apps.get(product.app_id), project_id)


async def _apps_of(tx: Tx, products: list[Product]) -> dict[str, App]:
    return {app.app_id: app for app in await catalog.get_apps(tx, app_ids=sorted({product.app_id for product in products}), limit=1001)}


def money_of(price: wire.Price) -> Money:
    money = from_micros(price.amount_micros, price.currency)
    if to_micros(money) != price.amount_micros:
        raise Invalid(f"prices: {price.amount_micros} micros is not a whole number of {price.currency}'s smallest unit", param="prices")
    return money


def show_product(product: Product, app: App | None = None, project_id: str = "") -> wire.Product:
    shown = wire.Product(
        id=product.product_id,
        store_identifier=product.store_identifier,
        type=product.type,
        created_at=to_ms(product.created_at),
        app_id=product.app_id,
        display_name=product.display_name,
    )
    if product.type == "subscription":
        shown.subscription = wire.SubscriptionProduct(duration=product.duration, trial_duration=product.trial_duration)
    else:
        shown.one_time = wire.OneTimeProduct(is_consumable={"consumable": True, "non_consumable": False}.get(product.type))
    if product.prices:
        shown.prices = [wire.Price(currency=price.currency, amount_micros=to_micros(price)) for price in product.prices]
    if app is not None:
        shown.app = show_app(app, project_id)
    return shown


HANDLERS = [list_products, create_product, get_product]

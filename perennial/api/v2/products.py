"""Products: what a store sells, by the store's own identifier."""

from datetime import datetime
from typing import Annotated

from litestar.params import JSONBody, QueryParameter
from msgspec import UNSET

from perennial import catalog, intake, subscriptions
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.apps import show_app
from perennial.api.v2.entry import Entry, entered
from perennial.api.v2.pages import AskedPage, Expand, expanded_by
from perennial.api.v2.routes import PathId, delete, get, patch, post
from perennial.base.db import Tx
from perennial.base.errors import Invalid
from perennial.base.ids import ProjectId
from perennial.base.money import Money, from_micros, to_micros
from perennial.base.time import to_ms
from perennial.catalog.model import PRICED_HERE, SOLD_BY_US, App, Missing, Product
from perennial.intake.model import NewProduct

_TAGS = ["Products"]
_PATH = "/projects/{project_id:str}/products"
_ONE = _PATH + "/{product_id:str}"
_READ, _WRITE = "project_configuration:products:read", "project_configuration:products:read_write"
_APPS = "project_configuration:apps:read"
_WITH_PRODUCTS = ("app_store", "mac_app_store")  # stores that take new products


@get(_PATH, permission=_READ, operation_id="list-products", summary="List products", tags=_TAGS)
async def list_products(
    request: HttpRequest,
    project_id: PathId,
    page: AskedPage,
    app_id: Annotated[str | None, QueryParameter(max_length=255, description="Of this app alone")] = None,
    expand: Expand = None,
) -> wire.ListOf[wire.Product]:
    async with entered(request, project_id) as entry:
        wanted = expanded_by(entry, expand, {"items.app": _APPS})
        found = await catalog.get_products(entry.tx, app_id=app_id, after=page.after, limit=page.probe)
        apps = await _apps_of(entry.tx, found) if wanted else {}
    return page.of(found, lambda product: product.product_id, lambda product: show_product(product, apps.get(product.app_id), project_id))


@post(_PATH, permission=_WRITE, operation_id="create-product", summary="Create a product", tags=_TAGS)
async def create_product(request: HttpRequest, project_id: PathId, data: JSONBody[wire.ProductCreate]) -> wire.Product:
    """Prices and trials of real stores are the store's to say; for the Test Store and web billing they are said here."""
    subscription = data.subscription if data.type == "subscription" else None
    async with entered(request, project_id) as entry:
        app = await catalog.require_app(entry.tx, data.app_id)
        if data.prices:
            _check_ours(app, "prices")
        if data.type == "subscription" and subscription is None and app.store in SOLD_BY_US:
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


@get(_ONE, permission=_READ, operation_id="get-product", summary="Get a product", tags=_TAGS)
async def get_product(request: HttpRequest, project_id: PathId, product_id: PathId, expand: Expand = None) -> wire.Product:
    async with entered(request, project_id) as entry:
        wanted = expanded_by(entry, expand, {"app": _APPS})
        product = await catalog.require_product(entry.tx, product_id)
        apps = await _apps_of(entry.tx, [product]) if wanted else {}
    return show_product(product, apps.get(product.app_id), project_id)


@post(_ONE, permission=_WRITE, operation_id="update-product", summary="Update a product", tags=_TAGS, status_code=200)
async def update_product(request: HttpRequest, project_id: PathId, product_id: PathId, data: JSONBody[wire.ProductUpdate]) -> wire.Product:
    """What is left out stays. Periods of products that we sell change for those who buy or renew from now on."""
    async with entered(request, project_id) as entry:
        product = await catalog.require_product(entry.tx, product_id)
        if data.subscription is not None:
            _check_ours(await catalog.require_app(entry.tx, product.app_id), "subscription")
            if product.type != "subscription":
                raise Invalid(f"subscription: this is a {product.type}, which has no periods; leave it out", param="subscription")
        changed = await catalog.update_product(
            entry.tx,
            product_id,
            display_name=None if data.display_name == "" else data.display_name,
            duration=data.subscription.duration if data.subscription else UNSET,
            trial_duration=data.subscription.trial_duration if data.subscription else UNSET,
        )
        await entry.audit("product.update", product_id, {"display_name": changed.display_name})
    return show_product(changed)


@delete(_ONE, permission=_WRITE, operation_id="delete-product", summary="Delete a product", tags=_TAGS, status_code=200)
async def delete_product(request: HttpRequest, project_id: PathId, product_id: PathId) -> wire.DeletedObject:
    """Out of its entitlements and packages too. One that customers have bought stays, as they would lose what it gives (422): archive it."""
    async with entered(request, project_id) as entry:
        product = await catalog.require_product(entry.tx, product_id)
        was_sold = await subscriptions.was_sold(entry.tx, product.app_id, product.store_identifier)
        await catalog.delete_product(entry.tx, product_id, was_sold=was_sold)
        await entry.audit("product.delete", product_id, {"store_identifier": product.store_identifier, "app_id": product.app_id})
        return wire.DeletedObject(object="product", id=product_id, deleted_at=to_ms(entry.tx.now))


@post(_ONE + "/actions/archive", permission=_WRITE, operation_id="archive-product", summary="Archive a product", tags=_TAGS, status_code=200)
async def archive_product(request: HttpRequest, project_id: PathId, product_id: PathId) -> wire.Product:
    """No offering shows it any more. What was bought of it goes on: it renews, is restored and entitles as before."""
    async with entered(request, project_id) as entry:
        product = await catalog.archive_product(entry.tx, product_id)
        await entry.audit("product.archive", product_id)
    return show_product(product)


@post(_ONE + "/actions/unarchive", permission=_WRITE, operation_id="unarchive-product", summary="Unarchive a product", tags=_TAGS, status_code=200)
async def unarchive_product(request: HttpRequest, project_id: PathId, product_id: PathId) -> wire.Product:
    async with entered(request, project_id) as entry:
        product = await catalog.unarchive_product(entry.tx, product_id)
        await entry.audit("product.unarchive", product_id)
    return show_product(product)


@post(
    _ONE + "/create_in_store",
    permission=_WRITE,
    goes_outside=True,
    operation_id="create-product-in-store",
    summary="Create a product in its store",
    tags=_TAGS,
)
async def create_in_store(
    request: HttpRequest, project_id: PathId, product_id: PathId, data: JSONBody[wire.ProductCreateInStore]
) -> wire.ProductInStore:
    """In App Store Connect, with the app's key of its API. It is named as it is here; prices, texts and review remain to be done there.

    One of its identifier that is there already is a 409. Of other stores it is refused (422), and what Apple refuses is a `store_error` in its words.
    """
    async with entered(request, project_id) as entry:
        product = await catalog.require_product(entry.tx, product_id)
        wanted = _new_product(product, data.store_information or wire.StoreInformation())
        app, known = entry.app, await catalog.require_app(entry.tx, product.app_id)
        if known.store in _WITH_PRODUCTS:
            _check_complete(product, wanted)
        await entry.audit("product.create_in_store", product_id, {"store_identifier": product.store_identifier, "app_id": product.app_id})
    made = await intake.create_in_store(app.database, app.vault, app.providers, ProjectId(project_id), known.app_id, wanted)
    shown = wire.StoreProduct(id=made.store_id, name=made.name, product_identifier=made.identifier)
    return wire.ProductInStore(created_product=shown)


def _new_product(product: Product, information: wire.StoreInformation) -> NewProduct:
    return NewProduct(
        identifier=product.store_identifier,
        name=product.display_name or product.store_identifier,
        type=product.type,
        period=information.duration,
        group_name=information.subscription_group_name,
        group_id=information.subscription_group_id,
    )


def _check_complete(product: Product, wanted: NewProduct) -> None:
    given = {"duration": wanted.period, "subscription_group_name": wanted.group_name, "subscription_group_id": wanted.group_id}
    if product.type == "subscription":
        for name in ("duration", "subscription_group_name"):
            if given[name] is None and not (name == "subscription_group_name" and wanted.group_id):
                raise Invalid(f"store_information.{name} is missing: App Store Connect asks for it", param=f"store_information.{name}")
    elif misplaced := [name for name, said in given.items() if said is not None]:
        param = f"store_information.{misplaced[0]}"
        raise Invalid(f"{param} is of subscriptions, and the product is a {product.type}", param=param)


# Prices of what we sell ourselves, and of what web pages show --------------------------------------------------------------------


@get(_ONE + "/prices", permission=_READ, operation_id="list-prices", summary="List a product's prices", tags=_TAGS)
async def list_prices(request: HttpRequest, project_id: PathId, product_id: PathId) -> wire.ProductPrices:
    """Of products of the devices' stores there are none: they are the store's to say."""
    async with entered(request, project_id) as entry:
        return _show_prices(await catalog.require_product(entry.tx, product_id))


@post(_ONE + "/prices", permission=_WRITE, operation_id="create-prices", summary="Add prices to a product", tags=_TAGS)
async def create_prices(request: HttpRequest, project_id: PathId, product_id: PathId, data: JSONBody[wire.PricesAdd]) -> wire.ProductPrices:
    """In currencies it has no price in yet (409 else). Of Stripe's and Paddle's products they are what web pages show: as the store has them."""
    return await _add_prices(request, project_id, product_id, data, PRICED_HERE)


@post(_ONE + "/test_store_prices", permission=_WRITE, operation_id="create-product-prices", summary="Add prices to a Test Store product", tags=_TAGS)
async def create_test_store_prices(
    request: HttpRequest, project_id: PathId, product_id: PathId, data: JSONBody[wire.PricesAdd]
) -> wire.ProductPrices:
    """The same, for products of the Test Store alone."""
    return await _add_prices(request, project_id, product_id, data, ("test_store",))


async def _add_prices(request: HttpRequest, project_id: str, product_id: str, data: wire.PricesAdd, stores: tuple[str, ...]) -> wire.ProductPrices:
    async with entered(request, project_id) as entry:
        await _require_priced(entry, product_id, stores)
        product = await catalog.add_prices(entry.tx, product_id, [money_of(price) for price in data.prices])
        await entry.audit("product.add_prices", product_id, {"currencies": [price.currency for price in data.prices]})
    return _show_prices(product)


@patch(_ONE + "/prices/{currency:str}", permission=_WRITE, operation_id="update-product-price", summary="Change a product's price", tags=_TAGS)
async def update_price(
    request: HttpRequest, project_id: PathId, product_id: PathId, currency: PathId, data: JSONBody[wire.PriceUpdate]
) -> wire.ProductPrices:
    """For those who buy from now on: running periods keep what they cost."""
    async with entered(request, project_id) as entry:
        product = await _require_priced(entry, product_id, PRICED_HERE)
        if currency not in {price.currency for price in product.prices}:
            raise Missing(f"the product has no price in {currency[:80]!r}; add one first", param="currency")
        changed = await catalog.change_price(entry.tx, product_id, money_of(wire.Price(currency=currency, amount_micros=data.amount_micros)))
        await entry.audit("product.change_price", product_id, {"currency": currency, "amount_micros": data.amount_micros})
    return _show_prices(changed)


async def _require_priced(entry: Entry, product_id: str, stores: tuple[str, ...]) -> Product:
    product = await catalog.require_product(entry.tx, product_id)
    _check_ours(await catalog.require_app(entry.tx, product.app_id), "prices", stores)
    return product


def _check_ours(app: App, param: str, stores: tuple[str, ...] = SOLD_BY_US) -> None:
    if app.store not in stores:
        raise Invalid(f"{param}: those of {app.store} products come from the store; leave them out", param=param)


def _show_prices(product: Product) -> wire.ProductPrices:
    return wire.ProductPrices(product_id=product.product_id, prices=[_show_price(price) for price in product.prices])


def _show_price(price: Money) -> wire.Price:
    return wire.Price(currency=price.currency, amount_micros=to_micros(price))


# What goes out --------------------------------------------------------------------------------------------------------------------


async def _apps_of(tx: Tx, products: list[Product]) -> dict[str, App]:
    return {app.app_id: app for app in await catalog.get_apps(tx, app_ids=sorted({product.app_id for product in products}), limit=1001)}


def money_of(price: wire.Price) -> Money:
    money = from_micros(price.amount_micros, price.currency)
    if to_micros(money) != price.amount_micros:
        raise Invalid(f"prices: {price.amount_micros} micros is not a whole number of {price.currency}'s smallest unit", param="prices")
    return money


def state_of(archived_at: datetime | None) -> wire.State:
    return "active" if archived_at is None else "inactive"


def show_product(product: Product, app: App | None = None, project_id: str = "") -> wire.Product:
    shown = wire.Product(
        id=product.product_id,
        store_identifier=product.store_identifier,
        type=product.type,
        state=state_of(product.archived_at),
        created_at=to_ms(product.created_at),
        app_id=product.app_id,
        display_name=product.display_name,
    )
    if product.type == "subscription":
        shown.subscription = wire.SubscriptionProduct(duration=product.duration, trial_duration=product.trial_duration)
    else:
        shown.one_time = wire.OneTimeProduct(is_consumable={"consumable": True, "non_consumable": False}.get(product.type))
    if product.prices:
        shown.prices = [_show_price(price) for price in product.prices]
    if app is not None:
        shown.app = show_app(app, project_id)
    return shown


HANDLERS = [
    list_products,
    create_product,
    get_product,
    update_product,
    delete_product,
    archive_product,
    unarchive_product,
    list_prices,
    create_prices,
    create_test_store_prices,
    update_price,
    create_in_store,
]

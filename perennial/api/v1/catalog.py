"""What is sold, as SDKs ask for it: offerings, the products of the web and Test Store, the map for offline entitlements."""

from typing import Any

from litestar import Response, get
from litestar.params import FromPath, FromQuery

from perennial import catalog
from perennial.api.auth import HttpRequest, app_of, caller_of
from perennial.api.v1.answers import to_json
from perennial.api.v1.purchases import store_app
from perennial.base.money import Money, to_micros
from perennial.catalog.model import Offering, Placements, Product

MOST_PRODUCTS = 500


@get("/v1/subscribers/{app_user_id:str}/offerings", operation_id="get_offerings", summary="Offerings for a customer")
async def get_offerings(request: HttpRequest, app_user_id: FromPath[str]) -> Response[bytes]:
    """The user need not exist. Packages hold the products of the key's own app only."""
    return await _offerings(request)


@get("/v1/offerings", operation_id="get_fallback_offerings", summary="Offerings, for nobody in particular")
async def get_fallback_offerings(request: HttpRequest) -> Response[bytes]:
    return await _offerings(request)


async def _offerings(request: HttpRequest) -> Response[bytes]:
    caller = await caller_of(request)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        app_id = await store_app(tx, caller, request.headers.get("x-platform"))
        products = {product.product_id: product for product in await catalog.get_products(tx, app_id=app_id)}
        offerings = await catalog.get_offerings(tx)
        placements = await catalog.get_placements(tx)
    current = next((offering.lookup_key for offering in offerings if offering.is_current), None)
    body: dict[str, Any] = {"current_offering_id": current, "offerings": [_offering(offering, products) for offering in offerings]}
    if placements.offerings or placements.fallback_offering:
        body["placements"] = _placements(placements)
    return to_json(body)


def _offering(offering: Offering, products: dict[str, Product]) -> dict[str, Any]:
    packages = [
        {"identifier": package.lookup_key, "platform_product_identifier": products[one.product_id].store_identifier}
        for package in offering.packages
        for one in package.products
        if one.product_id in products
    ]
    return {"identifier": offering.lookup_key, "description": offering.display_name, "metadata": offering.metadata or {}, "packages": packages}


def _placements(placements: Placements) -> dict[str, Any]:
    return {"fallback_offering_id": placements.fallback_offering, "offering_ids_by_placement": placements.offerings}


@get("/rcbilling/v1/subscribers/{app_user_id:str}/products", operation_id="get_products", summary="Products with prices")
async def get_products(request: HttpRequest, app_user_id: FromPath[str], currency: FromQuery[str | None] = None) -> Response[bytes]:
    """`id` repeats. Prices in `currency` where the product has one, else in its first."""
    wanted = request.query_params.getall("id", [])[:MOST_PRODUCTS]
    caller = await caller_of(request)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        app_id = await store_app(tx, caller, request.headers.get("x-platform"))
        found = await catalog.find_products(tx, [(app_id, identifier) for identifier in wanted])
    products = [found[app_id, identifier] for identifier in dict.fromkeys(wanted) if (app_id, identifier) in found]
    return to_json({"product_details": [_product(product, _price(product, currency)) for product in products if product.prices]})


def _price(product: Product, currency: str | None) -> Money:
    return (
        next((price for price in product.prices if price.currency == currency), product.prices[0])
        if product.prices
        else Money(amount=0, currency="USD")
    )


def _product(product: Product, price: Money) -> dict[str, Any]:
    option = _subscription_option(product, price) if product.type == "subscription" else {"base_price": _micros(price)}
    kind = {"subscription": "subscription", "consumable": "consumable"}.get(product.type, "non_consumable")
    name = product.display_name or product.store_identifier
    return {
        "identifier": product.store_identifier,
        "product_type": kind,
        "title": name,
        "description": None,
        "default_purchase_option_id": "base_option",
        "default_subscription_option_id": "base_option" if kind == "subscription" else None,
        "purchase_options": {"base_option": {"id": "base_option", "price_id": f"{product.product_id}:{price.currency}", **option}},
        "current_price": {"amount": price.amount, **_micros(price)},
        "normal_period_duration": product.duration,
    }


def _subscription_option(product: Product, price: Money) -> dict[str, Any]:
    trial = {"period_duration": product.trial_duration, "cycle_count": 1, "price": None} if product.trial_duration else None
    return {"base": {"period_duration": product.duration, "cycle_count": 1, "price": _micros(price)}, "trial": trial, "intro_price": None}


def _micros(price: Money) -> dict[str, Any]:
    return {"amount_micros": to_micros(price), "currency": price.currency}


@get("/v1/product_entitlement_mapping", operation_id="get_product_entitlement_mapping", summary="Which product gives which entitlement")
async def get_product_entitlement_mapping(request: HttpRequest) -> Response[bytes]:
    """For the SDKs' offline entitlements, while we cannot be reached."""
    caller = await caller_of(request)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        app_id = await store_app(tx, caller, request.headers.get("x-platform"))
        products = await catalog.get_products(tx, app_id=app_id)
    mapping = {
        product.store_identifier: {"product_identifier": product.store_identifier, "entitlements": list(product.entitlements)} for product in products
    }
    return to_json({"product_entitlement_mapping": mapping})


HANDLERS = [get_offerings, get_fallback_offerings, get_products, get_product_entitlement_mapping]

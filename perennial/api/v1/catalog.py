"""What is sold, as SDKs ask for it: offerings, the products of the web and Test Store, the map for offline entitlements."""

from typing import Any

import msgspec
from litestar import Response, get
from litestar.params import FromPath, FromQuery

from perennial import catalog, customers
from perennial.api.auth import HttpRequest, app_of, caller_of
from perennial.api.v1.answers import json_bytes, to_json
from perennial.api.v1.kept import Kept, Rendered
from perennial.api.v1.purchases import store_app
from perennial.base.db import Tx
from perennial.base.errors import Invalid
from perennial.base.ids import AppId
from perennial.base.money import Money, to_micros
from perennial.base.text import forbidden_in
from perennial.base.value import replace
from perennial.catalog.model import Caller, Offering, Placements, Product

MOST_PRODUCTS = 500


@get("/v1/subscribers/{app_user_id:str}/offerings", operation_id="get_offerings", summary="Offerings for a customer")
async def get_offerings(request: HttpRequest, app_user_id: FromPath[str]) -> Response[bytes]:
    """The user need not exist. Packages hold the products of the key's own app only."""
    if (forbidden := forbidden_in(app_user_id)) is not None:
        raise Invalid(f"app_user_id {app_user_id[:80]!r} holds {forbidden}; send a stable id of the user without it", param="app_user_id", code=7256)
    return await _offerings(request, app_user_id)


@get("/v1/offerings", operation_id="get_fallback_offerings", summary="Offerings, for nobody in particular")
async def get_fallback_offerings(request: HttpRequest) -> Response[bytes]:
    return await _offerings(request)


async def _offerings(request: HttpRequest, app_user_id: str | None = None) -> Response[bytes]:
    """An offering chosen for this customer stands wherever they would see the project's current one."""
    caller = await caller_of(request)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        app_id = await store_app(tx, caller, request.headers.get("x-platform"))
        version = await catalog.version(tx)  # before all else: what is read after it is at least as new
        rendered = await _kept_by(request).get(("offerings", app_id), version, lambda: _render_offerings(tx, caller, app_id))
        placements = await catalog.get_placements(tx)
        chosen = await customers.offering_override(tx, app_user_id) if app_user_id is not None else None
    current, override = rendered.current, rendered.lookup_keys.get(chosen) if chosen is not None else None
    if override is not None:
        current, placements = override, _overridden(placements, current, override)
    body = [b'{"current_offering_id":', msgspec.json.encode(current), b',"offerings":', rendered.offerings]
    if placements.offerings or placements.fallback_offering:
        body += [b',"placements":', msgspec.json.encode(_placements(placements))]
    return json_bytes(b"".join([*body, b"}"]))


async def _render_offerings(tx: Tx, caller: Caller, app_id: AppId) -> Rendered:
    has_plans = await _has_plans(tx, caller, app_id)
    found = await catalog.get_products(tx, app_id=app_id, limit=catalog.MOST_PRODUCTS)
    products = {product.product_id: product for product in found if product.archived_at is None}
    offerings = [offering for offering in await catalog.get_offerings(tx, limit=catalog.MOST_OFFERINGS) if offering.archived_at is None]
    return Rendered(
        offerings=msgspec.json.encode([_offering(one, products, has_plans=has_plans) for one in offerings]),
        current=next((offering.lookup_key for offering in offerings if offering.is_current), None),
        lookup_keys={offering.offering_id: offering.lookup_key for offering in offerings},
    )


def _kept_by(request: HttpRequest) -> Kept:
    kept: Kept = request.app.state.kept
    return kept


async def _has_plans(tx: Tx, caller: Caller, app_id: AppId) -> bool:
    """Whether the app's products are base plans of subscriptions: on Google Play, where they are called `subscription:plan`."""
    return (caller.store or (await catalog.require_app(tx, app_id)).store) == "play_store"


def _offering(offering: Offering, products: dict[str, Product], *, has_plans: bool) -> dict[str, Any]:
    packages = [
        {"identifier": package.lookup_key, **_platform_product(products[one.product_id], has_plans=has_plans)}
        for package in offering.packages
        for one in package.products
        if one.product_id in products
    ]
    return {"identifier": offering.lookup_key, "description": offering.display_name, "metadata": offering.metadata or {}, "packages": packages}


def _platform_product(product: Product, *, has_plans: bool) -> dict[str, str]:
    identifier, plan = _identifiers(product, has_plans=has_plans)
    return {"platform_product_identifier": identifier} | ({"platform_product_plan_identifier": plan} if plan else {})


def _identifiers(product: Product, *, has_plans: bool) -> tuple[str, str | None]:
    """What the store calls the product, and its base plan."""
    if not has_plans:
        return product.store_identifier, None
    identifier, _, plan = product.store_identifier.partition(":")
    return identifier, plan or None


def _overridden(placements: Placements, current: str | None, override: str) -> Placements:
    def instead(offering: str | None) -> str | None:
        return override if offering is not None and offering == current else offering

    return replace(
        placements,
        fallback_offering=instead(placements.fallback_offering),
        offerings={place: instead(offering) for place, offering in placements.offerings.items()},
    )


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
    offered = [product for product in products if product.prices and product.archived_at is None]
    return to_json({"product_details": [_product(product, _price(product, currency)) for product in offered]})


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
        version = await catalog.version(tx)
        rendered = await _kept_by(request).get(("mapping", app_id), version, lambda: _render_mapping(tx, caller, app_id))
    return json_bytes(rendered.offerings)


async def _render_mapping(tx: Tx, caller: Caller, app_id: AppId) -> Rendered:
    has_plans = await _has_plans(tx, caller, app_id)
    products = await catalog.get_products(tx, app_id=app_id, limit=catalog.MOST_PRODUCTS)
    mapping = {product.store_identifier: _mapped(product, has_plans=has_plans) for product in products}
    return Rendered(offerings=msgspec.json.encode({"product_entitlement_mapping": mapping}))


def _mapped(product: Product, *, has_plans: bool) -> dict[str, Any]:
    identifier, plan = _identifiers(product, has_plans=has_plans)
    return {"product_identifier": identifier, **({"base_plan_id": plan} if plan else {}), "entitlements": list(product.entitlements)}


HANDLERS = [get_offerings, get_fallback_offerings, get_products, get_product_entitlement_mapping]

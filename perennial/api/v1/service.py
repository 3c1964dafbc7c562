"""What SDKs call beside the product: their health checks, and remote configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from perennial import catalog
from perennial.api.auth import FOR_ALL, HttpRequest, app_of, caller_of
from perennial.api.v1.answers import to_json
from perennial.api.v1.purchases import store_app
from perennial.base.errors import NotFound
from perennial.catalog.model import App, Offering, Package, Product


@get("/v1/health", opt=FOR_ALL, operation_id="health", summary="For the SDKs' own health check")
async def health() -> Response[bytes]:
    return to_json("")


@get(
    "/v1/subscribers/{app_user_id:str}/health_report_availability",
    opt=FOR_ALL,
    operation_id="health_report_availability",
    summary="Whether reports are logged",
)
async def health_report_availability(app_user_id: FromPath[str]) -> Response[bytes]:
    return to_json({"report_logs": False})


@get("/v1/subscribers/{app_user_id:str}/health_report", operation_id="health_report", summary="Whether an app is set up to sell")
async def health_report(request: HttpRequest, app_user_id: FromPath[str]) -> Response[bytes]:
    """For developers, from their own builds. It judges what we know: stores are not asked."""
    caller = await caller_of(request)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        app_id = await store_app(tx, caller, request.headers.get("x-platform"))
        [app] = await catalog.get_apps(tx, app_ids=[app_id])
        products = {product.product_id: product for product in await catalog.get_products(tx, app_id=app_id, limit=catalog.MOST_PRODUCTS)}
        offerings = await catalog.get_offerings(tx)
    return to_json(report(caller.project_id, app, products, offerings, request.headers.get("x-client-bundle-id")))


def report(project_id: str, app: App, products: Mapping[str, Product], offerings: Sequence[Offering], bundle_id: str | None) -> dict[str, Any]:
    checks = [
        {"name": "api_key", "status": "passed"},
        _bundle_check(app, bundle_id),
        _product_check(products),
        {"name": "offerings", "status": "passed" if any(offering.is_current for offering in offerings) else "failed"},
        _offering_check(offerings, products),
    ]
    found = {check["status"] for check in checks}
    status = next((one for one in ("failed", "warning") if one in found), "passed")
    return {"status": status, "project_id": project_id, "app_id": app.app_id, "checks": checks}


def _bundle_check(app: App, bundle_id: str | None) -> dict[str, Any]:
    if bundle_id is None or app.bundle_id is None:
        return {"name": "bundle_id", "status": "warning"}
    details = {"sdk_bundle_id": bundle_id, "app_bundle_id": app.bundle_id}
    return {"name": "bundle_id", "status": "passed" if bundle_id == app.bundle_id else "failed", "details": details}


def _product_check(products: Mapping[str, Product]) -> dict[str, Any]:
    shown = [
        {"identifier": product.store_identifier, "title": product.display_name, "status": "ok", "description": "It is in the catalog."}
        for product in products.values()
    ]
    return {"name": "products", "status": "passed" if shown else "failed", "details": {"products": shown}}


def _offering_check(offerings: Sequence[Offering], products: Mapping[str, Product]) -> dict[str, Any]:
    shown = [_offering_health(offering, products) for offering in offerings]
    status = "warning" if any(one["status"] != "passed" for one in shown) else "passed"
    return {"name": "offerings_products", "status": status if shown else "failed", "details": {"offerings": shown}}


def _offering_health(offering: Offering, products: Mapping[str, Product]) -> dict[str, Any]:
    packages = [_package_health(package, products) for package in offering.packages]
    is_whole = bool(packages) and all(package["status"] == "ok" for package in packages)
    return {"identifier": offering.lookup_key, "packages": packages, "status": "passed" if is_whole else "warning"}


def _package_health(package: Package, products: Mapping[str, Product]) -> dict[str, Any]:
    product = next((products[one.product_id] for one in package.products if one.product_id in products), None)
    return {
        "identifier": package.lookup_key,
        "title": package.display_name,
        "status": "ok" if product else "not_found",
        "description": "It has a product of this app." if product else "It has no product of this app, so the app will not show it.",
        "product_identifier": product.store_identifier if product else "",
        "product_title": product.display_name if product else None,
    }


@post("/v1/config/{domain:str}", opt=FOR_ALL, operation_id="post_config", summary="Remote configuration", status_code=200)
async def post_config(domain: FromPath[str]) -> Response[bytes]:
    """A 404 switches remote configuration off for the SDK's session; it then reads paywalls from the offerings."""
    raise NotFound("remote configuration is not offered here")


HANDLERS = [health, health_report, health_report_availability, post_config]

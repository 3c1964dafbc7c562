"""Entitlements: what customers may use, and which products give it."""

from collections.abc import Mapping, Sequence

from litestar.params import JSONBody

from perennial import catalog
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.entry import Entry, entered
from perennial.api.v2.pages import AskedPage, Expand, expanded, whole
from perennial.api.v2.products import show_product
from perennial.api.v2.routes import PathId, get, post
from perennial.base.db import Tx
from perennial.base.time import to_ms
from perennial.catalog.model import Entitlement, Product

_TAGS = ["Entitlements"]
_PATH = "/projects/{project_id:str}/entitlements"
_ONE = _PATH + "/{entitlement_id:str}"


@get(_PATH, operation_id="list-entitlements", summary="List entitlements", tags=_TAGS)
async def list_entitlements(request: HttpRequest, project_id: PathId, page: AskedPage, expand: Expand = None) -> wire.ListOf[wire.Entitlement]:
    wanted = expanded(expand, "items.product")
    async with entered(request, project_id) as entry:
        found = await catalog.get_entitlements(entry.tx, after=page.after, limit=page.probe)
        products = await _products_of(entry.tx, [one.entitlement_id for one in found]) if wanted else {}
    return page.of(
        found, lambda one: one.entitlement_id, lambda one: show_entitlement(one, project_id, products.get(one.entitlement_id, []) if wanted else None)
    )


@post(_PATH, operation_id="create-entitlement", summary="Create an entitlement", tags=_TAGS)
async def create_entitlement(request: HttpRequest, project_id: PathId, data: JSONBody[wire.EntitlementCreate]) -> wire.Entitlement:
    async with entered(request, project_id) as entry:
        entitlement = await catalog.create_entitlement(entry.tx, lookup_key=data.lookup_key, display_name=data.display_name)
        await entry.audit("entitlement.create", entitlement.entitlement_id, {"lookup_key": entitlement.lookup_key})
    return show_entitlement(entitlement, project_id)


@get(_ONE, operation_id="get-entitlement", summary="Get an entitlement", tags=_TAGS)
async def get_entitlement(request: HttpRequest, project_id: PathId, entitlement_id: PathId, expand: Expand = None) -> wire.Entitlement:
    wanted = expanded(expand, "product")
    async with entered(request, project_id) as entry:
        entitlement = await catalog.require_entitlement(entry.tx, entitlement_id)
        products = await _products_of(entry.tx, [entitlement_id]) if wanted else {}
    return show_entitlement(entitlement, project_id, products.get(entitlement_id, []) if wanted else None)


@post(
    _ONE,
    operation_id="update-entitlement",
    summary="Update an entitlement",
    tags=_TAGS,
    status_code=200,
)
async def update_entitlement(
    request: HttpRequest, project_id: PathId, entitlement_id: PathId, data: JSONBody[wire.EntitlementUpdate]
) -> wire.Entitlement:
    async with entered(request, project_id) as entry:
        entitlement = await catalog.update_entitlement(entry.tx, entitlement_id, display_name=data.display_name)
        await entry.audit("entitlement.update", entitlement_id, {"display_name": data.display_name})
    return show_entitlement(entitlement, project_id)


@get(
    _ONE + "/products",
    operation_id="get-products-from-entitlement",
    summary="List the products that give it",
    tags=_TAGS,
)
async def list_entitlement_products(request: HttpRequest, project_id: PathId, entitlement_id: PathId, page: AskedPage) -> wire.ListOf[wire.Product]:
    async with entered(request, project_id) as entry:
        await catalog.require_entitlement(entry.tx, entitlement_id)
        ids = await catalog.products_of_entitlement(entry.tx, entitlement_id)
        found = await catalog.get_products(entry.tx, product_ids=ids, after=page.after, limit=page.probe)
    return page.of(found, lambda product: product.product_id, show_product)


@post(
    _ONE + "/actions/attach_products",
    operation_id="attach-products-to-entitlement",
    summary="Let products give it",
    tags=_TAGS,
    status_code=200,
)
async def attach_products(request: HttpRequest, project_id: PathId, entitlement_id: PathId, data: JSONBody[wire.ProductsAttach]) -> wire.Entitlement:
    """Customers who hold one of them are entitled from now on."""
    async with entered(request, project_id) as entry:
        await catalog.attach_products(entry.tx, entitlement_id, data.product_ids)
        return await _changed(entry, "entitlement.attach_products", entitlement_id, data)


@post(
    _ONE + "/actions/detach_products",
    operation_id="detach-products-from-entitlement",
    summary="Let products no longer give it",
    tags=_TAGS,
    status_code=200,
)
async def detach_products(request: HttpRequest, project_id: PathId, entitlement_id: PathId, data: JSONBody[wire.ProductsAttach]) -> wire.Entitlement:
    """Customers who hold it by these alone lose it at once."""
    async with entered(request, project_id) as entry:
        await catalog.detach_products(entry.tx, entitlement_id, data.product_ids)
        return await _changed(entry, "entitlement.detach_products", entitlement_id, data)


async def _changed(entry: Entry, action: str, entitlement_id: str, data: wire.ProductsAttach) -> wire.Entitlement:
    await entry.audit(action, entitlement_id, {"product_ids": data.product_ids})
    products = await _products_of(entry.tx, [entitlement_id])
    return show_entitlement(await catalog.require_entitlement(entry.tx, entitlement_id), entry.project_id, products.get(entitlement_id, []))


async def _products_of(tx: Tx, entitlement_ids: Sequence[str]) -> dict[str, list[Product]]:
    attached = await catalog.products_of_entitlements(tx, entitlement_ids)
    return _grouped(attached, await catalog.get_products(tx, product_ids={one for ids in attached.values() for one in ids}, limit=10_000))


def _grouped(attached: Mapping[str, Sequence[str]], products: Sequence[Product]) -> dict[str, list[Product]]:
    by_id = {product.product_id: product for product in products}
    return {key: [by_id[one] for one in ids if one in by_id] for key, ids in attached.items()}


def show_entitlement(one: Entitlement, project_id: str, products: Sequence[Product] | None = None) -> wire.Entitlement:
    """`products` None: not asked for, and so not shown."""
    shown = wire.Entitlement(
        project_id=project_id, id=one.entitlement_id, lookup_key=one.lookup_key, display_name=one.display_name, created_at=to_ms(one.created_at)
    )
    if products is not None:
        url = f"/v2/projects/{project_id}/entitlements/{one.entitlement_id}/products"
        shown.products = whole([show_product(product) for product in products], url)
    return shown


HANDLERS = [list_entitlements, create_entitlement, get_entitlement, update_entitlement, list_entitlement_products, attach_products, detach_products]

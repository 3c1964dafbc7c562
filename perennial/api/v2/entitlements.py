"""Entitlements: what customers may use, and which products give it."""

from collections.abc import Mapping, Sequence

from litestar.params import JSONBody

from perennial import catalog
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.entry import Entry, entered
from perennial.api.v2.pages import AskedPage, Expand, expanded_by, whole
from perennial.api.v2.products import show_product, state_of
from perennial.api.v2.routes import PathId, delete, get, post
from perennial.base.db import Tx
from perennial.base.time import to_ms
from perennial.catalog.model import Entitlement, Product

_TAGS = ["Entitlements"]
_PATH = "/projects/{project_id:str}/entitlements"
_ONE = _PATH + "/{entitlement_id:str}"
_READ, _WRITE = "project_configuration:entitlements:read", "project_configuration:entitlements:read_write"
_PRODUCTS = "project_configuration:products:read"


@get(_PATH, permission=_READ, operation_id="list-entitlements", summary="List entitlements", tags=_TAGS)
async def list_entitlements(request: HttpRequest, project_id: PathId, page: AskedPage, expand: Expand = None) -> wire.ListOf[wire.Entitlement]:
    async with entered(request, project_id) as entry:
        wanted = expanded_by(entry, expand, {"items.product": _PRODUCTS})
        found = await catalog.get_entitlements(entry.tx, after=page.after, limit=page.probe)
        products = await _products_of(entry.tx, [one.entitlement_id for one in found]) if wanted else {}
    return page.of(
        found, lambda one: one.entitlement_id, lambda one: show_entitlement(one, project_id, products.get(one.entitlement_id, []) if wanted else None)
    )


@post(
    _PATH,
    permission=_WRITE,
    operation_id="create-entitlement",
    summary="Create an entitlement",
    tags=_TAGS,
)
async def create_entitlement(request: HttpRequest, project_id: PathId, data: JSONBody[wire.EntitlementCreate]) -> wire.Entitlement:
    async with entered(request, project_id) as entry:
        entitlement = await catalog.create_entitlement(entry.tx, lookup_key=data.lookup_key, display_name=data.display_name)
        await entry.audit("entitlement.create", entitlement.entitlement_id, {"lookup_key": entitlement.lookup_key})
    return show_entitlement(entitlement, project_id)


@get(_ONE, permission=_READ, operation_id="get-entitlement", summary="Get an entitlement", tags=_TAGS)
async def get_entitlement(request: HttpRequest, project_id: PathId, entitlement_id: PathId, expand: Expand = None) -> wire.Entitlement:
    async with entered(request, project_id) as entry:
        wanted = expanded_by(entry, expand, {"product": _PRODUCTS})
        entitlement = await catalog.require_entitlement(entry.tx, entitlement_id)
        products = await _products_of(entry.tx, [entitlement_id]) if wanted else {}
    return show_entitlement(entitlement, project_id, products.get(entitlement_id, []) if wanted else None)


@post(
    _ONE,
    permission=_WRITE,
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


@delete(_ONE, permission=_WRITE, operation_id="delete-entitlement", summary="Delete an entitlement", tags=_TAGS, status_code=200)
async def delete_entitlement(request: HttpRequest, project_id: PathId, entitlement_id: PathId) -> wire.DeletedObject:
    """Customers who hold it lose it at once; what they bought stays."""
    async with entered(request, project_id) as entry:
        entitlement = await catalog.require_entitlement(entry.tx, entitlement_id)
        await catalog.delete_entitlement(entry.tx, entitlement_id)
        await entry.audit("entitlement.delete", entitlement_id, {"lookup_key": entitlement.lookup_key})
        return wire.DeletedObject(object="entitlement", id=entitlement_id, deleted_at=to_ms(entry.tx.now))


@post(_ONE + "/actions/archive", permission=_WRITE, operation_id="archive-entitlement", summary="Archive an entitlement", tags=_TAGS, status_code=200)
async def archive_entitlement(request: HttpRequest, project_id: PathId, entitlement_id: PathId) -> wire.Entitlement:
    """Out of sight. Its products still give it: who holds it keeps it."""
    async with entered(request, project_id) as entry:
        entitlement = await catalog.archive_entitlement(entry.tx, entitlement_id)
        await entry.audit("entitlement.archive", entitlement_id)
    return show_entitlement(entitlement, project_id)


@post(
    _ONE + "/actions/unarchive",
    permission=_WRITE,
    operation_id="unarchive-entitlement",
    summary="Unarchive an entitlement",
    tags=_TAGS,
    status_code=200,
)
async def unarchive_entitlement(request: HttpRequest, project_id: PathId, entitlement_id: PathId) -> wire.Entitlement:
    async with entered(request, project_id) as entry:
        entitlement = await catalog.unarchive_entitlement(entry.tx, entitlement_id)
        await entry.audit("entitlement.unarchive", entitlement_id)
    return show_entitlement(entitlement, project_id)


@get(
    _ONE + "/products",
    permission=_READ,
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
    permission=_WRITE,
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
    permission=_WRITE,
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
        project_id=project_id,
        id=one.entitlement_id,
        lookup_key=one.lookup_key,
        display_name=one.display_name,
        state=state_of(one.archived_at),
        created_at=to_ms(one.created_at),
    )
    if products is not None:
        url = f"/v2/projects/{project_id}/entitlements/{one.entitlement_id}/products"
        shown.products = whole([show_product(product) for product in products], url)
    return shown


HANDLERS = [
    list_entitlements,
    create_entitlement,
    get_entitlement,
    update_entitlement,
    delete_entitlement,
    archive_entitlement,
    unarchive_entitlement,
    list_entitlement_products,
    attach_products,
    detach_products,
]

"""Packages: the same thing in every store, in one place of an offering."""

from collections.abc import Mapping, Sequence

from litestar.params import JSONBody

from perennial import catalog
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.entry import Entry, entered
from perennial.api.v2.pages import AskedPage, Expand, expanded_by, whole
from perennial.api.v2.products import show_product
from perennial.api.v2.routes import PathId, delete, get, post
from perennial.base.db import Tx
from perennial.base.time import to_ms
from perennial.catalog.model import Package, PackageProduct, Product

_TAGS = ["Packages"]
_PATH = "/projects/{project_id:str}/offerings/{offering_id:str}/packages"
_ONE = "/projects/{project_id:str}/packages/{package_id:str}"
_READ, _WRITE = "project_configuration:packages:read", "project_configuration:packages:read_write"
_PRODUCTS = "project_configuration:products:read"


@get(_PATH, permission=_READ, operation_id="list-packages", summary="List packages", tags=_TAGS)
async def list_packages(
    request: HttpRequest, project_id: PathId, offering_id: PathId, page: AskedPage, expand: Expand = None
) -> wire.ListOf[wire.Package]:
    """In the order they show."""
    async with entered(request, project_id) as entry:
        wanted = expanded_by(entry, expand, {"items.product": _PRODUCTS})
        offering = await catalog.require_offering(entry.tx, offering_id)
        products = await products_of(entry.tx, offering.packages) if wanted else None
    return page.part_of(offering.packages, lambda one: one.package_id, lambda one: show_package(one, project_id, products))


@post(_PATH, permission=_WRITE, operation_id="create-packages", summary="Create a package", tags=_TAGS)
async def create_package(request: HttpRequest, project_id: PathId, offering_id: PathId, data: JSONBody[wire.PackageCreate]) -> wire.Package:
    """Without a position it comes last."""
    async with entered(request, project_id) as entry:
        package = await catalog.create_package(
            entry.tx, offering_id=offering_id, lookup_key=data.lookup_key, display_name=data.display_name, position=data.position
        )
        await entry.audit("package.create", package.package_id, {"lookup_key": package.lookup_key, "offering_id": offering_id})
    return show_package(package, project_id)


@get(_ONE, permission=_READ, operation_id="get-package", summary="Get a package", tags=_TAGS)
async def get_package(request: HttpRequest, project_id: PathId, package_id: PathId, expand: Expand = None) -> wire.Package:
    async with entered(request, project_id) as entry:
        wanted = expanded_by(entry, expand, {"product": _PRODUCTS})
        package = await catalog.require_package(entry.tx, package_id)
        products = await products_of(entry.tx, [package]) if wanted else None
    return show_package(package, project_id, products)


@post(
    _ONE,
    permission=_WRITE,
    operation_id="update-package",
    summary="Update a package",
    tags=_TAGS,
    status_code=200,
)
async def update_package(request: HttpRequest, project_id: PathId, package_id: PathId, data: JSONBody[wire.PackageUpdate]) -> wire.Package:
    async with entered(request, project_id) as entry:
        package = await catalog.update_package(entry.tx, package_id, display_name=data.display_name, position=data.position)
        await entry.audit("package.update", package_id, {"display_name": package.display_name, "position": package.position})
    return show_package(package, project_id)


@delete(_ONE, permission=_WRITE, operation_id="delete-package-from-offering", summary="Delete a package", tags=_TAGS, status_code=200)
async def delete_package(request: HttpRequest, project_id: PathId, package_id: PathId) -> wire.DeletedObject:
    """Its products stay."""
    async with entered(request, project_id) as entry:
        package = await catalog.require_package(entry.tx, package_id)
        await catalog.delete_package(entry.tx, package_id)
        await entry.audit("package.delete", package_id, {"lookup_key": package.lookup_key, "offering_id": package.offering_id})
        return wire.DeletedObject(object="package", id=package_id, deleted_at=to_ms(entry.tx.now))


@get(
    _ONE + "/products",
    permission=_READ,
    operation_id="get-products-from-package",
    summary="List its products",
    tags=_TAGS,
)
async def list_package_products(request: HttpRequest, project_id: PathId, package_id: PathId, page: AskedPage) -> wire.ListOf[wire.PackageProduct]:
    async with entered(request, project_id) as entry:
        package = await catalog.require_package(entry.tx, package_id)
        products = await products_of(entry.tx, [package])
    return page.part_of(package.products, lambda one: one.product_id, lambda one: _show_association(one, products))


@post(
    _ONE + "/actions/attach_products",
    permission=_WRITE,
    operation_id="attach-products-to-package",
    summary="Put products in",
    tags=_TAGS,
    status_code=200,
)
async def attach_products(request: HttpRequest, project_id: PathId, package_id: PathId, data: JSONBody[wire.PackageProductsAttach]) -> wire.Package:
    """One that is in already gets the new `eligibility_criteria`."""
    new = [PackageProduct(product_id=one.product_id, eligibility_criteria=one.eligibility_criteria) for one in data.products]
    async with entered(request, project_id) as entry:
        await catalog.attach_to_package(entry.tx, package_id, new)
        return await _changed(entry, "package.attach_products", package_id, [one.product_id for one in new])


@post(
    _ONE + "/actions/detach_products",
    permission=_WRITE,
    operation_id="detach-products-from-package",
    summary="Take products out",
    tags=_TAGS,
    status_code=200,
)
async def detach_products(request: HttpRequest, project_id: PathId, package_id: PathId, data: JSONBody[wire.ProductsAttach]) -> wire.Package:
    async with entered(request, project_id) as entry:
        await catalog.detach_from_package(entry.tx, package_id, data.product_ids)
        return await _changed(entry, "package.detach_products", package_id, data.product_ids)


async def _changed(entry: Entry, action: str, package_id: str, product_ids: list[str]) -> wire.Package:
    await entry.audit(action, package_id, {"product_ids": product_ids})
    package = await catalog.require_package(entry.tx, package_id)
    return show_package(package, entry.project_id, await products_of(entry.tx, [package]))


async def products_of(tx: Tx, packages: Sequence[Package]) -> dict[str, Product]:
    ids = {one.product_id for package in packages for one in package.products}
    return {product.product_id: product for product in await catalog.get_products(tx, product_ids=ids, limit=10_000)}


def show_package(package: Package, project_id: str, products: Mapping[str, Product] | None = None) -> wire.Package:
    """`products` None: not asked for, and so not shown."""
    shown = wire.Package(
        id=package.package_id,
        lookup_key=package.lookup_key,
        display_name=package.display_name,
        position=package.position,
        created_at=to_ms(package.created_at),
    )
    if products is not None:
        associations = [_show_association(one, products) for one in package.products if one.product_id in products]
        shown.products = whole(associations, f"/v2/projects/{project_id}/packages/{package.package_id}/products")
    return shown


def _show_association(one: PackageProduct, products: Mapping[str, Product]) -> wire.PackageProduct:
    return wire.PackageProduct(product=show_product(products[one.product_id]), eligibility_criteria=one.eligibility_criteria)  # type: ignore[arg-type]


HANDLERS = [
    list_packages,
    create_package,
    get_package,
    update_package,
    delete_package,
    list_package_products,
    attach_products,
    detach_products,
]

"""Offerings and what they present, and which offering shows at which place."""

from collections.abc import Mapping, Sequence

from litestar.params import JSONBody

from perennial import catalog
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.entry import entered
from perennial.api.v2.packages import products_of, show_package
from perennial.api.v2.pages import AskedPage, Expand, expanded_by, whole
from perennial.api.v2.products import state_of
from perennial.api.v2.routes import PathId, delete, get, post, put
from perennial.base.time import to_ms
from perennial.catalog.model import Offering, Package, PlacementIds, Product

_TAGS = ["Offerings"]
_PATH = "/projects/{project_id:str}/offerings"
_ONE = _PATH + "/{offering_id:str}"
_READ, _WRITE = "project_configuration:offerings:read", "project_configuration:offerings:read_write"
_PACKAGES, _PRODUCTS = "project_configuration:packages:read", "project_configuration:products:read"


@get(_PATH, permission=_READ, operation_id="list-offerings", summary="List offerings", tags=_TAGS)
async def list_offerings(request: HttpRequest, project_id: PathId, page: AskedPage, expand: Expand = None) -> wire.ListOf[wire.Offering]:
    async with entered(request, project_id) as entry:
        wanted = expanded_by(entry, expand, {"items.package": _PACKAGES, "items.package.product": _PRODUCTS})
        found = await catalog.get_offerings(entry.tx, after=page.after, limit=page.probe)
        products = await products_of(entry.tx, _packages(found)) if "items.package.product" in wanted else None
    return page.of(found, lambda one: one.offering_id, lambda one: show_offering(one, project_id, with_packages=bool(wanted), products=products))


@post(_PATH, permission=_WRITE, operation_id="create-offering", summary="Create an offering", tags=_TAGS)
async def create_offering(request: HttpRequest, project_id: PathId, data: JSONBody[wire.OfferingCreate]) -> wire.Offering:
    async with entered(request, project_id) as entry:
        offering = await catalog.create_offering(
            entry.tx, lookup_key=data.lookup_key, display_name=data.display_name, metadata=data.metadata, is_current=data.is_current
        )
        await entry.audit("offering.create", offering.offering_id, {"lookup_key": offering.lookup_key, "is_current": offering.is_current})
    return show_offering(offering, project_id)


@get(_ONE, permission=_READ, operation_id="get-offering", summary="Get an offering", tags=_TAGS)
async def get_offering(request: HttpRequest, project_id: PathId, offering_id: PathId, expand: Expand = None) -> wire.Offering:
    async with entered(request, project_id) as entry:
        wanted = expanded_by(entry, expand, {"package": _PACKAGES, "package.product": _PRODUCTS})
        offering = await catalog.require_offering(entry.tx, offering_id)
        products = await products_of(entry.tx, offering.packages) if "package.product" in wanted else None
    return show_offering(offering, project_id, with_packages=bool(wanted), products=products)


@post(
    _ONE,
    permission=_WRITE,
    operation_id="update-offering",
    summary="Update an offering",
    tags=_TAGS,
    status_code=200,
)
async def update_offering(request: HttpRequest, project_id: PathId, offering_id: PathId, data: JSONBody[wire.OfferingUpdate]) -> wire.Offering:
    """What is left out stays. Making one current makes the others not. `metadata: null` removes it."""
    async with entered(request, project_id) as entry:
        offering = await catalog.update_offering(
            entry.tx, offering_id, display_name=data.display_name, is_current=data.is_current, metadata=data.metadata
        )
        await entry.audit("offering.update", offering_id, {"display_name": offering.display_name, "is_current": offering.is_current})
    return show_offering(offering, project_id)


@delete(_ONE, permission=_WRITE, operation_id="delete-offering", summary="Delete an offering and its packages", tags=_TAGS, status_code=200)
async def delete_offering(request: HttpRequest, project_id: PathId, offering_id: PathId) -> wire.DeletedObject:
    """Its products stay. One that apps look for, as the current one or at a place, stays too (422): let another take its place first."""
    async with entered(request, project_id) as entry:
        offering = await catalog.require_offering(entry.tx, offering_id)
        await catalog.delete_offering(entry.tx, offering_id)
        await entry.audit("offering.delete", offering_id, {"lookup_key": offering.lookup_key})
        return wire.DeletedObject(object="offering", id=offering_id, deleted_at=to_ms(entry.tx.now))


@post(_ONE + "/actions/archive", permission=_WRITE, operation_id="archive-offering", summary="Archive an offering", tags=_TAGS, status_code=200)
async def archive_offering(request: HttpRequest, project_id: PathId, offering_id: PathId) -> wire.Offering:
    """No app shows it any more. One that apps look for stays in sight (422): let another take its place first."""
    async with entered(request, project_id) as entry:
        offering = await catalog.archive_offering(entry.tx, offering_id)
        await entry.audit("offering.archive", offering_id)
    return show_offering(offering, project_id)


@post(_ONE + "/actions/unarchive", permission=_WRITE, operation_id="unarchive-offering", summary="Unarchive an offering", tags=_TAGS, status_code=200)
async def unarchive_offering(
    request: HttpRequest, project_id: PathId, offering_id: PathId, data: JSONBody[wire.OfferingUnarchive | None] = None
) -> wire.Offering:
    """Archived products of its packages are in the way (422), unless `unarchive_referenced_entities` says that they come back with it."""
    async with entered(request, project_id) as entry:
        with_products = data is not None and data.unarchive_referenced_entities
        offering = await catalog.unarchive_offering(entry.tx, offering_id, with_products=with_products)
        await entry.audit("offering.unarchive", offering_id, {"with_products": with_products})
    return show_offering(offering, project_id)


def _packages(offerings: Sequence[Offering]) -> list[Package]:
    return [package for offering in offerings for package in offering.packages]


def show_offering(
    offering: Offering, project_id: str, *, with_packages: bool = False, products: Mapping[str, Product] | None = None
) -> wire.Offering:
    shown = wire.Offering(
        id=offering.offering_id,
        lookup_key=offering.lookup_key,
        display_name=offering.display_name,
        state=state_of(offering.archived_at),
        is_current=offering.is_current,
        created_at=to_ms(offering.created_at),
        project_id=project_id,
        metadata=offering.metadata,
    )
    if with_packages:
        url = f"/v2/projects/{project_id}/offerings/{offering.offering_id}/packages"
        shown.packages = whole([show_package(package, project_id, products) for package in offering.packages], url)
    return shown


# Placements -----------------------------------------------------------------------------------------------------------------------


@get(
    "/projects/{project_id:str}/placements",
    permission=_READ,
    operation_id="get-placements",
    summary="Which offering shows where",
    tags=_TAGS,
)
async def get_placements(request: HttpRequest, project_id: PathId) -> wire.Placements:
    async with entered(request, project_id) as entry:
        found = await catalog.get_placement_ids(entry.tx)
    return wire.Placements(fallback_offering_id=found.fallback_offering_id, placements=found.offering_ids)


@put(
    "/projects/{project_id:str}/placements",
    permission=_WRITE,
    operation_id="put-placements",
    summary="Say which offering shows where",
    tags=_TAGS,
)
async def put_placements(request: HttpRequest, project_id: PathId, data: JSONBody[wire.PlacementsPut]) -> wire.Placements:
    """These are all there are from then on. Null shows nothing at a place; a place not named shows the fallback."""
    async with entered(request, project_id) as entry:
        await catalog.set_placements(entry.tx, PlacementIds(fallback_offering_id=data.fallback_offering_id, offering_ids=dict(data.placements)))
        await entry.audit("placements.set", project_id, {"placements": data.placements, "fallback_offering_id": data.fallback_offering_id})
    return wire.Placements(fallback_offering_id=data.fallback_offering_id, placements=dict(data.placements))


HANDLERS = [
    list_offerings,
    create_offering,
    get_offering,
    update_offering,
    delete_offering,
    archive_offering,
    unarchive_offering,
    get_placements,
    put_placements,
]

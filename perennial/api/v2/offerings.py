"""Offerings and what they present, and which offering shows at which place."""

from collections.abc import Mapping, Sequence

from litestar.params import JSONBody

from perennial import catalog
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.entry import entered
from perennial.api.v2.packages import products_of, show_package
from perennial.api.v2.pages import AskedPage, Expand, expanded, whole
from perennial.api.v2.routes import PathId, get, post, put
from perennial.base.time import to_ms
from perennial.catalog.model import Offering, Package, PlacementIds, Product

_TAGS = ["Offerings"]
_PATH = "/projects/{project_id:str}/offerings"
_ONE = _PATH + "/{offering_id:str}"


@get(_PATH, operation_id="list-offerings", summary="List offerings", tags=_TAGS)
async def list_offerings(request: HttpRequest, project_id: PathId, page: AskedPage, expand: Expand = None) -> wire.ListOf[wire.Offering]:
    wanted = expanded(expand, "items.package", "items.package.product")
    async with entered(request, project_id) as entry:
        found = await catalog.get_offerings(entry.tx, after=page.after, limit=page.probe)
        products = await products_of(entry.tx, _packages(found)) if "items.package.product" in wanted else None
    return page.of(found, lambda one: one.offering_id, lambda one: show_offering(one, project_id, with_packages=bool(wanted), products=products))


@post(_PATH, operation_id="create-offering", summary="Create an offering", tags=_TAGS)
async def create_offering(request: HttpRequest, project_id: PathId, data: JSONBody[wire.OfferingCreate]) -> wire.Offering:
    async with entered(request, project_id) as entry:
        offering = await catalog.create_offering(
            entry.tx, lookup_key=data.lookup_key, display_name=data.display_name, metadata=data.metadata, is_current=data.is_current
        )
        await entry.audit("offering.create", offering.offering_id, {"lookup_key": offering.lookup_key, "is_current": offering.is_current})
    return show_offering(offering, project_id)


@get(_ONE, operation_id="get-offering", summary="Get an offering", tags=_TAGS)
async def get_offering(request: HttpRequest, project_id: PathId, offering_id: PathId, expand: Expand = None) -> wire.Offering:
    wanted = expanded(expand, "package", "package.product")
    async with entered(request, project_id) as entry:
        offering = await catalog.require_offering(entry.tx, offering_id)
        products = await products_of(entry.tx, offering.packages) if "package.product" in wanted else None
    return show_offering(offering, project_id, with_packages=bool(wanted), products=products)


@post(_ONE, operation_id="update-offering", summary="Update an offering", tags=_TAGS, status_code=200)
async def update_offering(request: HttpRequest, project_id: PathId, offering_id: PathId, data: JSONBody[wire.OfferingUpdate]) -> wire.Offering:
    """What is left out stays. Making one current makes the others not. `metadata: null` removes it."""
    async with entered(request, project_id) as entry:
        offering = await catalog.update_offering(
            entry.tx, offering_id, display_name=data.display_name, is_current=data.is_current, metadata=data.metadata
        )
        await entry.audit("offering.update", offering_id, {"display_name": offering.display_name, "is_current": offering.is_current})
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


@get("/projects/{project_id:str}/placements", operation_id="get-placements", summary="Which offering shows where", tags=_TAGS)
async def get_placements(request: HttpRequest, project_id: PathId) -> wire.Placements:
    async with entered(request, project_id) as entry:
        found = await catalog.get_placement_ids(entry.tx)
    return wire.Placements(fallback_offering_id=found.fallback_offering_id, placements=found.offering_ids)


@put("/projects/{project_id:str}/placements", operation_id="put-placements", summary="Say which offering shows where", tags=_TAGS)
async def put_placements(request: HttpRequest, project_id: PathId, data: JSONBody[wire.PlacementsPut]) -> wire.Placements:
    """These are all there are from then on. Null shows nothing at a place; a place not named shows the fallback."""
    async with entered(request, project_id) as entry:
        await catalog.set_placements(entry.tx, PlacementIds(fallback_offering_id=data.fallback_offering_id, offering_ids=dict(data.placements)))
        await entry.audit("placements.set", project_id, {"placements": data.placements, "fallback_offering_id": data.fallback_offering_id})
    return wire.Placements(fallback_offering_id=data.fallback_offering_id, placements=dict(data.placements))


HANDLERS = [list_offerings, create_offering, get_offering, update_offering, get_placements, put_placements]

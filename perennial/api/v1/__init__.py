"""What the SDKs and servers of the vendor's v1 call, in its exact shapes."""

from litestar import Router

from perennial.api.auth import HttpRequest, admit_v1
from perennial.api.bodies import check_v1_body
from perennial.api.documented import documented
from perennial.api.unknown import warn_of_unknown
from perennial.api.v1 import (
    catalog,
    checkout,
    customer_center,
    eligibility,
    external,
    identity,
    purchases,
    redemption,
    rewards,
    server,
    service,
    telemetry,
    virtual_currencies,
)
from perennial.api.v1.shapes import ANSWERS
from perennial.catalog.model import Caller


async def check_request(request: HttpRequest) -> None:
    """Before any handler."""
    await check_v1_body(request)
    caller: Caller | None = request.scope["state"].get("caller")
    if caller is not None and caller.kind == "secret":
        await warn_of_unknown(request)


router = Router(
    path="/",
    guards=[admit_v1],
    route_handlers=documented(
        [
            *catalog.HANDLERS,
            *identity.HANDLERS,
            *purchases.HANDLERS,
            *external.HANDLERS,
            *checkout.HANDLERS,
            *server.HANDLERS,
            *eligibility.HANDLERS,
            *redemption.HANDLERS,
            *customer_center.HANDLERS,
            *telemetry.HANDLERS,
            *virtual_currencies.HANDLERS,
            *rewards.HANDLERS,
            *service.HANDLERS,
        ],
        ANSWERS,
    ),
    before_request=check_request,
    tags=["v1"],
)

__all__ = ["router"]

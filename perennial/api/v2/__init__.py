"""Management by servers and tools, in the shapes of the vendor's REST API v2, with a few resources of our own: clock, placements, events."""

from litestar import Router
from litestar.di import Provide
from litestar.exceptions import ValidationException

from perennial.api.v2 import apps, customers, entitlements, offerings, packages, products, projects, subscriptions, webhooks
from perennial.api.v2.entry import check_request
from perennial.api.v2.pages import page_of
from perennial.api.v2.refusals import on_validation_error

router = Router(
    path="/v2",
    route_handlers=[
        *projects.HANDLERS,
        *apps.HANDLERS,
        *products.HANDLERS,
        *entitlements.HANDLERS,
        *offerings.HANDLERS,
        *packages.HANDLERS,
        *customers.HANDLERS,
        *subscriptions.HANDLERS,
        *webhooks.HANDLERS,
    ],
    dependencies={"page": Provide(page_of)},
    before_request=check_request,
    exception_handlers={ValidationException: on_validation_error},
)

__all__ = ["router"]

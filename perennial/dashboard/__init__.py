"""The web pages, calling the same verbs as everyone. For now they show the demo project, to this machine alone."""

from litestar import Router

from perennial.dashboard import consent, pages, receiver
from perennial.dashboard.guard import HEADERS

router = Router(
    path="/",
    route_handlers=[*pages.HANDLERS, *consent.HANDLERS, *receiver.HANDLERS],
    response_headers=HEADERS,
    include_in_schema=False,
    tags=["dashboard"],
)

__all__ = ["router"]

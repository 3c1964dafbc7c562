"""What SDKs call beside the product: health, their own events and diagnostics, remote configuration."""

from litestar import Response, get, post
from litestar.params import FromPath, JSONBody

from perennial.api.auth import HttpRequest, caller_of
from perennial.api.v1.answers import to_json
from perennial.api.v1.wire import Events
from perennial.base.errors import NotFound


@get("/v1/health", operation_id="health", summary="For the SDKs' own health check")
async def health() -> Response[bytes]:
    return to_json("")


@get("/v1/subscribers/{app_user_id:str}/health_report_availability", operation_id="health_report_availability", summary="Whether reports are logged")
async def health_report_availability(app_user_id: FromPath[str]) -> Response[bytes]:
    return to_json({"report_logs": False})


@post("/v1/events", operation_id="post_events", summary="Events of SDKs", status_code=200)
async def post_events(request: HttpRequest, data: JSONBody[Events]) -> Response[bytes]:
    """Taken, so that SDKs do not send them again and again; not kept yet."""
    await caller_of(request)
    return to_json({})


@post("/v1/diagnostics", operation_id="post_diagnostics", summary="Diagnostics of SDKs", status_code=200)
async def post_diagnostics(request: HttpRequest, data: JSONBody[Events]) -> Response[bytes]:
    """Taken, like events."""
    await caller_of(request)
    return to_json({})


@post("/v1/config/{domain:str}", operation_id="post_config", summary="Remote configuration", status_code=200)
async def post_config(domain: FromPath[str]) -> Response[bytes]:
    """A 404 switches remote configuration off for the SDK's session; it then reads paywalls from the offerings."""
    raise NotFound("remote configuration is not offered here")


HANDLERS = [health, health_report_availability, post_events, post_diagnostics, post_config]

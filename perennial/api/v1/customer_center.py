"""The Customer Center of an app, and the tickets written in it."""

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, JSONBody

from perennial import customer_center
from perennial.api.auth import HttpRequest, app_of, caller_of
from perennial.api.v1.answers import to_json
from perennial.api.v1.wire import CreateTicket
from perennial.customer_center.model import Config
from perennial.customers.model import check_app_user_id

_GOOGLE = ("android", "amazon")


@get("/v1/customercenter/{app_user_id:str}", operation_id="get_customer_center", summary="The Customer Center, as one customer sees it")
async def get_customer_center(request: HttpRequest, app_user_id: FromPath[str]) -> Response[bytes]:
    """The project's own, or a default. Offers are those of the store of `X-Platform`."""
    caller = await caller_of(request)
    check_app_user_id(app_user_id)
    platform = (request.headers.get("x-platform") or "").lower()
    async with app_of(request).database.transaction(caller.project_id) as tx:
        shown = await customer_center.shown_to(tx, app_user_id, "google" if platform in _GOOGLE else "apple")
    return to_json(document(shown))


def document(config: Config) -> dict[str, object]:
    """The two SDKs look for the app's version and number in different places, so they are in both."""
    body = msgspec.to_builtins(config)
    assert isinstance(body, dict)
    beside = {name: body.get(name) for name in ("last_published_app_version", "itunes_track_id")}
    return {"customer_center": body, **beside}


@post("/v1/customercenter/support/create-ticket", operation_id="create_ticket", summary="Write to the project's support", status_code=200)
async def create_ticket(request: HttpRequest, data: JSONBody[CreateTicket]) -> Response[bytes]:
    """Kept for the project's people to read. `sent` is false where the Customer Center takes no tickets of this customer, or too many came."""
    caller = await caller_of(request)
    check_app_user_id(data.app_user_id)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        ticket = await customer_center.create_ticket(tx, data.app_user_id, data.customer_email, data.issue_description)
    return to_json({"sent": ticket is not None})


HANDLERS = [get_customer_center, create_ticket]

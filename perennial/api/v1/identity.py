"""Who a customer is: logging in, aliases, attributes."""

from litestar import Response, get, post
from litestar.params import FromPath, JSONBody

from perennial import customers, subscriptions
from perennial.api.auth import HttpRequest, app_of, caller_of
from perennial.api.v1 import documents
from perennial.api.v1.answers import json_bytes, to_json
from perennial.api.v1.wire import Alias, Attributes, Identify, attributes_of
from perennial.base.errors import Invalid
from perennial.base.time import to_ms
from perennial.customers import AttributeProblem
from perennial.customers.model import check_app_user_id


@get("/v1/subscribers/{app_user_id:str}", operation_id="get_customer", summary="A customer: what they may use and hold")
async def get_customer(app_user_id: FromPath[str]) -> None:
    """Found (200) or made (201). Always fresh. With a secret key also their attributes. Answered in front of the framework, by `read.py`."""
    raise AssertionError("the front answers this")


@post("/v1/subscribers/identify", operation_id="identify", summary="Log in: from one app user id to another")
async def identify(request: HttpRequest, data: JSONBody[Identify]) -> Response[bytes]:
    """Gives the anonymous customer a name, joins them with a known one, or just looks at another. 201 where the id was new."""
    caller = await caller_of(request)
    check_app_user_id(data.app_user_id)
    check_app_user_id(data.new_app_user_id, param="new_app_user_id")
    async with app_of(request).database.transaction(caller.project_id) as tx:
        customer_id, is_new = await subscriptions.identify(tx, data.app_user_id, data.new_app_user_id)
        return json_bytes(await documents.answer(tx, customer_id, last_seen=tx.now), 201 if is_new else 200)


@post("/v1/subscribers/{app_user_id:str}/alias", operation_id="alias", summary="Give a customer another id", status_code=200)
async def alias(request: HttpRequest, app_user_id: FromPath[str], data: JSONBody[Alias]) -> Response[bytes]:
    caller = await caller_of(request)
    check_app_user_id(app_user_id)
    check_app_user_id(data.new_app_user_id, param="new_app_user_id")
    async with app_of(request).database.transaction(caller.project_id) as tx:
        customer_id, _ = await subscriptions.identify(tx, app_user_id, data.new_app_user_id)
        return json_bytes(await documents.answer(tx, customer_id, last_seen=tx.now))


@post("/v1/subscribers/{app_user_id:str}/attributes", operation_id="set_attributes", summary="Set attributes of a customer", status_code=200)
async def set_attributes(request: HttpRequest, app_user_id: FromPath[str], data: JSONBody[Attributes]) -> Response[bytes]:
    """Newest write per name wins; null or empty deletes. 400 (7263) names what was not kept; the rest was. A secret key is told the customer."""
    caller = await caller_of(request)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        ids, _ = await customers.ensure(tx, [app_user_id])
        sent, unread = attributes_of(data.attributes, to_ms(tx.now), request.client.host if request.client else None)
        problems = unread + await customers.set_attributes(tx, ids[app_user_id], sent)
        if caller.kind == "secret" and not problems:
            return json_bytes(await documents.answer(tx, ids[app_user_id], with_attributes=True))
    return to_json(attribute_errors(problems), 400) if problems else to_json({})


def attribute_errors(problems: list[AttributeProblem]) -> dict[str, object]:
    return {
        "code": 7263,
        "message": "some attributes were not kept; attribute_errors says which and why",
        "attribute_errors": [{"key_name": problem.key, "message": problem.message} for problem in problems],
    }


@post("/v1/subscribers/{app_user_id:str}", operation_id="not_a_post", include_in_schema=False)
async def not_a_post(app_user_id: FromPath[str]) -> None:
    raise Invalid("customers are made by GET; POST /v1/receipts records purchases")


HANDLERS = [get_customer, identify, alias, set_attributes, not_a_post]

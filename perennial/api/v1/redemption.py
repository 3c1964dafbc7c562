"""Redeeming in an app what was bought on the web."""

import msgspec
from litestar import Response, post
from litestar.params import JSONBody

from perennial import redemption
from perennial.api.auth import HttpRequest, app_of, caller_of
from perennial.api.errors import status_of
from perennial.api.v1 import documents
from perennial.api.v1.answers import json_bytes
from perennial.api.v1.wire import RedeemPurchase
from perennial.customers.model import check_app_user_id


@post("/v1/subscribers/redeem_purchase", operation_id="redeem_purchase", summary="Redeem a web purchase", status_code=200)
async def redeem_purchase(request: HttpRequest, data: JSONBody[RedeemPurchase]) -> Response[bytes]:
    """Answers with the customer. 7849: no such token; 7852: it is another's; 7853: expired, and to which mailbox it was sent."""
    caller = await caller_of(request)
    check_app_user_id(data.app_user_id)
    try:
        async with app_of(request).database.transaction(caller.project_id) as tx:
            customer_id = await redemption.redeem(tx, data.redemption_token, data.app_user_id)
            return json_bytes(await documents.answer(tx, customer_id, last_seen=tx.now))
    except redemption.TokenExpired as error:
        info = {"obfuscated_email": error.obfuscated_email}
        body = {"code": error.code, "message": error.message, "purchase_redemption_error_info": info}
        return json_bytes(msgspec.json.encode(body), status_of(error))


HANDLERS = [redeem_purchase]

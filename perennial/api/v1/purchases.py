"""Purchases: `POST /v1/receipts`, for a purchase, a restore, or a server that has a receipt.

To an SDK a 4xx here is final (it finishes the store's transaction), so trouble on our side is always 5xx and is tried again.
"""

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, JSONBody

from perennial import catalog, customers, intake
from perennial.api.auth import HttpRequest, app_of, caller_of
from perennial.api.v1 import documents
from perennial.api.v1.answers import json_bytes, to_json
from perennial.api.v1.identity import attribute_errors
from perennial.api.v1.wire import PostReceipt, attributes_of
from perennial.base import reading
from perennial.base.db import Tx
from perennial.base.errors import Invalid
from perennial.base.ids import AppId, CustomerId
from perennial.base.money import Money
from perennial.base.time import to_ms
from perennial.catalog.model import Caller
from perennial.customers.model import check_app_user_id
from perennial.intake import Receipt
from perennial.intake.model import Reading

_STORES = {
    "ios": "app_store",
    "macos": "mac_app_store",
    "uikitformac": "app_store",
    "tvos": "app_store",
    "watchos": "app_store",
    "visionos": "app_store",
    "android": "play_store",
    "amazon": "amazon",
    "stripe": "stripe",
    "roku": "roku",
    "paddle": "paddle",
    "microsoft": "microsoft",
}


@post("/v1/receipts", operation_id="post_receipt", summary="Record a purchase from a store's proof", status_code=200)
async def post_receipt(request: HttpRequest, data: JSONBody[PostReceipt]) -> Response[bytes]:
    """Verifies the proof, records what it states, and answers with the customer. 7103: the proof is not valid; 7102: it is another's."""
    caller, app = await caller_of(request), app_of(request)
    check_app_user_id(data.app_user_id)
    receipt = _receipt(data)
    async with app.database.transaction(caller.project_id) as tx:
        app_id = await store_app(tx, caller, request.headers.get("x-platform"))

    async def answer(tx: Tx, buyer: CustomerId, reading: Reading) -> bytes:
        sent, problems = attributes_of(data.attributes, to_ms(tx.now), request.client.host if request.client else None)
        if sent:
            problems += await customers.set_attributes(tx, buyer, sent)
        body = await documents.answer(tx, buyer, last_seen=tx.now, with_attributes=caller.kind == "secret")
        if problems:
            body = body[:-1] + b',"attributes_error_response":' + msgspec.json.encode(attribute_errors(problems)) + b"}"
        if reading.should_consume:
            body = body[:-1] + b',"purchased_products":' + msgspec.json.encode(_purchased_products(reading)) + b"}"
        return body

    return json_bytes(await intake.post_receipt(app.database, app.vault, app.providers, caller.project_id, app_id, receipt, data.app_user_id, answer))


def _purchased_products(reading: Reading) -> dict[str, dict[str, bool]]:
    """By one-time product, whether the device consumes the purchase (it can be bought again) or only acknowledges it.

    Android's SDK reads an absent entry as "consume" up to about 9.21 and as "do not" from then on, so every entry is there.
    """
    return {product: {"should_consume": should_consume} for product, should_consume in reading.should_consume.items()}


def _receipt(data: JSONBody[PostReceipt]) -> Receipt:
    token = data.fetch_token or data.app_transaction
    if not token:
        raise Invalid("fetch_token is missing: send the store's transaction or receipt", param="fetch_token", code=7103)
    is_restore = data.is_restore if data.is_restore is not None else data.initiation_source == "restore"
    return Receipt(
        token=token,
        app_transaction=data.app_transaction if data.fetch_token else None,
        product_ids=data.products,
        is_restore=is_restore,
        is_completed_by_app=data.purchase_completed_by == "my_app" or data.observer_mode is True,
        presented_offering=data.presented_offering_identifier,
        store_user_id=data.store_user_id,
        price=_price(data),
    )


def _price(data: PostReceipt) -> Money | None:
    """What the app says was paid, for stores that do not tell. What is no amount costs nobody the purchase: then nothing is known of it."""
    if data.price is None or data.currency is None:
        return None
    price, currency = max(data.price, 0.0), data.currency
    return reading.aside("price", [price, currency], lambda: reading.money(price, currency, "price"))


async def store_app(tx: Tx, caller: Caller, platform: str | None) -> AppId:
    """A public key says which app it is; with a secret key the X-Platform header does."""
    if caller.app_id is not None:
        return caller.app_id
    store = _STORES.get((platform or "").lower())
    if store is None:
        raise Invalid(
            "with a secret key, send X-Platform (ios, android, stripe, ...): it says which store this is from", param="X-Platform", code=7000
        )
    apps = [app for app in await catalog.get_apps(tx) if app.store == store]
    if len(apps) != 1:
        raise Invalid(f"this project has {len(apps)} apps for {platform}; use the public SDK key of the one you mean", param="X-Platform", code=7000)
    return apps[0].app_id


@get(
    "/v1/receipts/amazon/{store_user_id:str}/{receipt_id:str}",
    operation_id="get_amazon_receipt",
    summary="What Amazon says of a receipt",
)
async def get_amazon_receipt(request: HttpRequest, store_user_id: FromPath[str], receipt_id: FromPath[str]) -> Response[bytes]:
    """Amazon's own JSON: Android's SDK reads `termSku` of it before it posts the receipt. Records nothing. 7103: no such receipt."""
    caller, app = await caller_of(request), app_of(request)
    async with app.database.transaction(caller.project_id) as tx:
        app_id = await store_app(tx, caller, request.headers.get("x-platform"))
    found = await intake.receipt_data(app.database, app.vault, app.providers, caller.project_id, app_id, user_id=store_user_id, receipt_id=receipt_id)
    return to_json(found)


HANDLERS = [post_receipt, get_amazon_receipt]

"""Who may have which of the App Store's offers: introductory ones, which are once in a life, and promotional ones, which we sign.

Judged by what the customer holds and by the receipt their device sends along. A receipt that proves nothing says nothing here: the
answer is then as good as what we know without it.
"""

import re
from collections.abc import Collection, Sequence

from litestar import Response, post
from litestar.params import FromPath, JSONBody

from perennial import catalog, customers, intake, subscriptions
from perennial.api.auth import HttpRequest, app_of, caller_of
from perennial.api.v1.answers import to_json
from perennial.api.v1.purchases import store_app
from perennial.api.v1.wire import IntroEligibility, OfferWanted, RestoreEligibility, SignOffers
from perennial.app import App
from perennial.base.db import Tx
from perennial.base.errors import Invalid, PerennialError
from perennial.base.ids import AppId, CustomerId, new_uuid
from perennial.base.value import value
from perennial.catalog.model import Caller
from perennial.customers.model import check_app_user_id
from perennial.intake import Receipt
from perennial.intake.model import Reading, StoreApp
from perennial.providers.apple.offers import OfferKeyMissing, sign_offer
from perennial.subscriptions.model import Purchase

APPLE = ("app_store", "mac_app_store")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

History = Sequence[Purchase]  # of one line: on the App Store, of one subscription group


@post(
    "/v1/subscribers/{app_user_id:str}/intro_eligibility",
    operation_id="get_intro_eligibility",
    summary="Who may have an introductory offer",
    status_code=200,
)
async def get_intro_eligibility(request: HttpRequest, app_user_id: FromPath[str], data: JSONBody[IntroEligibility]) -> Response[bytes]:
    """Per product: true, false, or null where it cannot be known."""
    caller, app = await caller_of(request), app_of(request)
    check_app_user_id(app_user_id)
    async with app.database.transaction(caller.project_id) as tx:
        app_id = await store_app(tx, caller, request.headers.get("x-platform"))
        known = await catalog.find_products(tx, [(app_id, identifier) for identifier in data.product_identifiers])
        customer = await _seen_by_us(tx, app, app_id, app_user_id)
    histories = [*customer.histories, *await _seen_by_the_store(app, caller, app_id, data.fetch_token)]
    subscriptions_known = {identifier for (_, identifier), product in known.items() if product.type == "subscription"}
    return to_json(intro_eligibility(data.product_identifiers, subscriptions_known, histories))


def intro_eligibility(asked: Sequence[str], known: Collection[str], histories: Sequence[History]) -> dict[str, bool | None]:
    """Apple gives one introductory offer per customer and subscription group.

    Products that one line had one after the other are of one group. Which group others are of is not told to servers, so once an
    introductory offer was used elsewhere, they are unknown.
    """
    used = [history for history in histories if any(map(_is_introductory, history))]
    spent = {purchase.product for history in used for purchase in history}
    return {product: False if product in spent else True if product in known and not used else None for product in asked}


def _is_introductory(purchase: Purchase) -> bool:
    if purchase.ownership != "purchased":
        return False
    return purchase.offer.kind == "introductory" if purchase.offer else purchase.period_type in ("trial", "intro")


@post("/v1/offers", operation_id="sign_offers", summary="Sign promotional offers", status_code=200)
async def sign_offers(request: HttpRequest, data: JSONBody[SignOffers]) -> Response[bytes]:
    """With the app's own in-app purchase key. Per offer a signature, or why there is none: 7232 not for this customer, 7234 no key."""
    caller, app = await caller_of(request), app_of(request)
    check_app_user_id(data.app_user_id)
    async with app.database.transaction(caller.project_id) as tx:
        app_id = await store_app(tx, caller, request.headers.get("x-platform"))
        customer = await _seen_by_us(tx, app, app_id, data.app_user_id)
        now = tx.now
    if customer.app.store not in APPLE:
        raise Invalid(f"only the App Store has offers that are signed; this app is of {customer.app.store}")
    histories = customer.histories or await _seen_by_the_store(app, caller, app_id, data.fetch_token)
    has_subscribed = any(purchase.kind == "subscription" for history in histories for purchase in history)
    buyer = buyer_told_to_storekit(data.app_user_id, request.headers.get("x-storekit-version"), request.headers.get("x-storekit2-enabled"))

    def sign(wanted: OfferWanted) -> dict[str, object]:
        offer: dict[str, object] = {"offer_id": wanted.offer_id, "product_id": wanted.product_id, "key_id": customer.app.api_key_id or ""}
        if not has_subscribed:
            problem = "promotional offers are for customers who subscribe or have subscribed"
            return offer | {"signature_error": {"code": 7232, "message": problem}}
        try:
            made = sign_offer(customer.app, product=wanted.product_id, offer=wanted.offer_id, buyer=buyer, nonce=new_uuid(), now=now)
        except OfferKeyMissing as error:
            return offer | {"signature_error": {"code": error.code, "message": error.message}}
        return offer | {"signature_data": {"signature": made.signature, "nonce": made.nonce, "timestamp": made.timestamp_ms}}

    return to_json({"offers": [sign(wanted) for wanted in data.generate_offers]})


def buyer_told_to_storekit(app_user_id: str, version: str | None, is_second_enabled: str | None) -> str:
    """What the SDK puts into the purchase, which the signature must name: with StoreKit 1 the app user id, with StoreKit 2 only a UUID."""
    is_second = version == "2" if version is not None else (is_second_enabled or "").lower() == "true"
    if not is_second:
        return app_user_id
    return app_user_id if _UUID.fullmatch(app_user_id) else ""


@value
class _Seen:
    """What we know of a customer in one app, without asking its store."""

    app: StoreApp
    histories: list[History]


async def _seen_by_us(tx: Tx, app: App, app_id: AppId, app_user_id: str) -> _Seen:
    found = await customers.find(tx, [app_user_id])
    lines = await subscriptions.load_of_customers(tx, list(found.values()))
    seen_by = (await intake.store_apps(tx, app.vault, [app_id]))[app_id]
    return _Seen(app=seen_by, histories=[[held.purchase for held in line.held] for line in lines if line.app_id == app_id and line.held])


async def _seen_by_the_store(app: App, caller: Caller, app_id: AppId, token: str | None) -> list[History]:
    if not token:
        return []
    try:
        receipt = Receipt(token=token, is_restore=True)
        reading = await intake.read_receipt(app.database, app.vault, app.providers, caller.project_id, app_id, receipt)
    except PerennialError:  # not theirs, unreadable, or the store is away
        return []
    return [statement.purchases for statement in reading.statements]


class _OnlyTried(Exception):
    """Ends the transaction of a trial: what would happen is known, and nothing has."""


async def _take_back(tx: Tx, buyer: CustomerId, reading: Reading) -> None:
    raise _OnlyTried


@post(
    "/v1/subscribers/{app_user_id:str}/restore/eligibility",
    operation_id="get_restore_eligibility",
    summary="Whether a customer may restore a purchase",
    status_code=200,
)
async def get_restore_eligibility(request: HttpRequest, app_user_id: FromPath[str], data: JSONBody[RestoreEligibility]) -> Response[bytes]:
    """What would happen if the receipt were posted: false where it is another's and stays there. Nothing is recorded."""
    caller, app = await caller_of(request), app_of(request)
    check_app_user_id(app_user_id)
    receipt = Receipt(token=data.fetch_token, is_restore=True)
    async with app.database.transaction(caller.project_id) as tx:
        app_id = await store_app(tx, caller, request.headers.get("x-platform"))
    try:
        await intake.post_receipt(app.database, app.vault, app.providers, caller.project_id, app_id, receipt, app_user_id, _take_back)
    except _OnlyTried:
        is_allowed = True
    except subscriptions.ReceiptInUse:
        is_allowed = False
    return to_json({"is_purchase_allowed_by_restore_behavior": is_allowed})


HANDLERS = [get_intro_eligibility, sign_offers, get_restore_eligibility]

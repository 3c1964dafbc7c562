"""The web SDK's checkout, as far as it changes the plan of a subscription the customer has.

The page says who its visitor is by a token that the project's backend asked for (v2, `actions/authenticate`): the public key is everyone's. New
purchases are made at the store's own checkout.
"""

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath, JSONBody

from perennial import catalog, checkout, customers
from perennial.api.auth import HttpRequest, app_of, caller_of
from perennial.api.v1.answers import to_json
from perennial.api.v1.purchases import store_app
from perennial.api.v1.wire import StartCheckout
from perennial.base.money import Money, to_micros
from perennial.base.secrets import same
from perennial.catalog.model import Product
from perennial.checkout import NotPossible, Started, TokenRefused
from perennial.customers.model import check_app_user_id

TOKEN = "x-rc-subscriber-token"  # noqa: S105  a header's name


@get("/rcbilling/v1/branding", operation_id="get_branding", summary="What the checkout shows of the app")
async def get_branding(request: HttpRequest) -> Response[bytes]:
    caller = await caller_of(request)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        app = await catalog.require_app(tx, await store_app(tx, caller, request.headers.get("x-platform")))
    return to_json(
        {
            "id": app.app_id,
            "app_name": app.settings.get("app_name") or app.name,
            "app_icon": None,
            "app_icon_webp": None,
            "app_wordmark": None,
            "app_wordmark_webp": None,
            "appearance": None,
            "support_email": app.settings.get("support_email"),
            "gateway_tax_collection_enabled": False,
        }
    )


@post("/rcbilling/v1/checkout/start", operation_id="start_checkout", summary="Begin a change of plan", status_code=201)
async def start_checkout(request: HttpRequest, data: JSONBody[StartCheckout]) -> Response[bytes]:
    """What the change to `product_id` would be, for the customer to say yes to. Needs `product_change` and the header `X-RC-Subscriber-Token`.

    At once where the new plan costs more a month or the customer is in a trial, else at the period's end. 7224: the token is not this customer's.
    7772: they have that plan already. 7878: not possible here, and why.
    """
    caller, app = await caller_of(request), app_of(request)
    check_app_user_id(data.app_user_id)
    if data.product_change is None or not request.headers.get(TOKEN):
        raise NotPossible(
            "this checkout changes plans alone, for a customer with a subscriber token; buy at the store's own checkout", param="product_change"
        )
    async with app.database.transaction(caller.project_id) as tx:
        app_id = await store_app(tx, caller, request.headers.get("x-platform"))
        customer_id = checkout.open_token(app.vault, request.headers.get(TOKEN), caller.project_id, tx.now)
        if not same((await customers.find(tx, [data.app_user_id])).get(data.app_user_id, ""), customer_id):
            raise TokenRefused
        asked = data.product_change
        started = await checkout.start_change(
            tx, app.vault, app_id, customer_id, data.product_id, subscription=asked.subscription_id, from_product=asked.from_product_id
        )
    return to_json(_started(started), 201)


def _started(started: Started) -> dict[str, Any]:
    return {
        "operation_session_id": started.session,
        "checkout_mode": "subscription_change",
        "change_type": started.change.when,
        "from_product": _product(started.current, started.current_price),
        "to_product": _product(started.wanted, started.change.price),
        "price_breakdown": None,  # the store reckons what is left of the old plan when the change is made
        "estimated_renewal_price": _estimated(started.change.price),
        "email": started.email,
        "payment_method": None,
        "billing_address": None,
    }


def _product(product: Product, price: Money) -> dict[str, Any]:
    return {
        "product_id": product.store_identifier,
        "display_name": product.display_name,
        "price_in_micros": to_micros(price),
        "currency": price.currency,
        "period_duration": product.duration,
    }


def _estimated(price: Money) -> dict[str, Any]:
    micros = to_micros(price)
    return {
        "currency": price.currency,
        "total_amount_in_micros": micros,
        "tax_amount_in_micros": None,
        "total_excluding_tax_in_micros": micros,
        "original_amount_in_micros": None,
    }


@post("/rcbilling/v1/checkout/{session:str}/complete", operation_id="complete_checkout", summary="Change the plan", status_code=200)
async def complete_checkout(request: HttpRequest, session: FromPath[str]) -> Response[bytes]:
    """Answers when the store has done it; the customer's next read shows it. Sent twice it is done once. 7773: the store refused, in its words."""
    caller, app = await caller_of(request), app_of(request)
    async with app.database.transaction(caller.project_id) as tx:
        customer_id = checkout.open_token(app.vault, request.headers.get(TOKEN), caller.project_id, tx.now)
    change = await checkout.complete_change(app.database, app.vault, app.providers, caller.project_id, customer_id, session)
    return to_json(
        {
            "operation_session_id": session,
            "checkout_mode": "subscription_change",
            "change_type": change.when,
            "new_product_id": change.product,
        }
    )


HANDLERS = [get_branding, start_checkout, complete_checkout]

"""From what Google Play answers about a one-time purchase's token to what it states. Pure, like `subscription`.

Google does not tell consumables from what lasts: the catalog does. A purchase that was cancelled after it was paid was taken back.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from perennial.base import reading
from perennial.base.reading import country, note
from perennial.base.value import value
from perennial.catalog.model import Product
from perennial.providers.google.orders import PAID, Charge, Voided, charge, given_back, refunds_without_order, voided_of
from perennial.providers.google.payload import Order, ProductItem, ProductPurchase, moment_or_none
from perennial.subscriptions.model import Environment, Kind, Line, Purchase, Refund, Statement

_STATES = frozenset(("PURCHASED", "CANCELLED", "PENDING", "PURCHASE_STATE_UNSPECIFIED"))
_KINDS: Mapping[str, Kind] = {"consumable": "consumable", "non_renewing_subscription": "non_renewing"}


@value
class ProductAnswer:
    """What Google said of a one-time purchase's token when it was asked at `as_of`."""

    token: str
    purchase: ProductPurchase
    as_of: datetime
    order: Order | None = None
    line: Line | None = None
    hint: str = ""
    products: tuple[Product, ...] = ()  # of our catalog: Google does not tell consumables from others


def environment_of_product(purchase: ProductPurchase) -> Environment:
    return "sandbox" if purchase.test_purchase_context is not None else "production"


def state_of(purchase: ProductPurchase) -> str | None:
    return purchase.purchase_state_context.purchase_state if purchase.purchase_state_context is not None else None


def is_bought(purchase: ProductPurchase) -> bool:
    """Paid, and not taken back. One that was completed and is in a state we do not know was bought: Google says when it was completed."""
    state = state_of(purchase)
    return state == "PURCHASED" or (state is not None and state not in _STATES and purchase.purchase_completion_time is not None)


def product_statements(answer: ProductAnswer) -> tuple[Statement, ...]:
    """What the answer states: one line per product. Nothing while the payment is awaited, or where it was given up before."""
    state = state_of(answer.purchase)
    if state is not None and state not in _STATES:
        note("purchaseStateContext.purchaseState", state)
    items = [item for item in answer.purchase.product_line_item if item.product_id]
    was_paid = answer.order is not None and answer.order.state in PAID
    is_known = answer.line is not None and bool(answer.line.held)
    if not is_bought(answer.purchase) and not (state == "CANCELLED" and (was_paid or is_known)):
        return ()
    return tuple(_product_statement(answer, item, is_main=place == 0) for place, item in enumerate(items))


def _product_statement(answer: ProductAnswer, item: ProductItem, *, is_main: bool) -> Statement:
    purchase = answer.purchase
    return Statement(
        store="play_store",
        environment=environment_of_product(purchase),
        line=answer.token if is_main else f"{answer.token}#{item.product_id}",
        purchases=(_one_time(answer, item, answer.line if is_main else None),),
        customer_hint=purchase.obfuscated_external_account_id or None,
    )


def _one_time(answer: ProductAnswer, item: ProductItem, line: Line | None) -> Purchase:
    purchase, details = answer.purchase, item.product_offer_details
    held = line.held[0].purchase if line is not None and line.held else None
    paid = _product_charge(answer, item)
    refunds = paid.refunds if paid is not None else refunds_without_order(held, _voided(answer, held))
    completed = moment_or_none(purchase.purchase_completion_time, "purchaseCompletionTime")
    bought = Purchase(
        transaction=held.transaction if held is not None else purchase.order_id or answer.token,  # promotions have no order
        product=item.product_id or "",
        kind=product_kind(item, answer.products),
        purchased_at=completed or (held.purchased_at if held is not None else None) or (paid.starts_at if paid is not None else None) or answer.as_of,
        expires_at=None,
        as_of=answer.as_of,
        is_first=True,
        is_renewal=False,
        price=paid.price if paid is not None else held.price if held is not None else None,
        tax=paid.tax if paid is not None else held.tax if held is not None else None,
        commission=(paid.commission if paid is not None else None) or (held.commission if held is not None else None),
        quantity=reading.quantity(details.quantity if details is not None else None),
        country=country(paid.country if paid is not None else None) or country(purchase.region_code),
    )
    return given_back(bought, held, refunds, None if is_bought(purchase) else _taken_back_at(answer, held, refunds))


def _product_charge(answer: ProductAnswer, item: ProductItem) -> Charge | None:
    if answer.order is None or not answer.order.order_id or answer.order.state not in PAID:
        return None
    part = next((part for part in answer.order.line_items if part.product_id == item.product_id), None)
    return charge(answer.order, part, voided_of(answer.hint)) if part is not None else None


def _taken_back_at(answer: ProductAnswer, held: Purchase | None, refunds: Sequence[Refund]) -> datetime:
    """Google does not say when: with the money, else when it was voided, else when we first hear of it."""
    if held is not None and held.revocation is not None:
        return held.revocation.at
    voided = _voided(answer, held)
    return max((refund.at for refund in refunds), default=voided.at if voided is not None else answer.as_of)


def _voided(answer: ProductAnswer, held: Purchase | None) -> Voided | None:
    voided = voided_of(answer.hint)
    return voided.get(answer.purchase.order_id or "") or (voided.get(held.transaction) if held is not None else None)


def product_kind(item: ProductItem, products: Sequence[Product]) -> Kind:
    """By the catalog. Google knows only whether it was consumed, which nothing but a consumable can be."""
    sold = next((product for product in products if product.store_identifier == item.product_id), None)
    if sold is not None:
        return _KINDS.get(sold.type, "non_consumable")
    return "consumable" if is_consumed(item) else "non_consumable"


def is_consumed(item: ProductItem) -> bool:
    details = item.product_offer_details
    return details is not None and details.consumption_state == "CONSUMPTION_STATE_CONSUMED"


def should_consume(purchase: ProductPurchase, products: Sequence[Product]) -> dict[str, bool]:
    """By product, whether the device is to consume it after the post. What is unknown is kept: consuming cannot be taken back."""
    if not is_bought(purchase):
        return {}
    return {item.product_id: product_kind(item, products) == "consumable" for item in purchase.product_line_item if item.product_id}

"""What Google Play's answers about one-time purchases state."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from perennial.base.ids import AppId, CustomerId, LineId
from perennial.base.money import Money
from perennial.base.reading import decode, noting
from perennial.base.value import replace
from perennial.catalog.model import Product
from perennial.intake.model import Act
from perennial.providers.google import read
from perennial.providers.google.one_time import ProductAnswer, product_statements
from perennial.providers.google.orders import voided_hint
from perennial.providers.google.payload import Order, ProductPurchase, ProductPurchaseV1, second_version
from perennial.subscriptions.model import Held, Line, Purchase, Refund, Revocation, Statement
from tests.google_messages import DAY, FIRST, NOW, amount, bought_product, product_order, refunded, stamp


def eur(cents: int) -> Money:
    return Money(amount=cents, currency="EUR")


BOUGHT = Purchase(
    transaction=FIRST,
    product="coins",
    kind="non_consumable",
    purchased_at=NOW,
    expires_at=None,
    as_of=NOW,
    is_first=True,
    is_renewal=False,
    price=eur(499),
    tax=eur(80),
    country="DE",
)
ALL_OF_IT = Refund(identifier=f"{FIRST}|full", at=NOW + DAY, amount=eur(499))


def sold(kind: Any) -> Product:
    return Product(product_id="prod_1", app_id=AppId("app_1"), store_identifier="coins", type=kind, created_at=NOW)


def holding(purchase: Purchase) -> Line:
    return Line(
        line_id=LineId("sub_1"),
        customer_id=CustomerId("cust_1"),
        app_id=None,
        store="play_store",
        environment="production",
        store_line="token-a",
        heard_at=NOW,
        held=(Held(purchase=purchase),),
    )


def said_of(purchase: Mapping[str, Any], order: Mapping[str, Any] | None = None, **more: Any) -> tuple[Statement, ...]:
    return product_statements(
        ProductAnswer(
            token="token-a",
            purchase=decode(json.dumps(purchase), ProductPurchase),
            order=decode(json.dumps(order), Order) if order is not None else None,
            **({"as_of": NOW} | more),
        )
    )


def bought(purchase: Mapping[str, Any], order: Mapping[str, Any] | None = None, **more: Any) -> Purchase:
    (statement,) = said_of(purchase, order, **more)
    (only,) = statement.purchases
    return only


def test_a_purchase_states_itself_its_money_and_its_buyer() -> None:
    assert said_of(bought_product(obfuscatedExternalAccountId="ada"), product_order()) == (
        Statement(store="play_store", environment="production", line="token-a", purchases=(BOUGHT,), customer_hint="ada"),
    )


def test_a_licence_testers_purchase_is_of_the_sandbox() -> None:
    (statement,) = said_of(bought_product(testPurchaseContext={"fopType": "TEST"}), product_order())
    assert statement.environment == "sandbox"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("consumable", "consumable"),
        ("non_consumable", "non_consumable"),
        ("one_time", "non_consumable"),
        ("non_renewing_subscription", "non_renewing"),
    ],
)
def test_the_catalog_says_what_kind_it_is(kind: str, expected: str) -> None:
    assert bought(bought_product(), product_order(), products=(sold(kind),)).kind == expected


def test_what_was_used_up_is_a_consumable_though_the_catalog_does_not_know_it() -> None:
    used = {"productId": "coins", "productOfferDetails": {"consumptionState": "CONSUMPTION_STATE_CONSUMED"}}
    assert bought(bought_product(productLineItem=[used]), product_order()).kind == "consumable"


@pytest.mark.parametrize("answer", [{}, bought_product("PENDING"), bought_product("CANCELLED"), {"orderId": FIRST}])
def test_what_was_not_paid_grants_nothing(answer: dict[str, Any]) -> None:
    assert said_of(answer) == ()


def test_a_promotion_has_no_order() -> None:
    free = bought(bought_product(order_id=None))
    assert (free.transaction, free.price) == ("token-a", None)


def test_several_at_once() -> None:
    several = {"productId": "coins", "productOfferDetails": {"quantity": 3}}
    assert bought(bought_product(productLineItem=[several]), product_order()).quantity == 3


def test_every_further_product_is_a_line_of_its_own() -> None:
    items = [{"productId": "coins"}, {"productId": "gems"}]
    order = product_order(price="10.00")
    order["lineItems"] = [{"productId": "coins", "total": amount("4.00")}, {"productId": "gems", "total": amount("6.00")}]
    statements = said_of(bought_product(productLineItem=items), order)
    assert [(one.line, one.purchases[0].product, one.purchases[0].price) for one in statements] == [
        ("token-a", "coins", eur(400)),
        ("token-a#gems", "gems", eur(600)),
    ]


def test_given_back_and_taken_back() -> None:
    at = NOW + DAY
    gone = bought(bought_product("CANCELLED"), product_order(state="REFUNDED", orderHistory=refunded(at)), as_of=at, line=holding(BOUGHT))
    assert gone == replace(BOUGHT, as_of=at, revocation=Revocation(at=at, refunded=False), refunds=(ALL_OF_IT,))


def test_given_back_and_not_taken_back() -> None:
    at = NOW + DAY
    kept = bought(bought_product(), product_order(state="REFUNDED", orderHistory=refunded(at)), as_of=at, line=holding(BOUGHT))
    assert (kept.revocation, kept.refunds) == (None, (ALL_OF_IT,))


def test_a_part_of_a_quantity_given_back() -> None:
    event = {"state": "PROCESSED_SUCCESSFULLY", "createTime": stamp(NOW + DAY), "refundDetails": {"total": amount("2.49")}}
    kept = bought(bought_product(), product_order(state="PARTIALLY_REFUNDED", orderHistory={"partialRefundEvents": [event]}))
    assert (kept.revocation, [refund.amount for refund in kept.refunds]) == (None, [eur(249)])


def test_voided_where_the_order_cannot_be_had() -> None:
    at = NOW + DAY
    gone = bought(bought_product("CANCELLED"), None, as_of=at + DAY, line=holding(BOUGHT), hint=voided_hint(FIRST, at, is_full=True))
    assert (gone.revocation, gone.refunds, gone.price) == (Revocation(at=at, refunded=False), (ALL_OF_IT,), eur(499))
    again = bought(bought_product("CANCELLED"), None, as_of=at + 2 * DAY, line=holding(gone))
    assert again == replace(gone, as_of=at + 2 * DAY)


def test_cancelled_after_it_was_paid_though_we_never_heard_of_it() -> None:
    at = NOW + DAY
    gone = bought(bought_product("CANCELLED"), product_order(state="REFUNDED", orderHistory=refunded(at)), as_of=at)
    assert (gone.revocation, gone.refunds) == (Revocation(at=at, refunded=False), (ALL_OF_IT,))


# The call before


def test_the_first_version_says_the_same_in_numbers() -> None:
    old = ProductPurchaseV1(order_id=FIRST, purchase_time_millis="1772366400000", purchase_state=0, consumption_state=1, acknowledgement_state=0)
    new = second_version(old, "coins")
    (statement,) = product_statements(ProductAnswer(token="token-a", purchase=new, as_of=NOW))
    assert [(one.product, one.kind, one.purchased_at) for one in statement.purchases] == [("coins", "consumable", NOW)]
    assert [act.details for act in read.acknowledgements("token-a", new)] == [{"type": "one_time", "product": "coins"}]


@pytest.mark.parametrize("state", [7, -1, 10**400])
def test_a_state_of_the_first_version_that_we_do_not_know_grants_what_was_completed(state: int) -> None:
    old = ProductPurchaseV1(order_id=FIRST, purchase_time_millis="1772366400000", purchase_state=state)
    with noting() as noted:
        [statement] = product_statements(ProductAnswer(token="token-a", purchase=second_version(old, "coins"), as_of=NOW))
    assert [one.revocation for one in statement.purchases] == [None]
    assert [one.field for one in noted] == ["purchaseStateContext.purchaseState"]


def test_a_state_we_do_not_know_grants_what_was_completed_and_nothing_else() -> None:
    assert [one.line for one in said_of(bought_product("NEW"))] == ["token-a"]
    assert said_of({name: one for name, one in bought_product("NEW").items() if name != "purchaseCompletionTime"}) == ()


def test_an_order_without_an_id_is_no_order() -> None:
    nameless = {name: one for name, one in product_order().items() if name != "orderId"}
    [statement] = said_of(bought_product(), nameless)
    assert statement.purchases[0].price is None


@pytest.mark.parametrize("state", [1, 2])
def test_the_first_versions_other_states_grant_nothing(state: int) -> None:
    old = ProductPurchaseV1(order_id=FIRST, purchase_time_millis="1772366400000", purchase_state=state)
    assert product_statements(ProductAnswer(token="token-a", purchase=second_version(old, "coins"), as_of=NOW)) == ()


def test_an_empty_answer_of_the_first_version_grants_nothing() -> None:
    assert product_statements(ProductAnswer(token="token-a", purchase=second_version(ProductPurchaseV1(), "coins"), as_of=NOW)) == ()


# Acknowledging


def test_what_was_bought_is_acknowledged() -> None:
    pending = decode(json.dumps(bought_product(acknowledgementState="ACKNOWLEDGEMENT_STATE_PENDING")), ProductPurchase)
    (act,) = read.acknowledgements("token-a", pending)
    assert act == Act(
        act_id=act.act_id, kind="acknowledge", environment="production", subject="token-a", details={"type": "one_time", "product": "coins"}
    )


@pytest.mark.parametrize("state", ["PENDING", "CANCELLED"])
def test_what_was_not_bought_is_not_acknowledged(state: str) -> None:
    pending = decode(json.dumps(bought_product(state, acknowledgementState="ACKNOWLEDGEMENT_STATE_PENDING")), ProductPurchase)
    assert read.acknowledgements("token-a", pending) == ()

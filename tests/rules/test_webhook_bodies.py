"""Which fields of a webhook's body are always there, and which may be null: as the vendor's documentation has it for each type of event.

Receivers with types read a field that may not be null as the type it has, and refuse the whole message otherwise.
"""

from typing import Any, get_args

import pytest

from perennial.base.ids import AppId, CustomerId, EndpointId, EventId, LineId
from perennial.base.money import Money
from perennial.base.value import replace
from perennial.catalog.model import VirtualCurrency
from perennial.currencies import wire as currencies_wire
from perennial.currencies.model import Movement, Origin
from perennial.customers.model import Customer
from perennial.events import rules as events_rules
from perennial.events.model import Endpoint
from perennial.subscriptions import wire
from perennial.subscriptions.model import EventType, Held, Line, Purchase, Renewal, Telling
from tests.flows.test_webhook_delivery import NOON

TEXT, NUMBER, WHOLE, TRUTH = (str,), (int, float), (int,), (bool,)
NONE = (type(None),)

ALWAYS: dict[str, tuple[type, ...]] = {
    "type": TEXT,
    "id": TEXT,
    "event_timestamp_ms": WHOLE,
}
OF_A_CUSTOMER = {"app_user_id": TEXT, "original_app_user_id": TEXT, "aliases": (list,), "subscriber_attributes": (dict,)}
OF_A_PURCHASE = {
    "product_id": TEXT,
    "period_type": TEXT,
    "purchased_at_ms": WHOLE,
    "expiration_at_ms": WHOLE + NONE,
    "environment": TEXT,
    "entitlement_id": TEXT + NONE,
    "entitlement_ids": (list, *NONE),
    "presented_offering_id": TEXT + NONE,
    "transaction_id": TEXT,
    "original_transaction_id": TEXT,
    "is_family_share": TRUTH,
    "store": TEXT,
    "currency": TEXT + NONE,
    "price": NUMBER + NONE,
    "price_in_purchased_currency": NUMBER + NONE,
    "tax_percentage": NUMBER + NONE,
    "commission_percentage": NUMBER + NONE,
    "takehome_percentage": NUMBER + NONE,
    "offer_code": TEXT + NONE,
    "renewal_number": WHOLE,
}
BY_TYPE: dict[str, dict[str, tuple[type, ...]]] = {
    "CANCELLATION": {"cancel_reason": TEXT},
    "EXPIRATION": {"expiration_reason": TEXT},
    "RENEWAL": {"is_trial_conversion": TRUTH},
    "BILLING_ISSUE": {"grace_period_expiration_at_ms": WHOLE + NONE},
}
# Only where there is something to say, and then never null.
SOMETIMES: dict[str, tuple[type, ...]] = {
    "app_id": TEXT,
    "country_code": TEXT,
    "new_product_id": TEXT,
    "auto_resume_at_ms": WHOLE,
    "metadata": (dict,),
    "product_display_name": TEXT,
    "purchase_environment": TEXT,
    "perennial": (dict,),
}

ADA = Customer(
    customer_id=CustomerId("cus_ada"),
    original_app_user_id="ada",
    first_seen_at=NOON,
    last_seen_at=None,
    version=1,
    aliases=("ada",),
    attributes={},
)
BARE = Purchase(transaction="t1", product="pro", kind="subscription", purchased_at=NOON, expires_at=None, as_of=NOON, is_first=True, is_renewal=False)
FULL = replace(BARE, expires_at=NOON, price=Money(amount=499, currency="EUR"), country="DE")


def line_of(purchase: Purchase, *, app_id: str | None) -> Line:
    return Line(
        line_id=LineId("sub_1"),
        customer_id=ADA.customer_id,
        app_id=None if app_id is None else AppId(app_id),
        store="play_store" if app_id else "promotional",
        environment="production",
        store_line="token",
        heard_at=NOON,
        held=(Held(purchase=purchase),),
        renewals=(Renewal(as_of=NOON, transaction="t1", auto_renew=True),),
    )


def check(body: dict[str, Any], required: dict[str, tuple[type, ...]]) -> None:
    known = {**SOMETIMES, **required}
    assert not required.keys() - body.keys(), "a field that is always there is not"
    for name, given in body.items():
        assert name in known, name
        assert isinstance(given, known[name]), f"{name} of {body['type']} is {given!r}"
        assert not (isinstance(given, bool) and bool not in known[name]), name


@pytest.mark.parametrize("kind", get_args(EventType))
@pytest.mark.parametrize(("purchase", "app_id"), [(BARE, None), (BARE, "app_1"), (FULL, "app_1")])
def test_of_what_happened_to_a_purchase(kind: EventType, purchase: Purchase, app_id: str | None) -> None:
    line = line_of(purchase, app_id=app_id)
    telling = Telling(type=kind, key="k", happened_at=NOON, held=line.held[0])
    body = wire.event_body(telling, line, ADA, None, None, event_id=EventId("e1"), sequence=1, now=NOON)
    check(body, {**ALWAYS, **OF_A_CUSTOMER, **OF_A_PURCHASE, **BY_TYPE.get(kind, {})})
    assert ("app_id" in body) == (app_id is not None)
    assert body.get("country_code") == purchase.country


def test_a_purchase_whose_store_names_no_country_is_of_where_the_customer_was_last_seen() -> None:
    line = line_of(BARE, app_id="app_1")
    telling = Telling(type="RENEWAL", key="k", happened_at=NOON, held=line.held[0])
    body = wire.event_body(telling, line, replace(ADA, last_seen_country="JP"), None, None, event_id=EventId("e1"), sequence=1, now=NOON)
    assert body["country_code"] == "JP"


def test_of_a_change_of_product_and_a_pause_that_say_more() -> None:
    line = line_of(FULL, app_id="app_1")
    change = Telling(type="PRODUCT_CHANGE", key="k", happened_at=NOON, held=line.held[0], new_product="plus")
    pause = Telling(type="SUBSCRIPTION_PAUSED", key="k", happened_at=NOON, held=line.held[0], resumes_at=NOON)
    for telling, name in ((change, "new_product_id"), (pause, "auto_resume_at_ms")):
        body = wire.event_body(telling, line, ADA, None, None, event_id=EventId("e1"), sequence=1, now=NOON)
        check(body, {**ALWAYS, **OF_A_CUSTOMER, **OF_A_PURCHASE})
        assert name in body


@pytest.mark.parametrize("app_id", [None, AppId("app_1")])
def test_of_a_transfer(app_id: AppId | None) -> None:
    body = wire.transfer_body(app_id, "app_store", "production", source=ADA, target=ADA, event_id=EventId("e1"), sequence=1, now=NOON)
    assert None not in body.values()
    assert ("app_id" in body) == (app_id is not None)


@pytest.mark.parametrize("is_bought", [True, False])
@pytest.mark.parametrize("description", ["Shiny", None])
def test_of_a_movement_of_a_wallet(is_bought: bool, description: str | None) -> None:
    origin = Origin(app_id=AppId("app_1"), product="coins", environment="production", store="app_store", transaction="t1", country=None)
    movement = Movement(
        key="k",
        customer_id=ADA.customer_id,
        adjustments=(("GLD", 5), ("OLD", -1)),
        source="in_app_purchase" if is_bought else "admin_api",
        happened_at=NOON,
        origin=origin if is_bought else None,
    )
    gold = VirtualCurrency(code="GLD", name="Gold", description=description, created_at=NOON)
    body = currencies_wire.event_body(movement, ADA, {"GLD": gold}, None, event_id=EventId("e1"), sequence=1, now=NOON)
    of_a_movement = {"adjustments": (list,), "source": TEXT, "virtual_currency_transaction_id": TEXT}
    of_its_purchase = {"product_id": TEXT, "store": TEXT, "transaction_id": TEXT, "purchase_environment": TEXT, "app_id": TEXT}
    check(body, {**ALWAYS, **OF_A_CUSTOMER, **of_a_movement, **(of_its_purchase if is_bought else {})})
    for adjustment in body["adjustments"]:
        assert all(isinstance(text, str) for text in adjustment["currency"].values())
    if not is_bought:
        assert not body.keys() & {*of_its_purchase, "product_display_name", "country_code"}


@pytest.mark.parametrize("app_id", [None, AppId("app_1")])
def test_of_a_test(app_id: AppId | None) -> None:
    endpoint = Endpoint(
        endpoint_id=EndpointId("w1"), name="Hooks", url="https://example.com", environment=None, app_id=app_id, event_types=None, created_at=NOON
    )
    body = events_rules.event_for_test(endpoint, event_id=EventId("e1"), sequence=1, now=NOON).body
    check(body, {**ALWAYS, **OF_A_CUSTOMER, **OF_A_PURCHASE, "country_code": TEXT})
    assert ("app_id" in body) == (app_id is not None)

"""Asking Google Play and acting there: against a real server on this machine that answers what Google documents."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import Any

import jwt
import pytest

from perennial.base.errors import Invalid, NotConfigured, Unavailable
from perennial.base.ids import AppId, CustomerId, LineId
from perennial.base.time import to_ms
from perennial.base.value import replace
from perennial.catalog.model import Product
from perennial.intake.model import Act, CannotAct, Caught, Posted, Question, Reading, StoreApp
from perennial.providers.google import NotKnown, PlayStore, PlayUnavailable, pull
from perennial.subscriptions.model import Held, Line, Purchase
from tests.google_messages import (
    ACCOUNT_KEY,
    APP,
    DAY,
    FIRST,
    NOW,
    SUBSCRIPTION,
    FakeGoogle,
    about_subscription,
    bought_product,
    line_item,
    order,
    product_order,
    push,
    subscription,
    tokens,
)

END = NOW + 30 * DAY
TOKEN_PATH, PRODUCT_PATH = "/purchases/subscriptionsv2/tokens/token-a", "/purchases/productsv2/tokens/token-a"
QUESTION = Question(environment="production", subject="token-a")
CONSUMED = {"productId": "coins", "productOfferDetails": {"quantity": 1, "consumptionState": "CONSUMPTION_STATE_CONSUMED"}}


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    fake = FakeGoogle()
    yield fake
    fake.close()


@pytest.fixture
def app(google: FakeGoogle) -> StoreApp:
    return replace(APP, api_base_url=google.address)


@pytest.fixture
async def store() -> AsyncIterator[PlayStore]:
    made = PlayStore()
    made._api._pauses = (0.0, 0.0)
    yield made
    await made.close()


def holding(*transactions: str, kind: Any = "subscription", product: str = "pro:monthly", environment: Any = "production") -> Line:
    held = tuple(
        Held(
            purchase=Purchase(
                transaction=one,
                product=product,
                kind=kind,
                purchased_at=NOW,
                expires_at=END if kind == "subscription" else None,
                as_of=NOW,
                is_first=True,
                is_renewal=False,
            )
        )
        for one in transactions
    )
    return Line(
        line_id=LineId("sub_1"),
        customer_id=CustomerId("cust_1"),
        app_id=None,
        store="play_store",
        environment=environment,
        store_line="token-a",
        heard_at=NOW,
        held=held,
    )


def sold(kind: Any, identifier: str = "coins") -> Product:
    return Product(product_id="prod_1", app_id=AppId("app_1"), store_identifier=identifier, type=kind, created_at=NOW)


async def ask(store: PlayStore, app: StoreApp, hint: str = "", **posted: Any) -> Reading:
    return await store.ask(app, replace(QUESTION, hint=hint), Posted(**posted), NOW)


# Asking


async def test_a_subscription_is_asked_for_with_its_orders(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(TOKEN_PATH, subscription(acknowledgementState="ACKNOWLEDGEMENT_STATE_PENDING"))
    google.has(order())
    reading = await ask(store, app)
    (statement,) = reading.statements
    assert [(one.transaction, one.expires_at) for one in statement.purchases] == [(FIRST, END)]
    assert statement.purchases[0].as_of == NOW
    assert [act.kind for act in reading.acts] == ["acknowledge"]
    assert google.paths() == [f"GET {TOKEN_PATH}", "GET /orders:batchGet"]
    assert google.asked[-1].query == {"orderIds": [FIRST]}


async def test_the_service_account_signs_for_an_access_token_once(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(TOKEN_PATH, subscription())
    google.has(order())
    await ask(store, app)
    await ask(store, app)
    assert google.tokens_given == 1
    assert {one.headers["authorization"] for one in google.asked} == {"Bearer access-1"}
    claims = jwt.decode(
        google.grants["assertion"][0],
        ACCOUNT_KEY.public_key(),
        algorithms=["RS256"],
        audience=f"{google.address}/token",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["iss"] == "publisher@example.iam.gserviceaccount.com"
    assert claims["scope"] == "https://www.googleapis.com/auth/androidpublisher"
    assert claims["exp"] - claims["iat"] == 3600
    assert jwt.get_unverified_header(google.grants["assertion"][0])["kid"] == "key-1"


async def test_an_access_token_that_is_no_longer_taken_is_replaced_once(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.refuses(TOKEN_PATH, 401, "authError")
    google.says(TOKEN_PATH, subscription())
    google.has(order())
    assert (await ask(store, app)).statements
    assert google.tokens_given == 2


async def test_two_apps_do_not_share_a_token(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(TOKEN_PATH, subscription())
    google.has(order())
    await ask(store, app)
    await ask(store, replace(app, app_id=AppId("app_2")))
    assert google.tokens_given == 2


async def test_a_question_put_in_the_wrong_environment_is_put_again_where_it_belongs(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(TOKEN_PATH, subscription(testPurchase={}))
    google.has(order())
    question = Question(environment="production", subject="token-a", hint="11")
    again = await store.ask(app, question, Posted(), NOW)
    assert again == Reading(questions=(Question(environment="sandbox", subject="token-a", hint="11"),))
    (statement,) = (await store.ask(app, again.questions[0], Posted(), NOW)).statements
    assert (statement.environment, statement.renewals[0].pause) == ("sandbox", "scheduled")


async def test_one_unknown_order_spoils_the_batch_and_the_others_are_asked_for_alone(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(TOKEN_PATH, subscription("ACTIVE", line_item(order=f"{FIRST}..1", until=END)))
    google.refuses("/orders:batchGet", 404)
    google.says(f"/orders/{FIRST}..1", order(f"{FIRST}..1"))
    google.says(f"/orders/{FIRST}", order(ends=NOW))
    (statement,) = (await ask(store, app)).statements
    assert [one.transaction for one in statement.purchases] == [FIRST, f"{FIRST}..1"]
    assert google.paths() == [
        f"GET {TOKEN_PATH}",
        "GET /orders:batchGet",
        f"GET /orders/{FIRST}",
        f"GET /orders/{FIRST}..0",
        "GET /orders:batchGet",
        f"GET /orders/{FIRST}..1",
    ]


async def test_a_chain_is_walked_where_its_end_is_new_to_us_each_link_once(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    path = "/purchases/subscriptionsv2/tokens"
    google.says(TOKEN_PATH, subscription(linkedPurchaseToken="token-b"))
    google.says(f"{path}/token-b", subscription("EXPIRED", linkedPurchaseToken="token-c"))
    google.says(f"{path}/token-c", subscription("EXPIRED", linkedPurchaseToken="token-a"))
    google.has(order())
    (statement,) = (await ask(store, app)).statements
    assert tokens(statement) == ("token-b", "token-c")
    assert [one for one in google.paths() if "tokens" in one] == [f"GET {path}/token-{name}" for name in "abc"]
    google.asked.clear()
    (statement,) = (await ask(store, app, line=holding(FIRST))).statements
    assert tokens(statement) == ("token-b",)
    assert [one for one in google.paths() if "tokens" in one] == [f"GET {TOKEN_PATH}"]


@pytest.mark.parametrize("status", [404, 410])
async def test_a_chain_ends_where_google_has_forgotten_it(store: PlayStore, app: StoreApp, google: FakeGoogle, status: int) -> None:
    google.says(TOKEN_PATH, subscription(linkedPurchaseToken="token-b"))
    google.refuses("/purchases/subscriptionsv2/tokens/token-b", status, "purchaseTokenNoLongerValid")
    google.has(order())
    (statement,) = (await ask(store, app)).statements
    assert tokens(statement) == ("token-b",)


async def test_what_google_has_forgotten_changes_nothing(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.refuses(TOKEN_PATH, 410, "subscriptionNoLongerAvailable")
    assert await ask(store, app, line=holding(FIRST)) == Reading(note="Google keeps a purchase for 60 days after its end, and has forgotten this one")


async def test_a_pending_purchase_grants_nothing_and_is_not_acknowledged(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(TOKEN_PATH, subscription("PENDING", acknowledgementState="ACKNOWLEDGEMENT_STATE_PENDING"))
    google.has(order(state="PENDING"))
    assert await ask(store, app) == Reading(note="nothing is granted: SUBSCRIPTION_STATE_PENDING")


# One-time purchases


async def test_a_one_time_purchase_is_asked_for_first_where_it_is_the_likelier(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(PRODUCT_PATH, bought_product())
    google.has(product_order())
    for posted, hint in (
        ({}, "product coins"),
        ({"products": (sold("consumable"),)}, ""),
        ({"line": holding(FIRST, kind="consumable", product="coins")}, "voided GPA.1 1772366400000 full"),
    ):
        google.asked.clear()
        (statement,) = (await ask(store, app, hint, **posted)).statements
        assert statement.purchases[0].product == "coins"
        assert google.paths() == [f"GET {PRODUCT_PATH}", "GET /orders:batchGet"]


@pytest.mark.parametrize("status", [404, 400])
async def test_the_other_kind_is_asked_for_where_the_likelier_is_not_it(store: PlayStore, app: StoreApp, google: FakeGoogle, status: int) -> None:
    google.refuses(TOKEN_PATH, status, "invalid")
    google.says(PRODUCT_PATH, bought_product())
    google.has(product_order())
    (statement,) = (await ask(store, app)).statements
    assert statement.purchases[0].kind == "non_consumable"


async def test_a_subscription_mistaken_for_a_product(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(TOKEN_PATH, subscription())
    google.has(order())
    (statement,) = (await ask(store, app, "product pro")).statements
    assert statement.purchases[0].kind == "subscription"


async def test_the_call_before_knows_some_that_the_present_one_does_not(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    old = {"orderId": FIRST, "purchaseTimeMillis": str(to_ms(NOW)), "purchaseState": 0, "acknowledgementState": 1, "consumptionState": 0}
    google.says("/purchases/products/coins/tokens/token-a", old)
    google.has(product_order())
    (statement,) = (await ask(store, app, "product coins")).statements
    assert [(one.product, one.transaction) for one in statement.purchases] == [("coins", FIRST)]


async def test_what_google_does_not_know_as_either_is_not_found(store: PlayStore, app: StoreApp) -> None:
    with pytest.raises(NotKnown, match="Google answered 404"):
        await ask(store, app)


# Refusals


@pytest.mark.parametrize(
    ("status", "error", "why"),
    [
        (401, NotConfigured, "invited in the Play Console"),
        (403, NotConfigured, "view financial data"),
        (429, PlayUnavailable, "429"),
        (302, PlayUnavailable, "302"),
    ],
)
async def test_refusals_that_a_second_attempt_does_not_change(
    store: PlayStore, app: StoreApp, google: FakeGoogle, status: int, error: type[Exception], why: str
) -> None:
    google.refuses(TOKEN_PATH, status, "reason")
    with pytest.raises(error, match=why):
        await ask(store, app)


async def test_google_says_when_to_come_back(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.refuses(TOKEN_PATH, 429, "rateLimitExceeded", **{"Retry-After": "90"})
    with pytest.raises(PlayUnavailable) as caught:
        await ask(store, app)
    assert caught.value.retry_at == NOW + timedelta(seconds=90)
    assert len(google.asked) == 1


@pytest.mark.parametrize("status", [409, 500, 503])
async def test_passing_trouble_is_tried_again(store: PlayStore, app: StoreApp, google: FakeGoogle, status: int) -> None:
    google.refuses(TOKEN_PATH, status, "concurrentUpdate")
    google.refuses(TOKEN_PATH, status, "concurrentUpdate")
    google.says(TOKEN_PATH, subscription())
    google.has(order())
    assert (await ask(store, app)).statements


async def test_trouble_that_stays_is_unavailable(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.refuses(TOKEN_PATH, 503)
    with pytest.raises(PlayUnavailable, match="503"):
        await ask(store, app)
    assert len(google.asked) == 3


@pytest.mark.parametrize("content", [b"<html>", b'{"lineItems": 1}', b"[]"])
async def test_an_answer_that_cannot_be_read_is_unavailable(store: PlayStore, app: StoreApp, google: FakeGoogle, content: bytes) -> None:
    google.says(TOKEN_PATH, content)
    with pytest.raises(Unavailable):
        await ask(store, app)


async def test_nobody_at_the_address(store: PlayStore) -> None:
    with pytest.raises(Unavailable, match="did not answer"):
        await ask(store, replace(APP, api_base_url="http://127.0.0.1:1"))
    with pytest.raises(Invalid) as caught:
        await ask(store, replace(APP, api_base_url="gopher://example.com"))
    assert caught.value.param == "api_base_url"


@pytest.mark.parametrize("secret", ["", "{}", "not json", json.dumps({"client_email": "a", "private_key": "b"})])
async def test_a_service_account_that_is_none(store: PlayStore, app: StoreApp, secret: str) -> None:
    broken = replace(app, secrets={"service_account": secret})
    with pytest.raises(NotConfigured) as caught:
        await ask(store, broken)
    assert caught.value.param == "service_account"


async def test_a_service_account_google_does_not_know(store: PlayStore, google: FakeGoogle, app: StoreApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google, "answer", lambda *_: (400, {}, b'{"error": "invalid_grant"}'))
    with pytest.raises(NotConfigured, match="gave no access token"):
        await ask(store, app)


def test_what_an_app_needs_to_be_asked_about(store: PlayStore) -> None:
    assert store.can_ask(APP) is True
    assert store.can_ask(replace(APP, bundle_id=None)) is False
    assert store.can_ask(replace(APP, secrets={})) is False


@pytest.mark.parametrize("token", ["..", "."])
async def test_a_token_of_dots_does_not_climb_the_path(store: PlayStore, app: StoreApp, google: FakeGoogle, token: str) -> None:
    with pytest.raises(Invalid, match="no token"):
        await store.ask(app, replace(QUESTION, subject=token), Posted(), NOW)
    assert google.asked == []


async def test_a_token_is_quoted(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says("/purchases/subscriptionsv2/tokens/a/../b?c", subscription())
    google.has(order())
    assert (await store.ask(app, replace(QUESTION, subject="a/../b?c"), Posted(), NOW)).statements


# What apps post


async def test_a_bare_token_is_googles_to_judge(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(TOKEN_PATH, subscription(testPurchase={}))
    google.has(order())
    (statement,) = (await store.read_receipt(app, Posted(token=" token-a\n", product_ids=("pro",)), NOW)).statements
    assert (statement.environment, statement.line) == ("sandbox", "token-a")


async def test_a_product_the_catalog_knows_is_looked_for_as_such(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(PRODUCT_PATH, bought_product())
    google.has(product_order())
    posted = Posted(token="token-a", product_ids=("coins",), products=(sold("consumable"),))
    (statement,) = (await store.read_receipt(app, posted, NOW)).statements
    assert statement.purchases[0].kind == "consumable"


@pytest.mark.parametrize("token", ["", "..", "a b", "é", "a" * 5000, "a\x00b", "{}", '{"data": {}}'])
async def test_what_is_no_token_is_invalid_and_asks_nobody(store: PlayStore, app: StoreApp, google: FakeGoogle, token: str) -> None:
    with pytest.raises(Invalid):
        await store.read_receipt(app, Posted(token=token), NOW)
    assert google.asked == []


async def test_a_token_google_does_not_know_is_invalid_and_names_it(store: PlayStore, app: StoreApp) -> None:
    with pytest.raises(Invalid, match="knows no such purchase") as caught:
        await store.read_receipt(app, Posted(token="token-a", product_ids=("coins",)), NOW)
    assert caught.value.param == "fetch_token"


async def test_a_purchase_google_has_forgotten_is_still_whose_it_is(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.refuses(TOKEN_PATH, 410)
    google.refuses(PRODUCT_PATH, 410)
    (statement,) = (await store.read_receipt(app, Posted(token="token-a", line=holding(FIRST, environment="sandbox")), NOW)).statements
    assert (statement.line, statement.environment, statement.purchases) == ("token-a", "sandbox", ())
    with pytest.raises(Invalid, match="60 days"):
        await store.read_receipt(app, Posted(token="token-a"), NOW)


# Acting


async def act(store: PlayStore, app: StoreApp, kind: Any, line: Line | None = None, **details: str | int) -> Reading:
    wanted = Act(act_id="act_1", kind=kind, environment="production", subject="token-a", details=details)
    return await store.act(app, wanted, Posted(line=line), NOW)


ASKED_AGAIN = Reading(questions=(QUESTION,))


@pytest.mark.parametrize(
    ("kind", "is_consumable"),
    [("consumable", True), ("non_consumable", False), ("one_time", False), ("non_renewing_subscription", False), (None, False)],
)
async def test_what_a_device_posts_says_whether_to_consume_it_and_only_consumables_are(
    store: PlayStore, app: StoreApp, google: FakeGoogle, kind: Any, is_consumable: bool
) -> None:
    google.says(PRODUCT_PATH, bought_product(acknowledgementState="ACKNOWLEDGEMENT_STATE_PENDING"))
    google.has(product_order())
    posted = Posted(token="token-a", product_ids=("coins",), products=(sold(kind),) if kind else ())
    reading = await store.read_receipt(app, posted, NOW)
    assert reading.should_consume == {"coins": is_consumable}
    assert [act.details.get("consume", 0) for act in reading.acts] == [1 if is_consumable else 0]


async def test_an_app_that_completes_its_purchases_itself_has_nothing_consumed(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(PRODUCT_PATH, bought_product())
    google.has(product_order())
    posted = Posted(token="token-a", product_ids=("coins",), products=(sold("consumable"),), is_completed_by_app=True)
    reading = await store.read_receipt(app, posted, NOW)
    assert (reading.should_consume, reading.acts) == ({"coins": True}, ())


async def test_what_only_a_notification_told_of_is_acknowledged_and_not_consumed(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    """A device no longer lists what was consumed, so nobody could claim it."""
    google.says(PRODUCT_PATH, bought_product(acknowledgementState="ACKNOWLEDGEMENT_STATE_PENDING"))
    google.has(product_order())
    reading = await ask(store, app, "product coins", products=(sold("consumable"),))
    assert [act.details.get("consume") for act in reading.acts] == [None]


async def test_what_was_consumed_or_taken_back_is_not_to_be_consumed(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(PRODUCT_PATH, bought_product(productLineItem=[CONSUMED]), bought_product("CANCELLED"))
    google.has(product_order())
    posted = Posted(token="token-a", product_ids=("coins",), products=(sold("consumable"),))
    assert (await store.read_receipt(app, posted, NOW)).acts == ()
    taken_back = await store.read_receipt(app, posted, NOW)
    assert (taken_back.should_consume, taken_back.acts) == ({}, ())


async def test_acknowledging(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says("/purchases/subscriptions/pro/tokens/token-a:acknowledge", b"")
    google.says("/purchases/products/coins/tokens/token-a:acknowledge", b"")
    google.says("/purchases/products/coins/tokens/token-a:consume", b"")
    google.says(PRODUCT_PATH, bought_product())
    assert await act(store, app, "acknowledge", type="subscription", product="pro") == Reading()
    assert await act(store, app, "acknowledge", type="one_time", product="coins") == Reading()
    assert await act(store, app, "acknowledge", type="one_time", product="coins", consume=1) == Reading()
    assert google.paths() == [
        "POST /purchases/subscriptions/pro/tokens/token-a:acknowledge",
        "POST /purchases/products/coins/tokens/token-a:acknowledge",
        f"GET {PRODUCT_PATH}",
        "POST /purchases/products/coins/tokens/token-a:consume",
    ]


async def test_what_the_device_consumed_already_is_not_consumed_again(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(PRODUCT_PATH, bought_product(productLineItem=[CONSUMED]))
    assert await act(store, app, "acknowledge", type="one_time", product="coins", consume=1) == Reading()
    assert google.paths() == [f"GET {PRODUCT_PATH}"]


async def test_a_device_that_consumes_between_the_look_and_the_call_is_no_trouble(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(PRODUCT_PATH, bought_product(), bought_product(productLineItem=[CONSUMED]))
    google.refuses("/purchases/products/coins/tokens/token-a:consume", 400, "productNotOwnedByUser")
    assert await act(store, app, "acknowledge", type="one_time", product="coins", consume=1) == Reading()


async def test_a_consumption_that_google_refuses_for_good_is_parked_with_its_words(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(PRODUCT_PATH, bought_product())
    google.refuses("/purchases/products/coins/tokens/token-a:consume", 400, "invalid")
    with pytest.raises(CannotAct):
        await act(store, app, "acknowledge", type="one_time", product="coins", consume=1)


async def test_cancelling(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(f"{TOKEN_PATH}:cancel", {})
    assert await act(store, app, "cancel") == ASKED_AGAIN
    assert google.asked[-1].body == {"cancellationContext": {"cancellationType": "USER_REQUESTED_STOP_RENEWALS"}}


async def test_refunding_takes_nothing_and_happens_once(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(f"/orders/{FIRST}", order(), order(state="REFUNDED"))
    google.says(f"/orders/{FIRST}:refund", b"")
    assert await act(store, app, "refund", transaction=FIRST) == ASKED_AGAIN
    assert await act(store, app, "refund", transaction=FIRST) == ASKED_AGAIN
    assert [(one.path.rpartition("/")[2], one.query) for one in google.asked if one.method == "POST"] == [(f"{FIRST}:refund", {"revoke": ["false"]})]


async def test_a_part_of_an_order_cannot_be_given_back(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    with pytest.raises(CannotAct, match="whole orders"):
        await act(store, app, "refund", transaction=FIRST, amount=100)
    assert google.asked == []


async def test_revoking_a_subscription_happens_once(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(TOKEN_PATH, subscription(), subscription("EXPIRED"))
    google.says(f"{TOKEN_PATH}:revoke", {})
    for _ in range(2):
        assert await act(store, app, "revoke", holding(FIRST), transaction=FIRST) == ASKED_AGAIN
    assert [one.body for one in google.asked if one.method == "POST"] == [{"revocationContext": {"fullRefund": {}}}]


async def test_revoking_a_one_time_purchase_is_a_refund_that_takes_it(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(f"/orders/{FIRST}", product_order())
    google.says(f"/orders/{FIRST}:refund", b"")
    await act(store, app, "revoke", holding(FIRST, kind="consumable"), transaction=FIRST)
    assert google.asked[-1].query == {"revoke": ["true"]}


@pytest.mark.parametrize(("kind", "details"), [("defer", {"expires_at_ms": to_ms(END + 7 * DAY)}), ("extend", {"days": 7, "reason_code": 0})])
async def test_moving_the_renewal_date_by_what_is_missing(
    store: PlayStore, app: StoreApp, google: FakeGoogle, kind: str, details: dict[str, int]
) -> None:
    google.says(TOKEN_PATH, subscription(), subscription("ACTIVE", line_item(until=END + 7 * DAY)))
    google.says(f"{TOKEN_PATH}:defer", {})
    for _ in range(2):
        assert await act(store, app, kind, holding(FIRST), **details) == ASKED_AGAIN
    assert [one.body for one in google.asked if one.method == "POST"] == [
        {"deferralContext": {"deferDuration": "604800s", "etag": "etag-1", "validateOnly": False}}
    ]


async def test_what_cannot_be_moved_on(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.says(TOKEN_PATH, subscription("PENDING", line_item(order=None)))
    with pytest.raises(CannotAct, match="no running subscription"):
        await act(store, app, "defer", expires_at_ms=to_ms(END))
    with pytest.raises(CannotAct, match="know the end of"):
        await act(store, app, "extend", days=3)


@pytest.mark.parametrize("status", [400, 404, 410])
async def test_what_google_refuses_for_good(store: PlayStore, app: StoreApp, google: FakeGoogle, status: int) -> None:
    google.refuses(f"{TOKEN_PATH}:cancel", status, "invalid", "cannot cancel this")
    with pytest.raises(CannotAct, match="cannot cancel this"):
        await act(store, app, "cancel")


async def test_an_act_that_cannot_be_done_now_is_for_later(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    google.refuses(f"{TOKEN_PATH}:cancel", 503)
    with pytest.raises(Unavailable):
        await act(store, app, "cancel")


# What was missed


async def test_voided_purchases_become_questions_page_by_page(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    one = {"purchaseToken": "token-a", "orderId": f"{FIRST}..3", "voidedTimeMillis": str(to_ms(NOW - DAY)), "voidedReason": 7}
    part = {"purchaseToken": "token-b", "orderId": "GPA.2", "voidedTimeMillis": str(to_ms(NOW)), "voidedQuantity": 2}
    google.says(
        "/purchases/voidedpurchases", {"voidedPurchases": [one], "tokenPagination": {"nextPageToken": "more"}}, {"voidedPurchases": [part, {}]}
    )
    found = [item async for item in store.missed(app, NOW - 90 * DAY, NOW, "production", NOW)]
    assert found == [
        Question(environment="production", subject="token-a", hint=f"voided {FIRST}..3 {to_ms(NOW - DAY)} full"),
        Question(environment="production", subject="token-b", hint=f"voided GPA.2 {to_ms(NOW)} part"),
    ]
    first, second = (asked.query for asked in google.asked)
    assert (first["type"], first["startTime"]) == (["1"], [str(to_ms(NOW - 30 * DAY + timedelta(hours=1)))])
    assert second["token"] == ["more"]


# Pulling


async def test_what_waits_is_pulled_kept_and_only_then_acknowledged(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    puller = replace(app, settings={**app.settings, "pubsub_subscription": SUBSCRIPTION})
    message = json.loads(push(about_subscription(2)))["message"]
    google.says(f"//v1/{SUBSCRIPTION}:pull", {"receivedMessages": [{"ackId": "ack-1", "message": message}]}, {})
    google.says(f"//v1/{SUBSCRIPTION}:acknowledge", {})
    kept: list[Caught] = []

    async def keep(caught: Sequence[Caught]) -> None:
        assert [one.path.rpartition(":")[2] for one in google.asked] == ["pull"]
        kept.extend(caught)

    assert await pull.pull(store._api, puller, keep, NOW, address=google.address) == 1
    assert [(one.envelope.message_id, one.envelope.kind) for one in kept] == [("136969346945", "SUBSCRIPTION_RENEWED")]
    assert store.read(puller, kept[0].body, NOW).questions == (Question(environment="production", subject="token-a", hint="2"),)
    assert google.asked[-1].body == {"ackIds": ["ack-1"]}
    assert await pull.pull(store._api, puller, keep, NOW, address=google.address) == 0
    assert google.grants["assertion"]


async def test_what_could_not_be_kept_comes_again(store: PlayStore, app: StoreApp, google: FakeGoogle) -> None:
    puller = replace(app, settings={"pubsub_subscription": SUBSCRIPTION})
    google.says(f"//v1/{SUBSCRIPTION}:pull", {"receivedMessages": [{"ackId": "ack-1", "message": {"data": "", "messageId": "1"}}]})

    async def keep(caught: Sequence[Caught]) -> None:
        raise Unavailable("the database is away")

    with pytest.raises(Unavailable):
        await pull.pull(store._api, puller, keep, NOW, address=google.address)
    assert [one.path.rpartition(":")[2] for one in google.asked] == ["pull"]


async def test_pulling_needs_the_subscriptions_name(store: PlayStore, app: StoreApp) -> None:
    async def keep(caught: Sequence[Caught]) -> None:
        raise AssertionError("nothing was pulled")

    with pytest.raises(Invalid, match="pubsub_subscription"):
        await store.pull(app, keep, NOW)

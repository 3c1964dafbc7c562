"""What another system of the project's own tells of: subscriptions and purchases made there, paid, renewed, refunded, ended."""

import json
from datetime import datetime
from typing import Any

import pytest

from perennial import catalog
from tests.world import World

PRO = "paddle_pro"


async def open_shop(world: World) -> str:
    """An app of the store `external`, with a product that gives `pro` and one that is used up."""
    async with world.app.database.transaction(world.project_id) as tx:
        app, _ = await catalog.create_app(tx, world.app.vault, name="Elsewhere", store="external")
        product = await catalog.create_product(tx, app_id=app.app_id, store_identifier=PRO, type="subscription", duration="P1M")
        coins = await catalog.create_product(tx, app_id=app.app_id, store_identifier="coins", type="consumable")
        (pro,) = await catalog.get_entitlements(tx, lookup_keys=["pro"])
        await catalog.attach_products(tx, pro.entitlement_id, [product.product_id, coins.product_id])
    return app.app_id


def subscription(starts: str, ends: str, *, at: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "object": "external_subscription",
        "customer_id": "ada",
        "source_subscription_identifier": "sub_1",
        "source_product_identifier": PRO,
        "updated_at": f"{at or starts}T00:00:00",
        "current_period_starts_at": f"{starts}T00:00:00",
        "current_period_ends_at": f"{ends}T00:00:00",
        "gives_access": True,
        "status": "active",
        "auto_renewal_status": "will_renew",
        **more,
    }


def payment(identifier: str, at: str, gross: Any = 9.99, **more: Any) -> dict[str, Any]:
    return {
        "object": "external_subscription_payment",
        "source_subscription_identifier": "sub_1",
        "payment_identifier": identifier,
        "processed_at": f"{at}T00:00:00",
        "amount_in_local_currency": {"gross": gross, "currency": "EUR", **more},
    }


def purchase(**more: Any) -> dict[str, Any]:
    return {
        "object": "external_purchase",
        "customer_id": "ada",
        "source_purchase_identifier": "order_1",
        "source_product_identifier": "coins",
        "updated_at": "2026-01-30T00:00:00Z",
        **more,
    }


def purchase_payment(identifier: str, gross: Any, at: str = "2026-01-30") -> dict[str, Any]:
    return {
        "object": "external_purchase_payment",
        "source_purchase_identifier": "order_1",
        "payment_identifier": identifier,
        "processed_at": f"{at}T00:00:00Z",
        "amount_in_local_currency": {"gross": gross, "currency": "EUR"},
    }


async def tell(world: World, purchase: dict[str, Any] | None, payment: dict[str, Any] | None = None, **params: str):
    body = {"purchase": purchase, "payment": payment}
    return await world.http.post("/v1/receipts/external", headers=world.secret, json=body, params=params)


async def until(world: World, moment: str) -> None:
    await world.advance(seconds=(datetime.fromisoformat(f"{moment}T00:00:00+00:00") - await world.now()).total_seconds())


async def test_a_life_as_the_vendor_s_own_example_tells_it(world: World):
    await open_shop(world)
    await until(world, "2026-03-01")
    assert (await tell(world, subscription("2026-03-01", "2026-04-01", status="trialing"))).status_code == 200
    assert await world.entitled("ada") == ["pro"]
    await until(world, "2026-04-01")
    await tell(world, subscription("2026-04-01", "2026-05-01"), payment("pay_1", "2026-04-01"))
    await until(world, "2026-05-01")
    await tell(world, subscription("2026-05-01", "2026-06-01"), payment("pay_2", "2026-05-01"))
    await until(world, "2026-06-01")
    await tell(world, subscription("2026-06-01", "2026-06-14", status="in_grace_period", auto_renewal_status="will_not_renew"))
    assert await world.entitled("ada") == ["pro"]
    assert (await world.customer("ada"))["subscriptions"][PRO]["grace_period_expires_date"] == "2026-06-14T00:00:00Z"
    await until(world, "2026-06-12")
    assert await world.entitled("ada") == ["pro"]
    await tell(world, subscription("2026-06-01", "2026-07-01", at="2026-06-12"), payment("pay_3", "2026-06-12"))
    await until(world, "2026-06-18")
    await tell(world, subscription("2026-06-01", "2026-07-01", at="2026-06-18", auto_renewal_status="will_not_renew"))
    await until(world, "2026-07-01")
    assert await world.entitled("ada") == []
    await tell(
        world,
        subscription("2026-06-01", "2026-07-01", at="2026-07-01", gives_access=False, status="expired", auto_renewal_status="will_not_renew"),
    )
    await world.run_due()
    told = await world.bodies("ada")
    assert [one["type"] for one in told] == [
        "INITIAL_PURCHASE",
        "RENEWAL",
        "RENEWAL",
        "BILLING_ISSUE",
        "CANCELLATION",
        "RENEWAL",
        "CANCELLATION",
        "EXPIRATION",
    ]
    assert [one["period_type"] for one in told[:2]] == ["TRIAL", "NORMAL"]
    assert [one.get("is_trial_conversion") for one in told] == [None, True, False, None, None, False, None, None]
    assert [one["price_in_purchased_currency"] for one in told[:3]] == [0.0, 9.99, 9.99]
    assert [one.get("cancel_reason") for one in told] == [None, None, None, None, "BILLING_ERROR", None, "UNSUBSCRIBE", None]
    assert told[-1]["expiration_reason"] == "UNSUBSCRIBE"
    assert {(one["store"], one["environment"], one["app_user_id"], one["product_id"]) for one in told} == {("EXTERNAL", "PRODUCTION", "ada", PRO)}


async def test_everything_twice_and_in_any_order_is_the_same(world: World):
    await open_shop(world)
    await until(world, "2026-03-20")
    posts = [
        (subscription("2026-01-01", "2026-02-01"), payment("pay_1", "2026-01-01")),
        (subscription("2026-02-01", "2026-03-01"), payment("pay_2", "2026-02-01")),
        (subscription("2026-03-01", "2026-04-01"), payment("pay_3", "2026-03-01")),
        (subscription("2026-03-01", "2026-04-01", at="2026-03-10", auto_renewal_status="will_not_renew"), None),
    ]
    for one in posts * 2:
        answer = await tell(world, *one)
        assert answer.status_code == 200, answer.text
    assert await world.told("ada") == ["INITIAL_PURCHASE", "RENEWAL", "RENEWAL", "CANCELLATION"]
    (line,) = await world.lines("ada")
    expected = [(held.purchase.transaction, held.purchase.price, held.purchase.expires_at) for held in line.held]
    other = [({**said, "customer_id": "bob", "source_subscription_identifier": "sub_2"}, paid) for said, paid in posts]
    for said, paid in [other[place] for place in (2, 0, 3, 1)]:
        mine = {**paid, "source_subscription_identifier": "sub_2", "payment_identifier": f"b_{paid['payment_identifier']}"} if paid else None
        assert (await tell(world, said, mine)).status_code == 200
    (line,) = await world.lines("bob")
    assert [(held.purchase.transaction.replace("sub_2", "sub_1"), held.purchase.price, held.purchase.expires_at) for held in line.held] == expected


async def test_a_payment_is_counted_once_and_may_come_after_its_period(world: World):
    await open_shop(world)
    first = (await tell(world, subscription("2026-01-20", "2026-02-20"))).json()
    assert "payment" not in first
    again = (await tell(world, subscription("2026-01-20", "2026-02-20"))).json()
    assert again == first
    paid = payment("pay_1", "2026-01-20", "9.99", tax="1.60", commission=0.5)
    assert (await tell(world, None, paid)).json() == {"payment": "pay_1"}
    assert (await tell(world, None, paid)).json() == {}
    (line,) = await world.lines("ada")
    (held,) = line.held
    assert held.purchase.price is not None and held.purchase.tax is not None and held.purchase.commission is not None
    assert (held.purchase.price.amount, held.purchase.tax.amount, held.purchase.commission.amount) == (999, 160, 50)
    assert held.purchase.price.currency == "EUR"
    assert await world.told("ada") == ["INITIAL_PURCHASE"]
    assert line.line_id == first["purchase"]


async def test_a_refund_takes_money_and_an_expiry_takes_access(world: World):
    await open_shop(world)
    await tell(world, subscription("2026-01-20", "2026-02-20"), payment("pay_1", "2026-01-20"))
    await tell(world, None, payment("refund_1", "2026-01-25", -4.00))
    assert await world.entitled("ada") == ["pro"]
    await tell(world, None, payment("refund_1", "2026-01-25", -4.00))
    await tell(
        world, subscription("2026-01-20", "2026-02-20", at="2026-01-30", gives_access=False, status="expired", auto_renewal_status="will_not_renew")
    )
    assert await world.entitled("ada") == []
    told = await world.bodies("ada")
    assert [(one["type"], one["price_in_purchased_currency"]) for one in told] == [
        ("INITIAL_PURCHASE", 9.99),
        ("REFUND", -4.0),
        ("EXPIRATION", 9.99),
    ]
    assert (await world.customer("ada"))["subscriptions"][PRO]["expires_date"] == "2026-01-30T00:00:00Z"


async def test_a_one_time_purchase_is_bought_paid_and_refunded(world: World):
    await open_shop(world)
    answer = await tell(world, purchase(), purchase_payment("pay_1", 5))
    assert answer.status_code == 200, answer.text
    assert await world.entitled("ada") == ["pro"]
    (bought,) = (await world.customer("ada"))["non_subscriptions"]["coins"]
    assert (bought["store"], bought["price"], bought["is_sandbox"]) == ("external", {"amount": 5.0, "currency": "EUR"}, False)
    await tell(world, None, purchase_payment("refund_1", -2, "2026-01-31"))
    await tell(world, purchase(status="refunded", updated_at="2026-01-31T06:00:00Z"))
    assert await world.entitled("ada") == []
    told = await world.bodies("ada")
    assert [(one["type"], one["price_in_purchased_currency"]) for one in told] == [
        ("NON_RENEWING_PURCHASE", 5.0),
        ("REFUND", -2.0),
        ("CANCELLATION", -3.0),
    ]
    (line,) = await world.lines("ada")
    assert line.held[0].purchase.kind == "consumable"


async def test_a_refund_that_comes_with_its_status_is_counted_once(world: World):
    await open_shop(world)
    await tell(world, purchase(), purchase_payment("pay_1", 5))
    await tell(world, purchase(status="refunded", updated_at="2026-01-31T06:00:00Z"), purchase_payment("refund_1", -5, "2026-01-31"))
    told = await world.bodies("ada")
    assert [(one["type"], one["price_in_purchased_currency"]) for one in told] == [("NON_RENEWING_PURCHASE", 5.0), ("CANCELLATION", -5.0)]


async def test_sandbox_and_production_are_kept_apart(world: World):
    await open_shop(world)
    await tell(world, subscription("2026-01-20", "2026-02-20", environment="sandbox"))
    await tell(world, subscription("2026-01-20", "2026-03-20", customer_id="bob"))
    assert [(line.environment, len(line.held)) for line in await world.lines("ada")] == [("sandbox", 1)]
    assert [(line.environment, len(line.held)) for line in await world.lines("bob")] == [("production", 1)]


async def test_who_pauses_keeps_nothing_and_who_changes_the_plan_keeps_going(world: World):
    await open_shop(world)
    await tell(world, subscription("2026-01-20", "2026-02-20"))
    await tell(world, subscription("2026-01-20", "2026-02-20", at="2026-01-25", status="paused", gives_access=False))
    assert await world.entitled("ada") == []
    assert "SUBSCRIPTION_PAUSED" in await world.told("ada")
    plus = {"customer_id": "bob", "source_subscription_identifier": "sub_2"}
    await tell(world, subscription("2026-01-20", "2026-02-20", **plus))
    await tell(world, subscription("2026-01-28", "2026-02-28", source_product_identifier="paddle_plus", **plus))
    assert await world.told("bob") == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL"]


async def test_a_subscription_nobody_speaks_of_again_ends(world: World):
    await open_shop(world)
    await tell(world, subscription("2026-01-20", "2026-02-20"))
    await until(world, "2026-02-21")
    assert await world.entitled("ada") == []
    await until(world, "2026-02-23")
    assert await world.told("ada") == ["INITIAL_PURCHASE", "EXPIRATION"]


@pytest.mark.parametrize(
    ("purchase", "payment", "status", "code"),
    [
        (None, None, 400, 7226),
        (subscription("2026-01-20", "2026-02-20", updated_at="yesterday"), None, 400, 7226),
        (subscription("2026-01-20", "2026-02-20", surprise=1), None, 400, 7226),
        (subscription("2026-01-20", "2026-02-20", object="subscription"), None, 400, 7226),
        (subscription("2026-01-20", "2026-02-20", customer_id=""), None, 400, 7220),
        (subscription("2026-01-20", "2026-02-20"), payment("pay_1", "2026-01-20", "much"), 400, 7226),
        (subscription("2026-01-20", "2026-02-20"), payment("pay_1", "2026-01-20", "NaN"), 400, 7226),
        (subscription("2026-01-20", "2026-02-20", source_subscription_identifier="sub_9"), payment("pay_1", "2026-01-20"), 400, 7226),
        (None, payment("pay_1", "2026-01-20"), 404, 7259),
    ],
)
async def test_what_makes_no_sense_is_refused_and_leaves_nothing(world: World, purchase, payment, status: int, code: int):
    await open_shop(world)
    answer = await tell(world, purchase, payment)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await world.told() == []
    async with world.app.database.transaction(world.project_id) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM customer") == 0


async def test_a_period_does_not_swallow_another(world: World):
    await open_shop(world)
    await tell(world, subscription("2026-01-10", "2026-01-20"))
    answer = await tell(world, subscription("2026-01-01", "2026-01-30", at="2026-01-30"))
    assert (answer.status_code, answer.json()["code"]) == (409, 7752)


async def test_payments_of_one_purchase_are_in_one_currency(world: World):
    await open_shop(world)
    await tell(world, subscription("2026-01-20", "2026-02-20"), payment("pay_1", "2026-01-20"))
    answer = await tell(world, None, payment("pay_2", "2026-01-21", 1, currency="USD"))
    assert (answer.status_code, answer.json()["code"]) == (400, 7226)
    assert (await tell(world, None, payment("pay_2", "2026-01-21", 1))).json()["payment"] == "pay_2"


async def test_only_a_secret_key_and_only_for_an_app_that_is_there(world: World):
    said = subscription("2026-01-20", "2026-02-20")
    assert (await tell(world, said)).status_code == 400
    app_id = await open_shop(world)
    public = await world.http.post("/v1/receipts/external", headers=world.sdk(), json={"purchase": said})
    assert (public.status_code, public.json()["code"]) == (403, 7225)
    await open_shop(world)
    assert (await tell(world, said)).status_code == 400
    assert (await tell(world, said, app_id=app_id)).status_code == 200
    assert (await tell(world, said, app_id=world.app_ids["test_store"])).status_code == 400


# What is said beside it


async def test_metadata_is_kept_and_told_as_it_was_said(world: World):
    await open_shop(world)
    words = {"seat": "A7", "plan": 3, "share": 0.5, "is_gift": True, "voucher": None}
    await tell(world, subscription("2026-01-20", "2026-02-20", metadata=words))
    shown = (await world.customer("ada"))["subscriptions"][PRO]
    assert shown["metadata"] == {"seat": "A7", "plan": "3", "share": "0.5", "is_gift": "true"}, "the SDKs read texts"
    assert [one["metadata"] for one in await world.bodies("ada")] == [words]
    await tell(world, purchase(metadata={"basket": "b1"}))
    told = (await world.bodies("ada"))[-1]
    assert (told["type"], told["metadata"]) == ("NON_RENEWING_PURCHASE", {"basket": "b1"})


async def test_of_metadata_the_later_word_counts_whatever_came_first(world: World):
    await open_shop(world)
    await until(world, "2026-02-10")
    period = ("2026-01-20", "2026-02-20")

    async def kept() -> object:
        return (await world.customer("ada"))["subscriptions"][PRO].get("metadata")

    await tell(world, subscription(*period, at="2026-01-25", metadata={"seat": "B"}))
    await tell(world, subscription(*period, at="2026-01-22", metadata={"seat": "A"}))
    assert await kept() == {"seat": "B"}
    await tell(world, subscription(*period, at="2026-01-26", auto_renewal_status="will_not_renew"))
    assert await kept() == {"seat": "B"}, "where nothing is said of it, what was said stays"
    assert [(one["type"], one["metadata"]) for one in await world.bodies("ada")] == [
        ("INITIAL_PURCHASE", {"seat": "B"}),
        ("CANCELLATION", {"seat": "B"}),
    ]
    await tell(world, subscription(*period, at="2026-01-27", auto_renewal_status="will_not_renew", metadata={}))
    assert await kept() is None
    await until(world, "2026-02-20")
    await tell(world, subscription("2026-02-20", "2026-03-01", status="in_grace_period", metadata={"dunning": "1"}))
    assert await kept() == {"dunning": "1"}, "also with what begins no period"


@pytest.mark.parametrize(
    ("offer", "name", "period_type", "kind", "code"),
    [
        ("free_trial", "first_month", "TRIAL", "introductory", None),
        ("introductory_offer", "half_price", "INTRO", "introductory", None),
        ("offer_code", "SPRING", "NORMAL", "offer_code", "SPRING"),
        ("win_back_offer", "come_back", "NORMAL", "win_back", None),
        ("promotional_offer", None, "NORMAL", "promotional", None),
        ("unspecified_offer", None, "NORMAL", "unspecified", None),
        (None, "something", "NORMAL", "unspecified", None),
    ],
)
async def test_the_offer_a_payment_was_made_under_is_its_periods(
    world: World, offer: str | None, name: str | None, period_type: str, kind: str, code: str | None
):
    await open_shop(world)
    paid = {**payment("pay_1", "2026-01-20", 0 if offer == "free_trial" else 4.99), "active_offer_type": offer, "active_offer": name}
    for _ in range(2):
        assert (await tell(world, subscription("2026-01-20", "2026-02-20"), paid)).status_code == 200
    (told,) = await world.bodies("ada")
    assert (told["type"], told["period_type"], told["offer_code"]) == ("INITIAL_PURCHASE", period_type, code)
    (line,) = await world.lines("ada")
    held = line.held[0].purchase.offer
    assert held is not None and (held.kind, held.identifier) == (kind, name)
    assert (await world.customer("ada"))["subscriptions"][PRO]["period_type"] == period_type.lower()
    await until(world, "2026-02-20")
    await tell(world, subscription("2026-02-20", "2026-03-20"), payment("pay_2", "2026-02-20"))
    renewal = (await world.bodies("ada"))[-1]
    assert (renewal["type"], renewal["period_type"], renewal["offer_code"]) == ("RENEWAL", "NORMAL", None)
    assert renewal["is_trial_conversion"] is (offer == "free_trial")


@pytest.mark.parametrize(
    "metadata",
    [
        {"note": "a\x00b"},
        {"a\x00b": "note"},
        {"": "note"},
        {"number": 2**53 + 1},
        {"note": "x" * 2001},
        {"nested": {}},
        {str(number): "x" for number in range(101)},
        ["note"],
    ],
)
async def test_metadata_that_cannot_be_kept_is_refused(world: World, metadata: Any):
    await open_shop(world)
    answer = await tell(world, subscription("2026-01-20", "2026-02-20", metadata=metadata))
    assert answer.status_code == 400 and answer.json()["code"] == 7226, answer.text
    assert await world.told("ada") == []


async def test_half_a_character_in_metadata_is_refused(world: World):
    await open_shop(world)
    body = json.dumps({"purchase": subscription("2026-01-20", "2026-02-20", metadata={"note": "\ud800"}), "payment": None})
    answer = await world.http.post(
        "/v1/receipts/external", headers={**world.secret, "Content-Type": "application/json"}, content=body.encode("ascii")
    )
    assert answer.status_code == 400, answer.text


async def test_what_was_noted_about_a_person_goes_with_them(world: World):
    await open_shop(world)
    await tell(world, subscription("2026-01-20", "2026-02-20", metadata={"seat": "window-seat-of-ada"}))
    await world.http.delete("/v1/subscribers/ada", headers=world.secret)
    async with world.app.database.transaction(world.project_id) as tx:
        kept = await tx.fetch("SELECT (l.*)::text AS row FROM line l UNION ALL SELECT (e.*)::text FROM event e")
    assert kept and not any("window-seat" in row["row"] for row in kept)

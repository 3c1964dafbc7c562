"""Virtual currencies: what purchases give, what refunds and time take, what servers of the project change; seen by SDKs, by v2 and in events."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from perennial import customers, ledger, subscriptions
from perennial.base.ids import CustomerId
from perennial.base.money import Money
from perennial.base.value import replace
from perennial.ledger import virtual
from perennial.subscriptions import Said
from perennial.subscriptions.model import Purchase, Refund, Revocation, Statement
from tests.contract.v2_caller import Caller
from tests.contract.v2_schemas import check
from tests.world import START, World

DAY = timedelta(days=1)


@pytest.fixture
def v2(world: World) -> Caller:
    return Caller.of(world)


async def product(v2: Caller, identifier: str, store: str = "test_store") -> str:
    found = await v2.all("/products", app_id=v2.world.app_ids[store])
    return next(one["id"] for one in found if one["store_identifier"] == identifier)


async def gold(v2: Caller, *grants: dict[str, Any], code: str = "GLD", name: str = "Gold") -> None:
    await v2.post("/virtual_currencies", {"code": code, "name": name, "description": "Shiny", "product_grants": list(grants)}, status=201)


async def balance(v2: Caller, app_user_id: str = "ada", code: str = "GLD") -> int:
    found = {one["currency_code"]: one["balance"] for one in await v2.all(f"/customers/{app_user_id}/virtual_currencies")}
    return found.get(code, 0)


async def adjustments(world: World, app_user_id: str = "ada") -> list[tuple[int, str]]:
    return [
        (one["amount"], one["currency"]["code"])
        for body in await world.bodies(app_user_id)
        if body["type"] == "VIRTUAL_CURRENCY_TRANSACTION"
        for one in body["adjustments"]
    ]


async def say(world: World, *purchases: Purchase, buyer: str = "ada", line: str = "1000") -> None:
    """What the App Store says of a line that `buyer` posted first."""
    async with world.app.database.transaction(world.project_id) as tx:
        ids, _ = await customers.ensure(tx, [buyer])
        statement = Statement(store="app_store", environment="production", line=line, purchases=purchases)
        await subscriptions.record(tx, [Said(app_id=world.app_ids["app_store"], statement=statement, buyer=ids[buyer])])


def period(transaction: str = "t1", *, begins: datetime = START, days: int = 30, **facts: Any) -> Purchase:
    known = {
        "transaction": transaction,
        "product": "pro_monthly",
        "kind": "subscription",
        "purchased_at": begins,
        "expires_at": begins + days * DAY,
        "as_of": begins,
        "is_first": transaction == "t1",
        "is_renewal": transaction != "t1",
        "price": Money(amount=999, currency="USD"),
    }
    return Purchase(**(known | facts))


# Purchases --------------------------------------------------------------------------------------------------------------------


async def test_a_purchase_gives_once_however_often_it_is_posted(world: World, v2: Caller):
    await gold(v2, {"product_ids": [await product(v2, "coins")], "amount": 100})
    await world.buy("ada", "coins", token="test_one")
    await world.buy("ada", "coins", token="test_one")
    assert await balance(v2) == 100
    await world.buy("ada", "coins", token="test_two")
    assert await balance(v2) == 200
    assert await adjustments(world) == [(100, "GLD"), (100, "GLD")]


async def test_the_event_has_the_vendor_s_fields(world: World, v2: Caller):
    await gold(v2, {"product_ids": [await product(v2, "coins")], "amount": 100})
    await world.buy("ada", "coins", token="test_one")
    purchase, event = await world.bodies("ada")
    assert (purchase["type"], event.pop("id") != purchase["id"]) == ("NON_RENEWING_PURCHASE", True)
    assert event.pop("virtual_currency_transaction_id").startswith("vatx")
    assert event == {
        "type": "VIRTUAL_CURRENCY_TRANSACTION",
        "app_id": world.app_ids["test_store"],
        "event_timestamp_ms": purchase["event_timestamp_ms"],
        "app_user_id": "ada",
        "original_app_user_id": "ada",
        "aliases": ["ada"],
        "subscriber_attributes": {},
        "adjustments": [{"amount": 100, "currency": {"code": "GLD", "name": "Gold", "description": "Shiny"}}],
        "source": "in_app_purchase",
        "product_id": "coins",
        "product_display_name": "coins",
        "purchase_environment": "SANDBOX",
        "store": "TEST_STORE",
        "transaction_id": "test_one",
        "perennial": {"sequence": 2, "happened_at_ms": purchase["purchased_at_ms"], "reference": None},
    }


async def test_each_renewal_gives_and_a_trial_gives_what_trials_give(world: World, v2: Caller):
    await gold(v2, {"product_ids": [await product(v2, "pro_annual")], "amount": 500, "trial_amount": 20})
    await world.buy("ada", "pro_annual")
    assert await balance(v2) == 20
    await world.advance(days=8)
    assert await balance(v2) == 520
    await world.advance(days=370)
    assert await adjustments(world) == [(20, "GLD"), (500, "GLD"), (500, "GLD")]


async def test_a_trial_gives_nothing_where_nothing_is_said_of_trials(world: World, v2: Caller):
    await gold(v2, {"product_ids": [await product(v2, "pro_annual")], "amount": 500})
    await world.buy("ada", "pro_annual")
    assert (await balance(v2), await adjustments(world)) == (0, [])


async def test_one_purchase_gives_several_currencies_and_is_told_once(world: World, v2: Caller):
    coins = await product(v2, "coins")
    await gold(v2, {"product_ids": [coins], "amount": 100})
    await gold(v2, {"product_ids": [coins], "amount": 7}, code="SLV", name="Silver")
    await world.buy("ada", "coins")
    assert await adjustments(world) == [(100, "GLD"), (7, "SLV")]
    assert await world.told("ada") == ["NON_RENEWING_PURCHASE", "VIRTUAL_CURRENCY_TRANSACTION"]


async def test_what_was_bought_before_gives_nothing_even_when_it_is_heard_of_again(world: World, v2: Caller):
    await gold(v2)
    await world.buy("ada", "pro_monthly")
    await world.advance(days=1)
    granting = {"product_grants": [{"product_ids": [await product(v2, "pro_monthly")], "amount": 10}]}
    await v2.post("/virtual_currencies/GLD", granting, status=200)
    await world.advance(days=30)
    assert await adjustments(world) == [(10, "GLD")], "only the renewal"
    await v2.post("/virtual_currencies/GLD", {"product_grants": [granting["product_grants"][0] | {"amount": 11}]}, status=200)
    await world.advance(days=30)
    assert await adjustments(world) == [(10, "GLD"), (11, "GLD")], "an amount changed later counts from then on"


async def test_what_expires_goes_with_its_period_and_is_spent_first(world: World, v2: Caller):
    await gold(
        v2,
        {"product_ids": [await product(v2, "pro_monthly")], "amount": 1000, "expire_at_cycle_end": True},
        {"product_ids": [await product(v2, "coins")], "amount": 500},
    )
    await world.buy("ada", "pro_monthly")
    await world.buy("ada", "coins")
    await v2.post("/customers/ada/virtual_currencies/transactions", {"adjustments": {"GLD": -750}}, status=200)
    assert await balance(v2) == 750
    await world.advance(days=28)
    assert await balance(v2) == 1500, "250 expired, and the renewal gave 1000"
    told = await adjustments(world)
    assert sorted(told[:2]) == [(500, "GLD"), (1000, "GLD")]
    assert sorted(told[2:]) == sorted([(-750, "GLD"), (-250, "GLD"), (1000, "GLD")])


async def test_what_has_expired_does_not_count_even_while_no_worker_runs(world: World, v2: Caller):
    await gold(v2, {"product_ids": [await product(v2, "pro_monthly")], "amount": 1000, "expire_at_cycle_end": True})
    await world.buy("ada", "pro_monthly")
    async with world.app.database.transaction(world.project_id) as tx:
        await tx.execute("UPDATE project SET clock_at = %(later)s", later=START + 28 * DAY)
    assert await balance(v2) == 0
    spend = {"adjustments": {"GLD": -1}}
    path = "/customers/ada/virtual_currencies/transactions"
    await v2.refused("POST", path, spend, status=422, type="unprocessable_entity_error", param="adjustments")


async def test_an_extended_period_keeps_what_it_gave_and_an_upgraded_one_loses_it(world: World, v2: Caller):
    month = await product(v2, "pro_monthly", "app_store")
    year = await product(v2, "pro_annual", "app_store")
    await gold(v2, {"product_ids": [month, year], "amount": 100, "expire_at_cycle_end": True})
    await say(world, period())
    await say(world, period(expires_at=START + 40 * DAY, as_of=START + DAY))
    await world.advance(days=35)
    assert await balance(v2) == 100
    upgrade = period("t2", begins=START + 35 * DAY, days=365, product="pro_annual", is_renewal=False)
    await say(world, period(expires_at=START + 40 * DAY, as_of=START + 35 * DAY, is_superseded=True), upgrade)
    await world.run_due()
    assert await balance(v2) == 100
    assert await adjustments(world) == [(100, "GLD"), (100, "GLD"), (-100, "GLD")]


async def test_a_refund_takes_its_share_back_rounded_up_and_gives_it_back_when_reversed(world: World, v2: Caller):
    await gold(v2, {"product_ids": [await product(v2, "pro_monthly", "app_store")], "amount": 100})
    await say(world, period())
    await say(world, period(as_of=START + DAY, revocation=Revocation(at=START + DAY, refunded=True, share_ppm=333_333)))
    assert await balance(v2) == 66
    await say(world, period(as_of=START + 2 * DAY))
    assert await balance(v2) == 100
    await say(world, period(as_of=START + 3 * DAY, revocation=Revocation(at=START + DAY, refunded=True)))
    await say(world, period(as_of=START + 3 * DAY, revocation=Revocation(at=START + DAY, refunded=True)))
    assert await adjustments(world) == [(100, "GLD"), (-34, "GLD"), (34, "GLD"), (-100, "GLD")]


async def test_a_partial_refund_without_a_revocation_takes_its_share_too(world: World, v2: Caller):
    await gold(v2, {"product_ids": [await product(v2, "pro_monthly", "app_store")], "amount": 100})
    half = Refund(identifier="r1", at=START + DAY, amount=Money(amount=500, currency="USD"))
    await say(world, period(as_of=START + DAY, price=Money(amount=1000, currency="USD"), refunds=(half,)))
    assert await adjustments(world) == [(50, "GLD")], "learned at once, told at once"


async def test_a_refund_takes_no_more_than_there_is(world: World, v2: Caller):
    await gold(v2, {"product_ids": [await product(v2, "coins", "app_store")], "amount": 100})
    coins = period(product="coins", kind="consumable", expires_at=None)
    await say(world, coins)
    await v2.post("/customers/ada/virtual_currencies/transactions", {"adjustments": {"GLD": -70}}, status=200)
    await say(world, replace(coins, as_of=START + DAY, revocation=Revocation(at=START + DAY, refunded=True, share_ppm=100_000)))
    assert await balance(v2) == 0, "of what was bought once a refund takes all"
    await say(world, replace(coins, as_of=START + 2 * DAY))
    assert await adjustments(world) == [(100, "GLD"), (-70, "GLD"), (-30, "GLD"), (30, "GLD")], "what was not taken does not come back"


async def test_a_wallet_holds_two_billion_and_no_more(world: World, v2: Caller):
    await gold(v2, {"product_ids": [await product(v2, "coins")], "amount": 100})
    await world.customer("ada")
    path = "/customers/ada/virtual_currencies/update_balance"
    await v2.post(path, {"adjustments": {"GLD": 1_999_999_990}}, status=200)
    await world.buy("ada", "coins")
    assert await balance(v2) == 2_000_000_000
    one_more = {"adjustments": {"GLD": 1}}
    await v2.refused("POST", path, one_more, status=422, type="unprocessable_entity_error", param="adjustments")
    await v2.post(path, {"adjustments": {"GLD": -2_000_000_000}}, status=200)
    await world.advance(days=1)
    assert await balance(v2) == 0, "what found no room is not given later"


async def test_what_is_given_stays_with_who_got_it_when_a_purchase_moves(world: World, v2: Caller):
    await gold(v2, {"product_ids": [await product(v2, "pro_monthly", "app_store")], "amount": 100})
    await say(world, period(), buyer="ada")
    await say(world, period(as_of=START + DAY), buyer="bob")
    assert await world.told("bob") == ["TRANSFER"]
    assert (await balance(v2, "ada"), await balance(v2, "bob")) == (100, 0)
    await say(world, period(as_of=START + 2 * DAY, revocation=Revocation(at=START + 2 * DAY, refunded=True)), buyer="bob")
    assert (await balance(v2, "ada"), await balance(v2, "bob")) == (0, 0)
    assert await adjustments(world, "ada") == [(100, "GLD"), (-100, "GLD")]


async def test_customers_who_turn_out_to_be_one_have_one_wallet(world: World, v2: Caller):
    await gold(
        v2,
        {"product_ids": [await product(v2, "pro_monthly")], "amount": 1000, "expire_at_cycle_end": True},
        {"product_ids": [await product(v2, "coins")], "amount": 5},
    )
    anonymous = "$RCAnonymousID:" + "a" * 32
    await world.buy(anonymous, "pro_monthly")
    await world.buy(anonymous, "coins")
    await world.buy("ada", "coins")
    await world.http.post("/v1/subscribers/identify", headers=world.sdk(), json={"app_user_id": anonymous, "new_app_user_id": "ada"})
    assert (await balance(v2, "ada"), await balance(v2, anonymous)) == (1010, 1010)
    await v2.post("/customers/ada/virtual_currencies/transactions", {"adjustments": {"GLD": -900}}, status=200)
    await world.advance(days=28)
    assert await balance(v2) == 1010, "the last 100 expired as they would have, and the renewal gave 1000"


async def test_a_project_without_currencies_asks_one_question_per_purchase(world: World):
    seen: list[str] = []
    world.app.database.before_statement = seen.append
    await world.buy("ada", "coins")
    world.app.database.before_statement = None
    assert sum("virtual_currency" in sql or "currency_grant" in sql or "bounded_account" in sql for sql in seen) == 1


async def test_settling_many_purchases_takes_no_more_questions_than_one(world: World, v2: Caller):
    await gold(v2, {"product_ids": [await product(v2, "pro_monthly", "app_store")], "amount": 10, "expire_at_cycle_end": True})

    async def statements(*purchases: Purchase, line: str) -> int:
        seen: list[str] = []
        world.app.database.before_statement = seen.append
        await say(world, *purchases, line=line)
        world.app.database.before_statement = None
        return len(seen)

    await world.customer("ada")
    one = await statements(period("a"), line="1")
    many = await statements(*(period(f"b{number}", begins=START + 30 * number * DAY) for number in range(20)), line="2")
    assert many == one


# By hand ----------------------------------------------------------------------------------------------------------------------


async def test_an_adjustment_is_all_or_nothing(world: World, v2: Caller):
    await gold(v2)
    await gold(v2, code="SLV", name="Silver")
    await world.customer("ada")
    path = "/customers/ada/virtual_currencies/transactions"
    await v2.post(path, {"adjustments": {"GLD": 50}, "reference": "welcome"}, status=200)
    exchanged = await v2.post(path, {"adjustments": {"GLD": -20, "SLV": 200}}, status=200)
    assert exchanged == {
        "object": "list",
        "items": [
            {"object": "virtual_currency_balance", "currency_code": "GLD", "balance": 30, "name": "Gold", "description": "Shiny"},
            {"object": "virtual_currency_balance", "currency_code": "SLV", "balance": 200, "name": "Silver", "description": "Shiny"},
        ],
        "next_page": None,
        "url": v2.path("/customers/ada/virtual_currencies"),
    }
    check(exchanged)
    check(await v2.get("/customers/ada/virtual_currencies"))
    too_much = {"adjustments": {"GLD": -31, "SLV": 1}}
    message = await v2.refused("POST", path, too_much, status=422, type="unprocessable_entity_error", param="adjustments")
    assert message == "the customer has 30 GLD, which is not enough to take 31"
    assert (await balance(v2), await balance(v2, code="SLV")) == (30, 200)
    told = [body for body in await world.bodies("ada") if body["type"] == "VIRTUAL_CURRENCY_TRANSACTION"]
    assert [body["source"] for body in told] == ["admin_api", "admin_api"]
    assert told[0]["perennial"]["reference"] == "welcome"
    assert [(one["amount"], one["currency"]["code"]) for one in told[1]["adjustments"]] == [(-20, "GLD"), (200, "SLV")]
    assert not told[0].keys() & {"store", "transaction_id", "product_id", "product_display_name", "purchase_environment", "app_id", "country_code"}


async def test_a_balance_updated_in_silence_is_told_to_nobody(world: World, v2: Caller):
    await gold(v2)
    await world.customer("ada")
    await v2.post("/customers/ada/virtual_currencies/update_balance", {"adjustments": {"GLD": 50}}, status=200)
    assert (await balance(v2), await world.told("ada")) == (50, [])


async def test_the_same_idempotency_key_adjusts_once_and_answers_the_same(world: World, v2: Caller):
    await gold(v2)
    await world.customer("ada")
    path = v2.path("/customers/ada/virtual_currencies/transactions")

    async def send(amount: int, key: str | None) -> Any:
        headers = world.secret | ({"Idempotency-Key": key} if key else {})
        return await world.http.post(path, headers=headers, json={"adjustments": {"GLD": amount}})

    first = await send(10, "k1")
    await send(5, "k2")
    again = await send(10, "k1")
    assert (again.status_code, again.json()) == (200, first.json())
    assert await balance(v2) == 15
    other = await send(11, "k1")
    assert (other.status_code, other.json()["type"]) == (409, "idempotency_error")
    await asyncio.gather(*(send(1, None) for _ in range(5)))
    assert await balance(v2) == 20
    assert await adjustments(world) == [(10, "GLD"), (5, "GLD"), *[(1, "GLD")] * 5]


async def test_an_adjustment_is_known_when_the_kept_answers_are_gone(world: World, v2: Caller):
    await gold(v2)
    await world.customer("ada")
    path, headers = v2.path("/customers/ada/virtual_currencies/transactions"), world.secret | {"Idempotency-Key": "k1"}
    first = await world.http.post(path, headers=headers, json={"adjustments": {"GLD": 10}})
    await world.advance(days=3)
    async with world.app.database.transaction(world.project_id) as tx:
        await tx.execute("DELETE FROM idempotent_request")
    again = await world.http.post(path, headers=headers, json={"adjustments": {"GLD": 10}})
    assert (again.json(), await balance(v2)) == (first.json(), 10)
    other = await world.http.post(path, headers=world.secret | {"Idempotency-Key": "k1"}, json={"adjustments": {"GLD": 9}})
    assert (other.status_code, other.json()["type"]) == (409, "idempotency_error")


async def test_two_who_spend_at_once_do_not_spend_the_same(world: World, v2: Caller):
    await gold(v2)
    await world.customer("ada")
    path = v2.path("/customers/ada/virtual_currencies/transactions")
    await world.http.post(path, headers=world.secret, json={"adjustments": {"GLD": 10}})
    answers = await asyncio.gather(*(world.http.post(path, headers=world.secret, json={"adjustments": {"GLD": -4}}) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 422, 422, 422, 422]
    assert await balance(v2) == 2


async def test_balances_are_shown_where_there_are_any_and_all_where_asked(world: World, v2: Caller):
    await gold(v2)
    await gold(v2, code="SLV", name="Silver")
    await world.customer("ada")
    assert (await v2.get("/customers/ada/virtual_currencies"))["items"] == []
    everything = await v2.all("/customers/ada/virtual_currencies?include_empty_balances=true&limit=1")
    assert [(one["currency_code"], one["balance"]) for one in everything] == [("GLD", 0), ("SLV", 0)]
    path = "/customers/ada/virtual_currencies/transactions"
    assert (await v2.post(path, {"adjustments": {"GLD": 0}}))["items"] == []
    assert [one["balance"] for one in (await v2.post(path + "?include_empty_balances=true", {"adjustments": {"GLD": 0}}))["items"]] == [0]
    assert await world.told("ada") == [], "nothing moved, nothing is told"
    await v2.get("/customers/nobody/virtual_currencies", status=404)
    await v2.refused("POST", path, {"adjustments": {"ZZZ": 1}}, status=404, type="resource_missing", param="adjustments")
    await v2.refused("POST", path, {"adjustments": {}}, status=400, type="parameter_error", param="adjustments")


# The catalog ------------------------------------------------------------------------------------------------------------------


async def test_currencies_are_made_changed_and_deleted(world: World, v2: Caller):
    coins, month = await product(v2, "coins"), await product(v2, "pro_monthly")
    made = await v2.post(
        "/virtual_currencies",
        {"code": "GLD", "name": "Gold", "product_grants": [{"product_ids": [coins], "amount": 5, "trial_amount": None, "expire_at_cycle_end": None}]},
        status=201,
    )
    assert made == {
        "object": "virtual_currency",
        "project_id": world.project_id,
        "code": "GLD",
        "name": "Gold",
        "created_at": made["created_at"],
        "description": None,
        "product_grants": [
            {
                "object": "virtual_currency.product_grant",
                "product_ids": [coins],
                "amount": 5,
                "trial_amount": 0,
                "expire_at_cycle_end": False,
            }
        ],
    }
    check(made)
    check(await v2.get("/virtual_currencies"))
    assert await v2.get("/virtual_currencies/GLD") == made
    changed = await v2.post("/virtual_currencies/GLD", {"name": "Coins", "description": "Round"}, status=200)
    assert changed == made | {"name": "Coins", "description": "Round"}
    grants = [{"product_ids": [month, coins], "amount": 6, "trial_amount": 1, "expire_at_cycle_end": True}]
    changed = await v2.post("/virtual_currencies/GLD", {"description": None, "product_grants": grants}, status=200)
    assert (changed["description"], changed["product_grants"][0]["amount"]) == (None, 6)
    assert sorted((await v2.get("/virtual_currencies"))["items"][0]["product_grants"][0]["product_ids"]) == sorted([month, coins])
    await v2.refused("POST", "/virtual_currencies", {"code": "GLD", "name": "x"}, status=409, type="resource_already_exists", param="code")
    await world.buy("ada", "coins")
    deleted = await v2.ask("DELETE", "/virtual_currencies/GLD", status=200)
    assert (deleted["object"], deleted["id"]) == ("virtual_currency", "GLD")
    await v2.refused("GET", "/virtual_currencies/GLD", status=404, type="resource_missing", param="virtual_currency_code")
    assert (await v2.get("/customers/ada/virtual_currencies"))["items"] == []
    await v2.post("/virtual_currencies", {"code": "GLD", "name": "Gold again"}, status=201)
    assert await balance(v2) == 6, "the ledger forgets nothing"


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"name": "Gold"}, "code", "code is missing"),
        ({"code": "", "name": "Gold"}, "code", "code must have at least 1 character"),
        ({"code": "ELEVENCHARS", "name": "Gold"}, "code", "code must have at most 10 characters"),
        ({"code": "G-D", "name": "Gold"}, "code", "code is not as documented"),
        ({"code": "GLD", "name": "x" * 51}, "name", "name must have at most 50 characters"),
        ({"code": "GLD", "name": "Gold", "product_grants": [{"product_ids": [], "amount": 1}]}, "product_grants[0].product_ids", "product_grants[0]"),
        ({"code": "GLD", "name": "Gold", "product_grants": [{"product_ids": ["x"], "amount": 0}]}, "product_grants[0].amount", "product_grants[0]"),
        ({"code": "GLD", "name": "Gold", "product_grants": [{"product_ids": ["x", "x"], "amount": 1}]}, "product_grants", "product_grants names 'x'"),
    ],
)
async def test_a_currency_that_cannot_be_is_refused(v2: Caller, body: dict[str, Any], param: str, said: str):
    message = await v2.refused("POST", "/virtual_currencies", body, status=400, type="parameter_error", param=param)
    assert message.startswith(said)


async def test_a_project_has_at_most_a_hundred_currencies(v2: Caller, world: World):
    async with world.app.database.transaction(world.project_id) as tx:
        await tx.execute(
            """
            INSERT INTO virtual_currency (project_id, code, name, created_at)
            SELECT %(id)s, 'C' || number, 'x', %(now)s FROM generate_series(1, 99) AS number
            """,
            id=world.project_id,
            now=tx.now,
        )
    await v2.post("/virtual_currencies", {"code": "last", "name": "Last"}, status=201)
    await v2.refused("POST", "/virtual_currencies", {"code": "more", "name": "More"}, status=422, type="unprocessable_entity_error")


# SDKs -------------------------------------------------------------------------------------------------------------------------


async def test_sdks_see_every_currency_with_its_balance(world: World, v2: Caller):
    path = "/v1/subscribers/ada/virtual_currencies"
    assert (await world.http.get(path, headers=world.sdk())).json() == {"virtual_currencies": {}}
    await gold(v2, {"product_ids": [await product(v2, "coins")], "amount": 100})
    await v2.post("/virtual_currencies", {"code": "SLV", "name": "Silver"}, status=201)
    before = await world.http.get(path, headers=world.sdk())
    assert (before.status_code, before.json()["virtual_currencies"]["GLD"]["balance"]) == (200, 0)
    await world.buy("ada", "coins")
    answer = await world.http.get(path, headers=world.sdk(**{"X-Platform": "iOS", "X-Nonce": "bm9uY2Vub25jZTEy"}))
    assert answer.json() == {
        "virtual_currencies": {
            "GLD": {"balance": 100, "name": "Gold", "code": "GLD", "description": "Shiny"},
            "SLV": {"balance": 0, "name": "Silver", "code": "SLV"},
        }
    }
    assert "x-signature" in answer.headers
    assert (await world.http.get(path)).status_code == 401
    assert (await world.http.get("/v1/subscribers/null/virtual_currencies", headers=world.sdk())).json()["code"] == 7256


# The ledger beneath -----------------------------------------------------------------------------------------------------------


async def test_the_ledger_has_both_ends_of_everything(world: World, v2: Caller):
    await gold(v2, {"product_ids": [await product(v2, "pro_monthly")], "amount": 1000, "expire_at_cycle_end": True})
    await world.buy("ada", "pro_monthly")
    await v2.post("/customers/ada/virtual_currencies/transactions", {"adjustments": {"GLD": -300}}, status=200)
    await v2.post("/customers/ada/virtual_currencies/transactions", {"adjustments": {"GLD": 7}}, status=200)
    await world.advance(days=28)
    async with world.app.database.transaction(world.project_id) as tx:
        customer_id: CustomerId = (await customers.find(tx, ["ada"]))["ada"]
        held = await ledger.balance(tx, ["issued/GLD", "spent/GLD", "expired/GLD", f"wallet/{customer_id}/GLD"])
        lots = await ledger.under(tx, [f"wallet/{customer_id}/GLD/"])
    assert held == {
        "issued/GLD": {virtual("GLD"): -2007},
        "spent/GLD": {virtual("GLD"): 300},
        "expired/GLD": {virtual("GLD"): 700},
        f"wallet/{customer_id}/GLD": {virtual("GLD"): 7},
    }
    assert sorted(lot[virtual("GLD")] for lot in lots.values()) == [0, 1000]


async def test_purchases_are_booked_and_corrected(world: World):
    async def booked() -> dict[str, int]:
        accounts = ["customers/receivable", "revenue/app_store", "refunds/app_store", "sandbox/revenue/test_store", "revenue/test_store"]
        async with world.app.database.transaction(world.project_id) as tx:
            return {account: held[ledger.money("USD")] for account, held in (await ledger.balance(tx, accounts)).items()}

    await world.buy("eve", "pro_monthly")
    assert await booked() == {}, "the Test Store moves no money"
    await say(world, period())
    await say(world, period())
    assert await booked() == {"customers/receivable": -999, "revenue/app_store": 999}
    await say(world, period(as_of=START + DAY, revocation=Revocation(at=START + DAY, refunded=True)))
    assert await booked() == {"customers/receivable": 0, "revenue/app_store": 999, "refunds/app_store": -999}
    await say(world, period(as_of=START + 2 * DAY))
    assert await booked() == {"customers/receivable": -999, "revenue/app_store": 999, "refunds/app_store": 0}

"""A store's notification that overtakes the app's own post takes nothing: the purchase waits for its buyer, and is told as theirs.

Where an app tracks such purchases, what nobody has posted in a while is told as an anonymous customer's, and moved once to who posts it.
"""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from perennial import catalog, customers, invariants, subscriptions
from perennial.base.errors import Invalid
from perennial.base.value import replace
from perennial.catalog.model import TRACK_NEW_PURCHASES, ProductGrant
from perennial.providers.apple.signer import SigningAuthority
from perennial.subscriptions import UNCLAIMED_WAITS, Said
from perennial.subscriptions.model import Purchase, Statement
from tests.apple_messages import notification, transaction, trust
from tests.contract.v2_caller import Caller
from tests.flows.test_import import adas_months, import_export
from tests.moving import perennial, write
from tests.rules.lives import Life
from tests.world import START, World

ANONYMOUS = "$RCAnonymousID:"


@pytest.fixture
async def pen(world: World) -> SigningAuthority:
    made = SigningAuthority.create(START)
    await trust(world, made)
    return made


async def hear(world: World, pen: SigningAuthority, life: Life, since: int = 0, *, line: str = "7000", token: str | None = None) -> None:
    for message in life.messages[since:]:
        answer = await world.http.post(f"/hooks/app_store/{world.app_ids['app_store']}", content=notification(pen, message, line=line, token=token))
        assert answer.status_code == 200, answer.text
        await world.run_due()


async def post(world: World, pen: SigningAuthority, life: Life, who: str = "ada", *, line: str = "7000", **body: Any) -> dict[str, Any]:
    """As an SDK does after the purchase."""
    sent = {"app_user_id": who, "fetch_token": pen.sign(transaction(life.purchases[0], line=line)), **body}
    answer = await world.http.post("/v1/receipts", headers=world.sdk("app_store"), json=sent)
    assert answer.status_code == 200, answer.text
    subscriber: dict[str, Any] = answer.json()["subscriber"]
    return subscriber


def bought(days_ago: int = 10) -> Life:
    life = Life(clock=START - timedelta(days=days_ago), product="pro_monthly")
    life.subscribe()
    return life


async def whole(world: World) -> bool:
    return [one for one in await invariants.run(world.app.database, world.project_id) if one.level == "error"] == []


async def everyone(world: World) -> list[str]:
    return [item["id"] for item in (await Caller.of(world).get("/customers"))["items"]]


async def test_a_notification_that_overtakes_the_post_leaves_the_purchase_to_its_buyer(world: World, pen: SigningAuthority):
    life = bought()
    await hear(world, pen, life)
    await world.advance(hours=1)
    assert (await world.bodies(), await everyone(world), await whole(world)) == ([], [], True)
    shown = await post(world, pen, life, presented_offering_identifier="default")
    assert shown["original_app_user_id"] == "ada" and list(shown["entitlements"]) == ["pro"]
    (told,) = await world.bodies()
    assert {name: told[name] for name in ("type", "app_user_id", "original_app_user_id", "aliases", "presented_offering_id", "entitlement_ids")} == {
        "type": "INITIAL_PURCHASE",
        "app_user_id": "ada",
        "original_app_user_id": "ada",
        "aliases": ["ada"],
        "presented_offering_id": "default",
        "entitlement_ids": ["pro"],
    }
    assert told["perennial"]["sequence"] == 1
    life.cancel()
    await hear(world, pen, life, 1)
    assert [(body["type"], body["app_user_id"], body["perennial"]["sequence"]) for body in await world.bodies()] == [
        ("INITIAL_PURCHASE", "ada", 1),
        ("CANCELLATION", "ada", 2),
    ]
    assert (await everyone(world), await whole(world)) == (["ada"], True)


async def test_long_after_all_that_followed_is_told_in_order_too(world: World, pen: SigningAuthority):
    life = Life(clock=START - timedelta(days=100), product="pro_monthly")
    life.subscribe()
    life.renew()
    life.cancel()
    life.uncancel()
    life.renew()
    life.refund(life.purchases[1])
    await hear(world, pen, life)
    await world.advance(days=60)  # it ends in silence
    assert (await world.told(), await whole(world)) == ([], True)
    await post(world, pen, life, presented_offering_identifier="default")
    bodies = await world.bodies("ada")
    assert [body["type"] for body in bodies] == [
        "INITIAL_PURCHASE",
        "RENEWAL",
        "CANCELLATION",
        "UNCANCELLATION",
        "RENEWAL",
        "REFUND",
        "EXPIRATION",
    ]
    assert [body["perennial"]["sequence"] for body in bodies] == list(range(1, 8))
    assert {body["app_user_id"] for body in bodies} == {"ada"}
    assert {body["presented_offering_id"] for body in bodies} == {"default"}
    assert await whole(world)


STEPS = ("post", "bought", "cancelled", "renewed")


@pytest.mark.parametrize("order", [one for one in permutations(STEPS) if one.index("bought") < one.index("cancelled") < one.index("renewed")])
@pytest.mark.parametrize("setting", ["off", "on"])
async def test_wherever_the_post_comes_the_customer_access_and_events_are_the_same(
    world: World, pen: SigningAuthority, order: tuple[str, ...], setting: str
):
    await world.track(world.app_ids["app_store"], setting)
    life = Life(clock=START - timedelta(days=31), product="pro_monthly")
    life.subscribe()
    life.cancel()
    life.uncancel()
    life.renew()
    messages = {"bought": life.messages[:1], "cancelled": life.messages[1:2], "renewed": life.messages[2:]}
    for step in order:
        if step == "post":
            await post(world, pen, life, presented_offering_identifier="default")
        else:
            await hear(world, pen, replace_messages(life, messages[step]))
    bodies = await world.bodies()
    told = {(body["type"], body["id"], body["app_user_id"], body["presented_offering_id"]) for body in bodies}
    assert [body["type"] for body in bodies] == ["INITIAL_PURCHASE", "CANCELLATION", "UNCANCELLATION", "RENEWAL"]
    assert {(who, offering) for _, _, who, offering in told} == {("ada", "default")}
    assert [body["perennial"]["sequence"] for body in bodies] == [1, 2, 3, 4]
    assert (await world.entitled("ada", store="app_store"), await everyone(world), await whole(world)) == (["pro"], ["ada"], True)
    assert (await world.customer("ada", store="app_store"))["original_app_user_id"] == "ada"


def replace_messages(life: Life, messages: list[Statement]) -> Life:
    return Life(clock=life.clock, product=life.product, purchases=life.purchases, messages=messages)


# Tracking -----------------------------------------------------------------------------------------------------------------------


async def test_where_it_is_tracked_a_purchase_nobody_posts_is_told_after_a_while(world: World, pen: SigningAuthority):
    await world.track(world.app_ids["app_store"])
    life = bought()
    await hear(world, pen, life)
    await world.advance(seconds=UNCLAIMED_WAITS.total_seconds() - 1)
    assert await world.told() == []
    await world.advance(seconds=1)
    (told,) = await world.bodies()
    somebody = told["app_user_id"]
    assert somebody.startswith(ANONYMOUS) and told["aliases"] == [somebody] and told["perennial"]["sequence"] == 1
    assert (await everyone(world), await whole(world)) == ([somebody], True)
    assert await world.entitled(somebody, store="app_store") == ["pro"]

    life.cancel()
    await hear(world, pen, life, 1)
    await post(world, pen, life, presented_offering_identifier="default")
    life.uncancel()
    await hear(world, pen, life, 2)
    mine = [body for body in await world.bodies() if body.get("app_user_id") != somebody]
    assert [(body["type"], body["perennial"]["sequence"]) for body in mine] == [("TRANSFER", 1), ("UNCANCELLATION", 2)]
    assert (mine[0]["transferred_from"], mine[0]["transferred_to"]) == ([somebody], ["ada"])
    assert [(body["type"], body["perennial"]["sequence"]) for body in await world.bodies(somebody)] == [("INITIAL_PURCHASE", 1), ("CANCELLATION", 2)]
    ada = await world.customer("ada", store="app_store")
    assert (ada["original_app_user_id"], mine[1]["original_app_user_id"], mine[1]["aliases"]) == ("ada", "ada", ["ada"])
    assert await world.entitled("ada", store="app_store") == ["pro"]
    assert await world.entitled(somebody, store="app_store") == []
    await post(world, pen, life)
    await post(world, pen, life, who="ada")
    assert [body["type"] for body in await world.bodies()].count("TRANSFER") == 1
    assert await whole(world)


async def test_a_post_within_the_wait_is_told_at_once_and_moves_nothing(world: World, pen: SigningAuthority):
    await world.track(world.app_ids["app_store"])
    life = bought()
    await hear(world, pen, life)
    await world.advance(minutes=2)
    await post(world, pen, life)
    await world.advance(minutes=30)
    assert [(body["type"], body["app_user_id"]) for body in await world.bodies()] == [("INITIAL_PURCHASE", "ada")]


async def test_the_restore_behavior_protects_no_placeholder(world: World, pen: SigningAuthority):
    async with world.app.database.transaction(world.project_id) as tx:
        await tx.execute("UPDATE project SET restore_behavior = 'keep'")
    await world.track(world.app_ids["app_store"])
    life = bought()
    await hear(world, pen, life)
    await world.advance(minutes=5)
    await post(world, pen, life)
    assert await world.told() == ["INITIAL_PURCHASE", "TRANSFER"]
    refused = {"app_user_id": "bob", "fetch_token": pen.sign(transaction(life.purchases[0], line="7000"))}
    answer = await world.http.post("/v1/receipts", headers=world.sdk("app_store"), json=refused)
    assert (answer.status_code, answer.json()["code"]) == (409, 7102)


async def test_what_came_with_a_purchase_goes_with_it(world: World, pen: SigningAuthority):
    await world.track(world.app_ids["app_store"])
    async with world.app.database.transaction(world.project_id) as tx:
        products = [one.product_id for one in await catalog.get_products(tx, app_id=world.app_ids["app_store"])]
        await catalog.create_currency(tx, code="GLD", name="Gold", product_grants=[ProductGrant(product_ids=tuple(products), amount=10)])
    first, second = bought(days_ago=0), bought(days_ago=0)
    await world.advance(minutes=1)
    await hear(world, pen, first)
    await world.advance(minutes=5)
    await post(world, pen, first)
    await hear(world, pen, second, line="8000")
    await post(world, pen, second, line="8000")
    balances = await world.http.get("/v1/subscribers/ada/virtual_currencies", headers=world.sdk("app_store"))
    assert balances.json()["virtual_currencies"]["GLD"]["balance"] == 20
    assert sorted(await world.told()) == sorted(
        ["INITIAL_PURCHASE", "VIRTUAL_CURRENCY_TRANSACTION", "TRANSFER", "INITIAL_PURCHASE", "VIRTUAL_CURRENCY_TRANSACTION"]
    )
    assert await whole(world)


async def test_switched_on_later_what_waits_is_told_when_its_store_speaks_again(world: World, pen: SigningAuthority):
    life = bought()
    await hear(world, pen, life)
    await world.advance(days=1)
    await world.track(world.app_ids["app_store"])
    await world.advance(days=1)
    assert await world.told() == []
    life.cancel()
    await hear(world, pen, life, 1)
    assert await world.told() == ["INITIAL_PURCHASE", "CANCELLATION"]


async def test_switched_off_while_it_waits_it_stays_untold(world: World, pen: SigningAuthority):
    await world.track(world.app_ids["app_store"])
    life = bought()
    await hear(world, pen, life)
    await world.track(world.app_ids["app_store"], "off")
    await world.advance(days=1)
    assert (await world.told(), await whole(world)) == ([], True)
    await post(world, pen, life)
    assert await world.told() == ["INITIAL_PURCHASE"]


# Others who may claim it --------------------------------------------------------------------------------------------------------


async def test_a_hint_that_fits_a_customer_claims_it_whenever_it_is_heard(world: World, pen: SigningAuthority):
    token = "6f0d1c2e-8f5e-4a55-9d5e-0a1b2c3d4e5f"
    life = bought()
    await hear(world, pen, life, token=token)
    assert await world.told() == []
    await world.customer(token, store="app_store")
    life.cancel()
    await hear(world, pen, life, 1, token=token)
    assert [(body["type"], body["app_user_id"]) for body in await world.bodies()] == [("INITIAL_PURCHASE", token), ("CANCELLATION", token)]


async def test_a_person_may_say_whose_it_is(world: World, pen: SigningAuthority):
    life = bought()
    await hear(world, pen, life)
    await world.customer("ada")
    async with world.app.database.transaction(world.project_id) as tx:
        (line,) = await subscriptions.find(tx, [("app_store", "sandbox", "7000")])
        nobody = (await customers.load(tx, [line.customer_id]))[line.customer_id].app_user_id
    async with world.app.database.transaction(world.project_id) as tx:
        source = (await customers.get(tx, nobody)).customer_id
        await subscriptions.transfer(tx, source, (await customers.get(tx, "ada")).customer_id)
    assert [(body["type"], body["app_user_id"]) for body in await world.bodies()] == [("INITIAL_PURCHASE", "ada")]
    assert await whole(world)


async def test_who_logs_in_after_an_anonymous_post_keeps_numbers_apart(world: World, pen: SigningAuthority):
    anonymous = ANONYMOUS + "0" * 32
    await world.buy("ada", "coins")
    await world.buy("ada", "coins")
    life = bought()
    await hear(world, pen, life)
    await post(world, pen, life, who=anonymous)
    async with world.app.database.transaction(world.project_id) as tx:
        await subscriptions.join(tx, (await customers.get(tx, anonymous)).customer_id, (await customers.get(tx, "ada")).customer_id)
    life.cancel()
    await hear(world, pen, life, 1)
    assert ("CANCELLATION", 3) in [(body["type"], body["perennial"]["sequence"]) for body in await world.bodies("ada")]


async def test_numbers_go_on_behind_those_of_both_customers_that_became_one(world: World):
    anonymous = ANONYMOUS + "0" * 32
    for _ in range(3):
        await world.buy(anonymous, "coins")
    await world.buy("ada", "coins")
    async with world.app.database.transaction(world.project_id) as tx:
        await subscriptions.join(tx, (await customers.get(tx, anonymous)).customer_id, (await customers.get(tx, "ada")).customer_id)
    await world.buy("ada", "coins")
    assert max(body["perennial"]["sequence"] for body in await world.bodies("ada")) == 4


async def test_history_that_moves_in_claims_quietly_and_what_it_does_not_know_is_told(world: World, pen: SigningAuthority, tmp_path, monkeypatch):
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    async with world.app.database.transaction(world.project_id) as tx:
        app_id = world.app_ids["app_store"]
        for transaction_id, day in (("1002", 11), ("1003", 0)):  # the newest period of the export, and one after it
            moment = START - timedelta(days=day)
            purchase = Purchase(
                transaction=transaction_id,
                product="pro_monthly",
                kind="subscription",
                purchased_at=moment,
                expires_at=moment + timedelta(days=31),
                as_of=moment,
                is_first=False,
                is_renewal=True,
            )
            statement = Statement(store="app_store", environment="production", line="1000", purchases=(purchase,))
            await subscriptions.record(tx, [Said(app_id=app_id, statement=statement)])
    assert await world.told() == []
    await import_export(world, write(tmp_path / "full.csv", adas_months()))
    assert [(body["type"], body["transaction_id"], body["app_user_id"]) for body in await world.bodies()] == [("RENEWAL", "1003", "ada")]
    assert await world.entitled("ada", store="app_store") == ["pro"] and await whole(world)


async def test_two_keys_of_one_line_one_claimed_and_one_not(world: World):
    def said(token: str, order: str, day: int, *also: str) -> Statement:
        moment = START - timedelta(days=20 - day)
        purchase = Purchase(
            transaction=order,
            product="pro_monthly",
            kind="subscription",
            purchased_at=moment,
            expires_at=moment + timedelta(days=30),
            as_of=moment,
            is_first=not also,
            is_renewal=False,
        )
        return Statement(store="play_store", environment="production", line=token, purchases=(purchase,), also=also)

    async def record(statement: Statement, buyer: str | None = None) -> None:
        async with world.app.database.transaction(world.project_id) as tx:
            who = (await customers.ensure(tx, [buyer]))[0][buyer] if buyer else None
            await subscriptions.record(tx, [Said(app_id=world.app_ids["test_store"], statement=statement, buyer=who)])

    first, second, linked = said("A", "GPA.1", 0), said("C", "GPA.3", 10), said("B", "GPA.2", 5, "A")
    await record(first)  # older, and nobody's
    await world.advance(seconds=1)
    await record(second, "ada")
    await record(linked)
    assert await world.told() == ["INITIAL_PURCHASE"]
    await record(replace(second, also=("B",)))
    bodies = await world.bodies("ada")
    assert sorted(body["transaction_id"] for body in bodies if body["type"] != "PRODUCT_CHANGE") == ["GPA.1", "GPA.2", "GPA.3"]
    assert {body["app_user_id"] for body in bodies} == {"ada"}
    assert [line.store_line for line in await world.lines("ada")] == ["C"] and await whole(world)


# The setting --------------------------------------------------------------------------------------------------------------------


async def test_it_is_a_setting_of_every_store_that_notifies_by_command_line_and_api(world: World, tmp_path, monkeypatch):
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    app_id = world.app_ids["app_store"]
    await perennial("apps", "update", app_id, "--setting", f"{TRACK_NEW_PURCHASES}=on", "-p", world.project_id)
    v2 = Caller.of(world)
    assert (await v2.get(f"/apps/{app_id}"))["perennial"]["settings"] == {TRACK_NEW_PURCHASES: "on"}
    changed = await v2.post(f"/apps/{app_id}", {"perennial": {"settings": {TRACK_NEW_PURCHASES: "off"}}}, status=200)
    assert changed["perennial"]["settings"] == {TRACK_NEW_PURCHASES: "off"}
    await v2.refused(
        "POST", f"/apps/{app_id}", {"perennial": {"settings": {TRACK_NEW_PURCHASES: "yes"}}}, status=400, type="parameter_error", param="settings"
    )
    async with world.app.database.transaction(world.project_id) as tx:
        for store in ("play_store", "stripe", "amazon", "roku", "paddle", "mac_app_store"):
            app, _ = await catalog.create_app(
                tx, world.app.vault, name=store, store=store, bundle_id="com.example", settings={TRACK_NEW_PURCHASES: "on"}
            )
            assert await catalog.tracking_apps(tx, [app.app_id]) == {app.app_id}
        with pytest.raises(Invalid):
            await catalog.create_app(tx, world.app.vault, name="x", store="external", settings={TRACK_NEW_PURCHASES: "on"})

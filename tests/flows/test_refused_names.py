"""A store's fact is never refused for a name: what was bought is an anonymous customer's, the name is kept and shown, and a better one moves it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from perennial import catalog, customers, invariants, subscriptions
from perennial.providers.stripe import signature as stripe_signature
from perennial.subscriptions import Said
from perennial.subscriptions.model import Purchase, Statement
from tests.contract.v2_caller import Caller
from tests.flows.test_dashboard import Desk, desk  # noqa: F401  the fixture
from tests.flows.test_simulated_stripe import Shop, shop  # noqa: F401  the fixture
from tests.moving import exported, perennial, write
from tests.other_stores import PADDLE_SECRET, paddle_event, paddle_headers
from tests.rules.test_paddle_billing import subscription as paddle_subscription
from tests.rules.test_paddle_billing import transaction as paddle_transaction
from tests.stripe_objects import SECRET, event, invoice, session, subscription
from tests.world import START, World

ANONYMOUS = "$RCAnonymousID:"
IMPOSSIBLE = ["User/42", "undefined", "null", "x" * 101, "a\nb", "tab\t", "\x00", "   ", "\u3000", "a\x85"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def bought(name: str | None, line: str = "sub_1", *, days_ago: int = 1, hint: str | None = None) -> Statement:
    moment = START - timedelta(days=days_ago)
    purchase = Purchase(
        transaction=f"in_{line}",
        product="pro_monthly",
        kind="subscription",
        purchased_at=moment,
        expires_at=moment + timedelta(days=30),
        as_of=moment,
        is_first=True,
        is_renewal=False,
    )
    return Statement(store="stripe", environment="production", line=line, purchases=(purchase,), app_user_id=name, customer_hint=hint)


async def record(world: World, statement: Statement, buyer: str | None = None) -> None:
    async with world.app.database.transaction(world.project_id) as tx:
        who = (await customers.ensure(tx, [buyer]))[0][buyer] if buyer else None
        await subscriptions.record(tx, [Said(app_id=world.app_ids["test_store"], statement=statement, buyer=who)])


async def the_line(world: World, line: str = "sub_1", environment: str = "production", store: str = "stripe") -> tuple[subscriptions.Key, Any, str]:
    async with world.app.database.transaction(world.project_id) as tx:
        (found,) = await subscriptions.find(tx, [(store, environment, line)])
        owner = (await customers.load(tx, [found.customer_id]))[found.customer_id]
    return found.refused_name, found, owner.app_user_id


async def whole(world: World) -> bool:
    return [one for one in await invariants.run(world.app.database, world.project_id) if one.level == "error"] == []


@pytest.mark.parametrize("name", IMPOSSIBLE)
async def test_a_name_nobody_can_have_loses_no_purchase(world: World, name: str):
    await record(world, bought(name))
    kept, _, owner = await the_line(world)
    assert kept == name.replace("\x00", "\u2400") and owner.startswith(ANONYMOUS)
    (told,) = await world.bodies()
    assert (told["type"], told["app_user_id"], told["perennial"]["sequence"]) == ("INITIAL_PURCHASE", owner, 1)
    assert await world.entitled(owner) == ["pro"]
    await record(world, bought(name))
    await record(world, bought("ada"))
    assert (await the_line(world))[0] is None and await world.entitled("ada") == ["pro"]
    mine = await world.bodies("ada")
    assert [(body["type"], body.get("transferred_from"), body.get("transferred_to")) for body in mine] == [("TRANSFER", [owner], ["ada"])]
    await record(world, bought(name))  # the store repeats itself
    assert (await the_line(world))[::2] == (None, "ada") and await whole(world)


async def test_two_purchases_under_one_impossible_name_are_two_buyers(world: World):
    await record(world, bought("undefined", "sub_1"))
    await record(world, bought("undefined", "sub_2"))
    assert (await the_line(world))[2] != (await the_line(world, "sub_2"))[2]
    await record(world, bought("ada", "sub_1"))
    await record(world, bought("bob", "sub_2"))
    assert [len(await world.lines(who)) for who in ("ada", "bob")] == [1, 1]


async def test_a_blocked_name_is_kept_and_a_better_one_moves_it(world: World):
    await Caller.of(world).post("/customers/blocked_customers/hardcoded", status=200)
    await record(world, bought("hardcoded"))
    kept, _, owner = await the_line(world)
    assert kept == "hardcoded" and owner.startswith(ANONYMOUS)
    assert "was blocked" in await perennial("customer", "unclaimed", "-p", world.project_id)
    await record(world, bought(None), buyer="ada")
    assert (await the_line(world))[::2] == (None, "ada") and await world.entitled("ada") == ["pro"]


async def test_the_app_s_post_moves_it_and_the_offering_is_kept(world: World):
    await record(world, bought("User/42"))
    await record(world, bought(None), buyer="ada")
    assert (await the_line(world))[::2] == (None, "ada")
    assert await world.told() == ["INITIAL_PURCHASE", "TRANSFER"] or await world.told() == ["TRANSFER", "INITIAL_PURCHASE"]


@pytest.mark.parametrize("hint", ["\x00", "a/b", "x" * 5000, "\ud7ff\u0000", "undefined"])
async def test_a_hint_that_can_be_nobody_s_is_only_no_hint(world: World, hint: str):
    await record(world, bought(None, hint=hint))
    assert await world.told() == []
    await record(world, bought(None), buyer="ada")
    assert [(body["type"], body["app_user_id"]) for body in await world.bodies()] == [("INITIAL_PURCHASE", "ada")]


# Through the stores' doors ------------------------------------------------------------------------------------------------------


async def stripe_app(world: World) -> str:
    async with world.app.database.transaction(world.project_id) as tx:
        made, _ = await catalog.create_app(tx, world.app.vault, name="Stripe", store="stripe", secrets={"webhook_secret": SECRET})
    return made.app_id


async def stripe_says(world: World, app_id: str, body: bytes) -> None:
    signed = {stripe_signature.HEADER: stripe_signature.sign(body, secret=SECRET, now=await world.now())}
    answer = await world.http.post(f"/hooks/stripe/{app_id}", content=body, headers=signed)
    assert answer.status_code == 200, answer.text
    await world.run_due()


async def parked(world: World) -> list[str]:
    async with world.app.database.transaction(world.project_id) as tx:
        rows = await tx.fetch("SELECT outcome, digested_at FROM notification")
    return [row["outcome"] for row in rows if row["digested_at"] is None or not row["outcome"].startswith("recorded")]


@pytest.mark.parametrize("name", ["User/42", "undefined", "a\nb", "x" * 300])
async def test_stripe_s_metadata(world: World, name: str):
    app_id = await stripe_app(world)
    metadata = {"parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1", "metadata": {"app_user_id": name}}}}
    paid = event("invoice.paid", invoice(**metadata), id="evt_1")
    await stripe_says(world, app_id, paid)
    assert await parked(world) == []
    kept, line, owner = await the_line(world, environment="sandbox")
    assert (kept, owner.startswith(ANONYMOUS), len(line.held)) == (name, True, 1)
    v2 = Caller.of(world)
    shown = await v2.get(f"/subscriptions/{line.line_id}")
    assert shown["perennial"] == {"refused_customer_id": name} and shown["customer_id"] == owner
    better = subscription(metadata={"app_user_id": "user42"})
    await stripe_says(world, app_id, event("customer.subscription.updated", better, id="evt_2"))
    assert (await the_line(world, environment="sandbox"))[::2] == (None, "user42")
    assert "perennial" not in await v2.get(f"/subscriptions/{line.line_id}")


async def test_of_several_names_at_stripe_the_first_possible_one_counts(world: World):
    app_id = await stripe_app(world)
    linked = session(mode="subscription", subscription="sub_1", metadata={"app_user_id": "undefined"}, client_reference_id="ada")
    await stripe_says(world, app_id, event("checkout.session.completed", linked, id="evt_0"))
    kept, _, owner = await the_line(world, environment="sandbox")
    assert (kept, owner) == (None, "ada")


async def test_through_the_simulated_stripe_s_api(shop: Shop):  # noqa: F811
    bought = await shop.buy(app_user_id="User/42")
    assert await shop.open_questions() == []
    line = await shop.line(bought)
    assert line.refused_name == "User/42" and len(line.held) == 1
    assert await shop.world.told() == ["INITIAL_PURCHASE"]


@pytest.mark.parametrize("name", ["User/42", "none"])
async def test_paddle_s_custom_data(world: World, name: str):
    async with world.app.database.transaction(world.project_id) as tx:
        made, _ = await catalog.create_app(tx, world.app.vault, name="Paddle", store="paddle", secrets={"notification_secret": PADDLE_SECRET})
    now = await world.now()

    async def says(kind: str, data: Any, event_id: str) -> None:
        body = paddle_event(kind, data, now, event_id)
        answer = await world.http.post(f"/hooks/paddle/{made.app_id}", content=body, headers=paddle_headers(body, now))
        assert answer.status_code == 200, answer.text
        await world.run_due()

    await says("transaction.completed", paddle_transaction(custom_data={"app_user_id": name}), "evt_1")
    assert await parked(world) == []
    async with world.app.database.transaction(world.project_id) as tx:
        (row,) = await tx.fetch("SELECT line_id, refused_name FROM line")
    assert row["refused_name"] == name and await world.told() == ["INITIAL_PURCHASE"]
    await says("subscription.updated", paddle_subscription(custom_data={"app_user_id": "ada"}), "evt_2")
    assert [line.line_id for line in await world.lines("ada")] == [row["line_id"]]


# Moving in ----------------------------------------------------------------------------------------------------------------------


async def test_what_moves_in_under_an_impossible_name_moves_in(world: World, tmp_path: Path):
    rows = [
        exported(
            rc_original_app_user_id=name,
            rc_last_seen_app_user_id_alias=name,
            store_transaction_id=f"{number}",
            original_store_transaction_id=f"{number}",
        )
        for number, name in enumerate(("User/42", "User/42", "", "", "x" * 101, "ada"), 1)
    ]
    said = await perennial("import", "export", str(write(tmp_path / "full.csv", rows)), "-p", world.project_id, "--report", "report.csv")
    assert "6 rows imported" in said and "refused" not in said and "3 names no customer can have" in said
    owners = {number: (await the_line(world, str(number), store="app_store"))[::2] for number in range(1, 7)}
    assert owners[1] == owners[2] and owners[3][1] != owners[4][1] and owners[6] == (None, "ada")
    assert [owners[number][0] for number in range(1, 6)] == ["User/42", "User/42", "", "", "x" * 101]
    async with world.app.database.transaction(world.project_id) as tx:
        (line,) = await subscriptions.find(tx, [("app_store", "production", "1")])
        who = (await customers.ensure(tx, ["user42"]))[0]["user42"]
        statement = Statement(store="app_store", environment="production", line="1", purchases=tuple(held.purchase for held in line.held))
        await subscriptions.record(tx, [Said(app_id=world.app_ids["app_store"], statement=statement, buyer=who)])
    assert await world.entitled("user42", store="app_store") == ["pro"] and await whole(world)


# Shown --------------------------------------------------------------------------------------------------------------------------


async def test_people_are_shown_whose_name_was_refused(world: World):
    await record(world, bought("User/42"))
    await record(world, bought(None, "sub_2"))
    said = await perennial("customer", "unclaimed", "-p", world.project_id)
    assert "'User/42'" in said and "it holds a '/'" in said and "nobody has said who bought it since 2026-01-31" in said
    owner = (await the_line(world))[2]
    assert "your backend named 'User/42' as its buyer" in await perennial("customer", "show", owner, "-p", world.project_id)
    doctor = await perennial("doctor")
    assert "'User/42' in World" in doctor and "no app has posted yet" in doctor


async def test_the_customer_s_page_says_so(desk: Desk):  # noqa: F811
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        app = next(one for one in await catalog.get_apps(tx) if one.store == "test_store")
        await subscriptions.record(tx, [Said(app_id=app.app_id, statement=bought("<User/42>"))])
        (line,) = await subscriptions.find(tx, [("stripe", "production", "sub_1")])
        owner = (await customers.load(tx, [line.customer_id]))[line.customer_id].app_user_id
    page = (await desk.get(f"/customers/{owner}")).text
    assert "Your backend named &#39;&lt;User/42&gt;&#39; as its buyer" in page

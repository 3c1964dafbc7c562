"""A person asks to be forgotten: nothing says any more who they were, what they bought still adds up, and no store brings them back."""

from datetime import timedelta
from typing import Any

import pytest

from perennial import customers, invariants, subscriptions
from perennial.base.time import to_ms
from perennial.subscriptions import Said
from perennial.subscriptions.model import Purchase, Statement
from tests.contract.v2_caller import Caller
from tests.world import START, World

ADA = "ada.lovelace"
ANONYMOUS = "$RCAnonymousID:" + "e" * 32


async def everything(world: World) -> list[tuple[str, str]]:
    """Every row of the project, whatever its table, as text."""
    found = []
    async with world.app.database.transaction(world.project_id) as tx:
        tables = await tx.fetch(
            """
            SELECT c.table_name AS name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
            WHERE c.table_schema = 'public' AND c.column_name = 'project_id' AND t.table_type = 'BASE TABLE' ORDER BY 1
            """
        )
        for table in tables:
            rows = await tx.fetch(f"SELECT (t.*)::text AS row FROM {table['name']} t WHERE t.project_id = %(id)s", id=world.project_id)
            found += [(table["name"], row["row"]) for row in rows]
    return found


async def traces(world: World, *words: str) -> list[tuple[str, str]]:
    """Rows with any of these words in them, in plain text or within bytes."""
    spellings = [spelling for word in words for spelling in (word, word.encode().hex())]
    return [(table, row) for table, row in await everything(world) if any(spelling in row for spelling in spellings)]


async def live_a_life(world: World) -> None:
    """Everything a customer can leave behind."""
    v2 = Caller.of(world)
    app_headers = world.sdk(**{"X-Platform": "iOS", "X-Client-Version": "3.1"})
    await world.buy(ANONYMOUS, "pro_monthly", token="test_life")
    await world.http.post("/v1/subscribers/identify", headers=app_headers, json={"app_user_id": ANONYMOUS, "new_app_user_id": ADA})
    await world.http.get(f"/v1/subscribers/{ADA}", headers=app_headers)
    await v2.post(
        f"/customers/{ADA}/attributes", {"attributes": [{"name": "$email", "value": "ada@lovelace.example"}, {"name": "team", "value": "engine"}]}
    )
    await v2.post("/integrations/webhooks", {"name": "Hook", "url": "https://hook.example/ada-free"})
    await world.buy(ADA, "pro_lifetime", token="test_forgood")
    await v2.post("/customers", {"id": "bob"})
    await world.buy("bob", "coins", token="test_bob")
    await v2.post("/customers/bob/actions/transfer", {"target_customer_id": ADA}, status=200)
    await world.http.post(f"/v1/subscribers/{ADA}/entitlements/pro/promotional", headers=world.secret, json={"duration": "monthly"})
    offering = (await v2.get("/offerings"))["items"][0]["id"]
    await v2.post(f"/customers/{ADA}/actions/assign_offering", {"offering_id": offering}, status=200)
    event = {"type": "paywall_impression", "id": "5b1f0f4e-0000-4000-8000-000000000001", "app_user_id": ADA, "timestamp": to_ms(START)}
    await world.http.post("/v1/events", headers=app_headers, json={"events": [event]})
    await world.http.post(f"/v1/subscribers/{ADA}/attribution", headers=app_headers, json={"data": {"who": ADA}, "network": 1})
    await world.http.get(f"/v1/subscribers/{ADA}", headers=app_headers)


async def delete(world: World, who: str = ADA) -> dict[str, Any]:
    answer = await world.http.delete(f"/v1/subscribers/{who}", headers=world.secret)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_nothing_in_the_database_says_who_they_were(world: World):
    await live_a_life(world)
    left = {"alias", "attribute", "attribution", "audit", "customer", "customer_document", "event", "sdk_event"}
    assert {table for table, _ in await traces(world, ADA, ANONYMOUS, "lovelace")} >= left
    await delete(world)
    assert await traces(world, ADA, ANONYMOUS, "lovelace", "engine", "3.1") == []
    async with world.app.database.transaction(world.project_id) as tx:
        assert await invariants.check(tx, tx.now) == []


async def test_what_they_bought_stays_with_a_made_up_id_and_is_told_on(world: World):
    await live_a_life(world)
    before = [(body["type"], body.get("price"), body["id"]) for body in await world.bodies()]
    await delete(world)
    bodies = await world.bodies()
    assert [(body["type"], body.get("price"), body["id"]) for body in bodies] == before
    names = {body["app_user_id"] for body in bodies if "app_user_id" in body} - {"bob"}
    (pseudonym,) = names
    assert pseudonym.startswith("$RCAnonymousID:") and pseudonym != ANONYMOUS
    transfer = next(body for body in bodies if body["type"] == "TRANSFER")
    assert (transfer["transferred_from"], transfer["transferred_to"]) == (["bob"], [pseudonym])
    await world.advance(days=30)
    renewed = (await world.bodies())[-1]
    renewal = next(body for body in await world.bodies() if body["type"] == "RENEWAL")
    assert renewed is not None
    assert (renewal["app_user_id"], renewal["aliases"], renewal["subscriber_attributes"]) == (pseudonym, [pseudonym], {})
    assert await world.entitled(pseudonym) == ["pro"]
    assert await traces(world, ADA) == []


async def test_deleted_customers_are_not_listed_nor_found(world: World):
    await live_a_life(world)
    await delete(world)
    v2 = Caller.of(world)
    assert [one["id"] for one in (await v2.get("/customers"))["items"]] == ["bob"]
    for search in (ADA, "ada@lovelace.example"):
        assert (await v2.get("/customers", search=search))["items"] == []
    await v2.refused("GET", f"/customers/{ADA}", status=404, type="resource_missing", param="customer_id")


def stated(line: str, *, bought_days_ago: float, now: Any, is_renewal: bool = False, number: int = 0) -> Statement:
    """A store whose metadata goes on naming whom it was once told."""
    bought = now - timedelta(days=bought_days_ago)
    purchase = Purchase(
        transaction=f"{line}_{number}",
        product="pro_monthly",
        kind="subscription",
        purchased_at=bought,
        expires_at=bought + timedelta(days=30),
        as_of=now,
        is_first=number == 0,
        is_renewal=is_renewal,
    )
    return Statement(store="stripe", environment="production", line=line, purchases=(purchase,), app_user_id=ADA)


async def notified(world: World, statement: Statement) -> None:
    async with world.app.database.transaction(world.project_id) as tx:
        await subscriptions.record(tx, [Said(app_id=world.app_ids["rc_billing"], statement=statement)])


async def test_no_store_brings_them_back(world: World):
    now = await world.now()
    await notified(world, stated("sub_known", bought_days_ago=1, now=now))
    assert await world.entitled(ADA) == ["pro"]
    await delete(world)
    await notified(world, stated("sub_known", bought_days_ago=0, now=now, is_renewal=True, number=1))
    await notified(world, stated("sub_unknown", bought_days_ago=10, now=now))
    async with world.app.database.transaction(world.project_id) as tx:
        assert await customers.find(tx, [ADA]) == {}
        people = await tx.fetch("SELECT customer_id, original_app_user_id FROM customer")
    assert len(people) == 1
    assert await world.entitled(people[0]["original_app_user_id"]) == ["pro"]
    assert await traces(world, ADA) == []


async def test_who_comes_back_is_somebody_new_and_old_notifications_stay_with_the_pseudonym(world: World):
    now = await world.now()
    await notified(world, stated("sub_known", bought_days_ago=1, now=now))
    await delete(world)
    assert (await world.http.get(f"/v1/subscribers/{ADA}", headers=world.sdk())).status_code == 201
    await notified(world, stated("sub_known", bought_days_ago=0, now=now, is_renewal=True, number=1))
    assert await world.entitled(ADA) == []
    await world.advance(days=1)
    await notified(world, stated("sub_new", bought_days_ago=0.5, now=await world.now()))
    assert await world.entitled(ADA) == ["pro"], "what was bought since is theirs"
    assert len(await world.lines(ADA)) == 1


async def test_a_purchase_after_the_deletion_makes_a_new_customer(world: World):
    await world.buy(ADA, "coins")
    await delete(world)
    await world.advance(days=1)
    await notified(world, stated("sub_new", bought_days_ago=0.5, now=await world.now()))
    assert await world.entitled(ADA) == ["pro"]


async def test_they_themselves_may_restore_what_they_bought(world: World):
    await world.buy(ADA, "pro_monthly", token="test_life")
    await delete(world)
    assert await world.entitled(ADA) == []
    restored = await world.buy(ADA, "pro_monthly", token="test_life", is_restore=True)
    assert restored.status_code == 200
    assert await world.entitled(ADA) == ["pro"]
    assert (await world.customer(ADA))["original_app_user_id"] == ADA
    await delete(world)
    assert await world.entitled(ADA) == []
    assert (await delete(world))["deleted"] is True, "whoever came since is deleted like anybody"


async def test_any_of_their_ids_deletes_all_of_them(world: World):
    await live_a_life(world)
    answer = await Caller.of(world).ask("DELETE", f"/customers/{ANONYMOUS}", status=200)
    assert answer == {"object": "customer", "id": ANONYMOUS, "deleted_at": to_ms(START)}
    assert await traces(world, ADA, ANONYMOUS) == []


async def test_sightings_on_their_way_are_not_written_any_more(world: World):
    await world.buy(ADA, "coins")
    async with world.app.database.transaction(world.project_id) as tx:
        customer_id, seen_at = (await customers.get(tx, ADA)).customer_id, tx.now + timedelta(hours=1)
    await delete(world)
    sighting = customers.Sighting(project_id=world.project_id, customer_id=customer_id, seen_at=seen_at, country="GB")
    await customers.save_sightings(world.app.database, [sighting])
    async with world.app.database.transaction(world.project_id) as tx:
        assert (await customers.load(tx, [customer_id]))[customer_id].last_seen_country is None


# Blocking ---------------------------------------------------------------------------------------------------------------------


async def test_a_blocked_id_is_deleted_and_refused_until_it_is_unblocked(world: World):
    v2 = Caller.of(world)
    await world.buy("ada", "pro_monthly", token="test_one")
    assert await v2.post("/customers/blocked_customers/ada", status=200) == {}
    assert await v2.post("/customers/blocked_customers/ada", status=200) == {}
    assert await v2.get("/customers/blocked_customers") == {"object": "blocked_customer", "ada": {"updated_at_ms": to_ms(START)}}
    read = await world.http.get("/v1/subscribers/ada", headers=world.sdk())
    assert (read.status_code, read.json()["code"]) == (403, 7256)
    assert (await world.buy("ada", "pro_monthly", token="test_two")).status_code == 403
    attributes = await world.http.post("/v1/subscribers/ada/attributes", headers=world.sdk(), json={"attributes": {"a": {"value": "b"}}})
    assert attributes.status_code == 403
    for current in (ANONYMOUS, "bob"):
        await world.customer(current)
        login = await world.http.post("/v1/subscribers/identify", headers=world.sdk(), json={"app_user_id": current, "new_app_user_id": "ada"})
        assert login.status_code == 403
    await v2.refused("POST", "/customers", {"id": "ada"}, status=403, type="authorization_error", param="app_user_id")
    assert (await world.customer("bob"))["original_app_user_id"] == "bob", "others are not bothered"
    gone = await world.http.delete(v2.path("/customers/blocked_customers/ada"), headers=world.secret)
    assert (gone.status_code, gone.content) == (204, b"")
    assert await world.entitled("ada") == []
    assert (await world.buy("ada", "pro_monthly", token="test_one", is_restore=True)).status_code == 200
    assert await world.entitled("ada") == ["pro"]
    again = await world.http.delete(v2.path("/customers/blocked_customers/ada"), headers=world.secret)
    assert again.status_code == 404


async def test_an_id_may_be_blocked_before_anybody_has_it(world: World):
    v2 = Caller.of(world)
    await v2.post("/customers/blocked_customers/hardcoded", status=200)
    assert (await world.http.get("/v1/subscribers/hardcoded", headers=world.sdk())).status_code == 403
    await v2.refused("POST", "/customers/blocked_customers/null", status=400, type="parameter_error", param="customer_id")


async def test_what_a_store_says_of_a_blocked_id_is_nobody_s(world: World):
    await Caller.of(world).post(f"/customers/blocked_customers/{ADA}", status=200)
    now = await world.now()
    await notified(world, stated("sub_1", bought_days_ago=0, now=now))
    async with world.app.database.transaction(world.project_id) as tx:
        (owner,) = await tx.fetch("SELECT original_app_user_id FROM customer")
    assert owner["original_app_user_id"].startswith("$RCAnonymousID:")
    assert [body["type"] for body in await world.bodies()] == ["INITIAL_PURCHASE"]


@pytest.mark.parametrize("count", [3])
async def test_a_blocked_read_does_not_fail_its_neighbours(world: World, count: int):
    import asyncio

    await Caller.of(world).post("/customers/blocked_customers/ada", status=200)
    names = ["ada", *(f"person{number}" for number in range(count))]
    answers = await asyncio.gather(*(world.http.get(f"/v1/subscribers/{name}", headers=world.sdk()) for name in names))
    assert [answer.status_code for answer in answers] == [403, *[201] * count]

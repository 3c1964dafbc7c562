"""Every act of every simulated store, by the buttons of the demo's pages, and what was told because of it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest

from perennial import agenda, catalog, events, intake
from perennial.api.v2 import projects
from perennial.base.value import replace
from perennial.dashboard import acts, db
from perennial.demo import ensure_demo
from perennial.providers.simulated import app_store, play_store, stripe
from tests.flows.test_dashboard import Desk, acts_of, desk, text_of
from tests.flows.town import listening
from tests.world import World

__all__ = ["desk"]

Story = list[tuple[str, list[str]]]


@pytest.fixture
async def rehearsal(desk: Desk) -> AsyncIterator[Desk]:
    """A demo that is reached at an address, its simulated stores where they are mounted; its clock ticks, and nobody waits for webhooks."""
    app, app_ids = desk.app, desk.demo["app_ids"]
    async with listening(whole(desk.front)) as address:
        async with app.database.transaction(desk.demo["project_id"]) as tx:
            await play_store.opt_in(tx, app.vault, app_ids["play_store"], address)
            await stripe.opt_in(tx, app.vault, app_ids["stripe"], address)
            given = await app_store.credentials(tx, app.vault, app_ids["app_store"])
            await catalog.change_app(
                tx,
                app.vault,
                app_ids["app_store"],
                api_key_id=given.key_id,
                api_issuer=given.issuer,
                api_private_key=given.private_key,
                api_base_url=f"{address}/simulated/app_store/{app_ids['app_store']}",
            )
            await events.delete_endpoint(tx, desk.demo["webhook_endpoint_id"])
        yield desk


def whole(front: Any) -> Any:
    """The application with all that a server tells it of a request."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        said = {
            "http_version": "1.1",
            "scheme": "http",
            "root_path": "",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 4711),
            "extensions": {},
        }
        await front({**said, **scope, "path": unquote(scope["path"]), "raw_path": scope["path"].encode()}, receive, send)

    return serve


async def on_a_tenth(desk: Desk) -> None:
    """Stories begin where no month is too short for them."""
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        now = tx.now
    next_month = now.replace(day=1) + timedelta(days=32)
    await agenda.advance(desk.app, desk.demo["project_id"], next_month.replace(day=10))


APP_STORE: list[Story] = [
    [
        ("buy pro_monthly", ["INITIAL_PURCHASE"]),
        ("cancel", ["CANCELLATION unsubscribe"]),
        ("uncancel", ["UNCANCELLATION"]),
        ("upgrade:Pro, yearly", ["PRODUCT_CHANGE", "RENEWAL"]),
        ("downgrade:Pro, monthly", ["PRODUCT_CHANGE"]),
        ("revert_downgrade", []),
    ],
    [
        ("buy pro_annual", ["INITIAL_PURCHASE a trial"]),
        ("cancel", ["CANCELLATION unsubscribe"]),
        ("+month", ["EXPIRATION unsubscribe"]),
        ("resubscribe:Pro, monthly", ["RENEWAL the first that is paid"]),
        ("extend:7", ["SUBSCRIPTION_EXTENDED"]),
        ("extend:30", ["SUBSCRIPTION_EXTENDED"]),
    ],
    [
        ("buy pro_monthly", ["INITIAL_PURCHASE"]),
        ("raise_price:told", []),
        ("+month", ["RENEWAL"]),
        ("raise_price:asked", []),
        ("consent", []),
        ("+month", ["RENEWAL"]),
        ("raise_price:asked", []),
        ("+month", ["EXPIRATION price increase"]),
    ],
    [
        ("buy pro_monthly", ["INITIAL_PURCHASE"]),
        ("refund:half", ["CANCELLATION customer support, 5.00 USD given back", "EXPIRATION customer support"]),
        ("reverse_refund", ["REFUND_REVERSED"]),
        ("refund:all", ["CANCELLATION customer support, 9.99 USD given back", "EXPIRATION customer support"]),
    ],
    [
        ("buy pro_monthly", ["INITIAL_PURCHASE"]),
        ("fail_next_renewal:recovers", []),
        ("revert_failure", []),
        ("fail_next_renewal:recovers", []),
        ("+month", ["BILLING_ISSUE no grace", "CANCELLATION billing error", "EXPIRATION billing error"]),
        ("+day", []),
        ("+day", []),
        ("+day", ["RENEWAL"]),
        ("fail_next_renewal:recovers_in_grace", []),
        ("+month", ["BILLING_ISSUE grace until", "CANCELLATION billing error"]),
        ("+month", ["RENEWAL", "RENEWAL"]),
        ("fail_next_renewal:never", []),
        ("+month", ["BILLING_ISSUE no grace", "CANCELLATION billing error", "EXPIRATION billing error"]),
        ("+month", []),
    ],
]

PLAY_STORE: list[Story] = [
    [
        ("buy pro:monthly", ["INITIAL_PURCHASE"]),
        ("cancel", ["CANCELLATION unsubscribe"]),
        ("uncancel", ["UNCANCELLATION"]),
        ("cancel", ["CANCELLATION unsubscribe"]),
        ("restore", ["UNCANCELLATION"]),
        ("cancel", ["CANCELLATION unsubscribe"]),
        ("+month", ["EXPIRATION unsubscribe"]),
        ("resubscribe:Pro, yearly", ["RENEWAL"]),
    ],
    [
        ("buy pro:annual", ["INITIAL_PURCHASE a trial"]),
        ("upgrade:Pro, monthly", ["PRODUCT_CHANGE", "INITIAL_PURCHASE"]),
        ("downgrade:Pro, yearly", ["PRODUCT_CHANGE"]),
        ("+month", ["RENEWAL"]),
    ],
    [
        ("buy pro:monthly prepaid", ["INITIAL_PURCHASE prepaid"]),
        ("top_up", ["INITIAL_PURCHASE prepaid"]),
        ("+month", []),
        ("+month", ["EXPIRATION unsubscribe"]),
    ],
    [
        ("buy pro:monthly", ["INITIAL_PURCHASE"]),
        ("pause:1", ["SUBSCRIPTION_PAUSED until it is resumed"]),
        ("+month", ["EXPIRATION subscription paused"]),
        ("+month", ["RENEWAL"]),
        ("pause:2", ["SUBSCRIPTION_PAUSED until it is resumed"]),
        ("+month", ["EXPIRATION subscription paused"]),
        ("resume", ["RENEWAL"]),
        ("pause:3", ["SUBSCRIPTION_PAUSED until it is resumed"]),
    ],
    [
        ("buy pro:monthly", ["INITIAL_PURCHASE"]),
        ("fail_next_renewal:recovers_in_grace", []),
        ("revert_failure", []),
        ("fail_next_renewal:recovers_in_grace", []),
        ("+month", ["BILLING_ISSUE grace until", "CANCELLATION billing error"]),
        ("+month", ["RENEWAL", "RENEWAL"]),
        ("fail_next_renewal:never", []),
        ("+month", []),  # Google says nothing for a day
        ("cancel", ["EXPIRATION unsubscribe"]),
    ],
    [
        ("buy pro:monthly", ["INITIAL_PURCHASE"]),
        ("fail_next_renewal:recovers", []),
        ("+month", []),
        ("+day", ["SUBSCRIPTION_EXTENDED", "EXPIRATION billing error", "BILLING_ISSUE no grace", "CANCELLATION billing error"]),
        ("+day", []),
        ("+day", ["RENEWAL"]),
    ],
    [
        ("buy pro:monthly", ["INITIAL_PURCHASE"]),
        ("refund:money", []),  # Google tells nobody: it is seen with the renewal
        ("+month", ["CANCELLATION customer support, 9.99 USD given back", "RENEWAL"]),
        ("defer:7", ["SUBSCRIPTION_EXTENDED"]),
        ("defer:30", ["SUBSCRIPTION_EXTENDED"]),
        ("refund:revoke", ["CANCELLATION customer support, 9.99 USD given back", "EXPIRATION customer support"]),
    ],
    [("buy pro_lifetime", ["NON_RENEWING_PURCHASE"]), ("refund:revoke", ["CANCELLATION customer support, 149.99 USD given back"])],
]

STRIPE: list[Story] = [
    [
        ("buy prod_pro_annual", ["INITIAL_PURCHASE a trial"]),
        ("cancel", ["CANCELLATION unsubscribe"]),
        ("uncancel", ["UNCANCELLATION"]),
        ("cancel", ["CANCELLATION unsubscribe"]),
        ("+month", ["EXPIRATION unsubscribe"]),
    ],
    [
        ("buy prod_pro_monthly", ["INITIAL_PURCHASE"]),
        ("upgrade:Pro, yearly", ["PRODUCT_CHANGE", "RENEWAL"]),
        ("downgrade:Pro, monthly", ["PRODUCT_CHANGE"]),
        ("revert_downgrade", []),
        ("cancel_now", ["EXPIRATION unsubscribe"]),
    ],
    [
        ("buy prod_pro_monthly", ["INITIAL_PURCHASE"]),
        ("set_quantity:5", []),
        ("set_quantity:2", []),
        ("set_quantity:1", []),
        ("cancel_now", ["EXPIRATION unsubscribe"]),
    ],
    [
        ("buy prod_pro_monthly", ["INITIAL_PURCHASE"]),
        ("fail_next_renewal:recovers", []),
        ("revert_failure", []),
        ("fail_next_renewal:recovers", []),
        ("+month", []),
        ("+day", ["BILLING_ISSUE grace until", "CANCELLATION billing error"]),
        ("+month", ["RENEWAL", "RENEWAL"]),
        ("fail_next_renewal:never", []),
        ("+month", ["BILLING_ISSUE grace until", "CANCELLATION billing error"]),
        ("+month", ["EXPIRATION billing error"]),
    ],
    [
        ("buy prod_pro_monthly", ["INITIAL_PURCHASE"]),
        ("fail_next_renewal:unpaid", []),
        ("+month", []),
        ("+month", ["BILLING_ISSUE grace until", "CANCELLATION billing error", "EXPIRATION billing error"]),
        ("pay", ["RENEWAL"]),
        ("fail_next_renewal:past_due", []),
        ("+month", ["BILLING_ISSUE grace until", "CANCELLATION billing error", "EXPIRATION billing error"]),
        ("cancel_now", []),
    ],
    [
        ("buy prod_pro_monthly", ["INITIAL_PURCHASE"]),
        ("pause:void", ["SUBSCRIPTION_PAUSED until it is resumed"]),
        ("+month", ["EXPIRATION subscription paused"]),
        ("resume", ["RENEWAL"]),
        ("+month", []),
        ("+day", ["RENEWAL"]),
        ("pause:month", ["SUBSCRIPTION_PAUSED until"]),
        ("cancel_now", ["EXPIRATION unsubscribe"]),
    ],
    [
        ("buy prod_pro_monthly", ["INITIAL_PURCHASE"]),
        ("pause:keep_as_draft", []),
        ("+month", ["RENEWAL"]),
        ("resume", []),
        ("pause:mark_uncollectible", []),
    ],
    [
        ("buy prod_pro_monthly", ["INITIAL_PURCHASE"]),
        ("refund:half", ["REFUND 4.99 USD given back"]),
        ("refund:all", ["CANCELLATION customer support, 5.00 USD given back"]),
        ("fail_refund", ["REFUND_REVERSED"]),
    ],
    [
        ("buy prod_pro_lifetime", ["NON_RENEWING_PURCHASE"]),
        ("dispute", []),
        ("close_dispute:lost", ["CANCELLATION customer support, 149.99 USD given back"]),
    ],
    [("buy prod_pro_lifetime", ["NON_RENEWING_PURCHASE"]), ("dispute", []), ("close_dispute:won", [])],
]

STORIES = {"app_store": APP_STORE, "play_store": PLAY_STORE, "stripe": STRIPE}
TABLES = {"app_store": acts.of_app_store, "play_store": acts.of_play_store, "stripe": acts.of_stripe}


@pytest.mark.parametrize("store", STORIES)
async def test_lives_in_a_store_as_the_buttons_lead_them(rehearsal: Desk, store: str) -> None:
    for number, story in enumerate(STORIES[store]):
        await on_a_tenth(rehearsal)
        for place, (step, told) in enumerate(story):
            assert await rehearsal.play(f"user{number}", store, step) == told, f"step {place} of {story}"


@pytest.mark.parametrize("store", STORIES)
def test_every_button_is_pressed_in_every_way(store: str) -> None:
    pressed = {step for story in STORIES[store] for step, _ in story}
    for act in TABLES[store](()):
        ways = {f"{act.name}:{way.name}" if way.name else act.name for way in act.ways}
        assert ways <= pressed if ways else any(step.startswith(f"{act.name}:") for step in pressed), act.name


async def test_what_a_store_would_refuse_is_not_offered(rehearsal: Desk) -> None:
    """And refused where somebody asks for it all the same."""
    await rehearsal.play("ada", "play_store", "buy pro:monthly")
    shown = await rehearsal.get("/customers/ada")
    assert set(acts_of(shown)) == {"cancel", "upgrade", "downgrade", "pause", "fail_next_renewal", "refund", "defer"}
    assert list(acts_of(shown)["upgrade"].values()) == ["Pro, yearly"]
    path = shown.text.partition('action="/demo/lines/')[2].partition('"')[0]
    for fields, status, why in (
        ({"act": "top_up"}, 409, "only a prepaid plan is topped up"),
        ({"act": "pause", "pause": "12"}, 400, "pause must be one of 1, 2, 3"),
        ({"act": "pause"}, 400, "pause must be one of 1, 2, 3"),
        ({"act": "dispute"}, 400, "act must be one of cancel, uncancel, restore"),
    ):
        answer = await rehearsal.submit(f"/demo/lines/{path}", app_user_id="ada", **fields)
        assert (answer.status_code, why in text_of(answer)) == (status, True), text_of(answer)
    assert await rehearsal.told("ada") == ["INITIAL_PURCHASE"]


async def test_the_simulated_app_store_answers_where_it_is_mounted(rehearsal: Desk) -> None:
    await rehearsal.play("ada", "app_store", "buy pro_monthly")
    app, project_id, app_id = rehearsal.app, rehearsal.demo["project_id"], rehearsal.demo["app_ids"]["app_store"]
    async with app.database.transaction(project_id) as tx:
        since = tx.now - timedelta(days=1)
    caught = [state async for state in intake.catch_up(app.database, app.vault, app.providers, project_id, app_id, since, "sandbox")]
    assert caught[-1].told == 1


async def test_what_is_to_come_is_said_in_words(rehearsal: Desk) -> None:
    await rehearsal.play("ada", "play_store", "buy pro:monthly prepaid")
    assert "Google Play, sandbox: will not renew; ends" in text_of(await rehearsal.get("/customers/ada"))
    await rehearsal.play("bob", "stripe", "buy prod_pro_monthly")
    shown = text_of(await rehearsal.act("bob", "refund:half"))
    assert "Stripe, sandbox: renews" in shown
    assert "4.99 USD given back on" in shown
    shown = text_of(await rehearsal.act("bob", "pause:void"))
    assert "A pause begins when the period ends." in shown
    assert "subscription paused until it is resumed" in shown
    shown = text_of(await rehearsal.submit("/demo/clock", by="month", app_user_id="bob"))
    assert "Stripe, sandbox: paused since" in shown
    await rehearsal.play("eve", "play_store", "buy pro:monthly")
    assert "Changes to Pro, yearly with the next renewal." in text_of(await rehearsal.act("eve", "downgrade:Pro, yearly"))


async def test_what_was_granted_by_hand_is_shown_and_taken_back(desk: Desk) -> None:
    secret = {"Authorization": f"Bearer {desk.demo['secret_key']}"}
    answer = await desk.http.post("/v1/subscribers/ada/entitlements/pro/promotional", json={"duration": "monthly"}, headers=secret)
    assert answer.status_code == 201, answer.text
    shown = text_of(await desk.get("/customers/ada"))
    assert "By hand: granted by hand until" in shown
    assert "initial purchase granted by hand" in shown or "non renewing purchase granted by hand" in shown
    assert "pro until" in shown
    shown = text_of(await desk.act("ada", "revoke"))
    assert "No entitlement is active now." in shown
    assert "By hand: taken back" in shown
    assert acts_of(await desk.get("/customers/ada")) == {}


async def test_a_wallet_and_its_movements_are_shown(desk: Desk) -> None:
    project, secret = desk.demo["project_id"], {"Authorization": f"Bearer {desk.demo['secret_key']}"}
    made = await desk.http.post(f"/v2/projects/{project}/virtual_currencies", json={"code": "GLD", "name": "Gold"}, headers=secret)
    assert made.status_code == 201, made.text
    await desk.buy("ada", "pro_monthly", "test_store")
    path = f"/v2/projects/{project}/customers/ada/virtual_currencies/transactions"
    moved = await desk.http.post(path, json={"adjustments": {"GLD": 1200}}, headers=secret)
    assert moved.status_code == 200, moved.text
    shown = text_of(await desk.get("/customers/ada"))
    assert "Wallet GLD 1,200" in shown
    assert "virtual currency transaction +1200 GLD, by the project's server" in shown.replace("&#39;", "'")


async def test_who_was_deleted_is_not_listed(desk: Desk) -> None:
    await desk.buy("ada", "pro_monthly", "test_store")
    await desk.buy("bob", "pro_monthly", "test_store")
    answer = await desk.http.delete("/v1/subscribers/ada", headers={"Authorization": f"Bearer {desk.demo['secret_key']}"})
    assert answer.status_code == 200, answer.text
    for path in ("/", "/customers"):
        links = [one.partition('"')[0] for one in (await desk.get(path)).text.split('<a class="id" href="')[1:]]
        assert [link for link in links if link.startswith("/customers/")] == ["/customers/bob"]


async def test_what_is_parked_is_listed_and_tried_again(desk: Desk) -> None:
    """A webhook nobody took, and one thing of each kind that a store is in the way of."""
    assert "Parked" not in (await desk.get("/")).text.partition('id="parked"')[2].partition('id="received"')[0]
    await desk.buy("ada", "pro_monthly", "test_store")
    app_id = desk.demo["app_ids"]["play_store"]
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        kept = {"project_id": tx.project_id, "app_id": app_id, "now": tx.now}
        await tx.execute("UPDATE delivery SET wake_at = NULL, parked_at = %(now)s, last_error = 'it answered 500'", now=tx.now)
        await tx.execute(
            """
            INSERT INTO notification (project_id, app_id, message_id, kind, sent_at, body, received_at, last_error)
            VALUES (%(project_id)s, %(app_id)s, 'm1', 'test', %(now)s, '{}', %(now)s, 'it could not be read')
            """,
            **kept,
        )
        await tx.execute(
            """
            INSERT INTO inquiry (project_id, app_id, environment, subject, reason, last_error)
            VALUES (%(project_id)s, %(app_id)s, 'sandbox', 'play.1', 'to look', 'nobody answered')
            """,
            project_id=tx.project_id,
            app_id=app_id,
        )
        await tx.execute(
            """
            INSERT INTO store_act (project_id, app_id, act_id, kind, environment, subject, details, wanted_at, last_error)
            VALUES (%(project_id)s, %(app_id)s, 'act_1', 'cancel', 'sandbox', 'play.1', '{}', %(now)s, 'refused for good')
            """,
            **kept,
        )
    shown = text_of(await desk.get("/"))
    for what in (
        "A webhook initial purchase Demo receiver",
        "it answered 500",
        "A notification test Demo on Google Play",
        "it could not be read",
        "A question play.1 Demo on Google Play",
        "nobody answered",
        "An act at the store cancel play.1 Demo on Google Play",
        "refused for good",
    ):
        assert what in shown
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        parked = await db.parked(tx, 10)
    assert [one.kind for one in parked] == ["delivery", "inquiry", "notification", "store_act"]
    for one in parked:
        answer = await desk.submit("/demo/parked", kind=one.kind, place=one.place, key=one.key, environment=one.environment or "")
        assert answer.status_code == 200, text_of(answer)
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        assert await db.parked(tx, 10) == []
    again = await desk.submit("/demo/parked", kind="notification", place=app_id, key="m1")
    assert (again.status_code, "this is not parked any more" in text_of(again)) == (404, True)
    assert (await desk.submit("/demo/parked", kind="hope", place=app_id, key="m1")).status_code == 400


async def test_a_demo_of_an_earlier_version_gets_the_stores_it_lacks_and_everything_follows_the_port(desk: Desk) -> None:
    path, project_id = desk.app.settings.home / "demo.json", desk.demo["project_id"]
    for name in ("app_ids", "public_keys"):
        desk.demo[name] = {store: known for store, known in desk.demo[name].items() if store != "stripe"}
    path.write_bytes(msgspec.json.encode(desk.demo))
    moved = replace(desk.app, settings=replace(desk.app.settings, port=9999))
    demo = await ensure_demo(moved)
    assert demo["public_keys"] == desk.demo["public_keys"] | {"stripe": demo["public_keys"]["stripe"]}
    assert demo["public_keys"]["stripe"].startswith("strp_")
    assert demo["base_url"] == "http://127.0.0.1:9999"
    async with desk.app.database.transaction(project_id) as tx:
        apps = await intake.store_apps(tx, desk.app.vault)
        packages = await catalog.get_packages(tx)
        sold = await catalog.get_products(tx, app_id=demo["app_ids"]["stripe"])
    for store in ("play_store", "stripe"):
        app_id = demo["app_ids"][store]
        assert apps[app_id].api_base_url == f"http://127.0.0.1:9999/simulated/{store}/{app_id}"
    assert {one.store_identifier: one.entitlements for one in sold} == {
        f"prod_{name}": ("pro",) for name in ("pro_monthly", "pro_annual", "pro_lifetime")
    }
    in_packages = [one.product_id for package in packages for one in package.products]
    assert {one.store_identifier: in_packages.count(one.product_id) for one in sold} == {
        "prod_pro_monthly": 1,
        "prod_pro_annual": 2,
        "prod_pro_lifetime": 1,
    }
    assert await ensure_demo(moved) == demo


async def test_a_clock_moved_over_the_api_does_not_hold_its_caller_for_decades(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projects, "ADVANCED_WITHIN", 0.0)
    await world.buy("ada", "pro_monthly")
    before = await world.now()
    path = f"/v2/projects/{world.project_id}/clock/actions/advance"
    answer = await world.http.post(path, headers=world.secret, json={"days": 36_500})
    assert (answer.status_code, answer.json()["type"]) == (422, "unprocessable_entity_error")
    assert "ask again for the rest" in answer.json()["message"]
    assert before < await world.now() < before + timedelta(days=400)  # it stands where it got, and goes on from there

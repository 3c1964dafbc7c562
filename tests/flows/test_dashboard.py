"""The pages of the demo: what they show, what their forms do, and whom they refuse."""

import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from perennial import __version__, agenda, catalog, customers, events
from perennial.app import App
from perennial.base.value import replace
from perennial.customers.model import Attribute
from perennial.dashboard import rules
from perennial.dashboard.guard import shows_demo
from perennial.demo import ensure_demo
from tests.flows.test_names import NAMES
from tests.world import House, World

HERE = "http://127.0.0.1:8080"
PAGES = ("/", "/customers", "/customers/ada", "/dashboard/style.css")
FORMS = ("/demo/clock", "/demo/purchases", "/demo/lines/sub_1")


@dataclass
class Desk:
    """Somebody at the machine the demo runs on, with a browser."""

    app: App
    front: Any
    http: httpx.AsyncClient
    demo: dict[str, Any]

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(path, headers=headers)

    async def submit(self, path: str, **fields: str) -> httpx.Response:
        """As a form of ours does, and goes where it is sent."""
        answer = await self.http.post(path, data=fields, headers={"Origin": HERE})
        return await self.http.get(answer.headers["location"]) if answer.status_code == 303 else answer

    async def buy(self, app_user_id: str, product: str, store: str) -> httpx.Response:
        return await self.submit("/demo/purchases", app_user_id=app_user_id, product_id=await self.product(product, store))

    async def act(self, app_user_id: str, step: str) -> httpx.Response:
        """Presses a button of the newest line, which must be there: `cancel`, or in one of its ways, `refund:half`, `upgrade:Pro, yearly`."""
        shown = await self.get(f"/customers/{app_user_id}")
        name, _, way = step.partition(":")
        ways = acts_of(shown)
        assert name in ways, f"{name} is not offered, only {sorted(ways)}"
        named = {words: known for known, words in ways[name].items()} | {known: known for known in ways[name]}
        assert way in named, f"{name} is not offered so, only as {ways[name]}"
        return await self.submit(line_of(shown), app_user_id=app_user_id, act=name, **{name: named[way]})

    async def told(self, app_user_id: str) -> list[str]:
        """Types and what the page says of them, in order, without the dates."""
        async with self.app.database.transaction(self.demo["project_id"]) as tx:
            found = await customers.find(tx, [app_user_id])
            recorded = await events.latest_events(tx, await customers.merged_ids(tx, found[app_user_id]), limit=100)
            return [re.sub(r" \d+ \w{3} \d{4}", "", f"{one.type} {rules.told(one.body)}").strip() for one in recorded]

    async def play(self, app_user_id: str, store: str, step: str) -> list[str]:
        """A step of a story: `buy`, a step of the clock, or an act. What was told because of it."""
        before = await self.told(app_user_id) if step[:4] != "buy " else []
        if step.startswith("buy "):
            product, _, way = step[4:].partition(" ")
            key = f"{await self.product(product, store)} {way}".strip()
            answer = await self.submit("/demo/purchases", app_user_id=app_user_id, product_id=key)
        elif step.startswith("+"):
            answer = await self.submit("/demo/clock", by=step[1:], app_user_id=app_user_id)
        else:
            answer = await self.act(app_user_id, step)
        assert answer.status_code == 200, text_of(answer)
        told = await self.told(app_user_id)
        assert told[: len(before)] == before
        return told[len(before) :]

    async def product(self, identifier: str, store: str) -> str:
        answer = await self.http.get(
            f"/v2/projects/{self.demo['project_id']}/products?limit=100", headers={"Authorization": f"Bearer {self.demo['secret_key']}"}
        )
        items: list[dict[str, str]] = answer.json()["items"]
        return next(one["id"] for one in items if one["store_identifier"] == identifier and one["app_id"] == self.demo["app_ids"][store])

    async def stop_clock(self) -> datetime:
        """Tests are told the time."""
        async with self.app.database.transaction(self.demo["project_id"]) as tx:
            await catalog.set_clock(tx, tx.now, None)
            return tx.now

    async def tell(self, event: dict[str, Any], *, secret: str | None = None, at: datetime | None = None) -> httpx.Response:
        body = msgspec.json.encode({"api_version": "1.0", "event": event})
        sent_at = at or self.app.database.clock()
        signature = Webhook(secret or self.demo["webhook_secret"]).sign("msg_1", sent_at, body.decode())
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(sent_at.timestamp())), "webhook-signature": signature}
        return await self.http.post("/demo/webhooks", content=body, headers=headers)

    def client(self, *, peer: str = "127.0.0.1", base_url: str = HERE) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.front, client=(peer, 4711)), base_url=base_url)


@pytest.fixture
async def desk(empty_house: House) -> AsyncIterator[Desk]:
    made = Desk(app=empty_house.app, front=empty_house.front, http=httpx.AsyncClient(), demo=await ensure_demo(empty_house.app))
    async with made.client() as made.http:
        yield made


def text_of(answer: httpx.Response) -> str:
    """What a reader sees, on one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


def line_of(answer: httpx.Response) -> str:
    found = re.search(r'action="(/demo/lines/sub_\w+)"', answer.text)
    assert found is not None
    return found.group(1)


def acts_of(answer: httpx.Response) -> dict[str, dict[str, str]]:
    """The acts offered of the newest line, each with the names and words of its ways."""
    (form, *_) = re.findall(r'<form action="/demo/lines/.*?</form>', answer.text, re.DOTALL) or [""]
    ways: dict[str, dict[str, str]] = {name: {"": ""} for name in re.findall(r'name="act" value="(\w+)"', form)}
    for name, options in re.findall(r'<select [^>]*name="(\w+)">(.*?)</select>', form, re.DOTALL):
        ways[name] = {way: html.unescape(words) for way, words in re.findall(r'<option value="([^"]*)">([^<]*)<', options)}
    return ways


# What is running


async def test_the_first_page_says_what_runs_and_how_to_connect(desk: Desk):
    answer = await desk.get("/")
    assert answer.status_code == 200
    shown = text_of(answer)
    assert __version__ in shown
    assert "ticking" in shown
    for key in desk.demo["public_keys"].values():
        assert key in answer.text
    assert "proxyURL: &#34;http://127.0.0.1:8080&#34;, eventsURL: &#34;http://127.0.0.1:8080&#34;" in answer.text
    assert "Purchases.proxyURL = URL(&#34;http://10.0.2.2:8080&#34;)" in answer.text
    assert str(desk.app.settings.home / "demo.json") in shown


async def test_no_secret_is_on_any_page(desk: Desk):
    await desk.buy("ada", "pro_monthly", "app_store")
    for path in PAGES:
        answer = await desk.get(path)
        assert answer.status_code == 200
        assert desk.demo["secret_key"] not in answer.text
        assert desk.demo["webhook_secret"] not in answer.text
        assert "password" not in answer.text


async def test_pages_may_run_only_their_own_script(desk: Desk):
    answer = await desk.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?! src=)|\son\w+=|\sstyle=", answer.text)


async def test_the_database_is_named_without_its_password(desk: Desk):
    shown = text_of(await desk.get("/"))
    parts = urlsplit(desk.app.settings.require_database_url())
    assert f"{parts.path.lstrip('/')} on {parts.hostname}" in shown
    assert f":{parts.password}@" not in shown


# Buying, and the clock


async def test_a_purchase_in_the_test_store_lives_a_life_on_the_clock(desk: Desk):
    now = await desk.stop_clock()
    shown = text_of(await desk.buy("ada", "pro_monthly", "test_store"))
    assert "pro renews" in shown
    assert "Test Store, sandbox: renews" in shown
    assert "initial purchase" in shown

    answer = await desk.submit("/demo/clock", by="month", app_user_id="ada")
    assert answer.url.path == "/customers/ada"
    assert "The clock moved on" in text_of(answer)
    assert re.search(r"2 renewal .* 1 initial purchase", text_of(answer))

    shown = text_of(await desk.submit(line_of(answer), app_user_id="ada", act="cancel"))
    assert "will not renew; ends" in shown
    assert "cancellation unsubscribe" in shown

    shown = text_of(await desk.submit("/demo/clock", by="year", app_user_id="ada"))
    assert "No entitlement is active now." in shown
    assert "expiration unsubscribe" in shown
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        assert tx.now > now + timedelta(days=365 + 28)


async def test_a_simulated_purchase_is_refunded(desk: Desk):
    await desk.stop_clock()
    answer = await desk.buy("grace", "pro_lifetime", "app_store")
    assert "pro for good" in text_of(answer)
    shown = text_of(await desk.act("grace", "refund:all"))
    assert "App Store, sandbox: refunded" in shown
    assert "No entitlement is active now." in shown
    shown = text_of(await desk.act("grace", "reverse_refund"))
    assert "pro for good" in shown


async def test_a_refunded_plan_still_renews_until_it_is_cancelled(desk: Desk):
    await desk.stop_clock()
    await desk.buy("grace", "pro_monthly", "app_store")
    shown = text_of(await desk.act("grace", "refund:all"))
    assert re.search(r"App Store, sandbox: refunded, but still to renew; without access since \d+ \w{3} \d{4}", shown)
    shown = text_of(await desk.act("grace", "cancel"))
    assert "refunded, but" not in shown
    shown = text_of(await desk.submit("/demo/clock", by="month", app_user_id="grace"))
    assert "1 purchase" in shown
    assert "No entitlement is active now." in shown


async def test_a_renewal_that_fails_is_told_and_recovers(desk: Desk):
    await desk.stop_clock()
    await desk.buy("ada", "pro_monthly", "app_store")
    assert (await desk.act("ada", "fail_next_renewal:recovers_in_grace")).status_code == 200
    shown = text_of(await desk.submit("/demo/clock", by="month", app_user_id="ada"))
    assert "billing issue" in shown
    assert "could not be charged; access stays until" in shown
    for _ in range(6):
        answer = await desk.submit("/demo/clock", by="day", app_user_id="ada")
    assert "App Store, sandbox: renews" in text_of(answer)


async def test_an_annual_plan_begins_with_its_trial_and_can_be_cancelled_and_taken_up_again(desk: Desk):
    await desk.stop_clock()
    answer = await desk.buy("ada", "pro_annual", "app_store")
    assert "trial" in text_of(answer)
    path = line_of(answer)
    assert "Renew after all" in text_of(await desk.submit(path, app_user_id="ada", act="cancel"))
    assert "App Store, sandbox: renews" in text_of(await desk.submit(path, app_user_id="ada", act="uncancel"))


async def test_the_store_stands_in_each_choice(desk: Desk):
    answer = await desk.get("/")
    choices = re.findall(r"<option [^>]*>([^<]*)<", answer.text)
    assert "App Store: Pro, monthly, 9.99 USD" in choices
    assert "Google Play: Pro, yearly, 59.99 USD, prepaid" in choices
    assert "Stripe: Pro, monthly, 9.99 USD" in choices
    assert len(set(choices)) == len(choices)


async def test_two_apps_of_one_store_are_told_apart(desk: Desk):
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        other, _ = await catalog.create_app(tx, desk.app.vault, store="test_store", name="The other one")
        await catalog.create_product(tx, app_id=other.app_id, store_identifier="more", display_name="More", type="subscription", duration="P1M")
    choices = re.findall(r"<option [^>]*>([^<]*)<", (await desk.get("/customers")).text)
    assert "Test Store, The other one: More" in choices
    assert "Test Store, Demo in the Test Store: Pro, monthly, 9.99 USD" in choices


async def test_nothing_that_can_be_pressed_is_within_another(desk: Desk):
    """Screen readers and keyboards do not reach the inner one."""
    await desk.buy("ada", "pro_monthly", "test_store")
    await desk.tell({"type": "RENEWAL", "app_user_id": "ada", "product_id": "pro_monthly"})
    for path in ("/", "/customers", "/customers/ada"):
        answer = await desk.get(path)
        for outer in re.findall(r"<(summary|button|a)\b[^>]*>(.*?)</\1>", answer.text, re.DOTALL):
            assert re.search(r"<(a|button|input|select|summary)\b", outer[1]) is None, outer[1]
    assert 'href="/metrics"' not in (await desk.get("/")).text


async def test_what_cannot_be_is_said_on_the_page_and_nothing_happens(desk: Desk):
    await desk.stop_clock()
    answer = await desk.buy("ada", "pro_monthly", "app_store")
    path = line_of(answer)
    await desk.submit(path, app_user_id="ada", act="cancel")
    again = await desk.submit(path, app_user_id="ada", act="cancel")
    assert again.status_code == 409
    assert "auto-renew of the simulated subscription is off already" in text_of(again)

    for field in ({"by": "century"}, {"by": "century", "app_user_id": "ada"}):
        answer = await desk.submit("/demo/clock", **field)
        assert (answer.status_code, "by must be one of day, month, year" in text_of(answer)) == (400, True)
    assert (await desk.submit(path, app_user_id="ada", act="explode")).status_code == 400
    assert (await desk.submit("/demo/lines/sub_nothing", app_user_id="ada", act="cancel")).status_code == 404
    assert (await desk.submit("/demo/purchases", app_user_id="a/b", product_id="prod_1")).status_code == 400
    assert (await desk.submit("/demo/purchases", app_user_id="eve", product_id="prod_nothing")).status_code == 404
    web = await desk.submit("/demo/purchases", app_user_id="eve", product_id=await desk.product("pro_monthly", "rc_billing"))
    assert web.status_code == 400
    assert (await desk.get("/customers/eve")).status_code == 404


# Customers


async def test_customers_are_found_by_id_and_by_email(desk: Desk):
    await desk.buy("ada", "pro_monthly", "test_store")
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        who = await customers.get(tx, "ada")
        await customers.set_attributes(tx, who.customer_id, {"$email": Attribute(value="ada@example.com", updated_at=tx.now)})
    for search in ("ada", "ADA@example.com", "  ada "):
        answer = await desk.http.get("/customers", params={"search": search})
        assert (answer.status_code, answer.headers["location"]) == (303, "/customers/ada")
    assert "ada@example.com" in text_of(await desk.get("/customers/ada"))
    assert "Nobody here is “bob”" in text_of(await desk.http.get("/customers", params={"search": "bob"}))
    assert "ada" in text_of(await desk.get("/customers"))
    assert (await desk.get("/customers/bob")).status_code == 404


async def test_any_app_user_id_has_its_page_and_is_never_markup(desk: Desk):
    for name in ('<script>alert("x")<|script>', "$RCAnonymousID:" + "0" * 32, "Zoë & co?#%41", "..", "' OR 1=1 --", *NAMES[:7]):
        answer = await desk.buy(name, "pro_monthly", "test_store")
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        links = [html.unescape(link) for link in re.findall(r'href="(/customers[^"]+)"', (await desk.get("/")).text)]
        own = next(link for link in links if unquote(re.split("/customers/|search=", link)[1]) == name)
        assert f">{name}<" in html.unescape((await desk.get(own)).text)


async def test_an_attribute_is_never_markup(desk: Desk):
    await desk.buy("ada", "pro_monthly", "test_store")
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        who = await customers.get(tx, "ada")
        await customers.set_attributes(tx, who.customer_id, {"note": Attribute(value="<img src=x onerror=alert(1)>", updated_at=tx.now)})
    answer = await desk.get("/customers/ada")
    assert "<img src=x" not in answer.text
    assert "&lt;img src=x" in answer.text


async def test_each_event_says_how_far_its_delivery_got(desk: Desk):
    await desk.stop_clock()
    answer = await desk.buy("ada", "pro_monthly", "test_store")
    assert "waiting Demo receiver" in text_of(answer)
    await agenda.run_due(desk.app, desk.demo["project_id"])  # nobody listens on the demo's port here
    answer = await desk.get("/customers/ada")
    assert "retrying Demo receiver" in text_of(answer)
    assert "again in 5 minutes" in text_of(answer)


# The receiver


async def test_the_receiver_keeps_what_was_signed_for_it(desk: Desk):
    answer = await desk.tell({"type": "RENEWAL", "app_user_id": "<b>ada</b>", "product_id": "pro_monthly"})
    assert answer.status_code == 200
    answer = await desk.get("/")
    assert "renewal" in text_of(answer)
    assert "&lt;b&gt;ada&lt;/b&gt;" in answer.text
    assert "<b>ada</b>" not in answer.text


async def test_the_receiver_refuses_what_was_not(desk: Desk):
    event = {"type": "RENEWAL", "app_user_id": "mallory"}
    assert (await desk.tell(event, secret="whsec_" + "QUJD" * 8)).status_code == 401
    assert (await desk.tell(event, at=datetime(2020, 1, 1, tzinfo=UTC))).status_code == 401
    assert (await desk.http.post("/demo/webhooks", json=event)).status_code == 401
    for signature in ("", "v1", "v1,?", "v1,a,b", "\xff"):
        headers = {"webhook-id": "m", "webhook-timestamp": str(int(desk.app.database.clock().timestamp())), "webhook-signature": signature}
        raw = {name: text.encode("latin-1") for name, text in headers.items()}
        assert (await desk.http.post("/demo/webhooks", content=b"\xff{}", headers=raw)).status_code == 401
    assert "mallory" not in (await desk.get("/")).text


async def test_the_receiver_remembers_the_last_fifty(desk: Desk):
    for number in range(60):
        assert (await desk.tell({"type": "TEST", "app_user_id": f"user{number}"})).status_code == 200
    received = [one.app_user_id for one in desk.front._framework.state["received_webhooks"]]
    assert received == [f"user{number}" for number in range(59, 9, -1)]


# Whom they refuse


async def test_another_name_for_this_machine_is_refused(desk: Desk):
    for base_url in ("http://rebound.example:8080", "http://127.0.0.1.example", "http://192.168.1.5:8080", "http://localhost.:8080"):
        async with desk.client(base_url=base_url) as http:
            for path in PAGES:
                assert (await http.get(path)).status_code == 403


async def test_its_own_names_are_taken(desk: Desk):
    for base_url in ("http://localhost:8080", "http://[::1]:8080", "http://127.0.0.1"):
        async with desk.client(peer="::1", base_url=base_url) as http:
            assert (await http.get("/")).status_code == 200
            assert (await http.post("/demo/clock", data={"by": "day"}, headers={"Origin": base_url})).status_code == 303


async def test_another_machine_is_refused(desk: Desk):
    for peer in ("192.168.1.5", "10.0.0.1", "203.0.113.9", "::ffff:10.0.0.1", "fe80::1", "unknown"):
        async with desk.client(peer=peer) as http:
            for path in PAGES:
                assert (await http.get(path)).status_code == 403
            for path in FORMS:
                assert (await http.post(path, data={"by": "day"}, headers={"Origin": HERE})).status_code == 403
            assert (await http.post("/demo/webhooks", json={})).status_code == 403


async def test_a_proxy_does_not_make_the_world_local(desk: Desk):
    for header in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        assert (await desk.get("/", **{header: "203.0.113.9"})).status_code == 403


async def test_a_proxy_that_adds_nothing_is_told_by_how_it_asks(desk: Desk):
    """nginx as it comes: HTTP/1.0 from this machine, under the name of the address it was given."""

    async def through_a_proxy(scope: Any, receive: Any, send: Any) -> None:
        await desk.front(scope | {"http_version": "1.0"}, receive, send)

    async def from_outside(scope: Any, receive: Any, send: Any) -> None:
        await desk.front(scope | {"server": ("203.0.113.9", 8080)}, receive, send)

    for app in (through_a_proxy, from_outside):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app, client=("127.0.0.1", 4711)), base_url=HERE) as http:
            for path in PAGES:
                assert (await http.get(path)).status_code == 403


@pytest.mark.parametrize("changes", [{"host": "0.0.0.0"}, {"host": "::"}, {"host": "192.168.1.5"}, {"public_url": "https://billing.example.com"}])
async def test_a_server_that_others_reach_shows_no_demo(desk: Desk, changes: dict[str, Any]):
    settings = desk.app.settings
    assert shows_demo(settings)
    assert all(shows_demo(replace(settings, host=host)) for host in ("::1", "localhost", "127.0.0.2"))
    assert not shows_demo(replace(settings, **changes))
    assert not shows_demo(replace(settings, is_demo=False))


async def test_a_form_of_another_site_is_refused(desk: Desk):
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        before = tx.now
    fields = {"by": "year", "app_user_id": "eve", "product_id": await desk.product("pro_monthly", "test_store"), "act": "cancel"}
    refused: list[dict[str, str]] = [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://127.0.0.1:8080.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": HERE, "Sec-Fetch-Site": "cross-site"},
    ]
    for path in FORMS:
        for headers in refused:
            assert (await desk.http.post(path, data=fields, headers=headers)).status_code == 403
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        assert tx.now < before + timedelta(days=1)
    assert (await desk.get("/customers/eve")).status_code == 404


async def test_a_script_of_another_site_reads_nothing(desk: Desk):
    """Although the API answers every origin."""
    for path in PAGES:
        assert (await desk.get(path, Origin="https://evil.example")).status_code == 403
        assert (await desk.get(path, **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"})).status_code == 403
        assert (await desk.get(path, **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})).status_code == 403


async def test_a_link_on_another_site_leads_here(desk: Desk):
    assert (await desk.get("/", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})).status_code == 200


async def test_only_the_files_that_are_meant_are_served(desk: Desk):
    assert (await desk.get("/dashboard/script.js")).headers["content-type"].startswith("text/javascript")
    for name in ("pages.py", "..%2fpages.py", "../pages.py", "nothing"):
        assert (await desk.get(f"/dashboard/{name}")).status_code == 404


# Where it is no demo


async def test_without_the_demo_there_is_only_a_name(world: World):
    answer = await world.http.get("/")
    assert answer.status_code == 200
    assert answer.json() == {"name": "Perennial", "version": __version__, "docs": "/openapi/openapi.json"}
    for path in PAGES[1:]:
        assert (await world.http.get(path)).status_code == 404
    for path in (*FORMS, "/demo/webhooks"):
        assert (await world.http.post(path, data={"by": "day"}, headers={"Origin": "http://perennial.test"})).status_code == 404

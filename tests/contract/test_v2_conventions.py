"""What holds for every operation of v2 alike: who asks comes before what is sent, the headers of each answer, JSON alone, and how lists go on."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from perennial.asgi import open_front
from perennial.base.value import replace
from perennial.settings import RATE_LIMITS
from tests.contract.v2_caller import Caller
from tests.contract.v2_operations import BODIES, OPERATIONS, QUERIES, filled, ids_of
from tests.world import World

GARBAGE = b'{"name": '
JSON = {"Content-Type": "application/json"}
URL_SAFE = re.compile(r"[A-Za-z0-9\-._~:/?@!$&'()*+,;=%]+")


def request(name: str, method: str, path: str, ids: dict[str, str], **sent: Any) -> dict[str, Any]:
    return {"method": method, "url": filled(path, ids), "params": QUERIES.get(name), **sent}


async def test_who_asks_is_looked_at_before_what_is_sent(world: World) -> None:
    ids = await ids_of(world)
    for headers, status, type in (
        ({}, 401, "authentication_error"),
        ({"Authorization": "Bearer sk_wrong"}, 401, "authentication_error"),
        (world.sdk(), 403, "authorization_error"),
    ):
        for name, method, path in OPERATIONS:
            sent = {"content": GARBAGE} if name in BODIES else {}
            for said in (JSON, {"Content-Type": "text/plain"}):
                answer = await world.http.request(**request(name, method, path, ids, headers={**headers, **said}, **sent))
                assert (answer.status_code, answer.json()["type"]) == (status, type), name


async def test_a_body_is_said_to_be_json_and_is(world: World) -> None:
    ids = await ids_of(world)
    for name, method, path in OPERATIONS:
        for said in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
            if name in BODIES:
                body = httpx.Request(method, "http://x", json=filled(BODIES[name], ids)).content
                answer = await world.http.request(**request(name, method, path, ids, headers={**world.secret, **said}, content=body))
                assert (answer.status_code, answer.json()["type"]) == (400, "invalid_request"), name
        if name in BODIES:
            answer = await world.http.request(**request(name, method, path, ids, headers={**world.secret, **JSON}, content=GARBAGE))
            assert (answer.status_code, answer.json()["type"]) == (400, "parameter_error"), name
    spoken = {**world.secret, "Content-Type": "application/json; charset=utf-8"}
    made = await world.http.post(f"/v2/projects/{world.project_id}/customers", headers=spoken, content=b'{"id": "eve"}')
    assert made.status_code == 201


async def test_every_answer_has_an_id_of_its_own_and_says_how_often_was_asked(world: World) -> None:
    """Successes and refusals alike; the limit is that of the operation's domain, counted by key."""
    ids, seen, asked = await ids_of(world), set(), dict.fromkeys(RATE_LIMITS, 0)
    limits = {domain: 1000 + place for place, domain in enumerate(sorted(RATE_LIMITS))}
    app = replace(world.app, settings=replace(world.app.settings, rate_limits=limits))
    async with open_front(app) as front, httpx.AsyncClient(transport=httpx.ASGITransport(app=front), base_url="http://perennial.test") as http:
        for name, method, path in OPERATIONS:
            if method != "GET":
                continue  # the same guard, and they would change what there is
            for known in (ids, {**dict.fromkeys(ids, "nothing"), "project_id": world.project_id}):
                answer = await http.request(**request(name, method, path, known, headers=world.secret))
                assert answer.headers["content-type"] == "application/json", name
                assert answer.headers["x-request-id"] not in seen, name
                seen.add(answer.headers["x-request-id"])
                [domain] = [one for one, limit in limits.items() if str(limit) == answer.headers["revenuecat-rate-limit-current-limit"]]
                asked[domain] += 1
                assert answer.headers["revenuecat-rate-limit-current-usage"] == str(asked[domain]), name
                assert "retry-after" not in answer.headers, name
        unasked = await http.get("/v2/projects")
        assert (unasked.status_code, "revenuecat-rate-limit-current-usage" in unasked.headers) == (401, False)
        assert unasked.headers["x-request-id"] not in seen
    assert {domain for domain, count in asked.items() if count} >= {"customer_information", "project_configuration"}


async def test_every_list_goes_on_until_it_is_null(world: World) -> None:
    """`next_page` is an address as it is to be asked for, whatever ids are in it; the last page has null."""
    ids = await ids_of(world)
    for number in range(2):
        await fill(Caller.of(world), ids, number)
    paged = 0
    for name, method, path in OPERATIONS:
        answer = await world.http.request(**request(name, method, path, ids, headers=world.secret)) if method == "GET" else None
        if answer is None or answer.json().get("object") != "list":
            continue
        page = (
            await world.http.request(**request(name, method, path, ids, headers=world.secret) | {"params": {**QUERIES.get(name, {}), "limit": 1}})
        ).json()
        assert set(page) == {"object", "items", "next_page", "url"}, name
        items = list(page["items"])
        while page["next_page"] is not None:
            assert URL_SAFE.fullmatch(page["next_page"]), (name, page["next_page"])
            assert parse_qs(urlsplit(page["next_page"]).query)["limit"] == ["1"], name
            page = (await world.http.get(page["next_page"], headers=world.secret)).json()
            assert len(page["items"]) <= 1 and len(items) < 1000, name
            items += page["items"]
            paged += 1
        whole = answer.json()
        assert whole["next_page"] is None or len(whole["items"]) == 20, name
        if whole["next_page"] is None:
            assert items == whole["items"], name
    assert paged > 20


async def fill(v2: Caller, ids: dict[str, str], number: int) -> None:
    """One more of what lists show."""
    name = {"lookup_key": f"more {number}", "display_name": "More"}
    await v2.post("/customers", {"id": f"more?&#% {number}"})
    await v2.post("/apps", {"name": "More", "type": "test_store"})
    await v2.post("/products", {"store_identifier": f"more{number}", "app_id": ids["app_id"], "type": "consumable"})
    await v2.post("/entitlements", name)
    await v2.post("/offerings", name)
    await v2.post("/collaborators", {"email": f"more{number}@example.com", "role": "developer"})
    await v2.post(f"/customers/blocked_customers/more%20{number}")
    await v2.world.buy("ada", "coins")

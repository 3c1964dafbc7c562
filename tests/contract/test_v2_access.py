"""Keys with less than everything, limits, requests that are sent again, and who works on a project."""

import asyncio
from datetime import timedelta
from hashlib import sha256
from typing import Any

import httpx

from perennial import access
from perennial.access.model import CLAIM_LASTS
from perennial.asgi import open_front
from perennial.base.value import replace
from tests.contract.v2_caller import Caller
from tests.world import World

READ_PRODUCTS = "project_configuration:products:read"
KEYS = "project_configuration:api_keys:read_write"


async def limited(world: World, *permissions: str) -> Caller:
    made = await Caller.of(world).post("/api_keys", {"label": "Limited", "permissions": list(permissions)}, status=201)
    return Caller(world=world, headers={"Authorization": f"Bearer {made['key']}"})


# Keys -------------------------------------------------------------------------------------------------------------------------


async def test_a_key_is_shown_once_and_may_do_what_it_says(world: World) -> None:
    v2 = Caller.of(world)
    made = await v2.post("/api_keys", {"label": "Shop", "permissions": ["project_configuration:products:read_write", READ_PRODUCTS]}, status=201)
    secret = made.pop("key")
    assert secret.startswith("sk_")
    assert made == {
        "object": "api_key",
        "id": made["id"],
        "project_id": world.project_id,
        "label": "Shop",
        "type": "secret",
        "app_id": None,
        "permissions": ["project_configuration:products:read_write"],
        "created_at": made["created_at"],
        "revoked_at": None,
    }
    listed = await v2.all("/api_keys")
    assert next(one for one in listed if one["id"] == made["id"]) == {**made, "key": None}
    assert {one["key"] for one in listed if one["type"] == "public"} == set(world.keys.values())
    shop = Caller(world=world, headers={"Authorization": f"Bearer {secret}"})
    await shop.get("/products")
    message = await shop.refused("GET", "/customers", status=403, type="authorization_error")
    assert message == f"this needs the permission customer_information:customers:read, which the key {made['id']} does not have"
    await v2.ask("DELETE", f"/api_keys/{made['id']}")
    await shop.refused("GET", "/products", status=401, type="authentication_error")
    await v2.refused("DELETE", f"/api_keys/{made['id']}", status=404, type="resource_missing", param="key_id")


async def test_no_key_makes_a_mightier_one(world: World) -> None:
    maker = await limited(world, KEYS, READ_PRODUCTS)
    for more in (["project_configuration:products:read_write"], ["customer_information:customers:read"], ["project_configuration:read"]):
        await maker.refused("POST", "/api_keys", {"label": "More", "permissions": more}, status=403, type="authorization_error")
    alike = await maker.post("/api_keys", {"label": "Alike"}, status=201)
    assert alike["permissions"] == sorted([KEYS, READ_PRODUCTS])
    unknown = await maker.refused(
        "POST", "/api_keys", {"label": "X", "permissions": ["x:y:read"]}, status=400, type="parameter_error", param="permissions"
    )
    assert unknown.startswith("there is no permission 'x:y:read'")


async def test_a_project_made_by_a_key_is_within_its_permissions_too(world: World) -> None:
    maker = await limited(world, "project_configuration:projects:read_write")
    made = await maker.post("/v2/projects", {"name": "Mine"})
    await maker.get(f"/v2/projects/{made['id']}/clock")
    await maker.refused("GET", f"/v2/projects/{made['id']}/apps", status=403, type="authorization_error")
    assert [one["id"] for one in await maker.all("/v2/projects", limit=1)] == sorted([world.project_id, made["id"]])


# Collaborators ----------------------------------------------------------------------------------------------------------------


async def test_who_works_on_a_project(world: World) -> None:
    v2 = Caller.of(world)
    assert await v2.all("/collaborators") == []
    ada = await v2.post("/collaborators", {"email": "ada@example.com", "role": "owner", "name": "Ada"}, status=201)
    assert ada == {
        "object": "collaborator",
        "id": ada["id"],
        "name": "Ada",
        "email": "ada@example.com",
        "role": "owner",
        "accepted_at": ada["accepted_at"],
        "has_mfa": False,
    }
    grace = await v2.post("/collaborators", {"email": "grace@example.com", "role": "support"}, status=201)
    again = {"email": "ADA@example.com", "role": "support"}
    await v2.refused("POST", "/collaborators", again, status=409, type="resource_already_exists", param="email")
    await v2.refused("POST", "/collaborators", {"email": "nobody", "role": "owner"}, status=400, type="parameter_error", param="email")
    assert sorted(await v2.all("/collaborators", limit=1), key=lambda one: one["email"]) == [ada, grace]
    gone = await v2.ask("DELETE", f"/collaborators/{ada['id']}")
    assert (gone["object"], gone["id"]) == ("collaborator", ada["id"])
    assert await v2.all("/collaborators") == [grace]
    logged = {(one["action_type"], one["target_identifier"]) for one in await v2.all("/audit_logs")}
    assert logged == {("collaborator.add", ada["id"]), ("collaborator.add", grace["id"]), ("collaborator.remove", ada["id"])}


# Limits -----------------------------------------------------------------------------------------------------------------------


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(world: World) -> None:
    start = world.app.database.clock()
    world.app.database.clock = lambda: start
    other = await limited(world, READ_PRODUCTS)
    app = replace(world.app, settings=replace(world.app.settings, rate_limits={"project_configuration": 2}))
    async with open_front(app) as front, httpx.AsyncClient(transport=httpx.ASGITransport(app=front), base_url="http://perennial.test") as http:
        address = f"/v2/projects/{world.project_id}/products"
        usage = [(await http.get(address, headers=world.secret)).headers["revenuecat-rate-limit-current-usage"] for _ in range(2)]
        assert usage == ["1", "2"]
        refused = await http.get(address, headers=world.secret)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert (refused.headers["revenuecat-rate-limit-current-usage"], refused.headers["revenuecat-rate-limit-current-limit"]) == ("2", "2")
        error = refused.json()
        assert (error["type"], error["retryable"], error["backoff_ms"]) == ("rate_limit_error", True, 60_000)
        assert (await http.get(address, headers=other.headers)).status_code == 200
        elsewhere = await http.get(f"/v2/projects/{world.project_id}/customers", headers=world.secret)
        assert (elsewhere.status_code, "revenuecat-rate-limit-current-usage" in elsewhere.headers) == (200, False)
        world.app.database.clock = lambda: start + timedelta(seconds=60)
        assert (await http.get(address, headers=world.secret)).status_code == 200


# Sent again -------------------------------------------------------------------------------------------------------------------


async def send(world: World, path: str, body: Any, key: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return await world.http.post(
        path if path.startswith("/v2") else f"/v2/projects/{world.project_id}{path}",
        headers={**(headers or world.secret), "Idempotency-Key": key},
        json=body,
    )


async def entitlements(world: World) -> list[str]:
    return sorted(one["lookup_key"] for one in await Caller.of(world).all("/entitlements"))


async def kept(world: World) -> list[Any]:
    async with world.app.database.transaction(world.project_id) as tx:
        return [dict(row) for row in await tx.fetch("SELECT idempotency_key, status, body FROM idempotent_request ORDER BY 1")]


async def test_the_same_request_is_answered_again_and_another_is_refused(world: World) -> None:
    first = await send(world, "/entitlements", {"lookup_key": "gold", "display_name": "Gold"}, "once")
    again = await send(world, "/entitlements", {"lookup_key": "gold", "display_name": "Gold"}, "once")
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    for path, body in (
        ("/entitlements", {"lookup_key": "gold", "display_name": "Other"}),
        ("/offerings", {"lookup_key": "gold", "display_name": "Gold"}),
    ):
        other = await send(world, path, body, "once")
        assert (other.status_code, other.json()["type"], other.json()["retryable"]) == (409, "idempotency_error", False)
    by_another_key = await limited(world, "project_configuration:entitlements:read_write")
    assert (await send(world, "/entitlements", {"lookup_key": "gold", "display_name": "Gold"}, "once", by_another_key.headers)).status_code == 409
    assert await entitlements(world) == ["gold", "pro"]


async def test_a_refusal_is_not_kept(world: World) -> None:
    assert (await send(world, "/entitlements", {"lookup_key": "pro", "display_name": "Taken"}, "once")).status_code == 409
    assert (await send(world, "/entitlements", {"lookup_key": "gold"}, "once")).status_code == 400
    assert await kept(world) == []
    assert (await send(world, "/entitlements", {"lookup_key": "gold", "display_name": "Gold"}, "once")).status_code == 201


async def test_a_key_is_a_short_text(world: World) -> None:
    for wrong in ("", "x" * 256, "a\tb"):
        answer = await send(world, "/entitlements", {"lookup_key": "gold", "display_name": "Gold"}, wrong)
        assert (answer.status_code, answer.json()["param"]) == (400, "Idempotency-Key")


async def test_two_at_once_do_it_once(world: World) -> None:
    body = {"lookup_key": "gold", "display_name": "Gold"}
    answers = await asyncio.gather(*(send(world, "/entitlements", body, "once") for _ in range(4)))
    done = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 423}
    assert len({answer.content for answer in done}) == 1
    assert await entitlements(world) == ["gold", "pro"]


async def test_one_that_is_being_worked_on_is_locked(world: World) -> None:
    async with world.app.database.transaction(world.project_id) as tx:
        [secret] = await tx.fetch("SELECT key_id FROM api_key WHERE kind = 'secret'")
        assert await access.look_up(tx, secret["key_id"], "once", b"hash", world.app.database.clock()) is None
        answer = await send(world, "/entitlements", {"lookup_key": "gold", "display_name": "Gold"}, "once")
        assert (answer.status_code, answer.json()["type"], answer.json()["retryable"]) == (423, "resource_locked_error", True)
        assert answer.headers["retry-after"] == "1"
    assert (await send(world, "/entitlements", {"lookup_key": "gold", "display_name": "Gold"}, "once")).status_code == 201


async def test_effect_and_answer_are_committed_together_or_not_at_all(world: World) -> None:
    """A crash at every statement on the way: either nothing happened, or all of it and the answer is there."""
    body = {"lookup_key": "gold", "display_name": "Gold"}
    statements: list[str] = []
    world.app.database.before_statement = statements.append
    assert (await send(world, "/entitlements", {"lookup_key": "silver", "display_name": "Silver"}, "count")).status_code == 201
    for place in range(len(statements)):
        _crash_at(world, place)
        assert (await send(world, "/entitlements", body, "once")).status_code >= 500
        world.app.database.before_statement = None
        assert len(await kept(world)) == 1
        assert await entitlements(world) == ["pro", "silver"]
    assert (await send(world, "/entitlements", body, "once")).status_code == 201
    assert len(statements) >= 6


def _crash_at(world: World, place: int) -> None:
    count = iter(range(10_000))

    def crash(_: str) -> None:
        if next(count) == place:
            raise RuntimeError("the process died here")

    world.app.database.before_statement = crash


async def test_what_goes_outside_is_done_at_most_once(world: World) -> None:
    """Its key is claimed before its work begins. One whose worker died is neither answered nor done again."""
    first = await send(world, "/v2/projects", {"name": "Mine"}, "once")
    assert (await send(world, "/v2/projects", {"name": "Mine"}, "once")).content == first.content
    assert len(await Caller.of(world).all("/v2/projects")) == 2
    await _claim(world, "dead", "/v2/projects", b'{"name":"Lost"}')
    assert (await send(world, "/v2/projects", {"name": "Lost"}, "dead")).status_code == 423
    clock = world.app.database.clock()
    world.app.database.clock = lambda: clock + CLAIM_LASTS
    answer = await send(world, "/v2/projects", {"name": "Lost"}, "dead")
    assert (answer.status_code, answer.json()["type"]) == (409, "idempotency_error")
    assert len(await Caller.of(world).all("/v2/projects")) == 2


async def _claim(world: World, key: str, path: str, body: bytes) -> None:
    async with world.app.database.transaction(world.project_id) as tx:
        [secret] = await tx.fetch("SELECT key_id FROM api_key WHERE kind = 'secret'")
        await access.claim(tx, secret["key_id"], key, sha256(f"POST {path}?\n".encode() + body).digest(), world.app.database.clock())


async def test_a_refusal_of_what_goes_outside_frees_its_key(world: World) -> None:
    refused = await send(world, "/clock/actions/advance", {"to_ms": 0}, "once")
    assert refused.status_code == 400
    assert await kept(world) == []


async def test_answers_are_sealed_and_forgotten_after_a_day(world: World) -> None:
    made = await send(world, "/api_keys", {"label": "Once"}, "once")
    [row] = await kept(world)
    assert made.json()["key"].encode() not in row["body"]
    assert (await send(world, "/api_keys", {"label": "Once"}, "once")).json()["key"] == made.json()["key"]
    await world.advance(hours=23)
    assert len(await kept(world)) == 1
    await world.advance(hours=1)
    assert await kept(world) == []
    assert (await send(world, "/api_keys", {"label": "Once"}, "once")).json()["id"] != made.json()["id"]

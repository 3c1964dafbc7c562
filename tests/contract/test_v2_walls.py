"""Who may do what in v2: every operation there is, with no key, a public key, a stranger's key, and ids of another project."""

from typing import Any

from perennial import catalog
from tests.contract.v2_caller import Caller
from tests.contract.v2_operations import BODIES, OPERATIONS, QUERIES, filled, ids_of
from tests.world import World, make_world

# Lists, and what is made in one's own project: they name nothing of another's.
NAMES_NOTHING = {
    "list-blocked-customers",
    "block-customer",  # anybody's id may be blocked before they come
    "list-projects",
    "create-project",
    "list-apps",
    "create-app",
    "list-products",
    "list-entitlements",
    "create-entitlement",
    "list-offerings",
    "create-offering",
    "get-placements",
    "list-customers",
    "create-customer",
    "list-webhook-integrations",
    "create-webhook-integration",
    "list-integrations",
    "create-integration",
    "search-subscriptions",
    "search-purchases",
    "list-audit-logs",
    "list-events",
    "list-virtual-currencies",
    "create-virtual-currency",
    "get-customer-center",
    "put-customer-center",
    "list-support-tickets",
    "list-api-keys",
    "create-api-key",
    "list-collaborators",
    "add-collaborator",
    "get-clock",
    "advance-clock",
}


async def everything(world: World) -> list[Any]:
    caller = Caller.of(world)
    paths = (
        "/apps",
        "/products",
        "/entitlements?expand=items.product",
        "/offerings?expand=items.package.product",
        "/placements",
        "/customers",
        "/integrations/webhooks",
        "/integrations",
        "/events",
        "/clock",
        "/virtual_currencies",
        "/audit_logs",
    )
    return [await caller.get(path) for path in paths]


async def test_every_operation_stays_within_its_project(world: World) -> None:
    stranger = await make_world(world.app, world.http)
    theirs, ours = await ids_of(world), await ids_of(stranger)
    before = await everything(world)
    caller = Caller.of(stranger)
    await stranger.http.post("/v2/projects", headers=stranger.secret, json={"name": "Ours too"})
    for operation, method, path in OPERATIONS:
        body, query = BODIES.get(operation), QUERIES.get(operation, {})
        if "{project_id" in path:  # into their project, with our key
            await caller.refused(method, filled(path, theirs), filled(body, theirs), status=404, type="resource_missing", param="project_id", **query)
        mixed = {**theirs, "project_id": stranger.project_id, "customer_id": "only-theirs"}
        if operation not in NAMES_NOTHING:  # into ours, with the ids of what is theirs
            answer = await stranger.http.request(
                method, filled(path, mixed), headers=stranger.secret, params=query, **({} if body is None else {"json": filled(body, mixed)})
            )
            assert answer.status_code == 404, (operation, answer.status_code, answer.text)
            assert answer.json()["type"] == "resource_missing"
    assert await everything(world) == before
    assert set(ours.values()).isdisjoint(set(theirs.values()) - {"ada", "USD", "test_monthly"})


async def test_lists_show_nothing_of_a_strangers(world: World) -> None:
    stranger = await make_world(world.app, world.http)
    theirs = await ids_of(world)
    caller = Caller.of(stranger)
    for operation, method, path in OPERATIONS:
        if method == "GET" and operation in NAMES_NOTHING:
            answer = await caller.get(filled(path, {"project_id": stranger.project_id}), **QUERIES.get(operation, {}))
            for kind, known in theirs.items():
                assert kind in ("customer_id", "currency") or known not in str(answer), (operation, kind)
            assert "'ada'" not in str(answer), operation


async def test_every_operation_needs_a_secret_key(world: World) -> None:
    ids = await ids_of(world)
    before = await everything(world)
    nobody = Caller(world=world, headers={})
    unknown = Caller(world=world, headers={"Authorization": "Bearer sk_wrong"})
    public = Caller(world=world, headers=world.sdk())
    for operation, method, path in OPERATIONS:
        body, query = filled(BODIES.get(operation), ids), QUERIES.get(operation, {})
        for caller in (nobody, unknown):
            await caller.refused(method, filled(path, ids), body, status=401, type="authentication_error", **query)
        await public.refused(method, filled(path, ids), body, status=403, type="authorization_error", **query)
    assert await everything(world) == before


async def test_a_revoked_key_is_dead_at_once(world: World) -> None:
    caller = Caller.of(world)
    await caller.get("/apps")
    async with world.app.database.transaction(world.project_id) as tx:
        for key in await catalog.get_keys(tx):
            if key.kind == "secret":
                await catalog.revoke_key(tx, key.key_id)
    await caller.refused("GET", "/apps", status=401, type="authentication_error")

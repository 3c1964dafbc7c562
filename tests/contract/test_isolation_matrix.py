"""Who may do what, operation by operation, as our own OpenAPI lists them: an operation that is new, or declares no permission, is here at once."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from perennial import catalog
from perennial.access.model import PERMISSIONS
from perennial.asgi import make_framework
from tests.connect import SECRETS, SETTINGS, AppStoreConnect
from tests.contract.v2_caller import Caller
from tests.contract.v2_operations import BODIES, OPERATIONS, QUERIES, filled, ids_of
from tests.world import BUNDLE, House, World, make_world

GARBAGE = b'{"name": '
V1_NEEDS = ("customer_information:customers:read", "customer_information:customers:read_write")


@dataclass(frozen=True)
class Operation:
    name: str
    method: str
    path: str
    needs: tuple[str, ...]

    @property
    def takes_body(self) -> bool:
        return self.method in ("POST", "PUT", "PATCH")


def operations_in(document: dict[str, Any], prefix: str) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if path.startswith(prefix) and isinstance(operation, dict) and "operationId" in operation:
                yield Operation(operation["operationId"], method.upper(), path, tuple(operation.get("x-permission") or ()))


@dataclass
class Matrix:
    """A world, one of everything in it, and keys of every kind."""

    world: World
    ids: dict[str, str]
    v1: list[Operation]
    v2: list[Operation]
    connect: AppStoreConnect

    async def key(self, permissions: list[str] | None) -> dict[str, str]:
        async with self.world.app.database.transaction(self.world.project_id) as tx:
            _, secret = await catalog.create_secret_key(tx, "matrix", permissions=permissions)
        return {"Authorization": f"Bearer {secret}"}

    async def ask(self, operation: Operation, headers: dict[str, str], *, content: bytes | None = None, key: str | None = None) -> Any:
        ids = {**dict.fromkeys(re.findall(r"\{(\w+)\}", operation.path), "nothing"), **self.ids}
        sent: dict[str, Any] = {}
        if operation.takes_body:
            body = filled(SUCCEEDING.get(operation.name) or BODIES.get(operation.name, {}), ids)
            sent = {"content": content, "headers": {"Content-Type": "application/json"}} if content is not None else {"json": body}
        asked = {**headers, **sent.pop("headers", {}), **({"Idempotency-Key": key} if key else {})}
        return await self.world.http.request(operation.method, filled(operation.path, ids), headers=asked, params=QUERIES.get(operation.name), **sent)

    async def rows(self) -> dict[str, Any]:
        """Everything there is in the project, table by table."""
        return await rows_of(self.world)


async def rows_of(world: World) -> dict[str, Any]:
    async with world.app.database.transaction(world.project_id) as tx:
        tables = await tx.fetch(
            """
            SELECT c.relname AS name FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid
            WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1
            """
        )
        counted = "SELECT count(*) AS rows, md5(string_agg(t::text, '|' ORDER BY t::text)) AS content FROM {} t"
        return {one["name"]: tuple((await tx.fetch(counted.format(one["name"])))[0].values()) for one in tables}  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def document(house: House) -> dict[str, Any]:
    """Our OpenAPI, which is the same for every project."""
    return make_framework(house.app).openapi_schema.to_schema()


@pytest.fixture
async def matrix(world: World, document: dict[str, Any]) -> AsyncIterator[Matrix]:
    connect = AppStoreConnect()
    v2 = list(operations_in(document, "/v2/"))
    assert len(v2) > 80
    yield Matrix(world=world, ids=await ids_of(world), v1=list(operations_in(document, "/v1/")), v2=v2, connect=connect)
    connect.close()


async def test_every_operation_of_v2_declares_a_permission_that_exists(matrix: Matrix) -> None:
    undeclared = [one.name for one in matrix.v2 if not one.needs or not set(one.needs) <= set(PERMISSIONS)]
    assert undeclared == []
    assert {one.name for one in matrix.v2 if one.method == "GET" and any(need.endswith(":read_write") for need in one.needs)} == set()
    assert {one.name for one in matrix.v2 if one.method != "GET" and not any(need.endswith(":read_write") for need in one.needs)} == set()


async def test_without_a_key_nothing_is_looked_at(matrix: Matrix) -> None:
    """Not even whether the body is one: 401, where it would else be 400."""
    before = await matrix.rows()
    for headers in ({}, {"Authorization": "Bearer sk_wrong"}, {"Authorization": "Bearer atk_wrong"}):
        for operation in matrix.v2:
            answer = await matrix.ask(operation, headers, content=GARBAGE, key="matrix")
            assert (answer.status_code, answer.json()["type"]) == (401, "authentication_error"), (operation, answer.text)
    assert await matrix.rows() == before


async def test_keys_of_apps_manage_nothing(matrix: Matrix) -> None:
    before = await matrix.rows()
    for operation in matrix.v2:
        answer = await matrix.ask(operation, matrix.world.sdk(), content=GARBAGE, key="matrix")
        assert (answer.status_code, answer.json()["type"]) == (403, "authorization_error"), (operation, answer.text)
    assert await matrix.rows() == before


async def test_a_key_of_another_project_finds_nothing_and_changes_nothing(matrix: Matrix) -> None:
    stranger = await make_world(matrix.world.app, matrix.world.http)
    nowhere = Matrix(world=matrix.world, ids={**matrix.ids, "project_id": "proj_nowhere"}, v1=[], v2=[], connect=matrix.connect)
    before = await matrix.rows()
    for operation in matrix.v2:
        if "{project_id}" in operation.path:
            answer, of_nothing = await matrix.ask(operation, stranger.secret, key="matrix"), await nowhere.ask(operation, stranger.secret)
            assert (answer.status_code, answer.json()["type"]) == (404, "resource_missing"), (operation, answer.text)
            assert answer.text.replace(matrix.world.project_id, "proj_nowhere") == of_nothing.text, operation
    assert await matrix.rows() == before


async def test_each_permission_is_needed(matrix: Matrix) -> None:
    keys = {}
    for need in sorted({need for one in matrix.v2 for need in one.needs}):
        keys[need] = await matrix.key([one for one in PERMISSIONS if one not in (need, f"{need}_write")])
    before = await matrix.rows()
    for operation in matrix.v2:
        for need in operation.needs:
            answer = await matrix.ask(operation, keys[need], content=GARBAGE, key="matrix")
            assert (answer.status_code, answer.json()["type"]) == (403, "authorization_error"), (operation, answer.text)
            assert need in answer.json()["message"], operation
    assert await matrix.rows() == before


async def test_the_declared_permissions_suffice(matrix: Matrix) -> None:
    """And `read_write` includes `read`."""
    for operation in sorted(matrix.v2, key=lambda one: (one.method == "DELETE", one.name)):
        for needs in {operation.needs, tuple(need.removesuffix("_write") + "_write" for need in operation.needs)}:
            answer = await matrix.ask(operation, await matrix.key(list(needs)))
            assert answer.status_code not in (401, 403), (operation, needs, answer.text)
            assert answer.status_code < 500, (operation, answer.text)


# v1 ---------------------------------------------------------------------------------------------------------------------------

FOR_ALL = {"health", "health_report_availability", "post_config"}


async def test_v1_asks_for_the_key_before_the_body(matrix: Matrix) -> None:
    before = await matrix.rows()
    for operation in matrix.v1:
        if operation.name not in FOR_ALL:
            for headers in ({}, {"Authorization": "Bearer sk_wrong"}):
                answer = await matrix.ask(operation, headers, content=GARBAGE)
                assert answer.status_code == 401, (operation, answer.text)
    assert await matrix.rows() == before


async def test_v1_holds_secret_keys_to_their_permissions(matrix: Matrix) -> None:
    without = await matrix.key([one for one in PERMISSIONS if not one.startswith("customer_information:")])
    reader = await matrix.key(["customer_information:read"])
    before = await matrix.rows()
    for operation in matrix.v1:
        if operation.name in FOR_ALL:
            continue
        answer = await matrix.ask(operation, without, content=GARBAGE)
        assert (answer.status_code, answer.json()["code"]) == (403, 7225), (operation, answer.text)
        if operation.method != "GET":
            assert (await matrix.ask(operation, reader, content=GARBAGE)).status_code == 403, operation
    assert await matrix.rows() == before
    for operation in matrix.v1:
        if operation.name not in FOR_ALL and operation.method == "GET":  # which may make a customer nobody knew: so the contract has it
            assert (await matrix.ask(operation, reader)).status_code != 403, operation


async def test_v1_keeps_a_strangers_secret_key_in_its_own_project(matrix: Matrix) -> None:
    stranger = await make_world(matrix.world.app, matrix.world.http)
    before = await matrix.rows()
    for operation in matrix.v1:
        answer = await matrix.ask(operation, stranger.secret)
        assert answer.status_code < 500, (operation, answer.text)
        for known in (matrix.world.project_id, matrix.ids["subscription_id"]):
            assert known not in answer.text, operation
    assert await matrix.rows() == before


# Every write is audited, and answered again where it is asked again ------------------------------------------------------------

WRITES = [(name, method) for name, method, _ in OPERATIONS if method != "GET"]


@pytest.mark.parametrize(("name", "method"), WRITES)
async def test_every_write_is_in_the_audit_log_and_is_done_once(matrix: Matrix, name: str, method: str) -> None:
    operation = next(one for one in matrix.v2 if one.name == name and one.method == method)
    await prepare(matrix, name)
    before = await audited(matrix.world)
    answer = await matrix.ask(operation, matrix.world.secret, key="once" if method == "POST" else None)
    assert answer.is_success, f"give {name} a body in v2_operations.BODIES that succeeds: {answer.text}"
    assert await audited(matrix.world) > before, f"{name} leaves nothing in the audit log"
    if method == "POST":
        rows = await matrix.rows()
        again = await matrix.ask(operation, matrix.world.secret, key="once")
        assert (again.status_code, again.content) == (answer.status_code, answer.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert "idempotent-replayed" not in answer.headers
        assert await matrix.rows() == rows


SUCCEEDING: dict[str, Any] = {"transfer-customer-data": {"target_customer_id": "bob"}}  # where the common body is one that is refused


async def prepare(matrix: Matrix, name: str) -> None:
    """For those that cannot succeed on the one of everything: what is in use stays, and what is undone was done before."""
    v2 = Caller.of(matrix.world)
    match name:
        case "archive-offering" | "delete-offering":
            matrix.ids["offering_id"] = (await v2.post("/offerings", {"lookup_key": "spare", "display_name": "Spare"}))["id"]
        case "delete-product":
            spare = {"store_identifier": "spare", "app_id": matrix.ids["app_id"], "type": "consumable"}
            matrix.ids["product_id"] = (await v2.post("/products", spare))["id"]
        case "create-product-in-store":
            matrix.ids["product_id"] = await app_store_product(matrix.world, matrix.connect.address)
        case "delete-app":
            matrix.ids["app_id"] = (await v2.post("/apps", {"name": "Spare", "type": "test_store"}))["id"]
        case "unblock-customer":
            await v2.post("/customers/blocked_customers/ada")
        case "revoke-customer-granted-entitlement":
            await v2.post("/customers/ada/actions/grant_entitlement", filled(BODIES["grant-customer-entitlement"], matrix.ids))
        case "transfer-customer-data":
            await v2.post("/customers", {"id": "bob"})
        case "refund-subscription-transaction":
            listed = await v2.get(f"/subscriptions/{matrix.ids['subscription_id']}/transactions")
            matrix.ids["transaction_id"] = listed["items"][0]["id"]


async def app_store_product(world: World, address: str) -> str:
    async with world.app.database.transaction(world.project_id) as tx:
        app, _ = await catalog.create_app(
            tx, world.app.vault, name="iOS", store="app_store", bundle_id=BUNDLE, settings=SETTINGS, secrets=SECRETS, api_base_url=address
        )
        product = await catalog.create_product(tx, app_id=app.app_id, store_identifier="in_store", type="subscription")
    return product.product_id


async def audited(world: World) -> int:
    """In every project the key may enter: one that is made has its own log."""
    listed = await world.http.get("/v2/projects?limit=100", headers=world.secret)
    count = 0
    for project in listed.json()["items"]:
        async with world.app.database.transaction(project["id"]) as tx:
            count += await tx.fetch_value("SELECT count(*) FROM audit")
    return count

"""Every operation of the vendor's reference on a project's configuration is there: its address, status, permission, query and expansions."""

from typing import Any

import pytest

from perennial import catalog
from tests.contract.v2_caller import Caller
from tests.contract.v2_operations import filled, ids_of
from tests.world import World

# method path | permission (of project_configuration) | status | `list` where it is paged, query parameters, `+x` for what can be expanded
DOCUMENTED = """
GET    /projects                                                                   projects:read                200 list
POST   /projects                                                                   projects:read_write          200
GET    /projects/{project_id}/apps                                                 apps:read                    200 list
POST   /projects/{project_id}/apps                                                 apps:read_write              201
GET    /projects/{project_id}/apps/{app_id}                                        apps:read                    200
POST   /projects/{project_id}/apps/{app_id}                                        apps:read_write              200
DELETE /projects/{project_id}/apps/{app_id}                                        apps:read_write              200
GET    /projects/{project_id}/apps/{app_id}/public_api_keys                        apps:read                    200
GET    /projects/{project_id}/apps/{app_id}/store_kit_config                       apps:read                    200
GET    /projects/{project_id}/audit_logs                                           audit_logs:read              200 list start_date end_date
GET    /projects/{project_id}/products                                             products:read                200 list app_id +items.app
POST   /projects/{project_id}/products                                             products:read_write          201
GET    /projects/{project_id}/products/{product_id}                                products:read                200 +app
POST   /projects/{project_id}/products/{product_id}                                products:read_write          200
DELETE /projects/{project_id}/products/{product_id}                                products:read_write          200
POST   /projects/{project_id}/products/{product_id}/create_in_store                products:read_write          201
POST   /projects/{project_id}/products/{product_id}/actions/archive                products:read_write          200
POST   /projects/{project_id}/products/{product_id}/actions/unarchive              products:read_write          200
GET    /projects/{project_id}/products/{product_id}/prices                         products:read                200
POST   /projects/{project_id}/products/{product_id}/prices                         products:read_write          201
PATCH  /projects/{project_id}/products/{product_id}/prices/{currency}              products:read_write          200
POST   /projects/{project_id}/products/{product_id}/test_store_prices              products:read_write          201
GET    /projects/{project_id}/entitlements                                         entitlements:read            200 list +items.product
POST   /projects/{project_id}/entitlements                                         entitlements:read_write      201
GET    /projects/{project_id}/entitlements/{entitlement_id}                        entitlements:read            200 +product
POST   /projects/{project_id}/entitlements/{entitlement_id}                        entitlements:read_write      200
DELETE /projects/{project_id}/entitlements/{entitlement_id}                        entitlements:read_write      200
GET    /projects/{project_id}/entitlements/{entitlement_id}/products               entitlements:read            200 list
POST   /projects/{project_id}/entitlements/{entitlement_id}/actions/archive        entitlements:read_write      200
POST   /projects/{project_id}/entitlements/{entitlement_id}/actions/unarchive      entitlements:read_write      200
POST   /projects/{project_id}/entitlements/{entitlement_id}/actions/attach_products entitlements:read_write     200
POST   /projects/{project_id}/entitlements/{entitlement_id}/actions/detach_products entitlements:read_write     200
GET    /projects/{project_id}/offerings                                            offerings:read               200 list +items.package.product
POST   /projects/{project_id}/offerings                                            offerings:read_write         201
GET    /projects/{project_id}/offerings/{offering_id}                              offerings:read               200 +package +package.product
POST   /projects/{project_id}/offerings/{offering_id}                              offerings:read_write         200
DELETE /projects/{project_id}/offerings/{offering_id}                              offerings:read_write         200
POST   /projects/{project_id}/offerings/{offering_id}/actions/archive              offerings:read_write         200
POST   /projects/{project_id}/offerings/{offering_id}/actions/unarchive            offerings:read_write         200
GET    /projects/{project_id}/offerings/{offering_id}/packages                     packages:read                200 list +items.product
POST   /projects/{project_id}/offerings/{offering_id}/packages                     packages:read_write          201
GET    /projects/{project_id}/packages/{package_id}                                packages:read                200 +product
POST   /projects/{project_id}/packages/{package_id}                                packages:read_write          200
DELETE /projects/{project_id}/packages/{package_id}                                packages:read_write          200
GET    /projects/{project_id}/packages/{package_id}/products                       packages:read                200 list
POST   /projects/{project_id}/packages/{package_id}/actions/attach_products        packages:read_write          200
POST   /projects/{project_id}/packages/{package_id}/actions/detach_products        packages:read_write          200
GET    /projects/{project_id}/integrations/webhooks                                integrations:read            200 list
POST   /projects/{project_id}/integrations/webhooks                                integrations:read_write      201
GET    /projects/{project_id}/integrations/webhooks/{webhook_integration_id}       integrations:read            200
POST   /projects/{project_id}/integrations/webhooks/{webhook_integration_id}       integrations:read_write      200
DELETE /projects/{project_id}/integrations/webhooks/{webhook_integration_id}       integrations:read_write      200
"""
# What is put in shows under this name, and needs this permission.
EXPANDED = {"app": ("app", "apps:read"), "product": ("products", "products:read"), "package": ("packages", "packages:read")}


def documented() -> list[tuple[str, str, str, int, list[str]]]:
    rows = [line.split() for line in DOCUMENTED.strip().splitlines()]
    return [(row[0], row[1], f"project_configuration:{row[2]}", int(row[3]), row[4:]) for row in rows]


async def test_every_documented_operation_is_there(world: World) -> None:
    paths = (await world.http.get("/openapi/openapi.json")).json()["paths"]
    for method, path, permission, status, query in documented():
        operation = paths["/v2" + path][method.lower()]
        assert operation["x-permission"] == [permission], path
        assert [code for code in operation["responses"] if code < "300"] == [str(status)], path
        wanted = {name for name in query if not name.startswith("+") and name != "list"}
        wanted |= {"limit", "starting_after"} if "list" in query else set()
        wanted |= {"expand"} if any(name.startswith("+") for name in query) else set()
        taken = {one["name"]: one for one in operation.get("parameters", []) if one["in"] == "query"}
        assert wanted <= set(taken), (path, wanted - set(taken))
        assert not any(one.get("required") for one in taken.values()), path
        if "list" in query:
            assert taken["limit"]["schema"]["default"] == 20, path


@pytest.mark.parametrize(
    ("path", "expand"), [(path, name[1:]) for method, path, _, _, query in documented() for name in query if name.startswith("+")]
)
async def test_what_can_be_expanded_is_put_in(world: World, path: str, expand: str) -> None:
    v2, ids = Caller.of(world), await ids_of(world)
    address = filled("/v2" + path, ids)
    bare, full = await v2.get(address), await v2.get(address, expand=expand)
    for step in [one for one in expand.split(".") if one != "items"]:
        name, permission = EXPANDED[step]
        bare, full = first(bare), first(full)
        assert bare is None or name not in bare, "only where it is asked for"
        bare, full = None, full[name]
    assert first(full) is not None, "there is one to be shown"
    await needs(world, address, expand, permission)
    message = await v2.refused("GET", address, status=400, type="parameter_error", param="expand", expand="nothing.such")
    assert "cannot be expanded here" in message


async def needs(world: World, address: str, expand: str, permission: str) -> None:
    """A key that may read everything else gets the bare answer, and not what it may not read."""
    others = {row[2] for row in documented() if row[2].endswith(":read")} - {f"project_configuration:{permission}"}
    async with world.app.database.transaction(world.project_id) as tx:
        _, key = await catalog.create_secret_key(tx, "a narrow one", permissions=sorted(others))
    narrow = Caller(world=world, headers={"Authorization": f"Bearer {key}"})
    await narrow.get(address)
    message = await narrow.refused("GET", address, status=403, type="authorization_error", expand=expand)
    assert f"project_configuration:{permission}" in message


def first(thing: Any) -> Any:
    """Itself, or the first of a list."""
    return thing["items"][0] if thing is not None and thing.get("object") == "list" else thing

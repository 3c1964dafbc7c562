"""Every operation of v2, taken from the router itself so that none can be forgotten, with a body and a query that it takes."""

import re
from typing import Any

from litestar.routes import HTTPRoute

from perennial.api import v2
from tests.contract.v2_caller import Caller
from tests.world import World

BODIES: dict[str, Any] = {
    "create-project": {"name": "Mine"},
    "create-app": {"name": "App", "type": "test_store"},
    "update-app": {"name": "Taken"},
    "create-product": {"store_identifier": "x", "app_id": "{app_id}", "type": "consumable"},
    "update-product": {"display_name": "Taken"},
    "create-prices": {"prices": [{"currency": "JPY", "amount_micros": 1_000_000}]},
    "create-product-prices": {"prices": [{"currency": "GBP", "amount_micros": 1_000_000}]},
    "update-product-price": {"amount_micros": 1_000_000},
    "create-entitlement": {"lookup_key": "x", "display_name": "X"},
    "update-entitlement": {"display_name": "Taken"},
    "attach-products-to-entitlement": {"product_ids": ["{product_id}"]},
    "detach-products-from-entitlement": {"product_ids": ["{product_id}"]},
    "create-offering": {"lookup_key": "x", "display_name": "X"},
    "update-offering": {"display_name": "Taken", "is_current": False},
    "create-packages": {"lookup_key": "x", "display_name": "X"},
    "update-package": {"display_name": "Taken"},
    "attach-products-to-package": {"products": [{"product_id": "{product_id}"}]},
    "detach-products-from-package": {"product_ids": ["{product_id}"]},
    "put-placements": {"fallback_offering_id": "{offering_id}"},
    "create-customer": {"id": "eve"},
    "authenticate-app-customer": {"app_user_id": "eve"},
    "set-customer-attributes": {"attributes": [{"name": "team", "value": "taken"}]},
    "create-webhook-integration": {"name": "Hook", "url": "https://example.com/stolen"},
    "update-webhook-integration": {"url": "https://example.com/stolen"},
    "rotate-webhook-signing-secret": {"keep_former": False},
    "replay-webhook-integration": {"since_ms": 0},
    "create-integration": {"kind": "segment", "name": "Segment", "secrets": {"write_key": "stolen"}},
    "update-integration": {"name": "Taken"},
    "replay-integration": {"since_ms": 0},
    "advance-clock": {"days": 1},
    "create-api-key": {"label": "Stolen", "permissions": ["project_configuration:api_keys:read_write"]},
    "add-collaborator": {"email": "eve@example.com", "role": "admin"},
}
BODIES |= {
    "create-virtual-currency": {"code": "GLD", "name": "Gold"},
    "update-virtual-currency": {"name": "Taken"},
    "create-virtual-currencies-transaction": {"adjustments": {"{virtual_currency_code}": 1}},
    "update-virtual-currencies-balance": {"adjustments": {"{virtual_currency_code}": 1}},
    "put-customer-center": {
        "screens": {"MANAGEMENT": {"type": "MANAGEMENT", "title": "Taken"}, "NO_ACTIVE": {"type": "NO_ACTIVE", "title": "Taken"}},
        "support": {"support_tickets": {"allow_creation": True, "customer_type": "all"}},
    },
    "issue-redemption-link": {"url_scheme": "rc-app"},
}
BODIES |= {
    "transfer-customer-data": {"target_customer_id": "{customer_id}"},
    "grant-customer-entitlement": {"entitlement_id": "{entitlement_id}", "expires_at": 4_102_444_800_000},
    "revoke-customer-granted-entitlement": {"entitlement_id": "{entitlement_id}"},
    "assign-customer-offering": {"offering_id": "{offering_id}"},
}
BODIES["create-product-in-store"] = {"store_information": {"duration": "ONE_MONTH", "subscription_group_name": "Pro"}}
BODIES["put-ad-rewards"] = {"rewards": [{"reward_item": "coins", "currency_code": "{virtual_currency_code}", "amount": 5}]}
QUERIES: dict[str, dict[str, Any]] = {
    "search-subscriptions": {"store_subscription_identifier": "test_monthly"},
    "search-purchases": {"store_purchase_identifier": "test_for_good"},
}


def operations() -> list[tuple[str, str, str]]:
    """(operation, method, path)"""
    return sorted(
        (str(handler.operation_id), str(method), route.path)
        for route in v2.router.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
        if method != "OPTIONS"
    )


OPERATIONS = operations()


def filled(template: Any, ids: dict[str, str]) -> Any:
    if isinstance(template, dict):
        return {filled(name, ids): filled(one, ids) for name, one in template.items()}
    if isinstance(template, list):
        return [filled(one, ids) for one in template]
    return re.sub(r"\{(\w+)(?::str)?\}", lambda found: ids[found[1]], template) if isinstance(template, str) else template


async def ids_of(world: World) -> dict[str, str]:
    """One of everything."""
    caller = Caller.of(world)
    await world.buy("ada", "pro_monthly", token="test_monthly")
    await world.buy("ada", "pro_lifetime", token="test_for_good")
    hook = await caller.post("/integrations/webhooks", {"name": "Hook", "url": "https://example.com/hook"})
    tool = await caller.post("/integrations", BODIES["create-integration"])
    offering = (await caller.get("/offerings"))["items"][0]
    await caller.ask("PUT", "/customer_center", BODIES["put-customer-center"])
    ticket = {"app_user_id": "ada", "customer_email": "ada@example.com", "issue_description": "Help"}
    assert (await world.http.post("/v1/customercenter/support/create-ticket", headers=world.sdk(), json=ticket)).json() == {"sent": True}
    currency = await caller.post("/virtual_currencies", {"code": f"C{world.project_id[-9:]}", "name": "Gold"})
    key = await caller.post("/api_keys", {"label": "Another"})
    collaborator = await caller.post("/collaborators", {"email": "grace@example.com", "role": "developer"})
    return {
        "project_id": world.project_id,
        "key_id": key["id"],
        "collaborator_id": collaborator["id"],
        "app_id": world.app_ids["test_store"],
        "currency": "USD",
        "virtual_currency_code": currency["code"],
        "product_id": (await caller.get("/products", app_id=world.app_ids["test_store"]))["items"][0]["id"],
        "entitlement_id": (await caller.get("/entitlements"))["items"][0]["id"],
        "offering_id": offering["id"],
        "package_id": (await caller.get(f"/offerings/{offering['id']}/packages"))["items"][0]["id"],
        "customer_id": "ada",
        "subscription_id": (await caller.get("/customers/ada/subscriptions"))["items"][0]["id"],
        "transaction_id": "test_monthly",
        "purchase_id": (await caller.get("/customers/ada/purchases"))["items"][0]["id"],
        "webhook_integration_id": hook["id"],
        "integration_id": tool["id"],
        "support_ticket_id": (await caller.get("/support_tickets"))["items"][0]["id"],
    }

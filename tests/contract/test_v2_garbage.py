"""Whatever is sent, v2 says what is wrong with it: which field, in plain words, and never a 500."""

from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.v2_caller import Caller
from tests.contract.v2_operations import BODIES, OPERATIONS, filled, ids_of
from tests.fuzz.mutating import ROUNDS
from tests.world import World

HOOK = {"name": "X", "url": "https://example.com"}
LONG = "x" * 2000
PRODUCT = {"store_identifier": "x", "app_id": "{app_id}", "type": "consumable"}

WRONG: list[tuple[str, str, Any, str | None, str]] = [
    ("POST", "/apps", {"type": "test_store"}, "name", "name is missing"),
    ("POST", "/apps", {"name": "", "type": "test_store"}, "name", "name must have at least 1 character"),
    ("POST", "/apps", {"name": LONG, "type": "test_store"}, "name", "name must have at most 255 characters"),
    ("POST", "/apps", {"name": 5, "type": "test_store"}, "name", "name must be a text, not a whole number"),
    ("POST", "/apps", {"name": "A", "type": "play_store"}, "play_store.package_name", "play_store.package_name is missing"),
    ("POST", "/apps", {"name": "A", "type": "blackberry"}, "type", "type cannot be 'blackberry'"),
    ("POST", "/apps", {"name": "A", "type": "app_store"}, "app_store.bundle_id", "app_store.bundle_id is missing"),
    ("POST", "/apps", {"name": "A", "type": "app_store", "app_store": {"bundle_id": ""}}, "app_store.bundle_id", "app_store.bundle_id must have"),
    ("POST", "/apps", [], None, "the body must be a JSON object"),
    ("POST", "/apps", "text", None, "the body must be a JSON object"),
    ("POST", "/products", PRODUCT | {"type": "subscription"}, "subscription.duration", "subscription.duration is missing"),
    (
        "POST",
        "/products",
        PRODUCT | {"type": "subscription", "subscription": {"duration": "1 month"}},
        "duration",
        "duration: '1 month' is not an ISO 8601 duration",
    ),
    (
        "POST",
        "/products",
        PRODUCT | {"prices": [{"currency": "usd", "amount_micros": 1}]},
        "prices[0].currency",
        "prices[0].currency is not as documented",
    ),
    (
        "POST",
        "/products",
        PRODUCT | {"prices": [{"currency": "USD", "amount_micros": 1}]},
        "prices",
        "prices: 1 micros is not a whole number of USD's smallest unit",
    ),
    (
        "POST",
        "/products",
        PRODUCT | {"prices": [{"currency": "USD", "amount_micros": 10_000}] * 2},
        "prices",
        "prices has USD twice",
    ),
    (
        "POST",
        "/products",
        PRODUCT | {"app_id": "{app_store}", "prices": [{"currency": "USD", "amount_micros": 0}]},
        "prices",
        "prices: those of app_store products come from the store",
    ),
    ("POST", "/entitlements", {"lookup_key": "   ", "display_name": "X"}, "lookup_key", "lookup_key must have 1 to 200 characters"),
    ("POST", "/entitlements", {"lookup_key": "x\x00", "display_name": "X"}, "lookup_key", "lookup_key has a NUL character"),
    ("POST", "/offerings/{offering_id}/packages", {"lookup_key": "x", "display_name": "X", "position": 0}, "position", "position must be at least 1"),
    (
        "POST",
        "/offerings/{offering_id}/packages",
        {"lookup_key": "x", "display_name": "X", "position": 2**31},
        "position",
        "position must be at most 2147483647",
    ),
    ("POST", "/packages/{package_id}/actions/attach_products", {"products": []}, "products", "products must have at least 1 item"),
    ("PUT", "/placements", {"placements": {"x" * 300: None}}, "placements", "placements must have at most 200 characters"),
    ("POST", "/customers", {"id": "null"}, "id", "id 'null' cannot be an app user id"),
    ("POST", "/customers", {"id": "x" * 101}, "id", "id is longer than 100 characters"),
    ("POST", "/integrations/webhooks", {"name": "X", "url": "ftp://example.com"}, "url", "url must begin with https:// or http://"),
    ("POST", "/integrations/webhooks", HOOK | {"event_types": ["lunch"]}, "event_types", "event_types has 'lunch'"),
    ("POST", "/integrations/webhooks/{webhook_integration_id}/actions/replay", {}, "since_ms", "say what to tell again"),
    ("POST", "/integrations", {"kind": "fax", "name": "X", "secrets": {}}, "kind", "kind"),
    ("POST", "/integrations", {"kind": "segment", "name": "X", "secrets": {}}, "secrets", "secrets: Object missing required field `write_key`"),
    (
        "POST",
        "/integrations",
        {"kind": "slack", "name": "X", "secrets": {"url": "hooks.slack.com"}},
        "secrets.url",
        "secrets.url must be an address such as https://example.com",
    ),
    (
        "POST",
        "/integrations",
        {"kind": "files", "name": "X", "settings": {"url": "file:///etc"}, "secrets": {}},
        "settings.url",
        "files in folders are off here",
    ),
    ("POST", "/integrations/{integration_id}", {"settings": {"base_url": "https://thief.example"}}, "secrets", "give the secrets again"),
    ("POST", "/integrations/{integration_id}/actions/replay", {}, "since_ms", "say what to tell again"),
    ("POST", "/clock/actions/advance", {}, None, "say how far"),
    ("POST", "/clock/actions/advance", {"days": 1, "hours": 1}, None, "say how far"),
    ("POST", "/clock/actions/advance", {"to_ms": 0}, "to", "time only moves forward"),
    ("POST", "/clock/actions/advance", {"to_ms": 2**53}, None, "9007199254740992 is not a moment"),
    ("POST", "/clock/actions/advance", {"days": -1}, "days", "days must be more than 0"),
]


async def test_a_wrong_field_is_named(world: World) -> None:
    v2, ids = Caller.of(world), await ids_of(world)
    ids["app_store"] = world.app_ids["app_store"]
    for method, path, body, param, begins in WRONG:
        message = await v2.refused(method, filled(path, ids), filled(body, ids), status=400, type="parameter_error", param=param)
        assert message.startswith(begins), message


async def test_what_is_taken_or_missing_is_said_so(world: World) -> None:
    v2, ids = Caller.of(world), await ids_of(world)
    taken = {"store_identifier": "coins", "app_id": ids["app_id"], "type": "consumable"}
    await v2.refused("POST", "/products", taken, status=409, type="resource_already_exists", param="store_identifier")
    for path, lookup_key in (("/entitlements", "pro"), ("/offerings", "default"), (f"/offerings/{ids['offering_id']}/packages", "$rc_monthly")):
        body = {"lookup_key": lookup_key, "display_name": "X"}
        await v2.refused("POST", path, body, status=409, type="resource_already_exists", param="lookup_key")
    missing = {"product_ids": [ids["product_id"], "prod_nowhere"]}
    path = f"/entitlements/{ids['entitlement_id']}/actions/attach_products"
    await v2.refused("POST", path, missing, status=404, type="resource_missing", param="product_ids")
    await v2.refused("PUT", "/placements", {"placements": {"a": "ofrng_nowhere"}}, status=404, type="resource_missing", param="placements")
    await v2.refused("GET", "/apps/app_nowhere", status=404, type="resource_missing", param="app_id")
    await v2.refused("GET", "/products", status=400, type="parameter_error", param="expand", expand="items.price")
    await v2.refused("GET", "/customers", status=400, type="parameter_error", param="starting_after", starting_after="nobody")


async def test_a_live_project_has_no_clock_to_move(world: World) -> None:
    v2 = Caller.of(world)
    live = await v2.post("/v2/projects", {"name": "Live"})
    at = f"/v2/projects/{live['id']}"
    assert (await v2.get(f"{at}/clock"))["ticking"] is True
    await v2.refused("POST", f"{at}/clock/actions/advance", {"days": 1}, status=422, type="unprocessable_entity_error")
    assert [one["action_type"] for one in (await v2.get(f"{at}/audit_logs"))["items"]] == ["project.create"]


async def test_what_is_no_json_is_refused(world: World) -> None:
    headers = {**world.secret, "Content-Type": "application/json"}
    for operation, method, path in OPERATIONS:
        address = filled(path, dict.fromkeys(IDS, "x") | {"project_id": world.project_id})
        for content in NO_JSON if operation in BODIES else ():
            answer = await world.http.request(method, address, headers=headers, content=content)
            assert answer.status_code == 400, (operation, content[:20], answer.text)
            assert answer.json()["object"] == "error"


async def test_a_body_that_is_not_called_json_is_refused(world: World) -> None:
    answer = await world.http.post(f"/v2/projects/{world.project_id}/apps", headers=world.secret, content=b'{"name":"A","type":"test_store"}')
    assert (answer.status_code, answer.json()["type"]) == (400, "invalid_request")


IDS = (
    "app_id",
    "currency",
    "product_id",
    "entitlement_id",
    "offering_id",
    "package_id",
    "customer_id",
    "subscription_id",
    "purchase_id",
    "webhook_integration_id",
    "integration_id",
    "support_ticket_id",
    "virtual_currency_code",
    "transaction_id",
    "key_id",
    "collaborator_id",
)
NO_JSON = (b"{", b"", b"\xff", b'{"name": "\\ud800"}', b"[" * 100_000, b'{"name":' * 10_000, b"null", b"1e999", b"NaN")
NAMES = (
    "limit",
    "starting_after",
    "expand",
    "app_id",
    "search",
    "environment",
    "customer_id",
    "start_date",
    "end_date",
    "store_subscription_identifier",
    "store_purchase_identifier",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ID = TEXT.filter(bool)
ASKED = st.lists(st.sampled_from(NAMES), max_size=3)
PARAMETER = TEXT | st.integers().map(str)


@settings(
    max_examples=9 + ROUNDS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)  # it asks as it draws
@given(data=st.data())
async def test_no_garbage_is_our_fault(world: World, data: st.DataObject) -> None:
    """Every operation, with fields replaced by anything, and ids and queries of anything."""
    for operation, method, path in OPERATIONS:
        if operation == "advance-clock":
            continue  # which would rightly take a while
        template = BODIES.get(operation)
        ids = {name: data.draw(ID) for name in IDS if f"{{{name}" in f"{path} {template}"}  # drawing what is not sent took most of the time
        body = None if template is None else filled(template, ids)
        if body is not None:
            body[data.draw(st.sampled_from(sorted(body)))] = data.draw(JSON)
        asked = data.draw(ASKED)
        query = {name: data.draw(PARAMETER) for name in asked}
        address = filled(path, {name: quote(text, safe="") for name, text in ids.items()} | {"project_id": world.project_id})
        sent = {} if body is None else {"json": body}
        answer = await world.http.request(method, address, headers=world.secret, params=query, **sent)
        assert answer.status_code < 500, (operation, body, query, answer.text)

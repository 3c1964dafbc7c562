"""v2 answers with the vendor's objects, field for field; what is ours beside them is named here."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from perennial.base.time import to_ms
from perennial.events import create_endpoint
from tests.contract.v2_caller import Caller
from tests.contract.v2_schemas import check
from tests.world import START, World


@pytest.fixture(scope="module")
def app_store_key() -> str:
    """As App Store Connect gives it: a P-256 key in PKCS#8."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def test_every_list_and_everything_in_it_has_the_vendors_shape(world: World) -> None:
    v2 = Caller.of(world)
    await world.buy("ada", "pro_annual")
    await world.buy("ada", "pro_lifetime")
    await v2.post("/customers/ada/attributes", {"attributes": [{"name": "team", "value": "red"}]})
    hook = await v2.post("/integrations/webhooks", {"name": "Hook", "url": "https://example.com/hook"})
    check(hook)
    offering = (await v2.get("/offerings"))["items"][0]
    entitlement = (await v2.get("/entitlements"))["items"][0]
    package = (await v2.get(f"/offerings/{offering['id']}/packages"))["items"][0]
    subscription = (await v2.get("/customers/ada/subscriptions"))["items"][0]
    purchase = (await v2.get("/customers/ada/purchases"))["items"][0]
    app = world.app_ids["test_store"]
    paths = [
        "/v2/projects",
        "/apps",
        f"/apps/{app}",
        f"/apps/{app}/public_api_keys",
        "/products?expand=items.app",
        "/entitlements?expand=items.product",
        f"/entitlements/{entitlement['id']}?expand=product",
        f"/entitlements/{entitlement['id']}/products",
        "/offerings?expand=items.package.product",
        f"/offerings/{offering['id']}?expand=package,package.product",
        f"/offerings/{offering['id']}/packages?expand=items.product",
        f"/packages/{package['id']}?expand=product",
        f"/packages/{package['id']}/products",
        "/customers",
        "/customers/ada?expand=attributes",
        "/customers/ada/aliases",
        "/customers/ada/active_entitlements",
        "/customers/ada/attributes",
        "/customers/ada/subscriptions",
        "/customers/ada/purchases",
        f"/subscriptions/{subscription['id']}",
        f"/subscriptions/{subscription['id']}/transactions",
        f"/subscriptions/{subscription['id']}/entitlements",
        f"/purchases/{purchase['id']}",
        f"/purchases/{purchase['id']}/entitlements",
        "/integrations/webhooks",
        f"/integrations/webhooks/{hook['id']}",
        "/audit_logs",
    ]
    for path in paths:
        answer = await v2.get(path)
        check(answer)
        if answer["object"] == "list":
            assert answer["items"], path
            assert answer["url"] == v2.path(path).split("?")[0]


async def test_a_subscription_from_trial_to_end(world: World) -> None:
    v2 = Caller.of(world)
    await world.buy("ada", "pro_annual", token="test_line_1")
    began, trial_ends = to_ms(START), to_ms(START) + 7 * 86_400_000
    (trial,) = (await v2.get("/customers/ada/subscriptions"))["items"]
    product = next(one for one in (await v2.get("/products", app_id=world.app_ids["test_store"]))["items"] if one["store_identifier"] == "pro_annual")
    entitlement = (await v2.get("/entitlements"))["items"][0]
    assert trial == {
        "object": "subscription",
        "id": trial["id"],
        "customer_id": "ada",
        "original_customer_id": "ada",
        "product_id": product["id"],
        "starts_at": began,
        "current_period_starts_at": began,
        "current_period_ends_at": trial_ends,
        "ends_at": None,
        "gives_access": True,
        "pending_payment": False,
        "auto_renewal_status": "will_renew",
        "status": "trialing",
        "total_revenue_in_usd": {"currency": "USD", "gross": 0, "commission": 0, "tax": 0, "proceeds": 0},
        "revenue": [],
        "presented_offering_id": None,
        "entitlements": {
            "object": "list",
            "items": [entitlement],
            "next_page": None,
            "url": v2.path(f"/subscriptions/{trial['id']}/entitlements"),
        },
        "environment": "sandbox",
        "store": "test_store",
        "store_subscription_identifier": "test_line_1",
        "ownership": "purchased",
        "pending_changes": None,
        "country": None,
        "management_url": None,
    }
    await world.advance(days=8)
    paid = await v2.get(f"/subscriptions/{trial['id']}")
    assert (paid["status"], paid["current_period_starts_at"], paid["starts_at"]) == ("active", trial_ends, began)
    assert paid["total_revenue_in_usd"] == {"currency": "USD", "gross": 59.99, "commission": 0, "tax": 0, "proceeds": 59.99}
    assert [one["id"] for one in (await v2.get(f"/subscriptions/{trial['id']}/transactions"))["items"]] == ["test_line_1", "test_line_1..1"]
    await world.advance(days=20 * 365)
    ended = await v2.get(f"/subscriptions/{trial['id']}")
    assert (ended["status"], ended["gives_access"], ended["auto_renewal_status"]) == ("expired", False, "will_not_renew")
    assert ended["ends_at"] == ended["current_period_ends_at"]
    assert (await v2.get("/customers/ada"))["active_entitlements"]["items"] == []


async def test_the_offering_a_subscription_was_presented_in_stays_through_its_renewals_and_is_named_by_its_id(world: World) -> None:
    v2 = Caller.of(world)
    (offering,) = (await v2.get("/offerings"))["items"]
    await world.buy("ada", "pro_monthly", token="test_monthly", presented_offering_identifier="default")
    await world.buy("eve", "pro_monthly", token="test_deleted", presented_offering_identifier="no_longer_here")
    await world.advance(days=65)
    told = await world.bodies("ada")
    assert [(one["type"], one["presented_offering_id"], one["renewal_number"]) for one in told] == [
        ("INITIAL_PURCHASE", "default", 1),
        ("RENEWAL", "default", 2),
        ("RENEWAL", "default", 3),
    ]
    assert [one["presented_offering_id"] for one in (await v2.get("/customers/ada/subscriptions"))["items"]] == [offering["id"]]
    assert [one["presented_offering_id"] for one in (await v2.get("/customers/eve/subscriptions"))["items"]] == [None]


async def test_what_was_bought_once(world: World) -> None:
    v2 = Caller.of(world)
    await world.buy("ada", "pro_lifetime", token="test_for_good", presented_offering_identifier="default")
    (purchase,) = (await v2.get("/customers/ada/purchases"))["items"]
    assert (await v2.get("/customers/ada/subscriptions"))["items"] == []
    assert (purchase["purchased_at"], purchase["quantity"], purchase["status"]) == (to_ms(START), 1, "owned")
    (offering,) = (await v2.get("/offerings"))["items"]
    assert (offering["lookup_key"], offering["id"].startswith("ofrng")) == ("default", True)
    assert (purchase["store_purchase_identifier"], purchase["presented_offering_id"]) == ("test_for_good", offering["id"])
    assert purchase["revenue_in_usd"] == {"currency": "USD", "gross": 149.99, "commission": 0, "tax": 0, "proceeds": 149.99}
    (active,) = (await v2.get("/customers/ada/active_entitlements"))["items"]
    assert active["expires_at"] is None
    assert (await v2.get("/purchases", store_purchase_identifier="test_for_good"))["items"] == [purchase]
    assert (await v2.get("/subscriptions", store_subscription_identifier="test_for_good"))["items"] == []
    await v2.get(f"/subscriptions/{purchase['id']}", status=404)


async def test_customers_answer_to_all_their_ids(world: World) -> None:
    v2 = Caller.of(world)
    anonymous = "$RCAnonymousID:" + "a" * 32
    await world.buy(anonymous, "pro_monthly")
    await world.http.post("/v1/subscribers/identify", headers=world.sdk(), json={"app_user_id": anonymous, "new_app_user_id": "ada"})
    assert [one["id"] for one in (await v2.get("/customers/ada/aliases"))["items"]] == sorted(["ada", anonymous])
    for asked in ("ada", anonymous):
        assert (await v2.get(f"/customers/{asked}"))["id"] == asked
        (subscription,) = (await v2.get(f"/customers/{asked}/subscriptions"))["items"]
        assert (subscription["customer_id"], subscription["original_customer_id"]) == (asked, anonymous)
    assert [one["id"] for one in (await v2.get("/customers", search="ada"))["items"]] == [anonymous]
    assert (await v2.get("/customers", search="nobody"))["items"] == []


async def test_creating_a_customer_and_noting_things_about_them(world: World) -> None:
    v2 = Caller.of(world)
    made = await v2.post("/customers", {"id": "bob", "attributes": [{"name": "$email", "value": "bob@example.com"}]}, status=201)
    assert made["active_entitlements"]["items"] == []
    assert [one["id"] for one in (await v2.get("/customers", search="BOB@example.com"))["items"]] == ["bob"]
    await v2.refused("POST", "/customers", {"id": "bob"}, status=409, type="resource_already_exists", param="id")
    sent = [{"name": "team", "value": "red"}, {"name": "$email", "value": None}]
    held = await v2.post("/customers/bob/attributes", {"attributes": sent}, status=200)
    assert [(one["name"], one["value"]) for one in held["items"]] == [("team", "red")]
    wrong = {"attributes": [{"name": "team", "value": "blue"}, {"name": "$email", "value": "not one"}]}
    assert "$email" in await v2.refused("POST", "/customers/bob/attributes", wrong, status=400, type="parameter_error", param="attributes")
    assert [one["value"] for one in (await v2.get("/customers/bob/attributes"))["items"]] == ["red"], "where one cannot be kept, none is"


async def test_a_catalog_made_from_nothing(world: World) -> None:
    v2 = Caller.of(world)
    project = await v2.post("/v2/projects", {"name": "Second", "is_sandbox": True}, status=200)
    check(project)
    assert [one["id"] for one in (await v2.get("/v2/projects"))["items"]] == [world.project_id, project["id"]]
    at = f"/v2/projects/{project['id']}"
    app = await v2.post(f"{at}/apps", {"name": "Try-out", "type": "test_store"}, status=201)
    (key,) = (await v2.get(f"{at}/apps/{app['id']}/public_api_keys"))["items"]
    assert key["key"].startswith("test_") and key["environment"] == "sandbox"
    product = await v2.post(
        f"{at}/products",
        {
            "store_identifier": "plus",
            "app_id": app["id"],
            "type": "subscription",
            "title": "Plus",
            "unknown": 1,
            "subscription": {"duration": "P1M", "trial_duration": "P1W"},
            "prices": [{"currency": "JPY", "amount_micros": 500_000_000}],
        },
        status=201,
    )
    assert product["subscription"] == {"duration": "P1M", "trial_duration": "P1W", "grace_period_duration": None}
    assert (product["display_name"], product["prices"]) == ("Plus", [{"currency": "JPY", "amount_micros": 500_000_000}])
    entitlement = await v2.post(f"{at}/entitlements", {"lookup_key": "plus", "display_name": "Plus"}, status=201)
    twice = {"product_ids": [product["id"], product["id"]]}
    attached = await v2.post(f"{at}/entitlements/{entitlement['id']}/actions/attach_products", twice, status=200)
    assert [one["id"] for one in attached["products"]["items"]] == [product["id"]]
    renamed = await v2.post(f"{at}/entitlements/{entitlement['id']}", {"display_name": "More"}, status=200)
    assert renamed["display_name"] == "More"
    first = await v2.post(f"{at}/offerings", {"lookup_key": "a", "display_name": "A", "is_current": True}, status=201)
    second = await v2.post(f"{at}/offerings", {"lookup_key": "b", "display_name": "B", "metadata": {"x": [1, None]}}, status=201)
    assert (await v2.post(f"{at}/offerings/{second['id']}", {"is_current": True}, status=200))["metadata"] == {"x": [1, None]}
    assert (await v2.get(f"{at}/offerings/{first['id']}"))["is_current"] is False
    assert (await v2.post(f"{at}/offerings/{second['id']}", {"metadata": None}, status=200))["metadata"] is None
    package = await v2.post(f"{at}/offerings/{second['id']}/packages", {"lookup_key": "$rc_monthly", "display_name": "Monthly"}, status=201)
    assert package["position"] == 1
    put_in = [{"product_id": product["id"]}, {"product_id": product["id"], "eligibility_criteria": "google_sdk_ge_6"}]
    filled = await v2.post(f"{at}/packages/{package['id']}/actions/attach_products", {"products": put_in}, status=200)
    assert [(one["product"]["id"], one["eligibility_criteria"]) for one in filled["products"]["items"]] == [(product["id"], "google_sdk_ge_6")]
    assert (await v2.post(f"{at}/packages/{package['id']}", {"position": 3}, status=200))["position"] == 3
    emptied = await v2.post(f"{at}/packages/{package['id']}/actions/detach_products", {"product_ids": [product["id"]]}, status=200)
    assert emptied["products"]["items"] == []
    detached = await v2.post(f"{at}/entitlements/{entitlement['id']}/actions/detach_products", {"product_ids": [product["id"]]}, status=200)
    assert detached["products"]["items"] == []
    placed = {"fallback_offering_id": first["id"], "placements": {"onboarding": second["id"], "nowhere": None}}
    assert await v2.ask("PUT", f"{at}/placements", placed) == {"object": "placements", **placed}
    fewer = {"fallback_offering_id": None, "placements": {"onboarding": None}}
    await v2.ask("PUT", f"{at}/placements", fewer)
    assert await v2.get(f"{at}/placements") == {"object": "placements", **fewer}
    actions = [one["action_type"] for one in await v2.all(f"{at}/audit_logs")]
    assert sorted(actions) == sorted(
        [
            "placements.set",
            "placements.set",
            "entitlement.detach_products",
            "package.detach_products",
            "package.update",
            "package.attach_products",
            "package.create",
            "offering.update",
            "offering.update",
            "offering.create",
            "offering.create",
            "entitlement.update",
            "entitlement.attach_products",
            "entitlement.create",
            "product.create",
            "app.create",
            "project.create",
        ]
    )


async def test_app_store_apps_take_their_key_whole(world: World, app_store_key: str) -> None:
    v2 = Caller.of(world)
    whole = {
        "bundle_id": "com.example.cats",
        "app_apple_id": 1234567890,
        "subscription_private_key": app_store_key,
        "subscription_key_id": "ABC123DEFG",
        "subscription_key_issuer": "57246542-96fe-1a63-e053-0824d011072a",
        "shared_secret": "0" * 32,
    }
    made = await v2.post("/apps", {"name": "Cats", "type": "app_store", "app_store": whole}, status=201)
    assert made["app_store"] == {"bundle_id": "com.example.cats", "subscription_key_configured": True, "app_store_connect_api_key_configured": False}
    assert made["perennial"] == {
        "has_store_api_key": True,
        "notification_path": f"/hooks/app_store/{made['id']}",
        "settings": {},
        "secrets": ["shared_secret"],
    }
    assert app_store_key[30:60] not in str(await v2.get("/apps"))
    part = {"name": "Dogs", "type": "app_store", "app_store": {"bundle_id": "com.example.dogs", "subscription_key_id": "ABC123DEFG"}}
    await v2.refused("POST", "/apps", part, status=400, type="parameter_error", param="app_store.subscription_private_key")
    changed = await v2.post(f"/apps/{made['id']}", {"name": "Big cats"}, status=200)
    assert (changed["name"], changed["perennial"]["has_store_api_key"]) == ("Big cats", True)
    broken = {"app_store": {"subscription_private_key": "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"}}
    await v2.refused("POST", f"/apps/{made['id']}", broken, status=400, type="parameter_error", param="app_store.subscription_private_key")


async def test_webhooks_tell_their_secret_once(world: World) -> None:
    v2 = Caller.of(world)
    hook = {"name": "Hook", "url": "https://example.com/hook", "authorization_header": "Bearer s3cret"}
    made = await v2.post("/integrations/webhooks", hook, status=201)
    assert made["signing_secret"].startswith("whsec_")
    held = await v2.get(f"/integrations/webhooks/{made['id']}")
    assert "signing_secret" not in held and "s3cret" not in str(held)
    assert held["perennial"] == {
        "last_success_at": None,
        "last_failure_at": None,
        "last_error": None,
        "failures": 0,
        "has_authorization_header": True,
        "paused_at": None,
        "former_secret_until": None,
    }
    changed = await v2.post(f"/integrations/webhooks/{made['id']}", {"event_types": ["expiration", "initial_purchase"], "authorization_header": None})
    assert (changed["event_types"], changed["name"]) == (["expiration", "initial_purchase"], "Hook")
    assert changed["perennial"]["has_authorization_header"] is False
    rotated = await v2.post(f"/integrations/webhooks/{made['id']}/actions/rotate_signing_secret", {}, status=200)
    assert rotated["signing_secret"].startswith("whsec_") and rotated["signing_secret"] != made["signing_secret"]
    assert rotated["perennial"]["former_secret_until"] == to_ms(START) + 24 * 3600 * 1000
    leaked = await v2.post(f"/integrations/webhooks/{made['id']}/actions/rotate_signing_secret", {"keep_former": False}, status=200)
    assert leaked["perennial"]["former_secret_until"] is None
    paused = await v2.post(f"/integrations/webhooks/{made['id']}/actions/pause", status=200)
    assert paused["perennial"]["paused_at"] == to_ms(START) and "signing_secret" not in paused
    assert (await v2.post(f"/integrations/webhooks/{made['id']}/actions/resume", status=200))["perennial"]["paused_at"] is None
    gone = await v2.ask("DELETE", f"/integrations/webhooks/{made['id']}", status=200)
    assert gone == {"object": "webhook_integration", "id": made["id"], "deleted_at": to_ms(START)}
    await v2.get(f"/integrations/webhooks/{made['id']}", status=404)


async def test_events_show_who_was_told_and_are_told_again(world: World) -> None:
    v2 = Caller.of(world)
    async with world.app.database.transaction(world.project_id) as tx:
        hook, _ = await create_endpoint(tx, world.app.vault, name="Hook", url="http://127.0.0.1:9/nobody")
    await world.buy("ada", "pro_monthly")
    (told,) = (await v2.get("/events", customer_id="ada"))["items"]
    assert (told["type"], told["sequence"], told["recorded_at"]) == ("INITIAL_PURCHASE", 1, to_ms(START))
    assert [(one["webhook_integration_id"], one["state"], one["attempts"]) for one in told["deliveries"]] == [(hook.endpoint_id, "waiting", 0)]
    await world.run_due()
    (tried,) = (await v2.get("/events", customer_id="ada"))["items"]
    assert [(one["state"], one["attempts"]) for one in tried["deliveries"]] == [("retrying", 1)]
    health = (await v2.get(f"/integrations/webhooks/{hook.endpoint_id}"))["perennial"]
    assert health["failures"] == 1 and health["last_error"]
    again = await v2.post(f"/integrations/webhooks/{hook.endpoint_id}/actions/replay", {"event_ids": [told["id"]]}, status=200)
    assert again == {"object": "webhook_replay", "deliveries": 1}
    assert (await v2.post(f"/integrations/webhooks/{hook.endpoint_id}/actions/replay", {"since_ms": 0}))["deliveries"] == 1
    test = await v2.post(f"/integrations/webhooks/{hook.endpoint_id}/actions/test", status=200)
    assert [one["id"] for one in await v2.all("/events") if one["type"] == "TEST"] == [test["event_id"]]


async def test_a_sandboxs_clock_is_asked_and_moved(world: World) -> None:
    v2 = Caller.of(world)
    assert await v2.get("/clock") == {"object": "clock", "now": to_ms(START), "is_sandbox": True, "ticking": False}
    await world.buy("ada", "pro_monthly")
    for step, later in (({"days": 27.5}, 27.5 * 86_400_000), ({"hours": 12}, 28 * 86_400_000), ({"minutes": 1}, 28 * 86_400_000 + 60_000)):
        assert (await v2.post("/clock/actions/advance", step, status=200))["now"] == to_ms(START) + later
    moved = await v2.post("/clock/actions/advance", {"to_ms": to_ms(START) + 29 * 86_400_000})
    assert moved["now"] == to_ms(START) + 29 * 86_400_000
    assert await world.told("ada") == ["INITIAL_PURCHASE", "RENEWAL"]


async def test_of_offerings_one_is_current_whoever_comes_first(world: World) -> None:
    v2 = Caller.of(world)
    ids = [(await v2.post("/offerings", {"lookup_key": f"o{number}", "display_name": "O"}))["id"] for number in range(6)]
    await asyncio.gather(*(v2.post(f"/offerings/{offering_id}", {"is_current": True}, status=200) for offering_id in ids))
    assert [one["is_current"] for one in await v2.all("/offerings")].count(True) == 1
    placements = [{"fallback_offering_id": ids[0], "placements": {"a": one, "b": one}} for one in ids]
    await asyncio.gather(*(v2.ask("PUT", "/placements", one, status=200) for one in placements))
    assert {"object": "placements", **placements[0]} | await v2.get("/placements") in [{"object": "placements", **one} for one in placements]

"""What is sold comes and goes: archived, it is out of sight and not out of force; deleted, it is gone; and nobody loses what they bought."""

import json
from typing import Any

import pytest

from perennial import intake
from perennial.base.time import to_ms
from tests.contract.v2_caller import Caller
from tests.world import START, World

SERVICE_ACCOUNT = json.dumps({"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\nmine\n"})


async def product_of(v2: Caller, identifier: str, store: str = "test_store") -> dict[str, Any]:
    products = await v2.all("/products", app_id=v2.world.app_ids[store])
    found: dict[str, Any] = next(one for one in products if one["store_identifier"] == identifier)
    return found


async def offered(world: World) -> dict[str, list[str]]:
    """What an SDK is shown: by offering, the products."""
    answer = (await world.http.get("/v1/subscribers/ada/offerings", headers=world.sdk())).json()
    return {one["identifier"]: [package["platform_product_identifier"] for package in one["packages"]] for one in answer["offerings"]}


async def priced(world: World, *identifiers: str) -> list[str]:
    answer = await world.http.get("/rcbilling/v1/subscribers/ada/products", headers=world.sdk(), params={"id": list(identifiers)})
    return [one["identifier"] for one in answer.json()["product_details"]]


async def test_an_archived_product_is_offered_to_nobody_and_goes_on_for_those_who_have_it(world: World) -> None:
    v2 = Caller.of(world)
    await world.buy("ada", "pro_monthly", token="test_ada")
    product = await product_of(v2, "pro_monthly")
    archived = await v2.post(f"/products/{product['id']}/actions/archive", status=200)
    assert archived == product | {"state": "inactive"}
    assert await offered(world) == {"default": ["pro_annual", "pro_lifetime"]}
    assert await priced(world, "pro_monthly", "pro_annual") == ["pro_annual"]
    assert await world.entitled("ada") == ["pro"]
    await world.advance(days=60)
    assert await world.told("ada") == ["INITIAL_PURCHASE", "RENEWAL", "RENEWAL"]
    assert (await world.buy("ada", "pro_monthly", token="test_ada")).status_code == 200, "it is restored"
    assert (await world.buy("bob", "pro_monthly")).status_code == 200, "an app that shipped with it still sells it"
    assert await world.entitled("bob") == ["pro"]
    mapping = (await world.http.get("/v1/product_entitlement_mapping", headers=world.sdk())).json()["product_entitlement_mapping"]
    assert mapping["pro_monthly"]["entitlements"] == ["pro"], "offline, who has it is entitled too"
    assert (await v2.post(f"/products/{product['id']}/actions/archive"))["state"] == "inactive", "twice does no harm"
    assert (await v2.post(f"/products/{product['id']}/actions/unarchive", status=200)) == product
    assert await offered(world) == {"default": ["pro_monthly", "pro_annual", "pro_lifetime"]}


async def test_a_product_that_was_bought_stays(world: World) -> None:
    v2 = Caller.of(world)
    await world.buy("ada", "pro_monthly")
    bought, never = await product_of(v2, "pro_monthly"), await product_of(v2, "pro_annual")
    said = await v2.refused("DELETE", f"/products/{bought['id']}", status=422, type="unprocessable_entity_error", param="product_id")
    assert said.startswith("customers have bought 'pro_monthly'") and "archive" in said
    assert await world.entitled("ada") == ["pro"]
    gone = await v2.ask("DELETE", f"/products/{never['id']}", status=200)
    assert gone == {"object": "product", "id": never["id"], "deleted_at": to_ms(START)}
    await v2.refused("GET", f"/products/{never['id']}", status=404, type="resource_missing", param="product_id")
    await v2.refused("DELETE", f"/products/{never['id']}", status=404, type="resource_missing", param="product_id")
    assert await offered(world) == {"default": ["pro_monthly", "pro_lifetime"]}
    entitlement = (await v2.get("/entitlements", expand="items.product"))["items"][0]
    assert never["id"] not in [one["id"] for one in entitlement["products"]["items"]]
    assert (await product_of(v2, "pro_annual", "rc_billing"))["state"] == "active", "the same name in another app is another product"


async def test_a_product_that_somebody_is_to_be_changed_to_stays(world: World) -> None:
    v2 = Caller.of(world)
    await world.buy("ada", "pro_monthly")
    product = await product_of(v2, "pro_annual")
    async with world.app.database.transaction(world.project_id) as tx:
        changed = await tx.execute(
            """
            INSERT INTO renewal (project_id, customer_id, line_id, as_of, transaction, auto_renew, next_product, in_billing_retry)
            SELECT project_id, customer_id, line_id, %(now)s, 'x', true, 'pro_annual', false FROM line
            ON CONFLICT (project_id, customer_id, line_id, as_of) DO UPDATE SET next_product = excluded.next_product
            """,
            now=tx.now,
        )
    assert changed == 1
    await v2.refused("DELETE", f"/products/{product['id']}", status=422, type="unprocessable_entity_error", param="product_id")


async def test_an_archived_entitlement_is_kept_and_a_deleted_one_is_lost(world: World) -> None:
    v2 = Caller.of(world)
    await world.buy("ada", "pro_monthly")
    entitlement = (await v2.get("/entitlements"))["items"][0]
    archived = await v2.post(f"/entitlements/{entitlement['id']}/actions/archive", status=200)
    assert archived == entitlement | {"state": "inactive"}
    assert await world.entitled("ada") == ["pro"]
    await world.buy("bob", "pro_annual")
    assert await world.entitled("bob") == ["pro"]
    assert (await v2.post(f"/entitlements/{entitlement['id']}/actions/unarchive", status=200)) == entitlement
    gone = await v2.ask("DELETE", f"/entitlements/{entitlement['id']}", status=200)
    assert gone == {"object": "entitlement", "id": entitlement["id"], "deleted_at": to_ms(START)}
    assert await world.entitled("ada") == []
    assert (await world.customer("ada"))["subscriptions"].keys() == {"pro_monthly"}, "what was bought stays"
    await v2.refused("GET", f"/entitlements/{entitlement['id']}", status=404, type="resource_missing", param="entitlement_id")
    again = await v2.post("/entitlements", {"lookup_key": "pro", "display_name": "Pro"}, status=201)
    product = await product_of(v2, "pro_monthly")
    await v2.post(f"/entitlements/{again['id']}/actions/attach_products", {"product_ids": [product["id"]]})
    assert await world.entitled("ada") == ["pro"]


async def test_an_offering_that_apps_look_for_stays_in_sight(world: World) -> None:
    v2 = Caller.of(world)
    current = (await v2.get("/offerings"))["items"][0]
    for method, path in (("POST", "/actions/archive"), ("DELETE", "")):
        said = await v2.refused(method, f"/offerings/{current['id']}{path}", status=422, type="unprocessable_entity_error", param="offering_id")
        assert said.startswith("the offering 'default' is the current one, so it cannot be ")
    summer = await v2.post("/offerings", {"lookup_key": "summer", "display_name": "Summer"}, status=201)
    await v2.ask("PUT", "/placements", {"fallback_offering_id": summer["id"], "placements": {"onboarding": summer["id"]}})
    said = await v2.refused("DELETE", f"/offerings/{summer['id']}", status=422, type="unprocessable_entity_error", param="offering_id")
    assert "the fallback of placements, shown at onboarding" in said
    await v2.ask("PUT", "/placements", {})
    assert (await v2.post(f"/offerings/{summer['id']}/actions/archive", status=200)) == summer | {"state": "inactive"}
    assert await offered(world) == {"default": ["pro_monthly", "pro_annual", "pro_lifetime"]}
    archived = {"status": 422, "type": "entity_references_archived_entities"}
    await v2.refused("POST", f"/offerings/{summer['id']}", {"is_current": True}, **archived)
    await v2.refused("PUT", "/placements", {"placements": {"onboarding": summer["id"]}}, **archived)
    assert (await v2.get(f"/offerings/{current['id']}"))["is_current"] is True, "what was refused changed nothing"
    gone = await v2.ask("DELETE", f"/offerings/{summer['id']}", status=200)
    assert gone == {"object": "offering", "id": summer["id"], "deleted_at": to_ms(START)}


async def test_an_offering_comes_back_with_its_products_or_not_at_all(world: World) -> None:
    v2 = Caller.of(world)
    product = await product_of(v2, "pro_monthly")
    offering = await v2.post("/offerings", {"lookup_key": "summer", "display_name": "Summer"}, status=201)
    package = await v2.post(f"/offerings/{offering['id']}/packages", {"lookup_key": "$rc_monthly", "display_name": "Monthly"}, status=201)
    await v2.post(f"/packages/{package['id']}/actions/attach_products", {"products": [{"product_id": product["id"]}]})
    await v2.post(f"/offerings/{offering['id']}/actions/archive")
    await v2.post(f"/products/{product['id']}/actions/archive")
    refusal = await v2.ask("POST", f"/offerings/{offering['id']}/actions/unarchive", status=422)
    assert (refusal["type"], refusal["referenced_object_ids"]) == ("entity_references_archived_entities", [product["id"]])
    assert (await v2.get(f"/offerings/{offering['id']}"))["state"] == "inactive"
    back = await v2.post(f"/offerings/{offering['id']}/actions/unarchive", {"unarchive_referenced_entities": True}, status=200)
    assert back["state"] == "active"
    assert (await v2.get(f"/products/{product['id']}"))["state"] == "active"
    assert (await offered(world))["summer"] == ["pro_monthly"]


async def test_a_package_goes_and_its_products_stay(world: World) -> None:
    v2 = Caller.of(world)
    offering = (await v2.get("/offerings", expand="items.package.product"))["items"][0]
    package = offering["packages"]["items"][0]
    gone = await v2.ask("DELETE", f"/packages/{package['id']}", status=200)
    assert gone == {"object": "package", "id": package["id"], "deleted_at": to_ms(START)}
    assert await offered(world) == {"default": ["pro_annual", "pro_lifetime"]}
    assert (await v2.get(f"/products/{package['products']['items'][0]['product']['id']}"))["state"] == "active"
    await v2.refused("GET", f"/packages/{package['id']}", status=404, type="resource_missing", param="package_id")


async def test_an_app_goes_with_its_keys_unless_customers_hold_something_of_it(world: World) -> None:
    v2 = Caller.of(world)
    await world.buy("ada", "pro_monthly")
    said = await v2.refused("DELETE", f"/apps/{world.app_ids['test_store']}", status=422, type="unprocessable_entity_error", param="app_id")
    assert said.startswith("customers hold purchases of 'test_store'")
    assert await world.entitled("ada") == ["pro"]
    app_id = world.app_ids["rc_billing"]
    gone = await v2.ask("DELETE", f"/apps/{app_id}", status=200)
    assert gone == {"object": "app", "id": app_id, "deleted_at": to_ms(START)}
    await v2.refused("GET", f"/apps/{app_id}", status=404, type="resource_missing", param="app_id")
    assert await v2.all("/products", app_id=app_id) == []
    answer = await world.http.get("/v1/subscribers/ada", headers=world.sdk("rc_billing"))
    assert answer.status_code == 401, "its SDK key is dead at once"


async def test_prices_are_added_and_changed_where_we_sell(world: World) -> None:
    v2 = Caller.of(world)
    product = await product_of(v2, "pro_monthly")
    at = f"/products/{product['id']}"
    usd, eur = {"currency": "USD", "amount_micros": 9_990_000}, {"currency": "EUR", "amount_micros": 9_990_000}
    assert await v2.get(f"{at}/prices") == {"object": "product_prices", "product_id": product["id"], "prices": [usd, eur]}
    jpy, gbp = {"currency": "JPY", "amount_micros": 1_200_000_000}, {"currency": "GBP", "amount_micros": 7_990_000}
    assert (await v2.post(f"{at}/test_store_prices", {"prices": [jpy]}, status=201))["prices"] == [usd, eur, jpy]
    assert (await v2.post(f"{at}/prices", {"prices": [gbp]}, status=201))["prices"] == [usd, eur, gbp, jpy]
    await v2.refused("POST", f"{at}/prices", {"prices": [usd]}, status=409, type="resource_already_exists", param="prices")
    changed = await v2.ask("PATCH", f"{at}/prices/USD", {"amount_micros": 12_990_000}, status=200)
    assert changed["prices"][0] == {"currency": "USD", "amount_micros": 12_990_000}
    await v2.refused("PATCH", f"{at}/prices/CHF", {"amount_micros": 1}, status=404, type="resource_missing", param="currency")
    await v2.refused("PATCH", f"{at}/prices/USD", {"amount_micros": 1}, status=400, type="parameter_error", param="prices")
    theirs = await product_of(v2, "pro_monthly", "app_store")
    for path in ("prices", "test_store_prices"):
        await v2.refused("POST", f"/products/{theirs['id']}/{path}", {"prices": [gbp]}, status=400, type="parameter_error", param="prices")
    ours = await product_of(v2, "pro_monthly", "rc_billing")
    await v2.refused("POST", f"/products/{ours['id']}/test_store_prices", {"prices": [gbp]}, status=400, type="parameter_error", param="prices")


async def test_a_product_is_renamed_and_its_period_changed_where_we_sell_it(world: World) -> None:
    v2 = Caller.of(world)
    product = await product_of(v2, "pro_annual")
    at = f"/products/{product['id']}"
    assert (await v2.post(at, {"display_name": "A year of Pro"}, status=200)) == product | {"display_name": "A year of Pro"}
    longer = await v2.post(at, {"subscription": {"trial_duration": "P1M"}}, status=200)
    assert longer["subscription"] == {"duration": "P1Y", "trial_duration": "P1M", "grace_period_duration": None}
    assert (await v2.post(at, {"subscription": {"trial_duration": None}}))["subscription"]["trial_duration"] is None
    assert (await v2.post(at, {}, status=200))["display_name"] == "A year of Pro", "what is left out stays"
    theirs = await product_of(v2, "pro_annual", "app_store")
    wrong = {"subscription": {"duration": "P1M"}}
    await v2.refused("POST", f"/products/{theirs['id']}", wrong, status=400, type="parameter_error", param="subscription")
    coins = await product_of(v2, "coins")
    await v2.refused("POST", f"/products/{coins['id']}", wrong, status=400, type="parameter_error", param="subscription")


# Apps of every store: what is sent, what is shown under the store's name, our settings, the secrets that are set, and the key's prefix.
APPS: list[tuple[str, dict[str, Any], dict[str, Any] | None, dict[str, str], dict[str, str], str]] = [
    (
        "app_store",
        {"app_store": {"bundle_id": "com.example.cats", "shared_secret": "0" * 32, "app_store_connect_vendor_number": "8123"}},
        {"bundle_id": "com.example.cats", "subscription_key_configured": False, "app_store_connect_api_key_configured": False},
        {"app_store_connect_vendor_number": "8123"},
        {"shared_secret": "0" * 32},
        "appl_",
    ),
    ("mac_app_store", {"mac_app_store": {"bundle_id": "com.example.mac"}}, {"bundle_id": "com.example.mac"}, {}, {}, "mac_"),
    (
        "play_store",
        {
            "play_store": {"package_name": "com.example.cats"},
            "perennial": {"settings": {"pubsub_audience": "https://x.example"}, "secrets": {"service_account": SERVICE_ACCOUNT}},
        },
        {"package_name": "com.example.cats"},
        {"pubsub_audience": "https://x.example"},
        {"service_account": SERVICE_ACCOUNT},
        "goog_",
    ),
    (
        "amazon",
        {"amazon": {"package_name": "com.example.cats", "shared_secret": "2:smXBjZ"}, "perennial": {"settings": {"sns_topic_arn": "arn:aws:sns:x"}}},
        {"package_name": "com.example.cats"},
        {"sns_topic_arn": "arn:aws:sns:x"},
        {"shared_secret": "2:smXBjZ"},
        "amzn_",
    ),
    (
        "stripe",
        {"stripe": {"stripe_account_id": "acct_1"}, "perennial": {"secrets": {"api_key": "rk_live_1", "webhook_secret": "whsec_1"}}},
        {"stripe_account_id": "acct_1"},
        {"account_id": "acct_1"},
        {"api_key": "rk_live_1", "webhook_secret": "whsec_1"},
        "strp_",
    ),
    (
        "roku",
        {"roku": {"roku_api_key": "r" * 33, "roku_channel_id": "123456", "roku_channel_name": None}},
        {"roku_channel_id": "123456", "roku_channel_name": None},
        {},
        {"api_key": "r" * 33},
        "roku_",
    ),
    (
        "paddle",
        {"paddle": {"paddle_api_key": "p" * 50, "paddle_is_sandbox": True}},
        {"paddle_is_sandbox": True},
        {"environment": "sandbox"},
        {"api_key": "p" * 50},
        "pdl_",
    ),
    (
        "microsoft",
        {"perennial": {"settings": {"tenant_id": "t", "client_id": "c"}, "secrets": {"client_secret": "s3cr3t"}}},
        None,
        {"tenant_id": "t", "client_id": "c"},
        {"client_secret": "s3cr3t"},
        "ms_",
    ),
    (
        "rc_billing",
        {"rc_billing": {"app_name": "Cats", "support_email": "cats@example.com", "default_currency": "EUR"}},
        {
            "stripe_account_id": None,
            "seller_company_name": "Cats",
            "app_name": "Cats",
            "seller_company_support_email": "cats@example.com",
            "support_email": "cats@example.com",
            "default_currency": "EUR",
        },
        {"app_name": "Cats", "support_email": "cats@example.com", "default_currency": "EUR"},
        {},
        "rcb_",
    ),
    ("test_store", {}, None, {}, {}, "test_"),
    ("external", {}, None, {}, {}, "ext_"),
]


@pytest.mark.parametrize(("store", "body", "shown", "settings", "secrets", "prefix"), APPS, ids=[one[0] for one in APPS])
async def test_an_app_of_any_store_keeps_what_its_provider_needs(
    world: World, store: str, body: dict[str, Any], shown: dict[str, Any] | None, settings: dict[str, str], secrets: dict[str, str], prefix: str
) -> None:
    v2 = Caller.of(world)
    made = await v2.post("/apps", {"name": "Mine", "type": store} | body, status=201)
    assert (made["type"], made.get(store)) == (store, shown)
    assert (made["perennial"]["settings"], made["perennial"]["secrets"]) == (settings, sorted(secrets))
    assert await v2.get(f"/apps/{made['id']}") == made
    for secret in secrets.values():
        assert secret not in str(made), "no secret comes back"
    (key,) = (await v2.get(f"/apps/{made['id']}/public_api_keys"))["items"]
    assert key["key"].startswith(prefix)
    async with world.app.database.transaction(world.project_id) as tx:
        told = (await intake.store_apps(tx, world.app.vault, [made["id"]]))[made["id"]]
        sealed = await tx.fetch_value("SELECT secrets FROM app WHERE app_id = %(app_id)s", app_id=made["id"])
    assert (told.store, dict(told.settings), {name: secret.reveal() for name, secret in told.secrets.items()}) == (store, settings, secrets)
    assert all(secret.encode() not in sealed for secret in secrets.values())


async def test_secrets_are_replaced_and_taken_away_one_by_one(world: World) -> None:
    v2 = Caller.of(world)
    secrets = {"api_key": "rk_1", "webhook_secret": "whsec_1"}
    made = await v2.post("/apps", {"name": "Web", "type": "stripe", "perennial": {"secrets": secrets}}, status=201)
    at = f"/apps/{made['id']}"
    turned = await v2.post(at, {"perennial": {"secrets": {"webhook_secret": "whsec_2", "webhook_secret_previous": "whsec_1"}}}, status=200)
    assert turned["perennial"]["secrets"] == ["api_key", "webhook_secret", "webhook_secret_previous"]
    fewer = await v2.post(at, {"perennial": {"secrets": {"webhook_secret_previous": None}, "settings": {"account_id": "acct_1"}}}, status=200)
    assert fewer["perennial"]["secrets"] == ["api_key", "webhook_secret"] and fewer["stripe"] == {"stripe_account_id": "acct_1"}
    assert (await v2.post(at, {"name": "Site"}, status=200))["perennial"] == fewer["perennial"], "what is left out stays"
    async with world.app.database.transaction(world.project_id) as tx:
        told = (await intake.store_apps(tx, world.app.vault, [made["id"]]))[made["id"]]
    assert {name: secret.reveal() for name, secret in told.secrets.items()} == {"api_key": "rk_1", "webhook_secret": "whsec_2"}
    for part, given, says in (
        ("settings", {"acount_id": "x"}, "settings: an app of stripe has no 'acount_id'; it has account_id, "),
        ("secrets", {"pasword": "x"}, "secrets: an app of stripe has no 'pasword'; it has api_key, webhook_secret, webhook_secret_previous"),
        ("secrets", {"api_key": "  "}, "secrets: api_key must have 1 to 20000 characters"),
    ):
        message = await v2.refused("POST", at, {"perennial": {part: given}}, status=400, type="parameter_error", param=part)
        assert message.startswith(says), message
    audited = str(await v2.all("/audit_logs"))
    assert "webhook_secret_previous" in audited and "whsec" not in audited


async def test_a_store_kit_file_has_what_xcode_needs(world: World) -> None:
    v2 = Caller.of(world)
    coins = await product_of(v2, "coins", "app_store")
    await v2.post(f"/products/{coins['id']}/actions/archive")
    app_id = world.app_ids["app_store"]
    answer = await v2.get(f"/apps/{app_id}/store_kit_config")
    assert answer["object"] == "store_kit_config_file"
    contents = answer["contents"]
    assert contents["version"] == {"major": 2, "minor": 0}
    assert [(one["productID"], one["type"], one["displayPrice"]) for one in contents["products"]] == [("pro_lifetime", "NonConsumable", "149.99")]
    (group,) = contents["subscriptionGroups"]
    annual, monthly = group["subscriptions"]
    assert [(one["productID"], one["recurringSubscriptionPeriod"], one["groupNumber"]) for one in (monthly, annual)] == [
        ("pro_monthly", "P1M", 1),
        ("pro_annual", "P1Y", 1),
    ]
    assert monthly["introductoryOffer"] is None and annual["introductoryOffer"]["subscriptionPeriod"] == "P1W"
    assert monthly["subscriptionGroupID"] == group["id"]
    assert (await v2.get(f"/apps/{app_id}/store_kit_config")) == answer, "the same each time"
    test_store = world.app_ids["test_store"]
    await v2.refused("GET", f"/apps/{test_store}/store_kit_config", status=400, type="parameter_error", param="app_id")

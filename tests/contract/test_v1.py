"""v1, request by request: statuses, bodies, headers, error numbers."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from perennial import customers
from perennial.api.signing import Signed, Signer
from tests.world import World

ANONYMOUS = "$RCAnonymousID:" + "0" * 32


async def test_a_customer_object_has_every_required_key(world: World):
    answer = await world.http.get("/v1/subscribers/ada", headers=world.sdk(**{"X-Platform": "web"}))
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"request_date", "request_date_ms", "subscriber"}
    assert set(body["subscriber"]) == {
        "original_app_user_id",
        "first_seen",
        "last_seen",
        "management_url",
        "original_application_version",
        "original_purchase_date",
        "entitlements",
        "subscriptions",
        "non_subscriptions",
        "other_purchases",
    }
    assert body["request_date"] == body["subscriber"]["last_seen"] == "2026-01-31T12:00:00Z"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-revenuecat-request-time"] == str(body["request_date_ms"])


async def test_an_escaped_anonymous_id_is_the_same_customer(world: World):
    assert (await world.http.get("/v1/subscribers/%24RCAnonymousID%3A" + "0" * 32, headers=world.sdk())).status_code == 201
    assert (await world.http.get(f"/v1/subscribers/{ANONYMOUS}", headers=world.sdk())).status_code == 200


@pytest.mark.parametrize(
    ("key", "status", "code"), [(None, 401, 7224), ("Bearer test_wrong", 401, 7225), ("Bearer ", 401, 7224), ("Bearer \xff", 401, 7224)]
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/subscribers/ada"), ("GET", "/v1/subscribers/ada/offerings"), ("POST", "/v1/receipts"), ("POST", "/v1/events")]
)
async def test_a_wrong_key_is_told_so(world: World, method: str, path: str, key: str | None, status: int, code: int):
    headers = {} if key is None else {"Authorization": key.encode("latin-1")}
    json = {"app_user_id": "ada", "fetch_token": "test_x"} if path == "/v1/receipts" else {} if method == "POST" else None
    answer = await world.http.request(method, path, headers=headers, json=json)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(("user", "code"), [("null", 7256), ("a%2Fb", 7256), ("%20", 7220), ("x" * 101, 7256), ("%ff", 7256)])
async def test_an_impossible_app_user_id_is_refused(world: World, user: str, code: int):
    answer = await world.http.get(f"/v1/subscribers/{user}", headers=world.sdk())
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_offerings_show_the_products_of_the_key_s_own_app(world: World):
    body = (await world.http.get("/v1/subscribers/ada/offerings", headers=world.sdk())).json()
    assert body["current_offering_id"] == "default"
    [default] = body["offerings"]
    assert (default["identifier"], default["description"], default["metadata"]) == ("default", "Plans", {"colour": "green"})
    assert default["packages"] == [
        {"identifier": "$rc_monthly", "platform_product_identifier": "pro_monthly"},
        {"identifier": "$rc_annual", "platform_product_identifier": "pro_annual"},
        {"identifier": "$rc_lifetime", "platform_product_identifier": "pro_lifetime"},
    ]


async def test_products_carry_prices_in_the_currency_asked_for(world: World):
    answer = await world.http.get(
        "/rcbilling/v1/subscribers/ada/products", params={"id": ["pro_annual", "unknown"], "currency": "EUR"}, headers=world.sdk()
    )
    [product] = answer.json()["product_details"]
    option = product["purchase_options"][product["default_purchase_option_id"]]
    assert option["base"] == {"period_duration": "P1Y", "cycle_count": 1, "price": {"amount_micros": 59_990_000, "currency": "EUR"}}
    assert option["trial"] == {"period_duration": "P1W", "cycle_count": 1, "price": None}


async def test_attributes_keep_the_newest_write_and_name_what_is_wrong(world: World):
    async def send(**attributes):
        return await world.http.post("/v1/subscribers/ada/attributes", headers=world.sdk(), json={"attributes": attributes})

    assert (await send(colour={"value": "red", "updated_at_ms": 2000})).json() == {}
    await send(colour={"value": "blue", "updated_at_ms": 1000}, size={"value": "L", "updated_at_ms": 1000})
    await send(size={"value": None, "updated_at_ms": 3000})
    mixed = await send(**{"k" * 41: {"value": "x"}, "good": {"value": "yes"}})
    assert mixed.status_code == 400
    assert mixed.json()["code"] == 7263
    assert [one["key_name"] for one in mixed.json()["attribute_errors"]] == ["k" * 41]
    seen = (await world.http.get("/v1/subscribers/ada", headers=world.secret)).json()["subscriber"]["subscriber_attributes"]
    assert {name: one["value"] for name, one in seen.items()} == {"colour": "red", "good": "yes"}
    assert "subscriber_attributes" not in await world.customer("ada"), "a public key does not read attributes"


async def test_a_receipt_may_bring_attributes_and_say_what_was_wrong_with_them(world: World):
    answer = await world.buy("ada", "pro_monthly", attributes={"$email": {"value": "nonsense", "updated_at_ms": 1}})
    assert answer.status_code == 200
    assert answer.json()["attributes_error_response"]["attribute_errors"][0]["key_name"] == "$email"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"app_user_id": "ada"}, 7103),
        ({"app_user_id": "ada", "fetch_token": "nonsense", "product_id": "pro_monthly"}, 7103),
        ({"app_user_id": "ada", "fetch_token": "test_1", "product_id": "unknown"}, 7103),
        ({"app_user_id": "", "fetch_token": "test_1", "product_id": "pro_monthly"}, 7220),
        ({"app_user_id": 5}, 7226),
        ([], 7226),
    ],
)
async def test_a_bad_receipt_is_refused_and_creates_nobody(world: World, body, code):
    answer = await world.http.post("/v1/receipts", headers=world.sdk(), json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert (await world.http.get("/v1/subscribers/ada", headers=world.sdk())).status_code == 201


async def test_trouble_on_our_side_is_a_5xx_so_that_the_purchase_is_sent_again(world: World):
    def break_down(sql: str) -> None:
        if "INSERT INTO purchase" in sql:
            raise RuntimeError("the disk is on fire")

    world.app.database.before_statement = break_down
    answer = await world.buy("ada", "pro_monthly")
    world.app.database.before_statement = None
    assert (answer.status_code, answer.json()["code"]) == (500, 7110)
    assert await world.entitled("ada") == []
    assert (await world.buy("ada", "pro_monthly")).status_code == 200


@pytest.mark.parametrize("path", ["/v2/config", "/nothing", "/v1/subscribers/ada/nothing", "/v1/config/app"])
async def test_unknown_paths_are_json(world: World, path: str):
    answer = await world.http.request("POST" if "config/app" in path else "GET", path, headers=world.sdk())
    assert answer.status_code == 404
    assert answer.json()["message"]


async def test_a_browser_s_preflight_is_answered(world: World):
    answer = await world.http.options(
        "/v1/receipts",
        headers={"Origin": "http://app.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-custom"},
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-headers"] == "x-custom"
    assert "PATCH" in answer.headers["access-control-allow-methods"]


async def test_native_sdks_get_a_304_until_something_changes(world: World):
    native = {"X-Platform": "iOS", "X-RevenueCat-ETag": ""}
    first = await world.http.get("/v1/subscribers/ada", headers=world.sdk(**native))
    tag = first.headers["x-revenuecat-etag"]
    again = await world.http.get("/v1/subscribers/ada", headers=world.sdk(**{**native, "X-RevenueCat-ETag": tag}))
    assert (again.status_code, again.content, again.headers["x-revenuecat-etag"]) == (304, b"", tag)
    await world.buy("ada", "pro_monthly")
    changed = await world.http.get("/v1/subscribers/ada", headers=world.sdk(**{**native, "X-RevenueCat-ETag": tag}))
    assert changed.status_code == 200
    web = await world.http.get("/v1/subscribers/ada", headers=world.sdk(**{"X-Platform": "web", "X-RevenueCat-ETag": tag}))
    assert web.status_code == 200


@pytest.mark.parametrize("path", ["/v1/subscribers/%24RCAnonymousID%3Aab", "/v1/subscribers/ada/offerings", "/v1/product_entitlement_mapping"])
async def test_answers_are_signed_as_the_native_sdks_check_them(world: World, path: str):
    nonce = base64.b64encode(b"123456789abc").decode()
    headers = world.sdk(**{"X-Platform": "iOS", "X-Nonce": nonce, "X-Headers-Hash": "X-Is-Sandbox:sha256:00", "X-RevenueCat-ETag": ""})
    answer = await world.http.get(path, headers=headers)
    signer = await Signer.open(world.app.database, world.app.vault, world.app.settings.home)
    root = Ed25519PublicKey.from_public_bytes(base64.b64decode(signer.root_public_key))
    raw = base64.b64decode(answer.headers["x-signature"])
    assert len(raw) == 180
    key, days, by_root, salt, by_key = raw[:32], raw[32:36], raw[36:100], raw[100:116], raw[116:]
    root.verify(by_root, days + key)
    signed = Signed(
        api_key=world.keys["test_store"],
        nonce=b"123456789abc",
        path=path,
        post_params_hash="",
        headers_hash="X-Is-Sandbox:sha256:00",
        request_time=answer.headers["x-revenuecat-request-time"],
        etag=answer.headers["x-revenuecat-etag"],
        body=answer.content,
    )
    Ed25519PublicKey.from_public_bytes(key).verify(by_key, signed.message(salt))


async def test_a_body_larger_than_anyone_needs_is_refused(world: World):
    answer = await world.http.post("/v1/receipts", headers=world.sdk(), content=b"x" * (1024 * 1024 + 1))
    assert answer.status_code == 413
    assert answer.json()["code"] == 7226


async def test_reads_do_not_write_and_sightings_are_saved_in_batches(world: World):
    await world.customer("ada")
    statements: list[str] = []
    world.app.database.before_statement = statements.append
    for _ in range(5):
        await world.http.get("/v1/subscribers/ada", headers=world.sdk(**{"X-Platform": "iOS", "X-Client-Version": "3.1"}))
    world.app.database.before_statement = None
    assert statements == []


STRANGE = {"age": 42, "is_new": True, "tags": ["a"], "nested": {"a": 1}, "ratio": 0.5}


@pytest.mark.parametrize("where", ["attributes", "receipts"])
async def test_an_attribute_of_another_type_is_refused_alone(world: World, where: str):
    sent = {
        "city": {"value": "Bonn", "updated_at_ms": 1},
        **{name: {"value": value, "updated_at_ms": 1} for name, value in STRANGE.items()},
        "bare": 5,
        "words": "text",
        "when": {"value": "x", "updated_at_ms": "yesterday"},
        "never": {"value": "x", "updated_at_ms": 1e300},
        "gone": {"value": None, "updated_at_ms": 1},
        "now": {"value": "x"},
    }
    if where == "attributes":
        answer = await world.http.post("/v1/subscribers/ada/attributes", headers=world.sdk(), json={"attributes": sent})
        assert (answer.status_code, answer.json()["code"]) == (400, 7263)
        problems = answer.json()["attribute_errors"]
    else:
        answer = await world.buy("ada", "pro_monthly", attributes=sent)
        assert answer.status_code == 200, answer.text
        assert list(answer.json()["subscriber"]["entitlements"]) == ["pro"]
        assert answer.json()["attributes_error_response"]["code"] == 7263
        problems = answer.json()["attributes_error_response"]["attribute_errors"]
    assert {one["key_name"] for one in problems} == {*STRANGE, "bare", "words", "when"}
    assert next(one["message"] for one in problems if one["key_name"] == "age").startswith("values are texts")
    async with world.app.database.transaction(world.project_id) as tx:
        kept = (await customers.get(tx, "ada")).attributes
    assert {name: one.value for name, one in kept.items()} == {"city": "Bonn", "never": "x", "gone": None, "now": "x"}


@pytest.mark.parametrize("attributes", ["text", 5, [], [{"key": "a"}], True])
async def test_attributes_that_are_none_lose_no_purchase(world: World, attributes: object):
    answer = await world.buy("ada", "pro_monthly", attributes=attributes)
    assert answer.status_code == 200, answer.text
    assert [one["key_name"] for one in answer.json()["attributes_error_response"]["attribute_errors"]] == ["attributes"]
    assert await world.told("ada") == ["INITIAL_PURCHASE"]

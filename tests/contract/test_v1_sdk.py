"""What SDKs call beside purchases, request by request: exact answers, error numbers, and nothing that is our fault."""

import base64
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial import catalog, customer_center, customers, redemption, telemetry
from perennial.api.observe import OBSERVED
from perennial.api.signing import Signed
from perennial.api.v1 import customer_center as customer_center_handlers
from perennial.api.v1 import eligibility
from perennial.api.v1 import redemption as redemption_handlers
from perennial.api.v1 import telemetry as telemetry_handlers
from perennial.base.time import to_ms
from perennial.catalog.model import PackageProduct
from perennial.customer_center.model import Config, Support, SupportTickets
from perennial.providers.apple.signer import SigningAuthority
from tests.apple_messages import transaction, trust
from tests.rules.lives import Life
from tests.world import BUNDLE, START, World

IOS = {"X-Platform": "iOS", "X-StoreKit-Version": "2"}


async def post(world: World, path: str, body: Any, *, store: str = "app_store", status: int = 200, **headers: str) -> Any:
    answer = await world.http.post(path, headers=world.sdk(store, **{**IOS, **headers}), json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["access-control-allow-origin"] == "*"
    return answer.json()


# Introductory offers, and offers that are signed


@pytest.fixture
async def pen(world: World) -> SigningAuthority:
    made = SigningAuthority.create(START)
    await trust(world, made)
    return made


def proof(pen: SigningAuthority, *, trial: bool) -> str:
    """What the device has of a subscription that began ten days ago."""
    life = Life(clock=START - timedelta(days=10), product="pro_monthly")
    life.subscribe(trial=trial)
    return pen.sign(transaction(life.purchases[0], line="7000"))


ASKED = ["pro_monthly", "pro_annual", "coins", "unknown"]
ELIGIBILITY = "/v1/subscribers/ada/intro_eligibility"


async def test_who_is_new_may_have_an_introductory_offer(world: World):
    told = await post(world, ELIGIBILITY, {"product_identifiers": ASKED, "fetch_token": ""})
    assert told == {"pro_monthly": True, "pro_annual": True, "coins": None, "unknown": None}
    assert (await world.http.get("/v1/subscribers/ada", headers=world.sdk())).status_code == 201, "asking makes nobody a customer"


async def test_who_had_a_trial_may_not_have_it_again(world: World, pen: SigningAuthority):
    await post(world, "/v1/receipts", {"app_user_id": "ada", "fetch_token": proof(pen, trial=True)})
    told = await post(world, ELIGIBILITY, {"product_identifiers": ASKED, "fetch_token": "bm90aGluZw=="})
    assert told == {"pro_monthly": False, "pro_annual": None, "coins": None, "unknown": None}


async def test_the_receipt_tells_of_a_trial_under_another_id(world: World, pen: SigningAuthority):
    told = await post(world, ELIGIBILITY, {"product_identifiers": ["pro_monthly"], "fetch_token": proof(pen, trial=True)})
    assert told == {"pro_monthly": False}
    paid = await post(world, ELIGIBILITY, {"product_identifiers": ["pro_monthly"], "fetch_token": proof(pen, trial=False)})
    assert paid == {"pro_monthly": True}
    assert await world.lines("ada") == [], "asking records nothing"


async def give_key(world: World) -> EllipticCurvePrivateKey:
    key = generate_private_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.change_app(tx, world.app.vault, world.app_ids["app_store"], api_key_id="KEY123", api_private_key=pem)
    return key


def wanted(**more: Any) -> dict[str, Any]:
    offer = {"offer_id": "stay", "product_id": "pro_annual", "subscription_group": "21"}
    return {"app_user_id": "Ada", "fetch_token": None, "generate_offers": [offer], **more}


@pytest.mark.parametrize(("version", "buyer"), [("1", "ada"), ("2", "")])
async def test_an_offer_is_signed_with_the_apps_own_key(world: World, pen: SigningAuthority, version: str, buyer: str):
    key = await give_key(world)
    await post(world, "/v1/receipts", {"app_user_id": "Ada", "fetch_token": proof(pen, trial=True)})
    [offer] = (await post(world, "/v1/offers", wanted(), **{"X-StoreKit-Version": version}))["offers"]
    assert set(offer) == {"key_id", "offer_id", "product_id", "signature_data"}
    assert (offer["key_id"], offer["offer_id"], offer["product_id"]) == ("KEY123", "stay", "pro_annual")
    data = offer["signature_data"]
    assert data["timestamp"] == to_ms(START)
    text = "\u2063".join((BUNDLE, "KEY123", "pro_annual", "stay", buyer, data["nonce"], str(data["timestamp"])))
    key.public_key().verify(base64.b64decode(data["signature"]), text.encode(), ECDSA(SHA256()))


async def test_the_device_s_own_proof_is_enough_for_an_offer(world: World, pen: SigningAuthority):
    await give_key(world)
    [offer] = (await post(world, "/v1/offers", wanted(fetch_token=proof(pen, trial=True))))["offers"]
    assert "signature_data" in offer
    again = (await post(world, "/v1/offers", wanted(fetch_token=proof(pen, trial=True))))["offers"][0]
    assert again["signature_data"]["nonce"] != offer["signature_data"]["nonce"]


async def test_an_offer_is_not_for_who_never_subscribed(world: World):
    await give_key(world)
    [offer] = (await post(world, "/v1/offers", wanted()))["offers"]
    assert (offer["signature_error"]["code"], "signature_data" in offer) == (7232, False)


async def test_without_the_apps_key_no_offer_is_signed(world: World, pen: SigningAuthority):
    [offer] = (await post(world, "/v1/offers", wanted(fetch_token=proof(pen, trial=True))))["offers"]
    assert (offer["signature_error"]["code"], offer["key_id"]) == (7234, "")


async def test_only_the_app_store_signs_offers(world: World):
    assert (await post(world, "/v1/offers", wanted(), store="test_store", status=400))["code"] == 7226
    assert (await post(world, "/v1/offers", wanted(generate_offers=[]), status=400))["code"] == 7226


@pytest.mark.parametrize(("behavior", "allowed"), [("keep", False), ("transfer", True), ("transfer_if_inactive", False), ("share", True)])
async def test_whether_a_restore_would_be_allowed_is_told_and_nothing_done(world: World, pen: SigningAuthority, behavior: Any, allowed: bool):
    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.update_project(tx, restore_behavior=behavior)
    bobs = proof(pen, trial=False)
    await post(world, "/v1/receipts", {"app_user_id": "bob", "fetch_token": bobs})

    async def may_restore(app_user_id: str) -> bool:
        answer = await post(world, f"/v1/subscribers/{app_user_id}/restore/eligibility", {"fetch_token": bobs})
        assert set(answer) == {"is_purchase_allowed_by_restore_behavior"}
        return bool(answer["is_purchase_allowed_by_restore_behavior"])

    assert await may_restore("bob")
    assert await may_restore("ada") is allowed
    assert await world.entitled("bob", store="app_store") == ["pro"]
    assert [await world.told("bob"), await world.told("ada")] == [["INITIAL_PURCHASE"], []]
    assert (await world.http.get("/v1/subscribers/ada", headers=world.sdk())).status_code == 201
    assert (await post(world, "/v1/subscribers/ada/restore/eligibility", {"fetch_token": "nonsense"}, status=400))["code"] == 7103


# What is sold


async def test_the_map_for_offline_entitlements_is_whole_and_cached(world: World):
    path = "/v1/product_entitlement_mapping"
    first = await world.http.get(path, headers=world.sdk("app_store", **IOS, **{"X-RevenueCat-ETag": ""}))
    assert first.json() == {
        "product_entitlement_mapping": {
            "pro_monthly": {"product_identifier": "pro_monthly", "entitlements": ["pro"]},
            "pro_annual": {"product_identifier": "pro_annual", "entitlements": ["pro"]},
            "pro_lifetime": {"product_identifier": "pro_lifetime", "entitlements": ["pro"]},
            "coins": {"product_identifier": "coins", "entitlements": []},
        }
    }
    tag = {"X-RevenueCat-ETag": first.headers["x-revenuecat-etag"]}
    again = await world.http.get(path, headers=world.sdk("app_store", **IOS, **tag))
    assert (again.status_code, again.content, again.headers["x-revenuecat-etag"]) == (304, b"", tag["X-RevenueCat-ETag"])
    async with world.app.database.transaction(world.project_id) as tx:
        await catalog.create_product(tx, app_id=world.app_ids["app_store"], store_identifier="new", type="consumable")
    assert (await world.http.get(path, headers=world.sdk("app_store", **IOS, **tag))).status_code == 200


async def test_a_base_plan_of_google_play_is_told_by_both_its_names(world: World):
    async with world.app.database.transaction(world.project_id) as tx:
        app, key = await catalog.create_app(tx, world.app.vault, name="Play", store="play_store", bundle_id=BUNDLE)
        product = await catalog.create_product(tx, app_id=app.app_id, store_identifier="pro:monthly", type="subscription", duration="P1M")
        [offering] = await catalog.get_offerings(tx)
        sold = PackageProduct(product_id=product.product_id, eligibility_criteria="all")
        await catalog.attach_to_package(tx, offering.packages[0].package_id, [sold])
        [pro] = await catalog.get_entitlements(tx)
        await catalog.attach_products(tx, pro.entitlement_id, [product.product_id])
    headers = {"Authorization": f"Bearer {key.public_key}", "X-Platform": "android"}
    mapping = (await world.http.get("/v1/product_entitlement_mapping", headers=headers)).json()["product_entitlement_mapping"]
    assert mapping == {"pro:monthly": {"product_identifier": "pro", "base_plan_id": "monthly", "entitlements": ["pro"]}}
    [default] = (await world.http.get("/v1/subscribers/ada/offerings", headers=headers)).json()["offerings"]
    assert default["packages"] == [{"identifier": "$rc_monthly", "platform_product_identifier": "pro", "platform_product_plan_identifier": "monthly"}]


# The Customer Center


async def test_the_customer_center_has_every_field_both_sdks_want(world: World):
    for platform in ("iOS", "android"):
        answer = await world.http.get("/v1/customercenter/ada", headers=world.sdk("app_store", **{"X-Platform": platform}))
        body = answer.json()
        assert set(body) == {"customer_center", "last_published_app_version", "itunes_track_id"}
        center = body["customer_center"]
        assert set(center) == {"screens", "appearance", "localization", "support", "change_plans"}
        assert set(center["screens"]) == {"MANAGEMENT", "NO_ACTIVE"}
        assert center["screens"]["MANAGEMENT"]["type"] == "MANAGEMENT"
        assert [path["type"] for path in center["screens"]["MANAGEMENT"]["paths"]] == ["MISSING_PURCHASE", "REFUND_REQUEST", "CANCEL"]
        assert (center["appearance"], center["change_plans"]) == ({"light": {}, "dark": {}}, [])
        assert center["localization"] == {"locale": "en_US", "localized_strings": {}}
        assert (center["support"]["email"], center["support"]["support_tickets"]["allow_creation"]) == ("", False)
    assert (await world.http.get("/v1/subscribers/ada", headers=world.sdk())).status_code == 201


async def take_tickets(world: World) -> None:
    async with world.app.database.transaction(world.project_id) as tx:
        config = await customer_center.get_config(tx)
        support = Support(email="help@example.com", support_tickets=SupportTickets(allow_creation=True, customer_type="all"))
        await customer_center.set_config(tx, Config(screens=config.screens, support=support))


TICKET = {"app_user_id": "ada", "customer_email": "ada@example.com", "issue_description": "Where are my coins?"}


async def test_a_ticket_is_kept_where_tickets_are_taken(world: World):
    path = "/v1/customercenter/support/create-ticket"
    assert await post(world, path, TICKET) == {"sent": False}
    await take_tickets(world)
    assert await post(world, path, TICKET) == {"sent": True}
    assert [(await post(world, path, TICKET))["sent"] for _ in range(10)] == [True] * 9 + [False], "no more than ten a day"
    async with world.app.database.transaction(world.project_id) as tx:
        tickets = await customer_center.get_tickets(tx)
    assert len(tickets) == 10
    assert (tickets[0].app_user_id, tickets[0].email, tickets[0].description) == ("ada", "ada@example.com", "Where are my coins?")
    assert (await post(world, path, TICKET | {"customer_email": "nonsense"}, status=400))["code"] == 7012
    assert (await post(world, path, TICKET | {"issue_description": " "}, status=400))["code"] == 7226


# Telemetry


def event(**more: Any) -> dict[str, Any]:
    return {"id": "e1", "version": 1, "type": "paywall_impression", "app_user_id": "ada", "timestamp": to_ms(START), **more}


async def kept(world: World) -> list[Any]:
    async with world.app.database.transaction(world.project_id) as tx:
        return [dict(row) for row in await tx.fetch("SELECT * FROM sdk_event ORDER BY event_id")]


async def test_events_are_kept_once_and_bad_ones_left_out(world: World):
    counts = [OBSERVED.sdk_events.labels(outcome)._value for outcome in ("kept", "known", "left out")]
    before = [count.get() for count in counts]
    web = {"id": "e2", "type": "web_billing", "event_name": "sdk_initialized", "app_user_id": "ada", "timestamp_ms": to_ms(START) - 1000}
    batch = {"events": [event(offering_id="default"), web, {"nonsense": True}, event(id="\x00"), event(id="e3", more="a\x00b")]}
    for _ in range(2):
        answer = await world.http.post("/v1/events", headers=world.sdk(**{"X-Platform": "web"}), json=batch)
        assert (answer.status_code, answer.json()) == (200, {})
    first, second = await kept(world)
    assert (first["event_id"], first["type"], first["app_user_id"], first["happened_at"]) == ("e1", "paywall_impression", "ada", START)
    assert (first["data"], first["app_id"]) == (event(offering_id="default"), world.app_ids["test_store"])
    assert (second["type"], second["data"]["event_name"]) == ("web_billing", "sdk_initialized")
    assert [count.get() - old for count, old in zip(counts, before, strict=True)] == [2, 2, 6]


async def test_a_flood_of_events_is_cut(world: World):
    batch = {"events": [event(id=str(number)) for number in range(telemetry.MOST_EVENTS + 1)]}
    await post(world, "/v1/events", batch)
    assert len(await kept(world)) == telemetry.MOST_EVENTS


async def test_diagnostics_are_counted_and_not_kept(world: World):
    counter = OBSERVED.sdk_diagnostics.labels("http_request_performed", "success")._value
    before = counter.get()
    entry = {"id": "1", "name": "http_request_performed", "properties": {"successful": True, "host": "x"}, "timestamp": "2026-01-31T12:00:00Z"}
    assert await post(world, "/v1/diagnostics", {"entries": [entry, entry, "nonsense"]}) == {}
    assert counter.get() - before == 2
    assert await kept(world) == []


async def test_where_a_customer_came_from_is_kept_by_network(world: World):
    at = "/v1/subscribers/ada"
    assert await post(world, f"{at}/adservices_attribution", {"aad_attribution_token": "token"}) == {}
    assert await post(world, f"{at}/attribution", {"network": 2, "data": {"campaign": "first"}}) == {}
    assert await post(world, f"{at}/attribution", {"network": 2, "data": {"campaign": "second", "rc_idfa": "A-1"}}) == {}
    assert (await post(world, f"{at}/attribution", {"network": 99, "data": {}}, status=400))["code"] == 7226
    async with world.app.database.transaction(world.project_id) as tx:
        ada = await customers.get(tx, "ada")
        found = await telemetry.attributions(tx, [ada.customer_id])
    assert [(one.network, one.data) for one in found] == [
        ("adservices", {"token": "token"}),
        ("appsflyer", {"campaign": "second", "rc_idfa": "A-1"}),
    ]
    assert ada.attributes["$idfa"].value == "A-1"


# Health


async def test_the_health_report_says_what_is_missing(world: World):
    async def report(bundle_id: str) -> Any:
        headers = world.sdk("app_store", **IOS, **{"X-Client-Bundle-ID": bundle_id})
        return (await world.http.get("/v1/subscribers/ada/health_report", headers=headers)).json()

    well = await report(BUNDLE)
    assert (well["status"], well["project_id"], well["app_id"]) == ("passed", world.project_id, world.app_ids["app_store"])
    assert [(check["name"], check["status"]) for check in well["checks"]] == [
        ("api_key", "passed"),
        ("bundle_id", "passed"),
        ("products", "passed"),
        ("offerings", "passed"),
        ("offerings_products", "passed"),
    ]
    [default] = well["checks"][-1]["details"]["offerings"]
    assert default["packages"][0] == {
        "identifier": "$rc_monthly",
        "title": "pro_monthly",
        "status": "ok",
        "description": "It has a product of this app.",
        "product_identifier": "pro_monthly",
        "product_title": "pro_monthly",
    }
    async with world.app.database.transaction(world.project_id) as tx:
        [offering] = await catalog.get_offerings(tx)
        await catalog.create_package(tx, offering_id=offering.offering_id, lookup_key="empty", display_name="Empty")
    ill = await report("com.example.other")
    assert ill["status"] == "failed"
    assert [check["status"] for check in ill["checks"]] == ["passed", "failed", "passed", "passed", "warning"]
    assert ill["checks"][1]["details"] == {"sdk_bundle_id": "com.example.other", "app_bundle_id": BUNDLE}
    assert ill["checks"][-1]["details"]["offerings"][0]["packages"][-1]["status"] == "not_found"


async def test_health_needs_no_key(world: World):
    assert (await world.http.get("/v1/health")).json() == ""
    assert (await world.http.get("/v1/subscribers/ada/health_report_availability")).json() == {"report_logs": False}


async def test_a_redemption_is_signed_as_android_checks_it(world: World):
    await world.buy("ada", "pro_monthly")
    token = await issued(world, "ada")
    nonce = base64.b64encode(b"123456789abc").decode()
    headers = world.sdk("test_store", **{"X-Platform": "android", "X-Nonce": nonce})
    path = "/v1/subscribers/redeem_purchase"
    answer = await world.http.post(path, headers=headers, json={"redemption_token": token, "app_user_id": "ada"})
    assert answer.status_code == 200, answer.text
    raw = base64.b64decode(answer.headers["x-signature"])
    signed = Signed(
        api_key=world.keys["test_store"],
        nonce=b"123456789abc",
        path=path,
        post_params_hash="",
        headers_hash="",
        request_time=answer.headers["x-revenuecat-request-time"],
        etag="",
        body=answer.content,
    )
    Ed25519PublicKey.from_public_bytes(raw[:32]).verify(raw[116:], signed.message(raw[100:116]))


async def issued(world: World, app_user_id: str) -> str:
    async with world.app.database.transaction(world.project_id) as tx:
        return (await redemption.issue(tx, (await customers.get(tx, app_user_id)).customer_id)).token


# Whatever is sent


BODIES: dict[str, dict[str, Any]] = {
    "/v1/offers": wanted(),
    "/v1/subscribers/ada/restore/eligibility": {"fetch_token": "x"},
    ELIGIBILITY: {"product_identifiers": ["pro_monthly"], "fetch_token": "x"},
    "/v1/subscribers/redeem_purchase": {"redemption_token": "x", "app_user_id": "ada"},
    "/v1/customercenter/support/create-ticket": TICKET,
    "/v1/events": {"events": [event()]},
    "/v1/diagnostics": {"entries": [{"name": "purchase_started"}]},
    "/v1/subscribers/ada/attribution": {"network": 1, "data": {"a": "b"}},
    "/v1/subscribers/ada/adservices_attribution": {"aad_attribution_token": "x"},
}


@pytest.mark.parametrize(("key", "status", "code"), [(None, 401, 7224), ("Bearer test_wrong", 401, 7225)])
async def test_a_wrong_key_is_told_so(world: World, key: str | None, status: int, code: int):
    headers = {} if key is None else {"Authorization": key}
    for path, body in BODIES.items():
        answer = await world.http.post(path, headers=headers, json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
    for path in ("/v1/customercenter/ada", "/v1/subscribers/ada/health_report"):
        answer = await world.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path


NO_JSON = (
    b"{",
    b"",
    b"\xff",
    b'{"app_user_id": "\\ud800"}',
    b"[" * 100_000,
    b'{"events":' * 10_000,
    b'{"events":[' + b"[" * 100_000,
    b"null",
    b"1e999",
)


async def test_what_is_no_json_is_refused(world: World):
    await take_tickets(world)
    for path in BODIES:
        for content in NO_JSON:
            answer = await world.http.post(path, headers=world.sdk("app_store", **IOS, **{"Content-Type": "application/json"}), content=content)
            assert answer.status_code == 400, (path, content[:20], answer.text)
            assert answer.json()["code"] == 7226


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_no_garbage_is_our_fault(world: World, data: st.DataObject) -> None:
    for path, body in BODIES.items():
        sent = dict(body)
        sent[data.draw(st.sampled_from(sorted(sent)))] = data.draw(JSON)
        address = path.replace("/ada/", f"/{quote(data.draw(TEXT), safe='')}/")
        answer = await world.http.post(address, headers=world.sdk("app_store", **IOS), json=sent)
        assert answer.status_code < 500, (address, sent, answer.text)
    for path in ("/v1/customercenter/", "/v1/subscribers/"):
        address = path + quote(data.draw(TEXT), safe="") + ("/health_report" if "subscribers" in path else "")
        assert (await world.http.get(address, headers=world.sdk("app_store", **IOS))).status_code < 500


def test_every_operation_here_is_sent_garbage():
    """A new one must be put among `BODIES`."""
    modules = (customer_center_handlers, eligibility, redemption_handlers, telemetry_handlers)
    taken = {path for module in modules for handler in module.HANDLERS if "POST" in handler.http_methods for path in handler.paths}
    assert taken == {path.replace("/ada/", "/{app_user_id:str}/") for path in BODIES}

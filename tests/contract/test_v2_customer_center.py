"""The Customer Center, its tickets and redemption links, as a project's own server manages them."""

from typing import Any

from tests.contract.v2_caller import Caller
from tests.world import START, World

SCREENS = {
    "MANAGEMENT": {
        "type": "MANAGEMENT",
        "title": "Hello",
        "paths": [{"id": "site", "type": "CUSTOM_URL", "title": "Site", "url": "https://x.example"}],
    },
    "NO_ACTIVE": {"type": "NO_ACTIVE", "title": "Nothing yet"},
}


async def shown(world: World) -> Any:
    return (await world.http.get("/v1/customercenter/ada", headers=world.sdk("app_store"))).json()


async def test_what_is_put_is_what_apps_show(world: World):
    v2 = Caller.of(world)
    default = await v2.get("/customer_center")
    assert default["screens"]["MANAGEMENT"]["title"] == "How can we help?"
    wanted = {
        "screens": SCREENS,
        "appearance": {"light": {"accent_color": "#0A84FF"}},
        "localization": {"locale": "de_DE", "localized_strings": {"cancel": "Kündigen"}},
        "support": {"email": "help@example.com", "display_virtual_currencies": True},
        "last_published_app_version": "2.1.0",
    }
    put = await v2.ask("PUT", "/customer_center", wanted, status=200)
    assert put == await v2.get("/customer_center")
    body = await shown(world)
    assert body["last_published_app_version"] == body["customer_center"]["last_published_app_version"] == "2.1.0"
    center = body["customer_center"]
    assert center["screens"]["MANAGEMENT"]["paths"] == SCREENS["MANAGEMENT"]["paths"]
    assert center["appearance"] == {"light": {"accent_color": "#0A84FF"}, "dark": {}}
    assert center["localization"]["localized_strings"] == {"cancel": "Kündigen"}
    assert (center["support"]["email"], center["support"]["display_virtual_currencies"]) == ("help@example.com", True)
    [entry] = [one for one in (await v2.get("/audit_logs"))["items"] if one["action_type"] == "customer_center.put"]
    assert entry["target_identifier"] == world.project_id


async def test_what_would_break_an_sdk_is_refused_by_name(world: World):
    v2 = Caller.of(world)

    async def refused(body: Any, param: str | None) -> str:
        return await v2.refused("PUT", "/customer_center", body, status=400, type="parameter_error", param=param)

    assert await refused({}, "screens") == "screens is missing"
    wrong = {"screens": SCREENS | {"MANAGEMENT": {"type": "MANAGEMENT", "title": "A", "paths": [{"id": "a", "type": "CUSTOM_URL", "title": "A"}]}}}
    assert (await refused(wrong, "screens.MANAGEMENT.paths[0].url")).endswith("is missing: say what to open")
    assert "accent_color" in await refused({"screens": SCREENS, "appearance": {"light": {"accent_color": "blue"}}}, "appearance.light.accent_color")
    assert (await shown(world))["customer_center"]["screens"]["MANAGEMENT"]["title"] == "How can we help?"


async def test_tickets_are_listed_newest_first_and_closed_once(world: World):
    v2 = Caller.of(world)
    await v2.ask(
        "PUT", "/customer_center", {"screens": SCREENS, "support": {"support_tickets": {"allow_creation": True, "customer_type": "not_active"}}}
    )
    for number in range(3):
        ticket = {"app_user_id": "ada", "customer_email": "ada@example.com", "issue_description": f"Number {number}"}
        sent = await world.http.post("/v1/customercenter/support/create-ticket", headers=world.sdk(), json=ticket)
        assert sent.json() == {"sent": True}
        await world.advance(minutes=1)
    first = await v2.get("/support_tickets", limit=2)
    assert [one["description"] for one in first["items"]] == ["Number 2", "Number 1"]
    second = await v2.get(first["next_page"])
    assert [one["description"] for one in second["items"]] == ["Number 0"]
    closed = await v2.post(f"/support_tickets/{second['items'][0]['id']}/actions/close", status=200)
    await world.advance(minutes=5)
    again = await v2.post(f"/support_tickets/{second['items'][0]['id']}/actions/close", status=200)
    assert closed["closed_at"] == again["closed_at"] == int(START.timestamp() * 1000) + 180_000
    await v2.refused("POST", "/support_tickets/tick_nowhere/actions/close", status=404, type="resource_missing", param="ticket_id")


async def test_a_redemption_link_is_issued_for_a_web_purchase(world: World):
    v2 = Caller.of(world)
    buyer = "$RCAnonymousID:" + "b" * 32
    await world.buy(buyer, "pro_monthly")
    issued = await v2.post(f"/customers/{buyer}/actions/issue_redemption_link", {"url_scheme": "rc-app"})
    assert issued["redeem_url"] == f"rc-app://redeem_web_purchase?redemption_token={issued['token']}"
    assert (issued["expires_at"], issued["email"]) == (int(START.timestamp() * 1000) + 3_600_000, None)
    body = {"redemption_token": issued["token"], "app_user_id": "ada"}
    assert (await world.http.post("/v1/subscribers/redeem_purchase", headers=world.sdk(), json=body)).status_code == 200
    assert await world.entitled("ada") == ["pro"]
    await world.customer("bea")
    await v2.refused("POST", "/customers/bea/actions/issue_redemption_link", {}, status=422, type="unprocessable_entity_error", param="customer_id")

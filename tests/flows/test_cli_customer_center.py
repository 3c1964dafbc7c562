"""The Customer Center and redemption links from the command line."""

import json
from pathlib import Path

import pytest

from tests.flows.test_cli import perennial
from tests.world import World

BUYER = "$RCAnonymousID:" + "b" * 32


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))


async def test_the_customer_center_goes_out_as_a_file_and_comes_back_changed(world: World, tmp_path: Path):
    here = ("--project", world.project_id)
    shown = json.loads(await perennial("customer-center", "show", *here))
    shown["screens"]["MANAGEMENT"]["title"] = "At your service"
    shown["support"]["support_tickets"] = {"allow_creation": True, "customer_type": "all"}
    file = tmp_path / "center.json"
    file.write_text(json.dumps(shown))
    assert "apps show it" in await perennial("customer-center", "put", str(file), *here)
    center = (await world.http.get("/v1/customercenter/ada", headers=world.sdk("app_store"))).json()["customer_center"]
    assert center["screens"]["MANAGEMENT"]["title"] == "At your service"
    file.write_text('{"screens": 5}')
    assert "is not as documented" in await perennial("customer-center", "put", str(file), *here, code=1)

    ticket = {"app_user_id": "ada", "customer_email": "ada@example.com", "issue_description": "Where are my coins?"}
    await world.http.post("/v1/customercenter/support/create-ticket", headers=world.sdk(), json=ticket)
    listed = await perennial("customer-center", "tickets", *here)
    assert "Where are my coins?" in listed and "open" in listed
    ticket_id = next(word for word in listed.split() if word.startswith("tick_"))
    assert f"closed {ticket_id}" in await perennial("customer-center", "close", ticket_id, *here)
    assert "closed" in await perennial("customer-center", "tickets", *here)
    assert "no ticket" in await perennial("customer-center", "close", "tick_nowhere", *here, code=1)


async def test_a_link_is_issued_to_be_sent(world: World):
    here = ("--project", world.project_id)
    await world.buy(BUYER, "pro_monthly")
    printed = await perennial("redemption-link", BUYER, "--url-scheme", "rc-app", *here)
    token = printed.split("rc-app://redeem_web_purchase?redemption_token=")[1].split()[0]
    assert "2026-01-31 13:00" in printed
    body = {"redemption_token": token, "app_user_id": "ada"}
    assert (await world.http.post("/v1/subscribers/redeem_purchase", headers=world.sdk(), json=body)).status_code == 200
    assert await world.entitled("ada") == ["pro"]
    await world.customer("bea")
    assert "bought nothing on the web" in await perennial("redemption-link", "bea", *here, code=1)

"""The vendor's Firebase extension is told as its own code reads it: one signed token for each event, with the customer as they are now."""

import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest

from perennial import customers, events, subscriptions
from perennial.base.time import wall_clock
from tests.contract.v2_caller import Caller
from tests.flows.test_integrations import status
from tests.flows.test_webhook_delivery import Receiver
from tests.moving import perennial
from tests.world import World

SECRET = "shared-by-both"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().open() as opened:
        yield opened


async def connect(world: World, receiver: Receiver, **settings: str) -> str:
    async with world.app.database.transaction(world.project_id) as tx:
        made = await events.create_integration(
            tx,
            world.app.vault,
            world.app.carrier,
            kind="firestore",
            name="Firestore",
            settings={"url": f"http://127.0.0.1:{receiver.port}/ext-firestore-revenuecat-purchases-handler", **settings},
            secrets={"shared_secret": SECRET},
        )
    return made.endpoint_id


def opened(body: bytes, secret: str = SECRET) -> dict[str, Any]:
    """As the extension does: the token is verified, its payload is a text, the version must be its own."""
    head, claims, signature = json.loads(body)["token"].split(".")
    assert json.loads(unpadded(head)) == {"typ": "JWT", "alg": "HS256"}
    assert unpadded(signature) == hmac.digest(secret.encode(), f"{head}.{claims}".encode(), sha256)
    said = json.loads(unpadded(claims))
    now = wall_clock().timestamp()
    assert said["iss"] == "https://firebase-extension.revenuecat.com/" and said["iat"] <= now + 1 < said["exp"] + 1
    payload: dict[str, Any] = json.loads(said["payload"])
    return payload


def unpadded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_a_purchase_and_a_transfer_come_with_their_customers(world: World, receiver: Receiver):
    await connect(world, receiver)
    await world.buy("ada", "pro_monthly")
    await world.run_due()
    (heard,) = receiver.heard
    bought = opened(heard.body)
    assert bought["api_version"] == "0.1.4"
    assert (bought["event"]["type"], bought["event"]["app_user_id"], bought["event"]["aliases"]) == ("INITIAL_PURCHASE", "ada", ["ada"])
    assert bought["customer_info"]["original_app_user_id"] == "ada"
    assert bought["customer_info"]["entitlements"]["pro"]["expires_date"] == "2026-02-28T12:00:00Z"
    assert "origin_customer_info" not in bought

    await world.customer("bob")
    async with world.app.database.transaction(world.project_id) as tx:
        ada, bob = (await customers.get(tx, "ada")).customer_id, (await customers.get(tx, "bob")).customer_id
        await subscriptions.transfer(tx, ada, bob)
    await world.run_due()
    moved = opened(receiver.heard[-1].body)
    event = moved["event"]
    assert {name: event[name] for name in ("type", "app_user_id", "origin_app_user_id", "aliases", "transferred_from", "transferred_to")} == {
        "type": "TRANSFER",
        "app_user_id": "bob",
        "origin_app_user_id": "ada",
        "aliases": ["bob"],
        "transferred_from": ["ada"],
        "transferred_to": ["bob"],
    }
    assert list(moved["customer_info"]["entitlements"]) == ["pro"] and moved["customer_info"]["original_app_user_id"] == "bob"
    assert moved["origin_customer_info"]["entitlements"] == {} and moved["origin_customer_info"]["original_app_user_id"] == "ada"
    assert "origin_app_user_id" not in (await world.bodies("bob"))[-1], "webhooks have the vendor's documented fields alone"


async def test_a_test_says_how_the_extension_answers_and_a_wrong_version_is_tried_again(world: World, receiver: Receiver):
    endpoint_id = await connect(world, receiver, api_version="0.1.17")
    shown = await Caller.of(world).post(f"/integrations/{endpoint_id}/actions/test")
    await world.run_due()
    assert receiver.heard, shown
    assert opened(receiver.heard[0].body)["event"]["type"] == "TEST"
    assert opened(receiver.heard[0].body)["customer_info"]["entitlements"] == {}
    assert opened(receiver.heard[0].body)["api_version"] == "0.1.17"

    async def refuse(_: Any) -> bytes:
        return status(400, '{"error":{"code":2,"message":"version"}}')

    receiver.reply = refuse
    await world.buy("ada", "pro_monthly")
    await world.run_due()
    async with world.app.database.transaction(world.project_id) as tx:
        found = [one.state for event in await events.list_events(tx) for one in event.deliveries if event.type != "TEST"]
    assert found == ["retrying"], "a wrong version or secret is mended by a person, and nothing is lost meanwhile"


async def test_events_of_who_was_deleted_are_of_who_stands_for_them(world: World, receiver: Receiver):
    await world.buy("ada", "pro_monthly")
    async with world.app.database.transaction(world.project_id) as tx:
        gone = await customers.forget(tx, "ada")
    await connect(world, receiver)
    await world.advance(days=60)
    assert receiver.heard, "its end is told"
    assert {opened(heard.body)["event"]["app_user_id"] for heard in receiver.heard} == {gone.pseudonym}
    assert {opened(heard.body)["customer_info"]["original_app_user_id"] for heard in receiver.heard} == {gone.pseudonym}


async def test_by_the_command_line(world: World, tmp_path, monkeypatch):
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    said = await perennial("integrations", "kinds")
    assert "firestore" in said
    await perennial(
        "integrations",
        "create",
        "firestore",
        "--secret",
        f"shared_secret={SECRET}",
        "--set",
        "url=https://example.com/handler",
        "-p",
        world.project_id,
    )
    assert SECRET not in await perennial("integrations", "list", "-p", world.project_id)

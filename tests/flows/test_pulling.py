"""Where Google cannot reach us, a worker fetches its notifications: kept like pushed ones, and of each app that has them waiting."""

import json
from collections.abc import AsyncIterator, Iterator

import pytest

from perennial import agenda, catalog
from perennial.app import App
from perennial.base.value import replace
from perennial.providers.google import PlayStore
from tests.google_messages import APP, SUBSCRIPTION, FakeGoogle, about_subscription, push
from tests.world import World


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    fake = FakeGoogle()
    yield fake
    fake.close()


@pytest.fixture
async def pulling(world: World, google: FakeGoogle) -> AsyncIterator[App]:
    store = PlayStore(pubsub=google.address)
    yield replace(world.app, providers={**world.app.providers, "play_store": store})
    await store.close()


async def play_app(world: World, google: FakeGoogle, **settings: str) -> str:
    async with world.app.database.transaction(world.project_id) as tx:
        made, _ = await catalog.create_app(
            tx,
            world.app.vault,
            name="Play",
            store="play_store",
            bundle_id=APP.bundle_id,
            settings=settings,
            secrets=dict(APP.secrets),
            api_base_url=google.address,
        )
        return made.app_id


async def kinds(world: World) -> list[tuple[str, str]]:
    async with world.app.database.transaction(world.project_id) as tx:
        return [(row["app_id"], row["kind"]) for row in await tx.fetch("SELECT app_id, kind FROM notification ORDER BY message_id")]


async def test_what_waits_is_fetched_and_put_on_the_agenda_once(world: World, google: FakeGoogle, pulling: App) -> None:
    name = f"{SUBSCRIPTION}-{world.project_id[-8:].lower()}"
    app_id = await play_app(world, google, pubsub_subscription=name)
    message = json.loads(push(about_subscription(2)))["message"]
    google.says(f"//v1/{name}:pull", {"receivedMessages": [{"ackId": "ack-1", "message": message}]}, {})
    google.says(f"//v1/{name}:acknowledge", {})
    await agenda.pull_everywhere(pulling)
    await agenda.pull_everywhere(pulling)
    assert await kinds(world) == [(app_id, "SUBSCRIPTION_RENEWED")]
    assert [one.body for one in google.asked if one.path.endswith(":acknowledge")] == [{"ackIds": ["ack-1"]}]
    await agenda.run_once(pulling, world.project_id, "money")
    async with world.app.database.transaction(world.project_id) as tx:
        assert await tx.fetch_value("SELECT outcome FROM notification") == "recorded"


async def test_an_app_that_is_pushed_to_is_not_pulled(world: World, google: FakeGoogle, pulling: App) -> None:
    name = f"{SUBSCRIPTION}-pushed-{world.project_id[-8:].lower()}"  # another test's app may be pulled from the same port
    await play_app(world, google, pubsub_subscription=name, pubsub_audience="https://perennial.example.com")
    await agenda.pull_everywhere(pulling)
    assert [one.path for one in google.asked if name in one.path] == []

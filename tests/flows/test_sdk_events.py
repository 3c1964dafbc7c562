"""SDK events live for 90 days, and go when their person goes."""

from datetime import timedelta
from typing import Any

from perennial import telemetry
from perennial.base.time import to_ms
from tests.world import World


async def send(world: World, *names: str, app_user_id: str = "ada", ago: timedelta = timedelta(0)) -> None:
    events: list[dict[str, Any]] = [
        {"id": name, "type": "paywall_impression", "app_user_id": app_user_id, "timestamp": to_ms(await world.now() - ago)} for name in names
    ]
    assert (await world.http.post("/v1/events", headers=world.sdk(), json={"events": events})).status_code == 200


async def kept(world: World) -> list[str]:
    async with world.app.database.transaction(world.project_id) as tx:
        return [row["event_id"] for row in await tx.fetch("SELECT event_id FROM sdk_event ORDER BY event_id")]


async def test_events_are_forgotten_when_they_were_kept_long_enough(world: World):
    await send(world, "old", ago=timedelta(days=30))
    await send(world, "new")
    await world.advance(days=59)
    assert await kept(world) == ["new", "old"]
    await world.advance(days=2)
    assert await kept(world) == ["new"]
    await world.advance(days=30)
    assert await kept(world) == []
    await send(world, "later")
    await world.advance(days=200)
    assert await kept(world) == []


async def test_much_is_forgotten_in_batches(world: World, monkeypatch):
    monkeypatch.setattr("perennial.telemetry.actions.FORGET_BATCH", 2)
    await send(world, *(f"e{number}" for number in range(7)))
    await world.advance(days=91)
    assert await kept(world) == []


async def test_what_was_reported_of_someone_can_be_erased(world: World):
    await send(world, "hers")
    await send(world, "his", app_user_id="bob")
    async with world.app.database.transaction(world.project_id) as tx:
        assert await telemetry.forget_person(tx, ["ada", "ada@example.com"], []) == 1
    assert await kept(world) == ["his"]

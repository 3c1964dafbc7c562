"""Sightings: noted by reads, written in chunks of any projects by one statement."""

from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from perennial import customers
from perennial.api.observe import OBSERVED
from perennial.api.sightings import CHUNK, LAST_CHUNK, Sightings
from perennial.base.ids import CustomerId
from perennial.customers.model import SEEN_LATELY, Customer
from tests.world import START, World, make_world

IPHONE = {b"x-platform": b"iOS", b"x-client-version": b"3.1", b"x-storefront": b"GB"}
WEB = {b"x-platform": b"web"}


async def person(world: World, app_user_id: str) -> Customer:
    async with world.app.database.transaction(world.project_id) as tx:
        return await customers.get(tx, app_user_id)


async def note(sightings: Sightings, world: World, names: list[str], at: datetime, headers: dict[bytes, bytes]) -> None:
    for name in names:
        sightings.note(world.project_id, (await person(world, name)).customer_id, at, headers)
    await sightings.flush(share=1)


async def test_customers_of_several_projects_are_written_together_each_in_their_own(world: World):
    other = await make_world(world.app, world.http)
    names = [f"user-{number}" for number in range(CHUNK + 5)]
    for one in (world, other):
        async with one.app.database.transaction(one.project_id) as tx:
            await customers.ensure(tx, names)
    sightings, later = Sightings(world.app.database), START + timedelta(hours=1)
    for name in names:
        sightings.note(world.project_id, (await person(world, name)).customer_id, later, IPHONE)
        sightings.note(other.project_id, (await person(other, name)).customer_id, later, WEB)
    await sightings.flush(share=1)
    for name in (names[0], names[-1]):
        here, there = await person(world, name), await person(other, name)
        assert (here.last_seen_at, here.last_seen_platform, here.last_seen_app_version, here.last_seen_country) == (later, "iOS", "3.1", "GB")
        assert (there.last_seen_at, there.last_seen_platform, there.last_seen_app_version) == (later, "web", None)


async def test_who_was_seen_lately_is_not_written_again_and_nobody_is_seen_earlier(world: World):
    await world.customer("ada")
    later = START + timedelta(hours=1)
    await note(Sightings(world.app.database), world, ["ada"], later, IPHONE)
    for at in (later + SEEN_LATELY, later - timedelta(days=1)):
        await note(Sightings(world.app.database), world, ["ada"], at, WEB)
        ada = await person(world, "ada")
        assert (ada.last_seen_at, ada.last_seen_platform) == (later, "iOS")
    at = later + SEEN_LATELY + timedelta(seconds=1)
    await note(Sightings(world.app.database), world, ["ada"], at, WEB)
    ada = await person(world, "ada")
    assert (ada.last_seen_at, ada.last_seen_platform, ada.last_seen_app_version) == (at, "web", "3.1")


async def test_a_server_that_stops_writes_what_is_left(world: World):
    names, later = [f"user-{number}" for number in range(CHUNK * 2)], START + timedelta(hours=1)
    async with world.app.database.transaction(world.project_id) as tx:
        ids = await customers.ensure(tx, names)
    sightings = Sightings(world.app.database)
    for customer_id in ids[0].values():
        sightings.note(world.project_id, customer_id, later, IPHONE)
    await sightings.stop()
    assert {(await person(world, name)).last_seen_at for name in names} == {later}


async def test_a_server_that_stops_does_not_wait_for_a_database_that_hangs(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("perennial.api.sightings.FAREWELL", 0.05)
    await world.customer("ada")
    ada, sightings = await person(world, "ada"), Sightings(world.app.database)
    lost = OBSERVED.sightings_lost._value.get()
    async with world.app.database.transaction(world.project_id) as tx:
        await tx.execute("SELECT FROM customer WHERE customer_id = %(id)s FOR UPDATE", id=ada.customer_id)
        for number in range(LAST_CHUNK + 1):
            sightings.note(world.project_id, CustomerId(f"cus_{number}") if number else ada.customer_id, START + timedelta(hours=1), IPHONE)
        with capture_logs() as logs:
            await sightings.stop()
    assert [(one["event"], one["count"]) for one in logs] == [("sightings were not saved", LAST_CHUNK + 1)]
    assert OBSERVED.sightings_lost._value.get() - lost == LAST_CHUNK + 1

"""Sightings: noted by reads, written in chunks of any projects by one statement."""

from datetime import datetime, timedelta

from perennial import customers
from perennial.api.sightings import CHUNK, Sightings
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

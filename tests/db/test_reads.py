"""A kept document is right by being there: whatever happens between rendering and keeping, yesterday's is never put back."""

from perennial import customers
from perennial.api.v1 import documents
from perennial.base.db import Tx
from perennial.base.ids import CustomerId
from tests.world import World


async def kept(tx: Tx) -> list[str]:
    return [row["customer_id"] for row in await tx.fetch("SELECT customer_id FROM customer_document ORDER BY customer_id")]


async def somebody(world: World) -> CustomerId:
    async with world.app.database.transaction(world.project_id) as tx:
        return (await customers.ensure(tx, ["ada"]))[0]["ada"]


async def test_a_write_takes_the_kept_document_away(world: World) -> None:
    ada = await somebody(world)
    async with world.app.database.transaction(world.project_id) as tx:
        await documents.current(tx, [ada])
        assert await kept(tx) == [ada]
    async with world.app.database.transaction(world.project_id) as tx:
        await customers.bump(tx, {ada: 0})
        assert await kept(tx) == []


async def test_what_was_rendered_before_a_write_is_not_kept_after_it(world: World) -> None:
    ada = await somebody(world)
    async with world.app.database.transaction(world.project_id) as tx:
        before = await customers.load(tx, [ada])
        rendered = await documents.current(tx, [ada])
    async with world.app.database.transaction(world.project_id) as tx:
        await customers.bump(tx, {ada: 0})
    async with world.app.database.transaction(world.project_id) as tx:
        await documents.keep(tx, 1, before, rendered)
        assert await kept(tx) == []


async def test_nobody_waits_for_a_writer_and_nothing_is_kept_beside_one(world: World) -> None:
    ada = await somebody(world)
    async with world.app.database.transaction(world.project_id) as writer:
        await customers.bump(writer, {ada: 0})
        async with world.app.database.transaction(world.project_id) as reader:
            assert ada in await documents.current(reader, [ada])
            assert await kept(reader) == []
    async with world.app.database.transaction(world.project_id) as tx:
        await documents.current(tx, [ada])
        assert await kept(tx) == [ada]

"""The ground: the tenant wall, the agenda's kinds, what the application's role may do."""

import pytest

from perennial import agenda
from perennial.base.db import Database
from perennial.base.errors import Unavailable
from tests.world import World, make_world


async def test_every_table_of_a_project_is_behind_the_wall(world: World):
    async with world.app.database.transaction() as tx:
        rows = await tx.fetch(
            """
            SELECT c.relname AS name, c.relrowsecurity AS has_wall, pg_get_userbyid(c.relowner) = current_user AS is_ours
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'project_id'
            WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
            """
        )
    assert len(rows) >= 25
    assert [row["name"] for row in rows if not row["has_wall"] or row["is_ours"]] == []


async def test_who_enters_no_project_sees_nothing(world: World):
    await world.buy("ada", "pro_monthly")
    async with world.app.database.transaction() as tx:
        assert [await tx.fetch_value("SELECT count(*) FROM customer"), await tx.fetch_value("SELECT count(*) FROM project")] == [0, 0]


async def test_one_project_cannot_see_or_write_another_s_rows(world: World):
    other = await make_world(world.app, world.http)
    await world.buy("ada", "pro_monthly")
    async with world.app.database.transaction(other.project_id) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM purchase") == 0
        assert await tx.execute("UPDATE customer SET version = 99") == 0
        assert await tx.execute("DELETE FROM api_key WHERE project_id = %(id)s", id=world.project_id) == 0
    with pytest.raises(Exception, match="row-level security"):
        async with world.app.database.transaction(other.project_id) as tx:
            await tx.execute(
                "INSERT INTO customer (project_id, customer_id, original_app_user_id, first_seen_at) VALUES (%(id)s, 'x', 'x', %(now)s)",
                id=world.project_id,
                now=tx.now,
            )


async def test_projects_with_clocks_of_their_own_are_entered_alone(world: World):
    other = await make_world(world.app, world.http)
    with pytest.raises(Exception, match="entered alone"):
        async with world.app.database.transaction(world.project_id, other.project_id):
            pass


async def test_every_kind_on_the_agenda_has_its_handler(world: World):
    async with world.app.database.transaction(world.project_id) as tx:
        definition = await tx.fetch_value("SELECT pg_get_viewdef('agenda'::regclass)")
    kinds = {kind for lane in agenda.HANDLERS.values() for kind in lane}
    assert all(f"'{kind}'::text" in definition for kind in kinds)
    assert definition.count("UNION ALL") + 1 == len(kinds)
    assert all(f"'{lane}'::text" in definition for lane in agenda.LANES)


async def sleep_beyond_the_limit(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("SET LOCAL statement_timeout = '50ms'")
        await tx.execute("SELECT pg_sleep(5)")


async def test_a_statement_that_takes_too_long_is_our_trouble_not_the_caller_s(database_url: str):
    database = await Database.open(database_url, connections=1)
    try:
        with pytest.raises(Unavailable, match="in time"):
            await sleep_beyond_the_limit(database)
    finally:
        await database.close()

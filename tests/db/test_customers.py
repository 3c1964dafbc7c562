"""Finding customers by their e-mail address uses its index, although the wall keeps conditions on functions away from indexes."""

import os

import asyncpg

from tests.contract.v2_caller import Caller
from tests.world import World, make_world

EMAIL = "Ada@Lovelace.Example"


async def _plan(connection: asyncpg.Connection, query: str, *values: str) -> str:
    return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {query}", *values))


async def test_a_customer_is_found_by_email_in_any_case_and_within_their_project_alone(world: World):
    other = await make_world(world.app, world.http)
    for one in (world, other):
        v2 = Caller.of(one)
        await v2.post("/customers", {"id": "ada", "attributes": [{"name": "$email", "value": EMAIL}]})
        await v2.post("/customers", {"id": "bob", "attributes": [{"name": "$email", "value": "bob@example.com"}, {"name": "ada", "value": EMAIL}]})
        assert [found["id"] for found in (await v2.get("/customers", search=EMAIL.lower()))["items"]] == ["ada"]
        assert [found["id"] for found in (await v2.get("/customers", search=EMAIL.upper()))["items"]] == ["ada"]
    async with world.app.database.transaction(world.project_id) as tx:
        assert len(await tx.fetch("SELECT find_by_email(%(email)s, 10)", email=EMAIL)) == 1
    async with world.app.database.transaction() as tx:
        assert await tx.fetch("SELECT find_by_email(%(email)s, 10)", email=EMAIL) == []


async def test_the_door_uses_the_index_and_the_wall_would_not(world: World):
    """The door's condition, as the owner asks it, and the same one from behind the wall."""
    query = """
        SELECT t.customer_id FROM attribute t
        WHERE t.project_id = ANY (string_to_array(current_setting('perennial.projects', true), ','))
          AND t.name = '$email' AND lower(t.value) = lower($1)
    """
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('perennial.projects', $1, true)", world.project_id)
            await connection.execute("SET LOCAL enable_seqscan = off")
            definition = await connection.fetchval("SELECT pg_get_functiondef('find_by_email'::regproc)")
            assert "lower(t.value) = lower(email)" in definition
            as_owner = await _plan(connection, query, EMAIL)
            await connection.execute("SET LOCAL ROLE perennial_app")
            behind_the_wall = await _plan(connection, query, EMAIL)
    finally:
        await connection.close()
    (condition,) = [line for line in as_owner.splitlines() if "Index Cond" in line]
    assert "attribute_email" in as_owner
    assert "lower(value)" in condition
    assert all("lower(value)" not in line for line in behind_the_wall.splitlines() if "Index Cond" in line)

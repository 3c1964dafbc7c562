"""Connections that stay at hand between queries: nobody starves for them, and none that died is used."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from perennial.base.db import Database


@pytest.fixture
async def small(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url, connections=2)
    yield opened
    await asyncio.wait_for(opened.close(), 5)


async def backend(database: Database) -> int:
    async with database.transaction() as tx:
        pid: int = await tx.fetch_value("SELECT pg_backend_pid()")
        return pid


async def test_the_same_connection_serves_one_query_after_the_other(small: Database) -> None:
    assert len({await backend(small) for _ in range(5)}) == 1


async def test_more_than_there_are_connections_for_all_have_their_turn(small: Database) -> None:
    await backend(small)
    pids = await asyncio.wait_for(asyncio.gather(*(backend(small) for _ in range(40))), 8)
    assert len(pids) == 40
    assert len(set(pids)) <= 2


async def test_a_connection_that_died_at_hand_is_replaced(small: Database, database_url: str) -> None:
    pid = await backend(small)
    owner = await asyncpg.connect(database_url)
    try:
        assert await owner.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    finally:
        await owner.close()
    assert await backend(small) != pid


async def test_one_that_was_left_in_the_middle_of_a_query_goes_back_to_the_pool(small: Database) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await small.door("SELECT pg_sleep(30)")
    assert await asyncio.wait_for(backend(small), 5)


async def test_closing_waits_for_who_still_asks_and_then_ends(database_url: str) -> None:
    database = await Database.open(database_url, connections=2)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def ask() -> None:
        async with database.transaction():
            entered.set()
            await leave.wait()

    asking = asyncio.create_task(ask())
    await entered.wait()
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    leave.set()
    await asyncio.wait_for(closing, 5)
    await asking

"""Databases for single tests, on the server of the run: empty, or copied from a template that was migrated once."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg

from perennial.base.ids import random_bytes
from perennial.base.migrate import migrate

_TEMPLATE = "TESTS_TEMPLATE"  # the variable by which a run's processes find it


@asynccontextmanager
async def new_database(url: str, *, is_migrated: bool) -> AsyncIterator[str]:
    name = f"own_{random_bytes(6).hex()}"
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {os.environ[_TEMPLATE]}" if is_migrated else ""))
    try:
        yield _at(url, name)
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


async def make_template(url: str) -> None:
    name = f"template_{random_bytes(6).hex()}"
    await _execute(url, f"CREATE DATABASE {name}")
    os.environ[_TEMPLATE] = name
    await migrate(_at(url, name))


async def drop_template(url: str) -> None:
    if (name := os.environ.pop(_TEMPLATE, None)) is not None:
        await _execute(url, f"DROP DATABASE {name} WITH (FORCE)")


def _at(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()

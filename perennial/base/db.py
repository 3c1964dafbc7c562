"""The only door to SQL.

A `Database` hands out transactions. Each enters a set of projects (the tenant wall: rows of others do not exist for it) and is told
one instant, `tx.now`. Parameters are named, `%(customer_id)s`, and become PostgreSQL's own `$1`: nothing is ever spliced into SQL.
Sets before loops: pass lists and use `unnest`.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, LiteralString, TypeAlias

import asyncpg
import msgspec

from perennial.base.errors import Unavailable
from perennial.base.ids import ProjectId, new_id
from perennial.base.time import wall_clock

Row: TypeAlias = Mapping[str, Any]

_NAME = re.compile(r"%\(([a-z_]+)\)s")
_AT_HAND = 2  # connections kept out of the pool between queries


@lru_cache(maxsize=2048)
def _prepare(sql: str) -> tuple[str, tuple[str, ...]]:
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _NAME.sub(number, sql), tuple(names)


class Tx:
    """One transaction: what it may see (`projects`), what time it is (`now`), and the ways to ask and write."""

    __slots__ = ("_before_statement", "_connection", "now", "projects")

    def __init__(self, connection: Any, projects: tuple[ProjectId, ...], now: datetime, before_statement: Callable[[str], None] | None) -> None:
        self._connection = connection
        self._before_statement = before_statement
        self.projects = projects
        self.now = now

    @property
    def project_id(self) -> ProjectId:
        """The project entered, where it is one."""
        assert len(self.projects) == 1, "this transaction entered several projects"
        return self.projects[0]

    def new_id(self, prefix: str) -> str:
        return new_id(prefix, self.now)

    async def fetch(self, sql: LiteralString, /, **parameters: Any) -> list[Row]:
        text, values = self._statement(sql, parameters)
        rows: list[Row] = await self._connection.fetch(text, *values)
        return rows

    async def fetch_one(self, sql: LiteralString, /, **parameters: Any) -> Row | None:
        text, values = self._statement(sql, parameters)
        row: Row | None = await self._connection.fetchrow(text, *values)
        return row

    async def fetch_value(self, sql: LiteralString, /, **parameters: Any) -> Any:
        text, values = self._statement(sql, parameters)
        return await self._connection.fetchval(text, *values)

    async def execute(self, sql: LiteralString, /, **parameters: Any) -> int:
        """Runs it and returns how many rows it touched."""
        text, values = self._statement(sql, parameters)
        status: str = await self._connection.execute(text, *values)
        last = status.rsplit(" ", 1)[-1]
        return int(last) if last.isdigit() else 0

    def _statement(self, sql: str, parameters: Mapping[str, Any]) -> tuple[str, list[Any]]:
        if self._before_statement is not None:
            self._before_statement(sql)
        text, names = _prepare(sql)
        assert set(names) == set(parameters), f"parameters {sorted(parameters)} do not match {sorted(names)}"
        return text, [parameters[name] for name in names]


def columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    """Rows turned into one list per column, as `unnest` takes them."""
    return {name: [row[name] for row in rows] for name in names}


class Database:
    """A pool of connections under the application's role, which owns no table and cannot pass the tenant wall."""

    def __init__(self, pool: Any, *, clock: Callable[[], datetime] = wall_clock) -> None:
        self._pool = pool
        self._ready: list[Any] = []
        self._waiting = 0  # those who wait for the pool
        self._is_closing = False
        self.clock = clock
        self.before_statement: Callable[[str], None] | None = None  # counts queries in tests; crashes in the simulation

    @classmethod
    async def open(cls, url: str, *, connections: int = 10, application: str = "perennial") -> "Database":
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=connections,
                init=_prepare_connection,
                reset=_leave_as_it_is,
                command_timeout=60,
                server_settings={
                    "application_name": application,
                    "jit": "off",
                    "lock_timeout": "5s",
                    "statement_timeout": "30s",
                    "idle_in_transaction_session_timeout": "30s",
                    "timezone": "UTC",
                },
            )
        except (OSError, asyncpg.PostgresError) as error:
            raise Unavailable(f"cannot open the database: {error}; check DATABASE_URL, and that the server is running") from error
        return cls(pool)

    async def close(self) -> None:
        """Waits for those who still have a connection; each goes back to the pool then."""
        self._is_closing = True
        while self._ready:
            await self._pool.release(self._ready.pop())
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self, *projects: ProjectId, is_snapshot: bool = False) -> AsyncIterator[Tx]:
        """Enters the projects. Commits at the end of the block, or rolls all of it back. A snapshot sees one moment throughout: for long reads."""
        isolation = "repeatable_read" if is_snapshot else None
        try:
            async with self._connection() as connection, connection.transaction(isolation=isolation):
                self._notice("ENTER")
                now = await connection.fetchval("SELECT enter($1, $2)", list(projects), self.clock())
                yield Tx(connection, projects, now, self.before_statement)
                self._notice("COMMIT")
        except (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError) as error:
            raise Unavailable(f"the database did not answer in time: {error}") from error
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.TooManyConnectionsError, TimeoutError, OSError) as error:
            raise Unavailable(f"the database is busy: {error}") from error

    async def door(self, sql: LiteralString, /, *values: Any) -> list[Row]:
        """Calls one of the schema's named doors through the tenant wall (`find_keys`, `due_projects`, ...), outside a transaction."""
        try:
            async with self._connection() as connection:
                rows: list[Row] = await connection.fetch(sql, *values, timeout=10)
        except (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.QueryCanceledError, TimeoutError, OSError) as error:
            raise Unavailable(f"the database did not answer in time: {error}") from error
        return rows

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """The pool's own taking and giving back costs twice what a small query does (tasks, timers), so a few connections stay at hand.

        None stays where somebody waits for one, where all are to be closed, or where something went wrong with it: the pool knows how to mend that.
        """
        connection = await self._take()
        try:
            yield connection
        except BaseException:
            await self._pool.release(connection)
            raise
        if self._waiting or self._is_closing or len(self._ready) >= _AT_HAND:
            await self._pool.release(connection)
        else:
            self._ready.append(connection)

    async def _take(self) -> Any:
        while self._ready:
            connection = self._ready.pop()
            with suppress(asyncpg.InterfaceError):  # it ended meanwhile, and the pool has taken it back
                if not connection.is_closed():
                    return connection
                await self._pool.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=10)
        finally:
            self._waiting -= 1

    def _notice(self, what: str) -> None:
        if self.before_statement is not None:
            self.before_statement(what)


async def _prepare_connection(connection: Any) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_encode_json, decoder=msgspec.json.decode, format="text")
    await connection.execute("SET ROLE perennial_app")


async def _leave_as_it_is(connection: Any) -> None:
    """What we set is local to a transaction, locks too, so there is nothing to reset; asking the server to would cost as much as a read."""


def _encode_json(document: Any) -> str:
    return msgspec.json.encode(document).decode()


UniqueViolation = asyncpg.UniqueViolationError
ForeignKeyViolation = asyncpg.ForeignKeyViolationError

"""The only door to SQL.

A `Database` hands out transactions. Each enters a set of projects (the tenant wall: rows of others do not exist for it) and is told
one instant, `tx.now`. Parameters are named, `%(customer_id)s`, and become PostgreSQL's own `$1`: nothing is ever spliced into SQL.
Sets before loops: pass lists and use `unnest`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, LiteralString, TypeAlias

import asyncpg
import msgspec

from perennial.base.errors import Invalid, NotPrepared, Outcome, Unavailable
from perennial.base.ids import ProjectId, new_id, random_bytes
from perennial.base.secrets import conceal
from perennial.base.time import perf_counter, wall_clock
from perennial.base.value import value

Row: TypeAlias = Mapping[str, Any]

LIMIT = 60.0  # seconds a statement may take before the database counts as silent, where a process does not say otherwise
CONNECT_LIMIT = 10.0  # seconds to wait for a connection
UNREADABLE_URL = (
    "DATABASE_URL cannot be read; write it as postgresql://user:password@host:5432/name, "
    "with the special characters of a password in percent-encoding (/ is %2F, @ is %40, # is %23)"
)
_ROLLBACK_LIMIT = 2.0
_AT_HAND = 2  # connections kept out of the pool between queries

_NAME = re.compile(r"%\(([a-z_]+)\)s")

# What is unavailable, by SQLSTATE (PostgreSQL's appendix A): whole classes, then single states.
_CLASSES = frozenset(
    {
        "08",  # the connection
        "28",  # not let in: comes only of connecting
        "3D",  # no such database: the same
        "53",  # too many connections, disk or memory full
        "57",  # an operator: shutting down, starting up, statement cancelled or over its time
        "58",  # the system beneath PostgreSQL: input and output
    }
)
_CONTENTION = frozenset({"40001", "40P01", "55P03"})  # lost a race, deadlocked, no lock in time: the connection is as good as before
_STATES = _CONTENTION | {
    "25006",  # read-only: a standby
    "25P03",  # idle in a transaction for too long
    "25P04",  # a transaction over its time
    "26000",  # a prepared statement is gone: a pooler changed servers
    "42P05",  # or it is there already
    "40000",  # rolled back
    "40003",  # nobody knows how it ended
    "72000",  # the snapshot is too old
}
_OTHER_SCHEMA = frozenset({"42P01", "42703", "42883", "3F000"})  # a table, column, function or schema is missing: not migrated

_SENTENCES = {
    "25006": "the database takes no writes: it is a standby, or was made read-only",
    "53100": "the disk of the database is full",
    "53300": "the database has no connection to spare",
    "57014": "the database did not answer in time",
    "57P01": "the database is shutting down",
    "57P03": "the database is starting up or shutting down",
    **dict.fromkeys(_CONTENTION, "others are at work on the same rows"),
}


def is_unavailable(error: BaseException) -> bool:
    """Whether the database or the way to it is in trouble, which passes; no fault of a statement, its values, or the rows it met."""
    match error:
        case asyncpg.InvalidCachedStatementError():  # a plan of before a migration
            return True
        case asyncpg.PostgresError():
            state = error.sqlstate or ""
            is_fatal = isinstance(error, asyncpg.FatalPostgresError) and not isinstance(error, asyncpg.UnknownPostgresError)
            return is_fatal or state[:2] in _CLASSES or state in _STATES or state in _OTHER_SCHEMA
        case asyncpg.InterfaceError():
            return not isinstance(error, ValueError)  # a value that does not fit its column, or settings that contradict each other
        case asyncpg.InternalClientError() | TimeoutError() | OSError():
            return True
    return False


def _unavailable(error: BaseException, outcome: Outcome | None) -> Unavailable:
    """For a caller, who need not know our addresses and roles. The driver's own words are its cause, for the log."""
    state = getattr(error, "sqlstate", None)
    if state in _OTHER_SCHEMA:
        return NotPrepared("the database is not prepared for this version; its operator does that with: perennial migrate", outcome=outcome)
    if isinstance(error, TimeoutError):
        sentence = "the database did not answer in time"
    else:
        sentence = _SENTENCES.get(state or "", "the database is not available")
    return Unavailable(f"{sentence}; try again in a moment", outcome=outcome)


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

    __slots__ = ("_before_statement", "_connection", "_done", "_limit", "is_broken", "now", "projects")

    def __init__(
        self,
        connection: Any,
        projects: tuple[ProjectId, ...],
        now: datetime,
        before_statement: Callable[[str], None] | None,
        limit: float | None = None,
    ) -> None:
        self._connection = connection
        self._before_statement = before_statement
        self._limit = limit
        self._done: set[str] = set()
        self.is_broken = False  # its connection is of no more use
        self.projects = projects
        self.now = now

    @property
    def project_id(self) -> ProjectId:
        """The project entered, where it is one."""
        assert len(self.projects) == 1, "this transaction entered several projects"
        return self.projects[0]

    def new_id(self, prefix: str) -> str:
        return new_id(prefix, self.now)

    def is_first(self, act: str) -> bool:
        """True the first time this transaction asks about `act`, False afterwards: for work that one transaction need do only once."""
        if act in self._done:
            return False
        self._done.add(act)
        return True

    async def fetch(self, sql: LiteralString, /, **parameters: Any) -> list[Row]:
        text, values = self._statement(sql, parameters)
        try:
            rows: list[Row] = await self._connection.fetch(text, *values, timeout=self._limit)
        except Exception as error:
            raise self._translated(error) from error
        return rows

    async def fetch_one(self, sql: LiteralString, /, **parameters: Any) -> Row | None:
        text, values = self._statement(sql, parameters)
        try:
            row: Row | None = await self._connection.fetchrow(text, *values, timeout=self._limit)
        except Exception as error:
            raise self._translated(error) from error
        return row

    async def fetch_value(self, sql: LiteralString, /, **parameters: Any) -> Any:
        text, values = self._statement(sql, parameters)
        try:
            return await self._connection.fetchval(text, *values, timeout=self._limit)
        except Exception as error:
            raise self._translated(error) from error

    async def execute(self, sql: LiteralString, /, **parameters: Any) -> int:
        """Runs it and returns how many rows it touched."""
        text, values = self._statement(sql, parameters)
        try:
            status: str = await self._connection.execute(text, *values, timeout=self._limit)
        except Exception as error:
            raise self._translated(error) from error
        last = status.rsplit(" ", 1)[-1]
        return int(last) if last.isdigit() else 0

    def _translated(self, error: Exception) -> Exception:
        """The error to raise: `Unavailable` for trouble, itself where it is about the statement. Before COMMIT nothing was done."""
        if not _is_trouble(error, self._connection):
            return error
        self.is_broken = getattr(error, "sqlstate", None) not in _CONTENTION
        return _unavailable(error, "not_done")

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

    def __init__(self, pool: Any, *, clock: Callable[[], datetime] = wall_clock, limit: float = LIMIT) -> None:
        self._pool = pool
        self._patience = min(limit, CONNECT_LIMIT)  # seconds to wait for a connection, and for what a door answers
        self._ready: list[Any] = []
        self._waiting = 0  # those who wait for the pool
        self._is_closing = False
        self._breaker = _Breaker()
        self.clock = clock
        self.before_statement: Callable[[str], None] | None = None  # counts queries in tests; crashes in the simulation

    @classmethod
    async def open(cls, url: str, *, connections: int = 10, application: str = "perennial", limit: float = LIMIT) -> "Database":
        """`limit`: seconds after which a statement that has no answer fails. The server gives it up a second earlier, by itself."""
        pool = asyncpg.create_pool(
            url,
            min_size=0,  # else the pool connects by itself after trouble, and logs each failure of that with its traceback
            max_size=connections,
            init=_prepare_connection,
            reset=_leave_as_it_is,
            timeout=CONNECT_LIMIT,
            command_timeout=limit,
            server_settings={
                "application_name": application,
                "jit": "off",
                "lock_timeout": "5s",
                "statement_timeout": f"{min(30.0, max(limit - 1, 1)):.0f}s",
                "idle_in_transaction_session_timeout": "30s",
                "timezone": "UTC",
            },
        )
        try:
            await pool
            await pool.release(await pool.acquire())
        except ValueError:  # its text repeats parts of the address, and that holds a password
            pool.terminate()
            raise Invalid(UNREADABLE_URL, param="DATABASE_URL") from None
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            pool.terminate()
            _explain_role(error)
            reason = conceal(str(error)) or "it did not answer in time"
            raise Unavailable(f"cannot open the database: {reason}; check DATABASE_URL, and that the server is running") from error
        return cls(pool, limit=limit)

    async def close(self) -> None:
        """Waits for those who still have a connection; each goes back to the pool then."""
        self._is_closing = True
        while self._ready:
            await self._pool.release(self._ready.pop())
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self, *projects: ProjectId, is_snapshot: bool = False, limit: float | None = None) -> AsyncIterator[Tx]:
        """Enters the projects. Commits at the end of the block, or rolls all of it back. A snapshot sees one moment throughout: for long reads.

        Trouble with the database is `Unavailable`, whose `outcome` says what became of the transaction. `limit` (seconds, for each
        statement and for the wait for a connection) is for those who cannot wait as long as the process's own.
        """
        connection = await self._take(limit or self._patience)
        is_whole = False
        tx = Tx(connection, projects, _NOT_ENTERED, self.before_statement, limit)
        try:
            try:
                await self._begin(tx, is_snapshot=is_snapshot)
                yield tx
                self._notice("COMMIT")
            except BaseException:
                is_whole = await _is_rolled_back(tx)
                raise
            is_whole = await self._commit(tx)
        finally:
            await self._give_back(connection, is_whole=is_whole)

    async def _begin(self, tx: Tx, *, is_snapshot: bool) -> None:
        try:
            await tx._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ" if is_snapshot else "BEGIN", timeout=tx._limit)
            self._notice("ENTER")
            tx.now = await tx._connection.fetchval("SELECT enter($1, $2)", list(tx.projects), self.clock(), timeout=tx._limit)
        except Exception as error:
            raise tx._translated(error) from error

    async def _commit(self, tx: Tx) -> bool:
        """Whether the connection may be used again. What was sent and not answered may have been done: nobody knows."""
        try:
            await tx._connection.execute("COMMIT", timeout=tx._limit)
        except Exception as error:
            if not _is_trouble(error, tx._connection):
                raise
            state = getattr(error, "sqlstate", None) or ""
            is_answered = isinstance(error, asyncpg.PostgresError) and state[:2] not in ("08", "57") and state != "40003"
            raise _unavailable(error, "not_done" if is_answered else "unknown") from error
        return True

    async def door(self, sql: LiteralString, /, *values: Any, limit: float | None = None) -> list[Row]:
        """Calls one of the schema's named doors through the tenant wall (`find_keys`, `due_projects`, ...), outside a transaction."""
        limit = limit or self._patience
        connection = await self._take(limit)
        is_whole = False
        try:
            rows: list[Row] = await connection.fetch(sql, *values, timeout=limit)
            is_whole = True
        except asyncio.CancelledError:
            await self._pool.release(connection, timeout=_ROLLBACK_LIMIT)  # which has the server stop, and waits for it
            raise
        except Exception as error:
            if not _is_trouble(error, connection):
                is_whole = True
                raise
            raise _unavailable(error, None) from error
        finally:
            await self._give_back(connection, is_whole=is_whole)
        return rows

    async def _take(self, limit: float) -> Any:
        """The pool's own taking and giving back costs twice what a small query does (tasks, timers), so a few connections stay at hand."""
        while self._ready:
            connection = self._ready.pop()
            with suppress(asyncpg.InterfaceError):  # it ended meanwhile, and the pool has taken it back
                if not connection.is_closed():
                    return connection
                await self._pool.release(connection)
        must_connect = not self._pool.get_idle_size() and self._pool.get_size() < self._pool.get_max_size()
        if must_connect:
            self._breaker.ask()
        self._waiting += 1
        try:
            connection = await self._pool.acquire(timeout=limit)
        except (OSError, ValueError, RuntimeError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            if must_connect and not isinstance(error, TimeoutError):
                self._breaker.note_failure()
            raise _unavailable(error, "not_done") from error
        finally:
            self._waiting -= 1
        if must_connect:
            self._breaker.note_success()
        return connection

    async def _give_back(self, connection: Any, *, is_whole: bool) -> None:
        """None stays where somebody waits for one or where all are to be closed; none that something went wrong with is used again."""
        if not is_whole:
            with suppress(asyncpg.InterfaceError):  # the pool has it already
                connection.terminate()
        elif self._waiting or self._is_closing or len(self._ready) >= _AT_HAND:
            await self._pool.release(connection, timeout=_ROLLBACK_LIMIT)
        else:
            self._ready.append(connection)

    def _notice(self, what: str) -> None:
        if self.before_statement is not None:
            self.before_statement(what)


@value
class Readiness:
    """What a database can be used for."""

    is_standby: bool
    is_read_only: bool
    applied: frozenset[str]  # names of migrations


async def readiness(database: Database, *, limit: float | None = None) -> Readiness:
    """`Unavailable` where it does not answer within `limit` seconds."""
    rows = await database.door(
        "SELECT pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only') = 'on' AS is_read_only, applied_migrations() AS applied",
        limit=limit,
    )
    return Readiness(is_standby=rows[0]["is_standby"], is_read_only=rows[0]["is_read_only"], applied=frozenset(rows[0]["applied"]))


@value
class Might:
    """What the login could do beyond what the application may."""

    login: str
    is_superuser: bool  # or may bypass row security
    owns_tables: bool
    role_could_bypass: bool  # the role that statements run under, too

    @property
    def could_bypass(self) -> bool:
        return self.is_superuser or self.owns_tables or self.role_could_bypass


async def might_of(database: Database) -> Might:
    [row] = await database.door("""
        WITH owner AS (SELECT DISTINCT relowner AS id FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r')
        SELECT session_user::text AS login,
          login.rolsuper OR login.rolbypassrls AS is_superuser,
          EXISTS (SELECT FROM owner WHERE pg_has_role(session_user, id, 'MEMBER')) AS owns_tables,
          role.rolsuper OR role.rolbypassrls OR EXISTS (SELECT FROM owner WHERE pg_has_role(current_user, id, 'MEMBER')) AS role_could_bypass
        FROM pg_roles login, pg_roles role WHERE login.rolname = session_user AND role.rolname = current_user""")
    return Might(**dict(row))


async def find_installation_secret(database: Database, name: str) -> bytes | None:
    rows = await database.door("SELECT find_installation_secret($1) AS sealed", name)
    sealed: bytes | None = rows[0]["sealed"]
    return sealed


async def keep_installation_secret(database: Database, name: str, sealed: bytes) -> bytes:
    """Returns what is kept: `sealed`, or what somebody else had kept before."""
    rows = await database.door("SELECT keep_installation_secret($1, $2, $3) AS sealed", name, sealed, database.clock())
    kept: bytes = rows[0]["sealed"]
    return kept


async def forget_installation_secrets(database: Database) -> None:
    await database.door("SELECT forget_installation_secrets()")


def _explain_role(error: Exception) -> None:
    """Raises what to do where the login may not act as the application's role, or there is none."""
    if "perennial_app" not in str(error):
        return
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        raise Unavailable(
            "cannot use the database: the login in DATABASE_URL may not act as the application. "
            "Have its owner or an administrator run: GRANT perennial_app TO the login of DATABASE_URL;"
        ) from error
    raise NotPrepared("the database is not prepared yet; do that with: perennial migrate") from error


class _Breaker:
    """After three connects that failed one after the other only one each quarter of a second is tried: who cannot connect hears so at once,
    and a server that comes back is not met by everybody. Slowness does not open it."""

    def __init__(self) -> None:
        self._failures = 0
        self._next_try_at = 0.0

    def ask(self) -> None:
        if self._failures < 3:
            return
        now = perf_counter()
        if now < self._next_try_at:
            raise Unavailable("the database is not available; try again in a moment", outcome="not_done")
        self._next_try_at = now + 0.2 + 0.1 * random_bytes(1)[0] / 255

    def note_failure(self) -> None:
        self._failures += 1

    def note_success(self) -> None:
        self._failures = 0


def _is_trouble(error: BaseException, connection: Any) -> bool:
    """Whatever a connection that is gone fails with (the event loop has errors of its own) is trouble with it."""
    if is_unavailable(error):
        return True
    return not isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError) and _is_gone(connection)


def _is_gone(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # the pool has taken it back
        return True


async def _is_rolled_back(tx: Tx) -> bool:
    """Whether all of it is undone and the connection as good as before. Where it is not, the connection is to be ended, which undoes it too."""
    if tx.is_broken or _is_gone(tx._connection):
        return False
    try:
        async with asyncio.timeout(_ROLLBACK_LIMIT):
            await tx._connection.execute("ROLLBACK")
    except Exception:
        return False
    return True


async def _prepare_connection(connection: Any) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_encode_json, decoder=msgspec.json.decode, format="text")
    await connection.execute("SET ROLE perennial_app")


async def _leave_as_it_is(connection: Any) -> None:
    """What we set is local to a transaction, locks too, so there is nothing to reset; asking the server to would cost as much as a read."""


def _encode_json(document: Any) -> str:
    return msgspec.json.encode(document).decode()


_NOT_ENTERED = datetime.min.replace(tzinfo=UTC)  # a transaction's instant until it has entered

UniqueViolation = asyncpg.UniqueViolationError
ForeignKeyViolation = asyncpg.ForeignKeyViolationError

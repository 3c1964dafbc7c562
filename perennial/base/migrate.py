"""Brings a database to the shape this code expects: plain SQL files, numbered, forward only.

Each file runs in a transaction of its own, once. A file that has been applied never changes, which its hash proves; a database that
knows files we do not is newer than this code, and we leave it alone.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import asyncpg

from perennial.base.db import UNREADABLE_URL
from perennial.base.errors import Conflict, Invalid, Unavailable
from perennial.base.secrets import conceal
from perennial.base.time import wall_clock
from perennial.base.value import value

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql", re.ASCII)
_ADVISORY_LOCK = 5_273_664_170_018  # any number, the same for every starter

_CREATE_TABLE = """
    CREATE TABLE IF NOT EXISTS public.schema_migration (
        name text PRIMARY KEY,
        sha256 text NOT NULL,
        applied_at timestamptz NOT NULL
    )
"""


class MigrationRefused(Conflict):
    """The database and the files contradict each other; nothing was applied."""


class MigrationFailed(Unavailable):
    """PostgreSQL refused one file. Those before it are applied, and of this one nothing is."""


@value
class Migration:
    name: str
    sql: str
    sha256: str


async def migrate(url: str, *, folder: Path | None = None, clock: Callable[[], datetime] = wall_clock) -> list[str]:
    """Applies what is missing, in order, and names it. Starters at the same moment wait for each other."""
    migrations = read_migrations(folder or find_folder())
    connection = await _connect(url)
    try:
        if not pending(migrations, await _applied(connection)):
            return []  # which a login that may only look can find out, too
        await _wait_for_turn(connection)
        await connection.execute(_CREATE_TABLE)
        missing = pending(migrations, await _applied(connection))
        for migration in missing:
            await _apply(connection, migration, clock())
        return [migration.name for migration in missing]
    finally:
        await connection.close()  # which also lets go of the lock


async def _applied(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, str]:
    """The hashes of what was applied, by name."""
    if not await connection.fetchval("SELECT to_regclass('public.schema_migration') IS NOT NULL"):
        return {}
    return {row["name"]: row["sha256"] for row in await connection.fetch("SELECT name, sha256 FROM public.schema_migration")}


def pending(migrations: Sequence[Migration], applied: Mapping[str, str]) -> list[Migration]:
    """What is to be applied, given the hashes of what was; `MigrationRefused` where the two contradict each other."""
    unknown = sorted(applied.keys() - {migration.name for migration in migrations})
    if unknown:
        raise MigrationRefused(f"The database is newer than this code: it has {', '.join(unknown)}. Start the version that brought it.")
    for migration in migrations:
        if applied.get(migration.name, migration.sha256) != migration.sha256:
            raise MigrationRefused(f"{migration.name} has changed since it was applied. Restore the file, and write the change as a new migration.")
    missing = [migration for migration in migrations if migration.name not in applied]
    if missing and applied and missing[0].name < max(applied):
        raise MigrationRefused(f"{missing[0].name} comes before {max(applied)}, which is applied already. Give it the next free number.")
    return missing


def read_migrations(folder: Path) -> list[Migration]:
    """All files of a folder in order. Line ends do not count in the hash: a checkout may change them."""
    migrations = [_read(path) for path in sorted(folder.glob("*.sql"))]
    numbers = [migration.name[:4] for migration in migrations]
    for earlier, later in pairwise(migrations):
        if earlier.name[:4] == later.name[:4]:
            raise MigrationRefused(f"{earlier.name} and {later.name} have the same number. Give the newer one {int(max(numbers)) + 1:04}.")
    return migrations


def find_folder() -> Path:
    """Inside the package where it was installed from a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "migrations", package.parent / "migrations"):
        if folder.is_dir():
            return folder
    raise MigrationRefused(f"There is no folder of migrations in {package} or beside it: the installation is incomplete.")


def _read(path: Path) -> Migration:
    if _NAME.fullmatch(path.name) is None:
        raise MigrationRefused(f"{path.name} is not a name for a migration: four digits, an underscore, small letters, .sql")
    sql = path.read_bytes().replace(b"\r\n", b"\n")
    return Migration(name=path.stem, sql=sql.decode(), sha256=sha256(sql).hexdigest())


async def _connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    try:
        return await asyncpg.connect(url, server_settings={"application_name": "perennial migrate"})
    except (ValueError, asyncpg.InterfaceError):  # whose text repeats parts of the address, and it holds a password
        name = _variable_with(url)
        raise Invalid(UNREADABLE_URL.replace("DATABASE_URL", name), param=name) from None
    except (OSError, asyncpg.PostgresError) as error:
        raise Unavailable(f"Cannot open the database: {conceal(str(error))}. Check {_variable_with(url)}, and that the server is running.") from error


def _variable_with(url: str) -> str:
    """The setting to look at: two may name a database."""
    return "PERENNIAL_MIGRATE_DATABASE_URL" if os.environ.get("PERENNIAL_MIGRATE_DATABASE_URL") == url else "DATABASE_URL"


async def _wait_for_turn(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Migrating is rare and must not be done twice, so the later starter waits, but not for ever."""
    try:
        await connection.execute("SET lock_timeout = '120s'")
        await connection.execute("SELECT pg_advisory_lock($1)", _ADVISORY_LOCK)
    except asyncpg.LockNotAvailableError as error:
        raise Unavailable("Another process has been migrating this database for two minutes. Wait for it, then start again.") from error


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration, now: datetime) -> None:
    """With a short `lock_timeout`: a migration that queues for a lock makes everyone behind it queue too."""
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '5s'")
            await connection.execute(migration.sql)
            record = "INSERT INTO public.schema_migration (name, sha256, applied_at) VALUES ($1, $2, $3)"
            await connection.execute(record, migration.name, migration.sha256, now)
    except asyncpg.LockNotAvailableError as error:
        raise MigrationFailed(f"{migration.name} was not applied: it could not get its lock within 5 s. Start again in a quieter moment.") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationFailed(f"{migration.name} was not applied: {await _what_to_grant(connection) or _explain(error, migration.sql)}") from error
    except asyncpg.PostgresError as error:
        raise MigrationFailed(f"{migration.name} was not applied: {_explain(error, migration.sql)}") from error


async def _what_to_grant(connection: "asyncpg.Connection[asyncpg.Record]") -> str | None:
    """What an administrator of the server must do for a role that may not create roles."""
    if not (lines := await lines_for_administrator(connection)):
        return None
    return "this login may not create roles. Have an administrator of the server run what follows, then start again:\n  " + "\n  ".join(lines)


async def lines_for_administrator(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    """Nothing where the application's role is there and may be acted as."""
    login, is_there = await connection.fetchrow(
        "SELECT quote_ident(current_user), EXISTS (SELECT FROM pg_roles WHERE rolname = 'perennial_app')"
    ) or ("", False)
    may_act = is_there and await connection.fetchval("SELECT pg_has_role(current_user, 'perennial_app', 'MEMBER')")
    create = [] if is_there else ["CREATE ROLE perennial_app NOLOGIN;"]
    return create if may_act else [*create, f"GRANT perennial_app TO {login};"]


def _explain(error: asyncpg.PostgresError, sql: str) -> str:
    """With the line where PostgreSQL names a position, as an editor counts."""
    position = getattr(error, "position", None)
    line = f" (line {sql.count(chr(10), 0, int(position)) + 1})" if position else ""
    detail = f" {error.detail}" if getattr(error, "detail", None) else ""
    return f"{error}{line}{detail}"


# For backups ----------------------------------------------------------------------------------------------------------------------


@value
class Server:
    """What a backup or a restore must know of the other end."""

    major: int
    applied: tuple[str, ...]  # migrations; none where it is not Perennial's
    tables: int  # of whoever they are
    has_server_login: bool


async def examine(url: str) -> Server:
    connection = await _connect(url)
    try:
        row = await connection.fetchrow(
            """
            SELECT current_setting('server_version_num')::integer / 10000 AS major,
              to_regclass('public.schema_migration') IS NOT NULL AS is_ours,
              (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg!_%' ESCAPE '!') AS tables,
              EXISTS (SELECT FROM pg_roles WHERE rolname = 'perennial_server') AS has_server_login
            """
        )
        assert row is not None
        names = await connection.fetch("SELECT name FROM public.schema_migration ORDER BY name") if row["is_ours"] else []
        return Server(major=row["major"], applied=tuple(one["name"] for one in names), tables=row["tables"], has_server_login=row["has_server_login"])
    finally:
        await connection.close()


async def prepare_roles(url: str) -> None:
    """Makes the application's role, and lets this login act as it: grants to it are in every backup."""
    connection = await _connect(url)
    try:
        for line in await lines_for_administrator(connection):
            await connection.execute(line)
        await connection.execute(_ACT_AS_IT)
    except asyncpg.InsufficientPrivilegeError as error:
        what = await _what_to_grant(connection) or str(error)
        raise MigrationFailed(f"nothing was restored: {what}") from error
    finally:
        await connection.close()


# Since PostgreSQL 16 a role that creates another one is its member without the right to act as it.
_ACT_AS_IT = """
    DO $$ BEGIN
      IF current_setting('server_version_num')::integer >= 160000 THEN
        IF NOT pg_has_role(current_user, 'perennial_app', 'SET') THEN
          EXECUTE 'GRANT perennial_app TO CURRENT_USER WITH INHERIT TRUE, SET TRUE';
        END IF;
      END IF;
    END $$
"""

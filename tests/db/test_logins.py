"""Who logs in: servers as a role that owns nothing, migrations as another; and what is said where it is not so."""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from perennial import preflight
from perennial.app import App, open_app
from perennial.base.db import Database, might_of
from perennial.base.errors import Forbidden, NotPrepared, Unavailable
from perennial.base.ids import random_bytes
from perennial.base.migrate import MigrationFailed, find_folder, migrate, read_migrations
from perennial.postgres import EmbeddedPostgres
from tests.flows.test_starting import environment
from tests.world import make_world, open_house, settings_for

SETTINGS = {"shared_buffers": "16MB", "fsync": "off"}


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="perennial-logins-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
async def postgres(home: Path) -> AsyncIterator[EmbeddedPostgres]:
    async with await EmbeddedPostgres.start(home, settings=SETTINGS) as started:
        await migrate(started.url)
        yield started


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def opened(url: str, home: Path) -> AsyncIterator[App]:
    async with open_app(settings_for(url, home), connections=1) as app:
        yield app


async def test_the_servers_login_owns_nothing_and_may_do_nothing_but_what_the_application_may(postgres: EmbeddedPostgres) -> None:
    async with connected(postgres.server_url) as server:
        role = await server.fetchrow("SELECT * FROM pg_roles WHERE rolname = session_user")
        assert role["rolname"] == "perennial_server"
        for power in ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls"):
            assert role[power] is False
        assert await server.fetchval("SELECT count(*) FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = session_user)") == 0
        groups = "SELECT array_agg(roleid::regrole::text) FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = session_user)"
        assert await server.fetchval(groups) == ["perennial_app"]
        for forbidden in (
            "CREATE TABLE public.mine (n integer)",
            "CREATE ROLE mine",
            "CREATE DATABASE mine",
            "ALTER TABLE customer DISABLE ROW LEVEL SECURITY",
            "DROP TABLE customer",
            "DROP POLICY wall ON customer",
            "SET ROLE perennial",
            "SET SESSION AUTHORIZATION perennial",
            "UPDATE schema_migration SET sha256 = ''",
            "SELECT * FROM installation_secret",
            "SELECT pg_read_file('PG_VERSION')",
            "COPY customer TO PROGRAM 'cat'",
        ):
            with pytest.raises(asyncpg.PostgresError, match=r"permission denied|must be owner|must be able"):
                await server.execute(forbidden)


async def test_everything_works_under_it_and_the_wall_holds_without_the_role(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    """A pooler that forgets SET ROLE leaves the login as it is: it sees no more."""
    async with open_house(postgres.server_url, tmp_path) as house, house.lent():
        world = await make_world(house.app, house.http)
        assert (await world.buy("ada", "pro_monthly")).status_code == 200
        assert await world.entitled("ada") == ["pro"]
        await world.advance(days=31)
        assert (await house.http.get("/readyz")).status_code == 200
    async with connected(postgres.server_url) as server:
        await server.execute("RESET ROLE")
        assert await server.fetchval("SELECT count(*) FROM customer") == 0
        await server.execute("SET row_security = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await server.fetchval("SELECT count(*) FROM customer")
    async with connected(postgres.url) as owner:
        assert await owner.fetchval("SELECT count(*) FROM customer") > 0


async def test_a_home_of_an_earlier_version_gets_the_login(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = Path(tempfile.mkdtemp(prefix="perennial-logins-"))
    folder.chmod(0o755)
    try:
        async with await EmbeddedPostgres.start(folder, settings=SETTINGS) as first:
            await migrate(first.url)
            async with connected(first.url) as owner:
                await owner.execute("DROP ROLE perennial_server")
                await owner.execute("INSERT INTO project (project_id, name, created_at) VALUES ('proj_1', 'Old', now())")
        (folder / "postgres" / "server-password").unlink()
        for _ in range(2):
            async with await EmbeddedPostgres.start(folder, settings=SETTINGS) as again:
                database = await Database.open(again.server_url, connections=1)
                assert (await might_of(database)).could_bypass is False
                async with database.transaction() as tx:
                    assert await tx.fetch_value("SELECT count(*) FROM project") == 0
                assert [row["name"] for row in await database.door("SELECT name FROM all_projects()")] == ["Old"]
                await database.close()
        assert (folder / "postgres" / "server-password").stat().st_mode & 0o777 == 0o600
    finally:
        shutil.rmtree(folder)


# Databases of others ----------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def foreign(login_options: str = "") -> AsyncIterator[tuple[EmbeddedPostgres, str, str]]:
    """A server that never saw Perennial, with a database and its owner, as a hosting company hands them out."""
    folder = Path(tempfile.mkdtemp(prefix="perennial-logins-"))
    folder.chmod(0o755)
    try:
        async with await EmbeddedPostgres.start(folder, settings=SETTINGS) as postgres:
            async with connected(postgres.url) as admin:
                await admin.execute("DROP ROLE perennial_server; DROP ROLE perennial_app")
                await admin.execute(f"CREATE ROLE shop LOGIN PASSWORD 'pw' {login_options}")
                await admin.execute("CREATE DATABASE shop OWNER shop")
            yield postgres, url_of(postgres, "shop", "shop"), urlsplit(postgres.url)._replace(path="/shop").geturl()
    finally:
        shutil.rmtree(folder)


def url_of(postgres: EmbeddedPostgres, login: str, database: str) -> str:
    return urlsplit(postgres.url)._replace(netloc=f"{login}:pw@127.0.0.1:{urlsplit(postgres.url).port}", path=f"/{database}").geturl()


async def test_one_owner_that_may_create_roles_is_enough_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No superuser, as hosting companies have it; it is told how to do better, and that is right."""
    async with foreign("CREATEROLE") as (postgres, owner_url, admin_url):
        assert await migrate(owner_url)
        async with opened(owner_url, tmp_path) as app:
            await preflight.check_login(app)
        said = capsys.readouterr().err
        assert "the login shop owns the tables, and could pass the tenant isolation" in said
        [sql] = [line.strip() for line in said.splitlines() if "CREATE ROLE" in line]

        async with connected(owner_url) as owner:
            await owner.execute(sql.replace("...", "pw"))
        async with opened(url_of(postgres, "perennial_server", "shop"), tmp_path) as app:
            await preflight.check_schema(app)
            await preflight.check_login(app)
        assert capsys.readouterr().err == ""

        async with connected(admin_url) as admin:
            await admin.execute("ALTER ROLE perennial_app BYPASSRLS")
        async with opened(owner_url, tmp_path) as app:
            with pytest.raises(Forbidden, match="ALTER ROLE perennial_app NOSUPERUSER NOBYPASSRLS"):
                await preflight.check_login(app)


async def test_one_that_may_not_gets_two_lines_for_its_administrator() -> None:
    async with foreign() as (_, owner_url, admin_url):
        with pytest.raises(MigrationFailed) as refused:
            await migrate(owner_url)
        lines = [line.strip() for line in refused.value.message.splitlines()[1:]]
        assert lines == ["CREATE ROLE perennial_app NOLOGIN;", "GRANT perennial_app TO shop;"]
        async with connected(admin_url) as admin:
            for line in lines:
                await admin.execute(line)
        assert len(await migrate(owner_url)) == len(read_migrations(find_folder()))
        await (await Database.open(owner_url, connections=1)).close()


async def test_a_login_that_may_not_act_as_the_application_hears_what_to_grant() -> None:
    async with foreign("CREATEROLE") as (postgres, owner_url, admin_url):
        with pytest.raises(NotPrepared, match="perennial migrate"):
            await Database.open(owner_url, connections=1)
        await migrate(owner_url)
        async with connected(admin_url) as admin:
            await admin.execute("CREATE ROLE stranger LOGIN PASSWORD 'pw'")
        with pytest.raises(Unavailable, match="GRANT perennial_app TO the login of DATABASE_URL"):
            await Database.open(url_of(postgres, "stranger", "shop"), connections=1)


def perennial(*command: str, **given: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "perennial", *command], env=environment(**given), capture_output=True, text=True, check=False)


async def test_two_addresses_migrate_with_the_one_and_serve_with_the_other(tmp_path: Path) -> None:
    """As docs/operating.md has it."""
    async with foreign("CREATEROLE") as (postgres, owner_url, _):
        given = {
            "DATABASE_URL": url_of(postgres, "perennial_server", "shop"),
            "PERENNIAL_MIGRATE_DATABASE_URL": owner_url,
            "PERENNIAL_HOME": str(tmp_path),
        }
        async with connected(owner_url) as owner:
            await owner.execute("CREATE ROLE perennial_app NOLOGIN")
            await owner.execute("CREATE ROLE perennial_server LOGIN PASSWORD 'pw' IN ROLE perennial_app")
        name = random_bytes(4).hex()
        for command in (["migrate"], ["init", "--name", name], ["projects", "list"], ["doctor"], ["check"]):
            done = await asyncio.to_thread(perennial, *command, **given)
            assert done.returncode == 0, done.stdout + done.stderr
        async with connected(owner_url) as owner:
            assert await owner.fetchval("SELECT name FROM project") == name

"""A backup restored onto a server that never saw it: the data, the role, the tenant isolation and what is sealed are there."""

import asyncio
import base64
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from perennial.backup import check_tools
from perennial.base.errors import Unavailable
from perennial.base.migrate import Server, migrate
from perennial.postgres import EmbeddedPostgres
from tests.flows.test_starting import environment
from tests.world import World, make_world, open_house

SETTINGS = {"shared_buffers": "16MB", "fsync": "off"}
KEY = base64.b64encode(b"k" * 32).decode()


@asynccontextmanager
async def server() -> AsyncIterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="perennial-backup-"))
    folder.chmod(0o755)
    try:
        async with await EmbeddedPostgres.start(folder, settings=SETTINGS) as started:
            yield started
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def perennial(url: str, *command: str, code: int = 0, key: str | None = KEY, home: Path | None = None) -> str:
    given = {"DATABASE_URL": url, "PERENNIAL_SECRET_KEY": key, "PERENNIAL_HOME": str(home) if home else "/nonexistent"}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "perennial", *command], env=environment(**given), capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


async def counts(url: str) -> dict[str, int]:
    async with connected(url) as owner:
        tables = [
            row["relname"] for row in await owner.fetch("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        ]
        return {table: await owner.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


@pytest.fixture(scope="module")
async def original(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, World, World, Path]]:
    """Two projects with customers, on a server of their own, and its backup."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERENNIAL_SECRET_KEY", KEY)
        async with server() as postgres:
            await migrate(postgres.url)
            async with open_house(postgres.server_url, tmp_path_factory.mktemp("house")) as house, house.lent():
                one, other = await make_world(house.app, house.http), await make_world(house.app, house.http)
                for name in ("ada", "bo\u200dris"):
                    assert (await one.buy(name, "pro_monthly")).status_code == 200
                assert (await other.buy("cleo", "pro_annual")).status_code == 200
                file = tmp_path_factory.mktemp("backups") / "perennial.dump"
                said = await perennial(postgres.url, "backup", str(file))
                assert "keep that key too, in another place" in said
                assert file.stat().st_mode & 0o777 == 0o600
                yield postgres.url, one, other, file


async def test_onto_an_empty_server(original: tuple[str, World, World, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, one, other, file = original
    monkeypatch.setenv("PERENNIAL_SECRET_KEY", KEY)
    async with server() as fresh:
        async with connected(fresh.url) as admin:
            await admin.execute("DROP ROLE perennial_server; DROP ROLE perennial_app")  # as a server that never saw Perennial
        said = await perennial(fresh.url, "restore", str(file))
        assert "The key opens what is sealed in it." in said
        assert "CREATE ROLE perennial_server LOGIN PASSWORD" in said
        assert await counts(fresh.url) == await counts(url)
        async with connected(fresh.url) as admin:
            await admin.execute("CREATE ROLE perennial_server LOGIN PASSWORD 'pw' IN ROLE perennial_app")
        served = urlsplit(fresh.url)._replace(netloc=f"perennial_server:pw@127.0.0.1:{urlsplit(fresh.url).port}").geturl()
        await the_isolation_holds(served, one, other)
        async with open_house(served, tmp_path) as house, house.lent():
            for world, name in ((one, "bo\u200dris"), (other, "cleo")):
                there = World(
                    app=house.app, http=house.http, project_id=world.project_id, secret_key=world.secret_key, keys=world.keys, app_ids=world.app_ids
                )
                assert await there.entitled(name) == ["pro"]
                assert (await there.buy("dora", "pro_monthly")).status_code == 200
            assert (await house.http.get("/readyz")).status_code == 200
        assert "invariants hold in 2 projects" in await perennial(served, "check")
        assert "the schema is up to date" in await perennial(fresh.url, "migrate")


async def the_isolation_holds(url: str, one: World, other: World) -> None:
    async with connected(url) as application:
        assert await application.fetchval("SELECT count(*) FROM customer") == 0
        async with application.transaction():
            await application.execute("SELECT enter($1, now())", [one.project_id])
            assert {row["project_id"] for row in await application.fetch("SELECT project_id FROM customer")} == {one.project_id}
            assert await application.execute("DELETE FROM customer WHERE project_id = $1", other.project_id) == "DELETE 0"
        tables = "SELECT relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'project_id'"
        assert not await application.fetch(f"{tables} WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND NOT relrowsecurity")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await application.execute("ALTER TABLE customer DISABLE ROW LEVEL SECURITY")


async def test_a_login_that_may_not_create_roles_gets_the_two_lines(original: tuple[str, World, World, Path]) -> None:
    _, one, other, file = original
    async with server() as fresh:
        async with connected(fresh.url) as admin:
            await admin.execute("DROP ROLE perennial_server; DROP ROLE perennial_app; CREATE ROLE shop LOGIN PASSWORD 'pw'")
            await admin.execute("CREATE DATABASE shop OWNER shop")
        port = urlsplit(fresh.url).port
        url = f"postgresql://shop:pw@127.0.0.1:{port}/shop"
        said = await perennial(url, "restore", str(file), code=1)
        lines = [line.strip() for line in said.splitlines() if line.strip().endswith(";")]
        assert lines == ["CREATE ROLE perennial_app NOLOGIN;", "GRANT perennial_app TO shop;"]
        async with connected(fresh.url) as admin:
            for line in lines:
                await admin.execute(line)
            await admin.execute("CREATE ROLE perennial_server LOGIN PASSWORD 'pw' IN ROLE perennial_app")
        await perennial(url, "restore", str(file))
        await the_isolation_holds(f"postgresql://perennial_server:pw@127.0.0.1:{port}/shop", one, other)


async def test_what_a_database_holds_is_not_overwritten_unless_told_and_a_failure_changes_nothing(
    original: tuple[str, World, World, Path], tmp_path: Path
) -> None:
    url, _, _, file = original
    async with server() as fresh:
        async with connected(fresh.url) as admin:
            await admin.execute("CREATE TABLE precious AS SELECT 1 AS n")
        assert "is not empty: it holds 1 table" in await perennial(fresh.url, "restore", str(file), code=1)

        cut = tmp_path / "cut.dump"
        cut.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.9)])
        nonsense = tmp_path / "nonsense.dump"
        nonsense.write_bytes(b"PGDMPnonsense")
        for broken in (cut, nonsense, tmp_path / "absent.dump"):
            await perennial(fresh.url, "restore", str(broken), "--replace", code=1)
            async with connected(fresh.url) as admin:
                assert await admin.fetchval("SELECT n FROM precious") == 1

        told = json.loads(await perennial(fresh.url, "restore", str(file), "--replace", "--json"))
        assert told["tables"] == len(await counts(url))
        assert await counts(fresh.url) == await counts(url)

        other = base64.b64encode(b"o" * 32).decode()
        assert "is not the key that the secrets" in await perennial(fresh.url, "restore", str(file), "--replace", key=other)


async def test_what_cannot_be_backed_up_is_said(original: tuple[str, World, World, Path], tmp_path: Path) -> None:
    url, _, _, file = original
    assert "is there already" in await perennial(url, "backup", str(file), code=1)
    assert "cannot be written" in await perennial(url, "backup", str(tmp_path / "nowhere" / "x.dump"), code=1)
    empty = urlsplit(url)._replace(path="/postgres").geturl()
    assert "is not Perennial's" in await perennial(empty, "backup", str(tmp_path / "x.dump"), code=1)
    async with connected(url) as admin:
        await admin.execute("CREATE ROLE clerk LOGIN PASSWORD 'pw' IN ROLE perennial_app")
    clerk = urlsplit(url)._replace(netloc=f"clerk:pw@127.0.0.1:{urlsplit(url).port}").geturl()
    assert "needs the login that owns the tables" in await perennial(clerk, "backup", str(tmp_path / "x.dump"), code=1)
    told = json.loads(await perennial(url, "backup", str(tmp_path / "x.dump"), "--json"))
    assert (told["file"], told["bytes"], told["postgresql"]) == (str(tmp_path / "x.dump"), (tmp_path / "x.dump").stat().st_size, 18)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.dump"]


def test_a_server_newer_than_the_programs_is_refused_with_what_to_do() -> None:
    with pytest.raises(Unavailable, match=r"PostgreSQL 19, newer than the programs of this version \(18\).*pg_dump --format=custom"):
        check_tools(Server(major=19, applied=(), tables=0, has_server_login=False))


async def test_the_password_is_in_no_list_of_processes(original: tuple[str, World, World, Path]) -> None:
    from perennial.backup import _address

    url, *_ = original
    address, password = _address(url)
    assert password is not None
    assert password not in address
    assert urlsplit(address)._replace(netloc="").geturl() == urlsplit(url)._replace(netloc="").geturl()


async def test_what_a_corrected_server_notes_with_its_columns_is_left_behind(tmp_path: Path) -> None:
    """Servers of November 2026's corrections note `pg_attver` with every column, which others refuse to be told."""
    noted = "UPDATE pg_attribute SET attoptions = $1 WHERE attrelid = $2::text::regclass AND attname = $3"
    async with server() as postgres:
        await migrate(postgres.url)
        async with connected(postgres.url) as admin:
            for relation, column, options in (
                ("customer", "project_id", ["pg_attver=26802320"]),
                ("event", "body", ["n_distinct=5", "pg_attver=26802320"]),
                ("event", "type", ["pg_attver=1", "n_distinct=7"]),
                ("agenda", "wake_at", ["pg_attver=2"]),
            ):
                assert await admin.execute(noted, options, relation, column) == "UPDATE 1"
            await admin.execute("CREATE DATABASE fresh")
        await perennial(postgres.url, "backup", str(tmp_path / "x.dump"))
        fresh = urlsplit(postgres.url)._replace(path="/fresh").geturl()
        await perennial(fresh, "restore", str(tmp_path / "x.dump"))
        async with connected(fresh) as admin:
            noted = "attoptions IS NOT NULL AND attrelid::regclass::text IN ('customer', 'event', 'agenda')"
            kept = await admin.fetch(f"SELECT attname, attoptions FROM pg_attribute WHERE {noted}")
        assert {row["attname"]: row["attoptions"] for row in kept} == {"body": ["n_distinct=5"], "type": ["n_distinct=7"]}
        assert "the schema is up to date" in await perennial(fresh, "migrate")

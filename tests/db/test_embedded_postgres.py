"""The embedded database keeps what it was given, whatever ends it."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from perennial.base.errors import Conflict, Unavailable
from perennial.postgres import AlreadyRunning, EmbeddedPostgres, find_binaries, running_url
from perennial.postgres.binaries import copy_binaries

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")

# Small, so that many may start beside each other.
SETTINGS = {"shared_buffers": "16MB", "fsync": "off"}

KEEPER = """
import asyncio, sys
from pathlib import Path
from perennial.postgres import EmbeddedPostgres

async def keep():
    postgres = await EmbeddedPostgres.start(Path(sys.argv[1]), settings={"shared_buffers": "16MB"})
    print(postgres.pid, postgres.url, flush=True)
    await asyncio.sleep(600)

asyncio.run(keep())
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that PostgreSQL's account can reach, also where root runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="perennial-test-"))
    folder.chmod(0o755)
    yield folder / "home"
    _remove(folder / "home")
    folder.rmdir()


@pytest.fixture(scope="session")
async def original() -> AsyncIterator[Path]:
    """A home whose database was made and stopped in good order, to copy."""
    folder = Path(tempfile.mkdtemp(prefix="perennial-test-"))
    folder.chmod(0o755)
    await (await start(folder / "home")).stop()
    yield folder / "home"
    _remove(folder / "home")
    folder.rmdir()


@pytest.fixture
def kept_home(home: Path, original: Path) -> Path:
    """A home with a database in it, for what happens after the first start."""
    subprocess.run(["cp", "-a", original, home], check=True)
    return home


@pytest.fixture
def private_home(tmp_path: Path) -> Iterator[Path]:
    tmp_path.chmod(0o700)
    yield tmp_path / "home"
    _remove(tmp_path / "home")


def _remove(home: Path) -> None:
    pointer = home / "postgres"
    if pointer.is_symlink():
        shutil.rmtree(pointer.resolve())
    shutil.rmtree(home, ignore_errors=True)


def start(home: Path) -> "asyncio.Future[EmbeddedPostgres]":
    return asyncio.ensure_future(EmbeddedPostgres.start(home, settings=SETTINGS))


async def ask(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def keeper(home: Path) -> tuple["subprocess.Popen[str]", int, str]:
    """Another process that keeps the database of `home`."""
    process = subprocess.Popen([sys.executable, "-c", KEEPER, home], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid, url = process.stdout.readline().split()
    return process, int(pid), url


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


async def test_what_was_written_is_there_after_a_restart(home: Path) -> None:
    async with await start(home) as first:
        await ask(first.url, "CREATE TABLE fruit AS SELECT 'apple' AS name")
    assert running_url(home) is None
    async with await start(home) as second:
        assert await ask(second.url, "SELECT name FROM fruit") == "apple"
        assert running_url(home) == second.url


async def test_it_is_a_database_as_we_want_it(home: Path) -> None:
    async with await EmbeddedPostgres.start(home) as postgres:
        asked = "SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings WHERE name = ANY('{fsync,listen_addresses,TimeZone}')"
        assert await ask(postgres.url, asked) == "UTC on 127.0.0.1"
        pages = int(await ask(postgres.url, "SELECT setting FROM pg_settings WHERE name = 'shared_buffers'"))
        assert pages * 8192 == min(max(psutil.virtual_memory().total // 4, 128 << 20), 4 << 30) >> 20 << 20, "a quarter of the machine, within bounds"
        locale = (
            "SELECT datlocprovider::text || ' ' || datlocale || ' ' || pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'perennial'"
        )
        assert await ask(postgres.url, locale) == "b C.UTF-8 UTF8"
        assert (home / "postgres" / "password").stat().st_mode & 0o777 == 0o600
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(postgres.url, password="wrong")


async def test_it_listens_on_the_port_it_is_given_and_says_when_that_is_taken(kept_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} is in use"):
            await EmbeddedPostgres.start(kept_home, port=port, settings=SETTINGS)
    async with await EmbeddedPostgres.start(kept_home, port=port, settings=SETTINGS) as postgres:
        assert f"@127.0.0.1:{port}/" in postgres.url


async def test_a_second_start_is_refused_and_names_the_home_and_the_keeper(kept_home: Path) -> None:
    async with await start(kept_home) as postgres:
        with pytest.raises(AlreadyRunning, match=f"{kept_home} is already running, kept by process {os.getpid()}"):
            await start(kept_home)
        assert await ask(postgres.url, "SELECT 1") == 1


async def test_killing_the_keeper_loses_nothing(kept_home: Path) -> None:
    process, pid, url = keeper(kept_home)
    await ask(url, "CREATE TABLE fruit AS SELECT 'apple' AS name")
    kill(process)
    async with await start(kept_home) as postgres:
        assert postgres.pid != pid
        assert await ask(postgres.url, "SELECT name FROM fruit") == "apple"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child")
async def test_the_server_does_not_outlive_its_keeper(kept_home: Path) -> None:
    process, pid, _ = keeper(kept_home)
    server = psutil.Process(pid)
    kill(process)
    server.wait(timeout=10)


async def test_killing_keeper_and_server_at_once_loses_nothing(kept_home: Path) -> None:
    process, pid, url = keeper(kept_home)
    busy = await asyncpg.connect(url)
    await busy.execute("CREATE TABLE fruit AS SELECT 'apple' AS name")
    sleeping = asyncio.ensure_future(busy.execute("DO $$ BEGIN PERFORM pg_sleep(600); END $$"))  # a backend that does not notice
    await asyncio.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    kill(process)
    async with await start(kept_home) as postgres:
        assert await ask(postgres.url, "SELECT name FROM fruit") == "apple"
        assert await ask(postgres.url, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()") == 0
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await sleeping


async def test_a_server_left_without_its_keeper_is_stopped_in_good_order(kept_home: Path) -> None:
    process, pid, url = keeper(kept_home)
    os.kill(process.pid, signal.SIGSTOP)  # as good as dead, and its server does not know
    await ask(url, "CREATE TABLE fruit AS SELECT 'apple' AS name")
    (kept_home / "postgres" / "lock").unlink()  # what the kernel does for a keeper that died on a machine without death signals
    try:
        async with await start(kept_home) as postgres:
            assert await ask(postgres.url, "SELECT name FROM fruit") == "apple"
            assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # ended; its keeper never asked how
    finally:
        kill(process)
    assert "database system was not properly shut down" not in (kept_home / "postgres" / "postgres.log").read_text()


async def test_the_pid_of_a_stranger_or_a_zombie_in_the_lock_file_is_no_hindrance(kept_home: Path) -> None:
    async with await start(kept_home) as postgres:
        data = postgres.place.data
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    for pid in (zombie.pid, stranger.pid, 1, os.getpid()):
        (data / "postmaster.pid").write_text(f"{pid}\n{data}\n1700000000\n5432\n\n127.0.0.1\n   123456         1\nready   \n")
        assert running_url(kept_home) is None
        async with await start(kept_home) as postgres:
            assert await ask(postgres.url, "SELECT 1") == 1
    assert stranger.poll() is None
    stranger.communicate()
    zombie.wait()


async def test_an_initialisation_cut_off_in_the_middle_is_done_again(home: Path) -> None:
    first = start(home)
    while not list(home.glob("postgres/initdb.*/global/pg_control")):
        await asyncio.sleep(0.001)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not (home / "postgres" / "data").exists()
    remains = home / "postgres" / "initdb.remains"  # as `kill -9` leaves it
    (remains / "global").mkdir(parents=True)
    (home / "postgres" / "initdb.remains.password").touch()
    async with await start(home) as postgres:
        assert await ask(postgres.url, "SELECT 1") == 1
    assert not list(home.glob("postgres/initdb.*"))


async def test_a_database_of_another_version_is_left_alone(kept_home: Path) -> None:
    async with await start(kept_home) as postgres:
        version = postgres.place.data / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(Conflict, match="was made by PostgreSQL 17, and this is PostgreSQL 18"):
        await start(kept_home)


async def test_a_server_that_cannot_start_shows_the_end_of_its_log(kept_home: Path) -> None:
    with pytest.raises(Unavailable, match=r'(?s)did not start.*postgres\.log.*unrecognized configuration parameter "no_such_setting"'):
        await EmbeddedPostgres.start(kept_home, settings={"no_such_setting": "1"})


async def test_a_home_may_have_a_long_name_with_spaces(home: Path) -> None:
    async with await start(home / "a folder with a rather long name" / ("and " * 30)) as postgres:
        assert await ask(postgres.url, "SELECT 1") == 1


async def test_stopping_again_is_harmless(kept_home: Path) -> None:
    postgres = await start(kept_home)
    await postgres.stop()
    await postgres.stop()
    assert postgres.ended() == 0


@as_root
async def test_root_drops_to_an_account_without_privileges(home: Path) -> None:
    async with await start(home) as postgres:
        assert not (home / "postgres").is_symlink()
        assert psutil.Process(postgres.pid).uids().effective != 0
        assert (home / "postgres").stat().st_uid == 0


@as_root
async def test_a_private_home_of_root_stays_private_and_points_to_its_data(private_home: Path) -> None:
    async with await start(private_home) as postgres:
        await ask(postgres.url, "CREATE TABLE fruit AS SELECT 'apple' AS name")
        assert (private_home / "postgres").is_symlink()
        assert psutil.Process(postgres.pid).uids().effective != 0
        assert private_home.parent.stat().st_mode & 0o777 == 0o700
    async with await start(private_home) as postgres:
        assert await ask(postgres.url, "SELECT name FROM fruit") == "apple"


@as_root
async def test_the_owner_of_the_data_goes_on_running_it(kept_home: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    async with await start(kept_home) as postgres:
        data = postgres.place.data
    for path in (data, *data.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    async with await start(kept_home) as postgres:
        assert psutil.Process(postgres.pid).uids().effective == nobody.pw_uid


def test_a_copy_of_the_programs_runs_by_itself(tmp_path: Path) -> None:
    copied = copy_binaries(tmp_path)
    assert copied == copy_binaries(tmp_path)
    for program in ("postgres", "initdb", "psql", "pg_dump"):
        found = subprocess.run([copied.path(program), "--version"], check=True, capture_output=True, text=True, env={})
        ours = subprocess.run([find_binaries().path(program), "--version"], check=True, capture_output=True, text=True, env={})
        assert found.stdout == ours.stdout

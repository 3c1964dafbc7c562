"""Whatever befalls the database is 503 and `retryable` at every door, soon, and over when the database is back.

A PostgreSQL of these tests' own: it is stopped, filled, made read-only and killed.
"""

import asyncio
import inspect
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import psutil
import pytest
from asyncpg import exceptions

from perennial.base.db import Database, is_unavailable
from perennial.base.errors import NotPrepared, Unavailable
from perennial.base.migrate import migrate
from perennial.base.time import perf_counter
from perennial.postgres import EmbeddedPostgres
from tests.world import House, World, make_world, open_house

SETTINGS = {"shared_buffers": "16MB", "fsync": "off", "max_connections": "20"}
LIMIT = 3.0  # seconds, where the server has ten

# Every other class that the driver has is about a statement, its values, or the rows it met.
_TROUBLE = """
AdminShutdownError CannotConnectNowError ClientCannotConnectError ConfigurationLimitExceededError ConnectionDoesNotExistError
ConnectionFailureError ConnectionRejectionError CrashShutdownError DatabaseDroppedError DeadlockDetectedError DiskFullError
DuplicateFileError DuplicatePreparedStatementError FatalPostgresError FileNameTooLongError IdleInTransactionSessionTimeoutError
IdleSessionTimeoutError InsufficientResourcesError InterfaceError InternalClientError InvalidAuthorizationSpecificationError
InvalidCachedStatementError InvalidCatalogNameError InvalidPasswordError InvalidSQLStatementNameError InvalidSchemaNameError
LockNotAvailableError OperatorInterventionError OutOfMemoryError OutdatedSchemaCacheError PostgresConnectionError PostgresIOError
PostgresSystemError ProtocolError ProtocolViolationError QueryCanceledError ReadOnlySQLTransactionError SerializationError
SnapshotTooOldError StatementCompletionUnknownError TargetServerAttributeNotMatched TooManyConnectionsError
TransactionResolutionUnknownError TransactionRollbackError TransactionTimeoutError UndefinedColumnError UndefinedFileError
UndefinedFunctionError UndefinedTableError UnsupportedClientFeatureError UnsupportedServerFeatureError
"""


def test_every_exception_of_the_driver_is_trouble_or_is_not() -> None:
    known = {one for one in (*vars(exceptions).values(), *vars(exceptions._base).values()) if inspect.isclass(one)}
    classes = [one for one in known if issubclass(one, Exception) and one.__module__.startswith("asyncpg")]
    assert len(classes) > 200
    assert sorted(one.__name__ for one in classes if is_unavailable(one("said"))) == _TROUBLE.split()


@pytest.mark.parametrize("kind", [OSError, ConnectionResetError, TimeoutError])
def test_so_is_what_befalls_the_way_to_it(kind: type[Exception]) -> None:
    assert is_unavailable(kind())


@pytest.mark.parametrize("kind", [ValueError, AssertionError, KeyError, exceptions._base.DataError])
def test_a_fault_of_a_statement_or_of_ours_is_not(kind: type[Exception]) -> None:
    assert not is_unavailable(kind("said"))


# A database of our own ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def home() -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="perennial-trouble-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
async def postgres(home: Path) -> AsyncIterator[EmbeddedPostgres]:
    async with await EmbeddedPostgres.start(home, settings=SETTINGS) as started:
        await migrate(started.url)
        yield started


@pytest.fixture(scope="module")
async def own_house(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(postgres.url, tmp_path_factory.mktemp("house"), limit=LIMIT) as opened:
        yield opened


@pytest.fixture
async def own_world(own_house: House) -> AsyncIterator[World]:
    async with own_house.lent():
        world = await make_world(own_house.app, own_house.http)
        await world.customer("ada")
        yield world


@pytest.fixture
async def owner(postgres: EmbeddedPostgres) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres.url)
    yield connection
    await connection.close()


async def end_all_others(owner: Any) -> None:
    await owner.fetch(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )


async def end_the_servers(owner: Any) -> int:
    return len(await owner.fetch("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'perennial'"))


def must_be_retryable(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["retryable"] is True
    assert 1 <= int(answer.headers["retry-after"]) <= 5


async def ask_every_door(world: World, *, reads: bool = True) -> list[httpx.Response]:
    """Writes at each of them, and the reads where they cannot be answered either."""
    project, app_id = world.project_id, world.app_ids["app_store"]
    asked = [
        world.buy("ada", "pro_monthly"),
        world.http.post("/v1/subscribers/ada/attributes", headers=world.sdk(), json={"attributes": {"a": {"value": "b"}}}),
        world.http.post(f"/v2/projects/{project}/entitlements", headers=world.secret, json={"lookup_key": "gold", "display_name": "Gold"}),
        world.http.post(
            f"/v2/projects/{project}/entitlements",
            headers={**world.secret, "Idempotency-Key": "once"},
            json={"lookup_key": "silver", "display_name": "Silver"},
        ),
    ]
    if reads:
        asked += [
            world.http.get("/v1/subscribers/ada", headers=world.sdk()),
            world.http.get("/v1/subscribers/ada", headers=world.secret),
            world.http.get("/v1/subscribers/ada/offerings", headers=world.sdk()),
            world.http.get(f"/v2/projects/{project}/products", headers=world.secret),
            world.http.post(f"/hooks/app_store/{app_id}", json={"signedPayload": "x"}),
            world.http.post(
                "/oauth/token",
                data={"grant_type": "authorization_code", "client_id": "c", "code": "x", "redirect_uri": "https://c.test", "code_verifier": "v"},
            ),
        ]
    return list(await asyncio.gather(*asked))


async def take_all(url: str, taken: list[Any]) -> None:
    with suppress(asyncpg.TooManyConnectionsError):
        while True:
            taken.append(await asyncpg.connect(url))


async def test_no_connection_to_spare(postgres: EmbeddedPostgres, own_world: World, owner: Any) -> None:
    taken: list[Any] = []
    try:
        await take_all(postgres.url, taken)
        while await end_the_servers(owner):  # what runs beside the requests may have been quicker
            await take_all(postgres.url, taken)
        for answer in await ask_every_door(own_world):
            must_be_retryable(answer)
        assert (await own_world.http.get("/readyz")).status_code == 503
        assert (await own_world.http.get("/healthz")).status_code == 200
    finally:
        await asyncio.gather(*(one.close() for one in taken))
    await asyncio.sleep(0.3)  # one try each quarter of a second
    await own_world.customer("ada")


@contextmanager
def stopped(postgres: EmbeddedPostgres) -> Iterator[None]:
    """All its processes, as a network that is gone looks from here."""
    server = psutil.Process(postgres.pid)
    processes = [server, *server.children(recursive=True)]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


async def test_a_database_that_is_silent(postgres: EmbeddedPostgres, own_world: World) -> None:
    """Those whose question is under way, and those who wait for their turn: nobody waits for somebody else's time to run out first."""

    async def timed(after: float, key: dict[str, str]) -> tuple[httpx.Response, float]:
        await asyncio.sleep(after)
        began = perf_counter()
        return await own_world.http.get("/v1/subscribers/ada", headers=key), perf_counter() - began

    with stopped(postgres):
        for answer, took in await asyncio.gather(
            *(timed(place * 0.15, own_world.secret if place % 5 == 0 else own_world.sdk()) for place in range(30))
        ):
            must_be_retryable(answer)
            assert took < 2.5
        began = perf_counter()
        ready, healthy = await own_world.http.get("/readyz"), await own_world.http.get("/healthz")
        assert (ready.status_code, healthy.status_code) == (503, 200)
        for answer in await ask_every_door(own_world):
            must_be_retryable(answer)
        assert perf_counter() - began < 2 * LIMIT + 4
    began = perf_counter()
    await own_world.customer("ada")
    assert (await own_world.buy("ada", "pro_monthly")).status_code == 200
    assert perf_counter() - began < 3
    assert (await own_world.http.get("/readyz")).status_code == 200


async def test_a_database_that_takes_no_writes(own_world: World, owner: Any) -> None:
    await owner.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    await owner.execute("SELECT pg_reload_conf()")
    try:
        while await owner.fetchval("SHOW transaction_read_only") == "off":
            await asyncio.sleep(0.02)
        for answer in await ask_every_door(own_world, reads=False):
            must_be_retryable(answer)
            assert "takes no writes" in answer.json()["message"]
            assert answer.json()["outcome"] == "not_done"
        ready = await own_world.http.get("/readyz")
        assert ready.status_code == 503
        assert "takes no writes" in ready.json()["reason"]
        assert (await own_world.http.get("/v1/subscribers/ada", headers=own_world.sdk())).status_code == 200
    finally:
        await owner.execute("ALTER SYSTEM RESET default_transaction_read_only")
        await owner.execute("SELECT pg_reload_conf()")
    while await owner.fetchval("SHOW default_transaction_read_only") == "on":
        await asyncio.sleep(0.02)
    assert (await own_world.buy("ada", "pro_monthly")).status_code == 200


async def test_all_connections_are_killed_at_work(own_world: World, owner: Any) -> None:
    """Nobody is answered with a fault of ours, whatever the connection was at."""
    statuses: set[int] = set()

    async def go_on(number: int) -> None:
        for _ in range(25):
            answer = await own_world.http.get(f"/v1/subscribers/{number}", headers=own_world.sdk())
            bought = await own_world.buy(f"{number}", "coins")
            for one in (answer, bought):
                statuses.add(one.status_code)
                if one.status_code == 503:
                    must_be_retryable(one)

    async def kill(working: "asyncio.Future[Any]") -> None:
        while not working.done():
            await end_all_others(owner)
            await asyncio.sleep(0.03)

    working = asyncio.gather(*(go_on(number) for number in range(6)))
    await asyncio.gather(working, kill(working))
    assert statuses <= {200, 201, 503}
    assert 503 in statuses
    await own_world.customer("ada")


async def test_what_was_told_to_commit_and_not_answered_is_unknown(own_world: World, owner: Any) -> None:
    """Deferred to the commit, and slow: it is killed there."""
    await owner.execute("""
        CREATE TABLE slow (n integer);
        GRANT ALL ON slow TO perennial_app;
        CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(NEW.n); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER be_slow AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION be_slow();
    """)
    database = own_world.app.database
    pids: list[int] = []

    async def write(seconds: int) -> None:
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO slow VALUES (%(seconds)s)", seconds=seconds)
            pids.append(await tx.fetch_value("SELECT pg_backend_pid()"))

    writing = asyncio.ensure_future(write(30))
    while not pids or not await owner.fetchval("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1", pids[0]):
        await asyncio.sleep(0.02)
    await owner.execute("SELECT pg_terminate_backend($1)", pids[0])
    with pytest.raises(Unavailable) as raised:
        await writing
    assert raised.value.outcome == "unknown"

    with pytest.raises(Unavailable) as raised:
        await write(5)  # the limit passes while it waits for the commit
    assert raised.value.outcome == "unknown"

    async def write_nothing() -> None:
        async with database.transaction() as tx:
            await owner.execute("SELECT pg_terminate_backend($1, 5000)", await tx.fetch_value("SELECT pg_backend_pid()"))
            await tx.execute("INSERT INTO slow VALUES (0)")

    with pytest.raises(Unavailable) as raised:
        await write_nothing()
    assert raised.value.outcome == "not_done"
    await write(0)
    assert await owner.fetchval("SELECT count(*) FROM slow") == 1


async def test_a_plan_of_before_a_migration(postgres: EmbeddedPostgres, owner: Any) -> None:
    """The connection that holds it is replaced, and the next one knows better."""
    await owner.execute("CREATE TABLE changing AS SELECT 1 AS a; GRANT SELECT ON changing TO perennial_app")
    database = await Database.open(postgres.url, connections=1)
    try:
        async with database.transaction() as tx:
            assert await tx.fetch_value("SELECT a FROM changing") == 1
        await owner.execute("ALTER TABLE changing ALTER a TYPE text")
        with pytest.raises(Unavailable):
            async with database.transaction() as tx:
                await tx.fetch_value("SELECT a FROM changing")
        async with database.transaction() as tx:
            assert await tx.fetch_value("SELECT a FROM changing") == "1"
    finally:
        await database.close()


async def test_a_race_that_was_lost_leaves_the_connection_as_it_was(postgres: EmbeddedPostgres, owner: Any) -> None:
    await owner.execute("CREATE TABLE raced (n integer); GRANT SELECT ON raced TO perennial_app")
    database = await Database.open(postgres.url, connections=1)

    async def wait_in_vain() -> None:
        async with database.transaction() as tx:
            await tx.execute("SET LOCAL lock_timeout = '50ms'")
            await tx.fetch("SELECT n FROM raced")

    try:
        async with database.transaction() as tx:
            pid = await tx.fetch_value("SELECT pg_backend_pid()")
        async with owner.transaction():
            await owner.execute("LOCK TABLE raced IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(Unavailable, match="at work on the same rows"):
                await wait_in_vain()
        async with database.transaction() as tx:
            assert await tx.fetch_value("SELECT pg_backend_pid()") == pid
    finally:
        await database.close()


async def test_an_error_of_somebody_elses_within_a_transaction_stays_theirs(own_world: World) -> None:
    """A file that is not there is no trouble of the database's."""
    with pytest.raises(FileNotFoundError):
        async with own_world.app.database.transaction(own_world.project_id):
            raise FileNotFoundError("theirs")


async def test_a_database_that_was_not_prepared(postgres: EmbeddedPostgres, tmp_path: Path, owner: Any) -> None:
    await owner.execute("CREATE DATABASE unprepared")
    url = urlsplit(postgres.url)._replace(path="/unprepared").geturl()
    with pytest.raises(NotPrepared, match="perennial migrate"):
        async with open_house(url, tmp_path):
            raise AssertionError("nothing can be served from it")


async def test_a_schema_of_an_older_version_is_not_ready(own_world: World, owner: Any) -> None:
    row = await owner.fetchrow("DELETE FROM schema_migration WHERE name = (SELECT max(name) FROM schema_migration) RETURNING *")
    try:
        ready = await own_world.http.get("/readyz")
        assert ready.status_code == 503
        assert f"{row['name']} is missing; apply it with: perennial migrate" in ready.json()["reason"]
    finally:
        await owner.execute("INSERT INTO schema_migration VALUES ($1, $2, $3)", *row)
    assert (await own_world.http.get("/readyz")).status_code == 200


@pytest.fixture
def small_disk(home: Path, postgres: EmbeddedPostgres) -> Iterator[Path]:
    """A file system of 8 MB, where we may mount one."""
    folder = home / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False, stderr=subprocess.DEVNULL)
    if not mounted or mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("only root may mount a small disk to fill, and not everywhere")
    try:
        if postgres.place.account is not None:
            os.chown(folder, *postgres.place.account.ids)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


async def fill(owner: Any, rows: int) -> None:
    with suppress(asyncpg.DiskFullError):
        while True:
            await owner.execute("INSERT INTO ballast SELECT repeat('x', 1000) FROM generate_series(1, $1::integer)", rows)


async def test_a_disk_that_is_full(own_world: World, owner: Any, small_disk: Path) -> None:
    await owner.execute(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
    await owner.execute("ALTER TABLE customer SET TABLESPACE small; CREATE TABLE ballast (b text) TABLESPACE small")
    try:
        for rows in (20_000, 1000, 100, 7):
            await fill(owner, rows)
        full: list[Any] = []
        number = 0
        while len(full) < 20:  # what is free of a page takes some still
            assert number < 400
            answer = await own_world.http.get(f"/v1/subscribers/new-{number}", headers=own_world.sdk())
            if answer.status_code not in (200, 201):
                must_be_retryable(answer)
                full.append(answer)
            number += 1
        assert "disk of the database is full" in full[0].json()["message"]
        assert (await own_world.http.get("/v1/subscribers/ada", headers=own_world.sdk())).status_code == 200
    finally:
        await owner.execute("DROP TABLE ballast")
        await owner.execute("ALTER TABLE customer SET TABLESPACE pg_default")
        await owner.execute("CHECKPOINT")
        await owner.execute("DROP TABLESPACE small")
    await own_world.customer("new-399")


async def test_a_database_that_shuts_down_and_comes_back(postgres: EmbeddedPostgres, home: Path, own_world: World) -> None:
    """The last of these tests: it is another server afterwards."""
    port = urlsplit(postgres.url).port
    statuses: set[int] = set()
    is_over = False

    async def go_on() -> None:
        while not is_over:
            for answer in (
                await own_world.http.get("/v1/subscribers/ada", headers=own_world.sdk()),
                await own_world.http.get("/v1/subscribers/ada", headers=own_world.secret),
                await own_world.buy("ada", "coins"),
            ):
                statuses.add(answer.status_code)
                if answer.status_code == 503:
                    must_be_retryable(answer)

    going = asyncio.gather(*(go_on() for _ in range(4)))
    await asyncio.sleep(0.2)
    await postgres.stop()
    for answer in await ask_every_door(own_world):
        must_be_retryable(answer)
    async with await EmbeddedPostgres.start(home, port=port, settings=SETTINGS):
        await asyncio.sleep(0.5)
        await own_world.customer("ada")
        is_over = True
        await going
        assert statuses == {200, 503}
        await own_world.app.database.close()

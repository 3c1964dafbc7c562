"""What an operator meets on the first day: each thing that is wrong is said in one line, with what to do, and what is right starts."""

import asyncio
import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from perennial.api.signing import Signer
from perennial.base.db import Database
from perennial.base.errors import Invalid
from perennial.base.ids import random_bytes
from perennial.base.migrate import find_folder, read_migrations
from perennial.base.secrets import Vault
from perennial.settings import Settings
from tests.ports import free_port

KEY = base64.b64encode(b"k" * 32).decode()
NEWEST = read_migrations(find_folder())[-1].name
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty one, where commands are started."""
    made = tmp_path / "empty"
    made.mkdir()
    return made


def environment(**given: str | None) -> dict[str, str]:
    ours = ("DATABASE_URL", "HOST", "PORT", "WEB_CONCURRENCY")
    kept = {name: text for name, text in os.environ.items() if name not in ours and not name.startswith("PERENNIAL_")}
    return {**kept, "COLUMNS": "300", **{name: text for name, text in given.items() if text is not None}}


def refused(folder: Path, *command: str, **given: str | None) -> str:
    """What it says, in one line and within moments, with an exit code that says so too. No two tests ask for the same port."""
    given.setdefault("PORT", str(free_port()))
    done = subprocess.run(
        [sys.executable, "-m", "perennial", *command], cwd=folder, env=environment(**given), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    lines = (done.stdout + done.stderr).strip().splitlines()
    assert len(lines) == 1, done.stdout + done.stderr
    assert lines[0].startswith("✗ ")
    return lines[0]


WORKER = pytest.param("worker", marks=pytest.mark.deep)  # asks what a server asks
INIT = pytest.param("init", marks=pytest.mark.deep)  # and this one what a migration does
BOTH = pytest.mark.parametrize("command", ["serve", WORKER])
ALL = pytest.mark.parametrize("command", ["serve", WORKER, "migrate", INIT])


@BOTH
def test_without_a_database_it_says_how_to_have_one(folder: Path, command: str) -> None:
    said = refused(folder, command, PERENNIAL_HOME="/nonexistent/home")
    assert "/nonexistent/home" in said
    assert "set DATABASE_URL" in said


def test_a_home_that_cannot_be_written_is_named(folder: Path) -> None:
    (folder / "file").touch()
    said = refused(folder, "up", PERENNIAL_HOME=str(folder / "file" / "home"))
    assert f"nothing can be written in {folder / 'file' / 'home'}" in said
    assert "set PERENNIAL_HOME" in said


@ALL
def test_a_database_that_is_down(folder: Path, port: int, command: str) -> None:
    said = refused(folder, command, DATABASE_URL=f"postgresql://ada:pw@127.0.0.1:{port}/shop", PERENNIAL_SECRET_KEY=KEY)
    assert "cannot open the database" in said.lower()
    assert "check DATABASE_URL" in said or "Check DATABASE_URL" in said
    assert "pw" not in said


@ALL
def test_a_wrong_password(folder: Path, database_url: str, command: str) -> None:
    parts = urlsplit(database_url)
    url = parts._replace(netloc=f"{parts.username}:wrong-one@{parts.hostname}:{parts.port}").geturl()
    said = refused(folder, command, DATABASE_URL=url, PERENNIAL_SECRET_KEY=KEY)
    assert "password authentication failed" in said
    assert "wrong-one" not in said


@ALL
def test_no_such_database(folder: Path, database_url: str, command: str) -> None:
    url = urlsplit(database_url)._replace(path="/nowhere").geturl()
    assert 'database "nowhere" does not exist' in refused(folder, command, DATABASE_URL=url, PERENNIAL_SECRET_KEY=KEY)


@ALL
def test_an_address_that_is_none_of_postgresql(folder: Path, command: str) -> None:
    said = refused(folder, command, DATABASE_URL="mysql://ada@db/shop", PERENNIAL_SECRET_KEY=KEY)
    assert "DATABASE_URL" in said


@BOTH
def test_not_migrated(folder: Path, empty_url: str, command: str) -> None:
    said = refused(folder, command, DATABASE_URL=empty_url, PERENNIAL_SECRET_KEY=KEY)
    assert "perennial migrate" in said


@BOTH
async def test_a_database_older_than_the_code(folder: Path, own_url: str, command: str) -> None:
    await on(own_url, f"DELETE FROM schema_migration WHERE name = '{NEWEST}'")
    said = await asyncio.to_thread(refused, folder, command, DATABASE_URL=own_url, PERENNIAL_SECRET_KEY=KEY)
    assert f"it lacks {NEWEST}" in said
    assert "perennial migrate" in said


@pytest.mark.parametrize("command", ["serve", WORKER, "migrate"])
async def test_a_database_newer_than_the_code(folder: Path, own_url: str, command: str) -> None:
    await on(own_url, "INSERT INTO schema_migration VALUES ('9999_tomorrow', 'x', now())")
    said = await asyncio.to_thread(refused, folder, command, DATABASE_URL=own_url, PERENNIAL_SECRET_KEY=KEY)
    assert "newer than this" in said
    assert "9999_tomorrow" in said


async def on(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


def test_a_port_that_is_taken(folder: Path, own_url: str, port: int) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as a server of ours holds it
        taken.bind(("127.0.0.1", port))
        taken.listen()
        said = refused(folder, "serve", DATABASE_URL=own_url, PERENNIAL_SECRET_KEY=KEY, PORT=str(port))
    assert f"Port {port} is in use by another program. Stop that one, or choose another port: PORT={port + 1}" in said


def test_an_address_that_this_machine_has_not(folder: Path, own_url: str) -> None:
    said = refused(folder, "serve", DATABASE_URL=own_url, PERENNIAL_SECRET_KEY=KEY, HOST="192.0.2.1")
    assert "Cannot listen on 192.0.2.1" in said


@BOTH
def test_a_secret_key_that_is_none(folder: Path, own_url: str, command: str) -> None:
    key = base64.b64encode(b"k" * 31).decode()
    line = refused(folder, command, DATABASE_URL=own_url, PERENNIAL_SECRET_KEY=key)
    assert "PERENNIAL_SECRET_KEY must be 32 bytes in base64, and is 31" in line
    assert key not in line


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (b"hunter2", "is not base64"),
        (base64.b64encode(b"k" * 64), "must be 32 bytes in base64, and is 64"),
        (b"", "must be 32 bytes in base64, and is 0"),
    ],
)
def test_so_is_one_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: bytes, said: str) -> None:
    monkeypatch.delenv("PERENNIAL_SECRET_KEY")
    (tmp_path / "secret.key").write_bytes(key)
    with pytest.raises(Invalid, match=f"{tmp_path / 'secret.key'} {said}"):
        Vault.open(tmp_path)


@BOTH
async def test_a_secret_key_that_the_data_was_not_sealed_with(folder: Path, own_url: str, command: str) -> None:
    given = {"DATABASE_URL": own_url}
    with running(folder, "worker", PERENNIAL_SECRET_KEY=KEY, **given) as worker:
        await told(worker, "worker started")
    other = base64.b64encode(b"o" * 32).decode()
    said = await asyncio.to_thread(refused, folder, command, PERENNIAL_SECRET_KEY=other, **given)
    assert "PERENNIAL_SECRET_KEY is not the key that the secrets of this database were sealed with" in said

    forget = [sys.executable, "-m", "perennial", "forget-secrets", "--yes"]
    await asyncio.to_thread(subprocess.run, forget, cwd=folder, env=environment(PERENNIAL_SECRET_KEY=other, **given), check=True, capture_output=True)
    with running(folder, "worker", PERENNIAL_SECRET_KEY=other, **given) as worker:
        await told(worker, "worker started")


@BOTH
def test_no_secret_key_is_invented_for_a_database_of_ones_own(folder: Path, own_url: str, command: str) -> None:
    said = refused(folder, command, DATABASE_URL=own_url)
    assert "PERENNIAL_SECRET_KEY is not set" in said
    assert "openssl rand -base64 32" in said
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"PERENNIAL_RATELIMITS": "off"}, "PERENNIAL_RATELIMITS is no setting of this version; did you mean PERENNIAL_RATE_LIMITS?"),
        ({"PERENNIAL_SECRETKEY": KEY}, "did you mean PERENNIAL_SECRET_KEY?"),
        ({"PERENNIAL_XYZZY": "1"}, "PERENNIAL_XYZZY is no setting of this version; docs/operating.md lists those there are"),
        ({"PORT": "eighty"}, "PORT must be a whole number from 1 to 65535, not 'eighty'"),
        ({"PORT": "70000"}, "PORT must be a whole number from 1 to 65535"),
        ({"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY must be a whole number from 1 to 64, not '0'"),
        ({"WEB_CONCURRENCY": "-1"}, "WEB_CONCURRENCY must be a whole number"),
        ({"WEB_CONCURRENCY": "²"}, "WEB_CONCURRENCY must be a whole number"),
        ({"PERENNIAL_RATE_LIMITS": "charts_metrics=many"}, "PERENNIAL_RATE_LIMITS charts_metrics must be a whole number"),
        ({"PERENNIAL_ALLOW_INTERNAL_WEBHOOKS": "true"}, "PERENNIAL_ALLOW_INTERNAL_WEBHOOKS must be 1 (on) or 0 (off), not 'true'"),
        ({"PERENNIAL_PUBLIC_URL": "billing.example.com"}, "PERENNIAL_PUBLIC_URL must begin with https://"),
    ],
)
def test_settings_that_mean_nothing(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str) -> None:
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(Invalid, match=re.escape(said)):
        Settings.read()


@pytest.mark.parametrize("command", ["serve", WORKER, "migrate"])
def test_every_command_refuses_them(folder: Path, database_url: str, command: str) -> None:
    given = {"DATABASE_URL": database_url, "PERENNIAL_SECRET_KEY": KEY, "WEB_CONCURRENCY": "0"}
    assert "WEB_CONCURRENCY must be a whole number from 1 to 64, not '0'" in refused(folder, command, **given)


def test_what_kubernetes_says_of_a_service_with_our_name_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "PERENNIAL_SERVICE_HOST",
        "PERENNIAL_SERVICE_PORT",
        "PERENNIAL_SERVICE_PORT_HTTP",
        "PERENNIAL_PORT",
        "PERENNIAL_PORT_8080_TCP",
        "PERENNIAL_PORT_8080_TCP_ADDR",
        "PERENNIAL_API_SERVICE_HOST",
        "PERENNIAL_API_PORT_8080_TCP_PROTO",
    ):
        monkeypatch.setenv(name, "tcp://10.0.0.1:8080")
    Settings.read()


def test_every_variable_that_is_read_anywhere_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    root = find_folder().parent
    sources = [path for folder in ("perennial", "tests", "bench", "tools") for path in (root / folder).rglob("*.py") if path != Path(__file__)]
    names = {name for path in sources for name in re.findall(r"\bPERENNIAL_[A-Z][A-Z_]*[A-Z]\b", path.read_text())}
    for name in names - {"PERENNIAL_PORT_8080_TCP"}:
        if os.environ.get(name) is None and "SERVICE" not in name:
            monkeypatch.setenv(name, "")
    assert len(names) > 15
    Settings.read()


# What is right starts ---------------------------------------------------------------------------------------------------------------


class Process:
    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def said(self) -> str:
        return self.log.read_text()


@contextmanager
def running(folder: Path, *command: str, **given: str | None) -> Iterator[Process]:
    log = folder.with_name(f"{random_bytes(4).hex()}.log")
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "perennial", *command], cwd=folder, env=environment(**given), stdout=written, stderr=subprocess.STDOUT
        )
    try:
        yield Process(process, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)


async def until(is_so: Callable[[], bool], within: float = 60) -> None:
    async with asyncio.timeout(within):
        while not is_so():
            await asyncio.sleep(0.05)


async def told(process: Process, text: str) -> None:
    await until(lambda: text in process.said or process.process.poll() is not None)
    assert text in process.said, process.said


async def answers(port: int) -> bool:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        try:
            return (await http.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False


async def test_as_documented_for_production_in_an_empty_folder(folder: Path, empty_url: str, port: int) -> None:
    """`migrate`, then `serve` and `worker`: no folder is needed, and each says that it works, and where."""
    given = {"DATABASE_URL": empty_url, "PERENNIAL_SECRET_KEY": KEY, "PORT": str(port), "WEB_CONCURRENCY": "2"}
    command = [sys.executable, "-m", "perennial", "migrate"]
    done = await asyncio.to_thread(subprocess.run, command, cwd=folder, env=environment(**given), check=True, capture_output=True, text=True)
    assert NEWEST in done.stdout
    with running(folder, "serve", **given) as server, running(folder, "worker", **given) as worker:
        await told(server, f"http://127.0.0.1:{port}")
        await told(worker, "worker started")
        async with asyncio.timeout(30):
            while not await answers(port):
                await asyncio.sleep(0.05)
        assert "Traceback" not in server.said
    assert (server.process.returncode, worker.process.returncode) == (0, 0)
    assert not list(folder.iterdir())


async def test_a_home_of_an_earlier_version_gives_its_signing_root_to_the_database(folder: Path, own_url: str) -> None:
    vault = Vault(b"k" * 32)
    database = await Database.open(own_url, connections=1)
    try:
        (folder / "signing-root.sealed").write_bytes(vault.seal(b"r" * 32, "signing.root"))
        taken_over = await Signer.open(database, vault, folder)
        elsewhere = await Signer.open(database, vault, folder / "another server")
        assert taken_over.root_public_key == elsewhere.root_public_key
        expected = Ed25519PrivateKey.from_private_bytes(b"r" * 32).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        assert base64.b64decode(taken_over.root_public_key) == expected
    finally:
        await database.close()


# Nothing is left behind -------------------------------------------------------------------------------------------------------------


@linux
@pytest.mark.parametrize("workers", ["2"])
async def test_no_process_of_a_server_outlives_its_master(folder: Path, own_url: str, port: int, workers: str) -> None:
    given = {"DATABASE_URL": own_url, "PERENNIAL_SECRET_KEY": KEY, "PORT": str(port), "WEB_CONCURRENCY": workers}
    with running(folder, "serve", **given) as server:
        await until(lambda: server.said.count('"serving"') == int(workers))
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert len(children) >= int(workers)
        server.process.kill()
        server.process.wait()
        await until(lambda: not any(is_alive(child) for child in children), within=5)
    assert not await answers(port)
    with running(folder, "serve", **given) as server:
        await told(server, '"serving"')


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_second_server_does_not_listen_beside_the_first(folder: Path, own_url: str, port: int) -> None:
    given = {"DATABASE_URL": own_url, "PERENNIAL_SECRET_KEY": KEY, "PORT": str(port)}
    with running(folder, "serve", **given) as server:
        await told(server, '"serving"')
        assert f"Port {port} is in use" in await asyncio.to_thread(refused, folder, "serve", **given)
        assert server.process.poll() is None


async def test_of_two_servers_that_start_together_one_is_refused(folder: Path, own_url: str, port: int) -> None:
    given = {"DATABASE_URL": own_url, "PERENNIAL_SECRET_KEY": KEY, "PORT": str(port)}
    with running(folder, "serve", **given) as one, running(folder, "serve", **given) as other:
        await until(lambda: '"serving"' in one.said + other.said and 1 in (one.process.poll(), other.process.poll()))
        assert sorted((one.process.poll(), other.process.poll()), key=str) == [1, None]
        assert f"Port {port} is in use" in one.said + other.said


@linux
@pytest.mark.parametrize("who", ["all at once", pytest.param("up alone", marks=pytest.mark.deep)])
async def test_everything_starts_again_after_it_was_killed(folder: Path, port: int, who: str) -> None:
    home = folder / "home"
    folder.chmod(0o755)
    given = {"PERENNIAL_HOME": str(home), "PORT": str(port)}
    with running(folder, "up", **given) as first:
        await told(first, "Perennial is ready")
        children = psutil.Process(first.process.pid).children(recursive=True)
        for process in (psutil.Process(first.process.pid), *(children if who == "all at once" else ())):
            with suppress(psutil.NoSuchProcess):  # it ended with its parent already
                process.kill()
        first.process.wait()
    with running(folder, "up", **given) as second:
        await told(second, "Perennial is ready")
        assert await answers(port)
        demo = json.loads((home / "demo.json").read_bytes())
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            answer = await http.get("/v1/subscribers/ada", headers={"Authorization": f"Bearer {demo['public_keys']['test_store']}"})
        assert answer.status_code in (200, 201)
    assert second.process.returncode == 0


async def test_a_name_is_as_good_as_an_address(folder: Path, own_url: str, port: int) -> None:
    given = {"DATABASE_URL": own_url, "PERENNIAL_SECRET_KEY": KEY, "PORT": str(port), "HOST": "localhost"}
    with running(folder, "serve", **given) as server:
        await told(server, '"serving"')
        assert await answers(port)  # at 127.0.0.1, where a proxy asks


@BOTH
def test_an_address_for_metrics_that_this_machine_has_not(folder: Path, own_url: str, command: str) -> None:
    for host in ("192.0.2.1", "metrics.invalid", f"{'x' * 70}.example"):
        given = {"PERENNIAL_METRICS_PORT": "19464", "PERENNIAL_METRICS_HOST": host}
        said = refused(folder, command, DATABASE_URL=own_url, PERENNIAL_SECRET_KEY=KEY, **given)
        assert f"cannot serve metrics at {host}: " in said
        assert "set PERENNIAL_METRICS_HOST" in said


def test_it_names_the_setting_whose_address_is_wrong(folder: Path, own_url: str, port: int) -> None:
    for url, said in (
        ("postgresql://ada:a/b@127.0.0.1/shop", "✗ PERENNIAL_MIGRATE_DATABASE_URL cannot be read"),
        (f"postgresql://ada:pw@127.0.0.1:{port}/shop", "Check PERENNIAL_MIGRATE_DATABASE_URL,"),
    ):
        for command in (("migrate",), ("init",), ("backup", "x.dump")):
            assert said in refused(folder, *command, DATABASE_URL=own_url, PERENNIAL_MIGRATE_DATABASE_URL=url, PERENNIAL_SECRET_KEY=KEY)


def test_no_command_seals_with_a_key_that_servers_do_not_have(folder: Path, own_url: str) -> None:
    other = base64.b64encode(b"o" * 32).decode()
    create = ("webhooks", "create", "https://example.com/hook")

    def perennial(*command: str, **given: str) -> str:
        words = [sys.executable, "-m", "perennial", *command]
        env = environment(DATABASE_URL=own_url, **given)
        return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=True).stdout

    perennial("init", PERENNIAL_SECRET_KEY=KEY)
    said = refused(folder, *create, DATABASE_URL=own_url)
    assert "PERENNIAL_SECRET_KEY is not set" in said
    perennial("forget-secrets", "--yes", PERENNIAL_SECRET_KEY=KEY)  # which makes the root that a first start makes
    assert "PERENNIAL_SECRET_KEY is not the key" in refused(folder, *create, DATABASE_URL=own_url, PERENNIAL_SECRET_KEY=other)
    assert "PERENNIAL_SECRET_KEY is not set" in refused(folder, "forget-secrets", "--yes", DATABASE_URL=own_url)
    assert "My project" in perennial("projects", "list")  # what is sealed by nobody needs no key
    assert "invariants hold" in perennial("check")
    assert "made the webhook" in perennial(*create, PERENNIAL_SECRET_KEY=KEY)
    assert not list(folder.iterdir())


def doctor(folder: Path, code: int, **given: str | None) -> list[str]:
    words = [sys.executable, "-m", "perennial", "doctor"]
    done = subprocess.run(words, cwd=folder, env=environment(**given), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (code, ""), done.stdout + done.stderr
    assert not list(folder.iterdir())
    return done.stdout.splitlines()


async def test_the_doctor_finds_what_keeps_a_server_from_starting(folder: Path, own_url: str, port: int) -> None:
    good = {"DATABASE_URL": own_url, "PERENNIAL_SECRET_KEY": KEY, "PORT": str(port)}
    with running(folder, "serve", **good) as server:
        await told(server, '"serving"')
        said = await asyncio.to_thread(doctor, folder, 0, **good)
        assert f"✓ port {port} is in use; a server of Perennial answers there" in said
        assert "✓ the installation key opens what is sealed in the database" in said

    other = base64.b64encode(b"o" * 32).decode()
    for wrong, words in (
        ({"PERENNIAL_SECRET_KEY": other}, "✗ PERENNIAL_SECRET_KEY is not the key that the secrets of this database were sealed with"),
        ({"PERENNIAL_SECRET_KEY": None}, "✗ PERENNIAL_SECRET_KEY is not set"),
        ({"PERENNIAL_SECRET_KEY": None, "PERENNIAL_HOME": f"/{'x' * 300}"}, "✗ PERENNIAL_SECRET_KEY is not set"),  # none that can be looked into
        ({"HOST": "nowhere.invalid"}, "✗ Cannot listen on nowhere.invalid"),
        ({"HOST": "192.0.2.1"}, "✗ Cannot listen on 192.0.2.1"),
    ):
        said = await asyncio.to_thread(doctor, folder, 1, **{**good, **wrong})
        assert any(line.startswith(words) for line in said), said
    for sql, words in (
        ("INSERT INTO schema_migration VALUES ('9999_tomorrow', 'x', now())", "✗ The database is newer than this code: it has 9999_tomorrow"),
        (
            "DELETE FROM schema_migration WHERE name = '9999_tomorrow'; REVOKE SELECT ON schema_migration FROM perennial_app",
            "✗ the database is older",
        ),
    ):
        await on(own_url, sql)
        said = await asyncio.to_thread(doctor, folder, 1, **good)
        assert said[-1].startswith(words), said
    await on(own_url, "DROP FUNCTION applied_migrations")  # as before there was one
    for command in ("serve", "worker"):
        assert "the database is older than this version" in await asyncio.to_thread(refused, folder, command, **good)


async def test_a_worker_says_in_a_line_that_its_database_is_away(folder: Path, own_url: str, database_url: str) -> None:
    name = urlsplit(own_url).path[1:]
    with running(folder, "worker", DATABASE_URL=own_url, PERENNIAL_SECRET_KEY=KEY) as worker:
        await told(worker, "worker started")
        await on(database_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await on(database_url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        await told(worker, "fetching notifications waits")
        await on(database_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert worker.process.poll() is None
    assert "Traceback" not in worker.said
    assert '"level": "error"' not in worker.said

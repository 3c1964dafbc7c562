"""An installation as `deploy/` describes it: the wheel, a database of the operator's with two roles, the units' own commands."""

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import pytest

from perennial.base.time import perf_counter
from perennial.postgres import EmbeddedPostgres, find_binaries
from tests.deploy.conftest import DEPLOY
from tests.ports import free_port

READY_LIMIT = 60  # seconds
STOP_LIMIT = 30
OWNER, LOGIN = "perennial_owner", "perennial_login"


def exec_start(unit: str) -> list[str]:
    """What a unit runs."""
    found = re.search(r"^ExecStart=(.+)$", (DEPLOY / "systemd" / f"perennial-{unit}.service").read_text(), re.MULTILINE)
    assert found is not None
    return found[1].split()


class Installation:
    def __init__(self, command: Path, environment: dict[str, str], port: int) -> None:
        self.command, self.environment, self.port = command, environment, port
        self.url = f"http://127.0.0.1:{port}"

    def run(self, *arguments: str, code: int = 0, **more: str) -> str:
        """What a command prints."""
        said = subprocess.run([str(self.command), *arguments], env={**self.environment, **more}, capture_output=True, text=True, timeout=READY_LIMIT)
        assert said.returncode == code, said.stdout + said.stderr
        return said.stdout

    def unit(self, name: str) -> list[str]:
        program, *arguments = exec_start(name)
        assert program == "/opt/perennial/bin/perennial"
        return [str(self.command), *arguments]

    @contextmanager
    def running(self, *units: str) -> Iterator[list[subprocess.Popen[bytes]]]:
        log = Path(self.environment["PERENNIAL_HOME"]) / "units.log"
        with log.open("wb") as written:
            started = [
                subprocess.Popen(self.unit(name), env=self.environment, stdout=written, stderr=subprocess.STDOUT, start_new_session=True)
                for name in units
            ]
            try:
                yield started
                for process in started:
                    assert process.poll() is None, log.read_text()
            finally:
                for process in started:
                    process.send_signal(signal.SIGTERM)
                codes = [process.wait(STOP_LIMIT) for process in started]
        assert codes == [0] * len(started), log.read_text()

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{self.url}{path}", headers=headers), timeout=5) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()

    def wait(self) -> None:
        began = perf_counter()
        while perf_counter() - began < READY_LIMIT:
            try:
                if self.get("/readyz")[0] == 200:
                    return
            except (URLError, OSError):
                pass
        raise AssertionError("the server was not ready in time")


@pytest.fixture
async def installation(installed: Path, clean_environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Installation]:
    """A database of the operator's own, with the roles that `deploy/database.sh` makes, migrated by its owner."""
    folder = tmp_path / "database"
    folder.mkdir(mode=0o755)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o055)  # so that, as root, PostgreSQL's account finds its way here too
    (tmp_path / "var").mkdir()
    async with await EmbeddedPostgres.start(folder, settings={"fsync": "off"}) as postgres:
        yield set_up(installed, clean_environment, tmp_path / "var", postgres.url)


def set_up(installed: Path, clean_environment: dict[str, str], home: Path, superuser_url: str) -> Installation:
    port = urlsplit(superuser_url).port
    psql = find_binaries().path("psql")
    for statement in (
        f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD 'of the owner'",
        f"GRANT perennial_app TO {OWNER} WITH ADMIN OPTION",  # this server has the role already
        f"CREATE DATABASE shop OWNER {OWNER}",
    ):
        subprocess.run([str(psql), "--quiet", superuser_url, "--command", statement], env=clean_environment, check=True)
    as_owner = {
        **clean_environment,
        "PATH": f"{psql.parent}:{clean_environment['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "PGPASSWORD": "of the owner",
        "POSTGRES_USER": OWNER,
        "POSTGRES_DB": "shop",
    }
    for password in ("mistaken at first", "of the login"):  # run again, it sets the password anew
        said = subprocess.run(["sh", str(DEPLOY / "database.sh")], env={**as_owner, "DATABASE_PASSWORD": password}, capture_output=True, text=True)
        assert (said.returncode, said.stderr) == (0, ""), said.stderr
    listens = free_port()
    environment = {
        **clean_environment,
        "PERENNIAL_HOME": str(home),
        "DATABASE_URL": f"postgresql://{LOGIN}:of%20the%20login@127.0.0.1:{port}/shop",
        "PERENNIAL_SECRET_KEY": "c2VjcmV0IG9mIDMyIGJ5dGVzIGZvciBhIHRlc3QhISE=",
        "PORT": str(listens),
    }
    owner_url = f"postgresql://{OWNER}:of%20the%20owner@127.0.0.1:{port}/shop"
    made = Installation(installed, environment, listens)
    subprocess.run(made.unit("migrate"), env={**environment, "PERENNIAL_MIGRATE_DATABASE_URL": owner_url}, check=True, capture_output=True)
    return made


async def test_the_units_of_an_installed_wheel_serve_a_customer(installation: Installation) -> None:
    assert "perennial" in installation.run("--version")
    made = json.loads(installation.run("init", "--name", "Shop", "--json"))
    with installation.running("serve", "worker"):
        installation.wait()
        assert installation.get("/healthz")[0] == 200
        key = made["secret_key"]
        status, body = installation.get("/v1/subscribers/ada", Authorization=f"Bearer {key}")
        assert (status, json.loads(body)["subscriber"]["original_app_user_id"]) == (201, "ada")
        assert installation.get("/v1/subscribers/ada", Authorization="Bearer sk_wrong")[0] == 401


def test_server_and_worker_log_in_as_who_owns_nothing(installation: Installation) -> None:
    """They cannot change the schema, and row-level security holds for them."""
    psql = find_binaries().path("psql")
    asked = (
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, "
        "(SELECT count(*) FROM pg_class WHERE relowner = pg_roles.oid) FROM pg_roles WHERE rolname = current_user"
    )
    said = subprocess.run(
        [str(psql), "--tuples-only", "--no-align", installation.environment["DATABASE_URL"], "--command", asked],
        env={"PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.strip() == "f|f|f|f|0"

"""`perennial up`: everything starts together and ends together."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from perennial.base.migrate import find_folder, read_migrations

# What stands in for a process names itself in one write: all of them share the output, where two writes may be torn apart.

# Stands in for `perennial serve`: answers /readyz and tells what environment it was given.
SERVER = """
import http.server, json, os, signal, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode())
    def log_message(self, *args): pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
os.write(1, b"server %d\\n" % os.getpid())
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""
WORKER = r"import os, time; os.write(1, b'worker %d\n' % os.getpid()); time.sleep(600)"
# Ends once the server listens.
DYING = """
import os, socket, sys, time
while True:
    try:
        socket.create_connection(("127.0.0.1", int(os.environ["PORT"]))).close()
        sys.exit(3)
    except OSError:
        time.sleep(0.02)
"""
STUBBORN = r"import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write(1, b'worker %d\n' % os.getpid()); time.sleep(600)"

UP = """
import asyncio, json, sys
from perennial import up
from perennial.settings import Settings

async def prepare(url):
    print("prepared", url, flush=True)
    return ["Sign in as ada."]

up._STOP_LIMIT = 0.5
commands = {name: (sys.executable, "-c", code) for name, code in json.loads(sys.argv[1]).items()}
sys.exit(asyncio.run(up.up(Settings.read(), commands=commands, prepare=prepare)))
"""


class Running:
    """`perennial up` in a process of its own, as a terminal would start it."""

    def __init__(self, environment: dict[str, str], **commands: str) -> None:
        self.lines: list[str] = []
        arguments = [sys.executable, "-u", "-c", UP, json.dumps(commands)]
        self.process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def read_until_all_run(self) -> None:
        """It says that it is ready when the server is; the worker may need a moment more."""
        assert self.process.stdout is not None
        missing = {"server ", "worker ", "Ctrl-C"}
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            missing -= {text for text in missing if line.startswith(text)}
            if not missing:
                return
        raise AssertionError(f"{missing} never came:\n{self.output}")

    def end(self, limit: float = 30) -> int:
        output, _ = self.process.communicate(timeout=limit)
        self.lines += output.splitlines()
        return self.process.returncode

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def pid(self, name: str) -> int:
        return next(int(line.split()[1]) for line in self.lines if line.startswith(f"{name} "))


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
        return free


@pytest.fixture
def environment(port: int) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="perennial-test-") as folder:
        Path(folder).chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "HOST")}
        yield {**kept, "PERENNIAL_HOME": folder, "PORT": str(port), "COLUMNS": "200", "HTTP_PROXY": "http://127.0.0.1:9"}


def ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def fetch(port: int) -> dict[str, str]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer: dict[str, str] = json.loads(connection.makefile("rb").read().partition(b"\r\n\r\n")[2])
        return answer


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_everything_and_a_signal_stops_everything(environment: dict[str, str], port: int, number: signal.Signals) -> None:
    running = Running(environment, server=SERVER, worker=WORKER)
    running.read_until_all_run()
    seen = fetch(port)
    assert seen["DATABASE_URL"] == running.lines[[line.startswith("prepared") for line in running.lines].index(True)].split()[1]
    assert seen["DATABASE_URL"].startswith("postgresql://perennial_server:"), "a login that owns nothing"
    assert seen["PERENNIAL_HOME"] == environment["PERENNIAL_HOME"]
    database = int((Path(environment["PERENNIAL_HOME"]) / "postgres" / "data" / "postmaster.pid").read_text().split()[0])

    running.process.send_signal(number)
    assert running.end() == 0
    assert f"Perennial is ready: http://127.0.0.1:{port}" in running.output
    assert "  Sign in as ada." in running.output
    assert f"Schema brought up to {read_migrations(find_folder())[-1].name}" in running.output
    assert all(ended(pid) for pid in (running.pid("server"), running.pid("worker"), database))
    assert "database system is shut down" in (Path(environment["PERENNIAL_HOME"]) / "postgres" / "postgres.log").read_text().splitlines()[-1]


def test_a_database_of_ones_own_is_used_and_left_running(environment: dict[str, str], port: int, database_url: str) -> None:
    theirs = {"DATABASE_URL": database_url, "PERENNIAL_MIGRATE_DATABASE_URL": database_url}
    running = Running({**environment, **theirs}, server=SERVER, worker=WORKER)
    running.read_until_all_run()
    seen = fetch(port)
    assert seen["DATABASE_URL"] == database_url
    assert "PERENNIAL_MIGRATE_DATABASE_URL" not in seen, "who owns the tables is no business of the server's"
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 0
    assert not list(Path(environment["PERENNIAL_HOME"]).iterdir())


def test_when_one_ends_all_are_stopped_and_it_is_named(environment: dict[str, str], database_url: str) -> None:
    running = Running({**environment, "DATABASE_URL": database_url}, server=SERVER, worker=DYING)
    assert running.end() == 1
    assert "The worker ended with exit code 3, so everything is stopped." in running.output
    assert ended(running.pid("server"))


def test_when_the_database_ends_all_are_stopped(environment: dict[str, str]) -> None:
    running = Running(environment, server=SERVER, worker=WORKER)
    running.read_until_all_run()
    os.kill(int((Path(environment["PERENNIAL_HOME"]) / "postgres" / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    assert running.end() == 1
    assert "PostgreSQL ended with signal SIGKILL" in running.output
    assert ended(running.pid("server"))
    assert ended(running.pid("worker"))


def test_who_does_not_stop_when_asked_is_stopped_by_force(environment: dict[str, str], database_url: str) -> None:
    running = Running({**environment, "DATABASE_URL": database_url}, server=SERVER, worker=STUBBORN)
    running.read_until_all_run()
    running.process.send_signal(signal.SIGTERM)
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 0
    assert ended(running.pid("worker"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child")
def test_nothing_outlives_it_when_it_is_killed(environment: dict[str, str], database_url: str) -> None:
    running = Running({**environment, "DATABASE_URL": database_url}, server=SERVER, worker=WORKER)
    running.read_until_all_run()
    running.process.kill()
    running.end()
    for name in ("server", "worker"):
        if not ended(running.pid(name)):
            psutil.Process(running.pid(name)).wait(timeout=10)


def test_a_port_in_use_is_named_before_anything_starts(environment: dict[str, str], port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        running = Running(environment, server=SERVER, worker=WORKER)
        assert running.end() == 1
    assert f"Port {port} is in use by another program. Stop that one, or choose another port: PORT={port + 1}" in running.output
    assert not list(Path(environment["PERENNIAL_HOME"]).iterdir())


def test_a_database_that_does_not_answer_is_named(environment: dict[str, str], port: int) -> None:
    running = Running({**environment, "DATABASE_URL": f"postgresql://perennial:secret@127.0.0.1:{port}/perennial"}, server=SERVER, worker=WORKER)
    assert running.end() == 1
    assert "Cannot open the database" in running.output
    assert "secret" not in running.output

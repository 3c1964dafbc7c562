"""Starts PostgreSQL as our child, watches it, and stops it when we stop.

Whatever the last run left behind is met at the next start: a lock file with a dead, foreign or zombie pid, a server whose
supervisor was killed, backends whose server was killed, an initialisation that was cut off.
"""

import asyncio
import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT, Signals
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psutil

from perennial.base.errors import Conflict, Unavailable
from perennial.base.ids import new_token, random_bytes
from perennial.base.time import perf_counter
from perennial.postgres.binaries import MAJOR, find_binaries
from perennial.postgres.child import start_child
from perennial.postgres.place import Place, find_place, hand_over, open_file

USER = DATABASE = "perennial"  # the user owns everything, and migrates
SERVER_USER = "perennial_server"  # owns nothing, and may do what the application's role may
HOST = "127.0.0.1"

# Written into postgresql.conf once; theirs to change afterwards.
_INITIAL_SETTINGS = {
    "shared_buffers": f"{min(max(psutil.virtual_memory().total // 4, 128 << 20), 4 << 30) >> 20}MB",  # a quarter of the machine, at most 4 GB
    "max_connections": "100",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",  # there are no more spinning disks
    "autovacuum_naptime": "5s",  # docs/decisions/looked-up-key-by-key.md: what fills at once needs statistics soon
    "timezone": "UTC",
    "log_timezone": "UTC",
}

_READY_LIMIT = 120.0  # seconds; replaying the log of a crash can take a while
_FAST_LIMIT = 20.0  # seconds for a fast shutdown, which writes everything down
_LAST_LIMIT = 5.0  # seconds for an immediate one, which does not
_POLL = 0.01
_LOG_LIMIT = 10_000_000  # bytes; a longer log is set aside at the next start, over the one before
_PORTS_TO_TRY = 5


class AlreadyRunning(Conflict):
    """Another process keeps the database of this home."""


class EmbeddedPostgres:
    """One running server. `async with await EmbeddedPostgres.start(home) as postgres: ... postgres.url`

    `url` is the owner's, for migrations and for whoever looks after the database; `server_url` is what servers and workers get.
    """

    def __init__(self, *, place: Place, lock: int, server: subprocess.Popen[bytes], url: str, server_url: str) -> None:
        self.url = url
        self.server_url = server_url
        self.place = place
        self.pid = server.pid
        self._server = server
        self._lock = lock

    @classmethod
    async def start(cls, home: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> Self:
        """Starts the server of `home`, making the database where there is none.

        It listens on 127.0.0.1 alone, on `port` or else on a free one. `settings` overrule postgresql.conf. `AlreadyRunning` where
        another process keeps this home, `Unavailable` with the end of the log where the server does not come up.
        """
        place = find_place(home, find_binaries())
        lock = _take_lock(place, home)
        try:
            await _clear_remains(place)
            if not place.data.exists():
                await _initialise(place)
            _check_version(place)
            server, chosen = await _serve(place, port, settings or {})
            try:
                await _ensure_server_login(place, chosen)
            except BaseException:
                await _stop_server(server, place)
                raise
        except BaseException:
            os.close(lock)
            raise
        return cls(place=place, lock=lock, server=server, url=_url(place, chosen), server_url=_server_url(place, chosen))

    async def stop(self) -> None:
        """Fast shutdown; immediate where that takes too long; by force where nothing else helps. Safe to call again."""
        if self._lock < 0:
            return
        await _stop_server(self._server, self.place)
        os.close(self._lock)
        self._lock = -1

    def ended(self) -> int | None:
        """The exit code, once the server has ended; negative where a signal ended it."""
        return self._server.poll()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()


def running_url(home: Path) -> str | None:
    """How to reach the server that another process keeps for `home`; None where none is ready."""
    place = Place(folder=(home / "postgres").resolve(), account=None, binaries=find_binaries())
    pid, port, status = _postmaster(place)
    return _url(place, port) if status == "ready" and pid in {process.pid for process in _living_in(place.data)} else None


# Starting


async def _serve(place: Place, port: int | None, settings: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int]:
    """A free port may be taken by someone else before PostgreSQL binds it, so a port of our choosing is chosen again."""
    for attempt in range(_PORTS_TO_TRY):
        chosen = port or _free_port()
        server = _start_server(place, chosen, settings)
        try:
            if await _ready(server, place):
                return server, chosen
        except BaseException:
            await _stop_server(server, place)
            raise
        taken = "could not bind" in _log_tail(place) and not _is_free(chosen)
        if not taken or port is not None or attempt == _PORTS_TO_TRY - 1:
            break
    reason = f"port {chosen} is in use" if taken else f"it ended with exit code {server.returncode}"
    raise Unavailable(f"PostgreSQL did not start: {reason}. The end of {place.log}:\n{_log_tail(place)}")


def _start_server(place: Place, port: int, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    ours = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",  # TCP alone: socket paths are limited to about 107 bytes, and mounted folders may refuse sockets
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_line_prefix": "%m [%p] ",
        "cluster_name": "perennial",
        **settings,
    }
    options = [part for name, value in ours.items() for part in ("-c", f"{name}={value}")]
    _roll_log(place)
    return _run(place, "postgres", ["-D", str(place.data), *options])


def _run(place: Place, program: str, arguments: Sequence[str], told: bytes = b"", env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    with os.fdopen(open_file(place, place.log, os.O_WRONLY | os.O_APPEND), "ab") as log:
        return start_child(
            [str(place.binaries.path(program)), *arguments],
            on_our_death=SIGINT,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **(env or {})},  # nothing of ours: PG* variables would change what the programs do
            output=log,
            account=place.account.ids if place.account else None,
            folder="/",  # ours may be private
            told=told,
        )


async def _ready(server: subprocess.Popen[bytes], place: Place) -> bool:
    """True once the server says that it takes connections, False where it ended.

    It says so in the last line of postmaster.pid, where pg_ctl looks too. Asking the port could be answered by somebody else's server.
    """
    deadline = perf_counter() + _READY_LIMIT
    while server.poll() is None:
        pid, _, status = _postmaster(place)
        if pid == server.pid and status == "ready":
            return True
        if perf_counter() > deadline:
            raise Unavailable(f"PostgreSQL was not ready after {_READY_LIMIT:.0f} s. The end of {place.log}:\n{_log_tail(place)}")
        await asyncio.sleep(_POLL)
    return False


async def _ensure_server_login(place: Place, port: int) -> None:
    """Once, also for a database that an earlier version made. The password is written last: a start that was cut off does it again."""
    if place.server_password.exists():
        return
    password = new_token()
    sql = f"""
        DO $$ BEGIN
          IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'perennial_app') THEN CREATE ROLE perennial_app NOLOGIN; END IF;
          IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{SERVER_USER}') THEN CREATE ROLE {SERVER_USER}; END IF;
        END $$;
        ALTER ROLE {SERVER_USER} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '{password}';
        GRANT perennial_app TO {SERVER_USER};
    """  # noqa: S608  both are ours, of letters, digits, - and _
    arguments = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", HOST, "-p", str(port), "-U", USER, "-d", DATABASE, "-f", "-"]
    await _finish(place, "psql", arguments, told=sql.encode(), env={"PGPASSWORD": _read(place.password)})
    _write(place, place.server_password, password)


async def _initialise(place: Place) -> None:
    """Makes the database aside and renames it at the end, so that `data` is whole or absent."""
    unfinished = place.folder / f"initdb.{random_bytes(6).hex()}"
    unfinished.mkdir(mode=0o700)
    hand_over(unfinished, place)
    try:
        await _initdb(place, unfinished, new_token())
        await _finish(place, "postgres", ["--single", "-D", str(unfinished), "postgres"], told=f"CREATE DATABASE {DATABASE}\n".encode())
        unfinished.rename(place.data)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


async def _initdb(place: Place, data: Path, password: str) -> None:
    """PostgreSQL's account may not read our copy of the password, so it gets one for the moment."""
    _write(place, place.password, password)
    lent = data.with_suffix(f"{data.suffix}.password")
    _write(place, lent, password)
    hand_over(lent, place)
    access = ["--username", USER, f"--pwfile={lent}", "--auth=scram-sha-256"]
    # The built-in locale sorts alike on every machine, and after every upgrade of its libc.
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    settings = [part for name, value in _INITIAL_SETTINGS.items() for part in ("-c", f"{name}={value}")]
    try:
        await _finish(place, "initdb", ["-D", str(data), *access, *locale, *settings])
    finally:
        lent.unlink()


async def _finish(place: Place, program: str, arguments: Sequence[str], told: bytes = b"", env: Mapping[str, str] | None = None) -> None:
    """Runs a program to its end, or ends it where we are cancelled."""
    running = _run(place, program, arguments, told, env)
    try:
        while running.poll() is None:
            await asyncio.sleep(_POLL)
    finally:
        await _stop(running, SIGINT, _LAST_LIMIT) or await _stop(running, SIGKILL, _LAST_LIMIT)
    if running.returncode != 0:
        raise Unavailable(f"{program} ended with exit code {running.returncode}. The end of {place.log}:\n{_log_tail(place)}")


def _check_version(place: Place) -> None:
    made_by = (place.data / "PG_VERSION").read_text().strip()
    if made_by != MAJOR:
        raise Conflict(
            f"{place.data} was made by PostgreSQL {made_by}, and this is PostgreSQL {MAJOR}. "
            "Dump it with the version that made it, and load the dump into a new home."
        )


# What an earlier run left behind


def _take_lock(place: Place, home: Path) -> int:
    """Held by the open file, so the kernel lets go of it however we end."""
    lock = open_file(place, place.lock, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise AlreadyRunning(
            f"The database in {home} is already running, kept by process {holder}. Stop that one first, or choose another home."
        ) from error
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


async def _clear_remains(place: Place) -> None:
    """We hold the lock, so whatever else is here has lost its supervisor. Stops it in good order before we take over.

    postmaster.pid is removed only when nobody works in the folder any more: PostgreSQL itself guards against two servers by it, but
    cannot tell a zombie's or a stranger's pid from its own.
    """
    for remains in place.folder.glob("initdb.*"):
        if remains.is_dir() and not remains.is_symlink():
            shutil.rmtree(remains, ignore_errors=True)
        else:
            remains.unlink(missing_ok=True)
    lock_file = place.data / "postmaster.pid"
    if not lock_file.exists():
        return
    await _evict(place)
    lock_file.unlink(missing_ok=True)


async def _evict(place: Place) -> None:
    """Fast shutdown for the server; then immediate for whoever is left; then by force."""
    server = _postmaster(place)[0]
    for signal, limit in ((SIGINT, _FAST_LIMIT), (SIGQUIT, _LAST_LIMIT), (SIGKILL, _LAST_LIMIT)):
        left = _living_in(place.data)
        for process in left:
            if process.pid == server or signal != SIGINT:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal)
        if await _gone(left, limit if signal != SIGINT or any(process.pid == server for process in left) else 1.0):
            return
    raise Unavailable(
        f"Processes {[process.pid for process in left]} of an earlier run still work in {place.data} and do not end. Restart the machine."
    )


async def _gone(processes: Sequence[psutil.Process], limit: float) -> bool:
    deadline = perf_counter() + limit
    while any(_alive(process) for process in processes):
        if perf_counter() > deadline:
            return False
        await asyncio.sleep(_POLL)
    return True


def _living_in(data: Path) -> list[psutil.Process]:
    """PostgreSQL's processes make their data folder their working folder, which no name or pid can counterfeit by accident."""
    return [process for process in psutil.process_iter() if _lives(process, data)]


def _lives(process: psutil.Process, data: Path) -> bool:
    try:
        return process.name() == "postgres" and Path(process.cwd()) == data and _alive(process)
    except (psutil.Error, OSError):
        return False  # gone meanwhile, or not ours to look at


def _alive(process: psutil.Process) -> bool:
    """A zombie has ended; only its parent has not yet asked how."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _postmaster(place: Place) -> tuple[int, int, str]:
    """pid, port and status by postmaster.pid (PostgreSQL's miscadmin.h has the lines); zeros for what it does not say, or not yet."""
    try:
        lines = (place.data / "postmaster.pid").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    pid, port, status = (lines[number].strip() if len(lines) > number else "" for number in (0, 3, 7))
    return int(pid) if pid.isdecimal() else 0, int(port) if port.isdecimal() else 0, status


# Stopping


async def _stop_server(server: subprocess.Popen[bytes], place: Place) -> None:
    if await _stop(server, SIGINT, _FAST_LIMIT) or await _stop(server, SIGQUIT, _LAST_LIMIT):
        return
    await _evict(place)
    server.wait()


async def _stop(child: subprocess.Popen[bytes], signal: Signals, limit: float) -> bool:
    """True where it has ended, now or before."""
    deadline = perf_counter() + limit
    if child.poll() is None:
        child.send_signal(signal)
    while child.poll() is None:
        if perf_counter() > deadline:
            return False
        await asyncio.sleep(_POLL)
    return True


# Small things


def _url(place: Place, port: int) -> str:
    return f"postgresql://{USER}:{quote(_read(place.password))}@{HOST}:{port}/{DATABASE}"


def _server_url(place: Place, port: int) -> str:
    return f"postgresql://{SERVER_USER}:{quote(_read(place.server_password))}@{HOST}:{port}/{DATABASE}"


def _read(path: Path) -> str:
    return path.read_text().strip()


def _write(place: Place, path: Path, text: str) -> None:
    with os.fdopen(open_file(place, path, os.O_WRONLY | os.O_TRUNC), "w") as file:
        file.write(f"{text}\n")


def _roll_log(place: Place) -> None:
    with suppress(FileNotFoundError):
        if place.log.stat().st_size > _LOG_LIMIT:
            place.log.rename(place.log.with_suffix(".log.1"))


def _log_tail(place: Place) -> str:
    return "\n".join(place.log.read_text(errors="replace")[-4000:].splitlines()[-15:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True

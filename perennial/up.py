"""`perennial up`: the whole of Perennial on one machine, from nothing, until Ctrl-C.

Starts PostgreSQL (unless DATABASE_URL names one), brings it to the present schema, then starts the server and the worker as processes
of their own. Nothing is restarted in silence: when one of them ends, all are stopped and the exit code says so.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals

import httpx
import psutil
from rich.console import Console
from rich.markup import escape

from perennial.base.errors import PerennialError, Unavailable
from perennial.base.migrate import migrate
from perennial.base.time import perf_counter
from perennial.lifeline import STARTED_BY
from perennial.listening import PortTaken, address_of, check_port
from perennial.postgres import EmbeddedPostgres, start_child
from perennial.settings import Settings, check_home

Prepare = Callable[[str], Awaitable[Sequence[str] | None]]  # takes the database's address; its lines are shown once all is ready

COMMANDS: Mapping[str, Sequence[str]] = {
    "server": (sys.executable, "-m", "perennial", "serve"),
    "worker": (sys.executable, "-m", "perennial", "worker"),
}

_READY_LIMIT = 60.0  # seconds
_STOP_LIMIT = 10.0  # seconds for a child to finish what it is doing
_POLL = 0.05
_LEFTOVER_LIMIT = 25.0  # seconds; a server that is told to stop takes 15 at most


class ChildEnded(Unavailable):
    """Something we started ended without being asked to."""


async def up(
    settings: Settings, *, commands: Mapping[str, Sequence[str]] = COMMANDS, prepare: Prepare | None = None, console: Console | None = None
) -> int:
    """Runs until SIGINT, SIGTERM or SIGHUP (then 0) or until something cannot start or ends (then 1). `prepare` runs before serving."""
    say = _Voice(console or Console(highlight=False))
    work = asyncio.ensure_future(_run(settings, commands, prepare, say))
    with _cancelled_by_signals(work, say):
        try:
            await work
        except asyncio.CancelledError:
            say.line("Stopped.")
            return 0
        except PerennialError as error:
            say.trouble(error.message)
    return 1


async def _run(settings: Settings, commands: Mapping[str, Sequence[str]], prepare: Prepare | None, say: "_Voice") -> None:
    check_home(settings.home)
    await _wait_for_port(settings, say)
    async with AsyncExitStack() as started:
        ended: dict[str, Callable[[], int | None]] = {}
        url = settings.require_database_url() if settings.database_url is not None else None
        if url is None:
            postgres = await _start_postgres(settings.home, say)
            started.push_async_callback(postgres.stop)
            ended["PostgreSQL"] = postgres.ended
            await _migrate(postgres.url, say)
            url = postgres.server_url
        else:
            await _migrate(settings.url_to_migrate(), say)
        lines = await prepare(url) if prepare is not None else None
        children = await started.enter_async_context(_children(commands, _environment(settings, url)))
        ended.update({f"The {name}": child.poll for name, child in children.items()})
        await _wait_until_ready(settings, ended)
        say.ready(address_of(settings.host, settings.port), lines or ())
        while True:
            _check_alive(ended)
            await asyncio.sleep(_POLL)


async def _wait_for_port(settings: Settings, say: "_Voice") -> None:
    """A run that was killed may have left a server that is still finishing what it had in hand: it ends by itself, and then the port is free."""
    deadline = perf_counter() + _LEFTOVER_LIMIT
    is_said = False
    while True:
        try:
            check_port(settings.host, settings.port)
            return
        except PortTaken:
            if perf_counter() > deadline or not _is_ours(settings.port):
                raise
        if not is_said:
            say.line(f"Waiting for the server of an earlier run to let go of port {settings.port} ...")
            is_said = True
        await asyncio.sleep(_POLL)


def _is_ours(port: int) -> bool:
    """Whether a server listens there that an `up` started which is gone."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            starter = process.environ().get(STARTED_BY, "")
            is_left_over = starter.isdecimal() and not psutil.pid_exists(int(starter))
            if is_left_over and any(one.laddr.port == port for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN):
                return True
    return False


async def _start_postgres(home: Path, say: "_Voice") -> EmbeddedPostgres:
    began = perf_counter()
    postgres = await EmbeddedPostgres.start(home)
    say.done(f"PostgreSQL runs in {home / 'postgres'}", perf_counter() - began)
    return postgres


async def _migrate(url: str, say: "_Voice") -> None:
    began = perf_counter()
    applied = await migrate(url)
    if applied:
        say.done(f"Schema brought up to {applied[-1]}", perf_counter() - began)


@asynccontextmanager
async def _children(commands: Mapping[str, Sequence[str]], env: Mapping[str, str]) -> AsyncIterator[dict[str, "subprocess.Popen[bytes]"]]:
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            children[name] = start_child(command, on_our_death=SIGTERM, env=env)
        yield children
    finally:
        await _stop(children.values())


async def _stop(children: Collection["subprocess.Popen[bytes]"]) -> None:
    """All at once: a polite signal, time to finish, then by force, together with whatever processes they started themselves."""
    for child in children:
        if child.poll() is None:
            child.send_signal(SIGTERM)
    deadline = perf_counter() + _STOP_LIMIT
    while any(child.poll() is None for child in children) and perf_counter() < deadline:
        await asyncio.sleep(_POLL)
    for child in children:
        with suppress(ProcessLookupError, PermissionError):  # macOS answers the second where only zombies are left
            os.killpg(child.pid, SIGKILL)
        child.wait()


async def _wait_until_ready(settings: Settings, ended: Mapping[str, Callable[[], int | None]]) -> None:
    deadline = perf_counter() + _READY_LIMIT
    address = address_of(settings.host, settings.port)
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=5) as client:  # a proxy has no business here
        while True:
            _check_alive(ended)
            with suppress(httpx.TransportError):
                if (await client.get("/readyz")).status_code == 200:
                    return
            if perf_counter() > deadline:
                raise Unavailable(f"{address}/readyz did not answer with 200 within {_READY_LIMIT:.0f} s.")
            await asyncio.sleep(_POLL)


def _check_alive(ended: Mapping[str, Callable[[], int | None]]) -> None:
    for name, code in ended.items():
        if (found := code()) is not None:
            raise ChildEnded(f"{name} ended with {_ending(found)}, so everything is stopped.")


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {Signals(-code).name}"


def _environment(settings: Settings, url: str) -> dict[str, str]:
    ours = {"DATABASE_URL": url, "PERENNIAL_HOME": str(settings.home), "HOST": settings.host, "PORT": str(settings.port)}
    inherited = {name: text for name, text in os.environ.items() if name != "PERENNIAL_MIGRATE_DATABASE_URL"}  # the owner's is not for them
    return {**inherited, **ours, STARTED_BY: str(os.getpid())}


@contextmanager
def _cancelled_by_signals(work: "asyncio.Future[None]", say: "_Voice") -> Iterator[None]:
    """The first signal stops everything in good order. Later ones change nothing: stopping has its own time limits."""
    loop = asyncio.get_running_loop()
    signals = (SIGINT, SIGTERM, SIGHUP)
    asked = False

    def stop() -> None:
        nonlocal asked
        if not asked:
            asked = True
            say.line("Stopping ...")
            work.cancel()

    for signal in signals:
        loop.add_signal_handler(signal, stop)
    try:
        yield
    finally:
        for signal in signals:
            loop.remove_signal_handler(signal)


class _Voice:
    """A few calm lines."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str) -> None:
        self._console.print(escape(text), soft_wrap=True)

    def done(self, text: str, seconds: float) -> None:
        self._console.print(f"[green]✓[/green] {escape(text)} [dim]({seconds:.1f} s)[/dim]", soft_wrap=True)

    def ready(self, address: str, lines: Sequence[str]) -> None:
        self._console.print(f"[green]✓[/green] Perennial is ready: [bold]{escape(address)}[/bold]", soft_wrap=True)
        for text in lines:
            self.line(f"  {text}")
        self._console.print("[dim]Ctrl-C stops it.[/dim]")

    def trouble(self, text: str) -> None:
        self._console.print(f"[red]✗[/red] {escape(text)}", soft_wrap=True)

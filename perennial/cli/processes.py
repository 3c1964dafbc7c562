"""Starting things: everything at once, or one by one."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape

from perennial import __version__, catalog, preflight
from perennial.app import open_app
from perennial.base.db import forget_installation_secrets
from perennial.base.errors import Invalid
from perennial.base.migrate import migrate as apply_migrations
from perennial.base.secrets import Secret
from perennial.base.value import replace
from perennial.cli.desk import RUN_FILE, answer, demo_project, done, listed, read_settings, say, url_to_migrate
from perennial.cli.projects import make_project
from perennial.lifeline import end_with_the_starter
from perennial.listening import claimed_port
from perennial.settings import Settings, check_home


def up(
    demo: Annotated[
        bool | None, typer.Option("--demo/--no-demo", help="A demo project; without a word, there is one unless DATABASE_URL names a database")
    ] = None,
) -> None:
    """Start everything on this machine, until Ctrl-C.

    PostgreSQL (unless DATABASE_URL names yours), the server and the worker. Data is in $PERENNIAL_HOME, by default ./.perennial.
    A database of your own gets no demo project unless you ask for it.

    [bold]Examples[/bold]

      perennial up

      PORT=9000 perennial up

      DATABASE_URL=postgresql://me@db/perennial perennial up
    """
    from perennial.up import up as start

    _show_the_demo(demo)
    settings = Settings.read()
    check_home(settings.home)
    with _run_file(settings) as write:

        async def prepare(url: str) -> Sequence[str]:
            write(url)
            return await _prepare(replace(settings, database_url=Secret(url)))

        code = asyncio.run(start(settings, prepare=prepare))
    raise typer.Exit(code)


def _show_the_demo(wanted: bool | None) -> None:
    """To this machine alone, and its webhooks may go to this machine. The option counts, then PERENNIAL_DEMO, then whether the database is ours.

    The processes we start are told too.
    """
    is_local = (os.environ.get("HOST") or "127.0.0.1") in ("127.0.0.1", "localhost", "::1")
    if wanted and not is_local:
        raise Invalid("--demo shows its pages to this machine alone; leave HOST at 127.0.0.1", param="--demo")
    usual = is_local and not os.environ.get("DATABASE_URL")
    said = os.environ.get("PERENNIAL_DEMO") or ("1" if usual else "0")
    is_shown = wanted if wanted is not None else is_local and said == "1"
    os.environ["PERENNIAL_DEMO"] = "1" if is_shown else "0"
    if is_shown:
        os.environ.setdefault("PERENNIAL_ALLOW_INTERNAL_WEBHOOKS", "1")


async def _prepare(settings: Settings) -> Sequence[str]:
    """What a first look needs, and what a person should know."""
    async with open_app(settings, application="perennial up", connections=2) as app:
        if settings.is_demo:
            from perennial.demo import ensure_demo

            demo = await ensure_demo(app)
            return _about(demo, settings, shows_secret=sys.stdout.isatty())
        if not await catalog.all_projects(app.database):
            return ["There is no project yet. In another terminal: perennial init"]
    return []


def _about(demo: dict[str, Any], settings: Settings, *, shows_secret: bool) -> list[str]:
    """The secret key is for a terminal: anything else may be a log, which is kept and read by others."""
    file = settings.home / "demo.json"
    return [
        f"Demo project {demo['project_id']}, its keys (all of them in {file}):",
        *(f"  {store:<12} {key}" for store, key in demo["public_keys"].items()),
        f"  {'secret':<12} {demo['secret_key'] if shows_secret else f'secret_key in {file}, which its owner alone can read'}",
        f"Open {demo['base_url']} to see it live. Ctrl-C stops everything.",
    ]


@contextmanager
def _run_file(settings: Settings) -> Iterator[Callable[[str], None]]:
    """While we run, other commands find our database by it. It holds a password, and so is ours to read alone."""
    path = settings.home / RUN_FILE

    def write(url: str) -> None:
        settings.home.mkdir(parents=True, exist_ok=True)
        draft = settings.home / f".{RUN_FILE}.{os.getpid()}"
        draft.touch(mode=0o600)
        running = {
            "database_url": url,
            "pid": os.getpid(),
            "port": settings.port,
            "allow_internal_webhooks": settings.allow_internal_webhooks,
        }
        draft.write_bytes(msgspec.json.encode(running))
        draft.replace(path)

    try:
        yield write
    finally:
        if _is_ours(path.read_bytes() if path.exists() else b""):
            path.unlink()


def _is_ours(content: bytes) -> bool:
    try:
        return msgspec.json.decode(content, type=dict[str, object]).get("pid") == os.getpid()
    except msgspec.MsgspecError:
        return False


def serve() -> None:
    """Start the server alone. Any number may run, on any number of machines.

    Needs DATABASE_URL. HOST, PORT and WEB_CONCURRENCY say where and how many.

    [bold]Example[/bold]

      WEB_CONCURRENCY=4 HOST=0.0.0.0 perennial serve
    """
    from perennial.server import run

    settings = _with_database()
    end_with_the_starter()
    with claimed_port(settings.host, settings.port):
        preflight.check(settings)
        run(settings)


def worker() -> None:
    """Start a worker alone: it digests notifications, sends webhooks, and does what is due.

    Needs DATABASE_URL. Any number may run; they share the work.
    """
    from perennial.worker import run

    settings = _with_database()
    end_with_the_starter()
    preflight.check(settings)
    run(settings)


def _with_database() -> Settings:
    settings = read_settings()
    os.environ["DATABASE_URL"] = settings.require_database_url()  # for the processes the server starts
    return settings


def migrate() -> None:
    """Bring the database to the shape this version expects. Safe to repeat, and while older versions run."""
    applied = asyncio.run(apply_migrations(url_to_migrate(read_settings())))
    done(f"applied {', '.join(applied)}" if applied else "the schema is up to date")


def init(
    name: Annotated[str, typer.Option(help="What to call the project")] = "My project",
    sandbox: Annotated[bool, typer.Option("--sandbox", help="With a clock of its own that you can advance, and simulated stores")] = False,
) -> None:
    """Prepare a database, and make the first project of yours with a secret key.

    Beside a running [bold]perennial up[/bold] it works on that one's database; the demo does not count as yours. Where there are projects already,
    it changes nothing but the schema.

    [bold]Examples[/bold]

      perennial init --name "Cat Pictures"

      DATABASE_URL=postgresql://me@db/perennial perennial init --sandbox
    """
    asyncio.run(_init(read_settings(), name, is_sandbox=sandbox))


async def _init(settings: Settings, name: str, *, is_sandbox: bool) -> None:
    if Settings.read().database_url is None:
        say(f"perennial up runs here, on port {settings.port}: this works on its database")
    applied = await apply_migrations(url_to_migrate(settings))
    done(f"applied {', '.join(applied)}" if applied else "the schema is up to date")
    async with open_app(settings, application="perennial cli", connections=2) as app:
        demo = demo_project(settings.home)
        if projects := [one for one in await catalog.all_projects(app.database) if one.project_id != demo]:
            done(f"there are projects already: {escape(listed(projects))}; nothing was made")
            say("  For another project: perennial projects create NAME; for another key: perennial keys create LABEL")
            return
        await make_project(app, name, is_sandbox=is_sandbox)
    say("  Next: perennial apps create --type test_store --name 'My app'")


def forget_secrets(
    sure: Annotated[bool, typer.Option("--yes", help="Do it without asking")] = False,
) -> None:
    """Where the installation's key is lost for good: let the database go on with the one of now.

    What was sealed with the lost key can never be opened again. The root of response signatures is made anew; stores' credentials,
    webhooks' signing secrets and integrations' secrets must be entered again. Customers, purchases and keys are not touched.
    """
    if not sure:
        typer.confirm("Is the key lost for good, and shall what it sealed be given up?", abort=True, err=True)

    async def work() -> None:
        async with open_app(read_settings(), application="perennial cli", connections=1, makes_key=False) as app:
            preflight.require_key(app.settings)
            await forget_installation_secrets(app.database)
            await preflight.check_key(app)

    asyncio.run(work())
    done("the database goes on with the key of now; enter the stores' credentials and webhooks' secrets again")


def say_version(wanted: bool) -> None:
    """`perennial --version`, as every program has it."""
    if wanted:
        version()
        raise typer.Exit


def version() -> None:
    """Say which version this is."""
    answer(version=__version__)
    say(f"perennial {__version__}")

"""`perennial backup` and `perennial restore`: the database as one file."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from perennial import backup as files
from perennial import preflight
from perennial.app import open_app
from perennial.base.errors import Conflict, Invalid
from perennial.base.migrate import Server, examine, find_folder, prepare_roles, read_migrations
from perennial.base.secrets import WrongKey, has_key, place_of_key
from perennial.cli.desk import answer, console, counted, done, read_settings, say, url_to_migrate, warn
from perennial.settings import Settings

_COLUMNS = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


def backup(file: Annotated[Path, typer.Argument(help="Where to; it must not be there yet", show_default=False)]) -> None:
    """Write the whole database to one file, as it is at one moment. Servers and workers go on meanwhile.

    It is made by PostgreSQL's own pg_dump. The installation's secret key is not in it: without that key, what is sealed (stores' credentials,
    webhooks' secrets) cannot be opened after a restore. Keep it in another place than the file.

    [bold]Example[/bold]

      perennial backup /backups/perennial-2026-05-01.dump
    """
    settings = read_settings()
    url = url_to_migrate(settings)
    server = asyncio.run(examine(url))
    if not server.applied:
        raise Invalid("this database is not Perennial's: there is nothing to back up; is DATABASE_URL right?", param="DATABASE_URL")
    files.check_tools(server)
    with _progress("backing up", server.tables) as watch:
        files.write(url, file, watch)
    contents, size = files.look_into(file), file.stat().st_size
    answer(file=str(file), bytes=size, tables=contents.tables, schema=server.applied[-1], postgresql=server.major)
    done(f"{counted(contents.tables, 'table')}, {size:,} bytes, in {escape(str(file))}")
    key = place_of_key(settings.home) if has_key(settings.home) else "PERENNIAL_SECRET_KEY"
    say(f"  The secrets in it are sealed with {escape(key)}, which is not in it: keep that key too, in another place.")


def restore(
    file: Annotated[Path, typer.Argument(help="What `perennial backup`, or pg_dump --format=custom, has written", show_default=False)],
    replace: Annotated[bool, typer.Option("--replace", help="Drop what the database holds now")] = False,
) -> None:
    """Fill an empty database from a file: tables, tenant isolation, and the role they need. All of it or nothing.

    It works on PERENNIAL_MIGRATE_DATABASE_URL, or else DATABASE_URL, whose login owns the tables afterwards. Stop servers and workers first
    where it replaces what they work on.

    [bold]Example[/bold]

      DATABASE_URL=postgresql://owner@new.internal/perennial perennial restore /backups/perennial-2026-05-01.dump
    """
    settings = read_settings()
    url = url_to_migrate(settings)
    contents = files.look_into(file)
    server = asyncio.run(examine(url))
    if server.tables and not replace:
        raise Conflict(f"the database is not empty: it holds {counted(server.tables, 'table')}. Name an empty one, or drop what it holds: --replace")
    asyncio.run(prepare_roles(url))
    with _progress("restoring", contents.tables) as watch:
        files.read(url, file, server, watch, replace=replace)
    restored = asyncio.run(examine(url))
    answer(file=str(file), tables=contents.tables, schema=restored.applied[-1] if restored.applied else None)
    done(f"{counted(contents.tables, 'table')} restored from {escape(str(file))}")
    _say_what_is_next(settings, restored)


def _say_what_is_next(settings: Settings, restored: Server) -> None:
    known = {migration.name for migration in read_migrations(find_folder())}
    if newer := sorted(set(restored.applied) - known):
        warn(f"the file is of a newer version: it has {newer[-1]}; start that version with this database")
    elif known - set(restored.applied):
        say("  It is of an older version; next: perennial migrate")
    else:
        asyncio.run(_try_key(settings))
    if not restored.has_server_login:
        say("  For servers and workers: CREATE ROLE perennial_server LOGIN PASSWORD '...' IN ROLE perennial_app;")
    say("  Then look: perennial check; and ask the stores for what they sent since: perennial catch-up")


async def _try_key(settings: Settings) -> None:
    if not has_key(settings.home):
        warn("PERENNIAL_SECRET_KEY is not set: set the one that the secrets in the file were sealed with")
        return
    try:
        async with open_app(settings, application="perennial restore", connections=1) as app:
            await preflight.check_key(app)
    except WrongKey as error:
        warn(error.message)
    else:
        say("  The key opens what is sealed in it.")


@contextmanager
def _progress(what: str, tables: int) -> Iterator[Callable[[str], None]]:
    """A bar where a person looks; nothing where none does."""
    with Progress(*_COLUMNS, console=console(), transient=True) as progress:
        task = progress.add_task(what, total=tables)
        yield lambda table: progress.update(task, advance=1, description=f"{what} {table}")

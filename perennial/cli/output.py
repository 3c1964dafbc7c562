"""What commands say: to people in lines and tables, each naming the project acted on; with `--json` as one JSON document.

Every command has `--json` (`offer_json`), and says what it says by the functions here. The document holds `project` (`id`, `name`), the rows of
tables (`items`, or the table's title), what `answer` was given, `messages` (the lines a person sees), and `error` where the command failed.
"""

import inspect
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import local
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from perennial.base.errors import PerennialError
from perennial.base.secrets import conceal
from perennial.catalog.model import Project

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document instead of lines and tables")]


class _State(local):
    """Of the command that runs: one a thread."""

    def __init__(self) -> None:
        self.project: Project | None = None
        self.is_named = False
        self.document: dict[str, Any] | None = None  # with --json: what was said so far
        self.is_written = False


_state = _State()


def begin() -> None:
    """A command begins: nothing was said yet."""
    _state.__init__()  # type: ignore[misc]


def act_on(project: Project) -> None:
    """From here on the output is about this project, and names it."""
    if _state.project is None or _state.project.project_id != project.project_id:
        _state.is_named = False
    _state.project = project
    if _state.document is not None:
        _state.document["project"] = {"id": project.project_id, "name": project.name}


def is_json() -> bool:
    return _state.document is not None


# Saying ---------------------------------------------------------------------------------------------------------------------------


def console() -> Console:
    """Made anew for each use: tests change what standard output is. Wide enough for ids where no person looks: they are searched and copied.

    With `--json` it is standard error: standard output is for the document alone. The line that names the project goes there too where no person
    looks at standard output, as a script takes its lines apart.
    """
    if _state.document is not None:
        return Console(stderr=True, highlight=False)
    made = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
    if _state.project is not None and not _state.is_named:
        _state.is_named = True
        header = made if sys.stdout.isatty() else Console(stderr=True, highlight=False)
        header.print(f"[dim]Project {escape(_state.project.name)} ({_state.project.project_id})[/dim]", soft_wrap=True)
    return made


def say(text: str) -> None:
    if _state.document is not None:
        _state.document.setdefault("messages", []).append(_plain(text).strip())
        return
    console().print(text, soft_wrap=True)


def done(text: str) -> None:
    """Something was done, in the project that is named in the same line."""
    if _state.project is None or _state.document is not None:
        say(text if _state.document is not None else f"[green]✓[/green] {text}")
        return
    _state.is_named = True
    console().print(f"[green]✓[/green] {text} [dim]· {escape(_state.project.name)}[/dim]", soft_wrap=True)


def warn(text: str) -> None:
    """Something to look at, which keeps nothing from being done. To standard error."""
    if _state.document is not None:
        _state.document.setdefault("warnings", []).append(_plain(text))
        return
    Console(stderr=True, highlight=False).print(f"[yellow]![/yellow] {text}", soft_wrap=True)


def answer(**fields: Any) -> None:
    """What a program reads with `--json`; people are told by `say`."""
    if _state.document is not None:
        _state.document.update(fields)


def write(content: bytes) -> None:
    """A document of its own (an exported catalog), the same with `--json` and without."""
    _state.is_written = True
    typer.echo(content.decode())


def counted(number: int, noun: str) -> str:
    """`1 change`, `2 changes`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def table(*columns: str, title: str | None = None) -> Table:
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def show(made: Table) -> None:
    if _state.document is None:
        console().print(made)
        return
    title = _plain(str(made.title or "")).strip().partition(" (")[0].lower().replace(" ", "_")
    _state.document[title or "items"] = _rows(made)


def _rows(made: Table) -> list[dict[str, str | None]]:
    names = [_plain(str(column.header)).strip().lower().replace(" ", "_") or f"column_{place}" for place, column in enumerate(made.columns)]
    columns = [[_plain(str(cell)) for cell in column.cells] for column in made.columns]
    return [{name: cell or None for name, cell in zip(names, row, strict=True)} for row in zip(*columns, strict=True)]


def _plain(markup: str) -> str:
    return Text.from_markup(markup).plain


# The option -----------------------------------------------------------------------------------------------------------------------


def offer_json(commands: typer.Typer, *, but: Collection[Callable[..., Any]] = ()) -> None:
    """Gives every command `--json`, but those that run until they are stopped."""
    for info in commands.registered_commands:
        if info.callback is not None and info.callback not in but and not hasattr(info.callback, "__wrapped__"):
            info.callback = _with_json(info.callback)
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            offer_json(group.typer_instance, but=but)


def _with_json(callback: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(callback)
    def command(*arguments: Any, as_json: bool = False, **options: Any) -> Any:
        with _printing(as_json=as_json):
            return callback(*arguments, **options)

    signature = inspect.signature(callback)
    option = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption)
    command.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]
    command.__annotations__ = {**callback.__annotations__, "as_json": JsonOption}
    return command


@contextmanager
def _printing(*, as_json: bool) -> Iterator[None]:
    begin()
    if not as_json:
        yield
        return
    document: dict[str, Any] = {}
    _state.document = document
    try:
        yield
    except PerennialError as error:
        document["error"] = {"message": conceal(error.message), **({"param": error.param} if error.param else {})}
        raise
    finally:
        if not _state.is_written:
            typer.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
        _state.document = None

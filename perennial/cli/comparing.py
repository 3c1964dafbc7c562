"""While two systems run side by side: do they say the same of the same customers?"""

import asyncio
import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from perennial import customers, imports
from perennial.app import App
from perennial.base.errors import Invalid
from perennial.base.http import Http
from perennial.base.secrets import Secret
from perennial.cli.desk import ProjectOption, at_desk, choose_project, console, counted, done, run, say, show, table
from perennial.imports import Difference

_COLUMNS = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
_AT_ONCE = 4
_SHOWN = 20
_MOST = 1_000_000


def compare(
    url: Annotated[str, typer.Option(help="Their server, such as https://api.revenuecat.com")],
    key: Annotated[str, typer.Option("--key", envvar="PERENNIAL_IMPORT_KEY", help="A key of theirs that may read customers", show_default=False)],
    sample: Annotated[int, typer.Option(help="How many of our customers with purchases", min=1, max=_MOST)] = 200,
    ids: Annotated[Path | None, typer.Option(help="A file of app user ids instead, one a line", show_default=False)] = None,
    tolerance: Annotated[float, typer.Option(help="Seconds by which moments may differ", min=0)] = 60,
    report: Annotated[Path | None, typer.Option("--report", help="Write every difference to this CSV file", show_default=False)] = None,
    project: ProjectOption = None,
) -> None:
    """Ask another server and this one for the same customers, and say where they differ. Ends with 1 where they do.

    Their server makes customers it does not know when it is asked for them: ask it for ids it has.

    [bold]Example[/bold]

      perennial compare --url https://api.revenuecat.com --key sk_... --sample 1000
    """

    async def work(house: App) -> tuple[int, list[Difference]]:
        chosen = await choose_project(house, project)
        async with at_desk(house, chosen.project_id) as desk:
            names = _read(ids) if ids else await imports.sample(desk.tx, sample)
        http = Http(url)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> list[Difference]:
            async with gate:
                found = await _compare(house, http, url, key, chosen.project_id, name, tolerance)
                progress.advance(task)
                return found

        try:
            with Progress(*_COLUMNS, console=console(), transient=True) as progress:
                task = progress.add_task("comparing", total=len(names))
                return len(names), [difference for found in await asyncio.gather(*map(one, names)) for difference in found]
        finally:
            await http.close()

    count, differences = run(work)
    if report is not None:
        _write(report, differences)
    _summarise(count, differences, report)
    if differences:
        raise typer.Exit(1)


def _read(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # universal line ends; `splitlines` would break ids at U+2028
        return [line for line in lines if line.strip()][:_MOST]
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"--ids {path} cannot be read: {error}", param="--ids") from error


async def _compare(house: App, http: Http, url: str, key: str, project_id: Any, name: str, tolerance: float) -> list[Difference]:
    from perennial.api.v1 import documents  # brings the whole web framework, which no other command needs

    answer = await imports.ask(http, f"{url.rstrip('/').removesuffix('/v1')}/v1/subscribers/{quote(name, safe='')}", Secret(key))
    async with house.database.transaction(project_id) as tx:
        found = await customers.find(tx, [name])
        ours = msgspec.json.decode(await documents.answer(tx, found[name])) if name in found else None
        now = tx.now
    if answer.status in (201, 404) or ours is None:
        there, here = "unknown" if answer.status in (201, 404) else "known", "unknown" if ours is None else "known"
        return [] if there == here else [Difference(app_user_id=name, field="customer", kind="customer", theirs=there, ours=here)]
    theirs: dict[str, Any] = answer.decode(dict[str, Any])
    return imports.compare(name, theirs.get("subscriber") or {}, ours["subscriber"], now, tolerance)


def _write(path: Path, differences: Sequence[Difference]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["app_user_id", "field", "theirs", "ours", "weight"])
        writer.writerows([one.app_user_id, one.field, one.theirs, one.ours, one.weight] for one in differences)


def _summarise(count: int, differences: Sequence[Difference], report: Path | None) -> None:
    differing = {one.app_user_id for one in differences}
    if not differences:
        done(f"{counted(count, 'customer')} compared: no difference")
        return
    access = {one.app_user_id for one in differences if one.weight == "access"}
    say(f"[red]✗[/red] {counted(count, 'customer')} compared: {len(differing)} differ, {len(access)} of them in what they may use now")
    sums = table("field", "differences", title="\nBy field")
    for kind, number in Counter(one.kind for one in differences).most_common():
        sums.add_row(escape(kind), str(number))
    show(sums)
    made = table("customer", "field", "theirs", "ours", "", title=f"\nThe first {_SHOWN}" if len(differences) > _SHOWN else "\nAll")
    for one in sorted(differences, key=lambda one: one.weight)[:_SHOWN]:
        made.add_row(escape(one.app_user_id), escape(one.field), escape(one.theirs), escape(one.ours), "access" if one.weight == "access" else "")
    show(made)
    if report is not None:
        say(f"all of them: {escape(str(report))}")

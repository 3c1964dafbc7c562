"""Moving in: from a scheduled export, over the API, by receipts, from a table of one's own. Nobody is told of what moves in."""

import csv
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from perennial import catalog, imports
from perennial.app import App
from perennial.base.errors import Invalid
from perennial.base.http import Http
from perennial.base.secrets import Secret, without_credentials
from perennial.base.time import FOREVER, perf_counter
from perennial.base.value import replace
from perennial.cli.desk import ProjectOption, answer, at_desk, choose_project, console, counted, done, group, run, say, show, table
from perennial.cli.moments import parse_moment
from perennial.exports import COLUMNS
from perennial.imports.model import Batch, Finding, Import, Outcome, Place, Shelf, Source

commands = group("Move in, from another system. Nobody is told of what moves in; stop an import as you like: run again, it goes on.")

_COLUMNS = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
_KEY = "PERENNIAL_IMPORT_KEY"
_REPORTED = ("change", "file", "line", "subject", "detail")
_MOST_EXAMPLES = 10

DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would change")]
ReportPath = Annotated[
    Path | None, typer.Option("--report", help="Where findings are written, as CSV; else import-<time>.csv here", show_default=False)
]
AppOption = Annotated[str | None, typer.Option("--app", help="The app all rows are of; see perennial apps list", show_default=False)]
FilePath = Annotated[Path, typer.Argument(help="A .csv or .csv.gz file, or a folder of them")]
KeyOption = Annotated[str, typer.Option("--key", envvar=_KEY, help="A secret key of theirs", show_default=False)]


class Report:
    """Findings in a file, in the order they are made, and counted. One file for an import, however often it was stopped: gone on with, it grows."""

    def __init__(self, path: Path, *, goes_on: bool = False) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[Finding]] = {}
        self._file: IO[str] | None = None
        self._writer: Any = None
        self._known: set[int] = set()  # of the lines of before: a batch that is taken again is not told again
        if goes_on and path.exists():
            self._read_on()

    def _read_on(self) -> None:
        with self.path.open(newline="", encoding="utf-8") as file:
            for row in islice(csv.reader(file), 1, None):
                if len(row) == len(_REPORTED):
                    self._known.add(hash(tuple(row)))
                    self.counts[row[0]] += 1
        self._open("a")

    def _open(self, mode: str) -> None:
        self._file = self.path.open(mode, newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)

    def add(self, findings: Sequence[Finding]) -> None:
        if findings and self._file is None:
            self._open("w")
            self._writer.writerow(_REPORTED)
        for one in findings:
            row = (one.change, one.place.name if one.place else "", str(one.place.line) if one.place else "", one.subject, one.detail)
            if hash(row) in self._known:
                continue
            self.counts[one.change] += 1
            if len(examples := self.examples.setdefault(one.change, [])) < _MOST_EXAMPLES:
                examples.append(one)
            self._writer.writerow(row)
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


# Commands -------------------------------------------------------------------------------------------------------------------------


@commands.command("export")
def import_export(
    path: FilePath,
    app: AppOption = None,
    as_of: Annotated[str | None, typer.Option(help="How old the export is; else the newest updated_at in it", show_default=False)] = None,
    dry_run: DryRun = False,
    report: ReportPath = None,
    project: ProjectOption = None,
) -> None:
    """Import a scheduled data export: transactions as RevenueCat delivers them to buckets, full or new and updated.

    [bold]Example[/bold]

      perennial import export transactions.csv.gz --dry-run
    """
    _import_files("export", path, app, as_of, project, is_dry_run=dry_run, report=report)


@commands.command("rows")
def import_rows(
    path: FilePath,
    app: AppOption = None,
    as_of: Annotated[str | None, typer.Option(help="How old the table is; else it is of now", show_default=False)] = None,
    dry_run: DryRun = False,
    report: ReportPath = None,
    project: ProjectOption = None,
) -> None:
    """Import a table of your own: app_user_id, store, product_id, transaction_id, purchased_at, and what else docs/moving.md names.

    [bold]Example[/bold]

      perennial import rows purchases.csv
    """
    _import_files("rows", path, app, as_of, project, is_dry_run=dry_run, report=report)


@commands.command("api")
def import_api(
    url: Annotated[str, typer.Option(help="Their server, such as https://api.revenuecat.com")],
    key: KeyOption,
    their_project: Annotated[str, typer.Option(help="The project's id there")],
    app: AppOption = None,
    dry_run: DryRun = False,
    report: ReportPath = None,
    project: ProjectOption = None,
) -> None:
    """Import over the API v2, customer by customer: their ids, attributes, subscriptions and purchases.

    [bold]Example[/bold]

      perennial import api --url https://api.revenuecat.com --their-project proj1ab2c3d4 --key sk_...
    """

    if without_credentials(url).rstrip("/") != url.rstrip("/"):
        raise Invalid("--url must be an address such as https://api.revenuecat.com, without user name, password or query; the key goes into --key")

    async def batches(house: imports.House, shelf: Shelf, state: Import | None) -> AsyncIterator[Batch]:
        http = Http(url)
        try:
            remote = imports.Remote(http=http, base_url=url.rstrip("/").removesuffix("/v2"), key=Secret(key), project_id=their_project)
            async for batch in imports.remote_batches(remote, shelf, state.reached if state else ""):
                yield batch
        finally:
            await http.close()

    name = f"{url} {their_project}"
    _run("api", name, lambda: imports.fingerprint([], "api", name), batches, project, app=app, is_dry_run=dry_run, report=report)


@commands.command("receipts")
def import_receipts(
    path: Annotated[Path, typer.Argument(help="A .csv or .csv.gz file with app_user_id and token; product_id for Play, store_user_id for Amazon")],
    app: AppOption = None,
    rate: Annotated[float, typer.Option(help="Receipts a second, at most", min=0.01, max=1000)] = 10,
    dry_run: DryRun = False,
    report: ReportPath = None,
    project: ProjectOption = None,
) -> None:
    """Import by proofs of purchase: every one is read by its store, whose word counts.

    [bold]Example[/bold]

      perennial import receipts receipts.csv --app app_01J8... --rate 20
    """
    (file,) = _one_file(path)

    async def batches(house: imports.House, shelf: Shelf, state: Import | None) -> AsyncIterator[Batch]:
        async for batch in imports.receipt_batches(house, file, shelf, state.reached if state else "", rate=rate):
            yield batch

    _run("receipts", str(path), lambda: imports.fingerprint([file], "receipts"), batches, project, app=app, is_dry_run=dry_run, report=report)


@commands.command("financial-report")
def import_financial_report(
    path: Annotated[Path, typer.Argument(help="A financial report from App Store Connect: .txt, or .txt.gz")],
    app: Annotated[str, typer.Option("--app", help="The App Store app it is of; see perennial apps list")],
    dry_run: DryRun = False,
    project: ProjectOption = None,
) -> None:
    """Import what Apple really paid: its tax and commission replace the estimates, and the ledger books them.

    [bold]Example[/bold]

      perennial import financial-report 85000000_0126_US.txt.gz --app app_01J8...
    """

    async def work(opened: App) -> imports.ReportOutcome:
        async with at_desk(opened, project) as desk:
            seller = await catalog.require_app(desk.tx, app)
            if seller.store not in ("app_store", "mac_app_store"):
                raise Invalid(f"{seller.name!r} is an app of {seller.store}; a financial report is Apple's", param="--app")
            if not dry_run:
                await desk.audit("import.financial_report", app, {"name": path.name})
            project_id = desk.tx.project_id
        with Progress(*_COLUMNS, console=console(), transient=True) as progress:
            task = progress.add_task("purchases", total=None)
            return await imports.apply_report(
                opened.database,
                project_id,
                seller.app_id,
                path,
                is_dry_run=dry_run,
                watch=lambda purchases: progress.update(task, completed=purchases),
            )

    found = run(work)
    changed = "would get" if dry_run else "got"
    done(f"{counted(found.reported, 'share')} read; {counted(found.purchases, 'purchase')} {changed} the tax and commission that Apple took")
    for line, reason in found.left_out[:20]:
        say(f"[yellow]line {line} was left out: {escape(reason)}[/yellow]")
    if len(found.left_out) > 20:
        say(f"[yellow]{len(found.left_out) - 20} more lines were left out[/yellow]")


@commands.command("list")
def list_imports(project: ProjectOption = None) -> None:
    """Show how far imports got."""

    async def work(house: App) -> list[Import]:
        async with at_desk(house, project) as desk:
            return await imports.latest(desk.tx, 50)

    made = table("begun", "from", "what", "rows", "refused", "new customers", "new lines", "state")
    for one in run(work):
        state = "finished" if one.finished_at else "unfinished: run it again"
        numbers = (f"{number:,}" for number in (one.rows, one.refused, one.customers, one.lines))
        made.add_row(f"{one.started_at:%Y-%m-%d %H:%M}", one.source, escape(one.name), *numbers, state)
    if made.row_count:
        show(made)
    else:
        say("nothing was imported yet")


def _one_file(path: Path) -> list[Path]:
    found = imports.files_of(path)
    if len(found) != 1:
        raise Invalid(f"{path} is a folder of {len(found)} files; import one after another")
    return found


# Running --------------------------------------------------------------------------------------------------------------------------

Batches = Callable[[imports.House, Shelf, Import | None], AsyncIterator[Batch]]


def _import_files(
    source: Source, path: Path, app: str | None, as_of: str | None, project: str | None, *, is_dry_run: bool, report: Path | None
) -> None:
    paths = imports.files_of(path)
    with tempfile.TemporaryDirectory(prefix="perennial-import-") as folder:
        found = _sorted(source, paths, Path(folder))

        async def batches(house: imports.House, shelf: Shelf, state: Import | None) -> AsyncIterator[Batch]:
            async for batch in imports.file_batches(source, found, shelf, state.reached if state else ""):
                yield batch

        def whose() -> str:
            return imports.fingerprint(paths, source, app or "")

        age = parse_moment(as_of, imports.age_of(found) or FOREVER, param="--as-of") if as_of else imports.age_of(found)
        _run(
            source,
            str(path),
            whose,
            batches,
            project,
            app=app,
            is_dry_run=is_dry_run,
            report=report,
            as_of=age,
            total=found.count,
            strange=_unknown_columns(source, found),
        )


def _unknown_columns(source: Source, found: imports.Sorted) -> list[Finding]:
    """Columns that nobody reads: they are left out, unless they are misspelt."""
    known = {*imports.ROWS_NEED, *imports.ROWS_MAY_HAVE} if source == "rows" else {*COLUMNS}
    return [
        Finding(change="suspicious", subject=column[:80], detail="an unknown column: it is not read; is it misspelt?", place=Place(name=name, line=1))
        for name, columns in found.columns
        for column in columns
        if column not in known
    ]


def _sorted(source: Source, paths: Sequence[Path], folder: Path) -> imports.Sorted:
    with Progress(*_COLUMNS, console=console(), transient=True) as progress:
        task = progress.add_task("reading and sorting", total=None)
        for step in imports.sort_files(source, paths, folder):
            if isinstance(step, imports.Sorted):
                return step
            progress.update(task, completed=step)
    raise AssertionError("what is sorted is yielded at last")


def _run(
    source: Source,
    name: str,
    whose: Callable[[], str],
    batches: Batches,
    project: str | None,
    *,
    app: str | None,
    is_dry_run: bool,
    report: Path | None,
    as_of: datetime | None = None,
    total: int | None = None,
    strange: Sequence[Finding] = (),
) -> None:
    async def work(opened: App) -> None:
        chosen = await choose_project(opened, project)
        house = imports.House(database=opened.database, vault=opened.vault, providers=opened.providers, project_id=chosen.project_id)
        async with at_desk(opened, chosen.project_id) as desk:
            if not is_dry_run:
                await desk.audit("import.run", source, {"name": name})
            now = desk.tx.now
        shelf = await imports.load_shelf(house, app_id=app, as_of=as_of)
        state = None if is_dry_run else await imports.open_import(house, source, name, whose())
        usual = f"import-{state.import_id}.csv" if state is not None else f"import-{now:%Y%m%dT%H%M%S}.csv"
        found = Report(report or Path(usual), goes_on=state is not None and bool(state.rows))
        found.add(strange)
        began = perf_counter()
        before = state.rows if state else 0
        if before:
            say(f"going on after {before:,} rows")
        try:
            with imports.unhurried_collector():
                done_in_all, rows = await _listen(house, shelf, batches(house, shelf, state), state, found, total, before)
        finally:
            found.close()
        _summarise(done_in_all, found, rows / max(perf_counter() - began, 0.001), is_dry_run=is_dry_run)

    run(work)


async def _listen(
    house: imports.House, shelf: Shelf, batches: AsyncIterator[Batch], state: Import | None, report: Report, total: int | None, before: int
) -> tuple[Outcome, int]:
    """What the import did in all, with what it did before it was stopped; and how many rows were read now."""
    rows = 0
    sums = Outcome(findings=(), rows=0, refused=0, customers=0, lines=0)
    if state is not None:
        sums = replace(sums, rows=state.rows, refused=state.refused, customers=state.customers, lines=state.lines, changed=state.changed)
    began = perf_counter()
    with Progress(*_COLUMNS, console=console(), transient=True) as progress:
        task = progress.add_task("importing", total=total, completed=before)
        async for _, outcome in imports.run(house, shelf, batches, state):
            report.add(outcome.findings)
            rows += outcome.rows
            sums = replace(
                sums,
                rows=sums.rows + outcome.rows,
                refused=sums.refused + outcome.refused,
                customers=sums.customers + outcome.customers,
                lines=sums.lines + outcome.lines,
                changed=sums.changed + outcome.changed,
            )
            progress.update(task, completed=before + rows, description=f"importing, {rows / (perf_counter() - began):,.0f} rows/s")
    return sums, rows


def _summarise(total: Outcome, report: Report, rate: float, *, is_dry_run: bool) -> None:
    new = f"{counted(total.customers, 'new customer')}, {counted(total.lines, 'new line')}"
    is_nothing = not (total.customers or total.lines or total.changed)
    answer(
        is_dry_run=is_dry_run,
        rows=total.rows,
        refused=total.refused,
        new_customers=total.customers,
        new_lines=total.lines,
        changed_lines=total.changed,
        findings=dict(report.counts),
        suspicious=[_shown(one) for one in report.examples.get("suspicious", ())],
        report=str(report.path) if report.counts else None,
    )
    if is_dry_run:
        done(f"dry run: {counted(total.rows, 'row')} read, nothing was changed")
        say("would change nothing: all of it is here already" if is_nothing and not total.refused else f"would bring {new}")
        for change, what in (("changed end", "line would end at another time"), ("gained", "entitlement gained"), ("lost", "entitlement lost")):
            say(_counted(report.counts[change], what))
    else:
        imported = total.rows - total.refused
        changed = f", {counted(total.changed, 'line')} changed" if total.changed else ""
        done(f"{counted(imported, 'row')} imported at {rate:,.0f} rows/s: {new}{changed}")
        if is_nothing and imported:
            say("nothing changed: all of it was here already")
    if total.refused:
        say(f"[yellow]{counted(total.refused, 'row')} refused; the others are not touched by that[/yellow]")
    _say_suspicious(report)
    if nameless := report.counts["refused name"]:
        words = f"{counted(nameless, 'name')} no customer can have: what was bought is an anonymous customer's"
        say(f"[yellow]{words}; see perennial customer unclaimed[/yellow]")
    if unknown := report.counts["unknown product"]:
        say(f"[yellow]{counted(unknown, 'product')} the catalog does not know: purchases are kept, and give nothing until it does[/yellow]")
    if doubles := report.counts["two customers"]:
        say(f"[yellow]{doubles} times two customers here are one there; they were left apart[/yellow]")
    if report.counts:
        say(f"the report: {escape(str(report.path))}")


def _say_suspicious(report: Report) -> None:
    number = report.counts["suspicious"]
    if not number:
        return
    say(f"[yellow]{counted(number, 'thing')} to look at{f', the first {_MOST_EXAMPLES}' if number > _MOST_EXAMPLES else ''}:[/yellow]")
    for one in report.examples.get("suspicious", ()):
        say(escape(f"  {_shown(one)}"))


def _shown(finding: Finding) -> str:
    return f"{finding.place}: {finding.subject}: {finding.detail}" if finding.place else f"{finding.subject}: {finding.detail}"


def _counted(number: int, what: str) -> str:
    """`2 entitlements gained`: the noun comes first."""
    noun, _, rest = what.partition(" ")
    return f"{counted(number, noun)} {rest}"

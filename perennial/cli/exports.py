"""Moving out: transactions as files, daily."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from perennial import exports
from perennial.app import App
from perennial.base.errors import Invalid
from perennial.cli.desk import Desk, ProjectOption, at_desk, choose_project, console, counted, done, group, run, say, show, table, work_in
from perennial.exports.model import ExportRun, Format, Mode

commands = group("Deliver transactions as files, daily, to a folder or a bucket.")

ExportId = Annotated[str, typer.Argument(metavar="ID", help="The export's id; see perennial exports list")]


@commands.command("create")
def create(
    target: Annotated[str, typer.Argument(help="A folder, or s3://bucket/path, gs://bucket/path, az://account/container/path")],
    name: Annotated[str, typer.Option(help="What people call it")] = "Transactions",
    format: Annotated[str, typer.Option(help="csv (compressed) or parquet")] = "csv",
    mode: Annotated[str, typer.Option(help="full: everything each day; new: what is new and updated since the last run")] = "new",
    project: ProjectOption = None,
) -> None:
    """Plan a daily export: at once, with everything, and then each day at this hour. Workers do it.

    Credentials of buckets are taken from the environment of workers (AWS_ACCESS_KEY_ID, GOOGLE_SERVICE_ACCOUNT, AZURE_STORAGE_ACCOUNT_KEY, ...),
    and never kept.

    [bold]Example[/bold]

      perennial exports create s3://my-bucket/transactions --format parquet
    """
    if format not in ("csv", "parquet"):
        raise Invalid(f"--format {format!r} is neither csv nor parquet", param="--format")
    if mode not in ("full", "new"):
        raise Invalid(f"--mode {mode!r} is neither full nor new", param="--mode")
    wanted: tuple[Format, Mode] = ("parquet" if format == "parquet" else "csv", "full" if mode == "full" else "new_and_updated")
    place = target if "://" in target else str(Path(target).absolute())

    async def work(desk: Desk) -> str:
        made = await exports.create(desk.tx, name=name, target=place, format=wanted[0], mode=wanted[1])
        await desk.audit("export.create", made.export_id, {"target": made.target, "format": made.format, "mode": made.mode})
        return made.export_id

    done(f"export {work_in(project, work)} is due at once, and then daily; try it with: perennial exports run")


@commands.command("list")
def list_exports(project: ProjectOption = None) -> None:
    """Show exports and their latest runs."""
    found = work_in(project, lambda desk: exports.listed(desk.tx))
    made = table("id", "name", "target", "format", "mode", "next", "latest run", "trouble")
    for export, latest in found:
        due = f"{export.wake_at:%Y-%m-%d %H:%M}" if export.wake_at else "paused"
        made.add_row(
            export.export_id,
            escape(export.name),
            escape(export.target),
            export.format,
            export.mode,
            due,
            _shown(latest),
            escape(export.last_error or ""),
        )
    if made.row_count:
        show(made)
    else:
        say("no exports yet; make one with: perennial exports create")


def _shown(latest: ExportRun | None) -> str:
    return f"{latest.finished_at:%Y-%m-%d %H:%M}, {counted(latest.rows, 'row')}" if latest else "none"


@commands.command("run")
def run_now(
    export_id: ExportId,
    full: Annotated[bool, typer.Option("--full", help="Everything, whatever was delivered")] = False,
    project: ProjectOption = None,
) -> None:
    """Run an export now, in this process.

    [bold]Example[/bold]

      perennial exports run exp_01J8... --full
    """

    async def work(house: App) -> tuple[str, ExportRun]:
        chosen = await choose_project(house, project)
        async with at_desk(house, chosen.project_id) as desk:
            export = await exports.require(desk.tx, export_id)
            await desk.audit("export.run", export_id, {"full": full})
        with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console(), transient=True) as progress:
            task = progress.add_task("writing", total=None)
            finished = await exports.run(
                house.database,
                chosen.project_id,
                export,
                is_full=full,
                watch=lambda rows: progress.update(task, description=f"{rows:,} rows written"),
            )
            return export.target, finished

    target, finished = run(work)
    done(f"{counted(finished.rows, 'row')}, {finished.bytes:,} bytes, delivered to {escape(target)}/{finished.object}")


@commands.command("pause")
def pause(export_id: ExportId, project: ProjectOption = None) -> None:
    """Stop delivering, and remember how far it came."""

    async def work(desk: Desk) -> None:
        await exports.pause(desk.tx, export_id)
        await desk.audit("export.pause", export_id)

    work_in(project, work)
    done(f"{export_id} is paused")


@commands.command("resume")
def resume(export_id: ExportId, project: ProjectOption = None) -> None:
    """Deliver again: at once what is new since, then daily."""

    async def work(desk: Desk) -> None:
        await exports.resume(desk.tx, export_id)
        await desk.audit("export.resume", export_id)

    work_in(project, work)
    done(f"{export_id} is due at once")


@commands.command("delete")
def delete(export_id: ExportId, project: ProjectOption = None) -> None:
    """Plan it no more. What was delivered stays where it is."""

    async def work(desk: Desk) -> None:
        await exports.delete(desk.tx, export_id)
        await desk.audit("export.delete", export_id)

    work_in(project, work)
    done(f"{export_id} is deleted")

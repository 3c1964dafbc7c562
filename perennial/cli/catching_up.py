"""After an outage: what did the stores say while we did not listen?"""

from datetime import datetime
from typing import Annotated

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from perennial import agenda, catalog, intake
from perennial.app import App
from perennial.base.ids import AppId, ProjectId
from perennial.cli.desk import ProjectOption, answer, at_desk, choose_project, console, done, run, say
from perennial.cli.moments import parse_moment
from perennial.subscriptions.model import Environment

_COLUMNS = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


def catch_up(
    app: Annotated[str, typer.Option(help="The app's id; see perennial apps list")],
    since: Annotated[
        str, typer.Option(help="When the silence began, such as 2027-01-31 or 2027-01-31T12:00. Apple keeps 180 days, 30 for the sandbox")
    ],
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Ask the store's sandbox")] = False,
    project: ProjectOption = None,
) -> None:
    """Ask a store for everything since a moment, and about every subscription that ran then. Stop it as you like: run again, it goes on.

    [bold]Example[/bold]

      perennial catch-up --app app_01J8... --since 2027-01-31
    """
    environment: Environment = "sandbox" if sandbox else "production"

    async def work(house: App) -> intake.Report:
        chosen = await choose_project(house, project)
        async with at_desk(house, chosen.project_id) as desk:
            await catalog.require_app(desk.tx, app)
            moment = parse_moment(since, desk.tx.now, param="--since")
            await desk.audit("store.catch_up", app, {"since": moment.isoformat(), "environment": environment})
        with Progress(*_COLUMNS, console=console(), transient=True) as progress:
            state = await _listen(house, chosen.project_id, AppId(app), moment, environment, progress)
            await _wait_for_answers(house, chosen.project_id, state, progress)
        return await intake.report(house.database, chosen.project_id, state)

    found = run(work)
    done(f"the store told {found.told} things of that time, {found.new} of them notifications we did not have; {found.asked} questions were put")
    say(f"{found.events} events followed; {found.open} questions wait for their next attempt")
    answer(**msgspec.to_builtins(found))
    if found.parked or found.unreadable:
        say(f"[yellow]{found.parked} questions were given up and {found.unreadable} notifications could not be read: see perennial doctor[/yellow]")


async def _listen(house: App, project_id: ProjectId, app_id: AppId, since: datetime, environment: Environment, progress: Progress) -> intake.CatchUp:
    """Everything the store says of the span onto our lists."""
    task = progress.add_task("asking the store", total=None)
    state: intake.CatchUp | None = None
    async for state in intake.catch_up(house.database, house.vault, house.providers, project_id, app_id, since, environment):
        progress.update(task, description=f"{state.told} things told, {state.asked} questions put", completed=state.told)
    assert state is not None, "the last batch is always told, be it empty"
    progress.update(task, total=1, completed=1)
    return state


async def _wait_for_answers(house: App, project_id: ProjectId, state: intake.CatchUp, progress: Progress) -> None:
    """Until nothing is due any more: what a store refuses for now keeps its next attempt on the agenda."""
    task = progress.add_task("recording", total=state.told + state.asked)
    while handled := await agenda.run_once(house, project_id, "money"):
        progress.advance(task, handled)

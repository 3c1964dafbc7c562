"""After an outage: what did the stores say while we did not listen?"""

from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from perennial import agenda, catalog, intake
from perennial.app import App
from perennial.base.ids import AppId
from perennial.cli.desk import ProjectOption, at_desk, choose_project, console, done, run
from perennial.cli.moments import parse_moment
from perennial.subscriptions.model import Environment


def catch_up(
    app: Annotated[str, typer.Option(help="The app's id; see perennial apps list")],
    since: Annotated[
        str, typer.Option(help="When the silence began, such as 2027-01-31 or 2027-01-31T12:00. Apple keeps 180 days, 30 for the sandbox")
    ],
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Ask the store's sandbox")] = False,
    project: ProjectOption = None,
) -> None:
    """Ask a store for every notification since a moment, and digest those we missed. Stop and repeat it as you like.

    [bold]Example[/bold]

      perennial catch-up --app app_01J8... --since 2027-01-31
    """
    environment: Environment = "sandbox" if sandbox else "production"

    async def work(house: App) -> tuple[int, int]:
        chosen = await choose_project(house, project)
        async with at_desk(house, chosen.project_id) as desk:
            await catalog.require_app(desk.tx, app)
            moment = parse_moment(since, desk.tx.now, param="--since")
            await desk.audit("store.catch_up", app, {"since": moment.isoformat(), "environment": environment})
        read = 0
        with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console(), transient=True) as progress:
            task = progress.add_task("asking the store")
            async for read in intake.catch_up(house.database, house.vault, house.providers, chosen.project_id, AppId(app), moment, environment):
                progress.update(task, description=f"read {read} of its answers")
        return read, await agenda.run_due(house, chosen.project_id, ["money"])

    read, handled = run(work)
    done(f"the store told {read} things of that time; {handled} of them, or things that followed, were news to us")

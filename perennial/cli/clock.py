"""A sandbox's time."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from perennial import agenda, catalog
from perennial.app import App
from perennial.base.errors import Invalid
from perennial.cli.desk import Desk, ProjectOption, at_desk, choose_project, counted, done, group, run, say, work_in
from perennial.cli.moments import parse_moment

commands = group("The clock of a sandbox project: years in seconds.")


@commands.command("show")
def show_clock(project: ProjectOption = None) -> None:
    """Say what time it is in a project."""

    async def work(desk: Desk) -> None:
        held = await catalog.require_project(desk.tx)
        manner = "the real time" if held.clock_at is None else "its own time, ticking" if held.clock_started_at else "its own time, standing still"
        say(f"{desk.tx.now:%Y-%m-%d %H:%M:%S} UTC in {desk.project.project_id} ({manner})")

    work_in(project, work)


@commands.command("advance")
def advance(
    days: Annotated[float | None, typer.Option(min=0, help="By so many days")] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="By so many hours")] = None,
    to: Annotated[str | None, typer.Option(help="Such as 2027-01-31 or 2027-01-31T12:00")] = None,
    project: ProjectOption = None,
) -> None:
    """Move a sandbox's clock; everything that is due on the way happens.

    [bold]Examples[/bold]

      perennial clock advance --days 31

      perennial clock advance --to 2027-01-31
    """
    if sum(one is not None for one in (days, hours, to)) != 1:
        raise Invalid("say how far: one of --days, --hours and --to")

    async def work(app: App) -> tuple[datetime, int]:
        chosen = await choose_project(app, project)
        async with at_desk(app, chosen.project_id) as desk:
            goal = _goal(desk.tx.now, days, hours, to)
            await desk.audit("clock.advance", chosen.project_id, {"to": goal.isoformat()})
        return goal, await agenda.advance(app, chosen.project_id, goal)

    goal, handled = run(work)
    done(f"it is {goal:%Y-%m-%d %H:%M} UTC now; {counted(handled, 'thing')} happened on the way")


def _goal(now: datetime, days: float | None, hours: float | None, to: str | None) -> datetime:
    try:
        goal = parse_moment(to, now, param="--to") if to is not None else now + timedelta(days=days or 0, hours=hours or 0)
    except OverflowError as error:
        raise Invalid("no calendar goes that far", param="--days") from error
    if goal.year > 2500:
        raise Invalid("a clock goes up to the year 2500", param="--to")
    return goal

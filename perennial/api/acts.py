"""Doing something at a store because a server asked for it, and waiting until it is done: cancel, refund, revoke, extend, defer."""

from collections.abc import Mapping

from perennial import intake
from perennial.app import App
from perennial.base.ids import ProjectId, new_id
from perennial.intake.model import Act, ActKind, CannotAct
from perennial.subscriptions.model import Line


async def act_on(app: App, project_id: ProjectId, line: Line, kind: ActKind, details: Mapping[str, str | int] | None = None) -> None:
    """Returns when the store has done it and we have recorded what it says since. Raises `CannotAct` or `Unavailable`."""
    if line.app_id is None:
        raise CannotAct("this was granted by hand and no store sold it; revoke the granted entitlement instead")
    act = Act(act_id=new_id("act", app.database.clock()), kind=kind, environment=line.environment, subject=line.subject, details=dict(details or {}))
    await intake.perform(app.database, app.vault, app.providers, project_id, line.app_id, act)

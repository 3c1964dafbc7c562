"""Workers that die between any two statements and are started again."""

import random

from perennial.agenda import run_due
from perennial.app import App
from perennial.base.db import Database
from perennial.base.ids import ProjectId
from perennial.base.value import replace
from tests.sim.receiver import Receiver


class Crash(BaseException):
    """The process dies here. Not an Exception: nothing may catch it and go on."""


def crashing(app: App, database: Database, chance: random.Random, receiver: Receiver, odds: float) -> App:
    def before_statement(sql: str) -> None:
        if chance.random() < odds:
            raise Crash(sql)

    database.before_statement = before_statement
    return replace(app, database=database, sender=receiver)


async def run(app: App, project_id: ProjectId, lanes: list[str]) -> bool:
    """Whether the worker lived. A task group hands a crash on inside a group."""
    try:
        await run_due(app, project_id, lanes)
    except Crash:
        return False
    except BaseExceptionGroup as group:
        crashed, other = group.split(Crash)
        assert crashed is not None
        if other is not None:
            raise other from group
        return False
    return True


async def work_until_done(app: App, project_id: ProjectId) -> int:
    """A worker that is started again whenever it dies; how often it did."""
    crashes = 0
    while not await run(app, project_id, ["money", "telling"]):
        crashes += 1
    return crashes

"""What waits for a person: notifications, questions, acts and deliveries that were given up, what could not be read, imports that stopped in
the middle, and pushes in the wrong wrapping. Shown by `perennial doctor`, and counted in a metric of every worker."""

from collections import Counter
from datetime import timedelta
from typing import Literal, get_args

from perennial.base.db import Database
from perennial.base.ids import ProjectId
from perennial.base.value import value

Kind = Literal[
    "notifications_parked",
    "notifications_unreadable",
    "questions_parked",
    "acts_parked",
    "deliveries_parked",
    "imports_unfinished",
    "pushes_misdelivered",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
LOOKED_BACK = timedelta(days=7)  # for what is not set right by itself, nor ever marked as seen


@value
class Trouble:
    """`sample` is one of them by its key, `reason` why (of a push, its wrapping)."""

    project_id: ProjectId
    kind: Kind
    count: int
    sample: str
    reason: str


async def find(database: Database) -> list[Trouble]:
    """By project and kind; a push's by app too."""
    rows = await database.door("SELECT * FROM troubles($1)", database.clock() - LOOKED_BACK)
    return [
        Trouble(project_id=row["project_id"], kind=row["kind"], count=row["count"], sample=row["sample"] or "", reason=row["reason"] or "")
        for row in rows
    ]


def counted(troubles: list[Trouble]) -> dict[Kind, int]:
    """Of the whole installation, those of which there are none too."""
    sums: Counter[Kind] = Counter()
    for one in troubles:
        sums[one.kind] += one.count
    return {kind: sums[kind] for kind in KINDS}

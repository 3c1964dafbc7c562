"""Exports of transactions on a schedule: where to, in which format, and what of it is delivered."""

from datetime import datetime, timedelta
from typing import Literal

from perennial.base.value import value

Format = Literal["csv", "parquet"]
Mode = Literal["full", "new_and_updated"]

EVERY = timedelta(days=1)
LEASE = timedelta(hours=2)  # of a run: one that dies is begun anew after it
# Who wrote something bears the moment its transaction began, and may commit a little later: so much of the past is delivered again.
OVERLAP = timedelta(minutes=10)
RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 60, 180))


@value
class Export:
    """`until_at`: what changed up to there is delivered. `wake_at` None: paused."""

    export_id: str
    name: str
    target: str
    format: Format
    mode: Mode
    created_at: datetime
    next_at: datetime
    until_at: datetime | None = None
    attempts: int = 0
    wake_at: datetime | None = None
    last_error: str | None = None


@value
class ExportRun:
    """One delivery. `mode` is full where it was the first."""

    run_id: str
    export_id: str
    mode: Mode
    since: datetime | None
    until_at: datetime
    object: str  # the file's name under the target
    rows: int
    bytes: int
    started_at: datetime
    finished_at: datetime

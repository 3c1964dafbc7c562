"""What could not be read of what stores say: kept by field, counted, and listed for whoever looks after the house."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import structlog

from perennial.base.db import Tx
from perennial.base.errors import PerennialError
from perennial.base.ids import AppId
from perennial.base.reading import Unread, noting
from perennial.base.value import replace
from perennial.intake import db, rules
from perennial.intake.model import Reading, Source, StoreApp, UnreadField

log = structlog.get_logger("perennial.intake")

UNREAD_FIELDS: Counter[tuple[str, str]] = Counter()  # by store and source: since this process began
UNREADABLE: Counter[str] = Counter()  # notifications, by store


@contextmanager
def listening() -> Iterator[Callable[[Reading], Reading]]:
    """Around a provider's reading: gives what holds it to its bounds, and adds what was left aside."""
    with noting() as noted:

        def heard(said: Reading) -> Reading:
            bounded = rules.within_bounds(said)
            return replace(bounded, unread=tuple(noted)) if noted else bounded

        yield heard


async def keep_unread(tx: Tx, source: Source, said: Sequence[tuple[StoreApp, Reading | PerennialError]]) -> None:
    """Keeps, counts and logs what was left aside."""
    found: list[tuple[AppId, Unread]] = []
    for app, reading in said:
        if isinstance(reading, PerennialError):
            UNREADABLE[app.store] += 1
            continue
        for one in reading.unread:
            UNREAD_FIELDS[app.store, source] += 1
            log.warning("a field of a store's word cannot be read", app_id=app.app_id, store=app.store, source=source, field=one.field)
            found.append((app.app_id, one))
    if found:
        await db.keep_unread(tx, source, [(app_id, one.field, one.said) for app_id, one in found])


async def unread(tx: Tx, since: datetime, *, limit: int = 100) -> list[UnreadField]:
    """What could not be read since, by field, the latest first."""
    return await db.unread_since(tx, since, limit)

"""What webhooks and integrations have in common: which events they hear, and how many of them a project may have."""

from collections.abc import Sequence

from perennial.base.db import Tx
from perennial.base.errors import Conflict, Invalid
from perennial.events import db
from perennial.events.model import MOST_ENDPOINTS


async def check_app(tx: Tx, app_id: str | None) -> None:
    if app_id is not None and not await db.has_app(tx, app_id):
        raise Invalid(f"no app {app_id[:80]!r} in this project; leave it out to hear of all apps", param="app_id")


async def check_count(tx: Tx) -> None:
    if await db.count_endpoints(tx) >= MOST_ENDPOINTS:
        raise Conflict(f"a project has at most {MOST_ENDPOINTS} webhooks and integrations; delete one first")


def in_order(event_types: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if event_types is None else tuple(sorted(set(event_types)))

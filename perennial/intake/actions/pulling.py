"""Notifications we fetch ourselves, where a store cannot reach us: kept like posted ones, then acknowledged."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from perennial.base.db import Database
from perennial.base.ids import AppId, ProjectId
from perennial.base.secrets import Vault
from perennial.intake import db, rules
from perennial.intake.actions.asking import Providers
from perennial.intake.model import Caught, Message, StoreApp

MOST_ROUNDS = 100  # of one app before the next has its turn


@runtime_checkable
class Pulled(Protocol):
    """A store whose notifications wait somewhere to be fetched."""

    async def pull(self, app: StoreApp, keep: Callable[[Sequence[Caught]], Awaitable[None]], now: datetime) -> int:
        """Fetch some, have them kept, acknowledge them. Returns how many: none, when nothing waits."""
        ...


async def pull(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, app_id: AppId) -> int:
    """Fetches what waits for an app. Raises `Unavailable` and `Invalid` as its store and settings have it; nothing is lost."""
    async with database.transaction(project_id) as tx:
        app = (await db.store_apps(tx, vault, [app_id]))[app_id]
    provider, pulled = providers[app.store], 0
    assert isinstance(provider, Pulled), "only apps whose store can be pulled are named by the door"

    async def keep(caught: Sequence[Caught]) -> None:
        async with database.transaction(project_id) as tx:
            await db.keep(tx, [rules.kept(Message(app_id=app_id, envelope=one.envelope, body=one.body)) for one in caught])

    for _ in range(MOST_ROUNDS):
        some = await provider.pull(app, keep, database.clock())
        pulled += some
        if not some:
            break
    return pulled

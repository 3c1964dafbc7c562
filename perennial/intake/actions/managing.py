"""Where a customer manages what they bought: an address the store makes for this customer alone, for a while."""

from datetime import datetime
from typing import Protocol, runtime_checkable

from perennial.base.db import Database
from perennial.base.errors import Conflict
from perennial.base.ids import ProjectId
from perennial.base.secrets import Vault
from perennial.intake import db
from perennial.intake.actions.asking import Providers
from perennial.intake.model import StoreApp
from perennial.subscriptions.model import Environment, Line


@runtime_checkable
class WithPortal(Protocol):
    """A store with a portal that we can open a door to."""

    def can_ask(self, app: StoreApp) -> bool: ...

    async def portal(self, app: StoreApp, subject: str, environment: Environment, now: datetime) -> str:
        """An address where the buyer of `subject` manages it, signed in. Raises `CannotAct` with the store's words, or `Unavailable`."""
        ...


async def management_url(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, line: Line) -> str:
    """Asks the store, with no transaction open. `Conflict` where it has no portal, or nobody told us its key."""
    provider: object = providers.get(line.store)
    if line.app_id is None or not isinstance(provider, WithPortal):
        raise Conflict(
            f"{line.store} has no portal that an address can be made for; send the customer to the subscription's management_url",
            param="subscription_id",
        )
    async with database.transaction(project_id) as tx:
        app = (await db.store_apps(tx, vault, [line.app_id]))[line.app_id]
    if not provider.can_ask(app):
        raise Conflict("this app has no credentials for its store's API, which alone opens its portal; add them to the app first", param="app_id")
    return await provider.portal(app, line.subject, line.environment, database.clock())

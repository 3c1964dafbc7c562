"""Making a product known to its store, so that it need not be entered there once more."""

from datetime import datetime
from typing import Protocol, runtime_checkable

from perennial.base.db import Database
from perennial.base.errors import Conflict
from perennial.base.ids import AppId, ProjectId
from perennial.base.secrets import Vault
from perennial.intake import db
from perennial.intake.actions.asking import Providers
from perennial.intake.model import NewProduct, StoreApp, StoreProduct


@runtime_checkable
class WithProducts(Protocol):
    """A store that takes new products by its API."""

    def check_creation(self, app: StoreApp) -> None:
        """Raises `Conflict` where the app lacks what is needed for it."""
        ...

    async def create(self, app: StoreApp, wanted: NewProduct, now: datetime) -> StoreProduct:
        """Raises `AlreadyExists`, `CannotAct` with the store's words, or `Unavailable`."""
        ...


async def create_in_store(
    database: Database, vault: Vault, providers: Providers, project_id: ProjectId, app_id: AppId, wanted: NewProduct
) -> StoreProduct:
    """Asks the store, with no transaction open. `Conflict` where its store takes no products from us."""
    async with database.transaction(project_id) as tx:
        app = (await db.store_apps(tx, vault, [app_id]))[app_id]
    provider: object = providers.get(app.store)
    if not isinstance(provider, WithProducts):
        raise Conflict(f"products of {app.store} cannot be created from here; create it in the store's own console", param="product_id")
    provider.check_creation(app)
    return await provider.create(app, wanted, database.clock())

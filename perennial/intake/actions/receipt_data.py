"""What a store says of one receipt, handed through to a device that cannot ask the store itself."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from perennial.base.db import Database
from perennial.base.errors import Invalid
from perennial.base.ids import AppId, ProjectId
from perennial.base.secrets import Vault
from perennial.intake import db
from perennial.intake.actions.asking import Providers
from perennial.intake.model import StoreApp


@runtime_checkable
class WithReceiptData(Protocol):
    """A store whose answer about a receipt its own SDK reads: Amazon's."""

    async def receipt_data(self, app: StoreApp, user_id: str, receipt_id: str) -> Mapping[str, Any]:
        """The store's JSON. Raises `Invalid` where it knows no such receipt of this user, `Unavailable` where it does not answer."""
        ...


async def receipt_data(
    database: Database,
    vault: Vault,
    providers: Providers,
    project_id: ProjectId,
    app_id: AppId,
    *,
    user_id: str,
    receipt_id: str,
) -> Mapping[str, Any]:
    """Asks the store, with no transaction open; records nothing. `Invalid` (7103) where the receipt is none of this user's."""
    async with database.transaction(project_id) as tx:
        app = (await db.store_apps(tx, vault, [app_id]))[app_id]
    provider: object = providers.get(app.store)
    if not isinstance(provider, WithReceiptData):
        raise Invalid(f"this key is of an app of {app.store}, whose receipts are not asked for here; use the Amazon app's key", code=7103)
    return await provider.receipt_data(app, user_id, receipt_id)

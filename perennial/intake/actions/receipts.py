"""What apps post after a purchase: verified outside any transaction, then recorded as bought by whom they say."""

from perennial import catalog, customers, subscriptions
from perennial.base.db import Database, Tx
from perennial.base.errors import Invalid
from perennial.base.ids import AppId, CustomerId, ProjectId
from perennial.base.money import Money
from perennial.base.secrets import Vault
from perennial.base.value import value
from perennial.catalog.model import Product
from perennial.intake import db
from perennial.intake.actions.asking import MOST_PRODUCTS, Providers, follow
from perennial.intake.model import ENVIRONMENTS, STORE_USER, Posted, Reading, StoreApp
from perennial.subscriptions import Said


@value
class Receipt:
    """What an app posts after a purchase or restore."""

    token: str
    app_transaction: str | None = None
    product_ids: tuple[str, ...] = ()
    is_restore: bool = False
    presented_offering: str | None = None
    store_user_id: str | None = None
    price: Money | None = None


async def read_receipt(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, app_id: AppId, receipt: Receipt) -> Reading:
    """Verifies a posted proof of purchase, asking its store where it must be. Raises `Invalid` (7103) where it proves nothing.

    Outside any transaction: record it with `record_receipt`.
    """
    async with database.transaction(project_id) as tx:
        app = (await db.store_apps(tx, vault, [app_id]))[app_id]
        if app.store not in providers:
            raise Invalid(f"apps of {app.store} take no receipts here", param="fetch_token", code=7103)
        posted, now = await _posted(tx, app, receipt), tx.now
    try:
        return await providers[app.store].read_receipt(app, posted, now)
    except Invalid as error:
        raise type(error)(error.message, param=error.param or "fetch_token", code=error.code or 7103) from error


async def _posted(tx: Tx, app: StoreApp, receipt: Receipt) -> Posted:
    products = await _products(tx, app, receipt)
    known = await subscriptions.find(tx, [(app.store, environment, receipt.token) for environment in ENVIRONMENTS])
    return Posted(
        token=receipt.token,
        app_transaction=receipt.app_transaction,
        product_ids=receipt.product_ids,
        store_user_id=receipt.store_user_id,
        price=receipt.price,
        is_restore=receipt.is_restore,
        products=products,
        line=known[0] if known else None,
    )


async def _products(tx: Tx, app: StoreApp, receipt: Receipt) -> tuple[Product, ...]:
    """Those that were posted; where none was, the store's answer may be about any of the app's."""
    if receipt.product_ids:
        return tuple((await catalog.find_products(tx, [(app.app_id, product) for product in receipt.product_ids])).values())
    return tuple(await catalog.get_products(tx, app_id=app.app_id, limit=MOST_PRODUCTS))


async def record_receipt(tx: Tx, vault: Vault, providers: Providers, app_id: AppId, receipt: Receipt, reading: Reading, buyer: CustomerId) -> None:
    """Records what a verified receipt states, as bought by `buyer`."""
    store_user = vault.seal(receipt.store_user_id, STORE_USER) if receipt.store_user_id else None
    said = [
        Said(
            app_id=app_id,
            statement=statement,
            buyer=buyer,
            is_restore=receipt.is_restore,
            presented_offering=receipt.presented_offering,
            store_user=store_user,
        )
        for statement in reading.statements
    ]
    await subscriptions.record(tx, said)
    if reading.download is not None:
        await customers.set_download(tx, buyer, reading.download)
    if reading.questions or reading.acts:
        await follow(tx, providers, await db.store_apps(tx, vault, [app_id]), [(app_id, reading)])

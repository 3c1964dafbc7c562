"""What apps post after a purchase: verified outside any transaction, then recorded as bought by whom they say."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from perennial import catalog, customers, subscriptions
from perennial.base.db import Database, Tx
from perennial.base.errors import Invalid, Unavailable
from perennial.base.ids import AppId, CustomerId, ProjectId
from perennial.base.money import Money
from perennial.base.reading import LONGEST_KEY, is_text
from perennial.base.secrets import Vault
from perennial.base.value import value
from perennial.catalog.model import Product
from perennial.intake import db
from perennial.intake.actions.asking import Providers, follow
from perennial.intake.actions.beside import MOST_PRODUCTS, Heard, current, either, first
from perennial.intake.actions.unread import keep_unread, listening
from perennial.intake.model import STORE_USER, Posted, Reading, StoreApp
from perennial.subscriptions import Key, Said

T = TypeVar("T")

_ATTEMPTS = 4


@value
class Receipt:
    """What an app posts after a purchase or restore."""

    token: str
    app_transaction: str | None = None
    product_ids: tuple[str, ...] = ()
    is_restore: bool = False
    is_completed_by_app: bool = False  # the SDK and the server finish nothing: the app does
    presented_offering: str | None = None
    store_user_id: str | None = None
    price: Money | None = None


async def post_receipt(
    database: Database,
    vault: Vault,
    providers: Providers,
    project_id: ProjectId,
    app_id: AppId,
    receipt: Receipt,
    app_user_id: str,
    finish: Callable[[Tx, CustomerId, Reading], Awaitable[T]],
) -> T:
    """Verifies a posted proof, records what it states as bought by `app_user_id`, and ends that transaction with `finish`,
    which gets the buyer and what the proof states.

    What was read beside a line that changed meanwhile is read once more. Raises `Invalid` (7103) where the proof proves nothing,
    `subscriptions.ReceiptInUse` (7102) where it is another's and stays there, `Unavailable` where its store does not answer.
    """
    for _ in range(_ATTEMPTS):
        app, heard = await _hear(database, vault, providers, project_id, app_id, receipt)
        async with database.transaction(project_id) as tx:
            ids, _new = await customers.ensure(tx, [app_user_id])
            if not heard.about or await current(tx, [heard]) == [True]:
                await _record(tx, vault, providers, app, receipt, heard.reading, ids[app_user_id])
                return await finish(tx, ids[app_user_id], heard.reading)
    raise Unavailable("this purchase changed again and again while its store was asked about it; post it again")


async def nothing_more(tx: Tx, buyer: CustomerId, reading: Reading) -> None:
    """Ends `post_receipt` where there is nothing to add."""


async def read_receipt(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, app_id: AppId, receipt: Receipt) -> Reading:
    """What a proof of purchase states, by its store where that must be asked. Raises as `post_receipt` does; records nothing."""
    _, heard = await _hear(database, vault, providers, project_id, app_id, receipt)
    return heard.reading


async def _hear(
    database: Database, vault: Vault, providers: Providers, project_id: ProjectId, app_id: AppId, receipt: Receipt
) -> tuple[StoreApp, Heard]:
    async with database.transaction(project_id) as tx:
        app = (await db.store_apps(tx, vault, [app_id]))[app_id]
        if app.store not in providers:
            raise Invalid(f"apps of {app.store} take no receipts here", param="fetch_token", code=7103)
        posted, now = await _posted(tx, app, receipt), tx.now
    try:
        with listening() as heard:
            reading = heard(await providers[app.store].read_receipt(app, posted, now))
    except Invalid as error:
        error.param, error.code = error.param or "fetch_token", error.code or 7103
        raise
    return app, Heard(reading=reading, about=_keys(app, receipt), beside=posted.line)


def _keys(app: StoreApp, receipt: Receipt) -> tuple[Key, ...]:
    """What its line may go by: a purchase token does, a signed transaction or a whole receipt is longer than any."""
    return either(app.store, "production", receipt.token) if len(receipt.token) <= LONGEST_KEY and is_text(receipt.token) else ()


async def _posted(tx: Tx, app: StoreApp, receipt: Receipt) -> Posted:
    products = await _products(tx, app, receipt)
    known = await subscriptions.find_by_keys(tx, _keys(app, receipt))
    return Posted(
        token=receipt.token,
        app_transaction=receipt.app_transaction,
        product_ids=receipt.product_ids,
        store_user_id=receipt.store_user_id,
        price=receipt.price,
        is_restore=receipt.is_restore,
        is_completed_by_app=receipt.is_completed_by_app,
        products=products,
        line=first(known, _keys(app, receipt)),
    )


async def _products(tx: Tx, app: StoreApp, receipt: Receipt) -> tuple[Product, ...]:
    """Those that were posted; where none was, the store's answer may be about any of the app's."""
    if receipt.product_ids:
        return tuple((await catalog.find_products(tx, [(app.app_id, product) for product in receipt.product_ids])).values())
    return tuple(await catalog.get_products(tx, app_id=app.app_id, limit=MOST_PRODUCTS))


async def _record(tx: Tx, vault: Vault, providers: Providers, app: StoreApp, receipt: Receipt, reading: Reading, buyer: CustomerId) -> None:
    store_user = vault.seal(receipt.store_user_id, STORE_USER) if receipt.store_user_id else None
    said = [
        Said(
            app_id=app.app_id,
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
    await follow(tx, providers, {app.app_id: app}, [(app.app_id, reading)])
    await keep_unread(tx, "receipt", [(app, reading)])

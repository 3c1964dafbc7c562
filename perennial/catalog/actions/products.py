"""Products and what they cost."""

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from perennial.base.db import Tx, UniqueViolation
from perennial.base.errors import Invalid
from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.base.time import check_duration
from perennial.base.value import replace
from perennial.catalog import db
from perennial.catalog.actions.apps import require_app
from perennial.catalog.actions.checks import named, one_of
from perennial.catalog.model import MOST_PRODUCTS, Exists, InUse, Missing, Product, ProductType, TooManyOfThem


async def create_product(
    tx: Tx,
    *,
    app_id: str,
    store_identifier: str,
    type: ProductType,
    display_name: str | None = None,
    duration: str | None = None,
    trial_duration: str | None = None,
    prices: Sequence[Money] = (),
) -> Product:
    await require_app(tx, app_id)
    for param, text in (("duration", duration), ("trial_duration", trial_duration)):
        if text is not None:
            check_duration(text, param)
    _check_prices(prices)
    if await db.is_full_of_products(tx, app_id, MOST_PRODUCTS):
        raise TooManyOfThem(f"an app has at most {MOST_PRODUCTS} products; delete one first, archived ones count too", param="store_identifier")
    product = Product(
        product_id=tx.new_id("prod"),
        app_id=AppId(app_id),
        store_identifier=named(store_identifier, "store_identifier", 200),
        type=type,
        created_at=tx.now,
        display_name=display_name,
        duration=duration,
        trial_duration=trial_duration,
        prices=tuple(prices),
    )
    try:
        await db.insert_product(tx, product)
    except UniqueViolation as error:
        raise Exists(f"the app already has a product {store_identifier!r}", param="store_identifier") from error
    await db.touch(tx)
    return product


async def update_product(
    tx: Tx,
    product_id: str,
    *,
    display_name: str | UnsetType | None = UNSET,
    duration: str | UnsetType | None = UNSET,
    trial_duration: str | UnsetType | None = UNSET,
    prices: Sequence[Money] | None = None,
) -> Product:
    """Changes what is given. `prices`, where given, are all there are from now on; running periods keep what they cost."""
    await db.touch(tx)  # first: it holds the project, so two who change a product take turns
    product = await require_product(tx, product_id)
    for param, text in (("duration", duration), ("trial_duration", trial_duration)):
        if isinstance(text, str):
            check_duration(text, param)
    _check_prices(prices or ())
    changed = replace(
        product,
        display_name=product.display_name if isinstance(display_name, UnsetType) else display_name,
        duration=product.duration if isinstance(duration, UnsetType) else duration,
        trial_duration=product.trial_duration if isinstance(trial_duration, UnsetType) else trial_duration,
        prices=product.prices if prices is None else tuple(prices),
    )
    await db.update_product(tx, changed)
    if prices is not None:
        await db.delete_other_prices(tx, product_id, [price.currency for price in prices])
        await db.insert_prices(tx, product_id, prices)
    return changed


async def add_prices(tx: Tx, product_id: str, prices: Sequence[Money]) -> Product:
    """In currencies it has none in yet."""
    await db.touch(tx)  # first: it holds the project, so two who price a product take turns
    product = await require_product(tx, product_id)
    _check_prices(prices)
    if taken := sorted({one.currency for one in prices} & {one.currency for one in product.prices}):
        raise Exists(f"the product already has a price in {taken[0]}; change it instead", param="prices")
    await db.insert_prices(tx, product_id, prices)
    return await require_product(tx, product_id)


async def change_price(tx: Tx, product_id: str, price: Money) -> Product:
    """For those who buy from now on; running periods keep what they cost."""
    await db.touch(tx)  # first: it holds the project, so two who price a product take turns
    product = await require_product(tx, product_id)
    if price.currency not in {one.currency for one in product.prices}:
        raise Missing(f"the product has no price in {price.currency}; add one first", param="currency")
    await db.insert_prices(tx, product_id, [price])
    return await require_product(tx, product_id)


async def archive_product(tx: Tx, product_id: str) -> Product:
    """No offering shows it any more. What was bought of it goes on: it renews, is restored and entitles as before."""
    await db.touch(tx)  # first: it holds the project, so two who change a product take turns
    product = await require_product(tx, product_id)
    archived = replace(product, archived_at=product.archived_at or tx.now)
    await db.update_product(tx, archived)
    return archived


async def unarchive_product(tx: Tx, product_id: str) -> Product:
    await db.touch(tx)  # first: it holds the project, so two who change a product take turns
    offered = replace(await require_product(tx, product_id), archived_at=None)
    await db.update_product(tx, offered)
    return offered


async def delete_product(tx: Tx, product_id: str, *, was_sold: bool) -> None:
    """Out of its entitlements and packages too. What was sold stays, so that it goes on entitling: whoever calls asks `subscriptions.was_sold`."""
    await db.touch(tx)
    product = await require_product(tx, product_id)
    if was_sold:
        raise InUse(
            f"customers have bought {product.store_identifier!r} and would lose it; archive it instead: they keep it, and nobody else sees it",
            param="product_id",
        )
    await db.delete_product(tx, product_id)


async def require_product(tx: Tx, product_id: str) -> Product:
    return one_of(await db.get_products(tx, product_ids=[product_id]), "product", product_id, "product_id")


async def require_products(tx: Tx, product_ids: Sequence[str]) -> None:
    found = {product.product_id for product in await db.get_products(tx, product_ids=product_ids)}
    if missing := sorted(set(product_ids) - found):
        raise Missing(f"no product {missing[0]!r} in this project", param="product_ids")


def _check_prices(prices: Sequence[Money]) -> None:
    currencies = [price.currency for price in prices]
    if twice := sorted({currency for currency in currencies if currencies.count(currency) > 1}):
        raise Invalid(f"prices has {twice[0]} twice; a product has one price per currency", param="prices")

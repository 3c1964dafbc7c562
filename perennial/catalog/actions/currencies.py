"""Virtual currencies, and the products that give them."""

import re
from collections import Counter
from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from perennial.base.db import Tx, UniqueViolation
from perennial.base.errors import Conflict, Invalid
from perennial.base.value import replace
from perennial.catalog import db
from perennial.catalog.actions.checks import named, one_of
from perennial.catalog.actions.products import require_products
from perennial.catalog.model import MOST_CURRENCIES, MOST_OF_A_CURRENCY, Exists, ProductGrant, VirtualCurrency

_CODE = re.compile(r"[a-zA-Z0-9_]{1,10}")


async def create_currency(
    tx: Tx, *, code: str, name: str, description: str | None = None, product_grants: Sequence[ProductGrant] = ()
) -> VirtualCurrency:
    if not _CODE.fullmatch(code):
        raise Invalid("code must have 1 to 10 letters, digits or underscores, such as GLD", param="code")
    count = await db.hold_currencies(tx)
    await _check_grants(tx, product_grants)
    currency = VirtualCurrency(
        code=code, name=named(name, "name", 50), description=_described(description), created_at=tx.now, product_grants=tuple(product_grants)
    )
    try:
        await db.insert_currency(tx, currency)
    except UniqueViolation as error:
        raise Exists(f"the project already has a virtual currency {code!r}", param="code") from error
    if count >= MOST_CURRENCIES:
        raise Conflict(f"a project has at most {MOST_CURRENCIES} virtual currencies; delete one first")
    await db.set_grants(tx, code, product_grants)
    return currency


async def update_currency(
    tx: Tx,
    code: str,
    *,
    name: str | None = None,
    description: str | UnsetType | None = UNSET,
    product_grants: Sequence[ProductGrant] | None = None,
) -> VirtualCurrency:
    """Changes what is given. `product_grants`, where given, are all there are from now on; what was granted stays as it is."""
    await db.hold_currencies(tx)
    currency = await require_currency(tx, code)
    changed = replace(
        currency,
        name=currency.name if name is None else named(name, "name", 50),
        description=currency.description if isinstance(description, UnsetType) else _described(description),
        product_grants=currency.product_grants if product_grants is None else tuple(product_grants),
    )
    await db.update_currency(tx, changed)
    if product_grants is not None:
        await _check_grants(tx, product_grants)
        await db.set_grants(tx, code, product_grants)
    return changed


async def delete_currency(tx: Tx, code: str) -> None:
    """What customers have of it stays in the ledger, out of sight: it is there again should the code ever be."""
    await require_currency(tx, code)
    await db.delete_currency(tx, code)


async def require_currency(tx: Tx, code: str) -> VirtualCurrency:
    return one_of(await db.get_currencies(tx, codes=[code]), "virtual currency", code, "virtual_currency_code")


async def _check_grants(tx: Tx, grants: Sequence[ProductGrant]) -> None:
    for grant in grants:
        if not grant.product_ids:
            raise Invalid("product_grants: each names at least one product", param="product_grants")
        if not (1 <= grant.amount <= MOST_OF_A_CURRENCY and 0 <= grant.trial_amount <= MOST_OF_A_CURRENCY):
            raise Invalid(f"product_grants: amounts go from 1, and trial amounts from 0, to {MOST_OF_A_CURRENCY}", param="product_grants")
    product_ids = [product_id for grant in grants for product_id in grant.product_ids]
    if twice := [product_id for product_id, count in Counter(product_ids).items() if count > 1]:
        raise Invalid(f"product_grants names {twice[0]!r} twice; a product gives one amount of a currency", param="product_grants")
    await require_products(tx, product_ids)


def _described(description: str | None) -> str | None:
    return None if description is None else named(description, "description", 1500)

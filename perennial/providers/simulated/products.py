"""What the simulated stores sell: products of the project's catalog, at its prices."""

from perennial import catalog
from perennial.base.db import Tx
from perennial.base.errors import Conflict, Invalid, NotFound
from perennial.base.money import Money
from perennial.base.time import parse_duration
from perennial.catalog.model import Product


async def require_product(tx: Tx, app_id: str, product: str) -> Product:
    """By the store's identifier."""
    found = (await catalog.find_products(tx, [(app_id, product)])).get((app_id, product))
    if found is None:
        raise NotFound(f"the app's catalog has no product {product!r}", param="product")
    if found.type == "subscription" and found.duration is None:
        raise Invalid(f"the product {product!r} has no duration; the simulated store must know how long it lasts", param="product")
    return found


async def require_subscription(tx: Tx, app_id: str, product: str) -> Product:
    found = await require_product(tx, app_id, product)
    if found.type != "subscription":
        raise Conflict(f"{product!r} is no subscription")
    return found


def price_of(product: Product, price: Money | None) -> Money:
    """What is asked for; else the catalog's first; else nothing."""
    return price or (product.prices[0] if product.prices else Money(amount=0, currency="USD"))


def duration_of(product: Product) -> str | None:
    """How long a period lasts (ISO 8601); None for what does not renew. `Invalid` where the catalog's is no duration."""
    if product.type != "subscription" or product.duration is None:
        return None
    parse_duration(product.duration)
    return product.duration

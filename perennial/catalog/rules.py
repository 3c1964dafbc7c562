"""Decisions of the catalog: what a grant by hand is called, and what it gives.

No store sells it, so no product stands in the catalog for it: the name says which entitlement, and for how long. The names are the vendor's.
"""

import re
from datetime import datetime

from perennial.base.time import Duration, add, parse_duration
from perennial.catalog.model import NO_APP, Entitlement, Product

# The vendor's presets. Its lifetime ends, far away.
_PRESETS = {
    "daily": "P1D",
    "three_day": "P3D",
    "weekly": "P1W",
    "two_week": "P2W",
    "monthly": "P1M",
    "two_month": "P2M",
    "three_month": "P3M",
    "six_month": "P6M",
    "yearly": "P1Y",
    "lifetime": "P200Y",
}
GRANT_PRESETS: dict[str, Duration] = {name: parse_duration(text) for name, text in _PRESETS.items()}
UNTIL_A_DATE = "custom"

_GRANT = re.compile(rf"rc_promo_(?P<lookup_key>.+)_(?:{'|'.join((*GRANT_PRESETS, UNTIL_A_DATE))})")


def grant_name(lookup_key: str, preset: str | None) -> str:
    """The store identifier of an entitlement granted by hand; `preset` None: until a date."""
    return f"rc_promo_{lookup_key}_{preset or UNTIL_A_DATE}"


def granted_entitlement(store_identifier: str) -> str | None:
    """The lookup key of the entitlement that a grant of this name gives; None where it is no grant's name."""
    match = _GRANT.fullmatch(store_identifier)
    return match["lookup_key"] if match else None


def grant_end(preset: str, start: datetime) -> datetime:
    return add(start, GRANT_PRESETS[preset])


def granted_product(store_identifier: str, entitlement: Entitlement) -> Product:
    """What stands for a grant where a product is looked up."""
    return Product(
        product_id=store_identifier,
        app_id=NO_APP,
        store_identifier=store_identifier,
        type="subscription",
        created_at=entitlement.created_at,
        display_name=entitlement.display_name,
        entitlements=(entitlement.lookup_key,),
    )

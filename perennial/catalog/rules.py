"""Decisions of the catalog: what a grant by hand is called, and what it gives; what an app's store keeps of its sales.

No store sells it, so no product stands in the catalog for it: the name says which entitlement, and for how long. The names are the vendor's.
"""

import re
from datetime import date, datetime
from fractions import Fraction

from perennial.base.errors import Invalid
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


# What the store keeps ---------------------------------------------------------------------------------------------------------

COMMISSION = "commission_percentage"  # the app's setting
_MAX_STEPS = 20
_STEP = re.compile(r"(\d{1,2}(?:\.\d{1,4})?) ?%?(?: since (\d{4}-\d{2}-\d{2}))?", re.ASCII)


def commission_steps(text: str) -> list[tuple[date | None, Fraction]]:
    """The setting `commission_percentage`: a rate, or several with the days they begin, as in `30, 15 since 2026-02-01`.

    Raises `Invalid` where it is anything else.
    """
    steps = [_commission_step(part.strip()) for part in text.split(",", _MAX_STEPS)]
    if any(since is None for since, _ in steps[1:]) or len(steps) > _MAX_STEPS:
        raise _not_a_commission(text)
    days = [since for since, _ in steps if since is not None]
    if days != sorted(set(days)):
        raise _not_a_commission(text)
    return steps


def commission_rate(text: str | None, day: date) -> Fraction | None:
    """What the store keeps of a net price on a day; None where the app has no terms of its own for it."""
    begun = [rate for since, rate in commission_steps(text) if since is None or since <= day] if text else []
    return begun[-1] if begun else None


def _commission_step(text: str) -> tuple[date | None, Fraction]:
    found = _STEP.fullmatch(text)
    if found is None:
        raise _not_a_commission(text)
    try:
        since = date.fromisoformat(found[2]) if found[2] else None
    except ValueError as error:
        raise _not_a_commission(text) from error
    return since, Fraction(found[1]) / 100


def _not_a_commission(text: str) -> Invalid:
    return Invalid(
        f"settings: commission_percentage {text[:80]!r} is no rate; write 15, or 30, 15 since 2026-02-01 where it changed",
        param="settings",
    )

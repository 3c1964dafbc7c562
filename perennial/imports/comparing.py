"""The same customer at two servers, field by field: pure. What is compared is what SDKs decide by, in the customer object of v1.

Moments may differ by a tolerance. When something was noticed (an unsubscription, a billing issue) is compared only as far as that it was: two
servers notice at different moments.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from perennial.base.value import value

Json = Mapping[str, Any]
Weight = Literal["access", "detail"]
_MOMENTS = ("expires_date", "purchase_date")
_NOTICED = ("unsubscribe_detected_at", "billing_issues_detected_at", "refunded_at", "grace_period_expires_date", "auto_resume_date")
_SAME = ("period_type", "store", "is_sandbox", "ownership_type", "product_plan_identifier")


@value
class Difference:
    """`weight` is access where one of the two lets the customer in at this moment and the other does not."""

    app_user_id: str
    field: str  # as in entitlements.pro.expires_date
    kind: str  # the field without names, for sums
    theirs: str
    ours: str
    weight: Weight = "detail"


def compare(app_user_id: str, theirs: Json, ours: Json, now: datetime, tolerance: float) -> list[Difference]:
    """Two customer objects (`subscriber`). `tolerance` in seconds."""
    found: list[Difference] = []
    for part in ("entitlements", "subscriptions"):
        there, here = theirs.get(part) or {}, ours.get(part) or {}
        for name in sorted(there.keys() | here.keys()):
            found += _one(app_user_id, part, name, there.get(name), here.get(name), now, tolerance)
    return found + list(_purchases(app_user_id, theirs.get("non_subscriptions") or {}, ours.get("non_subscriptions") or {}))


def _one(app_user_id: str, part: str, name: str, theirs: Json | None, ours: Json | None, now: datetime, tolerance: float) -> Iterator[Difference]:
    is_access = part == "entitlements" and _lets_in(theirs, now) != _lets_in(ours, now)
    weight: Weight = "access" if is_access else "detail"
    if theirs is None or ours is None:
        yield Difference(app_user_id=app_user_id, field=f"{part}.{name}", kind=part, theirs=_shown(theirs), ours=_shown(ours), weight=weight)
        return
    for field in (*_MOMENTS, *(("product_identifier",) if part == "entitlements" else _SAME), *_NOTICED):
        there, here = theirs.get(field), ours.get(field)
        if _differ(field, there, here, tolerance):
            yield Difference(
                app_user_id=app_user_id,
                field=f"{part}.{name}.{field}",
                kind=f"{part}.{field}",
                theirs=str(there),
                ours=str(here),
                weight=weight if field == "expires_date" else "detail",
            )


def _purchases(app_user_id: str, theirs: Json, ours: Json) -> Iterator[Difference]:
    for product in sorted(theirs.keys() | ours.keys()):
        there, here = len(theirs.get(product) or ()), len(ours.get(product) or ())
        if there != here:
            yield Difference(
                app_user_id=app_user_id, field=f"non_subscriptions.{product}", kind="non_subscriptions", theirs=str(there), ours=str(here)
            )


def _lets_in(entry: Json | None, now: datetime) -> bool:
    if entry is None:
        return False
    end = entry.get("expires_date")
    return end is None or datetime.fromisoformat(end) > now


def _differ(field: str, left: Any, right: Any, tolerance: float) -> bool:
    if field in _NOTICED:
        return (left is None) != (right is None)
    if field not in _MOMENTS or left is None or right is None:
        return (left or None) != (right or None)
    return abs((datetime.fromisoformat(left) - datetime.fromisoformat(right)).total_seconds()) > tolerance


def _shown(entry: Json | None) -> str:
    return "missing" if entry is None else f"until {entry.get('expires_date') or 'ever'} by {entry.get('product_identifier') or entry.get('store')}"

"""Entitlements granted by hand: one more store, which charges nothing and is told of like any other.

A grant is a line of the store `promotional` with one purchase, always of production and of no app. It works beside whatever stores sell
and ends by itself. Durations, the name of its product and what counts as the same grant are the vendor's.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from perennial.base.time import FOREVER, Duration, add
from perennial.base.value import replace
from perennial.catalog import granted_entitlement
from perennial.subscriptions.model import Line, Purchase, Revocation, Statement
from perennial.subscriptions.rules import is_entitled, is_grant

# A grant that would end as near as this to another of the same entitlement is that grant.
SAME_WITHIN = timedelta(hours=2)


def new_grant(grant_id: str, product: str, until: datetime, now: datetime) -> Statement:
    """Access begins now, whatever its duration is counted from."""
    purchase = Purchase(
        transaction=grant_id,
        product=product,
        kind="subscription",
        purchased_at=now,
        expires_at=until,
        as_of=now,
        is_first=True,
        is_renewal=False,
        period_type="promotional",
    )
    return Statement(store="promotional", environment="production", line=grant_id, purchases=(purchase,))


def revoked(line: Line, now: datetime) -> Statement:
    """The same grant, taken back now."""
    purchase = replace(line.held[-1].purchase, as_of=now, revocation=Revocation(at=now, refunded=False))
    return Statement(store="promotional", environment="production", line=line.store_line, purchases=(purchase,))


def active_grants(lines: Sequence[Line], lookup_key: str, now: datetime) -> list[Line]:
    """The grants of an entitlement that give access now."""
    return [line for line in lines if is_grant(line) and is_entitled(line, now) and entitlement_of(line) == lookup_key]


def entitlement_of(line: Line) -> str | None:
    return granted_entitlement(line.held[-1].purchase.product)


def lengthened(running: Sequence[Line], kind: str, lasts: Duration, now: datetime) -> datetime:
    """The end of one more grant of a kind, which is what their ids begin with: it begins where what runs of them ends."""
    ends = [line.held[-1].purchase.expires_at for line in running if line.store_line.startswith(f"{kind}_")]
    try:
        return add(max([now, *(end for end in ends if end is not None)]), lasts)
    except OverflowError:
        return FOREVER


def is_the_same(line: Line, until: datetime) -> bool:
    """Whether a grant until then would be one the customer has: two clicks, or a request sent again."""
    end = line.held[-1].purchase.expires_at
    return end is not None and abs(end - until) <= SAME_WITHIN

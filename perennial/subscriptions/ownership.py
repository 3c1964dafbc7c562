"""Whose purchase it is when somebody comes with it: the vendor's four restore behaviors, and purchases nobody has claimed yet."""

from datetime import datetime, timedelta
from typing import Literal

from perennial.base.value import replace
from perennial.catalog.model import RestoreBehavior
from perennial.customers.model import Placeholder
from perennial.subscriptions.model import Line

Settlement = Literal["claim", "join", "transfer", "refuse", "stay"]

# How long a purchase that only its store told of waits for its app's post, where its app tracks such purchases.
UNCLAIMED_WAITS = timedelta(minutes=5)


def waiting(line: Line, *, is_tracked: bool) -> Line:
    """A line nobody has claimed, with the moment it is told as an anonymous customer's: never, where its app does not track such purchases."""
    assert line.unclaimed is not None
    return replace(line, unclaimed=replace(line.unclaimed, told_at=line.unclaimed.since + UNCLAIMED_WAITS if is_tracked else None))


def has_waited(line: Line, now: datetime) -> bool:
    return line.unclaimed is not None and line.unclaimed.told_at is not None and line.unclaimed.told_at <= now


def woken_in_time(line: Line) -> Line:
    """A line that is told at a moment wakes then, if not earlier."""
    told_at = line.unclaimed.told_at if line.unclaimed is not None else None
    return line if told_at is None else replace(line, wake_at=min(filter(None, (line.wake_at, told_at))))


def settle(
    behavior: RestoreBehavior,
    *,
    owner_is: Placeholder | None,
    owner_is_anonymous: bool,
    owner_is_active: bool,
    is_restore: bool,
    is_known_to_claimant: bool,
) -> Settlement:
    """What becomes of a purchase `owner` holds and someone else claims.

    Of a placeholder it is claimed, or transferred where it was told as theirs: a placeholder is nobody, whom the restore behavior need not protect.
    `is_known_to_claimant`: only the store's hint names the claimant; nobody posted it, so nobody can be refused and it stays instead.
    """
    if owner_is is not None:
        return "claim" if owner_is == "hidden" else "transfer"
    if owner_is_anonymous:
        return "join"
    match behavior:
        case "transfer":
            return "transfer"
        case "transfer_if_inactive" if not owner_is_active:
            return "transfer"
        case "share" if is_restore:
            return "join"
        case _:
            return "stay" if is_known_to_claimant else "refuse"

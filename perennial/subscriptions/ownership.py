"""Whose purchase it is when somebody else comes with it: the vendor's four restore behaviors."""

from typing import Literal

from perennial.catalog.model import RestoreBehavior

Settlement = Literal["join", "transfer", "refuse", "stay"]


def settle(behavior: RestoreBehavior, *, owner_is_anonymous: bool, owner_is_active: bool, is_restore: bool, is_known_to_claimant: bool) -> Settlement:
    """What becomes of a purchase `owner` holds and someone else claims.

    `is_known_to_claimant`: only the store's hint names the claimant; nobody posted it, so nobody can be refused and it stays instead.
    """
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

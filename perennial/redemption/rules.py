"""What becomes of a redemption link that somebody comes with."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from perennial.base.ids import CustomerId
from perennial.redemption.model import WEB_STORES, Redemption
from perennial.subscriptions.model import Line

Outcome = Literal["join", "theirs", "others", "expired"]


def settle(redemption: Redemption, redeemer: CustomerId | None, now: datetime, *, buyer_is_anonymous: bool) -> Outcome:
    """`redeemer` is None where their app user id is new to us.

    Who has it already is told so again, even after the link's end: their app may have missed our answer. Only what nobody with a name
    owns can be taken along.
    """
    if redemption.buyer == redeemer:
        return "theirs"
    if redemption.redeemed_at is not None or not buyer_is_anonymous:
        return "others"
    return "join" if now < redemption.expires_at else "expired"


def holds_web_purchase(lines: Iterable[Line]) -> bool:
    return any(line.store in WEB_STORES and line.held for line in lines)


def obfuscated(email: str | None) -> str:
    """`a***@e***.com`: enough for its owner to know it."""
    if email is None:
        return ""
    local, _, domain = email.rpartition("@")
    name, dot, ending = domain.rpartition(".")
    return f"{local[:1]}***@{name[:1]}***{dot}{ending}"

"""What the Microsoft Store answers: recurrences, its word for subscriptions. Moments are ISO 8601.

Year 1 means none, and is read as the earliest moment there is.
"""

from datetime import datetime

import msgspec

from perennial.base.reading import Name, Product, Timed, Word


class Token(msgspec.Struct, frozen=True):
    """Microsoft Entra's answer; it writes the lifetime as a text or a number."""

    access_token: str
    expires_in: int | str = 3600

    def __repr__(self) -> str:
        return "Token(***)"


class Recurrence(Timed, frozen=True, rename="camel"):
    """One subscription of one user. Its id lives as long as it does; bought again after its end, it has another."""

    id: Name
    product_id: Product
    recurrence_state: Word  # None, Active, Inactive, Canceled, InDunning, Failed
    start_time: datetime
    expiration_time: datetime
    expiration_time_with_grace: datetime | None = None
    auto_renew: bool = False
    is_trial: bool = False
    market: Word | None = None
    cancellation_date: datetime | None = None


class Recurrences(msgspec.Struct, frozen=True, rename="camel"):
    items: list[Recurrence] = []
    continuation_token: str | None = None


class QueueKey(msgspec.Struct, frozen=True):
    """The Clawback queue's address, with what opens it: a secret."""

    uri: str

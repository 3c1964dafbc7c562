"""What the Microsoft Store answers: recurrences, its word for subscriptions. Moments are ISO 8601; year 1 means none."""

from datetime import datetime

import msgspec


class Token(msgspec.Struct, frozen=True):
    """Microsoft Entra's answer; it writes the lifetime as a text or a number."""

    access_token: str
    expires_in: int | str = 3600

    def __repr__(self) -> str:
        return "Token(***)"


class Recurrence(msgspec.Struct, frozen=True, rename="camel"):
    """One subscription of one user. Its id lives as long as it does; bought again after its end, it has another."""

    id: str
    product_id: str
    recurrence_state: str  # None, Active, Inactive, Canceled, InDunning, Failed
    start_time: datetime
    expiration_time: datetime
    expiration_time_with_grace: datetime | None = None
    auto_renew: bool = False
    is_trial: bool = False
    market: str | None = None
    cancellation_date: datetime | None = None


class Recurrences(msgspec.Struct, frozen=True, rename="camel"):
    items: list[Recurrence] = []
    continuation_token: str | None = None


class QueueKey(msgspec.Struct, frozen=True):
    """The Clawback queue's address, with what opens it: a secret."""

    uri: str

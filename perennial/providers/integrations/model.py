"""What every receiver of an integration is described by: what it needs, what it takes, and how it answers."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from perennial.base.outgoing import Reply
from perennial.base.value import value

Event = Mapping[str, Any]  # the body of an event, as webhooks have it
Item = dict[str, Any]  # an event as its receiver takes it
CUSTOMERS = " customers"  # beside an event's fields, for a receiver that says `whose`: customer objects by app user id


class Fields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings or secrets of one kind of integration, read from what a caller gave."""


class Hidden(Fields, frozen=True):
    """The same of secrets: nothing of them is shown."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


class NoSettings(Fields, frozen=True):
    """There is nothing to set."""


@value
class Skipped:
    """This event is not for this receiver, or of nobody it knows. The reason is shown with the delivery."""

    reason: str


@value
class Request:
    """One call. Its address and headers may hold secrets."""

    url: str
    body: bytes
    method: str = "POST"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: str = "application/json"

    def __repr__(self) -> str:
        return f"Request({self.method}, {len(self.body)} bytes)"


@value
class Limits:
    """What the receiver takes at most: events in one request, bytes of its body, bytes of one event."""

    events: int
    bytes: int
    each: int


@value
class Judgement:
    """What an answer says of single events. `refused`: in its own words, by their places in the request. Of the others, it either took them
    all or wants them again without the refused."""

    refused: Mapping[int, str]
    took_the_others: bool


def by_status_alone(reply: Reply) -> Judgement | None:
    return None


@value
class Receiver:
    """One kind of integration. Its functions are pure: what they make of an event is what its receiver's documentation says.

    `address` is where the secrets go, from the settings or, where it is itself one, the secrets.
    """

    kind: str
    title: str
    settings: type[Fields]
    secrets: type[Fields]
    limits: Limits
    address: Callable[[Any, Any], str]
    item: Callable[[Event], Item | Skipped]
    request: Callable[[Any, Any, Sequence[Item], datetime], Request]
    judge: Callable[[Reply], Judgement | None] = by_status_alone
    whose: Callable[[Event], Sequence[str]] | None = None  # the customers whose objects `item` is given under `CUSTOMERS`
    refused: frozenset[int] = frozenset({400, 422})  # for good: the same again would be refused again

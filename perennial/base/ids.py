"""Ids: a prefix and a ULID (`sub_01J8...`), one spelling in database, API and logs. Also the only door to chance.

ULIDs sort by the instant they were made, so new rows land beside each other in an index.
"""

import secrets
import uuid
from datetime import datetime
from typing import NewType

from perennial.base.time import to_ms

ProjectId = NewType("ProjectId", str)
AppId = NewType("AppId", str)
KeyId = NewType("KeyId", str)
CustomerId = NewType("CustomerId", str)
LineId = NewType("LineId", str)
EventId = NewType("EventId", str)
EndpointId = NewType("EndpointId", str)

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _CROCKFORD for low in _CROCKFORD]  # ten bits each
_NAMESPACE = uuid.UUID("6f1d3a52-4c1e-5e0b-9b6e-7d1f2a0c9e34")


def new_id(prefix: str, now: datetime) -> str:
    """`prefix_` and 26 characters: 48 bits of milliseconds, 80 bits of chance."""
    number = (to_ms(now) & (1 << 48) - 1) << 80 | secrets.randbits(80)
    return f"{prefix}_" + "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -10, -10)])


def told_id(*parts: str) -> EventId:
    """A deterministic UUID (version 5) of what happened: telling it twice would need the same id twice."""
    return EventId(str(uuid.uuid5(_NAMESPACE, joined(*parts))))


def joined(*parts: str) -> str:
    """The parts as one text, with `|` between them. Different parts never give the same text: a `|` or a backslash within a part is escaped."""
    return "|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in parts)


def anonymous_app_user_id(*seed: str) -> str:
    """`$RCAnonymousID:` and 32 hex digits, as the SDKs make them; from a seed, always the same one."""
    return "$RCAnonymousID:" + (told_id("anonymous", *seed).replace("-", "") if seed else secrets.token_hex(16))


def new_token(length: int = 32) -> str:
    """Letters, digits, `-` and `_`: for keys and secrets. `length` is bytes of chance."""
    return secrets.token_urlsafe(length)


def random_bytes(count: int) -> bytes:
    return secrets.token_bytes(count)


def new_uuid() -> str:
    return str(uuid.uuid4())  # noqa: TID251  this is the door

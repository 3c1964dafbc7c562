"""How often v1 is asked, by key and by address: counted in this process alone, in windows of a minute, cheaply enough for the hottest read.

The limits are generous (`PERENNIAL_RATE_LIMITS`: `v1_key`, `v1_address`): a public key is in every copy of an app, and a carrier's gateway has one
address. They are there for the script gone wild and the one machine that does nothing else. Keys and addresses are known by nothing but their
counts, which end with the window; when there are too many of them, it ends at once.
"""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import Any

from perennial.base.errors import TooMany
from perennial.base.time import perf_counter

WINDOW = 60.0  # seconds
MOST_COUNTED = 50_000  # keys and addresses
_LONGEST = 400  # bytes of an Authorization header that tell keys apart


class Floods:
    def __init__(self, limits: Mapping[str, int]) -> None:
        self._of_key, self._of_address = limits.get("v1_key"), limits.get("v1_address")
        self._counts: dict[bytes | str, int] = {}
        self._ends = perf_counter() + WINDOW

    def count(self, scope: Any, headers: dict[bytes, bytes]) -> None:
        """`TooMany` where it is one too many."""
        now, counts = perf_counter(), self._counts
        if now >= self._ends or len(counts) > MOST_COUNTED:
            counts.clear()
            self._ends = now + WINDOW
        if self._of_key is not None and (key := headers.get(b"authorization", b"")[:_LONGEST]):
            counts[key] = number = counts.get(key, 0) + 1
            if number > self._of_key:
                raise self._too_many(f"more than {self._of_key} requests a minute with this key", now)
        if self._of_address is not None and (address := address_of(scope, headers)) is not None:
            counts[address] = number = counts.get(address, 0) + 1
            if number > self._of_address:
                raise self._too_many(f"more than {self._of_address} requests a minute from this address", now)

    def _too_many(self, what: str, now: float) -> TooMany:
        wait = max(1, ceil(self._ends - now))
        return TooMany(f"{what}; wait {wait} s", wait=wait)


def address_of(scope: Any, headers: dict[bytes, bytes]) -> str | None:
    """Of the internet, whoever asks: the peer, or whom a proxy at a private address names last. None where nobody says."""
    peer = _counted(scope["client"][0] if scope["client"] else "")
    if peer is not None or b"x-forwarded-for" not in headers:
        return peer
    return _counted(headers[b"x-forwarded-for"][-64:].rpartition(b",")[2].strip().decode("latin-1"))


@lru_cache(maxsize=8192)
def _counted(address: str) -> str | None:
    """Under what an address is counted: of IPv6 its network, as one machine has all of it. None for private ones, where proxies are."""
    try:
        known = ip_address(address)
    except ValueError:
        return None
    if isinstance(known, IPv6Address):
        known = known.ipv4_mapped or known
    if not known.is_global:
        return None
    return known.exploded[:19] if isinstance(known, IPv6Address) else str(known)

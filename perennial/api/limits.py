"""How often a key may ask: so many requests a minute for each domain, as the vendor counts them.

Counted in this process alone, in fixed windows that begin with the first request: a caller of several server processes has as many times the
limit. That guards a server against a script gone wild, which is what it is for, and costs no query. PERENNIAL_RATE_LIMITS changes the numbers.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import ceil

from perennial.base.value import value

WINDOW = timedelta(minutes=1)
_MOST_WINDOWS = 10_000  # kept; beyond them those that have ended are dropped


@value
class Usage:
    """Where a caller stands after this request. `wait` is in seconds; 0: there is room."""

    current: int
    limit: int
    wait: int = 0


class Limits:
    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._windows: dict[tuple[str, str], tuple[datetime, int]] = {}
        self._most_windows = _MOST_WINDOWS

    def count(self, key_id: str, domain: str, now: datetime) -> Usage | None:
        """Counts a request, or says that it is one too many. None where the domain is not limited."""
        limit = self._limits.get(domain)
        if limit is None:
            return None
        began, used = self._windows.get((key_id, domain), (now, 0))
        if now - began >= WINDOW or now < began:
            began, used = now, 0
        if used >= limit:
            return Usage(current=used, limit=limit, wait=max(1, ceil((began + WINDOW - now).total_seconds())))
        self._windows[key_id, domain] = (began, used + 1)
        if len(self._windows) > self._most_windows:
            self._drop_ended(now)
        return Usage(current=used + 1, limit=limit)

    def _drop_ended(self, now: datetime) -> None:
        self._windows = {asker: window for asker, window in self._windows.items() if now - window[0] < WINDOW}
        self._most_windows = max(_MOST_WINDOWS, 2 * len(self._windows))  # so that many at once are not looked through at every request

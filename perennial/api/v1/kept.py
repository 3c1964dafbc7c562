"""What is rendered of a project's catalog, kept in this process until the catalog changes.

Nothing kept is ever shown by itself: whoever asks has read the catalog's version in their transaction first, and what was kept of another version
counts for nothing. Every write to the catalog raises the version in its own transaction, so the next read of any process sees it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

from perennial.base.value import field, value

MOST_BYTES = 64 * 1024 * 1024


@value
class Rendered:
    """`offerings` is JSON, with the names of what stands in it beside it; or the whole body, where it is the same for everybody."""

    offerings: bytes
    current: str | None = None
    lookup_keys: Mapping[str, str] = field(default_factory=dict)  # by offering id


class Kept:
    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._held: OrderedDict[tuple[str, ...], tuple[int, Rendered]] = OrderedDict()  # longest unused first
        self._locks: dict[tuple[str, ...], asyncio.Lock] = {}
        self.size = 0

    async def get(self, key: tuple[str, ...], version: int, render: Callable[[], Awaitable[Rendered]]) -> Rendered:
        """Rendered at most once at a time for each key: many who ask at once wait for the first of them."""
        if (found := self._find(key, version)) is not None:
            return found
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                if (found := self._find(key, version)) is None:
                    found = await render()
                    self._keep(key, version, found)
                return found
        finally:
            if not lock.locked():
                self._locks.pop(key, None)

    def _find(self, key: tuple[str, ...], version: int) -> Rendered | None:
        held = self._held.get(key)
        if held is None or held[0] != version:
            return None
        self._held.move_to_end(key)
        return held[1]

    def _keep(self, key: tuple[str, ...], version: int, rendered: Rendered) -> None:
        self._drop(key)
        self._held[key] = (version, rendered)
        self.size += _size_of(rendered)
        while self.size > self._most_bytes:
            self._drop(next(iter(self._held)))

    def _drop(self, key: tuple[str, ...]) -> None:
        if (held := self._held.pop(key, None)) is not None:
            self.size -= _size_of(held[1])


def _size_of(rendered: Rendered) -> int:
    return 1000 + len(rendered.offerings) + 300 * len(rendered.lookup_keys)

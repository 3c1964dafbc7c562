"""Names of strangers' hosts, resolved so that one that hangs holds up nobody else.

An event loop resolves names on the few threads it has for everything. Whoever runs the name server of a receiver decides how long an answer
takes, so a handful of them would hold those threads, and with them every other lookup. Here each lookup has a thread of its own, which is
left behind when nobody waits any more; those for the same name share one, so an endpoint that is tried again and again starts no second.
"""

import asyncio
import ipaddress
from socket import AI_NUMERICHOST, SOCK_STREAM, gaierror, getaddrinfo
from threading import Thread

MOST_LOOKUPS = 256  # at the same time; whoever wants another waits, within the limit of their attempt


class Resolver:
    """Of one event loop. Remembers nothing between lookups: where a name leads is asked anew for each connection."""

    def __init__(self, *, most: int = MOST_LOOKUPS) -> None:
        self._places = asyncio.Semaphore(most)
        self._under_way: dict[str, asyncio.Task[list[str]]] = {}

    async def resolve(self, host: str) -> list[str]:
        """The host's addresses, each once, in the order in which they should be tried. Raises `gaierror`, and `UnicodeError` for what is no name."""
        if (written := _written_out(host)) is not None:
            return written
        lookup = self._under_way.get(host)
        if lookup is None:
            lookup = self._under_way[host] = asyncio.create_task(self._look_up(host))
            lookup.add_done_callback(lambda done: self._forget(host, done))
        return await asyncio.shield(lookup)

    async def close(self) -> None:
        for lookup in list(self._under_way.values()):
            lookup.cancel()

    def _forget(self, host: str, done: "asyncio.Task[list[str]]") -> None:
        del self._under_way[host]
        if not done.cancelled():
            done.exception()  # whoever still waits gets it; where nobody does, it is not worth a line in the log

    async def _look_up(self, host: str) -> list[str]:
        async with self._places:
            answer: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
            Thread(target=_ask, args=(asyncio.get_running_loop(), host, answer), name="resolving", daemon=True).start()
            return await answer


def _written_out(host: str) -> list[str] | None:
    """The address itself where the host is one in any spelling (`0x7f.1`), so that no thread is needed."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    try:
        return _addresses(host, AI_NUMERICHOST)
    except (gaierror, UnicodeError):
        return None


def _addresses(host: str, flags: int = 0) -> list[str]:
    return list(dict.fromkeys(str(entry[4][0]) for entry in getaddrinfo(host, None, type=SOCK_STREAM, flags=flags)))


def _ask(loop: asyncio.AbstractEventLoop, host: str, answer: "asyncio.Future[list[str]]") -> None:
    """In a thread. The loop may be gone by the time the name server answers."""
    found: list[str] = []
    trouble: Exception | None = None
    try:
        found = _addresses(host)
    except Exception as error:
        trouble = error

    def tell() -> None:
        if answer.done():
            return
        if trouble is None:
            answer.set_result(found)
        else:
            answer.set_exception(trouble)

    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError:
        return

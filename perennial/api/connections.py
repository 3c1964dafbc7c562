"""Keeps room for new connections: when there are nearly as many as the server holds, or too many from one address, the quietest are closed.

The HTTP server gives up by itself on whoever sends no whole request head in time (`server.HEAD_WITHIN`); that alone lets one machine hold every
connection there is, by asking again and again. What is closed here is shut down in the kernel, and the HTTP server sees its client leave.
"""

import asyncio
import contextlib
import os
import resource
import socket
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

import structlog

from perennial.base.value import value

log = structlog.get_logger("perennial.api")

MOST = 8192  # of one process; fewer where it may not open as many files
OTHER_FILES = 256  # that a process may have open beside its connections
OF_ONE_ADDRESS = 1024  # of addresses of the internet: a whole office or a carrier's gateway has one
CROWDED = 0.9  # of the most: then the quietest are closed
ROOMY = 0.75  # of the most: until so many are left
LOOKS_EVERY = 2.0  # seconds
_CALM = 256  # open files, up to which nobody is counted
_LAST_DATA_RECEIVED = 52  # offset in Linux' tcp_info, milliseconds ago


@value
class Connection:
    descriptor: int
    peer: tuple[str, int]
    quiet_for: int  # milliseconds since something came; 0 where the system does not say


def raise_file_limit() -> int:
    """As far as this process may, and how many connections that leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + OTHER_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST + OTHER_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return MOST if soft == resource.RLIM_INFINITY else max(64, min(MOST, soft - OTHER_FILES))


async def keep_room(port: int, most: int) -> None:
    """Until it is cancelled."""
    while True:
        await asyncio.sleep(LOOKS_EVERY)
        try:
            closed = await asyncio.to_thread(look, port, most)
        except OSError as error:  # no file can be opened, not even the list of those that are: all the more reason to look again
            log.warning("connections could not be counted", error=error.strerror)
            continue
        if closed:
            log.warning("connections were closed to keep room", closed=closed, most=most, of_one_address=OF_ONE_ADDRESS)


def look(port: int, most: int) -> int:
    """How many were closed."""
    if len(_descriptors()) <= min(_CALM, most // 2):
        return 0
    found = list(connections_at(port))
    return sum(close(one, port) for one in too_many(found, most))


def too_many(found: Sequence[Connection], most: int, of_one_address: int = OF_ONE_ADDRESS) -> list[Connection]:
    """Which to close, the quietest first. Proxies and load balancers have private addresses, and many connections."""
    by_address: dict[str, list[Connection]] = defaultdict(list)
    for one in sorted(found, key=lambda one: -one.quiet_for):
        by_address[one.peer[0]].append(one)
    chosen = [one for address, ones in by_address.items() if is_of_the_internet(address) for one in ones[: max(0, len(ones) - of_one_address)]]
    if len(found) - len(chosen) > most * CROWDED:
        taken = {one.descriptor for one in chosen}
        left = sorted((one for one in found if one.descriptor not in taken), key=lambda one: -one.quiet_for)
        chosen += left[: len(left) - int(most * ROOMY)]
    return chosen


def is_of_the_internet(address: str) -> bool:
    try:
        return ip_address(address).is_global
    except ValueError:
        return False


def _descriptors() -> list[int]:
    return [int(name) for name in os.listdir("/dev/fd")]


def connections_at(port: int) -> Iterator[Connection]:
    """This process's, of whoever connected to `port`."""
    for descriptor in _descriptors():
        with contextlib.suppress(OSError), _pinned(descriptor) as held:
            if held.getsockname()[1:2] == (port,):
                peer = held.getpeername()
                yield Connection(descriptor=descriptor, peer=(peer[0], peer[1]), quiet_for=_quiet_for(held))


def close(one: Connection, port: int) -> bool:
    """False where its descriptor stands for something else by now."""
    with contextlib.suppress(OSError), _pinned(one.descriptor) as held:
        if held.getsockname()[1:2] == (port,) and held.getpeername()[:2] == one.peer:
            held.shutdown(socket.SHUT_RDWR)
            return True
    return False


@contextlib.contextmanager
def _pinned(descriptor: int) -> Iterator[socket.socket]:
    """A descriptor of our own for the same socket, which it stays whatever becomes of the other. `OSError` where it is no socket."""
    copy = os.dup(descriptor)
    try:
        held = socket.socket(fileno=copy)
    except OSError:  # a pipe or a file: then nobody else closes the copy
        os.close(copy)
        raise
    with held:
        if held.family not in (socket.AF_INET, socket.AF_INET6) or held.type != socket.SOCK_STREAM:
            raise OSError("not a connection")
        yield held


def _quiet_for(held: socket.socket) -> int:
    if not hasattr(socket, "TCP_INFO"):
        return 0
    info = held.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    (milliseconds,) = struct.unpack_from("=I", info, _LAST_DATA_RECEIVED)
    return int(milliseconds)

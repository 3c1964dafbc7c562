"""The address a server listens on: whether it can be had, and how it is written."""

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from perennial.base.errors import Conflict, Unavailable


class PortTaken(Conflict):
    """Somebody else listens there already."""


def check_port(host: str, port: int) -> None:
    """Before anything heavy starts. A server shares its port among its processes, so a second one could listen beside it, unseen: it must not."""
    try:
        candidates = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV)
    except OSError as error:
        raise _no_such_address(host, port, error) from error
    for family, kind, protocol, _, address in candidates[:1]:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
                probe.listen()  # a port that another listens on with the same option is refused only here
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise _taken(port) from error
                raise _no_such_address(host, port, error) from error


@contextmanager
def claimed_port(host: str, port: int) -> Iterator[None]:
    """For a server's life. Two that start at the same moment both find the port free; on Linux only one of them gets it here."""
    check_port(host, port)
    if sys.platform != "linux":
        yield
        return
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            claim.bind(f"\0perennial-serve-{port}")  # of no file: the kernel lets go of it however we end
        except OSError as error:
            raise _taken(port) from error
        yield


def address_of(host: str, port: int) -> str:
    """Where it is reached from here: an address that means "all of them" is none to connect to."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _taken(port: int) -> PortTaken:
    other = port + 1 if port < 65535 else port - 1
    return PortTaken(f"Port {port} is in use by another program. Stop that one, or choose another port: PORT={other}", param="PORT")


def _no_such_address(host: str, port: int, error: OSError) -> Unavailable:
    return Unavailable(f"Cannot listen on {host}, port {port}: {error.strerror or error}. Set HOST and PORT to what this machine has.")

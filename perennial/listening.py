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
    family, address = _resolve(host, port)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen()  # a port that another listens on with the same option is refused only here
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _taken(port) from error
            raise _no_such_address(host, port, error) from error


def numeric(host: str, port: int) -> str:
    """The address a name such as `localhost` stands for, which is all that the server takes."""
    return _resolve(host, port)[1]


def check_metrics_host(host: str) -> None:
    """Before a server starts, whose processes would fail with it one after the other."""
    try:
        family, address = _resolve(host, 0)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except (OSError, Unavailable) as error:
        reason = (error if isinstance(error, OSError) else error.__cause__) or error
        raise Unavailable(
            f"cannot serve metrics at {host}: {getattr(reason, 'strerror', None) or reason}; set PERENNIAL_METRICS_HOST to an address of this machine"
        ) from error


def _resolve(host: str, port: int) -> tuple[int, str]:
    """Its family, and the address as numbers. A name that has both is that of IPv4: proxies are pointed to 127.0.0.1."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV)
    except (OSError, UnicodeError) as error:  # a label of a name that is too long, among others
        raise _no_such_address(host, port, error) from error
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    return family, str(address[0])


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


def _no_such_address(host: str, port: int, error: OSError | UnicodeError) -> Unavailable:
    return Unavailable(
        f"Cannot listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}. Set HOST and PORT to what this machine has."
    )

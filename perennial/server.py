"""Serves the application with Granian: `perennial serve`. The first process imports nothing of the application, and so starts its others quickly."""

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.server import Server

from perennial.api.connections import raise_file_limit
from perennial.listening import numeric
from perennial.settings import Settings

# Without a proxy in front, what clients may take of a server process is bounded here (docs/operating.md). HTTP/1 alone: where the server must find
# out from the first bytes which protocol is spoken, it waits for them without end.
HEAD_WITHIN = 20_000  # milliseconds for a request's line and headers, and so for the silence between two requests on one connection
LARGEST_HEAD = 64 * 1024  # bytes
BACKLOG = 4096  # connections the kernel holds while all are taken


def run(settings: Settings) -> None:
    """Blocks until the process is told to stop."""
    most_connections = raise_file_limit()
    Server(
        "perennial.asgi:application",
        address=numeric(settings.host, settings.port),
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        loop=Loops.uvloop,
        log_enabled=False,
        log_access=False,
        backlog=BACKLOG,
        backpressure=most_connections,  # connections of one process, silent ones too
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEAD_WITHIN, max_buffer_size=LARGEST_HEAD),
        respawn_failed_workers=True,  # one that was killed is started anew, beside those that go on
        respawn_interval=0.5,
        workers_kill_timeout=15,
    ).serve()

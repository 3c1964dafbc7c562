"""`python -m bench.serve product|query|constant`: one of the measured servers, all with the same settings of Granian."""

import sys

from granian.constants import Interfaces, Loops
from granian.server import Server

from perennial.server import run
from perennial.settings import Settings


def main(name: str, settings: Settings) -> None:
    if name == "product":
        return run(settings)
    Server(
        f"bench.ceilings:{name}",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        loop=Loops.uvloop,
        log_enabled=False,
        log_access=False,
        backlog=2048,
    ).serve()


if __name__ == "__main__":
    main(sys.argv[1], Settings.read())

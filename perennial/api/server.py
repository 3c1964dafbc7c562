"""Serves the API with Granian: `perennial serve`. Each process opens the house for itself; none holds anything the others need."""

from contextlib import AsyncExitStack
from typing import Any

from granian.constants import Interfaces, Loops
from granian.server import Server

from perennial.api.asgi import Front, open_front
from perennial.app import open_app
from perennial.observability import configure, trace_asgi
from perennial.settings import Settings


class Application:
    """The ASGI callable: opens everything when the server starts, closes it when it stops."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._front: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._front(scope, receive, send)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    self._front = await self._open()
                except Exception as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    raise
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._stack.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _open(self) -> Any:
        settings = Settings.read()
        configure(settings)
        app = await self._stack.enter_async_context(open_app(settings, application="perennial api"))
        front: Front = await self._stack.enter_async_context(open_front(app))
        return trace_asgi(front, settings)


application = Application()


def run(settings: Settings) -> None:
    """Blocks until the process is told to stop."""
    Server(
        "perennial.api.server:application",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        loop=Loops.uvloop,
        log_enabled=False,
        log_access=False,
        backlog=2048,
        workers_kill_timeout=15,
    ).serve()

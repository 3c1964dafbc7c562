"""The ASGI application. Each process of a server opens the house for itself; none holds anything the others need."""

import asyncio
import gc
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from litestar import Litestar, asgi
from litestar.datastructures import State
from litestar.handlers import ASGIRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from perennial import __version__, dashboard
from perennial.api import explained, hooks, oauth, operating, v1, v2
from perennial.api.asgi import Front
from perennial.api.connections import keep_room, raise_file_limit
from perennial.api.errors import HANDLERS
from perennial.api.hooks import Inbox
from perennial.api.incoming import MOST_BODY
from perennial.api.limits import Limits
from perennial.api.paths import restore_slashes
from perennial.api.sightings import Sightings
from perennial.api.signing import Signer
from perennial.api.v1.kept import Kept
from perennial.app import App, open_app
from perennial.base.errors import PerennialError
from perennial.lifeline import end_with_the_master
from perennial.listening import address_of
from perennial.metrics import metrics_served
from perennial.observability import configure, flush_traces, trace_asgi
from perennial.providers.simulated.app_store import PATH as APP_STORE_PATH
from perennial.providers.simulated.app_store import AppStoreServer
from perennial.providers.simulated.play_store import PATH as PLAY_STORE_PATH
from perennial.providers.simulated.play_store import PlayServer
from perennial.providers.simulated.stripe import PATH as STRIPE_PATH
from perennial.providers.simulated.stripe import StripeServer
from perennial.settings import Settings

log = structlog.get_logger("perennial.server")

LIMIT = 10.0  # seconds: a caller whose statement the database leaves unanswered for as long hears 503

OPENAPI = OpenAPIConfig(
    title="Perennial",
    version=__version__,
    description="v1 is what the SDKs and servers of RevenueCat's v1 call; v2 is for management. Times in v2 are epoch milliseconds.",
    path="/openapi",
    render_plugins=[JsonRenderPlugin(path="/openapi.json")],
    components=Components(
        security_schemes={"key": SecurityScheme(type="http", scheme="bearer", description="A public SDK key (v1), or a secret key: sk_...")}
    ),
    security=[{"key": []}],
    use_handler_docstrings=True,
)


def simulated_app_store(app: App) -> ASGIRouteHandler:
    """The simulated App Store's own server API, where a sandbox app's `api_base_url` may point."""
    return asgi(APP_STORE_PATH, is_mount=True, copy_scope=True)(AppStoreServer(app.database, app.vault))


def simulated_stripe(app: App) -> ASGIRouteHandler:
    """The simulated Stripe's API, where a sandbox app that opted in is pointed to."""
    return asgi(STRIPE_PATH, is_mount=True, copy_scope=True)(StripeServer(app.database, app.vault))


def simulated_play_store(app: App) -> ASGIRouteHandler:
    """The simulated Google Play's API, where a sandbox app that opted in is pointed to."""
    return asgi(PLAY_STORE_PATH, is_mount=True, copy_scope=True)(PlayServer(app.database, app.vault))


def make_framework(app: App) -> Litestar:
    return Litestar(
        route_handlers=[
            simulated_app_store(app),
            simulated_stripe(app),
            simulated_play_store(app),
            operating.router,
            explained.errors_page,
            v1.router,
            v2.router,
            oauth.router,
            hooks.router,
            dashboard.router,
        ],
        state=State({"app": app, "inbox": Inbox(app), "limits": Limits(app.settings.rate_limits), "kept": Kept()}),
        exception_handlers=HANDLERS,
        openapi_config=OPENAPI,
        request_max_body_size=MOST_BODY,
        middleware=[restore_slashes],
        logging_config=None,
    )


@asynccontextmanager
async def open_front(app: App) -> AsyncIterator[Front]:
    """The ASGI application and what runs beside it in this process."""
    sightings = Sightings(app.database)
    sightings.start()
    try:
        yield Front(app, make_framework(app), sightings, await Signer.open(app.database, app.vault, app.settings.home))
    finally:
        await sightings.stop()


def keep_answers_short() -> None:
    """Settings of the process for its slowest answers (docs/performance.md has what each gains); called once all that lives as long as it is made.

    What lives as long is never looked through for garbage again, and the rest seldom: counting references frees nearly all of it at once.
    The server's own threads wait for Python's lock at most half a millisecond, not five.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 50, 1000)
    sys.setswitchinterval(0.0005)


class Application:
    """The ASGI callable: opens everything when the server starts, closes it when it stops."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._front: Any = None

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._lifespan(receive, send)
        return self._front(scope, receive, send)  # type: ignore[no-any-return]

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    self._front = await self._open()
                except Exception as error:
                    complain(error)
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    raise
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._stack.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _open(self) -> Any:
        end_with_the_master()
        settings = Settings.read()
        configure(settings)
        if settings.otlp_endpoint:
            self._stack.callback(flush_traces)
        app = await self._stack.enter_async_context(open_app(settings, application="perennial api", limit=LIMIT))
        front: Front = await self._stack.enter_async_context(open_front(app))
        await self._stack.enter_async_context(metrics_served(settings, "server"))
        self._guard = asyncio.create_task(keep_room(settings.port, raise_file_limit()))
        self._stack.callback(self._guard.cancel)
        keep_answers_short()
        log.info("serving", address=address_of(settings.host, settings.port), version=__version__)
        return trace_asgi(front, settings)


def complain(error: Exception) -> None:
    """To the operator, as nobody else hears of what a process of the server fails with at its start: one line for what an operator can mend."""
    if isinstance(error, PerennialError):
        print(f"\N{BALLOT X} {error.message}", file=sys.stderr, flush=True)
    else:
        traceback.print_exception(error)


application = Application()

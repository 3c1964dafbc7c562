"""Runs the agenda: `perennial worker`. Any number may run; they take different work, and one that dies is missed by nobody for long.

Each lane has a loop of its own, so that bulk work never holds up money; deliveries have one that sends to each receiver by itself, so that
one that hangs holds up nobody.
"""

import asyncio
import signal
from contextlib import suppress

import structlog

from perennial import troubles
from perennial.agenda import LANES, bring_back, dispatcher, pull_everywhere, run_due_everywhere
from perennial.api.connections import raise_file_limit
from perennial.api.observe import OBSERVED
from perennial.app import App, open_app
from perennial.base.errors import Unavailable
from perennial.base.time import perf_counter
from perennial.metrics import metrics_served
from perennial.observability import configure
from perennial.settings import Settings

log = structlog.get_logger("perennial.worker")

IDLE_FOR = 0.25  # seconds between looks while nothing is due
AFTER_TROUBLE = 2.0
PULL_EVERY = 5.0
WATCH_EVERY = 30.0
BRING_BACK_EVERY = 300.0


def run(settings: Settings) -> None:
    """Blocks until the process is told to stop; what is in hand is finished first."""
    configure(settings)
    raise_file_limit()  # each receiver that is called, or keeps its connection, is one
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_app(settings, application="perennial worker") as app, metrics_served(settings, "worker"):
        log.info("worker started", lanes=LANES)
        await asyncio.gather(
            _pull(app, stop), _watch(app, stop), _send(app, stop), _bring_back(app, stop), *(_work(app, lane, stop) for lane in LANES)
        )
    log.info("worker stopped")


async def _watch(app: App, stop: asyncio.Event) -> None:
    """Counts what waits for a person. Every worker counts the whole installation: take the largest of them."""
    while not stop.is_set():
        try:
            for kind, count in troubles.counted(await troubles.find(app.database)).items():
                OBSERVED.troubles.labels(kind).set(count)
        except Unavailable as error:
            log.warning("troubles could not be counted", error=error.message)
        except Exception:
            log.exception("troubles could not be counted")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), WATCH_EVERY)


async def _pull(app: App, stop: asyncio.Event) -> None:
    """Stores that cannot reach us are looked at every few seconds."""
    while not stop.is_set():
        try:
            await pull_everywhere(app)
        except Unavailable as error:
            log.warning("the database is not available; fetching notifications waits", error=error.message)
        except Exception:
            log.exception("fetching notifications failed")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PULL_EVERY)


async def _bring_back(app: App, stop: asyncio.Event) -> None:
    """At the start and every few minutes: a clock may have run ahead, here or elsewhere."""
    while not stop.is_set():
        try:
            await bring_back(app)
        except Unavailable as error:
            log.warning("the database is not available; what was put off too long is looked for later", error=error.message)
        except Exception:
            log.exception("what was put off too long could not be looked for")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), BRING_BACK_EVERY)


async def _send(app: App, stop: asyncio.Event) -> None:
    await dispatcher(app, on_sent=OBSERVED.handled.labels("telling").inc).run(stop)


async def _work(app: App, lane: str, stop: asyncio.Event) -> None:
    place = ""
    while not stop.is_set():
        pause = IDLE_FOR
        started = perf_counter()
        try:
            handled, place = await run_due_everywhere(app, lane, place)
            if handled:
                OBSERVED.handled.labels(lane).inc(handled)
                OBSERVED.round_seconds.labels(lane).observe(perf_counter() - started)
                pause = 0.0
            elif place:
                pause = 0.0
        except Unavailable as error:
            log.warning("the database is not available; waiting", lane=lane, error=error.message, cause=repr(error.__cause__))
            pause = AFTER_TROUBLE
        except Exception:
            log.exception("a round of the agenda failed", lane=lane)
            pause = AFTER_TROUBLE
        if pause:
            try:
                await asyncio.wait_for(stop.wait(), pause)
            except TimeoutError:
                continue

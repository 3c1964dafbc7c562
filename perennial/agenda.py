"""What each line of the agenda means, and the two ways it is run: by the wall clock, or on a sandbox clock's way to its new time.

The same code runs both, so a year in a test is a year. Work is taken in batches, in lanes, so that bulk work cannot hold up money.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta

import structlog

from perennial import access, catalog, currencies, events, exports, intake, subscriptions, telemetry
from perennial.app import App
from perennial.base.errors import Conflict, Invalid, PerennialError, Unavailable
from perennial.base.ids import ProjectId
from perennial.base.time import perf_counter
from perennial.providers.simulated import app_store as simulated_app_store
from perennial.providers.simulated import play_store as simulated_play_store
from perennial.providers.simulated import stripe as simulated_stripe

log = structlog.get_logger("perennial.agenda")

LANES = ("money", "telling", "simulation", "bulk")
CLOCK_LEASE = timedelta(minutes=2)  # of whoever moves a clock, renewed at every step
SENT_ALL_THE_TIME = frozenset({"delivery"})  # kinds that workers do not wait for a round with
MOST_STEPS = 200_000  # of one advance: a clock moved by decades ends with an error, not never

Handler = Callable[[App, ProjectId], Awaitable[int]]


async def _digest(app: App, project_id: ProjectId) -> int:
    return await intake.digest(app.database, app.vault, app.providers, project_id)


async def _wake_lines(app: App, project_id: ProjectId) -> int:
    async with app.database.transaction(project_id) as tx:
        due = await subscriptions.due(tx, limit=500)
        silent = await subscriptions.wake(tx, due, being_asked=await intake.being_asked(tx, due))
        await intake.ask_about(tx, app.vault, app.providers, silent)
        return len(due)


async def _ask_stores(app: App, project_id: ProjectId) -> int:
    return await intake.ask_due(app.database, app.vault, app.providers, project_id)


async def _act_at_stores(app: App, project_id: ProjectId) -> int:
    return await intake.perform_due(app.database, app.vault, app.providers, project_id)


async def _expire_currencies(app: App, project_id: ProjectId) -> int:
    async with app.database.transaction(project_id) as tx:
        return await currencies.expire(tx, limit=500)


async def _deliver(app: App, project_id: ProjectId) -> int:
    return await events.deliver_due(app.database, project_id, app.vault, app.sender, carrier=app.carrier)


async def _forget_sdk_events(app: App, project_id: ProjectId) -> int:
    async with app.database.transaction(project_id) as tx:
        return await telemetry.forget_due(tx)


async def _forget_answers(app: App, project_id: ProjectId) -> int:
    return await access.forget_due(app.database, project_id)


async def _export(app: App, project_id: ProjectId) -> int:
    return await exports.run_due(app.database, project_id)


async def _play(app: App, project_id: ProjectId) -> int:
    return await simulated_app_store.play_due(app.database, app.vault, app.providers, project_id)


async def _play_stripe(app: App, project_id: ProjectId) -> int:
    return await simulated_stripe.play_due(app.database, app.vault, app.providers, project_id)


async def _play_play_store(app: App, project_id: ProjectId) -> int:
    return await simulated_play_store.play_due(app.database, app.vault, app.providers, project_id)


# The view `agenda` names these kinds: tests hold the two lists against each other.
HANDLERS: dict[str, dict[str, Handler]] = {
    "simulation": {"simulated_subscription": _play, "simulated_stripe": _play_stripe, "simulated_play_store": _play_play_store},
    "money": {
        "notification": _digest,
        "inquiry": _ask_stores,  # before lines, so that few of them have to wait for an answer
        "line": _wake_lines,
        "store_act": _act_at_stores,
        "currency_grant": _expire_currencies,
    },
    "telling": {"delivery": _deliver, "idempotent_request": _forget_answers, "sdk_event_shelf": _forget_sdk_events},
    "bulk": {"export": _export},
}


# How far ahead of its project's time each kind may wake at most. The others' moments are the world's, such as the end of a period.
FURTHEST: dict[str, timedelta] = {
    "notification": max(intake.model.RETRY_AFTER),
    "inquiry": max(*intake.model.RETRY_AFTER, intake.model.LEASE),
    "store_act": max(*intake.model.RETRY_AFTER, intake.model.LEASE),
    "delivery": events.model.LONGEST_WAIT,
    "export": max(exports.model.EVERY, exports.model.LEASE),
}
A_WHILE = timedelta(hours=1)  # beside it, for clocks that differ a little


async def run_due(app: App, project_id: ProjectId, lanes: Sequence[str] = LANES) -> int:
    """Runs what is due in a project, until nothing is. Returns how many items were handled."""
    handled = 0
    while handled < MOST_STEPS:
        round_handled = sum([await run_once(app, project_id, lane) for lane in lanes])
        if not round_handled:
            return handled
        handled += round_handled
    raise Conflict(f"more than {MOST_STEPS} things were due at one moment; is something waking itself?")


async def run_once(app: App, project_id: ProjectId, lane: str, *, besides: Collection[str] = ()) -> int:
    """A batch of everything due in a lane. Returns how many items were handled: none, when nothing is due. Kinds `besides` are left out."""
    return sum([await handler(app, project_id) for kind, handler in HANDLERS[lane].items() if kind not in besides])


async def run_due_everywhere(app: App, lane: str, after: str = "", *, most_projects: int = 100) -> tuple[int, str]:
    """One round of a worker: projects with something due from the place `after` on, each in its own time. Returns how many items were handled,
    and the place for the next round, so that all have their turn. One project's trouble is not the others'.

    Deliveries are sent all the time (`dispatcher`).
    """
    kinds = [kind for kind in HANDLERS[lane] if kind not in SENT_ALL_THE_TIME]
    wall = app.database.clock()
    rows = await app.database.door("SELECT * FROM due_projects_of($1, $2, $3, $4) AS project_id", kinds, wall, after, most_projects)
    handled = 0
    for row in rows:
        try:
            handled += await run_once(app, row["project_id"], lane, besides=SENT_ALL_THE_TIME)
        except Unavailable:
            raise
        except Exception:
            log.exception("a round of the agenda failed", lane=lane, project_id=row["project_id"])
    return handled, rows[-1]["project_id"] if len(rows) == most_projects else ""


async def bring_back(app: App) -> int:
    """What a process whose clock ran ahead put off, or holds under a lease, for longer than anything of its kind may sleep, is due. Returns how
    much that was. Lines are not among it: their moments are those of their periods."""
    wall, found = app.database.clock(), 0
    for kind, furthest in FURTHEST.items():
        rows = await app.database.door("SELECT bring_back($1, $2, $3) AS count", kind, furthest + A_WHILE, wall)
        found += rows[0]["count"]
    if found:
        log.warning("a clock ran ahead: what it had put off is due now", items=found)
    return found


def dispatcher(app: App, on_sent: Callable[[int], None]) -> events.Dispatcher:
    """A worker's sending of deliveries, of all projects."""
    return events.Dispatcher(app.database, app.vault, app.sender, app.carrier, on_sent=on_sent)


async def pull_everywhere(app: App) -> int:
    """Fetches notifications of every app whose store does not push them. One app's trouble is not the others'."""
    pulled = 0
    for row in await app.database.door("SELECT project_id, app_id FROM apps_to_pull()"):
        try:
            pulled += await intake.pull(app.database, app.vault, app.providers, row["project_id"], row["app_id"])
        except PerennialError as error:
            log.warning("notifications could not be fetched", app_id=row["app_id"], error=error.message)
    return pulled


async def advance(app: App, project_id: ProjectId, to: datetime, *, within: float | None = None) -> int:
    """Moves a sandbox project's clock to `to`, stopping at every moment something is due on the way. Returns how many items ran.

    A clock that ticks goes on ticking from there. Raises `Conflict` for a project that is not a sandbox, or whose clock somebody else is
    moving; `Invalid` for a step back. `within`: seconds of real time; where they are over, the clock stands where it got, and `Conflict`
    says so: whoever asks over the API does not wait for decades of a busy project.
    """
    began = perf_counter()
    is_ticking = await _stop_clock(app, project_id, to)
    try:
        handled = await run_due(app, project_id)
        while (moment := await _next_moment(app, project_id, to)) is not None:
            await _move(app, project_id, moment)
            handled += await run_due(app, project_id)
            if handled > MOST_STEPS:
                raise Conflict(f"more than {MOST_STEPS} things happened on the way; move the clock in smaller steps")
            if within is not None and perf_counter() - began > within:
                raise Conflict(f"after {within:.0f} s of work the clock is at {moment.isoformat()}; ask again for the rest", param="to_ms")
        await _move(app, project_id, to)
        return handled
    finally:
        await _start_clock(app, project_id, is_ticking=is_ticking)


async def _stop_clock(app: App, project_id: ProjectId, to: datetime) -> bool:
    """Takes the clock in hand, under a lease: a mover that dies does not keep it. Returns whether it ticked."""
    wall = app.database.clock()
    async with app.database.transaction(project_id) as tx:
        project = await catalog.require_project(tx)
        if not project.is_sandbox:
            raise Conflict("only sandbox projects have a clock of their own; this project runs on the real one")
        if to < tx.now:
            raise Invalid(f"time only moves forward: it is already {tx.now.isoformat()}", param="to")
        if not await catalog.claim_clock(tx, wall, wall + CLOCK_LEASE):
            raise Conflict("somebody else is moving this project's clock; try again when they are done")
        await catalog.set_clock(tx, tx.now, None)
        return project.clock_at is None or project.clock_started_at is not None


async def _start_clock(app: App, project_id: ProjectId, *, is_ticking: bool) -> None:
    async with app.database.transaction(project_id) as tx:
        if is_ticking:
            await catalog.set_clock(tx, tx.now, app.database.clock())
        await catalog.release_clock(tx)


async def _next_moment(app: App, project_id: ProjectId, until: datetime) -> datetime | None:
    async with app.database.transaction(project_id) as tx:
        moment: datetime | None = await tx.fetch_value(
            "SELECT min(wake_at) FROM agenda WHERE wake_at > %(now)s AND wake_at <= %(until)s", now=tx.now, until=until
        )
        return moment


async def _move(app: App, project_id: ProjectId, to: datetime) -> None:
    wall = app.database.clock()
    async with app.database.transaction(project_id) as tx:
        await catalog.set_clock(tx, to, None)
        await catalog.keep_clock(tx, wall + CLOCK_LEASE)

"""Sending all the time, as workers do: a receiver that hangs holds up nobody but itself.

Deliveries are claimed for one endpoint at a time and only as many as there is room for, so what hangs occupies its own places and nothing
else. An endpoint begins with one attempt at a time, and has more as it answers quickly (`rules.pace_after`). A project has a bounded part of
all places, and endpoints that were slow share a part of their own, so however many of them there are, the others find a place at once.
What is claimed is leased as in a single round (`deliveries`): crashes, order and repeats are as there.

A process remembers paces by itself: another learns the same from its own first attempts.
"""

import asyncio
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog

from perennial.base.db import Database
from perennial.base.errors import Unavailable
from perennial.base.ids import EndpointId, ProjectId
from perennial.base.secrets import Vault
from perennial.base.time import perf_counter
from perennial.base.value import value
from perennial.events import db, rules
from perennial.events.actions.attempts import SENDING_WINDOW, Outside, carry, log_failures, record, send, take
from perennial.events.model import LEASE, REST, Answer, Carrier, Pace, Parcel, Route, Sender, WebhookRoute

AHEAD = 20  # deliveries claimed for each attempt that a quick endpoint may have under way
MOST_AHEAD = 5000  # claimed and not begun, in all
MOST_IN_SHIPMENT = 500  # to an integration at once
MOST_RECORDED = 500  # in one transaction
RECORD_AFTER = 0.1  # seconds, in which outcomes of one project gather while others of its attempts are under way
IDLE_FOR = 0.25  # seconds between looks while nothing happens
SHORTEST_PAUSE = 0.01  # seconds between looks while much does: three times as long as a look takes, where there are many endpoints to look through
LONGEST_PAUSE = 0.5
AFTER_TROUBLE = 2.0
LAST_ANSWERS = 6.0  # seconds that are waited for when it stops
MOST_CLAIMS = 3  # transactions at a time, of the pool's connections: others work too
MOST_RECORDS = 3
PATIENCE = "250ms"  # of a record for the locks of others, such as a long replay: it is tried again, and lets other projects' pass meanwhile
MOST_PACES = 10_000  # remembered of endpoints with nothing in hand
SLOW_FOR = 600.0  # seconds after which one that was slow is no longer kept among those in hand

_log = structlog.get_logger()


@value
class Limits:
    """How many attempts may be under way in one process."""

    in_all: int = 512
    of_project: int = 128
    slow: int = 128  # to endpoints whose last attempt was slow
    slow_of_project: int = 32


@value
class _Load:
    """Claimed, and sent together: one event to a webhook, several to an integration."""

    parcels: tuple[Parcel, ...]
    route: Route
    claimed_at: float


@value
class _Outcome:
    """What came of an attempt, to be written down. Without an answer, its next turn is after `rest`."""

    parcel: Parcel
    route: Route
    answer: Answer | None
    rest: timedelta


class _Way:
    """To an endpoint with something in hand, or one that rests or was slow."""

    __slots__ = ("endpoint_id", "is_webhook", "loads", "pace", "project_id", "rests_until", "under_way")

    def __init__(self, project_id: ProjectId, endpoint_id: EndpointId, *, is_webhook: bool, pace: Pace) -> None:
        self.project_id = project_id
        self.endpoint_id = endpoint_id
        self.is_webhook = is_webhook
        self.pace = pace
        self.loads: deque[_Load] = deque()
        self.under_way = 0
        self.rests_until = 0.0

    @property
    def is_idle(self) -> bool:
        return not (self.loads or self.under_way or self.pace.is_slow or self.pace.silences)


class Dispatcher:
    """Of one process. `on_sent` hears how many attempts were written down."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        sender: Sender,
        carrier: Carrier | None,
        *,
        limits: Limits | None = None,
        on_sent: Callable[[int], None] | None = None,
    ) -> None:
        self._database = database
        self._outside = Outside(vault=vault, sender=sender, carrier=carrier, clock=database.clock)
        self._limits = limits or Limits()
        self._on_sent = on_sent
        self._ways: dict[EndpointId, _Way] = {}
        self._paces: OrderedDict[EndpointId, Pace] = OrderedDict()
        self._blocked: dict[EndpointId, _Way] = {}  # with something in hand, and no place in a part that is shared
        self._under_way = 0
        self._slow = 0
        self._of_project: Counter[ProjectId] = Counter()
        self._slow_of_project: Counter[ProjectId] = Counter()
        self._ahead = 0
        self._place = ("", "")  # of the endpoint that was looked at last
        self._outcomes: defaultdict[ProjectId, list[_Outcome]] = defaultdict(list)
        self._recording: set[ProjectId] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._claims, self._records = asyncio.Semaphore(MOST_CLAIMS), asyncio.Semaphore(MOST_RECORDS)
        self._news = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; then what is claimed and not begun is given back, and answers are waited for a little."""
        while not stop.is_set():
            self._news.clear()
            began, pause = perf_counter(), IDLE_FOR
            try:
                if await self.look():
                    self._news.set()
            except Unavailable as error:
                _log.warning("the database is not available; deliveries wait", error=error.message)
                pause = AFTER_TROUBLE
            except Exception:
                _log.exception("looking for deliveries failed")
                pause = AFTER_TROUBLE
            looking = perf_counter() - began
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(max(SHORTEST_PAUSE, 3 * looking), LONGEST_PAUSE))
        await self._stop()

    async def look(self) -> bool:
        """Claims what is due where there is room, and begins to send it. Returns whether anything was found."""
        found = await self._find()
        claims = [self._claim(project_id, wanted) for project_id, wanted in self._shares(found).items()]
        looked = await asyncio.gather(*claims, return_exceptions=True)
        for trouble in looked:
            if isinstance(trouble, BaseException):
                if not isinstance(trouble, Exception):
                    raise trouble
                _log.warning("deliveries could not be claimed", error=f"{type(trouble).__name__}: {trouble}")
        return any(one is True for one in looked)

    # What there is room for -------------------------------------------------------------------------------------------------------

    async def _find(self) -> list[db.DueEndpoint]:
        """From where the last look ended, so that everybody has a turn."""
        free = self._limits.in_all - self._under_way
        if free <= 0:
            return []
        self._put_forgotten_aside()
        busy = [way.endpoint_id for way in self._ways.values() if not self._room(way)]
        full = [project_id for project_id, count in self._of_project.items() if count >= self._limits.of_project]
        for place in dict.fromkeys((self._place, ("", ""))):
            found = await db.find_due(self._database, busy=busy, busy_projects=full, after=place, limit=free)
            if found:
                self._place = (found[-1].project_id, found[-1].endpoint_id) if len(found) == free else ("", "")
                return found
        return []

    def _shares(self, found: Sequence[db.DueEndpoint]) -> dict[ProjectId, dict[EndpointId, int]]:
        """How many deliveries to claim of which endpoint: of each project's, no more endpoints than it has places left."""
        shares: defaultdict[ProjectId, dict[EndpointId, int]] = defaultdict(dict)
        slow, slow_of_project = self._slow, Counter(self._slow_of_project)
        for one in found:
            way = self._way(one)
            if len(shares[one.project_id]) >= self._limits.of_project - self._of_project[one.project_id]:
                continue
            if way.pace.is_slow:
                slow += 1
                slow_of_project[one.project_id] += 1
                if slow > self._limits.slow or slow_of_project[one.project_id] > self._limits.slow_of_project:
                    continue
            if room := self._room(way):
                shares[one.project_id][one.endpoint_id] = room
        return {project_id: share for project_id, share in shares.items() if share}

    def _way(self, one: db.DueEndpoint) -> _Way:
        known = self._ways.get(one.endpoint_id)
        return known or _Way(one.project_id, one.endpoint_id, is_webhook=one.is_webhook, pace=self._paces.get(one.endpoint_id, Pace()))

    def _room(self, way: _Way) -> int:
        """How many deliveries may be claimed. A quick endpoint has some claimed ahead, so that it need not wait for the database."""
        if perf_counter() < way.rests_until or (way.pace.is_slow and not self._has_slow_place(way.project_id)):
            return 0
        if not way.is_webhook:
            return 0 if way.loads or way.under_way else MOST_IN_SHIPMENT
        if way.pace.window > 1 and not way.pace.is_slow and self._ahead < MOST_AHEAD:
            return way.pace.window * AHEAD if len(way.loads) < way.pace.window else 0
        return max(way.pace.window - way.under_way - len(way.loads), 0)

    def _has_slow_place(self, project_id: ProjectId) -> bool:
        return self._slow < self._limits.slow and self._slow_of_project[project_id] < self._limits.slow_of_project

    # Claiming and sending ---------------------------------------------------------------------------------------------------------

    async def _claim(self, project_id: ProjectId, wanted: Mapping[EndpointId, int]) -> bool:
        """Returns whether there was anything, if only such as waits behind others."""
        async with self._claims, self._database.transaction(project_id) as tx:
            due = await db.lock_due_to(tx, wanted)
            routes = await db.routes(tx, [one.endpoint_id for one in due]) if due else {}
            parcels = await take(tx, due, routes) if due else []
        for load in _loads(parcels, routes):
            endpoint_id, is_webhook = load.parcels[0].endpoint_id, isinstance(load.route, WebhookRoute)
            if endpoint_id not in self._ways:
                pace = self._paces.pop(endpoint_id, Pace())
                self._ways[endpoint_id] = _Way(project_id, endpoint_id, is_webhook=is_webhook, pace=pace)
            self._ways[endpoint_id].loads.append(load)
            self._ahead += len(load.parcels)
        for endpoint_id in {parcel.endpoint_id: None for parcel in parcels}:
            self._begin(self._ways[endpoint_id])
        return bool(due)

    def _begin(self, way: _Way) -> None:
        """Sends as much of what is in hand as may be under way."""
        self._blocked.pop(way.endpoint_id, None)
        while way.loads and way.under_way < (way.pace.window if way.is_webhook else 1):
            if perf_counter() - way.loads[0].claimed_at > SENDING_WINDOW.total_seconds():
                self._give_back(way, timedelta(0))
                return
            if not self._has_place(way):
                self._blocked[way.endpoint_id] = way
                return
            load = way.loads.popleft()
            self._ahead -= len(load.parcels)
            self._count(way, 1, is_slow=way.pace.is_slow)
            self._spawn(self._attempt(way, load, is_slow=way.pace.is_slow))

    def _has_place(self, way: _Way) -> bool:
        if self._under_way >= self._limits.in_all or self._of_project[way.project_id] >= self._limits.of_project:
            return False
        return not way.pace.is_slow or self._has_slow_place(way.project_id)

    def _count(self, way: _Way, change: int, *, is_slow: bool) -> None:
        way.under_way += change
        self._under_way += change
        self._of_project[way.project_id] += change
        if not self._of_project[way.project_id]:
            del self._of_project[way.project_id]
        if is_slow:
            self._slow += change
            self._slow_of_project[way.project_id] += change
            if not self._slow_of_project[way.project_id]:
                del self._slow_of_project[way.project_id]

    async def _attempt(self, way: _Way, load: _Load, *, is_slow: bool) -> None:
        began = perf_counter()
        try:
            answers = await self._tell(way.project_id, load)
        finally:
            self._count(way, -1, is_slow=is_slow)
        took = timedelta(seconds=perf_counter() - began)
        tried = [answer for answer in answers if answer is not None]
        if tried:
            way.pace = rules.pace_after(way.pace, tried[-1], took if way.is_webhook else took / len(tried))
        rest = rules.rest(way.pace)
        self._note(way.project_id, load, answers, rest if way.is_webhook else REST)  # what a shipment left over waits, as after a round
        way.rests_until = perf_counter() + rest.total_seconds()
        if rest:
            self._give_back(way, rest)
        self._begin(way)
        for blocked in list(self._blocked.values()):
            self._begin(blocked)
        if way.is_idle:
            self._put_aside(way)
        self._news.set()

    async def _tell(self, project_id: ProjectId, load: _Load) -> Sequence[Answer | None]:
        if isinstance(load.route, WebhookRoute):
            return [await send(load.parcels[0], load.route, self._outside)]
        left = SENDING_WINDOW - timedelta(seconds=perf_counter() - load.claimed_at)
        return await carry(project_id, load.parcels, load.route, self._outside, left)

    def _put_forgotten_aside(self) -> None:
        """Slow ones that nothing was due for in a long time."""
        before = perf_counter() - SLOW_FOR
        for way in [way for way in self._ways.values() if not way.loads and not way.under_way and 0 < way.rests_until < before]:
            self._put_aside(way)

    def _put_aside(self, way: _Way) -> None:
        """Nothing is in hand: only its pace is remembered, and of the longest unheard not even that."""
        self._ways.pop(way.endpoint_id, None)
        self._paces[way.endpoint_id] = way.pace
        self._paces.move_to_end(way.endpoint_id)
        while len(self._paces) > MOST_PACES:
            self._paces.popitem(last=False)

    def _give_back(self, way: _Way, rest: timedelta) -> None:
        """What is in hand and not begun has another turn, here or with another worker."""
        while way.loads:
            load = way.loads.popleft()
            self._ahead -= len(load.parcels)
            self._note(way.project_id, load, [None] * len(load.parcels), rest)

    # Writing down -----------------------------------------------------------------------------------------------------------------

    def _note(self, project_id: ProjectId, load: _Load, answers: Sequence[Answer | None], rest: timedelta) -> None:
        self._outcomes[project_id] += [
            _Outcome(parcel=parcel, route=load.route, answer=answer, rest=rest) for parcel, answer in zip(load.parcels, answers, strict=True)
        ]
        if project_id not in self._recording:
            self._recording.add(project_id)
            self._spawn(self._record(project_id))

    async def _record(self, project_id: ProjectId) -> None:
        """Until all is written down. What comes in meanwhile goes in the next transaction, so that many outcomes take few."""
        try:
            while outcomes := self._outcomes[project_id]:
                if len(outcomes) < MOST_RECORDED and project_id in self._of_project:
                    await asyncio.sleep(RECORD_AFTER)
                now, self._outcomes[project_id] = outcomes[:MOST_RECORDED], outcomes[MOST_RECORDED:]
                await self._record_lastingly(project_id, now)
                self._news.set()
        finally:
            del self._outcomes[project_id]
            self._recording.discard(project_id)

    async def _record_lastingly(self, project_id: ProjectId, outcomes: Sequence[_Outcome]) -> None:
        """Again and again while the leases last: after that, whoever claims them next has the say."""
        began = perf_counter()
        while perf_counter() - began < LEASE.total_seconds():
            try:
                async with self._records, self._database.transaction(project_id) as tx:
                    await tx.execute("SELECT set_config('lock_timeout', %(patience)s, TRUE)", patience=PATIENCE)
                    settled = [rules.settle(one.parcel, one.answer, tx.now, rest=one.rest) for one in outcomes]
                    await record(tx, settled, {one.parcel.endpoint_id: one.route for one in outcomes})
            except Unavailable as error:
                _log.warning("outcomes of deliveries could not be written down; trying again", project_id=project_id, error=error.message)
                await asyncio.sleep(1)
            except Exception:
                _log.exception("outcomes of deliveries could not be written down; they are sent again", project_id=project_id)
                return
            else:
                log_failures(project_id, settled)
                if self._on_sent is not None:
                    self._on_sent(sum(one.was_tried for one in settled))
                return

    # Ending -----------------------------------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop(self) -> None:
        """An attempt that has no answer by then stays under its lease, and is made again after it."""
        for way in list(self._ways.values()):
            self._give_back(way, timedelta(0))
        began = perf_counter()
        while self._tasks and (left := LAST_ANSWERS - (perf_counter() - began)) > 0:  # an answer begins a task that writes it down
            await asyncio.wait(self._tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _loads(parcels: Sequence[Parcel], routes: Mapping[EndpointId, Route]) -> list[_Load]:
    """Of an integration, those of one batch go together."""
    now = perf_counter()
    loads: list[_Load] = []
    shipments: defaultdict[tuple[EndpointId, str | None], list[Parcel]] = defaultdict(list)
    for parcel in parcels:
        if isinstance(routes[parcel.endpoint_id], WebhookRoute):
            loads.append(_Load(parcels=(parcel,), route=routes[parcel.endpoint_id], claimed_at=now))
        else:
            shipments[parcel.endpoint_id, parcel.batch].append(parcel)
    loads += [_Load(parcels=tuple(places), route=routes[endpoint_id], claimed_at=now) for (endpoint_id, _), places in shipments.items()]
    return loads

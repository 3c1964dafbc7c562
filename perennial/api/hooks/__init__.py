"""Where stores send their notifications: `POST /hooks/{store}/{app_id}`.

The outer signature is checked at once, so that a forgery costs us nothing but the check; what it says is digested later. 200 only after
the message is committed: from then on it is ours.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from litestar import Response, Router, post
from litestar.params import FromPath

from perennial import catalog, intake
from perennial.api.auth import HttpRequest, app_of
from perennial.api.documented import documented
from perennial.api.hooks.admob import ad_watched
from perennial.api.observe import OBSERVED
from perennial.api.v1.answers import to_json
from perennial.app import App
from perennial.base.coalesce import Coalescer
from perennial.base.errors import Invalid, NotFound, Unauthorized
from perennial.base.ids import ProjectId
from perennial.base.value import value
from perennial.intake import ADVICE, Wrapping, wrapping_of
from perennial.intake.model import Envelope, Message, StoreApp, Untrusted


@value
class Incoming:
    project_id: ProjectId
    app_id: str
    store: str  # as the address says
    body: bytes
    headers: Mapping[str, str]


class Inbox:
    """Verifies and keeps notifications, those that wait together in one transaction."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._misdelivered: dict[tuple[str, Wrapping], tuple[datetime | None, int]] = {}  # when it was written, and how often it came since
        self._keep: Coalescer[Incoming, Envelope] = Coalescer(self._keep_batch, slots=2, largest=100)

    async def accept(self, incoming: Incoming) -> Envelope:
        return await self._keep.submit(incoming)

    async def misdelivered(self, project_id: ProjectId, app_id: str, wrapping: Wrapping) -> None:
        """Keeps the alarm, at most once a minute for each: whoever knows the address can post such things."""
        wall = self._app.database.clock()
        key = (app_id, wrapping)
        last, times = self._misdelivered.get(key, (None, 0))
        if last is not None and wall - last < _BETWEEN_ALARMS:
            self._misdelivered[key] = (last, times + 1)
            return
        if len(self._misdelivered) >= _MOST_ALARMS:
            self._misdelivered.clear()
        self._misdelivered[key] = (wall, 0)
        async with self._app.database.transaction(project_id) as tx:
            await intake.note_misdelivery(tx, app_id, wrapping, times + 1, wall)

    async def _keep_batch(self, batch: Sequence[Incoming]) -> list[Envelope | Exception]:
        by_project: dict[ProjectId, list[int]] = defaultdict(list)
        for place, incoming in enumerate(batch):
            by_project[incoming.project_id].append(place)
        results: list[Envelope | Exception] = [_UNKNOWN] * len(batch)
        for project_id, places in by_project.items():
            async with self._app.database.transaction(project_id) as tx:
                apps = await intake.store_apps(tx, self._app.vault, sorted({batch[place].app_id for place in places}))
                messages = []
                for place in places:
                    opened = self._open(apps, batch[place], tx.now)
                    results[place] = opened.envelope if isinstance(opened, Message) else opened
                    if isinstance(opened, Message):
                        messages.append(opened)
                if messages:
                    await intake.receive(tx, messages)
        return results

    def _open(self, apps: dict[str, StoreApp], incoming: Incoming, now: datetime) -> Message | Exception:
        store_app = apps.get(incoming.app_id)
        if store_app is None or self._app.providers.get(store_app.store) is not self._app.providers[incoming.store]:
            return NotFound(f"no {incoming.store} app {incoming.app_id!r} takes notifications here; is it of another store?", param="app_id")
        try:
            envelope = self._opened(store_app, incoming, now)
        except Untrusted as error:
            OBSERVED.refused.labels(store_app.store, "401").inc()
            return Unauthorized(error.message, param=error.param)
        except Invalid as error:
            OBSERVED.refused.labels(store_app.store, "400").inc()
            return error
        OBSERVED.accepted.labels(store_app.store).inc()
        return Message(app_id=store_app.app_id, envelope=envelope, body=incoming.body)

    def _opened(self, store_app: StoreApp, incoming: Incoming, now: datetime) -> Envelope:
        """Stores sign by the real clock; a simulated one by the clock of its project, where that has one of its own."""
        provider, wall = self._app.providers[store_app.store], self._app.database.clock()
        try:
            return provider.open(store_app, incoming.body, incoming.headers, wall)
        except Invalid:
            if now == wall:
                raise
            return provider.open(store_app, incoming.body, incoming.headers, now)


_BETWEEN_ALARMS = timedelta(minutes=1)
_MOST_ALARMS = 10_000
_UNKNOWN = NotFound("filled by its message")


@post("/hooks/{store:str}/{app_id:str}", operation_id="store_notification", summary="A store's notification", status_code=200)
async def store_notification(request: HttpRequest, store: FromPath[str], app_id: FromPath[str]) -> Response[bytes]:
    """Set this address where the store asks for one: App Store Server Notifications V2, a Pub/Sub push subscription, a Stripe webhook, Amazon SNS...

    `store` is the app's store: app_store, play_store, stripe, amazon, roku, paddle. 200 once it is kept, and for what the store sends
    again; 401 where it is not signed by whom it must be.
    """
    app = app_of(request)
    project_id = await catalog.project_of_app(app.database, app_id)
    if project_id is None or store not in app.providers:
        raise NotFound(f"no {store} app {app_id!r} here; copy the address from `perennial apps list`", param="app_id")
    body, headers = await request.body(), {name.lower(): text for name, text in request.headers.items()}
    if (wrapping := wrapping_of(store, body, headers)) is not None:
        await request.app.state.inbox.misdelivered(project_id, app_id, wrapping)
        OBSERVED.refused.labels(store, "400").inc()
        raise Invalid(ADVICE[wrapping])
    await app.providers[store].prepare(headers, body)
    inbox: Inbox = request.app.state.inbox
    envelope = await inbox.accept(Incoming(project_id=project_id, app_id=app_id, store=store, body=body, headers=headers))
    if envelope.reply is None:
        return to_json({})
    return Response(content=envelope.reply.body, status_code=200, media_type=envelope.reply.media_type, headers=dict(envelope.reply.headers))


router = Router(path="/", route_handlers=documented([store_notification, ad_watched], {}), tags=["hooks"])

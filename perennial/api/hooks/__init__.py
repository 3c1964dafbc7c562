"""Where stores send their notifications: `POST /hooks/app_store/{app_id}`.

The outer signature is checked at once, so that a forgery costs us nothing but the check; what it says is digested later. 200 only after
the message is committed: from then on it is ours.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from litestar import Response, Router, post
from litestar.params import FromPath

from perennial import catalog, intake
from perennial.api.auth import HttpRequest, app_of
from perennial.api.observe import OBSERVED
from perennial.api.v1.answers import to_json
from perennial.app import App
from perennial.base.coalesce import Coalescer
from perennial.base.errors import Invalid, NotFound, Unauthorized
from perennial.base.ids import ProjectId
from perennial.base.value import value
from perennial.intake.model import Message, StoreApp, Untrusted


@value
class Incoming:
    project_id: ProjectId
    app_id: str
    body: bytes


class Inbox:
    """Verifies and keeps notifications, those that wait together in one transaction."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._keep: Coalescer[Incoming, None] = Coalescer(self._keep_batch, slots=2, largest=100)

    async def accept(self, project_id: ProjectId, app_id: FromPath[str], body: bytes) -> None:
        await self._keep.submit(Incoming(project_id=project_id, app_id=app_id, body=body))

    async def _keep_batch(self, batch: Sequence[Incoming]) -> list[Exception | None]:
        by_project: dict[ProjectId, list[int]] = defaultdict(list)
        for place, incoming in enumerate(batch):
            by_project[incoming.project_id].append(place)
        results: list[Exception | None] = [None] * len(batch)
        for project_id, places in by_project.items():
            async with self._app.database.transaction(project_id) as tx:
                apps = await intake.store_apps(tx, self._app.vault, sorted({batch[place].app_id for place in places}))
                messages = []
                for place in places:
                    opened = self._open(apps, batch[place], tx.now)
                    if isinstance(opened, Message):
                        messages.append(opened)
                    else:
                        results[place] = opened
                if messages:
                    await intake.receive(tx, messages)
        return results

    def _open(self, apps: dict[str, StoreApp], incoming: Incoming, now: Any) -> Message | Exception:
        store_app = apps.get(incoming.app_id)
        if store_app is None or store_app.store not in self._app.providers:
            return NotFound(f"no store app {incoming.app_id!r} takes notifications here")
        try:
            envelope = self._app.providers[store_app.store].open(store_app, incoming.body, now)
        except Untrusted as error:
            OBSERVED.refused.labels(store_app.store, "401").inc()
            return Unauthorized(error.message, param=error.param)
        except Invalid as error:
            OBSERVED.refused.labels(store_app.store, "400").inc()
            return error
        OBSERVED.accepted.labels(store_app.store).inc()
        return Message(app_id=store_app.app_id, envelope=envelope, body=incoming.body)


@post("/hooks/app_store/{app_id:str}", operation_id="app_store_notification", summary="App Store Server Notifications V2", status_code=200)
async def app_store_notification(request: HttpRequest, app_id: FromPath[str]) -> Response[bytes]:
    """Set this address as the app's notification URL in App Store Connect, for production and sandbox alike."""
    project_id = await catalog.project_of_app(app_of(request).database, app_id)
    if project_id is None:
        raise NotFound(f"no app {app_id!r} here; copy the address from `perennial apps list`", param="app_id")
    inbox: Inbox = request.app.state.inbox
    await inbox.accept(project_id, app_id, await request.body())
    return to_json({})


router = Router(path="/", route_handlers=[app_store_notification], tags=["hooks"])

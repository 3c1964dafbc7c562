"""How a handler enters a project: by its caller's key, in one transaction, with what it writes audited under that key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from litestar import Response
from litestar.handlers import BaseRouteHandler

from perennial import catalog
from perennial.api.auth import (
    Connection,
    HttpRequest,
    app_of,
    find_caller,
    project_caller,
    require_permissions,
    require_secret,
    secret_caller,
    within,
)
from perennial.api.bodies import checked
from perennial.api.limits import Limits, Usage
from perennial.api.unknown import warn_of_unknown
from perennial.api.v2 import idempotency
from perennial.app import App
from perennial.base.db import Tx
from perennial.base.errors import NotJson, TooMany
from perennial.base.ids import KeyId, ProjectId
from perennial.base.time import to_ms
from perennial.base.value import value
from perennial.catalog.model import Caller


@value
class Entry:
    app: App
    tx: Tx
    caller: Caller

    @property
    def project_id(self) -> ProjectId:
        return self.tx.project_id

    @property
    def key_id(self) -> KeyId:
        return self.caller.key_id

    def require(self, *permissions: str) -> None:
        """For what an operation shows or does beyond its own resource, such as what `expand` puts in. `Forbidden` names what is lacking."""
        require_permissions(self.caller, permissions)

    async def audit(self, action: str, target: str, data: dict[str, Any] | None = None) -> None:
        await catalog.audit(self.tx, actor=self.key_id, action=action, target=target, data=data)


@asynccontextmanager
async def entered(request: HttpRequest, project_id: str) -> AsyncIterator[Entry]:
    """A secret key that may enter this project, else 401, 403 or 404. Commits at the end of the block; in a request with an Idempotency-Key
    once its answer is kept, and all blocks of the request are then one transaction."""
    caller, app = await project_caller(request, project_id), app_of(request)
    shared = idempotency.shared_transaction(request)
    if shared is not None:
        assert shared.project_id == caller.project_id
        yield Entry(app=app, tx=shared, caller=caller)
        return
    async with app.database.transaction(caller.project_id) as tx:
        yield Entry(app=app, tx=tx, caller=caller)


async def admit(connection: Connection, handler: BaseRouteHandler) -> None:
    """The guard of v2, before anything of the request is looked at: who asks, not too often, for a project of theirs, with the permission."""
    caller = require_secret(await find_caller(connection, with_tokens=True))
    _count(connection, caller, handler.opt.get("rate"))
    if (project_id := connection.path_params.get("project_id")) is not None:
        caller = within(caller, project_id)
    needed = handler.opt.get("permissions")
    assert needed, f"{handler} declares no permission"  # so nobody may
    require_permissions(caller, needed)
    connection.scope["state"]["caller"] = caller


def _count(connection: Connection, caller: Caller, domain: str | None) -> None:
    limits: Limits = connection.app.state.limits
    usage = limits.count(caller.key_id, domain or "", connection.app.state.app.database.clock())
    if usage is None:
        return
    connection.scope["state"]["answer_headers"] = _usage_headers(usage)
    if usage.wait:
        raise TooMany(f"more than {usage.limit} requests a minute with this key; wait {usage.wait} s", wait=usage.wait)


def _usage_headers(usage: Usage) -> list[tuple[bytes, bytes]]:
    return [(b"revenuecat-rate-limit-current-usage", b"%d" % usage.current), (b"revenuecat-rate-limit-current-limit", b"%d" % usage.limit)]


async def check_request(request: HttpRequest) -> Response[bytes] | None:
    """Before any handler. The answer, where this very request was answered before."""
    await _check_readable(request)
    await warn_of_unknown(request)
    return await idempotency.begin(request, await secret_caller(request))


async def _check_readable(request: HttpRequest) -> None:
    """Refuses what the database could not keep or what would not be read as JSON, so that none of it is a 500."""
    if request.method not in ("POST", "PUT", "PATCH"):
        return
    body = await request.body()
    if not body:
        return
    if request.content_type[0] != "application/json":
        raise NotJson("send the body as JSON, with the header Content-Type: application/json")
    checked(body)


def ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)

"""Who is asking: the key in the Authorization header, looked up at every request, so that a revoked key is dead at once."""

from typing import Any

from litestar import Request
from litestar.datastructures import State

from perennial import catalog
from perennial.app import App
from perennial.base.errors import Forbidden, NotFound, Unauthorized
from perennial.base.ids import ProjectId
from perennial.base.secrets import hash_key
from perennial.catalog.model import Caller

HttpRequest = Request[Any, Any, State]


def app_of(request: HttpRequest) -> App:
    app: App = request.app.state.app
    return app


def key_of(authorization: str | None) -> str:
    """`Bearer <key>`, or the bare key as the v1 server API also takes it."""
    key = (authorization or "").strip()
    if key[:6].lower() == "bearer":
        key = key[6:].strip()
    if not key or not key.isascii() or len(key) > 255:
        raise Unauthorized("send your API key as: Authorization: Bearer <key>", code=7224)
    return key


async def caller_of(request: HttpRequest) -> Caller:
    """Any valid key. `Unauthorized` (7225) else."""
    caller = await catalog.find_caller(app_of(request).database, hash_key(key_of(request.headers.get("authorization"))))
    if caller is None:
        raise Unauthorized("this API key is not known here, or it was revoked; check that it belongs to this installation", code=7225)
    return caller


async def secret_caller(request: HttpRequest) -> Caller:
    """A secret key, for what no app in a customer's hands may do."""
    caller = await caller_of(request)
    if caller.kind != "secret":
        raise Forbidden("this needs a secret key (sk_...); public SDK keys may only do what apps do", code=7225)
    return caller


async def project_caller(request: HttpRequest, project_id: str) -> Caller:
    """A secret key that may enter this project. Others learn nothing of it, not even that it exists."""
    caller = await secret_caller(request)
    if project_id != caller.project_id and project_id not in caller.reaches:
        raise NotFound(f"no project {project_id!r} for this key", param="project_id")
    return Caller(project_id=ProjectId(project_id), key_id=caller.key_id, kind="secret", reaches=caller.reaches)

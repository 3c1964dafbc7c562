"""Who is asking: the key in the Authorization header, looked up at every request, so that a revoked key is dead at once.

Keys are looked at by the routers' guards, before bodies are read: who may not ask learns nothing of what may be asked. The guard leaves the
caller with the request, so that handlers need not look again.
"""

from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler

from perennial import access, catalog
from perennial.access.model import ACCESS_PREFIX
from perennial.app import App
from perennial.base.errors import Forbidden, NotFound, Unauthorized
from perennial.base.ids import KeyId, ProjectId
from perennial.base.secrets import hash_key
from perennial.base.value import replace
from perennial.catalog.model import Caller

HttpRequest = Request[Any, Any, State]
Connection = ASGIConnection[Any, Any, Any, State]

# On a v1 route that anybody may call, as `opt`.
FOR_ALL: dict[str, Any] = {"is_for_all": True}

# What a secret key needs in v1, where routes do not say.
_V1_READ = "customer_information:customers:read"
_V1_WRITE = "customer_information:customers:read_write"


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
    known: Caller | None = request.scope["state"].get("caller")
    return known if known is not None else await find_caller(request)


async def find_caller(connection: Connection, *, with_tokens: bool = False) -> Caller:
    """By an API key; where they count, also by a third party's access token."""
    return await find_caller_by(connection.app.state.app, connection.headers.get("authorization"), with_tokens=with_tokens)


async def find_caller_by(app: App, authorization: str | None, *, with_tokens: bool = False) -> Caller:
    key = key_of(authorization)
    if with_tokens and key.startswith(ACCESS_PREFIX):
        token = await access.find_token(app.database, key)
        if token is None:
            raise Unauthorized("this access token is not known here, has expired or was revoked; get a new one with your refresh token")
        return Caller(project_id=ProjectId(token.project_id), key_id=KeyId(token.grant_id), kind="token", permissions=frozenset(token.permissions))
    caller = await catalog.find_caller(app.database, hash_key(key))
    if caller is None:
        raise Unauthorized("this API key is not known here, or it was revoked; check that it belongs to this installation", code=7225)
    return caller


async def admit_v1(connection: Connection, handler: BaseRouteHandler) -> None:
    """The guard of v1. A public key may do what apps do; a secret one what its permissions say."""
    if handler.opt.get("is_for_all"):
        return
    caller = await find_caller(connection)
    if caller.kind == "secret":
        needed = handler.opt.get("permissions") or (_V1_READ if connection.scope.get("method") in ("GET", "HEAD") else _V1_WRITE,)
        require_permissions(caller, needed)
    connection.scope["state"]["caller"] = caller


def require_permissions(caller: Caller, needed: tuple[str, ...]) -> None:
    lacking = access.lacking(caller.permissions, needed)
    if lacking is not None:
        raise Forbidden(f"this needs the permission {lacking}, which {_named(caller)} does not have", code=7225)


def _named(caller: Caller) -> str:
    return "your access token" if caller.kind == "token" else f"the key {caller.key_id}"


async def secret_caller(request: HttpRequest) -> Caller:
    """A secret key, or a token, for what no app in a customer's hands may do."""
    return require_secret(await caller_of(request))


def require_secret(caller: Caller) -> Caller:
    if caller.kind == "public":
        raise Forbidden("this needs a secret key (sk_...); public SDK keys may only do what apps do", code=7225)
    return caller


async def project_caller(request: HttpRequest, project_id: str) -> Caller:
    """A secret key that may enter this project. Others learn nothing of it, not even that it exists."""
    return within(await secret_caller(request), project_id)


def within(caller: Caller, project_id: str) -> Caller:
    if project_id != caller.project_id and project_id not in caller.reaches:
        raise NotFound(f"no project {project_id!r} for this key", param="project_id")
    return replace(caller, project_id=ProjectId(project_id))

"""`Idempotency-Key`: a POST that is sent again is answered again, not done again (docs/decisions/idempotency.md).

The first request with a key opens a transaction and holds a lock on the key in it. Its handler works in that very transaction (`entered`), and
what it answers is kept in it too, so effect and answer are committed together or not at all. An operation that cannot be one transaction says
`goes_outside=True` at its route: the key is claimed and committed before its work begins, so that it is done at most once.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from hashlib import sha256

import structlog
from litestar import Response
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from perennial import access
from perennial.access.model import KeptAnswer
from perennial.api.auth import HttpRequest, app_of
from perennial.app import App
from perennial.base.db import Tx
from perennial.base.errors import Invalid, PerennialError
from perennial.base.ids import ProjectId
from perennial.catalog.model import Caller

log = structlog.get_logger("perennial.api")

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
LONGEST_KEY = 255
_SEALED = "idempotent_request.body"
_STATE = "first_request"  # in the request's state


class _UndoneError(Exception):
    """Ends a transaction without what was done in it."""


@dataclass
class First:
    """The first request with its key. `tx` is where it works; None: it works outside, and has claimed the key."""

    app: App
    project_id: ProjectId
    key_id: str
    idempotency_key: str
    request_hash: bytes
    tx: Tx | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def keep(self, tx: Tx, status: int, body: bytes) -> None:
        sealed = self.app.vault.seal(body, _SEALED)
        await access.keep(tx, self.key_id, self.idempotency_key, self.request_hash, status=status, sealed_body=sealed)

    async def undo(self) -> None:
        await self.stack.__aexit__(_UndoneError, _UndoneError(), None)


async def begin(request: HttpRequest, caller: Caller) -> Response[bytes] | None:
    """Before the handler. The answer, where the request was answered before."""
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST":
        return None
    if not 1 <= len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise Invalid(f"{HEADER} must be 1 to {LONGEST_KEY} printable ASCII characters", param=HEADER)
    app = app_of(request)
    first = First(app=app, project_id=caller.project_id, key_id=caller.key_id, idempotency_key=key, request_hash=await _hash_of(request))
    first.tx = await first.stack.enter_async_context(app.database.transaction(caller.project_id))
    request.scope["state"][_STATE] = first  # from here on the middleware closes what is open
    kept = await access.look_up(first.tx, first.key_id, key, first.request_hash, app.database.clock())
    if kept is not None:
        del request.scope["state"][_STATE]
        await first.undo()
        return _replay(app, kept)
    if request.route_handler.opt.get("goes_outside"):
        await access.claim(first.tx, first.key_id, key, first.request_hash, app.database.clock())
        first.tx = None
        await first.stack.aclose()
    return None


async def _hash_of(request: HttpRequest) -> bytes:
    head = f"{request.method} {request.scope['path']}?{request.scope['query_string'].decode('latin-1')}\n"
    return sha256(head.encode() + await request.body()).digest()


def _replay(app: App, kept: KeptAnswer) -> Response[bytes]:
    assert kept.body is not None and kept.status is not None
    body = app.vault.unseal(kept.body, _SEALED).reveal_bytes()
    return Response(content=body, status_code=kept.status, media_type="application/json", headers={REPLAYED: "true"})


def shared_transaction(request: HttpRequest) -> Tx | None:
    """The one in which the answer will be kept, where this request has a key."""
    first: First | None = request.scope["state"].get(_STATE)
    return first.tx if first is not None else None


def keep_answers(app: ASGIApp) -> ASGIApp:
    """Around the handler: holds its answer back until it is kept, and what was done is committed with it."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "POST" or not any(name == b"idempotency-key" for name, _ in scope["headers"]):
            return await app(scope, receive, send)
        said: list[Message] = []

        async def hold_back(message: Message) -> None:
            said.append(message)

        try:
            await app(scope, receive, hold_back)
        except BaseException:
            await _undo(scope)
            raise
        await _settle(scope, said)
        for message in said:
            await send(message)

    return handle


async def _undo(scope: Scope) -> None:
    first: First | None = scope["state"].get(_STATE)
    if first is not None:
        await first.undo()


async def _settle(scope: Scope, said: list[Message]) -> None:
    first: First | None = scope["state"].get(_STATE)
    if first is None:
        return
    status, body = _answer_in(said)
    if first.tx is not None and status < 300:
        try:
            await first.keep(first.tx, status, body)
        except BaseException:
            await first.undo()
            raise
        await first.stack.aclose()
    elif first.tx is not None:
        await first.undo()
    else:
        await _settle_outside(first, status, body)


async def _settle_outside(first: First, status: int, body: bytes) -> None:
    """A refusal frees the key, as nothing was done. After trouble of ours nobody knows, so the claim stays, and nothing is done twice."""
    if status >= 500:
        return
    try:
        async with first.app.database.transaction(first.project_id) as tx:
            if status < 300:
                await first.keep(tx, status, body)
            else:
                await access.let_go(tx, first.key_id, first.idempotency_key)
    except PerennialError as error:  # it is done all the same, and whoever asked shall hear of it
        log.error("an answer could not be kept", error=error.message, key_id=first.key_id)


def _answer_in(said: list[Message]) -> tuple[int, bytes]:
    status = next(message["status"] for message in said if message["type"] == "http.response.start")
    body = b"".join(message.get("body", b"") for message in said if message["type"] == "http.response.body")
    return status, body

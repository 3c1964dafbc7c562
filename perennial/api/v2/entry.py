"""How a handler enters a project: by its caller's key, in one transaction, with what it writes audited under that key."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from litestar.exceptions import HTTPException

from perennial import catalog
from perennial.api.auth import HttpRequest, app_of, project_caller
from perennial.app import App
from perennial.base.db import Tx
from perennial.base.errors import Invalid
from perennial.base.ids import KeyId, ProjectId
from perennial.base.time import to_ms
from perennial.base.value import value

_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_DEEPEST = 64  # of a body: nothing documented is deeper than a few


@value
class Entry:
    app: App
    tx: Tx
    key_id: KeyId

    @property
    def project_id(self) -> ProjectId:
        return self.tx.project_id

    async def audit(self, action: str, target: str, data: dict[str, Any] | None = None) -> None:
        await catalog.audit(self.tx, actor=self.key_id, action=action, target=target, data=data)


@asynccontextmanager
async def entered(request: HttpRequest, project_id: str) -> AsyncIterator[Entry]:
    """A secret key that may enter this project, else 401, 403 or 404. Commits at the end of the block."""
    caller, app = await project_caller(request, project_id), app_of(request)
    async with app.database.transaction(caller.project_id) as tx:
        yield Entry(app=app, tx=tx, key_id=caller.key_id)


async def check_request(request: HttpRequest) -> None:
    """Before any handler: refuses what the database could not keep or what would not be read as JSON, so that none of it is a 500."""
    if "\x00" in request.url.path or any("\x00" in text for _, text in request.query_params.multi_items()):
        raise Invalid("the address has a NUL character in it")
    if request.method not in ("POST", "PUT", "PATCH"):
        return
    body = await request.body()
    if not body:
        return
    if request.content_type[0] != "application/json":
        raise HTTPException(status_code=415, detail="send the body as JSON, with the header Content-Type: application/json")
    if _ESCAPED_NUL.search(body):
        raise Invalid("the body has a NUL character (\\u0000) in it, which cannot be kept")
    if _depth(body) > _DEEPEST:
        raise Invalid(f"the body is nested more than {_DEEPEST} levels deep")


def _depth(body: bytes) -> int:
    """An upper bound, as brackets within texts count too; unbalanced ones are the parser's affair."""
    if body.count(b"[") + body.count(b"{") <= _DEEPEST:
        return 0
    deepest = depth = 0
    for character in re.sub(rb'"(?:[^"\\]|\\.)*"', b"", body):
        if character in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in b"]}":
            depth -= 1
    return deepest


def ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)

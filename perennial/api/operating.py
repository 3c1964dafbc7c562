"""What operators and their machines ask: is it alive, is it ready, how is it doing."""

from functools import cache

from litestar import Response, Router, get

from perennial import __version__
from perennial.api.auth import HttpRequest, app_of
from perennial.api.documented import documented
from perennial.api.v1.answers import to_json
from perennial.base.db import Readiness, readiness
from perennial.base.errors import PerennialError
from perennial.base.migrate import find_folder, read_migrations

READY_LIMIT = 2.0  # seconds


@get("/healthz", operation_id="healthz", summary="The process lives")
async def healthz() -> Response[bytes]:
    return to_json({"status": "ok"})


@get("/readyz", operation_id="readyz", summary="The process can serve: the database answers, takes writes, and has this version's schema")
async def readyz(request: HttpRequest) -> Response[bytes]:
    try:
        reason = _why_not_ready(await readiness(app_of(request).database, limit=READY_LIMIT))
    except PerennialError as error:
        reason = error.message
    if reason is not None:
        return to_json({"status": "unavailable", "reason": reason}, 503)
    return to_json({"status": "ready", "version": __version__})


def _why_not_ready(found: Readiness) -> str | None:
    if found.is_standby:
        return "the database is a standby: it takes no writes until it is promoted"
    if found.is_read_only:
        return "the database takes no writes: default_transaction_read_only is on"
    if missing := sorted(_migration_names() - found.applied):
        return f"the database is not prepared for this version: {missing[0]} is missing; apply it with: perennial migrate"
    return None


@cache
def _migration_names() -> frozenset[str]:
    return frozenset(migration.name for migration in read_migrations(find_folder()))


router = Router(path="/", route_handlers=documented([healthz, readyz], {}), tags=["operating"])

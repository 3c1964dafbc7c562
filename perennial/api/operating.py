"""What operators and their machines ask: is it alive, is it ready, how is it doing."""

from litestar import Response, Router, get

from perennial import __version__
from perennial.api.auth import HttpRequest, app_of
from perennial.api.documented import documented, spec
from perennial.api.observe import exposition
from perennial.api.v1.answers import to_json
from perennial.base.errors import PerennialError


@get("/healthz", operation_id="healthz", summary="The process lives")
async def healthz() -> Response[bytes]:
    return to_json({"status": "ok"})


@get("/readyz", operation_id="readyz", summary="The process can serve: the database answers")
async def readyz(request: HttpRequest) -> Response[bytes]:
    try:
        await app_of(request).database.door("SELECT 1 FROM project LIMIT 1")
    except PerennialError as error:
        return to_json({"status": "unavailable", "reason": error.message}, 503)
    return to_json({"status": "ready", "version": __version__})


@get("/metrics", operation_id="metrics", summary="Prometheus metrics of this process")
async def metrics() -> Response[bytes]:
    return Response(content=exposition(), media_type="text/plain; version=0.0.4")


_ANSWERS = {"metrics": {200: spec(str, "In Prometheus' text format", "text/plain")}}

router = Router(path="/", route_handlers=documented([healthz, readyz, metrics], _ANSWERS), tags=["operating"])

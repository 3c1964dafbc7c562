"""The outermost layer: limits, CORS, request ids, signatures, logs; and the hottest read in front of the framework."""

from collections.abc import Awaitable
from typing import Any
from urllib.parse import unquote_to_bytes

import structlog

from perennial.api.errors import error_body
from perennial.api.headers import CORS, EXPOSED, JSON, PREFLIGHT, etag_of, new_request_id
from perennial.api.observe import OBSERVED
from perennial.api.sightings import Sightings
from perennial.api.signing import Signer
from perennial.api.v1.read import CustomerRead, signed_of
from perennial.app import App
from perennial.base.time import perf_counter, to_ms

log = structlog.get_logger("perennial.api")

MOST_BODY = 1024 * 1024  # bytes; a legacy receipt of years is a few hundred kB
_SIGNED = (
    "/v1/receipts",
    "/v1/subscribers/identify",
    "/v1/subscribers/redeem_purchase",
    "/v1/product_entitlement_mapping",
    "/v1/offerings",
)


class Front:
    """The ASGI application, around the framework that routes everything but the hottest read."""

    def __init__(self, app: App, framework: Any, sightings: Sightings, signer: Signer) -> None:
        self._app = app
        self._framework = framework
        self._read = CustomerRead(app, sightings, signer)
        self._signer = signer

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """The awaitable of whoever answers: a coroutine around it would be one more to run for every read."""
        if scope["type"] != "http":
            return self._framework(scope, receive, send)  # type: ignore[no-any-return]
        if scope["method"] == "GET" and (escaped_id := CustomerRead.path_of(scope["raw_path"])) is not None:
            return self._read(scope, send, escaped_id)
        if scope["method"] == "OPTIONS":
            return self._preflight(scope, send)
        return self._handle(scope, receive, send)

    async def _preflight(self, scope: Any, send: Any) -> None:
        wanted = dict(scope["headers"]).get(b"access-control-request-headers", b"*")
        await send({"type": "http.response.start", "status": 200, "headers": [*PREFLIGHT, (b"access-control-allow-headers", wanted)]})
        await send({"type": "http.response.body", "body": b""})

    async def _handle(self, scope: Any, receive: Any, send: Any) -> None:
        started, request_id = perf_counter(), new_request_id().decode()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        answer = _Answer()
        try:
            body = await _read_body(scope, receive)
            if not _is_utf8(scope["raw_path"]):
                answer.fill(400, error_body(scope["path"], 400, "the path is not UTF-8; escape each byte of an id in UTF-8 as %XX"))
            elif body is None:
                answer.fill(413, error_body(scope["path"], 413, f"the body is larger than {MOST_BODY} bytes"))
            else:
                await self._framework(scope, _Replay(body, receive), answer)
            await self._finish(scope, send, answer, request_id)
        finally:
            route = scope.get("path_template") or "other"
            OBSERVED.requests.labels(scope["method"], route, str(answer.status)).inc()
            OBSERVED.seconds.labels(route).observe(perf_counter() - started)
            log.info("request", method=scope["method"], path=scope["path"], status=answer.status, ms=round((perf_counter() - started) * 1000, 1))
            structlog.contextvars.unbind_contextvars("request_id")

    async def _finish(self, scope: Any, send: Any, answer: "_Answer", request_id: str) -> None:
        """Adds what every answer carries; the signature last, over the exact bytes."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_time = b"%d" % to_ms(self._app.database.clock())
        extra = [CORS, EXPOSED, (b"x-request-id", request_id.encode()), (b"x-revenuecat-request-time", request_time)]
        extra += scope.get("state", {}).get("answer_headers", ())
        etag = b""
        platform = headers.get(b"x-platform", b"web").lower()
        if b"x-revenuecat-etag" in headers and platform != b"web" and answer.status == 200 and scope["method"] == "GET":
            etag = etag_of(answer.body)
            extra.append((b"x-revenuecat-etag", etag))
            if headers[b"x-revenuecat-etag"] == etag:
                answer.fill(304, b"")
        if platform != b"web" and b"authorization" in headers and answer.status < 400 and _is_signed(scope["path"]):
            signed = signed_of(scope["raw_path"], headers, request_time, etag, answer.body)
            extra.append((b"x-signature", self._signer.sign(signed, self._app.database.clock()).encode()))
        kept = [header for header in answer.headers if header[0] not in (b"content-length", b"x-request-id")]
        await send(
            {"type": "http.response.start", "status": answer.status, "headers": [*kept, *extra, (b"content-length", b"%d" % len(answer.body))]}
        )
        await send({"type": "http.response.body", "body": answer.body if scope["method"] != "HEAD" else b""})


def _is_signed(path: str) -> bool:
    return path in _SIGNED or path.endswith(("/offerings", "/virtual_currencies", "/health_report", "/restore/eligibility"))


def _is_utf8(raw_path: bytes) -> bool:
    """Frameworks decode paths with replacement characters: two ids that are no text would become one that is."""
    if b"%" not in raw_path:
        return True
    try:
        unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError:
        return False
    return True


class _Answer:
    """Holds the framework's answer until it is finished."""

    def __init__(self) -> None:
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], [(bytes(name).lower(), bytes(text)) for name, text in message["headers"]]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    def fill(self, status: int, body: bytes) -> None:
        self.status, self.headers, self.body = status, [JSON], body


class _Replay:
    """Gives the framework a body that was read already."""

    def __init__(self, body: bytes, receive: Any) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Any:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


async def _read_body(scope: Any, receive: Any) -> bytes | None:
    """The whole body, or None where it is larger than anyone needs."""
    if scope["method"] in ("GET", "HEAD", "DELETE"):
        return b""
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MOST_BODY:
            return None
        if not message.get("more_body"):
            return b"".join(chunks)

"""The outermost layer: limits, CORS, request ids, signatures, logs; and the hottest read in front of the framework."""

from collections.abc import Awaitable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import structlog

from perennial import catalog
from perennial.api.auth import find_caller_by
from perennial.api.errors import error_body, refusal
from perennial.api.floods import Floods
from perennial.api.headers import CORS, EXPOSED, JSON, PREFLIGHT, etag_of, new_request_id
from perennial.api.incoming import MOST_UNKNOWN, Body, ClientGone, Incoming, TooLarge
from perennial.api.leaving import Outgoing
from perennial.api.observe import OBSERVED, OTHER
from perennial.api.paths import check_host, has_empty_segment, path_of, query_of
from perennial.api.sightings import Sightings
from perennial.api.signing import Signer
from perennial.api.v1.read import CustomerRead, signed_of
from perennial.app import App
from perennial.base.errors import NotFound, PerennialError
from perennial.base.time import perf_counter, to_ms

log = structlog.get_logger("perennial.api")

GONE = 499  # in logs and metrics: the client went before its request was whole
_COUNTED = ("/v1/", "/rcbilling/")
_OF_THE_RAW_BODY = (b"content-length", b"content-encoding", b"transfer-encoding")
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
        self._floods = Floods(app.settings.rate_limits)
        self._outgoing = Outgoing()
        self._read = CustomerRead(app, sightings, signer, self._floods, self._outgoing)
        self._signer = signer
        self._incoming = Incoming()

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """The awaitable of whoever answers: a coroutine around it would be one more to run for every read."""
        if scope["type"] != "http":
            return self._framework(scope, receive, send)  # type: ignore[no-any-return]
        if scope["method"] == "GET" and (escaped_id := CustomerRead.path_of(scope["raw_path"])) is not None:
            return self._read(scope, send, escaped_id)
        if scope["method"] == "OPTIONS":
            return self._preflight(scope, send)
        if scope["method"] in ("GET", "HEAD") and (escaped_id := CustomerRead.path_of(b"/" + scope["raw_path"].strip(b"/"))) is not None:
            return self._read(scope, _without_body(send) if scope["method"] == "HEAD" else send, escaped_id)
        return self._handle(scope, receive, send)

    async def _preflight(self, scope: Any, send: Any) -> None:
        wanted = dict(scope["headers"]).get(b"access-control-request-headers", b"*")
        await send({"type": "http.response.start", "status": 200, "headers": [*PREFLIGHT, (b"access-control-allow-headers", wanted)]})
        await send({"type": "http.response.body", "body": b""})

    async def _handle(self, asked: Any, receive: Any, send: Any) -> None:
        started, request_id = perf_counter(), new_request_id().decode()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        answer, scope = _Answer(), dict(asked)
        if asked["method"] == "HEAD":
            scope["method"], send = "GET", _without_body(send)
        try:
            with self._incoming.one() as body:
                await self._answer(scope, receive, answer, body)
            await self._finish(scope, send, answer, request_id)
        except ClientGone:
            await self._tell_who_broke_off(asked, send, request_id)
            answer.status = GONE
        finally:
            taken = perf_counter() - started
            OBSERVED.request(asked["method"], scope.get("path_template") or OTHER, answer.status, taken)
            log.info("request", method=asked["method"][:20], path=asked["path"], status=answer.status, ms=round(taken * 1000, 1))
            structlog.contextvars.unbind_contextvars("request_id")

    async def _answer(self, scope: Any, receive: Any, answer: "_Answer", body: Body) -> None:
        """By the framework, or in its place where there is nothing that it could be asked."""
        try:
            check_host(scope["headers"])
            path = path_of(scope["raw_path"])
            if has_empty_segment(path):
                raise NotFound(f"there is nothing at {path[:200]}: a part of the path is empty")
            if scope["method"] == "GET" and CustomerRead.path_of(path.encode()) is not None:
                raise NotFound("there is nothing here: write /v1/subscribers/ without escapes")
            if path.startswith(_COUNTED):
                self._floods.count(scope, dict(scope["headers"]))
            scope["path"], scope["query_string"] = path, query_of(scope["query_string"])
            whole = await self._incoming.read(body, scope, receive, lambda: self._require_known(scope))
        except PerennialError as error:
            status, headers, content = refusal(scope["path"], error)
            answer.fill(status, content, headers)
            return
        scope["headers"] = [header for header in scope["headers"] if header[0] not in _OF_THE_RAW_BODY]
        await self._framework(scope, _Replay(whole, receive), answer)

    async def _tell_who_broke_off(self, scope: Any, send: Any, request_id: str) -> None:
        """Whoever broke off in the middle of a body may still listen, as one does whose chunks cannot be read. It may be the network's fault: 503."""
        answer = _Answer()
        answer.fill(503, error_body(scope["path"], 503, "the body broke off before it was whole; send it again"), {"Retry-After": "1"})
        await self._finish(scope, send, answer, request_id)

    async def _require_known(self, scope: Any) -> None:
        """Before more than a little of a body is read. Guards look again: what a request may do is theirs to say."""
        path: str = scope["path"]
        if path.startswith(("/v1/", "/v2/", "/rcbilling/")):
            authorization = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
            await find_caller_by(self._app, authorization, with_tokens=path.startswith("/v2/"))
        elif path.startswith("/hooks/"):
            app_id = path.rpartition("/")[2]
            if await catalog.project_of_app(self._app.database, app_id) is None:
                raise NotFound(f"no app {app_id[:80]!r} here; copy the address from `perennial apps list`", param="app_id")
        else:
            raise TooLarge(f"the body is larger than the {MOST_UNKNOWN} bytes that are taken here")

    async def _finish(self, scope: Any, send: Any, answer: "_Answer", request_id: str) -> None:
        """Adds what every answer carries; the signature last, over the exact bytes."""
        try:
            self._outgoing.check_room(len(answer.body), None if scope["method"] == "GET" else "unknown")
        except PerennialError as error:
            status, more, content = refusal(scope["path"], error)
            answer.fill(status, content, more)
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
        all_headers = [*kept, *extra, (b"content-length", b"%d" % len(answer.body))]
        start = {"type": "http.response.start", "status": answer.status, "headers": all_headers}
        await self._outgoing.send(send, start, answer.body)


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

    def fill(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        more = [(name.lower().encode(), text.encode()) for name, text in (headers or {}).items()]
        self.status, self.headers, self.body = status, [JSON, *more], body


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


def _without_body(send: Any) -> Any:
    """What answers HEAD: the headers of GET, among them the length of the body that is not sent."""

    async def send_head(message: Any) -> None:
        if message.get("more_body"):
            return
        await send(message if message["type"] != "http.response.body" else message | {"body": b""})

    return send_head

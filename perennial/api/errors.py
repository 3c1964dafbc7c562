"""The one place that knows HTTP statuses and the SDKs' error numbers.

v1 bodies are `{"code", "message"}`; v2 bodies are the vendor's error object. Trouble on our side is always 5xx: to an SDK a 4xx
after a purchase is final.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from perennial.api.explained import PATH
from perennial.api.incoming import NotReadable, TooLarge
from perennial.base.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Invalid,
    KeyReused,
    Locked,
    NotFound,
    NotJson,
    Outcome,
    PerennialError,
    StoreRefused,
    TooMany,
    Unauthorized,
    Unavailable,
)
from perennial.base.ids import random_bytes
from perennial.base.time import perf_counter
from perennial.catalog.model import Archived

log = structlog.get_logger("perennial.api")

_STATUS: dict[type[PerennialError], int] = {
    TooLarge: 413,
    NotReadable: 415,
    Invalid: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Unavailable: 503,
    TooMany: 429,
}
# v2 tells some apart. Of conflicts, 409 is for names that are taken and keys that are reused; the rest is understood but cannot be done (422).
_V2: dict[type[PerennialError], tuple[int, str]] = {
    NotJson: (400, "invalid_request"),
    TooLarge: (413, "invalid_request"),
    NotReadable: (415, "invalid_request"),
    Conflict: (422, "unprocessable_entity_error"),
    AlreadyExists: (409, "resource_already_exists"),
    KeyReused: (409, "idempotency_error"),
    Locked: (423, "resource_locked_error"),
    StoreRefused: (422, "store_error"),
    Archived: (422, "entity_references_archived_entities"),
}
_V1_CODE: dict[int, int] = {400: 7226, 401: 7225, 403: 7225, 404: 7226, 405: 7226, 409: 7226, 413: 7226, 415: 7226, 429: 7114, 500: 7110, 503: 7110}
_V2_TYPE: dict[int, str] = {
    400: "parameter_error",
    401: "authentication_error",
    403: "authorization_error",
    404: "resource_missing",
    405: "invalid_request",
    409: "resource_already_exists",
    413: "invalid_request",
    415: "invalid_request",
    422: "unprocessable_entity_error",
    423: "resource_locked_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}
_WAIT = {423: 1, 429: 5}  # seconds, where the error does not say
_LONGEST_WAIT = 5  # seconds, of those that passing trouble tells to come again: not all of them at once
_LOGGED_EVERY = 1.0  # seconds between lines about it: one says as much as thousands


def status_of(error: PerennialError) -> int:
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def _wait_of(error: PerennialError, status: int) -> int | None:
    if isinstance(error, TooMany):
        return error.wait
    return 1 + random_bytes(1)[0] % _LONGEST_WAIT if status == 503 else _WAIT.get(status)


class _TroubleLog:
    """Says what the trouble is, which callers are not told in the driver's words, and says it seldom."""

    def __init__(self) -> None:
        self._logged_at = -_LOGGED_EVERY
        self._withheld = 0

    def note(self, error: PerennialError) -> None:
        now = perf_counter()
        if now - self._logged_at < _LOGGED_EVERY:
            self._withheld += 1
            return
        cause = error.__cause__
        log.warning("unavailable", error=error.message, cause=cause and (str(cause) or type(cause).__name__), withheld=self._withheld)
        self._logged_at, self._withheld = now, 0


_TROUBLE = _TroubleLog()


def v1_error(status: int, message: str, *, code: int | None = None, outcome: Outcome | None = None) -> bytes:
    body: dict[str, Any] = {"code": code or _V1_CODE.get(status, 7226), "message": message}
    if status == 503:
        body["retryable"] = True
    if outcome is not None:
        body["outcome"] = outcome
    return msgspec.json.encode(body)


def v1_answer(error: PerennialError | None) -> tuple[int, int | None, bytes]:
    """Status, seconds to wait before the next try, body. Without an error it is a fault of ours, which was logged."""
    if error is None:
        return 500, None, v1_error(500, "something went wrong on our side; it was logged")
    status = status_of(error)
    if status == 503:
        _TROUBLE.note(error)
    return status, _wait_of(error, status), v1_error(status, error.message, code=error.code, outcome=_outcome_of(error))


def _outcome_of(error: PerennialError) -> Outcome | None:
    return error.outcome if isinstance(error, Unavailable) else None


def v2_error(
    status: int,
    message: str,
    *,
    type: str | None = None,
    param: str | None = None,
    wait: int | None = None,
    object_ids: Sequence[str] = (),
    outcome: Outcome | None = None,
) -> bytes:
    """`wait` is how many seconds later the same request may be sent again; `object_ids` are what is in the way.

    `outcome` is what became of a write.
    """
    type = type or _V2_TYPE.get(status, "invalid_request")
    body: dict[str, Any] = {
        "object": "error",
        "type": type,
        "message": message,
        "retryable": status in (423, 429, 503),
        "doc_url": f"{PATH}#{type}",
    }
    if param is not None:
        body["param"] = param
    if wait is not None:
        body["backoff_ms"] = wait * 1000
    if object_ids:
        body["referenced_object_ids"] = list(object_ids)
    if outcome is not None:
        body["outcome"] = outcome
    return msgspec.json.encode(body)


def error_body(path: str, status: int, message: str, *, code: int | None = None, param: str | None = None) -> bytes:
    """In the dialect of the path it answers."""
    return v2_error(status, message, param=param) if path.startswith("/v2") else v1_error(status, message, code=code)


def refusal(path: str, error: PerennialError) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, in the dialect of the path."""
    status, wait, body = v1_answer(error)
    if not path.startswith("/v2"):
        return status, _headers(wait), body
    status, type = next((_V2[kind] for kind in error.__class__.__mro__ if kind in _V2), (status, None))
    wait = _wait_of(error, status) if status == 423 else wait
    object_ids = error.object_ids if isinstance(error, Archived) else ()
    told = wait if isinstance(error, Unavailable) else None
    body = v2_error(status, error.message, type=type, param=error.param, wait=told, object_ids=object_ids, outcome=_outcome_of(error))
    return status, _headers(wait), body


def on_perennial_error(request: Request[Any, Any, Any], error: PerennialError) -> Response[bytes]:
    status, headers, body = refusal(request.url.path, error)
    return Response(content=body, status_code=status, media_type="application/json", headers=headers)


def on_validation_error(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    problems = error.extra if isinstance(error.extra, list) else []
    first = problems[0] if problems and isinstance(problems[0], dict) else {}
    param, said = first.get("key"), str(first.get("message") or error.detail)
    if param == "data":  # the framework's name of the whole body, and all it says where there is none
        return _response(request, 400, "send a JSON object as the body" if said == "'data'" else f"the body: {said}")
    return _response(request, 400, f"{param}: {said}" if param else said, param=param)


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if error.status_code >= 500:
        log.error("request failed", path=request.url.path, error=repr(error))
        return _response(request, 500, "something went wrong on our side; it was logged")
    message = {404: f"there is nothing at {request.url.path}", 405: f"{request.method} is not allowed at {request.url.path}"}
    body = error_body(request.url.path, error.status_code, message.get(error.status_code, error.detail))
    return _answer(error.status_code, body, headers={name: text for name, text in (error.headers or {}).items() if name.lower() == "allow"})


def on_decode_error(request: Request[Any, Any, Any], error: msgspec.MsgspecError | UnicodeDecodeError) -> Response[bytes]:
    return _response(request, 400, f"the body is not as documented: {error}")


def on_unforeseen(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.exception("unforeseen error", path=request.url.path, exc_info=error)
    return _response(request, 500, "something went wrong on our side; it was logged")


def _response(request: Request[Any, Any, Any], status: int, message: str, *, code: int | None = None, param: str | None = None) -> Response[bytes]:
    return _answer(status, error_body(request.url.path, status, message, code=code, param=param))


def _answer(status: int, body: bytes, *, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    return Response(content=body, status_code=status, media_type="application/json", headers=headers)


def _headers(wait: int | None) -> dict[str, str]:
    return {"Retry-After": str(wait)} if wait is not None else {}


HANDLERS: dict[Any, Any] = {
    PerennialError: on_perennial_error,
    ValidationException: on_validation_error,
    HTTPException: on_http_error,
    msgspec.MsgspecError: on_decode_error,
    UnicodeDecodeError: on_decode_error,
    Exception: on_unforeseen,
}

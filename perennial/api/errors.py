"""The one place that knows HTTP statuses and the SDKs' error numbers.

v1 bodies are `{"code", "message"}`; v2 bodies are the vendor's error object. Trouble on our side is always 5xx: to an SDK a 4xx
after a purchase is final.
"""

from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from perennial.base.errors import Conflict, Forbidden, Invalid, NotFound, PerennialError, Unauthorized, Unavailable

log = structlog.get_logger("perennial.api")

_STATUS: dict[type[PerennialError], int] = {Invalid: 400, Unauthorized: 401, Forbidden: 403, NotFound: 404, Conflict: 409, Unavailable: 503}
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
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}


def status_of(error: PerennialError) -> int:
    return next(status for kind, status in _STATUS.items() if isinstance(error, kind))


def v1_error(status: int, message: str, *, code: int | None = None) -> bytes:
    return msgspec.json.encode({"code": code or _V1_CODE.get(status, 7226), "message": message})


def v2_error(status: int, message: str, *, param: str | None = None) -> bytes:
    body: dict[str, Any] = {
        "object": "error",
        "type": _V2_TYPE.get(status, "invalid_request"),
        "message": message,
        "retryable": status in (429, 503),
        "doc_url": f"/docs/errors#{_V2_TYPE.get(status, 'invalid_request')}",
    }
    if param is not None:
        body["param"] = param
    return msgspec.json.encode(body)


def error_body(path: str, status: int, message: str, *, code: int | None = None, param: str | None = None) -> bytes:
    """In the dialect of the path it answers."""
    return v2_error(status, message, param=param) if path.startswith("/v2") else v1_error(status, message, code=code)


def on_perennial_error(request: Request[Any, Any, Any], error: PerennialError) -> Response[bytes]:
    return _response(request, status_of(error), error.message, code=error.code, param=error.param)


def on_validation_error(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    problems = error.extra if isinstance(error.extra, list) else []
    first = problems[0] if problems and isinstance(problems[0], dict) else {}
    param = first.get("key")
    message = f"{param}: {first.get('message')}" if param else str(first.get("message") or error.detail)
    return _response(request, 400, message, param=param)


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if error.status_code >= 500:
        log.error("request failed", path=request.url.path, error=repr(error))
        return _response(request, 500, "something went wrong on our side; it was logged")
    message = {404: f"there is nothing at {request.url.path}", 405: f"{request.method} is not allowed at {request.url.path}"}
    return _response(request, error.status_code, message.get(error.status_code, error.detail))


def on_decode_error(request: Request[Any, Any, Any], error: msgspec.MsgspecError) -> Response[bytes]:
    return _response(request, 400, f"the body is not as documented: {error}")


def on_unforeseen(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.exception("unforeseen error", path=request.url.path, exc_info=error)
    return _response(request, 500, "something went wrong on our side; it was logged")


def _response(request: Request[Any, Any, Any], status: int, message: str, *, code: int | None = None, param: str | None = None) -> Response[bytes]:
    body = error_body(request.url.path, status, message, code=code, param=param)
    headers = {"Retry-After": "5"} if status in (429, 503) else {}
    return Response(content=body, status_code=status, media_type="application/json", headers=headers)


HANDLERS: dict[Any, Any] = {
    PerennialError: on_perennial_error,
    ValidationException: on_validation_error,
    HTTPException: on_http_error,
    msgspec.MsgspecError: on_decode_error,
    Exception: on_unforeseen,
}

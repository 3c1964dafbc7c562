"""What operations whose handlers answer with bytes say of their answers in the documentation: which statuses there are, and the shape of each."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from msgspec import UNSET, Struct, UnsetType

Handler = TypeVar("Handler", bound=HTTPRouteHandler)


class Refusal(Struct):
    """What v1 answers with a 4xx or 5xx. `code` is one of the SDKs' error numbers."""

    code: int
    message: str
    retryable: bool | UnsetType = UNSET  # with 503: the same request may succeed later
    outcome: Literal["not_done", "unknown"] | UnsetType = UNSET  # with 503: whether a write may have been done after all


_REFUSALS = {
    400: "A field is missing or not as documented",
    401: "No key or signature, or one we do not know",
    403: "The key may not do this",
    404: "No such thing within reach of the key",
    409: "It contradicts what is already so",
    503: "The trouble is ours; try again",
}


def spec(shape: Any, description: str, media_type: str = "application/json") -> ResponseSpec:
    return ResponseSpec(shape, description=description, media_type=media_type, generate_examples=False)


def documented(handlers: Sequence[Handler], answers: Mapping[str, Mapping[int, ResponseSpec]], *, refusal: type[Struct] = Refusal) -> list[Handler]:
    """The same handlers. `answers` by operation id and status; an operation that is not named answers with some JSON."""
    refusals = {status: spec(refusal, description) for status, description in _REFUSALS.items()}
    for handler in handlers:
        successes = answers.get(str(handler.operation_id), {_status_of(handler): spec(Any, "Done")})
        handler.responses = {**refusals, **successes}
    return list(handlers)


def _status_of(handler: HTTPRouteHandler) -> int:
    return int(handler.status_code)

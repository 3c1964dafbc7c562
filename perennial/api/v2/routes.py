"""Litestar's decorators, with what every operation of v2 declares: the permission it needs, and the errors it may answer.

    @get("/projects/{project_id:str}/apps", permission="project_configuration:apps:read", ...)

The permission stands in `opt` for `entry.admit`, which holds callers to it before anything else is looked at, and in the documentation as
`x-permission`. An operation that needs several names them in a tuple. Its rate limit is that of its permission's domain, unless it says `rate`.

One that speaks to the outside, or needs more than one transaction, says `goes_outside=True`: see `idempotency`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Operation, Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath

from perennial.api.v2.idempotency import HEADER, LONGEST_KEY
from perennial.api.v2.wire import Error

_ERRORS = {
    400: ResponseSpec(Error, description="A field is missing or not as documented, or the body is not JSON", generate_examples=False),
    401: ResponseSpec(Error, description="No key, or one we do not know", generate_examples=False),
    403: ResponseSpec(Error, description="A public key, where a secret one is needed, or a key without the permission", generate_examples=False),
    404: ResponseSpec(Error, description="No such thing within reach of the key", generate_examples=False),
    409: ResponseSpec(Error, description="It contradicts what is already so", generate_examples=False),
    422: ResponseSpec(Error, description="It is understood, but cannot be done", generate_examples=False),
    423: ResponseSpec(Error, description="The same request is being worked on", generate_examples=False),
    429: ResponseSpec(Error, description="Too many requests; try again after Retry-After seconds", generate_examples=False),
    503: ResponseSpec(Error, description="The trouble is ours; try again", generate_examples=False),
}

_IDEMPOTENCY_KEY = Parameter(
    name=HEADER,
    param_in="header",
    required=False,
    description="Any text of yours: the same request sent again with it is answered as the first time, and not done again, for 24 hours",
    schema=Schema(type=OpenAPIType.STRING, min_length=1, max_length=LONGEST_KEY, pattern="^[ -~]+$"),
)

PathId = FromPath[str]
Decorator = Callable[[Callable[..., Any]], HTTPRouteHandler]
Permission = str | tuple[str, ...]


def get(path: str, *, permission: Permission, rate: str | None = None, **options: Any) -> Decorator:
    return litestar.get(path, **_declared(permission, rate), **options)


def post(path: str, *, permission: Permission, rate: str | None = None, goes_outside: bool = False, **options: Any) -> Decorator:
    return litestar.post(path, **_declared(permission, rate, goes_outside=goes_outside, takes_key=True), **options)


def put(path: str, *, permission: Permission, rate: str | None = None, **options: Any) -> Decorator:
    return litestar.put(path, **_declared(permission, rate), **options)


def patch(path: str, *, permission: Permission, rate: str | None = None, **options: Any) -> Decorator:
    return litestar.patch(path, **_declared(permission, rate), **options)


def delete(path: str, *, permission: Permission, rate: str | None = None, **options: Any) -> Decorator:
    return litestar.delete(path, **_declared(permission, rate), **options)


def _declared(permission: Permission, rate: str | None, *, goes_outside: bool = False, takes_key: bool = False) -> dict[str, Any]:
    needed = (permission,) if isinstance(permission, str) else permission
    domain = rate or (needed[0].split(":")[0] if needed else None)
    return {
        "responses": _ERRORS,
        "opt": {"permissions": needed, "rate": domain, "goes_outside": goes_outside},
        "operation_class": _documented(needed, takes_key=takes_key),
    }


def _documented(needed: Sequence[str], *, takes_key: bool) -> type[Operation]:
    @dataclass
    class DeclaredOperation(Operation):
        x_permission: list[str] = field(default_factory=lambda: list(needed), metadata={"alias": "x-permission"})

        def __post_init__(self) -> None:
            if takes_key:
                self.parameters = [*(self.parameters or ()), _IDEMPOTENCY_KEY]

    return DeclaredOperation

"""What no body may be, whatever is asked for: nested so deep that reading it would exhaust the stack."""

import re

from perennial.api.auth import HttpRequest
from perennial.base.errors import Invalid

DEEPEST = 64  # nothing documented is deeper than a few

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


async def check_depth(request: HttpRequest) -> None:
    """Before any handler."""
    if request.method in ("POST", "PUT", "PATCH") and depth(await request.body()) > DEEPEST:
        raise Invalid(f"the body is nested more than {DEEPEST} levels deep")


def depth(body: bytes) -> int:
    """How deep JSON is nested; 0 where it cannot be too deep. Unbalanced brackets are the parser's affair."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return 0
    deepest = depth = 0
    for bracket in _TEXT.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest

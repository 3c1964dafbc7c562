"""What no body may be, whatever is asked for: nested so deep that reading it would exhaust the stack.

Bodies are looked at after the key, and every look takes time in proportion to the body's size: no regular expression is used, as one that
looks for texts in a body with an unclosed one begins anew at every quotation mark (tests/rules/test_patterns.py holds all patterns to that).
"""

from array import array
from itertools import accumulate

from perennial.api.auth import HttpRequest
from perennial.base.errors import Invalid

DEEPEST = 64  # nothing documented is deeper than a few

_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # 1 and, in signed bytes, -1


async def check_depth(request: HttpRequest) -> None:
    """Before any handler."""
    if request.method in ("POST", "PUT", "PATCH"):
        require_shallow(await request.body())


def require_shallow(body: bytes) -> None:
    if depth(body) > DEEPEST:
        raise Invalid(f"the body is nested more than {DEEPEST} levels deep")


def depth(body: bytes) -> int:
    """How deep JSON is nested; 0 where it cannot be too deep. Unbalanced brackets are the parser's affair."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return 0
    brackets = _outside_texts(body).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(array("b", brackets)), default=0)


def _outside_texts(body: bytes) -> bytes:
    """What stands between the texts. An unclosed text reaches to the end, as it does for the parser."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    return b"".join(unescaped.split(b'"')[::2])

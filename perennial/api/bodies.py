"""What no body may be, whatever is asked for: nested so deep that reading it would exhaust the stack, or with texts that nobody can keep.

Bodies are looked at after the key, and every look takes time in proportion to the body's size: no regular expression is used, as one that
looks for texts in a body with an unclosed one begins anew at every quotation mark (tests/rules/test_patterns.py holds all patterns to that).
"""

import json
from array import array
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple

from perennial.api.auth import HttpRequest
from perennial.base.errors import Invalid

DEEPEST = 64  # nothing documented is deeper than a few

# Fields of v1 whose entries are judged one by one, and left out alone: a purchase is not refused for what an attribute holds.
JUDGED_ALONE = ("attributes", "events", "entries", "data")

_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # 1 and, in signed bytes, -1
_SUSPICIOUS = (b"\\u0000", b"\\ud", b"\\uD")  # escapes of NUL and of surrogates
_NUL = "\\u0000"
_LONGEST_NAME = 100  # shown of a field


async def check_v1_body(request: HttpRequest) -> None:
    """Before any handler of v1."""
    if request.method in ("POST", "PUT", "PATCH"):
        request._body = checked(await request.body(), judged_alone=JUDGED_ALONE)


def checked(body: bytes, *, judged_alone: tuple[str, ...] = ()) -> bytes:
    """The body, as it may be parsed; halves of characters within `judged_alone` are replaced. `Invalid` names the field that cannot be kept."""
    if depth(body) > DEEPEST:
        raise Invalid(f"the body is nested more than {DEEPEST} levels deep")
    try:
        text, is_utf8 = body.decode(), True
    except UnicodeDecodeError as error:
        # Whatever stands where the first wrong byte is, becomes a NUL character, by which its field is found.
        text, is_utf8 = body[: error.start].decode() + _NUL + body[error.start + 1 :].decode(errors="replace"), False
    if is_utf8 and not any(escape in body for escape in _SUSPICIOUS):
        return body
    try:
        document = json.loads(text)
    except ValueError as error:
        if not is_utf8:
            raise Invalid("the body is not UTF-8") from error
        return body  # the parser says what is wrong with it
    return _checked(document, body, is_utf8=is_utf8, judged_alone=judged_alone)


def _checked(document: Any, body: bytes, *, is_utf8: bool, judged_alone: tuple[str, ...]) -> bytes:
    fields = document.items() if isinstance(document, dict) else ()
    lenient = {id(inner) for name, inner in fields if name in judged_alone}
    has_halves = False
    for place, text in _texts(None, document):
        if "\x00" in text and not is_utf8:
            raise _refused(place, "is not UTF-8")
        is_judged_alone = place is not None and place.top in lenient
        if "\x00" in text and not is_judged_alone:
            raise _refused(place, "has a NUL character (\\u0000) in it, which cannot be kept")
        if not _is_whole(text):
            if not is_judged_alone:
                raise _refused(place, "has half a character in it (an unpaired surrogate, as \\ud83d alone is)")
            has_halves = True
    return json.dumps(document, ensure_ascii=False).encode(errors="replace") if has_halves else body


class _Place(NamedTuple):
    """Where a text stands. It is spelled out only for the one that is complained of: a name may be as long as the body."""

    within: "_Place | None"
    name: str | int
    top: int  # identity of the field's value at the top of the document

    def __str__(self) -> str:
        parts: list[str] = []
        place: _Place | None = self
        while place is not None:
            parts.append(f"[{place.name}]" if isinstance(place.name, int) else f".{place.name[:_LONGEST_NAME]}")
            place = place.within
        return "".join(reversed(parts)).removeprefix(".")


def _refused(place: _Place | None, what: str) -> Invalid:
    """Names the field as in `prices[0].currency`."""
    field = None if place is None else str(place).replace("\x00", "\ufffd").encode(errors="replace").decode()
    return Invalid(f"{field or 'the body'} {what}", param=field)


def _texts(place: _Place | None, document: Any) -> Iterator[tuple[_Place | None, str]]:
    """Every text of a document. The name of a field counts as a text of what it is a field of."""
    if isinstance(document, str):
        yield place, document
    elif isinstance(document, dict):
        for name, inner in document.items():
            yield place, name
            yield from _texts(_Place(place, name, id(inner) if place is None else place.top), inner)
    elif isinstance(document, list):
        for number, inner in enumerate(document):
            yield from _texts(_Place(place, number, id(inner) if place is None else place.top), inner)


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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

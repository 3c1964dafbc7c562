"""Addresses, as all routers see them: one reading of a path and of a query, whatever slashes and escapes they came with.

Slashes before and after a path mean nothing; an empty segment within one (`/v1/subscribers//offerings`, where an id is missing) is no address
of ours. `.` and `..` are segments as any other. An escaped slash is part of its segment: the routers split at the others alone.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from litestar.types import ASGIApp, Receive, Scope, Send

from perennial.base.errors import Invalid, NotFound

LONGEST_PATH = 4096  # bytes
LONGEST_QUERY = 16 * 1024
MOST_FIELDS = 1000  # of a query

_SLASH = "\x1f"  # stands for an escaped slash, until the routers have split the path; a control character is nothing else's part
_NAME = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=%")  # RFC 3986: reg-name
_ASCII = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def path_of(raw_path: bytes) -> str:
    """For routers. `NotFound` where there can be nothing, `Invalid` where it is not an address at all."""
    if len(raw_path) > LONGEST_PATH:
        raise NotFound(f"there is nothing at addresses of more than {LONGEST_PATH} bytes")
    return "/" + "/".join(_segment(segment) for segment in raw_path.strip(b"/").split(b"/"))


def _segment(raw: bytes) -> str:
    try:
        segment = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise Invalid("the path is not UTF-8") from error
    if any(character < " " or character == "\x7f" for character in segment):
        raise Invalid("the path has a control character in it, such as NUL")
    return segment.replace("/", _SLASH)


def has_empty_segment(path: str) -> bool:
    return "//" in path


def check_host(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """What nobody can have called us by is refused at once, as RFC 9112 (3.2) wants it: later on it would break whoever looks at the address."""
    named = [text for name, text in headers if name == b"host"]
    if len(named) > 1 or not all(map(_is_host, named)):
        raise Invalid("the Host header must be there once, and name a host, with a port from 0 to 65535 if any", param="Host")


@lru_cache(maxsize=256)
def _is_host(text: bytes) -> bool:
    if not text.startswith(b"["):
        name, colon, port = text.partition(b":")
        return _NAME.issuperset(name) and (not colon or _is_port(port))
    literal, bracket, rest = text[1:].partition(b"]")
    return bool(bracket) and _is_ipv6(literal) and (not rest or (rest.startswith(b":") and _is_port(rest[1:])))


def _is_port(digits: bytes) -> bool:
    return not digits or (digits.isdigit() and len(digits) <= 5 and int(digits) <= 65535)


def _is_ipv6(literal: bytes) -> bool:
    try:
        return not IPv6Address(literal.decode("ascii")).scope_id
    except (AddressValueError, UnicodeDecodeError):
        return False


def query_of(raw: bytes) -> bytes:
    """All ASCII. `Invalid` where a field could not be kept, or where there are more of them than anyone needs."""
    if len(raw) > LONGEST_QUERY or raw.count(b"&") >= MOST_FIELDS:
        raise Invalid(f"the query has more than {LONGEST_QUERY} bytes or {MOST_FIELDS} parameters")
    if b"%" in raw or not raw.isascii():
        for field in raw.split(b"&"):
            _check_field(field)
    return raw if raw.isascii() else quote_from_bytes(raw, safe=_ASCII).encode()


def _check_field(field: bytes) -> None:
    text, name = unquote_to_bytes(field), field.partition(b"=")[0].decode("latin-1")
    if b"\x00" in text:
        raise Invalid(f"{name} has a NUL character in it, which cannot be kept", param=name)
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"{name} is not UTF-8", param=name) from error


def restore_slashes(app: ASGIApp) -> ASGIApp:
    """Around every handler: gives what the path named its slashes back."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        path: Any = scope["path"]
        if _SLASH in path:
            scope["path"] = path.replace(_SLASH, "/")
            scope["path_params"] = {name: text.replace(_SLASH, "/") for name, text in scope["path_params"].items()}
        await app(scope, receive, send)

    return handle

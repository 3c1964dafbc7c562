"""What SDKs say of themselves in headers, and what every answer carries."""

import os
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from itertools import count

from perennial.base.ids import new_token
from perennial.base.value import value

RawHeaders = Iterable[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
CORS = (b"access-control-allow-origin", b"*")
PREFLIGHT = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, PATCH, PUT, DELETE, OPTIONS"),
    (b"access-control-max-age", b"86400"),
    (b"vary", b"Access-Control-Request-Headers"),
    (b"content-length", b"0"),
]
EXPOSED = (
    b"access-control-expose-headers",
    b"X-Request-ID, X-RevenueCat-Request-Time, X-RevenueCat-ETag, Retry-After, Idempotent-Replayed, "
    b"RevenueCat-Rate-Limit-Current-Usage, RevenueCat-Rate-Limit-Current-Limit, X-Perennial-Warning",
)

_LONGEST = 64  # characters kept of what a client says of itself
_NUMBERS = count(1)
_prefix = b""


def _begin_anew() -> None:
    global _prefix
    _prefix = new_token(12).encode()


_begin_anew()
os.register_at_fork(after_in_child=_begin_anew)  # a child that goes on counting must not give its parent's ids again


def new_request_id() -> bytes:
    """Unique among processes, machines and restarts, and cheap: 96 bits of chance for each process, and a number."""
    return b"req_%b.%x" % (_prefix, next(_NUMBERS))


@value
class Client:
    """Where a request says it comes from."""

    platform: str | None
    platform_version: str | None
    app_version: str | None
    country: str | None


def client_of(headers: dict[bytes, bytes]) -> Client:
    get = headers.get
    return _client(  # cut before it is remembered: what is kept for long is never longer than this
        get(b"x-platform", b"")[:_LONGEST],
        get(b"x-platform-version", b"")[:_LONGEST],
        get(b"x-client-version", b"")[:_LONGEST],
        get(b"x-storefront", b"")[:_LONGEST],
    )


@lru_cache(maxsize=1024)
def _client(platform: bytes, platform_version: bytes, app_version: bytes, storefront: bytes) -> Client:
    """There are few different clients among many requests."""
    country = _text(storefront)
    return Client(
        platform=_text(platform),
        platform_version=_text(platform_version),
        app_version=_text(app_version),
        country=country.upper() if country and len(country) == 2 else None,
    )


def _text(header: bytes) -> str | None:
    return header.decode("latin-1").replace("\x00", "") or None


def etag_of(stable: bytes) -> bytes:
    """Sixteen hex digits over the part of an answer that does not change by itself."""
    return blake2b(stable, digest_size=8).hexdigest().encode()

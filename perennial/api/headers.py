"""What SDKs say of themselves in headers, and what every answer carries."""

from collections.abc import Iterable
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
EXPOSED = (b"access-control-expose-headers", b"X-Request-ID, X-RevenueCat-Request-Time, X-RevenueCat-ETag, Retry-After")

_PREFIX = new_token(6)
_NUMBERS = count(1)


def new_request_id() -> str:
    """Unique among processes and restarts, and cheap."""
    return f"req_{_PREFIX}{next(_NUMBERS):x}"


@value
class Client:
    """Where a request says it comes from."""

    platform: str | None
    platform_version: str | None
    app_version: str | None
    country: str | None


def client_of(headers: dict[bytes, bytes]) -> Client:
    def text(name: bytes, longest: int = 64) -> str | None:
        found = headers.get(name)
        return found.decode("latin-1").replace("\x00", "")[:longest] or None if found else None

    storefront = text(b"x-storefront", 3)
    return Client(
        platform=text(b"x-platform"),
        platform_version=text(b"x-platform-version"),
        app_version=text(b"x-client-version"),
        country=storefront.upper() if storefront and len(storefront) == 2 else None,
    )


def etag_of(stable: bytes) -> bytes:
    """Sixteen hex digits over the part of an answer that does not change by itself."""
    return blake2b(stable, digest_size=8).hexdigest().encode()

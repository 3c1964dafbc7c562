"""Who may see the pages while there is no signing in: someone at this very machine, in their own browser, on a demo.

The API answers every origin (SDKs run in strangers' pages), so these pages must refuse what other sites' scripts could ask of them:
requests that carry a foreign `Origin`, that Fetch Metadata calls cross-site, or that come under a foreign name (DNS rebinding).
"""

import re
from ipaddress import IPv6Address, ip_address
from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler

from perennial.base.errors import Forbidden
from perennial.settings import Settings

Connection = ASGIConnection[Any, Any, Any, State]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # `no-referrer` would make browsers send `Origin: null` with our own forms
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_HERE = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?", re.IGNORECASE | re.ASCII)
_PROXIED = (
    *("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-server", "x-real-ip"),
    *("x-forwarded-by", "x-original-host", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-request-start", "x-envoy-external-address"),
)  # then the peer is not who asks


def settings_of(connection: Connection) -> Settings:
    settings: Settings = connection.app.state.app.settings
    return settings


def shows_demo(settings: Settings) -> bool:
    """A demo's pages are shown where this machine alone can connect: a server that listens to others, or has a public name, shows none."""
    return settings.is_demo and settings.public_url is None and (settings.host == "localhost" or is_loopback(settings.host))


async def demo_only(connection: Connection, _: BaseRouteHandler) -> None:
    """Nothing is here at all where this is not a demo."""
    if not shows_demo(settings_of(connection)):
        raise NotFoundException()


async def from_this_machine(connection: Connection, _: BaseRouteHandler) -> None:
    if shows_demo(settings_of(connection)):
        require_this_machine(connection)


async def from_our_pages(connection: Connection, _: BaseRouteHandler) -> None:
    """Forms are taken from our own pages only; navigation and reading also from nowhere (a typed address, curl)."""
    if shows_demo(settings_of(connection)):
        require_our_pages(connection)


def require_this_machine(connection: Connection) -> None:
    """By the two ends of the connection. A proxy on this machine is one of them: it is told by what it adds, by the version it speaks (nginx asks
    with HTTP/1.0), and by the name it passes on, which is the public one or lacks our port."""
    ends = (connection.client.host if connection.client else "", (connection.scope.get("server") or ("",))[0])
    if any(name in connection.headers for name in _PROXIED) or not all(is_loopback(end) or end == "localhost" for end in ends):
        raise Forbidden("the demo's pages are shown to this machine alone; open them where Perennial runs")
    if connection.scope.get("http_version") == "1.0":
        raise Forbidden("the demo's pages are not shown through a proxy; open them where Perennial runs")
    if _HERE.fullmatch(connection.headers.get("host", "")) is None:
        raise Forbidden("open the demo's pages as http://127.0.0.1 or http://localhost; other names are refused")


def require_our_pages(connection: Connection) -> None:
    headers = connection.headers
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and origin.partition("://")[::2] not in [(scheme, headers.get("host", "")) for scheme in ("http", "https")]:
        raise Forbidden("this came from another site's page, and was refused")
    if connection.scope.get("method") in ("GET", "HEAD"):
        is_foreign = site in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate"
    else:
        is_foreign = site != "same-origin" if site is not None else origin is None
    if is_foreign:
        raise Forbidden("this came from another site's page, and was refused")


def is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (inner or address).is_loopback

"""Templates, and how instants, money and states are written on the pages."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import MediaType, Response

from perennial.base.money import Money
from perennial.base.money import exponent as minor_digits
from perennial.base.time import iso

_UNITS = (("year", 365 * 86400), ("month", 30 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60))
_STORES = {
    "test_store": "Test Store",
    "app_store": "App Store",
    "mac_app_store": "Mac App Store",
    "play_store": "Google Play",
    "stripe": "Stripe",
    "amazon": "Amazon Appstore",
    "roku": "Roku",
    "paddle": "Paddle",
    "microsoft": "Microsoft Store",
    "external": "Elsewhere",
    "promotional": "By hand",
    "rc_billing": "Web",
}


def day(instant: datetime) -> str:
    return f"{instant.day} {instant:%b %Y}"


def moment(instant: datetime) -> str:
    return f"{day(instant)}, {instant:%H:%M}"


def clock(instant: datetime) -> str:
    return f"{instant:%A}, {day(instant)}, {instant:%H:%M:%S}"


def relative(instant: datetime, now: datetime) -> str:
    """`in 3 days`, `2 hours ago`: the largest unit that fits, to the nearest."""
    seconds = (instant - now) // timedelta(seconds=1)
    for unit, length in _UNITS:
        if abs(seconds) >= length:
            count = round(abs(seconds) / length)
            words = f"{count} {unit}{'s' if count > 1 else ''}"
            return f"in {words}" if seconds > 0 else f"{words} ago"
    return "in a moment" if seconds > 0 else "just now"


def price(money: Money) -> str:
    return f"{money.major:,.{minor_digits(money.currency)}f} {money.currency}"


def store(name: str) -> str:
    return _STORES.get(name, name)


def words(name: str) -> str:
    return name.replace("_", " ").lower()


def in_path(text: str) -> str:
    """One segment of a path. Dots alone would be taken for a folder, whatever their escape, so they are written as a search."""
    return f"/customers/{quote(text, safe='')}" if text.strip(".") else f"/customers?search={quote(text, safe='')}"


_ENVIRONMENT = Environment(
    loader=PackageLoader("perennial.dashboard"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.filters |= {
    "day": day,
    "moment": moment,
    "clock": clock,
    "relative": relative,
    "price": price,
    "store": store,
    "words": words,
    "iso": iso,
    "customer_path": in_path,
}


def page(template: str, *, status: int = 200, **shown: Any) -> Response[str]:
    return Response(content=_ENVIRONMENT.get_template(template).render(shown), status_code=status, media_type=MediaType.HTML)

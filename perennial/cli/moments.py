"""Moments as people type them."""

import re
from datetime import UTC, datetime, timedelta

from perennial.base.errors import Invalid

_AGO = re.compile(r"(\d{1,6})([mhd])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def parse_moment(text: str, now: datetime, *, param: str) -> datetime:
    """`2026-01-31`, `2026-01-31T12:00` (UTC where no zone is given), or how long before now: `90m`, `6h`, `2d`."""
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{param} {text!r} is not a moment such as 2026-01-31, 2026-01-31T12:00, 6h or 2d", param=param) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

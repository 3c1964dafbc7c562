"""The only door to the clock. Everyone else is told the time: `tx.now`, or an argument.

Instants are aware datetimes in UTC. Durations of plans are ISO 8601 (`P1M`), added by the calendar: from the anchor, clamped to
the month's last day, so 31 January, 28 February, 31 March.
"""

import calendar
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from time import perf_counter as perf_counter  # for measuring how long something took, never for what time it is

from perennial.base.errors import Invalid
from perennial.base.value import value

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MOST_DAYS = 36_525  # of a duration that somebody chooses: a hundred years


def wall_clock() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  this is the door


def to_ms(instant: datetime) -> int:
    """Epoch milliseconds, rounded down."""
    return (instant - EPOCH) // _MILLISECOND


def from_ms(milliseconds: float) -> datetime:
    """Epoch milliseconds (Xcode sends fractions) to an instant. `Invalid` where no calendar reaches."""
    try:
        return EPOCH + timedelta(milliseconds=milliseconds)
    except (OverflowError, ValueError) as error:
        raise Invalid(f"{milliseconds!r} is not a moment in milliseconds since 1970") from error


@lru_cache(maxsize=4096)
def iso(instant: datetime) -> str:
    """As the SDKs expect it: seconds precision, trailing Z."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


@value
class Duration:
    """A calendar duration of whole units; `P1M2D` adds the months first, then the days."""

    months: int = 0
    days: int = 0
    seconds: int = 0


_DURATION = re.compile(r"P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,8})M)?(?:(\d{1,9})S)?)?", re.ASCII)


@lru_cache(maxsize=1024)
def parse_duration(text: str) -> Duration:
    """ISO 8601 without fractions: P1W, P1M, P1Y, PT5M. `Invalid` says what was wrong."""
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise Invalid(f"{text!r} is not an ISO 8601 duration such as P1W, P1M or P1Y")
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return Duration(months=years * 12 + months, days=weeks * 7 + days, seconds=hours * 3600 + minutes * 60 + seconds)


def check_duration(text: str, param: str) -> Duration:
    """Of what a caller chooses: longer than nothing, and at most a hundred years in all. `Invalid` names `param`."""
    try:
        duration = parse_duration(text)
    except Invalid as error:
        raise Invalid(f"{param}: {error.message}", param=param) from error
    days = duration.months * 365 / 12 + duration.days + duration.seconds / 86_400
    if not 0 < days <= _MOST_DAYS:
        raise Invalid(f"{param} must be longer than nothing, and at most a hundred years, not {text}", param=param)
    return duration


def add(anchor: datetime, duration: Duration, times: int = 1) -> datetime:
    """`anchor` plus `times` durations, counted from the anchor so that month ends do not creep. Raises `OverflowError` past year 9999."""
    month_index = anchor.year * 12 + anchor.month - 1 + duration.months * times
    year, month = divmod(month_index, 12)
    if not 1 <= year <= 9999:
        raise OverflowError("date outside the calendar")
    day = min(anchor.day, calendar.monthrange(year, month + 1)[1])
    moved = anchor.replace(year=year, month=month + 1, day=day)
    return moved + timedelta(days=duration.days * times, seconds=duration.seconds * times)

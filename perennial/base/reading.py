"""Reading what comes from outside: JSON documents, moments, amounts, quantities and texts, each with its bounds.

Every provider, importer and door that takes a store's input reads with this module, so that a value out of range is met once:

- **A moment** outside of 1970 to 9000 counts as the nearer of the two: an end in the year 9999 "does not end soon". To what is read, any duration
  that the product knows can be added, and every zone and unit applies, without leaving the calendar. A moment without a zone is of UTC.
- **An amount** is of at most `MOST_MAJOR` major units, so that its millionths, and the sums of many, fit a `bigint`.
- **A text** has no NUL, which PostgreSQL does not keep, no unpaired surrogate, which no encoding keeps, and the length of its field's type.
- **A document** is decoded field by field where it is not as its type says: a field that has another type, or is out of its bounds, and that
  has a default, gets the default and is noted. Only a needed one makes the document unreadable, by `Invalid`.

What is left aside is told to whoever listens (`noting`): it is kept, counted and shown.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from decimal import Decimal, DecimalException
from functools import lru_cache
from math import isnan
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import inspect
from msgspec.structs import force_setattr

from perennial.base.errors import Invalid, Unavailable
from perennial.base.money import Money, from_decimal
from perennial.base.time import EPOCH, Duration, add
from perennial.base.value import value

EARLIEST = EPOCH
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
MOST_MAJOR = 10**11  # major units of any currency
MOST_QUANTITY = 1_000_000
MOST_AHEAD = timedelta(days=3653)  # test clocks of stores run ahead of ours by years
MOST_NOTES = 50  # of one document
LONGEST_NOTE = 1000  # characters

_LONGEST_MOMENT = 64  # characters
_LONGEST_NUMBER = 300  # digits: more is past every bound there is
_SMALLEST = Decimal(1).scaleb(-20)  # a finer fraction is dropped: exact arithmetic with one takes for ever
_BEYOND = re.compile(r"\+?\d{5,12}-\d\d-\d\dT?[\d:.,Z+\- ]{0,40}", re.ASCII)  # a year that no calendar of ours has
_BEFORE = re.compile(r"(?:-\d{4,12}|[+-]?0{4})-\d\d-\d\dT?[\d:.,Z+\- ]{0,40}", re.ASCII)
_PLAIN = r"^[\x21-\x7e]*$"

# Types of fields. A name is 512 characters at most, 2048 bytes, a key 1500: together with the rest of its index's key each fits a page.
Name = Annotated[str, msgspec.Meta(max_length=512)]
Product = Annotated[str, msgspec.Meta(max_length=255)]
Word = Annotated[str, msgspec.Meta(max_length=255)]
Key = Annotated[str, msgspec.Meta(max_length=1500, pattern=_PLAIN)]  # a store's longest: a purchase token, a receipt's id
LONGEST_KEY = 1500

T = TypeVar("T")


@contextmanager
def answer_of(who: str) -> Iterator[None]:
    """Around what is made of a store's answer: where that is `Invalid`, the trouble is not the caller's. A device is to post again: `Unavailable`."""
    try:
        yield
    except Invalid as error:
        if type(error) is not Invalid:  # one of a kind of its own says more: untrusted, not understood
            raise
        raise Unavailable(f"{who} answered what we cannot read: {error.message}") from error


# What is left aside -------------------------------------------------------------------------------------------------------------


@value
class Unread:
    """A field of a document that could not be read, by its path, and what stood there, as JSON, cut."""

    field: str
    said: str


_noted: ContextVar[list[Unread] | None] = ContextVar("noted", default=None)


@contextmanager
def noting() -> Iterator[list[Unread]]:
    """Gathers what is left aside by whatever is read meanwhile, in this task and the threads it waits for. Whoever listens around it hears it too."""
    noted: list[Unread] = []
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)
        for one in noted:
            _keep(one)


def note(field: str, said: object) -> None:
    """A value that is not understood: of what it leaves open, nothing is concluded."""
    noted = _noted.get()
    if noted is not None and all(one.field != field[:200] for one in noted):
        _keep(Unread(field=field[:200], said=_shown(said)))


def _keep(unread: Unread) -> None:
    noted = _noted.get()
    if noted is not None and len(noted) < MOST_NOTES and all(one.field != unread.field for one in noted):
        noted.append(unread)


def aside(field: str, said: object, read: Callable[[], T]) -> T | None:
    """What `read` makes of a field that is not needed; None, and a note, where it is `Invalid`."""
    try:
        return read()
    except Invalid:
        note(field, said)
        return None


def _shown(said: object) -> str:
    """Escaped, so that neither NUL nor surrogates are in it, and no more of it written than is kept."""
    text = ""
    try:
        for part in json.JSONEncoder(default=repr).iterencode(said):
            text += part[:LONGEST_NOTE]
            if len(text) > LONGEST_NOTE:
                break
    except (ValueError, RecursionError):
        text += '"(too large to be shown)"'
    return text.replace("\\u0000", "\\\\u0000")[:LONGEST_NOTE]


# Moments ------------------------------------------------------------------------------------------------------------------------


def bounded(moment: datetime) -> datetime:
    """The moment in UTC, within the bounds."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    if aware <= EARLIEST:
        return EARLIEST
    return LATEST if aware >= LATEST else aware.astimezone(UTC)


def milliseconds(said: float | str | None, field: str) -> datetime:
    """Milliseconds since 1970, also as a text, also with fractions. `Invalid` for what is no number."""
    return _since_1970(_number(said, field), 1, field)


def seconds(said: float | str | None, field: str) -> datetime:
    """Seconds since 1970."""
    return _since_1970(_number(said, field), 1000, field)


def _number(said: float | str | None, field: str) -> float:
    if said is None:
        raise Invalid(f"`{field}` is missing", param=field)
    if isinstance(said, str):
        if not said.isascii() or not said.removeprefix("-").isdigit() or len(said) > _LONGEST_NUMBER:
            raise Invalid(f"`{field}` is not a moment, as a number since 1970: {said[:40]!r}", param=field)
        return int(said)
    return said


def _since_1970(number: float, unit: int, field: str) -> datetime:
    if isinstance(number, float) and isnan(number):
        raise Invalid(f"`{field}` is not a moment, as a number since 1970", param=field)
    if number <= 0:
        return EARLIEST
    if number >= _LATEST_MS // unit:
        return LATEST
    return EPOCH + timedelta(milliseconds=number * unit)


_LATEST_MS = (LATEST - EPOCH) // timedelta(milliseconds=1)


def instant(said: str | None, field: str) -> datetime:
    """ISO 8601, UTC where it names no zone; what is finer than a microsecond is dropped. `Invalid` for what is no moment."""
    if said is None:
        raise Invalid(f"`{field}` is missing", param=field)
    if len(said) <= _LONGEST_MOMENT and said.isascii() and said.isprintable():
        try:
            return bounded(datetime.fromisoformat(said))
        except ValueError:
            if _BEYOND.fullmatch(said):
                return LATEST
            if _BEFORE.fullmatch(said):
                return EARLIEST
    raise Invalid(f"`{field}` is not a moment such as 2026-01-31T12:00:00Z: {said[:40]!r}", param=field)


def later(moment: datetime, by: timedelta | Duration, times: int = 1) -> datetime:
    """So much later, within the bounds: for durations that are not of the product's own making. `times` counts calendar durations."""
    try:
        return bounded(moment + by * times if isinstance(by, timedelta) else add(moment, by, times))
    except OverflowError:
        return EARLIEST if isinstance(by, timedelta) and by < timedelta() else LATEST


def said_at(moment: datetime, now: datetime, field: str) -> datetime:
    """When something was said. A moment so far ahead that nothing said later could ever count before it is `now`."""
    if moment <= later(now, MOST_AHEAD):
        return moment
    note(field, moment.isoformat())
    return now


# Amounts ------------------------------------------------------------------------------------------------------------------------


def currency(said: str | None, field: str = "currency") -> str:
    """An ISO 4217 code, in either case."""
    code = (said or "").upper()
    if len(code) != 3 or not code.isascii() or not code.isalpha():
        raise Invalid(f"`{field}` is not an ISO 4217 currency code: {(said or '')[:40]!r}", param=field)
    return code


def decimal(said: Decimal | float | str, field: str) -> Decimal:
    """A number of major units, or a share of one: finite, within the bounds."""
    try:
        number = said if isinstance(said, Decimal) else Decimal(str(said) if not isinstance(said, str) else said[:_LONGEST_NUMBER])
    except (DecimalException, ValueError) as error:
        raise Invalid(f"`{field}` is not a number: {str(said)[:40]!r}", param=field) from error
    if not number.is_finite() or number.copy_abs() > MOST_MAJOR:
        raise Invalid(f"`{field}` is not an amount of at most {MOST_MAJOR} in major units", param=field)
    return number if cast(int, number.as_tuple().exponent) >= -20 else number.quantize(_SMALLEST)


def money(major: Decimal | float | str, of: str | None, field: str) -> Money:
    """An amount of major units ("4.99") in a currency."""
    return from_decimal(decimal(major, field), currency(of))


def parts(count: float | str | None, per_major: int, of: str | None, field: str) -> Money:
    """An amount of whole parts of the major unit: thousandths (Apple), millionths (Google, SDKs), or Stripe's own minor units."""
    if count is None or (isinstance(count, float) and not count.is_integer()) or (isinstance(count, str) and not _is_whole(count)):
        raise Invalid(f"`{field}` is not a whole number: {str(count)[:40]!r}", param=field)
    whole = int(count)
    if abs(whole) > MOST_MAJOR * per_major:
        raise Invalid(f"`{field}` is not an amount of at most {MOST_MAJOR} in major units", param=field)
    return from_decimal(Decimal(whole) / per_major, currency(of))


def minor(count: int | str | None, of: str | None, field: str) -> Money:
    """An amount of minor units, as ISO 4217 has them."""
    code = currency(of)
    whole = parts(count, 100, code, field)  # judged by its size alone: a hundredth is a minor unit, or smaller than one
    assert count is not None
    return Money(amount=int(count), currency=whole.currency)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdigit() and len(text) <= _LONGEST_NUMBER


def quantity(said: int | None, field: str = "quantity") -> int:
    """How many were bought: 1 where nothing is said, or nothing that can be."""
    if said is not None and not 0 < said <= MOST_QUANTITY:
        note(field, said)
        return 1
    return 1 if said is None else said


# Texts --------------------------------------------------------------------------------------------------------------------------


def is_text(said: str) -> bool:
    """Whether a database and every encoding keeps it."""
    return "\x00" not in said and (said.isascii() or not any("\ud800" <= one <= "\udfff" for one in said))


def text(said: str | None, field: str, *, longest: int = 512) -> str:
    """A text that is there. `Invalid` where it is empty, longer than `longest` characters, or cannot be kept."""
    if not said or len(said) > longest or not is_text(said):
        problem = "is missing" if not said else "is too long" if len(said) > longest else "holds a NUL character or half of a surrogate pair"
        raise Invalid(f"`{field}` {problem}", param=field)
    return said


def country(code: str | None) -> str | None:
    """Two capital letters, or nothing."""
    return code if code is not None and len(code) == 2 and code.isascii() and code.isalpha() and code.isupper() else None


# Documents ----------------------------------------------------------------------------------------------------------------------


class Timed(msgspec.Struct, frozen=True):
    """A wire type whose moments are read by the decoder: they come out in UTC and bounded."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            said = getattr(self, name)
            if isinstance(said, datetime):
                force_setattr(self, name, bounded(said))


@lru_cache(maxsize=512)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@lru_cache(maxsize=512)
def _type_of(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def decode(content: bytes | str, kind: type[T]) -> T:
    """JSON as `kind`. What of it cannot be read and is not needed is left aside; `Invalid` names the field that is needed."""
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if rb"\u0000" not in raw:
        try:
            return cast(T, _decoder(cast(Any, kind)).decode(raw))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass  # field by field, then
    return cast(T, _by_field(raw, kind))


def _by_field(raw: bytes, kind: Any) -> Any:
    try:
        said = json.loads(raw.decode("utf-8", "surrogateescape"), parse_int=_whole, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"this is no JSON: {str(error)[:200]}") from error
    left: list[tuple[str, object]] = []
    try:
        found = _fitted(said, _type_of(kind), "", left)
    except _Unfit as unfit:
        raise Invalid(f"`{unfit.path or 'the document'}` {unfit.problem}", param=unfit.path or None) from None
    for path, one in left:
        note(path, one)
    return found


def _whole(digits: str) -> float:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else float("-inf" if digits.startswith("-") else "inf")


def _constant(name: str) -> float | None:
    return None if name == "NaN" else float(name)


class _Unfit(Exception):
    def __init__(self, path: str, problem: str) -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem


Left = list[tuple[str, object]]


def _fitted(said: Any, kind: inspect.Type, path: str, left: Left) -> Any:
    """`said` as this type, with what was left aside added to `left`. Raises `_Unfit`."""
    match kind:
        case inspect.AnyType():
            return _clean(said)
        case inspect.RawType():
            return msgspec.Raw(json.dumps(said).encode())
        case inspect.NoneType():
            if said is None:
                return None
        case inspect.UnionType():
            return _one_of(said, kind, path, left)
        case inspect.StructType():
            if isinstance(said, dict):
                return _struct(said, kind, path, left)
        case inspect.ListType() | inspect.VarTupleType():
            if isinstance(said, list):
                return _each(said, kind.item_type, path, left)
        case inspect.DictType():
            if isinstance(said, dict):
                return _entries(said, kind, path, left)
        case inspect.LiteralType():
            if any(said == one and type(said) is type(one) for one in kind.values):
                return said
        case _:
            return _scalar(said, kind, path)
    raise _Unfit(path, f"is not {_NAMES.get(type(kind), 'what it should be')}")


_NAMES: dict[type[inspect.Type], str] = {
    inspect.StructType: "an object",
    inspect.DictType: "an object",
    inspect.ListType: "a list",
    inspect.StrType: "a text that can be kept, or it is too long",
    inspect.IntType: "a whole number within its bounds",
    inspect.FloatType: "a number",
    inspect.DecimalType: "a number",
    inspect.BoolType: "true or false",
    inspect.DateTimeType: "a moment",
}


def _clean(said: Any) -> Any:
    """Anything at all, with a mark in the place of what no encoding keeps."""
    match said:
        case str():
            return said if is_text(said) else "".join("\ufffd" if one == "\x00" or "\ud800" <= one <= "\udfff" else one for one in said)
        case list():
            return [_clean(one) for one in said]
        case dict():
            return {_clean(name): _clean(one) for name, one in said.items()}
    return said


def _one_of(said: Any, kind: inspect.UnionType, path: str, left: Left) -> Any:
    unfit = _Unfit(path, "is none of what it may be")
    for one in kind.types:
        apart: Left = []
        try:
            found = _fitted(said, one, path, apart)
        except _Unfit as error:
            unfit = error if not isinstance(one, inspect.NoneType) else unfit
            continue
        if isinstance(one, inspect.StrType) and not isinstance(said, str) and any(isinstance(other, inspect.IntType) for other in kind.types):
            continue  # a number is a number where one may stand
        left += apart
        return found
    raise unfit


def _struct(said: dict[str, Any], kind: inspect.StructType, path: str, left: Left) -> Any:
    fields: dict[str, Any] = {}
    for field in kind.fields:
        where = f"{path}.{field.encode_name}" if path else field.encode_name
        if field.encode_name not in said:
            if field.required:
                raise _Unfit(where, "is missing")
            continue
        try:
            fields[field.name] = _fitted(said[field.encode_name], field.type, where, left)
        except _Unfit:
            if field.required or _is_needed_whole(field, said[field.encode_name]):
                raise
            left.append((where, said[field.encode_name]))
    return kind.cls(**fields)


def _is_needed_whole(field: inspect.Field, said: Any) -> bool:
    """An empty list says that there is nothing. Of a list that cannot be read, nothing may be concluded."""
    return said is not None and isinstance(field.type, inspect.ListType) and field.default_factory is list


def _each(said: list[Any], kind: inspect.Type, path: str, left: Left) -> list[Any]:
    """One that cannot be read is left out, and does not take the others with it."""
    found = []
    for one in said:
        try:
            found.append(_fitted(one, kind, f"{path}[]", left))
        except _Unfit as unfit:
            left.append((unfit.path, one))
    return found


def _entries(said: dict[str, Any], kind: inspect.DictType, path: str, left: Left) -> dict[str, Any]:
    found = {}
    for name, one in said.items():
        try:
            found[_scalar(name, kind.key_type, path)] = _fitted(one, kind.value_type, f"{path}{{}}", left)
        except _Unfit as unfit:
            left.append((unfit.path, {name: one}))
    return found


def _scalar(said: Any, kind: inspect.Type, path: str) -> Any:
    found = _as_scalar(said, kind, path)
    if found is None:
        raise _Unfit(path, f"is not {_NAMES.get(type(kind), 'what it should be')}")
    return found


def _as_scalar(said: Any, kind: inspect.Type, path: str) -> Any:
    """None where it is not of the type, nor a plain other spelling of one that is."""
    match kind:
        case inspect.StrType():
            spelled = str(said) if isinstance(said, int) and not isinstance(said, bool) else said
            is_fit = isinstance(spelled, str) and is_text(spelled) and (kind.max_length is None or len(spelled) <= kind.max_length)
            is_fit = is_fit and len(spelled) >= (kind.min_length or 0)
            return spelled if is_fit and (kind.pattern is None or re.search(kind.pattern, spelled)) else None
        case inspect.IntType():
            number = int(said) if (isinstance(said, str) and _is_whole(said)) or (isinstance(said, float) and said.is_integer()) else said
            is_fit = isinstance(number, int) and not isinstance(number, bool)
            is_fit = is_fit and (kind.ge is None or number >= kind.ge) and (kind.le is None or number <= kind.le)
            return number if is_fit else None
        case inspect.FloatType():
            return float(said) if isinstance(said, float) or (isinstance(said, int) and not isinstance(said, bool) and abs(said) < 10**300) else None
        case inspect.DecimalType():
            return _as_decimal(said)
        case inspect.BoolType():
            return {True: True, False: False, "true": True, "false": False}.get(said) if isinstance(said, bool | int | str) else None
        case inspect.DateTimeType():
            return _as_moment(said, path)
    return None


def _as_decimal(said: Any) -> Decimal | None:
    if isinstance(said, bool) or not isinstance(said, int | float | str) or (isinstance(said, str) and len(said) > _LONGEST_NUMBER):
        return None
    try:
        return Decimal(str(said))
    except DecimalException:
        return None


def _as_moment(said: Any, path: str) -> datetime | None:
    try:
        return instant(said, path) if isinstance(said, str) else None
    except Invalid:
        return None

"""The one reading of what comes from outside: whatever stands there, the right value, the clamped one, or the product's own error."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from time import perf_counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base import reading
from perennial.base.errors import Invalid
from perennial.base.money import Money, to_micros
from perennial.base.reading import EARLIEST, LATEST, Name, Unread, decode, noting
from perennial.base.time import FOREVER, to_ms


class Part(msgspec.Struct):
    number: int
    word: str = "none"


class Document(msgspec.Struct, rename="camel"):
    needed: Name
    a_number: int | float | None = None
    word: str | None = None
    parts: list[Part] = []
    words: dict[str, str] | None = None
    part: Part | None = None
    either: str | Part | None = None
    is_so: bool = False
    inner: msgspec.Raw = msgspec.Raw(b"{}")


class Spell(reading.Timed, frozen=True):
    begins: datetime
    ends: datetime | None = None


# Moments


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T12:00:00.123456789Z", datetime(2026, 1, 31, 12, microsecond=123456, tzinfo=UTC)),
        ("9999-12-31T23:59:59-14:00", LATEST),
        ("9999-12-31T23:59:59Z", LATEST),
        ("12026-01-01T00:00:00Z", LATEST),
        ("+12026-01-01T00:00:00Z", LATEST),
        ("0001-01-01T00:00:00+14:00", EARLIEST),
        ("0000-00-00T00:00:00Z", EARLIEST),
        ("-0044-03-15T00:00:00Z", EARLIEST),
    ],
)
def test_a_moment_in_text(said: str, moment: datetime) -> None:
    assert reading.instant(said, "at") == moment


@pytest.mark.parametrize("said", [None, "", "yesterday", "2026-02-30T00:00:00Z", "1" * 10_000, "2026-01-31T12:00:00\x00", "\ud800"])
def test_what_is_no_moment_names_its_field(said: str | None) -> None:
    with pytest.raises(Invalid) as caught:
        reading.instant(said, "at")
    assert caught.value.param == "at"


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        (1_767_225_600_000, datetime(2026, 1, 1, tzinfo=UTC)),
        ("1767225600000", datetime(2026, 1, 1, tzinfo=UTC)),
        (1_767_225_600_000.5, datetime(2026, 1, 1, microsecond=500, tzinfo=UTC)),
        (10**400, LATEST),
        (float("inf"), LATEST),
        ("9" * 300, LATEST),
        (0, EARLIEST),
        (-(10**30), EARLIEST),
        (float("-inf"), EARLIEST),
    ],
)
def test_a_moment_in_milliseconds(said: float | str, moment: datetime) -> None:
    assert reading.milliseconds(said, "at") == moment


@pytest.mark.parametrize("said", [None, float("nan"), "", "12.5", "x", "٣", "9" * 400])
def test_what_is_no_number_of_milliseconds(said: float | str | None) -> None:
    with pytest.raises(Invalid):
        reading.milliseconds(said, "at")


@given(st.one_of(st.integers(), st.floats(allow_nan=False)))
def test_every_number_is_a_moment_to_which_anything_can_be_added(number: float) -> None:
    for moment in (reading.milliseconds(number, "at"), reading.seconds(number, "at")):
        assert EARLIEST <= moment <= LATEST < FOREVER
        assert 0 <= to_ms(moment + timedelta(days=300_000)) < 2**53
        assert moment.astimezone(timezone(timedelta(hours=14))) == moment == moment.astimezone(timezone(timedelta(hours=-14)))


def test_durations_of_others_do_not_leave_the_calendar() -> None:
    assert reading.later(LATEST, timedelta(days=999_999_999)) == LATEST
    assert reading.later(EARLIEST, -timedelta(days=999_999_999)) == EARLIEST


# Amounts


@pytest.mark.parametrize(
    ("said", "currency", "amount"),
    [
        ("4.99", "usd", 499),
        (4.99, "EUR", 499),
        ("1200", "JPY", 1200),
        ("1e-999999999", "USD", 0),
        (Decimal("-0.005"), "USD", 0),
        (10**11, "USD", 10**13),
    ],
)
def test_an_amount_of_major_units(said: Decimal | float | str, currency: str, amount: int) -> None:
    assert reading.money(said, currency, "gross") == Money(amount=amount, currency=currency.upper())


@pytest.mark.parametrize("said", ["1e30", "-1e30", "NaN", "Infinity", "1e999999999", "-1e999999999", "four", "", "9" * 5000, 10**12, 1e300])
def test_what_is_no_amount(said: float | str) -> None:
    with pytest.raises(Invalid) as caught:
        reading.money(said, "USD", "gross")
    assert caught.value.param == "gross"


@given(st.integers(), st.sampled_from(["USD", "JPY", "KWD", "UYW"]))
def test_an_amount_that_passes_fits_a_bigint_in_every_unit(count: int, currency: str) -> None:
    for read in (lambda: reading.minor(count, currency, "n"), lambda: reading.parts(count, 1_000_000, currency, "n")):
        try:
            money = read()
        except Invalid:
            continue
        assert abs(to_micros(money)) < 2**63 and abs(money.amount) * 1000 < 2**63


def test_a_share_with_a_long_exponent_is_not_counted_out() -> None:
    started = perf_counter()
    assert reading.decimal("1e-9999999", "share") == 0
    assert perf_counter() - started < 1


@pytest.mark.parametrize(("said", "count"), [(None, 1), (1, 1), (3, 3), (0, 1), (-5, 1), (2**31, 1), (10**400, 1)])
def test_a_quantity(said: int | None, count: int) -> None:
    with noting() as noted:
        assert reading.quantity(said) == count
    assert bool(noted) == (said is not None and said != count)


# Documents


def test_what_is_not_needed_is_left_aside_and_what_is_readable_is_read() -> None:
    with noting() as noted:
        found = decode(
            b'{"needed": 7, "aNumber": "x", "word": ["?"], "parts": [{"number": 1}, {"number": "two"}, {"number": "3", "word": "\\u0000"}, 4],'
            b' "words": {"a": 1, "b": {}}, "part": [], "either": {"number": 9}, "isSo": "yes", "nobodyReads": "\\ud800\\u0000", "inner": {"a": [1]}}',
            Document,
        )
    assert found.needed == "7"
    assert found.parts == [Part(number=1), Part(number=3)]
    assert (found.a_number, found.word, found.words, found.part, found.either, found.is_so) == (None, None, {"a": "1"}, None, Part(number=9), False)
    assert bytes(found.inner) == b'{"a": [1]}'
    assert [one.field for one in noted] == ["aNumber", "word", "parts[].number", "parts[].word", "parts[]", "words{}", "part", "isSo"]
    assert noted[0] == Unread(field="aNumber", said='"x"')


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b'{"needed": null}', "needed"),
        (b"{}", "needed"),
        (b'{"needed": "a\\u0000"}', "needed"),
        (b'{"needed": "\\udc00"}', "needed"),
        (b'{"needed": "\xff"}', "needed"),
        (b'{"needed": "' + b"x" * 513 + b'"}', "needed"),
        (b"[]", None),
        (b"7", None),
        (b"", None),
        (b"{", None),
        (b"[" * 100_000, None),
        (b'{"needed": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
    ],
)
def test_a_document_without_what_it_needs_names_the_field(content: bytes, field: str | None) -> None:
    with pytest.raises(Invalid) as caught:
        decode(content, Document)
    assert caught.value.param == field


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5000, "1" + "0" * 400])
def test_numbers_of_any_size_are_numbers(number: str) -> None:
    found = decode(f'{{"needed": "a", "aNumber": {number}}}'.encode(), Document)
    assert found.a_number is not None
    assert reading.milliseconds(found.a_number, "aNumber") in (EARLIEST, LATEST)


@pytest.mark.parametrize(
    ("begins", "moment"),
    [
        ("2026-01-31T12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("9999-12-31T23:59:59-14:00", LATEST),
        ("0001-01-01T00:00:00+14:00", EARLIEST),
        ("10000-01-01T00:00:00Z", LATEST),
    ],
)
def test_moments_within_documents(begins: str, moment: datetime) -> None:
    assert decode(f'{{"begins": "{begins}"}}', Spell) == Spell(begins=moment)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["needed", "aNumber", "word", "parts", "words", "part", "either", "isSo", "inner"]), JSON))
def test_any_document_is_read_or_invalid(said: dict[str, object]) -> None:
    with noting():
        try:
            found = decode(json.dumps(said), Document)
        except Invalid:
            return
    assert reading.is_text(found.needed) and (found.word is None or reading.is_text(found.word))

"""No pattern over outside input backtracks: each of the product's is listed here with its worst text, and costs steps in proportion to it.

A pattern that is not in the table fails the first test. To add one, say what makes it work hardest: a beginning, what is repeated after it, and
an end that does not fit. Where the test then says that the steps grow faster than the text, write the pattern without repetitions that can share
characters (or with atomic groups and possessive repetitions), or use `find` and `split`.
"""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from time import process_time
from typing import Any

import pytest

import perennial
from perennial.api.incoming import MOST_BODY
from tests.rules.backtracking import TooManyStepsError, steps

PACKAGE = Path(perennial.__file__).parent
FUNCTIONS = ("compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer")
SMALL, LARGE = 60, 240  # repetitions: where steps grow with the square of the size, sixteen times the steps
STEEPEST = 8  # times the steps, for four times the text

Worst = tuple[str, str, str]  # a beginning, what is repeated, an end

# Patterns that must fit a whole text, or its beginning: they are tried at one place.
WHOLE: dict[str, Worst] = {
    r"[^@\s]{1,64}@[^@\s]{1,255}": ("a@", "a", "@"),
    r"[A-Za-z0-9_-]{43}": ("", "A", "!"),
    r"[A-Za-z0-9._~-]{43,128}": ("", "A", "!"),
    r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}": ("00000000", "-0000", "!"),
    r"(\d{4})_[a-z0-9_]+\.sql": ("0001_", "a", "!"),
    r"P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,8})M)?(?:(\d{1,9})S)?)?": ("P", "1", "!"),
    r"[a-zA-Z0-9_]{1,10}": ("", "a", "!"),
    r"(\d{1,6})([mhd])": ("", "1", ""),
    r"\$RCAnonymousID:[a-z0-9]{32}": ("$RCAnonymousID:", "a", "!"),
    r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?": ("localhost:", "1", "!"),
    r"[0-9]{1,24}": ("", "1", "a"),
    r"([A-Za-z0-9_=-]{1,200})&key_id=([0-9]{1,18})": ("a&key_id=", "1", "!"),
    r"(\d{1,3})\s*(Day|Week|Month|Year)s?": ("1", " ", "Dax"),
    r"sns\.[a-z0-9-]{1,32}\.amazonaws\.com(\.cn)?": ("sns.", "a", "!"),
    r"/SimpleNotificationService-[A-Za-z0-9]{1,64}\.pem": ("/SimpleNotificationService-", "a", "!"),
    r"[A-Za-z0-9_\-]{1,128}": ("", "a", "!"),
    r"[A-Za-z0-9_\-.]+": ("", "a.", "!"),
    r"(?P<name>\w+_at)_ms": ("", "_at_ms", "!"),
    r"/Date\((-?\d{1,40})(?:[+-]\d{4})?\)/": ("/Date(", "1", ""),
    r"test_[A-Za-z0-9_.\-]{1,200}": ("test_", "a", "!"),
    r"rc_promo_(?P<lookup_key>.+)_(?:daily|three_day|weekly|two_week|monthly|two_month|three_month|six_month|yearly|lifetime|custom)": (
        "rc_promo_",
        "_monthly",
        "!",
    ),
    r"\+?\d{5,12}-\d\d-\d\dT?[\d:.,Z+\- ]{0,40}": ("99999-12-31T", "0", "!"),
    r"(?:-\d{4,12}|[+-]?0{4})-\d\d-\d\dT?[\d:.,Z+\- ]{0,40}": ("-0001-01-01T", "0", "!"),
    r"(\d{1,2}(?:\.\d{1,4})?) ?%?(?: since (\d{4}-\d{2}-\d{2}))?": ("1", " %", "!"),
    # of the simulated stores' addresses
    r"/inApps/v1/subscriptions/(\d+)": ("/inApps/v1/subscriptions/", "1", "!"),
    r"/inApps/v2/history/(\d+)": ("/inApps/v2/history/", "1", "!"),
    r"/inApps/v1/transactions/(\d+)": ("/inApps/v1/transactions/", "1", "!"),
    r"/inApps/v1/notifications/history": ("", "/inApps/v1/notifications/history", ""),
    r"/inApps/v1/notifications/test": ("", "/inApps/v1/notifications/test", ""),
    r"/inApps/v1/notifications/test/([0-9a-f-]+)": ("/inApps/v1/notifications/test/", "a-", "!"),
    r"/inApps/v1/subscriptions/extend/(\d+)": ("/inApps/v1/subscriptions/extend/", "1", "!"),
    r"/purchases/subscriptionsv2/tokens/([^/:]+)": ("/purchases/subscriptionsv2/tokens/", "a", "/"),
    r"/purchases/subscriptionsv2/tokens/([^/:]+):cancel": ("/purchases/subscriptionsv2/tokens/", "a", "/"),
    r"/purchases/subscriptionsv2/tokens/([^/:]+):revoke": ("/purchases/subscriptionsv2/tokens/", "a", "/"),
    r"/purchases/subscriptionsv2/tokens/([^/:]+):defer": ("/purchases/subscriptionsv2/tokens/", "a", "/"),
    r"/purchases/(?:subscriptions|products)/[^/]+/tokens/([^/:]+):acknowledge": ("/purchases/products/a/tokens/", "a", "/"),
    r"/purchases/products/[^/]+/tokens/([^/:]+):consume": ("/purchases/products/a/tokens/", "a", "/"),
    r"/purchases/productsv2/tokens/([^/:]+)": ("/purchases/productsv2/tokens/", "a", "/"),
    r"/purchases/voidedpurchases": ("", "/purchases/voidedpurchases", ""),
    r"/orders:batchGet": ("", "/orders:batchGet", ""),
    r"/orders/([^/:]+)": ("/orders/", "a", "/"),
    r"/orders/([^/:]+):refund": ("/orders/", "a", "/"),
    r"(\d{1,9})(?:\.\d+)?s": ("1.", "1", "!"),
}

# Patterns that are looked for: they are tried at every place. Those of fields of wire types are among them.
ANYWHERE: dict[str, Worst] = {
    r"^[^\x00]*$": ("", "a", "\x00"),
    r"^[\x21-\x7e]*$": ("", "a", " "),
    r"(?:key|secret|token|password)$": ("", "key", "!"),
    r"^[A-Z]{3}$": ("", "A", "a"),
    r"^[A-Z]{2}$": ("", "A", "a"),
    r"^[a-z][a-z0-9+.-]*$": ("a", "a", "!"),
    r"^[a-zA-Z0-9_]+$": ("", "a", "!"),
    r"^[ -~]+$": ("", "a", "\n"),
    r"^#[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?$": ("#", "0", "!"),
    r"Object missing required field `(?P<field>[^`]+)`": ("", "Object missing required field `", ""),
    r"Missing required query parameter '(?P<field>[^']+)'": ("", "Missing required query parameter '", ""),
    r"Expected `(?P<kind>str|array|object)` of length (?P<sign>>=|<=|==) (?P<bound>\d+)": ("", "Expected `str` of length >= ", "1"),
    r"Expected `(?:int|float)` (?P<sign>>=|<=|>|<) (?P<bound>[\d.]+)": ("", "Expected `int` >= ", ""),
    r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`": ("", "Expected `", ""),
    r"Invalid enum value (?P<text>.+)": ("", "Invalid enum value ", ""),
    r"%\(([a-z_]+)\)s": ("", "%(a", ""),
    r"[\s,]+": ("", " ,", "a"),
    r"[^A-Za-z0-9._-]+": ("", "!a", ""),
    r"(\.\d{6})\d+": (".", "1", "."),
    r"[0-9A-Z]{26}": ("", "A" * 25 + "a", ""),
    r"/(?P<app_id>app_[0-9A-Za-z]+)(?P<call>/inApps/.*)": ("", "/app_1", "/inApps"),
    r"/(?P<app_id>app_[0-9A-Za-z]+)(?P<call>/(?:token|androidpublisher/v3/applications/.+))": ("", "/app_1", "/"),
    r"/(?P<app_id>app_[0-9A-Za-z]+)/v1/(?P<call>.+)": ("", "/app_1", "/v1/"),
    r"/(?P<app_id>app_[0-9A-Za-z]+)/portal/(?P<token>[0-9A-Za-z.]+)/?$": ("", "/app_1", "/portal/"),
}

# Where a pattern is taken from a type, as msgspec takes it: those patterns are found where the types are written.
FROM_TYPES = {"kind.pattern"}


@dataclass(frozen=True)
class Use:
    """A pattern in the source, with how it is used as far as the source of its own file says."""

    place: str
    pattern: Any
    methods: frozenset[str]


def _uses() -> Iterator[Use]:
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text()
        if "re." in source or "pattern" in source:
            yield from _uses_in(path, ast.parse(source))


def _uses_in(path: Path, tree: ast.Module) -> Iterator[Use]:
    names = {id(node.value): node.targets[0].id for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        place = f"{path.relative_to(PACKAGE)}:{call.lineno}"
        if _is_of_re(call.func) and ast.unparse(call.args[0]) not in FROM_TYPES:
            method = call.func.attr  # type: ignore[attr-defined]
            methods = {method} if method != "compile" else _methods_of(names.get(id(call), ""), tree)
            flags = [ast.unparse(argument) for argument in call.args[1:2]] if method == "compile" else []
            yield Use(place, re.compile(_value(path, call.args[0]), *(_value_of(path, flag) for flag in flags)), frozenset(methods))
        for keyword in call.keywords:
            if keyword.arg == "pattern":
                yield Use(place, re.compile(_value(path, keyword.value)), frozenset({"search"}))


def _is_of_re(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "re" and function.attr in FUNCTIONS


def _methods_of(name: str, tree: ast.Module) -> set[str]:
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name))
    return {node.attr for node in attributes if node.value.id == name and node.attr in FUNCTIONS}  # type: ignore[attr-defined]


def _value(path: Path, expression: ast.expr) -> Any:
    return _value_of(path, ast.unparse(expression))


def _value_of(path: Path, expression: str) -> Any:
    module = ".".join(("perennial", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    return eval(expression, vars(importlib.import_module(module)))


def _text_of(pattern: "re.Pattern[Any]") -> str:
    return pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")


USES = list(_uses())


def test_every_pattern_of_the_product_is_listed_with_its_worst_text() -> None:
    listed = WHOLE.keys() | ANYWHERE.keys()
    assert len(USES) > 60  # the test finds them
    assert [f"{use.place}: {_text_of(use.pattern)}" for use in USES if _text_of(use.pattern) not in listed] == []


def test_patterns_for_whole_texts_are_not_looked_for() -> None:
    assert [use.place for use in USES if _text_of(use.pattern) in WHOLE and use.methods - {"match", "fullmatch"}] == []


@pytest.mark.parametrize("use", USES, ids=lambda use: use.place)
def test_four_times_the_text_takes_about_four_times_the_steps(use: Use) -> None:
    text = _text_of(use.pattern)
    method = "fullmatch" if text in WHOLE else "finditer"
    worst = WHOLE.get(text) or ANYWHERE[text]
    for begins, repeated, ends in chain([worst], _others(text, worst)):
        few = steps(use.pattern, method, begins + repeated * SMALL + ends)
        try:
            steps(use.pattern, method, begins + repeated * LARGE + ends, limit=STEEPEST * max(few, SMALL * len(repeated)))
        except TooManyStepsError:
            pytest.fail(f"{text} takes more than {STEEPEST} times the steps for four times {begins!r} + {repeated!r} * n + {ends!r}")


def _others(text: str, worst: Worst) -> Iterator[Worst]:
    """Repetitions of one and two of the pattern's own characters, after nothing and after the worst text's beginning."""
    letters = [*sorted({character for character in text if character.isalnum() or character in "_.:/'`\" ,-%$\\"})[:4], "0", "a", '"', "\\"]
    pumps = [*letters, *("".join(pair) for pair in product(letters[-6:], repeat=2))]
    return ((begins, pump, "\n") for pump in pumps for begins in {"", worst[0]})


@pytest.mark.parametrize("use", USES, ids=lambda use: use.place)
def test_the_worst_text_of_the_largest_size_takes_no_time(use: Use) -> None:
    """A second is a hundred times what the slowest needs, and a thousandth of what the square of the size would."""
    text = _text_of(use.pattern)
    begins, repeated, ends = WHOLE.get(text) or ANYWHERE[text]
    outside: Any = begins + repeated * (MOST_BODY // len(repeated)) + ends
    if isinstance(use.pattern.pattern, bytes):
        outside = outside.encode("latin-1")
    began = process_time()
    if text in WHOLE:
        use.pattern.fullmatch(outside)
    else:
        for _ in use.pattern.finditer(outside):
            pass
    assert process_time() - began < 2


@pytest.mark.parametrize(
    ("pattern", "worst"),
    [
        (r'"(?:[^"\\]|\\.)*"', ("", '\\"', "")),  # the depth check of before
        (r"(a+)+b", ("", "a", "")),
        (r"\s+$", ("", " ", "a")),
        (r"\w+_at_ms", ("", "a", "")),
        (r".*a.*b.*c", ("", "a", "")),
    ],
)
def test_the_count_tells_what_backtracks(pattern: str, worst: Worst) -> None:
    begins, repeated, ends = worst
    few = steps(re.compile(pattern), "finditer", begins + repeated * 12 + ends, limit=10**6)
    with pytest.raises(TooManyStepsError):
        steps(re.compile(pattern), "finditer", begins + repeated * 48 + ends, limit=STEEPEST * few)

"""Documents as a hostile or careless store would send them: one that is right, with a few things wrong. Seeded: a number makes the same document."""

import json
import os
import random  # noqa: TID251  seeded: a number makes the same document
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

ROUNDS = int(os.environ.get("PERENNIAL_FUZZ_ROUNDS", "1"))  # `make deep` sets it
SEED = int(os.environ.get("PERENNIAL_FUZZ_SEED", "0"))

ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**31,
    2**63,
    -(2**63) - 1,
    10**30,
    10**400,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    -62_135_596_800_000,
    253_402_300_799_000,
    9_999_999_999,
    "",
    " ",
    "0",
    "-1",
    "9" * 30,
    "1e999999",
    "1e-999999",
    "12.345",
    "NaN",
    "٣",
    "²",
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff-",
    "x" * 600,
    "x" * 9000,
    "ü" * 1000,
    "a\nb",
    "a|b#c@d",
    "‮⁣",
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59-14:00",
    "10000-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-01-31T12:00:00",
    "/Date(9999999999999999)/",
    "/Date(-99999999999999)/",
    "SOMETHING_NEW",
    [],
    [None],
    {},
    {"a": {"b": [1]}},
]
MOST_CHANGES = 3
MOST_REPEATED = 5000  # of a list's entries: repeated again and again they would fill the memory
DEEPEST = 20
LARGEST = 250_000  # bytes


def mutated(document: Any, seed: int) -> Any:
    """The document with up to three things wrong, and no larger than a door takes."""
    chance = random.Random(seed)
    while True:
        changed = _changed(chance, document)
        if len(as_json(changed)) <= LARGEST:
            return changed


def _changed(chance: random.Random, document: Any) -> Any:
    changed = deepcopy(document)
    for _ in range(chance.randint(1, MOST_CHANGES)):
        places = list(_places(changed))
        if not places:
            return _odd(chance)
        holder, key = chance.choice(places)
        _change(chance, holder, key)
    return changed


def _places(document: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Every value within, by what holds it."""
    if depth > DEEPEST:
        return
    inner = list(document.items()) if isinstance(document, dict) else list(enumerate(document)) if isinstance(document, list) else []
    for key, one in inner:
        yield document, key
        yield from _places(one, depth + 1)


def _change(chance: random.Random, holder: Any, key: Any) -> None:
    said = holder[key]
    match chance.randint(0, 11):
        case 0:
            del holder[key]
        case 1 if not isinstance(said, list | dict):
            holder[key] = str(said)
        case 2:
            holder[key] = [said]
        case 3:
            holder[key] = {"inside": said}
        case 4 if isinstance(said, list):
            holder[key] = (said * 500)[:MOST_REPEATED]
        case 5:
            holder[key] = _deep(chance.choice((40, 2000)))
        case 6 if isinstance(said, int | float) and not isinstance(said, bool):
            holder[key] = chance.choice((-said, said * 10**12, str(said)))
        case _:
            holder[key] = _odd(chance)


def _odd(chance: random.Random) -> Any:
    """A copy of an odd value: a later change may be made within it, and must not change `ODD`."""
    return deepcopy(chance.choice(ODD))


def _deep(depth: int) -> Any:
    inner: Any = 1
    for _ in range(depth):
        inner = [inner]
    return inner


def as_json(document: Any) -> bytes:
    """With what JSON has no word for, as careless writers write it: Infinity, NaN, half a surrogate pair."""
    try:
        return json.dumps(document).encode()
    except RecursionError:
        return b'{"deep":' + b"[" * 5000 + b"]" * 5000 + b"}"
    except ValueError:  # a number too long to be written out
        return json.dumps(document, default=str).encode() if not isinstance(document, dict) else b'{"number":1' + b"0" * 5000 + b"}"


def cases(name: str, count: int) -> range:
    """Seeds for one target: as many as asked for, times the rounds, each target with its own."""
    first = SEED + sum(name.encode()) * 1_000_003
    return range(first, first + count * ROUNDS)

"""What every verb of the catalog asks of what it is given."""

from collections.abc import Sequence
from typing import TypeVar

from perennial.base.errors import Invalid
from perennial.catalog.model import Missing

T = TypeVar("T")


def one_of(found: Sequence[T], kind: str, wanted: str, param: str) -> T:
    if not found:
        raise Missing(f"no {kind} {wanted!r} in this project", param=param)
    return found[0]


def named(text: str, param: str, longest: int) -> str:
    if not text.strip() or len(text) > longest or "\x00" in text:
        raise Invalid(f"{param} must have 1 to {longest} characters", param=param)
    return text

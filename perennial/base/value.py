"""`@value`: a frozen, keyword-only record whose fields are compared, hashed and shown. Every value in the house is made with it.

What it makes is a `msgspec.Struct`: to define one, and to make one, costs less than a tenth of what a frozen dataclass costs
(docs/decisions/values-are-structs.md).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast, dataclass_transform

from msgspec import Struct, field, structs

if TYPE_CHECKING:
    from dataclasses import replace  # the type checker knows what it takes; at run time it is the one for structs
else:
    from msgspec.structs import replace

__all__ = ["field", "force_setattr", "names_of", "replace", "value"]

T = TypeVar("T")

force_setattr: Callable[[Any, str, Any], None] = structs.force_setattr  # for `__post_init__` alone: what is made stays as it is

_MAKE: Any = type(Struct)
_OF_A_PLAIN_CLASS = ("__dict__", "__weakref__")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    content = {name: it for name, it in vars(cls).items() if name not in _OF_A_PLAIN_CLASS}
    bases = (Struct, *(base for base in cls.__bases__ if base is not object))
    return cast(type[T], _MAKE(cls.__name__, bases, content, frozen=True, kw_only=True))


def names_of(cls: type[Any]) -> tuple[str, ...]:
    """The fields of a value, in their order."""
    names: tuple[str, ...] = cls.__struct_fields__
    return names

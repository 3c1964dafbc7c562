"""`@value`: a frozen, slotted, keyword-only dataclass. Every value in the house is made with it."""

from dataclasses import dataclass, replace
from typing import TypeVar, dataclass_transform

__all__ = ["replace", "value"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(cls: type[T]) -> type[T]:
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)

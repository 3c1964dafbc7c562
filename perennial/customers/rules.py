"""Decisions about identity and attributes. The identity rules follow the vendor's alias table for logIn."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from perennial.base.errors import Invalid
from perennial.base.time import to_ms
from perennial.base.value import value
from perennial.customers.model import (
    MAX_ATTRIBUTE_NAME,
    MAX_ATTRIBUTE_VALUE,
    MAX_ATTRIBUTES,
    Attribute,
    Customer,
    is_anonymous,
)

Identification = Literal["alias", "merge", "switch"]


def identification(current: Customer | None, current_id: str, target: Customer | None) -> Identification:
    """What logging in means: give the anonymous customer a name (alias), join two customers (merge), or just look at another (switch)."""
    if current is None or not is_anonymous(current_id) or not current.is_anonymous:
        return "switch"
    if target is None:
        return "alias"
    if target.customer_id == current.customer_id or any(is_anonymous(alias) for alias in target.aliases):
        return "switch"
    return "merge"


@value
class AttributeProblem:
    key: str
    message: str


def check_attributes(sent: Mapping[str, Attribute], held: Mapping[str, Attribute]) -> tuple[dict[str, Attribute], list[AttributeProblem]]:
    """The attributes that may be kept, and what is wrong with the others. Empty means deleted."""
    good: dict[str, Attribute] = {}
    problems: list[AttributeProblem] = []
    custom = {name for name, attribute in held.items() if attribute.value is not None and not name.startswith("$")}
    for name, attribute in sent.items():
        kept = Attribute(value=attribute.value or None, updated_at=attribute.updated_at)
        problem = _attribute_problem(name, kept, custom)
        if problem is None:
            good[name] = kept
            if kept.value is not None and not name.startswith("$"):
                custom.add(name)
        else:
            problems.append(AttributeProblem(key=name[:100], message=problem))
    return good, problems


def _attribute_problem(name: str, attribute: Attribute, custom: set[str]) -> str | None:
    if not name or len(name) > MAX_ATTRIBUTE_NAME or "\x00" in name:
        return f"attribute names have 1 to {MAX_ATTRIBUTE_NAME} characters"
    if attribute.value is not None and (len(attribute.value) > MAX_ATTRIBUTE_VALUE or "\x00" in attribute.value):
        return f"values have at most {MAX_ATTRIBUTE_VALUE} characters"
    if name == "$email" and attribute.value is not None and not _looks_like_email(attribute.value):
        return "this is not an e-mail address"
    if name not in custom and not name.startswith("$") and attribute.value is not None and len(custom) >= MAX_ATTRIBUTES:
        return f"a customer has at most {MAX_ATTRIBUTES} custom attributes; delete one first"
    return None


def _looks_like_email(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    return bool(local and at and "." in domain and not any(character.isspace() for character in text))


def merge_attributes(left: Mapping[str, Attribute], right: Mapping[str, Attribute]) -> dict[str, Attribute]:
    """Per name, the newer write."""
    merged = dict(left)
    for name, attribute in right.items():
        if name not in merged or attribute.updated_at > merged[name].updated_at:
            merged[name] = attribute
    return merged


def at_latest(moment: datetime, bound: datetime) -> datetime:
    """A device's clock may run ahead; a write from the future would otherwise win for years."""
    if moment.tzinfo is None:
        raise Invalid("updated_at must be an instant")
    return min(moment, bound)


def told(customer: Customer) -> dict[str, Any]:
    """The customer as the vendor's webhook objects name them; an attribute that was taken away is left out."""
    return {
        "app_user_id": customer.app_user_id,
        "original_app_user_id": customer.original_app_user_id,
        "aliases": list(customer.aliases),
        "subscriber_attributes": {
            name: {"value": attribute.value, "updated_at_ms": to_ms(attribute.updated_at)}
            for name, attribute in customer.attributes.items()
            if attribute.value is not None
        },
    }

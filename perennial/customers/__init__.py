"""Who customers are: app user ids, aliases, merges, attributes, when they were last seen."""

from perennial.customers.actions import add_alias, block, ensure, ensure_named, forget, get, join, set_attributes, unblock
from perennial.customers.db import (
    aliases,
    blocked,
    blocked_among,
    bump,
    clear_offering_override,
    find,
    find_hashed,
    load,
    lock,
    lock_free,
    merged_ids,
    offering_override,
    page,
    save_sightings,
    set_offering_override,
)
from perennial.customers.model import Attribute, Customer, Sighting
from perennial.customers.rules import AttributeProblem, identification

__all__ = [
    "Attribute",
    "AttributeProblem",
    "Customer",
    "Sighting",
    "add_alias",
    "aliases",
    "block",
    "blocked",
    "blocked_among",
    "bump",
    "clear_offering_override",
    "ensure",
    "ensure_named",
    "find",
    "find_hashed",
    "forget",
    "get",
    "identification",
    "join",
    "load",
    "lock",
    "lock_free",
    "merged_ids",
    "offering_override",
    "page",
    "save_sightings",
    "set_attributes",
    "set_offering_override",
    "unblock",
]

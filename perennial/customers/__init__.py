"""Who customers are: app user ids, aliases, merges, attributes, when they were last seen."""

from perennial.customers.actions import ensure, get, join, set_attributes
from perennial.customers.db import add_alias, aliases, bump, find, load, lock, lock_free, merged_ids, page, save_sightings
from perennial.customers.model import Attribute, Customer, Sighting
from perennial.customers.rules import AttributeProblem, identification

__all__ = [
    "Attribute",
    "AttributeProblem",
    "Customer",
    "Sighting",
    "add_alias",
    "aliases",
    "bump",
    "ensure",
    "find",
    "get",
    "identification",
    "join",
    "load",
    "lock",
    "lock_free",
    "merged_ids",
    "page",
    "save_sightings",
    "set_attributes",
]

"""SQL of what customers hold, by its nouns."""

from perennial.subscriptions.db.lines import (
    due,
    forget_words,
    load,
    load_by_ids,
    load_of_customers,
    misnamed,
    save,
    sold_within,
    unclaimed,
    was_sold,
)
from perennial.subscriptions.db.places import Key, Place, find_places, hold, insert_places, join_lines, move
from perennial.subscriptions.db.untold import Untold, keep_untold, take_untold

__all__ = [
    "Key",
    "Place",
    "Untold",
    "due",
    "find_places",
    "forget_words",
    "hold",
    "insert_places",
    "join_lines",
    "keep_untold",
    "load",
    "load_by_ids",
    "load_of_customers",
    "misnamed",
    "move",
    "save",
    "sold_within",
    "take_untold",
    "unclaimed",
    "was_sold",
]

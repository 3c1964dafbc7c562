"""SQL of what customers hold, by its nouns."""

from perennial.subscriptions.db.lines import due, forget_words, load, load_by_ids, load_of_customers, save, sold_within, was_sold
from perennial.subscriptions.db.places import Key, Place, find_places, hold, insert_places, join_lines, move

__all__ = [
    "Key",
    "Place",
    "due",
    "find_places",
    "forget_words",
    "hold",
    "insert_places",
    "join_lines",
    "load",
    "load_by_ids",
    "load_of_customers",
    "move",
    "save",
    "sold_within",
    "was_sold",
]

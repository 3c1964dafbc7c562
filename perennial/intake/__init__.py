"""What stores send us: the inbox of notifications, posted receipts, questions to stores and acts at them."""

from perennial.intake.actions import (
    Providers,
    Receipt,
    ask_about,
    ask_due,
    catch_up,
    digest,
    perform,
    perform_due,
    read_receipt,
    receive,
    record_receipt,
)
from perennial.intake.db import inquire, store_apps

__all__ = [
    "Providers",
    "Receipt",
    "ask_about",
    "ask_due",
    "catch_up",
    "digest",
    "inquire",
    "perform",
    "perform_due",
    "read_receipt",
    "receive",
    "record_receipt",
    "store_apps",
]

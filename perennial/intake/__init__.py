"""What stores send us: the inbox of notifications, posted receipts, and questions to stores."""

from perennial.intake.actions import Providers, Receipt, ask_about, ask_due, catch_up, digest, read_receipt, receive, record_receipt
from perennial.intake.db import inquire, store_apps

__all__ = ["Providers", "Receipt", "ask_about", "ask_due", "catch_up", "digest", "inquire", "read_receipt", "receive", "record_receipt", "store_apps"]

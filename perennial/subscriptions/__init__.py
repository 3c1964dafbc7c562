"""What customers hold, whoever sold it: lines of stores, their purchases, what was told of them."""

from perennial.subscriptions.actions import ReceiptInUse, Said, find, identify, join, record, wake
from perennial.subscriptions.db import load_by_ids, load_of_customers
from perennial.subscriptions.rules import access_end, access_until, auto_renew_off_at, billing_issue_at, grace_until, is_entitled, latest, status

__all__ = [
    "ReceiptInUse",
    "Said",
    "access_end",
    "access_until",
    "auto_renew_off_at",
    "billing_issue_at",
    "find",
    "grace_until",
    "identify",
    "is_entitled",
    "join",
    "latest",
    "load_by_ids",
    "load_of_customers",
    "record",
    "status",
    "wake",
]

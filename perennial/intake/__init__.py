"""What stores send us: the inbox of notifications, posted receipts, questions to stores and acts at them."""

from perennial.intake.actions import (
    ExternalPayment,
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
    record_external,
    record_receipt,
)
from perennial.intake.db import inquire, store_apps
from perennial.intake.external import AutoRenewal, ExternalPurchase, ExternalStatus, ExternalSubscription

__all__ = [
    "AutoRenewal",
    "ExternalPayment",
    "ExternalPurchase",
    "ExternalStatus",
    "ExternalSubscription",
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
    "record_external",
    "record_receipt",
    "store_apps",
]

"""What stores send us: the inbox of notifications, posted receipts, questions to stores and acts at them."""

from perennial.intake.actions import (
    ExternalPayment,
    Providers,
    Receipt,
    ask_about,
    ask_due,
    digest,
    perform,
    perform_due,
    read_receipt,
    receive,
    record_external,
    record_receipt,
)
from perennial.intake.catching_up import catch_up, report
from perennial.intake.db import inquire, store_apps
from perennial.intake.external import AutoRenewal, ExternalPurchase, ExternalStatus, ExternalSubscription
from perennial.intake.model import CatchUp, Report

__all__ = [
    "AutoRenewal",
    "CatchUp",
    "ExternalPayment",
    "ExternalPurchase",
    "ExternalStatus",
    "ExternalSubscription",
    "Providers",
    "Receipt",
    "Report",
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
    "report",
    "store_apps",
]

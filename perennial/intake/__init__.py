"""What stores send us: the inbox of notifications, posted receipts, questions to stores and acts at them."""

from perennial.intake.actions.acting import perform, perform_due
from perennial.intake.actions.asking import Providers, ask_about, ask_due, being_asked, follow
from perennial.intake.actions.catching_up import catch_up, report
from perennial.intake.actions.checking import Checked, check_app
from perennial.intake.actions.creating import create_in_store
from perennial.intake.actions.external import ExternalPayment, record_external
from perennial.intake.actions.inbox import digest, note_misdelivery, receive
from perennial.intake.actions.managing import management_url
from perennial.intake.actions.pulling import pull
from perennial.intake.actions.receipt_data import receipt_data
from perennial.intake.actions.receipts import Receipt, nothing_more, post_receipt, read_receipt
from perennial.intake.actions.unread import UNREAD_FIELDS, UNREADABLE, unread
from perennial.intake.db import inquire, store_apps, wake_act, wake_inquiry, wake_message
from perennial.intake.external import AutoRenewal, ExternalPurchase, ExternalStatus, ExternalSubscription, OfferType
from perennial.intake.model import CatchUp, Report
from perennial.intake.wrappings import ADVICE, WRAPPINGS, Wrapping, wrapping_of

__all__ = [
    "ADVICE",
    "UNREADABLE",
    "UNREAD_FIELDS",
    "WRAPPINGS",
    "AutoRenewal",
    "CatchUp",
    "Checked",
    "ExternalPayment",
    "ExternalPurchase",
    "ExternalStatus",
    "ExternalSubscription",
    "OfferType",
    "Providers",
    "Receipt",
    "Report",
    "Wrapping",
    "ask_about",
    "ask_due",
    "being_asked",
    "catch_up",
    "check_app",
    "create_in_store",
    "digest",
    "follow",
    "inquire",
    "management_url",
    "note_misdelivery",
    "nothing_more",
    "perform",
    "perform_due",
    "post_receipt",
    "pull",
    "read_receipt",
    "receipt_data",
    "receive",
    "record_external",
    "report",
    "store_apps",
    "unread",
    "wake_act",
    "wake_inquiry",
    "wake_message",
    "wrapping_of",
]

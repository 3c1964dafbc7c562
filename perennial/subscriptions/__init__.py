"""What customers hold, whoever sold it: lines of stores, their purchases, what was told of them."""

from perennial.subscriptions.actions.claims import ReceiptInUse
from perennial.subscriptions.actions.granting import grant, grant_more, revoke_grants
from perennial.subscriptions.actions.lookups import customer_infos, find, find_by_keys, misnamed, unclaimed
from perennial.subscriptions.actions.moving import identify, join, transfer
from perennial.subscriptions.actions.recording import due, forget_person, record, wake
from perennial.subscriptions.actions.saving import sellers
from perennial.subscriptions.actions.statements import Said
from perennial.subscriptions.customer_info import MANAGEMENT_URLS, Document, opening, render
from perennial.subscriptions.db import Key, hold, load_by_ids, load_of_customers, sold_within, was_sold
from perennial.subscriptions.ownership import UNCLAIMED_WAITS
from perennial.subscriptions.proceeds import shares
from perennial.subscriptions.rules import (
    access_end,
    access_until,
    auto_renew_off_at,
    billing_issue_at,
    grace_until,
    is_entitled,
    is_grant,
    latest,
    newer,
    original_purchased_at,
    original_transaction,
    period_before,
    period_number,
    period_of,
    presented_offering,
    refunded_at,
    refunded_share,
    sold_with,
    status,
)

__all__ = [
    "MANAGEMENT_URLS",
    "UNCLAIMED_WAITS",
    "Document",
    "Key",
    "ReceiptInUse",
    "Said",
    "access_end",
    "access_until",
    "auto_renew_off_at",
    "billing_issue_at",
    "customer_infos",
    "due",
    "find",
    "find_by_keys",
    "forget_person",
    "grace_until",
    "grant",
    "grant_more",
    "hold",
    "identify",
    "is_entitled",
    "is_grant",
    "join",
    "latest",
    "load_by_ids",
    "load_of_customers",
    "misnamed",
    "newer",
    "opening",
    "original_purchased_at",
    "original_transaction",
    "period_before",
    "period_number",
    "period_of",
    "presented_offering",
    "record",
    "refunded_at",
    "refunded_share",
    "render",
    "revoke_grants",
    "sellers",
    "shares",
    "sold_with",
    "sold_within",
    "status",
    "transfer",
    "unclaimed",
    "wake",
    "was_sold",
]

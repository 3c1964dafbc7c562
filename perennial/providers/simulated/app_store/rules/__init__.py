"""How the simulated App Store behaves: pure functions from one state of a line to the next, and what it sends on the way.

A customer's act is a function `(line, ..., now) -> line`; what happens by itself is `play`. Both leave their notifications in the line's
outbox; `advance` plays what is due and hands out what is to be posted. The same state and time always give the same result.

The rules are Apple's: renewal on the day of the first purchase, clamped to short months; grace of 3, 6, 16 or 28 days; billing retry for
60 days; a recovery in grace keeps the billing date, a later one starts anew; upgrades at once, downgrades at the renewal.
"""

from perennial.providers.simulated.app_store.rules.allowed import has_access
from perennial.providers.simulated.app_store.rules.charges import MOST_CHARGES, find_charge, line_of
from perennial.providers.simulated.app_store.rules.customers import (
    buy,
    cancel,
    consent,
    downgrade,
    redeem_offer,
    resubscribe,
    revert_downgrade,
    uncancel,
    upgrade,
)
from perennial.providers.simulated.app_store.rules.outbox import (
    KEPT,
    MOST_KEPT,
    draft_test,
    mark_posted,
    next_posting,
    next_signing,
    put,
    resend_lost,
    sign_moment,
    take_due,
    whole,
)
from perennial.providers.simulated.app_store.rules.playing import MOST_MOMENTS, RETRY_DAYS, advance, next_moment, next_turn, play
from perennial.providers.simulated.app_store.rules.sellers import (
    GRACE_DAYS,
    LONGEST_EXTENSION,
    decline_refund,
    extend,
    fail_next_renewal,
    raise_price,
    refund,
    request_refund,
    reverse_refund,
    revert_failure,
    revoke_family,
)

__all__ = [
    "GRACE_DAYS",
    "KEPT",
    "LONGEST_EXTENSION",
    "MOST_CHARGES",
    "MOST_KEPT",
    "MOST_MOMENTS",
    "RETRY_DAYS",
    "advance",
    "buy",
    "cancel",
    "consent",
    "decline_refund",
    "downgrade",
    "draft_test",
    "extend",
    "fail_next_renewal",
    "find_charge",
    "has_access",
    "line_of",
    "mark_posted",
    "next_moment",
    "next_posting",
    "next_signing",
    "next_turn",
    "play",
    "put",
    "raise_price",
    "redeem_offer",
    "refund",
    "request_refund",
    "resend_lost",
    "resubscribe",
    "reverse_refund",
    "revert_downgrade",
    "revert_failure",
    "revoke_family",
    "sign_moment",
    "take_due",
    "uncancel",
    "upgrade",
    "whole",
]

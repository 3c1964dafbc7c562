"""A Stripe of one's own, for sandbox projects: it signs and posts webhooks, plays billing on the project's clock, and answers like Stripe's API.

It is real, not a mock: tests, sandboxes and the demo run on it, and its webhooks take the way Stripe's take. An app that opted in asks it where it
would ask Stripe: its `api_base_url` points here, and its key and signing secret were made here.

Not played: several items on one subscription, coupons, taxes, metered prices, invoices to be paid later, and the customer's balance (a credit is
kept on its invoice). Prices and products are the catalog's.
"""

from perennial.providers.simulated.stripe.actions import (
    PATH,
    act,
    buy,
    cancel,
    cancel_now,
    close_dispute,
    dispute,
    downgrade,
    fail_next_charge,
    fail_refund,
    find,
    is_simulated,
    lives,
    opt_in,
    pause,
    pay,
    plan_of,
    play_due,
    refund,
    require_store,
    resume,
    revert_downgrade,
    revert_failure,
    set_quantity,
    set_silent,
    uncancel,
    upgrade,
)
from perennial.providers.simulated.stripe.model import Bought, Failure, Life
from perennial.providers.simulated.stripe.server import StripeServer

__all__ = [
    "PATH",
    "Bought",
    "Failure",
    "Life",
    "StripeServer",
    "act",
    "buy",
    "cancel",
    "cancel_now",
    "close_dispute",
    "dispute",
    "downgrade",
    "fail_next_charge",
    "fail_refund",
    "find",
    "is_simulated",
    "lives",
    "opt_in",
    "pause",
    "pay",
    "plan_of",
    "play_due",
    "refund",
    "require_store",
    "resume",
    "revert_downgrade",
    "revert_failure",
    "set_quantity",
    "set_silent",
    "uncancel",
    "upgrade",
]

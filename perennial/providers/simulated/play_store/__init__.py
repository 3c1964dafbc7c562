"""A Google Play of one's own, for sandbox projects: it pushes notifications, plays lifecycles on the project's clock, and answers like Google's API.

It is real, not a mock: tests, sandboxes and the demo run on it, and its pushes take the way Google's take. An app that opted in asks it where it
would ask Google: its `api_base_url` points here, its service account was made here, and push tokens signed here count for that app alone.

Not played: payments that stay pending, add-ons, instalments, price changes, offers other than a free trial, and parts of an
order given back. Prices and products are the catalog's.
"""

from perennial.providers.simulated.play_store.actions import (
    PATH,
    act,
    bought,
    buy,
    cancel,
    consume,
    defer,
    downgrade,
    fail_next_renewal,
    find,
    is_simulated,
    lives,
    opt_in,
    pause,
    plan_of,
    play_due,
    refund,
    require_store,
    restore,
    resubscribe,
    resume,
    revert_failure,
    set_silent,
    status,
    top_up,
    uncancel,
    upgrade,
)
from perennial.providers.simulated.play_store.model import Bought, Life, Replacement
from perennial.providers.simulated.play_store.server import PlayServer

__all__ = [
    "PATH",
    "Bought",
    "Life",
    "PlayServer",
    "Replacement",
    "act",
    "bought",
    "buy",
    "cancel",
    "consume",
    "defer",
    "downgrade",
    "fail_next_renewal",
    "find",
    "is_simulated",
    "lives",
    "opt_in",
    "pause",
    "plan_of",
    "play_due",
    "refund",
    "require_store",
    "restore",
    "resubscribe",
    "resume",
    "revert_failure",
    "set_silent",
    "status",
    "top_up",
    "uncancel",
    "upgrade",
]

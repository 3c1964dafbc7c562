"""What customers do at our checkout on the web by themselves: so far, changing the plan of a subscription they have at Stripe."""

from perennial.checkout.actions import complete_change, start_change
from perennial.checkout.model import Change, NotPossible, Started, SubscriberToken, TokenRefused
from perennial.checkout.rules import mint, open_token

__all__ = ["Change", "NotPossible", "Started", "SubscriberToken", "TokenRefused", "complete_change", "mint", "open_token", "start_change"]

"""Ads that were watched, and what they give."""

from datetime import datetime
from typing import Literal

from perennial.base.ids import AppId, CustomerId
from perennial.base.value import value

MOST_REWARDS = 100  # of one app
LONGEST_TRANSACTION = 1024  # of what an SDK calls an ad
AD_UNITS = "admob_ad_units"  # the app's setting: ids of its ad units, with commas or spaces between

Failure = Literal["missing_user", "invalid_user", "customer_blocked", "no_reward", "reward_missing", "balance_limit"]


@value
class AdReward:
    """What an ad whose unit rewards `reward_item` gives: some of a virtual currency, or an entitlement for a while."""

    reward_item: str  # as the ad unit names it
    currency_code: str | None = None
    amount: int | None = None  # of the currency; None: as much as the ad unit says
    lookup_key: str | None = None  # of the entitlement
    duration: str | None = None  # ISO 8601


@value
class Watched:
    """An ad somebody watched, by the signed word of its network."""

    transaction_id: str
    ad_unit: str
    reward_item: str
    reward_amount: int
    watched_at: datetime
    user_id: str | None = None  # the app user id, as the app told it to the network
    client_transaction: str | None = None  # the SDK's name of it, by which it asks what came of it


@value
class Given:
    """One thing a watched ad gave, in the SDKs' words."""

    type: Literal["virtual_currency", "entitlement"]
    code: str | None = None
    amount: int | None = None
    identifier: str | None = None
    expires_at: datetime | None = None


@value
class Verification:
    """What became of a watched ad. `failure` None: it was rewarded."""

    app_id: AppId
    watched: Watched
    customer_id: CustomerId | None
    received_at: datetime
    failure: Failure | None = None
    given: tuple[Given, ...] = ()


FAILURES: dict[Failure, str] = {
    "missing_user": "the ad network named no user; the app must set one before it shows the ad",
    "invalid_user": "what the ad network named is no app user id",
    "customer_blocked": "this customer is blocked",
    "no_reward": "nothing is set up for this reward item",
    "reward_missing": "the currency or entitlement set up for this reward item is gone",
    "balance_limit": "the customer has as much of the currency as anyone may",
}

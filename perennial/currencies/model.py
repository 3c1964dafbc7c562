"""Wallets, what purchases give to them, and the movements that are told."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from perennial.base.errors import Conflict
from perennial.base.ids import AppId, CustomerId
from perennial.base.value import value


class NotEnough(Conflict):
    """The customer has less than what is to be taken."""


class TooMuch(Conflict):
    """The customer would have more than anyone may."""


@value
class Origin:
    """The purchase a movement comes from."""

    store: str
    environment: str
    transaction: str
    app_id: AppId | None
    product: str  # in the store's words
    country: str | None = None


@value
class Earning:
    """A purchase, as far as wallets care: what it may give, until when, and how much of its price was given back."""

    customer_id: CustomerId
    origin: Origin
    purchased_at: datetime
    ends_at: datetime | None  # when what was given for this cycle goes, where it goes; None: the purchase has no end
    is_subscription: bool
    is_trial: bool = False
    quantity: int = 1
    charged_ppm: int = 1_000_000  # of the full price of what its period sells, in millionths: so much is given
    refunded_ppm: int = 0  # of the price, in millionths


@value
class Grant:
    """What a purchase gave of one currency, once. Its amounts are what was reckoned; what is left of it, the ledger knows."""

    grant_id: str
    customer_id: CustomerId
    origin: Origin
    code: str
    amount: int
    due_back: int = 0  # by refunds
    taken_back: int = 0  # less than that where it was spent already
    reckonings: int = 0  # how often refunds changed it
    expires_at: datetime | None = None
    wake_at: datetime | None = None  # None: it does not expire, or it did


@value
class Wallet:
    """What a customer has, by account; `ends` says when those that expire do."""

    customer_id: CustomerId
    balances: Mapping[str, int]
    ends: Mapping[str, datetime]


@value
class Movement:
    """Something to tell: what came into a wallet or left it, and why. `key` names it: the same movement has the same key."""

    key: str
    customer_id: CustomerId
    adjustments: tuple[tuple[str, int], ...]  # code, and by how much
    source: Literal["in_app_purchase", "admin_api"]
    happened_at: datetime
    origin: Origin | None = None
    reference: str | None = None


@value
class Adjustment:
    """What a server of the project changed, and the balances it was answered with."""

    adjustment_id: str
    customer_id: CustomerId
    adjustments: Mapping[str, int]
    balances: Mapping[str, int]
    is_told: bool
    reference: str | None = None

"""What a store states, and what we hold of it.

A store's word is a `Statement`: purchases and renewal snapshots of one line, each with its own `as_of`. Both are sets with a key, so
merging statements is set union: commutative, associative, idempotent. Late, doubled and out-of-order messages are not special cases.
"""

from datetime import datetime
from typing import Literal

from perennial.base.ids import AppId, CustomerId, LineId
from perennial.base.money import Money
from perennial.base.value import value

Store = Literal["app_store", "mac_app_store", "test_store"]
Environment = Literal["production", "sandbox"]
Kind = Literal["subscription", "consumable", "non_consumable", "non_renewing"]
PeriodType = Literal["normal", "intro", "trial"]
Ownership = Literal["purchased", "family_shared"]
EndReason = Literal["unsubscribe", "billing_error", "price_increase", "developer", "customer_support", "unknown"]


@value
class Revocation:
    """A refund, or family access taken back. `share_ppm` is the refunded part in millionths of the price."""

    at: datetime
    refunded: bool  # False when family access ended: no money moved
    share_ppm: int = 1_000_000


@value
class Offer:
    """The offer a period was bought with. `kind`: introductory, promotional, offer_code, win_back."""

    kind: str
    identifier: str | None = None


@value
class Purchase:
    """One charge of a store: a period of a subscription, or a one-time purchase. Keyed by `transaction`; the newest `as_of` wins."""

    transaction: str
    product: str  # the store's product identifier
    kind: Kind
    purchased_at: datetime
    expires_at: datetime | None  # the end of the paid service; None for what does not end
    as_of: datetime
    is_first: bool  # the line's first charge, by the store's own word
    is_renewal: bool  # charged by the store without an act of the customer
    period_type: PeriodType = "normal"
    ownership: Ownership = "purchased"
    price: Money | None = None
    quantity: int = 1
    offer: Offer | None = None
    country: str | None = None  # ISO 3166 alpha-2
    revocation: Revocation | None = None
    is_superseded: bool = False  # replaced by an upgrade: its successor decides
    is_summary: bool = False  # from a source that tells less (legacy receipts): a full statement counts before it, whatever the dates


@value
class Renewal:
    """What a store said, at one moment, of how a period will go on. Keyed by `as_of`: all are kept, the newest is the present."""

    as_of: datetime
    transaction: str  # the period it speaks of
    auto_renew: bool | None
    next_product: str | None = None  # None: the same as now
    off_reason: EndReason | None = None
    in_billing_retry: bool = False
    grace_until: datetime | None = None
    ended: EndReason | None = None  # the store's own word that the period ended and nothing followed
    price_consent: Literal["pending", "accepted"] | None = None


@value
class Statement:
    """One line of one store, as one message tells it.

    `line` is the store's key of the subscription or one-time purchase (Apple: originalTransactionId). `customer_hint` is what the
    app attached at the purchase to say who buys (Apple: appAccountToken), lower case.
    """

    store: Store
    environment: Environment
    line: str
    purchases: tuple[Purchase, ...]
    renewals: tuple[Renewal, ...] = ()
    customer_hint: str | None = None


@value
class Told:
    """What we have told the world about one purchase, so that nothing is told twice."""

    purchased: bool = False
    expires_at: datetime | None = None  # the end we last told
    revoked_at: datetime | None = None
    expired: bool = False
    reversals: int = 0
    billing_issue: bool = False


@value
class ToldLine:
    """The standing facts of the line we last told: a change of mind is told when the present differs."""

    auto_renew: bool = True
    next_product: str | None = None


@value
class Held:
    """A purchase as a customer holds it: the store's word, what we told of it, and where it was presented."""

    purchase: Purchase
    told: Told = Told()
    presented_offering: str | None = None


@value
class Line:
    """Everything known of one subscription or one-time purchase. `held` is in the order the periods began, `renewals` by `as_of`."""

    line_id: LineId
    customer_id: CustomerId
    app_id: AppId
    store: Store
    environment: Environment
    store_line: str
    heard_at: datetime
    held: tuple[Held, ...] = ()
    renewals: tuple[Renewal, ...] = ()
    told: ToldLine = ToldLine()
    wake_at: datetime | None = None


EventType = Literal[
    "INITIAL_PURCHASE",
    "RENEWAL",
    "NON_RENEWING_PURCHASE",
    "PRODUCT_CHANGE",
    "CANCELLATION",
    "UNCANCELLATION",
    "BILLING_ISSUE",
    "EXPIRATION",
    "SUBSCRIPTION_EXTENDED",
    "REFUND",  # ours: a refund of an earlier period; the vendor tells only the latest period's
    "REFUND_REVERSED",
]


@value
class Telling:
    """One thing to tell. `key` names the fact within its line and type: the same fact has the same key, whenever it is told."""

    type: EventType
    key: str
    happened_at: datetime
    held: Held
    reason: EndReason | None = None
    new_product: str | None = None
    grace_until: datetime | None = None
    refunded: Money | None = None
    is_trial_conversion: bool = False
    renewal_number: int = 1


Status = Literal["active", "in_grace_period", "in_billing_retry", "expired", "revoked"]

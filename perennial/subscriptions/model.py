"""What a store states, and what we hold of it.

A store's word is a `Statement`: purchases and renewal snapshots of one line, each with its own `as_of`. Both are sets with a key, so
merging statements is set union: commutative, associative, idempotent. Late, doubled and out-of-order messages are not special cases.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from perennial.base.ids import AppId, CustomerId, LineId
from perennial.base.money import Money
from perennial.base.time import to_ms
from perennial.base.value import replace, value

Store = Literal[
    "app_store",
    "mac_app_store",
    "play_store",
    "stripe",
    "amazon",
    "roku",
    "paddle",
    "microsoft",
    "external",  # another system of the project's own, told by the External Purchases API
    "promotional",  # granted by hand: no money, no store
    "test_store",
]
Environment = Literal["production", "sandbox"]
Kind = Literal["subscription", "consumable", "non_consumable", "non_renewing"]
PeriodType = Literal["normal", "intro", "trial", "prepaid", "promotional"]
Ownership = Literal["purchased", "family_shared"]
EndReason = Literal["unsubscribe", "billing_error", "price_increase", "developer", "customer_support", "subscription_paused", "unknown"]


@value
class Revocation:
    """Access taken back before the period's end. `share_ppm` is the part of the price refunded with it, in millionths."""

    at: datetime
    refunded: bool  # False where no money moved: family access ended, a store's revocation without a refund
    share_ppm: int = 1_000_000


@value
class Refund:
    """Money given back that by itself takes no access: partial refunds, refunds without a revocation, lost disputes.

    Keyed by the store's id of the refund. What a `Revocation` gave back is not said here again.
    """

    identifier: str
    at: datetime
    amount: Money  # positive, in the purchase's currency
    is_reversed: bool = False  # the refund failed later, or the dispute was won: the money stayed


@value
class Offer:
    """The offer a period was bought with. `kind`: introductory, promotional, offer_code, win_back."""

    kind: str
    identifier: str | None = None


@value
class Purchase:
    """One charge of a store: a period of a subscription, or a one-time purchase. Keyed by `transaction`; the newest `as_of` wins.

    A proration is a charge, a credit or a change of product or quantity within a period that runs: revenue, and what is served from
    then on, but no new period. It is neither the line's first purchase nor a renewal. One that ends when it begins gives no time: a bill for usage
    after the fact, money alone.
    """

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
    price: Money | None = None  # what the customer paid, taxes included; None: the store did not say
    tax: Money | None = None  # the part of `price` that is tax, where the store says it
    commission: Money | None = None  # what the store kept of it, where the store says it
    quantity: int = 1
    offer: Offer | None = None
    country: str | None = None  # ISO 3166 alpha-2
    revocation: Revocation | None = None
    refunds: tuple[Refund, ...] = ()  # by identifier
    is_superseded: bool = False  # replaced by an upgrade: its successor decides
    is_proration: bool = False
    charged_ppm: int | None = None  # the share charged of the full price of what its period sells, in millionths; None: the store did not say
    is_summary: bool = False  # from a source that tells less (legacy receipts): a full statement counts before it, whatever the dates

    @property
    def gives_no_time(self) -> bool:
        """Money alone: a charge for what was served already."""
        return self.is_proration and self.expires_at is not None and self.expires_at <= self.purchased_at


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
    ended_at: datetime | None = None  # the line is over since then, whatever was paid: of all that had begun, nothing gives access any more
    price_consent: Literal["pending", "accepted"] | None = None
    pause: Literal["scheduled", "in_force"] | None = None  # scheduled: access goes on until the period's end
    resumes_at: datetime | None = None  # when a pause ends by itself


@value
class Noted:
    """Free words of the project's own system about what was bought with it. The later ones count, whole; none (`{}`) take the earlier away."""

    as_of: datetime
    words: Mapping[str, str | int | float | bool | None]


@value
class Statement:
    """One line of one store, as one message tells it.

    `line` is the store's key of the subscription or one-time purchase (Apple: originalTransactionId, Google: purchase token). A line
    may have several keys over its life: `also` names those this statement knows of (Google: linkedPurchaseToken, Amazon: the receipt
    a change of product replaced); all of them are one line to us, whichever came first.

    `customer_hint` is what the app attached at the purchase to say who buys: an app user id or its SHA-256 in hex (Apple:
    appAccountToken, lower case; Google: obfuscatedExternalAccountId); it counts where such a customer is known. `app_user_id` is the
    buyer by the word of the project's own backend (Stripe metadata); such a customer is made where there is none.

    `running` are periods that the store says run, where the message tells of no payment for them (a subscription object alone). One counts where
    nothing that the line holds covers it or leads up to it. A payment told for it later, under whatever name, is the same period's. Where one of
    them has another product than what is held of the same time, that is a change without a charge; but not before the subscription's newest
    charge (`last_charge`, where the message names it) was told, which may be the change's own.
    """

    store: Store
    environment: Environment
    line: str
    purchases: tuple[Purchase, ...]
    renewals: tuple[Renewal, ...] = ()
    also: tuple[str, ...] = ()
    customer_hint: str | None = None
    app_user_id: str | None = None
    noted: Noted | None = None
    original_purchased_at: datetime | None = None  # when the line was first bought, by the store's own word
    running: tuple[Purchase, ...] = ()
    last_charge: str | None = None


SAME_MOMENT = timedelta(minutes=1)  # two words of one beginning


def stand_in(line_key: str, begins_at: datetime) -> str:
    """The transaction of a period that a store serves without naming one: by its line and its beginning."""
    return f"{line_key}:{to_ms(begins_at) // 1000}"


def is_stand_in(line_key: str, transaction: str) -> bool:
    """Whether a transaction is named so, by any key of its line: those of one subscription differ by what follows a `#`."""
    key, _, moment = transaction.rpartition(":")
    return moment.isdigit() and key.partition("#")[0] == line_key.partition("#")[0]


_CHANGE = ":change"


def changes_of(transaction: str) -> str:
    """How the transactions begin that name changes within a period without a charge: by the charge that they follow."""
    return transaction.partition(_CHANGE)[0] + _CHANGE


def change_of(present: Purchase, product: str, quantity: int, *, number: int, at: datetime) -> Purchase:
    """Another product from a moment on, within the period of `present` and without a charge. `number`: the how manyth within the period."""
    return replace(
        present,
        transaction=f"{changes_of(present.transaction)}{number}",
        product=product,
        purchased_at=at,
        as_of=at,
        is_first=False,
        is_renewal=False,
        is_proration=True,
        charged_ppm=0,
        price=Money(amount=0, currency=present.price.currency) if present.price is not None else None,
        tax=None,
        commission=None,
        quantity=quantity,
        offer=None,
        refunds=(),
    )


@value
class Told:
    """What we have told the world about one purchase, so that nothing is told twice."""

    purchased: bool = False
    expires_at: datetime | None = None  # the end we last told
    revoked_at: datetime | None = None
    expired: bool = False
    reversals: int = 0
    billing_issue: bool = False
    refunds: tuple[str, ...] = ()  # identifiers of `Purchase.refunds` told; one told as reversed since ends in "!"
    quietly: bool = False  # an import brought it: marked as told, and nobody was


@value
class Booked:
    """What the ledger has of one purchase, in minor units of its price's currency: what is missing is posted, never twice."""

    gross: int = 0
    tax: int = 0
    commission: int = 0
    refunded: int = 0
    currency: str | None = None  # of the amounts; None where nothing was booked
    postings: int = 0  # how often the ledger was brought up to date: part of its keys, so that the same correction can be made twice


@value
class Unclaimed:
    """Nobody has said whose a line is. What is told of it waits until somebody does, or until `told_at`."""

    since: datetime
    told_at: datetime | None = None  # told as an anonymous customer's then; None where its app does not track such purchases


@value
class ToldLine:
    """The standing facts of the line we last told: a change of mind is told when the present differs."""

    auto_renew: bool = True
    next_product: str | None = None
    paused: bool = False  # a pause, scheduled or in force


@value
class Held:
    """A purchase as a customer holds it: the store's word, what we told of it, what the ledger has, and where it was presented."""

    purchase: Purchase
    told: Told = Told()
    booked: Booked = Booked()
    presented_offering: str | None = None


@value
class Line:
    """Everything known of one subscription or one-time purchase. `held` is in the order the periods began, `renewals` by `as_of`."""

    line_id: LineId
    customer_id: CustomerId
    app_id: AppId | None  # None for what was granted by hand
    store: Store
    environment: Environment
    store_line: str
    heard_at: datetime
    held: tuple[Held, ...] = ()
    renewals: tuple[Renewal, ...] = ()
    told: ToldLine = ToldLine()
    wake_at: datetime | None = None
    store_user: bytes | None = None  # sealed: who the buyer is to the store, where it must be asked about a user
    newest_key: str | None = None  # where the store has given the line another key since `store_line`
    noted: Noted | None = None
    original_purchased_at: datetime | None = None  # by the store's own word; `rules.original_purchased_at` has the date where there is none
    refused_name: str | None = None  # whom the project's backend named last as the buyer, where that can be no customer's id
    unclaimed: Unclaimed | None = None

    @property
    def subject(self) -> str:
        """The key to ask the store by."""
        return self.newest_key or self.store_line


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
    "SUBSCRIPTION_PAUSED",
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
    resumes_at: datetime | None = None
    refunded: Money | None = None
    is_trial_conversion: bool = False
    proration: Purchase | None = None  # of a change of product: what was charged for it within the period
    renewal_number: int = 1


Status = Literal["active", "in_grace_period", "in_billing_retry", "paused", "expired", "revoked"]

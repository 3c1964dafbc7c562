"""What the simulated App Store keeps of a subscription, and of itself. Stored as JSON, one row per line, and one for the desk."""

from datetime import datetime
from typing import Any, Literal

from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.base.value import value

Payload = dict[str, Any]
ItemType = Literal["Auto-Renewable Subscription", "Non-Consumable", "Consumable", "Non-Renewing Subscription"]
OfferKind = Literal["introductory", "promotional", "offer_code", "win_back"]
Discount = Literal["FREE_TRIAL", "PAY_AS_YOU_GO", "PAY_UP_FRONT"]
Ending = Literal["voluntary", "billing", "price_increase", "revoked"]

DESK = "desk"  # the row of the store itself: lines are numbers


@value
class Offer:
    """A discount on a plan. `period` is ISO 8601; pay-as-you-go lasts `periods` of the plan's own periods instead."""

    kind: OfferKind
    discount: Discount
    period: str
    price: Money | None = None  # None: free
    identifier: str | None = None
    periods: int = 1


@value
class Plan:
    """A product with its terms, as they were when the customer agreed to them."""

    product: str
    duration: str | None  # ISO 8601; None for what does not renew
    price: Money


@value
class Revoked:
    """A refund, or family access taken back. `share_ppm`: the refunded part in millionths of the price."""

    at: datetime
    is_family: bool = False
    share_ppm: int = 1_000_000


@value
class Charge:
    """One transaction, as the store would sign it now."""

    transaction: str
    product: str
    price: Money
    purchased_at: datetime
    expires_at: datetime | None
    changed_at: datetime  # when anything of it last changed: history is in this order
    is_renewal: bool = False
    is_upgraded: bool = False
    offer: Offer | None = None
    revoked: Revoked | None = None


@value
class Failure:
    """What is to go wrong with the next renewal: grace in days, and the days after which the charge succeeds (None: never)."""

    grace_days: int = 0
    recover_after_days: int | None = None


@value
class Trouble:
    """A renewal that could not be charged, since `since`. What happens when is already decided."""

    since: datetime
    give_up_at: datetime
    grace_until: datetime | None = None
    recover_at: datetime | None = None
    is_grace_over: bool = False


@value
class PriceNotice:
    """A higher price from the next renewal on; `is_accepted` also where a notice was enough."""

    price: Money
    is_accepted: bool


@value
class Draft:
    """A notification before it is signed: its payloads lack only what names the app. Signing it again gives the same message."""

    uuid: str
    type: str
    subtype: str | None
    signed_at: datetime
    transaction: Payload | None = None
    renewal: Payload | None = None
    status: int | None = None
    consumption_request_reason: str | None = None


@value
class Sent:
    """A notification and what became of it."""

    draft: Draft
    attempts: int = 0
    is_delivered: bool = False


@value
class Posting:
    """One more attempt to deliver a notification, at its time."""

    uuid: str
    at: datetime


@value
class Delivery:
    """How notifications travel, for rehearsals.

    `twice`: each arrives three times, two of them at once. `reversed`: each waits until the next one has overtaken it, at most twelve
    hours. `lost`: none arrives until `resend_lost`.
    """

    twice: bool = False
    reversed: bool = False
    lost: bool = False


@value
class Outbox:
    """What was sent and what is still to be posted. `last_signed_at` lets signing moments increase strictly."""

    sent: tuple[Sent, ...] = ()
    postings: tuple[Posting, ...] = ()
    drafts: int = 0
    last_signed_at: datetime | None = None
    delivery: Delivery = Delivery()


@value
class Desk:
    """The store itself: how it delivers, and messages that belong to no line."""

    app_id: AppId
    outbox: Outbox = Outbox()


@value
class Subscription:
    """One line: a subscription or a one-time purchase, with every transaction it ever had, oldest first.

    A period ends at `anchor` plus `months` plus its own, so that month ends do not creep; plans of days or weeks move the anchor on.
    """

    app_id: AppId
    store_line: str  # originalTransactionId
    type: ItemType
    plan: Plan
    charges: tuple[Charge, ...]
    anchor: datetime
    months: int
    run_started_at: datetime
    storefront: str = "USA"
    app_account_token: str | None = None
    is_family_shared: bool = False
    auto_renew: bool = True
    next_plan: Plan | None = None
    next_offer: Offer | None = None
    offer_periods_left: int = 0
    failure: Failure | None = None
    trouble: Trouble | None = None
    price_notice: PriceNotice | None = None
    ending: Ending | None = None
    outbox: Outbox = Outbox()


@value
class Bought:
    """What a device holds after a purchase: the line, and the signed transaction it would post."""

    store_line: str
    transaction: str  # transactionId
    signed_transaction: str
    expires_at: datetime | None


@value
class Credentials:
    """With these the real client can ask the simulated store's API, once `api_base_url` of the app points there."""

    key_id: str
    issuer: str
    private_key: str  # PEM

    def __repr__(self) -> str:
        return f"Credentials({self.key_id}, ***)"

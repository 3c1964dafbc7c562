"""What Roku writes: push notifications and answers of the Roku Pay web service.

Amounts are decimals in major units, currencies in lower case, identifiers with dashes or without, and channel ids numbers or texts. Moments
are ISO 8601 in pushes and `/Date(1581033062000+0000)/` in answers. Unknown fields are skipped; `read` says what it cannot do without.
"""

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from perennial.base import reading
from perennial.base.money import Money
from perennial.base.reading import Key as StoreKey
from perennial.base.reading import Name, Product, Word

_DATE = re.compile(r"/Date\((-?\d{1,40})(?:[+-]\d{4})?\)/", re.ASCII)

Seconds = Annotated[int, msgspec.Meta(ge=0, le=10**12)]


class Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str
    jku: str | None = None
    crit: object = None


class Claims(msgspec.Struct, frozen=True):
    iss: str
    exp: Seconds
    nbf: Seconds
    message: str = msgspec.field(name="x-Roku-message")
    encoding: str = msgspec.field(name="x-Roku-message-encoding")
    key: str = msgspec.field(name="x-Roku-message-key")
    type: str = msgspec.field(name="x-Roku-message-type")


class Key(msgspec.Struct, frozen=True):
    kty: str
    kid: str
    n: str = ""
    e: str = ""
    alg: str = "RS256"


class KeySet(msgspec.Struct, frozen=True):
    keys: list[Key]


class Push(msgspec.Struct, frozen=True, rename="camel"):
    """A push notification: which transaction to look at, and why."""

    transaction_id: StoreKey
    transaction_type: Word = "unknown"
    channel_id: Word | int = ""
    event_date: Word = ""
    original_transaction_id: StoreKey | None = None
    is_free_trial: bool | None = None
    response_key: Word | None = None


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    """What every call answers. `status` 0 (`Success`) is the only success, under HTTP 200 like every failure."""

    status: int | str
    error_message: str | None = None
    error_code: str | int | None = None
    refund_id: str | None = msgspec.field(name="RefundId", default=None)

    @property
    def is_success(self) -> bool:
        return self.status in (0, "0", "Success")


class Transaction(Answer, frozen=True, rename="camel"):
    """`validate-transaction`, and `validate-refund`, whose amounts are negative.

    The state of a subscription (`isEntitled`, `cancelled`, `expirationDate`) is the present one, whichever of its transactions was asked for.
    """

    transaction_id: Name | None = None
    original_transaction_id: Name | None = msgspec.field(name="OriginalTransactionId", default=None)
    channel_id: Word | int | None = None
    product_id: Product | None = None
    purchase_date: str | None = None
    original_purchase_date: str | None = None
    expiration_date: str | None = None
    is_entitled: bool = False
    cancelled: bool = False
    purchase_status: str | None = None
    purchase_type: str | None = None
    cancelled_transaction_ids: list[Name] | None = None
    partner_reference_id: Name | None = None
    amount: Decimal | None = None
    tax: Decimal | None = None
    total: Decimal | None = None
    currency: str | None = None
    quantity: int | None = None


def normal(identifier: str) -> str:
    """One spelling for an id that Roku spells in several."""
    return identifier.replace("-", "").strip().lower()


def moment(text: str, field: str) -> datetime:
    """An instant in either of Roku's spellings."""
    match = _DATE.fullmatch(text)
    return reading.milliseconds(match[1], field) if match is not None else reading.instant(text, field)


def moment_or_none(text: str | None, field: str) -> datetime | None:
    return None if text is None else reading.aside(field, text, lambda: moment(text, field))


def money(amount: Decimal | None, currency: str | None) -> Money | None:
    """None where the amount or its currency is not told, or is none."""
    if amount is None or not currency:
        return None
    return reading.aside("amount", [amount, currency], lambda: reading.money(amount, currency, "amount"))

"""What Roku writes: push notifications and answers of the Roku Pay web service.

Amounts are decimals in major units, currencies in lower case, identifiers with dashes or without, and channel ids numbers or texts. Moments
are ISO 8601 in pushes and `/Date(1581033062000+0000)/` in answers. Unknown fields are skipped; `read` says what it cannot do without.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from perennial.base.errors import Invalid
from perennial.base.money import Money, from_decimal
from perennial.base.time import from_ms

LARGEST_AMOUNT = Decimal(10**9)

_DATE = re.compile(r"/Date\((-?\d{1,16})(?:[+-]\d{4})?\)/", re.ASCII)
_FRACTION = re.compile(r"(\.\d{6})\d+")


class Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str
    jku: str | None = None
    crit: object = None


class Claims(msgspec.Struct, frozen=True):
    iss: str
    exp: int
    nbf: int
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

    transaction_type: str
    transaction_id: str
    channel_id: str | int
    event_date: str
    original_transaction_id: str | None = None
    is_free_trial: bool | None = None
    response_key: str | None = None


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

    transaction_id: str | None = None
    original_transaction_id: str | None = msgspec.field(name="OriginalTransactionId", default=None)
    channel_id: str | int | None = None
    product_id: str | None = None
    purchase_date: str | None = None
    original_purchase_date: str | None = None
    expiration_date: str | None = None
    is_entitled: bool = False
    cancelled: bool = False
    purchase_status: str | None = None
    purchase_type: str | None = None
    cancelled_transaction_ids: list[str] | None = None
    partner_reference_id: str | None = None
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
    if match is not None:
        return from_ms(int(match[1]))
    try:
        instant = datetime.fromisoformat(_FRACTION.sub(r"\1", text))
    except ValueError as error:
        raise Invalid(f"`{field}` {text!r} is not a moment", param=field) from error
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def money(amount: Decimal | None, currency: str | None) -> Money | None:
    """None where the amount or its currency is not told."""
    code = (currency or "").upper()
    if amount is None or len(code) != 3 or not code.isascii() or not code.isalpha():
        return None
    if not amount.is_finite() or abs(amount) > LARGEST_AMOUNT:
        raise Invalid(f"{amount} is not an amount Roku charges", param="amount")
    return from_decimal(amount, code)

"""Stripe's minor units, which are not always ISO 4217's.

Most currencies have two digits, some none, some three. ISK and UGX have none in the world and two at Stripe, always 00. Source: Stripe's
documentation, "Supported currencies", special cases.
"""

from decimal import ROUND_HALF_EVEN, Decimal

from perennial.base import reading
from perennial.base.money import Money

_NO_DIGITS = frozenset(("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"))
_THREE_DIGITS = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))


UNREADABLE = "XXX"  # ISO 4217's code for no currency: an amount that could not be read


def money(amount: int, currency: str | None) -> Money:
    """Stripe's amount in ours; nothing, of no currency, and a note, where it is none. Stripe writes currencies in small letters."""
    return reading.aside("amount", [amount, currency], lambda: _money(amount, currency)) or Money(amount=0, currency=UNREADABLE)


def _money(amount: int, currency: str | None) -> Money:
    return reading.parts(amount, 10 ** _digits((currency or "").upper()), currency, "amount")


def readable(amount: Money | None) -> Money | None:
    """None where it could not be read."""
    return amount if amount is not None and amount.currency != UNREADABLE else None


def to_stripe(amount: Money) -> int:
    return int(amount.major.scaleb(_digits(amount.currency)).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _digits(code: str) -> int:
    return 0 if code in _NO_DIGITS else 3 if code in _THREE_DIGITS else 2

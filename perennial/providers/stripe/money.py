"""Stripe's minor units, which are not always ISO 4217's.

Most currencies have two digits, some none, some three. ISK and UGX have none in the world and two at Stripe, always 00. Source: Stripe's
documentation, "Supported currencies", special cases.
"""

from decimal import ROUND_HALF_EVEN, Decimal

from perennial.base.errors import Invalid
from perennial.base.money import Money, from_decimal

_NO_DIGITS = frozenset(("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"))
_THREE_DIGITS = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))


def money(amount: int, currency: str | None) -> Money:
    """Stripe's amount in ours. Stripe writes currencies in small letters."""
    code = (currency or "").upper()
    if len(code) != 3 or not code.isascii() or not code.isalpha():
        raise Invalid(f"{currency!r} is not an ISO 4217 currency code", param="currency")
    return from_decimal(Decimal(amount).scaleb(-_digits(code)), code)


def to_stripe(amount: Money) -> int:
    return int(amount.major.scaleb(_digits(amount.currency)).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _digits(code: str) -> int:
    return 0 if code in _NO_DIGITS else 3 if code in _THREE_DIGITS else 2

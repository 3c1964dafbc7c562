"""Money in minor units of ISO 4217. No floats; mixing currencies raises; one rounding: half to even."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

from perennial.base.value import value

# ISO 4217 (2026): currencies whose minor unit is not a hundredth. Everything else has two digits.
_EXPONENTS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


def exponent(currency: str) -> int:
    """Digits after the point: 2 for EUR, 0 for JPY, 3 for KWD."""
    return _EXPONENTS.get(currency, 2)


@value
class Money:
    amount: int
    currency: str

    def __post_init__(self) -> None:
        assert type(self.amount) is int, "money is counted in whole minor units"
        assert len(self.currency) == 3 and self.currency.isascii() and self.currency.isupper(), f"not an ISO 4217 code: {self.currency!r}"

    def __add__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(amount=self.amount + other.amount, currency=self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(amount=self.amount - other.amount, currency=self.currency)

    def __neg__(self) -> "Money":
        return Money(amount=-self.amount, currency=self.currency)

    def times(self, share: Fraction) -> "Money":
        """A share of it, rounded once, half to even."""
        return Money(amount=round(self.amount * share), currency=self.currency)

    def split(self, weights: Sequence[int]) -> list["Money"]:
        """Parts in proportion to `weights` (non-negative, not all zero) by largest remainder; they always sum to the whole."""
        total = sum(weights)
        assert total > 0 and min(weights) >= 0, "split needs non-negative weights, not all zero"
        shares = [divmod(self.amount * weight, total) for weight in weights]
        left = self.amount - sum(whole for whole, _ in shares)
        largest_first = sorted(range(len(weights)), key=lambda i: (-shares[i][1], i))
        extra = set(largest_first[:left])
        return [Money(amount=whole + (i in extra), currency=self.currency) for i, (whole, _) in enumerate(shares)]

    @property
    def major(self) -> Decimal:
        """In major units, exactly: 4.99 for 499 EUR cents."""
        return Decimal(self.amount).scaleb(-exponent(self.currency))

    def _same_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise ValueError(f"cannot mix {self.currency} with {other.currency}")


def from_milliunits(milliunits: int, currency: str) -> Money:
    """Apple's unit: thousandths of the major unit in every currency (1200000 is 1200 JPY)."""
    return from_decimal(Decimal(milliunits) / 1000, currency)


def from_micros(micros: int, currency: str) -> Money:
    """Millionths of the major unit, as Google and the SDKs write prices."""
    return from_decimal(Decimal(micros) / 1_000_000, currency)


def from_decimal(major: Decimal, currency: str) -> Money:
    """Major units ("4.99") to minor ones, rounded half to even."""
    minor = major.scaleb(exponent(currency)).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
    return Money(amount=int(minor), currency=currency)


def to_micros(money: Money) -> int:
    return int(money.major * 1_000_000)

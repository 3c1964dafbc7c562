"""What of a price went to taxes and to the store: as the store states it, and estimated where it states nothing. Pure.

The App Store, Amazon, Roku and the Microsoft Store tell nobody what they keep of a purchase. An estimate takes the tax first,
by the buyer's country and the day of the purchase, and the store's commission of what is left, as the stores do. Estimates are
made when they are read: the ledger books what stores state, and a statement replaces the estimate.

Sources: Apple's Developer Program License Agreement, schedule 2 (30 %, after a year of paid service 15 %; the Small Business
Program 15 %), Google Play's service fees (15 % of subscriptions and of the first million a year), Amazon's and Roku's developer
terms, the Microsoft Store's app developer agreement.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from fractions import Fraction
from typing import Literal

from perennial import catalog, taxes
from perennial.base.money import Money
from perennial.base.value import value
from perennial.catalog.model import App
from perennial.subscriptions.model import Held, Line, Store
from perennial.subscriptions.rules import is_grant

Part = Literal["tax_percentage", "commission_percentage"]

# Of stores that sell in their own name, remit the tax, and may state neither tax nor commission.
_COMMISSIONS: Mapping[Store, Fraction] = {
    "app_store": Fraction(30, 100),
    "mac_app_store": Fraction(30, 100),
    "play_store": Fraction(15, 100),
    "amazon": Fraction(30, 100),
    "roku": Fraction(20, 100),
    "microsoft": Fraction(15, 100),
}
_LOWERED_AFTER_A_YEAR: frozenset[Store] = frozenset({"app_store", "mac_app_store"})
_LOWERED = Fraction(15, 100)
_YEAR = timedelta(days=365)


@value
class Shares:
    """Parts of a price. None: neither stated nor to be estimated. `estimated` names those that are estimates."""

    tax: Fraction | None
    commission: Fraction | None
    estimated: tuple[Part, ...] = ()

    @property
    def takehome(self) -> Fraction | None:
        """What is left after commission of each unit of the price without tax."""
        if self.commission is None:
            return None
        net = 1 - (self.tax or 0)
        return 1 - self.commission / net if net else Fraction(0)


def shares(line: Line, held: Held, app: App | None) -> Shares:
    """Of one purchase. `app` is whose store it is, with the setting `commission_percentage`; None: the store's usual terms."""
    purchase = held.purchase
    tax, commission = _stated(purchase.tax, purchase.price), _stated(purchase.commission, purchase.price)
    if line.store not in _COMMISSIONS or is_grant(line):
        return Shares(tax=tax, commission=commission)
    estimated: list[Part] = []
    if tax is None:
        tax = taxes.included_share(purchase.country, purchase.purchased_at.date())
        estimated.append("tax_percentage")
    if commission is None:
        commission = (1 - tax) * commission_rate(line, held, app)
        estimated.append("commission_percentage")
    return Shares(tax=tax, commission=commission, estimated=tuple(estimated))


def is_estimated(store: Store) -> bool:
    """Whether what a store keeps may be estimated: a store that sells in its own name."""
    return store in _COMMISSIONS


def commission_rate(line: Line, held: Held, app: App | None) -> Fraction:
    """Of a price without tax: by the app's own terms, or the store's usual ones; Apple takes less after a year of paid service."""
    day: date = held.purchase.purchased_at.date()
    own = catalog.commission_rate(app.settings.get("commission_percentage") if app is not None else None, day)
    rate = own if own is not None else _COMMISSIONS[line.store]
    if line.store in _LOWERED_AFTER_A_YEAR and _paid_service(line, held) >= _YEAR:
        return min(rate, _LOWERED)
    return rate


def _paid_service(line: Line, held: Held) -> timedelta:
    """How long the customer had paid for when this period began."""
    if held.purchase.kind != "subscription":
        return timedelta()
    earlier = [one.purchase for one in line.held if one.purchase.purchased_at < held.purchase.purchased_at]
    return sum(
        (
            purchase.expires_at - purchase.purchased_at
            for purchase in earlier
            if purchase.expires_at is not None
            and purchase.expires_at > purchase.purchased_at
            and not purchase.is_proration
            and purchase.period_type not in ("trial", "promotional")
            and purchase.revocation is None
        ),
        timedelta(),
    )


def _stated(part: Money | None, whole: Money | None) -> Fraction | None:
    return Fraction(part.amount, whole.amount) if part is not None and whole is not None and whole.amount else None

"""What of a line matters to its customer's wallets: pure. What a purchase gives is said by the catalog, and settled by `currencies`."""

from datetime import datetime
from fractions import Fraction

from perennial.base.money import Money
from perennial.currencies.model import Earning, Origin
from perennial.subscriptions.booking import refunded_of
from perennial.subscriptions.model import Held, Line, Purchase
from perennial.subscriptions.rules import period_of, superseded_at


def earnings(line: Line) -> list[Earning]:
    """One for each purchase of the customer's own. What was shared in a family or granted by hand gives nothing."""
    return [
        _earning(line, held)
        for held in line.held
        if line.store != "promotional" and held.purchase.ownership == "purchased" and held.purchase.period_type != "promotional"
    ]


def _earning(line: Line, held: Held) -> Earning:
    purchase = held.purchase
    return Earning(
        customer_id=line.customer_id,
        origin=Origin(
            store=line.store,
            environment=line.environment,
            transaction=purchase.transaction,
            app_id=line.app_id,
            product=purchase.product,
            country=purchase.country,
        ),
        purchased_at=purchase.purchased_at,
        ends_at=_cycle_end(line, held),
        is_subscription=purchase.kind == "subscription",
        is_trial=purchase.period_type == "trial",
        quantity=purchase.quantity,
        charged_ppm=charged_ppm(line, held),
        refunded_ppm=refunded_ppm(purchase),
    )


WHOLE = 1_000_000  # parts per million


def charged_ppm(line: Line, held: Held) -> int:
    """The share of the full price that was charged, in millionths: what of its product's currencies a purchase gives.

    A purchase or renewal counts as whole where its store does not say otherwise. A proration counts as what was charged for it; where its store
    does not say of which full price, as a part of what its period cost. What cost nothing gives nothing.
    """
    purchase, price = held.purchase, held.purchase.price
    if purchase.charged_ppm is not None:
        return purchase.charged_ppm
    if not purchase.is_proration:
        return WHOLE
    if price is None or price.amount <= 0 or purchase.gives_no_time:  # a bill for usage is no deposit
        return 0
    full = _full_price(line, held)
    return WHOLE if full is None or full.currency != price.currency else min(WHOLE, round(Fraction(price.amount * WHOLE, full.amount)))


def _full_price(line: Line, held: Held) -> Money | None:
    """What a whole period of the product cost last, else the period that the proration falls in; for as many as the proration is for."""
    wanted = held.purchase
    known = [one for one in (period_of(line, held), *line.held) if not one.purchase.is_proration and one.purchase.price is not None]
    same = [one for one in known if one.purchase.product == wanted.product] or known[:1]
    price, quantity = (same[-1].purchase.price, same[-1].purchase.quantity) if same else (None, 1)
    return price.times(Fraction(wanted.quantity, quantity)) if price is not None and price.amount > 0 else None


def _cycle_end(line: Line, held: Held) -> datetime | None:
    """When the period it was given for is over: at its end without grace, which was not paid for, or when another product took its place.

    A change that nothing was charged for gives nothing, so it takes nothing either; more of the same product takes no place.
    """
    end = held.purchase.expires_at
    for one in line.held:
        later = one.purchase
        if end is None or not held.purchase.purchased_at < later.purchased_at < end or later.is_renewal:
            continue
        is_change = later.product != held.purchase.product and charged_ppm(line, one) > 0
        if is_change or not later.is_proration:
            return later.purchased_at
    return min(end, taken) if end is not None and held.purchase.is_superseded and (taken := superseded_at(line, held)) is not None else end


def refunded_ppm(purchase: Purchase) -> int:
    """How much of the price was given back, in millionths. Sums count where the price is known; a revocation says its share by itself."""
    price, revocation = purchase.price, purchase.revocation
    if price is None or price.amount <= 0:
        return revocation.share_ppm if revocation is not None and revocation.refunded else 0
    return round(Fraction(refunded_of(purchase, price).amount * 1_000_000, price.amount))

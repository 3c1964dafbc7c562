"""What of a line matters to its customer's wallets: pure. What a purchase gives is said by the catalog, and settled by `currencies`."""

from datetime import datetime
from fractions import Fraction

from perennial.currencies.model import Earning, Origin
from perennial.subscriptions.booking import refunded_of
from perennial.subscriptions.model import Held, Line, Purchase
from perennial.subscriptions.rules import superseded_at


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
        refunded_ppm=refunded_ppm(purchase),
    )


def _cycle_end(line: Line, held: Held) -> datetime | None:
    """When the period it was given for is over: at its end without grace, which was not paid for, or when another took its place."""
    purchase = held.purchase
    taken_over = superseded_at(line, held)
    return purchase.expires_at if purchase.expires_at is None or taken_over is None else min(purchase.expires_at, taken_over)


def refunded_ppm(purchase: Purchase) -> int:
    """How much of the price was given back, in millionths. Sums count where the price is known; a revocation says its share by itself."""
    price, revocation = purchase.price, purchase.revocation
    if price is None or price.amount <= 0:
        return revocation.share_ppm if revocation is not None and revocation.refunded else 0
    return round(Fraction(refunded_of(purchase, price).amount * 1_000_000, price.amount))

"""Lines of stores in the vendor's two shapes, subscription and purchase: pure, from what is held and the time.

One line of a store is one subscription here, from its first period to its last, and one purchase where it is bought once. Where the vendor's
fields need facts no store gives us, the structs in `wire` say what stands there instead.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from msgspec import UNSET, UnsetType

from perennial.api.v2 import wire
from perennial.api.v2.entitlements import show_entitlement
from perennial.api.v2.entry import ms
from perennial.api.v2.pages import whole
from perennial.api.v2.products import show_product
from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.base.time import FOREVER, to_ms
from perennial.base.value import value
from perennial.catalog.model import App, Entitlement, Product
from perennial.subscriptions import (
    MANAGEMENT_URLS,
    access_end,
    is_entitled,
    is_grant,
    latest,
    original_purchased_at,
    period_of,
    presented_offering,
    refunded_share,
    shares,
    status,
)
from perennial.subscriptions.model import Held, Line, Renewal

_STATUSES: dict[str, Literal["active", "expired", "in_grace_period", "in_billing_retry", "paused"]] = {
    "active": "active",
    "in_grace_period": "in_grace_period",
    "in_billing_retry": "in_billing_retry",
    "paused": "paused",
    "expired": "expired",
    "revoked": "expired",
}


@value
class Surroundings:
    """What showing lines needs besides them."""

    project_id: str
    now: datetime
    products: Mapping[tuple[str | None, str], Product]  # by (app, store identifier)
    entitlements: Mapping[str, Entitlement]  # by lookup key
    customer_ids: Mapping[str, str]  # the app user id to call a customer by
    original_ids: Mapping[str, str]
    offerings: Mapping[str, str]  # offering ids by lookup key
    apps: Mapping[AppId | None, App]  # whose terms what stores keep is estimated by

    def product(self, line: Line, store_identifier: str) -> Product | None:
        return self.products.get((line.app_id, store_identifier))

    def entitlements_of(self, line: Line, held: Held) -> list[Entitlement]:
        product = self.product(line, held.purchase.product)
        return [self.entitlements[key] for key in (product.entitlements if product else ()) if key in self.entitlements]

    def offering_of(self, line: Line, held: Held) -> str | None:
        """The id of the offering a line was presented in; None where it was in none, or in one that the project has no more."""
        lookup_key = presented_offering(line, held)
        return None if lookup_key is None else self.offerings.get(lookup_key)


@value
class Revenue:
    """Money in one currency: what customers paid, and what of it was tax and what the store kept: stated, or estimated."""

    gross: Money
    tax: Money
    commission: Money

    def __add__(self, other: "Revenue") -> "Revenue":
        return Revenue(gross=self.gross + other.gross, tax=self.tax + other.tax, commission=self.commission + other.commission)


def is_subscription(line: Line) -> bool:
    return any(held.purchase.kind == "subscription" for held in line.held)


def is_purchase(line: Line) -> bool:
    return bool(line.held) and not is_subscription(line)


def product_keys(lines: Iterable[Line]) -> set[tuple[str | None, str]]:
    """Every product these lines speak of, as stores name them."""
    named: set[tuple[str | None, str]] = {(line.app_id, held.purchase.product) for line in lines for held in line.held}
    return named | {(line.app_id, renewal.next_product) for line in lines for renewal in line.renewals[-1:] if renewal.next_product}


# Subscriptions --------------------------------------------------------------------------------------------------------------------


def show_subscription(line: Line, around: Surroundings) -> wire.Subscription:
    held = current(line, around.now)
    purchase, end = held.purchase, access_end(line, held)
    product = around.product(line, purchase.product)
    revenue = revenue_of(line, around)
    return wire.Subscription(
        id=line.line_id,
        customer_id=around.customer_ids[line.customer_id],
        original_customer_id=around.original_ids[line.customer_id],
        product_id=product.product_id if product and product.app_id else None,
        starts_at=to_ms(original_purchased_at(line)),
        current_period_starts_at=to_ms(period_of(line, held).purchase.purchased_at),
        current_period_ends_at=_end(end),
        ends_at=None if goes_on(line, around.now) else _end(end),
        gives_access=is_entitled(line, around.now),
        pending_payment=False,
        auto_renewal_status=auto_renewal(line, held, around.now),
        status=shown_status(line, held, around.now),
        total_revenue_in_usd=_total(revenue, held),
        revenue=[_amount(one) for one in revenue],
        presented_offering_id=around.offering_of(line, held),
        entitlements=show_entitlements(line, held, around),
        environment=line.environment,
        store=line.store,
        store_subscription_identifier=line.store_line,
        ownership=purchase.ownership,
        pending_changes=_pending(line, held, around),
        country=purchase.country,
        management_url=MANAGEMENT_URLS.get(line.store),
        perennial=_facts(line),
    )


def current(line: Line, now: datetime) -> Held:
    """The period that has begun last: a store may have charged for the next one already."""
    standing = [held for held in line.held if not held.purchase.is_superseded] or list(line.held)
    begun = [held for held in standing if held.purchase.purchased_at <= now]
    return (begun or standing)[-1]


def goes_on(line: Line, now: datetime) -> bool:
    """Whether another charge is to be expected. Unknown counts as yes while the period runs: silence is not a cancellation."""
    word = _present(line)
    if is_grant(line) or (word is not None and (word.auto_renew is False or word.ended is not None)):
        return False
    return status(line, now) not in ("expired", "revoked")


def auto_renewal(
    line: Line, held: Held, now: datetime
) -> Literal["will_renew", "will_not_renew", "will_change_product", "will_pause", "requires_price_increase_consent", "has_already_renewed"]:
    word = _present(line)
    if not goes_on(line, now):
        return "will_not_renew"
    if held is not latest(line):
        return "has_already_renewed"
    if word is not None and word.pause == "scheduled":
        return "will_pause"
    if word is not None and word.price_consent == "pending":
        return "requires_price_increase_consent"
    if word is not None and word.next_product not in (None, held.purchase.product):
        return "will_change_product"
    return "will_renew"


def shown_status(line: Line, held: Held, now: datetime) -> Literal["trialing", "active", "expired", "in_grace_period", "in_billing_retry", "paused"]:
    shown = _STATUSES[status(line, now)]
    return "trialing" if shown == "active" and held.purchase.period_type == "trial" else shown


def _present(line: Line) -> Renewal | None:
    return line.renewals[-1] if line.renewals else None


def _pending(line: Line, held: Held, around: Surroundings) -> wire.PendingChanges | None:
    word = _present(line)
    if word is None or word.next_product in (None, held.purchase.product) or not goes_on(line, around.now):
        return None
    product = around.product(line, word.next_product or "")
    return wire.PendingChanges(product=show_product(product) if product else None)


def show_transaction(line: Line, held: Held) -> wire.SubscriptionTransaction:
    return wire.SubscriptionTransaction(
        id=held.purchase.transaction,
        purchased_at=to_ms(held.purchase.purchased_at),
        product_store_identifier=held.purchase.product,
        expiration_date=ms(held.purchase.expires_at),
        effective_expiration_date=_end(access_end(line, held)),
    )


# Purchases ------------------------------------------------------------------------------------------------------------------------


def show_purchase(line: Line, around: Surroundings) -> wire.Purchase:
    held = latest(line) or line.held[-1]
    purchase = held.purchase
    product = around.product(line, purchase.product)
    return wire.Purchase(
        id=line.line_id,
        customer_id=around.customer_ids[line.customer_id],
        original_customer_id=around.original_ids[line.customer_id],
        product_id=product.product_id if product and product.app_id else None,
        purchased_at=to_ms(line.held[0].purchase.purchased_at),
        revenue_in_usd=_total(revenue_of(line, around), held),
        quantity=purchase.quantity,
        status="refunded" if purchase.revocation is not None and purchase.revocation.at <= around.now else "owned",
        presented_offering_id=around.offering_of(line, held),
        entitlements=show_entitlements(line, held, around),
        environment=line.environment,
        store=line.store,
        store_purchase_identifier=line.store_line,
        ownership=purchase.ownership,
        country=purchase.country,
        perennial=_facts(line),
    )


# What both have -------------------------------------------------------------------------------------------------------------------


def _facts(line: Line) -> wire.HoldingFacts | UnsetType:
    """What there is to say of its buyer, where they are not simply known."""
    if line.refused_name is None and line.unclaimed is None:
        return UNSET
    return wire.HoldingFacts(
        refused_customer_id=UNSET if line.refused_name is None else line.refused_name,
        unclaimed_since=UNSET if line.unclaimed is None else to_ms(line.unclaimed.since),
    )


def show_entitlements(line: Line, held: Held, around: Surroundings) -> wire.ListOf[wire.Entitlement]:
    kind = "subscriptions" if is_subscription(line) else "purchases"
    url = f"/v2/projects/{around.project_id}/{kind}/{line.line_id}/entitlements"
    return whole([show_entitlement(one, around.project_id) for one in around.entitlements_of(line, held)], url)


def active_entitlements(lines: Sequence[Line], around: Surroundings) -> list[wire.CustomerEntitlement]:
    """Each once, with the furthest end of all that give it; null where one does not end."""
    ends: dict[str, datetime] = {}
    for line in lines:
        for held in line.held:
            end = access_end(line, held)
            if end > around.now:
                for one in around.entitlements_of(line, held):
                    ends[one.entitlement_id] = max(end, ends.get(one.entitlement_id, end))
    return [wire.CustomerEntitlement(entitlement_id=key, expires_at=_end(ends[key])) for key in sorted(ends)]


def revenue_of(line: Line, around: Surroundings) -> list[Revenue]:
    """What was paid, less what was given back, per currency. Family members pay nothing."""
    totals: dict[str, Revenue] = {}
    for held in line.held:
        if held.purchase.price is not None and held.purchase.ownership == "purchased":
            kept = _kept(line, held, held.purchase.price, around.apps.get(line.app_id))
            totals[kept.gross.currency] = totals[kept.gross.currency] + kept if kept.gross.currency in totals else kept
    return [totals[currency] for currency in sorted(totals)]


def _kept(line: Line, held: Held, price: Money, app: App | None) -> Revenue:
    """A refund gives back tax and commission in proportion."""
    left, parts = 1 - refunded_share(held.purchase), shares(line, held, app)
    return Revenue(
        gross=price.times(left),
        tax=price.times(left * (parts.tax or 0)),
        commission=price.times(left * (parts.commission or 0)),
    )


def _total(revenue: Sequence[Revenue], held: Held) -> wire.MonetaryAmount:
    """The sum in the currency of the latest payment. Where no payment is known, nothing, in any currency."""
    wanted = held.purchase.price.currency if held.purchase.price else revenue[-1].gross.currency if revenue else "USD"
    nothing = Money(amount=0, currency=wanted)
    return _amount(next((one for one in revenue if one.gross.currency == wanted), Revenue(gross=nothing, tax=nothing, commission=nothing)))


def _amount(revenue: Revenue) -> wire.MonetaryAmount:
    proceeds = revenue.gross - revenue.tax - revenue.commission
    return wire.MonetaryAmount(
        currency=revenue.gross.currency,
        gross=float(revenue.gross.major),
        commission=float(revenue.commission.major),
        tax=float(revenue.tax.major),
        proceeds=float(proceeds.major),
    )


def _end(end: datetime) -> int | None:
    return None if end == FOREVER else to_ms(end)

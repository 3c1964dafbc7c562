"""The vendor's webhook object for each thing we tell: field for field as receivers built against it expect.

Source: the vendor's documentation of webhook event types and fields: which are always there, and which of those may be null. One that may not be
null is left out where it is not known. Ours is one additional object, `perennial`, with the
customer's sequence number and the moment it happened in the world.
"""

from datetime import datetime
from fractions import Fraction
from typing import Any

from perennial import customers
from perennial.base.ids import AppId, EventId
from perennial.base.time import FOREVER, to_ms
from perennial.catalog.model import App, Product
from perennial.customers.model import Customer
from perennial.subscriptions.model import Held, Line, Purchase, Telling
from perennial.subscriptions.proceeds import Shares, shares
from perennial.subscriptions.rules import access_end, original_transaction, presented_offering, sold_with

_REASONS = {
    "unsubscribe": "UNSUBSCRIBE",
    "billing_error": "BILLING_ERROR",
    "price_increase": "PRICE_INCREASE",
    "developer": "DEVELOPER_INITIATED",
    "customer_support": "CUSTOMER_SUPPORT",
    "subscription_paused": "SUBSCRIPTION_PAUSED",
    "unknown": "UNKNOWN",
}


def event_body(
    telling: Telling,
    line: Line,
    customer: Customer,
    product: Product | None,
    app: App | None,
    *,
    event_id: EventId,
    sequence: int,
    now: datetime,
) -> dict[str, Any]:
    """`product` is None where the catalog does not know it yet: then it gives no entitlement, and the purchase is told all the same.

    `app` is whose purchase it is, where taxes and commission are estimated by its terms. `perennial.estimated` names what is estimated.
    """
    told = _told_of(telling, line)
    parts = shares(line, told, app)
    body = {
        **_common(customer, line.app_id, event_id=event_id, now=now),
        "type": telling.type,
        **_purchase_fields(telling, line),
        **_country(told.purchase, customer),
        **_price_fields(telling, told.purchase),
        **_shares(parts),
        "entitlement_id": None,
        "entitlement_ids": list(product.entitlements) if product is not None and product.entitlements else None,
        **({"metadata": dict(line.noted.words)} if line.noted is not None and line.noted.words else {}),
        "perennial": {
            "sequence": sequence,
            "happened_at_ms": to_ms(telling.happened_at),
            **_proration(telling),
            **({"estimated": list(parts.estimated)} if parts.estimated else {}),
        },
    }
    match telling.type:
        case "CANCELLATION":
            body["cancel_reason"] = _REASONS[telling.reason or "unknown"]
        case "EXPIRATION":
            body["expiration_reason"] = _REASONS[telling.reason or "unknown"]
        case "RENEWAL":
            body["is_trial_conversion"] = telling.is_trial_conversion
        case "PRODUCT_CHANGE":
            body |= {} if telling.new_product is None else {"new_product_id": telling.new_product}
        case "BILLING_ISSUE":
            body["grace_period_expiration_at_ms"] = to_ms(telling.grace_until) if telling.grace_until else None
        case "SUBSCRIPTION_PAUSED":
            body |= {} if telling.resumes_at is None else {"auto_resume_at_ms": to_ms(telling.resumes_at)}
        case _:
            pass
    return body


def told_at_last(body: dict[str, Any], line: Line, customer: Customer, product: Product | None, *, sequence: int, now: datetime) -> dict[str, Any]:
    """The object of an event that waited for its customer, as it is told of them now. What happened is as it was."""
    held = next((one for one in line.held if one.purchase.transaction == body["transaction_id"]), None)
    return {
        **body,
        **customers.told(customer),
        "event_timestamp_ms": to_ms(now),
        "presented_offering_id": presented_offering(line, held) if held is not None else body["presented_offering_id"],
        "entitlement_ids": list(product.entitlements) if product is not None and product.entitlements else None,
        "perennial": {**body["perennial"], "sequence": sequence},
    }


def transfer_body(
    app_id: AppId | None, store: str, environment: str, *, source: Customer, target: Customer, event_id: EventId, sequence: int, now: datetime
) -> dict[str, Any]:
    """A transfer names no app user id: it is told once, for the customer who now holds the purchases."""
    return {
        **({} if app_id is None else {"app_id": app_id}),
        "event_timestamp_ms": to_ms(now),
        "id": event_id,
        "store": store.upper(),
        "environment": environment.upper(),
        "transferred_from": list(source.aliases),
        "transferred_to": list(target.aliases),
        "type": "TRANSFER",
        "perennial": {"sequence": sequence, "happened_at_ms": to_ms(now)},
    }


def _common(customer: Customer, app_id: AppId | None, *, event_id: EventId, now: datetime) -> dict[str, Any]:
    """What was granted by hand is of no app, and names none."""
    return {
        "id": event_id,
        **({} if app_id is None else {"app_id": app_id}),
        "event_timestamp_ms": to_ms(now),
        **customers.told(customer),
    }


def _told_of(telling: Telling, line: Line) -> Held:
    """The purchase an event is of: more of the same within a period goes by the period's, unless it is money that went back."""
    is_of_money = telling.refunded is not None or telling.type == "REFUND_REVERSED"
    return telling.held if is_of_money else sold_with(line, telling.held)


def _purchase_fields(telling: Telling, line: Line) -> dict[str, Any]:
    purchase, expires_at = _told_of(telling, line).purchase, telling.held.purchase.expires_at
    end = access_end(line, telling.held) if telling.type in ("EXPIRATION", "REFUND") or telling.refunded else expires_at
    return {
        "product_id": purchase.product,
        "period_type": purchase.period_type.upper(),
        "purchased_at_ms": to_ms(purchase.purchased_at),
        "expiration_at_ms": to_ms(end) if end is not None and end != FOREVER else None,
        "store": line.store.upper(),
        "environment": line.environment.upper(),
        "presented_offering_id": presented_offering(line, telling.held),
        "transaction_id": purchase.transaction,
        "original_transaction_id": original_transaction(line),
        "is_family_share": purchase.ownership == "family_shared",
        "offer_code": purchase.offer.identifier if purchase.offer and purchase.offer.kind == "offer_code" else None,
        "renewal_number": telling.renewal_number,
    }


def _country(purchase: Purchase, customer: Customer) -> dict[str, str]:
    """Where it was bought, by the store's word; else where the customer was last seen."""
    country = purchase.country or customer.last_seen_country
    return {} if country is None else {"country_code": country}


def _price_fields(telling: Telling, purchase: Purchase) -> dict[str, Any]:
    """Prices are what the store said. Where it said none, or not in dollars, `price` is null: nothing is invented."""
    money = -telling.refunded if telling.refunded is not None else purchase.price
    is_free = purchase.period_type == "promotional" or purchase.ownership == "family_shared" or (money is None and purchase.period_type == "trial")
    amount = 0.0 if is_free else float(money.major) if money is not None else None
    return {
        "price": amount if money is None or money.currency == "USD" or amount == 0 else None,
        "currency": money.currency if money is not None else None,
        "price_in_purchased_currency": amount,
    }


def _proration(telling: Telling) -> dict[str, Any]:
    """What was charged for a change of product within its period: no purchase of a period tells it."""
    if telling.proration is None:
        return {}
    price = telling.proration.price
    return {
        "proration": {
            "transaction_id": telling.proration.transaction,
            "price_in_purchased_currency": None if price is None else float(price.major),
            "currency": None if price is None else price.currency,
        }
    }


def _shares(parts: Shares) -> dict[str, float | None]:
    """What of the price went to tax and to the store, as shares of it; null where the store does not say, and none is estimated."""
    return {
        "tax_percentage": _rounded(parts.tax),
        "commission_percentage": _rounded(parts.commission),
        "takehome_percentage": _rounded(parts.takehome),
    }


def _rounded(share: Fraction | None) -> float | None:
    return None if share is None else round(float(share), 4)

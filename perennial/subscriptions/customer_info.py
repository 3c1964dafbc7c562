"""The SDKs' customer object: what `GET /v1/subscribers/{id}` and every purchase answer with.

Rendered once per change and kept as bytes beside the customer's version. What differs from read to read (the request's date, when the
customer was last seen) is put in front at answering time, so the kept part stays right until something is written or an access ends.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from perennial.base.time import FOREVER, iso, to_ms
from perennial.base.value import value
from perennial.catalog.model import Product
from perennial.customers.model import Customer
from perennial.subscriptions.model import Held, Line
from perennial.subscriptions.rules import (
    access_end,
    auto_renew_off_at,
    billing_issue_at,
    grace_until,
    is_entitled,
    is_grant,
    latest,
    original_purchased_at,
    refunded_at,
    sold_with,
)

# The stores' own pages where customers manage what they bought there.
MANAGEMENT_URLS = {
    "app_store": "https://apps.apple.com/account/subscriptions",
    "mac_app_store": "https://apps.apple.com/account/subscriptions",
    "play_store": "https://play.google.com/store/account/subscriptions",
}

Products = Mapping[tuple[str | None, str], Product]  # by (app, store identifier)


@value
class Document:
    """`body` continues the opening of `opening()`: the customer object without what changes at every read."""

    body: bytes
    fresh_until: datetime


def opening(now: datetime, last_seen: datetime) -> bytes:
    """The part that is different at every read. A document's body follows it directly."""
    return b'{"request_date":"%s","request_date_ms":%d,"subscriber":{"last_seen":"%s",' % (iso(now).encode(), to_ms(now), iso(last_seen).encode())


def render(customer: Customer, lines: Sequence[Line], products: Products, now: datetime, *, with_attributes: bool = False) -> Document:
    """`with_attributes` only for secret keys: an app must not read what servers noted about its user."""
    subscriber: dict[str, Any] = {
        "original_app_user_id": customer.original_app_user_id,
        "first_seen": iso(customer.first_seen_at),
        "management_url": _management_url(lines, now),
        "original_application_version": customer.download.version if customer.download else None,
        "original_purchase_date": iso(customer.download.at) if customer.download else None,
        "entitlements": _entitlements(lines, products),
        "subscriptions": _subscriptions(lines, products),
        "non_subscriptions": _non_subscriptions(lines, products),
        "other_purchases": {},
    }
    if with_attributes:
        subscriber["subscriber_attributes"] = {
            name: {"value": attribute.value, "updated_at_ms": to_ms(attribute.updated_at)}
            for name, attribute in customer.attributes.items()
            if attribute.value is not None
        }
    ends = [end for line in lines for held in line.held if (end := access_end(line, held)) > now]
    return Document(body=msgspec.json.encode(subscriber)[1:] + b"}", fresh_until=min(ends, default=FOREVER))


def _entitlements(lines: Sequence[Line], products: Products) -> dict[str, Any]:
    """Per entitlement, the purchase that gives it longest."""
    best: dict[str, tuple[datetime, dict[str, Any]]] = {}
    for line in lines:
        for held in line.held:
            if not _is_listed(held):
                continue
            product = products.get((line.app_id, held.purchase.product))
            end = access_end(line, held)
            for lookup_key in product.entitlements if product else ():
                if lookup_key not in best or end >= best[lookup_key][0]:
                    best[lookup_key] = (end, _entitlement(line, held, end))
    return {lookup_key: best[lookup_key][1] for lookup_key in sorted(best)}


def _entitlement(line: Line, held: Held, end: datetime) -> dict[str, Any]:
    identifier, plan = _identifiers(line, held)
    return {
        "expires_date": _date(end),
        "grace_period_expires_date": _grace(line, held),
        "product_identifier": identifier,
        **({"product_plan_identifier": plan} if plan else {}),
        "purchase_date": iso(sold_with(line, held).purchase.purchased_at),
    }


def _subscriptions(lines: Sequence[Line], products: Products) -> dict[str, Any]:
    """Per product, the period that lasts longest."""
    best: dict[str, tuple[datetime, dict[str, Any]]] = {}
    for line in lines:
        for held in line.held:
            purchase = held.purchase
            if purchase.kind == "subscription":
                end, (identifier, _) = access_end(line, held), _identifiers(line, held)
                if identifier not in best or end >= best[identifier][0]:
                    best[identifier] = (end, _subscription(line, held, end, products.get((line.app_id, purchase.product))))
    return {product: best[product][1] for product in sorted(best)}


def _subscription(line: Line, held: Held, end: datetime, product: Product | None) -> dict[str, Any]:
    purchase = held.purchase
    is_latest = held is latest(line)
    off_at, issue_at = (auto_renew_off_at(line), billing_issue_at(line)) if is_latest else (None, None)
    refunded = refunded_at(purchase)
    return {
        **_purchase(line, sold_with(line, held), product),
        "original_purchase_date": iso(original_purchased_at(line)),
        "expires_date": _date(end),
        "period_type": "normal" if purchase.period_type == "promotional" else purchase.period_type,
        "unsubscribe_detected_at": iso(off_at) if off_at else None,
        "billing_issues_detected_at": iso(issue_at) if issue_at else None,
        "grace_period_expires_date": _grace(line, held) if is_latest else None,
        "refunded_at": iso(refunded) if refunded else None,
        "auto_resume_date": _resumes(line) if is_latest else None,
        "ownership_type": purchase.ownership.upper(),
        "product_plan_identifier": _identifiers(line, held)[1],
        "management_url": MANAGEMENT_URLS.get(line.store),
        **({"metadata": words} if (words := _metadata(line)) else {}),
    }


def _metadata(line: Line) -> dict[str, str]:
    """As texts, which is all that the SDKs read here; webhooks tell them as they were said."""
    said = line.noted.words if line.noted is not None else {}
    return {name: word if isinstance(word, str) else msgspec.json.encode(word).decode() for name, word in said.items() if word is not None}


def _identifiers(line: Line, held: Held) -> tuple[str, str | None]:
    """What SDKs call the product: on Google Play a subscription and its base plan apart, elsewhere the store's one name."""
    if line.store != "play_store" or held.purchase.kind != "subscription":
        return held.purchase.product, None
    identifier, _, plan = held.purchase.product.partition(":")
    return identifier, plan or None


def _resumes(line: Line) -> str | None:
    """When a pause, scheduled or in force, ends by itself."""
    word = line.renewals[-1] if line.renewals else None
    return iso(word.resumes_at) if word is not None and word.pause is not None and word.resumes_at is not None else None


def _is_listed(held: Held) -> bool:
    """A one-time purchase that was taken back is not shown, and so cannot give an entitlement: the SDKs fail on one without its purchase."""
    return held.purchase.kind == "subscription" or held.purchase.revocation is None


def _non_subscriptions(lines: Sequence[Line], products: Products) -> dict[str, list[dict[str, Any]]]:
    """Per product, every purchase that was not taken back, oldest first: the SDKs take the last for the newest."""
    bought = sorted(
        ((line, held) for line in lines for held in line.held if held.purchase.kind != "subscription" and _is_listed(held)),
        key=lambda pair: pair[1].purchase.purchased_at,
    )
    by_product: dict[str, list[dict[str, Any]]] = {}
    for line, held in bought:
        product = products.get((line.app_id, held.purchase.product))
        entry = {**_purchase(line, held, product), "id": line.line_id, "original_purchase_date": iso(original_purchased_at(line))}
        by_product.setdefault(held.purchase.product, []).append(entry)
    return by_product


def _price(line: Line, held: Held) -> dict[str, Any] | None:
    """What the customer paid. A trial, a grant and what a relative pays for cost nothing, whether or not the store says so."""
    purchase = held.purchase
    if purchase.ownership == "family_shared" or (purchase.price is None and (is_grant(line) or purchase.period_type == "trial")):
        return {"amount": 0.0, "currency": purchase.price.currency if purchase.price else "USD"}
    return {"amount": float(purchase.price.major), "currency": purchase.price.currency} if purchase.price else None


def _purchase(line: Line, held: Held, product: Product | None) -> dict[str, Any]:
    purchase = held.purchase
    return {
        "purchase_date": iso(purchase.purchased_at),
        "store": line.store,
        "is_sandbox": line.environment == "sandbox",
        "store_transaction_id": purchase.transaction,
        "display_name": product.display_name if product else None,
        "price": _price(line, held),
    }


def _grace(line: Line, held: Held) -> str | None:
    until = grace_until(line, held)
    return iso(until) if until is not None else None


def _date(end: datetime) -> str | None:
    return None if end == FOREVER else iso(end)


def _management_url(lines: Sequence[Line], now: datetime) -> str | None:
    active = (line for line in lines if line.store in MANAGEMENT_URLS and is_entitled(line, now) and line.held[-1].purchase.kind == "subscription")
    return next((MANAGEMENT_URLS[line.store] for line in active), None)

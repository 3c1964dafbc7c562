"""An App Store app's products as Xcode takes them, to try purchases out without the store (a `.storekit` file, version 2 of its format).

What only App Store Connect knows is filled in so that Xcode opens the file: a price of 0.99 where we know none, a month where we know no
period. Both are changed in Xcode's editor.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from perennial.catalog.model import App, Product

_UNKNOWN_PRICE = "0.99"
_UNKNOWN_PERIOD = "P1M"
_TYPES = {"consumable": "Consumable", "non_consumable": "NonConsumable", "one_time": "NonConsumable"}


def configuration(app: App, products: Sequence[Product]) -> dict[str, Any]:
    """Its subscriptions stand in one group and at one level of service: which is above which, only App Store Connect knows."""
    products = sorted(products, key=lambda one: one.store_identifier)
    subscriptions = [one for one in products if one.type == "subscription"]
    return {
        "identifier": _internal_id(app.app_id),
        "nonRenewingSubscriptions": [
            _product(one) | {"type": "NonRenewingSubscription"} for one in products if one.type == "non_renewing_subscription"
        ],
        "products": [_product(one) | {"type": _TYPES[one.type]} for one in products if one.type in _TYPES],
        "settings": {},
        "subscriptionGroups": [_group(app, subscriptions)] if subscriptions else [],
        "version": {"major": 2, "minor": 0},
    }


def _group(app: App, subscriptions: Sequence[Product]) -> dict[str, Any]:
    group_id = _internal_id(f"{app.app_id} subscriptions")
    return {
        "id": group_id,
        "localizations": [],
        "name": app.name,
        "subscriptions": [_subscription(one, group_id) for one in subscriptions],
    }


def _subscription(product: Product, group_id: str) -> dict[str, Any]:
    return _product(product) | {
        "adHocOffers": [],
        "codeOffers": [],
        "groupNumber": 1,
        "introductoryOffer": _trial(product),
        "recurringSubscriptionPeriod": product.duration or _UNKNOWN_PERIOD,
        "subscriptionGroupID": group_id,
        "type": "RecurringSubscription",
    }


def _trial(product: Product) -> dict[str, Any] | None:
    if product.trial_duration is None:
        return None
    return {"internalID": _internal_id(f"{product.product_id} trial"), "paymentMode": "free", "subscriptionPeriod": product.trial_duration}


def _product(product: Product) -> dict[str, Any]:
    name = product.display_name or product.store_identifier
    return {
        "displayPrice": str(product.prices[0].major) if product.prices else _UNKNOWN_PRICE,
        "familyShareable": False,
        "internalID": _internal_id(product.product_id),
        "localizations": [{"description": "", "displayName": name, "locale": "en_US"}],
        "productID": product.store_identifier,
        "referenceName": name,
    }


def _internal_id(text: str) -> str:
    """Xcode's own are eight random hexadecimal digits; ours are the same each time the file is asked for."""
    return hashlib.sha256(text.encode()).hexdigest()[:8].upper()

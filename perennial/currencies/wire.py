"""The vendor's webhook object for a movement of a wallet: field for field as receivers built against it expect.

Source: the vendor's documentation of virtual currency events. Ours is one additional object, `perennial`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from perennial import customers
from perennial.base.ids import EventId
from perennial.base.time import to_ms
from perennial.catalog.model import Product, VirtualCurrency
from perennial.currencies.model import Movement
from perennial.customers.model import Customer


def event_body(
    movement: Movement,
    customer: Customer,
    currencies: Mapping[str, VirtualCurrency],
    product: Product | None,
    *,
    event_id: EventId,
    sequence: int,
    now: datetime,
) -> dict[str, Any]:
    """`product` is None where the catalog does not know it, and where nothing was bought. A currency deleted since is called by its code.

    What a movement without a purchase has not, its event has not either: these fields are texts to their receivers, never null.
    """
    origin = movement.origin
    return {
        "type": "VIRTUAL_CURRENCY_TRANSACTION",
        "id": event_id,
        "event_timestamp_ms": to_ms(now),
        **customers.told(customer),
        "adjustments": [{"amount": amount, "currency": _currency(code, currencies.get(code))} for code, amount in movement.adjustments],
        "source": movement.source,
        "virtual_currency_transaction_id": "vatx" + event_id.replace("-", ""),
        **_known(
            app_id=origin.app_id if origin else None,
            product_id=origin.product if origin else None,
            product_display_name=product.display_name if product else None,
            purchase_environment=origin.environment.upper() if origin else None,
            store=origin.store.upper() if origin else None,
            transaction_id=origin.transaction if origin else None,
            country_code=(origin.country if origin else None) or customer.last_seen_country,
        ),
        "perennial": {"sequence": sequence, "happened_at_ms": to_ms(movement.happened_at), "reference": movement.reference},
    }


def _currency(code: str, currency: VirtualCurrency | None) -> dict[str, Any]:
    return {"code": code, "name": currency.name if currency else code, **_known(description=currency.description if currency else None)}


def _known(**texts: str | None) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text is not None}

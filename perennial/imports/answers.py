"""Subscriptions and purchases, as the vendor's v2 shows them, as rows: pure.

v2 says how a subscription goes on as of now, and what its periods were, but not since when: that is why its word is dated by the moment of asking.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

from perennial.base.money import Money
from perennial.base.reading import milliseconds, money
from perennial.base.value import replace
from perennial.imports.model import Place, Row, Told
from perennial.subscriptions.model import EndReason, Renewal, Store

Json = Mapping[str, Any]
Products = Mapping[str, str]  # the store's identifiers, by the product's id
_STORES: tuple[str, ...] = get_args(Store)


def subscription_rows(item: Json, periods: Sequence[Json], products: Products, place: Place) -> list[Row] | str:
    """One row for each period, the oldest first; or why there is none."""
    known = products.get(str(item.get("product_id")))
    told = sorted(periods, key=lambda one: (one["purchased_at"], one["id"])) or [
        {
            "id": item["store_subscription_identifier"],
            "purchased_at": item["current_period_starts_at"],
            "expiration_date": item.get("current_period_ends_at"),
        }
    ]
    rows = []
    for number, period in enumerate(told, 1):
        product = period.get("product_store_identifier") or known
        if product is None or item["store"] not in _STORES:
            return _problem(item)
        ends_at, access_ends_at = _moment(period.get("expiration_date")), _moment(period.get("effective_expiration_date"))
        is_trial = number == len(told) and item["status"] == "trialing"
        rows.append(
            Row(
                place=place,
                app_user_id=place.name,
                store=item["store"],
                environment=item["environment"],
                line=item["store_subscription_identifier"],
                transaction=period["id"],
                product=product,
                purchased_at=milliseconds(period["purchased_at"], "purchased_at"),
                expires_at=ends_at,
                access_ends_at=access_ends_at,
                is_renewable=item["store"] != "promotional",
                number=number,
                original_purchased_at=_moment(item.get("starts_at")),
                period_type="promotional" if item["store"] == "promotional" else "trial" if is_trial else "normal",
                ownership=item["ownership"],
                country=item.get("country"),
                presented_offering=None,
            )
        )
    return rows


def purchase_rows(item: Json, products: Products, place: Place) -> list[Row] | str:
    product = products.get(str(item.get("product_id")))
    if product is None or item["store"] not in _STORES:
        return _problem(item)
    bought_at = milliseconds(item["purchased_at"], "purchased_at")
    return [
        Row(
            place=place,
            app_user_id=place.name,
            store=item["store"],
            environment=item["environment"],
            line=item["store_purchase_identifier"],
            transaction=item["store_purchase_identifier"],
            product=product,
            purchased_at=bought_at,
            is_renewable=False,
            ownership=item["ownership"],
            price=_price(item.get("revenue_in_usd")),
            refunded_at=bought_at if item["status"] == "refunded" else None,
            country=item.get("country"),
        )
    ]


def _problem(item: Json) -> str:
    if item["store"] not in _STORES:
        return f"purchases of the store {item['store']!r} are not held here"
    return f"its product {item.get('product_id')!r} is not among the products there"


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else milliseconds(ms, "a moment")


def _price(amount: Json | None) -> Money | None:
    """What was paid and not given back; nothing where there is none to tell."""
    return money(amount["gross"], amount["currency"], "gross") if amount and amount["gross"] else None


def with_present(told: Told, item: Json, asked_at: datetime) -> Told:
    """The same, going on as v2 says."""
    status = item["status"]
    has_grace, pending = status == "in_grace_period", (item.get("pending_changes") or {}).get("product") or {}
    word = Renewal(
        as_of=asked_at,
        transaction=told.statement.purchases[-1].transaction,
        auto_renew=item["auto_renewal_status"] != "will_not_renew",
        next_product=pending.get("store_identifier"),
        in_billing_retry=has_grace or status == "in_billing_retry",
        grace_until=_moment(item.get("current_period_ends_at")) if has_grace else None,
        ended=_ended(item),
        pause="in_force" if status == "paused" else "scheduled" if item["auto_renewal_status"] == "will_pause" else None,
    )
    return replace(told, statement=replace(told.statement, renewals=(word,)), is_open=False)


def _ended(item: Json) -> EndReason | None:
    return "unknown" if item["status"] == "expired" else None

"""A customer's purchases as rows of the vendor's scheduled data export (version 5): pure.

One row for each period of a subscription, each proration within one, and each one-time purchase, unique by store_transaction_id and renewal_number.
What we do not know stays empty: prices in dollars where it was paid in another currency, experiments.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import msgspec

from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.base.time import FOREVER, to_ms
from perennial.catalog.model import App, Product
from perennial.customers.model import Customer
from perennial.exports.model import EVERY, RETRY_AFTER, Export
from perennial.subscriptions import (
    access_end,
    auto_renew_off_at,
    billing_issue_at,
    grace_until,
    is_grant,
    latest,
    original_transaction,
    period_before,
    period_number,
    presented_offering,
    refunded_share,
    shares,
)
from perennial.subscriptions.model import Held, Line

# In the vendor's order, with what DuckDB calls their types. Not in the vendor's list: the last two.
COLUMNS: dict[str, str] = {
    "rc_original_app_user_id": "VARCHAR",
    "rc_last_seen_app_user_id_alias": "VARCHAR",
    "country": "VARCHAR",
    "country_source": "VARCHAR",
    "product_identifier": "VARCHAR",
    "product_display_name": "VARCHAR",
    "product_duration": "VARCHAR",
    "start_time": "TIMESTAMP",
    "end_time": "TIMESTAMP",
    "grace_period_end_time": "TIMESTAMP",
    "effective_end_time": "TIMESTAMP",
    "store": "VARCHAR",
    "is_auto_renewable": "BOOLEAN",
    "is_trial_period": "BOOLEAN",
    "is_in_intro_offer_period": "BOOLEAN",
    "is_sandbox": "BOOLEAN",
    "price_in_usd": "DECIMAL(18, 4)",
    "purchase_price_in_usd": "DECIMAL(18, 4)",
    "takehome_percentage": "DECIMAL(9, 6)",
    "tax_percentage": "DECIMAL(9, 6)",
    "commission_percentage": "DECIMAL(9, 6)",
    "store_transaction_id": "VARCHAR",
    "original_store_transaction_id": "VARCHAR",
    "refunded_at": "TIMESTAMP",
    "unsubscribe_detected_at": "TIMESTAMP",
    "billing_issues_detected_at": "TIMESTAMP",
    "purchased_currency": "VARCHAR",
    "price_in_purchased_currency": "DECIMAL(18, 4)",
    "purchase_price_in_purchased_currency": "DECIMAL(18, 4)",
    "entitlement_identifiers": "VARCHAR",
    "renewal_number": "INTEGER",
    "is_trial_conversion": "BOOLEAN",
    "presented_offering": "VARCHAR",
    "ownership_type": "VARCHAR",
    "reserved_subscriber_attributes": "VARCHAR",
    "custom_subscriber_attributes": "VARCHAR",
    "platform": "VARCHAR",
    "experiment_id": "VARCHAR",
    "experiment_variant": "VARCHAR",
    "updated_at": "TIMESTAMP",
    "offer": "VARCHAR",
    "offer_type": "VARCHAR",
    "first_seen_time": "TIMESTAMP",
    "auto_resume_time": "TIMESTAMP",
    # After the vendor's columns: one that its documented queries name, and what of the row is an estimate of ours.
    "price": "DECIMAL(18, 4)",
    "perennial_estimated": "VARCHAR",
}

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)
_MAX_NAME = 100  # characters, of a file's name

Products = Mapping[tuple[str | None, str], Product]
Apps = Mapping[AppId | None, App]
Cell = str | int


def rows_of(customer: Customer, lines: Sequence[Line], products: Products, apps: Apps) -> Iterator[list[Cell]]:
    """All rows of one customer, in the order of `COLUMNS`. `apps`: whose terms what stores keep is estimated by."""
    for line in lines:
        for held in line.held:
            yield _row(customer, line, held, products, apps.get(line.app_id))


def _row(customer: Customer, line: Line, held: Held, products: Products, app: App | None) -> list[Cell]:
    purchase = held.purchase
    product = products.get((line.app_id, purchase.product))
    is_latest = held is latest(line)
    end, grace = access_end(line, held), grace_until(line, held) if is_latest else None
    is_renewable = purchase.kind == "subscription" and not is_grant(line) and purchase.period_type != "prepaid"
    before = None if purchase.is_proration else period_before(line, held)
    word = line.renewals[-1] if line.renewals and is_latest else None
    return [
        customer.original_app_user_id,
        customer.app_user_id,
        purchase.country or customer.last_seen_country or "",
        "from_sdk" if purchase.country else "estimated" if customer.last_seen_country else "",
        purchase.product,
        (product.display_name if product else None) or "",
        (product.duration if product else None) or "",
        _time(purchase.purchased_at),
        _time(purchase.expires_at if is_renewable else None),
        _time(grace),
        _time(None if end == FOREVER else end),
        line.store,
        _yes(is_renewable),
        _yes(purchase.period_type == "trial"),
        _yes(purchase.period_type == "intro"),
        _yes(line.environment == "sandbox"),
        *_prices(line, held, app),
        purchase.transaction,
        original_transaction(line),
        _time(_refunded_at(held)),
        _time(auto_renew_off_at(line) if is_latest else None),
        _time(billing_issue_at(line) if is_latest else None),
        *_paid(held),
        _json(list(product.entitlements)) if product and product.entitlements else "",
        _number(line, held),
        _yes(before is not None and before.purchase.period_type == "trial" and purchase.period_type != "trial"),
        presented_offering(line, held) or "",
        purchase.ownership.upper(),
        _attributes(customer, reserved=True),
        _attributes(customer, reserved=False),
        customer.last_seen_platform or "",
        "",
        "",
        _time(max(line.heard_at, purchase.as_of)),
        (purchase.offer.identifier if purchase.offer else None) or "",
        purchase.offer.kind if purchase.offer else "",
        _time(customer.first_seen_at),
        _time(word.resumes_at if word is not None and word.pause is not None else None),
        _kept(held, _in_dollars(held)),
        ",".join(shares(line, held, app).estimated),
    ]


def _number(line: Line, held: Held) -> int:
    """A proration has its period's, but never 1: the vendor's queries count what has 1 as a new subscription, and what a change ended as expired."""
    return max(period_number(line, held), 2 if held.purchase.is_proration else 1)


# Money ------------------------------------------------------------------------------------------------------------------------


def _prices(line: Line, held: Held, app: App | None) -> list[Cell]:
    """In dollars after refunds and before, and the parts that went elsewhere, estimated where the store states none."""
    in_dollars = _in_dollars(held)
    parts = shares(line, held, app)
    return [_kept(held, in_dollars), _amount(in_dollars), _share(parts.takehome), _share(parts.tax), _share(parts.commission)]


def _in_dollars(held: Held) -> Money | None:
    price = _price(held)
    return price if price is not None and price.currency == "USD" else None


def _paid(held: Held) -> list[Cell]:
    price = _price(held)
    return [price.currency if price else "", _kept(held, price), _amount(price)]


def _price(held: Held) -> Money | None:
    """What it cost the customer: nothing where a relative pays."""
    purchase = held.purchase
    if purchase.price is not None and purchase.ownership == "family_shared":
        return Money(amount=0, currency=purchase.price.currency)
    return purchase.price


def _kept(held: Held, price: Money | None) -> str:
    return "" if price is None else _amount(price.times(1 - refunded_share(held.purchase)))


def _amount(money: Money | None) -> str:
    return "" if money is None else str(money.major)


def _share(part: Fraction | None) -> str:
    return "" if part is None else str(round(Decimal(part.numerator) / part.denominator, 6))


# Cells ------------------------------------------------------------------------------------------------------------------------


def _refunded_at(held: Held) -> datetime | None:
    purchase = held.purchase
    given = [refund.at for refund in purchase.refunds if not refund.is_reversed]
    if purchase.revocation is not None and purchase.revocation.refunded:
        given.append(purchase.revocation.at)
    return max(given, default=None)


def _attributes(customer: Customer, *, reserved: bool) -> str:
    told = {
        name: {"value": attribute.value, "updated_at_ms": to_ms(attribute.updated_at)}
        for name, attribute in customer.attributes.items()
        if attribute.value is not None and name.startswith("$") is reserved
    }
    return _json(told) if told else ""


def _json(told: object) -> str:
    return msgspec.json.encode(told).decode()


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _yes(so: bool) -> str:
    return "true" if so else "false"


# Files -------------------------------------------------------------------------------------------------------------------------


def file_name(name: str, until_at: datetime, ending: str) -> str:
    """Under the target, as the vendor names its files: `YYYY-MM-DD/<name>_<epoch seconds>.csv.gz`. `name` is the export's."""
    plain = _NOT_PLAIN.sub("_", name).strip("_.") or "transactions"
    return f"{until_at:%Y-%m-%d}/{plain[:_MAX_NAME]}_{to_ms(until_at) // 1000}.{ending}"


# When -------------------------------------------------------------------------------------------------------------------------


def next_after(export: Export, now: datetime) -> datetime:
    """The next day's run by the plan; days that were missed are not made up for: one run delivers all of them."""
    missed = max((now - export.next_at) // EVERY, 0)
    return export.next_at + EVERY * (missed + 1)


def retry_at(attempts: int, now: datetime) -> datetime:
    """After so many failures, one or more. It never gives up: a bucket that comes back is served."""
    return now + RETRY_AFTER[min(attempts, len(RETRY_AFTER)) - 1]

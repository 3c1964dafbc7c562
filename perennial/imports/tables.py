"""Two tables of purchases, read row by row: the vendor's scheduled export, and one of our own, simpler. Pure.

Of the export, versions 1 to 5 are read, by the names of its columns; what an older version lacks stays unknown. Ours needs `app_user_id`, `store`,
`product_id`, `transaction_id` and `purchased_at`; `docs/moving.md` explains all of them. Moments are ISO 8601, UTC where they name no zone.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, get_args

import msgspec

from perennial.base import reading
from perennial.base.errors import Invalid
from perennial.base.money import Money, from_decimal
from perennial.base.time import EPOCH
from perennial.customers.model import Attribute, is_app_user_id
from perennial.imports.model import Place, Row, buyer_of
from perennial.subscriptions.model import Offer, PeriodType, Store

Cells = Mapping[str, str]
_STORES: tuple[str, ...] = get_args(Store)
_TRUTH = {**dict.fromkeys(("true", "t", "1", "yes"), True), **dict.fromkeys(("false", "f", "0", "no"), False)}
_REMEMBERED = 10_000  # texts whose meaning is kept: prices, and the moments of one period, come again and again
_BLANKS = str.maketrans("\t\r\n", "   ")
_LONGEST = 500  # characters of a store's key

EXPORT_NEEDS = (
    "rc_original_app_user_id",
    "product_identifier",
    "start_time",
    "store",
    "store_transaction_id",
    "original_store_transaction_id",
)
ROWS_NEED = ("app_user_id", "store", "product_id", "transaction_id", "purchased_at")
ROWS_MAY_HAVE = (
    "aliases",
    "original_transaction_id",
    "expires_at",
    "period_type",
    "renewal_number",
    "auto_renew",
    "price",
    "currency",
    "unsubscribed_at",
    "billing_issue_at",
    "grace_until",
    "refunded_at",
    "is_family_shared",
    "is_sandbox",
    "country",
    "first_seen_at",
    "original_purchased_at",
)


def export_row(cells: Cells, place: Place) -> Row:
    """A row of the vendor's scheduled data export. Raises `Invalid`, naming the column."""
    is_renewable = _yes(cells, "is_auto_renewable")
    ends_at = moment(cells, "effective_end_time")
    expires_at = moment(cells, "end_time") or (None if is_renewable else ends_at)  # null for what does not renew
    paid, left = _price(cells, "purchase_price"), _price(cells, "price")
    price = paid or left
    refunded_at = moment(cells, "refunded_at")
    grace_until = moment(cells, "grace_period_end_time")
    is_sandbox = _yes(cells, "is_sandbox") and cells["store"] != "promotional"  # grants are always of production
    country, last_name = _country(cells), cells.get("rc_last_seen_app_user_id_alias", "")
    app_user_id, refused_name = _buyer(cells, "rc_original_app_user_id", "store", "original_store_transaction_id")
    has_other_name = last_name not in ("", app_user_id) and refused_name is None and is_app_user_id(last_name)
    return Row(
        place=place,
        app_user_id=app_user_id,
        refused_name=refused_name,
        aliases=(last_name,) if has_other_name else (),
        first_seen_at=moment(cells, "first_seen_time"),
        country=country if cells.get("country_source") != "estimated" else None,
        seen_country=country,
        attributes={**_attributes(cells, "reserved_subscriber_attributes"), **_attributes(cells, "custom_subscriber_attributes")},
        store=_store(cells),
        environment="sandbox" if is_sandbox else "production",
        line=_text(cells, "original_store_transaction_id"),
        transaction=_text(cells, "store_transaction_id"),
        product=_text(cells, "product_identifier"),
        purchased_at=_needed(cells, "start_time"),
        expires_at=expires_at,
        access_ends_at=ends_at,
        updated_at=moment(cells, "updated_at"),
        is_renewable=is_renewable,
        number=_number(cells, "renewal_number"),
        period_type=_period_type(cells),
        ownership="family_shared" if cells.get("ownership_type") == "FAMILY_SHARED" else "purchased",
        price=price,
        refunded=paid - left if refunded_at and paid and left and paid.currency == left.currency else None,
        tax=_part(cells, "tax_percentage", price),
        commission=_part(cells, "commission_percentage", price),
        refunded_at=refunded_at,
        unsubscribed_at=moment(cells, "unsubscribe_detected_at"),
        billing_issue_at=moment(cells, "billing_issues_detected_at") or (expires_at if grace_until else None),
        grace_until=grace_until,
        resumes_at=moment(cells, "auto_resume_time"),
        offer=Offer(kind=cells.get("offer_type") or "unspecified", identifier=cells["offer"]) if cells.get("offer") else None,
        presented_offering=cells.get("presented_offering") or None,
    )


def own_row(cells: Cells, place: Place) -> Row:
    """A row of our own, documented table. Raises `Invalid`, naming the column."""
    transaction = _text(cells, "transaction_id")
    line = _text(cells, "original_transaction_id") if cells.get("original_transaction_id") else transaction
    expires_at, grace_until = moment(cells, "expires_at"), moment(cells, "grace_until")
    app_user_id, refused_name = _buyer(cells, "app_user_id", "store", "original_transaction_id", "transaction_id")
    return Row(
        place=place,
        app_user_id=app_user_id,
        refused_name=refused_name,
        aliases=tuple(alias for alias in _words(cells.get("aliases", "")) if refused_name is None and is_app_user_id(alias)),
        first_seen_at=moment(cells, "first_seen_at"),
        country=_country(cells),
        store=_store(cells),
        environment="sandbox" if _yes(cells, "is_sandbox") else "production",
        line=line,
        transaction=transaction,
        product=_text(cells, "product_id"),
        purchased_at=_needed(cells, "purchased_at"),
        expires_at=expires_at,
        is_renewable=_yes(cells, "auto_renew", where_empty=expires_at is not None),
        number=_number(cells, "renewal_number") if cells.get("renewal_number") else 1 if line == transaction else 2,
        is_numbered=bool(cells.get("renewal_number")),
        original_purchased_at=moment(cells, "original_purchased_at"),
        period_type=_own_period_type(cells),
        ownership="family_shared" if _yes(cells, "is_family_shared") else "purchased",
        price=_money(cells, "price", cells.get("currency", "")),
        refunded_at=moment(cells, "refunded_at"),
        unsubscribed_at=moment(cells, "unsubscribed_at"),
        billing_issue_at=moment(cells, "billing_issue_at") or (expires_at if grace_until else None),
        grace_until=grace_until,
    )


# Cells ------------------------------------------------------------------------------------------------------------------------


def _text(cells: Cells, name: str) -> str:
    text = cells.get(name, "")
    if not text or len(text) > _LONGEST or not reading.is_text(text):
        raise Invalid(f"{name} is empty" if not text else f"{name} is longer than {_LONGEST} characters, or not text", param=name)
    return text


def _words(text: str) -> list[str]:
    """Texts apart by blanks, tabs or line ends. Other spaces (U+00A0, U+3000) may be part of an app user id."""
    return [word for word in text.translate(_BLANKS).split(" ") if word]


def _buyer(cells: Cells, name: str, *line: str) -> tuple[str, str | None]:
    return buyer_of(cells.get(name, ""), *(cells.get(column, "") for column in line))


def _store(cells: Cells) -> Store:
    store: Any = cells.get("store", "").lower()
    if store not in _STORES:
        raise Invalid(f"store {store!r} is none whose purchases are held here: {', '.join(_STORES)}", param="store")
    return store  # type: ignore[no-any-return]


def moment(cells: Cells, name: str) -> datetime | None:
    """Raises `Invalid`."""
    text = cells.get(name, "")
    if not text:
        return None
    try:
        return _moment(text)
    except Invalid as error:
        raise Invalid(f"{name} {text[:40]!r} is not a moment such as 2026-01-31 12:00:00", param=name) from error


@lru_cache(maxsize=_REMEMBERED)
def _moment(text: str) -> datetime:
    return reading.instant(text.removesuffix(" UTC"), "a moment")


def _needed(cells: Cells, name: str) -> datetime:
    found = moment(cells, name)
    if found is None:
        raise Invalid(f"{name} is empty", param=name)
    return found


def _yes(cells: Cells, name: str, *, where_empty: bool = False) -> bool:
    text = cells.get(name, "").lower()
    if not text:
        return where_empty
    if text not in _TRUTH:
        raise Invalid(f"{name} {text[:20]!r} is neither true nor false", param=name)
    return _TRUTH[text]


def _number(cells: Cells, name: str) -> int:
    text = cells.get(name, "") or "1"
    if not text.isascii() or not text.isdigit() or not 0 < len(text) < 7:
        raise Invalid(f"{name} {text[:20]!r} is not a number from 1", param=name)
    return max(int(text), 1)


def _country(cells: Cells) -> str | None:
    text = cells.get("country", "").upper()
    return text if len(text) == 2 and text.isascii() and text.isalpha() else None


def _period_type(cells: Cells) -> PeriodType:
    if cells["store"] == "promotional":
        return "promotional"
    if _yes(cells, "is_trial_period"):
        return "trial"
    return "intro" if _yes(cells, "is_in_intro_offer_period") else "normal"


def _own_period_type(cells: Cells) -> PeriodType:
    text: Any = cells.get("period_type", "").lower() or "normal"
    if text not in get_args(PeriodType):
        raise Invalid(f"period_type {text[:20]!r} is none of {', '.join(get_args(PeriodType))}", param="period_type")
    return text  # type: ignore[no-any-return]


# Money ------------------------------------------------------------------------------------------------------------------------


def _price(cells: Cells, prefix: str) -> Money | None:
    """In the currency it was paid in, or else in dollars."""
    paid = _money(cells, f"{prefix}_in_purchased_currency", cells.get("purchased_currency", ""))
    return paid or _money(cells, f"{prefix}_in_usd", "USD")


def _money(cells: Cells, name: str, currency: str) -> Money | None:
    text, currency = cells.get(name, ""), currency.upper()
    if not text or not currency:
        return None
    if len(currency) != 3 or not currency.isascii() or not currency.isalpha():
        raise Invalid(f"{currency[:20]!r} is not a currency such as USD", param=name)
    return _amount(text, currency, name)


@lru_cache(maxsize=_REMEMBERED)
def _amount(text: str, currency: str, name: str) -> Money:
    return from_decimal(_decimal(text, name), currency)


def _decimal(text: str, name: str) -> Decimal:
    try:
        return reading.decimal(text, name)
    except Invalid as error:
        raise Invalid(f"{name} {text[:20]!r} is not an amount such as 9.99", param=name) from error


def _part(cells: Cells, name: str, price: Money | None) -> Money | None:
    """A share of the price, said as a part of one."""
    text = cells.get(name, "")
    is_estimated = name in cells.get("perennial_estimated", "").split(",")  # our own export's, to be estimated anew
    if not text or price is None or is_estimated:
        return None
    return _share(text, name, price)


@lru_cache(maxsize=_REMEMBERED)
def _share(text: str, name: str, price: Money) -> Money:
    share = _decimal(text, name)
    if not 0 <= share <= 1:
        raise Invalid(f"{name} {text[:20]!r} is not a share from 0 to 1", param=name)
    return price.times(Fraction(share))


# Attributes -------------------------------------------------------------------------------------------------------------------


def _attributes(cells: Cells, name: str) -> dict[str, Attribute]:
    """`{"$email": {"value": "a@b.c", "updated_at_ms": 1}}`, or the values alone."""
    text = cells.get(name, "")
    if not text or text == "{}":
        return {}
    try:
        told = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Invalid(f"{name} is not a JSON object: {error}", param=name) from error
    return {key: _attribute(one) for key, one in told.items()}


def _attribute(told: Any) -> Attribute:
    if isinstance(told, dict):
        at = told.get("updated_at_ms")
        return Attribute(
            value=_said(told.get("value")), updated_at=reading.milliseconds(at, "updated_at_ms") if isinstance(at, int | float) else EPOCH
        )
    return Attribute(value=_said(told), updated_at=EPOCH)


def _said(told: Any) -> str | None:
    return None if told is None else told if isinstance(told, str) else msgspec.json.encode(told).decode()


READERS: dict[str, tuple[tuple[str, ...], Callable[[Cells, Place], Row]]] = {"export": (EXPORT_NEEDS, export_row), "rows": (ROWS_NEED, own_row)}

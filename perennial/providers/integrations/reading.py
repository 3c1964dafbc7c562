"""Reads an event for tools of others: its name there, whose it is, what money moved.

Names are the vendor's defaults (`rc_initial_purchase_event`), so that charts and funnels built on them go on.
"""

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from perennial.base.errors import Invalid
from perennial.base.secrets import Secret, conceal, covered
from perennial.base.time import from_ms
from perennial.providers.integrations.model import Event, Skipped

NAMES = {
    "INITIAL_PURCHASE": "rc_initial_purchase_event",
    "NON_RENEWING_PURCHASE": "rc_non_subscription_purchase_event",
    "RENEWAL": "rc_renewal_event",
    "CANCELLATION": "rc_cancellation_event",
}
_TRIAL_NAMES = {"INITIAL_PURCHASE": "rc_trial_started_event", "CANCELLATION": "rc_trial_cancelled_event"}

# Events with which money came in. A refund is told by its negative price, whatever its type.
_BROUGHT_MONEY = frozenset({"INITIAL_PURCHASE", "RENEWAL", "NON_RENEWING_PURCHASE", "REFUND_REVERSED"})

# What has a place of its own in every message, or is for webhooks alone.
_NOT_PROPERTIES = frozenset({"id", "type", "event_timestamp_ms", "subscriber_attributes", "perennial", "price_in_purchased_currency"})


_MOMENT = re.compile(r"(?P<name>\w+_at)_ms")

TRANSFERRED = Skipped(reason="skipped: a transfer is between two customers, and names no user whose event it would be")


def name(event: Event) -> str:
    kind = str(event["type"])
    if event.get("period_type") == "TRIAL" and kind in _TRIAL_NAMES:
        return _TRIAL_NAMES[kind]
    if kind == "RENEWAL" and event.get("is_trial_conversion"):
        return "rc_trial_converted_event"
    return NAMES.get(kind, f"rc_{kind.lower()}_event")


def attributes(event: Event) -> dict[str, str]:
    """The customer's attributes, without when each was set."""
    return {key: one["value"] for key, one in event.get("subscriber_attributes", {}).items()}


def user(event: Event, attribute: str) -> str | None:
    """Whose event it is: the attribute an app set for this tool, else the app user id. None: nobody's (a transfer)."""
    return attributes(event).get(attribute) or event.get("app_user_id")


def happened_at(event: Event) -> datetime:
    return from_ms(event.get("perennial", {}).get("happened_at_ms", event["event_timestamp_ms"]))


def timestamp(event: Event) -> str:
    """ISO 8601 in UTC, with milliseconds."""
    return moment(happened_at(event))


def moment(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def revenue(event: Event) -> float | None:
    """In the currency of the purchase: what came in, or, negative, what went back. Zero where no money moved; None where it is not known."""
    if event["type"] == "PRODUCT_CHANGE":
        charged: float | None = event.get("perennial", {}).get("proration", {}).get("price_in_purchased_currency", 0.0)
        return charged
    price = event.get("price_in_purchased_currency")
    if event["type"] in _BROUGHT_MONEY or (price is not None and price < 0):
        return price
    return 0.0


def moved_money(event: Event) -> bool:
    return bool(revenue(event))


def properties(event: Event) -> dict[str, Any]:
    """Everything an event says, under the webhooks' names; moments as ISO 8601 without `_ms`. `price` is in dollars or null, `revenue` in
    `currency`."""
    plain = {key: one for key, one in event.items() if key not in _NOT_PROPERTIES and not key.endswith("_ms")}
    moments = {
        found["name"]: None if one is None else moment(from_ms(one))
        for key, one in event.items()
        if key not in _NOT_PROPERTIES and (found := _MOMENT.fullmatch(key))
    }
    attributed = {"subscriber_attributes": attributes(event)} if "subscriber_attributes" in event else {}
    return {**plain, **moments, **attributed, "revenue": revenue(event)}


# What receivers are called with ---------------------------------------------------------------------------------------------------


def encode(document: object) -> bytes:
    return msgspec.json.encode(document)


def basic(user: str) -> tuple[bytes, bytes]:
    """HTTP Basic with an empty password, as tools take their keys."""
    return b"Authorization", b"Basic " + base64.b64encode(f"{user}:".encode())


def query(**parameters: str) -> str:
    return "&".join(f"{key}={quote(text, safe='')}" for key, text in parameters.items())


def check_base(url: str, param: str) -> str:
    """An address that paths are put behind. `Invalid` names the field. Whether it may be reached is asked at each call."""
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise Invalid(f"{param} cannot be read: {error}", param=param) from error
    if parts.scheme not in ("http", "https") or not has_host or not url.isprintable() or " " in url:
        raise Invalid(f"{param} must be an address such as https://example.com", param=param)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise Invalid(f"{param} must have no user name, query or fragment", param=param)
    return url.rstrip("/")


def retry_after(headers: Mapping[str, str]) -> int | None:
    """In seconds. The other form, a date, would compare the receiver's clock with ours: our own schedule is used instead."""
    text = headers.get("retry-after", "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def words(content: bytes, secrets: Mapping[str, str | Secret]) -> str:
    """What a receiver wrote, for a person: in one line, cut short, and without the secrets it may repeat."""
    text = conceal(content[:4096].decode(errors="replace"), covered(secrets).values())
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:300]

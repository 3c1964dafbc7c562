"""What of an SDK's report can be kept. SDKs are many and old: what cannot be read is left out, never refused with the rest."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from perennial.base.errors import Invalid
from perennial.base.ids import AppId
from perennial.base.text import forbidden_in
from perennial.base.time import from_ms
from perennial.telemetry.model import KEPT_FOR, LARGEST_EVENT, LONGEST_NAME, SdkEvent

# The numbers old SDKs send for networks: the vendor's enumeration.
_NETWORKS = {
    0: "apple_search_ads",
    1: "adjust",
    2: "appsflyer",
    3: "branch",
    4: "tenjin",
    5: "facebook",
    6: "mparticle",
    7: "adservices",
}
# What old SDKs put among a network's data, and the attribute it is.
_ATTRIBUTES = {"rc_idfa": "$idfa", "rc_idfv": "$idfv", "rc_gps_adid": "$gpsAdId"}


def read_event(sent: Any, app_id: AppId | None, now: datetime) -> SdkEvent | None:
    """The event, or None where it has no id, type, person or time, or is older than we keep.

    A device's clock may run ahead: nothing has happened after it reached us.
    """
    if not isinstance(sent, dict):
        return None
    event_id, kind, app_user_id = (_name(sent.get(field)) for field in ("id", "type", "app_user_id"))
    happened_at = _moment(sent.get("timestamp_ms", sent.get("timestamp")))
    if event_id is None or kind is None or app_user_id is None or happened_at is None or happened_at <= now - KEPT_FOR:
        return None
    if not _can_be_kept(sent):
        return None
    return SdkEvent(event_id=event_id, type=kind, app_user_id=app_user_id, happened_at=min(happened_at, now), data=sent, app_id=app_id)


def _name(text: Any) -> str | None:
    return text if isinstance(text, str) and 0 < len(text) <= LONGEST_NAME and forbidden_in(text) is None else None


def _moment(milliseconds: Any) -> datetime | None:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    try:
        return from_ms(milliseconds)
    except Invalid:
        return None


def _can_be_kept(data: Any) -> bool:
    """Small enough, and without the NUL characters PostgreSQL has no place for."""
    body = msgspec.json.encode(data)
    return len(body) <= LARGEST_EVENT and b"\\u0000" not in body


def network_name(number: int) -> str:
    """The advertising network old SDKs mean by a number. `Invalid` for one nobody knows."""
    if number not in _NETWORKS:
        raise Invalid(f"network {number} is not one of {min(_NETWORKS)} to {max(_NETWORKS)}", param="network")
    return _NETWORKS[number]


def check_attribution(data: Mapping[str, Any]) -> None:
    if not _can_be_kept(data):
        raise Invalid(f"data has more than {LARGEST_EVENT} bytes, or a NUL character", param="data")


def attributes_of(data: Mapping[str, Any]) -> dict[str, str]:
    """The device's identifiers among a network's data, as customer attributes."""
    return {name: text for field, name in _ATTRIBUTES.items() if isinstance(text := data.get(field), str) and text}

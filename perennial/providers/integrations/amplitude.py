"""Amplitude's HTTP V2 API.

Source: Amplitude's documentation: `POST /2/httpapi`, fewer than 2000 events and 1 MB; `insert_id` tells repeats apart for seven days. One
event that it does not take fails the whole request: the 400 names those by their places, and the others are to be sent again without them.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from perennial.base.outgoing import Reply
from perennial.base.time import to_ms
from perennial.providers.integrations import reading
from perennial.providers.integrations.model import Event, Fields, Hidden, Item, Judgement, Limits, Receiver, Request, Skipped

_PLATFORMS = {"APP_STORE": "iOS", "MAC_APP_STORE": "macOS", "PLAY_STORE": "Android"}


class Settings(Fields, frozen=True):
    base_url: str = "https://api2.amplitude.com"  # EU: https://api.eu.amplitude.com


class Secrets(Hidden, frozen=True):
    api_key: str


def address(settings: Settings, secrets: Secrets) -> str:
    return reading.check_base(settings.base_url, "settings.base_url")


def item(event: Event) -> Item | Skipped:
    who = _who(event)
    if not who:
        return reading.TRANSFERRED
    platform, country = _PLATFORMS.get(event.get("store", "")), event.get("country_code")
    return {
        **who,
        "event_type": reading.name(event),
        "time": to_ms(reading.happened_at(event)),
        "insert_id": event["id"],
        **({"platform": platform} if platform else {}),
        **({"country": country} if country else {}),
        **_money(event),
        "event_properties": reading.properties(event),
    }


def _who(event: Event) -> dict[str, str]:
    """The ids the app set for Amplitude: both, or the one there is; else the app user id. As the vendor does."""
    attributes = reading.attributes(event)
    set_ids = {"user_id": attributes.get("$amplitudeUserId"), "device_id": attributes.get("$amplitudeDeviceId")}
    found = {name: one for name, one in set_ids.items() if one}
    app_user_id = event.get("app_user_id")
    return found or ({"user_id": app_user_id} if app_user_id else {})


def _money(event: Event) -> dict[str, Any]:
    amount = reading.revenue(event)
    if not amount:
        return {}
    return {
        "revenue": amount,
        "productId": event.get("product_id"),
        "revenueType": "refund" if amount < 0 else "purchase",
        "currency": event.get("currency"),
    }


def request(settings: Settings, secrets: Secrets, items: Sequence[Item], sent_at: datetime) -> Request:
    """App user ids may be short: without `min_id_length`, those under five characters would be dropped."""
    return Request(
        url=f"{address(settings, secrets)}/2/httpapi",
        body=reading.encode({"api_key": secrets.api_key, "events": items, "options": {"min_id_length": 1}}),
    )


class _Refusal(msgspec.Struct):
    error: str = ""
    missing_field: str | None = None
    events_with_missing_fields: dict[str, list[int]] = {}
    events_with_invalid_fields: dict[str, list[int]] = {}
    events_with_invalid_id_lengths: dict[str, list[int]] = {}
    silenced_events: list[int] = []


def judge(reply: Reply) -> Judgement | None:
    if reply.status != 400:
        return None
    try:
        refusal = msgspec.json.decode(reply.content, type=_Refusal)
    except msgspec.MsgspecError:
        return None
    refused = dict(_named(refusal))
    return Judgement(refused=refused, took_the_others=False) if refused else None


def _named(refusal: _Refusal) -> Iterator[tuple[int, str]]:
    for trouble, fields in (
        ("lacks", refusal.events_with_missing_fields),
        ("is refused for", refusal.events_with_invalid_fields),
        ("has too short a", refusal.events_with_invalid_id_lengths),
    ):
        for field, places in fields.items():
            yield from ((place, f"answered 400: the event {trouble} {field}") for place in places)
    yield from ((place, "answered 400: the event's device is silenced") for place in refusal.silenced_events)


RECEIVER = Receiver(
    kind="amplitude",
    title="Amplitude",
    settings=Settings,
    secrets=Secrets,
    limits=Limits(events=1000, bytes=900_000, each=900_000),
    address=address,
    item=item,
    request=request,
    judge=judge,
)

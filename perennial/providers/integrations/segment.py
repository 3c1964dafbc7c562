"""Segment's HTTP tracking API, and what is compatible with it (RudderStack, Jitsu, Hightouch Events).

Source: Segment's documentation of the HTTP API source: `POST /v1/batch` with the write key by HTTP Basic; 500 KB and 2500 events in a batch,
32 KB each; `messageId` tells repeats apart. An event that is too large is answered with 200 and dropped, so it is not even sent.
"""

from collections.abc import Sequence
from datetime import datetime

import perennial
from perennial.providers.integrations import reading
from perennial.providers.integrations.model import Event, Fields, Hidden, Item, Limits, Receiver, Request, Skipped


class Settings(Fields, frozen=True):
    base_url: str = "https://api.segment.io"  # EU: https://events.eu1.segmentapis.com


class Secrets(Hidden, frozen=True):
    write_key: str


def address(settings: Settings, secrets: Secrets) -> str:
    return reading.check_base(settings.base_url, "settings.base_url")


def item(event: Event) -> Item | Skipped:
    user = reading.user(event, "$segmentId")
    if user is None:
        return reading.TRANSFERRED
    return {
        "type": "track",
        "messageId": event["id"],
        "userId": user,
        "event": reading.name(event),
        "timestamp": reading.timestamp(event),
        "properties": reading.properties(event),
        "context": {
            "environment": str(event.get("environment", "")).lower(),
            "library": {"name": "perennial", "version": perennial.__version__},
        },
    }


def request(settings: Settings, secrets: Secrets, items: Sequence[Item], sent_at: datetime) -> Request:
    return Request(
        url=f"{address(settings, secrets)}/v1/batch",
        headers=(reading.basic(secrets.write_key),),
        body=reading.encode({"batch": items, "sentAt": reading.moment(sent_at)}),
    )


RECEIVER = Receiver(
    kind="segment",
    title="Segment",
    settings=Settings,
    secrets=Secrets,
    limits=Limits(events=2500, bytes=500_000, each=32_000),
    address=address,
    item=item,
    request=request,
)

"""PostHog's capture API, in its clouds or on one's own server.

Source: PostHog's documentation: `POST /batch/` with the project's key in the body, at most 20 MB, 1 MB an event; repeats of the same `uuid`,
`event`, `timestamp` and `distinct_id` become one.
"""

from collections.abc import Sequence
from datetime import datetime

from perennial.providers.integrations import reading
from perennial.providers.integrations.model import Event, Fields, Hidden, Item, Limits, Receiver, Request, Skipped


class Settings(Fields, frozen=True):
    base_url: str = "https://us.i.posthog.com"  # EU: https://eu.i.posthog.com; or one's own


class Secrets(Hidden, frozen=True):
    api_key: str  # the project's, `phc_...`


def address(settings: Settings, secrets: Secrets) -> str:
    return reading.check_base(settings.base_url, "settings.base_url")


def item(event: Event) -> Item | Skipped:
    user = reading.user(event, "$posthogUserId")
    if user is None:
        return reading.TRANSFERRED
    return {
        "uuid": event["id"],
        "event": reading.name(event),
        "distinct_id": user,
        "timestamp": reading.timestamp(event),
        "properties": {**reading.properties(event), "$lib": "perennial"},
    }


def request(settings: Settings, secrets: Secrets, items: Sequence[Item], sent_at: datetime) -> Request:
    return Request(
        url=f"{address(settings, secrets)}/batch/",
        body=reading.encode({"api_key": secrets.api_key, "historical_migration": False, "batch": items}),
    )


RECEIVER = Receiver(
    kind="posthog",
    title="PostHog",
    settings=Settings,
    secrets=Secrets,
    limits=Limits(events=1000, bytes=10_000_000, each=1_000_000),
    address=address,
    item=item,
    request=request,
)

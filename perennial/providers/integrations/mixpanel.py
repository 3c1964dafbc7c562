"""Mixpanel's import API.

Source: Mixpanel's documentation: `POST /import?strict=1` with the project's token by HTTP Basic, at most 2000 events and 10 MB; `$insert_id`
(with time, name and distinct id) tells repeats apart. A 400 is a partial success: it names the events that were not taken, the others were.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from perennial.base.outgoing import Reply
from perennial.base.time import to_ms
from perennial.providers.integrations import reading
from perennial.providers.integrations.model import Event, Fields, Hidden, Item, Judgement, Limits, Receiver, Request, Skipped


class Settings(Fields, frozen=True):
    base_url: str = "https://api.mixpanel.com"  # EU: https://api-eu.mixpanel.com; India: https://api-in.mixpanel.com


class Secrets(Hidden, frozen=True):
    token: str  # the project's


def address(settings: Settings, secrets: Secrets) -> str:
    return reading.check_base(settings.base_url, "settings.base_url")


def item(event: Event) -> Item | Skipped:
    user = reading.user(event, "$mixpanelDistinctId")
    if user is None:
        return reading.TRANSFERRED
    return {
        "event": reading.name(event),
        "properties": {
            **reading.properties(event),
            "time": to_ms(reading.happened_at(event)),
            "distinct_id": user,
            "$insert_id": event["id"],
        },
    }


def request(settings: Settings, secrets: Secrets, items: Sequence[Item], sent_at: datetime) -> Request:
    return Request(
        url=f"{address(settings, secrets)}/import?strict=1",
        headers=(reading.basic(secrets.token),),
        body=reading.encode(items),
    )


class _Failed(msgspec.Struct):
    index: int
    message: str = ""
    field: str = ""


class _Refusal(msgspec.Struct):
    failed_records: list[_Failed] = []


def judge(reply: Reply) -> Judgement | None:
    if reply.status != 400:
        return None
    try:
        failed = msgspec.json.decode(reply.content, type=_Refusal).failed_records
    except msgspec.MsgspecError:
        return None
    return Judgement(refused={one.index: f"answered 400: {one.message[:300]}" for one in failed}, took_the_others=True) if failed else None


RECEIVER = Receiver(
    kind="mixpanel",
    title="Mixpanel",
    settings=Settings,
    secrets=Secrets,
    limits=Limits(events=2000, bytes=9_000_000, each=900_000),
    address=address,
    item=item,
    request=request,
    judge=judge,
)

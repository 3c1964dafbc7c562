"""Pulling notifications instead of having them pushed, where Google cannot reach this server: the same messages, one call at a time.

Nothing is lost in between: a message is acknowledged only once it was kept, and comes again otherwise.
Source: Cloud Pub/Sub REST reference, projects.subscriptions.pull and acknowledge (v1).
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec

from perennial.base.errors import Invalid
from perennial.intake.model import Caught, StoreApp
from perennial.providers.google.api import PublisherApi
from perennial.providers.google.payload import Nothing, PubsubMessage, PullAnswer, PushEnvelope
from perennial.providers.google.push import envelope

ADDRESS = "https://pubsub.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/pubsub"
MOST_MESSAGES = 100

Keep = Callable[[Sequence[Caught]], Awaitable[None]]


async def pull(api: PublisherApi, app: StoreApp, keep: Keep, now: datetime, *, address: str = ADDRESS) -> int:
    """Takes what waits, at most `MOST_MESSAGES`, has it kept, and acknowledges it. Returns how many; ask again until it is none.

    The app's `pubsub_subscription` is pulled in its service account's name, which needs the role Pub/Sub Subscriber.
    """
    subscription = app.settings.get("pubsub_subscription")
    if not subscription or subscription.count("/") != 3:
        raise Invalid("`pubsub_subscription` is projects/PROJECT/subscriptions/NAME", param="pubsub_subscription")
    url = f"{address}/v1/{subscription}"
    answer = await api.call(app, now, "POST", f"{url}:pull", PullAnswer, scope=SCOPE, body={"maxMessages": MOST_MESSAGES})
    if not answer.received_messages:
        return 0
    await keep([_caught(one.message, subscription, now) for one in answer.received_messages])
    ack_ids = [one.ack_id for one in answer.received_messages]
    await api.call(app, now, "POST", f"{url}:acknowledge", Nothing, scope=SCOPE, body={"ackIds": ack_ids})
    return len(ack_ids)


def _caught(message: PubsubMessage, subscription: str, now: datetime) -> Caught:
    """In the envelope a push would have had, so that it is read like one."""
    body = msgspec.json.encode(PushEnvelope(message=message, subscription=subscription))
    return Caught(envelope=envelope(body, now), body=body)

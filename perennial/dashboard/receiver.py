"""`POST /demo/webhooks`: the demo project's own webhook receiver, as one would write it, keeping the last it heard for the pages."""

import binascii
from collections import deque
from datetime import datetime
from typing import Any

import msgspec
from litestar import Response, post
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from perennial.api.auth import HttpRequest, app_of
from perennial.api.v1.answers import to_json
from perennial.base.errors import Unauthorized
from perennial.base.value import value
from perennial.dashboard.demo import require_demo
from perennial.dashboard.guard import demo_only, from_this_machine

MOST_KEPT = 50


@value
class Received:
    """A webhook whose signature held. `at` is the wall clock's; the event speaks of the project's own time."""

    at: datetime
    message_id: str
    event: dict[str, Any]

    @property
    def type(self) -> str:
        return str(self.event.get("type", "?"))

    @property
    def app_user_id(self) -> str | None:
        found = self.event.get("app_user_id")
        return found if isinstance(found, str) else None

    @property
    def product(self) -> str | None:
        found = self.event.get("new_product_id") or self.event.get("product_id")
        return found if isinstance(found, str) else None

    @property
    def as_json(self) -> str:
        return msgspec.json.format(msgspec.json.encode(self.event), indent=2).decode()


def received_by(request: HttpRequest) -> deque[Received]:
    """Newest first. Each process remembers its own."""
    state = request.app.state
    if "received_webhooks" not in state:
        state["received_webhooks"] = deque(maxlen=MOST_KEPT)
    received: deque[Received] = state["received_webhooks"]
    return received


@post("/demo/webhooks", status_code=200, guards=[demo_only, from_this_machine])
async def receive(request: HttpRequest) -> Response[bytes]:
    """401 where the signature is missing, wrong, or older than five minutes."""
    app = app_of(request)
    body = await request.body()
    event = _event(body, dict(request.headers), require_demo(app.settings).webhook_secret)
    message_id = request.headers.get("webhook-id", "")
    received_by(request).appendleft(Received(at=app.database.clock(), message_id=message_id, event=event))
    return to_json({})


def _event(body: bytes, headers: dict[str, str], secret: str) -> dict[str, Any]:
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
    except (WebhookVerificationError, binascii.Error, ValueError) as error:  # the last two: a signature that is not even shaped like one
        raise Unauthorized("the webhook's signature does not hold; it must be signed with the endpoint's own secret, just now") from error
    document = msgspec.json.decode(body, type=dict[str, Any])
    event = document.get("event")
    return event if isinstance(event, dict) else document


HANDLERS = [receive]

"""How what is due in a simulated store is played, and how what it sends goes in: through the door a real store's messages take."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from perennial import intake
from perennial.base.db import Tx
from perennial.base.errors import PerennialError
from perennial.base.ids import AppId
from perennial.base.value import value
from perennial.intake.model import Message, StoreApp

TRY_AGAIN = timedelta(hours=1)

log = structlog.get_logger("perennial.simulated")

T = TypeVar("T")


@value
class Kept:
    """A row whose turn it is, as it is stored. `key`: what the store's own table calls it by."""

    app_id: AppId
    key: str
    state: object


async def play(
    tx: Tx, due: Sequence[Kept], play_one: Callable[[Kept], tuple[T, list[Message]]], postpone: Callable[[Tx, Kept, datetime], Awaitable[None]]
) -> list[T]:
    """Plays each and posts what they send, in the transaction that is to remember it. What cannot be played steps aside for an hour."""
    messages: list[Message] = []
    played: list[T] = []
    for one in due:
        try:
            state, posted = play_one(one)
        except Exception:
            log.exception("what a simulated store holds could not be played", app_id=one.app_id, key=one.key)
            await postpone(tx, one, tx.now + TRY_AGAIN)
            continue
        messages += posted
        played.append(state)
    if messages:
        await intake.receive(tx, messages)
    return played


def post(providers: intake.Providers, app: StoreApp, body: bytes, headers: Mapping[str, str], now: datetime, *, kind: str) -> Message | None:
    """Through the real door. A refusal is the world's answer: the notification stays undelivered, as a store's would."""
    try:
        envelope = providers[app.store].open(app, body, headers, now)
    except PerennialError as error:
        log.warning("a simulated notification was refused", app_id=app.app_id, kind=kind, error=error.message)
        return None
    return Message(app_id=app.app_id, envelope=envelope, body=body)

"""The Microsoft Store: it sends nothing, so it is asked, with the key a user's device got from it.

`api` signs in, asks and changes, `read` turns recurrences into statements, `payload` is the wire format.

Settings: `tenant_id` and `client_id` (of the Entra application set up in Partner Center), `sandbox` (`XDKS.1`: a development sandbox; what it
holds is of our sandbox). Secrets: `client_secret`. What an app posts as its token is the user's Microsoft Store ID key for purchases
(User Purchase ID). The key is asked for again and again: `Posted.store_user_id` holds the one last posted when a line is asked about. Keys run
out; a line whose key did is not asked about until the app posts a new one. An `Act`'s details may carry one as `store_id_key`.

A line's key is the recurrence's id, and so is a question's subject. Refunds a user gets from Microsoft come over its Clawback queue: it is fetched
where the setting `clawback` is `on`, as it should be once Microsoft has set up a queue for the client id (`clawback` says how). One queue is of one
client id: of several apps with the same one, let a single one fetch.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

from perennial.base.errors import Invalid
from perennial.base.http import Http
from perennial.base.reading import answer_of
from perennial.intake.model import Act, CannotAct, Caught, Envelope, Posted, Question, Reading, StoreApp
from perennial.providers.microsoft import api, clawback, read
from perennial.providers.microsoft.payload import Recurrence
from perennial.subscriptions.model import Environment

__all__ = ["MicrosoftStore"]

MOST_DAYS = 365

_EXTENDED = "extended"  # the hint of a question after an extension of ours
_OVER = frozenset(("Inactive", "Canceled", "Failed"))
_SAME = timedelta(minutes=1)


class MicrosoftStore:
    """Microsoft's store as `intake.model.Provider`. One serves all apps of a process; close it at the end."""

    def __init__(self) -> None:
        self._http = Http("Microsoft")
        self._service = api.PurchaseService(self._http)
        self._queues = Http("the Clawback queue")

    async def close(self) -> None:
        await self._http.close()
        await self._queues.close()

    async def prepare(self, headers: Mapping[str, str], body: bytes) -> None:
        """Nothing to fetch: nothing is posted."""

    def open(self, app: StoreApp, body: bytes, headers: Mapping[str, str], now: datetime) -> Envelope:
        raise Invalid("the Microsoft Store sends no notifications")

    def read(self, app: StoreApp, body: bytes, now: datetime) -> Reading:
        """An event of the Clawback queue, from which alone we have any."""
        return clawback.read(body, read.environment(app))

    async def pull(self, app: StoreApp, keep: Callable[[Sequence[Caught]], Awaitable[None]], now: datetime) -> int:
        """Takes what waits in the Clawback queue, has it kept, and deletes it there."""
        return await clawback.pull(self._service, self._queues, app, keep)

    async def read_receipt(self, app: StoreApp, posted: Posted, now: datetime) -> Reading:
        """A Store ID key: every subscription of its user."""
        found = await self._service.recurrences(app, posted.token.strip())
        if found is None:
            raise Invalid("Microsoft does not accept this Store ID key; it may have run out, so let the app get a new one", param="fetch_token")
        with answer_of("the Microsoft Store"):
            statements = tuple(read.statement(app, one, posted.line, posted.products, now) for one in found)
        return Reading(statements=statements, note=None if statements else "the user has no subscriptions")

    def can_ask(self, app: StoreApp) -> bool:
        return api.has_credentials(app)

    async def ask(self, app: StoreApp, question: Question, posted: Posted, now: datetime) -> Reading:
        """The present state of a recurrence, with the key its user's app last posted; and what was taken back of it, where that made us ask."""
        taken = clawback.taken_in(question.hint)
        if not taken:
            return await self._present(app, question, posted, now)
        if posted.line is None:
            return Reading(note="taken back, and nobody here holds it")
        return clawback.answer(posted.line, taken)

    async def _present(self, app: StoreApp, question: Question, posted: Posted, now: datetime) -> Reading:
        key = posted.store_user_id
        if not key:
            return Reading(note="no Store ID key of this user is known; the app posts one when it starts")
        found = await self._service.recurrences(app, key)
        if found is None:
            return Reading(note="the Store ID key ran out; the app posts a new one when it starts")
        ours = [one for one in found if one.id == question.subject]
        if not ours:
            return Reading(note=f"Microsoft knows no {question.subject} of this user")
        is_extended = question.hint == _EXTENDED
        return Reading(statements=tuple(read.statement(app, one, posted.line, posted.products, now, is_extended=is_extended) for one in ours))

    async def missed(
        self, app: StoreApp, since: datetime, until: datetime, environment: Environment, now: datetime
    ) -> AsyncIterator[Caught | Question]:
        """Microsoft sends nothing, so nothing was missed; lines are asked about when their periods end."""
        nothing: tuple[Caught, ...] = ()
        for caught in nothing:
            yield caught

    async def act(self, app: StoreApp, act: Act, posted: Posted, now: datetime) -> Reading:
        """`cancel` (no further renewal), `refund` (which ends it too) and `extend`.

        Microsoft keeps no count by our id, so the present state is looked at first: what is already so is not done again.
        """
        key = str(act.details.get("store_id_key") or posted.store_user_id or "")
        if not key:
            raise CannotAct("Microsoft changes a subscription only with its user's Store ID key, and none is known")
        recurrence = await self._recurrence(app, act.subject, key)
        change = _change(act, recurrence, posted)
        if change is not None:
            await self._service.change(app, recurrence.id, key, change)
        hint = _EXTENDED if act.kind == "extend" else ""
        return Reading(questions=(Question(environment=act.environment, subject=act.subject, hint=hint),))

    async def _recurrence(self, app: StoreApp, recurrence_id: str, key: str) -> Recurrence:
        found = await self._service.recurrences(app, key)
        if found is None:
            raise CannotAct("the Store ID key ran out; let the app post a new one")
        ours = [one for one in found if one.id == recurrence_id]
        if not ours:
            raise CannotAct(f"Microsoft knows no {recurrence_id!r} of this user")
        return ours[0]


def _change(act: Act, recurrence: Recurrence, posted: Posted) -> dict[str, str] | None:
    """What to ask for; None where it is so already."""
    is_over = recurrence.recurrence_state in _OVER
    match act.kind:
        case "cancel":
            return None if is_over or not recurrence.auto_renew else {"changeType": "ToggleAutoRenew"}
        case "refund":
            return None if recurrence.recurrence_state == "Canceled" else {"changeType": "Refund"}
        case "extend":
            return _extension(act, recurrence, posted)
    raise CannotAct(f"Microsoft offers no way to {act.kind} a subscription")


def _extension(act: Act, recurrence: Recurrence, posted: Posted) -> dict[str, str] | None:
    """Later than the end we hold means that it was extended by a first try whose answer was lost."""
    days = int(act.details.get("days", 0))
    if not 0 < days <= MOST_DAYS:
        raise CannotAct(f"an extension is by 1 to {MOST_DAYS} days, not {days}")
    held = posted.line.held[-1].purchase.expires_at if posted.line is not None and posted.line.held else None
    if held is not None and recurrence.expiration_time > held + _SAME:
        return None
    return {"changeType": "Extend", "extensionTimeInDays": str(days)}

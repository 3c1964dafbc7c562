"""Integrations: analytics tools, chats and buckets, told of the same events as webhooks and from the same outbox.

Each receiver is a module of pure functions, from an event to a request, as its documentation has it; here is what they share: packing events
into requests, sending them through the one guarded door, and reading what the answers mean.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

import perennial
from perennial.base.errors import Invalid
from perennial.base.ids import ProjectId
from perennial.base.outgoing import PublicHttp, Reply, Unanswered
from perennial.base.secrets import Secret, covered
from perennial.base.time import perf_counter
from perennial.base.value import replace
from perennial.events.model import Answer, Configured, Shipment
from perennial.providers.integrations import amplitude, files, firebase, firestore, mixpanel, posthog, reading, segment, slack
from perennial.providers.integrations.model import CUSTOMERS, Fields, Item, Limits, Receiver, Request, Skipped

__all__ = ["KINDS", "RECEIVERS", "Integrations", "fields"]

MOST_REQUESTS = 100  # of one shipment; what is left over goes with the next
LONGEST_SECRET = 20_000

RECEIVERS: dict[str, Receiver] = {
    one.kind: one
    for one in (
        segment.RECEIVER,
        slack.RECEIVER,
        posthog.RECEIVER,
        amplitude.RECEIVER,
        mixpanel.RECEIVER,
        firebase.RECEIVER,
        firestore.RECEIVER,
    )
}
# The customer objects of those who are there, by app user id.
CustomerInfos = Callable[[ProjectId, Collection[str]], Awaitable[Mapping[str, Any]]]
KINDS = (*RECEIVERS, files.KIND)

Places = list[tuple[int, Item]]  # events of a shipment, by where they stand in it


def fields(kind: str) -> tuple[type[Fields], type[Fields]]:
    """What an integration of this kind is set with: settings, secrets."""
    if kind == files.KIND:
        return files.Settings, files.Secrets
    if kind not in RECEIVERS:
        raise Invalid(f"kind {kind[:80]!r} is not one of {', '.join(KINDS)}", param="kind")
    return RECEIVERS[kind].settings, RECEIVERS[kind].secrets


class Integrations:
    """The `Carrier` of every kind. `files_folder` is where the operator lets integrations write files of their own; None: nowhere.

    `customer_infos` is asked for kinds that are told of customers beside events, when they are told.
    """

    def __init__(
        self,
        *,
        allow_internal: bool,
        files_folder: Path | None,
        timeout: timedelta = timedelta(seconds=15),
        customer_infos: CustomerInfos | None = None,
    ) -> None:
        self._customer_infos = customer_infos
        self._http = PublicHttp(allow_internal=allow_internal, timeout=timeout)
        self._files_folder = files_folder

    async def close(self) -> None:
        await self._http.close()

    def check(self, kind: str, settings: Mapping[str, Any], secrets: Mapping[str, Any]) -> Configured:
        settings_type, secrets_type = fields(kind)
        _check_secrets(_open(secrets))
        set_to, hidden = _read(settings_type, settings, "settings"), _read(secrets_type, _open(secrets), "secrets")
        gather_for = None
        if isinstance(set_to, files.Settings):
            assert isinstance(hidden, files.Secrets)
            address = files.address(set_to, hidden)
            files.folder(set_to, self._files_folder)
            gather_for = timedelta(minutes=set_to.every_minutes)
        else:
            address = RECEIVERS[kind].address(set_to, hidden)
        return Configured(settings=_plain(set_to), secrets=covered(_plain(hidden)), address=address, gather_for=gather_for)

    async def carry(self, shipment: Shipment) -> list[Answer | None]:
        if shipment.kind == files.KIND:
            answer = await self._put_files(shipment)
            return [answer] * len(shipment.events)
        receiver = RECEIVERS[shipment.kind]
        shipment = await self._with_customers(receiver, shipment)
        answers, waiting = _pack(receiver, shipment)
        began = perf_counter()
        for _ in range(MOST_REQUESTS):
            if not waiting or timedelta(seconds=perf_counter() - began) > shipment.within:
                break
            places = waiting.popleft()
            told, again, goes_on = await self._tell(receiver, shipment, places)
            for place, answer in told.items():
                answers[place] = answer
            waiting.extendleft(reversed(again))
            if not goes_on:
                break
        return answers

    async def _with_customers(self, receiver: Receiver, shipment: Shipment) -> Shipment:
        if receiver.whose is None:
            return shipment
        assert self._customer_infos is not None and shipment.project_id is not None, f"{receiver.kind} is told of customers"
        ids = [receiver.whose(event) for event in shipment.events]
        known = await self._customer_infos(shipment.project_id, {one for some in ids for one in some})
        beside = [{one: known[one] for one in some if one in known} for some in ids]
        return replace(shipment, events=tuple({**event, CUSTOMERS: some} for event, some in zip(shipment.events, beside, strict=True)))

    async def _tell(self, receiver: Receiver, shipment: Shipment, places: Places) -> tuple[dict[int, Answer], list[Places], bool]:
        """One request. Returns what became of which event, what is to be sent again in smaller or other requests, and whether to go on."""
        settings, secrets = _read(receiver.settings, shipment.settings, "settings"), _read(receiver.secrets, _open(shipment.secrets), "secrets")
        request = receiver.request(settings, secrets, [item for _, item in places], shipment.sent_at)
        try:
            reply = await self._call(request)
        except Unanswered as why:
            return _all(places, Answer(error=_hidden(str(why), shipment))), [], False
        if (judged := receiver.judge(reply)) is not None:
            refused = {places[at][0]: _refusal(reply, _hidden(words, shipment)) for at, words in judged.refused.items() if at < len(places)}
            others = [one for one in places if one[0] not in refused]
            if judged.took_the_others:
                return refused | _all(others, Answer(status=reply.status, verdict="delivered")), [], True
            return refused, [others] if others else [], True
        return _by_status(reply, places, shipment, receiver.refused)

    async def _put_files(self, shipment: Shipment) -> Answer:
        """One answer for all: they go in one object. A bucket that refuses is tried again, as the fault is not in the events."""
        settings, secrets = _read(files.Settings, shipment.settings, "settings"), _read(files.Secrets, _open(shipment.secrets), "secrets")
        assert shipment.batch is not None, "files are sent in batches that have a name"
        objects = await asyncio.to_thread(files.objects, settings, shipment.batch, [files.item(event) for event in shipment.events])
        if (folder := files.folder(settings, self._files_folder)) is not None:
            return await _write(folder, objects)
        for request in files.requests(settings, secrets, objects):
            try:
                reply = await self._call(request)
            except Unanswered as why:
                return Answer(error=_hidden(str(why), shipment))
            if not 200 <= reply.status < 300:
                return Answer(status=reply.status, error=_said(reply, shipment), verdict="failed", retry_after=_wait(reply))
        return Answer(status=200, verdict="delivered")

    async def _call(self, request: Request) -> Reply:
        headers = [
            (b"Content-Type", request.content_type.encode()),
            (b"User-Agent", f"Perennial/{perennial.__version__}".encode()),
            *request.headers,
        ]
        return await self._http.call(request.method, request.url, headers=headers, body=request.body)


async def _write(folder: Path, objects: Sequence[files.Object]) -> Answer:
    """Each is written beside its place and renamed into it."""
    try:
        store = LocalStore(folder, mkdir=True)
        for one in objects:
            await obstore.put_async(store, one.name, one.content, use_multipart=False)
    except (BaseError, OSError) as error:
        return Answer(error=f"cannot write into {folder}: {type(error).__name__}")
    return Answer(status=200, verdict="delivered")


# What is given --------------------------------------------------------------------------------------------------------------------


def _read(kind: type[msgspec.Struct], given: Mapping[str, Any], where: str) -> Any:
    try:
        return msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at ")
        name = where + path.strip("`").removeprefix("$")
        known = ", ".join(kind.__struct_fields__) or "nothing"
        raise Invalid(f"{name}: {said}; this kind takes {known}", param=name) from None


def _open(secrets: Mapping[str, Any]) -> dict[str, Any]:
    return {name: secret.reveal() if isinstance(secret, Secret) else secret for name, secret in secrets.items()}


def _check_secrets(secrets: Mapping[str, Any]) -> None:
    for name, secret in secrets.items():
        if not isinstance(secret, str) or not secret or len(secret) > LONGEST_SECRET:
            raise Invalid(f"secrets.{name[:80]} must be a text of 1 to {LONGEST_SECRET} characters", param=f"secrets.{name[:80]}")


def _plain(struct: Fields) -> dict[str, Any]:
    return {name: one for name, one in msgspec.to_builtins(struct).items() if one is not None}


# What is sent ---------------------------------------------------------------------------------------------------------------------


def _pack(receiver: Receiver, shipment: Shipment) -> tuple[list[Answer | None], deque[Places]]:
    """Events into as few requests as the receiver's limits allow. Those that are not for it, or too large, have their answer."""
    answers: list[Answer | None] = [None] * len(shipment.events)
    fitting: list[tuple[int, Item, int]] = []
    for place, event in enumerate(shipment.events):
        item = receiver.item(event)
        if isinstance(item, Skipped):
            answers[place] = Answer(verdict="skipped", error=item.reason)
            continue
        size = len(reading.encode(item)) + 1
        if size > receiver.limits.each:
            answers[place] = Answer(verdict="refused", error=f"not sent: {size} bytes, and {receiver.title} takes at most {receiver.limits.each}")
        else:
            fitting.append((place, item, size))
    return answers, deque(_chunks(fitting, receiver.limits))


def _chunks(fitting: Sequence[tuple[int, Item, int]], limits: Limits) -> list[Places]:
    """A tenth of a request is left for what stands around the events."""
    chunks: list[Places] = []
    size = 0
    for place, item, bytes_ in fitting:
        if not chunks or len(chunks[-1]) >= limits.events or size + bytes_ > limits.bytes * 9 // 10:
            chunks.append([])
            size = 0
        chunks[-1].append((place, item))
        size += bytes_
    return chunks


# What was answered ----------------------------------------------------------------------------------------------------------------


def _by_status(reply: Reply, places: Places, shipment: Shipment, refused: Collection[int]) -> tuple[dict[int, Answer], list[Places], bool]:
    """Taken; too large or refused, and then in halves until the culprit stands alone; or to be tried again later, and then nothing more goes now."""
    if 200 <= reply.status < 300:
        return _all(places, Answer(status=reply.status, verdict="delivered")), [], True
    if reply.status == 413 or reply.status in refused:
        if len(places) > 1:
            middle = len(places) // 2
            return {}, [places[:middle], places[middle:]], True
        return _all(places, _refusal(reply, _said(reply, shipment))), [], True
    return _all(places, Answer(status=reply.status, error=_said(reply, shipment), verdict="failed", retry_after=_wait(reply))), [], False


def _all(places: Places, answer: Answer) -> dict[int, Answer]:
    return {place: answer for place, _ in places}


def _refusal(reply: Reply, words: str) -> Answer:
    return Answer(status=reply.status, verdict="refused", error=words)


def _said(reply: Reply, shipment: Shipment) -> str:
    said = reading.words(reply.content, shipment.secrets)
    return f"answered {reply.status}: {said}" if said else f"answered {reply.status}"


def _hidden(text: str, shipment: Shipment) -> str:
    return reading.words(text.encode(), shipment.secrets)


def _wait(reply: Reply) -> timedelta | None:
    seconds = reading.retry_after(reply.headers)
    return None if seconds is None else timedelta(seconds=seconds)

"""Answers leave no faster than they are read, and nobody who does not read them holds the server's memory."""

import asyncio
from typing import Any

import pytest

from perennial.api import leaving
from perennial.api.leaving import PIECE, Outgoing
from perennial.base.errors import Unavailable
from tests.asking import ask
from tests.world import House, World

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


class Reader:
    """A client that takes so many pieces, and then no more."""

    def __init__(self, pieces: int = 10**9) -> None:
        self._left = pieces
        self.taken: list[bytes] = []
        self.is_whole = False

    async def __call__(self, message: Any) -> None:
        if message["type"] != "http.response.body":
            return
        if self._left == 0:
            await asyncio.Event().wait()
        self._left -= 1
        self.taken.append(message["body"])
        self.is_whole = not message.get("more_body")


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE, 10 * PIECE + 7])
async def test_an_answer_is_the_same_in_pieces(size: int) -> None:
    body, reader, outgoing = bytes(number % 251 for number in range(size)), Reader(), Outgoing()
    await outgoing.send(reader, START, body)
    assert (b"".join(reader.taken), reader.is_whole) == (body, True)
    assert max(map(len, reader.taken)) <= PIECE
    assert outgoing.held == 0


@pytest.mark.parametrize("pieces", [0, 1, 5])
async def test_who_stops_reading_is_given_up(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "TAKEN_WITHIN", 0.05)
    reader, outgoing = Reader(pieces), Outgoing()
    await asyncio.wait_for(outgoing.send(reader, START, bytes(10 * PIECE)), 10)
    assert (len(reader.taken), reader.is_whole, outgoing.held) == (pieces, False, 0)


async def test_where_all_are_held_those_who_read_nothing_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    outgoing = Outgoing(most_held=1000 * 1024)
    unread = [asyncio.create_task(outgoing.send(Reader(pieces), START, bytes(300 * 1024))) for pieces in (0, 2, 1)]
    await asyncio.sleep(0.01)
    assert outgoing.held == 900 * 1024
    outgoing.check_room(PIECE)
    outgoing.check_room(100 * 1024)
    with pytest.raises(Unavailable) as refused:
        outgoing.check_room(101 * 1024, "unknown")  # nobody has been silent for long
    assert refused.value.outcome == "unknown"
    monkeypatch.setattr(leaving, "STALLED_AFTER", 0.001)
    await asyncio.sleep(0.05)
    outgoing.check_room(500 * 1024)
    await asyncio.sleep(0.01)
    assert [one.done() for one in unread].count(True) == 2
    assert outgoing.held == 300 * 1024
    outgoing.check_room(2000 * 1024)  # alone, it may be larger than all
    await asyncio.gather(*unread)
    assert outgoing.held == 0


async def test_large_answers_of_v1_count_and_small_ones_do_not(house: House, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/v2/projects/{world.project_id}/offerings"
    body = {"lookup_key": "wide", "display_name": "Wide", "metadata": {"text": "x" * 200_000}}
    assert (await world.http.post(path, headers=world.secret, json=body)).status_code == 201
    offerings, keyed = b"/v1/subscribers/ada/offerings", world.sdk()
    whole = await ask(house.front, "GET", offerings, headers=keyed)
    assert whole.status == 200 and len(whole.body) > 200_000
    assert whole.headers["content-length"] == str(len(whole.body))
    head = await ask(house.front, "HEAD", offerings, headers=keyed)
    assert (head.body, head.headers["content-length"]) == (b"", str(len(whole.body)))
    monkeypatch.setattr(house.front, "_outgoing", outgoing := Outgoing(most_held=300_000))
    unread = asyncio.create_task(outgoing.send(Reader(1), START, bytes(200_000)))
    await asyncio.sleep(0.01)
    refused = await ask(house.front, "GET", offerings, headers=keyed)
    assert refused.status == 503 and b'"retryable":true' in refused.body and "retry-after" in refused.headers
    assert (await ask(house.front, "GET", b"/v1/subscribers/ada", headers=keyed)).status in (200, 201)
    unread.cancel()
    await asyncio.wait([unread])
    assert (await ask(house.front, "GET", offerings, headers=keyed)).body == whole.body

"""The servers that do nothing but the unavoidable: what the product's answers are measured against.

`query` is a read without a product: the same function of the same database through the same pool, coalesced in the fewest lines, and the
row's body with constant headers. It knows no keys, times, limits, errors or metrics. `constant` does not even ask the database.
"""

import asyncio
import os
from collections import deque
from typing import Any

from perennial.asgi import keep_answers_short
from perennial.base.db import Database

_JSON = (b"content-type", b"application/json")
_SLOTS, _LARGEST = 1, 200  # as the product has it; two slots are no faster here


class Constant:
    def __init__(self) -> None:
        self._body = b"x" * int(os.environ.get("BENCH_BODY", "2048"))
        self._headers = [_JSON, (b"content-length", b"%d" % len(self._body))]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


class Query:
    def __init__(self) -> None:
        self._hash = bytes.fromhex(os.environ.get("BENCH_KEY_HASH", ""))
        self._waiting: deque[tuple[str, asyncio.Future[bytes]]] = deque()
        self._free = _SLOTS
        self._database: Database
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            self._database = await Database.open(os.environ["DATABASE_URL"], application="perennial bench")
            return await _lifespan(receive, send)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((scope["path"].rpartition("/")[2], future))
        if self._free:
            self._free -= 1
            task = asyncio.create_task(self._drain())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        body = await future
        await send({"type": "http.response.start", "status": 200, "headers": [_JSON, (b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def _drain(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_LARGEST, len(self._waiting)))]
            ids = [name for name, _ in batch]
            for row in await self._database.door("SELECT * FROM read_customers($1, $2, $3)", [self._hash], [1] * len(batch), ids):
                if row["place"] > 0:
                    batch[row["place"] - 1][1].set_result(row["body"])
            for _, future in batch:
                if not future.done():
                    future.set_result(b"{}")  # /readyz is nobody
        self._free += 1


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            keep_answers_short()  # as the product does
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


constant = Constant()
query = Query()

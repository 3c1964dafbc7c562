"""A store's API on a bad day: it fails now and then, answers late, and may lose the answer to what it did."""

import asyncio
import random
from typing import Any


class BadApi:
    """The ASGI application of a store behind bad weather. `odds` of a call that fails; clear them and it is a good day."""

    def __init__(self, application: Any, chance: random.Random, *, odds: float = 0.05, slowest: float = 0.02) -> None:
        self._application, self._chance = application, chance
        self.odds, self.slowest = odds, slowest
        self.failed = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._chance.random() < self.odds:
            return await self._fail(send)
        answer: list[Any] = []

        async def keep(message: Any) -> None:
            answer.append(message)

        await self._application(scope, receive, keep)
        await asyncio.sleep(self._chance.random() * self.slowest)
        if self._chance.random() < self.odds:
            return await self._fail(send)
        for message in answer:
            await send(message)

    async def _fail(self, send: Any) -> None:
        self.failed += 1
        status = self._chance.choice((429, 500, 503))
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

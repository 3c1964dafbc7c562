"""Asks the ASGI application as no well-behaved client would: any bytes as a path, a body that comes in pieces or not at all."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from perennial.api.asgi import Front


class Answer:
    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode("latin-1"): text.decode("latin-1") for name, text in message["headers"]}
        else:
            self.body += message["body"]


async def ask(
    front: Front,
    method: str,
    raw_path: bytes,
    *,
    query: bytes = b"",
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes | AsyncIterator[bytes] = b"",
    client: str = "127.0.0.1",
    host: bytes = b"perennial.test",
) -> Answer:
    """The path as Granian hands it over: decoded, whatever it holds, beside the raw one. A body that is a stream and ends never ends;
    one that raises `ConnectionResetError` breaks off."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote_to_bytes(raw_path).decode(errors="replace"),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", host), *((name.lower().encode(), text.encode("latin-1")) for name, text in pairs)],
        "client": (client, 50000),
        "server": ("127.0.0.1", 8080),
        "state": {},
    }
    sent = False

    async def receive() -> Any:
        nonlocal sent
        if isinstance(body, bytes):
            if sent:
                await asyncio.Event().wait()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        try:
            return {"type": "http.request", "body": await anext(body), "more_body": True}
        except StopAsyncIteration:
            await asyncio.Event().wait()
        except ConnectionResetError:
            return {"type": "http.disconnect"}

    answer = Answer()
    await front(scope, receive, answer)
    return answer

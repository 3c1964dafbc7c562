"""How the simulated stores' servers read a request and answer it."""

from collections.abc import Sequence
from typing import Any

MOST_BODY = 64 * 1024

Headers = Sequence[tuple[bytes, bytes]]


async def read(receive: Any) -> bytes | None:
    """The body; None where it is longer than any of these stores is sent."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_BODY:
            return None
        if not message.get("more_body"):
            return bytes(body)


async def respond(send: Any, status: int, content: bytes, content_type: bytes = b"application/json", more: Headers = ()) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(content)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})

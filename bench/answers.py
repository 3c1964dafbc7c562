"""`python -m bench.answers FILE PORT`: a store's API that does nothing, so that who asks it is what is measured.

FILE (JSON) holds pairs of what a request's first line contains and what is answered to it, the first that fits; a hash of eight characters in an
answer becomes the first eight digits in a row of the request. `GET /served` says how many others were answered.
"""

import asyncio
import json
import re
import sys
from base64 import b64decode
from pathlib import Path
from typing import cast

import uvloop

HOLE = b"########"

_NUMBER = re.compile(rb"\d{8}")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Answers(asyncio.Protocol):
    routes: tuple[tuple[bytes, bytes], ...] = ()
    served = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name
        self._waiting = b""

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._waiting, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._waiting) < whole:
                return
            request, self._waiting = self._waiting[:whole], self._waiting[whole:]
            self._transport.write(self._answer(request))

    def _answer(self, request: bytes) -> bytes:
        first = request[: request.find(b"\r\n")]
        if first.startswith(b"GET /served "):
            return _response(str(Answers.served).encode())
        Answers.served += 1
        for part, answer in self.routes:
            if part in first:
                number = _NUMBER.search(request)
                return answer.replace(HOLE, number[0]) if number else answer
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def serve(routes: list[tuple[str, str]], port: int) -> None:
    Answers.routes = tuple((part.encode(), _response(b64decode(body))) for part, body in routes)
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(json.loads(Path(sys.argv[1]).read_bytes()), int(sys.argv[2])))

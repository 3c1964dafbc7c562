"""JSON always: an empty body breaks the web SDK."""

from typing import Any

import msgspec
from litestar import Response


def json_bytes(body: bytes, status: int = 200) -> Response[bytes]:
    return Response(content=body, status_code=status, media_type="application/json")


def to_json(document: Any, status: int = 200) -> Response[bytes]:
    return json_bytes(msgspec.json.encode(document), status)

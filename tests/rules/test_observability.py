"""What we log reaches a reader whole."""

import io
import json
import sys

import pytest
import structlog

from perennial.observability import configure
from perennial.settings import Settings


class Pipe(io.RawIOBase):
    """Keeps each write apart, as other processes that write to the same pipe would come between them."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.writes.append(bytes(data))
        return len(data)


def test_a_log_line_is_one_write_also_where_output_is_not_buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, write_through=True))  # type: ignore[type-var]  # what PYTHONUNBUFFERED makes
    kept = structlog.get_config()
    try:
        configure(Settings.read())
        structlog.get_logger().info("request", path="/v1/offerings", status=200)
    finally:
        structlog.configure(**kept)

    assert len(pipe.writes) == 1
    assert pipe.writes[0].endswith(b"\n")
    assert json.loads(pipe.writes[0])["path"] == "/v1/offerings"

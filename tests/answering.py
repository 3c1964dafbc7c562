"""A real HTTP server on this machine that answers what a test scripts, and remembers what it was asked."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from perennial.base.value import value


@value
class Asked:
    """One request as the server saw it. `path` is as it stood on the wire, still quoted."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


class Answering:
    """Answers scripted per method and path, in order, the last one for ever; 404 for what nobody scripted."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, dict[str, str], bytes]]] = {}
        self.asked: list[Asked] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536  # head and body in one packet

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): content for name, content in self.headers.items()}
                outer.asked.append(Asked(method=self.command, path=parts.path, query=dict(parse_qsl(parts.query)), headers=headers, raw=raw))
                answers = outer.answers.get(f"{self.command} {parts.path}", [(404, {}, b"{}")])
                status, extra, content = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(status)
                for name, said in {"Content-Type": "application/json", "Content-Length": str(len(content)), **extra}.items():
                    self.send_header(name, said)
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_DELETE = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def calls(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.asked]

    def answer(self, what: str, *contents: object, status: int = 200, **headers: str) -> None:
        """`what` is a method and a path: `GET /subscriptions/sub_1`."""
        self.answers[what] = [(status, headers, one if isinstance(one, bytes) else json.dumps(one).encode()) for one in contents]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

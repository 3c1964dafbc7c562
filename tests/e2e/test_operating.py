"""What operators rely on, on a deployed server: metrics, request ids, traces where they are configured."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from perennial.app import open_app
from tests.e2e.conftest import Deployment
from tests.e2e.server import open_server
from tests.ports import free_port
from tests.world import World, make_world, settings_for


async def test_metrics_count_reads_and_requests(database_url: str, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(os.environ, "PERENNIAL_METRICS_PORT", str(port := free_port()))
    async with (
        open_server(database_url, tmp_path) as base_url,
        open_app(settings_for(database_url, tmp_path), connections=2) as app,
        httpx.AsyncClient(base_url=base_url, trust_env=False) as http,
    ):
        world = await make_world(app, http)
        for _ in range(3):
            await world.customer("ada")
        await http.get("/v1/health")
        told = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    assert value(told, "perennial_reads_total") == 3
    assert 'route="/v1/health",status="200"' in told


def value(exposition: str, name: str) -> float:
    return next(float(line.split()[-1]) for line in exposition.splitlines() if line.startswith(name + " "))


async def test_every_answer_carries_a_request_id_of_its_own(deployment: Deployment, world: World):
    answers = [await deployment.http.get(path) for path in ("/healthz", "/readyz", "/v1/subscribers/ada", "/nothing")]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 4


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def collector() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Collector) as server:
        server.taken = []  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


async def test_traces_go_where_they_are_configured_and_name_no_people(database_url: str, tmp_path: Path, monkeypatch):
    with collector() as server:
        monkeypatch.setitem(os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        async with open_server(database_url, tmp_path) as base_url, httpx.AsyncClient(base_url=base_url, trust_env=False) as http:
            await http.get("/v1/subscribers/ada", headers={"Authorization": "Bearer sk_none", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
        spans = [
            span
            for path, body in server.taken  # type: ignore[attr-defined]
            if path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
    [read] = [span for span in spans if span.name == "GET /v1/subscribers"]
    assert read.trace_id.hex() == "a" * 32
    assert "ada" not in repr(spans)

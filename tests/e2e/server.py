"""The API as it is deployed, in a process of its own; and a web site beside it, on an origin of its own."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx

from tests.ports import free_port

_READY_LIMIT = 60  # seconds
_STOP_LIMIT = 20
_OF_RECEIVERS = '"event not delivered"'  # tests name receivers that are nowhere
_COMPLAINTS = ('"level": "warning"', '"level": "error"', "Traceback")


@asynccontextmanager
async def open_server(database_url: str, home: Path) -> AsyncIterator[str]:
    """Its base URL, once it is ready. What it logs goes to `server.log` in its home, and must hold no complaint in the end."""
    port = free_port()
    environment = {**os.environ, "DATABASE_URL": database_url, "PERENNIAL_HOME": str(home), "HOST": "127.0.0.1", "PORT": str(port)}
    environment["PERENNIAL_RATE_LIMITS"] = "off"  # a test asks faster than anyone
    log = home / "server.log"
    with log.open("wb") as written:
        process = subprocess.Popen([sys.executable, "-m", "perennial", "serve"], env=environment, stdout=written, stderr=subprocess.STDOUT)
    try:
        base_url = f"http://127.0.0.1:{port}"
        await _until_ready(base_url, process, log)
        yield base_url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    said = [line for line in log.read_text().splitlines() if any(word in line for word in _COMPLAINTS)]
    complaints = [line for line in said if _OF_RECEIVERS not in line]
    assert complaints == [], "\n".join(complaints[:5])


async def _until_ready(base_url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    async with httpx.AsyncClient(base_url=base_url, trust_env=False) as http, asyncio.timeout(_READY_LIMIT):
        while True:
            assert process.poll() is None, f"the server ended by itself:\n{log.read_text()}"
            try:
                if (await http.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@contextmanager
def open_site(folder: Path) -> Iterator[str]:
    """Serves the files of a folder. Its port makes it another origin than the API's, as a customer's site is."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as site:
        Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()

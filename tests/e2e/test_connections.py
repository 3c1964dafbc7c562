"""A deployed server beside those who connect and say nothing, or half of what they announced."""

import asyncio
import contextlib
import os
import resource
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from perennial.api import connections
from perennial.api.connections import Connection, close, connections_at, too_many
from tests.e2e.conftest import Deployment
from tests.e2e.server import open_server
from tests.ports import free_port
from tests.world import World

SILENT = 2500  # more than the server of before held in all


async def test_neighbours_are_answered_beside_thousands_who_say_nothing(deployment: Deployment, world: World) -> None:
    address = urlsplit(deployment.base_url)
    assert address.hostname and address.port
    held = []
    head = f"POST /v1/receipts HTTP/1.1\r\nHost: x\r\n{'Authorization: Bearer ' + world.keys['test_store']}\r\nContent-Length: 1000000\r\n\r\n"
    try:
        for number in range(SILENT):
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            held.append(writer)
            if number % 10 == 0:
                writer.write(head.encode() + b" " * 1000)
        async with httpx.AsyncClient(base_url=deployment.base_url, trust_env=False, timeout=30) as http:
            for _ in range(20):
                assert (await http.get("/v1/subscribers/ada", headers=world.sdk())).status_code in (200, 201)
    finally:
        for writer in held:
            writer.close()


async def test_metrics_are_not_for_the_public_and_do_not_grow_by_names(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("PERENNIAL_METRICS_PORT", str(port))
    async with open_server(database_url, tmp_path) as base_url, httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{base_url}/metrics")).status_code == 404
        for _ in range(3):
            await http.get(f"{base_url}/v1/health")
        answer = await http.get(f"http://127.0.0.1:{port}/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'perennial_requests_total{method="GET",route="/v1/health",status="200"} 3.0' in answer.text
        assert 'perennial_process{kind="server"} 1.0' in answer.text
        assert (await http.get(f"http://127.0.0.1:{port}/v1/health")).status_code == 404
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 20_000)
        assert await reader.read() == b""  # closed
        writer.close()


def connection(number: int, address: str, quiet_for: int) -> Connection:
    return Connection(descriptor=number, peer=(address, number), quiet_for=quiet_for)


def test_the_quietest_of_one_address_are_too_many() -> None:
    crowd = [connection(number, "203.0.114.7", number) for number in range(20)] + [connection(99, "198.51.101.1", 10**6)]
    chosen = too_many(crowd, 1000, of_one_address=15)
    assert sorted(one.descriptor for one in chosen) == [15, 16, 17, 18, 19]
    proxied = [connection(number, address, number) for address in ("127.0.0.1", "10.0.0.1", "::1") for number in range(20)]
    assert too_many(proxied, 1000, of_one_address=15) == []


def test_the_quietest_of_all_make_room() -> None:
    crowd = [connection(number, "10.0.0.1", number) for number in range(95)]
    assert sorted(one.descriptor for one in too_many(crowd, 100)) == list(range(75, 95))
    assert too_many(crowd[:90], 100) == []


def test_a_look_leaves_no_file_open() -> None:
    """Each of more than 256 open files that was no connection left a copy of itself at every look, until there was no file for anybody."""
    with contextlib.ExitStack() as held, socket.create_server(("127.0.0.1", 0)) as listening:
        for _ in range(200):
            for descriptor in os.pipe():
                held.callback(os.close, descriptor)
        held.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        held.enter_context(socket.socket(socket.AF_UNIX))
        held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        before = len(os.listdir("/dev/fd"))
        assert before > 256
        for _ in range(3):
            assert connections.look(listening.getsockname()[1], 1000) == 0
        assert len(os.listdir("/dev/fd")) == before


async def test_room_is_kept_also_after_no_file_could_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LOOKS_EVERY", 0.01)
    guard = asyncio.create_task(connections.keep_room(1, 64))
    await asyncio.sleep(0.2)  # its thread is there
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
        await asyncio.sleep(0.2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert not guard.done()
    guard.cancel()


def test_what_is_closed_is_what_was_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        taken = [listening.accept()[0] for _ in clients]
        clients[0].sendall(b"x")
        assert taken[0].recv(1) == b"x"
        found = list(connections_at(port))
        assert sorted(one.descriptor for one in found) == sorted(one.fileno() for one in taken)
        first = next(one for one in found if one.descriptor == taken[0].fileno())
        assert close(first, port)
        assert clients[0].recv(1) == b""
        taken[1].close()
        gone = next(one for one in found if one.peer == clients[1].getsockname()[:2])
        assert not close(gone, port)
        clients[2].settimeout(0.05)
        with pytest.raises(TimeoutError):
            clients[2].recv(1)  # untouched
        for one in (*clients, *taken):
            one.close()
    assert list(connections_at(port)) == []
    assert connections.raise_file_limit() >= 64

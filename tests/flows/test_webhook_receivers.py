"""The receivers of docs/webhooks.md, run as they stand there: they take what we sign, and nothing else."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from perennial.base.secrets import Secret
from perennial.base.time import perf_counter, wall_clock
from perennial.base.value import replace
from perennial.events.model import Answer
from perennial.providers.webhook import WebhookSender, encode, headers
from tests.flows.test_webhook_delivery import message
from tests.ports import free_port

DOCUMENT = Path(__file__).parents[2] / "docs" / "webhooks.md"
SNIPPETS = dict(re.findall(r"<!-- receiver -->\n```(\w+)\n(.*?)```", DOCUMENT.read_text(), re.DOTALL))
RUNS = {"python": ("receiver.py", [sys.executable]), "js": ("receiver.mjs", ["node"]), "java": ("Receiver.java", ["java"])}
SECRET, OTHER = "whsec_c2VjcmV0LW9mLXRoZS1lbmRwb2ludA==", "whsec_YW5vdGhlci1zZWNyZXQ="


def test_there_is_one_in_each_of_three_languages() -> None:
    assert set(SNIPPETS) == set(RUNS)


@pytest.fixture(params=sorted(RUNS))
async def address(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    name, command = RUNS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    (tmp_path / name).write_text(SNIPPETS[request.param])
    port = free_port()
    environment = {**os.environ, "WEBHOOK_SECRET": SECRET, "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(*command, tmp_path / name, env=environment, stderr=asyncio.subprocess.DEVNULL)
    try:
        await listening(port, process)
        yield f"http://127.0.0.1:{port}/"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def listening(port: int, process: asyncio.subprocess.Process) -> None:
    began = perf_counter()
    while perf_counter() - began < 60:
        assert process.returncode is None, "it ended at once"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
    raise AssertionError("it does not listen")


async def test_it_takes_what_we_sign_and_nothing_else(address: str) -> None:
    sender = WebhookSender(allow_internal=True)
    genuine = replace(message(address), event={"type": "TEST", "id": "e1", "name": "Žofie ✓"}, signing_secret=Secret(SECRET))
    assert await sender.send(genuine) == Answer(status=200)
    assert await sender.send(replace(genuine, signing_secret=Secret(OTHER), former_secret=Secret(SECRET))) == Answer(status=200), (
        "rotated a moment ago"
    )
    assert await sender.send(replace(genuine, signing_secret=Secret(SECRET), former_secret=Secret(OTHER))) == Answer(status=200), "learnt the new one"
    assert await sender.send(replace(genuine, signing_secret=Secret(OTHER))) == Answer(status=401)
    assert await sender.send(replace(genuine, sent_at=wall_clock() - timedelta(minutes=6))) == Answer(status=401), "replayed by somebody else"
    await sender.close()
    body = encode(genuine)
    signed = {name.decode(): text.decode() for name, text in headers(genuine, body)}
    async with httpx.AsyncClient() as http:
        for altered, given in (
            (body.replace(b"e1", b"e2"), signed),
            (body, {**signed, "webhook-id": "another"}),
            (body, {**signed, "webhook-signature": "v1,"}),
            (body, {**signed, "webhook-timestamp": "soon"}),
            (body, {name: text for name, text in signed.items() if name != "webhook-signature"}),
            (body, {}),
        ):
            assert (await http.post(address, content=altered, headers=given)).status_code == 401
        assert (await http.post(address, content=body, headers=signed)).status_code == 200

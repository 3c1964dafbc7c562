"""The documents' commands do what the documents say: run as a newcomer would, from top to bottom, on one demo for all of them."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port

ROOT = Path(__file__).parents[2]


def newcomers_folder(folder: Path) -> Path:
    """As after `make run`: the commands under .venv/bin."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, words in (("python", ""), ("perennial", "-m perennial")):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        script.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory):
    """`perennial up` in a folder of its own, with a database of its own."""
    async with up_in(tmp_path_factory.mktemp("newcomer")) as started:
        yield started


@pytest.fixture
async def running_alone(tmp_path_factory: pytest.TempPathFactory):
    """Another, where a document's commands make projects of their own."""
    async with up_in(tmp_path_factory.mktemp("newcomer")) as started:
        yield started


@asynccontextmanager
async def up_in(home: Path) -> AsyncIterator[tuple[Path, dict[str, str]]]:
    for program in ("bash", "curl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: the documents' commands use it")
    home.chmod(0o755)
    port = free_port()
    env = {name: text for name, text in os.environ.items() if name not in ("DATABASE_URL", "PERENNIAL_HOME")}
    env |= {"PORT": str(port), "PYTHONPATH": str(ROOT), "PERENNIAL_HOME": str(home / ".perennial"), "PERENNIAL_FILES": str(home / "files")}
    folder = newcomers_folder(home)
    process = subprocess.Popen([folder / ".venv/bin/perennial", "up"], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        await ready(f"http://127.0.0.1:{port}", process)
        yield folder, env
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.wait, 30)


async def ready(base_url: str, process: subprocess.Popen[bytes]) -> None:
    async with httpx.AsyncClient() as http, asyncio.timeout(90):
        while True:
            assert process.poll() is None, process.stdout.read().decode() if process.stdout else ""
            try:
                if (await http.get(f"{base_url}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.1)


async def run_commands(document: str, running: tuple[Path, dict[str, str]], *, mark: str = "run") -> list[str]:
    """What each of its blocks printed."""
    folder, env = running
    blocks = re.findall(rf"<!-- {mark} -->\n```sh\n(.*?)```", (ROOT / "docs" / document).read_text(), re.DOTALL)
    script = "set -e\n" + "\necho '---8<---'\n".join(blocks)
    done = await asyncio.to_thread(subprocess.run, ["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split("---8<---")


async def test_start_in_two_minutes_is_true(running: tuple[Path, dict[str, str]]):
    _, bought, read, advanced, webhook, rehearsed, in_play, at_stripe = await run_commands("start.md", running)
    assert '"product_identifier":"pro_monthly"' in bought
    assert '"entitlements":{"pro":{' in read
    assert "RENEWAL" in advanced and "delivered" in advanced
    assert '"signing_secret":"whsec_' in webhook
    assert "app_store" in rehearsed and "INITIAL_PURCHASE" in rehearsed
    assert '"product_plan_identifier":"monthly"' in in_play and "May use nothing" in in_play and "EXPIRATION" in in_play
    assert "INITIAL_PURCHASE" in at_stripe and "CANCELLATION" in at_stripe and "May use nothing" not in at_stripe


async def test_webhooks_are_made_changed_and_deleted_as_the_document_says(running: tuple[Path, dict[str, str]]):
    (said,) = await run_commands("webhooks.md", running)
    assert "https://example.com/hooks" in said and "is told of production" in said
    assert "is paused" in said and "is sent what waited" in said and "whsec_" in said and "deleted Webhook" in said


async def test_a_project_of_ones_own_gives_an_sdk_its_first_answer(running_alone: tuple[Path, dict[str, str]]):
    made, app, catalog, asked, by_api, asked_by_api = await run_commands("own-project.md", running_alone)
    assert "made the project Cat Pictures" in made
    assert "Its SDK key: test_" in app and "Cat Pictures" in app
    assert "Cat Pictures" in catalog
    for said, entitlement in ((asked, "cats"), (asked_by_api, "dogs")):
        assert f'"platform_product_identifier":"{entitlement}_monthly"' in said
        assert '"entitlements":{"' + entitlement + '":{' in said
    assert '"amount_micros":4990000' in by_api


@pytest.mark.deep
async def test_what_the_documents_say_names_its_project_where_there_are_three(running_alone: tuple[Path, dict[str, str]]):
    for document in ("own-project.md", "start.md", "webhooks.md", "integrations.md"):
        await run_commands(document, running_alone)


async def test_a_project_of_ones_own_on_an_empty_database(empty_url: str, tmp_path: Path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: the document's commands use it")
    folder = newcomers_folder(tmp_path)
    port = free_port()
    env = {name: text for name, text in os.environ.items() if name != "PERENNIAL_SECRET_KEY"}
    home = str(tmp_path / ".perennial")
    env |= {"PORT": str(port), "PYTHONPATH": str(ROOT), "PERENNIAL_HOME": home, "DATABASE_URL": empty_url}
    text = (ROOT / "docs" / "own-project.md").read_text()
    of_database = re.findall(r"<!-- run: database -->\n```sh\n(.*?)```", text, re.DOTALL)
    of_commands = re.findall(r"<!-- run -->\n```sh\n(.*?)```", text, re.DOTALL)[1:4]
    ready = f"curl -sf --retry 60 --retry-delay 1 --retry-connrefused http://127.0.0.1:{port}/readyz"
    script = "\n".join(["set -e", "trap 'kill $(jobs -p)' EXIT", of_database[0], ready, *of_commands, of_database[1], 'echo "$SECRET"'])
    done = await asyncio.to_thread(subprocess.run, ["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"entitlements":{"cats":{' in done.stdout
    assert re.search(r"^sk_[\w-]+$", done.stdout, re.MULTILINE)


@pytest.mark.deep  # nine kinds, each with its own commands
async def test_integrations_are_made_tried_and_told_again_as_the_document_says(running: tuple[Path, dict[str, str]]):
    kinds, made, lake, buckets, again = await run_commands("integrations.md", running)
    assert "firebase_app_id, [base_url=https://www.google-analytics.com]" in kinds
    assert made.count("made the integration") == 7 and "base_url=https://eu.i.posthog.com" in made
    assert "Files answered 200" in lake and "rc_test_event" in lake and "files/events/schema.json" in lake
    assert buckets.count("made the integration") == 2
    assert "on the way" in again and "deleted intgr_" in again

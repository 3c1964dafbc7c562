"""The commands of `docs/integrations.md`, run on the demo from top to bottom."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.flows.test_docs import ROOT, free_port, newcomers_folder, ready


async def test_integrations_are_made_tried_and_told_again_as_the_document_says(tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed: the documents' commands are for it")
    tmp_path.chmod(0o755)
    port = free_port()
    env = {name: text for name, text in os.environ.items() if name not in ("DATABASE_URL", "PERENNIAL_HOME")}
    env |= {"PORT": str(port), "PYTHONPATH": str(ROOT), "PERENNIAL_HOME": str(tmp_path / ".perennial"), "PERENNIAL_FILES": str(tmp_path / "files")}
    folder = newcomers_folder(tmp_path)
    process = subprocess.Popen([folder / ".venv/bin/perennial", "up"], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        await ready(f"http://127.0.0.1:{port}", process)
        blocks = re.findall(r"<!-- run -->\n```sh\n(.*?)```", (ROOT / "docs/integrations.md").read_text(), re.DOTALL)
        script = "set -e\n" + "\necho '---8<---'\n".join(blocks)
        done = await asyncio.to_thread(subprocess.run, ["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=240)
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.wait, 30)
    assert done.returncode == 0, done.stdout + done.stderr
    kinds, made, lake, buckets, again = done.stdout.split("---8<---")
    assert "firebase_app_id, [base_url=https://www.google-analytics.com]" in kinds
    assert made.count("made the integration") == 6 and "base_url=https://eu.i.posthog.com" in made
    assert "Files answered 200" in lake and "rc_test_event" in lake and "files/events/schema.json" in lake
    assert buckets.count("made the integration") == 2
    assert "on the way" in again and "deleted intgr_" in again

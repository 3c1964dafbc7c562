"""Chromium as this machine has it; nothing is downloaded, and nothing but this machine is reached."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-features=SpareRendererForSitePerProcess",
    # Other hosts are unknown to this browser. Intercepting requests would do so too, but then Playwright answers CORS preflights itself,
    # and what our server says to them would never be asked.
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def find_chromium() -> str | None:
    candidates = (os.environ.get("CHROME"), *_NAMES)
    return next((found for name in candidates if name and (found := shutil.which(name))), None)


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    executable = find_chromium()
    if executable is None:
        pytest.skip(f"Chromium is not here: install one of {', '.join(_NAMES)}, or name it in CHROME")
    async with async_playwright() as playwright, await playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS) as browser:
        yield browser

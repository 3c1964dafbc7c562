"""The measurements measure what they say: each checks what it did, here with few of everything. Figures need only be there."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from rich.progress import Progress

from bench import __main__ as everything
from bench import agenda, jws, moving, webhook
from bench.house import House, open_house
from bench.intake import app_store, stores
from bench.report import Figure
from perennial.base.value import replace
from perennial.settings import Settings


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(replace(Settings.read(), home=tmp_path)) as house:
        yield house


async def test_lines_that_expire_and_events_that_are_written(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agenda, "ITEMS", 200)
    monkeypatch.setattr(agenda, "BATCH", 100)
    monkeypatch.setattr(webhook, "EVENTS", 100)
    progress = Progress(disable=True)
    figures = [figure for one in (agenda, webhook, jws) for figure in await one.run(house, progress, 0)]
    assert _names(figures) == {"agenda.drain", "agenda.queries", "webhook.enqueue", "jws.verify"}


def test_a_measurement_that_fails_is_named_and_the_others_figures_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(house: House, progress: Progress, customers: int) -> list[Figure]:
        raise RuntimeError("the [generator] gave up")

    monkeypatch.setattr(everything, "MEASUREMENTS", {"jws": jws.run, "read": broken})
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["bench"])
    kept = structlog.get_config()
    try:
        assert everything.main() == 1
    finally:
        structlog.configure(**kept)
    said = capsys.readouterr().out
    assert "read failed after" in said and "the [generator] gave up" in said
    assert [one["name"] for one in json.loads((tmp_path / "bench.json").read_text())] == ["jws.verify"]


async def test_customers_who_move_in_and_out(house: House) -> None:
    assert _names(await moving.run(house, Progress(disable=True), 100)) == {"import.rows", "export.rows"}


async def test_notifications_of_stores_that_state_that_hint_and_that_are_only_asked(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_store, "LINES", 100)
    monkeypatch.setattr(stores, "LINES", 100)
    monkeypatch.setattr(stores, "TRIPS", 100)
    figures = [*await app_store.run(house), *await stores.run(house, "play_store"), *await stores.run_microsoft(house)]
    assert {"intake.accept_http", "intake.digest_renewals", "intake.play_store.digest_of_client", "intake.microsoft.ask"} <= _names(figures)


def _names(figures: list[Figure]) -> set[str]:
    assert all(figure.value > 0 for figure in figures), figures
    return {figure.name for figure in figures}

"""Every act of every simulated store, by the buttons of the demo's pages, and what was told because of it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from perennial import agenda
from perennial.app import App
from perennial.dashboard import acts
from perennial.providers.simulated import play_store, stripe
from tests.flows.test_dashboard import Desk, acts_of, desk, text_of
from tests.flows.town import listening

__all__ = ["desk"]

Story = list[tuple[str, list[str]]]


@pytest.fixture
async def rehearsal(desk: Desk) -> AsyncIterator[Desk]:
    """A demo whose simulated stores answer at an address, and whose clock ticks."""
    app, app_ids = desk.app, desk.demo["app_ids"]
    async with listening(stores_of(app)) as address:
        async with app.database.transaction(desk.demo["project_id"]) as tx:
            await play_store.opt_in(tx, app.vault, app_ids["play_store"], address)
            await stripe.opt_in(tx, app.vault, app_ids["stripe"], address)
        yield desk


def stores_of(app: App) -> Any:
    servers: dict[str, Any] = {
        play_store.PATH: play_store.PlayServer(app.database, app.vault),
        stripe.PATH: stripe.StripeServer(app.database, app.vault),
    }

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await next(server for path, server in servers.items() if scope["path"].startswith(path))(scope, receive, send)

    return serve


async def on_a_tenth(desk: Desk) -> None:
    """Stories begin where no month is too short for them."""
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        now = tx.now
    next_month = now.replace(day=1) + timedelta(days=32)
    await agenda.advance(desk.app, desk.demo["project_id"], next_month.replace(day=10))

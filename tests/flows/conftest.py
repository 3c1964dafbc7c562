"""What several stories share: the town of the simulated App Store, and a house that shows the pages of a demo."""

from collections.abc import AsyncIterator

import pytest

from perennial.base.db import Database
from perennial.demo import FILE
from tests.flows.town import app, asking, town
from tests.world import House, open_house

__all__ = ["app", "asking", "town"]


@pytest.fixture(scope="session")
async def demo_house(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path_factory.mktemp("demo"), is_demo=True) as opened:
        yield opened


@pytest.fixture
async def empty_house(demo_house: House) -> AsyncIterator[House]:
    """Before its demo is made."""
    (demo_house.app.settings.home / FILE).unlink(missing_ok=True)
    demo_house.front._framework.state.pop("received_webhooks", None)
    async with demo_house.lent():
        yield demo_house


@pytest.fixture
async def own(own_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(own_url)
    yield opened
    await opened.close()

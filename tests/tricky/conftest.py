"""One application for all tricky cases, and for each a market of its own with the stores it needs."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.answering import Answering
from tests.google_messages import FakeGoogle
from tests.tricky.market import Desk, Mall, Market, PlayStall, Stall, open_desk, open_google, open_mall, open_stall


@pytest.fixture(scope="session")
async def mall(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mall]:
    async with open_mall(database_url, tmp_path_factory.mktemp("mall")) as made:
        yield made


@pytest.fixture
async def market(mall: Mall) -> Market:
    return await Market.open(mall)


@pytest.fixture
async def apple(market: Market) -> Stall:
    return await open_stall(market, "app_store")


@pytest.fixture
async def desk(market: Market) -> Desk:
    return await open_desk(market)


@pytest.fixture
async def play(market: Market) -> PlayStall:
    stall = await open_stall(market, "play_store")
    assert isinstance(stall, PlayStall)
    return stall


@pytest.fixture
async def stripe(market: Market) -> Stall:
    return await open_stall(market, "stripe")


@pytest.fixture
def fake() -> Iterator[FakeGoogle]:
    """A Google that answers what the test writes."""
    made = FakeGoogle()
    yield made
    made.close()


@pytest.fixture
async def google(market: Market, fake: FakeGoogle) -> PlayStall:
    return await open_google(market, fake)


@pytest.fixture
def answering() -> Iterator[Answering]:
    """A store on this machine that answers what the test writes."""
    made = Answering()
    yield made
    made.close()

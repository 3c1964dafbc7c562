"""One database for all tests: DATABASE_URL where it is set, else an embedded PostgreSQL that lives as long as the test run.

The process that starts the run keeps the server; its workers find the address in their environment. Tests stay apart because each
works in a project of its own.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from perennial.base.migrate import find_folder, migrate
from perennial.postgres import EmbeddedPostgres
from tests.databases import drop_template, make_template, new_database
from tests.world import House, World, open_house

# The data lives for one run, so nothing needs to survive a power cut.
_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}

# One worker has all of these: to start a second browser, server or demo costs more than it saves.
_TOGETHER = ("tests/e2e/", "tests/flows/test_docs.py")

_KEY = "cGVyZW5uaWFsLXRlc3RzLXBlcmVubmlhbC10ZXN0cy0="  # the installation's, of every process of a run

_SERVER = pytest.StashKey[EmbeddedPostgres]()
_HOME = pytest.StashKey[Path]()


class _Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return next((one for one in _TOGETHER if nodeid.startswith(one)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: some tests wait, for what hangs on purpose or for processes that start."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)  # the suite runs without xdist too
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("DEEP_TESTS") != "1":
        for item in items:
            if item.get_closest_marker("deep") is not None:
                item.add_marker(pytest.mark.skip(reason="takes long: make deep runs it"))


def pytest_sessionstart(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        return
    if "DATABASE_URL" not in os.environ:
        _start(session.config)
    os.environ.setdefault("PERENNIAL_SECRET_KEY", _KEY)  # one database, one key
    if any(find_folder().glob("*.sql")):
        asyncio.run(migrate(os.environ["DATABASE_URL"]))
        asyncio.run(make_template(os.environ["DATABASE_URL"]))


def _start(config: pytest.Config) -> None:
    home = Path(tempfile.mkdtemp(prefix="perennial-tests-"))
    home.chmod(0o755)  # so that, as root, PostgreSQL's account finds its way here too
    config.stash[_HOME] = home
    config.stash[_SERVER] = asyncio.run(EmbeddedPostgres.start(home, settings=_FORGETFUL))
    os.environ["DATABASE_URL"] = config.stash[_SERVER].url


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and "DATABASE_URL" in os.environ:
        asyncio.run(drop_template(os.environ["DATABASE_URL"]))
    if (server := config.stash.get(_SERVER, None)) is not None:
        asyncio.run(server.stop())
        del os.environ["DATABASE_URL"]
    if (home := config.stash.get(_HOME, None)) is not None:
        shutil.rmtree(home)


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The server's own loop, which costs a fraction of the standard library's."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def database_url() -> str:
    """A migrated database that all tests share."""
    return os.environ["DATABASE_URL"]


@pytest.fixture
async def empty_url(database_url: str) -> AsyncIterator[str]:
    """A database of the test's own, that nobody has prepared."""
    async with new_database(database_url, is_migrated=False) as url:
        yield url


@pytest.fixture
async def own_url(database_url: str) -> AsyncIterator[str]:
    """A migrated database with nobody else's projects in it: for what works for all there are."""
    async with new_database(database_url, is_migrated=True) as url:
        yield url


@pytest.fixture(scope="session")
async def house(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def world(house: House) -> AsyncIterator[World]:
    async with house.open_world() as made:
        yield made

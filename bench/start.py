"""From nothing, and from a stopped installation, to a server that is ready."""

from contextlib import AsyncExitStack
from pathlib import Path

from rich.progress import Progress

from bench.house import House, remove_home, server
from bench.report import Figure, Rounds
from perennial.base.ids import random_bytes
from perennial.base.migrate import migrate
from perennial.base.time import perf_counter
from perennial.base.value import replace
from perennial.postgres import EmbeddedPostgres

ROUNDS = 3


async def run(house: House, progress: Progress, customers: int) -> list[Figure]:
    task = progress.add_task("starts", total=ROUNDS)
    found: dict[str, list[float]] = {"cold": [], "warm": [], "bare cold": [], "bare warm": []}
    for _ in range(ROUNDS):
        home, bare = (house.home / random_bytes(4).hex() for _ in range(2))
        for temperature in ("cold", "warm"):
            found[temperature].append(await _start(house, home))
            found[f"bare {temperature}"].append(await _start_bare(bare))
        remove_home(home)
        remove_home(bare)
        progress.advance(task)
    progress.remove_task(task)
    middle = {name: Rounds(values=tuple(seconds)).middle for name, seconds in found.items()}
    return [
        Figure(name="start.cold", value=middle["cold"], unit="s", ceiling="initdb, and PostgreSQL's start", ceiling_value=middle["bare cold"]),
        Figure(name="start.warm", value=middle["warm"], unit="s", ceiling="PostgreSQL's start", ceiling_value=middle["bare warm"]),
    ]


async def _start(house: House, home: Path) -> float:
    """PostgreSQL, migrations, and a server until /readyz says 200."""
    began = perf_counter()
    async with AsyncExitStack() as started:
        postgres = await started.enter_async_context(await EmbeddedPostgres.start(home))
        await migrate(postgres.url)
        await started.enter_async_context(server(replace(house, home=home, url=postgres.url), "product"))
        return perf_counter() - began


async def _start_bare(home: Path) -> float:
    began = perf_counter()
    async with await EmbeddedPostgres.start(home):
        return perf_counter() - began

"""Runs all measurements, or those named: `python -m bench read jws --customers 100000`."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable

import structlog
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import agenda, intake, jws, moving, read, start, webhook
from bench.house import House, open_house
from bench.report import Figure, save, show
from perennial.base.time import perf_counter
from perennial.settings import Settings

Measurement = Callable[[House, Progress, int], Awaitable[list[Figure]]]

_CUSTOMERS = 1_000_000
_MOVED = 50  # one in so many moves in, so that all of it stays short

MEASUREMENTS: dict[str, Measurement] = {
    "read": read.run,
    "jws": jws.run,
    "intake": intake.run,
    "agenda": agenda.run,
    "webhook": webhook.run,
    "moving": moving.run,
    "start": start.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures Perennial, each figure beside its ceiling.")
    parser.add_argument("which", nargs="*", help=f"only these: {' '.join(MEASUREMENTS)}")
    parser.add_argument(
        "--customers",
        type=int,
        help=f"in the database that is read from (default {_CUSTOMERS:,}); moving has one in {_MOVED}, or all of them where both are named",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.which) - set(MEASUREMENTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(MEASUREMENTS)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    customers = max(arguments.customers or _CUSTOMERS, 100)
    moved = customers if arguments.customers and "moving" in arguments.which else max(customers // _MOVED, 100)
    return asyncio.run(_run(Settings.read(), arguments.which or list(MEASUREMENTS), customers, moved))


async def _run(settings: Settings, which: list[str], customers: int, moved: int) -> int:
    """The exit code: 1 where a measurement failed. What the others found is shown and kept all the same."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    figures: list[Figure] = []
    exit_code = 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        async with open_house(settings) as house:
            for name in which:
                began = perf_counter()
                try:
                    figures += await MEASUREMENTS[name](house, progress, moved if name == "moving" else customers)
                except Exception as error:
                    exit_code = 1
                    progress.console.print(f"[red]✗[/red] {name} failed after {perf_counter() - began:.0f} s: {escape(repr(error))}")
                else:
                    progress.console.print(f"[green]✓[/green] {name} [dim]({perf_counter() - began:.0f} s)[/dim]")
    show(console, figures)
    target = settings.home / "bench.json"
    save(target, figures)
    console.print(f"[dim]{target}[/dim]")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())

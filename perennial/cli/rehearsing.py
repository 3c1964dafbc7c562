"""What the commands of `perennial simulate` have in common: the app they are about, what a thing costs, one act and what follows from it."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Annotated, TypeVar

import typer

from perennial import catalog
from perennial.agenda import run_due
from perennial.app import App
from perennial.base.db import Tx
from perennial.base.errors import Invalid, NotFound
from perennial.base.ids import ProjectId
from perennial.base.money import Money, from_decimal
from perennial.base.secrets import Vault
from perennial.base.value import value
from perennial.cli.desk import ProjectOption, choose_project, run

T = TypeVar("T")

Project = ProjectOption
Price = Annotated[str | None, typer.Option(help="Such as 9.99; without it, the catalog's.")]
Currency = Annotated[str, typer.Option(help="ISO 4217, for --price.")]
Address = Annotated[str | None, typer.Option(help="Where this installation's server is reached; without it, http://127.0.0.1 and its port.")]

Act = Callable[[Tx, Vault, str], Awaitable[T]]  # in a transaction of the project, on an app
Afterwards = Callable[[App, ProjectId, T], Awaitable[None]]


@value
class Stage:
    """Where a group of commands plays: apps of which stores, and what people call those. The first store is what a new app would be of."""

    stores: tuple[str, ...]
    name: str

    def do(self, project: str | None, app: str | None, work: Act[T], afterwards: Afterwards[T] | None = None) -> T:
        """Runs one act, what the customer's app does afterwards, and what follows at once: rehearsing should not wait for a worker."""

        async def inside(house: App) -> T:
            chosen = await choose_project(house, project)
            async with house.database.transaction(chosen.project_id) as tx:
                result = await work(tx, house.vault, await self._app_of(tx, app))
            if afterwards is not None:
                await afterwards(house, chosen.project_id, result)
            await run_due(house, chosen.project_id, ["simulation", "money"])
            return result

        return run(inside)

    def opt_in(self, project: str | None, app: str | None, address: str | None, work: Callable[[Tx, Vault, str, str], Awaitable[str]]) -> str:
        """Points the app at a simulated store behind `address`, this installation's own where none is given. Returns the address of its API."""

        async def inside(house: App) -> str:
            chosen = await choose_project(house, project)
            async with house.database.transaction(chosen.project_id) as tx:
                return await work(tx, house.vault, await self._app_of(tx, app), address or f"http://127.0.0.1:{house.settings.port}")

        return run(inside)

    async def _app_of(self, tx: Tx, app_id: str | None) -> str:
        """The project's only one, where none is named."""
        if app_id is not None:
            return app_id
        found = [app.app_id for app in await catalog.get_apps(tx, limit=1000) if app.store in self.stores]
        if not found:
            raise NotFound(f"the project has no {self.name} app; create one first: perennial apps create --type {self.stores[0]}", param="app")
        if len(found) > 1:
            raise Invalid(f"the project has several {self.name} apps; choose one with --app: {', '.join(found)}", param="app")
        return found[0]


def money(price: str | None, currency: str) -> Money | None:
    if price is None:
        return None
    try:
        return from_decimal(Decimal(price), currency.upper())
    except (ArithmeticError, AssertionError) as error:
        raise typer.BadParameter("a price looks like 9.99, with --currency USD") from error

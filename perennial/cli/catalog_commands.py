"""The catalog: seen, written down, and made as a file says."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.tree import Tree

from perennial import catalog
from perennial.app import App
from perennial.catalog.model import Product
from perennial.cli import catalog_file
from perennial.cli.desk import Desk, ProjectOption, answer, at_desk, console, counted, done, group, is_json, run, say, show, table, work_in, write

commands = group("The catalog: products, entitlements, offerings and what they show.")


class _OnlyTried(Exception):
    """Ends the transaction of a dry run: what would change is known, and nothing has."""


@commands.command("show")
def show_catalog(project: ProjectOption = None) -> None:
    """Show what a project sells."""

    async def work(desk: Desk) -> None:
        apps = {app.app_id: app for app in await catalog.get_apps(desk.tx, limit=catalog_file.MOST)}
        products = await catalog.get_products(desk.tx, limit=catalog_file.MOST)
        made = table("app", "product", "type", "period", "prices", "gives", title="Products")
        for product in products:
            made.add_row(
                escape(apps[product.app_id].name),
                escape(product.store_identifier) + (" [dim](archived)[/dim]" if product.archived_at else ""),
                product.type,
                _period(product),
                ", ".join(f"{price.major} {price.currency}" for price in product.prices),
                escape(", ".join(product.entitlements)),
            )
        show(made)
        if is_json():
            answer(offerings=msgspec.to_builtins((await catalog_file.export(desk.tx)).offerings))
            return
        console().print(await _offerings(desk, {product.product_id: product for product in products}))

    work_in(project, work)


def _period(product: Product) -> str:
    trial = f", first {product.trial_duration} free" if product.trial_duration else ""
    return f"{product.duration or ''}{trial}"


async def _offerings(desk: Desk, products: dict[str, Product]) -> Tree:
    placements = await catalog.get_placements(desk.tx)
    tree = Tree("[bold]Offerings[/bold]")
    for offering in await catalog.get_offerings(desk.tx, limit=catalog_file.MOST):
        places = [name for name, key in placements.offerings.items() if key == offering.lookup_key]
        places += ["elsewhere"] if placements.fallback_offering == offering.lookup_key else []
        notes = [
            *(["current"] if offering.is_current else []),
            *(["archived"] if offering.archived_at else []),
            *([f"at {', '.join(places)}"] if places else []),
        ]
        branch = tree.add(escape(f"{offering.lookup_key}  {offering.display_name}") + (f" [dim]({escape('; '.join(notes))})[/dim]" if notes else ""))
        for package in offering.packages:
            sold = sorted({products[one.product_id].store_identifier for one in package.products if one.product_id in products})
            branch.add(escape(f"{package.lookup_key}  {', '.join(sold) or 'nothing yet'}"))
    return tree


@commands.command("apply")
def apply(
    file: Annotated[Path, typer.Argument(help="A .toml or .json file", exists=True, dir_okay=False, readable=True)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change")] = False,
    project: ProjectOption = None,
) -> None:
    """Make a project's catalog as a file says. The same file again changes nothing.

    What the file does not name is left alone; nothing is deleted. Apps must be there: [bold]perennial apps create[/bold].

    [bold]Example[/bold], catalog.toml:

      \\[\\[products]]
      app = "test_store"
      store_identifier = "pro_monthly"
      type = "subscription"
      duration = "P1M"
      prices = { USD = "9.99", EUR = "8.99" }

      \\[\\[entitlements]]
      lookup_key = "pro"
      display_name = "Pro"
      products = ["pro_monthly"]

      \\[\\[offerings]]
      lookup_key = "default"
      display_name = "The usual plans"
      is_current = true

      \\[\\[offerings.packages]]
      lookup_key = "$rc_monthly"
      display_name = "Monthly"
      products = ["pro_monthly"]

      \\[placements]
      fallback = "default"
    """
    wanted = catalog_file.read(file)
    changes: list[str] = []

    async def work(app: App) -> None:
        try:
            async with at_desk(app, project) as desk:
                changes.extend(await catalog_file.apply(desk.tx, wanted))
                if dry_run:
                    raise _OnlyTried
                if changes:
                    await desk.audit("catalog.apply", desk.project.project_id, {"changes": changes[:1000]})
        except _OnlyTried:
            pass

    run(work)
    for change in changes:
        say(f"  {escape(change)}")
    if not changes:
        done("nothing to change")
    elif dry_run:
        say(f"[yellow]{counted(len(changes), 'change')} would be made[/yellow]")
    else:
        done(f"{counted(len(changes), 'change')} made")


@commands.command("export")
def export(project: ProjectOption = None) -> None:
    """Write a project's catalog to standard output, as JSON that `apply` takes.

    [bold]Example[/bold]

      perennial catalog export > catalog.json
    """

    async def work(desk: Desk) -> None:
        document = msgspec.json.format(msgspec.json.encode(await catalog_file.export(desk.tx)), indent=2)
        write(document)

    work_in(project, work)

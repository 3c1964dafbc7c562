"""`perennial simulate`: buy and live through subscriptions in the simulated App Store of a sandbox project.

What an act leads to arrives like a real notification, through the same door, at once by the project's clock.
"""

from typing import Annotated

import typer
from rich.table import Column, Table

from perennial import intake
from perennial.app import App
from perennial.base.db import Tx
from perennial.base.ids import AppId, ProjectId
from perennial.base.secrets import Vault
from perennial.base.time import iso
from perennial.cli.output import say, show
from perennial.cli.rehearsing import Currency, Price, Project, Stage, money
from perennial.providers.simulated import app_store
from perennial.providers.simulated.app_store import Bought, Subscription, payloads

_PANEL = "The App Store"
simulate = typer.Typer(
    name="simulate",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="""Stores of one's own for sandbox projects: buy, renew, fail, refund.

    [bold]The stores[/bold]

      perennial simulate buy pro_monthly              in the App Store

      perennial simulate play-store buy pro:monthly   in Google Play

      perennial simulate stripe buy prod_pro_monthly  at Stripe

    Each needs opt-in once; those of the demo have it. In the Test Store an app buys with its public key, and nothing is to be simulated.
    """,
)

STAGE = Stage(stores=("app_store", "mac_app_store"), name="App Store")

AppOption = Annotated[str | None, typer.Option("--app", help="The app's id; needed where the project has several App Store apps.")]
Line = Annotated[str, typer.Argument(help="The line: the originalTransactionId that `buy` printed.")]
Product = Annotated[str, typer.Argument(help="The product's identifier in the store, as in the catalog.")]
Transaction = Annotated[str | None, typer.Option(help="A transaction of the line; without it, the current one.")]

_STATUSES = {1: "active", 2: "expired", 3: "billing retry", 4: "grace", 5: "revoked"}


async def _post(house: App, project_id: ProjectId, app_id: AppId, bought: Bought, customer: str) -> None:
    """What the customer's SDK does after a purchase."""
    receipt = intake.Receipt(token=bought.signed_transaction)
    await intake.post_receipt(house.database, house.vault, house.providers, project_id, app_id, receipt, customer, intake.nothing_more)


def _say_bought(bought: Bought) -> None:
    until = f", until {iso(bought.expires_at)}" if bought.expires_at is not None else ""
    say(f"line {bought.store_line}: transaction {bought.transaction}{until}")


def _say(line: Subscription) -> None:
    charge = payloads.current(line)
    until = f" until {iso(charge.expires_at)}" if charge.expires_at is not None else ""
    renewing = "auto-renew on" if line.auto_renew else "auto-renew off"
    say(f"line {line.store_line}: {charge.product}, {_STATUSES[payloads.status(line)]}{until}, {renewing}")


@simulate.command("opt-in", rich_help_panel=_PANEL)
def opt_in(project: Project = None, app: AppOption = None) -> None:
    """Give the app a simulated store whose signatures the project believes."""
    STAGE.do(project, app, app_store.opt_in)
    say("the app has a simulated App Store; buy something with: perennial simulate buy PRODUCT")


@simulate.command(rich_help_panel=_PANEL)
def buy(
    product: Product,
    project: Project = None,
    app: AppOption = None,
    customer: Annotated[str | None, typer.Option(help="The app user id of who buys: the purchase is posted for them, as an SDK does.")] = None,
    token: Annotated[str | None, typer.Option(help="The appAccountToken, a UUID the app attaches to the purchase.")] = None,
    free_trial: Annotated[bool, typer.Option("--free-trial", help="Begin with the product's free trial.")] = False,
    price: Price = None,
    currency: Currency = "USD",
    storefront: Annotated[str, typer.Option(help="The storefront's country, three letters.")] = "USA",
    family_shared: Annotated[bool, typer.Option("--family-shared", help="As a family member who shares it.")] = False,
    show_signed: Annotated[bool, typer.Option("--signed", help="Also print the signed transaction, as a device would post it.")] = False,
) -> None:
    """A customer buys a product."""
    charged = money(price, currency)

    async def work(tx: Tx, vault: Vault, app_id: str) -> tuple[AppId, Bought]:
        bought = await app_store.buy(
            tx,
            vault,
            app_id,
            product=product,
            app_account_token=token,
            offer="free_trial" if free_trial else None,
            price=charged,
            storefront=storefront,
            family_shared=family_shared,
        )
        return AppId(app_id), bought

    async def post(house: App, project_id: ProjectId, result: tuple[AppId, Bought]) -> None:
        if customer is not None:
            await _post(house, project_id, *result, customer)

    _, bought = STAGE.do(project, app, work, post)
    _say_bought(bought)
    if show_signed:
        say(bought.signed_transaction)


@simulate.command(rich_help_panel=_PANEL)
def cancel(line: Line, project: Project = None, app: AppOption = None) -> None:
    """The customer turns auto-renew off."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: app_store.cancel(tx, app_id, line)))


@simulate.command(rich_help_panel=_PANEL)
def uncancel(line: Line, project: Project = None, app: AppOption = None) -> None:
    """The customer turns auto-renew on again."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: app_store.uncancel(tx, app_id, line)))


@simulate.command(rich_help_panel=_PANEL)
def upgrade(line: Line, product: Product, project: Project = None, app: AppOption = None, price: Price = None, currency: Currency = "USD") -> None:
    """The customer switches to a better product, at once."""
    charged = money(price, currency)
    _say(STAGE.do(project, app, lambda tx, _, app_id: app_store.upgrade(tx, app_id, line, product, price=charged)))


@simulate.command(rich_help_panel=_PANEL)
def downgrade(line: Line, product: Product, project: Project = None, app: AppOption = None, price: Price = None, currency: Currency = "USD") -> None:
    """The customer switches to a lesser product, at the next renewal."""
    charged = money(price, currency)
    _say(STAGE.do(project, app, lambda tx, _, app_id: app_store.downgrade(tx, app_id, line, product, price=charged)))


@simulate.command("fail-next-renewal", rich_help_panel=_PANEL)
def fail_next_renewal(
    line: Line,
    project: Project = None,
    app: AppOption = None,
    grace_days: Annotated[int, typer.Option(help="0, 3, 6, 16 or 28 days of grace.")] = 0,
    recover_after_days: Annotated[int | None, typer.Option(help="Days after which the charge succeeds; without it, never.")] = None,
    revert: Annotated[bool, typer.Option("--revert", help="Take back what was planned: the next renewal is charged.")] = False,
) -> None:
    """Plan that the next renewal cannot be charged."""
    if revert:
        return _say(STAGE.do(project, app, lambda tx, _, app_id: app_store.revert_failure(tx, app_id, line)))
    _say(
        STAGE.do(
            project,
            app,
            lambda tx, _, app_id: app_store.fail_next_renewal(tx, app_id, line, grace_days=grace_days, recover_after_days=recover_after_days),
        )
    )


@simulate.command(rich_help_panel=_PANEL)
def refund(
    line: Line,
    project: Project = None,
    app: AppOption = None,
    transaction: Transaction = None,
    percent: Annotated[int, typer.Option(min=1, max=100, help="How much of the price.")] = 100,
) -> None:
    """Apple refunds a transaction."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: app_store.refund(tx, app_id, line, transaction, share_ppm=percent * 10_000)))


@simulate.command("reverse-refund", rich_help_panel=_PANEL)
def reverse_refund(line: Line, project: Project = None, app: AppOption = None, transaction: Transaction = None) -> None:
    """Apple takes a refund back."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: app_store.reverse_refund(tx, app_id, line, transaction)))


@simulate.command(rich_help_panel=_PANEL)
def extend(line: Line, days: Annotated[int, typer.Argument(min=1, max=90)], project: Project = None, app: AppOption = None) -> None:
    """Move the renewal date."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: app_store.extend(tx, app_id, line, days)))


@simulate.command(rich_help_panel=_PANEL)
def resubscribe(
    line: Line, product: Product, project: Project = None, app: AppOption = None, price: Price = None, currency: Currency = "USD"
) -> None:
    """The customer comes back after the end."""
    charged = money(price, currency)
    _say_bought(STAGE.do(project, app, lambda tx, vault, app_id: app_store.resubscribe(tx, vault, app_id, line, product, price=charged)))


@simulate.command(rich_help_panel=_PANEL)
def status(project: Project = None, app: AppOption = None, limit: Annotated[int, typer.Option(min=1, max=1000, help="At most")] = 100) -> None:
    """What the simulated store holds."""
    line_column, until_column = Column("line", no_wrap=True), Column("until", no_wrap=True)
    table = Table(line_column, "product", "status", until_column, "auto-renew", "next", "transactions", "undelivered")
    for line in STAGE.do(project, app, lambda tx, _, app_id: app_store.lines(tx, app_id, limit=limit)):
        charge = payloads.current(line)
        table.add_row(
            line.store_line,
            charge.product,
            _STATUSES[payloads.status(line)],
            iso(charge.expires_at) if charge.expires_at else "",
            "on" if line.auto_renew else "off",
            line.next_plan.product if line.next_plan else "",
            str(len(line.charges)),
            str(sum(not sent.is_delivered for sent in line.outbox.sent)),
        )
    show(table)


@simulate.command("resend-lost", rich_help_panel=_PANEL)
def resend_lost(project: Project = None, app: AppOption = None) -> None:
    """Send again what never arrived."""
    count = STAGE.do(project, app, lambda tx, _, app_id: app_store.resend_lost(tx, app_id))
    say(f"{count} notifications are on their way again")

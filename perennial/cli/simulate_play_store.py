"""`perennial simulate play-store`: buy and live through purchases in the simulated Google Play of a sandbox project.

What an act leads to arrives like a real push, and what it asks is answered by this installation's own server: it must run.
"""

from datetime import timedelta
from typing import Annotated

import typer

from perennial.base.time import iso
from perennial.cli.desk import done, group, say, show, table
from perennial.cli.rehearsing import Address, Currency, Price, Project, Stage, money
from perennial.providers.simulated import play_store
from perennial.providers.simulated.play_store import Life, Replacement

commands = group("A simulated Google Play for sandbox projects: buy, renew, fail, pause, refund.")

STAGE = Stage(stores=("play_store",), name="Play Store")

AppOption = Annotated[str | None, typer.Option("--app", help="The app's id; needed where the project has several Play Store apps.")]
Token = Annotated[str, typer.Argument(help="Any purchase token of what was bought, as `buy` printed it, or one of its orders.")]
Product = Annotated[str, typer.Argument(help="The product's identifier in the store, as in the catalog: pro:monthly, or coins.")]


def _say(life: Life) -> None:
    token = life.newest
    until = f" until {iso(token.expires_at)}" if token.expires_at is not None else ""
    say(f"{life.token_name(token.number)}: {token.plan.product}, {play_store.status(life)}{until}")


@commands.command("opt-in")
def opt_in(
    project: Project = None,
    app: AppOption = None,
    address: Address = None,
) -> None:
    """Give a Play Store app a simulated Google Play: a service account, push tokens the project believes, and an API of this installation's own."""
    api = STAGE.opt_in(project, app, address, play_store.opt_in)
    done(f"the app asks the simulated Google Play at {api}; buy something with: perennial simulate play-store buy PRODUCT")


@commands.command()
def buy(
    product: Product,
    project: Project = None,
    app: AppOption = None,
    account: Annotated[str | None, typer.Option(help="The obfuscated account id the app attaches: the app user id, or its SHA-256 in hex.")] = None,
    free_trial: Annotated[bool, typer.Option("--free-trial", help="Begin with the product's free trial.")] = False,
    prepaid: Annotated[bool, typer.Option("--prepaid", help="Paid in advance: it does not renew, and is topped up.")] = False,
    price: Price = None,
    currency: Currency = "USD",
    region: Annotated[str, typer.Option(help="The customer's country, two letters.")] = "US",
) -> None:
    """A customer buys a product. Nobody else acknowledges it than we do: without a running server it is given back after three days."""
    charged = money(price, currency)
    bought = STAGE.do(
        project,
        app,
        lambda tx, vault, app_id: play_store.buy(
            tx, vault, app_id, product=product, account=account, free_trial=free_trial, is_prepaid=prepaid, price=charged, region=region
        ),
    )
    until = f", until {iso(bought.expires_at)}" if bought.expires_at is not None else ""
    say(f"{bought.token}, by the order {bought.order_id}{until}")


@commands.command()
def cancel(token: Token, project: Project = None, app: AppOption = None) -> None:
    """The customer stops the renewals."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: play_store.cancel(tx, app_id, token)))


@commands.command()
def uncancel(
    token: Token,
    project: Project = None,
    app: AppOption = None,
    in_app: Annotated[bool, typer.Option("--in-app", help="By buying it again within the app: a new token, and an order of nothing.")] = False,
) -> None:
    """The customer takes it up again before its end."""
    verb = play_store.restore if in_app else play_store.uncancel
    _say(STAGE.do(project, app, lambda tx, _, app_id: verb(tx, app_id, token)))


@commands.command()
def resubscribe(
    token: Token, product: Product, project: Project = None, app: AppOption = None, price: Price = None, currency: Currency = "USD"
) -> None:
    """The customer buys anew after the end, in Google's own subscription centre."""
    charged = money(price, currency)
    _say(STAGE.do(project, app, lambda tx, _, app_id: play_store.resubscribe(tx, app_id, token, product, price=charged)))


@commands.command()
def upgrade(
    token: Token,
    product: Product,
    project: Project = None,
    app: AppOption = None,
    price: Price = None,
    currency: Currency = "USD",
    mode: Annotated[Replacement, typer.Option(help="Google's replacement mode: what is charged for the change.")] = "CHARGE_FULL_PRICE",
) -> None:
    """Another product at once."""
    charged = money(price, currency)
    _say(STAGE.do(project, app, lambda tx, _, app_id: play_store.upgrade(tx, app_id, token, product, price=charged, mode=mode)))


@commands.command()
def downgrade(
    token: Token, product: Product, project: Project = None, app: AppOption = None, price: Price = None, currency: Currency = "USD"
) -> None:
    """Another product with the next renewal."""
    charged = money(price, currency)
    _say(STAGE.do(project, app, lambda tx, _, app_id: play_store.downgrade(tx, app_id, token, product, price=charged)))


@commands.command("top-up")
def top_up(token: Token, project: Project = None, app: AppOption = None) -> None:
    """A prepaid plan gets a period more."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: play_store.top_up(tx, app_id, token)))


@commands.command()
def pause(
    token: Token,
    project: Project = None,
    app: AppOption = None,
    months: Annotated[int, typer.Option(min=1, max=3, help="For how long")] = 1,
) -> None:
    """A pause from the period's end on."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: play_store.pause(tx, app_id, token, months)))


@commands.command()
def resume(token: Token, project: Project = None, app: AppOption = None) -> None:
    """A pause is taken back, or ended."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: play_store.resume(tx, app_id, token)))


@commands.command("fail-next-renewal")
def fail_next_renewal(
    token: Token,
    project: Project = None,
    app: AppOption = None,
    grace_days: Annotated[int, typer.Option(min=0, max=30, help="0: Google gives one day without telling.")] = 0,
    recover_after_days: Annotated[int | None, typer.Option(help="Days after which the charge succeeds; without it, never.")] = None,
    revert: Annotated[bool, typer.Option("--revert", help="Take back what was planned: the next renewal is charged.")] = False,
) -> None:
    """Plan that the next renewal cannot be charged."""
    if revert:
        return _say(STAGE.do(project, app, lambda tx, _, app_id: play_store.revert_failure(tx, app_id, token)))
    _say(
        STAGE.do(
            project,
            app,
            lambda tx, _, app_id: play_store.fail_next_renewal(tx, app_id, token, grace_days=grace_days, recover_after_days=recover_after_days),
        )
    )


@commands.command()
def consume(token: Token, project: Project = None, app: AppOption = None) -> None:
    """The device consumes a one-time purchase, so that it can be bought again."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: play_store.consume(tx, app_id, token)))


@commands.command()
def refund(
    token: Token,
    project: Project = None,
    app: AppOption = None,
    order: Annotated[str | None, typer.Option(help="An order of it; without it, the one whose period runs.")] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="What it paid for is taken back, too. Otherwise Google tells nobody.")] = False,
) -> None:
    """An order is given back."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: play_store.refund(tx, app_id, token, order, revoke=revoke)))


@commands.command()
def defer(token: Token, days: Annotated[int, typer.Argument(min=1, max=365)], project: Project = None, app: AppOption = None) -> None:
    """Move the renewal date on."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: play_store.defer(tx, app_id, token, timedelta(days=days))))


@commands.command()
def status(project: Project = None, app: AppOption = None, limit: Annotated[int, typer.Option(min=1, max=1000, help="At most")] = 100) -> None:
    """What the simulated Google Play holds."""
    made = table("token", "account", "product", "status", "until", "next", "orders")
    for life in STAGE.do(project, app, lambda tx, _, app_id: play_store.lives(tx, app_id, limit=limit)):
        token = life.newest
        made.add_row(
            life.token_name(token.number),
            life.account or "",
            token.plan.product,
            play_store.status(life),
            iso(token.expires_at) if token.expires_at is not None else "",
            token.next_plan.product if token.next_plan is not None else "",
            str(len(life.orders)),
        )
    show(made)

"""`perennial simulate stripe`: buy and live through subscriptions in the simulated Stripe of a sandbox project.

What an act leads to arrives like a real webhook, and what it asks is answered by this installation's own server: it must run.
"""

from datetime import timedelta
from typing import Annotated, Literal

import typer

from perennial.base.db import Tx
from perennial.base.secrets import Vault
from perennial.base.time import iso
from perennial.cli.desk import done, group, say, show, table
from perennial.cli.rehearsing import Address, Currency, Price, Project, Stage, money
from perennial.providers.simulated import stripe
from perennial.providers.simulated.stripe import Life

commands = group("A simulated Stripe for sandbox projects: buy, renew, fail, refund, dispute.")

STAGE = Stage(stores=("stripe",), name="Stripe")

AppOption = Annotated[str | None, typer.Option("--app", help="The app's id; needed where the project has several Stripe apps.")]
Subject = Annotated[str, typer.Argument(help="Any id of what was bought: the subscription's that `buy` printed (sub_...), or the payment's.")]
Product = Annotated[str, typer.Argument(help="The product's identifier in the store, as in the catalog.")]
InvoiceOption = Annotated[int | None, typer.Option("--invoice", min=1, help="The invoice's number; without it, the newest that was paid.")]
Later = Annotated[bool, typer.Option("--invoice-later", help="The proration waits for the next invoice.")]


def _say(life: Life) -> None:
    until = f", until {iso(life.period_end)}" if life.mode == "subscription" else ""
    ending = ", ends then" if life.cancel_at_period_end and life.ended_at is None else ""
    say(f"{_name(life)}: {life.plan.product}, {life.status}{until}{ending}")


def _name(life: Life) -> str:
    return f"sub_{life.code}" if life.mode == "subscription" else f"pi_{life.code}_1"


@commands.command("opt-in")
def opt_in(
    project: Project = None,
    app: AppOption = None,
    address: Address = None,
) -> None:
    """Give a Stripe app a simulated Stripe: a key, a signing secret, and an API of this installation's own."""
    api = STAGE.opt_in(project, app, address, stripe.opt_in)
    done(f"the app asks the simulated Stripe at {api}; buy something with: perennial simulate stripe buy PRODUCT")


@commands.command()
def buy(
    product: Product,
    project: Project = None,
    app: AppOption = None,
    customer: Annotated[str | None, typer.Option(help="The app user id of who buys, as your backend writes it into the metadata.")] = None,
    quantity: Annotated[int, typer.Option(min=1, help="How many seats")] = 1,
    free_trial: Annotated[bool, typer.Option("--free-trial", help="Begin with the product's free trial.")] = False,
    setup_fee: Annotated[int, typer.Option("--setup-fee", min=0, help="Charged once, with the first invoice; in the minor unit.")] = 0,
    price: Price = None,
    currency: Currency = "USD",
    country: Annotated[str | None, typer.Option(help="The customer's country, two letters.")] = None,
    declined: Annotated[bool, typer.Option("--declined", help="The first payment fails.")] = False,
) -> None:
    """A customer goes through a checkout."""
    charged = money(price, currency)
    bought = STAGE.do(
        project,
        app,
        lambda tx, vault, app_id: stripe.buy(
            tx,
            vault,
            app_id,
            product=product,
            app_user_id=customer,
            quantity=quantity,
            free_trial=free_trial,
            setup_fee=setup_fee,
            price=charged,
            country=country,
            is_declined=declined,
        ),
    )
    say(f"{bought.subscription or bought.payment}, by the checkout {bought.session}")


@commands.command()
def cancel(
    subject: Subject, project: Project = None, app: AppOption = None, now: Annotated[bool, typer.Option("--now", help="At once.")] = False
) -> None:
    """The subscription ends with its period."""
    verb = stripe.cancel_now if now else stripe.cancel
    _say(STAGE.do(project, app, lambda tx, _, app_id: verb(tx, app_id, subject)))


@commands.command()
def uncancel(subject: Subject, project: Project = None, app: AppOption = None) -> None:
    """The cancellation is taken back."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: stripe.uncancel(tx, app_id, subject)))


@commands.command()
def upgrade(
    subject: Subject,
    product: Product,
    project: Project = None,
    app: AppOption = None,
    price: Price = None,
    currency: Currency = "USD",
    invoice_later: Later = False,
) -> None:
    """Another product at once, with proration."""
    charged, when = money(price, currency), _when(invoice_later)
    _say(STAGE.do(project, app, lambda tx, _, app_id: stripe.upgrade(tx, app_id, subject, product, price=charged, invoiced=when)))


@commands.command()
def downgrade(
    subject: Subject, product: Product, project: Project = None, app: AppOption = None, price: Price = None, currency: Currency = "USD"
) -> None:
    """Another product from the next period on, by a schedule."""
    charged = money(price, currency)
    _say(STAGE.do(project, app, lambda tx, _, app_id: stripe.downgrade(tx, app_id, subject, product, price=charged)))


@commands.command()
def quantity(
    subject: Subject,
    number: Annotated[int, typer.Argument(min=1)],
    project: Project = None,
    app: AppOption = None,
    invoice_later: Later = False,
) -> None:
    """Another quantity at once, with proration."""
    when = _when(invoice_later)
    _say(STAGE.do(project, app, lambda tx, _, app_id: stripe.set_quantity(tx, app_id, subject, number, invoiced=when)))


def _when(later: bool) -> Literal["now", "later"]:
    return "later" if later else "now"


@commands.command("fail-next-charge")
def fail_next_charge(
    subject: Subject,
    project: Project = None,
    app: AppOption = None,
    recover_at_retry: Annotated[int | None, typer.Option(min=1, max=3, help="Which retry succeeds; without it, none.")] = None,
    then: Annotated[Literal["canceled", "unpaid", "past_due"], typer.Option(help="What becomes of it when all retries failed.")] = "canceled",
    revert: Annotated[bool, typer.Option("--revert", help="Take back what was planned: the next charge succeeds.")] = False,
) -> None:
    """Plan that the next charge fails. Stripe tries again after 3, 5 and 7 days more."""
    if revert:
        return _say(STAGE.do(project, app, lambda tx, _, app_id: stripe.revert_failure(tx, app_id, subject)))
    _say(STAGE.do(project, app, lambda tx, _, app_id: stripe.fail_next_charge(tx, app_id, subject, recover_at_retry=recover_at_retry, then=then)))


@commands.command()
def pay(subject: Subject, project: Project = None, app: AppOption = None) -> None:
    """The customer mends the card: the open invoice is paid."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: stripe.pay(tx, app_id, subject)))


@commands.command()
def pause(
    subject: Subject,
    project: Project = None,
    app: AppOption = None,
    behavior: Annotated[Literal["void", "keep_as_draft", "mark_uncollectible"], typer.Option(help="What becomes of invoices meanwhile.")] = "void",
    days: Annotated[int | None, typer.Option(min=1, help="After how many days it ends by itself; without it, never.")] = None,
) -> None:
    """Collection is paused."""

    async def work(tx: Tx, _: Vault, app_id: str) -> Life:
        return await stripe.pause(tx, app_id, subject, behavior, resumes_at=tx.now + timedelta(days=days) if days is not None else None)

    _say(STAGE.do(project, app, work))


@commands.command()
def resume(subject: Subject, project: Project = None, app: AppOption = None) -> None:
    """Collection goes on."""
    _say(STAGE.do(project, app, lambda tx, _, app_id: stripe.resume(tx, app_id, subject)))


@commands.command()
def refund(
    subject: Subject,
    project: Project = None,
    app: AppOption = None,
    invoice: InvoiceOption = None,
    amount: Annotated[int | None, typer.Option(min=1, help="In the currency's minor unit; without it, all that is left.")] = None,
    fails: Annotated[bool, typer.Option("--fails", help="Not a new one: the newest refund turns out to have failed.")] = False,
) -> None:
    """Money is given back."""
    if fails:
        return _say(STAGE.do(project, app, lambda tx, _, app_id: stripe.fail_refund(tx, app_id, subject, invoice=invoice)))
    return _say(STAGE.do(project, app, lambda tx, _, app_id: stripe.refund(tx, app_id, subject, invoice=invoice, amount=amount)))


@commands.command()
def dispute(
    subject: Subject,
    project: Project = None,
    app: AppOption = None,
    invoice: InvoiceOption = None,
    outcome: Annotated[Literal["won", "lost"] | None, typer.Option(help="Not a new one: how the open one was decided.")] = None,
) -> None:
    """The customer's bank asks for the money back."""
    if outcome is not None:
        return _say(STAGE.do(project, app, lambda tx, _, app_id: stripe.close_dispute(tx, app_id, subject, outcome, invoice=invoice)))
    return _say(STAGE.do(project, app, lambda tx, _, app_id: stripe.dispute(tx, app_id, subject, invoice=invoice)))


@commands.command()
def status(project: Project = None, app: AppOption = None, limit: Annotated[int, typer.Option(min=1, max=1000, help="At most")] = 100) -> None:
    """What the simulated Stripe holds."""
    made = table("id", "customer", "product", "status", "until", "next", "invoices")
    for life in STAGE.do(project, app, lambda tx, _, app_id: stripe.lives(tx, app_id, limit=limit)):
        made.add_row(
            _name(life),
            life.app_user_id or "",
            life.plan.product,
            life.status,
            iso(life.period_end) if life.mode == "subscription" else "",
            "ends" if life.cancel_at_period_end else life.next_plan.product if life.next_plan is not None else "",
            str(len(life.invoices)),
        )
    show(made)

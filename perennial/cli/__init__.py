"""The command line. Its verbs are the API's, done in this process, on DATABASE_URL or on the database of a running `perennial up`."""

from typing import Annotated

import typer

from perennial.cli import (
    access,
    apps,
    backups,
    catalog_commands,
    catching_up,
    clock,
    comparing,
    customer_center,
    customers,
    exports,
    health,
    imports,
    integrations,
    processes,
    projects,
    rewards,
    simulate,
    simulate_play_store,
    simulate_stripe,
    webhooks,
)
from perennial.cli.desk import Commands
from perennial.cli.output import offer_json

app = typer.Typer(
    name="perennial",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""Subscriptions and entitlements, on your own machine.

    [bold]To begin[/bold]

      perennial up                  start everything; in another terminal:

      perennial init --sandbox      make a project and its secret key

      perennial apps create --type test_store --name "Try-out"

      perennial catalog apply catalog.toml

      perennial customers show ada

      perennial clock advance --days 31

    Commands work on DATABASE_URL, or else on the database that [bold]perennial up[/bold] started in $PERENNIAL_HOME (./.perennial).
    """,
)

app.command(rich_help_panel="Run")(processes.up)
app.command(rich_help_panel="Run")(processes.serve)
app.command(rich_help_panel="Run")(processes.worker)
app.command(rich_help_panel="Set up")(processes.init)
app.command(rich_help_panel="Set up")(processes.migrate)
app.command(rich_help_panel="Set up")(backups.backup)
app.command(rich_help_panel="Set up")(backups.restore)
app.command("forget-secrets", rich_help_panel="Set up")(processes.forget_secrets)
app.add_typer(projects.projects, name="projects", rich_help_panel="Set up")
app.add_typer(projects.keys, name="keys", rich_help_panel="Set up")
app.add_typer(apps.commands, name="apps", rich_help_panel="Set up")
app.add_typer(access.collaborators, name="collaborators", rich_help_panel="Set up")
app.add_typer(access.oauth, name="oauth", rich_help_panel="Set up")
app.add_typer(catalog_commands.commands, name="catalog", rich_help_panel="Set up")
app.add_typer(rewards.commands, name="ad-rewards", rich_help_panel="Set up")
app.add_typer(webhooks.commands, name="webhooks", rich_help_panel="Set up")
app.add_typer(integrations.commands, name="integrations", rich_help_panel="Set up")
app.add_typer(customers.commands, name="customers", rich_help_panel="Look and try")
app.add_typer(customers.commands, name="customer", hidden=True)  # as it was called before
app.add_typer(customer_center.commands, name="customer-center", rich_help_panel="Set up")
app.command("redemption-link", rich_help_panel="Look and try")(customer_center.issue_redemption_link)
app.add_typer(clock.commands, name="clock", rich_help_panel="Look and try")
simulate.simulate.add_typer(simulate_play_store.commands, name="play-store", rich_help_panel="Other stores")
simulate.simulate.add_typer(simulate_stripe.commands, name="stripe", rich_help_panel="Other stores")
app.add_typer(simulate.simulate, name="simulate", rich_help_panel="Look and try")
app.add_typer(imports.commands, name="import", rich_help_panel="Move in and out")
app.command("compare", rich_help_panel="Move in and out")(comparing.compare)
app.add_typer(exports.commands, name="exports", rich_help_panel="Move in and out")
app.command("catch-up", rich_help_panel="Look and try")(catching_up.catch_up)
app.command(rich_help_panel="Look and try")(health.check)
app.command(rich_help_panel="Look and try")(health.doctor)
app.command(rich_help_panel="Look and try")(processes.version)


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Say which version this is", callback=processes.say_version)] = False,
) -> None: ...


offer_json(app, but=(processes.up, processes.serve, processes.worker))


def main() -> None:
    app(prog_name="perennial")

"""Whether an app's credentials are good: its store is asked once about something that does not exist, which changes nothing there."""

import asyncio
from datetime import datetime
from typing import Literal

from perennial.base.db import Database
from perennial.base.errors import Conflict, Invalid, NotConfigured, NotFound, PerennialError
from perennial.base.ids import ProjectId
from perennial.base.secrets import Vault
from perennial.base.value import value
from perennial.intake import db
from perennial.intake.actions.asking import Providers
from perennial.intake.model import Posted, Question, StoreApp
from perennial.intake.wrappings import Wrapping
from perennial.subscriptions.model import Environment

LONGEST = 15.0  # seconds
# What no store has, in the form its API takes: it says so, or that it does not believe who asks.
_NOTHING = {
    "app_store": "100000000000001",
    "mac_app_store": "100000000000001",
    "play_store": "perennial-checks-this-app",
    "stripe": "sub_perennialcheck",
    "paddle": "sub_00000000000000000000000000",
    "amazon": "perennial-check@perennial-check",
    "roku": "00000000-0000-0000-0000-000000000000",
    "microsoft": "perennial-check",
}
State = Literal["green", "wrong", "silent", "no credentials"]


@value
class Checked:
    """`said` is what is wrong and what to do, or what the store answered. `wrappings`: forms of pushes that came lately and cannot be read."""

    store: str
    state: State
    said: str
    last_notification_at: datetime | None = None
    wrappings: tuple[Wrapping, ...] = ()


async def check_app(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, app_id: str) -> Checked:
    """Asks outside any transaction. Trouble is a value. The app must exist."""
    wall = database.clock()
    async with database.transaction(project_id) as tx:
        app = (await db.store_apps(tx, vault, [app_id]))[app_id]
        heard_at = await db.last_notification(tx, app_id)
        wrappings = await db.misdeliveries(tx, app_id)
    state, said = await _ask(providers, app, wall)
    return Checked(store=app.store, state=state, said=said, last_notification_at=heard_at, wrappings=wrappings)


async def _ask(providers: Providers, app: StoreApp, now: datetime) -> tuple[State, str]:
    if app.store not in providers or app.store not in _NOTHING:
        return "green", "this store has no API that is asked"
    provider = providers[app.store]
    if not provider.can_ask(app):
        return "no credentials", "the store's API cannot be asked: set its credentials with perennial apps update"
    question = Question(environment=_environment(app), subject=_NOTHING[app.store])
    try:
        async with asyncio.timeout(LONGEST):
            reading = await provider.ask(app, question, Posted(token=question.subject, store_user_id="perennial-check"), now)
    except NotConfigured as error:
        return "wrong", error.message
    except (NotFound, Conflict) as error:
        return "green", error.message
    except Invalid as error:
        return ("wrong" if error.param in _OF_THE_APP else "green"), error.message
    except TimeoutError:
        return "silent", f"the store did not answer within {LONGEST:.0f} s; try again"
    except PerennialError as error:
        return ("wrong" if _is_refusal(error.message) else "silent"), error.message
    return "green", reading.note or "the store answered"


_OF_THE_APP = frozenset(
    {
        "api_base_url",
        "api_issuer",
        "api_key",
        "api_key_id",
        "api_private_key",
        "bundle_id",
        "client_secret",
        "secrets",
        "service_account",
        "shared_secret",
    }
)


def _is_refusal(message: str) -> bool:
    """Whether the store answered and did not believe the credentials; else it did not answer at all."""
    return any(f"answered {status}" in message for status in (400, 401, 403)) or "does not accept" in message


def _environment(app: StoreApp) -> Environment:
    key = app.reveal("api_key")
    return "sandbox" if (app.store == "stripe" and "_test_" in key) or (app.store == "paddle" and key.startswith("pdl_sdbx_")) else "production"

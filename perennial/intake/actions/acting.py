"""What we want done at stores: committed before it is asked for, done once, retried until the store has said yes or no."""

from datetime import datetime

import structlog

from perennial.base.db import Database
from perennial.base.errors import PerennialError
from perennial.base.ids import AppId, ProjectId
from perennial.base.secrets import Vault
from perennial.intake import db
from perennial.intake.actions.asking import Providers, ask, later, record
from perennial.intake.actions.beside import beside
from perennial.intake.actions.unread import listening
from perennial.intake.db import Inquiry
from perennial.intake.model import LEASE, Act, CannotAct, Posted, StoreApp

log = structlog.get_logger("perennial.intake")


async def perform(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, app_id: AppId, act: Act) -> None:
    """Does something at a store for a caller who waits, and records what the store says afterwards, as far as it answers by then.

    Committed before it is asked for: if we die on the way it is done all the same, once. Raises `CannotAct` where the store refuses for good,
    `Unavailable` where it did not answer: then it stays on the list and is tried again.
    """
    async with database.transaction(project_id) as tx:
        await db.want_acts(tx, [(app_id, act)], tx.now + LEASE)
        ((app, posted),) = await beside(tx, vault, [(app_id, act.environment, act.subject)])
        now = tx.now
    if app.store not in providers or not providers[app.store].can_ask(app):
        await _refused(database, project_id, app_id, act, "this app has no credentials for its store's API")
        raise CannotAct("this app has no credentials for its store's API; add them to the app first", param="app_id")
    await ask(database, vault, providers, project_id, await _do(database, providers, project_id, app, act, posted, now, attempts=1))


async def perform_due(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, *, limit: int = 20) -> int:
    """Does what is on our list at stores. Returns how many acts were tried."""
    async with database.transaction(project_id) as tx:
        claimed = await db.claim_acts(tx, limit)
        around = await beside(tx, vault, [(one.app_id, one.act.environment, one.act.subject) for one in claimed])
        now = tx.now
    asked: list[Inquiry] = []
    for wanted, (app, posted) in zip(claimed, around, strict=True):
        try:
            asked += await _do(database, providers, project_id, app, wanted.act, posted, now, attempts=wanted.attempts)
        except PerennialError as error:
            log.warning("an act at a store was not done", app_id=app.app_id, act=wanted.act.kind, subject=wanted.act.subject, error=error.message)
    await ask(database, vault, providers, project_id, asked)
    return len(claimed)


async def _do(
    database: Database, providers: Providers, project_id: ProjectId, app: StoreApp, act: Act, posted: Posted, now: datetime, *, attempts: int
) -> list[Inquiry]:
    """Does it and records that it is done. What is to be asked next is on the list with it, and claimed for the caller."""
    try:
        with listening() as heard:
            reading = heard(await providers[app.store].act(app, act, posted, now))
    except CannotAct as error:
        await _refused(database, project_id, app.app_id, act, error.message)
        raise
    except PerennialError as error:
        async with database.transaction(project_id) as tx:
            await db.postpone_act(tx, app.app_id, act.act_id, error=error.message, wake_at=later(tx.now, attempts - 1))
        raise
    async with database.transaction(project_id) as tx:
        await record(tx, providers, {app.app_id: app}, [(app.app_id, reading)])
        await db.close_act(tx, app.app_id, act.act_id)
        return await db.claim_inquiries_about(tx, app.app_id, reading.questions)


async def _refused(database: Database, project_id: ProjectId, app_id: AppId, act: Act, why: str) -> None:
    """Parks it, with the store's reason, for a person to see."""
    async with database.transaction(project_id) as tx:
        await db.postpone_act(tx, app_id, act.act_id, error=why, wake_at=None)

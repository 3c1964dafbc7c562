"""The inbox: what stores send is kept, then digested in batches."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from perennial import subscriptions
from perennial.base.db import Database, Tx
from perennial.base.errors import Invalid, NotConfigured, PerennialError, Unavailable
from perennial.base.ids import ProjectId
from perennial.base.secrets import Vault
from perennial.intake import db, rules
from perennial.intake.actions.asking import Providers, follow, later
from perennial.intake.actions.unread import keep_unread, listening
from perennial.intake.db import Due
from perennial.intake.model import Message, Reading, StoreApp
from perennial.intake.wrappings import Wrapping
from perennial.subscriptions import Said

log = structlog.get_logger("perennial.intake")


async def receive(tx: Tx, messages: Sequence[Message]) -> None:
    """Keeps opened notifications. Once this commits they are ours: the store need not send them again."""
    await db.keep(tx, [rules.kept(message) for message in messages])


async def note_misdelivery(tx: Tx, app_id: str, wrapping: Wrapping, times: int, at: datetime) -> bool:
    """Keeps that an app's pushes come in the wrong wrapping, `at` by the wall clock. False where the project has no such app."""
    return await db.note_misdelivery(tx, app_id, wrapping, times, at)


async def digest(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, *, limit: int = 100) -> int:
    """Reads due notifications and records what they state, a batch per transaction. Returns how many were handled.

    Twice does no harm (statements merge), late neither, and one that cannot be handled steps aside alone.
    """
    try:
        async with database.transaction(project_id) as tx:
            batch = await db.due_messages(tx, limit)
            await _digest(tx, vault, providers, batch)
            return len(batch)
    except Unavailable:
        raise
    except Exception:
        log.debug("a batch of notifications failed; taking them one by one", project_id=project_id, exc_info=True)
        return await _digest_one_by_one(database, vault, providers, project_id, limit)


async def _digest_one_by_one(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, limit: int) -> int:
    for handled in range(limit):
        failed: Due | None = None
        try:
            async with database.transaction(project_id) as tx:
                batch = await db.due_messages(tx, 1)
                if not batch:
                    return handled
                failed = batch[0]
                await _digest(tx, vault, providers, batch)
        except Unavailable:
            raise
        except Exception as error:
            log.exception("a notification could not be digested", project_id=project_id, message_id=failed and failed.message_id)
            assert failed is not None
            async with database.transaction(project_id) as tx:
                await db.step_aside(tx, failed, error=repr(error), wake_at=later(tx.now, failed.attempts))
    return limit


async def _digest(tx: Tx, vault: Vault, providers: Providers, batch: Sequence[Due]) -> None:
    if not batch:
        return
    apps = await db.store_apps(tx, vault, sorted({one.app_id for one in batch}))
    readings = [_read(providers, apps[one.app_id], one, tx.now) for one in batch]
    said = [
        Said(app_id=apps[one.app_id].app_id, statement=statement)
        for one, reading in zip(batch, readings, strict=True)
        if isinstance(reading, Reading)
        for statement in reading.statements
    ]
    if said:
        await subscriptions.record(tx, said)
    understood = [(one.app_id, reading) for one, reading in zip(batch, readings, strict=True) if isinstance(reading, Reading)]
    await follow(tx, providers, apps, understood)
    await keep_unread(tx, "notification", [(apps[one.app_id], reading) for one, reading in zip(batch, readings, strict=True)])
    await db.mark_digested(tx, batch, [_outcome(reading) for reading in readings])


def _read(providers: Providers, app: StoreApp, message: Due, now: datetime) -> Reading | PerennialError:
    """What cannot be read is a value: it is kept, marked, and holds nobody up."""
    try:
        with listening() as heard:
            return heard(providers[app.store].read(app, message.body, now))
    except (Invalid, NotConfigured) as error:
        log.warning("a kept notification cannot be read", app_id=app.app_id, message_id=message.message_id, error=error.message)
        return error


def _outcome(reading: Reading | PerennialError) -> str:
    if isinstance(reading, PerennialError):
        return f"unreadable: {reading.message}"[:1000]
    if reading.unread:
        said = ", ".join(one.field for one in reading.unread)
        return f"{reading.note or 'recorded'}; not read: {said}"[:1000]
    return reading.note or "recorded"

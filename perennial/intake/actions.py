"""The verbs of intake: keep what stores send, digest it, check what apps post, ask stores what they did not say."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

import structlog

from perennial import catalog, subscriptions
from perennial.base.db import Database, Tx
from perennial.base.errors import Invalid, PerennialError, Unavailable
from perennial.base.ids import AppId, CustomerId, ProjectId
from perennial.base.secrets import Vault
from perennial.base.value import value
from perennial.intake import db
from perennial.intake.db import Due, Inquiry
from perennial.intake.model import RETRY_AFTER, Message, Posted, Provider, Reading, StoreApp
from perennial.subscriptions import Said
from perennial.subscriptions.model import Environment, Line

log = structlog.get_logger("perennial.intake")

Providers = Mapping[str, Provider]  # by store
CATCH_UP_BATCH = 100


@value
class Receipt:
    """What an app posts after a purchase or restore."""

    token: str
    product_ids: tuple[str, ...] = ()
    is_restore: bool = False
    presented_offering: str | None = None


async def receive(tx: Tx, messages: Sequence[Message]) -> None:
    """Keeps opened notifications. Once this commits they are ours: the store need not send them again."""
    await db.keep(tx, messages)


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
        log.exception("a batch of notifications failed; taking them one by one", project_id=project_id)
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
                await db.step_aside(tx, failed, error=repr(error), wake_at=_later(tx.now, failed.attempts))
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
    await _ask_where_told(tx, providers, apps, batch, readings)
    await db.mark_digested(tx, batch, [_outcome(reading) for reading in readings])


def _read(providers: Providers, app: StoreApp, message: Due, now: datetime) -> Reading | Invalid:
    """What cannot be read is a value: it is kept, marked, and holds nobody up."""
    try:
        return providers[app.store].read(app, message.body, now)
    except Invalid as error:
        log.warning("a kept notification cannot be read", app_id=app.app_id, message_id=message.message_id, error=error.message)
        return error


def _outcome(reading: Reading | Invalid) -> str:
    if isinstance(reading, Invalid):
        return f"unreadable: {reading.message}"[:1000]
    return reading.note or "recorded"


async def _ask_where_told(
    tx: Tx, providers: Providers, apps: Mapping[str, StoreApp], batch: Sequence[Due], readings: Sequence[Reading | Invalid]
) -> None:
    wanted = [
        (one.app_id, statement.environment, statement.line)
        for one, reading in zip(batch, readings, strict=True)
        if isinstance(reading, Reading) and reading.should_ask_store and providers[apps[one.app_id].store].can_ask(apps[one.app_id])
        for statement in reading.statements
    ]
    if wanted:
        await db.inquire(tx, wanted, "a notification said to look again")


async def read_receipt(tx: Tx, vault: Vault, providers: Providers, app_id: AppId, receipt: Receipt) -> Reading:
    """Verifies a posted proof of purchase. Raises `Invalid` (7103) where it proves nothing."""
    app = (await db.store_apps(tx, vault, [app_id]))[app_id]
    if app.store not in providers:
        raise Invalid(f"apps of {app.store} take no receipts here", param="fetch_token", code=7103)
    products = await catalog.find_products(tx, [(app_id, product) for product in receipt.product_ids])
    known = await subscriptions.find(tx, [("test_store", "sandbox", receipt.token)]) if app.store == "test_store" else []
    posted = Posted(products=tuple(products.values()), line=known[0] if known else None)
    try:
        return providers[app.store].read_receipt(app, receipt.token, posted, tx.now)
    except Invalid as error:
        raise Invalid(error.message, param=error.param or "fetch_token", code=error.code or 7103) from error


async def record_receipt(tx: Tx, app_id: AppId, receipt: Receipt, reading: Reading, buyer: CustomerId) -> None:
    """Records what a verified receipt states, as bought by `buyer`."""
    await subscriptions.record(
        tx,
        [
            Said(app_id=app_id, statement=statement, buyer=buyer, is_restore=receipt.is_restore, presented_offering=receipt.presented_offering)
            for statement in reading.statements
        ],
    )


async def ask_about(tx: Tx, vault: Vault, providers: Providers, lines: Sequence[Line]) -> None:
    """Puts lines that should have spoken on the list of questions to their stores, where the store can be asked."""
    if not lines:
        return
    apps = await db.store_apps(tx, vault, sorted({line.app_id for line in lines}))
    wanted = [
        (line.app_id, line.environment, line.store_line)
        for line in lines
        if line.store in providers and providers[line.store].can_ask(apps[line.app_id])
    ]
    if wanted:
        await db.inquire(tx, wanted, "a period ended and the store was silent")


async def ask_due(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, *, limit: int = 20) -> int:
    """Asks stores about lines: claimed and committed first, asked outside any transaction, then recorded. Returns how many were asked."""
    async with database.transaction(project_id) as tx:
        claimed = await db.claim_inquiries(tx, limit)
        apps = await db.store_apps(tx, vault, sorted({one.app_id for one in claimed})) if claimed else {}
        lines = await _lines_of(tx, apps, claimed)
        posted = await _products_of(tx, list(lines.values()))
        now = tx.now
    for inquiry in claimed:
        line = lines.get((inquiry.environment, inquiry.store_line))
        await _ask(database, providers, project_id, apps[inquiry.app_id], inquiry, line, posted, now)
    return len(claimed)


async def catch_up(
    database: Database, vault: Vault, providers: Providers, project_id: ProjectId, app_id: AppId, since: datetime, environment: Environment
) -> AsyncIterator[int]:
    """After an outage: everything the store sent since then, into the inbox again. Yields how many it has read so far.

    Those we have change nothing, so it may be stopped and begun anew at any moment.
    """
    async with database.transaction(project_id) as tx:
        apps = await db.store_apps(tx, vault, [app_id])
        now = tx.now
    if app_id not in apps:
        raise Invalid(f"no app {app_id!r} in this project", param="app")
    app = apps[app_id]
    provider, read = providers[app.store], 0
    if not provider.can_ask(app):
        raise Invalid("this app has no credentials for its store's API: bundle id, key id, issuer and private key", param="app")
    batch: list[Message] = []
    async for body in provider.sent_notifications(app, since, now, environment, now):
        batch.append(Message(app_id=app_id, envelope=provider.open(app, body, now), body=body))
        read += 1
        if len(batch) == CATCH_UP_BATCH:
            await _keep(database, project_id, batch)
            batch = []
            yield read
    await _keep(database, project_id, batch)
    yield read


async def _keep(database: Database, project_id: ProjectId, batch: Sequence[Message]) -> None:
    if batch:
        async with database.transaction(project_id) as tx:
            await db.keep(tx, batch)


async def _ask(
    database: Database, providers: Providers, project_id: ProjectId, app: StoreApp, inquiry: Inquiry, line: Line | None, posted: Posted, now: datetime
) -> None:
    try:
        reading = await providers[app.store].ask(app, line, posted, now) if line is not None else Reading()
    except PerennialError as error:
        async with database.transaction(project_id) as tx:
            await db.postpone_inquiry(tx, inquiry, error=error.message, wake_at=_later(tx.now, inquiry.attempts - 1))
        log.warning("a store did not answer", app_id=app.app_id, store_line=inquiry.store_line, error=error.message)
        return
    async with database.transaction(project_id) as tx:
        await subscriptions.record(tx, [Said(app_id=app.app_id, statement=statement) for statement in reading.statements])
        await db.close_inquiry(tx, inquiry)


async def _lines_of(tx: Tx, apps: Mapping[str, StoreApp], inquiries: Sequence[Inquiry]) -> dict[tuple[str, str], Line]:
    found = await subscriptions.find(tx, [(apps[one.app_id].store, one.environment, one.store_line) for one in inquiries])
    return {(line.environment, line.store_line): line for line in found}


async def _products_of(tx: Tx, lines: Sequence[Line]) -> Posted:
    products = await catalog.find_products(tx, [(line.app_id, held.purchase.product) for line in lines for held in line.held])
    return Posted(products=tuple(products.values()))


def _later(now: datetime, attempts: int) -> datetime | None:
    return now + RETRY_AFTER[attempts] if attempts < len(RETRY_AFTER) else None

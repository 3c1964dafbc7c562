"""Questions to stores: put on a list, asked outside any transaction, recorded."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from perennial import catalog, subscriptions
from perennial.base.db import Database, Tx
from perennial.base.errors import PerennialError
from perennial.base.ids import AppId, ProjectId
from perennial.base.secrets import Vault
from perennial.catalog.model import Product
from perennial.intake import db
from perennial.intake.db import Inquiry
from perennial.intake.model import RETRY_AFTER, STORE_USER, Posted, Provider, Question, Reading, StoreApp
from perennial.subscriptions import Said
from perennial.subscriptions.model import Environment, Line, Store

log = structlog.get_logger("perennial.intake")


Providers = Mapping[str, Provider]  # by store
MOST_PRODUCTS = 1000  # of an app's catalog, handed to a provider


async def follow(tx: Tx, providers: Providers, apps: Mapping[str, StoreApp], readings: Sequence[tuple[AppId, Reading]]) -> None:
    """Puts what readings want to know and to have done on our lists, where the store can be asked."""
    asked = [(app_id, reading) for app_id, reading in readings if providers[apps[app_id].store].can_ask(apps[app_id])]
    questions = [(app_id, question) for app_id, reading in asked for question in reading.questions]
    acts = [(app_id, act) for app_id, reading in asked for act in reading.acts]
    if questions:
        await db.inquire(tx, questions, "a message said to look")
    if acts:
        await db.want_acts(tx, acts, tx.now)


async def ask_about(tx: Tx, vault: Vault, providers: Providers, lines: Sequence[Line]) -> None:
    """Puts lines that should have spoken on the list of questions to their stores, where the store can be asked."""
    if not lines:
        return
    apps = await db.store_apps(tx, vault, sorted({line.app_id for line in lines if line.app_id is not None}))
    wanted = [
        (line.app_id, Question(environment=line.environment, subject=line.subject))
        for line in lines
        if line.app_id is not None and line.store in providers and providers[line.store].can_ask(apps[line.app_id])
    ]
    if wanted:
        await db.inquire(tx, wanted, "a period ended and the store was silent")


async def ask_due(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, *, limit: int = 20) -> int:
    """Asks stores what is on our list: claimed and committed first, asked outside any transaction, then recorded. Returns how many were asked."""
    async with database.transaction(project_id) as tx:
        claimed = await db.claim_inquiries(tx, limit)
        asked = await beside(tx, vault, [(one.app_id, one.environment, one.subject) for one in claimed])
        now = tx.now
    for inquiry, (app, posted) in zip(claimed, asked, strict=True):
        await _ask(database, providers, project_id, app, inquiry, posted, now)
    return len(claimed)


async def _ask(
    database: Database, providers: Providers, project_id: ProjectId, app: StoreApp, inquiry: Inquiry, posted: Posted, now: datetime
) -> None:
    try:
        reading = await providers[app.store].ask(app, inquiry.question, posted, now)
    except PerennialError as error:
        async with database.transaction(project_id) as tx:
            await db.postpone_inquiry(tx, inquiry, error=error.message, wake_at=later(tx.now, inquiry.attempts - 1))
        log.warning("a store did not answer", app_id=app.app_id, subject=inquiry.subject, error=error.message)
        return
    async with database.transaction(project_id) as tx:
        await record(tx, providers, app, reading)
        await db.close_inquiry(tx, inquiry)


async def record(tx: Tx, providers: Providers, app: StoreApp, reading: Reading) -> None:
    await subscriptions.record(tx, [Said(app_id=app.app_id, statement=statement) for statement in reading.statements])
    await follow(tx, providers, {app.app_id: app}, [(app.app_id, reading)])


async def beside(tx: Tx, vault: Vault, subjects: Sequence[tuple[AppId, Environment, str]]) -> list[tuple[StoreApp, Posted]]:
    """For each subject its app, the line it is, and the products it may be about: those of the line, else all of the app."""
    if not subjects:
        return []
    apps = await db.store_apps(tx, vault, sorted({app_id for app_id, _, _ in subjects}))
    lines = await subscriptions.find_by_keys(
        tx, [key for app_id, environment, subject in subjects for key in _either(apps[app_id].store, environment, subject)]
    )
    known = await catalog.find_products(tx, [pair for line in lines.values() for pair in _products_of(line)])
    of_app: dict[AppId, tuple[Product, ...]] = {}
    beside: list[tuple[StoreApp, Posted]] = []
    for app_id, environment, subject in subjects:
        line = next((lines[key] for key in _either(apps[app_id].store, environment, subject) if key in lines), None)
        if line is None and app_id not in of_app:
            of_app[app_id] = tuple(await catalog.get_products(tx, app_id=app_id, limit=MOST_PRODUCTS))
        products = of_app[app_id] if line is None else tuple(known[pair] for pair in _products_of(line) if pair in known)
        store_user = vault.unseal(line.store_user, STORE_USER).decode() if line is not None and line.store_user else None
        beside.append((apps[app_id], Posted(token=subject, products=products, line=line, store_user_id=store_user)))
    return beside


def _either(store: Store, environment: Environment, subject: str) -> list[tuple[Store, Environment, str]]:
    """A question may name the wrong environment, where only the answer tells it."""
    other: Environment = "sandbox" if environment == "production" else "production"
    return [(store, environment, subject), (store, other, subject)]


def _products_of(line: Line) -> list[tuple[AppId, str]]:
    return [] if line.app_id is None else sorted({(line.app_id, held.purchase.product) for held in line.held})


def later(now: datetime, attempts: int) -> datetime | None:
    return now + RETRY_AFTER[attempts] if attempts < len(RETRY_AFTER) else None

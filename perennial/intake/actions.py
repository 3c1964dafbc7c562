"""The verbs of intake: keep what stores send, digest it, check what apps post, ask stores what they did not say."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from perennial import catalog, subscriptions
from perennial.base.db import Database, Tx
from perennial.base.errors import Invalid, NotFound, PerennialError, Unavailable
from perennial.base.ids import AppId, CustomerId, LineId, ProjectId
from perennial.base.money import Money
from perennial.base.secrets import Vault
from perennial.base.value import replace, value
from perennial.catalog.model import Product
from perennial.intake import db, external
from perennial.intake.db import Due, Inquiry
from perennial.intake.external import ExternalPurchase, ExternalSubscription, Payment
from perennial.intake.model import LEASE, RETRY_AFTER, Act, CannotAct, Message, Posted, Provider, Question, Reading, StoreApp
from perennial.subscriptions import Said
from perennial.subscriptions.model import Environment, Line, Statement, Store

log = structlog.get_logger("perennial.intake")

Providers = Mapping[str, Provider]  # by store
MOST_PRODUCTS = 1000  # of an app's catalog, handed to a provider
_ENVIRONMENTS: tuple[Environment, ...] = ("production", "sandbox")


@value
class Receipt:
    """What an app posts after a purchase or restore."""

    token: str
    product_ids: tuple[str, ...] = ()
    is_restore: bool = False
    presented_offering: str | None = None
    store_user_id: str | None = None
    price: Money | None = None


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
    understood = [(one.app_id, reading) for one, reading in zip(batch, readings, strict=True) if isinstance(reading, Reading)]
    await _follow(tx, providers, apps, understood)
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


async def _follow(tx: Tx, providers: Providers, apps: Mapping[str, StoreApp], readings: Sequence[tuple[AppId, Reading]]) -> None:
    """Puts what readings want to know and to have done on our lists, where the store can be asked."""
    asked = [(app_id, reading) for app_id, reading in readings if providers[apps[app_id].store].can_ask(apps[app_id])]
    questions = [(app_id, question) for app_id, reading in asked for question in reading.questions]
    acts = [(app_id, act) for app_id, reading in asked for act in reading.acts]
    if questions:
        await db.inquire(tx, questions, "a message said to look")
    if acts:
        await db.want_acts(tx, acts, tx.now)


# What apps post ---------------------------------------------------------------------------------------------------------------


async def read_receipt(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, app_id: AppId, receipt: Receipt) -> Reading:
    """Verifies a posted proof of purchase, asking its store where it must be. Raises `Invalid` (7103) where it proves nothing.

    Outside any transaction: record it with `record_receipt`.
    """
    async with database.transaction(project_id) as tx:
        app = (await db.store_apps(tx, vault, [app_id]))[app_id]
        if app.store not in providers:
            raise Invalid(f"apps of {app.store} take no receipts here", param="fetch_token", code=7103)
        posted, now = await _posted(tx, app, receipt), tx.now
    try:
        return await providers[app.store].read_receipt(app, posted, now)
    except Invalid as error:
        raise type(error)(error.message, param=error.param or "fetch_token", code=error.code or 7103) from error


async def _posted(tx: Tx, app: StoreApp, receipt: Receipt) -> Posted:
    products = await catalog.find_products(tx, [(app.app_id, product) for product in receipt.product_ids])
    known = await subscriptions.find(tx, [(app.store, environment, receipt.token) for environment in _ENVIRONMENTS])
    return Posted(
        token=receipt.token,
        product_ids=receipt.product_ids,
        store_user_id=receipt.store_user_id,
        price=receipt.price,
        is_restore=receipt.is_restore,
        products=tuple(products.values()),
        line=known[0] if known else None,
    )


async def record_receipt(tx: Tx, vault: Vault, providers: Providers, app_id: AppId, receipt: Receipt, reading: Reading, buyer: CustomerId) -> None:
    """Records what a verified receipt states, as bought by `buyer`."""
    await subscriptions.record(
        tx,
        [
            Said(app_id=app_id, statement=statement, buyer=buyer, is_restore=receipt.is_restore, presented_offering=receipt.presented_offering)
            for statement in reading.statements
        ],
    )
    if reading.questions or reading.acts:
        await _follow(tx, providers, await db.store_apps(tx, vault, [app_id]), [(app_id, reading)])


# What another system of the project tells ---------------------------------------------------------------------------------------


@value
class ExternalPayment:
    """A payment as it was posted: for which subscription or purchase, and how much. `paid_at` None: just now."""

    identifier: str
    line: str
    gross: Money
    tax: Money
    commission: Money
    paid_at: datetime | None = None
    country: str | None = None


class ExternalMissing(NotFound):
    """A payment for something nobody told us of."""


async def record_external(
    tx: Tx, app_id: AppId, said: ExternalSubscription | ExternalPurchase | None, buyer: CustomerId | None, paid: ExternalPayment | None
) -> tuple[LineId | None, str | None]:
    """Records how something bought elsewhere stands, and what was paid for it. Returns the line spoken of, and the payment where it is new.

    Twice does no harm, and what is said of an earlier moment does not undo what was said of a later one. Raises `ExternalMissing`,
    `Invalid`, and `PeriodsOverlap` or `ReceiptInUse`, both conflicts.
    """
    name = said.line if said is not None else paid.line if paid is not None else ""
    environments = (said.environment,) if said is not None else _ENVIRONMENTS
    await subscriptions.hold(tx, [("external", environment, name) for environment in environments])
    known = next(iter(await subscriptions.find(tx, [("external", environment, name) for environment in environments])), None)
    if said is None and known is None:
        raise ExternalMissing(f"nothing bought elsewhere is called {name[:80]!r}; post the purchase with its first payment", code=7259)
    environment = said.environment if said is not None else known.environment if known is not None else "production"
    transaction = _paid_transaction(known, said, paid, tx.now)
    is_new = paid is not None and await db.keep_payment(tx, app_id, environment, name, _payment(paid, transaction, tx.now))
    payments = await db.payments_of(tx, app_id, environment, name, transaction)
    if len({payment.gross.currency for payment in payments}) > 1:
        raise Invalid("this purchase was paid in another currency before; its payments must be in one", param="payment", code=7226)
    statement = external.with_payments(known, _external_statement(known, said, payments, environment, name), transaction, payments)
    (line_id,) = await subscriptions.record(tx, [Said(app_id=app_id, statement=statement, buyer=buyer)])
    return (line_id if said is not None else None), (paid.identifier if paid is not None and is_new else None)


def _paid_transaction(known: Line | None, said: ExternalSubscription | ExternalPurchase | None, paid: ExternalPayment | None, now: datetime) -> str:
    match said:
        case ExternalSubscription():
            return external.transaction_of(known, said)
        case ExternalPurchase():
            return said.line
        case None:
            assert known is not None and paid is not None
            return external.paid_period(known, paid.paid_at or now)


def _payment(paid: ExternalPayment, transaction: str, now: datetime) -> Payment:
    return Payment(
        identifier=paid.identifier,
        transaction=transaction,
        paid_at=paid.paid_at or now,
        gross=paid.gross,
        tax=paid.tax,
        commission=paid.commission,
        country=paid.country,
    )


def _external_statement(
    known: Line | None, said: ExternalSubscription | ExternalPurchase | None, payments: Sequence[Payment], environment: Environment, name: str
) -> Statement:
    match said:
        case ExternalSubscription():
            return external.subscription_statement(known, said)
        case ExternalPurchase():
            return external.purchase_statement(known, said, payments)
        case None:
            return Statement(store="external", environment=environment, line=name, purchases=())


# What we ask ------------------------------------------------------------------------------------------------------------------


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
        asked = await _beside(tx, vault, [(one.app_id, one.environment, one.subject) for one in claimed])
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
            await db.postpone_inquiry(tx, inquiry, error=error.message, wake_at=_later(tx.now, inquiry.attempts - 1))
        log.warning("a store did not answer", app_id=app.app_id, subject=inquiry.subject, error=error.message)
        return
    async with database.transaction(project_id) as tx:
        await _record(tx, providers, app, reading)
        await db.close_inquiry(tx, inquiry)


async def _record(tx: Tx, providers: Providers, app: StoreApp, reading: Reading) -> None:
    await subscriptions.record(tx, [Said(app_id=app.app_id, statement=statement) for statement in reading.statements])
    await _follow(tx, providers, {app.app_id: app}, [(app.app_id, reading)])


async def _beside(tx: Tx, vault: Vault, subjects: Sequence[tuple[AppId, Environment, str]]) -> list[tuple[StoreApp, Posted]]:
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
        beside.append((apps[app_id], Posted(token=subject, products=products, line=line)))
    return beside


def _either(store: Store, environment: Environment, subject: str) -> list[tuple[Store, Environment, str]]:
    """A question may name the wrong environment, where only the answer tells it."""
    other: Environment = "sandbox" if environment == "production" else "production"
    return [(store, environment, subject), (store, other, subject)]


def _products_of(line: Line) -> list[tuple[AppId, str]]:
    return [] if line.app_id is None else sorted({(line.app_id, held.purchase.product) for held in line.held})


# What we do -------------------------------------------------------------------------------------------------------------------


async def perform(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, app_id: AppId, act: Act) -> None:
    """Does something at a store for a caller who waits, and records what the store says afterwards.

    Committed before it is asked for: if we die on the way it is done all the same, once. Raises `CannotAct` where the store refuses for good,
    `Unavailable` where it did not answer: then it stays on the list and is tried again.
    """
    async with database.transaction(project_id) as tx:
        await db.want_acts(tx, [(app_id, act)], tx.now + LEASE)
        ((app, posted),) = await _beside(tx, vault, [(app_id, act.environment, act.subject)])
        now = tx.now
    if app.store not in providers or not providers[app.store].can_ask(app):
        await _refused(database, project_id, app_id, act, "this app has no credentials for its store's API")
        raise CannotAct("this app has no credentials for its store's API; add them to the app first", param="app_id")
    for question in await _do(database, providers, project_id, app, act, posted, now, attempts=1):
        reading = await providers[app.store].ask(app, question, posted, now)
        async with database.transaction(project_id) as tx:
            await _record(tx, providers, app, reading)


async def perform_due(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, *, limit: int = 20) -> int:
    """Does what is on our list at stores. Returns how many acts were tried."""
    async with database.transaction(project_id) as tx:
        claimed = await db.claim_acts(tx, limit)
        beside = await _beside(tx, vault, [(one.app_id, one.act.environment, one.act.subject) for one in claimed])
        now = tx.now
    for wanted, (app, posted) in zip(claimed, beside, strict=True):
        try:
            questions = await _do(database, providers, project_id, app, wanted.act, posted, now, attempts=wanted.attempts)
        except PerennialError as error:
            log.warning("an act at a store was not done", app_id=app.app_id, act=wanted.act.kind, subject=wanted.act.subject, error=error.message)
            continue
        async with database.transaction(project_id) as tx:
            await _follow(tx, providers, {app.app_id: app}, [(app.app_id, Reading(questions=questions))])
    return len(claimed)


async def _do(
    database: Database, providers: Providers, project_id: ProjectId, app: StoreApp, act: Act, posted: Posted, now: datetime, *, attempts: int
) -> tuple[Question, ...]:
    """Does it and records that it is done; what is to be asked next is for the caller."""
    try:
        reading = await providers[app.store].act(app, act, posted, now)
    except CannotAct as error:
        await _refused(database, project_id, app.app_id, act, error.message)
        raise
    except PerennialError as error:
        async with database.transaction(project_id) as tx:
            await db.postpone_act(tx, app.app_id, act.act_id, error=error.message, wake_at=_later(tx.now, attempts - 1))
        raise
    async with database.transaction(project_id) as tx:
        await _record(tx, providers, app, replace(reading, questions=()))
        await db.close_act(tx, app.app_id, act.act_id)
    return reading.questions


async def _refused(database: Database, project_id: ProjectId, app_id: AppId, act: Act, why: str) -> None:
    """Parks it, with the store's reason, for a person to see."""
    async with database.transaction(project_id) as tx:
        await db.postpone_act(tx, app_id, act.act_id, error=why, wake_at=None)


def _later(now: datetime, attempts: int) -> datetime | None:
    return now + RETRY_AFTER[attempts] if attempts < len(RETRY_AFTER) else None

"""Questions to stores: put on a list, asked outside any transaction, recorded."""

from asyncio import Semaphore, gather
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from perennial import catalog, subscriptions
from perennial.base.db import Database, Tx
from perennial.base.errors import PerennialError, Unavailable
from perennial.base.ids import AppId, LineId, ProjectId
from perennial.base.secrets import Vault
from perennial.base.value import value
from perennial.catalog.model import Product
from perennial.intake import db
from perennial.intake.db import Inquiry
from perennial.intake.model import RETRY_AFTER, STORE_USER, Posted, Provider, Question, Reading, StoreApp
from perennial.subscriptions import Key, Said
from perennial.subscriptions.model import Environment, Line, Store

log = structlog.get_logger("perennial.intake")


Providers = Mapping[str, Provider]  # by store
MOST_PRODUCTS = 1000  # of an app's catalog, handed to a provider
MOST_AT_ONCE = 8  # questions on their way to one store


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


async def being_asked(tx: Tx, lines: Sequence[Line]) -> set[LineId]:
    """Those about which a question is due or on its way: what a store is about to say is not silence."""
    subjects = {(line.app_id, line.environment, line.subject): line.line_id for line in lines if line.app_id is not None}
    return {subjects[subject] for subject in await db.about_to_be_asked(tx, list(subjects))} if subjects else set()


@value
class Answer:
    """What came of a question: a reading, or the error for which it is put again later. It was read beside `line`, as we held it then."""

    app: StoreApp
    inquiry: Inquiry
    line: Line | None
    said: Reading | str

    @property
    def keys(self) -> set[Key]:
        """Of every line it speaks of, known or not."""
        statements = self.said.statements if isinstance(self.said, Reading) else ()
        return {(one.store, one.environment, key) for one in statements for key in (one.line, *one.also)}


async def ask_due(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, *, limit: int = 40) -> int:
    """Asks stores what is on our list: claimed and committed first, asked outside any transaction, then recorded. Returns how many were asked.

    Stores are asked side by side, each about a few subjects at a time, and what they answered is one transaction. One that cannot be answered,
    or whose answer cannot be recorded, steps aside alone.
    """
    async with database.transaction(project_id) as tx:
        claimed = await db.claim_inquiries(tx, limit)
        around = await beside(tx, vault, [(one.app_id, one.environment, one.subject) for one in claimed])
        now = tx.now
    free = {app.store: Semaphore(MOST_AT_ONCE) for app, _ in around}
    answers = await gather(
        *(
            _ask(providers, app, inquiry, posted, _in_turn(now, place, inquiry.attempts), free[app.store])
            for place, (inquiry, (app, posted)) in enumerate(zip(claimed, around, strict=True))
        )
    )
    if answers:
        await _keep(database, providers, project_id, answers)
    return len(claimed)


def _in_turn(now: datetime, place: int, attempt: int) -> datetime:
    """Two answers may be about one line: what is asked for later is the newer, on a clock that stands still too.

    A microsecond is left free after the first, as a provider takes one (Google's a millisecond) to be newer than what the line already holds.
    """
    return now + timedelta(microseconds=place + 1 if place else 0, milliseconds=10 * (attempt - 1))


async def _ask(providers: Providers, app: StoreApp, inquiry: Inquiry, posted: Posted, now: datetime, free: Semaphore) -> Answer:
    """An error is a value here: it must not take the answers of others with it."""
    try:
        async with free:
            said = await providers[app.store].ask(app, inquiry.question, posted, now)
    except PerennialError as error:
        log.warning("a store did not answer", app_id=app.app_id, subject=inquiry.subject, error=error.message)
        return Answer(app=app, inquiry=inquiry, line=posted.line, said=error.message)
    except Exception as error:
        log.exception("a question could not be put to a store", app_id=app.app_id, subject=inquiry.subject)
        return Answer(app=app, inquiry=inquiry, line=posted.line, said=repr(error))
    return Answer(app=app, inquiry=inquiry, line=posted.line, said=said)


async def _keep(database: Database, providers: Providers, project_id: ProjectId, answers: Sequence[Answer]) -> None:
    try:
        async with database.transaction(project_id) as tx:
            await _record_answers(tx, providers, answers)
    except Unavailable:
        raise
    except Exception:
        log.exception("a batch of answers could not be recorded; taking them one by one", project_id=project_id)
        for answer in answers:
            await _keep_one(database, providers, project_id, answer)


async def _keep_one(database: Database, providers: Providers, project_id: ProjectId, answer: Answer) -> None:
    try:
        async with database.transaction(project_id) as tx:
            await _record_answers(tx, providers, [answer])
    except Unavailable:
        raise
    except Exception as error:
        log.exception("an answer of a store could not be recorded", app_id=answer.app.app_id, subject=answer.inquiry.subject)
        async with database.transaction(project_id) as tx:
            await _postpone(tx, answer.inquiry, repr(error))


async def _record_answers(tx: Tx, providers: Providers, answers: Sequence[Answer]) -> None:
    """Closes what was answered after its own questions were put: one that was put again meanwhile stays open."""
    readable = [answer for answer in answers if isinstance(answer.said, Reading)]
    current = await _current(tx, readable)
    readings = [(answer.app.app_id, answer.said) for answer in current if isinstance(answer.said, Reading)]
    await record(tx, providers, {answer.app.app_id: answer.app for answer in current}, readings)
    await db.close_inquiries(tx, [answer.inquiry for answer in current])
    if overtaken := [answer.inquiry for answer in readable if answer not in current]:
        await db.reopen_inquiries(tx, overtaken)
    for answer in answers:
        if not isinstance(answer.said, Reading):
            await _postpone(tx, answer.inquiry, answer.said)


async def _current(tx: Tx, answers: Sequence[Answer]) -> list[Answer]:
    """Those whose line is as it was when they were read. What was overtaken, by another worker or by one of the same batch, must be asked anew.

    A token that another took the place of says other things once we know that other: read beside an older line, it would take them back.
    """
    await subscriptions.hold(tx, {key for answer in answers for key in (*answer.keys, *_keys_of(answer))})
    lines = await subscriptions.find_by_keys(tx, [key for answer in answers for key in _keys_of(answer)])
    current, spoken_of = list[Answer](), set[Key | LineId]()
    for answer in answers:
        line = _first(lines, _keys_of(answer))
        about: set[Key | LineId] = {*answer.keys, *([line.line_id] if line is not None else [])}
        if _is_as_it_was(answer.line, line) and not about & spoken_of:
            current.append(answer)
            spoken_of |= about
    return current


def _is_as_it_was(then: Line | None, now: Line | None) -> bool:
    if then is None or now is None:
        return then is now
    purchases = [[held.purchase for held in line.held] for line in (then, now)]
    return (then.line_id, then.subject, then.renewals) == (now.line_id, now.subject, now.renewals) and purchases[0] == purchases[1]


def _keys_of(answer: Answer) -> list[Key]:
    return _either(answer.app.store, answer.inquiry.environment, answer.inquiry.subject)


async def _postpone(tx: Tx, inquiry: Inquiry, error: str) -> None:
    await db.postpone_inquiry(tx, inquiry, error=error, wake_at=later(tx.now, inquiry.attempts - 1))


async def record(tx: Tx, providers: Providers, apps: Mapping[str, StoreApp], readings: Sequence[tuple[AppId, Reading]]) -> None:
    await subscriptions.record(tx, [Said(app_id=app_id, statement=statement) for app_id, reading in readings for statement in reading.statements])
    await follow(tx, providers, apps, readings)


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
        line = _first(lines, _either(apps[app_id].store, environment, subject))
        if line is None and app_id not in of_app:
            of_app[app_id] = tuple(await catalog.get_products(tx, app_id=app_id, limit=MOST_PRODUCTS))
        products = of_app[app_id] if line is None else tuple(known[pair] for pair in _products_of(line) if pair in known)
        store_user = vault.unseal(line.store_user, STORE_USER).decode() if line is not None and line.store_user else None
        beside.append((apps[app_id], Posted(token=subject, products=products, line=line, store_user_id=store_user)))
    return beside


def _first(lines: Mapping[Key, Line], keys: Sequence[Key]) -> Line | None:
    return next((lines[key] for key in keys if key in lines), None)


def _either(store: Store, environment: Environment, subject: str) -> list[Key]:
    """A question may name the wrong environment, where only the answer tells it."""
    other: Environment = "sandbox" if environment == "production" else "production"
    return [(store, environment, subject), (store, other, subject)]


def _products_of(line: Line) -> list[tuple[AppId, str]]:
    return [] if line.app_id is None else sorted({(line.app_id, held.purchase.product) for held in line.held})


def later(now: datetime, attempts: int) -> datetime | None:
    return now + RETRY_AFTER[attempts] if attempts < len(RETRY_AFTER) else None

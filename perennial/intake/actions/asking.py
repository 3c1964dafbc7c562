"""Questions to stores: put on a list, asked outside any transaction, recorded."""

from asyncio import Semaphore, gather
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from perennial import subscriptions
from perennial.base.db import Database, Tx
from perennial.base.errors import PerennialError, Unavailable
from perennial.base.ids import AppId, LineId, ProjectId
from perennial.base.secrets import Vault
from perennial.base.value import value
from perennial.intake import db
from perennial.intake.actions.beside import Heard, beside, current, either
from perennial.intake.actions.unread import keep_unread, listening
from perennial.intake.db import Inquiry
from perennial.intake.model import RETRY_AFTER, Posted, Provider, Question, Reading, StoreApp
from perennial.subscriptions import Said
from perennial.subscriptions.model import Line

log = structlog.get_logger("perennial.intake")


Providers = Mapping[str, Provider]  # by store
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
    """What came of a question: what its store said, or the error for which it is put again later."""

    app: StoreApp
    inquiry: Inquiry
    said: Heard | str


async def ask_due(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, *, limit: int = 40) -> int:
    """Asks stores what is on our list. Returns how many questions that were."""
    async with database.transaction(project_id) as tx:
        claimed = await db.claim_inquiries(tx, limit)
    await ask(database, vault, providers, project_id, claimed)
    return len(claimed)


async def ask(database: Database, vault: Vault, providers: Providers, project_id: ProjectId, claimed: Sequence[Inquiry]) -> None:
    """Asks what was claimed, and committed so: outside any transaction, then recorded.

    Stores are asked side by side, each about a few subjects at a time, and what they answered is one transaction. One that cannot be answered,
    or whose answer cannot be recorded, steps aside alone.
    """
    if not claimed:
        return
    async with database.transaction(project_id) as tx:
        around = await beside(tx, vault, [(one.app_id, one.environment, one.subject) for one in claimed])
        now = tx.now
    free = {app.store: Semaphore(MOST_AT_ONCE) for app, _ in around}
    answers = await gather(
        *(
            _ask(providers, app, inquiry, posted, _in_turn(now, place, inquiry.attempts), free[app.store])
            for place, (inquiry, (app, posted)) in enumerate(zip(claimed, around, strict=True))
        )
    )
    await _keep(database, providers, project_id, answers)


def _in_turn(now: datetime, place: int, attempt: int) -> datetime:
    """Two answers may be about one line: what is asked for later is the newer, on a clock that stands still too.

    A microsecond is left free after the first, as a provider takes one (Google's a millisecond) to be newer than what the line already holds.
    """
    return now + timedelta(microseconds=place + 1 if place else 0, milliseconds=10 * (attempt - 1))


async def _ask(providers: Providers, app: StoreApp, inquiry: Inquiry, posted: Posted, now: datetime, free: Semaphore) -> Answer:
    """An error is a value here: it must not take the answers of others with it."""
    try:
        async with free:
            with listening() as heard:
                said = heard(await providers[app.store].ask(app, inquiry.question, posted, now))
    except PerennialError as error:
        log.warning("a store did not answer", app_id=app.app_id, subject=inquiry.subject, error=error.message)
        return Answer(app=app, inquiry=inquiry, said=error.message)
    except Exception as error:
        log.exception("a question could not be put to a store", app_id=app.app_id, subject=inquiry.subject)
        return Answer(app=app, inquiry=inquiry, said=repr(error))
    return Answer(
        app=app, inquiry=inquiry, said=Heard(reading=said, about=either(app.store, inquiry.environment, inquiry.subject), beside=posted.line)
    )


async def _keep(database: Database, providers: Providers, project_id: ProjectId, answers: Sequence[Answer]) -> None:
    try:
        async with database.transaction(project_id) as tx:
            await _record_answers(tx, providers, answers)
    except Unavailable:
        raise
    except Exception:
        log.debug("a batch of answers could not be recorded; taking them one by one", project_id=project_id, exc_info=True)
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
    heard = [(answer, answer.said) for answer in answers if isinstance(answer.said, Heard)]
    are_current = await current(tx, [said for _, said in heard])
    kept = [one for one, is_current in zip(heard, are_current, strict=True) if is_current]
    await record(tx, providers, {answer.app.app_id: answer.app for answer, _ in kept}, [(answer.app.app_id, said.reading) for answer, said in kept])
    await keep_unread(tx, "answer", [(answer.app, said.reading) for answer, said in kept])
    await db.close_inquiries(tx, [answer.inquiry for answer, _ in kept])
    if overtaken := [answer.inquiry for (answer, _), is_current in zip(heard, are_current, strict=True) if not is_current]:
        await db.reopen_inquiries(tx, overtaken)
    for answer in answers:
        if isinstance(answer.said, str):
            await _postpone(tx, answer.inquiry, answer.said)


async def _postpone(tx: Tx, inquiry: Inquiry, error: str) -> None:
    await db.postpone_inquiry(tx, inquiry, error=error, wake_at=later(tx.now, inquiry.attempts - 1))


async def record(tx: Tx, providers: Providers, apps: Mapping[str, StoreApp], readings: Sequence[tuple[AppId, Reading]]) -> None:
    await subscriptions.record(tx, [Said(app_id=app_id, statement=statement) for app_id, reading in readings for statement in reading.statements])
    await follow(tx, providers, apps, readings)


def later(now: datetime, attempts: int) -> datetime | None:
    return now + RETRY_AFTER[attempts] if attempts < len(RETRY_AFTER) else None

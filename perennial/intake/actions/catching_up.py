"""After our outage, or a lost message: everything the store remembers of the span, and every line that may have moved, asked anew.

What is found goes the way of everything else, so what we have already changes nothing. How far it got is kept: it may be stopped at any
moment and gone on with.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from perennial.base.db import Database, Tx
from perennial.base.errors import Invalid
from perennial.base.ids import AppId, ProjectId
from perennial.base.secrets import Vault
from perennial.base.value import replace
from perennial.intake import db, rules
from perennial.intake.actions.asking import Providers
from perennial.intake.model import CatchUp, Caught, Message, Question, Report, StoreApp
from perennial.subscriptions.model import Environment

BATCH = 100


async def catch_up(
    database: Database, vault: Vault, providers: Providers, project_id: ProjectId, app_id: AppId, since: datetime, environment: Environment
) -> AsyncIterator[CatchUp]:
    """Goes on with the app's unfinished catching up, or begins one. Yields how far it got after every batch that is committed.

    Raises `Invalid` for an app that cannot be asked, `Unavailable` where its store does not answer: run it again, it goes on from there.
    """
    async with database.transaction(project_id) as tx:
        app = await _app(tx, vault, providers, app_id)
        state = await db.unfinished_catch_up(tx, app_id, environment) or await db.begin_catch_up(tx, app_id, environment, since)
    if not state.is_read:
        async for read in _read(database, providers, project_id, app, state):
            state = read
            yield state
    async for asked in _ask_about_lines(database, project_id, state):
        yield asked


async def _app(tx: Tx, vault: Vault, providers: Providers, app_id: AppId) -> StoreApp:
    app = (await db.store_apps(tx, vault, [app_id])).get(app_id)
    if app is None:
        raise Invalid(f"no app {app_id!r} in this project", param="app")
    if app.store not in providers or not providers[app.store].can_ask(app):
        raise Invalid("this app has no credentials for its store's API; add them to the app first", param="app")
    return app


async def _read(database: Database, providers: Providers, project_id: ProjectId, app: StoreApp, state: CatchUp) -> AsyncIterator[CatchUp]:
    """What the store sent, or has to say, of the span."""
    batch: list[Caught | Question] = []
    since = state.reached or state.since
    async for one in providers[app.store].missed(app, since, state.until, state.environment, state.until):
        batch.append(one)
        if len(batch) == BATCH:
            state = await _keep(database, project_id, state, batch)
            batch = []
            yield state
    yield await _keep(database, project_id, replace(state, is_read=True), batch)


async def _keep(database: Database, project_id: ProjectId, state: CatchUp, batch: Sequence[Caught | Question]) -> CatchUp:
    messages = [rules.kept(Message(app_id=state.app_id, envelope=one.envelope, body=one.body)) for one in batch if isinstance(one, Caught)]
    questions = [(state.app_id, one) for one in batch if isinstance(one, Question)]
    async with database.transaction(project_id) as tx:
        new = await db.keep(tx, messages) if messages else 0
        if questions:
            await db.inquire(tx, questions, "catching up")
        state = replace(
            state,
            told=state.told + len(batch),
            new=state.new + new,
            asked=state.asked + len(questions),
            reached=max([*(message.envelope.sent_at for message in messages), *filter(None, [state.reached])], default=None),
        )
        await db.save_catch_up(tx, state)
    return state


async def _ask_about_lines(database: Database, project_id: ProjectId, state: CatchUp) -> AsyncIterator[CatchUp]:
    """Lines that were running at some moment of the span, a page at a time: silence about them proves nothing."""
    while state.finished_at is None:
        async with database.transaction(project_id) as tx:
            page = await db.lines_of_span(tx, state, BATCH)
            if page:
                questions = [Question(environment=state.environment, subject=row["subject"]) for row in page]
                await db.inquire(tx, [(state.app_id, question) for question in questions], "catching up")
            state = replace(
                state,
                asked=state.asked + len(page),
                lines_after=page[-1]["line_id"] if page else state.lines_after,
                finished_at=tx.now if len(page) < BATCH else None,
            )
            await db.save_catch_up(tx, state)
        yield state


async def report(database: Database, project_id: ProjectId, state: CatchUp) -> Report:
    async with database.transaction(project_id) as tx:
        return await db.catch_up_report(tx, state)

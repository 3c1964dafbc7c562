"""SQL of the inbox and of inquiries.

Walks in the order of an index say `project_id = (SELECT ...)` beside the wall, whose `= ANY (...)` does not give that order.
"""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime

import msgspec

from perennial.base.db import Row, Tx
from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.base.secrets import Vault
from perennial.base.value import value
from perennial.catalog import API_SECRET, STORE_SECRETS
from perennial.intake.external import Payment
from perennial.intake.model import LEASE, Act, CatchUp, Message, Question, Report, StoreApp
from perennial.subscriptions.model import Environment


@value
class Due:
    """A kept message whose turn it is."""

    app_id: AppId
    message_id: str
    kind: str
    body: bytes
    attempts: int


@value
class Inquiry:
    """A question on our list, claimed. `times_wanted` is how often it had been put when it was: once more since, and it stays open."""

    app_id: AppId
    environment: Environment
    subject: str
    hint: str
    attempts: int
    times_wanted: int

    @property
    def question(self) -> Question:
        return Question(environment=self.environment, subject=self.subject, hint=self.hint)


@value
class WantedAct:
    """An act on our list, claimed."""

    app_id: AppId
    act: Act
    attempts: int


async def store_apps(tx: Tx, vault: Vault, app_ids: Sequence[str] | None = None) -> dict[str, StoreApp]:
    """Apps as providers need them. A simulated store's root counts in a sandbox project alone."""
    rows = await tx.fetch(
        """
        SELECT a.*, CASE WHEN p.is_sandbox THEN s.root END AS simulated_root
        FROM app a JOIN project p ON p.project_id = a.project_id
        LEFT JOIN simulated_store s ON s.project_id = a.project_id AND s.app_id = a.app_id
        WHERE %(ids)s::text[] IS NULL OR a.app_id = ANY (%(ids)s)
        """,
        ids=None if app_ids is None else list(app_ids),
    )
    return {row["app_id"]: _store_app(row, vault) for row in rows}


def _store_app(row: Row, vault: Vault) -> StoreApp:
    return StoreApp(
        project_id=row["project_id"],
        app_id=row["app_id"],
        store=row["store"],
        bundle_id=row["bundle_id"],
        app_apple_id=row["app_apple_id"],
        api_key_id=row["api_key_id"],
        api_issuer=row["api_issuer"],
        api_base_url=row["api_base_url"],
        api_private_key=vault.unseal(row["api_secret"], API_SECRET).decode() if row["api_secret"] else None,
        settings=row["settings"],
        secrets=msgspec.json.decode(vault.unseal(row["secrets"], STORE_SECRETS)) if row["secrets"] else {},
        simulated_roots=(row["simulated_root"],) if row["simulated_root"] else (),
    )


async def keep(tx: Tx, messages: Sequence[Message]) -> int:
    """Into the inbox, once each: a duplicate finds its first and changes nothing. Returns how many were new."""
    rows = sorted(messages, key=lambda message: (message.app_id, message.envelope.message_id))
    return await tx.execute(
        """
        INSERT INTO notification (project_id, app_id, message_id, kind, sent_at, body, received_at, wake_at)
        SELECT %(project_id)s, app_id, message_id, kind, sent_at, body, %(now)s, %(now)s
        FROM unnest(%(apps)s::text[], %(ids)s::text[], %(kinds)s::text[], %(sent)s::timestamptz[], %(bodies)s::bytea[])
          AS new (app_id, message_id, kind, sent_at, body)
        ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        now=tx.now,
        apps=[row.app_id for row in rows],
        ids=[row.envelope.message_id for row in rows],
        kinds=[row.envelope.kind for row in rows],
        sent=[row.envelope.sent_at for row in rows],
        bodies=[row.body for row in rows],
    )


async def due_messages(tx: Tx, limit: int) -> list[Due]:
    rows = await tx.fetch(
        """
        SELECT app_id, message_id, kind, body, attempts FROM notification
        WHERE project_id = (SELECT %(project_id)s::text) AND wake_at <= %(now)s ORDER BY wake_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        """,
        project_id=tx.project_id,
        now=tx.now,
        limit=limit,
    )
    return [Due(**row) for row in rows]


async def mark_digested(tx: Tx, messages: Sequence[Due], outcomes: Sequence[str]) -> None:
    await tx.execute(
        """
        UPDATE notification n SET digested_at = %(now)s, outcome = done.outcome, wake_at = NULL, last_error = NULL
        FROM unnest(%(apps)s::text[], %(ids)s::text[], %(outcomes)s::text[]) AS done (app_id, message_id, outcome)
        WHERE n.app_id = done.app_id AND n.message_id = done.message_id
        """,
        now=tx.now,
        apps=[one.app_id for one in messages],
        ids=[one.message_id for one in messages],
        outcomes=list(outcomes),
    )


async def step_aside(tx: Tx, message: Due, *, error: str, wake_at: datetime | None) -> None:
    """Lets others pass; null parks it."""
    await tx.execute(
        """
        UPDATE notification SET attempts = attempts + 1, last_error = %(error)s, wake_at = %(wake_at)s
        WHERE app_id = %(app_id)s AND message_id = %(message_id)s
        """,
        app_id=message.app_id,
        message_id=message.message_id,
        error=error[:1000],
        wake_at=wake_at,
    )


async def inquire(tx: Tx, wanted: Sequence[tuple[AppId, Question]], reason: str) -> None:
    """Puts each question soon; one open question per subject is enough. One being answered at this moment is answered once more.

    Hints gather, a line each: a provider is told all that made us ask.
    """
    rows: dict[tuple[AppId, Environment, str], str] = {}
    for app_id, question in wanted:
        key = (app_id, question.environment, question.subject)
        rows[key] = _joined(rows.get(key, ""), question.hint)
    keys = sorted(rows)
    await tx.execute(
        """
        INSERT INTO inquiry (project_id, app_id, environment, subject, hint, reason, wake_at)
        SELECT %(project_id)s, app_id, environment, subject, hint, %(reason)s, %(now)s
        FROM unnest(%(apps)s::text[], %(environments)s::text[], %(subjects)s::text[], %(hints)s::text[]) AS new (app_id, environment, subject, hint)
        ON CONFLICT (project_id, app_id, environment, subject) DO UPDATE
          SET times_wanted = inquiry.times_wanted + 1, attempts = 0,
              hint = left(concat_ws(E'\\n', nullif(inquiry.hint, ''), nullif(excluded.hint, '')), 4000),
              wake_at = least(coalesce(inquiry.wake_at, excluded.wake_at), excluded.wake_at)
        """,
        project_id=tx.project_id,
        now=tx.now,
        reason=reason,
        apps=[key[0] for key in keys],
        environments=[key[1] for key in keys],
        subjects=[key[2] for key in keys],
        hints=[rows[key] for key in keys],
    )


def _joined(first: str, second: str) -> str:
    return "\n".join(dict.fromkeys(hint for hint in (*first.split("\n"), second) if hint))


async def claim_inquiries(tx: Tx, limit: int) -> list[Inquiry]:
    """Takes due ones under a lease: if we die, they wake again."""
    rows = await tx.fetch(
        """
        WITH due AS (
          SELECT project_id, app_id, environment, subject FROM inquiry
          WHERE project_id = (SELECT %(project_id)s::text) AND wake_at <= %(now)s ORDER BY wake_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        UPDATE inquiry i SET wake_at = %(lease)s, attempts = attempts + 1 FROM due
        WHERE i.project_id = due.project_id AND i.app_id = due.app_id AND i.environment = due.environment AND i.subject = due.subject
        RETURNING i.app_id, i.environment, i.subject, i.hint, i.attempts, i.times_wanted
        """,
        project_id=tx.project_id,
        now=tx.now,
        lease=tx.now + LEASE,
        limit=limit,
    )
    return [Inquiry(**row) for row in rows]


async def close_inquiries(tx: Tx, inquiries: Sequence[Inquiry]) -> None:
    """Answered. One that was put again while it was being answered is due at once: its answer may be older than what made us ask."""
    await tx.execute(
        """
        WITH answered AS (
          SELECT * FROM unnest(%(apps)s::text[], %(environments)s::text[], %(subjects)s::text[], %(times_wanted)s::integer[])
            AS one (app_id, environment, subject, times_wanted)),
        again AS (
          UPDATE inquiry i SET wake_at = %(now)s, attempts = 0 FROM answered one
          WHERE i.app_id = one.app_id AND i.environment = one.environment AND i.subject = one.subject AND i.times_wanted > one.times_wanted)
        DELETE FROM inquiry i USING answered one
        WHERE i.app_id = one.app_id AND i.environment = one.environment AND i.subject = one.subject AND i.times_wanted = one.times_wanted
        """,
        now=tx.now,
        apps=[one.app_id for one in inquiries],
        environments=[one.environment for one in inquiries],
        subjects=[one.subject for one in inquiries],
        times_wanted=[one.times_wanted for one in inquiries],
    )


async def postpone_inquiry(tx: Tx, inquiry: Inquiry, *, error: str, wake_at: datetime | None) -> None:
    """Not answered; null parks it. One that was put again meanwhile has its attempts before it and is not parked: it stays due."""
    await tx.execute(
        """
        UPDATE inquiry SET last_error = %(error)s, wake_at = CASE WHEN times_wanted = %(times_wanted)s THEN %(wake_at)s ELSE wake_at END
        WHERE app_id = %(app_id)s AND environment = %(environment)s AND subject = %(subject)s
        """,
        app_id=inquiry.app_id,
        environment=inquiry.environment,
        subject=inquiry.subject,
        times_wanted=inquiry.times_wanted,
        error=error[:1000],
        wake_at=wake_at,
    )


# What we want done at stores --------------------------------------------------------------------------------------------------


async def want_acts(tx: Tx, acts: Sequence[tuple[AppId, Act]], wake_at: datetime) -> None:
    """Onto the list, once each: an act wanted again is the same act."""
    rows = {(app_id, act.act_id): act for app_id, act in acts}
    keys = sorted(rows)
    await tx.execute(
        """
        INSERT INTO store_act (project_id, app_id, act_id, kind, environment, subject, details, wanted_at, wake_at)
        SELECT %(project_id)s, app_id, act_id, kind, environment, subject, details, %(now)s, %(wake_at)s
        FROM jsonb_to_recordset(%(rows)s) AS new (app_id text, act_id text, kind text, environment text, subject text, details jsonb)
        ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        now=tx.now,
        wake_at=wake_at,
        rows=[
            {
                "app_id": app_id,
                "act_id": act_id,
                "kind": rows[app_id, act_id].kind,
                "environment": rows[app_id, act_id].environment,
                "subject": rows[app_id, act_id].subject,
                "details": dict(rows[app_id, act_id].details),
            }
            for app_id, act_id in keys
        ],
    )


async def claim_acts(tx: Tx, limit: int) -> list[WantedAct]:
    """Takes due ones under a lease: if we die, they wake again."""
    rows = await tx.fetch(
        """
        WITH due AS (
          SELECT project_id, app_id, act_id FROM store_act
          WHERE project_id = (SELECT %(project_id)s::text) AND wake_at <= %(now)s ORDER BY wake_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        UPDATE store_act s SET wake_at = %(lease)s, attempts = attempts + 1 FROM due
        WHERE s.project_id = due.project_id AND s.app_id = due.app_id AND s.act_id = due.act_id
        RETURNING s.app_id, s.act_id, s.kind, s.environment, s.subject, s.details, s.attempts
        """,
        project_id=tx.project_id,
        now=tx.now,
        lease=tx.now + LEASE,
        limit=limit,
    )
    return [
        WantedAct(
            app_id=row["app_id"],
            attempts=row["attempts"],
            act=Act(act_id=row["act_id"], kind=row["kind"], environment=row["environment"], subject=row["subject"], details=row["details"]),
        )
        for row in rows
    ]


async def close_act(tx: Tx, app_id: AppId, act_id: str) -> None:
    await tx.execute(
        "UPDATE store_act SET done_at = %(now)s, wake_at = NULL, last_error = NULL WHERE app_id = %(app_id)s AND act_id = %(act_id)s",
        now=tx.now,
        app_id=app_id,
        act_id=act_id,
    )


async def postpone_act(tx: Tx, app_id: AppId, act_id: str, *, error: str, wake_at: datetime | None) -> None:
    """Null parks it for a person to see."""
    await tx.execute(
        "UPDATE store_act SET last_error = %(error)s, wake_at = %(wake_at)s WHERE app_id = %(app_id)s AND act_id = %(act_id)s",
        app_id=app_id,
        act_id=act_id,
        error=error[:1000],
        wake_at=wake_at,
    )


# What was given up until a person looks -----------------------------------------------------------------------------------------


async def wake_message(tx: Tx, app_id: str, message_id: str) -> bool:
    """False where no such message is parked."""
    woken = await tx.execute(
        """
        UPDATE notification SET attempts = 0, wake_at = %(now)s
        WHERE app_id = %(app_id)s AND message_id = %(message_id)s AND wake_at IS NULL AND digested_at IS NULL
        """,
        now=tx.now,
        app_id=app_id,
        message_id=message_id,
    )
    return woken == 1


async def wake_inquiry(tx: Tx, app_id: str, environment: str, subject: str) -> bool:
    """False where no such question is parked."""
    woken = await tx.execute(
        """
        UPDATE inquiry SET attempts = 0, wake_at = %(now)s
        WHERE app_id = %(app_id)s AND environment = %(environment)s AND subject = %(subject)s AND wake_at IS NULL
        """,
        now=tx.now,
        app_id=app_id,
        environment=environment,
        subject=subject,
    )
    return woken == 1


async def wake_act(tx: Tx, app_id: str, act_id: str) -> bool:
    """False where no such act is parked."""
    woken = await tx.execute(
        """
        UPDATE store_act SET attempts = 0, wake_at = %(now)s
        WHERE app_id = %(app_id)s AND act_id = %(act_id)s AND wake_at IS NULL AND done_at IS NULL
        """,
        now=tx.now,
        app_id=app_id,
        act_id=act_id,
    )
    return woken == 1


# Payments another system of the project tells of --------------------------------------------------------------------------------


async def keep_payment(tx: Tx, app_id: AppId, environment: Environment, store_line: str, payment: Payment) -> bool:
    """False where it is known already: a payment is told once, however often it is posted."""
    count = await tx.execute(
        """
        INSERT INTO external_payment
          (project_id, app_id, environment, store_line, payment, transaction, gross, tax, commission, currency, country, paid_at)
        VALUES (%(project_id)s, %(app_id)s, %(environment)s, %(store_line)s, %(payment)s, %(transaction)s, %(gross)s, %(tax)s, %(commission)s,
          %(currency)s, %(country)s, %(paid_at)s)
        ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        app_id=app_id,
        environment=environment,
        store_line=store_line,
        payment=payment.identifier,
        transaction=payment.transaction,
        gross=payment.gross.amount,
        tax=payment.tax.amount,
        commission=payment.commission.amount,
        currency=payment.gross.currency,
        country=payment.country,
        paid_at=payment.paid_at,
    )
    return count == 1


async def payments_of(tx: Tx, app_id: AppId, environment: Environment, store_line: str, transaction: str) -> list[Payment]:
    """Of one purchase, in the order they were made."""
    rows = await tx.fetch(
        """
        SELECT payment, transaction, gross, tax, commission, currency, country, paid_at FROM external_payment
        WHERE app_id = %(app_id)s AND environment = %(environment)s AND store_line = %(store_line)s AND transaction = %(transaction)s
        ORDER BY paid_at, payment
        """,
        app_id=app_id,
        environment=environment,
        store_line=store_line,
        transaction=transaction,
    )
    return [
        Payment(
            identifier=row["payment"],
            transaction=row["transaction"],
            paid_at=row["paid_at"],
            gross=Money(amount=row["gross"], currency=row["currency"]),
            tax=Money(amount=row["tax"], currency=row["currency"]),
            commission=Money(amount=row["commission"], currency=row["currency"]),
            country=row["country"],
        )
        for row in rows
    ]


# Catching up ------------------------------------------------------------------------------------------------------------------


async def unfinished_catch_up(tx: Tx, app_id: AppId, environment: Environment) -> CatchUp | None:
    row = await tx.fetch_one(
        """
        SELECT * FROM catch_up WHERE app_id = %(app_id)s AND environment = %(environment)s AND finished_at IS NULL
        ORDER BY catch_up_id DESC LIMIT 1
        """,
        app_id=app_id,
        environment=environment,
    )
    return None if row is None else _catch_up(row)


async def begin_catch_up(tx: Tx, app_id: AppId, environment: Environment, since: datetime) -> CatchUp:
    state = CatchUp(catch_up_id=tx.new_id("catchup"), app_id=app_id, environment=environment, since=since, until=tx.now, started_at=tx.now)
    await tx.execute(
        """
        INSERT INTO catch_up (project_id, app_id, catch_up_id, environment, since, until, started_at)
        VALUES (%(project_id)s, %(app_id)s, %(id)s, %(environment)s, %(since)s, %(now)s, %(now)s)
        """,
        project_id=tx.project_id,
        app_id=app_id,
        id=state.catch_up_id,
        environment=environment,
        since=since,
        now=tx.now,
    )
    return state


async def save_catch_up(tx: Tx, state: CatchUp) -> None:
    await tx.execute(
        """
        UPDATE catch_up SET reached = %(reached)s, is_read = %(is_read)s, lines_after = %(lines_after)s,
          told = %(told)s, new = %(new)s, asked = %(asked)s, finished_at = %(finished_at)s
        WHERE app_id = %(app_id)s AND catch_up_id = %(id)s
        """,
        app_id=state.app_id,
        id=state.catch_up_id,
        reached=state.reached,
        is_read=state.is_read,
        lines_after=state.lines_after,
        told=state.told,
        new=state.new,
        asked=state.asked,
        finished_at=state.finished_at,
    )


async def lines_of_span(tx: Tx, state: CatchUp, limit: int) -> list[Row]:
    """Lines of the app that gave access, or could have, after the span began."""
    return await tx.fetch(
        """
        SELECT l.line_id, coalesce(l.newest_key, l.store_line) AS subject FROM line l
        WHERE l.project_id = (SELECT %(project_id)s::text) AND l.line_id > %(after)s AND l.app_id = %(app_id)s AND l.environment = %(environment)s
          AND EXISTS (
            SELECT FROM purchase p WHERE p.project_id = l.project_id AND p.customer_id = l.customer_id AND p.line_id = l.line_id
              AND p.kind = 'subscription' AND (NOT p.told_expired OR p.expires_at > %(since)s))
        ORDER BY l.line_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        after=state.lines_after,
        app_id=state.app_id,
        environment=state.environment,
        since=state.since,
        limit=limit,
    )


async def catch_up_report(tx: Tx, state: CatchUp) -> Report:
    row = await tx.fetch_one(
        """
        SELECT
          (SELECT count(*) FROM inquiry WHERE app_id = %(app_id)s AND environment = %(environment)s AND wake_at IS NOT NULL) AS open,
          (SELECT count(*) FROM inquiry WHERE app_id = %(app_id)s AND environment = %(environment)s AND wake_at IS NULL) AS parked,
          (SELECT count(*) FROM notification
           WHERE app_id = %(app_id)s AND received_at >= %(started_at)s AND outcome LIKE 'unreadable%') AS unreadable,
          (SELECT count(*) FROM event WHERE app_id = %(app_id)s AND recorded_at >= %(started_at)s) AS events
        """,
        app_id=state.app_id,
        environment=state.environment,
        started_at=state.started_at,
    )
    assert row is not None, "counts are always there"
    return Report(told=state.told, new=state.new, asked=state.asked, **row)


def _catch_up(row: Row) -> CatchUp:
    return CatchUp(**{part.name: row[part.name] for part in fields(CatchUp)})

"""SQL of what we ask stores. What was given up waits until a person wakes it."""

from collections.abc import Sequence
from datetime import datetime

from perennial.base.db import Tx
from perennial.base.ids import AppId
from perennial.base.value import value
from perennial.intake.model import LEASE, Question
from perennial.subscriptions.model import Environment


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


async def claim_inquiries_about(tx: Tx, app_id: AppId, questions: Sequence[Question]) -> list[Inquiry]:
    """Takes these under a lease, as whoever put them waits for the answers."""
    rows = await tx.fetch(
        """
        UPDATE inquiry i SET wake_at = %(lease)s, attempts = attempts + 1
        FROM unnest(%(environments)s::text[], %(subjects)s::text[]) AS one (environment, subject)
        WHERE i.project_id = %(project_id)s AND i.app_id = %(app_id)s AND i.environment = one.environment AND i.subject = one.subject
        RETURNING i.app_id, i.environment, i.subject, i.hint, i.attempts, i.times_wanted
        """,
        project_id=tx.project_id,
        app_id=app_id,
        lease=tx.now + LEASE,
        environments=[question.environment for question in questions],
        subjects=[question.subject for question in questions],
    )
    return [Inquiry(**row) for row in rows]


async def about_to_be_asked(tx: Tx, subjects: Sequence[tuple[AppId, Environment, str]]) -> list[tuple[AppId, Environment, str]]:
    """Those with a question that is due, or that somebody has claimed: no lease ends later."""
    rows = await tx.fetch(
        """
        SELECT i.app_id, i.environment, i.subject
        FROM unnest(%(apps)s::text[], %(environments)s::text[], %(subjects)s::text[]) AS one (app_id, environment, subject)
        JOIN inquiry i ON i.project_id = %(project_id)s
          AND i.app_id = one.app_id AND i.environment = one.environment AND i.subject = one.subject
        WHERE i.wake_at <= %(lease)s
        """,
        project_id=tx.project_id,
        lease=tx.now + LEASE,
        apps=[subject[0] for subject in subjects],
        environments=[subject[1] for subject in subjects],
        subjects=[subject[2] for subject in subjects],
    )
    return [(row["app_id"], row["environment"], row["subject"]) for row in rows]


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


async def reopen_inquiries(tx: Tx, inquiries: Sequence[Inquiry]) -> None:
    """Answered in vain, by no fault of the store's: due at once."""
    await tx.execute(
        """
        UPDATE inquiry i SET wake_at = %(now)s
        FROM unnest(%(apps)s::text[], %(environments)s::text[], %(subjects)s::text[]) AS one (app_id, environment, subject)
        WHERE i.project_id = %(project_id)s AND i.app_id = one.app_id AND i.environment = one.environment AND i.subject = one.subject
        """,
        project_id=tx.project_id,
        now=tx.now,
        apps=[one.app_id for one in inquiries],
        environments=[one.environment for one in inquiries],
        subjects=[one.subject for one in inquiries],
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

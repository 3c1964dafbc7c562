"""What must be so in every project, each as one question to the database that nothing should answer: the list behind `perennial check`.

The simulation asks the same after every step. Each is one statement, and so looks at one moment. A query gives the keys of what is
wrong. An `error` is a fault of ours. A `warning` is something for a person to look at, which may pass by itself.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, LiteralString

from perennial.base.db import Database, Tx
from perennial.base.ids import ProjectId
from perennial.base.value import value

SAMPLES = 5
LATE = timedelta(minutes=10)

Level = Literal["error", "warning"]


@value
class Invariant:
    name: str
    sentence: str  # what is so where nothing is wrong
    query: LiteralString  # the keys of what is wrong, in a column `key`; may name %(now)s and %(late)s
    level: Level = "error"


@value
class Violation:
    name: str
    sentence: str
    level: Level
    count: int
    samples: tuple[str, ...]


async def run(database: Database, project_id: ProjectId, now: datetime | None = None) -> list[Violation]:
    """Everything that is not as it must be. `now` is the project's own time where it is not given."""
    async with database.transaction(project_id) as tx:
        return await check(tx, now or tx.now)


async def check(tx: Tx, now: datetime, invariants: Sequence[Invariant] | None = None) -> list[Violation]:
    found = [await _look(tx, invariant, now) for invariant in (INVARIANTS if invariants is None else invariants)]
    return [violation for violation in found if violation is not None]


async def _look(tx: Tx, invariant: Invariant, now: datetime) -> Violation | None:
    known: dict[str, Any] = {"now": now, "late": now - LATE}
    parameters = {name: moment for name, moment in known.items() if f"%({name})s" in invariant.query}
    query: LiteralString = (
        "SELECT wrong.key, count(*) OVER () AS count FROM (" + invariant.query + ") AS wrong ORDER BY wrong.key LIMIT %(samples)s"  # noqa: S608
    )
    rows = await tx.fetch(query, samples=SAMPLES, **parameters)
    if not rows:
        return None
    return Violation(
        name=invariant.name, sentence=invariant.sentence, level=invariant.level, count=rows[0]["count"], samples=tuple(row["key"] for row in rows)
    )


INVARIANTS: tuple[Invariant, ...] = (
    # Customers ------------------------------------------------------------------------------------------------------------------
    Invariant(
        name="a-customer-answers-to-their-first-id",
        sentence="The app user id a customer came with first leads to them, unless they were merged into another.",
        query="""
            SELECT c.customer_id AS key FROM customer c
            LEFT JOIN alias a ON a.project_id = c.project_id AND a.app_user_id = c.original_app_user_id
            WHERE c.merged_into IS NULL AND a.customer_id IS DISTINCT FROM c.customer_id""",
    ),
    Invariant(
        name="the-merged-own-nothing",
        sentence="A customer merged into another has no app user ids and holds nothing: all of it is the other's.",
        query="""
            SELECT c.customer_id AS key FROM customer c WHERE c.merged_into IS NOT NULL AND (
              EXISTS (SELECT FROM alias a WHERE a.project_id = c.project_id AND a.customer_id = c.customer_id)
              OR EXISTS (SELECT FROM line l WHERE l.project_id = c.project_id AND l.customer_id = c.customer_id))""",
    ),
    Invariant(
        name="merged-into-someone",
        sentence="Who was merged was merged into a customer who is there, and who was not merged away in turn.",
        query="""
            SELECT c.customer_id AS key FROM customer c
            LEFT JOIN customer t ON t.project_id = c.project_id AND t.customer_id = c.merged_into
            WHERE c.merged_into IS NOT NULL AND (t.customer_id IS NULL OR t.merged_into IS NOT NULL)""",
    ),
    Invariant(
        name="no-document-from-the-future",
        sentence="A rendered answer is of a version that its customer and the catalog have reached.",
        query="""
            SELECT d.customer_id AS key FROM customer_document d
            JOIN customer c ON c.project_id = d.project_id AND c.customer_id = d.customer_id
            JOIN project p ON p.project_id = d.project_id
            WHERE d.version > c.version OR d.catalog_version > p.catalog_version""",
    ),
    Invariant(
        name="no-document-outlives-access",
        sentence="A rendered answer that passes for current stops doing so before any access in it ends.",
        query="""
            SELECT d.customer_id AS key FROM customer_document d
            JOIN customer c ON c.project_id = d.project_id AND c.customer_id = d.customer_id AND c.version = d.version
            JOIN project p ON p.project_id = d.project_id AND p.catalog_version = d.catalog_version
            WHERE d.fresh_until > %(now)s AND EXISTS (
              SELECT FROM purchase h WHERE h.project_id = d.project_id AND h.customer_id = d.customer_id
                AND h.expires_at > %(now)s AND h.expires_at < d.fresh_until AND h.revoked_at IS NULL AND NOT h.is_superseded
                AND NOT EXISTS (
                  SELECT FROM renewal r WHERE r.project_id = h.project_id AND r.customer_id = h.customer_id AND r.line_id = h.line_id
                    AND (r.grace_until IS NOT NULL OR r.ended_at IS NOT NULL))
                AND NOT EXISTS (
                  SELECT FROM purchase t WHERE t.project_id = h.project_id AND t.customer_id = h.customer_id AND t.line_id = h.line_id
                    AND t.purchased_at > h.purchased_at AND t.revoked_at IS NOT NULL))""",
    ),
    # What they hold -------------------------------------------------------------------------------------------------------------
    Invariant(
        name="a-line-is-where-its-directory-says",
        sentence="Every line of a store is found through the directory, and belongs to the customer named there.",
        query="""
            SELECT l.line_id AS key FROM line l
            LEFT JOIN line_directory d ON d.project_id = l.project_id AND d.store = l.store AND d.environment = l.environment
              AND d.store_line = l.store_line
            WHERE d.line_id IS DISTINCT FROM l.line_id OR d.customer_id IS DISTINCT FROM l.customer_id""",
    ),
    Invariant(
        name="the-directory-leads-somewhere",
        sentence="Every entry of the directory leads to a line that is there.",
        query="""
            SELECT d.line_id AS key FROM line_directory d
            WHERE NOT EXISTS (
              SELECT FROM line l WHERE l.project_id = d.project_id AND l.customer_id = d.customer_id AND l.line_id = d.line_id)""",
    ),
    Invariant(
        name="an-untold-end-is-on-the-agenda",
        sentence="A subscription whose latest period was not told to be over has a moment at which it will be looked at.",
        query="""
            SELECT line_id AS key FROM (
              SELECT DISTINCT ON (l.customer_id, l.line_id) l.line_id, l.wake_at, h.expires_at, h.told_expired
              FROM line l JOIN purchase h ON h.project_id = l.project_id AND h.customer_id = l.customer_id AND h.line_id = l.line_id
              ORDER BY l.customer_id, l.line_id, h.purchased_at DESC, h.transaction DESC) latest
            WHERE wake_at IS NULL AND expires_at IS NOT NULL AND NOT told_expired""",
    ),
    # What the ledger has of it --------------------------------------------------------------------------------------------------
    Invariant(
        name="the-ledger-has-what-was-booked",
        sentence="Of every store, environment and currency the ledger has exactly what purchases remember to be booked.",
        query="""
            SELECT concat_ws(' ', account, currency) AS key FROM (
              SELECT CASE environment WHEN 'sandbox' THEN 'sandbox/' ELSE '' END || ends.account AS account, currency, sum(ends.amount) AS amount
              FROM (
                SELECT l.environment, l.store, h.booked_currency AS currency, sum(h.booked_gross) AS gross, sum(h.booked_tax) AS tax,
                  sum(h.booked_commission) AS commission, sum(h.booked_refunded) AS refunded
                FROM purchase h JOIN line l ON l.project_id = h.project_id AND l.customer_id = h.customer_id AND l.line_id = h.line_id
                WHERE h.booked_currency IS NOT NULL GROUP BY 1, 2, 3) b
              CROSS JOIN LATERAL (VALUES
                ('customers/receivable', refunded - gross), ('revenue/' || store, gross - tax - commission), ('taxes', tax),
                ('stores/' || store || '/commission', commission), ('refunds/' || store, -refunded)) AS ends (account, amount)
              GROUP BY 1, 2) booked
            FULL JOIN (
              SELECT ends.account, t.currency, sum(ends.amount) AS amount FROM transfer t
              CROSS JOIN LATERAL (VALUES (t.to_account, t.amount), (t.from_account, -t.amount)) AS ends (account, amount)
              WHERE t.kind IN ('sale', 'tax', 'commission', 'refund') AND t.unit = 'money' GROUP BY 1, 2) posted USING (account, currency)
            WHERE coalesce(booked.amount, 0) <> coalesce(posted.amount, 0)""",
    ),
    Invariant(
        name="a-bounded-balance-is-the-sum-of-its-transfers",
        sentence="The balance kept of a wallet is what came in less what went out, and never below zero.",
        query="""
            SELECT account || ' ' || currency AS key FROM (
              SELECT ends.account, t.unit, t.currency, sum(ends.amount) AS amount FROM transfer t
              CROSS JOIN LATERAL (VALUES (t.to_account, t.amount), (t.from_account, -t.amount)) AS ends (account, amount)
              WHERE ends.account LIKE 'wallet/%' GROUP BY 1, 2, 3) posted
            FULL JOIN bounded_account b USING (account, unit, currency)
            WHERE coalesce(posted.amount, 0) <> coalesce(b.balance, 0) OR b.balance < 0""",
    ),
    Invariant(
        name="what-expires-is-on-the-agenda",
        sentence="What is left of a grant that expires will be cleared away, and what was cleared away is empty.",
        query="""
            SELECT g.grant_id AS key FROM currency_grant g
            JOIN bounded_account b ON b.project_id = g.project_id AND b.account = 'wallet/' || g.customer_id || '/' || g.code || '/' || g.grant_id
            WHERE g.expires_at IS NOT NULL AND g.wake_at IS NULL AND b.balance > 0""",
    ),
    # What was told of it --------------------------------------------------------------------------------------------------------
    Invariant(
        name="a-purchase-is-told-once",
        sentence="Every period marked as told has one event, told or waiting for its buyer; one not marked, or moved in quietly, has none.",
        query="""
            SELECT h.store || ' ' || h.transaction AS key FROM (
              SELECT l.project_id, l.store, l.environment, h.transaction,
                sum((h.told_purchased AND NOT h.told_quietly AND h.is_proration IS NOT TRUE)::integer) AS told
              FROM purchase h JOIN line l ON l.project_id = h.project_id AND l.customer_id = h.customer_id AND l.line_id = h.line_id
              GROUP BY 1, 2, 3, 4) h
            LEFT JOIN (
              SELECT project_id, body->>'store' AS store, lower(environment) AS environment, body->>'transaction_id' AS transaction, count(*) AS told
              FROM (SELECT project_id, type, environment, body FROM event UNION ALL SELECT project_id, type, environment, body FROM untold_event) said
              WHERE type IN ('INITIAL_PURCHASE', 'RENEWAL', 'NON_RENEWING_PURCHASE') GROUP BY 1, 2, 3, 4) e
              ON e.project_id = h.project_id AND e.store = upper(h.store) AND e.environment = h.environment AND e.transaction = h.transaction
            WHERE coalesce(e.told, 0) <> h.told""",
    ),
    Invariant(
        name="an-expiry-is-told-once",
        sentence="A period told to be over has an EXPIRATION, one more for each refund taken back; what never ran, or moved in, may have none.",
        query="""
            SELECT h.store || ' ' || h.transaction AS key FROM (
              SELECT l.project_id, l.store, l.environment, h.transaction, sum(h.told_expired::integer) AS told, sum(h.told_reversals) AS reversed,
                sum((h.told_expired AND NOT h.told_quietly AND (h.revoked_at < h.purchased_at) IS NOT TRUE
                  AND (h.is_proration AND h.expires_at <= h.purchased_at) IS NOT TRUE)::integer) AS told_aloud
              FROM purchase h JOIN line l ON l.project_id = h.project_id AND l.customer_id = h.customer_id AND l.line_id = h.line_id
              GROUP BY 1, 2, 3, 4) h
            LEFT JOIN (
              SELECT project_id, body->>'store' AS store, lower(environment) AS environment, body->>'transaction_id' AS transaction, count(*) AS told
              FROM (SELECT project_id, type, environment, body FROM event UNION ALL SELECT project_id, type, environment, body FROM untold_event) said
              WHERE type = 'EXPIRATION' GROUP BY 1, 2, 3, 4) e
              ON e.project_id = h.project_id AND e.store = upper(h.store) AND e.environment = h.environment AND e.transaction = h.transaction
            WHERE coalesce(e.told, 0) NOT BETWEEN h.told_aloud AND h.told + h.reversed""",
    ),
    Invariant(
        name="only-what-is-unclaimed-waits",
        sentence="Events wait only of lines nobody has claimed; a hidden placeholder holds each of those, and nothing else.",
        query="""
            SELECT u.line_id || ' ' || u.event_id AS key FROM untold_event u
            LEFT JOIN line l ON l.project_id = u.project_id AND l.customer_id = u.customer_id AND l.line_id = u.line_id
            WHERE l.unclaimed_since IS NULL
            UNION ALL
            SELECT l.line_id FROM line l JOIN customer c ON c.project_id = l.project_id AND c.customer_id = l.customer_id
            WHERE (l.unclaimed_since IS NOT NULL) <> (c.placeholder IS NOT DISTINCT FROM 'hidden')
            UNION ALL
            SELECT c.customer_id FROM customer c WHERE c.placeholder = 'hidden' AND NOT EXISTS (
              SELECT FROM line l WHERE l.project_id = c.project_id AND l.customer_id = c.customer_id)""",
    ),
    Invariant(
        name="events-are-numbered",
        sentence="No event has a number its customer has not reached, and all are of customers who are there.",
        query="""
            SELECT e.event_id AS key FROM event e
            LEFT JOIN customer c ON c.project_id = e.project_id AND c.customer_id = e.customer_id
            WHERE e.customer_id <> 'test' AND (e.sequence < 1 OR e.sequence > coalesce(c.event_sequence, 0))""",
    ),
    Invariant(
        name="no-number-twice",
        sentence="No two events of a customer have the same number.",
        query="""
            SELECT customer_id || ' ' || sequence AS key FROM event GROUP BY customer_id, sequence HAVING count(*) > 1""",
    ),
    Invariant(
        name="no-event-twice",
        sentence="No event is there twice, not even under two customers.",
        query="SELECT event_id AS key FROM event GROUP BY event_id HAVING count(*) > 1",
    ),
    # Who was told of it ---------------------------------------------------------------------------------------------------------
    Invariant(
        name="deliveries-lead-somewhere",
        sentence="Whatever is on its way goes to an endpoint that is there, and carries its event's number.",
        query="""
            SELECT d.endpoint_id || ' ' || d.event_id AS key FROM delivery d
            LEFT JOIN endpoint p ON p.project_id = d.project_id AND p.endpoint_id = d.endpoint_id
            LEFT JOIN event e ON e.project_id = d.project_id AND e.customer_id = d.customer_id AND e.event_id = d.event_id
            WHERE p.endpoint_id IS NULL OR e.sequence IS DISTINCT FROM d.sequence""",
    ),
    Invariant(
        name="deliveries-in-order",
        level="warning",
        sentence="Nothing was delivered while something earlier of the same customer has been due for ten minutes and was never tried.",
        query="""
            SELECT d.endpoint_id || ' ' || d.event_id AS key FROM delivery d
            WHERE d.wake_at < %(late)s AND d.attempts = 0 AND d.last_status IS NULL AND d.last_error IS NULL AND EXISTS (
              SELECT FROM delivery later WHERE later.project_id = d.project_id AND later.endpoint_id = d.endpoint_id
                AND later.customer_id = d.customer_id AND later.sequence > d.sequence AND later.delivered_at IS NOT NULL)""",
    ),
    Invariant(
        name="deliveries-parked",
        level="warning",
        sentence="No delivery was given up. Mend the receiver, then: perennial webhooks replay",
        query="""
            SELECT endpoint_id || ' ' || event_id AS key FROM delivery WHERE parked_at IS NOT NULL AND customer_id <> 'test'""",
    ),
    # What stores sent, and what is due ------------------------------------------------------------------------------------------
    Invariant(
        name="notifications-parked",
        level="warning",
        sentence="No store notification was given up unread.",
        query="SELECT app_id || ' ' || message_id AS key FROM notification WHERE digested_at IS NULL AND wake_at IS NULL",
    ),
    Invariant(
        name="questions-parked",
        level="warning",
        sentence="No question to a store was given up. Its last error says why; it is asked again when the store next speaks of it.",
        query="SELECT app_id || ' ' || subject AS key FROM inquiry WHERE wake_at IS NULL",
    ),
    Invariant(
        name="purchases-unacknowledged",
        level="warning",
        sentence="Every purchase that its store wants acknowledged is, or will be tried: Google gives others back after three days.",
        query="SELECT app_id || ' ' || subject AS key FROM store_act WHERE kind = 'acknowledge' AND done_at IS NULL AND wake_at IS NULL",
    ),
    Invariant(
        name="nothing-is-late",
        level="warning",
        sentence="Nothing on the agenda has been due for more than ten minutes. Is a worker running?",
        query="""
            SELECT lane || ' ' || kind || ' ' || wake_at AS key FROM agenda WHERE wake_at < %(late)s AND kind <> 'delivery'
            UNION ALL SELECT 'telling delivery ' || d.wake_at FROM delivery d
            JOIN endpoint p ON p.project_id = d.project_id AND p.endpoint_id = d.endpoint_id AND p.paused_at IS NULL
            WHERE d.wake_at < %(late)s""",
    ),
)

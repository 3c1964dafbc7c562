"""What is given by hand, beside whatever stores sell."""

from datetime import datetime

from perennial import catalog, customers
from perennial.base.db import Tx
from perennial.base.ids import CustomerId
from perennial.base.time import Duration
from perennial.subscriptions import db, grants
from perennial.subscriptions.actions.recording import record
from perennial.subscriptions.actions.statements import Said


async def grant(tx: Tx, customer_id: CustomerId, lookup_key: str, *, until: datetime, preset: str | None = None, is_only: bool = False) -> None:
    """Gives a customer an entitlement by hand, beside whatever stores sell. One that would end when a running one does is that one.

    `preset` only names the grant. With `is_only` nothing is granted beside a running grant of the entitlement.
    """
    await customers.lock(tx, [customer_id])
    running = grants.active_grants(await db.load_of_customers(tx, [customer_id]), lookup_key, tx.now)
    if (is_only and running) or any(grants.is_the_same(line, until) for line in running):
        return
    statement = grants.new_grant(tx.new_id("grant"), catalog.grant_name(lookup_key, preset), until, tx.now)
    await record(tx, [Said(app_id=None, statement=statement, buyer=customer_id)])


async def grant_more(tx: Tx, customer_id: CustomerId, lookup_key: str, lasts: Duration, *, grant_id: str) -> datetime:
    """Gives a customer an entitlement for a while longer, and returns until when: from now, or from the end of what was given so before.

    The same `grant_id` again is the same grant. It stands beside what was granted by hand otherwise, however near their ends are.
    """
    await customers.lock(tx, [customer_id])
    running = grants.active_grants(await db.load_of_customers(tx, [customer_id]), lookup_key, tx.now)
    until = grants.lengthened(running, grant_id.partition("_")[0], lasts, tx.now)
    statement = grants.new_grant(grant_id, catalog.grant_name(lookup_key, None), until, tx.now)
    await record(tx, [Said(app_id=None, statement=statement, buyer=customer_id)])
    return until


async def revoke_grants(tx: Tx, customer_id: CustomerId, lookup_key: str) -> None:
    """Takes back every running grant of an entitlement, now. What stores sold stays."""
    await customers.lock(tx, [customer_id])
    running = grants.active_grants(await db.load_of_customers(tx, [customer_id]), lookup_key, tx.now)
    await record(tx, [Said(app_id=None, statement=grants.revoked(line, tx.now)) for line in running])

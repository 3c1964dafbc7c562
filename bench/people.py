"""A million customers in a moment: one is made and rendered by the product, the others are copied from it by SQL."""

from datetime import timedelta

import asyncpg
from rich.progress import Progress

from bench.house import Connection, House, Shop
from perennial import customers, subscriptions
from perennial.api.v1 import documents
from perennial.base.db import Tx
from perennial.base.money import Money
from perennial.base.value import value
from perennial.subscriptions import Said
from perennial.subscriptions.model import Purchase, Renewal, Statement

FIRST = 1_000_000  # ids are numbers of seven digits, so that every body has the same length
_MODEL = 1_000_000
_CHUNK = 25_000


@value
class People:
    count: int
    body_bytes: int


def app_user_id(number: int) -> str:
    return f"user-{number}"


def customer_id(number: int) -> str:
    return f"cus_{number:026d}"


async def fill(house: House, shop: Shop, count: int, progress: Progress) -> People:
    """Customers `user-1000000` and on, each with a month's subscription and a lifetime purchase in the rendered document."""
    async with house.app.database.transaction(shop.project_id) as tx:
        body = await _model(tx, shop)
        model = await tx.fetch_one("SELECT d.*, c.version AS present FROM customer_document d JOIN customer c USING (project_id, customer_id)")
    assert model is not None and model["body"].count(_number(0)) >= 3
    connection = await house.connect()
    try:
        await _copy(connection, shop, model, count, progress)
    finally:
        await connection.close()
    return People(count=count, body_bytes=len(body))


async def _model(tx: Tx, shop: Shop) -> bytes:
    """The first of them, by the product's own verbs; its numbers are those that differ from one customer to the next."""
    name = app_user_id(_MODEL)
    ids, _ = await customers.ensure(tx, [name])
    statements = _bought(tx)
    await subscriptions.record(tx, [Said(app_id=shop.app_id, statement=one, buyer=ids[name]) for one in statements])
    made = await documents.current(tx, [ids[name]])
    return made[ids[name]].body


def _bought(tx: Tx) -> list[Statement]:
    line, lifetime = f"20000{_MODEL}000", f"20000{_MODEL}900"
    begun, month = tx.now - timedelta(days=40), timedelta(days=30)
    periods = tuple(
        Purchase(
            transaction=f"20000{_MODEL}00{number}",
            product="pro_monthly",
            kind="subscription",
            purchased_at=begun + month * number,
            expires_at=begun + month * (number + 1),
            as_of=begun + month * number,
            is_first=number == 0,
            is_renewal=number > 0,
            price=Money(amount=999, currency="USD"),
            country="US",
        )
        for number in range(2)
    )
    renewal = Renewal(as_of=begun + month, transaction=periods[-1].transaction, auto_renew=True)
    once = Purchase(
        transaction=lifetime,
        product="pro_lifetime",
        kind="non_consumable",
        purchased_at=begun,
        expires_at=None,
        as_of=begun,
        is_first=True,
        is_renewal=False,
        price=Money(amount=14999, currency="USD"),
        country="US",
    )
    return [
        Statement(store="app_store", environment="production", line=line, purchases=periods, renewals=(renewal,)),
        Statement(store="app_store", environment="production", line=lifetime, purchases=(once,)),
    ]


def _number(offset: int) -> bytes:
    return str(_MODEL + offset).encode()


async def _copy(connection: Connection, shop: Shop, model: asyncpg.Record, count: int, progress: Progress) -> None:
    await _unchecked(connection)
    task = progress.add_task(f"{count:,} customers", total=count)
    await connection.execute("DELETE FROM customer_document; DELETE FROM alias; SET synchronous_commit = off")
    for first in range(FIRST, FIRST + count, _CHUNK):
        last = min(first + _CHUNK, FIRST + count) - 1
        await connection.execute(_CUSTOMERS, shop.project_id, first, last, model["fresh_until"] - timedelta(days=70))
        await connection.execute(_ALIASES, shop.project_id, first, last, model["fresh_until"] - timedelta(days=70))
        await connection.execute(
            _DOCUMENTS,
            shop.project_id,
            first,
            last,
            model["catalog_version"],
            model["fresh_until"] + timedelta(days=365),
            model["body"].decode(),
            str(_MODEL),
        )
        progress.update(task, completed=last + 1 - FIRST)
    await connection.execute("RESET synchronous_commit; RESET session_replication_role")
    progress.update(task, description=f"{count:,} customers: vacuum")
    await connection.execute("VACUUM (ANALYZE) customer, alias, customer_document")
    await connection.execute("CHECKPOINT")
    progress.remove_task(task)


async def _unchecked(connection: Connection) -> None:
    """The rows refer to each other by the same numbers; checking each of three million references would only take time."""
    try:
        await connection.execute("SET session_replication_role = replica")
    except asyncpg.InsufficientPrivilegeError:
        return


_CUSTOMERS = """
    INSERT INTO customer (project_id, customer_id, original_app_user_id, first_seen_at, last_seen_at, version)
    SELECT $1, 'cus_' || lpad(n::text, 26, '0'), 'user-' || n, $4::timestamptz, $4::timestamptz, 1 FROM generate_series($2::integer, $3::integer) n
"""
_ALIASES = """
    INSERT INTO alias (project_id, app_user_id, customer_id, created_at)
    SELECT $1, 'user-' || n, 'cus_' || lpad(n::text, 26, '0'), $4::timestamptz FROM generate_series($2::integer, $3::integer) n
"""
_DOCUMENTS = """
    INSERT INTO customer_document (project_id, customer_id, version, catalog_version, fresh_until, body)
    SELECT $1, 'cus_' || lpad(n::text, 26, '0'), 1, $4::bigint, $5::timestamptz, convert_to(replace($6::text, $7::text, n::text), 'UTF8')
    FROM generate_series($2::integer, $3::integer) n
"""

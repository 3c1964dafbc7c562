"""SQL of rewards and of what became of watched ads."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from perennial.base.db import Row, Tx
from perennial.base.ids import AppId, CustomerId
from perennial.rewards.model import AdReward, Given, Verification, Watched


async def get_rewards(tx: Tx, app_id: str, *, reward_item: str | None = None) -> list[AdReward]:
    rows = await tx.fetch(
        """
        SELECT reward_item, currency_code, amount, lookup_key, duration FROM ad_reward
        WHERE project_id = %(project_id)s AND app_id = %(app_id)s AND (%(item)s::text IS NULL OR reward_item = %(item)s)
        ORDER BY reward_item, place
        """,
        project_id=tx.project_id,
        app_id=app_id,
        item=reward_item,
    )
    return [AdReward(**dict(row)) for row in rows]


async def replace_rewards(tx: Tx, app_id: str, rewards: Sequence[AdReward]) -> None:
    await tx.execute("DELETE FROM ad_reward WHERE app_id = %(app_id)s", app_id=app_id)
    await tx.execute(
        """
        INSERT INTO ad_reward (project_id, app_id, reward_item, place, currency_code, amount, lookup_key, duration)
        SELECT %(project_id)s, %(app_id)s, * FROM unnest(%(items)s::text[], %(places)s::integer[], %(codes)s::text[], %(amounts)s::bigint[],
          %(keys)s::text[], %(durations)s::text[])
        """,
        project_id=tx.project_id,
        app_id=app_id,
        items=[one.reward_item for one in rewards],
        places=list(range(len(rewards))),
        codes=[one.currency_code for one in rewards],
        amounts=[one.amount for one in rewards],
        keys=[one.lookup_key for one in rewards],
        durations=[one.duration for one in rewards],
    )


async def claim(tx: Tx, app_id: AppId, watched: Watched, customer_id: CustomerId | None, failure: str | None) -> bool:
    """False where it is known already: an ad is rewarded once, however often its network says so."""
    count = await tx.execute(
        """
        INSERT INTO ad_reward_verification (project_id, app_id, transaction_id, customer_id, client_transaction, ad_unit, reward_item, reward_amount,
          failure, rewards, watched_at, received_at)
        VALUES (%(project_id)s, %(app_id)s, %(transaction_id)s, %(customer_id)s, %(client_transaction)s, %(ad_unit)s, %(reward_item)s,
          %(reward_amount)s, %(failure)s, '[]', %(watched_at)s, %(now)s)
        ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        app_id=app_id,
        transaction_id=watched.transaction_id,
        customer_id=customer_id,
        client_transaction=watched.client_transaction,
        ad_unit=watched.ad_unit,
        reward_item=watched.reward_item,
        reward_amount=watched.reward_amount,
        failure=failure,
        watched_at=watched.watched_at,
        now=tx.now,
    )
    return count == 1


async def settle(tx: Tx, app_id: AppId, transaction_id: str, *, failure: str | None, given: Sequence[Given]) -> None:
    await tx.execute(
        """
        UPDATE ad_reward_verification SET failure = %(failure)s, rewards = %(rewards)s
        WHERE app_id = %(app_id)s AND transaction_id = %(transaction_id)s
        """,
        app_id=app_id,
        transaction_id=transaction_id,
        failure=failure,
        rewards=[_row(one) for one in given],
    )


async def find(tx: Tx, customer_ids: Sequence[CustomerId], client_transaction: str) -> Verification | None:
    """The first that was verified, else the first that failed."""
    row = await tx.fetch_one(
        """
        SELECT * FROM ad_reward_verification
        WHERE project_id = %(project_id)s AND client_transaction = %(client_transaction)s AND customer_id = ANY (%(ids)s::text[])
        ORDER BY failure IS NOT NULL, received_at, transaction_id LIMIT 1
        """,
        project_id=tx.project_id,
        client_transaction=client_transaction,
        ids=list(customer_ids),
    )
    return None if row is None else _verification(row)


async def delete_of_customers(tx: Tx, customer_ids: Sequence[CustomerId]) -> None:
    await tx.execute("DELETE FROM ad_reward_verification WHERE customer_id = ANY (%(ids)s::text[])", ids=list(customer_ids))


def _row(given: Given) -> dict[str, Any]:
    return {
        "type": given.type,
        "code": given.code,
        "amount": given.amount,
        "identifier": given.identifier,
        "expires_at": given.expires_at.isoformat() if given.expires_at else None,
    }


def _verification(row: Row) -> Verification:
    return Verification(
        app_id=row["app_id"],
        customer_id=row["customer_id"],
        received_at=row["received_at"],
        failure=row["failure"],
        given=tuple(
            Given(**{**one, "expires_at": datetime.fromisoformat(one["expires_at"]) if one["expires_at"] else None}) for one in row["rewards"]
        ),
        watched=Watched(
            transaction_id=row["transaction_id"],
            ad_unit=row["ad_unit"],
            reward_item=row["reward_item"],
            reward_amount=row["reward_amount"],
            watched_at=row["watched_at"],
            client_transaction=row["client_transaction"],
        ),
    )

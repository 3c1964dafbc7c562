"""SQL of redemption links."""

from collections.abc import Sequence

from perennial.base.db import Tx
from perennial.base.ids import CustomerId
from perennial.redemption.model import Redemption


async def insert(tx: Tx, redemption: Redemption) -> None:
    await tx.execute(
        """
        INSERT INTO redemption (project_id, customer_id, token_hash, email, issued_at, expires_at)
        VALUES (%(project_id)s, %(buyer)s, %(token_hash)s, %(email)s, %(issued_at)s, %(expires_at)s)
        """,
        project_id=tx.project_id,
        buyer=redemption.buyer,
        token_hash=redemption.token_hash,
        email=redemption.email,
        issued_at=redemption.issued_at,
        expires_at=redemption.expires_at,
    )


async def lock(tx: Tx, token_hash: bytes) -> Redemption | None:
    """Holds the link and its buyer, so that of two who come with it at once one is first. The buyer is who they have become by merges since."""
    row = await tx.fetch_one(
        """
        SELECT r.token_hash, coalesce(c.merged_into, c.customer_id) AS buyer, r.email, r.issued_at, r.expires_at, r.redeemed_at
        FROM redemption r JOIN customer c ON c.project_id = r.project_id AND c.customer_id = r.customer_id
        WHERE r.token_hash = %(token_hash)s FOR UPDATE
        """,
        token_hash=token_hash,
    )
    return None if row is None else Redemption(**dict(row))


async def mark_redeemed(tx: Tx, token_hash: bytes) -> None:
    await tx.execute(
        "UPDATE redemption SET redeemed_at = %(now)s WHERE token_hash = %(token_hash)s AND redeemed_at IS NULL", now=tx.now, token_hash=token_hash
    )


async def expire_others(tx: Tx, redemption: Redemption) -> None:
    """A new link makes the buyer's older ones worthless."""
    await tx.execute(
        """
        UPDATE redemption SET expires_at = %(now)s
        WHERE customer_id = %(buyer)s AND token_hash <> %(token_hash)s AND redeemed_at IS NULL AND expires_at > %(now)s
        """,
        now=tx.now,
        buyer=redemption.buyer,
        token_hash=redemption.token_hash,
    )


async def delete_of_customers(tx: Tx, customer_ids: Sequence[CustomerId]) -> None:
    await tx.execute("DELETE FROM redemption WHERE customer_id = ANY (%(ids)s::text[])", ids=list(customer_ids))

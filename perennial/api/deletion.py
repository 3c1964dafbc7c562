"""Deleting a customer: every context forgets what it knows of the person, in one transaction."""

from perennial import customer_center, customers, redemption, rewards, subscriptions, telemetry
from perennial.base.db import Tx


async def delete_customer(tx: Tx, app_user_id: str) -> str:
    """Returns the made-up id that what is left goes by. `docs/decisions/deletion.md` says what that is, and why."""
    gone = await customers.forget(tx, app_user_id)
    await subscriptions.forget_person(tx, gone.customer_ids)
    await telemetry.forget_person(tx, gone.aliases, gone.customer_ids)
    await redemption.forget_person(tx, gone.customer_ids)
    await customer_center.forget_person(tx, gone.customer_ids)
    await rewards.forget_person(tx, gone.customer_ids)
    return gone.pseudonym


async def block_customer(tx: Tx, app_user_id: str) -> str:
    """Deletes whoever has the id, and lets nobody use it again. Returns who stands for them; where there was nobody, the id."""
    is_known = app_user_id in await customers.find(tx, [app_user_id])
    pseudonym = await delete_customer(tx, app_user_id) if is_known else app_user_id
    await customers.block(tx, app_user_id)
    return pseudonym

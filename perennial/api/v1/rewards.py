"""What came of an ad somebody watched, as SDKs ask for it until they know."""

from typing import Any

from litestar import Response, get
from litestar.params import FromPath

from perennial import rewards
from perennial.api.auth import HttpRequest, app_of, caller_of
from perennial.api.v1.answers import to_json
from perennial.base.errors import Invalid
from perennial.base.time import iso
from perennial.customers.model import check_app_user_id
from perennial.rewards.model import FAILURES, LONGEST_TRANSACTION, Given, Verification


@get(
    "/v1/subscribers/{app_user_id:str}/ads/reward_verifications/{client_transaction:str}",
    operation_id="get_reward_verification",
    summary="What became of a rewarded ad",
)
async def get_reward_verification(request: HttpRequest, app_user_id: FromPath[str], client_transaction: FromPath[str]) -> Response[bytes]:
    """`pending` while the ad network has said nothing of this transaction and customer: it may have yet to, or never will, which only time tells.
    An SDK asks a few times, some seconds apart, and then gives up by itself.
    """
    caller = await caller_of(request)
    check_app_user_id(app_user_id)
    if "\x00" in client_transaction or len(client_transaction) > LONGEST_TRANSACTION:
        raise Invalid(f"a client transaction has at most {LONGEST_TRANSACTION} characters, none of them NUL", param="client_transaction", code=7226)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        found = await rewards.find(tx, app_user_id, client_transaction)
    return to_json(_shown(found))


def _shown(found: Verification | None) -> dict[str, Any]:
    if found is None:
        return {"status": "pending"}
    if found.failure is not None:
        return {"status": "failed", "failure_reason": found.failure, "message": FAILURES[found.failure]}
    first, *more = [_reward(one) for one in found.given]
    return {"status": "verified", "reward": first, "more_rewards": more}


def _reward(given: Given) -> dict[str, Any]:
    if given.type == "virtual_currency":
        return {"type": given.type, "code": given.code, "amount": given.amount}
    assert given.expires_at is not None
    return {"type": given.type, "identifier": given.identifier, "expires_at": iso(given.expires_at)}


HANDLERS = [get_reward_verification]

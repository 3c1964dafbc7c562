"""The verbs: say what ads give, reward one that was watched, and tell what came of it."""

from collections.abc import Sequence

from perennial import catalog, currencies, customers, subscriptions
from perennial.base.db import Tx
from perennial.base.errors import Invalid
from perennial.base.ids import AppId, CustomerId, told_id
from perennial.base.time import parse_duration
from perennial.currencies.model import TooMuch
from perennial.customers.model import CustomerBlocked, check_app_user_id
from perennial.rewards import db, rules
from perennial.rewards.model import AdReward, Failure, Given, Verification, Watched


async def get_rewards(tx: Tx, app_id: str) -> list[AdReward]:
    return await db.get_rewards(tx, (await catalog.require_app(tx, app_id)).app_id)


async def set_rewards(tx: Tx, app_id: str, rewards: Sequence[AdReward]) -> None:
    """In place of all there were. `Invalid` names what cannot be; what new ones give must be there."""
    rules.check(rewards)
    app = await catalog.require_app(tx, app_id)
    known = await db.get_rewards(tx, app.app_id)
    for place, reward in enumerate(rewards):
        if reward not in known and not await _is_there(tx, [reward]):
            what = f"virtual currency {reward.currency_code!r}" if reward.currency_code else f"entitlement {reward.lookup_key!r}"
            raise Invalid(f"rewards[{place}]: no {what[:100]} in this project; create it first", param=f"rewards[{place}]")
    await db.replace_rewards(tx, app.app_id, rewards)


async def give(tx: Tx, app_id: AppId, watched: Watched) -> None:
    """Rewards whoever watched an ad, once. Why somebody is not rewarded is kept for their app to be told."""
    rewards = await db.get_rewards(tx, app_id, reward_item=watched.reward_item)
    customer_id, failure = await _customer(tx, watched, is_rewarded=bool(rewards))
    if failure is None and not await _is_there(tx, rewards):
        failure = "reward_missing"
    if not await db.claim(tx, app_id, watched, customer_id, failure) or failure is not None:
        return
    assert customer_id is not None
    failure, given = await _give(tx, app_id, customer_id, watched, rewards)
    await db.settle(tx, app_id, watched.transaction_id, failure=failure, given=given)


async def find(tx: Tx, app_user_id: str, client_transaction: str) -> Verification | None:
    """None while nothing was heard of it."""
    found = await customers.find(tx, [app_user_id])
    if app_user_id not in found:
        return None
    return await db.find(tx, await customers.merged_ids(tx, found[app_user_id]), client_transaction)


async def forget_person(tx: Tx, customer_ids: Sequence[CustomerId]) -> None:
    """Which ads somebody watched. What it gave them stays with what is left of them."""
    await db.delete_of_customers(tx, customer_ids)


async def _customer(tx: Tx, watched: Watched, *, is_rewarded: bool) -> tuple[CustomerId | None, Failure | None]:
    """Who watched it. One we do not know is made only where there is something for them."""
    if watched.user_id is None:
        return None, "missing_user"
    try:
        check_app_user_id(watched.user_id)
        if not is_rewarded:
            return (await customers.find(tx, [watched.user_id])).get(watched.user_id), "no_reward"
        return (await customers.ensure(tx, [watched.user_id]))[0][watched.user_id], None
    except CustomerBlocked:
        return None, "customer_blocked"
    except Invalid:
        return None, "invalid_user"


async def _is_there(tx: Tx, rewards: Sequence[AdReward]) -> bool:
    codes = {one.currency_code for one in rewards if one.currency_code is not None}
    keys = {one.lookup_key for one in rewards if one.lookup_key is not None}
    known = {currency.code for currency in await catalog.get_currencies(tx, codes=codes)} if codes else set()
    given = {one.lookup_key for one in await catalog.get_entitlements(tx, lookup_keys=sorted(keys))} if keys else set()
    return codes <= known and keys <= given


async def _give(tx: Tx, app_id: AppId, customer_id: CustomerId, watched: Watched, rewards: Sequence[AdReward]) -> tuple[Failure | None, list[Given]]:
    """All of it, or nothing and why. What is given is known by the network's name of the ad."""
    amounts, name = rules.amounts(rewards, watched), told_id("ad_reward", app_id, watched.transaction_id)
    if amounts:
        try:
            await currencies.adjust(tx, customer_id, amounts, adjustment_id=name, reference=f"ad {watched.transaction_id}"[:255], is_told=True)
        except TooMuch:
            return "balance_limit", []
    given = [Given(type="virtual_currency", code=code, amount=amount) for code, amount in amounts.items()]
    for reward in rewards:
        if reward.lookup_key is not None and reward.duration is not None:
            lasts = parse_duration(reward.duration)
            until = await subscriptions.grant_more(tx, customer_id, reward.lookup_key, lasts, grant_id=f"ad_{name}_{reward.lookup_key}")
            given.append(Given(type="entitlement", identifier=reward.lookup_key, expires_at=until))
    return (None, given) if given else ("no_reward", [])

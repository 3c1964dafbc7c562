"""What a watched ad gives: pure."""

from collections.abc import Sequence

from perennial.base.errors import Invalid
from perennial.base.time import check_duration
from perennial.catalog.model import MOST_OF_A_CURRENCY
from perennial.rewards.model import MOST_REWARDS, AdReward, Watched

LONGEST_ITEM = 200


def check(rewards: Sequence[AdReward]) -> None:
    """Raises `Invalid`, which names the place in the list."""
    if len(rewards) > MOST_REWARDS:
        raise Invalid(f"an app has at most {MOST_REWARDS} rewards", param="rewards")
    for place, reward in enumerate(rewards):
        _check_one(reward, f"rewards[{place}]")
    kinds = [(reward.reward_item, reward.currency_code, reward.lookup_key) for reward in rewards]
    if repeated := [kind for kind in kinds if kinds.count(kind) > 1]:
        raise Invalid(f"{repeated[0][0]!r} gives {repeated[0][1] or repeated[0][2]!r} twice; say it once", param="rewards")


def _check_one(reward: AdReward, where: str) -> None:
    if not 0 < len(reward.reward_item.strip()) <= LONGEST_ITEM or "\x00" in reward.reward_item:
        raise Invalid(f"{where}.reward_item must have 1 to {LONGEST_ITEM} characters", param=f"{where}.reward_item")
    if (reward.currency_code is None) == (reward.lookup_key is None):
        raise Invalid(f"{where} gives a virtual currency or an entitlement: name one of them", param=where)
    if reward.currency_code is not None and reward.duration is not None:
        raise Invalid(f"{where}.duration is of entitlements; what a currency gives stays", param=f"{where}.duration")
    if reward.amount is not None and (reward.lookup_key is not None or not 0 < reward.amount <= MOST_OF_A_CURRENCY):
        raise Invalid(f"{where}.amount is of a currency, from 1 to {MOST_OF_A_CURRENCY}", param=f"{where}.amount")
    if reward.lookup_key is not None:
        _check_duration(reward.duration, f"{where}.duration")


def _check_duration(duration: str | None, where: str) -> None:
    if duration is None:
        raise Invalid(f"{where} is missing: for how long the entitlement is given, such as PT1H or P1D", param=where)
    check_duration(duration, where)


def amounts(rewards: Sequence[AdReward], watched: Watched) -> dict[str, int]:
    """Of each currency what the ad gives; nothing of one the ad unit says no amount of."""
    given = {one.currency_code: one.amount or watched.reward_amount for one in rewards if one.currency_code is not None}
    return {code: min(amount, MOST_OF_A_CURRENCY) for code, amount in given.items() if amount > 0}

"""Rewards of watched ads: what an app's ads give, and what became of each that an ad network says was watched."""

from perennial.rewards.actions import find, forget_person, get_rewards, give, set_rewards
from perennial.rewards.model import AdReward, Verification, Watched

__all__ = ["AdReward", "Verification", "Watched", "find", "forget_person", "get_rewards", "give", "set_rewards"]

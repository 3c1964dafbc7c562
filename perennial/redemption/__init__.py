"""Redemption links: what was bought on the web, without an account, comes into an app by a link that works once."""

from perennial.redemption.actions import Issued, forget_person, issue, redeem
from perennial.redemption.model import LIFE, Redemption, TokenExpired, TokenInvalid, TokenRedeemedByOther

__all__ = ["LIFE", "Issued", "Redemption", "TokenExpired", "TokenInvalid", "TokenRedeemedByOther", "forget_person", "issue", "redeem"]

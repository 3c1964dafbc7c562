"""Wallets: what customers have of the project's virtual currencies, what purchases give them, and what servers of the project change.

A balance is what the ledger has under `wallet/<customer>/<code>`; what expires lies in an account of its own, below that.
"""

from perennial.currencies.actions import adjust, balances, expire, join, settle
from perennial.currencies.model import Earning

__all__ = ["Earning", "adjust", "balances", "expire", "join", "settle"]

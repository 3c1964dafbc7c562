"""Who has what: transfers between accounts, and their balances. There is no other way to write to it, so it cannot be unbalanced."""

from perennial.ledger.actions import balance, history, post, under
from perennial.ledger.model import Insufficient, Posted, Transfer, Unit, money, virtual

__all__ = ["Insufficient", "Posted", "Transfer", "Unit", "balance", "history", "money", "post", "under", "virtual"]

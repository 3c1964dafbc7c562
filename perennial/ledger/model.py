"""Transfers and the accounts they go between.

An account is a path, such as `revenue/app_store`: it needs no making, and holds any number of units. Its balance in a unit is what came in
less what went out. Most accounts may go below zero, and keep no balance row, so that nobody waits for a busy one. Wallets may not: their
balance is a row, and guarded.
"""

from datetime import datetime
from typing import Literal

from perennial.base.errors import Conflict
from perennial.base.value import value

BOUNDED = "wallet/"  # accounts under this path never go below zero


class Insufficient(Conflict):
    """A bounded account would go below zero. Nothing was posted."""

    def __init__(self, account: str) -> None:
        super().__init__(f"the balance of {account} is not enough")
        self.account = account


@value
class Unit:
    """What is counted: minor units of a currency of ISO 4217, or whole units of a virtual currency. The same code may stand for both."""

    kind: Literal["money", "virtual"]
    code: str


def money(currency: str) -> Unit:
    return Unit(kind="money", code=currency)


def virtual(code: str) -> Unit:
    return Unit(kind="virtual", code=code)


@value
class Transfer:
    """An amount that goes from one account to another. `key` says of what it is: the same key is the same transfer, however often posted."""

    key: str
    from_account: str
    to_account: str
    amount: int
    unit: Unit
    kind: str  # what for: `sale`, `refund`, `grant`
    happened_at: datetime  # in the world
    reference: str | None = None  # what it is about, for people

    def __post_init__(self) -> None:
        assert self.amount > 0, "a transfer is of a positive amount; the other way round is the other way round"
        assert self.from_account != self.to_account, "a transfer has two ends"


@value
class Posted:
    """A transfer of the ledger. `transfer_id` grows in the order of recording."""

    transfer_id: str
    transfer: Transfer
    recorded_at: datetime


def is_bounded(account: str) -> bool:
    return account.startswith(BOUNDED)

"""What transfers do to balances. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

from perennial.ledger.model import Transfer, Unit, is_bounded

Holding = tuple[str, Unit]  # an account, and one unit of it


def changes(transfers: Iterable[Transfer]) -> dict[Holding, int]:
    """By how much each holding grows or shrinks. Over all holdings of a unit they sum to nothing."""
    grown: Counter[Holding] = Counter()
    for transfer in transfers:
        grown[transfer.from_account, transfer.unit] -= transfer.amount
        grown[transfer.to_account, transfer.unit] += transfer.amount
    return {holding: amount for holding, amount in grown.items() if amount}


def bounded_changes(transfers: Iterable[Transfer]) -> list[tuple[Holding, int]]:
    """Of those with a bound alone, in the one order in which everybody takes them."""
    of_bounded = (one for one in transfers if is_bounded(one.from_account) or is_bounded(one.to_account))
    bounded = [(holding, amount) for holding, amount in changes(of_bounded).items() if is_bounded(holding[0])]
    return sorted(bounded, key=lambda change: (change[0][0], change[0][1].kind, change[0][1].code))


def clash(transfers: Sequence[Transfer]) -> str | None:
    """A key that stands for two different transfers."""
    by_key: dict[str, Transfer] = {}
    for transfer in transfers:
        known = by_key.setdefault(transfer.key, transfer)
        if known is not transfer and not is_same(known, transfer):
            return transfer.key
    return None


def is_same(left: Transfer, right: Transfer) -> bool:
    """Whether they move the same: when and why it was said to have happened may be told in different words."""
    return (left.key, left.from_account, left.to_account, left.amount, left.unit) == (
        right.key,
        right.from_account,
        right.to_account,
        right.amount,
        right.unit,
    )

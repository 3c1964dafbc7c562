"""The verbs of the ledger: post transfers, read balances and histories."""

from collections.abc import Sequence

from perennial.base.db import Tx
from perennial.ledger import db, rules
from perennial.ledger.model import Insufficient, Posted, Transfer, Unit, is_bounded

Balances = dict[str, dict[Unit, int]]  # by account


async def post(tx: Tx, transfers: Sequence[Transfer]) -> set[str]:
    """Writes transfers down, each key once, and returns the keys that were new. Post last: bounded accounts are held from here on.

    Raises `Insufficient` where a bounded account would go below zero by all of them together; then the transaction must not be committed.
    """
    if not transfers:
        return set()
    assert rules.clash(transfers) is None, f"two different transfers have the key {rules.clash(transfers)}"
    by_key = {transfer.key: transfer for transfer in transfers}
    new = await db.insert(tx, list(by_key.values()))
    if old := [key for key in by_key if key not in new]:
        await _check_same(tx, [by_key[key] for key in old])
    await _change(tx, [by_key[key] for key in by_key if key in new])
    return new


async def _check_same(tx: Tx, transfers: Sequence[Transfer]) -> None:
    """A key stands for one transfer for ever: another under the same key would be lost in silence."""
    known = {one.key: one for one in await db.find(tx, [transfer.key for transfer in transfers])}
    for transfer in transfers:
        assert rules.is_same(transfer, known[transfer.key]), f"the ledger has another transfer under the key {transfer.key}"


async def _change(tx: Tx, transfers: Sequence[Transfer]) -> None:
    changes = rules.bounded_changes(transfers)
    if not changes:
        return
    held = await db.hold(tx, [holding for holding, _ in changes])
    balances = {holding: held[holding] + amount for holding, amount in changes}
    if overdrawn := [account for (account, _), balance in balances.items() if balance < 0]:
        raise Insufficient(overdrawn[0])
    await db.save(tx, balances)


async def balance(tx: Tx, accounts: Sequence[str]) -> Balances:
    """What is on these accounts, by unit; nothing where nothing ever was."""
    bounded = sorted({account for account in accounts if is_bounded(account)})
    others = sorted({account for account in accounts if not is_bounded(account)})
    found = [*(await db.kept(tx, bounded) if bounded else ()), *(await db.sums(tx, others) if others else ())]
    return _by_account(found)


async def under(tx: Tx, paths: Sequence[str]) -> Balances:
    """What is on the bounded accounts under these paths, such as `wallet/cus_1/`."""
    assert all(is_bounded(path) and path.endswith("/") for path in paths), "only bounded accounts are found by their path"
    return _by_account(await db.kept_under(tx, sorted(set(paths)))) if paths else {}


def _by_account(found: Sequence[tuple[rules.Holding, int]]) -> Balances:
    balances: Balances = {}
    for (account, unit), amount in found:
        balances.setdefault(account, {})[unit] = amount
    return balances


async def history(tx: Tx, account: str, *, before: str | None = None, limit: int = 100) -> list[Posted]:
    """An account's transfers, the newest first: those before the transfer `before`."""
    return await db.history(tx, account, before=before, limit=limit)

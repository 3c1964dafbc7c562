"""What comes into wallets and what leaves them: pure.

Sources of the rules: the vendor's documentation of virtual currencies. A customer has from 0 to two billion of a currency. What expires soonest
goes first. A refund takes back of a subscription's grant the part of the price that was refunded, rounded up, and all of a one-time purchase's,
but never more than there is.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction

from perennial.base.ids import CustomerId, told_id
from perennial.base.time import FOREVER
from perennial.base.value import replace
from perennial.catalog.model import MOST_OF_A_CURRENCY, GivenByProduct
from perennial.currencies.model import Earning, Grant, NotEnough, TooMuch, Wallet
from perennial.ledger.model import Transfer, virtual

# Accounts ---------------------------------------------------------------------------------------------------------------------


def wallet_path(customer_id: CustomerId) -> str:
    return f"wallet/{customer_id}/"


def account_of(customer_id: CustomerId, code: str, grant: Grant | None = None) -> str:
    """Where a currency lies. A grant that expires has an account of its own, so that it goes first and goes alone."""
    return f"wallet/{customer_id}/{code}" + (f"/{grant.grant_id}" if grant is not None and grant.expires_at is not None else "")


def code_of(account: str) -> str:
    return account.split("/")[2]


def issued(code: str) -> str:
    return f"issued/{code}"


def spent(code: str) -> str:
    return f"spent/{code}"


def expired(code: str) -> str:
    return f"expired/{code}"


# Wallets ----------------------------------------------------------------------------------------------------------------------


def totals(wallet: Wallet, now: datetime) -> dict[str, int]:
    """Balances by code. What has expired does not count, whether or not it was cleared away yet."""
    found: Counter[str] = Counter()
    for account, balance in wallet.balances.items():
        found[code_of(account)] += balance if wallet.ends.get(account, FOREVER) > now else 0
    return dict(found)


def room(wallet: Wallet, code: str, now: datetime) -> int:
    return max(0, MOST_OF_A_CURRENCY - totals(wallet, now).get(code, 0))


def take(wallet: Wallet, code: str, amount: int, now: datetime, *, first: str | None = None) -> list[tuple[str, int]]:
    """From which accounts how much is taken: from `first`, then what expires soonest. Less than `amount` where there is not so much."""
    accounts = [account for account in wallet.balances if code_of(account) == code and wallet.ends.get(account, FOREVER) > now]
    pieces = []
    for account in sorted(accounts, key=lambda account: (account != first, wallet.ends.get(account, FOREVER), account)):
        if piece := min(amount, wallet.balances[account]):
            pieces.append((account, piece))
            amount -= piece
    return pieces


def moved(wallet: Wallet, transfers: Sequence[Transfer], grant: Grant | None = None) -> Wallet:
    """The wallet after these transfers, one of which may have made a grant's own account."""
    balances: Counter[str] = Counter(wallet.balances)
    for transfer in transfers:
        for account, change in ((transfer.from_account, -transfer.amount), (transfer.to_account, transfer.amount)):
            if account.startswith(wallet_path(wallet.customer_id)):
                balances[account] += change
    ends = dict(wallet.ends)
    if grant is not None and grant.expires_at is not None:
        ends[account_of(grant.customer_id, grant.code, grant)] = grant.expires_at
    return replace(wallet, balances=dict(balances), ends=ends)


# Purchases --------------------------------------------------------------------------------------------------------------------


def wanted(earning: Earning, given: Sequence[GivenByProduct], known: Mapping[str, Grant], now: datetime) -> list[Grant]:
    """The purchase's grants that are not as they should be, as they should be. `known` are those there are, by code."""
    there = [_as_it_should_be(grant, earning) for grant in known.values()]
    new = [grant for one in given if one.code not in known and (grant := _new_grant(earning, one, now)) is not None]
    return [*(grant for grant in there if grant != known[grant.code]), *new]


def _as_it_should_be(grant: Grant, earning: Earning) -> Grant:
    grant = replace(grant, due_back=due_back(grant.amount, earning))
    if grant.wake_at is None or earning.ends_at is None:
        return grant
    return replace(grant, expires_at=earning.ends_at, wake_at=earning.ends_at)


def _new_grant(earning: Earning, given: GivenByProduct, now: datetime) -> Grant | None:
    """None where it gives nothing: nothing was charged, it was bought before the product gave this currency, or nothing is left of what it gave."""
    amount = min(MOST_OF_A_CURRENCY, covered((given.trial_amount if earning.is_trial else given.amount) * earning.quantity, earning))
    expires_at = earning.ends_at if given.expire_at_cycle_end else None
    back = due_back(amount, earning)
    if earning.purchased_at < given.since or back >= amount or (expires_at is not None and expires_at <= now):
        return None
    origin = earning.origin
    return Grant(
        grant_id=told_id("currency_grant", origin.store, origin.environment, origin.transaction, given.code),
        customer_id=earning.customer_id,
        origin=origin,
        code=given.code,
        amount=amount,
        due_back=back,
        expires_at=expires_at,
        wake_at=expires_at,
    )


def covered(amount: int, earning: Earning) -> int:
    """What the charge covers of what a whole period gives, rounded half to even."""
    return round(Fraction(amount * earning.charged_ppm, 1_000_000))


def due_back(amount: int, earning: Earning) -> int:
    """What refunds ask back of what was given."""
    if not earning.refunded_ppm:
        return 0
    return -(-amount * earning.refunded_ppm // 1_000_000) if earning.is_subscription else amount


def give(wallet: Wallet, grant: Grant, now: datetime, happened_at: datetime) -> tuple[Grant, list[Transfer]]:
    """A new grant, as far as there is room for it."""
    amount = min(grant.amount, room(wallet, grant.code, now))
    back = min(grant.due_back, amount)
    grant = replace(grant, amount=amount, due_back=back, taken_back=back)
    account = account_of(grant.customer_id, grant.code, grant)
    return grant, _transfers("grant", grant, [(issued(grant.code), account, amount - back)], happened_at)


def change(wallet: Wallet, before: Grant, grant: Grant, now: datetime) -> tuple[Grant, list[Transfer]]:
    """A grant after a refund, or after a refund that was taken back: then what was taken comes back, unless it would have expired by now."""
    more = grant.due_back - before.due_back
    if not more:
        return grant, []
    account, sink = account_of(before.customer_id, before.code, before), issued(before.code)
    if more > 0:
        pieces = take(wallet, grant.code, more, now, first=account)
        kind, taken_back = "take_back", before.taken_back + sum(piece for _, piece in pieces)
        ends = [(source, sink, piece) for source, piece in pieces]
    else:
        kind, taken_back = "give_back", min(before.taken_back, grant.due_back)
        is_over = grant.expires_at is not None and grant.expires_at <= now
        ends = [(sink, account, 0 if is_over else min(before.taken_back - taken_back, room(wallet, grant.code, now)))]
    return replace(grant, taken_back=taken_back, reckonings=before.reckonings + 1), _transfers(kind, before, ends, now)


def expire(grant: Grant, balance: int, now: datetime) -> list[Transfer]:
    """What is left of a grant goes."""
    return _transfers("expiry", grant, [(account_of(grant.customer_id, grant.code, grant), expired(grant.code), balance)], now)


def _transfers(kind: str, grant: Grant, ends: Sequence[tuple[str, str, int]], happened_at: datetime) -> list[Transfer]:
    return [
        Transfer(
            key=told_id(kind, grant.grant_id, str(grant.reckonings), source, target),
            from_account=source,
            to_account=target,
            amount=amount,
            unit=virtual(grant.code),
            kind=kind,
            happened_at=happened_at,
            reference=grant.origin.transaction,
        )
        for source, target, amount in ends
        if amount
    ]


# Adjustments ------------------------------------------------------------------------------------------------------------------


def adjust(wallet: Wallet, adjustments: Mapping[str, int], *, adjustment_id: str, reference: str | None, now: datetime) -> list[Transfer]:
    """All of it or nothing: `NotEnough` or `TooMuch` where one currency cannot."""
    have = totals(wallet, now)
    transfers = []
    for code, amount in sorted(adjustments.items()):
        after = have.get(code, 0) + amount
        if amount < 0 and after < 0:
            raise NotEnough(f"the customer has {have.get(code, 0)} {code}, which is not enough to take {-amount}", param="adjustments")
        if amount > 0 and after > MOST_OF_A_CURRENCY:
            raise TooMuch(f"the customer would have {after} {code}, and nobody may have more than {MOST_OF_A_CURRENCY}", param="adjustments")
        pieces = [(issued(code), account_of(wallet.customer_id, code), amount)] if amount > 0 else []
        pieces += [(account, spent(code), piece) for account, piece in take(wallet, code, max(0, -amount), now)]
        transfers += [
            Transfer(
                key=told_id("adjustment", wallet.customer_id, adjustment_id, source, target),
                from_account=source,
                to_account=target,
                amount=piece,
                unit=virtual(code),
                kind="adjustment",
                happened_at=now,
                reference=reference,
            )
            for source, target, piece in pieces
        ]
    return transfers


def join(source: Wallet, target: CustomerId, now: datetime) -> list[Transfer]:
    """Everything of one customer becomes another's, however much that is together."""
    here, there = wallet_path(source.customer_id), wallet_path(target)
    return [
        Transfer(
            key=told_id("join", account, there),
            from_account=account,
            to_account=there + account.removeprefix(here),
            amount=balance,
            unit=virtual(code_of(account)),
            kind="join",
            happened_at=now,
        )
        for account, balance in sorted(source.balances.items())
        if balance
    ]

"""The verbs of wallets: settle what purchases give, let it expire, adjust by hand, join.

Customers are held before their wallets, by everyone. What is already done is known by the ledger's keys, which are made of what it is of.
"""

from collections.abc import Iterable, Mapping, Sequence

from perennial import catalog, customers, events, ledger
from perennial.base.db import Tx
from perennial.base.errors import KeyReused
from perennial.base.ids import CustomerId, told_id
from perennial.base.value import replace
from perennial.catalog.model import GivenByProduct, Missing, VirtualCurrency
from perennial.currencies import db, rules, wire
from perennial.currencies.db import Bought
from perennial.currencies.model import Adjustment, Earning, Grant, Movement, Wallet
from perennial.events.model import NewEvent
from perennial.ledger.model import Transfer, virtual


async def balances(tx: Tx, customer_ids: Iterable[CustomerId]) -> dict[CustomerId, dict[str, int]]:
    """What customers have, by code. A code that is missing is a balance of nothing."""
    return {customer_id: rules.totals(wallet, tx.now) for customer_id, wallet in (await _wallets(tx, customer_ids)).items()}


async def _wallets(tx: Tx, customer_ids: Iterable[CustomerId]) -> dict[CustomerId, Wallet]:
    """In two statements, whatever their number."""
    ids = sorted(set(customer_ids))
    found = await ledger.under(tx, [rules.wallet_path(customer_id) for customer_id in ids])
    ends = {rules.account_of(grant.customer_id, grant.code, grant): grant.expires_at for grant in await db.expiring(tx, ids) if grant.expires_at}
    return {
        customer_id: Wallet(
            customer_id=customer_id,
            balances={account: held[virtual(rules.code_of(account))] for account, held in found.items() if account.startswith(path)},
            ends={account: end for account, end in ends.items() if account.startswith(path)},
        )
        for customer_id in ids
        for path in (rules.wallet_path(customer_id),)
    }


# Purchases --------------------------------------------------------------------------------------------------------------------


async def settle(tx: Tx, earnings: Iterable[Earning], *, quiet: bool = False) -> None:
    """Gives what purchases give, once each, and takes back what refunds ask for. Safe to run at any moment, with anything known again.
    `quiet`: nobody is told of it.

    The customers are held by whoever recorded the purchases. One statement where the project has no virtual currencies, and so many in all,
    whatever the number of purchases.
    """
    if not await db.is_any(tx):
        return
    earnings = list(earnings)
    given = await _given(tx, earnings)
    known = await db.find_grants(tx, [_bought(earning) for earning in earnings])
    unsettled = []
    for earning in earnings:
        origin = earning.origin
        if grants := rules.wanted(earning, given.get((origin.app_id, origin.product), []), known.get(_bought(earning), {}), tx.now):
            unsettled.append((earning, grants))
    if unsettled:
        await _settle(tx, unsettled, known, quiet=quiet)


async def _given(tx: Tx, earnings: Sequence[Earning]) -> dict[tuple[str | None, str], list[GivenByProduct]]:
    """What their products give, by app and the store's word for the product."""
    products = await catalog.find_products(tx, {(earning.origin.app_id, earning.origin.product) for earning in earnings})
    given = await catalog.given_by(tx, [product.product_id for product in products.values()]) if products else {}
    return {pair: given.get(product.product_id, []) for pair, product in products.items()}


def _bought(earning: Earning) -> Bought:
    return (earning.origin.store, earning.origin.environment, earning.origin.transaction)


async def _settle(tx: Tx, unsettled: Sequence[tuple[Earning, list[Grant]]], known: Mapping[Bought, Mapping[str, Grant]], *, quiet: bool) -> None:
    holders = {grant.customer_id for _, grants in unsettled for grant in grants}
    await customers.lock(tx, sorted(holders))
    wallets = await _wallets(tx, holders)
    saved: list[Grant] = []
    posted: list[Transfer] = []
    movements: list[Movement] = []
    for earning, grants in sorted(unsettled, key=lambda pair: pair[0].purchased_at):
        before = known.get(_bought(earning), {})
        for customer_id in sorted({grant.customer_id for grant in grants}):
            transfers: list[Transfer] = []
            for grant in grants:
                if grant.customer_id == customer_id:
                    reckoned, moves = _reckon(wallets[customer_id], before.get(grant.code), grant, earning, tx)
                    wallets[customer_id] = rules.moved(wallets[customer_id], moves, reckoned)
                    saved.append(reckoned)
                    transfers += moves
            posted += transfers
            movements += _movements(customer_id, transfers, earning)
    await db.save_grants(tx, saved)
    await ledger.post(tx, posted)
    await _tell(tx, [] if quiet else movements)


def _reckon(wallet: Wallet, before: Grant | None, grant: Grant, earning: Earning, tx: Tx) -> tuple[Grant, list[Transfer]]:
    return rules.give(wallet, grant, tx.now, earning.purchased_at) if before is None else rules.change(wallet, before, grant, tx.now)


def _movements(customer_id: CustomerId, transfers: Sequence[Transfer], earning: Earning) -> list[Movement]:
    """One thing to tell of all that a purchase gave or lost at once; nothing where nothing moved."""
    if not transfers:
        return []
    return [
        Movement(
            key="|".join(transfer.key for transfer in transfers),
            customer_id=customer_id,
            adjustments=_adjustments(customer_id, transfers),
            source="in_app_purchase",
            happened_at=max(transfer.happened_at for transfer in transfers),
            origin=earning.origin,
        )
    ]


def _adjustments(customer_id: CustomerId, transfers: Sequence[Transfer]) -> tuple[tuple[str, int], ...]:
    """By how much each currency of the customer changed."""
    changes: dict[str, int] = {}
    for transfer in transfers:
        is_gain = transfer.to_account.startswith(rules.wallet_path(customer_id))
        changes[transfer.unit.code] = changes.get(transfer.unit.code, 0) + (transfer.amount if is_gain else -transfer.amount)
    return tuple(sorted(changes.items()))


async def expire(tx: Tx, limit: int) -> int:
    """Clears away what is left of grants whose time has come, and returns how many. Late does no harm: what is over does not count meanwhile."""
    due = await db.due(tx, limit)
    free = await customers.lock_free(tx, [grant.customer_id for grant in due])
    over = [grant for grant in await db.expiring(tx, free) if grant.wake_at is not None and grant.wake_at <= tx.now] if free else []
    if not over:
        return 0
    accounts = {grant.grant_id: rules.account_of(grant.customer_id, grant.code, grant) for grant in over}
    left = await ledger.balance(tx, list(accounts.values()))
    moves = {grant.grant_id: rules.expire(grant, left.get(accounts[grant.grant_id], {}).get(virtual(grant.code), 0), tx.now) for grant in over}
    await db.save_grants(tx, [replace(grant, wake_at=None) for grant in over])
    await ledger.post(tx, [transfer for transfers in moves.values() for transfer in transfers])
    await _tell(tx, [_expiry(grant, moves[grant.grant_id]) for grant in over if moves[grant.grant_id]])
    return len(over)


def _expiry(grant: Grant, transfers: Sequence[Transfer]) -> Movement:
    assert grant.expires_at is not None
    return Movement(
        key="|".join(transfer.key for transfer in transfers),
        customer_id=grant.customer_id,
        adjustments=_adjustments(grant.customer_id, transfers),
        source="in_app_purchase",
        happened_at=grant.expires_at,
        origin=grant.origin,
    )


# By hand ----------------------------------------------------------------------------------------------------------------------


async def adjust(
    tx: Tx, customer_id: CustomerId, adjustments: Mapping[str, int], *, adjustment_id: str, reference: str | None = None, is_told: bool
) -> dict[str, int]:
    """Adds and takes, all of it or nothing, and returns the balances of the currencies named. `is_told` says whether an event tells it.

    The same `adjustment_id` again changes nothing and returns what it returned the first time; with anything else in it, it is `KeyReused`.
    """
    await customers.lock(tx, [customer_id])
    asked = Adjustment(
        adjustment_id=adjustment_id, customer_id=customer_id, adjustments=dict(adjustments), balances={}, is_told=is_told, reference=reference
    )
    if (done := await db.find_adjustment(tx, customer_id, adjustment_id)) is not None:
        if replace(done, balances={}) != asked:
            raise KeyReused("this Idempotency-Key was used for another adjustment; send a new key with a new request")
        return dict(done.balances)
    await _require_currencies(tx, adjustments)
    wallet = (await _wallets(tx, [customer_id]))[customer_id]
    transfers = rules.adjust(wallet, adjustments, adjustment_id=adjustment_id, reference=reference, now=tx.now)
    after = rules.totals(rules.moved(wallet, transfers), tx.now)
    answer = {code: after.get(code, 0) for code in sorted(adjustments)}
    await db.insert_adjustment(tx, replace(asked, balances=answer))
    await ledger.post(tx, transfers)
    if is_told and transfers:
        await _tell(tx, [_adjustment(asked, transfers, tx)])
    return answer


async def _require_currencies(tx: Tx, codes: Iterable[str]) -> None:
    known = {currency.code for currency in await catalog.get_currencies(tx, codes=codes)}
    if missing := sorted(set(codes) - known):
        raise Missing(f"no virtual currency {missing[0][:80]!r} in this project", param="adjustments")


def _adjustment(asked: Adjustment, transfers: Sequence[Transfer], tx: Tx) -> Movement:
    return Movement(
        key=asked.adjustment_id,
        customer_id=asked.customer_id,
        adjustments=_adjustments(asked.customer_id, transfers),
        source="admin_api",
        happened_at=tx.now,
        reference=asked.reference,
    )


async def join(tx: Tx, source: CustomerId, target: CustomerId) -> None:
    """Two customers turn out to be one: what `source` has is `target`'s from now on. Both must be held. Nothing is told: nobody gained or lost."""
    wallet = (await _wallets(tx, [source]))[source]
    await db.move_grants(tx, source, target)
    await ledger.post(tx, rules.join(wallet, target, tx.now))


# Telling ----------------------------------------------------------------------------------------------------------------------


async def _tell(tx: Tx, movements: Sequence[Movement]) -> None:
    if not movements:
        return
    counts: dict[CustomerId, int] = {}
    for movement in movements:
        counts[movement.customer_id] = counts.get(movement.customer_id, 0) + 1
    numbers = await customers.bump(tx, counts)
    people = await customers.load(tx, list(counts))
    currencies = await _currencies(tx, movements)
    origins = [movement.origin for movement in movements if movement.origin is not None]
    products = await catalog.find_products(tx, {(origin.app_id, origin.product) for origin in origins})
    new = []
    for movement in sorted(movements, key=lambda one: one.happened_at):
        origin = movement.origin
        numbers[movement.customer_id] += 1
        event_id = told_id(tx.project_id, "VIRTUAL_CURRENCY_TRANSACTION", movement.customer_id, movement.key)
        body = wire.event_body(
            movement,
            people[movement.customer_id],
            currencies,
            products.get((origin.app_id, origin.product)) if origin is not None else None,
            event_id=event_id,
            sequence=numbers[movement.customer_id],
            now=tx.now,
        )
        new.append(
            NewEvent(
                event_id=event_id,
                customer_id=movement.customer_id,
                sequence=numbers[movement.customer_id],
                type="VIRTUAL_CURRENCY_TRANSACTION",
                app_id=origin.app_id if origin is not None else None,
                environment=origin.environment if origin is not None else "production",
                happened_at=movement.happened_at,
                body=body,
            )
        )
    await events.append(tx, new)


async def _currencies(tx: Tx, movements: Sequence[Movement]) -> dict[str, VirtualCurrency]:
    codes = {code for movement in movements for code, _ in movement.adjustments}
    return {currency.code: currency for currency in await catalog.get_currencies(tx, codes=codes)}

"""What a store says is read together with what we hold, outside any transaction. It counts beside the line it was read beside, and no other.

A token that another took the place of says other things once we know that other: read beside an older line, it would take them back.
"""

from collections.abc import Mapping, Sequence

from perennial import catalog, subscriptions
from perennial.base.db import Tx
from perennial.base.ids import AppId, LineId
from perennial.base.secrets import Vault
from perennial.base.value import value
from perennial.catalog.model import Product
from perennial.intake import db
from perennial.intake.model import STORE_USER, Posted, Reading, StoreApp
from perennial.subscriptions import Key
from perennial.subscriptions.model import Environment, Line, Store

MOST_PRODUCTS = 1000  # of an app's catalog, handed to a provider


@value
class Heard:
    """What a store said about a subject that goes by one of the keys in `about`, read beside the line that we held of it then."""

    reading: Reading
    about: tuple[Key, ...]
    beside: Line | None

    @property
    def keys(self) -> set[Key]:
        """Of every line it speaks of, known or not."""
        return {(one.store, one.environment, key) for one in self.reading.statements for key in (one.line, *one.also)}


async def beside(tx: Tx, vault: Vault, subjects: Sequence[tuple[AppId, Environment, str]]) -> list[tuple[StoreApp, Posted]]:
    """For each subject its app, the line it is, and the products it may be about: those of the line, else all of the app."""
    if not subjects:
        return []
    apps = await db.store_apps(tx, vault, sorted({app_id for app_id, _, _ in subjects}))
    lines = await subscriptions.find_by_keys(
        tx, [key for app_id, environment, subject in subjects for key in either(apps[app_id].store, environment, subject)]
    )
    known = await catalog.find_products(tx, [pair for line in lines.values() for pair in _products_of(line)])
    of_app: dict[AppId, tuple[Product, ...]] = {}
    beside: list[tuple[StoreApp, Posted]] = []
    for app_id, environment, subject in subjects:
        line = first(lines, either(apps[app_id].store, environment, subject))
        if line is None and app_id not in of_app:
            of_app[app_id] = tuple(await catalog.get_products(tx, app_id=app_id, limit=MOST_PRODUCTS))
        products = of_app[app_id] if line is None else tuple(known[pair] for pair in _products_of(line) if pair in known)
        store_user = vault.unseal(line.store_user, STORE_USER).reveal() if line is not None and line.store_user else None
        beside.append((apps[app_id], Posted(token=subject, products=products, line=line, store_user_id=store_user)))
    return beside


async def current(tx: Tx, heard: Sequence[Heard]) -> list[bool]:
    """Whether each has its line as it was when it was read. What was overtaken, by somebody else or by one before it here, must be asked anew.

    Holds every line they speak of until the transaction ends.
    """
    await subscriptions.hold(tx, {key for one in heard for key in (*one.keys, *one.about)})
    lines = await subscriptions.find_by_keys(tx, [key for one in heard for key in one.about])
    are_current, spoken_of = list[bool](), set[Key | LineId]()
    for one in heard:
        line = first(lines, one.about)
        about: set[Key | LineId] = {*one.keys, *([line.line_id] if line is not None else [])}
        is_current = _is_as_it_was(one.beside, line) and not about & spoken_of
        are_current.append(is_current)
        if is_current:
            spoken_of |= about
    return are_current


def _is_as_it_was(then: Line | None, now: Line | None) -> bool:
    if then is None or now is None:
        return then is now
    purchases = [[held.purchase for held in line.held] for line in (then, now)]
    return (then.line_id, then.subject, then.renewals) == (now.line_id, now.subject, now.renewals) and purchases[0] == purchases[1]


def first(lines: Mapping[Key, Line], keys: Sequence[Key]) -> Line | None:
    return next((lines[key] for key in keys if key in lines), None)


def either(store: Store, environment: Environment, subject: str) -> tuple[Key, ...]:
    """Where a subject is looked for: a question may name the wrong environment, and a posted token names none."""
    other: Environment = "sandbox" if environment == "production" else "production"
    return ((store, environment, subject), (store, other, subject))


def _products_of(line: Line) -> list[tuple[AppId, str]]:
    return [] if line.app_id is None else sorted({(line.app_id, held.purchase.product) for held in line.held})

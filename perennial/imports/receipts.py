"""Moving in by proofs of purchase: each is read by its store, so what comes of it is the store's own word.

A CSV file with `app_user_id` and `token` (a receipt, a signed transaction, a purchase token, a subscription's id: what the store's SDK would post),
`product_id` where the store needs it to look it up (Play), `store_user_id` (Amazon), and `store` or `app_id` where it is not said once for all.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from perennial import intake
from perennial.base.errors import Invalid, Unavailable
from perennial.base.ids import AppId
from perennial.base.time import perf_counter
from perennial.base.value import replace
from perennial.catalog.model import App
from perennial.imports import files
from perennial.imports.actions import House
from perennial.imports.model import Batch, Person, Place, Refused, Shelf, Told, buyer_of
from perennial.intake.model import Reading

NEEDS = ("app_user_id", "token")
BATCH = 50
_AT_ONCE = 4
_ATTEMPTS = 5

Cells = Mapping[str, str]
Found = tuple[Person, list[Told], tuple[AppId, Reading]]


class Pace:
    """So many a second, and no more."""

    def __init__(self, rate: float) -> None:
        self._step = 1 / rate
        self._next = 0.0

    async def turn(self) -> None:
        now = perf_counter()
        self._next = max(self._next, now) + self._step
        await asyncio.sleep(self._next - self._step - now)


async def batches(house: House, path: Path, shelf: Shelf, reached: str, *, rate: float) -> AsyncIterator[Batch]:
    """From the row after `reached` on. Raises `Unavailable` where a store stays silent: run it again, it goes on from there."""
    pace, gate, skip = Pace(rate), asyncio.Semaphore(_AT_ONCE), int(reached or 0)
    waiting: list[tuple[Place, Cells | str]] = []
    count = 0
    for one in files.rows_of(path, NEEDS):
        count += 1
        if count > skip:
            waiting.append(one)
        if len(waiting) == BATCH:
            yield await _batch(house, shelf, waiting, str(count), pace, gate)
            waiting = []
    if waiting:
        yield await _batch(house, shelf, waiting, str(count), pace, gate)


async def _batch(house: House, shelf: Shelf, rows: list[tuple[Place, Cells | str]], reached: str, pace: Pace, gate: asyncio.Semaphore) -> Batch:
    async def one(place: Place, cells: Cells | str) -> Found | Refused:
        async with gate:
            return await _read(house, shelf, place, cells, pace)

    found = await asyncio.gather(*(one(place, cells) for place, cells in rows))
    good = [one for one in found if not isinstance(one, Refused)]
    return Batch(
        people=tuple({person.app_user_id: person for person, _, _ in good}.values()),
        told=tuple(told for _, lines, _ in good for told in lines),
        refused=tuple(one for one in found if isinstance(one, Refused)),
        rows=len(rows),
        reached=reached,
        readings=tuple(reading for _, _, reading in good),
    )


async def _read(house: House, shelf: Shelf, place: Place, cells: Cells | str, pace: Pace) -> Found | Refused:
    """What the store says of one proof. What it refuses is a value."""
    try:
        if isinstance(cells, str):
            raise Invalid(cells)
        app_user_id, refused_name = buyer_of(cells["app_user_id"], cells["token"])
        app = _app(shelf, cells)
        receipt = intake.Receipt(
            token=cells["token"],
            product_ids=(cells["product_id"],) if cells.get("product_id") else (),
            store_user_id=cells.get("store_user_id") or None,
            is_restore=True,
        )
        reading = await _ask(house, app.app_id, receipt, pace)
    except Invalid as error:
        return Refused(place=place, reason=error.message)
    if not reading.statements:
        return Refused(place=place, reason=reading.note or "its store says that nothing was bought with it")
    told = [
        Told(
            place=place,
            app_user_id=app_user_id,
            app_id=app.app_id,
            statement=replace(statement, app_user_id=app_user_id),
            refused_name=refused_name,
        )
        for statement in reading.statements
        if statement.purchases
    ]
    return Person(app_user_id=app_user_id), told, (app.app_id, reading)


def _app(shelf: Shelf, cells: Cells) -> App:
    meant = [
        app for app in shelf.apps if app.app_id == (cells.get("app_id") or app.app_id) and app.store == (cells.get("store", "").lower() or app.store)
    ]
    if len(meant) != 1:
        raise Invalid(f"{len(meant)} apps of this project fit; say which in the columns store or app_id, or with --app", param="app_id")
    return meant[0]


async def _ask(house: House, app_id: AppId, receipt: intake.Receipt, pace: Pace) -> Reading:
    for attempt in range(_ATTEMPTS):
        await pace.turn()
        try:
            return await intake.read_receipt(house.database, house.vault, house.providers, house.project_id, app_id, receipt)
        except Unavailable:
            if attempt + 1 == _ATTEMPTS:
                raise
            await asyncio.sleep(2.0**attempt / 2)
    raise AssertionError("the last attempt returns or raises")

"""A process whose clock ran months ahead and came back: what it put off does not wait for months."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from perennial import agenda, catalog, events
from perennial.access import actions as access
from perennial.base.db import Database
from perennial.base.errors import KeyReused
from perennial.base.ids import AppId, ProjectId, new_id
from perennial.base.time import wall_clock
from perennial.exports.model import EVERY
from tests.flows.test_webhook_delivery import Receiver, accept, happening, refuse
from tests.world import House, open_house

AHEAD = timedelta(days=200)


@pytest.fixture
async def house(own_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(own_url, tmp_path) as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().open() as opened:
        yield opened


async def make_project(house: House, *, is_sandbox: bool = False) -> tuple[ProjectId, AppId]:
    project_id = ProjectId(new_id("proj", wall_clock()))
    async with house.app.database.transaction(project_id) as tx:
        await catalog.create_project(tx, "Clocks", is_sandbox=is_sandbox)
        app, _ = await catalog.create_app(tx, house.app.vault, name="App", store="app_store", bundle_id="com.example.clocks")
    return project_id, app.app_id


def run_ahead(database: Database) -> None:
    database.clock = lambda: wall_clock() + AHEAD


def come_back(database: Database) -> None:
    database.clock = wall_clock


async def test_a_delivery_put_off_while_the_clock_was_ahead_is_sent_again_at_once(house: House, receiver: Receiver) -> None:
    project_id, _ = await make_project(house)
    database = house.app.database
    async with database.transaction(project_id) as tx:
        await events.create_endpoint(tx, house.app.vault, name="Hooks", url=receiver.url)
        await events.append(tx, [happening("cus_ada", 1), happening("cus_ada", 2), happening("cus_bob", 1)])
    receiver.reply = refuse()
    run_ahead(database)
    assert await agenda.run_once(house.app, project_id, "telling") == 2
    come_back(database)
    receiver.reply = accept
    receiver.heard.clear()
    assert await agenda.run_due(house.app, project_id, ["telling"]) == 0, "they sleep for months"
    assert await agenda.bring_back(house.app) == 3
    assert await agenda.run_due(house.app, project_id, ["telling"]) == 3
    assert [key for key in receiver.keys if key[0] == "cus_ada"] == [("cus_ada", 1), ("cus_ada", 2)]
    assert await agenda.bring_back(house.app) == 0


async def test_everything_that_is_leased_or_tried_again_is_brought_back_and_nothing_else(house: House) -> None:
    project_id, app_id = await make_project(house)
    async with house.app.database.transaction(project_id) as tx:
        far, soon = tx.now + AHEAD, tx.now + timedelta(hours=11)
        for number, at in enumerate((far, soon, None)):
            await tx.execute(
                """
                INSERT INTO inquiry (project_id, app_id, environment, subject, reason, wake_at)
                VALUES (%(project_id)s, %(app_id)s, 'production', %(number)s, 'told', %(at)s)
                """,
                project_id=project_id,
                app_id=app_id,
                number=str(number),
                at=at,
            )
            await tx.execute(
                """
                INSERT INTO notification (project_id, app_id, message_id, kind, sent_at, body, received_at, wake_at)
                VALUES (%(project_id)s, %(app_id)s, %(number)s, 'told', %(now)s, '', %(now)s, %(at)s)
                """,
                project_id=project_id,
                app_id=app_id,
                number=str(number),
                now=tx.now,
                at=at,
            )
            await tx.execute(
                """
                INSERT INTO store_act (project_id, app_id, act_id, kind, environment, subject, details, wanted_at, wake_at)
                VALUES (%(project_id)s, %(app_id)s, %(number)s, 'refund', 'production', 's', '{}', %(now)s, %(at)s)
                """,
                project_id=project_id,
                app_id=app_id,
                number=str(number),
                now=tx.now,
                at=at,
            )
    assert await agenda.bring_back(house.app) == 3
    async with house.app.database.transaction(project_id) as tx:
        for table in ("inquiry", "notification", "store_act"):
            rows = await tx.fetch(WAKES[table])
            due, later, parked = [row["wake_at"] for row in rows]
            assert due <= tx.now and later == soon and parked is None


WAKES = {
    "inquiry": "SELECT wake_at FROM inquiry ORDER BY subject",
    "notification": "SELECT wake_at FROM notification ORDER BY message_id",
    "store_act": "SELECT wake_at FROM store_act ORDER BY act_id",
}


async def test_an_export_keeps_its_time_of_the_day_and_covers_what_it_thought_it_had(house: House) -> None:
    project_id, _ = await make_project(house)
    async with house.app.database.transaction(project_id) as tx:
        planned = tx.now.replace(microsecond=0) + timedelta(hours=5)
        for name, next_at, until_at in (("ahead", planned + 200 * EVERY, tx.now + AHEAD), ("well", planned, tx.now - timedelta(hours=19))):
            await tx.execute(
                """
                INSERT INTO export (project_id, export_id, name, target, format, mode, created_at, until_at, next_at, wake_at)
                VALUES (%(project_id)s, %(name)s, %(name)s, 'file:///nowhere', 'csv', 'new_and_updated', %(now)s, %(until)s, %(next)s, %(next)s)
                """,
                project_id=project_id,
                name=name,
                now=tx.now,
                until=until_at,
                next=next_at,
            )
    assert await agenda.bring_back(house.app) == 1
    async with house.app.database.transaction(project_id) as tx:
        rows = {row["name"]: row for row in await tx.fetch("SELECT name, until_at, next_at, wake_at FROM export")}
        assert rows["ahead"]["next_at"] == planned - EVERY
        assert rows["ahead"]["wake_at"] <= tx.now and rows["ahead"]["until_at"] <= tx.now
        assert (rows["well"]["next_at"], rows["well"]["wake_at"]) == (planned, planned)


async def test_a_sandbox_goes_by_its_own_clock(house: House, receiver: Receiver) -> None:
    """Years from now, what waits there is not put off; and it may have been put off there too."""
    project_id, _ = await make_project(house, is_sandbox=True)
    await agenda.advance(house.app, project_id, wall_clock() + timedelta(days=2000))
    async with house.app.database.transaction(project_id) as tx:
        await events.create_endpoint(tx, house.app.vault, name="Hooks", url=receiver.url)
        await events.append(tx, [happening("cus_ada", 1)])
    receiver.reply = refuse()
    await agenda.run_once(house.app, project_id, "telling")
    assert await agenda.bring_back(house.app) == 0
    async with house.app.database.transaction(project_id) as tx:
        await tx.execute("UPDATE delivery SET wake_at = %(far)s", far=tx.now + AHEAD)
    assert await agenda.bring_back(house.app) == 1


async def test_batches_that_are_brought_back_can_still_be_told_apart(house: House) -> None:
    project_id, _ = await make_project(house)
    async with house.app.database.transaction(project_id) as tx:
        endpoint, _ = await events.create_endpoint(tx, house.app.vault, name="Hooks", url="https://example.com/")
        await events.append(tx, [happening(f"cus_{number}", 1) for number in range(4)])
        for number, batch in enumerate(("a", "a", "b", "b")):
            await tx.execute(
                "UPDATE delivery SET batch = %(batch)s, wake_at = %(at)s WHERE customer_id = %(customer)s",
                batch=batch,
                at=tx.now + AHEAD + timedelta(milliseconds=20) * (batch == "b"),
                customer=f"cus_{number}",
            )
    assert endpoint and await agenda.bring_back(house.app) == 4
    async with house.app.database.transaction(project_id) as tx:
        rows = await tx.fetch("SELECT batch, wake_at FROM delivery ORDER BY customer_id")
    wakes: list[datetime] = [row["wake_at"] for row in rows]
    assert wakes[0] == wakes[1] < wakes[2] == wakes[3] < wall_clock() + timedelta(hours=6)


async def test_leases_that_end_in_months_are_not_believed(house: House) -> None:
    project_id, _ = await make_project(house, is_sandbox=True)
    database = house.app.database
    async with database.transaction(project_id) as tx:
        run_ahead(database)
        assert await catalog.claim_clock(tx, database.clock(), database.clock() + agenda.CLOCK_LEASE)
        await access.claim(tx, "key_1", "once", b"hash", database.clock())
        come_back(database)
    async with database.transaction(project_id) as tx:
        with pytest.raises(KeyReused, match="never recorded"):
            await access.look_up(tx, "key_1", "once", b"hash", database.clock())
    assert await agenda.advance(house.app, project_id, wall_clock() + timedelta(days=2)) == 1, "nobody moves this clock; the answer is forgotten"


def test_what_may_sleep_long_is_known_of_every_kind() -> None:
    kinds = {kind for lane in agenda.HANDLERS.values() for kind in lane}
    assert set(agenda.FURTHEST) < kinds
    assert agenda.FURTHEST["delivery"] == timedelta(days=1)
    assert agenda.FURTHEST["inquiry"] == timedelta(hours=12)

"""Moving out: the documented columns, what is new since the last run, and a way back in."""

import csv
import gzip
from pathlib import Path

import duckdb
import obstore
import pytest
from obstore.store import MemoryStore

from perennial import catalog, exports
from perennial.base.errors import Invalid
from perennial.exports import COLUMNS
from perennial.exports.files import deliver
from perennial.exports.model import Export
from perennial.providers.simulated import stripe
from tests.flows.test_import import adas_months, import_export, town
from tests.flows.test_simulated_stripe import Shop, shop  # noqa: F401  the fixture
from tests.moving import broken, perennial, write
from tests.world import START, World, make_world


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


async def planned(world: World, target: Path, format: str = "csv", mode: str = "new_and_updated") -> Export:
    async with world.app.database.transaction(world.project_id) as tx:
        return await exports.create(tx, name="Transactions", target=str(target), format=format, mode=mode)  # type: ignore[arg-type]


def delivered(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def rows_in(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file, delimiter=","))


async def test_the_documented_columns_in_their_order_and_then_our_own(world: World, tmp_path: Path) -> None:
    await import_export(world, write(tmp_path / "full.csv", town()))
    for format in ("csv", "parquet"):
        await exports.run(world.app.database, world.project_id, await planned(world, tmp_path / format, format))
    [table], [parquet] = delivered(tmp_path / "csv"), delivered(tmp_path / "parquet")
    seconds = int(START.timestamp())
    assert [str(one.relative_to(tmp_path)) for one in (table, parquet)] == [
        f"csv/2026-01-31/Transactions_{seconds}.csv.gz",
        f"parquet/2026-01-31/Transactions_{seconds}.parquet",
    ]
    with duckdb.connect() as connection:
        typed = connection.read_parquet(str(parquet))
        assert typed.columns == list(COLUMNS)
        assert [str(one) for one in typed.types] == [one.replace(", ", ",") for one in COLUMNS.values()]
        rows = typed.order("start_time, store_transaction_id").fetchall()
        assert connection.read_csv(str(table), delimiter=",", header=True).columns == list(COLUMNS)
        keys = connection.sql(f"SELECT count(*), count(DISTINCT (store_transaction_id, renewal_number)) FROM '{parquet}'").fetchall()
    assert len(rows) == 8 and keys == [(8, 8)]


async def test_a_row_says_what_we_know_and_leaves_open_what_we_do_not(world: World, tmp_path: Path) -> None:
    await import_export(world, write(tmp_path / "full.csv", town()))
    await exports.run(world.app.database, world.project_id, await planned(world, tmp_path / "out"))
    rows = {(row["store_transaction_id"], row["renewal_number"]): row for row in rows_in(delivered(tmp_path / "out")[0])}
    ada = rows["1002", "3"]
    known = {name: cell for name, cell in ada.items() if cell}
    assert known == {
        "rc_original_app_user_id": "ada",
        "rc_last_seen_app_user_id_alias": "ada",
        "country": "DE",
        "country_source": "from_sdk",
        "product_identifier": "pro_monthly",
        "product_display_name": "pro_monthly",
        "product_duration": "P1M",
        "start_time": "2026-01-20 12:00:00",
        "end_time": "2026-02-20 12:00:00",
        "effective_end_time": "2026-02-20 12:00:00",
        "store": "app_store",
        "is_auto_renewable": "true",
        "is_trial_period": "false",
        "is_in_intro_offer_period": "false",
        "is_sandbox": "false",
        "takehome_percentage": "0.814586",
        "tax_percentage": "0.190190",
        "commission_percentage": "0.150150",
        "store_transaction_id": "1002",
        "original_store_transaction_id": "1000",
        "purchased_currency": "EUR",
        "price_in_purchased_currency": "9.99",
        "purchase_price_in_purchased_currency": "9.99",
        "entitlement_identifiers": '["pro"]',
        "renewal_number": "3",
        "is_trial_conversion": "false",
        "ownership_type": "PURCHASED",
        "updated_at": "2026-01-31 12:00:00",
        "first_seen_time": "2025-06-01 08:00:00",
    }
    carol, fay, eve = rows["3000", "1"], rows["6000", "1"], rows["5000", "1"]
    assert (carol["refunded_at"], carol["effective_end_time"]) == ("2026-01-25 00:00:00", "2026-01-25 00:00:00")
    assert (carol["price_in_purchased_currency"], carol["purchase_price_in_purchased_currency"]) == ("0.00", "9.99")
    assert (fay["end_time"], fay["grace_period_end_time"], fay["effective_end_time"]) == (
        "2026-01-30 00:00:00",
        "2026-02-10 00:00:00",
        "2026-02-10 00:00:00",
    )
    assert (eve["end_time"], eve["effective_end_time"], eve["is_auto_renewable"]) == ("", "", "false")


async def test_what_moved_out_moves_in_again(world: World, tmp_path: Path) -> None:
    await import_export(world, write(tmp_path / "full.csv", town()))
    await world.buy("gus", "pro_annual")
    await world.http.post("/v1/subscribers/hal/entitlements/pro/promotional", headers=world.secret, json={"duration": "monthly"})
    await exports.run(world.app.database, world.project_id, await planned(world, tmp_path / "out"))
    other = await make_world(world.app, world.http)
    said = await import_export(other, delivered(tmp_path / "out")[0])
    assert "10 rows imported" in said and "refused" not in said
    for name in ("ada", "bob", "carol", "dan", "eve", "fay", "gus", "hal"):
        left, right = await world.customer(name), await other.customer(name)
        assert left["entitlements"] == right["entitlements"], name
        assert left["subscriptions"] == right["subscriptions"], name
    assert await other.told() == [] and await broken(other) == []


async def test_a_change_within_the_first_period_is_neither_a_new_subscription_nor_the_end_of_one(shop: Shop, tmp_path: Path) -> None:  # noqa: F811
    """By the measure of the vendor's queries: new is what has the number 1 or converts a trial, churned what expired and did not renew that day."""
    world = shop.world
    seats, dearer, later = [await shop.buy(app_user_id=name) for name in ("ada", "bob", "cyd")]
    await world.advance(days=10)
    await shop.do(stripe.set_quantity, seats, 2)
    await shop.do(stripe.upgrade, dearer, "prod_max")
    await shop.do(stripe.upgrade, later, "prod_max", invoiced="later")
    await world.advance(days=20)
    await exports.run(world.app.database, world.project_id, await planned(world, tmp_path / "out"))
    [table] = delivered(tmp_path / "out")
    days: dict[str, list[int]] = {}
    for row in rows_in(table):
        begins, ends = days.setdefault(row["start_time"][:10], [0, 0, 0]), days.setdefault(row["effective_end_time"][:10], [0, 0, 0])
        begins[0 if row["renewal_number"] == "1" else 1] += 1
        ends[2] += 1
    assert days == {"2026-01-31": [3, 0, 0], "2026-02-10": [0, 3, 3], "2026-02-28": [0, 3, 3], "2026-03-31": [0, 0, 3]}, "new, renewed, expired"
    numbers = sorted((row["rc_original_app_user_id"], row["start_time"][:10], row["renewal_number"]) for row in rows_in(table))
    assert [number for who, _, number in numbers if who == "ada"] == ["1", "2", "2"]
    other = await make_world(world.app, world.http)
    async with other.app.database.transaction(other.project_id) as tx:
        await catalog.create_app(tx, other.app.vault, name="web", store="stripe")
    assert "9 rows imported" in await import_export(other, table)
    assert await other.told() == [] and await broken(other) == []


async def test_the_second_run_delivers_whose_purchases_or_names_changed(world: World, tmp_path: Path) -> None:
    await import_export(world, write(tmp_path / "full.csv", town()))
    await world.advance(minutes=11)  # more than is delivered twice, for what was being written at that moment
    await planned(world, tmp_path / "out")
    await world.run_due()
    assert [len(rows_in(path)) for path in delivered(tmp_path / "out")] == [8]
    await world.advance(hours=23)
    assert len(delivered(tmp_path / "out")) == 1, "not before its time"
    await world.buy("gus", "pro_monthly")
    await world.http.post("/v1/subscribers/bob/attributes", headers=world.secret, json={"attributes": {"city": {"value": "Bonn"}}})
    await world.advance(hours=2)
    first, second = delivered(tmp_path / "out")
    assert second.parent.name == "2026-02-01"
    assert {row["rc_original_app_user_id"] for row in rows_in(second)} == {"gus", "bob"}
    await world.advance(days=3)
    assert len(delivered(tmp_path / "out")) == 5, "daily"
    assert first in delivered(tmp_path / "out")


async def test_a_target_that_fails_is_tried_again_and_its_trouble_shown(world: World, tmp_path: Path) -> None:
    target = tmp_path / "out"
    made = await planned(world, target)
    target.rmdir()
    target.write_text("a file is in the way")
    await world.run_due()
    listed = await perennial("exports", "list", "--project", world.project_id)
    assert made.export_id in listed and "cannot be used" in listed
    target.unlink()
    await world.advance(minutes=6)
    assert len(delivered(target)) == 1
    assert "cannot be used" not in await perennial("exports", "list", "--project", world.project_id)


async def test_by_the_command_line(world: World, tmp_path: Path) -> None:
    await import_export(world, write(tmp_path / "full.csv", adas_months()))
    at = ("--project", world.project_id)
    assert "neither csv nor parquet" in await perennial("exports", "create", "out", "--format", "xml", *at, code=1)
    assert "neither a folder nor" in await perennial("exports", "create", "ftp://example.com/x", *at, code=1)
    made = (await perennial("exports", "create", "out", "--format", "parquet", *at)).split()[2]
    assert "3 rows" in await perennial("exports", "run", made, *at)
    assert "3 rows" in await perennial("exports", "run", made, "--full", *at)
    await perennial("exports", "pause", made, *at)
    assert "paused" in await perennial("exports", "list", *at)
    await perennial("exports", "resume", made, *at)
    await perennial("exports", "delete", made, *at)
    assert "no exports yet" in await perennial("exports", "list", *at)
    assert "no export" in await perennial("exports", "run", made, *at, code=1)
    async with world.app.database.transaction(world.project_id) as tx:
        logged = [one.action for one in await catalog.get_audit(tx, before=None, limit=20)]
    assert {"import.run", "export.create", "export.run", "export.pause", "export.resume", "export.delete"} <= set(logged)


async def test_an_export_is_one_moment_of_the_database(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who buys while an export is under way is in the next one, and nothing of them in this."""
    monkeypatch.setattr("perennial.exports.actions.PAGE", 1)
    await import_export(world, write(tmp_path / "full.csv", town()))
    plan = await planned(world, tmp_path / "out")
    async with world.app.database.transaction(world.project_id, is_snapshot=True) as tx:
        before = await tx.fetch_value("SELECT count(*) FROM purchase")
        await world.buy("gus", "pro_monthly")
        assert await tx.fetch_value("SELECT count(*) FROM purchase") == before == 8
    assert (await exports.run(world.app.database, world.project_id, plan)).rows == 9


async def test_a_bucket_gets_it_in_parts(tmp_path: Path) -> None:
    store, path = MemoryStore(), tmp_path / "large"
    path.write_bytes(b"x" * (12 << 20))
    await deliver(store, "folder/large", path)
    assert obstore.head(store, "folder/large")["size"] == 12 << 20


async def test_a_relative_folder_is_refused_by_the_verb(world: World) -> None:
    async with world.app.database.transaction(world.project_id) as tx:
        with pytest.raises(Invalid, match="whole path"):
            await exports.create(tx, name="x", target="out", format="csv", mode="full")

"""Moving in: what another system knew is here, once, and nobody is told of it."""

import asyncio
import os
import subprocess
import sys
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest

from perennial import catalog, customers, imports
from perennial.base.errors import Unavailable
from perennial.providers.apple.signer import SigningAuthority
from perennial.subscriptions.model import Purchase, Renewal, Statement
from tests.apple_messages import notification, trust
from tests.e2e.server import open_server
from tests.moving import broken, exported, perennial, report, write
from tests.world import START, World, make_world

MONTHS = [
    ("2025-11-20 12:00:00", "2025-12-20 12:00:00"),
    ("2025-12-20 12:00:00", "2026-01-20 12:00:00"),
    ("2026-01-20 12:00:00", "2026-02-20 12:00:00"),
]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def adas_months(**cells: str) -> list[dict[str, str]]:
    return [
        exported(store_transaction_id=1000 + n, renewal_number=n + 1, start_time=start, end_time=end, effective_end_time=end, **cells)
        for n, (start, end) in enumerate(MONTHS)
    ]


def town() -> list[dict[str, str]]:
    """Ada renews, Bob cancelled and is gone, Carol was refunded, Dan tries, Eve bought for good, Fay is in her grace."""
    bob = {"rc_original_app_user_id": "bob", "rc_last_seen_app_user_id_alias": "bob"}
    carol = {"rc_original_app_user_id": "carol", "rc_last_seen_app_user_id_alias": "carol"}
    dan = {"rc_original_app_user_id": "dan", "rc_last_seen_app_user_id_alias": "dan"}
    eve = {"rc_original_app_user_id": "eve", "rc_last_seen_app_user_id_alias": "eve"}
    fay = {"rc_original_app_user_id": "fay", "rc_last_seen_app_user_id_alias": "fay"}
    gone = {"start_time": "2025-10-01 00:00:00", "end_time": "2025-11-01 00:00:00", "effective_end_time": "2025-11-01 00:00:00"}
    return [
        *adas_months(),
        exported(**bob, **gone, store_transaction_id=2000, original_store_transaction_id=2000, unsubscribe_detected_at="2025-10-05 00:00:00"),
        exported(
            **carol,
            store_transaction_id=3000,
            original_store_transaction_id=3000,
            refunded_at="2026-01-25 00:00:00",
            price_in_purchased_currency="0",
            **{"effective_end_time": "2026-01-25 00:00:00"},
        ),
        exported(
            **dan,
            store_transaction_id=4000,
            original_store_transaction_id=4000,
            product_identifier="pro_annual",
            is_trial_period="true",
            start_time="2026-01-28 00:00:00",
            end_time="2026-02-04 00:00:00",
            effective_end_time="2026-02-04 00:00:00",
            price_in_purchased_currency="0",
            purchase_price_in_purchased_currency="0",
        ),
        exported(
            **eve,
            store_transaction_id=5000,
            original_store_transaction_id=5000,
            product_identifier="pro_lifetime",
            is_auto_renewable="false",
            end_time="",
            effective_end_time="",
        ),
        exported(
            **fay,
            store_transaction_id=6000,
            original_store_transaction_id=6000,
            start_time="2025-12-30 00:00:00",
            end_time="2026-01-30 00:00:00",
            effective_end_time="2026-02-10 00:00:00",
            grace_period_end_time="2026-02-10 00:00:00",
            billing_issues_detected_at="2026-01-30 00:00:00",
        ),
    ]


async def import_export(world: World, path: Path, *options: str) -> str:
    return await perennial("import", "export", str(path), "--project", world.project_id, "--report", "report.csv", *options)


async def test_history_moves_in_and_nobody_is_told(world: World, tmp_path: Path) -> None:
    said = await import_export(world, write(tmp_path / "full.csv.gz", town()))
    assert "8 rows imported" in said and "6 new customers, 6 new lines" in said
    entitled = {name: await world.entitled(name, store="app_store") for name in ("ada", "bob", "carol", "dan", "eve", "fay")}
    assert entitled == {"ada": ["pro"], "bob": [], "carol": [], "dan": ["pro"], "eve": ["pro"], "fay": ["pro"]}
    subscriptions = {name: (await world.customer(name, store="app_store"))["subscriptions"] for name in ("ada", "bob", "carol", "dan", "fay")}
    ada = subscriptions["ada"]["pro_monthly"]
    assert (ada["expires_date"], ada["original_purchase_date"]) == ("2026-02-20T12:00:00Z", "2025-11-20T12:00:00Z")
    assert (ada["price"], ada["unsubscribe_detected_at"]) == ({"amount": 9.99, "currency": "EUR"}, None)
    assert subscriptions["bob"]["pro_monthly"]["unsubscribe_detected_at"] == "2025-10-05T00:00:00Z"
    assert subscriptions["carol"]["pro_monthly"]["refunded_at"] == "2026-01-25T00:00:00Z"
    assert subscriptions["dan"]["pro_annual"]["period_type"] == "trial"
    fay = subscriptions["fay"]["pro_monthly"]
    assert (fay["expires_date"], fay["billing_issues_detected_at"]) == ("2026-02-10T00:00:00Z", "2026-01-30T00:00:00Z")
    assert (await world.customer("ada", store="app_store"))["first_seen"] == "2025-06-01T08:00:00Z"
    await world.run_due()
    assert await world.told() == []
    assert await broken(world) == []


async def test_the_ledger_has_the_history_too(world: World, tmp_path: Path) -> None:
    await import_export(world, write(tmp_path / "full.csv.gz", town()))
    async with world.app.database.transaction(world.project_id) as tx:
        rows = await tx.fetch("SELECT kind, sum(amount)::bigint AS amount FROM transfer GROUP BY kind ORDER BY kind")
    # ada 3, bob, carol, eve and fay 1 each of 9.99 EUR: 19 % tax (190), 15 % commission (150); carol's came back with its tax
    assert {row["kind"]: row["amount"] for row in rows} == {"sale": 7 * 999, "tax": 6 * 190, "commission": 7 * 150, "refund": 999}


async def test_what_happens_later_is_told_as_ever(world: World, tmp_path: Path) -> None:
    await import_export(world, write(tmp_path / "full.csv", town()))
    await world.advance(days=25)
    assert await world.told("ada") == ["EXPIRATION"], "the store stayed silent for a day"
    assert await world.told("bob") == await world.told("carol") == []
    assert await world.told("fay") == ["EXPIRATION"]
    assert await broken(world) == []


async def test_a_notification_after_an_import_tells_only_its_own_news(world: World, tmp_path: Path) -> None:
    await import_export(world, write(tmp_path / "full.csv", adas_months(is_sandbox="true")))
    pen = SigningAuthority.create(START)
    await trust(world, pen)
    await world.advance(days=20)
    renewed = Purchase(
        transaction="3",
        product="pro_monthly",
        kind="subscription",
        purchased_at=START + timedelta(days=20),
        expires_at=START + timedelta(days=48),
        as_of=START + timedelta(days=20),
        is_first=False,
        is_renewal=True,
    )
    body = notification(
        pen, Statement(store="app_store", environment="sandbox", line="1000", purchases=(renewed,), renewals=(_goes_on(renewed),)), line="1000"
    )
    assert (await world.http.post(f"/hooks/app_store/{world.app_ids['app_store']}", content=body)).status_code == 200
    await world.run_due()
    assert await world.told("ada") == ["RENEWAL"]
    assert len(await world.lines("ada")) == 1
    zoe = exported(rc_original_app_user_id="zoe", rc_last_seen_app_user_id_alias="zoe", original_store_transaction_id=9000)
    again = await import_export(world, write(tmp_path / "again.csv", [*adas_months(is_sandbox="true"), zoe]))
    assert "1 new customer," in again
    assert await world.told("ada") == ["RENEWAL"], "what was told stays told, and no more is"
    assert await broken(world) == []


def _goes_on(purchase: Purchase) -> Renewal:
    return Renewal(as_of=purchase.as_of, transaction=purchase.transaction, auto_renew=True)


async def test_importing_again_changes_nothing(world: World, tmp_path: Path) -> None:
    await import_export(world, write(tmp_path / "full.csv", town()))
    before = {name: (await world.lines(name), await version(world, name)) for name in ("ada", "bob", "carol", "fay")}
    said = await import_export(world, tmp_path / "full.csv")
    assert "0 new customers, 0 new lines" in said
    assert {name: (await world.lines(name), await version(world, name)) for name in before} == before


async def version(world: World, app_user_id: str) -> int:
    async with world.app.database.transaction(world.project_id) as tx:
        return (await customers.get(tx, app_user_id)).version


async def test_any_order_of_rows_and_files_comes_to_the_same(world: World, tmp_path: Path) -> None:
    await import_export(world, write(tmp_path / "full.csv", town()))
    other = await make_world(world.app, world.http)
    folder = tmp_path / "parts"
    folder.mkdir()
    rows = list(reversed(town()))
    write(folder / "a.csv", rows[::2], delimiter=",")
    write(folder / "b.csv.gz", rows[1::2])
    await import_export(other, folder)
    for name in ("ada", "bob", "carol", "dan", "eve", "fay"):
        ours, theirs = await world.customer(name, store="app_store"), await other.customer(name, store="app_store")
        assert ours["subscriptions"] == theirs["subscriptions"] and ours["entitlements"] == theirs["entitlements"]


async def test_a_dry_run_says_what_would_change_and_changes_nothing(world: World, tmp_path: Path) -> None:
    await import_export(world, write(tmp_path / "old.csv", adas_months()[:2], delimiter=","), "--as-of", "2026-01-01")
    path = write(tmp_path / "new.csv", [*town(), exported(store_transaction_id=7000, original_store_transaction_id=7000, product_identifier="gold")])
    said = await import_export(world, path, "--dry-run")
    assert "dry run: 9 rows read, nothing was changed" in said
    assert "5 new customers, 6 new lines" in said and "1 line would end at another time" in said
    found = report(tmp_path / "report.csv")
    assert ("changed end", "2", "app_store 1000") in found and ("gained", "", "ada") in found
    assert ("unknown product", "10", "app_store gold") in found
    assert sorted(subject for change, _, subject in found if change == "new customer") == ["bob", "carol", "dan", "eve", "fay"]
    assert sorted(subject for change, _, subject in found if change == "gained") == ["ada", "dan", "eve", "fay"]
    assert await world.entitled("ada", store="app_store") == []
    async with world.app.database.transaction(world.project_id) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM line") == 1
        assert [one.rows for one in await imports.latest(tx, 10)] == [2], "a dry run leaves no trace"


async def test_bad_rows_are_named_by_line_and_the_others_move_in(world: World, tmp_path: Path) -> None:
    path = write(
        tmp_path / "bad.csv",
        [
            exported(),
            exported(start_time="yesterday"),
            exported(store="galaxy"),
            exported(rc_original_app_user_id="null"),
            exported(price_in_purchased_currency="much", purchase_price_in_purchased_currency=""),
            exported(store="amazon"),
            exported(store_transaction_id=""),
        ],
    )
    with path.open("a") as file:
        file.write("too;few;columns\n")
    said = await import_export(world, path)
    assert "8 rows imported" not in said and "6 rows refused" in said and "1 name no customer can have" in said
    with (tmp_path / "report.csv").open() as file:
        lines = [line for line in file.read().splitlines() if line.startswith("refused")]
    reasons = {line.split(",")[2]: line for line in lines}
    assert [line.split(",")[0] for line in lines if line.split(",")[2] == "5"] == ["refused name"]
    assert sorted(reasons) == ["3", "4", "5", "6", "7", "8", "9"]
    assert "start_time 'yesterday' is not a moment" in reasons["3"]
    assert "store 'galaxy' is none" in reasons["4"]
    assert "names nobody" in reasons["5"]
    assert "'much' is not an amount" in reasons["6"]
    assert "this project has no app of amazon" in reasons["7"]
    assert "store_transaction_id is empty" in reasons["8"]
    assert "3 columns" in reasons["9"]
    assert await world.entitled("ada", store="app_store") == ["pro"]


async def test_ids_that_were_one_customer_are_one_customer(world: World, tmp_path: Path) -> None:
    nobody = "$RCAnonymousID:" + "a" * 32
    await world.customer("ada", store="app_store")  # she came to us first, without her past
    await world.customer(nobody, store="app_store")
    attributes = '{"$email": {"value": "ada@example.com", "updated_at_ms": 1700000000000}}'
    await import_export(world, write(tmp_path / "one.csv", [exported(rc_original_app_user_id=nobody, reserved_subscriber_attributes=attributes)]))
    assert await world.entitled("ada", store="app_store") == ["pro"]
    assert await world.entitled(nobody, store="app_store") == ["pro"]
    async with world.app.database.transaction(world.project_id) as tx:
        ada = await customers.get(tx, "ada")
        assert (ada.aliases, ada.original_app_user_id) == ((nobody, "ada"), nobody)
        assert ada.attributes["$email"].value == "ada@example.com"
    assert await world.told() == [] and await broken(world) == []


async def test_who_was_deleted_does_not_come_back(world: World, tmp_path: Path) -> None:
    path = write(tmp_path / "full.csv", adas_months(custom_subscriber_attributes='{"city": "Bonn"}'))
    await import_export(world, path)
    async with world.app.database.transaction(world.project_id) as tx:
        await customers.forget(tx, "ada")
    await import_export(world, path)
    async with world.app.database.transaction(world.project_id) as tx:
        assert await customers.find(tx, ["ada"]) == {}
        assert await tx.fetch_value("SELECT count(*) FROM attribute") == 0
        assert await tx.fetch_value("SELECT count(*) FROM line") == 1


async def test_an_interrupted_import_goes_on_where_it_stopped(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial.imports.actions.BATCH", 1)
    path = write(tmp_path / "full.csv", town())
    house = imports.House(database=world.app.database, vault=world.app.vault, providers=world.app.providers, project_id=world.project_id)
    shelf = await imports.load_shelf(house)
    folder = tmp_path / "runs"
    folder.mkdir()
    *_, found = imports.sort_files("export", [path], folder)
    assert isinstance(found, imports.Sorted)
    state = await imports.open_import(house, "export", "full.csv", imports.fingerprint([path], "export", ""))

    async def falters():  # type: ignore[no-untyped-def]
        count = 0
        async for batch in imports.file_batches("export", found, shelf, state.reached):
            if count == 3:
                raise Unavailable("the machine went away")
            count += 1
            yield batch

    done_before = 0

    async def listen() -> None:
        nonlocal done_before
        async for _, outcome in imports.run(house, shelf, falters(), state):
            done_before += outcome.rows

    with pytest.raises(Unavailable):
        await listen()
    assert 0 < done_before < 8
    assert f"going on after {done_before} rows" in await import_export(world, path)
    async with world.app.database.transaction(world.project_id) as tx:
        (done,) = await imports.latest(tx, 10)
    assert (done.import_id, done.rows, done.finished_at is not None) == (state.import_id, 8, True)
    assert await world.entitled("fay", store="app_store") == ["pro"]
    assert "finished" in await perennial("import", "list", "--project", world.project_id)


def crowd(people: int) -> list[dict[str, str]]:
    """Two months of each of so many people, in the order of the months."""
    return [
        exported(
            rc_original_app_user_id=f"user-{number}",
            rc_last_seen_app_user_id_alias=f"user-{number}",
            original_store_transaction_id=10_000 + number,
            store_transaction_id=f"{10_000 + number}{month or ''}",
            renewal_number=month + 1,
            start_time=MONTHS[month + 1][0],
            end_time=MONTHS[month + 1][1],
            effective_end_time=MONTHS[month + 1][1],
        )
        for month in (0, 1)
        for number in range(people)
    ]


async def test_an_import_killed_in_the_middle_is_whole_once_it_was_run_again(world: World, tmp_path: Path) -> None:
    people = 2_500
    path = write(tmp_path / "full.csv", crowd(people))
    command = [sys.executable, "-m", "perennial", "import", "export", str(path), "--project", world.project_id]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while (reached := await rows_so_far(world)) == 0:
        assert process.poll() is None, "it ended before it began"
        await asyncio.sleep(0.02)
    process.kill()
    process.wait()
    assert 0 < await count(world, "purchase") < 2 * people and reached < 2 * people, "it was killed in the middle"
    assert "going on after" in await import_export(world, path)
    tables = ("customer", "alias", "line", "line_directory", "purchase", "transfer", "event")
    assert [await count(world, table) for table in tables] == [people, people, people, people, 2 * people, 6 * people, 0]
    async with world.app.database.transaction(world.project_id) as tx:
        assert [(one.rows, one.finished_at is not None) for one in await imports.latest(tx, 10)] == [(2 * people, True)]
        assert await tx.fetch_value("SELECT sum(amount)::bigint FROM transfer WHERE kind = 'sale'") == 2 * people * 999
    assert await broken(world) == []


async def rows_so_far(world: World) -> int:
    async with world.app.database.transaction(world.project_id) as tx:
        return sum(one.rows for one in await imports.latest(tx, 10))


async def count(world: World, table: str) -> int:
    async with world.app.database.transaction(world.project_id) as tx:
        return await tx.fetch_value(f"SELECT count(*) FROM {table}")  # type: ignore[no-any-return]


async def test_memory_does_not_grow_with_the_file(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial.imports.files.RUN", 500)
    monkeypatch.setattr("perennial.imports.files.TOGETHER", 5)
    monkeypatch.setattr("perennial.imports.actions.BATCH", 100)
    house = imports.House(database=world.app.database, vault=world.app.vault, providers=world.app.providers, project_id=world.project_id)
    shelf = await imports.load_shelf(house)
    peaks = []
    for people in (500, 4_000):  # the first also fills what is kept of texts and statements
        path, folder = write(tmp_path / f"{people}.csv.gz", crowd(people)), tmp_path / f"{people}"
        folder.mkdir()
        tracemalloc.start()
        *_, found = imports.sort_files("export", [path], folder)
        assert isinstance(found, imports.Sorted)
        read = [batch.rows async for batch in imports.file_batches("export", found, shelf, "")]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sum(read) == 2 * people
    assert peaks[1] < peaks[0] * 1.5, f"eight times the rows took {peaks[1] / peaks[0]:.1f} times the memory"


async def test_a_batch_with_one_row_the_database_refuses_is_taken_apart(world: World, tmp_path: Path) -> None:
    async with world.app.database.transaction(world.project_id) as tx:
        await tx.execute(
            "INSERT INTO transfer (project_id, key, transfer_id, from_account, to_account, amount, unit, currency, kind, happened_at, recorded_at) "
            "SELECT %(p)s, 'x', 'trn_x', 'a', 'b', 1, 'money', 'EUR', 'other', %(now)s, %(now)s",
            p=world.project_id,
            now=tx.now,
        )
    rows = [*adas_months(), exported(rc_original_app_user_id="max", store_transaction_id=8000, original_store_transaction_id=8000)]
    rows[-1]["presented_offering"] = "\ud800"  # half a character: what no database takes
    path = tmp_path / "odd.csv"
    path.write_bytes(b"")
    with pytest.raises(UnicodeEncodeError):
        write(path, rows)
    rows[-1]["presented_offering"] = "a\x00b"
    said = await import_export(world, write(path, rows))
    assert "1 row refused" in said
    assert await world.entitled("ada", store="app_store") == ["pro"]


# Other sources ----------------------------------------------------------------------------------------------------------------


async def test_a_table_of_ones_own(world: World, tmp_path: Path) -> None:
    header = "app_user_id,aliases,store,product_id,transaction_id,original_transaction_id,purchased_at,expires_at,price,currency,unsubscribed_at"
    path = tmp_path / "own.csv"
    path.write_text(
        f"{header}\n"
        "ada,ada@home,test_store,pro_monthly,t1,,2025-12-31,2026-01-31T11:00:00,9.99,USD,\n"
        "ada,,test_store,pro_monthly,t2,t1,2026-01-31T11:00:00,2026-02-28,9.99,USD,2026-01-31T11:30:00\n"
        "bob,,test_store,coins,t3,,2026-01-01,,0.99,USD,\n"
        "bob,,test_store,coins,t4,,soon,,0.99,USD,\n"
    )
    said = await perennial("import", "rows", str(path), "--project", world.project_id, "--report", "report.csv")
    assert "3 rows imported" in said and "1 row refused" in said
    assert await world.entitled("ada@home") == ["pro"]
    ada = (await world.customer("ada"))["subscriptions"]["pro_monthly"]
    assert (ada["expires_date"], ada["unsubscribe_detected_at"]) == ("2026-02-28T00:00:00Z", "2026-01-31T11:30:00Z")
    assert len((await world.customer("bob"))["non_subscriptions"]["coins"]) == 1
    assert await world.told() == [] and await broken(world) == []


async def test_receipts_are_read_by_their_stores(world: World, tmp_path: Path) -> None:
    path = tmp_path / "receipts.csv"
    path.write_text(
        "app_user_id,token,product_id,store\n"
        "ada,test_1700000000000_a,pro_monthly,test_store\n"
        "bob,not-a-token,pro_monthly,test_store\n"
        "carol,test_1700000000000_c,nothing,test_store\n"
        "dan,x,pro_monthly,roku\n"
    )
    command = ("import", "receipts", str(path), "--rate", "1000", "--project", world.project_id, "--report", "report.csv")
    said = await perennial(*command)
    assert "1 row imported" in said and "3 rows refused" in said
    assert [line for _, line, _ in report(tmp_path / "report.csv")] == ["3", "4", "5"]
    assert await world.entitled("ada") == ["pro"]
    assert await world.told() == []
    assert "0 new customers, 0 new lines" in await perennial(*command)
    await world.advance(days=40)
    assert await world.told("ada") == ["RENEWAL"]
    assert await broken(world) == []


async def test_over_the_api_of_another_server(world: World, database_url: str, tmp_path: Path) -> None:
    await import_export(world, write(tmp_path / "full.csv", town()))
    await world.buy("gus", "pro_monthly")
    await world.http.post("/v1/subscribers/gus/attributes", headers=world.secret, json={"attributes": {"city": {"value": "Bonn"}}})
    await world.http.post("/v1/subscribers/hal/entitlements/pro/promotional", headers=world.secret, json={"duration": "monthly"})
    other = await make_world(world.app, world.http)
    (tmp_path / "server").mkdir()
    async with open_server(database_url, tmp_path / "server") as url:
        command = ("import", "api", "--url", url, "--their-project", world.project_id, "--project", other.project_id, "--report", "api.csv")
        said = await perennial(*command, "--key", world.secret_key)
        assert "8 new customers, 8 new lines" in said
        before = {name: await other.lines(name) for name in ("ada", "fay", "gus")}
        assert "0 new customers, 0 new lines" in await perennial(*command, "--key", world.secret_key)
        assert {name: await other.lines(name) for name in before} == before
        refused = await perennial(*command, "--key", "sk_wrong", code=1)
        assert "answers 401" in refused
    for name in ("ada", "bob", "carol", "dan", "eve", "fay", "gus", "hal"):
        assert await other.entitled(name) == await world.entitled(name), name
    ours, theirs = (await other.customer("ada"))["subscriptions"]["pro_monthly"], (await world.customer("ada"))["subscriptions"]["pro_monthly"]
    assert {name: ours[name] for name in ("expires_date", "original_purchase_date", "store", "store_transaction_id")} == {
        name: theirs[name] for name in ("expires_date", "original_purchase_date", "store", "store_transaction_id")
    }
    async with world.app.database.transaction(other.project_id) as tx:
        assert (await customers.get(tx, "gus")).attributes["city"].value == "Bonn"
        assert len(await catalog.get_products(tx)) == 12, "the catalog is moved by its own commands"
    assert await other.told() == [] and await broken(other) == []

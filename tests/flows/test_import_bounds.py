"""Imports: rows counted once, one report, suspicious rows named, kills between, and files made to fill memory or disk."""

import csv
import gzip
import io
from pathlib import Path

import pytest

from perennial import imports
from perennial.base.errors import Invalid
from perennial.imports import actions, files
from tests.moving import perennial, report
from tests.world import World

HEADER = "app_user_id,store,product_id,transaction_id,purchased_at,expires_at,price,currency,auto_renew"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def table(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def month(user: str, transaction: str, *, price: str = "9.99", currency: str = "USD", start: str = "2026-01-01", end: str = "2026-02-01") -> str:
    return f"{user},test_store,pro_monthly,{transaction},{start},{end},{price},{currency},true"


async def import_rows(world: World, path: Path, *options: str, code: int = 0) -> str:
    return await perennial("import", "rows", str(path), "--project", world.project_id, *options, code=code)


# Counting -------------------------------------------------------------------------------------------------------------------------


async def test_a_refused_row_is_counted_once_wherever_it_stands(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over several batches: one that was refused in an earlier batch was a row twice."""
    monkeypatch.setattr(actions, "BATCH", 2)
    rows = [month(f"user{number}", f"t{number}", start="soon" if number % 3 == 0 else "2026-01-01") for number in range(9)]
    path = table(tmp_path / "own.csv", *rows, "too,few", month("dan", "t90"))
    said = await import_rows(world, path, "--report", "report.csv")
    assert "7 rows imported" in said and "4 rows refused" in said, said  # of 11: three with no moment, one with two columns
    assert [change for change, _, _ in report(tmp_path / "report.csv")] == ["refused"] * 4
    (listed,) = [line for line in (await perennial("import", "list", "--project", world.project_id)).splitlines() if "own.csv" in line]
    assert listed.split()[4:8] == ["11", "4", "7", "7"]


async def test_a_line_that_is_refused_counts_all_its_rows(world: World, tmp_path: Path) -> None:
    rows = [f"ada,roku,pro,r{number},2026-0{number}-01,2026-0{number + 1}-01,9.99,USD,true" for number in (1, 2, 3)]
    path = table(tmp_path / "own.csv", *[f"{row},r1" for row in rows], header=f"{HEADER},original_transaction_id")
    said = await import_rows(world, path)
    assert "0 rows imported" in said and "3 rows refused" in said


async def test_nothing_changed_says_so(world: World, tmp_path: Path) -> None:
    path = table(tmp_path / "own.csv", month("ada", "t1"), month("bob", "t2"))
    assert "would bring 2 new customers, 2 new lines" in await import_rows(world, path, "--dry-run")
    first = await import_rows(world, path)
    assert "2 new customers, 2 new lines" in first and "nothing changed" not in first
    assert "would change nothing" in await import_rows(world, path, "--dry-run")
    assert "nothing changed: all of it was here already" in await import_rows(world, path)
    changed = await import_rows(world, table(tmp_path / "later.csv", month("ada", "t1", end="2026-03-01")))
    assert "nothing changed" not in changed and "1 line changed" in changed


@pytest.mark.parametrize("killed_after", [1, 2, 3])
async def test_what_a_killed_import_did_is_counted_once_and_reported_in_one_file(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    """Killed between a batch's commit and its being in the import's sums: the next run finds its customers there, and they were its own."""
    monkeypatch.setattr(actions, "BATCH", 2)
    rows = [month(f"user{number}", f"t{number}", start="soon" if number in (0, 5) else "2026-01-01") for number in range(8)]
    path = table(tmp_path / "own.csv", *rows)
    saves = 0
    real = actions._done

    async def dies(*arguments: object) -> object:
        nonlocal saves
        saves += 1
        if saves == killed_after:
            await arguments[-1]  # type: ignore[misc]  # the batch is committed
            raise RuntimeError("killed here")
        return await real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(actions, "_done", dies)
    command = ("import", "rows", str(path), "--project", world.project_id)
    assert "killed here" in await perennial(*command, code=1)
    monkeypatch.setattr(actions, "_done", real)
    said = await perennial(*command)
    assert "6 rows imported" in said and "6 new customers, 6 new lines" in said and "2 rows refused" in said, said
    (written,) = tmp_path.glob("import-*.csv")
    assert [(change, line) for change, line, _ in report(written)] == [("refused", "2"), ("refused", "7")]
    async with world.app.database.transaction(world.project_id) as tx:
        (state,) = await imports.latest(tx, 5)
        assert (state.rows, state.refused, state.customers, state.lines) == (8, 2, 6, 6)
        assert await tx.fetch_value("SELECT count(*) FROM import_batch") == 0, "what is in the sums is kept no more"


# Suspicious ---------------------------------------------------------------------------------------------------------------------


async def test_a_dry_run_names_what_somebody_should_look_at(world: World, tmp_path: Path) -> None:
    rows = [
        month("ada", "t1"),
        month("ada", "t1", end="2026-03-01"),  # the same transaction with another end
        month("bob", "t2"),
        month("bob", "t2", price="19.99"),  # and with another price
        month("carol", "t3", end="2025-01-01"),  # it ends before it begins
        month("dan", "t4", price="-9.99"),
        month("eve", "t5", currency="XYZ"),
        month("fay", "t6", end=""),
        month("gil", "t7"),
        month("gil", "t7"),  # the very same again is no more than said twice
    ]
    path = table(tmp_path / "own.csv", *[f"{row},x" for row in rows], header=f"{HEADER},expire_at")
    said = await import_rows(world, path, "--dry-run", "--report", "report.csv")
    for words in (
        "own.csv:1: expire_at: an unknown column",
        "own.csv:3: t1: transaction t1 has two ends: another is in own.csv:2",
        "own.csv:5: t2: transaction t2 has two prices: another is in own.csv:4",
        "own.csv:6: t3: it ends (2025-01-01 00:00) before it begins (2026-01-01 00:00)",
        "own.csv:7: t4: a negative price: -9.99 USD",
        "own.csv:8: t5: an unknown currency: XYZ",
        "own.csv:9: t6: a subscription without an end",
    ):
        assert words in said, (words, said)
    assert "7 things to look at" in said and "t7" not in said
    assert sum(change == "suspicious" for change, _, _ in report(tmp_path / "report.csv")) == 7


async def test_examples_are_bounded_and_the_report_is_whole(world: World, tmp_path: Path) -> None:
    path = table(tmp_path / "own.csv", *[month(f"user{number}", f"t{number}", price="-1") for number in range(40)])
    said = await import_rows(world, path, "--dry-run", "--report", "report.csv")
    assert "40 things to look at, the first 10" in said and said.count("a negative price") == 10
    assert sum(change == "suspicious" for change, _, _ in report(tmp_path / "report.csv")) == 40


# Bombs ----------------------------------------------------------------------------------------------------------------------------


def read(path: Path) -> list[object]:
    return list(files.rows_of(path, ("app_user_id",)))


def bomb(path: Path, piece: bytes, size: int) -> Path:
    with gzip.open(path, "wb", compresslevel=9) as file:
        for _ in range(size // len(piece)):
            file.write(piece)
    return path


@pytest.mark.parametrize("inside", ["rows", "one line", "one field over lines", "nothing"])
def test_a_small_file_that_unpacks_to_very_much_is_refused(tmp_path: Path, inside: str) -> None:
    start = b'"' if inside == "one field over lines" else b""
    piece = {
        "rows": (b"ada," + b"x" * 5000 + b"\n") * 24,
        "one line": b"a" * 120_000,
        "one field over lines": (b"a" * 1000 + b"\n") * 120,
        "nothing": (b" " * 1000 + b"\n") * 120,
    }[inside]
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b"app_user_id,b\n" + start)
        for _ in range(200 * 1024 * 1024 // len(piece)):
            file.write(piece)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(Invalid, match=r"unpacks to more than 200 times|a row of more than"):
        for _ in files.rows_of(path, ("app_user_id",)):
            pass


async def test_the_command_says_it_in_a_line(world: World, tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.csv.gz", b"app_user_id,store,product_id,transaction_id,purchased_at\n" * 2000, 200 * 1024 * 1024)
    said = await import_rows(world, path, code=1)
    assert "bomb.csv.gz unpacks to more than 200 times its size" in said and said.count("\n") <= 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04rest", "is a zip archive"),
        (b"\x1f\x8b\x08rest of nothing", "cannot be read"),
        (gzip.compress(b"app_user_id\nada\n", mtime=0)[:-6], "cannot be read"),
        (b"app_user_id\n\xff\xfe\n", "cannot be read"),
        (b"a" * (files.LONGEST_ROW + 10), "a row of more than"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(content)
    with pytest.raises(Invalid, match=words):
        read(path)


def test_large_honest_files_pass(tmp_path: Path) -> None:
    """Far over what is unpacked freely, with the ratio that tables of purchases have."""
    text = io.StringIO()
    writer = csv.writer(text)
    for number in range(300_000):
        writer.writerow([f"user{number * 7919 % 1_000_003}", "app_store", "pro_monthly", str(number * 104_729), "2026-01-01 00:00:00", "x" * 200])
    path = tmp_path / "large.csv.gz"
    path.write_bytes(gzip.compress(b"app_user_id,store,product,transaction,start,note\n" + text.getvalue().encode(), compresslevel=6))
    unpacked = len(text.getvalue())
    assert unpacked > files.FREELY_UNPACKED and 5 < unpacked / path.stat().st_size < files.MOST_GROWTH
    assert sum(1 for _ in files.rows_of(path, ("app_user_id",))) == 300_000


async def test_a_row_that_cannot_be_recorded_leaves_the_others(world: World, tmp_path: Path) -> None:
    path = table(tmp_path / "own.csv", month("ada", "t1"), month("bob", "t\x002"))
    said = await import_rows(world, path)
    assert "1 row imported" in said and "1 row refused" in said and "Traceback" not in said

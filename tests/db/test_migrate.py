"""Migrations: each once, in order, never changed afterwards, and never by two at a time."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from perennial.base.migrate import MigrationFailed, MigrationRefused, find_folder, migrate, read_migrations

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_start.sql").write_text("-- The start.\nCREATE TABLE fruit (name text);\nINSERT INTO fruit VALUES ('apple');\n")
    (tmp_path / "0002_more.sql").write_text("INSERT INTO fruit VALUES ('pear');\n")
    return tmp_path


async def ask(url: str, sql: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def test_each_file_is_applied_once_and_in_order(empty_url: str, folder: Path) -> None:
    assert await migrate(empty_url, folder=folder, clock=lambda: NOON) == ["0001_start", "0002_more"]
    assert await migrate(empty_url, folder=folder) == []
    assert await ask(empty_url, "SELECT name FROM fruit") == [("apple",), ("pear",)]
    assert await ask(empty_url, "SELECT name, applied_at FROM schema_migration ORDER BY name") == [("0001_start", NOON), ("0002_more", NOON)]


async def test_a_new_file_is_applied_on_top(empty_url: str, folder: Path) -> None:
    await migrate(empty_url, folder=folder)
    (folder / "0003_last.sql").write_text("INSERT INTO fruit VALUES ('plum')")
    assert await migrate(empty_url, folder=folder) == ["0003_last"]


async def test_starters_at_the_same_moment_apply_it_once_between_them(empty_url: str, folder: Path) -> None:
    applied = await asyncio.gather(*(migrate(empty_url, folder=folder) for _ in range(6)))
    assert sorted(applied, key=len) == [[]] * 5 + [["0001_start", "0002_more"]]
    assert await ask(empty_url, "SELECT name FROM fruit") == [("apple",), ("pear",)]


async def test_a_file_that_fails_leaves_nothing_behind_and_says_where(empty_url: str, folder: Path) -> None:
    (folder / "0002_more.sql").write_text("INSERT INTO fruit VALUES ('pear');\nINSERT INTO vegetable\nVALUES ('leek');\n")
    with pytest.raises(MigrationFailed, match=r'0002_more was not applied: relation "vegetable" does not exist \(line 2\)'):
        await migrate(empty_url, folder=folder)
    assert await ask(empty_url, "SELECT name FROM fruit") == [("apple",)]
    assert await ask(empty_url, "SELECT name FROM schema_migration") == [("0001_start",)]


async def test_a_file_that_changed_after_it_was_applied_is_refused(empty_url: str, folder: Path) -> None:
    await migrate(empty_url, folder=folder)
    (folder / "0001_start.sql").write_text("CREATE TABLE fruit (name text, colour text)")
    (folder / "0003_last.sql").write_text("INSERT INTO fruit VALUES ('plum')")
    with pytest.raises(MigrationRefused, match="0001_start has changed since it was applied"):
        await migrate(empty_url, folder=folder)
    assert await ask(empty_url, "SELECT name FROM fruit") == [("apple",), ("pear",)]


async def test_line_ends_are_no_change(empty_url: str, folder: Path) -> None:
    await migrate(empty_url, folder=folder)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert await migrate(empty_url, folder=folder) == []


async def test_a_database_newer_than_the_code_is_left_alone(empty_url: str, folder: Path) -> None:
    await migrate(empty_url, folder=folder)
    (folder / "0002_more.sql").unlink()
    with pytest.raises(MigrationRefused, match="newer than this code: it has 0002_more"):
        await migrate(empty_url, folder=folder)


async def test_a_file_slipped_in_below_what_is_applied_is_refused(empty_url: str, folder: Path) -> None:
    (folder / "0001_start.sql").rename(folder / "0005_start.sql")
    (folder / "0002_more.sql").rename(folder / "0006_more.sql")
    await migrate(empty_url, folder=folder)
    (folder / "0003_late.sql").write_text("INSERT INTO fruit VALUES ('plum')")
    with pytest.raises(MigrationRefused, match="0003_late comes before 0006_more"):
        await migrate(empty_url, folder=folder)


async def test_a_lock_that_is_not_to_be_had_is_not_waited_for_long(empty_url: str, folder: Path) -> None:
    await migrate(empty_url, folder=folder)
    (folder / "0003_wider.sql").write_text("SET LOCAL lock_timeout = '50ms'; ALTER TABLE fruit ADD colour text")
    reader = await asyncpg.connect(empty_url)
    try:
        async with reader.transaction():
            await reader.fetch("SELECT * FROM fruit")
            with pytest.raises(MigrationFailed, match="0003_wider was not applied: it could not get its lock"):
                await migrate(empty_url, folder=folder)
    finally:
        await reader.close()
    assert await migrate(empty_url, folder=folder) == ["0003_wider"]


@pytest.mark.parametrize("name", ["1_start.sql", "0001-start.sql", "0001_Start.sql"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(MigrationRefused, match="not a name for a migration"):
        read_migrations(tmp_path)


def test_a_number_is_given_once(folder: Path) -> None:
    (folder / "0002_other.sql").touch()
    with pytest.raises(MigrationRefused, match=r"0002_more and 0002_other have the same number\. Give the newer one 0003"):
        read_migrations(folder)


def test_this_repository_has_its_migrations() -> None:
    assert [migration.name for migration in read_migrations(find_folder())][:1] == ["0001_start"]

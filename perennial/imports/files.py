"""Files of rows: CSV, plain or gzip, one or a folder of them; sorted on disk, so that all of a customer stands together, in little memory.

What is read is put in order by customer, line and time in runs of bounded length, each a temporary file, and merged. So every line is recorded
once and whole, whatever the order of the file, and the order is the same each time: an import that stopped goes on at its n-th row.
"""

import csv
import gzip
import hashlib
import heapq
import pickle
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from perennial.base.errors import Invalid
from perennial.base.value import value
from perennial.imports.model import Place

RUN = 50_000  # rows sorted at once in memory
_CHUNK = 1 << 20
_MOST_RUNS = 500  # files open at once: 25 million rows
csv.field_size_limit(1 << 20)

Cells = dict[str, str]


@value
class Sorted:
    """Rows in order, and what was no row at all. `newest` is the latest text of the column that says how old the source is."""

    runs: tuple[Path, ...]
    count: int
    broken: tuple[tuple[Place, str], ...]
    newest: str | None


def files_of(path: Path) -> list[Path]:
    """The file, or the folder's CSV files by name. Raises `Invalid` where there is none."""
    if path.is_dir():
        found = sorted(one for one in path.iterdir() if one.name.lower().endswith((".csv", ".csv.gz", ".gz")))
        if not found:
            raise Invalid(f"there is no .csv or .csv.gz file in {path}")
        return found
    if not path.is_file():
        raise Invalid(f"there is no file {path}")
    return [path]


def fingerprint(paths: Sequence[Path], *beside: str) -> str:
    """Of what the files hold, and of how they are to be read."""
    digest = hashlib.sha256("\x1f".join(beside).encode())
    for path in paths:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def rows_of(path: Path, needed: Sequence[str]) -> Iterator[tuple[Place, Cells | str]]:
    """Each row with its line, by column name; or what is wrong with it. The separator is the header's. Raises `Invalid` for another table."""
    try:
        with path.open("rb") as raw:
            yield from _rows(path.name, raw, needed)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise Invalid(f"{path.name} cannot be read: {error}") from error


def _rows(name: str, raw: BinaryIO, needed: Sequence[str]) -> Iterator[tuple[Place, Cells | str]]:
    is_gzip = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    with TextIOWrapper(gzip.GzipFile(fileobj=raw) if is_gzip else raw, encoding="utf-8-sig", newline="") as text:
        first = text.readline()
        separator = ";" if first.count(";") > first.count(",") else ","
        header = [column.strip() for column in next(csv.reader([first], delimiter=separator), [])]
        if missing := [column for column in needed if column not in header]:
            raise Invalid(f"{name} has no column {', '.join(missing)}; it has {', '.join(header[:60]) or 'none'}")
        reader = csv.reader(text, delimiter=separator)
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield Place(name=name, line=reader.line_num + 1), f"this line is not CSV: {error}"
                continue
            place = Place(name=name, line=reader.line_num + 1)
            if cells is None:
                return
            if len(cells) == len(header):
                yield place, dict(zip(header, cells, strict=True))
            elif cells:
                yield place, f"it has {len(cells)} columns, and the header {len(header)}"


def sort(paths: Sequence[Path], needed: Sequence[str], by: Sequence[str], folder: Path, *, newest: str | None = None) -> Iterator[int | Sorted]:
    """Writes sorted runs into the folder. Yields how many rows are read after each, and the result at last."""
    runs: list[Path] = []
    waiting: list[tuple[tuple[str, ...], int, Place, Cells]] = []
    broken: list[tuple[Place, str]] = []
    latest: str | None = None
    count = 0
    for path in paths:
        for place, cells in rows_of(path, needed):
            if isinstance(cells, str):
                broken.append((place, cells))
                continue
            count += 1
            if newest is not None and (text := cells.get(newest, "")) > (latest or ""):
                latest = text
            waiting.append((tuple(cells.get(column, "") for column in by), count, place, cells))
            if len(waiting) == RUN:
                runs.append(_write(waiting, folder))
                waiting = []
                yield count
    if waiting:
        runs.append(_write(waiting, folder))
    if len(runs) > _MOST_RUNS:
        raise Invalid(f"more than {RUN * _MOST_RUNS:,} rows at once; import the files one after another")
    yield Sorted(runs=tuple(runs), count=count, broken=tuple(broken), newest=latest)


def _write(rows: list[tuple[tuple[str, ...], int, Place, Cells]], folder: Path) -> Path:
    rows.sort(key=lambda row: row[:2])
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".run", delete=False) as file:
        for row in rows:
            pickle.dump(row, file, protocol=pickle.HIGHEST_PROTOCOL)
        return Path(file.name)


def merged(runs: Sequence[Path]) -> Iterator[tuple[Place, Cells]]:
    """All runs in one order."""
    with ExitStack() as opened:
        files = [opened.enter_context(run.open("rb")) for run in runs]
        for _, _, place, cells in heapq.merge(*map(_read, files), key=lambda row: row[:2]):
            yield place, cells


def _read(file: BinaryIO) -> Iterator[tuple[tuple[str, ...], int, Place, Cells]]:
    while True:
        try:
            yield pickle.load(file)  # noqa: S301  written by this very process
        except EOFError:
            return

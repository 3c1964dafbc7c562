"""Files of rows: CSV, plain or gzip, one or a folder of them; sorted on disk, so that all of a customer stands together, in little memory.

What is read is put in order by customer, line and time in runs of bounded length, each a temporary file, and merged. So every line is recorded
once and whole, whatever the order of the file, and the order is the same each time: an import that stopped goes on at its n-th row. Rows wait as
bytes, in memory and on disk: their cells alone, as the names of the columns are the same for all rows of a file.
"""

import csv
import gzip
import hashlib
import heapq
import marshal
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from io import BufferedReader, RawIOBase, TextIOWrapper
from pathlib import Path
from typing import IO, Any, BinaryIO

from perennial.base.errors import Invalid
from perennial.base.value import value
from perennial.imports.model import Place

RUN = 100_000  # rows sorted at once in memory
_CHUNK = 1 << 20
_MOST_RUNS = 500  # files open at once: 50 million rows
TOGETHER = 100  # rows of a run read at once
FREELY_UNPACKED = 64 * 1024 * 1024  # bytes out of a gzip file that are read whatever its size
MOST_GROWTH = 200  # times: tables of purchases have 5 to 40, the densest deflate can make is 1,030
LONGEST_ROW = 4 * 1024 * 1024  # characters; a row with all attributes a customer may have is a few hundred kB
MOST_BROKEN = 100_000  # lines that are no rows: more is no table
_PIECE = 1 << 16
_LENGTH = 8  # bytes before what is written together, saying how many they are
csv.field_size_limit(1 << 20)

Cells = dict[str, str]
Header = tuple[str, list[str]]  # a file's name, and its columns
Waiting = tuple[tuple[str, ...], int, int, int, bytes]  # what it is sorted by, which row it is of all, of which file, its line there, its cells


@value
class Sorted:
    """Rows in order, and what was no row at all. `newest` is the latest text of the column that says how old the source is."""

    runs: tuple[Path, ...]
    count: int
    broken: tuple[tuple[Place, str], ...]
    newest: str | None
    columns: tuple[tuple[str, tuple[str, ...]], ...] = ()  # of each file


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
    header: list[str] = []
    for line, cells in _lines_of(path, needed, header):
        yield Place(name=path.name, line=line), cells if isinstance(cells, str) else dict(zip(header, cells, strict=True))


def _lines_of(path: Path, needed: Sequence[str], header: list[str]) -> Iterator[tuple[int, list[str] | str]]:
    """The number of each line and its cells, or what is wrong with it. The header is filled in before the first."""
    try:
        with path.open("rb") as raw:
            yield from _lines(path.name, raw, needed, header)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise Invalid(f"{path.name} cannot be read: {error}") from error


def _lines(name: str, raw: BinaryIO, needed: Sequence[str], header: list[str]) -> Iterator[tuple[int, list[str] | str]]:
    start = raw.read(4)
    raw.seek(0)
    if start.startswith(b"PK\x03\x04"):
        raise Invalid(f"{name} is a zip archive; unpack it, or give the files as .csv.gz")
    content: BinaryIO = BufferedReader(_Unpacked(name, raw)) if start.startswith(b"\x1f\x8b") else raw
    with TextIOWrapper(content, encoding="utf-8-sig", newline="") as text:
        bounded = _Bounded(name, text)
        first = bounded.line()
        separator = ";" if first.count(";") > first.count(",") else ","
        header += [column.strip() for column in next(csv.reader([first], delimiter=separator), [])]
        if missing := [column for column in needed if column not in header]:
            raise Invalid(f"{name} has no column {', '.join(missing)}; it has {', '.join(header[:60]) or 'none'}")
        reader = csv.reader(bounded, delimiter=separator)
        while True:
            try:
                cells = next(reader, None)
                bounded.row_ended()
            except csv.Error as error:
                bounded.row_ended()
                yield reader.line_num + 1, f"this line is not CSV: {error}"
                continue
            if cells is None:
                return
            if len(cells) == len(header):
                yield reader.line_num + 1, cells
            elif cells:
                yield reader.line_num + 1, f"it has {len(cells)} columns, and the header {len(header)}"


class _Unpacked(RawIOBase):
    """What a gzip file holds, as it is read. `Invalid` where it grows beyond any table of rows: a small file would fill memory or disk."""

    def __init__(self, name: str, raw: BinaryIO) -> None:
        self._name, self._raw = name, raw
        self._file = gzip.GzipFile(fileobj=raw)
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(min(len(buffer), _PIECE))
        buffer[: len(content)] = content
        self._count += len(content)
        if self._count > FREELY_UNPACKED and self._count > MOST_GROWTH * self._raw.tell():
            raise Invalid(
                f"{self._name} unpacks to more than {MOST_GROWTH} times its size, which no table of purchases does; "
                "if it is one, unpack it and import the .csv"
            )
        return len(content)


class _Bounded:
    """The lines of a table, none longer than any row needs, nor a row over many lines."""

    def __init__(self, name: str, text: TextIOWrapper) -> None:
        self._name, self._text = name, text
        self._size = 0  # characters of the row that is being read
        self._number = 0

    def __iter__(self) -> "_Bounded":
        return self

    def __next__(self) -> str:
        line = self.line()
        if not line:
            raise StopIteration
        return line

    def line(self) -> str:
        line = self._text.readline(LONGEST_ROW + 1)
        self._number += 1
        self._size += len(line)
        if self._size > LONGEST_ROW:
            raise Invalid(
                f"{self._name}:{self._number}: a row of more than {LONGEST_ROW:,} characters; is a quotation mark missing, or is it no table?"
            )
        return line

    def row_ended(self) -> None:
        self._size = 0


def sort(paths: Sequence[Path], needed: Sequence[str], by: Sequence[str], folder: Path, *, newest: str | None = None) -> Iterator[int | Sorted]:
    """Writes sorted runs into the folder. Yields how many rows are read after each, and the result at last."""
    runs: list[Path] = []
    waiting: list[Waiting] = []
    broken: list[tuple[Place, str]] = []
    headers: list[Header] = []
    latest = ""
    count = 0
    for number, path in enumerate(paths):
        header: list[str] = []
        headers.append((path.name, header))
        key_at: list[int | None] = []
        for line, cells in _lines_of(path, needed, header):
            if isinstance(cells, str):
                broken.append((Place(name=path.name, line=line), cells))
                if len(broken) > MOST_BROKEN:
                    raise Invalid(f"{path.name}: more than {MOST_BROKEN:,} lines are no rows of a table; the last, {line}: {cells}")
                continue
            count += 1
            if not key_at:
                newest_at, *key_at = (header.index(column) if column in header else None for column in (newest, *by))
            if newest_at is not None and cells[newest_at] > latest:
                latest = cells[newest_at]
            key = tuple(["" if place is None else cells[place] for place in key_at])
            waiting.append((key, count, number, line, marshal.dumps(cells)))
            if len(waiting) == RUN:
                runs.append(_write(waiting, headers, folder))
                waiting = []
                yield count
    if waiting:
        runs.append(_write(waiting, headers, folder))
    if len(runs) > _MOST_RUNS:
        raise Invalid(f"more than {RUN * _MOST_RUNS:,} rows at once; import the files one after another")
    yield Sorted(
        runs=tuple(runs), count=count, broken=tuple(broken), newest=latest or None, columns=tuple((name, tuple(header)) for name, header in headers)
    )


def _write(rows: list[Waiting], headers: Sequence[Header], folder: Path) -> Path:
    """The headers first, then the rows in order, so many together."""
    rows.sort()
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".run", delete=False) as file:
        _put(file, list(headers))
        for start in range(0, len(rows), TOGETHER):
            _put(file, rows[start : start + TOGETHER])
        return Path(file.name)


def _put(file: IO[bytes], what: Any) -> None:
    packed = marshal.dumps(what)
    file.write(len(packed).to_bytes(_LENGTH))
    file.write(packed)


def merged(runs: Sequence[Path]) -> Iterator[tuple[Place, Cells]]:
    """All runs in one order."""
    with ExitStack() as opened:
        files = [opened.enter_context(run.open("rb")) for run in runs]
        headers: list[Header] = max((_take(file) for file in files), key=len, default=[])  # the last run's: it has seen all files
        for _, _, number, line, cells in heapq.merge(*map(_read, files)):
            name, header = headers[number]
            yield Place(name=name, line=line), dict(zip(header, marshal.loads(cells), strict=True))  # noqa: S302  written by this very process


def _read(file: BinaryIO) -> Iterator[Waiting]:
    while rows := _take(file):
        yield from rows


def _take(file: BinaryIO) -> list[Any]:
    length = int.from_bytes(file.read(_LENGTH))
    return marshal.loads(file.read(length)) if length else []  # noqa: S302

"""The file of a run, on this machine first, and where it goes: a folder or a bucket.

CSV is written as rows come, compressed; Parquet is made of it by DuckDB, which streams too. Buckets are the operator's own configuration: they are
called whatever network they are in, and their credentials come from the environment (AWS_*, GOOGLE_*, AZURE_*), never from the database.
"""

import csv
import gzip
from collections.abc import Mapping
from contextlib import AbstractContextManager
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any

import obstore
from obstore.store import LocalStore, from_url

from perennial.base.errors import Invalid, Unavailable
from perennial.exports.model import Format

SEPARATOR = ","  # as the vendor's files have it
_LEVEL = 3  # of gzip: most of the saving, at a third of the time
_MEMORY = "256MB"
SCHEMES = ("s3://", "gs://", "az://")
ENDINGS: Mapping[Format, str] = {"csv": "csv.gz", "parquet": "parquet"}


class Table(AbstractContextManager["Table"]):
    """A gzip CSV file that rows are written to."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self._text = TextIOWrapper(gzip.GzipFile(path, "wb", compresslevel=_LEVEL, mtime=0), encoding="utf-8", newline="")
        self._writer = csv.writer(self._text, delimiter=SEPARATOR, lineterminator="\n")
        self._writer.writerow(columns)
        self.rows = 0

    def write(self, rows: list[list[Any]]) -> None:
        """Raises `Unavailable` where there is no room."""
        try:
            self._writer.writerows(rows)
        except OSError as error:
            raise Unavailable(f"the export cannot be written here: {error}") from error
        self.rows += len(rows)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._text.close()


def to_parquet(table: Path, target: Path, columns: Mapping[str, str]) -> None:
    """The same rows, typed. Memory is bounded: DuckDB streams, and spills beside the file."""
    import duckdb  # large, and few exports are Parquet: not every command should wait for it

    with duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": str(target.parent), "threads": "2"}) as connection:
        rows = connection.read_csv(
            str(table), columns=dict(columns), header=True, delimiter=SEPARATOR, compression="gzip", quotechar='"', escapechar='"'
        )
        rows.write_parquet(str(target), compression="zstd")


def check_target(target: str) -> str:
    """A folder by its whole path, or a bucket. Raises `Invalid`."""
    if target.startswith(SCHEMES):
        return target.rstrip("/")
    if "://" in target and not target.startswith("file:///"):
        raise Invalid(f"target {target!r} is neither a folder nor {', '.join(SCHEMES)}", param="target")
    path = target.removeprefix("file://")
    if not Path(path).is_absolute():
        raise Invalid(f"target {target!r} must be a folder's whole path, as workers run elsewhere", param="target")
    return path.rstrip("/") or "/"


def store_of(target: str) -> Any:
    """Raises `Invalid` where the address or the environment will not do."""
    try:
        return from_url(target) if target.startswith(SCHEMES) else LocalStore(target, mkdir=True)
    except (obstore.exceptions.BaseError, ValueError, OSError) as error:
        raise Invalid(f"target {target!r} cannot be used: {error}", param="target") from error


async def deliver(store: Any, name: str, path: Path) -> None:
    """In parts, so that no size is too large; it is there whole, or not at all. Raises `Unavailable`."""
    try:
        await obstore.put_async(store, name, path)
    except (obstore.exceptions.BaseError, OSError) as error:
        raise Unavailable(f"the export could not be delivered: {error}") from error

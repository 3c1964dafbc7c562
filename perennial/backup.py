"""A database as one file, and back: with PostgreSQL's own programs, as the embedded database brought them, for any PostgreSQL.

The file is what `pg_dump --format=custom` writes, of one moment. It holds the tables, the policies of the tenant isolation and the grants to
`perennial_app`, but no role: those belong to a server, so a restore makes that one first. It is one transaction: all of it is there afterwards, or
nothing has changed.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit, urlunsplit

from perennial.base.errors import Conflict, Invalid, Unavailable
from perennial.base.migrate import Server
from perennial.base.value import value
from perennial.postgres.binaries import MAJOR, find_binaries

Watch = Callable[[str], None]  # is told each table that is begun

_TABLE = {"pg_dump": "pg_dump: dumping contents of table ", "pg_restore": "pg_restore: processing data for table "}
_NOT_KNOWN_BEFORE_17 = b"SET transaction_timeout = 0;\n"
# Servers with the corrections of November 2026 note a version of their own with each column, which only their own programs leave out of a dump,
# and which servers without them refuse.
_COLUMN_OPTIONS = b" SET ("
_OF_THE_SERVER = b"pg_attver="
_EMPTIED = b"DROP SCHEMA IF EXISTS public CASCADE;\nCREATE SCHEMA public;\n"
_CHUNK = 1 << 20


@value
class Contents:
    """What a file holds."""

    tables: int
    made_by: str  # PostgreSQL's version


def check_tools(server: Server) -> None:
    if server.major > int(MAJOR):
        raise Unavailable(
            f"the server is PostgreSQL {server.major}, newer than the programs of this version ({MAJOR}), which cannot read it. "
            f"Use those of the server: pg_dump --format=custom --no-owner, and pg_restore --no-owner --single-transaction"
        )


def write(url: str, file: Path, watch: Watch) -> None:
    """Into a draft that is renamed at the end: a file is whole or absent. `Conflict` where it is there."""
    if file.exists():
        raise Conflict(f"{file} is there already; name another file, or move that one away", param="file")
    draft = file.with_name(f".{file.name}.{os.getpid()}.unfinished")
    try:
        draft.touch(mode=0o600)
    except OSError as error:
        raise Invalid(f"{file} cannot be written: {error.strerror}", param="file") from error
    try:
        address, password = _address(url)
        command = _command("pg_dump", "--format=custom", "--no-owner", "--verbose", "--no-password", "--file", str(draft), "--dbname", address)
        program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_environment(password))
        heard = _Listener(program, "pg_dump", watch)
        if program.wait() != 0:
            cause = heard.cause()
            hint = "; a backup needs the login that owns the tables: PERENNIAL_MIGRATE_DATABASE_URL" if "permission" in cause else ""
            raise Unavailable(f"the backup was not made: {cause}{hint}")
        os.link(draft, file)  # which, unlike a renaming, refuses a file that came meanwhile
    finally:
        draft.unlink(missing_ok=True)


def look_into(file: Path) -> Contents:
    """`Invalid` where it is no backup."""
    if not file.is_file():
        raise Invalid(f"there is no file {file}", param="file")
    done = subprocess.run(_command("pg_restore", "--list", str(file)), capture_output=True, text=True, check=False, env=_environment(None))
    if done.returncode != 0:
        raise Invalid(f"{file} is no backup that can be read: {_cause(done.stderr.splitlines())}", param="file")
    lines = done.stdout.splitlines()
    made_by = next((line.partition(": ")[2] for line in lines if line.startswith(";     Dumped from database version")), "")
    return Contents(tables=sum(" TABLE DATA " in line for line in lines), made_by=made_by)


def read(url: str, file: Path, server: Server, watch: Watch, *, replace: bool) -> None:
    """Into a database whose roles are there. What it holds is dropped first where it is to be replaced, in the same transaction."""
    address, password = _address(url)
    quiet = ("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--output", os.devnull)
    with _started(_command("psql", *quiet, "--dbname", address), env=_environment(password), stdin=subprocess.PIPE, stderr=subprocess.PIPE) as into:
        refusals = _Listener(into, "psql", watch)
        unpack = _command("pg_restore", "--no-owner", "--verbose", "--file", "-", str(file))
        with _started(unpack, env=_environment(None), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as unpacked:
            complaints = _Listener(unpacked, "pg_restore", watch)
            is_taken = _feed(unpacked, into, server, replace=replace)
            if not is_taken:
                unpacked.kill()
            is_whole = unpacked.wait() == 0
        if is_taken and is_whole:
            is_taken = _send(into, b"COMMIT;\n")
        assert into.stdin is not None
        with suppress(BrokenPipeError):
            into.stdin.close()  # without COMMIT everything is undone
        is_taken = into.wait() == 0 and is_taken
    if not is_whole and not is_taken and refusals.said:
        raise Unavailable(f"nothing was restored, and nothing changed: {refusals.cause()}")
    if not is_whole:
        raise Invalid(f"nothing was restored, and nothing changed: {file} cannot be read to its end: {complaints.cause()}", param="file")
    if not is_taken:
        raise Unavailable(f"nothing was restored, and nothing changed: {refusals.cause()}")


def _feed(unpacked: "subprocess.Popen[bytes]", into: "subprocess.Popen[bytes]", server: Server, *, replace: bool) -> bool:
    """False where the database refused something."""
    assert unpacked.stdout is not None
    if not _send(into, b"BEGIN;\n" + (_EMPTIED if replace else b"")):
        return False
    for line in unpacked.stdout:  # the settings and what is defined, which come before the rows
        if not (server.major < 17 and line == _NOT_KNOWN_BEFORE_17) and not _send(into, _without_the_servers_own(line)):
            return False
        if line.startswith(b"COPY "):
            break
    while chunk := unpacked.stdout.read(_CHUNK):
        if not _send(into, chunk):
            return False
    return True


def _without_the_servers_own(line: bytes) -> bytes:
    """An option of a column that is about the server it was on, and not about the column."""
    statement, opening, options = line.partition(_COLUMN_OPTIONS)
    if _OF_THE_SERVER not in options or not statement.startswith(b"ALTER ") or b" ALTER COLUMN " not in statement:
        return line
    kept = [option for option in options.removesuffix(b");\n").split(b", ") if not option.startswith(_OF_THE_SERVER)]
    return statement + opening + b", ".join(kept) + b");\n" if kept else b""


def _send(into: "subprocess.Popen[bytes]", text: bytes) -> bool:
    assert into.stdin is not None
    try:
        into.stdin.write(text)
        into.stdin.flush()
    except BrokenPipeError:
        return False
    return True


@contextmanager
def _started(
    command: list[str], *, env: dict[str, str], stdin: int = subprocess.DEVNULL, stdout: int | None = None, stderr: int
) -> Iterator["subprocess.Popen[bytes]"]:
    """Ended where we leave before it has."""
    program = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=env)
    try:
        yield program
    finally:
        if program.poll() is None:
            program.kill()
        program.wait()


class _Listener:
    """Reads what a program says: its progress is told on, its complaints are kept."""

    def __init__(self, program: "subprocess.Popen[bytes]", name: str, watch: Watch) -> None:
        self.said: list[str] = []
        assert program.stderr is not None
        self._thread = threading.Thread(target=self._take, args=(program.stderr, _TABLE.get(name), watch), daemon=True)
        self._thread.start()

    def cause(self) -> str:
        self._thread.join()
        return _cause(self.said)

    def _take(self, lines: IO[bytes], table: str | None, watch: Watch) -> None:
        for raw in lines:
            line = raw.decode(errors="replace").strip()
            if table is not None and line.startswith(table):
                watch(line.removeprefix(table).strip('"').removeprefix("public."))
            elif "error:" in line.lower() or "fatal:" in line.lower():
                self.said.append(line)


def _cause(said: list[str]) -> str:
    """The first complaint: what follows comes of it."""
    return said[0].partition("rror: ")[2].strip() or said[0] if said else "the program did not say why"


def _command(program: str, *arguments: str) -> list[str]:
    return [str(find_binaries().path(program)), *arguments]


def _address(url: str) -> tuple[str, str | None]:
    """Without the password, which everybody on this machine could read in the list of processes."""
    parts = urlsplit(url)
    if parts.password is None:
        return url, None
    login, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login.partition(':')[0]}@{place}")), unquote(parts.password)


def _environment(password: str | None) -> dict[str, str]:
    """PGSERVICE and the like may be meant: they are the operator's."""
    return {**os.environ, "LC_ALL": "C", **({"PGPASSWORD": password} if password is not None else {})}

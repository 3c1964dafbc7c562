"""schema.sql is the whole database on one page: what a fresh database looks like after all migrations, as pg_dump writes it.

`python -m tools.schema` writes the page; `python -m tools.schema --check` fails with a diff where it is out of date.
"""

import asyncio
import re
import subprocess
import sys
import tempfile
from difflib import unified_diff
from pathlib import Path

from perennial.base.migrate import migrate
from perennial.postgres import EmbeddedPostgres, find_binaries

PAGE = Path(__file__).resolve().parents[1] / "schema.sql"
_HEADER = "-- The whole database on one page, written by `make schema` from migrations/. Do not edit: write a migration.\n\n"

# Versions and random tokens: they differ between two dumps of the same schema.
_CHANGEABLE = re.compile(r"^(?:-- Dumped (?:from|by) .*|\\(?:un)?restrict .*)\n", re.MULTILINE)


async def dump() -> str:
    """Of a database made for the purpose, so that nobody's own changes get in."""
    with tempfile.TemporaryDirectory(prefix="perennial-schema-") as folder:
        Path(folder).chmod(0o755)  # so that, as root, PostgreSQL's account finds its way here too
        async with await EmbeddedPostgres.start(Path(folder), settings={"fsync": "off"}) as postgres:
            await migrate(postgres.url)
            command = [str(find_binaries().path("pg_dump")), "--schema-only", "--no-owner", postgres.url]
            dumped = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return _HEADER + re.sub(r"\n{3,}", "\n\n", _CHANGEABLE.sub("", dumped)).strip("\n") + "\n"


def main() -> int:
    fresh = asyncio.run(dump())
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(fresh)
        return 0
    kept = PAGE.read_text() if PAGE.exists() else ""
    difference = list(unified_diff(kept.splitlines(), fresh.splitlines(), "schema.sql", "migrations/", lineterm=""))
    if difference:
        print("\n".join([*difference, "", "schema.sql is not what the migrations make. Run `make schema`."]))
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())

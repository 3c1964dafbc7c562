"""Where the database's files lie and whose they are.

An ordinary user keeps everything in `$home/postgres`. PostgreSQL refuses to run as root, so root lends it to an account without
privileges, and where that account cannot reach the home (it lies beneath a private folder) the files go to `/var/lib/perennial` and
`$home/postgres` becomes a link to them. Permissions of folders that are not ours are never changed.

    postgres/            ours
      lock               held by the supervisor for its life; names its pid
      password           of the database user that owns everything, 0600
      server-password    of the one that servers and workers log in as, 0600
      postgres.log
      data/              PostgreSQL's own folder; the only one its account may write

As root, files outside `data` stay root's: an account that cannot write beside them cannot plant a link for root to follow.
"""

import os
import pwd
import subprocess
from pathlib import Path

from perennial.base.errors import Forbidden, Unavailable
from perennial.base.ids import random_bytes
from perennial.base.value import value
from perennial.postgres.binaries import Binaries, copy_binaries

SHARED = Path("/var/lib/perennial")

# One made for us; those made for PostgreSQL by Debian, Red Hat and macOS; and the one that every system has.
_ACCOUNTS = ("perennial", "postgres", "_postgres", "nobody")


@value
class Account:
    """Whom PostgreSQL runs as where we are root."""

    uid: int
    gid: int

    @property
    def ids(self) -> tuple[int, int]:
        return self.uid, self.gid


@value
class Place:
    """`account` is None for an ordinary user, who runs PostgreSQL as himself."""

    folder: Path
    account: Account | None
    binaries: Binaries

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    @property
    def password(self) -> Path:
        return self.folder / "password"

    @property
    def server_password(self) -> Path:
        return self.folder / "server-password"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"


def find_place(home: Path, binaries: Binaries) -> Place:
    """Makes the folders that are missing. `Forbidden` where an earlier start by root left them to another account."""
    home.mkdir(parents=True, exist_ok=True)
    pointer = home / "postgres"
    if os.geteuid() != 0:
        return Place(folder=_own_folder(pointer), account=None, binaries=binaries)
    account = _owner_of(pointer / "data") or _least_privileged()
    folder = _folder_for(account, home.resolve(), pointer)
    return Place(folder=folder, account=account, binaries=_readable(binaries, account))


def open_file(place: Place, path: Path, flags: int) -> int:
    """Opens or makes one of our files, 0600, following no link. Root working in a user's folder leaves the file to that user."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    if place.account is not None:
        owner = place.folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def hand_over(path: Path, place: Place) -> None:
    """Gives what we just made to PostgreSQL's account."""
    if place.account is not None:
        os.chown(path, place.account.uid, place.account.gid, follow_symlinks=False)


def _own_folder(pointer: Path) -> Path:
    try:
        pointer.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError as error:
        raise Forbidden(f"{pointer} is not a folder. Move it away, or choose another home.") from error
    if not os.access(pointer, os.R_OK | os.W_OK | os.X_OK):
        raise Forbidden(f"{pointer} belongs to another user: this home was first started as root. Start it as root, or choose another home.")
    return pointer.resolve()


def _folder_for(account: Account, home: Path, pointer: Path) -> Path:
    """The link in the home is the only truth: where it is missing a new database is meant, whatever an earlier one left behind."""
    if pointer.is_symlink() or pointer.is_dir():
        return pointer.resolve(strict=True)
    if _may(account, "-x", home):
        pointer.mkdir(exist_ok=True)
        pointer.chmod(0o711)
        return pointer.resolve()
    folder = _shared() / f"{home.name.lstrip('.') or 'home'}-{random_bytes(6).hex()}"
    folder.mkdir()
    folder.chmod(0o711)
    (folder / "home").write_text(f"{home}\n")  # for whoever finds this folder and wonders
    try:
        pointer.symlink_to(folder)
    except FileExistsError:  # a start at the same moment was quicker
        (folder / "home").unlink()
        folder.rmdir()
    return pointer.resolve(strict=True)


def _readable(binaries: Binaries, account: Account) -> Binaries:
    if _may(account, "-x", binaries.path("postgres")) and _may(account, "-r", binaries.folder.parent / "share"):
        return binaries
    return copy_binaries(_shared())


def _shared() -> Path:
    if not SHARED.is_dir():
        SHARED.mkdir(parents=True, exist_ok=True)
        SHARED.chmod(0o755)  # ours, just made; the umask may have been stricter
    return SHARED


def _may(account: Account, what: str, path: Path) -> bool:
    """Asks the kernel as that account, rather than reading modes: there are also access lists, and mounts without exec."""
    answer = subprocess.run(
        ["/bin/sh", "-c", 'test "$1" "$2"', "sh", what, path], user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False
    )
    return answer.returncode == 0


def _owner_of(data: Path) -> Account | None:
    """Who ran it before goes on running it, also where a better account appears later."""
    try:
        owner = data.stat()
    except FileNotFoundError:
        return None
    return Account(uid=owner.st_uid, gid=owner.st_gid) if owner.st_uid != 0 else None


def _least_privileged() -> Account:
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    raise Unavailable(
        f"PostgreSQL does not run as root, and none of the accounts {', '.join(_ACCOUNTS)} exists. Make one, or start as an ordinary user."
    )

"""The vendor's web SDKs as npm has them: exactly the versions and bytes that package-lock.json names, installed beside this file."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"

_LIMIT = 120  # seconds
_LOCK = HERE / "package-lock.json"
_STAMP = MODULES / ".installed"  # holds the hash of the lock file it was installed from

# What npm says where there is no registry to be reached; all else is a failure.
_UNREACHABLE = (
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ERR_SOCKET_TIMEOUT",
    "ERR_CONNECTION_TIMEOUT",
)


def install_packages() -> Path:
    """The folder of the packages. Several processes may ask at once: the first installs, the others wait and find it done."""
    with _LOCK.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = hashlib.sha256(lock.read()).hexdigest()
        if not _STAMP.exists() or _STAMP.read_text() != wanted:
            _install()
            _STAMP.write_text(wanted)
    return MODULES


def _install() -> None:
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("npm and node are needed to install the SDKs, and are not here")
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=500"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=_LIMIT, check=False)
    if done.returncode and any(f"code {code}" in done.stderr for code in _UNREACHABLE):
        pytest.skip("the npm registry cannot be reached, so the SDKs cannot be installed")
    assert done.returncode == 0, done.stderr

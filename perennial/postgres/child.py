"""Starts programs that must not outlive us, nor hear what was meant for us.

A child gets a session of its own, so Ctrl-C in the terminal reaches us alone and we stop things in order. On Linux the kernel
signals it when we die, even by `kill -9`; elsewhere the next start finds and stops what was left.

The same file is what runs between fork and exec (`python child.py ...`): code run there by `preexec_fn` may deadlock when other
threads hold locks, a fresh interpreter cannot. It imports nothing of ours, for as another account it may not be able to.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from signal import SIG_DFL, SIGPIPE, SIGXFSZ, Signals, signal
from typing import IO

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def start_child(
    command: Sequence[str],
    *,
    on_our_death: Signals,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
    account: tuple[int, int] | None = None,
    folder: str | None = None,
    told: bytes = b"",
) -> subprocess.Popen[bytes]:
    """Starts `command` as our child, as the account (uid, gid) where one is given. Its pid is the program's own.

    Call it from a thread that lives as long as the child should: to Linux, "parent" is the thread. `output` takes both streams;
    without it the child writes where we write. `folder` is where it starts, ours by default.
    `told` (at most a pipe's buffer, 4 KiB) is all it will read from its standard input.
    """
    uid, gid = account or (-1, -1)
    prelude = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(on_our_death)), str(uid), str(gid)]
    child = subprocess.Popen(
        [*prelude, *command],
        env=env,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        start_new_session=True,
    )
    assert child.stdin is not None
    with suppress(BrokenPipeError), child.stdin:
        child.stdin.write(told)
    return child


def _become(parent: int, death_signal: int, uid: int, gid: int, command: list[str]) -> None:
    ask = death_notice(death_signal)  # while we can still read our own libraries
    for number in (SIGPIPE, SIGXFSZ):
        signal(number, SIG_DFL)  # Python ignores them, and what is ignored stays so across exec
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        os.umask(0o077)
    ask()  # after setuid, which forgets it
    if os.getppid() != parent:
        sys.exit(f"not started: process {parent}, which asked for {command[0]}, is gone")
    os.execv(command[0], command)


def death_notice(death_signal: int) -> Callable[[], object]:
    """Asks the kernel to signal us when our parent dies. A convenience: where it cannot be had, the next start tidies up."""
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):
            import ctypes

            return partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    return lambda: None


if __name__ == "__main__":
    _become(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])

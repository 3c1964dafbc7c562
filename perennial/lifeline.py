"""A process that must not outlive the one that started it, however that one ends."""

import multiprocessing
import os
import sys
import threading
from signal import SIGKILL
from time import sleep

from perennial.postgres.child import death_notice

STARTED_BY = "PERENNIAL_STARTED_BY"  # in the environment of what `perennial up` starts: its pid
_LOOK_EVERY = 0.5  # seconds, where the kernel does not tell


def end_with_the_master() -> None:
    """For processes of `multiprocessing`: the server's. Called from their main thread. Elsewhere it does nothing."""
    master = multiprocessing.parent_process()
    if master is not None and master.pid is not None:
        _end_with(master.pid)


def end_with_the_starter() -> None:
    """For what `perennial up` starts. On Linux the kernel tells it to stop in good order (`start_child`); elsewhere nobody does."""
    starter = os.environ.get(STARTED_BY, "")
    if sys.platform != "linux" and starter == str(os.getppid()):
        threading.Thread(target=_watch, args=(int(starter),), name="watches the starter", daemon=True).start()


def _end_with(parent: int) -> None:
    """What was in hand is as if this process itself had been killed: rolled back, and done by others."""
    death_notice(SIGKILL)()
    if os.getppid() != parent:  # it ended before we asked to be told
        os._exit(1)
    if sys.platform != "linux":
        threading.Thread(target=_watch, args=(parent,), name="watches the parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        sleep(_LOOK_EVERY)
    os._exit(1)

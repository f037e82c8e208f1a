"""Starts daemons for whoever holds its standard input, and ends all that came of them when that one ends or dies.

A test run that is killed (`kill -9`, a time limit) ends nothing itself: its daemons, and the jobs that these had
started, would stay. So they are started here. This process adopts what its descendants orphan, as SLURM's job steps
do to live on without `slurmd`; the kernel closes its input with the last holder; then it ends its descendants, and
nothing else, and removes the folder that they wrote to.

Reads a line of JSON for each daemon, {"command": [...], "log": path}, and answers with the number of its process.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
PATIENCE = "10"  # seconds from a request to end to the end


def descendants(ancestor: int) -> list[int]:
    """Return the processes that came of one, in no order."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):  # it ended meanwhile
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found, open_ends = [], [ancestor]
    while open_ends:
        parent = open_ends.pop()
        children = [pid for pid, its_parent in parents.items() if its_parent == parent]
        found += children
        open_ends += children
    return found


def end_all(patience: float) -> None:
    """End every process that came of this one: asked first, then killed."""
    until = time.monotonic() + patience
    asked: set[int] = set()
    while left := _living():
        late = time.monotonic() > until
        for pid in left if late else set(left) - asked:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        asked |= set(left)
        time.sleep(0.05)


def _living() -> list[int]:
    reap()
    return descendants(os.getpid())


def reap(*_: object) -> None:
    """Take note of children that have ended; those that were adopted are nobody else's to wait for."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(folder: str, patience: str = PATIENCE) -> None:
    """Serve the lines of standard input until they end; then end all, and remove the folder."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "orphans cannot be adopted")
    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        asked = json.loads(line)
        with open(asked["log"], "wb") as log:
            started = subprocess.Popen(
                asked["command"], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        print(started.pid, flush=True)
    end_all(float(patience))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Stop a stage in good order: on a signal, or when the workflow that started it has died.

Within `graceful()` a signal is a request: the stage asks `requested()` between units of work, saves, and raises
`Interrupted`. Elsewhere there is nothing to save, and the signal raises at once. The handlers are installed before
the slow imports. A job whose workflow was killed would go on writing beside its own restart; so a watcher asks once
a second whether the workflow still lives (HKD_WORKFLOW_PID is its process number), and otherwise stops the job as
SIGTERM would.
"""

from __future__ import annotations

import fcntl
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

EXIT_CODE = 85  # distinct from errors: the work so far is saved, the same command goes on from there

_stop = threading.Event()
_graceful = 0


class Interrupted(BaseException):
    """Work was stopped on request; what was finished is saved. No library's `except Exception` swallows it."""


def install() -> None:
    """Turn SIGINT and SIGTERM into a request, and watch over the workflow that started us, if one did."""
    signal.signal(signal.SIGINT, _handle)
    signal.signal(signal.SIGTERM, _handle)
    if workflow := os.environ.get("HKD_WORKFLOW_PID"):
        threading.Thread(target=_watch, args=(int(workflow),), daemon=True).start()


@contextmanager
def graceful() -> Iterator[None]:
    """Let signals be requests while the block runs: it must call `check` or `requested` between units of work."""
    global _graceful
    _graceful += 1
    try:
        yield
    finally:
        _graceful -= 1


def requested() -> bool:
    """Return whether somebody asked us to stop."""
    return _stop.is_set()


def check() -> None:
    """Raise `Interrupted` when somebody asked us to stop."""
    if requested():
        raise Interrupted


def ask() -> None:
    """Ask for a stop, as a signal would."""
    _stop.set()


def reset() -> None:
    """Forget an earlier request."""
    _stop.clear()


@contextmanager
def only_writer(folder: Path | str) -> Iterator[None]:
    """Hold `folder` for this process alone; wait while another writer, such as an orphaned job, still holds it.

    The kernel drops the lock with its holder, so a killed holder never blocks the next one.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    told = time.monotonic() + 1.0
    with open(folder / ".writer.lock", "w", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                check()
                if time.monotonic() > told:
                    print(f"{folder}: waiting for another writer to finish or to die", file=sys.stderr)
                    told = math.inf
                time.sleep(0.2)
        yield


def _handle(number: int, frame: FrameType | None) -> None:
    if _stop.is_set():  # asked twice: leave at once, without saving
        os._exit(128 + number)
    _stop.set()
    if not _graceful:
        raise Interrupted


def _watch(workflow: int) -> None:
    """Ask for a stop when the workflow's process is gone."""
    while _exists(workflow):
        time.sleep(1.0)
    if not _stop.is_set():  # as a signal, because only the main thread can raise `Interrupted` in its own work
        os.kill(os.getpid(), signal.SIGTERM)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, and belongs to somebody else
        return True
    return True

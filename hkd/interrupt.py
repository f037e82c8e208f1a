"""Stop a stage in good order: on a signal, or when the workflow that started it has died.

Within `graceful()` a signal is a request: the stage asks `requested()` between units of work, saves, and raises
`Interrupted`. Elsewhere there is nothing to save, and the signal raises at once. The handlers are installed before
the slow imports. A job whose workflow was killed would go on writing beside its own restart; so a watcher asks once
a second whether the workflow still lives (HKD_WORKFLOW_PID is its process number), and otherwise stops the job as
SIGTERM would.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from hkd import owner
from hkd.store.refusals import ArtifactError, Refused

EXIT_CODE = 85  # distinct from errors: the work so far is saved, the same command goes on from there

PATIENCE = 60.0  # seconds that a job of a cluster waits for another writer of its folder
JOB_NUMBERS = ("SLURM_JOB_ID", "PBS_JOBID", "JOB_ID", "LSB_JOBID")  # as SLURM, PBS, Grid Engine and LSF tell their jobs

_stop = threading.Event()
_graceful = 0


class Interrupted(BaseException):
    """Work was stopped on request; what was finished is saved. No library's `except Exception` swallows it."""


def install() -> None:
    """Turn SIGINT and SIGTERM into a request; those that were held back until now are heard.

    Raises:
        Interrupted: that workflow is gone already.
        ValueError: what the environment says of it is no process number.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1))
    if workflow := os.environ.get("HKD_WORKFLOW_PID"):
        if not workflow.isascii() or not workflow.isdigit() or int(workflow[:20]) == 0:
            raise ValueError(f"HKD_WORKFLOW_PID: '{workflow[:40]}' is no process number; unset it")
        # here and not by the watcher, whose signal would hit anything between the first import and the first work
        if not owner.exists(int(workflow[:20])):
            ask()
            raise Interrupted


def watch() -> None:
    """Watch over the workflow that started us, if one did: when it is gone, this process is asked to stop."""
    if workflow := os.environ.get("HKD_WORKFLOW_PID"):
        threading.Thread(target=_watch, args=(int(workflow),), daemon=True).start()


def over() -> None:
    """Let requests be heard and nothing more: the work is done, and its end is not to be interrupted."""
    global _graceful
    _graceful += 1


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

    The kernel drops the lock with its holder, so a killed holder never blocks the next one. The file says who holds it.
    A job of a cluster waits for a minute only, as long as an attempt of its own may take to end: it would hold a GPU.

    Raises:
        ArtifactError: another writer works on, or the disk has no locks and HKD_LOCKS is not `off`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    told = began + 1.0
    in_job = any(os.environ.get(name) for name in JOB_NUMBERS)
    descriptor = lock_file(folder / ".writer.lock")
    try:
        while True:
            try:
                _lock(descriptor, folder)
                break
            except BlockingIOError:
                check()
                if in_job and time.monotonic() - began > PATIENCE:
                    raise Refused(
                        f"{folder}: another writer is at work ({holder(descriptor)}); this job leaves, so that it "
                        "holds no GPU meanwhile: run the same command again when that one has ended"
                    ) from None
                if time.monotonic() > told:
                    print(f"{folder}: waiting for another writer to finish ({holder(descriptor)})", file=sys.stderr)
                    told = math.inf
                time.sleep(0.2)
        with suppress(OSError):  # of another user, or on a full disk: it holds all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(owner.note()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def lock_file(path: Path) -> int:
    """Return the descriptor of a lock; another user's, which we may not write, is held as well by reading it."""
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY | flags)


def _lock(descriptor: int, folder: Path) -> None:
    """Take the lock of an open file; with HKD_LOCKS=off only if the disk has any."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if os.environ.get("HKD_LOCKS") == "off":
            return
        raise ArtifactError(
            f"{folder}: its disk has no locks ({error.strerror}), so nothing would stop a second writer; mount it with "
            "them (Lustre: -o flock), put results on another disk (results=PATH), or set HKD_LOCKS=off and see to it "
            "that nothing runs twice"
        ) from None


def holder(descriptor: int) -> str:
    """Return in words what the holder of a lock wrote into it."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
    except (OSError, ValueError, RecursionError):
        found = None
    return owner.described(found if isinstance(found, dict) else {})


def _handle(number: int, frame: FrameType | None) -> None:
    if _stop.is_set() and number != signal.SIGINT and "WORLD_SIZE" in os.environ:
        return  # of processes that were started together, each hears a scheduler and the one that started them
    if _stop.is_set():  # asked twice: leave at once, without saving
        os._exit(128 + number)
    _stop.set()
    if not _graceful:
        raise Interrupted


def _watch(workflow: int) -> None:
    """Ask for a stop when the workflow's process is gone."""
    while owner.exists(workflow):
        time.sleep(1.0)
    if not _stop.is_set():  # as a signal, because only the main thread can raise `Interrupted` in its own work
        os.kill(os.getpid(), signal.SIGTERM)

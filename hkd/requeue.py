"""A time limit or a preemption is no failure: unfinished work puts its own job back into SLURM's queue.

The job keeps its number, so the workflow that submitted it notices nothing and no attempt is counted. It does so only
when it has come further since it began, or it would come back for ever.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hkd import interrupt, slurm

RUNNING = ("RUNNING", "PREEMPTED")  # of a job that was cancelled or requeued by others nothing is asked
END = 120.0  # seconds in which SLURM ends a job that it takes back


@contextmanager
def requeued(folder: Path | str) -> Iterator[None]:
    """Requeue this process's job when the block is stopped on request and has left new files in `folder`.

    Where no SLURM runs, or it was SLURM's user who cancelled the job, nothing happens.
    """
    before = _names(Path(folder))
    try:
        yield
    except interrupt.Interrupted:
        if (number := slurm.job()) and _names(Path(folder)) - before and slurm.state(number) in RUNNING:
            _requeue(number)
        raise


def _requeue(number: str) -> None:
    if slurm.requeue(number):
        print(f"stopped by the cluster: job {number} is in the queue again and goes on from here", file=sys.stderr)
        time.sleep(END)  # to leave now would be a failure to the workflow; SLURM ends this process in a moment


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*")}

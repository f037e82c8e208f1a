"""SLURM as its own programs tell it: whether this is a job of it, what is in the queue, how to cancel and requeue."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

ANSWER = 60.0  # seconds that a program of a busy cluster may take to answer


def job() -> str | None:
    """Return the number of the job that this process is of, or None."""
    return os.environ.get("SLURM_JOB_ID") or None


def queued(name: str) -> list[str] | None:
    """Return the numbers of all jobs of this name that wait or run; None where nobody can say."""
    said = _said("squeue", "--noheader", "--name", name, "--format", "%i")
    return None if said is None else said.split()


def state(number: str) -> str | None:
    """Return the state of a job, as RUNNING; None where nobody can say."""
    said = _said("squeue", "--noheader", "--jobs", number, "--states", "all", "--format", "%T")
    return (said or "").strip() or None


def cancel(jobs: Sequence[str]) -> bool:
    """Cancel jobs; return whether SLURM took it."""
    return _said("scancel", *jobs) is not None


def requeue(number: str) -> bool:
    """Put a running job back into the queue, under its number; return whether SLURM took it."""
    return _said("scontrol", "requeue", number) is not None


def _said(*command: str) -> str | None:
    """Return what a program prints, or None: it is not here, failed or does not answer."""
    try:
        ran = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=ANSWER, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout if ran.returncode == 0 else None

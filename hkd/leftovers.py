"""Jobs that a workflow left in SLURM's queue when it died: who restarts the workflow finds, awaits or cancels them.

A workflow that submits jobs leaves a note of who it is and of the name that all its jobs carry in the queue: from the
name SLURM tells their numbers at any time, of those that still wait too. A job that runs on writes what it was to
write; were it submitted again meanwhile, two jobs would hold a GPU for one run.
"""

from __future__ import annotations

import atexit
import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from hkd import owner, slurm
from hkd.store.atomic import write_json
from hkd.store.refusals import ArtifactError

NOTES = "hkd-jobs"  # in Snakemake's folder
MAX_NOTE_BYTES = 1 << 16
POLL = 10.0  # seconds between two questions to the queue
SILENCE = 6  # questions without an answer after which nobody waits any longer


class Left(NamedTuple):
    """Jobs of a workflow that is dead, or whose life cannot be seen from this machine.

    Attributes:
        note: the file that names them. holder: what it says. jobs: their numbers in the queue. dead: for certain.
    """

    note: Path
    holder: dict[str, Any]
    jobs: list[str]
    dead: bool

    def line(self) -> str:
        """Return it in words, on one line."""
        many = f"{'job' if len(self.jobs) == 1 else 'jobs'} {', '.join(self.jobs)}"
        state = "died" if self.dead else "may have died on another machine"
        return f"{many} of a workflow that {state} ({owner.described(self.holder)}) are still in SLURM's queue"


def leave_note(folder: Path, name: str) -> None:
    """Note who we are and the name of all jobs that we submit, until this process ends and has left none."""
    note = (folder / NOTES / f"{name}.json").absolute()
    with suppress(OSError, ArtifactError):  # who cannot write here cannot lock either: Snakemake says so itself
        write_json(note, {**owner.note(), "slurm": name})
        atexit.register(_end, note, name)


def left_jobs(folder: Path) -> list[Left]:
    """Return the jobs of other workflows of this folder that are not known to live; forget those who left none.

    Raises:
        ArtifactError: a dead one may have left jobs, and the queue does not answer.
    """
    found = []
    for path, holder in _notes(folder / NOTES):
        here = holder["host"] == owner.note()["host"]
        if here and owner.may_live(holder):
            continue
        dead = not owner.may_live(holder)
        jobs = slurm.queued(str(holder["slurm"]))
        if jobs is None:
            raise ArtifactError(
                f"{path}: a workflow that is gone ({owner.described(holder)}) may have left jobs, and squeue does not "
                "answer; try again, or delete this file if none is left"
            )
        if jobs:
            found.append(Left(path, holder, jobs, dead))
        elif dead:
            with suppress(OSError):  # another user's
                path.unlink(missing_ok=True)
    return found


def settle(left: Left, way: str) -> None:
    """Wait until jobs have left the queue; `cancel` cancels them first, and a training then saves its state.

    Raises:
        ArtifactError: the queue no longer answers.
    """
    doing = "cancelling them" if way == "cancel" else "waiting for them (--config leftovers=cancel ends that)"
    if not left.dead:
        doing += f"; if it lives and makes other files, stop this and delete {left.note}"
    print(f"{left.line()}: {doing}", file=sys.stderr)
    if way == "cancel" and not slurm.cancel(left.jobs):
        print("scancel refuses, as for jobs of another user: waiting for them", file=sys.stderr)
    unanswered = 0
    while (jobs := slurm.queued(str(left.holder["slurm"]))) != []:
        unanswered = unanswered + 1 if jobs is None else 0
        if unanswered == SILENCE:
            raise ArtifactError(
                f"{left.note}: squeue no longer answers; try again, or delete this file if none is left"
            )
        time.sleep(POLL)
    with suppress(OSError):
        left.note.unlink(missing_ok=True)


def _end(note: Path, name: str) -> None:
    if shutil.which("squeue") is None or slurm.queued(name) == []:  # without its programs nothing was submitted
        with suppress(OSError):
            note.unlink(missing_ok=True)


def _notes(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the notes that lie in a folder; what cannot be read is not a note of ours."""
    for path in sorted(folder.glob("*.json")):
        with suppress(OSError, ValueError, RecursionError), open(path, "rb") as file:
            found = json.loads(file.read(MAX_NOTE_BYTES))
            if isinstance(found, dict) and {"host", "pid", "born", "slurm"} <= found.keys():
                yield path, found

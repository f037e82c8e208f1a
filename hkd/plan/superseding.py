"""What the jobs of a graph are about to take the place of, and whether they may."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError
from hkd.store.history import Training, current, hours_in_words
from hkd.store.records import identity
from hkd.store.refusals import ArtifactError

KEPT = "they are kept in superseded/ of each run, and `hkd records --superseded` lists them"


class Job(NamedTuple):
    """A job that will run: what it reads and leaves, and the digest of what defines it."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    digest: str


class Superseded(NamedTuple):
    """Finished trainings that jobs take the place of: for certain, and if what they read comes out different."""

    certain: list[Training]
    possible: list[Training]

    def line(self) -> str:
        """Return it in words on one line; empty if it is nothing."""
        certain, possible = self.certain, self.possible
        said = [f"{_counted(certain)} ({hours_in_words(certain)} as recorded)"] if certain else []
        if possible:
            said.append(f"{_counted(possible)} ({hours_in_words(possible)}) if what it reads comes out different")
        return f"this run supersedes {', and '.join(said)}; {KEPT}" if said else ""


def superseded_by(jobs: Sequence[Job]) -> Superseded:
    """Return the finished trainings that lie in the folders of the jobs' outputs and are of other settings, code or
    inputs."""
    made = {path for job in jobs for path in job.outputs}
    found = Superseded([], [])
    for job in jobs:
        for folder in sorted({Path(path).parent for path in job.outputs}):
            there = current(folder)
            if there is None:
                continue
            if there.identity.rpartition("-")[0] != job.digest:
                found.certain.append(there)
            elif made & set(job.inputs):
                found.possible.append(there)
            elif _differs(there, job):
                found.certain.append(there)
    return found


def check_replacing(plan: Plan, found: Sequence[Training]) -> None:
    """Refuse to take the place of finished trainings at paper scale, unless `replace` allows it.

    Raises:
        ConfigError: naming the first of them and what they cost.
    """
    if found and plan.benchmark.scale == "paper" and not plan.benchmark.replace:
        raise ConfigError(
            f"{found[0].folder}: {_counted(found)} of other settings, code or inputs ({hours_in_words(found)}) would "
            "be superseded; say --config replace=true, or bring the old settings back"
        )


def others(folder: Path, name: str) -> list[Training]:
    """Return the finished training of a folder if its identity is another."""
    there = current(folder)
    return [there] if there and there.identity != name else []


def _differs(there: Training, job: Job) -> bool:
    try:
        return there.identity != identity(job.digest, job.inputs)
    except (ArtifactError, OSError):  # an input that is not there yet, or damaged: it must be made first
        return True


def _counted(found: Sequence[Training]) -> str:
    return f"{len(found)} finished training{'' if len(found) == 1 else 's'}"

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
from hkd.store.superseded import CHECKPOINTS, identities_of_states

KEPT = "they are kept in superseded/ of each run, and `hkd records --superseded` lists them"


class Job(NamedTuple):
    """A job that will run: what it reads and leaves, and the digest of what defines it.

    `states` is the digest of what defines its states on the way, and `steps` how many it makes; of a training alone.
    """

    inputs: Sequence[str]
    outputs: Sequence[str]
    digest: str
    states: str = ""
    steps: int = 0


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
    inputs. One that a longer training goes on from is lost to nobody, and none of them."""
    made = {path for job in jobs for path in job.outputs}
    found = Superseded([], [])
    for job in jobs:
        for folder in sorted({Path(path).parent for path in job.outputs}):
            there = current(folder)
            if there is None:
                continue
            longer = _named(there.states) == job.states and (there.steps or 0) < job.steps
            if _named(there.identity) != job.digest and not longer:
                found.certain.append(there)
            elif made & set(job.inputs):
                found.possible.append(there)
            elif _differs(there, job, longer=longer):
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


def others(folder: Path, name: str, states: str = "", steps: int = 0) -> list[Training]:
    """Return the finished training of a folder if its identity is another, and none that goes on to more steps.

    Args:
        states, steps: name of the states of the training that comes now, and how many steps it makes.
    """
    there = current(folder)
    if there is None or there.identity == name or _goes_on(there, states, steps):
        return []
    return [there]


def _goes_on(there: Training, states: str, steps: int) -> bool:
    """Return whether the states of a finished training are there, and those of a longer one too."""
    return (
        there.states == states
        and (there.steps or 0) < steps
        and states in identities_of_states(there.folder / CHECKPOINTS)
    )


def _named(identity: str) -> str:
    """Return the digest in an identity, without the inputs."""
    return identity.rpartition("-")[0]


def _differs(there: Training, job: Job, *, longer: bool) -> bool:
    try:
        if longer:
            return not _goes_on(there, identity(job.states, job.inputs), job.steps)
        return there.identity != identity(job.digest, job.inputs)
    except (ArtifactError, OSError):  # an input that is not there yet, or damaged: it must be made first
        return True


def _counted(found: Sequence[Training]) -> str:
    return f"{len(found)} finished training{'' if len(found) == 1 else 's'}"

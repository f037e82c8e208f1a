"""The trainings of a results folder: those that are finished, and those that another took the place of.

What a training replaces lies in `{run}/superseded/<name>` (see `hkd.store.superseded`). Here it is listed with what it
cost, and put back.
"""

from __future__ import annotations

import glob
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hkd.store import bounded
from hkd.store.atomic import sha256
from hkd.store.paths import Layout, RunFiles
from hkd.store.records import RECORD, read_record
from hkd.store.refusals import ArtifactError
from hkd.store.superseded import (
    CHECKPOINTS,
    FINISHED,
    IDENTITY,
    STATES,
    SUPERSEDED,
    identities_of_states,
    identity_of,
    link_or_copy,
    listed_states,
    set_aside,
    states_of,
)
from hkd.store.temporary import make_folder, settle_folder

HOUR = 3600.0
NONE = -1  # steps of a training to which no state belongs


@dataclass(frozen=True)
class Training:
    """A training that was made once.

    Attributes:
        folder: of the run or feature network. name: of its folder in `superseded`; empty for the one in place.
        identity: of settings, code and inputs. states: of its states on the way. when: it ended, or was last saved.
        steps: that it made; None where nothing says it. hours: that it took. gpu: whether on one.
        finished: whether it has weights, not states alone.
    """

    folder: Path
    name: str
    identity: str
    states: str
    when: str
    steps: int | None
    hours: float
    gpu: bool
    finished: bool

    def line(self) -> str:
        """Return it in words, on one line."""
        made = "unknown steps" if self.steps is None else f"{self.steps} steps"
        state = "finished" if self.finished else "not finished"
        where = "GPU" if self.gpu else "CPU"
        return f"{self.folder}  {self.name or 'in place'}  {self.when}  {made}  {self.hours:.2f} {where}-hours  {state}"


def trainings(layout: Layout, *, superseded: bool) -> list[Training]:
    """Return every finished training below the results folder, or all that another took the place of."""
    below = Layout(glob.escape(layout.root))
    patterns = (below.run("*", "*/*", "*"), below.extractor_folder("*", "*"))
    folders = sorted({Path(path) for pattern in patterns for path in glob.glob(pattern)})
    return [found for folder in folders for found in trainings_of(folder, superseded=superseded)]


def trainings_in(folder: Path, *, superseded: bool) -> list[Training]:
    """Return those of a run's folder, or, if it holds none itself, of the results folder that it may be."""
    return trainings_of(folder, superseded=superseded) or trainings(Layout(str(folder)), superseded=superseded)


def trainings_of(folder: Path, *, superseded: bool) -> list[Training]:
    """Return the finished training of a run's folder, or those that another took the place of."""
    if superseded:
        return past(folder)
    return [found] if (found := current(folder)) else []


def past(folder: Path) -> list[Training]:
    """Return the trainings of a folder that another took the place of, the oldest first."""
    places = sorted((folder / SUPERSEDED).glob("*"), key=lambda place: place.stat().st_mtime)
    return [_read(folder, place, place.name) for place in places if place.is_dir()]


def current(folder: Path) -> Training | None:
    """Return the finished training of a folder, or None."""
    return _read(folder, folder / FINISHED, "") if (folder / FINISHED).is_dir() else None


def hours_in_words(found: Iterable[Training]) -> str:
    """Return what trainings took together, by GPU and CPU."""
    every = list(found)
    kinds = [(kind, [one.hours for one in every if one.gpu is gpu]) for kind, gpu in (("GPU", True), ("CPU", False))]
    return ", ".join(f"{sum(hours):.2f} {kind}-hours" for kind, hours in kinds if hours) or "0 hours"


def restore(folder: Path, name: str) -> list[Path]:
    """Put a superseded training back in place; return where what was in place lies now.

    Nothing is overwritten: the training in place is set aside first, as any other would set it aside.

    Raises:
        ArtifactError: there is none of that name, it is the one in place, or what is in place is kept nowhere else.
    """
    source = folder / SUPERSEDED / name
    if "/" in name or name in ("", ".", "..") or not source.is_dir():
        known = ", ".join(found.name for found in past(folder)) or "none"
        raise ArtifactError(f"{folder}: nothing superseded is called '{name}'; there are: {known}")
    identity = _identity(source)
    if identity_of(folder / FINISHED) == identity and (source / IDENTITY).exists():
        raise ArtifactError(f"{folder}: the training in place was made by the same settings as {name}; nothing is done")
    _check_kept(folder)
    states = (states_of(source) or "") if (source / IDENTITY).exists() else ""
    # in place may be states of a shorter or longer training, under the same name
    there, kept = listed_states(folder / CHECKPOINTS), listed_states(source / CHECKPOINTS)
    moved = set_aside(folder, identity, states, NONE if kept and kept[-1:] != there[-1:] else None)
    if not (folder / CHECKPOINTS).exists() and (source / CHECKPOINTS).is_dir():
        os.rename(source / CHECKPOINTS, folder / CHECKPOINTS)
    if (source / IDENTITY).exists():
        os.rename(source, folder / FINISHED)
        _put_in_place(folder)
    elif not any(source.iterdir()):
        source.rmdir()
    settle_folder(folder)
    return moved


def _put_in_place(folder: Path) -> None:
    """Give every file of the finished training its name in the run's folder."""
    finished = folder / FINISHED
    for file in sorted(finished.rglob("*")):
        inside = file.relative_to(finished)
        if file.is_file() and inside.name not in (IDENTITY, STATES) and inside.parts[0] != CHECKPOINTS:
            make_folder((folder / inside).parent)
            link_or_copy(file, folder / inside)
    if (finished / CHECKPOINTS).is_dir():  # states that lie in place already are of the same training
        shutil.rmtree(finished / CHECKPOINTS)


def _check_kept(folder: Path) -> None:
    weights, second = Path(RunFiles(folder).weights), Path(RunFiles(folder / FINISHED).weights)
    if weights.exists() and not (second.exists() and sha256(second) == sha256(weights)):
        raise ArtifactError(f"{weights}: kept nowhere else, and would be overwritten; move it away first")


def _identity(place: Path) -> str:
    if (place / IDENTITY).exists():
        return str(identity_of(place))
    states = identities_of_states(place / CHECKPOINTS)
    return states[-1] if states else "unknown"


def _read(folder: Path, place: Path, name: str) -> Training:
    """Return what the record of a training's weights says, or the list of its states; of damage, nothing."""
    about: dict[str, Any] = {}
    weights = Path(RunFiles(place).weights)
    with suppress(ArtifactError):
        about = read_record(weights, "train")
    gpu = str(about.get("device", "")).startswith("cuda")
    budget = about.get("budget", {"train_seconds": about.get("train_seconds", about.get("wall_seconds"))})
    steps, seconds = budget.get("steps"), budget.get("train_seconds")
    if not about:
        steps, seconds = _last_state(place / CHECKPOINTS)
    newest = Path(f"{weights}{RECORD}") if about else place
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(newest.stat().st_mtime))
    hours = (seconds or 0.0) / HOUR
    identity, states = _identity(place), states_of(place) or ""
    return Training(folder, name, identity, states, when, steps, hours, gpu, weights.exists())


def _last_state(states: Path) -> tuple[int | None, float | None]:
    """Return step and seconds as the newest state says them; nothing of one that is damaged."""
    newest = max(states.glob("step*.safetensors"), default=None)
    try:
        about = bounded.tensors_about(newest) if newest else {}
        last = bounded.check_fields(about, {"step": int, "seconds": (int, float)})
    except (OSError, bounded.Damaged):
        return None, None
    return last["step"], last["seconds"]

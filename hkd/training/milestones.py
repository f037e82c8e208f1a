"""Averaged weights after chosen steps: kept beside the checkpoints during training, handed over at its end.

They are written before the checkpoint of the same step, so a training that resumes behind a milestone has its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from hkd.settings.sections import Training
from hkd.store import bounded
from hkd.store.artifacts import load_weights, read_json, save_weights
from hkd.store.atomic import sha256, write_json
from hkd.store.records import Record, check_digest
from hkd.store.refusals import ArtifactError
from hkd.store.superseded import link_or_copy

MANIFEST = "manifest.json"
FIELDS: dict[str, Any] = {"steps": int, "milestones": list, "sha256": list}


def milestone_steps(settings: Training) -> tuple[int, ...]:
    """Return the steps after which weights are kept, ascending: shares of the training, one step at least unless 0."""
    shares = settings.milestones
    return tuple(sorted({max(round(share * settings.steps), 1) if share else 0 for share in shares}))


def weights_name(step: int) -> str:
    """Return the file name of the weights after a step."""
    return f"step{step:09d}.safetensors"


class Milestones:
    """The weights of one training after chosen steps.

    Args:
        folder: where they are kept until `hand_over`.
        identity: names the settings and inputs; weights of another identity do not count.
        steps: after which to keep weights; 0 is before training.
    """

    def __init__(self, folder: Path | str, identity: str, steps: Sequence[int]) -> None:
        self.folder = Path(folder)
        self.identity = identity
        self.steps = tuple(steps)

    def reach(self, step: int, weights: Callable[[], Mapping[str, Tensor]]) -> None:
        """Keep the weights after `step` if they were asked for and are not there yet."""
        if step not in self.steps or not self._missing(step):
            return
        path = self.folder / weights_name(step)
        # weights first, then the manifest that names them: a kill in between leaves a file that does not count
        save_weights(path, weights(), finite=False)  # whether they are is asked when they become results
        kept = self._kept() | {path.name: {"sha256": sha256(path), "identity": self.identity}}
        write_json(self.folder / MANIFEST, kept)

    def missing(self, step: int) -> list[int]:
        """Return the milestones up to a step whose weights are absent, damaged or of other settings."""
        return [at for at in self.steps if at <= step and self._missing(at)]

    def hand_over(self, folder: Path, record: Record, total: int) -> list[Path]:
        """Put the weights into `folder`, each with its record, list them in its manifest, and return what was written.

        The manifest comes last.

        Raises:
            ArtifactError: weights on the way hold NaN or infinity; then nothing is put anywhere.
        """
        for step in self.steps:
            load_weights(self.folder / weights_name(step))  # refuses what is not finite
        written = []
        for step in self.steps:
            path = folder / weights_name(step)
            link_or_copy(self.folder / path.name, path)
            record.write(path, step=step, steps=total)
            written.append(path)
        digests = [sha256(path) for path in written]
        write_json(folder / MANIFEST, {"steps": total, "milestones": list(self.steps), "sha256": digests})
        record.write(folder / MANIFEST)
        return [*written, folder / MANIFEST]

    def _missing(self, step: int) -> bool:
        path = self.folder / weights_name(step)
        known = self._kept().get(path.name)
        return known is None or not path.exists() or known != {"sha256": sha256(path), "identity": self.identity}

    def _kept(self) -> dict[str, Any]:
        try:
            kept = bounded.parse_json(bounded.read_bytes(self.folder / MANIFEST, bounded.SHORT_JSON_BYTES))
        except (FileNotFoundError, bounded.Damaged):
            return {}
        return kept if isinstance(kept, dict) else {}


@dataclass(frozen=True)
class KeptMilestones:
    """The weights on the way that a finished training has handed over: after `steps` of `total`, in order."""

    steps: list[int]
    weights: list[Path]
    total: int

    def images(self, each: int) -> int:
        """Return how many images all milestones have together."""
        return len(self.steps) * each


def kept_milestones(folder: Path) -> KeptMilestones:
    """Return the weights that a training has handed over to `folder`.

    Raises:
        ArtifactError: it kept none, or one is missing or damaged.
    """
    path = folder / MANIFEST
    try:
        listed = bounded.check_fields(read_json(path, "train"), FIELDS)
        steps, total, digests = listed["milestones"], listed["steps"], listed["sha256"]
        if not all(type(step) is int and 0 <= step <= total for step in steps) or len(digests) != len(steps):
            raise bounded.Damaged(f"its milestones {str(steps)[:80]} are no steps of {total}, or not all have a digest")
    except bounded.Damaged as error:
        raise ArtifactError(f"{path}: {error}; delete it and run `hkd train` again") from None
    if not steps:
        raise ArtifactError(f"{folder}: this training kept no milestones; set training.milestones and train again")
    weights = [folder / weights_name(step) for step in steps]
    for file, digest in zip(weights, digests, strict=True):
        check_digest(file, "train")
        if sha256(file) != digest:
            raise ArtifactError(f"{file}: not the weights that {MANIFEST} lists; delete it and run `hkd train` again")
    return KeptMilestones(steps, weights, total)

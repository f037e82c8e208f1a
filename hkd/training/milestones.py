"""Weights after chosen steps, averaged and raw: kept beside the checkpoints during training, handed over at its end.

They are written before the checkpoint of the same step, so a training that resumes behind a milestone has its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hkd.settings.sections import Training
from hkd.store import bounded
from hkd.store.artifacts import load_weights, read_json, save_weights
from hkd.store.atomic import sha256, write_json
from hkd.store.records import Record, check_digest
from hkd.store.refusals import ArtifactError
from hkd.store.superseded import link_or_copy

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "manifest.json"
FIELDS: dict[str, Any] = {"steps": int, "milestones": list, "sha256": list, "raw_sha256": list}
Weights = Callable[[], Mapping[str, "Tensor"]]


def milestone_steps(settings: Training) -> tuple[int, ...]:
    """Return the steps after which weights are kept, ascending: shares of the training, one step at least unless 0."""
    shares = settings.milestones
    return tuple(sorted({max(round(share * settings.steps), 1) if share else 0 for share in shares}))


def weights_name(step: int) -> str:
    """Return the file name of the averaged weights after a step."""
    return f"step{step:09d}.safetensors"


def raw_name(step: int) -> str:
    """Return the file name of the weights after a step as they were, not averaged."""
    return f"step{step:09d}.raw.safetensors"


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

    def reach(self, step: int, averaged: Weights, raw: Weights) -> None:
        """Keep the weights after `step`, both of them, if they were asked for and are not there yet."""
        if step not in self.steps or not self._missing(step):
            return
        kept = self._kept()
        # weights first, then the manifest that names them: a kill in between leaves files that do not count
        for name, weights in ((weights_name(step), averaged), (raw_name(step), raw)):
            save_weights(self.folder / name, weights(), finite=False)  # asked when they become results
            kept[name] = {"sha256": sha256(self.folder / name), "identity": self.identity}
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
        names = [name(step) for step in self.steps for name in (weights_name, raw_name)]
        for name in names:
            load_weights(self.folder / name)  # refuses what is not finite
        for step in self.steps:
            for name, facts in ((weights_name(step), {}), (raw_name(step), {"weights": "raw"})):
                link_or_copy(self.folder / name, folder / name)
                record.write(folder / name, step=step, steps=total, **facts)
        averaged, raw = ([sha256(folder / name(step)) for step in self.steps] for name in (weights_name, raw_name))
        listed = {"steps": total, "milestones": list(self.steps), "sha256": averaged, "raw_sha256": raw}
        write_json(folder / MANIFEST, listed)
        record.write(folder / MANIFEST)
        return [folder / name for name in (*names, MANIFEST)]

    def _missing(self, step: int) -> bool:
        kept = self._kept()
        return any(self._lost(name, kept.get(name)) for name in (weights_name(step), raw_name(step)))

    def _lost(self, name: str, known: Any) -> bool:
        path = self.folder / name
        return known is None or not path.exists() or known != {"sha256": sha256(path), "identity": self.identity}

    def _kept(self) -> dict[str, Any]:
        try:
            kept = bounded.parse_json(bounded.read_bytes(self.folder / MANIFEST, bounded.SHORT_JSON_BYTES))
        except (FileNotFoundError, bounded.Damaged):
            return {}
        return kept if isinstance(kept, dict) else {}


@dataclass(frozen=True)
class KeptMilestones:
    """The weights on the way that a finished training has handed over: after `steps` of `total`, in order.

    Attributes:
        weights: averaged. raw: as they were at these steps, where they were asked for.
    """

    steps: list[int]
    weights: list[Path]
    total: int
    raw: list[Path]

    def images(self, each: int) -> int:
        """Return how many images all milestones have together."""
        return len([*self.weights, *self.raw]) * each


def kept_milestones(folder: Path, *, raw: bool = False) -> KeptMilestones:
    """Return the weights that a training has handed over to `folder`.

    Args:
        raw: whether the weights that are not averaged are asked for too.
    Raises:
        ArtifactError: it kept none, or one is missing or damaged.
    """
    path = folder / MANIFEST
    try:
        listed = bounded.check_fields(read_json(path, "train"), FIELDS, optional=("raw_sha256",))
        steps, total = listed["milestones"], listed["steps"]
        if not all(type(step) is int and 0 <= step <= total for step in steps):
            raise bounded.Damaged(f"its milestones {str(steps)[:80]} are no steps of {total}")
        if any(len(listed[name]) != len(steps) for name in ("sha256", "raw_sha256") if name in listed):
            raise bounded.Damaged("not all of its milestones have a digest")
    except bounded.Damaged as error:
        raise ArtifactError(f"{path}: {error}; delete it and run `hkd train` again") from None
    if not steps:
        raise ArtifactError(f"{folder}: this training kept no milestones; set training.milestones and train again")
    if raw and "raw_sha256" not in listed:
        raise ArtifactError(
            f"{path}: lists averaged weights alone, as an older version of hkd kept them; run `hkd train` again"
        )
    averaged = _listed(folder, map(weights_name, steps), listed["sha256"])
    return KeptMilestones(
        steps, averaged, total, _listed(folder, map(raw_name, steps), listed["raw_sha256"]) if raw else []
    )


def _listed(folder: Path, names: Iterable[str], digests: Sequence[Any]) -> list[Path]:
    """Return the files of these names; `ArtifactError` for one that is damaged, or another than was listed."""
    files = [folder / name for name in names]
    for file, digest in zip(files, digests, strict=True):
        check_digest(file, "train")
        if sha256(file) != digest:
            raise ArtifactError(f"{file}: not the weights that {MANIFEST} lists; delete it and run `hkd train` again")
    return files

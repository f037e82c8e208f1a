"""Averaged weights after chosen steps: kept beside the checkpoints during training, handed over at its end.

They are written before the checkpoint of the same step, so a training that resumes behind a milestone has its weights.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from hkd.store.artifacts import Record, atomic_path, save_weights, sha256, write_json

MANIFEST = "manifest.json"


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
        save_weights(path, weights())
        kept = self._kept() | {path.name: {"sha256": sha256(path), "identity": self.identity}}
        write_json(self.folder / MANIFEST, kept)

    def missing(self, step: int) -> list[int]:
        """Return the milestones up to a step whose weights are absent, damaged or of other settings."""
        return [at for at in self.steps if at <= step and self._missing(at)]

    def hand_over(self, folder: Path, record: Record, total: int) -> None:
        """Put the weights into `folder`, each with its record, and list them in its manifest, which comes last."""
        for step in self.steps:
            path = folder / weights_name(step)
            with atomic_path(path) as temporary:
                _link_or_copy(self.folder / path.name, temporary)
            record.write(path, step=step, steps=total)
        write_json(folder / MANIFEST, {"steps": total, "milestones": list(self.steps)})
        record.write(folder / MANIFEST)

    def _missing(self, step: int) -> bool:
        path = self.folder / weights_name(step)
        known = self._kept().get(path.name)
        return known is None or not path.exists() or known != {"sha256": sha256(path), "identity": self.identity}

    def _kept(self) -> dict[str, Any]:
        try:
            kept = json.loads((self.folder / MANIFEST).read_text())
        except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
            return {}
        return kept if isinstance(kept, dict) else {}


def _link_or_copy(source: Path, target: Path) -> None:
    """Give a finished file a second name, which costs no space; copy it where that is not possible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

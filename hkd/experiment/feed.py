"""The batches of a training, as a function of the step: shuffled visits of images or of stored trajectories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hkd.data.image_set import ImageSet
from hkd.data.trajectories import Trajectories
from hkd.seeding import stream, visit
from hkd.settings.sections import Run


def batches(run: Run, *, images: Path, trajectories: Path | None, seed: int, to: torch.device) -> Callable[[int], Any]:
    """Return the feed of a training: step number -> batch. A shuffled visit without end, a function of the step."""
    size = run.training.batch
    if trajectories is not None:
        stored = Trajectories(trajectories)
        stored.verify()
        return lambda step: stored.batch(visit(seed, "order", len(stored), step * size, size), to)
    data = ImageSet(images, use_labels=run.conditional)
    data.verify()

    def batch(step: int) -> Any:
        flips = stream(seed, "flip", step) if run.training.flip else None
        return data.batch(visit(seed, "order", len(data), step * size, size), to, flip=flips)

    return batch

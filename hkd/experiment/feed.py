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

WHOLE = slice(None)


def batches(run: Run, *, images: Path, trajectories: Path | None, seed: int, to: torch.device) -> Callable[..., Any]:
    """Return the feed of a training: step number -> batch, or (step number, slice) -> those rows of the batch.

    It is a shuffled visit without end, a function of the step.
    """
    size = run.training.batch
    if trajectories is not None:
        stored = Trajectories(trajectories)
        stored.verify()

        def some(step: int, rows: slice = WHOLE) -> Any:
            return stored.batch(visit(seed, "order", len(stored), step * size, size)[rows], to)

        return some
    data = ImageSet(images, use_labels=run.conditional)
    data.verify()

    def batch(step: int, rows: slice = WHOLE) -> Any:
        # drawn for the whole batch, whichever of its rows are asked for
        flips = torch.rand(size, generator=stream(seed, "flip", step)) < 0.5 if run.training.flip else None
        chosen = visit(seed, "order", len(data), step * size, size)[rows]
        return data.batch(chosen, to, mirrored=None if flips is None else flips[rows])

    return batch

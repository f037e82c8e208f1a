"""The batches of a training, as a function of the step: shuffled visits of images or of stored trajectories.

On a CPU they are read where they are stored. For a GPU, a set that takes no more than a share of its free memory is
moved there; trajectories that do not fit are read ahead of the training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hkd.data.ahead import TrajectoriesAhead
from hkd.data.image_set import ImageSet
from hkd.data.resident import ResidentImages, ResidentTrajectories
from hkd.data.trajectories import Trajectories
from hkd.seeding import stream, visit
from hkd.settings.sections import Run

Place = Literal["host", "device", "ahead"]
WHOLE = slice(None)
SHARE = 0.3
"""Of a GPU's free memory, what a data set may take."""


class Batches:
    """The feed of a training: a shuffled visit without end, each batch a function of the step's number.

    Attributes:
        place: where the items are read from.
    """

    def __init__(self, run: Run, seed: int, count: int, place: Place, read: Callable[..., Any]) -> None:
        self.place = place
        self._size, self._seed, self._count, self._flip = run.training.batch, seed, count, run.training.flip
        self._read, self._expect = read, getattr(getattr(read, "__self__", None), "expect", None)

    def __call__(self, step: int, rows: slice = WHOLE) -> Any:
        """Return the batch of a step, or some rows of it."""
        mirrored = self._mirrored(step, rows)
        chosen = self._chosen(step, rows)
        return self._read(chosen) if mirrored is None else self._read(chosen, mirrored=mirrored)

    def expect(self, step: int, rows: slice = WHOLE) -> None:
        """Have those rows of a batch read that will be asked for next, where this takes time."""
        if self._expect is not None:
            self._expect(self._chosen(step, rows))

    def _chosen(self, step: int, rows: slice) -> np.ndarray:
        return visit(self._seed, "order", self._count, step * self._size, self._size)[rows]

    def _mirrored(self, step: int, rows: slice) -> Tensor | None:
        if not self._flip:
            return None
        # drawn for the whole batch, whichever of its rows are asked for
        return (torch.rand(self._size, generator=stream(self._seed, "flip", step)) < 0.5)[rows]


def batches(
    run: Run, *, images: Path, trajectories: Path | None, seed: int, to: torch.device, place: Place | None = None
) -> Batches:
    """Return the feed of a training.

    Args:
        place: where items are read from, if that is not to depend on the device and what it has room for.
    Raises:
        ArtifactError: the set is absent or damaged.
    """
    if trajectories is not None:
        stored = Trajectories(trajectories)
        stored.verify()
        place = place or _place(to, stored.nbytes, otherwise="ahead")
        if place == "host":
            return Batches(run, seed, len(stored), place, lambda chosen: stored.batch(chosen, to))
        held = ResidentTrajectories(stored, to) if place == "device" else TrajectoriesAhead(stored, to)
        return Batches(run, seed, len(stored), place, held.batch)
    data = ImageSet(images, use_labels=run.conditional)
    data.verify()
    place = place or _place(to, data.pixels.nbytes, otherwise="host")
    if place == "host":
        return Batches(run, seed, len(data), place, lambda chosen, mirrored=None: data.batch(chosen, to, mirrored))
    return Batches(run, seed, len(data), place, ResidentImages(data, to).batch)


def _place(to: torch.device, size: int, otherwise: Place) -> Place:
    """Return where a set of some bytes is read from for a device."""
    if to.type != "cuda":
        return "host"
    return "device" if size < SHARE * torch.cuda.mem_get_info(to)[0] else otherwise

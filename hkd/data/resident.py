"""Data sets on the training device: as bytes or half floats, from which batches are gathered there.

What goes to the device in a step is then a few numbers: which items, which are mirrored, which states.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hkd.data.image_set import ImageBatch, ImageSet, one_hot, to_unit_range
from hkd.data.trajectories import Trajectories, TrajectoryBatch

CHUNK = 1024
"""Items that are moved to the device at a time, so that the host holds no second copy of a set."""


class ResidentImages:
    """The images of a prepared set on a device; batches equal those of the set, to the bit."""

    def __init__(self, images: ImageSet, device: torch.device) -> None:
        self._pixels = moved(images.pixels, device)
        classes = images.class_numbers
        self._labels = None if classes is None else one_hot(torch.from_numpy(np.array(classes)), images.label_dim)
        self._device = device

    def batch(self, indices: np.ndarray, mirrored: Tensor | None = None) -> ImageBatch:
        """Return the images at `indices`, in that order; mirrored where `mirrored` (B,), bool, says so."""
        chosen = torch.from_numpy(np.asarray(indices, np.int64))
        clean = to_unit_range(self._pixels[chosen.to(self._device, non_blocking=True)])
        if mirrored is not None:
            turned = mirrored.to(self._device, non_blocking=True)[:, None, None, None]
            clean = torch.where(turned, clean.flip(-1), clean)
        labels = None if self._labels is None else self._labels[chosen].to(self._device, non_blocking=True)
        return ImageBatch(clean, labels)


class ResidentTrajectories:
    """The trajectories of a set on a device, as they are stored; batches equal those of the set, to the bit."""

    def __init__(self, stored: Trajectories, device: torch.device) -> None:
        self._stored, self._device = stored, device
        self._states = torch.empty((len(stored), *stored.shape), dtype=torch.float16, device=device)
        first = 0
        while first < len(stored):
            rows = torch.from_numpy(np.array(stored.rows(first, CHUNK)))
            self._states[first : first + len(rows)] = rows.to(device)
            first += len(rows)

    def batch(self, indices: np.ndarray) -> TrajectoryBatch:
        """Return the trajectories at `indices`, in that order."""
        chosen = torch.from_numpy(np.asarray(indices, np.int64)).to(self._device, non_blocking=True)
        return self._stored.batch_of(self._states[chosen], indices, self._device)


def moved(array: np.ndarray, device: torch.device) -> Tensor:
    """Return an array, which may be memory-mapped, as a tensor on a device."""
    whole = torch.empty(array.shape, dtype=torch.from_numpy(array[:0].copy()).dtype, device=device)
    for start in range(0, len(array), CHUNK):
        whole[start : start + CHUNK] = torch.from_numpy(np.array(array[start : start + CHUNK])).to(device)
    return whole

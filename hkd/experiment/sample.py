"""Images of a finished run: image i is a function of (seed, i), whatever the batch it is made in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hkd.data.image_set import one_hot, to_uint8
from hkd.data.image_shape import ImageShape
from hkd.diffusion.device_noise import DeviceStreams
from hkd.experiment.finished import base
from hkd.experiment.record import read_run
from hkd.methods.base import Method
from hkd.methods.evaluations import EvaluationCounter, networks
from hkd.seeding import ImageStreams, stream
from hkd.settings.sections import Run
from hkd.store.refusals import ArtifactError


def classes(seed: int, indices: Sequence[int], label_dim: int) -> Tensor:
    """Return a class for each image, from the stream (seed, "class", index), one-hot (B, label_dim)."""
    drawn = [int(torch.randint(label_dim, (1,), generator=stream(seed, "class", int(i)))) for i in indices]
    return one_hot(torch.tensor(drawn), label_dim)


@torch.no_grad()
def sample_images(
    built: Method,
    run: Run,
    shape: ImageShape,
    indices: Sequence[int],
    *,
    seed: int,
    nfe: int,
    to: torch.device,
) -> Tensor:
    """Return the images (B, C, H, W) in [-1, 1] that belong to (seed, index), whatever the batch they are made in.

    One-step methods of one data set start image i from the same noise.
    """
    streams = ImageStreams(seed, indices)
    noise = streams.randn(shape.chw).to(to)
    labels = classes(seed, indices, shape.label_dim).to(to) if run.conditional else None
    further = DeviceStreams(seed, indices, to) if run.sampling.draws == "device" else streams
    return built.sample(noise, labels=labels, nfe=nfe, streams=further)


class Sampler:
    """A finished run that makes its images as bytes, and counts the evaluations that they take.

    Args:
        weights: of the run, with its config beside them.
    """

    def __init__(self, weights: Path, seed: int, nfe: int, to: torch.device) -> None:
        self.run, self.shape, _ = read_run(weights.with_name("config.yaml"))
        self._built = base(weights).to(to)
        self._weights, self._seed, self._nfe, self._to = weights, seed, nfe, to

    def images(self, first: int, count: int) -> np.ndarray:
        """Return the images of `count` consecutive numbers from `first` on, uint8 (B, C, H, W).

        Raises:
            ArtifactError: they took another number of evaluations than they were asked to, or are not finite.
        """
        with EvaluationCounter(networks(self._built)) as counter:
            numbers = range(first, first + count)
            images = sample_images(
                self._built, self.run, self.shape, numbers, seed=self._seed, nfe=self._nfe, to=self._to
            )
        if counter.counted != self._nfe * count:
            spent = counter.counted / count
            raise ArtifactError(f"{self._weights}: {spent:g} evaluations an image, not {self._nfe}")
        if not bool(images.isfinite().all()):
            raise ArtifactError(
                f"{self._weights}: images {first} to {first + count - 1} of this run hold NaN or infinity, so its "
                "training diverged; lower training.optimizer.lr or set training.clip, and train it again"
            )
        return to_uint8(images).cpu().numpy()

    def none(self) -> np.ndarray:
        """Return no images, of a run whose training diverged."""
        return np.empty((0, self.shape.resolution, self.shape.resolution, self.shape.channels), np.uint8)


def in_batches(make: Callable[[range], Tensor], count: int, batch: int) -> np.ndarray:
    """Return `count` images as bytes (N, C, H, W), made at most `batch` at a time."""
    spans = [range(first, min(first + batch, count)) for first in range(0, count, batch)]
    return np.concatenate([to_uint8(make(span)).cpu().numpy() for span in spans])

"""Quality on the way: the distance of a run's images at the weights of a milestone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hkd.experiment.build import method
from hkd.experiment.extractors import trained_extractor
from hkd.experiment.finished import load
from hkd.experiment.record import read_run
from hkd.experiment.sample import in_batches, sample_images
from hkd.metrics.features.extract import extract
from hkd.metrics.scores.frechet import Frechet, frechet_from_features


class MilestoneQuality:
    """The Fréchet distance of a run's images from the reference, at any of its weights on the way.

    Args:
        config: of the run. extractor: weights of the metric's network.
        reference: features of the reference images, float32 (N, D).
        images, batch, nfe: images made at each milestone, how many at once, and evaluations for each.
        tick: called with the number of images made, before each batch.
    """

    def __init__(
        self,
        config: Path,
        extractor: Path,
        reference: np.ndarray,
        *,
        seed: int,
        images: int,
        batch: int,
        nfe: int,
        to: torch.device,
        tick: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._run, self._shape, about = read_run(config)
        self._built = method(self._run, self._shape, seed=about["seed"], parts=None)
        self._built = self._built.eval().requires_grad_(False).to(to)
        self._extractor, self._reference = trained_extractor(extractor, str(to)), reference
        self._seed, self._nfe, self._to, self._tick = seed, nfe, to, tick
        self._images, self._batch = images, batch

    def at(self, weights: Path) -> Frechet:
        """Return the distance at the weights of one milestone."""
        load(self._built, weights)
        pixels = in_batches(self._made, self._images, self._batch)
        return frechet_from_features(extract(pixels, self._extractor, "A"), self._reference)

    def _made(self, span: range) -> Tensor:
        self._tick(len(span))
        return sample_images(self._built, self._run, self._shape, span, seed=self._seed, nfe=self._nfe, to=self._to)


def as_arrays(found: Frechet) -> dict[str, np.ndarray]:
    """Return a distance as arrays of one number each."""
    return {"fdn": np.array([found.fdn]), "fd": np.array([found.distance])}

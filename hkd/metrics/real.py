"""Real images in the place of generated ones: where a distance ends, at each number of images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hkd.metrics.scores.frechet import Frechet, frechet_from_features
from hkd.seeding import numpy_stream

SHARE = 4  # at most one part in so many of the reference stands for generated images


def real_distances(reference: np.ndarray, sizes: Iterable[int]) -> dict[int, Frechet]:
    """Return for each number of images the distance of so many of the reference from the rest of it.

    Which they are is drawn once, from a seed of its own, for a reference may be sorted by class.

    Args:
        reference: (N, D) features of the reference images.
        sizes: those above N / 4, or not above D, have no distance that says anything and are left out.
    """
    count, dimension = reference.shape
    drawn = reference[numpy_stream(0, "real").permutation(count)]
    usable = sorted({n for n in sizes if dimension < n <= count // SHARE})
    return {n: frechet_from_features(drawn[:n], drawn[n:]) for n in usable}

"""Real images in the place of generated ones: where a score ends, at each number of images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from hkd.metrics.scores.components import principal_components
from hkd.metrics.scores.frechet import frechet_from_features
from hkd.metrics.scores.kid import kid
from hkd.metrics.scores.moments import gaussian_of
from hkd.seeding import numpy_stream
from hkd.settings.columns import COMPONENTS, SCORES, Score

SHARE = 4  # at most one part in so many of the reference stands for generated images
REST = 10_000  # of the rest, KID takes no more: it is unbiased at any number, and all pairs of 50,000 take minutes


def real_scores(
    reference: Mapping[str, np.ndarray], names: Iterable[str], sizes: Iterable[int]
) -> dict[int, dict[str, float]]:
    """Return for each number of images the scores of so many of the reference against the rest of it.

    Which they are is drawn once, from a seed of its own, for a reference may be sorted by class. Principal components
    are those of the rest.

    Args:
        reference: features (N, D) of the reference images by view (see `hkd.settings.columns`).
        names: scores; those that are no Fréchet distance of our own, FDn or KID are left out.
        sizes: those above N / 4, or with no more images than dimensions of a Fréchet distance, have no score that says
            anything and are left out.
    """
    asked = [item for item in (SCORES[name] for name in names if name in SCORES) if _made(item)]
    known = [item for item in asked if item.view in reference]  # of a published reference moments may be all there is
    made = {n: {item.name: _score(reference[item.view], item, n) for item in known} for n in sizes}
    found = {n: {name: value for name, value in made[n].items() if value is not None} for n in sorted(made)}
    return {n: values for n, values in found.items() if values}


def _made(item: Score) -> bool:
    return item.kind in ("fdn", "kid", "components") or (item.kind == "distance" and item.implementation == "hkd")


def _score(features: np.ndarray, item: Score, n: int) -> float | None:
    count, dimension = map(int, features.shape)
    least = {"kid": 1, "components": COMPONENTS}.get(item.kind, dimension)
    if not least < n <= count // SHARE:
        return None
    drawn = numpy_stream(0, "real").permutation(count)
    taken, rest = features[drawn[:n]], features[drawn[n:]]
    if item.kind == "kid":
        return kid(taken, rest[:REST])
    if item.kind == "components":
        return principal_components(gaussian_of(rest, name="reference"), COMPONENTS).frechet(taken).distance
    found = frechet_from_features(taken, rest)
    return found.fdn if item.kind == "fdn" else found.distance

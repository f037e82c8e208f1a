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
REST = 20_000  # of the rest, KID takes no more: it is unbiased at any number, and pairs of 50,000 take minutes


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
    found: dict[int, dict[str, float]] = {n: {} for n in sorted(sizes)}
    for view in dict.fromkeys(item.view for item in asked if item.view in reference):
        features = reference[view]
        drawn = numpy_stream(0, "real").permutation(len(features))
        for n in found:
            kinds = {item.kind: item for item in asked if item.view == view and _usable(item, n, features)}
            if kinds:
                values = _scores(set(kinds), features[drawn[:n]], features[drawn[n:]])
                found[n] |= {item.name: values[kind] for kind, item in kinds.items()}
    return {n: values for n, values in found.items() if values}


def _made(item: Score) -> bool:
    return item.kind in ("fdn", "kid", "components") or (item.kind == "distance" and item.implementation == "hkd")


def _usable(item: Score, n: int, features: np.ndarray) -> bool:
    count, dimension = map(int, features.shape)
    return {"kid": 1, "components": COMPONENTS}.get(item.kind, dimension) < n <= count // SHARE


def _scores(kinds: set[str], taken: np.ndarray, rest: np.ndarray) -> dict[str, float]:
    """Return the values of kinds of scores of features (n, D) against the rest (N - n, D)."""
    found: dict[str, float] = {}
    if kinds & {"distance", "fdn"}:
        apart = frechet_from_features(taken, rest)
        found |= {"distance": apart.distance, "fdn": apart.fdn}
    if "kid" in kinds:
        found["kid"] = kid(taken, rest[:REST])
    if "components" in kinds:
        known = principal_components(gaussian_of(rest, name="reference"), COMPONENTS)
        found["components"] = known.frechet(taken).distance
    return found

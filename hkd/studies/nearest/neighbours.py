"""Nearest neighbours of samples among training images, and the same of real images that are held out in turn.

A distance says nothing by itself: features of noise or of blurs all lie near to one another, and so near to whatever
training image is blandest. A sample that repeats an image is much nearer to that one than to all others, so its
distance is taken relative to the mean distance of its next neighbours (Carlini et al. 2023, Section 5.2). Real
photographs have neighbours too: the measure is what real images show when each is taken out of the set and held against
the rest. A method that has learned their law has as many samples with so small a ratio; one that repeats has many more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import bdtr, bdtrc

from hkd.metrics.features.cache import FeatureCache, feature_chunks
from hkd.metrics.features.extract import Extractor
from hkd.settings.columns import split_view
from hkd.store.large_arrays import nameless_array

MEASURED = ("method", "nfe", "samples", "median", "real_median", "close_within", "close", "real_close", "images")
COLUMNS = (*MEASURED, "view", "said")
AROUND = 50  # next neighbours whose mean distance is the scale, as many as the source takes
SUSPECT = 5.0  # times the real images' share, from where repeating is the likelier reason (our choice)
CHANCE = 0.01  # probability below which chance is no explanation (our choice)


@dataclass(frozen=True)
class Neighbours:
    """Distance to the nearest training image, its index, and the ratio to the next neighbours', (N,) of N images."""

    distance: np.ndarray
    index: np.ndarray
    ratio: np.ndarray


@dataclass(frozen=True)
class Measure:
    """What real images show: their median ratio, and the one within which the share `near` of them lies."""

    median: float
    within: float
    near: float

    @classmethod
    def of(cls, real: Neighbours, near: float) -> Measure:
        """Return the measure of real images that were held out in turn."""
        return cls(float(np.median(real.ratio)), float(np.quantile(real.ratio, near)), near)


def training_features(
    images: np.ndarray, extractors: Mapping[str, Extractor], view: str, cache: FeatureCache | None, scratch: Path
) -> np.ndarray:
    """Return the features (N, D) of a view, of uint8 images (N, C, H, W); those that were made before are not again.

    They lie in a file without a name in the folder `scratch`.
    """
    name, kind, layer = split_view(view)
    found: np.ndarray | None = None
    for start, (rows,) in feature_chunks(images, extractors[name], kind, [layer], cache=cache):
        if found is None:
            found = nameless_array(scratch, (len(images), rows.shape[1]), rows.dtype)
        found[start : start + len(rows)] = rows
    assert found is not None  # a prepared set has images
    return found


def nearest(rows: np.ndarray, training: np.ndarray, own: np.ndarray | None = None, *, block: int = 512) -> Neighbours:
    """Return the nearest of the training features (M, D) to each of rows (N, D), by Euclidean distance.

    Args:
        own: (N,) index of each row among the training features, where it is one of them: it is not its own neighbour.
    """
    centre = training.mean(axis=0, dtype=np.float64)
    known = training.astype(np.float64)
    known -= centre
    lengths = np.square(known).sum(axis=1)
    distances, indices, scales = [], [], []
    around = min(AROUND + 1, len(training) - (own is not None))
    for start in range(0, len(rows), block):
        part = rows[start : start + block].astype(np.float64) - centre
        squared = np.square(part).sum(axis=1)[:, None] + lengths - 2.0 * part @ known.T
        if own is not None:
            squared[np.arange(len(part)), own[start : start + block]] = np.inf
        index = squared.argmin(axis=1)
        indices.append(index)
        # again without the cancellation of the expanded square, so that a copy has distance 0
        distances.append(np.linalg.norm(part - known[index], axis=1))
        closest = np.sqrt(np.maximum(np.partition(squared, around - 1, axis=1)[:, :around], 0.0))
        scales.append((closest.sum(axis=1) - closest.min(axis=1)) / max(around - 1, 1))
    distance = np.concatenate(distances)
    return Neighbours(distance, np.concatenate(indices), distance / np.maximum(np.concatenate(scales), 1e-300))


def line(title: str, nfe: int, found: Neighbours, measure: Measure, view: str) -> dict[str, object]:
    """Return the table's line on one row of samples, keyed by COLUMNS; `images`: those that samples are close to."""
    within = found.ratio <= measure.within
    close, images = int(within.sum()), len(np.unique(found.index[within]))
    return {
        "method": title,
        "nfe": nfe,
        "samples": len(found.distance),
        "median": f"{np.median(found.ratio):.4g}",
        "real_median": f"{measure.median:.4g}",
        "close_within": f"{measure.within:.4g}",
        "close": f"{close / len(within):.4g}",
        "real_close": f"{measure.near:.4g}",
        "images": images,
        "view": view,
        "said": said(close, len(within), measure.near, images),
    }


def said(close: int, samples: int, near: float, images: int) -> str:
    """Return in words whether so many close samples, to so many different training images, point to repeating.

    They do where their share is SUSPECT times that of real images and chance does not explain it; they do not where so
    large a share would hardly have shown so few.
    """
    share = close / samples
    if share > SUSPECT * near and bdtrc(close - 1, samples, near) < CHANCE:
        near_to = "one training image" if images == 1 else f"{images} training images"
        return f"{share / near:.0f} times as many as of real images, and to {near_to}: look at the pairs for copies"
    if bdtr(close, samples, SUSPECT * near) >= CHANCE:
        more = bdtrc(close - 1, samples, near) < CHANCE
        return (
            "more than of real images, how many is not certain: look at the pairs"
            if more
            else "too few samples to tell"
        )
    return "no more than of real images" if share <= near else "no sign of repeating"


def summary(lines: Sequence[dict[str, object]]) -> list[str]:
    """Return the lines of the table as sentences."""
    return [
        f"{one['method']}, {one['nfe']} NFE: {float(str(one['close'])):.1%} of {one['samples']} samples stick to one "
        f"training image as {float(str(one['real_close'])):.0%} of real images do to another; {one['said']}"
        for one in lines
    ]

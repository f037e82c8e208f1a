"""Known corruptions of real images, whose effect on a score is measured."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hkd.metrics.features.inputs import MetricError
from hkd.metrics.features.preprocess import resize
from hkd.seeding import numpy_stream

# function of images uint8 (N, 3, H, W), labels (N,) or None, and a seed, that returns images of the same shape
Corruption = Callable[[np.ndarray, np.ndarray | None, int], np.ndarray]


def blur(images: np.ndarray, sigma: float) -> np.ndarray:
    """Return the images blurred by a Gaussian of `sigma` pixels, rounded; beyond the edges the border is repeated."""
    radius = max(1, int(np.ceil(3 * sigma)))
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()

    def matrix(side: int) -> Tensor:
        index = np.clip(np.arange(side)[:, None] + offsets[None, :], 0, side - 1)
        out = np.zeros((side, side), dtype=np.float32)
        np.add.at(out, (np.arange(side)[:, None], index), weights[None, :])
        return torch.from_numpy(out)

    x = torch.from_numpy(np.ascontiguousarray(images)).float()
    return _rounded(matrix(x.shape[2]) @ x @ matrix(x.shape[3]).T)


def jpeg(images: np.ndarray, quality: int) -> np.ndarray:
    """Return the images after a round trip through JPEG."""
    from PIL import Image

    out = np.empty_like(images)
    for i, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(file, format="JPEG", quality=quality)
        out[i] = np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1)
    return out


def noise(images: np.ndarray, sd: float, seed: int) -> np.ndarray:
    """Return the images plus Gaussian noise of `sd` grey levels, rounded and clipped."""
    draw = numpy_stream(seed, "corruption-noise").standard_normal(images.shape, dtype=np.float32)
    return np.clip(np.rint(images + sd * draw), 0, 255).astype(np.uint8)


def down_and_up(images: np.ndarray, factor: float, kind: str = "bilinear") -> np.ndarray:
    """Return the images shrunk by `factor` and enlarged again with the given resize of `preprocess`."""
    height, width = images.shape[2:]
    small = (max(1, round(height / factor)), max(1, round(width / factor)))
    x = torch.from_numpy(np.ascontiguousarray(images))
    return _rounded(resize(resize(x, small, kind), (height, width), kind))


def shifted_half_pixel(images: np.ndarray) -> np.ndarray:
    """Return the images moved by half a pixel, as by a resize with the wrong corner convention."""
    moved = images.astype(np.float32)
    moved[:, :, :-1] = (moved[:, :, :-1] + moved[:, :, 1:]) / 2
    moved[:, :, :, :-1] = (moved[:, :, :, :-1] + moved[:, :, :, 1:]) / 2
    return _rounded(torch.from_numpy(moved))


def truncated(images: np.ndarray, seed: int) -> np.ndarray:
    """Return the images as stored by truncation instead of rounding: half of the levels are one lower."""
    lower = numpy_stream(seed, "corruption-truncation").integers(0, 2, images.shape, dtype=np.uint8)
    return images - np.minimum(lower, images)


def off_by_one(images: np.ndarray) -> np.ndarray:
    """Return the images one level brighter, clipped."""
    return np.minimum(images, 254) + np.uint8(1)


def without_class(images: np.ndarray, labels: np.ndarray | None, dropped: int = 0) -> np.ndarray:
    """Return as many images, all of other classes than `dropped`.

    Raises:
        MetricError: without labels, or where nothing else is left.
    """
    if labels is None:
        raise MetricError("dropped class: the images have no labels; leave this corruption out")
    rest = np.flatnonzero(np.asarray(labels) != dropped)
    if not len(rest):
        raise MetricError(f"dropped class: every image is of class {dropped}")
    return images[np.resize(rest, len(images))]


def duplicated(images: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return as many images, which are copies of a random `share` of them."""
    kept = numpy_stream(seed, "corruption-duplicates").permutation(len(images))[: max(1, round(share * len(images)))]
    return images[np.resize(kept, len(images))]


def _rounded(levels: Tensor) -> np.ndarray:
    return levels.round().clamp(0, 255).to(torch.uint8).numpy()


CORRUPTIONS: dict[str, Corruption] = {
    "none": lambda x, labels, seed: x,
    "blur 0.5 px": lambda x, labels, seed: blur(x, 0.5),
    "blur 1 px": lambda x, labels, seed: blur(x, 1.0),
    "jpeg 95": lambda x, labels, seed: jpeg(x, 95),
    "jpeg 75": lambda x, labels, seed: jpeg(x, 75),
    "noise 2 levels": lambda x, labels, seed: noise(x, 2.0, seed),
    "noise 8 levels": lambda x, labels, seed: noise(x, 8.0, seed),
    "resized 2x down and up": lambda x, labels, seed: down_and_up(x, 2.0),
    "shifted half a pixel": lambda x, labels, seed: shifted_half_pixel(x),
    "truncated": lambda x, labels, seed: truncated(x, seed),
    "off by one level": lambda x, labels, seed: off_by_one(x),
    "one class dropped": lambda x, labels, seed: without_class(x, labels),
    "half duplicated": lambda x, labels, seed: duplicated(x, 0.5, seed),
    "nine tenths duplicated": lambda x, labels, seed: duplicated(x, 0.1, seed),
}

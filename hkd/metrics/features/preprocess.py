"""The five preprocessing classes of images before an extractor, which cause most disagreements about FID.

Published implementations run one network on differently resized and scaled pixels. Two of the same class can share
features; two of different classes never agree. Each resize is separable, hence two small matrix products:

    A  TensorFlow 1 bilinear, corners not shifted, no antialiasing; (x - 128) / 128    EDM, ADM, TTUR, torch-fidelity
    B  bilinear with half-pixel centres, no antialiasing; (x - 127.5) / 127.5          pytorch-fid
    C  Pillow's bicubic on floats, antialiased, clipped to [0, 255]; (x - 128) / 128   clean-fid
    D  as C; (x - 127.5) / 127.5                                                       dgm-eval with clean resize
    E  bilinear with half-pixel centres, antialiased; (x - 128) / 128                  torchmetrics
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Preprocessing:
    """One class: which resize, whether clipped, and the value map (x - centre) / centre before the network."""

    name: str
    resize: str
    centre: float
    clip: bool = False

    def __call__(self, images: Tensor, size: int) -> Tensor:
        """Return levels in [0, 255], float32 (B, C, size, size), of uint8 or float images (B, C, H, W)."""
        levels = resize(images, (size, size), self.resize)
        return levels.clamp_(0.0, 255.0) if self.clip else levels

    def normalise(self, levels: Tensor) -> Tensor:
        """Return the network's input, (levels - centre) / centre."""
        return (levels - self.centre) / self.centre

    def levels_at_128(self, levels: Tensor) -> Tensor:
        """Return levels z for a network with (z - 128) / 128 built in, so that it sees this class's value map."""
        return levels if self.centre == 128.0 else levels * (128.0 / self.centre)


CLASSES: dict[str, Preprocessing] = {
    "A": Preprocessing("A", "tf1-bilinear", 128.0),
    "B": Preprocessing("B", "bilinear", 127.5),
    "C": Preprocessing("C", "pil-bicubic", 128.0, clip=True),
    "D": Preprocessing("D", "pil-bicubic", 127.5, clip=True),
    "E": Preprocessing("E", "bilinear-antialias", 128.0),
}


def resize(images: Tensor, size: tuple[int, int], kind: str) -> Tensor:
    """Return `images` (B, C, H, W) resized to `size` (height, width) as float32, not clipped, not rounded."""
    x = images.float()
    rows = _matrix_on(x.device, kind, x.shape[2], size[0])
    columns = _matrix_on(x.device, kind, x.shape[3], size[1])
    if x.shape[2] != size[0]:
        x = rows @ x
    if x.shape[3] != size[1]:
        x = x @ columns.T
    return x if x is not images else x.clone()


@lru_cache(maxsize=64)
def resize_matrix(kind: str, source: int, target: int) -> Tensor:
    """Return the (target, source) float32 matrix whose product resizes one axis; every row sums to 1.

    Raises:
        KeyError: for a kind other than tf1-bilinear, bilinear, bilinear-antialias and pil-bicubic.
    """
    import torch

    with torch.inference_mode(False):  # whoever asks first, a loss may ask next
        return torch.from_numpy(_KINDS[kind](source, target).astype(np.float32))


@lru_cache(maxsize=64)  # a training copies it to its device once
def _matrix_on(device: torch.device, kind: str, source: int, target: int) -> Tensor:
    import torch

    with torch.inference_mode(False):
        return resize_matrix(kind, source, target).to(device)


def _tf1_bilinear(source: int, target: int) -> np.ndarray:
    # TensorFlow 1 multiplies in float32, and the library that reproduces it does too: the fraction follows suit.
    position = np.arange(target, dtype=np.float32) * np.float32(source / target)
    return _two_taps(position, source)


def _bilinear(source: int, target: int) -> np.ndarray:
    # pixel i covers [i, i + 1], so centres map to centres; before the first centre the first pixel is repeated
    position = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0.0)
    return _two_taps(position, source)


def _two_taps(position: np.ndarray, source: int) -> np.ndarray:
    """Return linear interpolation weights at `position` (target,), the last sample repeated past the end."""
    low = np.minimum(position.astype(np.int64), source - 1)
    fraction = (position - low).astype(np.float64)
    matrix = np.zeros((len(position), source))
    np.add.at(matrix, (np.arange(len(position)), low), 1.0 - fraction)
    np.add.at(matrix, (np.arange(len(position)), np.minimum(low + 1, source - 1)), fraction)
    return matrix


def _windowed(kernel: Callable[[np.ndarray], np.ndarray], radius: float) -> Callable[[int, int], np.ndarray]:
    """Return a resize whose kernel widens when shrinking and is cut and renormalised at the border.

    Source: the resampling of Pillow (`Resample.c`), which torch's antialiased kernels follow.
    """

    def matrix(source: int, target: int) -> np.ndarray:
        scale = source / target
        widening = max(scale, 1.0)  # antialiasing: when shrinking, the kernel covers as many source pixels as needed
        centre = (np.arange(target)[:, None] + 0.5) * scale
        first = np.maximum((centre - radius * widening + 0.5).astype(np.int64), 0)
        last = np.minimum((centre + radius * widening + 0.5).astype(np.int64), source)
        index = np.arange(source)[None, :]
        weights = kernel((index - centre + 0.5) / widening) * ((index >= first) & (index < last))
        return weights / weights.sum(axis=1, keepdims=True)

    return matrix


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Return the cubic convolution kernel with a = -1/2 (Keys, 1981)."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


_KINDS: dict[str, Callable[[int, int], np.ndarray]] = {
    "tf1-bilinear": _tf1_bilinear,
    "bilinear": _bilinear,
    "bilinear-antialias": _windowed(_triangle, 1.0),
    "pil-bicubic": _windowed(_cubic, 2.0),
}

"""Procedural pictures with labelled factors on three scales: the data set of the embedded default.

Each image is a pure function of (seed, split, index), whatever its batch, and the same picture at every resolution:
a hued background that runs from bright to dark, one shape in a contrasting hue, and fine stripes over both, strong on
the shape and weak on the background. All lengths are in units of the image's width, x to the right and y downwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hkd.data.image_set import to_uint8, write_image_set
from hkd.seeding import numpy_stream
from hkd.settings.origins import ConfigError
from hkd.settings.sections import Data

Floats = NDArray[np.float64]
Factors = dict[str, np.ndarray]

SPLITS = ("train", "reference", "heldout")
CLASSES = ("disc", "square", "triangle", "ring")
ORIENTATIONS = ("vertical", "rising", "horizontal", "falling")  # how the stripes run: their normal turns by eighths

NATIVE_RESOLUTION = 16
STRIPE_PIXELS = 3.2  # the stripes' period at the native resolution; finer grids keep its share of the width
SUPERSAMPLING = 2
CHUNK = 32  # images drawn at a time, so that temporaries stay in the cache

# The darkest and the brightest channel of each colour.
BACKGROUND = (0.05, 1.00)
DARK_STRIPE = (0.02, 0.66)
LIGHT_STRIPE = (0.60, 1.00)


@dataclass(frozen=True)
class Factor:
    """One labelled property of a picture: its scale, its values, and its encoding for a network's head.

    Kinds: `categorical` is an int64 index into `names`; `continuous` is uniform in [low, high); `circular` is uniform
    in [0, 1) turns, where 0 and 1 are the same.
    """

    name: str
    scale: Literal["coarse", "middle", "fine"]
    kind: Literal["categorical", "continuous", "circular"]
    low: float = 0.0
    high: float = 1.0
    names: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """The number of outputs of a head that predicts this factor: logits, (cos, sin), or one number."""
        return {"categorical": len(self.names), "circular": 2, "continuous": 1}[self.kind]

    def draw(self, uniform: Floats) -> np.ndarray:
        """Return values of this factor from uniform numbers in [0, 1)."""
        if self.kind == "categorical":
            return (uniform * len(self.names)).astype(np.int64)
        return self.low + (self.high - self.low) * uniform

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Return the targets of a head: class indices (N,), or float64 (N, outputs) in [-1, 1]."""
        if self.kind == "categorical":
            return np.asarray(values, np.int64)
        if self.kind == "circular":
            return np.stack((np.cos(2 * np.pi * values), np.sin(2 * np.pi * values)), axis=-1)
        return (2 * (np.asarray(values)[:, None] - self.low) / (self.high - self.low)) - 1

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Return values (N,) from a head's outputs (N, outputs): the inverse of `encode`, or the largest logit."""
        if self.kind == "categorical":
            return outputs.argmax(axis=1)
        if self.kind == "circular":
            return np.arctan2(outputs[:, 1], outputs[:, 0]) / (2 * np.pi) % 1.0
        return self.low + (self.high - self.low) * (outputs[:, 0] + 1) / 2


FACTORS: dict[str, Factor] = {
    factor.name: factor
    for factor in (  # in the order in which they are drawn
        Factor("background_hue", "coarse", "circular"),
        Factor("gradient_direction", "coarse", "circular"),  # towards the bright side; 0 right, 1/4 down
        Factor("class", "middle", "categorical", names=CLASSES),
        Factor("centre_x", "middle", "continuous", 0.34, 0.66),
        Factor("centre_y", "middle", "continuous", 0.34, 0.66),
        Factor("size", "middle", "continuous", 0.20, 0.32),  # the disc's radius
        Factor("foreground_hue", "middle", "continuous", 0.28, 0.72),  # turns from the background's hue
        Factor("stripe_orientation", "fine", "categorical", names=ORIENTATIONS),
        Factor("stripe_phase", "fine", "circular"),  # at the image's centre
    )
}


def factors(seed: int, split: str, indices: Iterable[int]) -> Factors:
    """Return the factors of the images (seed, split, index): name -> array (N,), in the ranges of `FACTORS`.

    Raises:
        ValueError: for a split that is not in `SPLITS`.
    """
    if split not in SPLITS:
        raise ValueError(f"shapes: unknown split '{split}'. Known: {', '.join(SPLITS)}.")
    # one stream per image, and all factors from it at once: image i is the same in every batch and set
    draws = [numpy_stream(seed, f"shapes-{split}", int(i)).random(len(FACTORS)) for i in indices]
    uniform = np.array(draws).reshape(-1, len(FACTORS))
    return {factor.name: factor.draw(uniform[:, k]) for k, factor in enumerate(FACTORS.values())}


def images(seed: int, split: str, indices: Iterable[int], resolution: int = NATIVE_RESOLUTION) -> NDArray[np.uint8]:
    """Return the images (seed, split, index) as uint8 (N, 3, R, R)."""
    return render(factors(seed, split, indices), resolution)


def items(
    seed: int, split: str, indices: Sequence[int], resolution: int = NATIVE_RESOLUTION
) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield the images (seed, split, index), uint8 (3, R, R), each with its class: a labelled set, in little memory."""
    for first in range(0, len(indices), CHUNK):
        values = factors(seed, split, indices[first : first + CHUNK])
        yield from zip(render(values, resolution), values["class"].tolist(), strict=True)


def prepare(data: Data, split: str, folder: Path, name: str) -> dict[str, Any]:
    """Draw a split and return the manifest.

    Raises:
        ConfigError: the size of the images or of the split is not set.
    """
    count = data.count if split == "train" else data.reference
    if count is None or data.resolution is None:
        raise ConfigError(f"data set '{name}' is drawn: it needs data.resolution, data.count and data.reference")
    return write_image_set(
        folder,
        items(data.seed, split, range(count), data.resolution),
        count=count,
        resolution=data.resolution,
        channels=3,
        label_dim=len(CLASSES),
        about={"source": "shapes", "seed": data.seed, "split": split},
    )


def render(values: Mapping[str, np.ndarray], resolution: int = NATIVE_RESOLUTION) -> NDArray[np.uint8]:
    """Return the pictures of these factors as uint8 (N, 3, R, R); any factor may be edited beforehand.

    Raises:
        ValueError: for a resolution below 8.
    """
    if resolution < 8:
        raise ValueError(f"shapes: resolution {resolution} is too small to show the factors. Use 8 or more.")
    count = len(values["class"])
    pictures = np.empty((count, 3, resolution, resolution), np.uint8)
    for first in range(0, count, CHUNK):
        part = slice(first, first + CHUNK)
        drawn = _draw({name: np.asarray(value)[part] for name, value in values.items()}, resolution)
        pictures[part] = to_uint8(2 * drawn - 1)
    return pictures


def stripe_period(resolution: int) -> float:
    """Return the stripes' period in units of the image's width; below the native resolution it stays 3.2 pixels."""
    return STRIPE_PIXELS / min(resolution, NATIVE_RESOLUTION)


def _draw(values: Mapping[str, np.ndarray], resolution: int) -> Floats:
    """Return the pictures as float64 (N, 3, R, R) in [0, 1], each pixel the mean of 2 x 2 samples.

    A sample is a mixture of three colours, so the weights are averaged and the colours mixed once per pixel.
    """
    samples = SUPERSAMPLING * resolution
    axis = (np.arange(samples) + 0.5) / samples
    inside = _coverage(values, axis)
    stripes = 0.5 + 0.5 * _stripes(values, axis, stripe_period(resolution))
    light = inside * stripes
    dark = inside - light
    behind = (1 - inside) * _brightness(values["gradient_direction"], axis) * (0.80 + 0.20 * stripes)
    hue = values["background_hue"] + values["foreground_hue"]
    picture = np.zeros((len(inside), 3, resolution, resolution))
    for weight, colour in (
        (behind, _tone(values["background_hue"], *BACKGROUND)),
        (dark, _tone(hue, *DARK_STRIPE)),
        (light, _tone(hue, *LIGHT_STRIPE)),
    ):
        picture += _pixel_means(weight)[:, None] * colour[:, :, None, None]
    return picture


def _pixel_means(samples: Floats) -> Floats:
    """Return the means (N, R, R) over the 2 x 2 samples of each pixel."""
    rows = samples[:, 0::2] + samples[:, 1::2]
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) / SUPERSAMPLING**2


def _tone(hue: Floats, low: float, high: float) -> Floats:
    """Return the colour (N, 3) of a hue in turns, its channels between low and high: smooth all round the circle."""
    angle = 2 * np.pi * (hue[:, None] - np.array([0, 1, 2]) / 3)
    return low + (high - low) * (0.5 + 0.5 * np.cos(angle))


def _brightness(direction: Floats, axis: Floats) -> Floats:
    """Return the background's brightness (N, S, S), linear along the direction, from 1 down to 0.3."""
    x, y = axis[None, None, :] - 0.5, axis[None, :, None] - 0.5
    angle = 2 * np.pi * direction[:, None, None]
    # divided by the largest value in the square, so that every direction spans the same brightness
    along = (x * np.cos(angle) + y * np.sin(angle)) / (np.abs(np.cos(angle)) + np.abs(np.sin(angle)))
    return 0.65 + 0.70 * along


def _stripes(values: Mapping[str, np.ndarray], axis: Floats, period: float) -> Floats:
    """Return cos(2 pi (n . (p - 1/2) / period + phase)) on the grid, (N, S, S); n is the stripes' normal."""
    angle = np.pi / 4 * values["stripe_orientation"]
    wave = 2 * np.pi * (axis - 0.5) / period
    across = np.cos(angle)[:, None] * wave + 2 * np.pi * values["stripe_phase"][:, None]
    down = np.sin(angle)[:, None] * wave
    # cos(a + b) from the cosines and sines of a and b: 2 S of them for each picture instead of S x S
    cosines = np.cos(across)[:, None, :] * np.cos(down)[:, :, None]
    return cosines - np.sin(across)[:, None, :] * np.sin(down)[:, :, None]


def _coverage(values: Mapping[str, np.ndarray], axis: Floats) -> Floats:
    """Return how much of each sample's cell the shape covers, (N, S, S) in [0, 1]."""
    distance = np.empty((len(values["class"]), len(axis), len(axis)))
    for number, name in enumerate(CLASSES):
        chosen = values["class"] == number
        x = axis[None, None, :] - values["centre_x"][chosen, None, None]
        y = axis[None, :, None] - values["centre_y"][chosen, None, None]
        distance[chosen] = _DISTANCES[name](x, y, values["size"][chosen, None, None])
    # a straight edge at signed distance d covers 1/2 - d of a cell whose side is 1, which smooths the outline
    return np.clip(0.5 - distance * len(axis), 0.0, 1.0)


def _disc(x: Floats, y: Floats, size: Floats) -> Floats:
    return np.hypot(x, y) - size


def _square(x: Floats, y: Floats, size: Floats) -> Floats:
    return np.maximum(np.abs(x), np.abs(y)) - 0.92 * size


def _triangle(x: Floats, y: Floats, size: Floats) -> Floats:
    """An upright equilateral triangle of side 2.4 sizes, centred by its height."""
    half_height = 0.6 * np.sqrt(3.0) * size
    side = np.sqrt(3.0) / 2 * np.abs(x) - 0.5 * (y + half_height)
    return np.maximum(side, y - half_height)


def _ring(x: Floats, y: Floats, size: Floats) -> Floats:
    return np.abs(np.hypot(x, y) - 0.82 * size) - 0.24 * size


# Signed distance from a shape's edge, negative inside; (x, y) from its centre.
_DISTANCES: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "ring": _ring,
}

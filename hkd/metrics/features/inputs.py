"""Checks of images and features before a metric uses them; each error is one line.

A wrong array yields a score just as a right one does, so everything that enters a metric is checked here.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from hkd.store.large_arrays import slabs


class MetricError(ValueError):
    """Input that must not be scored; the message says what was found and what to do."""


def check_images(images: Any, *, name: str = "images", claimed: int | None = None) -> np.ndarray:
    """Return `images` if it is a scorable set of bytes: uint8 of shape (N, 3, H, W), N >= 2, not all one colour.

    Args:
        claimed: number of images that the caller believes to hand over.
    Raises:
        MetricError: for floats, another shape, too few images or a constant set.
    """
    array = np.asarray(images)
    if array.dtype != np.uint8:
        span = f" in [{array.min():.4g}, {array.max():.4g}]" if array.size and array.dtype.kind in "fiu" else ""
        raise MetricError(f"{name}: expected uint8 bytes, found {array.dtype}{span}; save bytes (uint8), 0 to 255")
    if array.ndim != 4 or array.shape[1] != 3:
        raise MetricError(f"{name}: expected shape (N, 3, H, W), found {array.shape}; {_towards_rgb(array.shape)}")
    if len(array) < 2:
        raise MetricError(f"{name}: {len(array)} image(s) have no covariance; give or sample at least 2")
    if claimed is not None and len(array) != claimed:
        raise MetricError(f"{name}: {claimed} images claimed, {len(array)} found; sample the rest or correct the claim")
    if _constant(array):
        raise MetricError(f"{name}: all {len(array)} images are one constant colour; the sampler has failed, resample")
    return array


def check_features(features: Any, *, name: str = "features", dim: int | None = None) -> np.ndarray:
    """Return `features` as a floating array of shape (N, D), N >= 2, all finite.

    Raises:
        MetricError: for another shape or dimension, NaN or infinity.
    """
    array = np.asarray(features)
    if array.ndim != 2 or array.dtype.kind != "f":
        raise MetricError(f"{name}: expected float features of shape (N, D), found {array.dtype} {array.shape}")
    if dim is not None and array.shape[1] != dim:
        raise MetricError(
            f"{name}: dimension {array.shape[1]} where {dim} is due; recompute them with the extractor of the reference"
        )
    if len(array) < 2:
        raise MetricError(f"{name}: {len(array)} row(s) have no covariance; extract at least 2 images")
    bad = np.flatnonzero(np.concatenate([~np.isfinite(slab).all(axis=1) for slab in slabs(array)]))
    if len(bad):
        found = f"{len(bad)} of {len(array)} rows hold NaN or infinity, the first is row {bad[0]}"
        raise MetricError(f"{name}: {found}; find the images that produce them before scoring")
    return array


def images_digest(images: np.ndarray) -> str:
    """Return the SHA-256 of the shape and bytes of an image array, in hexadecimal."""
    digest = hashlib.sha256(f"{images.dtype.str}{images.shape}".encode())
    for slab in slabs(images):
        digest.update(np.ascontiguousarray(slab).data)
    return digest.hexdigest()


def _constant(array: np.ndarray) -> bool:
    """Whether all images are one and the same colour; the first image alone mostly shows that they are not."""
    first = array[0]
    flat = (first == first[:, :1, :1]).all()
    return bool(flat and (array[-1] == first).all() and all((image == first).all() for image in array))


def _towards_rgb(shape: tuple[int, ...]) -> str:
    """Return what to do with images of another shape."""
    if len(shape) == 3 and 3 not in (shape[0], shape[-1]):
        return "repeat grey images as three channels: np.stack((array,) * 3, axis=1)"
    if len(shape) != 4:
        return "give at least 2 images in one array of four dimensions"
    if shape[-1] == 3:
        return "transpose NHWC to NCHW"
    if 1 in (shape[1], shape[-1]):
        return "repeat grey channels to 3"
    if 4 in (shape[1], shape[-1]):
        return "lay transparent images on white and leave their fourth channel out"
    return "save their red, green and blue as three channels"

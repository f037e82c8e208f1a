"""Checks of images and features before a metric uses them; each error is one line.

A wrong array yields a score just as a right one does, so everything that enters a metric is checked here.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

IMAGE_SUFFIXES = {".png", ".bmp", ".jpg", ".jpeg", ".webp", ".ppm"}
IMAGE_KEYS = ("images", "arr_0")


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
        raise MetricError(f"{name}: expected uint8 bytes, found {array.dtype}{span}; quantise with to_uint8 first")
    if array.ndim != 4 or array.shape[1] != 3:
        hint = "; transpose NHWC to NCHW" if array.ndim == 4 and array.shape[-1] == 3 else "; repeat grey channels to 3"
        raise MetricError(f"{name}: expected shape (N, 3, H, W), found {array.shape}{hint}")
    if len(array) < 2:
        raise MetricError(f"{name}: {len(array)} image(s) have no covariance; sample at least 2")
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
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        found = f"{len(bad)} of {len(array)} rows hold NaN or infinity, the first is row {bad[0]}"
        raise MetricError(f"{name}: {found}; find the images that produce them before scoring")
    return array


def load_images(source: str | Path | np.ndarray, *, claimed: int | None = None) -> np.ndarray:
    """Return uint8 (N, 3, H, W) from an array, an `.npy` or `.npz` file, or a folder or zip of equally sized images.

    Files are read in sorted order, sub-folders included; (N, H, W, 3) arrays are transposed.
    Raises:
        MetricError: for what is absent, damaged, of mixed sizes or no image; see also `check_images`.
    """
    if isinstance(source, np.ndarray):
        return check_images(source, claimed=claimed)
    path = Path(source)
    if not path.exists():
        raise MetricError(f"{path}: no such file or folder; name a folder or zip of pictures, an .npz or an .npy")
    if not path.is_dir() and path.suffix not in (".zip", ".npz", ".npy"):
        raise MetricError(f"{path}: neither a folder nor a .zip, .npz or .npy; put single pictures into a folder")
    array = _read_folder(path) if path.is_dir() else _read_zip(path) if path.suffix == ".zip" else _read_array(path)
    return check_images(array, name=str(path), claimed=claimed)


def images_digest(images: np.ndarray) -> str:
    """Return the SHA-256 of the shape and bytes of an image array, in hexadecimal."""
    array = np.ascontiguousarray(images)
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.data)
    return digest.hexdigest()


def _constant(array: np.ndarray) -> bool:
    """Whether all images are one and the same colour; the first image alone mostly shows that they are not."""
    first = array[0]
    flat = (first == first[:, :1, :1]).all()
    return bool(flat and (array[-1] == first).all() and all((image == first).all() for image in array))


def _read_array(path: Path) -> np.ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return _channels_first(loaded)
        with loaded:
            key = next((k for k in IMAGE_KEYS if k in loaded.files), None)
            if key is None:
                raise MetricError(f"{path}: holds {', '.join(loaded.files)}, no array named {' or '.join(IMAGE_KEYS)}")
            array = loaded[key]
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise MetricError(f"{path}: not a readable array file ({error}); write it again") from error
    except ValueError as error:
        if isinstance(error, MetricError):
            raise
        raise MetricError(f"{path}: damaged, or Python objects in place of numbers; write it again as bytes") from error
    return _channels_first(array)


def _channels_first(array: np.ndarray) -> np.ndarray:
    """Return (N, 3, H, W) also of (N, H, W, 3), as ADM's samples and most other programs' are."""
    if array.ndim == 4 and array.shape[-1] == 3 and array.shape[1] != 3:
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    return array


def _read_folder(folder: Path) -> np.ndarray:
    return _stack(folder, [(str(p), p) for p in sorted(folder.rglob("*")) if p.suffix.lower() in IMAGE_SUFFIXES])


def _read_zip(path: Path) -> np.ndarray:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(n for n in archive.namelist() if Path(n).suffix.lower() in IMAGE_SUFFIXES)
            return _stack(path, [(f"{path}, {name}", io.BytesIO(archive.read(name))) for name in names])
    except (zipfile.BadZipFile, zlib.error, RuntimeError) as error:  # RuntimeError: the zip needs a password
        raise MetricError(f"{path}: not a whole zip file ({error}); fetch or write it again") from error


def _stack(where: Path, files: Sequence[tuple[str, Path | io.BytesIO]]) -> np.ndarray:
    """Return the images of (name, file) pairs as one array (N, 3, H, W)."""
    from hkd.data.decoding import DataError, channels_first, decode

    if not files:
        raise MetricError(f"{where}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    images: list[np.ndarray] = []
    for name, file in files:
        try:
            content = file.read_bytes() if isinstance(file, Path) else file.getvalue()
            images.append(channels_first(decode(content, name, convert_to_rgb=True)))
        except DataError as error:
            raise MetricError(str(error)) from error
        except OSError as error:
            raise MetricError(f"{name}: cannot be read ({error.strerror}); remove or replace it") from error
        if images[-1].shape != images[0].shape:
            raise MetricError(f"{name}: {images[-1].shape[1:]} pixels where the first has {images[0].shape[1:]}")
    return np.stack(images)

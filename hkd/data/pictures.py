"""Read single pictures and masks of users; those of another size or mode than the network's images are refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from hkd.data import DataError
from hkd.data.decoding import DECODING_ERRORS, FORMATS, MAX_PIXELS
from hkd.data.image_set import to_unit_range

MODES = {1: "L", 3: "RGB"}


def read_picture(path: Path, *, resolution: int, channels: int) -> Tensor:
    """Return a picture as float32 (C, H, W) in [-1, 1].

    Args:
        path: an image file, or a `.npy` array: uint8, or floats in [-1, 1], with channels first or last.
    Raises:
        DataError: not readable, or of another size, mode or range.
    """
    if path.suffix == ".npy":
        array = _channels_first(_array(path), path, channels)
        _check_size(path, array.shape[2], array.shape[1], resolution)
        if array.dtype == np.uint8:
            return to_unit_range(torch.from_numpy(array))
        if not (np.isfinite(array).all() and np.abs(array).max() <= 1):
            raise DataError(
                f"{path}: values from {array.min():g} to {array.max():g}, expected floats in [-1, 1]; "
                "scale bytes u to u / 127.5 - 1, or save them as uint8"
            )
        return torch.from_numpy(array.astype(np.float32))
    picture = _open(path, MODES[channels])
    _check_size(path, picture.width, picture.height, resolution)
    return to_unit_range(torch.from_numpy(_channels_first(np.array(picture), path, channels)))


def read_mask(path: Path, *, resolution: int) -> Tensor:
    """Return a mask as bool (H, W), true where it is white: there pixels are missing.

    Raises:
        DataError: not readable, of another size, neither black nor white somewhere, or all of one colour.
    """
    picture = _open(path, "L")
    _check_size(path, picture.width, picture.height, resolution)
    values = np.array(picture)
    grey = np.setdiff1d(values, [0, 255])
    if len(grey):
        raise DataError(f"{path}: a pixel has the value {grey[0]}, expected 0 (kept) and 255 (missing) alone")
    if not values.any():
        raise DataError(f"{path}: no pixel is white, so nothing is missing; paint what is to be generated white")
    if values.all():
        raise DataError(f"{path}: every pixel is white, so nothing is known; leave black what is to be kept")
    return torch.from_numpy(values > 0)


def write_row(images: NDArray[np.uint8]) -> bytes:
    """Return uint8 images (N, C, H, W) side by side as a PNG."""
    row = np.concatenate(list(images), axis=2)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(row[0] if len(row) == 1 else row.transpose(1, 2, 0))).save(buffer, "PNG")
    return buffer.getvalue()


def _open(path: Path, mode: str) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(path.read_bytes()), formats=FORMATS)
        if picture.mode == "1" and mode == "L":
            mode = "1"
        if picture.mode != mode or picture.width * picture.height > MAX_PIXELS:
            found = f"{picture.width}x{picture.height} pixels of mode {picture.mode}"
            raise DataError(f"{path}: {found}, expected mode {mode}; convert it (with Pillow: image.convert('{mode}'))")
        return picture.convert("L" if mode == "1" else mode)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except DataError:
        raise
    except DECODING_ERRORS as error:
        reason = "not an image" if isinstance(error, UnidentifiedImageError) else f"unreadable ({error})"
        raise DataError(f"{path}: {reason}; expected {', '.join(FORMATS)}") from None


def _array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not an array ({error})") from None
    if not isinstance(array, np.ndarray) or not (array.dtype == np.uint8 or np.issubdtype(array.dtype, np.floating)):
        found = getattr(array, "dtype", "an archive")
        raise DataError(f"{path}: {found}, expected one array of uint8 or of floats in [-1, 1]")
    return array


def _channels_first(array: np.ndarray, path: Path, channels: int) -> np.ndarray:
    if array.ndim == 2 and channels == 1:
        array = array[None]
    if array.ndim == 3 and array.shape[0] != channels and array.shape[2] == channels:
        array = array.transpose(2, 0, 1)
    if array.ndim != 3 or array.shape[0] != channels:
        raise DataError(f"{path}: shape {array.shape}, expected ({channels}, H, W) or (H, W, {channels})")
    return np.ascontiguousarray(array)


def _check_size(path: Path, width: int, height: int, resolution: int) -> None:
    if (width, height) != (resolution, resolution):
        raise DataError(
            f"{path}: {width}x{height} pixels, the run's images have {resolution}x{resolution}; resize it first"
        )

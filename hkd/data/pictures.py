"""Read single pictures and masks of users; those of another size than the network's images are refused, and those
whose pixels would have to be changed."""

from __future__ import annotations

import io
import math
import stat
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hkd.data import DataError, formats
from hkd.data.decoding import described, is_opaque, on_background, opened
from hkd.data.image_set import to_unit_range
from hkd.data.structure import grey_step
from hkd.store import bounded, bounded_arrays

MODES = {1: "L", 3: "RGB"}
EXACT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX")  # channels that become grey or colour unchanged
LOWEST = -0.1  # floats of which none is below are taken for a picture in [0, 1], whose sharpened edges go beyond a bit
HALF_RANGE = (
    "for x in [0, 1] save np.clip(2 * x - 1, -1, 1), or np.uint8(np.rint(255 * np.clip(x, 0, 1))); "
    "for x in [-1, 1] save np.uint8(np.rint(127.5 * x + 127.5))"
)
SCALED = (
    "save np.clip(y, -1, 1), where y is x for x in [-1, 1], 2 * x - 1 for x in [0, 1], x / 127.5 - 1 for x in [0, 255]"
)


def read_picture(path: Path, *, resolution: int, channels: int) -> Tensor:
    """Return a picture as float32 (C, H, W) in [-1, 1].

    Args:
        path: an image file, or a `.npy` array: uint8, or floats in [-1, 1] of which one at least is below -0.1,
            with channels first or last.
        channels: 1 or 3; a grey picture is taken for colours, and one of grey colours alone for grey.
    Raises:
        DataError: not readable, or of another size or range, or it has to be converted.
    """
    content = _content(path)
    if path.suffix.lower() == ".npy":
        array = _channels_first(_array(content, path), path, channels)
        _check_size(path, array.shape[2], array.shape[1], resolution)
        return to_unit_range(torch.from_numpy(array)) if array.dtype == np.uint8 else _floats(array, path)
    picture = _picture(content, path, resolution)
    return to_unit_range(torch.from_numpy(_channels_first(_exactly(picture, path, channels), path, channels)))


def read_mask(path: Path, *, resolution: int) -> Tensor:
    """Return a mask as bool (H, W), true where it is white: there pixels are missing.

    Raises:
        DataError: not readable, of another size, transparent, neither black nor white somewhere, or all of one colour.
    """
    picture = _picture(_content(path), path, resolution, two_values=True)
    if picture.mode in EXACT and not is_opaque(picture):
        raise DataError(
            f"{path}: its channels are {described(picture)}, expected black and white without transparency; "
            'if its opaque pixels are the missing ones, save image.convert("RGBA").getchannel("A") as the mask'
        )
    colours = _exactly(picture, path, 3).reshape(-1, 3)
    painted = ~((colours == 0).all(axis=1) | (colours == 255).all(axis=1))
    if painted.any():
        found = colours[painted.argmax()].tolist()
        value = f"value {found[0]}" if len(set(found)) == 1 else f"colour {tuple(found)}"
        raise DataError(
            f"{path}: a pixel has the {value}, expected 0 (kept) and 255 (missing) alone; "
            "paint black and white without soft edges, and save no JPEG"
        )
    missing = (colours[:, 0] > 0).reshape(resolution, resolution)
    if not missing.any():
        raise DataError(f"{path}: no pixel is white, so nothing is missing; paint what is to be generated white")
    if missing.all():
        raise DataError(f"{path}: every pixel is white, so nothing is known; leave black what is to be kept")
    return torch.from_numpy(missing)


def write_row(images: NDArray[np.uint8]) -> bytes:
    """Return uint8 images (N, C, H, W) side by side as a PNG."""
    row = np.concatenate(list(images), axis=2)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(row[0] if len(row) == 1 else row.transpose(1, 2, 0))).save(buffer, "PNG")
    return buffer.getvalue()


def _content(path: Path) -> bytes:
    """Return the bytes of a file of bounded size; nothing else, as a pipe or a device, is opened."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path}: not a file; name a picture")
        with open(path, "rb") as file:
            content = bounded.read_from(file, formats.MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; name a picture") from None
    except DataError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}); name a picture that you may read") from None
    if len(content) > formats.MAX_FILE_BYTES:
        raise DataError(f"{path}: more than {formats.MAX_FILE_BYTES:,} bytes; make it smaller")
    return content


def _picture(content: bytes, path: Path, resolution: int, *, two_values: bool = False) -> Image.Image:
    """Return the picture of the run's size in a file's bytes; `two_values`: a mask, which smoothing would spoil."""
    picture = opened(content, str(path))
    _check_size(path, picture.width, picture.height, resolution, two_values=two_values)
    if grey_step(content) > 1 and not is_opaque(picture):
        raise DataError(  # what is advised for others is done with Pillow, which takes such pixels for opaque
            f"{path}: packed grey with a transparent colour, and pixels of it are transparent; "
            "save it with an alpha channel of 8 bits (ImageMagick: PNG32:new.png) and name that"
        )
    return picture


def _exactly(picture: Image.Image, path: Path, channels: int) -> NDArray[np.uint8]:
    """Return the pixels, (H, W, 3) or (H, W), of a picture that has them without any conversion that changes them."""
    convert = f"convert it (with Pillow: image.convert('{MODES[channels]}'))"
    if picture.mode not in EXACT:
        raise DataError(f"{path}: its channels are {described(picture)}, expected {MODES[channels]}; {convert}")
    if not is_opaque(picture):
        raise DataError(
            f"{path}: its channels are {described(picture)}, and pixels of it are transparent; lay it on a background "
            "(with Pillow: Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image.convert('RGBA'))"
            ".convert('RGB'))"
        )
    colours = np.array(on_background(picture))
    if channels == 3:
        return colours
    if (colours != colours[..., :1]).any():
        raise DataError(f"{path}: has colours, the run's images are grey; {convert}")
    return colours[..., 0]


def _array(content: bytes, path: Path) -> np.ndarray:
    """Return the array in a `.npy` file, which must hold just the bytes that its header claims."""
    file = io.BytesIO(content)
    try:
        dtype, shape, order = bounded_arrays.array_header(file)
    except bounded.Damaged as error:
        raise DataError(f"{path}: {error}; save it with numpy.save, or name it as the picture that it is") from None
    if not (dtype == np.uint8 or np.issubdtype(dtype, np.floating)):
        raise DataError(f"{path}: {dtype}, expected one array of uint8 or of floats in [-1, 1]; convert it")
    start, count = file.tell(), math.prod(shape)
    if len(shape) > 3 or count < 1 or count * dtype.itemsize != len(content) - start:
        found = f"{len(content) - start:,} bytes of numbers for the shape {shape}"[:200]
        raise DataError(f"{path}: {found} of {dtype}, expected (C, H, W) or (H, W, C) and as many; save it anew")
    return np.frombuffer(content, dtype, count, start).reshape(shape, order=order)  # type: ignore[call-overload]


def _floats(array: np.ndarray, path: Path) -> Tensor:
    for kind, wrong in (("NaN", np.isnan(array)), ("infinity", np.isinf(array))):
        if wrong.any():
            found = f"{kind} in {wrong.sum()} of its {array.size} values"
            raise DataError(f"{path}: {found}, expected floats in [-1, 1]; look for what made it")
    low, high = array.min(), array.max()
    span = f"values from {low!s} to {high!s}"  # in as few digits as tell them from their neighbours
    if low < -1 or high > 1:
        raise DataError(f"{path}: {span}, expected floats in [-1, 1]; {SCALED}")
    if low >= LOWEST:
        raise DataError(f"{path}: {span}, none below {LOWEST}, which may be meant for [0, 1]; {HALF_RANGE}")
    return torch.from_numpy(array.astype(np.float32))


def _channels_first(array: np.ndarray, path: Path, channels: int) -> np.ndarray:
    if array.ndim == 2 and channels == 1:
        array = array[None]
    if array.ndim == 3 and array.shape[0] != channels and array.shape[2] == channels:
        array = array.transpose(2, 0, 1)
    if array.ndim != 3 or array.shape[0] != channels:
        raise DataError(f"{path}: shape {array.shape}, expected ({channels}, H, W) or (H, W, {channels}); convert it")
    return np.array(array, order="C")  # a copy: the bytes of a file cannot be written to, as tensors are


def _check_size(path: Path, width: int, height: int, resolution: int, *, two_values: bool = False) -> None:
    if (width, height) != (resolution, resolution):
        raise DataError(
            f"{path}: {width}x{height} pixels, the run's images have {resolution}x{resolution}; resize it first"
            + (", without smoothing (Pillow: Image.Resampling.NEAREST)" if two_values else "")
        )

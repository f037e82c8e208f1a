"""Images that another program has made, all at once: pictures in a folder or zip, or an array in a file."""

from __future__ import annotations

import tokenize
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hkd.data import DataError, printable
from hkd.data.containers import check_kind, find_pictures, is_single_picture, is_tar, is_zip
from hkd.data.decoding import channels_first, decode, size
from hkd.data.picture_files import ARRAYS, PictureFiles
from hkd.data.picture_zip import FREE_BYTES, MAX_RATIO, ZIP_ERRORS

IMAGE_KEYS = ("images", "arr_0")
ACCEPTED = "a folder or zip of pictures, an .npz or an .npy"
# What numpy raises for headers that are none: it parses them as text of Python, without evaluating it
HEADER_ERRORS = (*ZIP_ERRORS, SyntaxError, TypeError, KeyError, RecursionError, tokenize.TokenError)


@dataclass(frozen=True)
class Foreign:
    """Images with what was left out of them, a line each."""

    pixels: NDArray[Any]
    remarks: tuple[str, ...] = ()


def load_images(
    source: Path | str, *, claimed: int | None = None, side: int | None = None, skip_unreadable: bool = False
) -> Foreign:
    """Return the images of a file or folder: of pictures uint8 (N, 3, H, W), of an array as it is, channels first.

    Pictures come in the order of their names; which files are pictures is ruled in `picture_files`.

    Args:
        claimed: number of images that there should be.
        side: height and width that they should have, which is checked before many are decoded.
        skip_unreadable: leave out pictures that cannot be read, and count them, instead of refusing the whole.
    Raises:
        DataError: for what is absent, damaged, of mixed sizes or no image.
    """
    path = Path(source)
    check_kind(path, ACCEPTED)
    if path.is_file() and path.suffix.lower() in ARRAYS:
        pixels = _array(path)
        _check_count(path, len(pixels), claimed)
        return Foreign(pixels)
    if not path.is_dir() and not is_zip(path):
        if is_tar(path):
            raise DataError(f"{path}: a tar is not read; unpack it and give the folder, or zip that")
        single = "a single picture" if is_single_picture(path) else "neither a folder nor a .zip, .npz or .npy"
        raise DataError(f"{path}: {single}; put single pictures into a folder, or give {ACCEPTED}")
    files = find_pictures(path, skip_unreadable=skip_unreadable)
    if not skip_unreadable:
        _check_count(path, len(files.names), claimed)
    images = list(_pictures(files, side))
    if not images:
        raise DataError(f"{path}: not one of its {len(files.names)} images can be read; {files.remarks[-1]}")
    _check_count(path, len(images), claimed)
    return Foreign(np.stack(images), tuple(map(printable, files.remarks)))


def _check_count(path: Path, count: int, claimed: int | None) -> None:
    if claimed is not None and count != claimed:
        raise DataError(f"{path}: {claimed} images claimed, {count} found; sample the rest or correct the claim")


def _pictures(files: PictureFiles, side: int | None) -> Iterator[NDArray[np.uint8]]:
    """Yield the pictures, which must all have the size of the first, or the one that is asked for."""
    first, wanted = "", (side, side)
    for name in files.names:
        try:
            picture = decode(files.read(name), files.where(name), True)
        except DataError as error:
            files.unreadable(name, error)
            continue
        if side is not None and picture.size != wanted:
            raise DataError(f"{files.where(name)}: {size(picture)} pixels, expected {side}x{side}; sample at that size")
        if not first:
            first, wanted = name, picture.size
        if picture.size != wanted:
            sizes = f"{size(picture)} pixels where {first} has {wanted[0]}x{wanted[1]}"
            raise DataError(f"{files.where(name)}: {sizes}; make all one size")
        yield channels_first(picture)


def _array(path: Path) -> NDArray[Any]:
    """Return the images of an array file with channels first."""
    try:
        with open(path, "rb") as file:
            packed = path.suffix.lower() == ".npz" or file.read(2) == b"PK"
        array = _of_npz(path) if packed else np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except DataError:
        raise
    except HEADER_ERRORS as error:
        why = " ".join(str(error).split())[:80] or type(error).__name__
        raise DataError(f"{path}: not a readable array file of numbers ({why}); write it again as bytes") from None
    if array.ndim == 4 and array.shape[-1] == 3 and array.shape[1] != 3:
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2))  # as ADM's samples and most other programs' are
    if array.ndim == 0:
        raise DataError(f"{path}: a single number; expected images of shape (N, 3, H, W)")
    return array


def _of_npz(path: Path) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
        key = next((key for key in IMAGE_KEYS if key in names), None)
        if key is None:
            raise DataError(f"{path}: holds {', '.join(names)[:80]}, no array named {' or '.join(IMAGE_KEYS)}")
        if names.count(key) > 1:
            raise DataError(f"{path}: holds two arrays named {key}; write it again")
        info = archive.getinfo(f"{key}.npy")
        if info.file_size > max(FREE_BYTES, MAX_RATIO * info.compress_size):
            raise DataError(
                f"{path}, {key}: {info.compress_size:,} bytes claim to hold {info.file_size:,}; images do not shrink "
                "so far: write it again"
            )
        with archive.open(info) as member:
            return _member(member, info.file_size, f"{path}, {key}")


def _member(file: IO[bytes], claimed: int, where: str) -> NDArray[Any]:
    """Return an array of a zip, once its header agrees with its size: numpy would set that memory aside at once."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise DataError(f"{where}: Python objects in place of numbers; write it again as bytes")
    if any(n < 0 for n in shape) or np.prod([int(n) for n in shape], dtype=object) * dtype.itemsize > claimed:
        raise DataError(f"{where}: its header claims {shape} of {dtype}, more than its {claimed:,} bytes hold")
    content = file.read()
    array = np.frombuffer(content, dtype, count=int(np.prod(shape, dtype=object)))
    return array.reshape(shape[::-1]).transpose() if fortran else array.reshape(shape)

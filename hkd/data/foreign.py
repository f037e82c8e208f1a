"""Images that another program has made, all at once: pictures in a folder or zip, or an array in a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hkd.data import DataError
from hkd.data.containers import check_kind, find_pictures, is_single_picture, is_tar, is_zip
from hkd.data.decoding import channels_first, decode, size
from hkd.data.picture_files import ARRAYS, PictureFiles
from hkd.data.picture_zip import FREE_BYTES, MAX_RATIO
from hkd.store import bounded
from hkd.store.lines import printable

IMAGE_KEYS = ("images", "arr_0")
ACCEPTED = "a folder or zip of pictures, an .npz or an .npy"


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
    """Return the images of an array file with channels first; its content says which kind it is, not its name."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"PK"
        array = _of_npz(path) if packed else np.array(bounded.map_npy(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except bounded.Damaged as error:
        raise DataError(f"{path}: {error}; write it again as bytes, with numpy.save or numpy.savez") from None
    if array.ndim == 4 and array.shape[-1] == 3 and array.shape[1] != 3:
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2))  # as ADM's samples and most other programs' are
    if array.ndim == 0:
        raise DataError(f"{path}: a single number; expected images of shape (N, 3, H, W)")
    return array


def _of_npz(path: Path) -> NDArray[Any]:
    names: list[str] = []

    def wanted(name: str) -> bool:
        names.append(name)
        return name in IMAGE_KEYS

    # images do not shrink much: nothing that claims far more than its file is unpacked
    arrays = bounded.read_npz(path, most=max(FREE_BYTES, MAX_RATIO * path.stat().st_size), wanted=wanted)
    either = " or ".join(IMAGE_KEYS)
    if not arrays:
        held = ", ".join(names)[:80] or "nothing"
        raise DataError(f"{path}: holds {held}, no array named {either}; save it by numpy.savez(file, images=array)")
    first, *others = arrays.values()
    if len(arrays) != sum(map(names.count, IMAGE_KEYS)) or not all(np.array_equal(first, other) for other in others):
        raise DataError(f"{path}: holds several arrays named {either} that differ; leave the one to be read in it")
    return first

"""Images that another program has made: pictures in a folder or zip, or an array in a file; none need fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hkd.data import DataError
from hkd.data.containers import check_kind, find_pictures, is_single_picture, is_tar, is_zip
from hkd.data.decoding import channels_first, decode, size
from hkd.data.picture_files import ARRAYS, PictureFiles
from hkd.data.picture_zip import FREE_BYTES, MAX_RATIO
from hkd.store import bounded, bounded_arrays
from hkd.store.large_arrays import nameless_array, slabs, stacked
from hkd.store.lines import printable

ROWS = 256  # images that are compared at a time
IMAGE_KEYS = ("images", "arr_0")
ACCEPTED = "a folder or zip of pictures, an .npz or an .npy"

Room = Callable[[tuple[int, ...], "np.dtype[Any]"], NDArray[Any]]  # for an array of this shape and type


@dataclass(frozen=True)
class Foreign:
    """Images with what was left out of them, a line each."""

    pixels: NDArray[Any]
    remarks: tuple[str, ...] = ()
    source: Path | None = None  # the array file from which they may be mapped
    stamp: tuple[int, ...] = ()  # of that file, before it was read

    def check_unchanged(self) -> None:
        """Refuse images that were written while they were looked at.

        Raises:
            DataError: their file is another one now, or of another size or time.
        """
        if self.source is not None and _stamp(self.source) != self.stamp:
            raise DataError(f"{self.source}: changed while it was read; give a file that nothing writes")


def load_images(
    source: Path | str,
    *,
    claimed: int | None = None,
    side: int | None = None,
    skip_unreadable: bool = False,
    scratch: Path | None = None,
) -> Foreign:
    """Return the images of a file or folder: of pictures uint8 (N, 3, H, W), of an array as it is, channels first.

    Pictures come in the order of their names; which files are pictures is ruled in `picture_files`. An array that lies
    open in its file is mapped from there, if it is large.

    Args:
        claimed: number of images that there should be.
        side: height and width that they should have, which is checked before many are decoded.
        skip_unreadable: leave out pictures that cannot be read, and count them, instead of refusing the whole.
        scratch: folder for files without a name, in which unpacked images lie; without it they are in memory.
    Raises:
        DataError: for what is absent, damaged, of mixed sizes or no image.
    """
    path = Path(source)
    check_kind(path, ACCEPTED)
    if path.is_file() and path.suffix.lower() in ARRAYS:
        stamp = _stamp(path)
        pixels = _array(path, scratch)
        _check_count(path, len(pixels), claimed)
        return Foreign(pixels, source=path, stamp=stamp)
    if not path.is_dir() and not is_zip(path):
        if is_tar(path):
            raise DataError(f"{path}: a tar is not read; unpack it and give the folder, or zip that")
        single = "a single picture" if is_single_picture(path) else "neither a folder nor a .zip, .npz or .npy"
        raise DataError(f"{path}: {single}; put single pictures into a folder, or give {ACCEPTED}")
    files = find_pictures(path, skip_unreadable=skip_unreadable)
    if not skip_unreadable:
        _check_count(path, len(files.names), claimed)
    images = _together(_pictures(files, side), scratch)
    if images is None:
        raise DataError(f"{path}: not one of its {len(files.names)} images can be read; {files.remarks[-1]}")
    _check_count(path, len(images), claimed)
    return Foreign(images, tuple(map(printable, files.remarks)))


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what another content of a file would change: its number, size and time; nothing where there is none."""
    try:
        about = path.stat()
    except OSError:
        return ()
    return about.st_ino, about.st_size, about.st_mtime_ns


def _together(pictures: Iterator[NDArray[np.uint8]], scratch: Path | None) -> NDArray[np.uint8] | None:
    """Return pictures as one array, in memory or in a file; None where there are none."""
    if scratch is not None:
        return stacked(pictures, scratch)
    held = list(pictures)
    return np.stack(held) if held else None


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


def _array(path: Path, scratch: Path | None) -> NDArray[Any]:
    """Return the images of an array file with channels first; its content says which kind it is, not its name."""
    room: Room = np.empty if scratch is None else partial(nameless_array, scratch)
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"PK"
        array = _of_npz(path, room) if packed else _of_npy(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except bounded.Damaged as error:
        raise DataError(f"{path}: {error}; write it again as bytes, with numpy.save or numpy.savez") from None
    if array.ndim == 4 and array.shape[-1] == 3 and array.shape[1] != 3:
        return _channels_first(array, room)  # as those of ADM and of most other programs are
    if array.ndim == 0:
        raise DataError(f"{path}: a single number; expected images of shape (N, 3, H, W)")
    return array


def _channels_first(array: NDArray[Any], room: Room) -> NDArray[Any]:
    """Return images (N, H, W, C) as (N, C, H, W)."""
    n, height, width, channels = array.shape
    turned, at = room((n, channels, height, width), array.dtype), 0
    for slab in slabs(array):
        turned[at : at + len(slab)] = slab.transpose(0, 3, 1, 2)
        at += len(slab)
    return turned


def _of_npy(path: Path) -> NDArray[Any]:
    array = bounded_arrays.map_npy(path)
    return np.array(array) if array.nbytes < bounded_arrays.LEAST_MAPPED else np.asarray(array)


def _of_npz(path: Path, room: Room) -> NDArray[Any]:
    names: list[str] = []

    def wanted(name: str) -> bool:
        names.append(name)
        return name in IMAGE_KEYS

    # images do not shrink much: nothing that claims far more than its file is unpacked
    most = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    arrays = bounded_arrays.map_npz(path, most=most, wanted=wanted, room=room)
    either = " or ".join(IMAGE_KEYS)
    if not arrays:
        held = ", ".join(names)[:80] or "nothing"
        raise DataError(f"{path}: holds {held}, no array named {either}; save it by numpy.savez(file, images=array)")
    first, *others = arrays.values()
    if len(arrays) != sum(map(names.count, IMAGE_KEYS)) or not all(_equal(first, other) for other in others):
        raise DataError(f"{path}: holds several arrays named {either} that differ; leave the one to be read in it")
    return first


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.shape != other.shape or not one.ndim:
        return np.array_equal(one, other)
    starts = range(0, len(one), ROWS)
    return all(np.array_equal(one[i : i + ROWS], other[i : i + ROWS]) for i in starts)

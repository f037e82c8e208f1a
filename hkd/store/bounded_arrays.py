"""Readers of numpy's files, npy and npz, whole or mapped into memory, as careful as those of `bounded`."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hkd.store.bounded import DAMAGES, Damaged, plain_path
from hkd.store.lines import reason
from hkd.store.refusals import ArtifactError
from hkd.store.zip_directory import HEADER_BYTES, check_directory

if TYPE_CHECKING:
    import numpy as np

    Room = Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray]

ARRAY_HEADER = 10_000  # bytes that describe an array; names of columns are not read
ARRAY_DIMENSIONS = 8
MEMBERS = 4096  # arrays in one npz
NPZ_BYTES = 64 << 30  # of all arrays of an npz together, in memory
LEAST_MAPPED = 1 << 20  # bytes of an array: a mapping keeps a file open
SLAB = 1 << 20  # bytes of an array that are read together
INFLATION = 1040  # bytes that deflate can make of one, at the most

_DESCRIPTION = re.compile(r"'descr':\s*'([<>|=]?[biufcSU]\d{1,6}|[|]b1)'")
_ORDER = re.compile(r"'fortran_order':\s*(True|False)")
_SHAPE = re.compile(r"'shape':\s*\(([\d, L]*)\)")


def map_npy(path: Path | str) -> np.ndarray:
    """Return the array of a `.npy` file, mapped into memory read-only: no more than its header is read.

    Raises:
        Damaged: its header describes other than numbers or text, or not as many bytes as follow.
        FileNotFoundError: there is none.
    """
    import numpy as np

    try:
        with open(plain_path(path), "rb") as file:
            dtype, shape, order = array_header(file)
            offset = file.tell()
        wanted, held = math.prod(shape) * dtype.itemsize, Path(path).stat().st_size - offset
        if wanted != held:
            raise Damaged(f"{held:,} bytes of values where {dtype} {shape} has {wanted:,}")
        if not wanted:
            return np.empty(shape, dtype)
        return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)  # type: ignore[call-overload]
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(f"cannot be read ({error.strerror or error})") from None


def array_header(file: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...], str]:
    """Return type, shape and order ("C" or "F") of the array that starts here; the file stands behind its header.

    Raises:
        Damaged: no array of numbers or text starts here.
    """
    import numpy as np

    start = file.read(8)
    if start[:6] != b"\x93NUMPY" or len(start) < 8:
        raise Damaged("not a numpy array")
    width = {1: 2, 2: 4, 3: 4}.get(start[6])
    if width is None:
        raise Damaged(f"a numpy array of an unknown version {start[6]}")
    length = int.from_bytes(file.read(width), "little")
    if length > ARRAY_HEADER:
        raise Damaged(f"a header of {length:,} bytes")
    header = file.read(length).decode("latin1")
    found = [pattern.search(header) for pattern in (_DESCRIPTION, _ORDER, _SHAPE)]
    if len(header) < length or any(part is None for part in found):
        raise Damaged("its header is cut short, or describes Python objects or records in place of numbers")
    described, order, sides = (part.group(1) for part in found if part is not None)
    shape = tuple(int(side) for side in sides.replace("L", "").split(",") if side.strip().isdigit())
    if len(shape) > ARRAY_DIMENSIONS or math.prod(side or 1 for side in shape) > NPZ_BYTES:
        raise Damaged(f"a header that states the shape {str(shape)[:80]}")
    try:
        return np.dtype(described), shape, "F" if order == "True" else "C"
    except TypeError:
        raise Damaged(f"values of an unknown type {described!r}") from None


def read_npz(
    path: Path | str,
    *,
    most: int = NPZ_BYTES,
    wanted: Callable[[str], bool] = lambda name: True,
) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz` file.

    Args:
        most: bytes of all arrays that are read, together.
        wanted: whether to read the array of a name.
    Raises:
        Damaged: a member is no array of numbers or text, occurs twice, or states a size that it does not have.
        FileNotFoundError: there is none.
    """
    with _damages():
        members = _wanted_members(path, most, wanted)
        return {name: _array(name, file, member.file_size) for name, member, file in members}


def map_npz(
    path: Path | str,
    *,
    most: int = NPZ_BYTES,
    wanted: Callable[[str], bool] = lambda name: True,
    room: Room | None = None,
) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz` file as `numpy.savez` writes it, the large ones mapped into memory read-only.

    Their bytes are read once, to compare the checksums, and not held. Mapped values need not lie at multiples of their
    size: what computes with them copies some rows first.

    Args:
        most, wanted: as of `read_npz`.
        room: shape and type -> an array to unpack a compressed one into; such a one is refused unless this is given.
    Raises:
        Damaged: as of `read_npz`; or a large member cannot be mapped, for it is compressed.
        FileNotFoundError: there is none.
    """
    import numpy as np

    found = {}
    with _damages():
        for name, member, file in _wanted_members(path, most, wanted):
            small, packed = member.file_size < LEAST_MAPPED, member.compress_type != zipfile.ZIP_STORED
            if small or (packed and room is not None):
                found[name] = _array(name, file, member.file_size, None if small else room)
                continue
            if packed:
                raise Damaged(f"{name!r} is compressed, so that it cannot be mapped; write it with numpy.savez")
            dtype, shape, order = _described(name, file, member.file_size)
            offset = _content_start(path, member) + file.tell()
            while file.read(SLAB):  # on to the end, where the checksum is compared
                pass
            mapped = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)  # type: ignore[call-overload]
            found[name] = np.asarray(mapped)
    return found


def npz_kinds(path: Path | str) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Return type and shape of the arrays of an `.npz` file, of which only headers are read.

    Raises:
        Damaged, FileNotFoundError: as `read_npz`.
    """
    with _damages():
        members = _wanted_members(path, NPZ_BYTES, lambda name: True)
        return {name: _described(name, file, member.file_size)[:2] for name, member, file in members}


@contextmanager
def _damages() -> Iterator[None]:
    """Turn what zipfile and zlib raise for bytes that are none of theirs into `Damaged`."""
    try:
        yield
    except (FileNotFoundError, Damaged, ArtifactError):  # the last: there is no room to unpack into
        raise
    except DAMAGES as error:
        raise Damaged(f"unreadable ({reason(error)})") from None


def _wanted_members(
    path: Path | str, most: int, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, zipfile.ZipInfo, IO[bytes]]]:
    """Yield name, description and open content of the members of an npz that are wanted, of so many bytes together."""
    left = most
    with zipfile.ZipFile(plain_path(path)) as archive:
        check_directory(archive, path)
        for member in _members(archive, Path(path).stat().st_size):
            name = member.filename.removesuffix(".npy")
            if wanted(name):
                if member.file_size > left:
                    raise Damaged(f"its arrays state more than {most:,} bytes")
                left -= member.file_size
                with archive.open(member) as file:
                    yield name, member, file


def _content_start(path: Path | str, member: zipfile.ZipInfo) -> int:
    """Return where the content of a stored member begins, behind its own header, which `zipfile` has read."""
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        header = file.read(HEADER_BYTES)
    lengths = header[-4:]  # of its name and of what follows that: not those of the directory
    return member.header_offset + HEADER_BYTES + sum(int.from_bytes(lengths[i : i + 2], "little") for i in (0, 2))


def _members(archive: zipfile.ZipFile, length: int) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    if len(members) > MEMBERS:
        raise Damaged(f"{len(members):,} arrays")
    names: set[str] = set()
    for member in members:
        if member.filename in names:
            raise Damaged(f"the array {member.filename!r} occurs twice")
        names.add(member.filename)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Damaged(f"{member.filename!r} is compressed in a way that numpy does not write")
        packed = member.compress_size
        most = packed if member.compress_type == zipfile.ZIP_STORED else packed * INFLATION
        if packed > length or member.file_size > most:
            raise Damaged(f"{member.filename!r} states {member.file_size:,} bytes, more than the file can hold")
    return members


def _described(name: str, file: IO[bytes], size: int) -> tuple[np.dtype[Any], tuple[int, ...], str]:
    """Return type, shape and order of the array that a member of so many bytes holds."""
    dtype, shape, order = array_header(file)
    wanted, held = math.prod(shape) * dtype.itemsize, size - file.tell()
    if wanted != held:
        raise Damaged(f"{name!r} has {held:,} bytes of values where {dtype} {shape} has {wanted:,}")
    return dtype, shape, order


def _array(name: str, file: IO[bytes], size: int, room: Room | None = None) -> np.ndarray:
    import numpy as np

    dtype, shape, order = _described(name, file, size)
    count = math.prod(shape)
    if not dtype.itemsize:
        raise Damaged(f"{name!r} holds values of no size")
    values = (room or np.empty)((count,), dtype)
    content, at = values.view(np.uint8) if count else np.empty(0, np.uint8), 0
    while at < len(content) and (piece := file.read(min(SLAB, len(content) - at))):
        content[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
        at += len(piece)
    if at < len(content) or file.read(1):  # reading on to the end compares the checksum
        raise Damaged(f"{name!r} is cut short")
    return values.reshape(shape, order=order)  # type: ignore[call-overload]

"""Readers of JSON, npy, npz and safetensors that a damaged or hostile file cannot make slow, large or wrong.

Sizes, depths and counts that a file states are compared with its own length before anything is made of them, nothing
that it holds is evaluated, and whatever is wrong is a `Damaged` with one line of reason. Callers add the file's name
and what to do.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hkd.store.lines import reason
from hkd.store.refusals import ArtifactError
from hkd.store.zip_directory import HEADER_BYTES, check_directory

if TYPE_CHECKING:
    import numpy as np

    Room = Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray]

JSON_BYTES = 64 << 20  # no file of this project comes near
SHORT_JSON_BYTES = 1 << 20  # lists of states and milestones, cards, records of parts
CHUNK = 1 << 16  # bytes asked for at once of a file that holds more than it says, as those of /proc do
JSON_DEPTH = 64
DIGITS = 40  # of a whole number: a digest has no digits to read, and a count of nanoseconds has 19
ARRAY_HEADER = 10_000  # bytes that describe an array; names of columns are not read
ARRAY_DIMENSIONS = 8
MEMBERS = 4096  # arrays in one npz
NPZ_BYTES = 64 << 30  # of all arrays of an npz together, in memory
LEAST_MAPPED = 1 << 20  # bytes of an array: a mapping keeps a file open
SLAB = 1 << 20  # bytes of an array that are read together
INFLATION = 1040  # bytes that deflate can make of one, at the most
TENSOR_HEADER = 16 << 20

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKETS = re.compile(r"[\[{\]}]")
_DESCRIPTION = re.compile(r"'descr':\s*'([<>|=]?[biufcSU]\d{1,6}|[|]b1)'")
_ORDER = re.compile(r"'fortran_order':\s*(True|False)")
_SHAPE = re.compile(r"'shape':\s*\(([\d, L]*)\)")


class Damaged(ValueError):
    """The content of a file is not what a file of its kind holds; the message is one line without the file's name."""


def read_bytes(path: Path | str, most: int) -> bytes:
    """Return the bytes of a file that has at most so many; no more memory is taken than it has.

    Raises:
        Damaged: it has more, or is no plain file. FileNotFoundError: there is none.
    """
    try:
        with open(_plain(path), "rb") as file:
            content = read_from(file, most + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(f"cannot be read ({error.strerror or error})") from None
    if len(content) > most:
        raise Damaged(f"more than {most:,} bytes")
    return content


def read_from(file: IO[bytes], most: int) -> bytes:
    """Return what an open file holds, up to so many bytes.

    At once as much as the file says that it has: a read reserves all that it asks for.
    """
    wanted, pieces = os.fstat(file.fileno()).st_size + 1, []
    while most and (piece := file.read(min(wanted, most))):
        pieces.append(piece)
        most, wanted = most - len(piece), CHUNK
    return b"".join(pieces)


def _plain(path: Path | str) -> Path:
    """Return the path of a plain file, or of none: a pipe would keep a reader waiting for ever."""
    path = Path(path)
    if path.exists() and not path.is_file():
        raise Damaged("a folder or a device where a file should be")
    return path


def parse_json(content: bytes, *, undefined: bool = False) -> Any:
    """Return the value of a JSON text: UTF-8, no key twice in one mapping, every number finite.

    Args:
        undefined: whether NaN may stand for a number that does not exist.
    Raises:
        Damaged: it is none, is nested too deeply, or states numbers of unreasonable length.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damaged(f"not valid JSON (not UTF-8 at byte {error.start})") from None
    _check_depth(text)
    constant = _undefined if undefined else _no_number
    try:
        return json.loads(
            text, object_pairs_hook=_mapping, parse_int=_whole, parse_float=_real, parse_constant=constant
        )
    except json.JSONDecodeError as error:
        raise Damaged(f"not valid JSON ({error})") from None


def _check_depth(text: str) -> None:
    depth = 0
    for bracket in _BRACKETS.finditer(_STRINGS.sub("", text)):
        depth += 1 if bracket.group() in "[{" else -1
        if depth > JSON_DEPTH:
            raise Damaged(f"not valid JSON (nested more than {JSON_DEPTH} levels deep)")


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise Damaged(f"the key {twice!r} occurs twice")
    return found


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise Damaged(f"a whole number of {len(digits):,} digits")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Damaged(f"the number {digits[:DIGITS]} is too large")
    return value


def _undefined(name: str) -> float:
    return math.nan if name == "NaN" else _no_number(name)


def _no_number(name: str) -> float:
    raise Damaged(f"{name} where a number should be")


def map_npy(path: Path | str) -> np.ndarray:
    """Return the array of a `.npy` file, mapped into memory read-only: no more than its header is read.

    Raises:
        Damaged: its header describes other than numbers or text, or not as many bytes as follow.
        FileNotFoundError: there is none.
    """
    import numpy as np

    try:
        with open(_plain(path), "rb") as file:
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
    with zipfile.ZipFile(_plain(path)) as archive:
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


# what zipfile and zlib raise for bytes that are none of theirs
DAMAGES = (
    OSError,
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    RuntimeError,  # a password, and a method of compression that is not built in
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
)


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


def read_tensors(path: Path | str, *, arrays: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors of a safetensors file, on the CPU, and the facts `about` it that its header holds.

    Args:
        arrays: numpy's arrays instead of tensors, which takes no start of torch.
    Raises:
        Damaged: the header states other bytes than follow, facts that are no JSON mapping, or types that numpy lacks.
        FileNotFoundError: there is none.
    """
    from safetensors import SafetensorError

    about = tensors_about(path)
    load_file = import_module("safetensors.numpy" if arrays else "safetensors.torch").load_file
    try:
        return load_file(path), about
    except FileNotFoundError:
        raise
    except (SafetensorError, AttributeError, TypeError, *DAMAGES) as error:
        raise Damaged(f"not a readable safetensors file ({reason(error)})") from None


def tensors_about(path: Path | str) -> dict[str, Any]:
    """Return the facts `about` a safetensors file that its header holds; empty where it holds none.

    Raises:
        Damaged, FileNotFoundError: as `read_tensors`.
    """
    try:
        with open(_plain(path), "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(TENSOR_HEADER, Path(path).stat().st_size - 8):
                raise Damaged(f"not a readable safetensors file (its header states {length:,} bytes)")
            header = file.read(length)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(f"cannot be read ({error.strerror or error})") from None
    facts = _of(parse_json(header), dict, "its header").get("__metadata__", {})
    text = _of(facts, dict, "the facts in its header").get("about", "{}")
    about = parse_json(_of(text, str, "the facts in its header").encode("utf-8", "replace"))
    return dict(_of(about, dict, "the facts in its header"))


def _of(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        raise Damaged(f"{what}: {type(value).__name__} where {kind.__name__} is due")
    return value


def check_fields(
    content: Any, fields: Mapping[str, type | tuple[type, ...]], optional: Collection[str] = ()
) -> dict[str, Any]:
    """Return a mapping that has these fields, each of its type; true and false are no numbers.

    Raises:
        Damaged: naming the first field that is missing or of another type.
    """
    found = dict(_of(content, dict, "its content"))
    for name, kinds in fields.items():
        if name not in found:
            if name in optional:
                continue
            raise Damaged(f"its field {name!r} is missing")
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        if not isinstance(found[name], kinds) or (isinstance(found[name], bool) and bool not in kinds):
            due = " or ".join(kind.__name__ for kind in kinds)
            raise Damaged(f"its field {name!r} is of type {type(found[name]).__name__}, not {due}")
    return found

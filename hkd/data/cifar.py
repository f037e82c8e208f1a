"""The python archive of CIFAR-10, read without trusting it.

Its batches are pickles, and a pickle may call any function. Here they may only build numbers, strings, lists,
dictionaries and arrays of bytes; all other operations and names are refused before anything is built. Members are read
from the archive and never unpacked.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hkd.data import DataError

BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))  # without the test batch, as in EDM's zip
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)
MAX_MEMBER_BYTES = 64 << 20  # a genuine batch has 31 million
MAX_MEMO = 1 << 20  # a genuine batch remembers some ten thousand objects
OPERATIONS = (  # all that a genuine batch uses
    "PROTO MARK STOP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 BINSTRING SHORT_BINSTRING BINUNICODE EMPTY_DICT "
    "EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM SETITEMS BINPUT LONG_BINPUT BINGET "
    "LONG_BINGET GLOBAL REDUCE BUILD"
)
REMEDY = "give the original cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html"


def read_cifar10(path: Path) -> tuple[NDArray[np.uint8], list[int]]:
    """Return the training images, uint8 (N, 3, 32, 32), and their classes 0 .. 9, batch after batch.

    Raises:
        DataError: the archive is truncated, incomplete, holds unexpected content or tries to run code.
    """
    members = _read_members(path)
    missing = [name for name in BATCHES if name not in members]
    if missing:
        raise DataError(f"{path}: no member {missing[0]}; expected {BATCHES[0]} to {BATCHES[-1]}; {REMEDY}")
    parts = [_read_batch(members[name], f"{path}, {name}") for name in BATCHES]
    return np.concatenate([pixels for pixels, _ in parts]), [label for _, labels in parts for label in labels]


def _read_members(path: Path) -> dict[str, bytes]:
    """Return the content of the batches by name."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if member.size > MAX_MEMBER_BYTES:
                    raise DataError(
                        f"{path}, {name}: {member.size:,} bytes, more than any CIFAR-10 batch has; {REMEDY}"
                    )
                if name in BATCHES and member.isfile():
                    file = archive.extractfile(member)
                    found[name] = file.read() if file else b""
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path}: truncated or not a tar archive ({error}); download it again: {REMEDY}") from None
    return found


def _read_batch(content: bytes, where: str) -> tuple[NDArray[np.uint8], list[int]]:
    """Return the images and classes of one batch."""
    batch = _load(content, where)
    if not isinstance(batch, dict):
        raise DataError(f"{where}: holds {type(batch).__name__}, expected a dictionary; {REMEDY}")
    entries = {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in batch.items()}
    data, labels = entries.get("data"), entries.get("labels")
    pixels = data.array if isinstance(data, _PickledArray) else None
    width = int(np.prod(SHAPE))
    if pixels is None or pixels.ndim != 2 or pixels.shape[1] != width:
        raise DataError(f"{where}: 'data' is not a uint8 array of shape (N, {width}); {REMEDY}")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        found = len(labels) if isinstance(labels, list) else "no"
        raise DataError(f"{where}: {found} labels for {len(pixels)} images; {REMEDY}")
    if not all(type(label) is int and 0 <= label < len(CLASSES) for label in labels):
        raise DataError(f"{where}: labels that are not whole numbers from 0 to {len(CLASSES) - 1}; {REMEDY}")
    return np.ascontiguousarray(pixels).reshape(-1, *SHAPE), labels


def _load(content: bytes, where: str) -> Any:
    """Return what a batch's pickle builds, with stand-ins for its arrays."""
    try:
        _check_operations(content)
        return _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    except _ForbiddenError as error:
        raise DataError(f"{where}: refused, it uses '{error}', which no CIFAR-10 batch does; {REMEDY}") from None
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise DataError(f"{where}: damaged ({error}); download it again: {REMEDY}") from None


def _check_operations(content: bytes) -> None:
    """Refuse operations that batches do not need; some of them could claim memory without bound."""
    allowed = frozenset(OPERATIONS.split())
    for operation, argument, _ in pickletools.genops(content):
        if operation.name not in allowed:
            raise _ForbiddenError(operation.name)
        if operation.name == "LONG_BINPUT" and (argument or 0) > MAX_MEMO:
            raise _ForbiddenError(f"{operation.name} {argument}")


class _ForbiddenError(Exception):
    """A pickle does or names something that plain values and byte arrays do not need."""


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler of plain values. The few names that it accepts lead to the stand-ins below, never to real classes."""

    def find_class(self, module: str, name: str) -> Any:
        stand_ins = {
            ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
            ("numpy._core.multiarray", "_reconstruct"): _PickledArray,
            ("numpy", "ndarray"): None,  # only ever an argument of _reconstruct
            ("numpy", "dtype"): _PickledType,
            ("_codecs", "encode"): _latin1,  # how Python 3 writes bytes for Python 2
        }
        if (module, name) not in stand_ins:
            raise _ForbiddenError(f"{module}.{name}")
        return stand_ins[module, name]


class _PickledArray:
    """An array as a pickle spells it: made empty, then given (version, shape, type, column-major, bytes)."""

    array: NDArray[np.uint8] | None = None

    def __init__(self, *_empty: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, column_major, content = state
        if not isinstance(kind, _PickledType) or not isinstance(content, bytes):
            raise ValueError("an array that does not hold bytes")
        self.array = np.frombuffer(content, np.uint8).reshape(shape, order="F" if column_major else "C")


class _PickledType:
    """The type of an array's elements; only bytes are allowed."""

    def __init__(self, code: object, *_flags: object) -> None:
        if code not in ("u1", b"u1"):
            raise ValueError(f"an array of type {code!r}, expected bytes")

    def __setstate__(self, _byte_order: object) -> None:
        pass


def _latin1(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise ValueError(f"text in {encoding!r}, expected latin1")
    return text.encode("latin1")

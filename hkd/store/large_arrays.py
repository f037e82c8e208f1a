"""Arrays that need not fit in memory: a few rows at a time, parts that follow one another, and files without a name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hkd.store.refusals import refusal
from hkd.store.temporary import clear_leftovers, make_folder, temporary_file

if TYPE_CHECKING:
    import numpy as np

SLAB_BYTES = 4 << 20
NAMELESS = "rows"  # what a file without a name is called for the moment in which it has one


def slabs(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield consecutive rows of an array (N, ...), about SLAB_BYTES of them at a time; all of one without rows."""
    if not array.ndim:
        yield array[None]
        return
    rows = max(1, SLAB_BYTES * len(array) // max(1, array.nbytes))
    for first in range(0, len(array), rows):
        yield array[first : first + rows]


@dataclass(frozen=True)
class Joined:
    """Arrays that follow one another along their first axis, as one that is never held.

    Attributes:
        shape, dtype: of all together.
        pieces: reads them in turn; may be called again.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: Callable[[], Iterator[np.ndarray]]

    def whole(self) -> np.ndarray:
        """Return all of them in memory."""
        import numpy as np

        return np.concatenate(list(self.pieces()))

    def on_disk(self, folder: Path) -> np.ndarray:
        """Return all of them in a file without a name; see `nameless_array`."""
        whole, first = nameless_array(folder, self.shape, self.dtype), 0
        for piece in self.pieces():
            whole[first : first + len(piece)] = piece
            first += len(piece)
        return whole


def nameless_array(folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any] | type) -> np.ndarray:
    """Return an array of zeros that lies in a file in `folder`, mapped into memory to be read and written.

    The file has no name, so that nobody finds it and it is gone when the array is, however the process ends. All of
    its bytes are reserved on the disk: one that fills up later would end the process.

    Raises:
        ArtifactError: the folder cannot be written, or the disk has no room.
    """
    import numpy as np

    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if not size:
        return np.zeros(shape, dtype)
    with _nameless_file(folder) as file:
        with _told(folder):
            reserve = getattr(os, "posix_fallocate", None)  # not on every system
            reserve(file.fileno(), 0, size) if reserve else file.truncate(size)
        return np.asarray(np.memmap(file, dtype=dtype, mode="r+", shape=shape))


def stacked(rows: Iterable[np.ndarray], folder: Path) -> np.ndarray | None:
    """Return arrays of one type and shape as rows of a `nameless_array`; None where there are none.

    Raises:
        ArtifactError: see `nameless_array`.
    """
    import numpy as np

    count, first = 0, None
    with _nameless_file(folder) as file:
        for row in rows:
            first = row if first is None else first
            assert (row.dtype, row.shape) == (first.dtype, first.shape)
            with _told(folder):
                _write(file, row.tobytes())
            count += 1
        if first is None:
            return None
        return np.asarray(np.memmap(file, dtype=first.dtype, mode="r+", shape=(count, *first.shape)))


@contextmanager
def _nameless_file(folder: Path) -> Iterator[BinaryIO]:
    """Yield a new file in a folder, which has lost its name; its bytes go with the last mapping of it.

    It is not buffered: what a full disk has refused would be written again, and refused again, when the file is closed.
    """
    with ExitStack() as until:
        with _told(folder):
            make_folder(folder)
            clear_leftovers(folder, NAMELESS)  # of a process that was killed while its file had a name
            with temporary_file(folder / NAMELESS) as temporary:
                file = until.enter_context(open(temporary, "r+b", buffering=0))
        yield file


def _write(file: BinaryIO, content: bytes) -> None:
    """Write all of it: of a disk that fills up, the system takes a part first."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turn what the system refuses into one line."""
    try:
        yield
    except OSError as error:
        raise refusal(error, folder / NAMELESS) or error from error

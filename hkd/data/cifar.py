"""The python archive of CIFAR-10, read without trusting it.

Its batches are pickles, and a pickle may call any function; they are read by a machine that builds plain values alone.
Members are read from the archive and never unpacked, and the archive is read to its end, where gzip keeps the sum of
all bytes: a flipped bit is found wherever it is.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hkd.data import DataError
from hkd.data.plain_pickles import Array, ForbiddenError, PickleError, load
from hkd.store.atomic import sha256
from hkd.store.lines import printable, reason

BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))  # without the test batch, as in EDM's zip
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)
# Of the archive that its authors publish: they give its MD5, c58f30108f718f92721af3b95e74349a; this is its SHA-256,
# as Keras pins it
OFFICIAL = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
MAX_MEMBER_BYTES = 64 << 20  # a genuine batch has 31 million
MAX_ARCHIVE_BYTES = 256 << 20  # the genuine archive has 170 million, and 186 million when it is unpacked
MAX_MEMBERS = 1000  # it has 9
GZIP = b"\x1f\x8b"
PIECE = 1 << 20
MAX_PICTURES = 20  # of which none is a batch: it is no archive of CIFAR-10
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
REMEDY = "give the original cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html"
# what readers of tar and gzip raise for damage
DAMAGE = (
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    RecursionError,
    MemoryError,
)


@dataclass(frozen=True)
class CifarTraining:
    """The training images, uint8 (N, 3, 32, 32), their classes 0 .. 9, and which archive they are from."""

    images: NDArray[np.uint8]
    labels: list[int]
    sha256: str

    @property
    def about(self) -> dict[str, str]:
        """What a prepared set says of the archive: `official` when it is, byte for byte, the one of the authors."""
        return {"archive": "official" if self.sha256 == OFFICIAL else "other", "archive_sha256": self.sha256}


def read_cifar10(path: Path) -> CifarTraining:
    """Return the training images and their classes, batch after batch.

    Raises:
        DataError: the archive is damaged, incomplete, too large, holds unexpected content or tries to run code.
    """
    members, digest = _read_members(path)
    missing = [name for name in BATCHES if name not in members]
    if missing:
        raise DataError(f"{path}: no member {missing[0]}; expected {BATCHES[0]} to {BATCHES[-1]}; {REMEDY}")
    parts = [_read_batch(members[name], f"{path}, {name}") for name in BATCHES]
    labels = [label for _, labels in parts for label in labels]
    return CifarTraining(np.concatenate([pixels for pixels, _ in parts]), labels, digest)


def _read_members(path: Path) -> tuple[dict[str, bytes], str]:
    """Return the content of the batches by name, and the SHA-256 of the archive."""
    try:
        with open(path, "rb") as file:
            compressed = file.read(len(GZIP)) == GZIP
            file.seek(0)
            source = _Bounded(file, path)
            stream = _Bounded(gzip.GzipFile(fileobj=source, mode="rb"), path) if compressed else source
            found = _walk(stream, path)
            while piece := stream.read(PIECE):
                if piece.strip(b"\0"):
                    raise DataError(f"{path}: damaged, more than zeros follow its last member; {REMEDY}")
            return found, sha256(path)
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(
            f"{path}: truncated or not a tar archive ({reason(error)}); download it again: {REMEDY}"
        ) from None


def _walk(stream: _Bounded, path: Path) -> dict[str, bytes]:
    """Return the content of the batches by name, up to the end mark of the archive."""
    found: dict[str, bytes] = {}
    pictures = 0
    # block by block, so that nothing behind the end mark is read with it and passed over
    with tarfile.open(fileobj=stream, mode="r|", bufsize=tarfile.BLOCKSIZE) as archive:
        for number, member in enumerate(archive, start=1):
            name = PurePosixPath(member.name).name
            pictures += name.lower().endswith(PICTURES)
            if pictures > MAX_PICTURES and not found:
                break
            if number > MAX_MEMBERS:
                raise DataError(f"{path}: more than {MAX_MEMBERS} members, which no archive of CIFAR-10 has; {REMEDY}")
            if not 0 <= member.size <= MAX_MEMBER_BYTES:
                shown = printable(name)[:80]
                raise DataError(f"{path}, {shown}: {member.size:,} bytes, more than any CIFAR-10 batch has; {REMEDY}")
            if name not in BATCHES:
                continue
            if name in found or not member.isfile():
                raise DataError(f"{path}, {name}: occurs twice or is not a file; {REMEDY}")
            file = archive.extractfile(member)
            found[name] = file.read() if file else b""
    if pictures and not found:
        raise DataError(f"{path}: an archive of pictures; unpack it and give the folder, or give a zip of it")
    return found


class _Bounded(io.RawIOBase):
    """A stream that may not give more than an archive of CIFAR-10 has."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, path: Path) -> None:
        self._stream, self._path, self._given = stream, path, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(PIECE if size is None or size < 0 else size)
        self._given += len(piece)
        if self._given > MAX_ARCHIVE_BYTES:
            raise DataError(
                f"{self._path}: more than {MAX_ARCHIVE_BYTES:,} bytes, which CIFAR-10 does not have; {REMEDY}"
            )
        return piece


def _read_batch(content: bytes, where: str) -> tuple[NDArray[np.uint8], list[int]]:
    """Return the images and classes of one batch."""
    try:
        batch = load(content)
    except ForbiddenError as error:
        raise DataError(f"{where}: refused, it uses '{error}', which no CIFAR-10 batch does; {REMEDY}") from None
    except PickleError as error:
        raise DataError(f"{where}: damaged ({error}); download it again: {REMEDY}") from None
    if not isinstance(batch, dict):
        raise DataError(
            f"{where}: holds {type(batch).__name__.removeprefix('Plain').lower()}, expected a dictionary; {REMEDY}"
        )
    data, labels = _entry(batch, "data", where), _entry(batch, "labels", where)
    pixels = data.content if isinstance(data, Array) else None
    width = int(np.prod(SHAPE))
    if pixels is None or pixels.ndim != 2 or pixels.shape[1] != width:
        raise DataError(f"{where}: 'data' is not a uint8 array of shape (N, {width}); {REMEDY}")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        found = len(labels) if isinstance(labels, list) else "no"
        raise DataError(f"{where}: {found} labels for {len(pixels)} images; {REMEDY}")
    if not all(type(label) is int and 0 <= label < len(CLASSES) for label in labels):
        raise DataError(f"{where}: labels that are not whole numbers from 0 to {len(CLASSES) - 1}; {REMEDY}")
    return np.ascontiguousarray(pixels).reshape(-1, *SHAPE), labels


def _entry(batch: dict[Any, Any], name: str, where: str) -> Any:
    """Return what a batch says of a name, which Python 2 wrote as bytes and Python 3 as text."""
    found = [batch[key] for key in (name, name.encode()) if key in batch]
    if len(found) > 1:
        raise DataError(f"{where}: {name!r} occurs twice; {REMEDY}")
    return found[0] if found else None

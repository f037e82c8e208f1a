"""Where CIFAR-10's batches lie: members of an archive, which is never unpacked, or files of a folder.

Batches are given one at a time, so that no more than one is held. An archive is read to its end, where gzip keeps the
sum of all bytes: a flipped bit is found wherever it is.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from hkd.data import DataError
from hkd.store import bounded
from hkd.store.atomic import sha256
from hkd.store.lines import printable, reason

BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))  # without the test batch, as in EDM's zip
BINARY = tuple(f"{name}.bin" for name in BATCHES)
FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin")  # what the archives unpack to, as torchvision keeps the first
MAX_MEMBER_BYTES = 64 << 20  # a genuine batch has 31 million
MAX_ARCHIVE_BYTES = 256 << 20  # the genuine archive has 170 million, and 186 million when it is unpacked
MAX_MEMBERS = 1000  # it has 9
GZIP = b"\x1f\x8b"
PIECE = 1 << 20
MAX_PICTURES = 20  # of which none is a batch: it is no archive of CIFAR-10
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
REMEDY = "give the original cifar-10-python.tar.gz or cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html"
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


def batches_in(path: Path) -> Path | None:
    """Return the folder of batches that a path is, or that lies in it as torchvision keeps it; None where neither."""
    for folder in (path, *(path / name for name in FOLDERS)):
        if folder.is_dir() and ((folder / BATCHES[0]).is_file() or (folder / BINARY[0]).is_file()):
            return folder
    return None


class CifarFiles(ABC):
    """The batches of an archive or a folder, by their names."""

    path: Path

    @abstractmethod
    def batches(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of every batch, in the order in which they are stored.

        Raises:
            DataError: what lies there is damaged, too large, or holds unexpected content.
        """

    @abstractmethod
    def digest(self, members: dict[str, str]) -> str:
        """Return one SHA-256 for all, given those of the batches by name, sorted as `BATCHES` and `BINARY` are."""

    @abstractmethod
    def batch(self, name: str) -> bytes:
        """Return the content of one batch, which `batches` has given before.

        Raises:
            DataError: it cannot be read any more.
        """


class Archive(CifarFiles):
    """Batches in a tar archive, compressed or not."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def digest(self, members: dict[str, str]) -> str:
        return sha256(self.path)

    def batches(self) -> Iterator[tuple[str, bytes]]:
        # block by block, so that nothing behind the end mark is read with it and passed over
        return self._read(tarfile.BLOCKSIZE)

    def batch(self, name: str) -> bytes:
        for found, content in self._read(PIECE):
            if found == name:
                return content
        raise DataError(f"{self.path}: no member {name} any more; leave it as it is while it is read")

    def _read(self, step: int) -> Iterator[tuple[str, bytes]]:
        """Yield the batches, and look at what follows the last; bytes are taken from the archive `step` at a time."""
        path = self.path
        try:
            with open(path, "rb") as file:
                compressed = file.read(len(GZIP)) == GZIP
                file.seek(0)
                source = _Bounded(file, path)
                stream = _Bounded(gzip.GzipFile(fileobj=source, mode="rb"), path) if compressed else source
                yield from self._walk(stream, step)
                while piece := stream.read(PIECE):
                    if piece.strip(b"\0"):
                        raise DataError(f"{path}: damaged, more than zeros follow its last member; {REMEDY}")
        except DataError:
            raise
        except DAMAGE as error:
            raise DataError(
                f"{path}: truncated or not a tar archive ({reason(error)}); download it again: {REMEDY}"
            ) from None

    def _walk(self, stream: _Bounded, step: int) -> Iterator[tuple[str, bytes]]:
        """Yield the batches up to the end mark of the archive."""
        path, pictures = self.path, 0
        found: set[str] = set()
        with tarfile.open(fileobj=stream, mode="r|", bufsize=step) as archive:
            for number, member in enumerate(archive, start=1):
                name = PurePosixPath(member.name).name
                pictures += name.lower().endswith(PICTURES)
                if pictures > MAX_PICTURES and not found:
                    break
                if number > MAX_MEMBERS:
                    raise DataError(
                        f"{path}: more than {MAX_MEMBERS} members, which no archive of CIFAR-10 has; {REMEDY}"
                    )
                if not 0 <= member.size <= MAX_MEMBER_BYTES:
                    shown = printable(name)[:80]
                    raise DataError(
                        f"{path}, {shown}: {member.size:,} bytes, more than any CIFAR-10 batch has; {REMEDY}"
                    )
                if name not in BATCHES and name not in BINARY:
                    continue
                if name in found or not member.isfile():
                    raise DataError(f"{path}, {name}: occurs twice or is not a file; {REMEDY}")
                found.add(name)
                yield name, _whole(archive.extractfile(member))
        if pictures and not found:
            raise DataError(f"{path}: an archive of pictures; unpack it and give the folder, or give a zip of it")


class Folder(CifarFiles):
    """Batches that are files of a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def digest(self, members: dict[str, str]) -> str:
        return hashlib.sha256("".join(f"{name} {found}\n" for name, found in members.items()).encode()).hexdigest()

    def batches(self) -> Iterator[tuple[str, bytes]]:
        for name in (*BATCHES, *BINARY):
            if (self.path / name).is_file():
                yield name, self._read(self.path / name)

    def batch(self, name: str) -> bytes:
        return self._read(self.path / name)

    def _read(self, path: Path) -> bytes:
        try:
            with open(path, "rb") as file:
                content = bounded.read_from(file, MAX_MEMBER_BYTES + 1)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
        if len(content) > MAX_MEMBER_BYTES:
            raise DataError(f"{path}: more bytes than any CIFAR-10 batch has; {REMEDY}")
        return content


def _whole(file: IO[bytes] | None) -> bytes:
    """Return what is left of a file, put together so that there are no two copies of it on the way."""
    made = io.BytesIO()
    while file is not None and (piece := file.read(PIECE)):
        made.write(piece)
    return made.getvalue()


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

"""CIFAR-10 as its authors publish it, read without trusting it: the python and the binary archive, and their folders.

The python archive's batches are pickles, and a pickle may call any function; they are read by a machine that builds
plain values alone. A binary batch has a byte of class and 3,072 of pixels for each image. Members are read from the
archive and never unpacked, and the archive is read to its end, where gzip keeps the sum of all bytes: a flipped bit is
found wherever it is.
"""

from __future__ import annotations

import gzip
import hashlib
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
BINARY = tuple(f"{name}.bin" for name in BATCHES)
FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin")  # what the archives unpack to, as torchvision keeps the first
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)
# Of the archive that its authors publish: they give its MD5, c58f30108f718f92721af3b95e74349a; this is its SHA-256,
# as Keras pins it
OFFICIAL = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
# MD5 of what else its authors publish, and of the batches in their archive, as torchvision pins them
OFFICIAL_BINARY = "c32a1d4ab5d03f1284b67883e8d87530"
OFFICIAL_BATCHES = (
    "c99cafc152244af753f735de768cd75f",
    "d4bba439e000b95fd0a9bffe97cbabec",
    "54ebc095f3ab1f0389bbae665268c751",
    "634d18415352ddfa80567beed471001a",
    "482c414d41f54cd18b22e5b47cb7c3cb",
)
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


@dataclass(frozen=True)
class CifarTraining:
    """The training images, uint8 (N, 3, 32, 32), their classes 0 .. 9, and which archive they are from.

    `archive`: `official` when the files are, byte for byte, those of the authors, `other` when they are not, and
    `unknown` where no digest of such files is known.
    """

    images: NDArray[np.uint8]
    labels: list[int]
    sha256: str
    archive: str

    @property
    def about(self) -> dict[str, str]:
        """What a prepared set says of where its images are from."""
        return {"archive": self.archive, "archive_sha256": self.sha256}


def read_cifar10(path: Path) -> CifarTraining:
    """Return the training images and their classes, batch after batch.

    Raises:
        DataError: the archive is damaged, incomplete, too large, holds unexpected content or tries to run code.
    """
    folder = batches_in(path)
    members, digest = _read_files(folder) if folder else _read_members(path)
    names = BINARY if set(BINARY) & members.keys() else BATCHES
    missing = [name for name in names if name not in members]
    if missing:
        raise DataError(f"{path}: no member {missing[0]}; expected {names[0]} to {names[-1]}; {REMEDY}")
    read = _read_binary if names == BINARY else _read_batch
    parts = [read(members[name], f"{path}, {name}") for name in names]
    labels = [label for _, labels in parts for label in labels]
    archive = _known_files(members) if folder else _known_archive(path, digest, names)
    return CifarTraining(np.concatenate([pixels for pixels, _ in parts]), labels, digest, archive)


def batches_in(path: Path) -> Path | None:
    """Return the folder of batches that a path is, or that lies in it as torchvision keeps it; None where neither."""
    for folder in (path, *(path / name for name in FOLDERS)):
        if folder.is_dir() and ((folder / BATCHES[0]).is_file() or (folder / BINARY[0]).is_file()):
            return folder
    return None


def _read_files(folder: Path) -> tuple[dict[str, bytes], str]:
    """Return the content of the batches in a folder by name, and one digest of all of them."""
    found, whole = {}, hashlib.sha256()
    for name in (*BATCHES, *BINARY):
        if (folder / name).is_file():
            try:
                with open(folder / name, "rb") as file:
                    content = file.read(MAX_MEMBER_BYTES + 1)
            except OSError as error:
                raise DataError(f"{folder / name}: cannot be read ({error.strerror}); check its permissions") from None
            if len(content) > MAX_MEMBER_BYTES:
                raise DataError(f"{folder / name}: more bytes than any CIFAR-10 batch has; {REMEDY}")
            found[name] = content
            whole.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return found, whole.hexdigest()


def _known_archive(path: Path, digest: str, names: tuple[str, ...]) -> str:
    """Return whether an archive is the published one of its kind."""
    if names == BATCHES:
        return "official" if digest == OFFICIAL else "other"
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return "official" if found == OFFICIAL_BINARY else "other"


def _known_files(members: dict[str, bytes]) -> str:
    """Return whether batches of a folder are the published ones; of binary ones no digests are published."""
    if BATCHES[0] not in members:
        return "unknown"
    found = tuple(hashlib.md5(members[name], usedforsecurity=False).hexdigest() for name in BATCHES)
    return "official" if found == OFFICIAL_BATCHES else "other"


def _read_binary(content: bytes, where: str) -> tuple[NDArray[np.uint8], list[int]]:
    """Return the images and classes of one binary batch."""
    rows = np.frombuffer(content, np.uint8)
    width = 1 + int(np.prod(SHAPE))
    if not len(rows) or len(rows) % width:
        raise DataError(f"{where}: {len(rows):,} bytes, expected {width:,} for each image; {REMEDY}")
    rows = rows.reshape(-1, width)
    if rows[:, 0].max() >= len(CLASSES):
        raise DataError(f"{where}: a class of {rows[:, 0].max()}, expected 0 to {len(CLASSES) - 1}; {REMEDY}")
    return np.ascontiguousarray(rows[:, 1:]).reshape(-1, *SHAPE), rows[:, 0].tolist()


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
            if name not in BATCHES and name not in BINARY:
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

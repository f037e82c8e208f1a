"""CIFAR-10 as its authors publish it, read without trusting it: the python and the binary archive, and their folders.

The python archive's batches are pickles, and a pickle may call any function; they are read by a machine that builds
plain values alone. A binary batch has a byte of class and 3,072 of pixels for each image. All batches are looked at
when a set is opened, and none is kept: their images are read again, a batch at a time.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hkd.data import DataError
from hkd.data.cifar_files import BATCHES, BINARY, REMEDY, Archive, CifarFiles, Folder, batches_in
from hkd.data.plain_pickles import Array, ForbiddenError, PickleError, load

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

Batch = tuple[NDArray[np.uint8], list[int]]


@dataclass(frozen=True)
class _Seen:
    """What was found of a batch: its digests, its classes, or why it cannot be used."""

    sha256: str
    md5: str
    labels: list[int]
    error: DataError | None = None


class CifarTraining:
    """The training images, uint8 (3, 32, 32), their classes 0 .. 9, and which archive they are from.

    Of the images, those of one batch are held at a time.

    Attributes:
        labels: the class of every image.
        sha256: of the archive, or of the names and digests of all files.
        archive: `official` when the files are, byte for byte, those of the authors, `other` when they are not, and
            `unknown` where no digest of such files is known.
    """

    def __init__(self, files: CifarFiles, names: tuple[str, ...], seen: dict[str, _Seen]) -> None:
        self._files, self._names, self._seen = files, names, seen
        self._starts = [0, *accumulate(len(seen[name].labels) for name in names)]
        self._held: tuple[str, NDArray[np.uint8]] | None = None
        self.labels = [label for name in names for label in seen[name].labels]
        self.sha256 = files.digest({name: seen[name].sha256 for name in (*BATCHES, *BINARY) if name in seen})
        self.archive = _known(files, names, seen, self.sha256)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def about(self) -> dict[str, str]:
        """What a prepared set says of where its images are from."""
        return {"archive": self.archive, "archive_sha256": self.sha256}

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return image `index`, uint8 (3, 32, 32).

        Raises:
            DataError: its batch has changed since the set was opened.
        """
        number = bisect_right(self._starts, index) - 1
        # a copy: a view would hold its whole batch while the next one is read
        return self._pixels(self._names[number])[index - self._starts[number]].copy()

    def _pixels(self, name: str) -> NDArray[np.uint8]:
        """Return the images of a batch: of the one that is held, or of another, which takes its place."""
        if self._held is None or self._held[0] != name:
            self._held = None  # gone before the next comes
            content = self._files.batch(name)
            if hashlib.sha256(content).hexdigest() != self._seen[name].sha256:
                raise DataError(f"{self._files.path}, {name}: changed while it was read; leave it alone, and try again")
            self._held = name, _parsed(name, content, self._files.path)[0]
        return self._held[1]


def read_cifar10(path: Path) -> CifarTraining:
    """Return the training images and their classes, batch after batch.

    Raises:
        DataError: the archive is damaged, incomplete, too large, holds unexpected content or tries to run code.
    """
    folder = batches_in(path)
    files = Folder(folder) if folder else Archive(path)
    seen = {}
    for name, content in files.batches():
        seen[name] = _look(name, content, files.path)
        del content  # before the next one comes
    names = BINARY if set(BINARY) & seen.keys() else BATCHES
    missing = [name for name in names if name not in seen]
    if missing:
        raise DataError(f"{path}: no member {missing[0]}; expected {names[0]} to {names[-1]}; {REMEDY}")
    for name in names:
        if error := seen[name].error:
            raise error
    return CifarTraining(files, names, seen)


def _look(name: str, content: bytes, path: Path) -> _Seen:
    """Return what there is to know of a batch. What is wrong with it counts only if the archive itself is whole."""
    digests = hashlib.sha256(content).hexdigest(), hashlib.md5(content, usedforsecurity=False).hexdigest()
    try:
        return _Seen(*digests, _parsed(name, content, path)[1])
    except DataError as error:
        return _Seen(*digests, [], error)


def _parsed(name: str, content: bytes, path: Path) -> Batch:
    return (_read_binary if name in BINARY else _read_batch)(content, f"{path}, {name}")


def _known(files: CifarFiles, names: tuple[str, ...], seen: dict[str, _Seen], digest: str) -> str:
    """Return whether files are the published ones of their kind; of single binary batches no digests are published."""
    if isinstance(files, Folder):
        if BATCHES[0] not in seen:
            return "unknown"
        return "official" if tuple(seen[name].md5 for name in BATCHES) == OFFICIAL_BATCHES else "other"
    if names == BATCHES:
        return "official" if digest == OFFICIAL else "other"
    with open(files.path, "rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return "official" if found == OFFICIAL_BINARY else "other"


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

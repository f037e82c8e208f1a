"""Sources of real images: a zip in EDM's format, a folder, or the python archive of CIFAR-10.

Every source gives uint8 (C, H, W) images of one square size, one at a time, with a class or without. An input that it
cannot use is refused in one line: file, what was found, what was expected, what to do. Files are not trusted: archives
are read and never unpacked, and sizes are checked before anything is decoded.
"""

from __future__ import annotations

import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hkd.data import DataError as DataError
from hkd.data import cifar
from hkd.data.decoding import centre_square, channels_first, decode, encode_png, size, square_size
from hkd.seeding import permutation
from hkd.store.artifacts import atomic_path

Item = tuple[NDArray[np.uint8], int | None]

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
LABEL_FILE = "dataset.json"
MAX_FILE_BYTES = 256 << 20
MAX_CLASSES = 1 << 16
# Errors that the reader raises for damaged zips: an unknown compression is a RuntimeError, a name that is no text a
# ValueError
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)
ACCEPTED = f"an EDM-format zip, a folder of images ({', '.join(EXTENSIONS)}), or cifar-10-python.tar.gz"


def open_source(
    path: Path | str, *, resolution: int | None = None, convert_to_rgb: bool = False, class_folders: bool = False
) -> Source:
    """Return the images at `path`: an EDM-format zip, a folder of images, or CIFAR-10's python archive.

    Args:
        resolution: crop every image to its central square and resize it (Lanczos) to this many pixels; without it,
            all images must have one square size.
        convert_to_rgb: turn grey, palette and CMYK images into RGB and lay transparent ones on white, instead of
            refusing them.
        class_folders: in a folder or zip, the class is the name of the first sub-folder, in alphabetical order.

    Raises:
        DataError: there is nothing at `path`, or what is there cannot be used.
    """
    path = Path(path)
    if resolution is not None and (resolution < 8 or resolution % 8):
        raise DataError(f"{path}: cannot resize to resolution {resolution}; set a multiple of 8")
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; put there {ACCEPTED}")
    if path.is_dir():
        return FolderImages(path, resolution=resolution, convert_to_rgb=convert_to_rgb, class_folders=class_folders)
    if path.suffix == ".zip" or zipfile.is_zipfile(path):
        return ZipImages(path, resolution=resolution, convert_to_rgb=convert_to_rgb, class_folders=class_folders)
    if path.name.endswith((".tar.gz", ".tgz", ".tar")) or _is_tar(path):
        return CifarArchive(path, resolution=resolution)
    raise DataError(f"{path}: neither a zip nor a tar archive; expected {ACCEPTED}")


def shuffled_subset(seed: int, total: int, count: int) -> NDArray[np.int64]:
    """Return `count` of the numbers 0 .. total - 1 in random order: many sources are sorted by class.

    Raises:
        DataError: unless 1 <= count <= total.
    """
    if not 1 <= count <= total:
        raise DataError(f"a subset of {count} images was asked for, the source has {total}; set a count up to {total}")
    return permutation(seed, "subset", 0, total)[:count]


def write_edm_zip(path: Path | str, items: Iterable[Item]) -> int:
    """Write (uint8 (C, H, W), class or None) pairs as a zip in EDM's format; return how many there were.

    Equal items make equal bytes. Colour images have C = 3, grey ones C = 1.

    Raises:
        DataError: there are no items, or some have a class and others none.
    Source: Karras et al. (2022), dataset_tool.py: members stored, PNG level 0, `00000/img00000000.png`.
    """
    labels: list[tuple[str, int]] = []
    count = 0
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for count, (image, label) in enumerate(items, start=1):
            name = f"{(count - 1) // 1000:05d}/img{count - 1:08d}.png"
            archive.writestr(_member(name), encode_png(image))
            if label is not None:
                labels.append((name, int(label)))
        if not count:
            raise DataError(f"{path}: no images to write; give at least one")
        if labels and len(labels) != count:
            raise DataError(f"{path}: {len(labels)} of {count} images have a class; give all of them one, or none")
        archive.writestr(_member(LABEL_FILE), json.dumps({"labels": labels or None}))
    return count


class Source(ABC):
    """Images of one square size with their classes, read one at a time.

    Attributes:
        kind: `edm-zip`, `folder` or `cifar10`.
        resolution, channels: every image is uint8 (channels, resolution, resolution).
        label_dim: number of classes, 0 without labels.
        class_names: their names when they are known, else empty.
    """

    kind: str
    path: Path
    resolution: int
    channels = 3
    label_dim = 0
    class_names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the file or folder, without where it lies."""
        return self.path.resolve().name

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def image(self, index: int) -> NDArray[np.uint8]:
        """Return image `index`, uint8 (C, H, W).

        Raises:
            DataError: its file is damaged, or its size or channels differ from the first one's.
        """

    @abstractmethod
    def label(self, index: int) -> int | None:
        """Return the class of image `index`, 0 .. label_dim - 1, or None without labels."""

    def items(self, indices: Iterable[int] | None = None) -> Iterator[Item]:
        """Yield (image, class) at `indices`, or all of them in order."""
        for index in range(len(self)) if indices is None else indices:
            yield self.image(int(index)), self.label(int(index))


class ImageFiles(Source):
    """Base of sources whose images are files with names, in a folder or a zip."""

    def __init__(self, path: Path, *, resolution: int | None, convert_to_rgb: bool, class_folders: bool) -> None:
        self.path = path
        self._resize_to, self._convert = resolution, convert_to_rgb
        members = sorted(self._members())
        self._names = [name for name in members if name.lower().endswith(EXTENSIONS)]
        if not self._names:
            raise DataError(f"{path}: no images among its {len(members)} files; expected {', '.join(EXTENSIONS)}")
        self._labels: list[int] | None = None
        if class_folders:
            self._labels, self.class_names = _folder_labels(self._names, path)
        elif LABEL_FILE in members:
            self._labels = _listed_labels(self._read(LABEL_FILE), self._names, self._where(LABEL_FILE))
        self.label_dim = len(self.class_names) or (max(self._labels) + 1 if self._labels else 0)
        first = self._decode(self._names[0])
        self.resolution = resolution or square_size(first, self._where(self._names[0]))

    def __len__(self) -> int:
        return len(self._names)

    def image(self, index: int) -> NDArray[np.uint8]:
        name = self._names[index]
        picture = self._decode(name)
        if self._resize_to is not None:
            picture = centre_square(picture, self._resize_to)
        if picture.size != (self.resolution, self.resolution):
            raise DataError(
                f"{self._where(name)}: {size(picture)} pixels, but {self._names[0]} has "
                f"{self.resolution}x{self.resolution}; make all one size, or set a resolution to resize to"
            )
        return channels_first(picture)

    def label(self, index: int) -> int | None:
        return None if self._labels is None else self._labels[index]

    @abstractmethod
    def _members(self) -> list[str]:
        """Return the names of all files, relative and with forward slashes."""

    @abstractmethod
    def _read(self, name: str) -> bytes:
        """Return the content of one file, at most MAX_FILE_BYTES of it."""

    def _where(self, name: str) -> str:
        return f"{self.path}, {name}"

    def _decode(self, name: str) -> Image.Image:
        return decode(self._read(name), self._where(name), self._convert)


class ZipImages(ImageFiles):
    """A zip in EDM's format; any zip of images will do, `dataset.json` adds the classes."""

    kind = "edm-zip"

    def _members(self) -> list[str]:
        try:
            self._archive = zipfile.ZipFile(self.path)
        except ZIP_ERRORS as error:
            raise DataError(f"{self.path}: truncated or not a zip ({error}); copy or download it again") from None
        names = {info.filename for info in self._archive.infolist() if not info.filename.endswith("/")}
        for name in names:
            if not name or name.startswith("/") or ".." in PurePosixPath(name).parts:
                raise DataError(
                    f"{self._where(name)}: a path outside the archive; expected names like 00000/img00000000.png"
                )
        return [name for name in names if not _is_hidden(name)]

    def _read(self, name: str) -> bytes:
        size = self._archive.getinfo(name).file_size
        if size > MAX_FILE_BYTES:
            raise DataError(f"{self._where(name)}: {size:,} bytes, more than {MAX_FILE_BYTES:,}; remove it")
        try:
            return self._archive.read(name)
        except ZIP_ERRORS as error:
            raise DataError(f"{self._where(name)}: cannot be read ({error}); copy or download the zip again") from None


class FolderImages(ImageFiles):
    """A folder of images and its sub-folders; hidden files are left out, `dataset.json` adds the classes."""

    kind = "folder"

    def _members(self) -> list[str]:
        names = (file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file())
        return [name for name in names if not _is_hidden(name)]

    def _read(self, name: str) -> bytes:
        try:
            with open(self.path / name, "rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise DataError(f"{self._where(name)}: cannot be read ({error.strerror}); check its permissions") from None
        if len(content) > MAX_FILE_BYTES:
            raise DataError(f"{self._where(name)}: more than {MAX_FILE_BYTES:,} bytes; remove it")
        return content


class CifarArchive(Source):
    """CIFAR-10's training batches, 1 to 5, in that order."""

    kind = "cifar10"
    label_dim = len(cifar.CLASSES)
    class_names = cifar.CLASSES

    def __init__(self, path: Path, *, resolution: int | None) -> None:
        self.path = path
        self._pixels, self._labels = cifar.read_cifar10(path)
        self.resolution = resolution or self._pixels.shape[-1]

    def __len__(self) -> int:
        return len(self._pixels)

    def image(self, index: int) -> NDArray[np.uint8]:
        if self.resolution == self._pixels.shape[-1]:
            return self._pixels[index]
        picture = Image.fromarray(self._pixels[index].transpose(1, 2, 0))
        return channels_first(centre_square(picture, self.resolution))

    def label(self, index: int) -> int | None:
        return self._labels[index]


def _listed_labels(content: bytes, names: list[str], where: str) -> list[int] | None:
    """Return the class of each name from EDM's `dataset.json`, or None where it says null."""
    try:
        labels = json.loads(content)["labels"]
        table = None if labels is None else {str(name).replace("\\", "/"): label for name, label in labels}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(
            f'{where}: expected {{"labels": [["00000/img00000000.png", 6], ...]}}; correct or remove it'
        ) from None
    if table is None:
        return None
    unknown, missing = table.keys() - set(names), [name for name in names if name not in table]
    if unknown:
        raise DataError(
            f"{where}: labels for {len(unknown)} absent images, such as {min(unknown)}; correct or remove it"
        )
    if missing:
        raise DataError(
            f"{where}: no label for {len(missing)} of {len(names)} images, first {missing[0]}; add or remove all"
        )
    for name, label in table.items():
        if type(label) is not int or not 0 <= label < MAX_CLASSES:
            raise DataError(
                f"{where}: label {str(label)[:40]} of {name}; expected a class number from 0, or labels: null"
            )
    return [table[name] for name in names]


def _folder_labels(names: list[str], path: Path) -> tuple[list[int], tuple[str, ...]]:
    """Return the class of each name, which is its first sub-folder, and the names of the classes."""
    loose = [name for name in names if "/" not in name]
    if loose:
        raise DataError(f"{path}, {loose[0]}: not in a sub-folder, so without a class; move it, or unset class_folders")
    folders = [name.split("/", 1)[0] for name in names]
    classes = tuple(sorted(set(folders)))
    number = {folder: k for k, folder in enumerate(classes)}
    return [number[folder] for folder in folders], classes


def _member(name: str) -> zipfile.ZipInfo:
    """Return a zip entry without the time of writing, so that equal content makes equal bytes."""
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o644 << 16
    return info


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except OSError:
        return False

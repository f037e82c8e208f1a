"""Sources of real images: a zip in EDM's format, a folder, a prepared set, or CIFAR-10 as its authors publish it.

Every source gives uint8 (C, H, W) images of one square size, one at a time, with a class or without. An input that it
cannot use is refused in one line: file, what was found, what was expected, what to do. Which files are pictures, and
which classes they have, is ruled in `picture_files` and `picture_labels`.
"""

from __future__ import annotations

import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hkd.data import DataError as DataError
from hkd.data import cifar
from hkd.data.containers import ACCEPTED, check_kind, find_pictures, is_single_picture, is_tar, is_zip, other_tar
from hkd.data.decoding import centre_square, channels_first, decode, encode_png, size, square_size
from hkd.data.file_names import text_of
from hkd.data.image_set import IMAGES, MANIFEST, ImageSet
from hkd.data.picture_files import ARRAYS, LABEL_FILE
from hkd.data.picture_labels import empty_classes, picture_labels
from hkd.seeding import permutation
from hkd.store.atomic import atomic_path
from hkd.store.lines import printable
from hkd.store.refusals import ArtifactError

PUBLISHED = "a set of a known `count` was published in one size: give that, or set its `count` to null"
Item = tuple[NDArray[np.uint8], int | None]


def open_source(
    path: Path | str,
    *,
    resolution: int | None = None,
    convert_to_rgb: bool = False,
    class_folders: bool = False,
    skip_unreadable: bool = False,
    one_size: bool = False,
) -> Source:
    """Return the images at `path`: an EDM-format zip, a folder of images, a prepared set, or CIFAR-10's archives.

    Args:
        resolution: crop every image to its central square and resize it (Lanczos) to this many pixels; without it,
            all images must have one square size.
        convert_to_rgb: turn grey, palette and CMYK images into RGB and lay transparent ones on white, instead of
            refusing them.
        class_folders: in a folder or zip, the class is the name of the first sub-folder; see `picture_labels`.
        skip_unreadable: leave out files that cannot be read, and count them, instead of refusing the whole.
        one_size: refuse files of different or other than square sizes, even where they are to be resized.

    Raises:
        DataError: there is nothing at `path`, or what is there cannot be used.
    """
    path = Path(path)
    if resolution is not None and (resolution < 8 or resolution % 8):
        raise DataError(f"{path}: cannot resize to resolution {resolution}; set a multiple of 8")
    check_kind(path, ACCEPTED)
    if path.is_file() and path.suffix.lower() in ARRAYS:
        raise DataError(f"{path}: an array file is not accepted; write its images as PNG files and give {ACCEPTED}")
    if cifar.batches_in(path):
        return CifarArchive(path, resolution=resolution)
    if (path / MANIFEST).is_file() and (path / IMAGES).is_file():
        return PreparedFolder(path, resolution=resolution)
    if path.is_dir() or is_zip(path):
        return ImageFiles(
            path,
            resolution=resolution,
            convert_to_rgb=convert_to_rgb,
            class_folders=class_folders,
            skip_unreadable=skip_unreadable,
            one_size=one_size,
        )
    if is_tar(path):
        if why := other_tar(path):
            raise DataError(f"{path}: {why}")
        return CifarArchive(path, resolution=resolution)
    if is_single_picture(path):
        raise DataError(f"{path}: a single picture; put pictures into a folder, and give that")
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
        kind: `edm-zip`, `folder`, `prepared` or `cifar10`.
        resolution, channels: every image is uint8 (channels, resolution, resolution).
        label_dim: number of classes, 0 without labels.
        class_names: their names when they are known, else empty.
        about: what else a prepared set says of where its images are from.
        remarks: what was left out or may surprise, a line each.
    """

    kind: str
    path: Path
    resolution: int
    channels = 3
    label_dim = 0
    class_names: tuple[str, ...] = ()
    about: Mapping[str, str] = MappingProxyType({})
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the file or folder, without where it lies."""
        return text_of(self.path.resolve().name)

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

    def where(self, index: int) -> str:
        """Return where image `index` lies, for a message: ` (its file)`, or nothing where it has none of its own."""
        return ""

    def items(self, indices: Iterable[int] | None = None) -> Iterator[Item]:
        """Yield (image, class) at `indices`, or all of them in order."""
        for index in range(len(self)) if indices is None else indices:
            yield self.image(int(index)), self.label(int(index))


class ImageFiles(Source):
    """Images that are files with names, in a folder or a zip.

    Args:
        skip_unreadable: leave out pictures that cannot be read, and say how many, instead of refusing all.
        one_size: whether all must have the size of the first, though they are resized.
    """

    def __init__(
        self,
        path: Path,
        *,
        resolution: int | None,
        convert_to_rgb: bool,
        class_folders: bool,
        skip_unreadable: bool = False,
        one_size: bool = False,
    ) -> None:
        self.path = path
        self._resize_to, self._convert = resolution, convert_to_rgb
        self._files = find_pictures(path, skip_unreadable=skip_unreadable)
        self.kind = self._files.kind
        labels = picture_labels(self._files, class_folders=class_folders)
        self.label_dim, self.class_names = labels.label_dim, labels.names
        kept = [k for k, name in enumerate(self._files.names) if not skip_unreadable or self._readable(name)]
        if not kept:
            raise DataError(
                f"{path}: not one of its {len(self._files.names)} images can be read; {self._files.remarks[-1]}"
            )
        self._names = [self._files.names[k] for k in kept]
        self._labels = None if labels.numbers is None else [labels.numbers[k] for k in kept]
        empty = () if self._labels is None else empty_classes(self._labels, labels)
        self.remarks = tuple(printable(line) for line in (*self._files.remarks, *labels.remarks, *empty))
        first = self._decode(self._names[0])
        self.resolution = resolution or square_size(first, self._files.where(self._names[0]))
        self._size = first.size if one_size or not resolution else None
        if one_size and first.width != first.height:
            where = self._files.where(self._names[0])
            raise DataError(f"{where}: {size(first)} pixels, expected a square; {PUBLISHED}")

    def __len__(self) -> int:
        return len(self._names)

    def image(self, index: int) -> NDArray[np.uint8]:
        name = self._names[index]
        picture = self._decode(name)
        if self._size is not None and picture.size != self._size:
            first = f"{self._names[0]} has {self._size[0]}x{self._size[1]}"
            remedy = (
                PUBLISHED if self._resize_to else "make all one size, or say one (--config data.NAME.resolution=32)"
            )
            raise DataError(f"{self._files.where(name)}: {size(picture)} pixels, but {first}; {remedy}")
        if self._resize_to is not None:
            picture = centre_square(picture, self._resize_to)
        return channels_first(picture)

    def label(self, index: int) -> int | None:
        return None if self._labels is None else self._labels[index]

    def where(self, index: int) -> str:
        return f" ({printable(self._names[index])})"

    def _decode(self, name: str) -> Image.Image:
        return decode(self._files.read(name), self._files.where(name), self._convert)

    def _readable(self, name: str) -> bool:
        """Return whether a picture can be decoded; one that cannot be is counted."""
        try:
            self._decode(name)
        except DataError as error:
            self._files.unreadable(name, error)
            return False
        return True


class CifarArchive(Source):
    """CIFAR-10's training batches, 1 to 5, in that order, of an archive or a folder; one of them is held at a time."""

    kind = "cifar10"
    label_dim = len(cifar.CLASSES)
    class_names = cifar.CLASSES

    def __init__(self, path: Path, *, resolution: int | None) -> None:
        self.path = path
        self._found = cifar.read_cifar10(path)
        self.about = self._found.about
        self.resolution = resolution or cifar.SHAPE[-1]

    def __len__(self) -> int:
        return len(self._found)

    def image(self, index: int) -> NDArray[np.uint8]:
        pixels = self._found.image(index)
        if self.resolution == cifar.SHAPE[-1]:
            return pixels
        return channels_first(centre_square(Image.fromarray(pixels.transpose(1, 2, 0)), self.resolution))

    def label(self, index: int) -> int | None:
        return self._found.labels[index]


class PreparedFolder(Source):
    """A prepared set, memory-mapped."""

    kind = "prepared"

    def __init__(self, path: Path, *, resolution: int | None) -> None:
        self.path = path
        try:
            self._set = ImageSet(path)
        except ArtifactError as error:
            raise DataError(str(error)) from None
        self.resolution, self.channels, self.label_dim = self._set.resolution, self._set.channels, self._set.label_dim
        if resolution not in (None, self.resolution):
            raise DataError(f"{path}: prepared at {self.resolution} pixels, not {resolution}; prepare its source anew")
        names = self._set.manifest.get("class_names", ())
        self.class_names = tuple(map(str, names)) if isinstance(names, list) else ()
        kept = {key: self._set.manifest.get(key) for key in ("archive", "archive_sha256", "licence")}
        self.about = {key: str(value) for key, value in kept.items() if value}

    def __len__(self) -> int:
        return len(self._set)

    def image(self, index: int) -> NDArray[np.uint8]:
        return np.array(self._set.pixels[index])

    def label(self, index: int) -> int | None:
        numbers = self._set.class_numbers
        return None if numbers is None else int(numbers[index])


def _member(name: str) -> zipfile.ZipInfo:
    """Return a zip entry without the time of writing, so that equal content makes equal bytes."""
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o644 << 16
    return info

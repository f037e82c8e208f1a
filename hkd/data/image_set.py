"""Images as bytes on disk and as batches in [-1, 1]: the prepared set that training reads, and the quantiser.

A prepared set is a folder with `images.npy` (uint8 (N, C, H, W), memory-mapped), `labels.npy` (int64 (N,), when there
are labels) and `manifest.json`, which is written last and holds the digests of the other two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hkd.data.image_shape import ImageShape
from hkd.store import bounded, bounded_arrays
from hkd.store.artifacts import read_json
from hkd.store.atomic import atomic_path, sha256, write_json
from hkd.store.refusals import ArtifactError
from hkd.store.temporary import settle_folder

IMAGES, LABELS, MANIFEST = "images.npy", "labels.npy", "manifest.json"
FIELDS: dict[str, Any] = {"resolution": int, "channels": int, "count": int, "label_dim": int, "sha256": dict}

Bytes = NDArray[np.uint8]


@overload
def to_uint8(images: Tensor) -> Tensor: ...
@overload
def to_uint8(images: NDArray[np.floating[Any]]) -> Bytes: ...
def to_uint8(images: Tensor | NDArray[np.floating[Any]]) -> Tensor | Bytes:
    """Return images in [-1, 1] as bytes: 127.5 x + 128, clipped to [0, 255] and truncated.

    Raises:
        ValueError: for NaN or infinite values, which a cast would turn into arbitrary pixels.
    Source: Karras et al. (2022), the sample writer of the official code.
    """
    finite = torch.isfinite(images) if isinstance(images, Tensor) else np.isfinite(images)
    if not bool(finite.all()):
        broken = int(finite.numel() if isinstance(finite, Tensor) else finite.size) - int(finite.sum())
        raise ValueError(
            f"images of shape {tuple(images.shape)} hold {broken} NaN or infinite values; the run that made them "
            "diverged. Lower its learning rate or look at its losses."
        )
    if isinstance(images, Tensor):
        images = images if images.dtype == torch.float64 else images.float()  # half precision would round the bytes
        return (127.5 * images + 128).clamp(0, 255).to(torch.uint8)
    return (127.5 * images + 128).clip(0, 255).astype(np.uint8)


def to_unit_range(images: Tensor) -> Tensor:
    """Return bytes 0 .. 255 as float32 in [-1, 1]: u / 127.5 - 1."""
    return images.to(torch.float32) / 127.5 - 1


@dataclass(frozen=True)
class ImageBatch:
    """Clean images (B, C, H, W) in [-1, 1] with their one-hot labels (B, label_dim), or None."""

    clean: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.clean)


class ImageSet:
    """A prepared set, memory-mapped: opening it reads headers, a batch reads its own images only.

    Args:
        folder: written by `write_image_set`.
        use_labels: if false, the set behaves as if it had no labels (`label_dim` 0).

    Raises:
        ArtifactError: a file is missing, truncated, or not what the manifest describes.
    """

    def __init__(self, folder: Path | str, *, use_labels: bool = True) -> None:
        self.folder = Path(folder)
        self.manifest: dict[str, Any] = read_json(self.folder / MANIFEST, "prepare")
        try:
            known = bounded.check_fields(self.manifest, FIELDS)
            label_dim, files = known["label_dim"], {IMAGES, LABELS} if known["label_dim"] else {IMAGES}
            self._digests = {name: bounded.check_fields(known["sha256"], {name: str})[name] for name in sorted(files)}
            sizes = {name: known[name] for name in ("count", "resolution", "channels", "label_dim")}
            if min(sizes.values()) < 0:
                raise bounded.Damaged(f"it states {sizes}")
        except bounded.Damaged as error:
            raise _damaged(self.folder / MANIFEST, str(error)) from None
        count, self.resolution, self.channels = (sizes[name] for name in ("count", "resolution", "channels"))
        self.label_dim = label_dim if use_labels else 0
        self.pixels: Bytes = self._open(IMAGES, np.uint8, (count, self.channels, self.resolution, self.resolution))
        self.class_numbers: NDArray[np.int64] | None = None
        if label_dim and use_labels:
            self.class_numbers = self._open(LABELS, np.int64, (count,))
            self._same_bytes(LABELS)  # they are few, and a wrong one is no error anywhere

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(
        self,
        indices: Sequence[int] | np.ndarray | Tensor,
        device: torch.device | str = "cpu",
        mirrored: Tensor | None = None,
    ) -> ImageBatch:
        """Return the images at `indices`, in that order; mirrored where `mirrored` (B,), bool, on the CPU, says so."""
        chosen = np.asarray(indices, np.int64)
        clean = to_unit_range(torch.from_numpy(self.pixels[chosen]))
        if mirrored is not None:
            clean = torch.where(mirrored[:, None, None, None], clean.flip(-1), clean)
        return ImageBatch(clean.to(device), self.labels(chosen, device))

    def labels(self, indices: Sequence[int] | np.ndarray, device: torch.device | str = "cpu") -> Tensor | None:
        """Return the one-hot labels (B, label_dim), float32, of the images at `indices`, or None without labels."""
        if self.class_numbers is None:
            return None
        return one_hot(torch.from_numpy(self.class_numbers[np.asarray(indices, np.int64)]), self.label_dim).to(device)

    def verify(self) -> None:
        """Compare every file with its digest in the manifest.

        Raises:
            ArtifactError: the bytes of a file are not those that were written.
        """
        for name in self._digests:
            self._same_bytes(name)

    def _same_bytes(self, name: str) -> None:
        path, recorded = self.folder / name, self._digests[name]
        if not path.exists():
            raise ArtifactError(f"{path}: missing; run `hkd prepare`, or `snakemake --cores all {path}`")
        if sha256(path) != recorded:
            raise _damaged(path, f"its digest is not the {recorded[:12]}… of {MANIFEST}")

    def _open(self, name: str, dtype: type[np.generic], shape: tuple[int, ...]) -> Any:
        path = self.folder / name
        if not path.exists():
            raise ArtifactError(f"{path}: missing; run `hkd prepare`, or `snakemake --cores all {path}`")
        try:
            array = bounded_arrays.map_npy(path)
        except bounded.Damaged as error:
            raise _damaged(path, f"truncated or not an array ({error})") from None
        if array.dtype != dtype or array.shape != shape:
            expected = f"{np.dtype(dtype)} {shape}"
            raise _damaged(path, f"it holds {array.dtype} {array.shape}, {MANIFEST} says {expected}")
        return array


def one_hot(classes: Tensor, label_dim: int) -> Tensor:
    """Return class numbers (B,) as float32 (B, label_dim)."""
    return torch.nn.functional.one_hot(classes.long(), label_dim).to(torch.float32)


def write_image_set(
    folder: Path | str,
    items: Iterable[tuple[Bytes, int | None]],
    *,
    count: int,
    resolution: int,
    channels: int,
    label_dim: int,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `count` pairs of (uint8 (C, H, W), class or None) as a prepared set, one at a time; return its manifest.

    A reader sees the whole set or none: images and labels get their names when they are complete, the manifest last,
    and the manifest of an earlier set goes first.

    Args:
        label_dim: number of classes; 0 when there are no labels, and then every class is None.
        about: what else the manifest says (source, split, names of the classes, ...).

    Raises:
        ValueError: the items do not have this count, shape or labelling.
        ArtifactError: the folder cannot be written or the disk is full.
    """
    folder = Path(folder)
    shape = (count, channels, resolution, resolution)
    classes: list[int] = []
    with atomic_path(folder / IMAGES) as temporary:
        with open(temporary, "wb") as file:
            _write_header(file, shape)
            for image, label in _checked(items, shape, label_dim):
                file.write(np.ascontiguousarray(image).data)
                if label is not None:
                    classes.append(label)
        digests = {IMAGES: sha256(temporary)}
        # from here to the new manifest the set has none, so nobody takes new images for those of an old manifest
        (folder / MANIFEST).unlink(missing_ok=True)
        settle_folder(folder)
        (folder / LABELS).unlink(missing_ok=True)
    if label_dim:
        with atomic_path(folder / LABELS) as temporary, open(temporary, "wb") as file:
            np.lib.format.write_array(file, np.asarray(classes, np.int64), allow_pickle=False)
        digests[LABELS] = sha256(folder / LABELS)
    sizes = {"count": count, "resolution": resolution, "channels": channels, "label_dim": label_dim}
    manifest = {**(about or {}), **sizes, "sha256": digests}
    write_json(folder / MANIFEST, manifest)
    return manifest


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _checked(
    items: Iterable[tuple[Bytes, int | None]], shape: tuple[int, ...], label_dim: int
) -> Iterator[tuple[Bytes, int | None]]:
    """Yield the items, each checked for the shape and labels of the set."""
    position = 0
    for position, (image, label) in enumerate(items, start=1):
        if image.dtype != np.uint8 or image.shape != shape[1:]:
            raise ValueError(f"image {position - 1} is {image.dtype} {image.shape}, expected uint8 {shape[1:]}")
        if (label is None) != (label_dim == 0) or (label is not None and not 0 <= label < label_dim):
            raise ValueError(f"image {position - 1} has label {label}, expected one of {label_dim} classes")
        yield image, label
        if position == shape[0]:
            break
    if position != shape[0]:
        raise ValueError(f"the source gave {position} images, expected {shape[0]}")


def _damaged(path: Path, what: str) -> ArtifactError:
    return ArtifactError(f"{path}: damaged, {what}; delete it and run `hkd prepare`, or `snakemake --cores all {path}`")


def image_shape(folder: Path) -> ImageShape:
    """Return the shape of a prepared data set."""
    data = ImageSet(folder)
    return ImageShape(data.resolution, data.channels, data.label_dim)


def check_size(images: NDArray[np.uint8], folder: Path | str, where: Path | str, name: str) -> None:
    """Refuse images (N, C, H, W) of another size than those of the prepared set in `folder`.

    Raises:
        ArtifactError: naming both sizes; or the set is missing.
    """
    side = ImageSet(folder).resolution
    height, width = images.shape[2:]
    if (height, width) != (side, side):
        raise ArtifactError(f"{where}: {width} x {height} pixels, {name} has {side} x {side}; sample at that size")

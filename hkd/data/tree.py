"""A digest for every image of a set and one for all of them, beside the set: what it holds, however it was stored.

An image's digest is the SHA-256 of its bytes (C, H, W) and its class. The digest of the tree is that of all of them in
their order. Two sets of the same images in the same order have the same one, whatever files they were read from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hkd.data import DataError
from hkd.data.sources import Item, Source
from hkd.store import bounded
from hkd.store.atomic import write_json

FILE = "tree.json"
FIELDS: dict[str, Any] = {"tree_sha256": str, "images": list, "archive": str, "licence": str, "source": str}
MAX_BYTES = 256 << 20  # of such a file: three million images
UNKNOWN = "unknown"
UNFINISHED = {"unfinished": "`hkd data prepare` has begun to write this set"}


class Digests:
    """Digests of images, taken while they pass by; no image is kept."""

    def __init__(self) -> None:
        self.images: list[str] = []

    def of(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, each noted."""
        for image, label in items:
            self.images.append(digest(image, label))
            yield image, label

    @property
    def tree(self) -> str:
        """One digest of all images in their order."""
        return tree_digest(self.images)


def digest(image: np.ndarray, label: int | None) -> str:
    """Return the digest of an image, uint8 (C, H, W), and its class."""
    found = hashlib.sha256(f"{image.shape} {'-' if label is None else label} ".encode())
    found.update(np.ascontiguousarray(image).data)
    return found.hexdigest()


def tree_digest(images: Sequence[str]) -> str:
    """Return one digest of the digests of all images."""
    whole = hashlib.sha256()
    for image in images:
        whole.update(f"{image}\n".encode())
    return whole.hexdigest()


def tree_path(store: Path) -> Path:
    """Return where the digests of a set lie: in a folder, or beside a zip."""
    beside = store.is_file() or (store.suffix.lower() == ".zip" and not store.is_dir())
    return store.with_name(f"{store.name}.{FILE}") if beside else store / FILE


def begin_tree(store: Path) -> None:
    """Say of a set that is not there yet that it is being written, so that whoever is stopped may begin again."""
    write_json(tree_path(store), UNFINISHED)


def is_kept(store: Path) -> bool:
    """Return whether a set is one that was kept here, or that is being written: its digests say so."""
    try:
        found = bounded.parse_json(bounded.read_bytes(tree_path(store), MAX_BYTES))
        return found == UNFINISHED or bool(bounded.check_fields(found, FIELDS))
    except (FileNotFoundError, bounded.Damaged):
        return False


def write_tree(store: Path, digests: Digests, source: Source, licence: str) -> dict[str, Any]:
    """Write the digests of a set's images, with what is known of its source; return what was written."""
    content = {
        "tree_sha256": digests.tree,
        "archive": source.about.get("archive", UNKNOWN),
        "licence": source.about.get("licence", licence),
        "source": source.name,
        "images": digests.images,
    }
    write_json(tree_path(store), content)
    return content


def read_tree(store: Path) -> dict[str, Any]:
    """Return the digests of a set's images, and what is said with them.

    Raises:
        DataError: there are none, or the file is damaged.
    """
    path = tree_path(store)
    again = "run `hkd data prepare` again"
    try:
        found = bounded.check_fields(bounded.parse_json(bounded.read_bytes(path, MAX_BYTES)), FIELDS)
    except FileNotFoundError:
        raise DataError(f"{path}: missing, so nothing says what {store.name} holds; {again}") from None
    except bounded.Damaged as error:
        raise DataError(f"{path}: {error}; {again}") from None
    if (
        not all(isinstance(image, str) for image in found["images"])
        or tree_digest(found["images"]) != found["tree_sha256"]
    ):
        raise DataError(f"{path}: its digests are not those of its tree, so it was damaged or edited; {again}")
    return found


def first_difference(source: Source, images: Sequence[str]) -> str:
    """Return which image of a source is the first whose digest is another, in words; empty if none is.

    Raises:
        DataError: an image cannot be read.
    """
    for number, (image, label) in enumerate(source.items()):
        if number >= len(images):
            return f"image {number:,} is one more than the {len(images):,} that there were"
        if digest(image, label) != images[number]:
            return f"image {number:,}{source.where(number)} is another than it was"
    return f"image {len(source):,} of {len(images):,} is missing" if len(source) < len(images) else ""

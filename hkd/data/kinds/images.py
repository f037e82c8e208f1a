"""Images of files: a zip in EDM's format, a folder, a prepared set, or an archive of CIFAR-10."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hkd.data.image_set import write_image_set
from hkd.data.sources import Item, Source, open_source
from hkd.settings.sections import Data
from hkd.store.refusals import ArtifactError

READS = True  # files of others, of which some may be unreadable


def prepare(data: Data, split: str, folder: Path, name: str, *, skip_unreadable: bool = False) -> dict[str, Any]:
    """Convert the images at `data.path` and return the manifest, with the names of classes and what was left out.

    Args:
        skip_unreadable: leave out pictures that cannot be read, and count them, instead of refusing the whole.

    Raises:
        ArtifactError: no path is set, or there are more or fewer images than the data set has.
        DataError: what lies there cannot be used.
    """
    if data.path is None:
        raise ArtifactError(
            f"data set '{name}' needs its images: --config source=PATH with an EDM-format zip, a folder of images "
            f"or cifar-10-python.tar.gz; or --config data.{name}.path=PATH"
        )
    return written(opened(data, name, skip_unreadable=skip_unreadable), split, folder)


def opened(data: Data, name: str, *, skip_unreadable: bool = False) -> Source:
    """Return the images at `data.path`, of which there must be as many as the data set has, and then of one size.

    Raises:
        ArtifactError: there are more or fewer.
        DataError: what lies there cannot be used.
    """
    source = open_source(
        str(data.path),
        resolution=data.resolution,
        convert_to_rgb=data.convert_to_rgb,
        class_folders=data.class_folders,
        skip_unreadable=skip_unreadable,
        one_size=data.count is not None,  # as sets are published; pictures of one's own may have any
    )
    if data.count is not None and len(source) != data.count:
        raise ArtifactError(
            f"{data.path}: holds {len(source)} images, {name} has {data.count}; "
            f"take the whole set, or say --config data.{name}.count={len(source)}"
        )
    return source


def written(source: Source, split: str, folder: Path, items: Iterable[Item] | None = None) -> dict[str, Any]:
    """Write the images of a source as a prepared set and return its manifest.

    Args:
        items: its images and classes as they pass by somebody who looks at them; by default its own.
    """
    return write_image_set(
        folder,
        source.items() if items is None else items,
        count=len(source),
        resolution=source.resolution,
        channels=source.channels,
        label_dim=source.label_dim,
        about={"source": source.name, "split": split, **source.about, **_known(source)},
    )


def _known(source: Source) -> dict[str, Any]:
    """Return what the manifest says of classes and of files that were left out, where there is anything to say."""
    facts = {"class_names": list(source.class_names), "remarks": list(source.remarks)}
    return {fact: lines for fact, lines in facts.items() if lines}

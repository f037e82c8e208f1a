"""The one form in which a data set is kept: a prepared set, or EDM's zip, with the digests of its images beside it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from hkd.data import DataError
from hkd.data.kinds.images import written
from hkd.data.sources import Source, write_edm_zip
from hkd.data.tree import Digests, begin_tree, is_kept, tree_path, write_tree


def keep(source: Source, out: Path, licence: str) -> dict[str, Any]:
    """Write the images of a source, one at a time, and the digests of all; return what stands beside them.

    A set that was kept there before is replaced; other files never are.

    Args:
        out: a folder, or a zip of the bytes that EDM's own tool makes of the same images.
        licence: of the data set.
    Raises:
        DataError: an image cannot be used, or files of somebody else stand there.
        ArtifactError: the disk refuses.
    """
    digests, packed = Digests(), out.suffix.lower() == ".zip"
    if new := not _held(out):
        begin_tree(out)
    elif not is_kept(out):
        raise DataError(f"{out}: holds what `hkd data prepare` did not write; name another --out, or move it away")
    try:
        if packed:
            write_edm_zip(out, digests.of(source.items()))
        else:
            written(source, "train", out, digests.of(source.items()))
    finally:
        if new:
            _clear(out)
    return write_tree(out, digests, source, licence)


def _held(out: Path) -> list[Path]:
    """Return what a new set would stand beside, or replace."""
    return [*out.iterdir()] if out.is_dir() else [path for path in (out, tree_path(out)) if path.exists()]


def _clear(out: Path) -> None:
    """Remove what says that a set is being written, if nothing of it was."""
    if _held(out) == [note := tree_path(out)]:
        note.unlink()
        with suppress(OSError):
            out.rmdir()

"""The one form in which a data set is kept: a prepared set, or EDM's zip, with the digests of its images beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hkd.data.kinds.images import written
from hkd.data.sources import Source, write_edm_zip
from hkd.data.tree import Digests, write_tree


def keep(source: Source, out: Path, licence: str) -> dict[str, Any]:
    """Write the images of a source, one at a time, and the digests of all; return what stands beside them.

    Args:
        out: a folder, or a zip of the bytes that EDM's own tool makes of the same images.
        licence: of the data set.
    Raises:
        DataError: an image cannot be used.
        ArtifactError: the disk refuses.
    """
    digests = Digests()
    if out.suffix.lower() == ".zip":
        write_edm_zip(out, digests.of(source.items()))
    else:
        written(source, "train", out, digests.of(source.items()))
    return write_tree(out, digests, source, licence)
